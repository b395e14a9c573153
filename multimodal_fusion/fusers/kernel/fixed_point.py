"""The two-layer network's weights as 16-bit numbers, and the proof that they are good enough.

Inputs are 0..255 times 128. With factors F of each hidden channel and K of the output,

    sum_c = round(w F_c) x + round(b F_c),   h_c = max(0, sum_c >> 16),   G_c = F_c / 65536
    last  = round(v K / G_c) h_c + round(d K)

so that last / K is the output. F and K are as large as they may be for every weight to fit 16 bits
and every sum 32, whatever the image; the most that all roundings together can change is then known.
"""

from dataclasses import dataclass

import numpy as np

from .weights import TwoLayer

_WHITE = 255 * 128
_WEIGHT, _SUM = 2**15 - 1, 2**31 - 1
# Two outputs less than a grey level apart are at most one apart when rounded. A part is left to
# the float kernel's and ONNX Runtime's own rounding and to the kernel's tanh.
_MOST_LEVELS = 0.95


@dataclass(frozen=True)
class FixedPoint:
    """int64 arrays of what fixed_point.c multiplies with.

    first: (4, 2, 3, 3). bias: (4,). second: (4, 3, 3). last_bias, and shift: an output of one grey
    level is 2**shift. error: no pixel of the output, before rounding, is further than that many
    grey levels from the exact one.
    """

    first: np.ndarray
    bias: np.ndarray
    second: np.ndarray
    last_bias: int
    shift: int
    error: float


def fixed_point(weights: TwoLayer) -> FixedPoint | None:
    """The network in 16 bits, or None if that could change a pixel by more than one grey level."""
    w = weights.first.reshape(4, 18).astype(np.float64) / _WHITE
    b = weights.bias.astype(np.float64)
    v = weights.second.reshape(4, 9).astype(np.float64)
    d = float(weights.last_bias[0])
    largest = _largest(w, _WHITE, b)
    if not (np.abs(w).max(1) > 0).all() or not np.abs(v).max() > 0:
        return None  # a channel that does nothing has no scale
    # 18 weights and the bias are rounded by up to a half; another half word rounds h.
    room = _SUM - 9 * _WHITE - 2**15 - 1
    factor = np.minimum(_WEIGHT / np.abs(w).max(1), room / largest)
    first, scale = np.rint(w * factor[:, None]), factor / 2**16
    bias = np.rint(b * factor)
    hidden = np.floor(np.maximum(0, _upper(first, _WHITE, bias) + 2**15) / 2**16)
    found = _second(v, d, scale, hidden)
    if found is None:
        return None
    second, last_bias, shift = found
    out = 255 * 2.0**shift
    exact_hidden = np.maximum(0, _upper(w, _WHITE, b))
    off = np.abs(first / factor[:, None] - w).sum(1) * _WHITE + np.abs(bias / factor - b)
    off += 0.5 / scale
    used = second / out * scale[:, None]
    error = (np.abs(used).sum(1) * off + np.abs(used - v).sum(1) * exact_hidden).sum()
    error = 255 * (error + abs(last_bias / out - d))
    if error > _MOST_LEVELS:
        return None
    return FixedPoint(
        first.astype(np.int64).reshape(4, 2, 3, 3),
        bias.astype(np.int64) + 2**15,
        second.astype(np.int64).reshape(4, 3, 3),
        int(last_bias) + (0 if weights.tanh else 2**shift // 2),
        shift,
        float(error),
    )


def _second(v: np.ndarray, d: float, scale: np.ndarray, hidden: np.ndarray):
    """(weights, bias, shift) of the second layer by the largest shift that fits; None if none."""
    for shift in range(30, 0, -1):
        out = 255 * 2.0**shift
        second, bias = np.rint(v * out / scale[:, None]), np.rint(d * out)
        sums = _largest(second, hidden[:, None], np.zeros(4)).sum() + abs(bias) + 2**shift
        # What is left after the shift must fit 16 bits, where it is clipped.
        if np.abs(second).max() <= _WEIGHT and sums <= min(_SUM, _WEIGHT * 2.0**shift):
            return second, bias, shift
    return None


def _upper(taps: np.ndarray, most: float, bias: np.ndarray) -> np.ndarray:
    """The largest sum of taps, each times something from 0 to most, and a bias."""
    return (np.maximum(taps, 0) * most).sum(1) + bias


def _largest(taps: np.ndarray, most, bias: np.ndarray) -> np.ndarray:
    """The largest magnitude of such a sum."""
    return np.maximum(np.abs(_upper(taps, most, bias)), np.abs(_upper(-taps, most, -bias)))
