"""A small anchor-free detector of the YOLO family, about a million parameters.

    stem, four stages           features at strides 8, 16 and 32
    top-down, then bottom-up    a path-aggregation neck (Liu et al., CVPR 2018)
    decoupled head              one branch for the box, one for the classes (YOLOX, Ge et al. 2021)

Every cell of every stride gives one box, as in YOLOX: its centre relative to the cell, and the
logarithm of its size in strides. There is no objectness: the class scores carry the quality of the
box, which the task-aligned assignment of `train.assign` teaches them.
"""

import itertools
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDES = (8, 16, 32)
_LARGEST = 6.0  # logarithm of the largest size in strides


class Conv(nn.Sequential):
    """Convolution, batch normalisation, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
            nn.SiLU(inplace=True),
        )


class Split(nn.Module):
    """A cross-stage-partial block: half of the channels go through two more 3x3 convolutions."""

    def __init__(self, inputs: int, outputs: int, residual: bool):
        super().__init__()
        half = outputs // 2
        self.enter = Conv(inputs, outputs)
        self.body = nn.Sequential(Conv(half, half, 3), Conv(half, half, 3))
        self.leave = Conv(outputs + half, outputs)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        half = x.chunk(2, 1)[1]
        deep = self.body(half)
        return self.leave(torch.cat((x, half + deep if self.residual else deep), 1))


class Pool(nn.Module):
    """Three 5x5 max pools in a row, all seen at once: context far beyond the stride."""

    def __init__(self, channels: int):
        super().__init__()
        self.enter = Conv(channels, channels // 2)
        self.leave = Conv(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        seen = [self.enter(x)]
        for _ in range(3):
            seen.append(F.max_pool2d(seen[-1], 5, 1, 2))
        return self.leave(torch.cat(seen, 1))


class Head(nn.Module):
    """Box (4) and class logits of one stride."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.box = nn.Sequential(Conv(channels, channels, 3), nn.Conv2d(channels, 4, 1))
        self.kind = nn.Sequential(Conv(channels, channels, 3), nn.Conv2d(channels, classes, 1))
        nn.init.zeros_(self.box[-1].bias)
        nn.init.constant_(self.box[-1].bias[2:], 1.0)  # e strides: near the middle of what it sees
        nn.init.constant_(self.kind[-1].bias, -math.log(99))  # one in a hundred cells at first

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((self.box(x), self.kind(x)), 1).flatten(2)


class Yolo(nn.Module):
    """The network. widths: channels of the stem and the four stages. neck: of neck and heads."""

    kind = 'detector'

    def __init__(
        self,
        classes: int = 2,
        widths: tuple[int, ...] = (16, 32, 64, 96, 160),
        neck: int = 64,
    ):
        super().__init__()
        self.classes = classes
        self.stem = Conv(3, widths[0], 3, 2)
        self.stages = nn.ModuleList(
            nn.Sequential(Conv(a, b, 3, 2), Split(b, b, residual=True))
            for a, b in itertools.pairwise(widths)
        )
        self.pool = Pool(widths[-1])
        self.lateral = nn.ModuleList(Conv(width, neck) for width in widths[2:])
        self.down = nn.ModuleList(Conv(neck, neck, 3, 2) for _ in STRIDES[1:])
        self.merge = nn.ModuleList(Split(2 * neck, neck, residual=False) for _ in range(4))
        self.heads = nn.ModuleList(Head(neck, classes) for _ in STRIDES)

    def forward(self, images: Tensor) -> Tensor:
        """images: float (N, 3, H, W), RGB in [0, 1], H and W multiples of 32.

        Returns (N, 4 + classes, cells): centre offset and log size in strides, class logits; the
        cells of stride 8 first, row by row.
        """
        x = self.stages[0](self.stem(images))
        levels = []
        for stage in self.stages[1:]:
            x = stage(x)
            levels.append(x)
        levels[-1] = self.pool(levels[-1])
        fine, middle, coarse = (f(x) for f, x in zip(self.lateral, levels, strict=True))
        middle = self.merge[0](torch.cat((middle, F.interpolate(coarse, scale_factor=2.0)), 1))
        fine = self.merge[1](torch.cat((fine, F.interpolate(middle, scale_factor=2.0)), 1))
        middle = self.merge[2](torch.cat((middle, self.down[0](fine)), 1))
        coarse = self.merge[3](torch.cat((coarse, self.down[1](middle)), 1))
        parts = [head(x) for head, x in zip(self.heads, (fine, middle, coarse), strict=True)]
        return torch.cat(parts, 2)


def cells(height: int, width: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Of every cell: its centre (x, y) in pixels, (2, cells), and its stride, (cells,)."""
    centres, strides = [], []
    for stride in STRIDES:
        y = (torch.arange(height // stride, device=device) + 0.5) * stride
        x = (torch.arange(width // stride, device=device) + 0.5) * stride
        # By arithmetic: with len, expand or full_like the exporter would fix the sizes.
        wide, high = x[None] + 0 * y[:, None], y[:, None] + 0 * x[None]
        centres.append(torch.stack((wide.flatten(), high.flatten())))
        strides.append(0 * wide.flatten() + stride)
    return torch.cat(centres, 1), torch.cat(strides)


def decode(raw: Tensor, centres: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """What `Yolo` returns to boxes (N, 4, cells) as cx, cy, w, h in pixels, and logits."""
    centre = centres + raw[:, :2] * strides
    size = raw[:, 2:4].clamp(max=_LARGEST).exp() * strides
    return torch.cat((centre, size), 1), raw[:, 4:]


class Exported(nn.Module):
    """The network as a model file has it: boxes cx, cy, w, h in pixels above class scores."""

    def __init__(self, network: Yolo):
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """images: as for `Yolo`. Returns float (N, 4 + classes, cells), scores in [0, 1]."""
        grid = cells(images.shape[2], images.shape[3], images.device)
        boxes, logits = decode(self.network(images), *grid)
        return torch.cat((boxes, logits.sigmoid()), 1)
