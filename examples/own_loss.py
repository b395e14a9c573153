r"""A loss, and a term, of one's own: functions of fused, thermal, visible: (N, 1, H, W) in [0, 1].

python -m multimodal_fusion train fusion loss=examples/own_loss.py:both --data DATA --out runs/both
python -m multimodal_fusion train fusion 'terms=[examples/own_loss.py:contrast]' \
    --data DATA --out runs/contrast
"""

from torch import Tensor

from multimodal_fusion.train.losses import fusion


def both(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """As near to the brighter source as to the structure of either."""
    near = fusion.intensity(fused, thermal, visible)
    return near + fusion.ssim(fused, thermal, visible)


def contrast(fused: Tensor, thermal: Tensor, visible: Tensor) -> Tensor:
    """How much less the fused image varies than the livelier source; 0 where it is as lively."""
    wanted = thermal.std((2, 3)).maximum(visible.std((2, 3)))
    return (wanted - fused.std((2, 3))).clamp(min=0).mean()
