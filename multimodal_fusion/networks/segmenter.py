"""A compact segmentation network: a MobileNet-like encoder, added up from coarse to fine."""

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (16, 32, 64, 96)  # channels at strides 2, 4, 8 and 16


def _layer(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.SiLU(inplace=True),
    )


class Residual(nn.Module):
    """Wider, 3x3 in each channel, narrow again, added to what came in (MobileNetV2)."""

    def __init__(self, channels: int, dilation: int = 1):
        super().__init__()
        wide = 3 * channels
        self.body = nn.Sequential(
            _layer(channels, wide),
            nn.Conv2d(wide, wide, 3, 1, dilation, dilation, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.SiLU(inplace=True),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Segmenter(nn.Module):
    """``Segmenter(classes)(images)``: RGB (N, 3, H, W) in [0, 1] to logits (N, classes, H, W)."""

    def __init__(self, classes: int):
        super().__init__()
        self.levels, self.sides = nn.ModuleList(), nn.ModuleList()
        inputs = 3
        for k, width in enumerate(WIDTHS):
            coarsest = k == len(WIDTHS) - 1
            more = [Residual(width), *[Residual(width, 2)] * coarsest] if k else []
            self.levels.append(nn.Sequential(_layer(inputs, width, 3, 2), *more))
            self.sides.append(_layer(width, WIDTHS[1]))
            inputs = width
        self.leave = nn.Sequential(
            _layer(WIDTHS[1], WIDTHS[1], 3), nn.Conv2d(WIDTHS[1], classes, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        x, found = images - 0.5, []
        for level, side in zip(self.levels, self.sides, strict=True):
            x = level(x)
            found.append(side(x))
        x = found.pop()
        while found:
            finer = found.pop()
            x = finer + F.interpolate(x, finer.shape[2:], mode='bilinear', align_corners=False)
        size = images.shape[2:]
        return F.interpolate(self.leave(x), size, mode='bilinear', align_corners=False)
