"""The kernel on 64-bit ARM: built by Zig's C compiler, called in the Unicorn emulator."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import unicorn
from unicorn import arm64_const as arm

_FOLDER = Path(__file__).parent
_PAGE = 4096
_STACK, _IMAGES, _ROOM, _END = 0x10000000, 0x20000000, 16 * 2**20, 0x30000000
_LOAD = 1  # of an ELF file: a segment to put into memory


def build(program: Path, *defines: str) -> None:
    """Compile kernel.c, which needs no operating system. Raises RuntimeError with what is wrong."""
    cache = str(program.parent / 'zig')
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'ziglang', 'cc', '-target', 'aarch64-freestanding-none'),
            *(f'-D{name}' for name in defines),
            *(
                '-O3',
                '-ffp-contract=fast',
                '-fno-math-errno',
                '-nostdlib',
                '-static',
                '-Wl,-e,fuse',
            ),
            *(f'-I{_FOLDER}', '-o', str(program), str(_FOLDER / 'kernel.c')),
        ],
        env={**os.environ, 'ZIG_GLOBAL_CACHE_DIR': cache, 'ZIG_LOCAL_CACHE_DIR': cache},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


def fuse(program: Path, network: bytes, visible: np.ndarray, thermal: np.ndarray) -> np.ndarray:
    """`fuse` of kernel.c. network: the bytes of a Network or Pyramid. visible: uint8 (H, W) or
    (H, W, 3)."""
    machine = unicorn.Uc(unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM)
    machine.reg_write(arm.UC_ARM64_REG_CPACR_EL1, 3 << 20)  # vector registers may be used
    for start in (_STACK, _IMAGES, _END):
        machine.mem_map(start, _ROOM)
    places, at = [], _IMAGES
    for part in (network, visible.tobytes(), thermal.tobytes(), bytes(visible.size)):
        places.append(at)
        machine.mem_write(at, part)
        at += -(-len(part) // _PAGE) * _PAGE
    channels = 1 if visible.ndim == 2 else visible.shape[2]
    for i, value in enumerate((*places, *thermal.shape, channels)):
        machine.reg_write(getattr(arm, f'UC_ARM64_REG_X{i}'), value)
    machine.reg_write(arm.UC_ARM64_REG_SP, _STACK + _ROOM)
    machine.reg_write(arm.UC_ARM64_REG_LR, _END)
    machine.emu_start(_loaded(machine, program.read_bytes()), _END)
    return np.frombuffer(machine.mem_read(places[-1], visible.size), np.uint8).reshape(
        visible.shape
    )


def _loaded(machine: unicorn.Uc, elf: bytes) -> int:
    """Put a static ELF file into memory; returns the address of its entry."""
    entry, headers = struct.unpack_from('<2Q', elf, 24)
    size, count = struct.unpack_from('<2H', elf, 54)
    mapped = set()
    for i in range(count):
        kind, _, offset, address, _, length, room = struct.unpack_from(
            '<2I5Q', elf, headers + i * size
        )
        if kind == _LOAD:
            for page in {*range(address // _PAGE, (address + room - 1) // _PAGE + 1)} - mapped:
                machine.mem_map(page * _PAGE, _PAGE)
                mapped.add(page)
            machine.mem_write(address, elf[offset : offset + length])
    return entry
