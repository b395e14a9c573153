"""The mini-model as PyTorch runs it by itself, layer by layer: what it is compared with."""

from collections.abc import Callable

import numpy as np
import torch

from ..fusers.kernel.weights import TwoLayer
from ..networks.mmdrfuse import MMDRFuse
from ..train.data.pairs import eight_bit


def eager(weights: TwoLayer) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """(visible, thermal) to fused, each uint8 (H, W); inside, float NCHW on the CPU.

    The number of threads is torch's, `torch.set_num_threads`.
    """
    network = MMDRFuse('tanh' if weights.tanh else 'linear').eval()
    network.load_state_dict(
        {
            'conv1.weight': torch.tensor(weights.first),
            'conv1.bias': torch.tensor(weights.bias),
            'conv2.weight': torch.tensor(weights.second),
            'conv2.bias': torch.tensor(weights.last_bias),
        }
    )

    @torch.inference_mode()
    def run(visible: np.ndarray, thermal: np.ndarray) -> np.ndarray:
        sources = (torch.from_numpy(x)[None, None].float() / 255 for x in (thermal, visible))
        return eight_bit(network(*sources))[0, 0].numpy()

    return run


def set_threads(count: int) -> None:
    """How many threads PyTorch computes with."""
    torch.set_num_threads(count)
