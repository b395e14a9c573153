"""Fusion with a text prior (Zhang et al., "Distilling Textual Priors from LLM to Efficient Image
Fusion"): a transformer that is told in words what is wrong with its images, and the same network,
narrow, that is told nothing. Equation numbers are the paper's.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WINDOW = 8  # pixels, side of what attends to each other
REACH = 2  # pixels that a window sees beyond itself on each side: a half more, the overlap
HEAD = 16  # channels of a spatial head
SPATIAL_HEADS = (2, 2, 3, 4)
CHANNEL_HEADS = (1, 2, 4, 8)
LEVELS = 4
STEP = WINDOW * 2 ** (LEVELS - 1)  # sides must be multiples of it: they are padded to be


class Norm(nn.Module):
    """Layer normalisation over the channels of each pixel."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(1, keepdim=True)
        return x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt() * self.weight + self.bias


class Spatial(nn.Module):
    """Attention over the pixels of a window and of half a window more around it (eq. 4)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads, inner = heads, HEAD * heads
        self.mix = nn.Conv2d(channels, 3 * inner, 1, bias=False)
        self.leave = nn.Conv2d(inner, channels, 1, bias=False)
        seen = WINDOW + 2 * REACH
        self.place = nn.Parameter(torch.zeros(heads, WINDOW + seen - 1, WINDOW + seen - 1))
        nn.init.trunc_normal_(self.place, std=0.02)
        at, of = torch.arange(WINDOW)[:, None], torch.arange(seen)[None]
        apart = of - at + WINDOW - 1  # row of the table by rows of the two pixels
        rows = apart[:, None, :, None].expand(WINDOW, WINDOW, seen, seen).reshape(WINDOW**2, -1)
        columns = apart[None, :, None, :].expand(WINDOW, WINDOW, seen, seen).reshape(WINDOW**2, -1)
        self.register_buffer('index', rows * (WINDOW + seen - 1) + columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = HEAD * self.heads
        query, seen = self.mix(x).split((inner, 2 * inner), 1)
        count, _, height, width = x.shape
        down, across = height // WINDOW, width // WINDOW
        query = _tokens(_windows(query, down, across))
        key, value = _tokens(_around(seen, down, across)).chunk(2, 1)
        bias = self.place.flatten(1)[:, self.index]
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=bias[None])
        seen = seen.reshape(count, down, across, self.heads, WINDOW, WINDOW, HEAD)
        seen = seen.permute(0, 3, 6, 1, 4, 2, 5)
        return self.leave(seen.reshape(count, inner, height, width))


def _tokens(windows: Tensor) -> Tensor:
    """(N, C, down, across, h, w) to (N down across, heads of 16, h w, 16)."""
    size, heads = windows.shape[4] * windows.shape[5], windows.shape[1] // HEAD
    tokens = windows.permute(0, 2, 3, 4, 5, 1).reshape(-1, size, heads, HEAD)
    return tokens.transpose(1, 2)


def _windows(x: Tensor, down: int, across: int) -> Tensor:
    """(N, C, H, W) to (N, C, down, across, 8, 8)."""
    x = x.reshape(x.shape[0], x.shape[1], down, WINDOW, across, WINDOW)
    return x.transpose(3, 4)


def _around(x: Tensor, down: int, across: int) -> Tensor:
    """(N, C, H, W) to (N, C, down, across, 12, 12): each window with what surrounds it, 0 outside.

    By slices, which a model file can have for any size, unlike unfolding.
    """
    rest = WINDOW - 2 * REACH
    x = F.pad(x, (REACH, REACH + rest) * 2)
    x = _windows(x, down + 1, across + 1)
    x = torch.cat((x[:, :, :-1], x[:, :, 1:, :, : 2 * REACH]), 4)
    return torch.cat((x[:, :, :, :-1], x[:, :, :, 1:, :, : 2 * REACH]), 5)


class Channel(nn.Module):
    """Attention between the channels of a whole image (eq. 5; Restormer, Zamir et al., 2022)."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.scale = nn.Parameter(torch.ones(heads, 1, 1))
        self.mix = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.near = nn.Conv2d(
            3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False
        )
        self.leave = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        parts = self.near(self.mix(x)).reshape(count, 3, self.heads, -1, height * width)
        query, key, value = parts.unbind(1)
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        # The temperature goes into the query, so that the attention is scaled by 1 only.
        seen = F.scaled_dot_product_attention(query * self.scale, key, value, scale=1.0)
        return self.leave(seen.reshape(count, channels, height, width))


