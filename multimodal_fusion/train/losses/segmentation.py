"""The loss of semantic segmentation."""

from torch import Tensor
from torch.nn import functional as F

from ...io.mask_files import IGNORE


def segmentation_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy plus 1 - the mean Dice coefficient of the classes that the batch shows.

    logits: float (N, classes, H, W). masks: int64 (N, H, W), `IGNORE` where nobody knows. Scalar.
    """
    known = (masks != IGNORE)[:, None]
    entropy = F.cross_entropy(logits, masks, ignore_index=IGNORE, reduction='sum')
    entropy = entropy / known.sum().clamp(min=1)
    shares = logits.softmax(1) * known
    wanted = F.one_hot(masks.where(known[:, 0], 0), logits.shape[1]).permute(0, 3, 1, 2) * known
    both = (shares * wanted).sum((0, 2, 3))
    dice = (2 * both + 1) / (shares.sum((0, 2, 3)) + wanted.sum((0, 2, 3)) + 1)
    shown = wanted.sum((0, 2, 3)) > 0
    return entropy + 1 - (dice * shown).sum() / shown.sum().clamp(min=1)
