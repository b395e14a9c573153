"""The C library of this folder; setup.py builds it where there is a compiler."""

import ctypes
import functools
from pathlib import Path

_FOLDER = Path(__file__).parent


class Network(ctypes.Structure):
    """Network of two_layer.c: weights for inputs and outputs of 0..255."""

    _fields_ = (
        ('first', ctypes.c_float * 72),  # (row, column, input: thermal, visible; channel)
        ('bias', ctypes.c_float * 4),
        ('second', ctypes.c_float * 36),  # (channel, row, column)
        ('last_bias', ctypes.c_float),
        ('tanh', ctypes.c_int32),
    )


class FixedNetwork(ctypes.Structure):
    """FixedNetwork of fixed_point.c: two 16-bit weights in each word."""

    _fields_ = (
        ('first', ctypes.c_int32 * 36),  # (row, column, channel); halves: thermal, visible
        ('bias', ctypes.c_int32 * 4),
        ('second', ctypes.c_int32 * 18),  # (pair of channels, row, column)
        ('last_bias', ctypes.c_int32),
        ('shift', ctypes.c_int32),
        ('gain', ctypes.c_float),
        ('tanh', ctypes.c_int32),
    )


class Pyramid(ctypes.Structure):
    """Pyramid of pyramid.c: weights for images of 0..255."""

    _fields_ = (
        ('enter', ctypes.c_float * 40),  # (channel, input)
        ('level', ctypes.c_float * 32),  # (level, channel)
        ('leave', ctypes.c_float * 24),  # (gain, channel)
        ('leave_bias', ctypes.c_float * 3),
        ('limit', ctypes.c_float),
    )


@functools.cache
def library() -> ctypes.CDLL | None:
    """The library, or None where it was not built or does not load on this machine."""
    try:
        return _declared(ctypes.CDLL(str(_FOLDER / 'two_layer.so')))
    except (OSError, AttributeError):  # not there, or made for another machine or C library
        return None


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    pointer, step, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    images = (pointer, step) * 3  # visible, thermal, out
    work = (number, number, number, pointer, number)  # height, width, channels, team, threads
    lib.fuse_in_floats.argtypes = (ctypes.POINTER(Network), number, *images, *work)
    lib.fuse_in_floats.restype = None
    lib.fuse_in_words.argtypes = (ctypes.POINTER(FixedNetwork), *images, *work)
    lib.fuse_in_words.restype = None
    lib.fuse_in_pyramid.argtypes = (ctypes.POINTER(Pyramid), number, pointer, *images, *work)
    lib.fuse_in_pyramid.restype = None
    lib.pyramid_workspace.argtypes = (number, number)
    lib.pyramid_workspace.restype = ctypes.c_int64
    lib.open_team.argtypes, lib.open_team.restype = (number,), pointer
    lib.close_team.argtypes, lib.close_team.restype = (pointer,), None
    lib.has_wide_vectors.argtypes, lib.has_wide_vectors.restype = (), number
    return lib