class FeedForward(nn.Module):
    """The gated one of Restormer."""

    def __init__(self, channels: int, expansion: float):
        super().__init__()
        hidden = int(channels * expansion)
        self.enter = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.near = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.leave = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, x = self.near(self.enter(x)).chunk(2, 1)
        return self.leave(F.gelu(gate) * x)


class Attention(nn.Module):
    """SSAB or TSAB: F + attention(LN(F)), then the same with the feed-forward (eq. 4, 5)."""

    def __init__(self, attend: nn.Module, channels: int, expansion: float):
        super().__init__()
        self.norm1, self.attend = Norm(channels), attend
        self.norm2, self.forth = Norm(channels), FeedForward(channels, expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.forth(self.norm2(x))


def ssab(channels: int, level: int, expansion: float) -> Attention:
    return Attention(Spatial(channels, SPATIAL_HEADS[level]), channels, expansion)


def tsab(channels: int, level: int, expansion: float) -> Attention:
    return Attention(Channel(channels, CHANNEL_HEADS[level]), channels, expansion)


def blocks(channels: int, level: int, expansion: float, count: int) -> nn.Sequential:
    """So many times SSAB, then TSAB (eq. 3)."""
    make = (ssab, tsab) * count
    return nn.Sequential(*(one(channels, level, expansion) for one in make))


class CrossFusion(nn.Module):
    """Two streams to one: each is what it sees in space beside what the other has in its channels
    (eq. 6 to 8)."""

    def __init__(self, channels: int, level: int, expansion: float):
        super().__init__()
        arguments = channels, level, expansion
        self.visible, self.thermal = ssab(*arguments), ssab(*arguments)
        self.of_visible, self.of_thermal = tsab(*arguments), tsab(*arguments)
        self.join_visible = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.join_thermal = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, visible: Tensor, thermal: Tensor) -> Tensor:
        own = torch.cat((self.visible(visible), self.of_thermal(thermal)), 1)
        other = torch.cat((self.thermal(thermal), self.of_visible(visible)), 1)
        return self.join_visible(own) + self.join_thermal(other)


class Concatenation(nn.Module):
    """The plain fusion that table IV compares with: both streams through one 1x1 layer."""

    def __init__(self, channels: int, level: int, expansion: float):
        super().__init__()
        self.join = nn.Conv2d(2 * channels, channels, 1, bias=False)

    def forward(self, visible: Tensor, thermal: Tensor) -> Tensor:
        return self.join(torch.cat((visible, thermal), 1))


FUSIONS = {'cross': CrossFusion, 'concatenation': Concatenation}


class Encoder(nn.Module):
    """One stream: features of the four levels, sides halved and channels doubled from each to the
    next."""

    def __init__(self, inputs: int, width: int, expansion: float, counts: Sequence[int]):
        super().__init__()
        self.embed = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
        self.levels = nn.ModuleList(
            blocks(width * 2**k, k, expansion, count) for k, count in enumerate(counts)
        )
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width * 2**k, width * 2**k // 2, 3, padding=1, bias=False),
                nn.PixelUnshuffle(2),
            )
            for k in range(LEVELS - 1)
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        found = [self.levels[0](self.embed(image))]
        for down, level in zip(self.down, self.levels[1:], strict=True):
            found.append(level(down(found[-1])))
        return found


