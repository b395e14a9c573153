"""MobileFuse: a network that blends and never paints, 32,708 parameters.

Two streams of depthwise-separable convolutions, one a source, meet in the maximum of their
features; what follows turns these into a mask M in (0, 1), and the output is

    fused = thermal * M + visible * (1 - M)

so that every pixel lies between its two sources. The streams have weights of their own: after the
maximum nothing else tells which source a feature came from.

Everything is computed at half and quarter resolution (the strides of a MobileNet); the four masks
of each half-resolution pixel are its four pixels, so the mask itself has full resolution.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

OUTPUTS = ('blend', 'paint')


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A depthwise 3x3 and a pointwise convolution, each with batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Stream(nn.Module):
    """The features of one source: (N, 32, H/2, W/2) and (N, 64, H/4, W/4)."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.shallow = separable(16, 32)
        self.deep = nn.Sequential(separable(32, 64, 2), separable(64, 64))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        shallow = self.shallow(self.stem(image))
        return shallow, self.deep(shallow)


class MobileFuse(nn.Module):
    """The blender, or for comparison (``output='paint'``) the same network painting the image.

    The strides round odd sizes up, and what the upsampling adds beyond H and W is cut off.
    """

    kind = 'luma'

    def __init__(self, output: str = 'blend'):
        super().__init__()
        if output not in OUTPUTS:
            raise ValueError(f'output must be one of {", ".join(OUTPUTS)}, got {output!r}')
        self.output = output
        self.thermal, self.visible = Stream(), Stream()
        self.trunk = nn.Sequential(separable(64, 64), separable(64, 64))
        self.decoder = nn.Sequential(separable(96, 32), separable(32, 32))
        self.head = nn.Sequential(
            nn.Conv2d(32, 32, 3, 1, 1, groups=32), nn.Conv2d(32, 4, 1), nn.PixelShuffle(2)
        )

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """thermal, visible: float (N, 1, H, W) in [0, 1]. Returns the same, fused."""
        if self.output == 'paint':
            return torch.sigmoid(self.logits(thermal, visible))
        mask = self.mask(thermal, visible)
        return blend(thermal, visible, mask)

    def mask(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """M: how much of each pixel is thermal, float (N, 1, H, W) in (0, 1)."""
        return torch.sigmoid(self.logits(thermal, visible))

    def logits(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """What the sigmoid is taken of, float (N, 1, H, W)."""
        height, width = thermal.shape[2:]
        (shallow_t, deep_t), (shallow_v, deep_v) = self.thermal(thermal), self.visible(visible)
        shallow = torch.maximum(shallow_t, shallow_v)
        deep = self.trunk(torch.maximum(deep_t, deep_v))
        deep = F.interpolate(deep, scale_factor=2, mode='nearest')
        deep = deep[:, :, : shallow.shape[2], : shallow.shape[3]]
        logits = self.head(self.decoder(torch.cat((deep, shallow), dim=1)))
        return logits[:, :, :height, :width]


def blend(thermal: Tensor, visible: Tensor, mask: Tensor) -> Tensor:
    """Output = image1 × M + image2 × (1 - M), for images of one or three channels."""
    return thermal * mask + visible * (1 - mask)
