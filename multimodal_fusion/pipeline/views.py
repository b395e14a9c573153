"""What an operator looks at: the fused image, or both cameras as hand-held ones show them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..io.pixels import side_by_side

VIEWS = ('fused', 'visible', 'thermal', 'side_by_side', 'inset', 'edges')
PALETTES = ('white', 'black', 'iron', 'rainbow')
INSET = 3  # the visible's sides over those of the inset
BRIGHT = 230  # grey level whose colour edges have
MARGIN = 0.02  # of the width, between the inset and the corner
_MAPS = {'iron': cv2.COLORMAP_INFERNO, 'rainbow': cv2.COLORMAP_TURBO}


def coloured(thermal: np.ndarray, palette: str) -> np.ndarray:
    """A white-hot image, uint8 (H, W), in a palette: uint8 (H, W, 3) BGR."""
    if palette in _MAPS:
        return cv2.applyColorMap(thermal, _MAPS[palette])
    grey = cv2.bitwise_not(thermal) if palette == 'black' else thermal
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def view(
    name: str,
    fused: np.ndarray,
    visible: np.ndarray,
    thermal: np.ndarray,
    palette: str = 'white',
    opacity: float = 1.0,
) -> np.ndarray:
    """One of `VIEWS`. fused, visible: uint8 (H, W, 3) BGR or (H, W). thermal: uint8 (H, W),
    white-hot, on their grid. palette: of what shows thermal. opacity: of insets and edges, 0 to 1.

    Returns uint8: of fused's shape, (H, 2 W, 3) side by side, else (H, W, 3).
    """
    makers: dict[str, Callable[[], np.ndarray]] = {
        'fused': lambda: fused,
        'visible': lambda: visible,
        'thermal': lambda: coloured(thermal, palette),
        'side_by_side': lambda: side_by_side([visible, coloured(thermal, palette)]),
        'inset': lambda: _inset(visible, coloured(thermal, palette), opacity),
        'edges': lambda: _edges(visible, thermal, palette, opacity),
    }
    return makers[name]()


def _inset(visible: np.ndarray, thermal: np.ndarray, opacity: float) -> np.ndarray:
    """Thermal, smaller, in the lower right corner."""
    picture = side_by_side([visible])
    height, width = (max(1, side // INSET) for side in picture.shape[:2])
    margin = round(MARGIN * picture.shape[1])
    small = cv2.resize(thermal, (width, height), interpolation=cv2.INTER_AREA)
    bottom = max(height, picture.shape[0] - margin)
    right = max(width, picture.shape[1] - margin)
    place = picture[bottom - height : bottom, right - width : right]
    place[:] = cv2.addWeighted(small, opacity, place, 1 - opacity, 0)
    return picture


def _edges(visible: np.ndarray, thermal: np.ndarray, palette: str, opacity: float) -> np.ndarray:
    """Where thermal has edges, in the palette's colour of warm things, as strong as they are."""
    smooth = cv2.GaussianBlur(thermal, (0, 0), 1.0)
    gx, gy = (cv2.Sobel(smooth, cv2.CV_32F, *way) for way in ((1, 0), (0, 1)))
    size = cv2.magnitude(gx, gy)
    strength = np.clip(size / 80 - 0.2, 0, 1) * np.float32(opacity)
    hot = coloured(np.full((1, 1), BRIGHT, np.uint8), palette)
    colour = np.broadcast_to(hot, (*thermal.shape, 3)).copy()
    return cv2.blendLinear(colour, side_by_side([visible]), strength, 1 - strength)
