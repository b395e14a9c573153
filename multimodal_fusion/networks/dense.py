"""The fusion network of the loss search CAF (Liu et al., IJCAI 2024): dense blocks, batch norm."""

import torch
from torch import Tensor, nn

WIDTH = 32  # channels between blocks: 16 of each source
SLOPE = 0.2


def _layer(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(SLOPE),
    )


class DenseBlock(nn.Module):
    """Two layers that see all before them, and a 1x1 layer back to the width."""

    def __init__(self):
        super().__init__()
        self.first, self.second = _layer(WIDTH, WIDTH), _layer(2 * WIDTH, WIDTH)
        self.join = _layer(3 * WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat((x, self.first(x)), 1)
        return self.join(torch.cat((seen, self.second(seen)), 1))


def _encoder() -> nn.Sequential:
    half = WIDTH // 2
    return nn.Sequential(
        nn.Conv2d(1, half, 3, padding=1),
        nn.LeakyReLU(SLOPE),
        _layer(half, half),
        _layer(half, half),
    )


class DenseFusion(nn.Module):
    """``DenseFusion()(thermal, visible)``, 140 thousand parameters: two encoders of 16 channels,
    three dense blocks of 32, a head of 64, 32 and 1, tanh.

    Images are float (N, 1, H, W) in [0, 1]; so is the result, (1 + tanh) / 2.
    """

    kind = 'luma'
    output = 'tanh'

    def __init__(self):
        super().__init__()
        self.thermal, self.visible = _encoder(), _encoder()
        self.blocks = nn.Sequential(DenseBlock(), DenseBlock(), DenseBlock())
        self.head = nn.Sequential(
            _layer(WIDTH, 64), _layer(64, 32), nn.Conv2d(32, 1, 3, padding=1), nn.Tanh()
        )

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        features = torch.cat((self.thermal(thermal), self.visible(visible)), 1)
        return (1 + self.head(self.blocks(features))) / 2
