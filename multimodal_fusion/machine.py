"""Names for the machine that figures were measured on."""

import platform
from pathlib import Path


def cpu_name() -> str:
    """The processor's name and how many there are."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    return f'{len(names)} x {names[0]}' if names else platform.processor() or 'unknown processor'
