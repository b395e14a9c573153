"""The terms of the search space by hand, and the loss of segmentation."""

import math

import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.io.mask_files import IGNORE
from multimodal_fusion.train.losses.search_space import FIXED, NAMES, PLAIN, saliency
from multimodal_fusion.train.losses.segmentation import segmentation_loss


def flat(level):
    return torch.full((2, 1, 16, 16), level)


def test_seventeen_terms_two_of_them_fixed():
    assert len(NAMES) == 17 and set(FIXED) < set(NAMES) and len(PLAIN) == 15


def test_terms_of_flat_images_by_hand():
    """F 0.5, T 0.3, V 0.9: distances 0.2, 0.4 and 0.4 to the maximum; no gradient, no saliency."""
    found = {name: float(term(flat(0.5), flat(0.3), flat(0.9))) for name, term in PLAIN.items()}
    for name, gap in (('ir', 0.2), ('vis', 0.4), ('max', 0.4)):
        assert found[f'l1_{name}'] == pytest.approx(gap, abs=1e-6)
        assert found[f'mse_{name}'] == pytest.approx(gap**2, abs=1e-6)
        assert found[f'gradient_{name}'] == pytest.approx(0, abs=1e-6)
    assert found['l1_salient_ir'] == found['mse_salient_vis'] == 0
    assert found['ssim_ir'] == pytest.approx(1 - (0.3 + 1e-4) / (0.25 + 0.09 + 1e-4), abs=1e-4)


def test_saliency_of_two_levels():
    """Of 256 pixels 64 are at 200 and 192 at 100: a pixel at 200 is 100 from 192 others, one at 100
    is 100 from 64: 1 and a third."""
    image = torch.full((1, 1, 16, 16), 100 / 255)
    image[..., :4] = 200 / 255
    mask = saliency(image)
    assert mask[0, 0, 0, 0] == 1 and mask[0, 0, 0, 8] == pytest.approx(1 / 3, abs=1e-6)
    salient = PLAIN['l1_salient_ir'](image * 0, image, image)
    assert float(salient) == pytest.approx((200 + 3 * 100 / 3) / 4 / 255, abs=1e-5)


def test_terms_have_gradients_and_vanish_at_their_own_image():
    torch.manual_seed(0)
    thermal, visible = torch.rand(2, 2, 1, 24, 24)
    at = {'ir': thermal, 'vis': visible, 'max': torch.maximum(thermal, visible)}
    for name, term in PLAIN.items():
        source = name.rpartition('_')[2]
        if name != 'gradient_max':  # the steeper of two gradients is that of no image
            assert float(term(at[source], thermal, visible)) == pytest.approx(0, abs=1e-5)
        fused = torch.rand(2, 1, 24, 24, requires_grad=True)
        assert torch.autograd.grad(term(fused, thermal, visible), fused)[0].abs().sum() > 0


def test_saliency_is_kept_while_its_image_is():
    image = torch.rand(1, 1, 16, 16)
    found = saliency(image)
    assert saliency(image) is found
    other = image.clone()
    assert saliency(other) is not found and torch.equal(saliency(other), found)


def test_segmentation_by_hand():
    """Two classes, four pixels, one of them unknown. Sure and right: no loss. Undecided: log 2, and
    a Dice of (2 n/2 + 1) / (3/2 + n + 1) for n known pixels of a class: 2/3.5 and 3/4.5."""
    masks = torch.tensor([[[0, 1], [1, IGNORE]]])
    right = torch.zeros(1, 2, 2, 2)
    right[0, 0, 0, 0] = right[0, 1, 0, 1] = right[0, 1, 1, 0] = 50.0
    assert float(segmentation_loss(right, masks)) == pytest.approx(0, abs=1e-5)
    expected = math.log(2) + 1 - (2 / 3.5 + 3 / 4.5) / 2
    assert float(segmentation_loss(right * 0, masks)) == pytest.approx(expected, abs=1e-5)
    nothing = torch.full_like(masks, IGNORE)
    assert torch.isfinite(segmentation_loss(right, nothing))