class TextPrior(nn.Module):
    """The network: ``TextPrior(width, ...)(thermal, visible, text=None)``.

    width: channels at full size, a multiple of 8. expansion: of the feed-forward layers.
    counts: pairs of attention blocks a level. refinement: such pairs at the end. text: numbers of a
    text's embedding, 0 for a network that takes none. fusion: of `FUSIONS`. phrases: whose vectors
    it keeps beside its weights, so that it can be told them by name.

    With a text, each level's fused features become (1 + gamma(t)) F + beta(t) (eq. 9). The decoder
    goes up through blocks on what lies below beside the fused features (eq. 10), then refines and
    paints RGB (eq. 11). Its output is added to the pixel maximum as a colour image, so that it
    learns what the maximum lacks.
    """

    kind = 'colour'
    output = 'paint'

    def __init__(
        self,
        width: int = 16,
        expansion: float = 2.0,
        counts: Sequence[int] = (2, 2, 2, 2),
        refinement: int = 2,
        text: int = 0,
        fusion: str = 'cross',
        phrases: int = 0,
    ):
        super().__init__()
        self.width = width
        self.visible = Encoder(3, width, expansion, counts)
        self.thermal = Encoder(1, width, expansion, counts)
        sides = [width * 2**k for k in range(LEVELS)]
        self.fuse = nn.ModuleList(FUSIONS[fusion](c, k, expansion) for k, c in enumerate(sides))
        self.modulate = nn.ModuleList(nn.Linear(text, 2 * c) for c in sides) if text else None
        self.register_buffer('phrases', torch.zeros(phrases, text) if text else None)
        for layer in self.modulate or ():
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.coarsest = blocks(sides[-1], LEVELS - 1, expansion, counts[-1])
        self.up, self.join, self.levels = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for k in reversed(range(LEVELS - 1)):
            self.up.append(
                nn.Sequential(
                    nn.Conv2d(sides[k + 1], 4 * sides[k], 3, padding=1, bias=False),
                    nn.PixelShuffle(2),
                )
            )
            # The finest level keeps what came up beside the skip, as in Restormer.
            below = sides[k] if k else 2 * width
            self.join.append(nn.Conv2d(2 * below, below, 1, bias=False) if k else nn.Identity())
            self.levels.append(blocks(below, k, expansion, counts[k]))
        self.refine = blocks(below, 0, expansion, refinement)
        self.paint = nn.Conv2d(below, 3, 3, padding=1)
        nn.init.zeros_(self.paint.weight)  # it begins at the maximum
        nn.init.zeros_(self.paint.bias)

    @property
    def texts(self) -> int:
        """Numbers of the embedding that it takes, 0 for none."""
        return self.modulate[0].in_features if self.modulate is not None else 0

    def forward(self, thermal: Tensor, visible: Tensor, text: Tensor | None = None) -> Tensor:
        """thermal: float (N, 1, H, W). visible: (N, 3, H, W), RGB, or (N, 1, H, W), grey; both in
        [0, 1]. text: (N, texts), or None for no text.

        Returns float (N, 3, H, W), RGB, unbounded.
        """
        return self.painted(thermal, visible, text)[0]

    def painted(
        self, thermal: Tensor, visible: Tensor, text: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """As `forward`, and the decoder's features, coarse to fine, of padded sides: for eq. 17."""
        height, width = thermal.shape[2:]
        visible = visible.expand(-1, 3, -1, -1)
        more = (0, -width % STEP, 0, -height % STEP)
        thermal, visible = (_repeated(image, more) for image in (thermal, visible))
        streams = zip(self.fuse, self.visible(visible), self.thermal(thermal), strict=True)
        fused = [fuse(a, b) for fuse, a, b in streams]
        if self.modulate is not None and text is not None:
            changes = (layer(text)[:, :, None, None].chunk(2, 1) for layer in self.modulate)
            fused = [(1 + a) * x + b for x, (a, b) in zip(fused, changes, strict=True)]
        x = self.coarsest(fused[-1])
        features = [x]
        decoder = zip(self.up, self.join, self.levels, fused[-2::-1], strict=True)
        for up, join, level, skip in decoder:
            x = level(join(torch.cat((up(x), skip), 1)))
            features.append(x)
        change = self.paint(self.refine(x))
        return (maximum(thermal, visible) + change)[:, :, :height, :width], features


def _repeated(image: Tensor, more: Sequence[int]) -> Tensor:
    """Padded at the right and the bottom by the last column and row, however far."""
    height, width = image.shape[2:]
    rows = torch.arange(height + more[3], device=image.device).clamp(max=height - 1)
    columns = torch.arange(width + more[1], device=image.device).clamp(max=width - 1)
    return image[:, :, rows][:, :, :, columns]


def maximum(thermal: Tensor, visible: Tensor) -> Tensor:
    """The pixel maximum of thermal and luma with the visible image's colour, (N, 3, H, W)."""
    grey = (visible * visible.new_tensor((0.299, 0.587, 0.114)).view(1, 3, 1, 1)).sum(1, True)
    return visible + torch.relu(thermal - grey)


def parts(network: TextPrior) -> dict[str, int]:
    """Parameters of each part."""
    groups = {
        'encoders': (network.visible, network.thermal),
        'fusion': (network.fuse,),
        'text': (network.modulate,),
        'decoder': (network.coarsest, network.up, network.join, network.levels),
        'refinement': (network.refine, network.paint),
    }
    return {
        name: sum(p.numel() for m in modules if m is not None for p in m.parameters())
        for name, modules in groups.items()
    }


def teacher(text: int = 512, width: int = 48) -> TextPrior:
    """The paper's: text-guided, 40.3M parameters there."""
    return TextPrior(width, 2.66, refinement=4, text=text)
