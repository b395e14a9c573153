r"""A network of one's own: anything that fuses (N, 1, H, W) in [0, 1] to the same.

python -m multimodal_fusion train fusion network=examples/own_network.py:Small \
    --data DATA --out runs/small
python -m multimodal_fusion fuse vis/ ir/ -o fused/ --model runs/small --allow-unlisted
"""

import torch
from torch import Tensor, nn


class Small(nn.Module):
    """Adds to the brighter source what three convolutions find."""

    def __init__(self, width: int = 8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, 3, padding=1, padding_mode='reflect'),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, padding_mode='reflect'),
            nn.ReLU(),
            nn.Conv2d(width, 1, 3, padding=1, padding_mode='reflect'),
        )

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        brighter = torch.maximum(thermal, visible)
        return brighter + self.layers(torch.cat((thermal, visible), 1))
