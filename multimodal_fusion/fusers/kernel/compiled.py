"""The small networks on one or more cores, without a runtime: uint8 in, uint8 out."""

import ctypes
import weakref
from collections.abc import Callable
from functools import partial

import numpy as np

from .fixed_point import FixedPoint, fixed_point
from .library import FixedNetwork, Network, Pyramid, library
from .pyramid import LEVELS, PyramidWeights, read_pyramid
from .recycled import Recycled
from .weights import TwoLayer, read_two_layer

_ROWS = 32  # for each of them that many threads at most, or they cost more than they do


class Compiled:
    """A two-layer model or a pyramid, ready to run. Make one with `compiled`. Any thread may call
    it."""

    def __init__(
        self,
        weights: TwoLayer | PyramidWeights,
        threads: int = 1,
        wide: bool | None = None,
        sixteen_bit: bool | None = None,
    ):
        """wide: use AVX2 and FMA; by default if the processor has them. sixteen_bit: compute with
        16-bit numbers; by default of two-layer models where `wide`, and where the weights prove
        that no pixel can be off by more than one grey level (`fixed_point`)."""
        lib = library()
        if lib is None:
            raise ValueError('the library is not built')
        self._library = lib
        self.wide = bool(self._library.has_wide_vectors()) if wide is None else wide
        self._results, self._workspaces = Recycled(), Recycled()
        fixed = None
        if isinstance(weights, TwoLayer) and self.wide and sixteen_bit is not False:
            fixed = fixed_point(weights)
        self.sixteen_bit = fixed is not None
        if sixteen_bit and not self.sixteen_bit:
            raise ValueError('16-bit numbers are not exact enough for these weights, or not wide')
        if isinstance(weights, PyramidWeights):
            self._make = self._in_pyramid(weights)
        elif fixed is None:
            self._make = self._in_floats(weights)
        else:
            self._make = self._in_words(fixed, weights)
        self.threads = threads
        self._team = self._library.open_team(threads - 1) if threads > 1 else None
        if self._team:
            # Not at exit: a thread that nobody waits for may be fusing then.
            weakref.finalize(self, self._library.close_team, self._team).atexit = False

    def _in_floats(self, weights: TwoLayer) -> Callable[..., None]:
        # Images of 0..255 go in and, from a linear output, come out: the factors join the weights.
        gain = 1.0 if weights.tanh else 255.0
        network = Network(
            _floats(weights.first.transpose(2, 3, 1, 0) / np.float32(255.0), 72),
            _floats(weights.bias, 4),
            _floats(weights.second[0] * np.float32(gain), 36),
            float(weights.last_bias[0] * gain),
            weights.tanh,
        )
        return partial(self._library.fuse_in_floats, network, self.wide)

    def _in_words(self, fixed: FixedPoint, weights: TwoLayer) -> Callable[..., None]:
        network = FixedNetwork(
            _pairs(fixed.first.transpose(2, 3, 0, 1), 36),
            (ctypes.c_int32 * 4)(*fixed.bias.tolist()),
            _pairs(fixed.second.reshape(2, 2, 3, 3).transpose(0, 2, 3, 1), 18),
            fixed.last_bias,
            fixed.shift,
            1 / (255 * 2**fixed.shift),
            weights.tanh,
        )
        return partial(self._library.fuse_in_words, network)

    def _in_pyramid(self, weights: PyramidWeights) -> Callable[..., None]:
        parts = weights.tensors
        network = Pyramid(
            _floats(parts['enter.weight'], 40),
            _floats(np.stack([parts[f'level.{k}'] for k in range(LEVELS)]), 32),
            _floats(parts['leave.weight'], 24),
            _floats(parts['leave.bias'], 3),
            float(parts['limit']),
        )

        return partial(self._on_workspace, network)

    def _on_workspace(self, network: Pyramid, *work) -> None:
        workspace = self._workspaces.take((self._library.pyramid_workspace(*work[6:8]),))
        self._library.fuse_in_pyramid(network, self.wide, workspace.ctypes.data, *work)

    def fuse(
        self, visible: np.ndarray, thermal: np.ndarray, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Network and return of colour.

        visible: uint8 (H, W, 3) BGR or (H, W). thermal: uint8 (H, W). H and W at least 2.
        Rows may lie apart, as in a padded message. out: contiguous uint8 of visible's
        shape that overlaps neither; without it the result is an array that nobody else holds, and
        that is not written again while anybody does. Returns out.
        Colour gets the change of BT.601 luma added to each channel and clipped, as
        `fuser.return_colour` does. Raises ValueError.
        """
        if visible.shape[:2] != thermal.shape or min(thermal.shape) < 2:
            raise ValueError(f'visible is {visible.shape}, thermal {thermal.shape}')
        if visible.ndim == 3 and visible.shape[2] != 3:
            raise ValueError(f'visible has {visible.shape[2]} channels, expected 3')
        if not visible.dtype == thermal.dtype == np.uint8:
            raise ValueError(f'visible is {visible.dtype}, thermal {thermal.dtype}, expected uint8')
        visible, thermal = _rows(visible), _rows(thermal)
        if out is None:
            out = self._results.take(visible.shape)
        elif out.shape != visible.shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
            raise ValueError(f'out is {out.dtype} {out.shape}, expected uint8 {visible.shape}')
        elif np.may_share_memory(out, visible) or np.may_share_memory(out, thermal):
            raise ValueError('out overlaps an input')
        images = [part for a in (visible, thermal, out) for part in (a.ctypes.data, a.strides[0])]
        height, width = thermal.shape
        channels = 1 if visible.ndim == 2 else 3
        threads = max(1, min(self.threads, height // _ROWS))
        self._make(*images, height, width, channels, self._team, threads)
        return out


def compiled(content: bytes, threads: int = 1) -> Compiled | None:
    """The compiled path for a model file's bytes; None where it is not built or does not fit."""
    if library() is None:
        return None
    weights = read_two_layer(content) or read_pyramid(content)
    return None if weights is None else Compiled(weights, threads)


def _floats(values: np.ndarray, count: int):
    return (ctypes.c_float * count)(*values.ravel().tolist())


def _pairs(values: np.ndarray, count: int):
    """Words of two 16-bit numbers each, the first of the last axis in the lower half."""
    return (ctypes.c_int32 * count)(*values.astype('<i2').ravel().view('<i4').tolist())


def _rows(image: np.ndarray) -> np.ndarray:
    """The image itself if the pixels of a row lie side by side, else a copy in which they do."""
    tight = image.strides[1:] == ((1,) if image.ndim == 2 else (3, 1))
    return image if tight else np.ascontiguousarray(image)
