"""The convolutions of VGG-19 as a fixed judge of images (Simonyan and Zisserman, 2015)."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError, told

BLOCKS = (2, 2, 4, 4, 4)  # convolutions of each block; features are taken after its last one
CHANNELS = (64, 128, 256, 512, 512)
# Of RGB in [0, 1], as torchvision's weights expect it.
TORCHVISION_MEAN, TORCHVISION_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)  # of BGR in [0, 255]
BESIDE = 'weights/vgg19_conv_fp16.npz'  # the data
ARCHIVE = (zipfile.BadZipFile, pickle.UnpicklingError)  # errors of broken files


class VGG19(nn.Module):
    """Features relu1_2, relu2_2, relu3_4, relu4_4 and relu5_4 of grey images.

    mean, scale: per input channel; the network sees ``image * scale - mean``. Nothing is trained.
    """

    def __init__(self, weights: dict[str, Tensor], mean: list[float], scale: list[float]):
        super().__init__()
        self.register_buffer('mean', torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer('scale', torch.tensor(scale).view(1, 3, 1, 1))
        for name, value in weights.items():
            value = value.float()
            if value.ndim == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            self.register_buffer(name.replace('.', '_'), value)

    def forward(self, image: Tensor, levels: int = 5) -> list[Tensor]:
        """image: float (N, 1, H, W) in [0, 1], H and W at least 16.

        Returns the first ``levels`` features, (N, C, H / 2^i, W / 2^i).
        """
        x = (image * self.scale - self.mean).contiguous(memory_format=torch.channels_last)
        features = []
        for block in range(levels):
            x = F.max_pool2d(x, 2) if block else x
            for i in range(1, BLOCKS[block] + 1):
                x = self._layer(x, block, i)
            features.append(x)
        return features

    def first_layers(self, image: Tensor) -> list[Tensor]:
        """Features after the first convolution of each block, relu1_1 to relu5_1, as `forward`."""
        x = (image * self.scale - self.mean).contiguous(memory_format=torch.channels_last)
        features = []
        for block, count in enumerate(BLOCKS):
            x = F.max_pool2d(x, 2) if block else x
            for i in range(1, count + 1 if block < len(BLOCKS) - 1 else 2):
                x = self._layer(x, block, i)
                if i == 1:
                    features.append(x)
        return features

    def _layer(self, x: Tensor, block: int, number: int) -> Tensor:
        name = f'conv{block + 1}_{number}'
        weight, bias = getattr(self, f'{name}_weight'), getattr(self, f'{name}_bias')
        return F.relu(F.conv2d(x, weight, bias, padding=1))

    @classmethod
    def load(cls, path: Path) -> 'VGG19':
        """Read an .npz of Caffe-style weights or a .pth of torchvision's. Raises UserError."""
        names = [f'conv{b}_{i}' for b, n in enumerate(BLOCKS, 1) for i in range(1, n + 1)]
        keys = [f'{name}.{part}' for name in names for part in ('weight', 'bias')]
        try:
            if Path(path).suffix == '.npz':
                with np.load(path, allow_pickle=False) as file:
                    weights = {key: torch.from_numpy(file[key].astype(np.float32)) for key in keys}
                return cls(weights, CAFFE_MEAN, [255.0] * 3)
            state = torch.load(path, map_location='cpu', weights_only=True)
            theirs = [f'features.{i}.{part}' for i in _torchvision() for part in ('weight', 'bias')]
            weights = {key: state[their] for key, their in zip(keys, theirs, strict=True)}
        except (OSError, EOFError, LookupError, ValueError, RuntimeError, *ARCHIVE) as error:
            raise UserError(f'{path} does not hold the weights of VGG-19: {told(error)}') from error
        pairs = list(zip(TORCHVISION_MEAN, TORCHVISION_STD, strict=True))
        return cls(weights, [m / s for m, s in pairs], [1 / s for _, s in pairs])


def find_vgg(given: str, data: Path, otherwise: str) -> VGG19:
    """The weights in a file, or, for ``auto``, those beside the data. otherwise: what one can do
    without them. Raises UserError."""
    path = data.resolve().parent / BESIDE if given == 'auto' else Path(given)
    if not path.is_file():
        raise UserError(
            f'the perception term needs VGG-19 weights, and {path} is missing: give --vgg '
            "(torchvision's vgg19-dcbb9e9d.pth from download.pytorch.org/models will do), or "
            f'{otherwise}'
        )
    return VGG19.load(path)


def _torchvision() -> list[int]:
    """Where the convolutions are in torchvision's list, between ReLUs and pools."""
    places, place = [], 0
    for count in BLOCKS:
        places += range(place, place + 2 * count, 2)
        place += 2 * count + 1
    return places
