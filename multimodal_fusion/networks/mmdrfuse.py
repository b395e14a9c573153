"""MMDRFuse's student, 113 parameters, and its teacher, 556,489 (Deng et al., "MMDRFuse: Distilled
Mini-Model with Dynamic Refresh for Multi-Modality Image Fusion", ACM Multimedia 2024).

Both also have ``buffered(thermal, visible)``, which returns (buffer, fused): the channels that the
last layer reads, (N, 4, H, W), not negative, for distillation, beside the fused image.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

OUTPUTS = ('tanh', 'linear')


def conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A reflect-padded 3x3 convolution."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, padding_mode='reflect')


class MMDRFuse(nn.Module):
    """Two reflect-padded 3x3 convolutions:

        h = relu(conv1([thermal, visible]))     2 -> 4 channels
        fused = output(conv2(h))                4 -> 1 channel

    output: ``tanh``, the paper's form, or ``linear``, to be clipped to [0, 1]. Clipping is left to
    `train.data.pairs.eight_bit`, so that the loss sees overshoot and can push it back.
    widths: channels of the hidden layers; other than (4,) for comparisons of size only.
    """

    kind = 'luma'

    def __init__(self, output: str = 'tanh', widths: tuple[int, ...] = (4,)):
        super().__init__()
        if output not in OUTPUTS:
            raise ValueError(f'output must be one of {", ".join(OUTPUTS)}, got {output!r}')
        self.output = output
        channels = (2, *widths, 1)
        self.depth = len(widths)
        for i in range(self.depth + 1):
            setattr(self, f'conv{i + 1}', conv(channels[i], channels[i + 1]))

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """thermal, visible: float (N, 1, H, W) in [0, 1], H and W at least 2.

        Returns float (N, 1, H, W), in (-1, 1) for tanh, unbounded for linear.
        """
        return self.buffered(thermal, visible)[1]

    def buffered(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden layer (N, C, H, W), and what `forward` returns."""
        hidden = torch.cat((thermal, visible), dim=1)
        for i in range(self.depth):
            hidden = torch.relu(getattr(self, f'conv{i + 1}')(hidden))
        fused = getattr(self, f'conv{self.depth + 1}')(hidden)
        return hidden, torch.tanh(fused) if self.output == 'tanh' else fused

    @torch.no_grad()
    def start_at_maximum(self, noise: float = 0.0) -> 'MMDRFuse':
        """Set the weights to the pixel maximum, plus Gaussian noise of this standard deviation.

        Random starts end in poorer optima. The maximum is within reach exactly,
        max(t, v) = relu(t - v) + relu(v), and two hidden channels remain free. Under tanh they hold
        relu(t - 0.7) and relu(v - 0.7), to undo its bend: the least-squares fit over [0, 1]²
        tanh(1.13 max(t, v) + 2.29 (relu(t - 0.7) + relu(v - 0.7))) is off by 6 grey levels rms.
        The noise lets the other weights move. Draws from torch's global generator.
        """
        if self.depth != 1 or self.conv1.out_channels < 4:
            raise ValueError('only a student of one hidden layer can start at the maximum')
        for parameter in self.parameters():
            parameter.normal_(0.0, noise) if noise else parameter.zero_()
        _add_maximum(self.conv1, self.conv2, self.output)
        return self


class MMDRFuseTeacher(nn.Module):
    """The teacher: convolutions as in `conv`, each with ReLU but the last, tanh.

    encoder    1: 2 -> 32    2: 32 -> 32    3: cat(1, 2), stride 2, 64 -> 64    4: 64 -> 64
               5: cat(3, 4), 128 -> 64      6: cat(3, 4, 5), 192 -> 64
    decoder    7: 64 -> 64   8, 9, 10: cat with 5, 4, 3, each 128 -> 64, then 2x bicubic
               11: cat with 2, 96 -> 32     12: cat with 1, 64 -> 4 (the buffer)    13: 4 -> 1

    The stride rounds odd sizes up, and what the upsampling adds beyond H and W is cut off.
    """

    kind = 'luma'
    output = 'tanh'

    def __init__(self):
        super().__init__()
        inputs = (2, 32, 64, 64, 128, 192, 64, 128, 128, 128, 96, 64, 4)
        outputs = (32, 32, 64, 64, 64, 64, 64, 64, 64, 64, 32, 4, 1)
        for i, (c, d) in enumerate(zip(inputs, outputs, strict=True), 1):
            setattr(self, f'conv{i}', conv(c, d, stride=2 if i == 3 else 1))

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """thermal, visible: float (N, 1, H, W) in [0, 1], H and W at least 3.

        Returns float (N, 1, H, W) in (-1, 1).
        """
        return self.buffered(thermal, visible)[1]

    def buffered(self, thermal: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """The 4-channel buffer (N, 4, H, W), and what `forward` returns."""

        def layer(i: int, *parts: Tensor) -> Tensor:
            return torch.relu(getattr(self, f'conv{i}')(torch.cat(parts, dim=1)))

        height, width = thermal.shape[2:]
        one = layer(1, thermal, visible)
        two = layer(2, one)
        three = layer(3, one, two)
        four = layer(4, three)
        five = layer(5, three, four)
        x = layer(7, layer(6, three, four, five))
        for i, skip in ((8, five), (9, four), (10, three)):
            x = layer(i, x, skip)
        x = F.interpolate(x, scale_factor=2, mode='bicubic', align_corners=False)
        x = layer(11, x[:, :, :height, :width], two)
        buffer = layer(12, x, one)
        return buffer, torch.tanh(self.conv13(buffer))

    @torch.no_grad()
    def start_at_maximum(self, noise: float = 0.0) -> 'MMDRFuseTeacher':
        """Let the skip from layer 1 to the buffer compute the maximum, as the student's start.

        All else keeps its random start; what it adds to the buffer begins at this noise. Some
        hundred steps on a CPU then do what takes the random start many thousands.
        """
        nn.init.zeros_(self.conv1.weight[:4])
        nn.init.zeros_(self.conv1.bias[:4])
        for last in (self.conv12, self.conv13):
            for parameter in last.parameters():
                parameter.normal_(0.0, noise) if noise else parameter.zero_()
        _add_maximum(self.conv1, self.conv13, self.output)
        self.conv12.weight[:, 32:36, 1, 1] += torch.eye(4)
        return self


def _add_maximum(first: nn.Conv2d, last: nn.Conv2d, output: str) -> None:
    """Add to the centre taps what `MMDRFuse.start_at_maximum` says."""
    taps, out = first.weight[:4, :, 1, 1], last.weight[0, :4, 1, 1]
    taps[:2] += torch.tensor([[1.0, -1.0], [0.0, 1.0]])
    if output == 'linear':
        out[:2] += 1.0
    else:
        taps[2:] += torch.eye(2)
        first.bias[2:4] -= 0.7
        out += torch.tensor([1.13, 1.13, 2.29, 2.29])
