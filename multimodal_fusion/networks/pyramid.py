"""A student with a view of the scene: MMDRFuse's two layers on the bands of a Laplacian pyramid
(Burt and Adelson, 1983) instead of on pixels. This package's own; 354 parameters."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .mmdrfuse import MMDRFuse

TAPS = (1.0, 4.0, 6.0, 4.0, 1.0)  # binomial, of sum 16
SHARE = 0.2  # of each detail that the start adds to the maximum


class MMDRFusePyramid(nn.Module):
    """The coarsest images are fused by the 113-parameter student; each band is then added by

        u   = up(fused image of the next coarser level)
        d_S = S - up(down(S)),  r_S = S - u,      S thermal and visible
        h   = relu(detail1(d) + local(r))         2 -> hidden, 3x3 and 1x1
        F   = u + detail2(h)                      hidden -> 1, 3x3

    with the same weights at every level. r says what the coarse image lacks, so that the pixel
    maximum, u + max(r), is within reach and has no halos; d is what may be added to it. All padding
    repeats the edge; the output is linear, to be clipped to [0, 1]. Images of a level have half the
    sides of the one below, rounded up.
    """

    kind = 'luma'
    output = 'linear'

    def __init__(self, levels: int = 3, hidden: int = 8):
        """hidden: 7 or more."""
        super().__init__()
        self.levels = levels
        self.base = MMDRFuse('linear')
        self.detail1 = nn.Conv2d(2, hidden, 3)
        self.local = nn.Conv2d(2, hidden, 1, bias=False)
        self.detail2 = nn.Conv2d(hidden, 1, 3)

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """thermal, visible: float (N, 1, H, W) in [0, 1], H and W at least 2^(levels + 1) - 3.

        Returns float (N, 1, H, W), unbounded.
        """
        images = [torch.cat((thermal, visible), dim=1)]
        for _ in range(self.levels):
            images.append(down(images[-1]))
        fused = self.base(*images[-1].split(1, dim=1))
        for image, coarser in zip(images[-2::-1], images[:0:-1], strict=True):
            coarse = up(fused, image)
            detail = image - up(coarser, image)
            hidden = torch.relu(self.detail1(_padded(detail, 1)) + self.local(image - coarse))
            fused = coarse + self.detail2(_padded(hidden, 1))
        return fused

    @torch.no_grad()
    def start_at_maximum(self, noise: float = 0.0) -> 'MMDRFusePyramid':
        """Set the weights to u + max(r) and a fifth of both details, plus Gaussian noise of this
        standard deviation. Draws from torch's global generator.

        max(r_T, r_V) = relu(r_T - r_V) + relu(r_V) - relu(-r_V); details take a pair of hidden
        channels for each sign.
        """
        self.base.start_at_maximum(noise)
        for layer in (self.detail1, self.local, self.detail2):
            for parameter in layer.parameters():
                parameter.normal_(0.0, noise) if noise else parameter.zero_()
        out = self.detail2.weight[0, :, 1, 1]
        self.local.weight[:3, :, 0, 0] += torch.tensor([[1.0, -1.0], [0.0, 1.0], [0.0, -1.0]])
        out[:3] += torch.tensor([1.0, 1.0, -1.0])
        signs = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        self.detail1.weight[3:7, :, 1, 1] += signs
        out[3:7] += SHARE * torch.tensor([1.0, -1.0, 1.0, -1.0])
        return self


def down(images: Tensor) -> Tensor:
    """Binomial 5x5 means at every second pixel: (N, C, H, W) to (N, C, ceil(H/2), ceil(W/2))."""
    row, column = _taps(images, 16.0)
    images = F.conv2d(_padded(images, 2), row, stride=(1, 2), groups=images.shape[1])
    return F.conv2d(images, column, stride=(2, 1), groups=images.shape[1])


def up(images: Tensor, like: Tensor) -> Tensor:
    """The inverse step: interpolated by the same taps to the height and width of ``like``.

    Even pixels are (1, 6, 1) / 8 of their neighbours, odd ones (1, 1) / 2, along each axis.
    """
    row, column = _taps(images, 8.0)
    images = _padded(images, 1)
    images = F.conv_transpose2d(images, row, stride=(1, 2), groups=images.shape[1])
    images = F.conv_transpose2d(images, column, stride=(2, 1), groups=images.shape[1])
    return images[:, :, 4 : 4 + like.shape[2], 4 : 4 + like.shape[3]]


def _taps(images: Tensor, total: float) -> tuple[Tensor, Tensor]:
    """Depthwise, along rows and along columns."""
    taps = images.new_tensor(TAPS) / total
    channels = images.shape[1]
    return taps.expand(channels, 1, 1, 5), taps.view(5, 1).expand(channels, 1, 5, 1)


def _padded(images: Tensor, sides: int) -> Tensor:
    return F.pad(images, (sides,) * 4, mode='replicate')
