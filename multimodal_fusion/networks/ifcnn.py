"""IFCNN with elementwise maximum (Zhang et al., "IFCNN: A general image fusion framework based on
convolutional neural network", Information Fusion 54, 2020), written anew.

    features(x) = CONV2(CONV1(x))          7x7 3 -> 64 (ResNet's first layer), 3x3 64 -> 64
    fused = CONV4(CONV3(max(features(thermal), features(visible))))     3x3 64 -> 64, 1x1 64 -> 3

CONV2 and CONV3 have batch normalisation and ReLU. Both sources go through the same weights, which
gives the 83,587 parameters of the published form. Counted once for each source, CONV1 and CONV2
(46,400) make it 129,987: the 130K that MobileFuse's authors give.

Here CONV1 is trained with the rest instead of taken from a ResNet. Grey images go in as three equal
channels, as the authors' program does it, and the mean of the three that come out is the result.
"""

import torch
from torch import Tensor, nn


class IFCNN(nn.Module):
    """IFCNN-MAX for two grey images."""

    kind = 'luma'

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, padding=3, padding_mode='replicate', bias=False)
        self.conv2 = _block(64, 64)
        self.conv3 = _block(64, 64)
        self.conv4 = nn.Conv2d(64, 3, 1)

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """thermal, visible: float (N, 1, H, W) in [0, 1]. Returns float (N, 1, H, W), unbounded."""
        features = torch.maximum(self.features(thermal), self.features(visible))
        return self.conv4(self.conv3(features)).mean(1, keepdim=True)

    def features(self, image: Tensor) -> Tensor:
        """(N, 64, H, W) of one source."""
        return self.conv2(self.conv1(image.expand(-1, 3, -1, -1)))


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode='replicate', bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
