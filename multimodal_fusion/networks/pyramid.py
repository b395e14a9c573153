"""A student of 100 parameters with a view of the scene: MMDRFuse's two layers decide how much of
each image's detail is added to the maximum of what medians leave. This package's own."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BLOCK = 4  # pixels, side of the blocks that gains are decided for
FAINT = 0.5 / 255  # deviations: below it nothing is a detail,
WEAK = 8 / 255  # half way between faint and strong,
STILL = 2 / 255  # and what is hardly held back
TINY = 1e-8  # variance, of a fortieth of a grey level


class MMDRFusePyramid(nn.Module):
    """The bands of a multiresolution median transform (Starck, Murtagh and Bijaoui, 1998):

        m_0 = S,  m_k = median of 3x3 pixels of m_{k-1} that lie 2^(k-1) apart,  d_k = m_{k-1} - m_k

    for S thermal and visible. A median keeps straight edges, so that d holds strokes, lamps and
    texture but no step, and adding it makes no halo. With e_k the local mean of d_k^2, M the pixel
    maximum of the two last medians and G the gap between these two, for each band

        h   = relu(enter(x) + level_k)         5 -> hidden, on blocks of 4x4 pixels
        g   = leave(h)                         hidden -> gain of thermal, of visible, of the gap
        F'  = M + sum_k g_T d_T + g_V d_V - g_G G

    where x = e_T / max(e), e_V / max(e), e_{T+V} / 4 max(e), max(e) / (max(e) + WEAK^2), M. What is
    fused has then no more contrast than ``limit`` times the stronger source around a pixel:

        F   = mean(F') + min(1, (limit max(s_T, s_V) + STILL) / (s_F' + STILL)) (F' - mean(F'))

    with local means and deviations s. The layers see no neighbours: local means are taken by
    `pooled`, and what is decided for a block is interpolated. Flat equal images keep their value.
    """

    kind = 'luma'
    output = 'linear'

    def __init__(self, levels: int = 4, hidden: int = 8):
        """hidden: 2 or more."""
        super().__init__()
        self.enter = nn.Conv2d(5, hidden, 1, bias=False)
        self.level = nn.ParameterList(torch.zeros(hidden, 1, 1) for _ in range(levels))
        self.leave = nn.Conv2d(hidden, 3, 1)
        self.limit = nn.Parameter(torch.ones(()))

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """thermal, visible: float (N, 1, H, W) in [0, 1].

        Returns float (N, 1, H, W), unbounded.
        """
        sources = smooth = torch.cat((thermal, visible), dim=1)
        details = []
        for k in range(len(self.level)):
            finer, smooth = smooth, median(smooth, 2**k)
            details.append(finer - smooth)
        fused = smooth.amax(1, keepdim=True)
        gap, brightness = fused - smooth.amin(1, keepdim=True), pooled(fused)
        for detail, level in zip(details, self.level, strict=True):
            both = detail.sum(1, keepdim=True)
            energy, common = pooled(torch.cat((detail, both), 1).square()).split((2, 1), dim=1)
            most = energy.amax(1, keepdim=True)
            floor = FAINT**2
            shares = (energy + floor) / (most + floor), common / (4 * most + floor)
            strength = most / (most + WEAK**2)
            hidden = torch.relu(self.enter(torch.cat((*shares, strength, brightness), 1)) + level)
            gains = spread(self.leave(hidden), detail)
            fused = fused + (gains * torch.cat((detail, -gap), 1)).sum(1, keepdim=True)
        return self._held_back(fused, sources)

    def _held_back(self, fused: Tensor, sources: Tensor) -> Tensor:
        images = torch.cat((sources, fused), 1)
        mean = pooled(images)
        deviation = (pooled(images.square()) - mean.square()).clamp(min=TINY).sqrt()
        most, own = deviation[:, :2].amax(1, keepdim=True), deviation[:, 2:]
        share = ((self.limit * most + STILL) / (own + STILL)).clamp(max=1)
        share, mean = spread(torch.cat((share, mean[:, 2:]), 1), fused).split(1, dim=1)
        return mean + share * (fused - mean)

    @torch.no_grad()
    def start_at_shares(self, noise: float = 0.0) -> 'MMDRFusePyramid':
        """Set the weights so that a detail's gain is its share e_S / max(e), plus Gaussian noise of
        this standard deviation. Draws from torch's global generator."""
        for parameter in self.parameters():
            parameter.normal_(0.0, noise) if noise else parameter.zero_()
        self.limit += 1.0
        for layer in (self.enter, self.leave):
            for i in range(2):
                layer.weight[i, i] += 1.0
        return self


def median(images: Tensor, apart: int) -> Tensor:
    """Of the 3x3 pixels around each that lie so many pixels apart; the edge is repeated.

    By minima and maxima alone: the columns are sorted first (Devillard, 1998).
    """
    height, width = images.shape[2:]
    padded = F.pad(images, (apart,) * 4, mode='replicate')
    rows = [padded[:, :, i * apart : i * apart + height] for i in range(3)]
    low = torch.minimum(torch.minimum(rows[0], rows[1]), rows[2])
    high = torch.maximum(torch.maximum(rows[0], rows[1]), rows[2])
    lows, middles, highs = (
        [part[..., i * apart : i * apart + width] for i in range(3)]
        for part in (low, _middle(*rows), high)
    )
    low = torch.maximum(torch.maximum(lows[0], lows[1]), lows[2])
    high = torch.minimum(torch.minimum(highs[0], highs[1]), highs[2])
    return _middle(low, _middle(*middles), high)


def _middle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


def pooled(images: Tensor) -> Tensor:
    """Means over blocks of 4x4 pixels, smoothed by (1, 2, 1) / 4 along each axis.

    (N, C, H, W) to (N, C, ceil(H / 4), ceil(W / 4)); the edge is repeated.
    """
    channels = images.shape[1]
    blocks = F.avg_pool2d(F.pad(images, (0, BLOCK - 1) * 2, mode='replicate'), BLOCK)
    taps = images.new_tensor((1.0, 2.0, 1.0)) / 4
    blocks = F.pad(blocks, (1,) * 4, mode='replicate')
    blocks = F.conv2d(blocks, taps.expand(channels, 1, 1, 3), groups=channels)
    return F.conv2d(blocks, taps.view(3, 1).expand(channels, 1, 3, 1), groups=channels)


def spread(blocks: Tensor, like: Tensor) -> Tensor:
    """The inverse step: interpolated between the centres of the blocks to the height and width of
    ``like``."""
    pixels = F.interpolate(blocks, scale_factor=float(BLOCK), mode='bilinear', align_corners=False)
    return pixels[:, :, : like.shape[2], : like.shape[3]]
