"""Thermal and RGB video fusion for robots: pair, fuse, publish, evaluate, train."""

import os

# Read when cv2 is imported. A second line of defence: what a header says is checked before any
# decoder sees it. It is what `input.max_pixels` may be raised to.
os.environ.setdefault('OPENCV_IO_MAX_IMAGE_PIXELS', '1000000000')

__version__ = '0.1.0'
