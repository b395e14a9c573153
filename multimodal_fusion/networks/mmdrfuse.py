"""MMDRFuse's student: 113 parameters (Deng et al., "MMDRFuse: Distilled Mini-Model with Dynamic
Refresh for Multi-Modality Image Fusion", ACM Multimedia 2024)."""

import torch
from torch import Tensor, nn

OUTPUTS = ('tanh', 'linear')


class MMDRFuse(nn.Module):
    """Two reflect-padded 3x3 convolutions:

        h = relu(conv1([thermal, visible]))     2 -> 4 channels
        fused = output(conv2(h))                4 -> 1 channel

    output: ``tanh``, the paper's form, or ``linear``, to be clipped to [0, 1]. Clipping is left to
    `train.export.eight_bit`, so that the loss sees overshoot and can push it back.
    """

    kind = 'luma'

    def __init__(self, output: str = 'tanh'):
        super().__init__()
        if output not in OUTPUTS:
            raise ValueError(f'output must be one of {", ".join(OUTPUTS)}, got {output!r}')
        self.output = output
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1, padding_mode='reflect')
        self.conv2 = nn.Conv2d(4, 1, 3, padding=1, padding_mode='reflect')

    def forward(self, thermal: Tensor, visible: Tensor) -> Tensor:
        """thermal, visible: float (N, 1, H, W) in [0, 1], H and W at least 2.

        Returns float (N, 1, H, W), in (-1, 1) for tanh, unbounded for linear.
        """
        hidden = torch.relu(self.conv1(torch.cat((thermal, visible), dim=1)))
        fused = self.conv2(hidden)
        return torch.tanh(fused) if self.output == 'tanh' else fused

    @torch.no_grad()
    def start_at_maximum(self, noise: float = 0.0) -> 'MMDRFuse':
        """Set the weights to the pixel maximum, plus Gaussian noise of this standard deviation.

        Random starts end in poorer optima. The maximum is within reach exactly,
        max(t, v) = relu(t - v) + relu(v), and two hidden channels remain free. Under tanh they hold
        relu(t - 0.7) and relu(v - 0.7), to undo its bend: the least-squares fit over [0, 1]²
        tanh(1.13 max(t, v) + 2.29 (relu(t - 0.7) + relu(v - 0.7))) is off by 6 grey levels rms.
        The noise lets the other weights move. Draws from torch's global generator.
        """
        for parameter in self.parameters():
            parameter.normal_(0.0, noise) if noise else parameter.zero_()
        taps, out = self.conv1.weight[:, :, 1, 1], self.conv2.weight[0, :, 1, 1]
        taps[:2] += torch.tensor([[1.0, -1.0], [0.0, 1.0]])
        if self.output == 'linear':
            out[:2] += 1.0
        else:
            taps[2:] += torch.eye(2)
            self.conv1.bias[2:] -= 0.7
            out += torch.tensor([1.13, 1.13, 2.29, 2.29])
        return self
