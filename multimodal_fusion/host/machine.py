"""The machine that we run on: its name, and how its C library keeps memory."""

import ctypes
import os
import platform
from pathlib import Path

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_KEPT = 256 * 2**20
_LARGEST = 32 * 2**20  # the most that glibc accepts


def cpu_name() -> str:
    """The processor's name and how many there are."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    return f'{len(names)} x {names[0]}' if names else platform.processor() or 'unknown processor'


def keep_memory() -> bool:
    """Have freed image buffers used again instead of given back and asked for anew.

    By default glibc returns blocks of an image's size to the kernel as soon as they are free, and
    the next frame pays for every page again: more than all copying together. For a process that
    handles images for long; it keeps at most 256 MB that it once used. Returns whether it was
    done: not without glibc, nor where the environment (MALLOC_*) decides.
    """
    if any(name.startswith('MALLOC_') for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT) and mallopt(_MMAP_THRESHOLD, _LARGEST))
