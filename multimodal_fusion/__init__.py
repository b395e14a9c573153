"""Thermal and RGB video fusion for robots: pair, fuse, publish, evaluate, train.

from multimodal_fusion import Fuser, Detector
"""

import importlib
import os

# Read when cv2 is imported. A second line of defence: what a header says is checked before any
# decoder sees it. It is what `input.max_pixels` may be raised to.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', '1000000000')

__version__ = '0.1.0'

_HOMES = {'Fuser': '.fusers.fuser', 'Detector': '.detect.detector'}


def __getattr__(name: str):
    """What people import, loaded when they do: the command line starts without it."""
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_HOMES[name], __name__), name)
