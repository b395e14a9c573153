"""An unlisted model runs for the first time in a process of its own, with limits on time and
memory: what its graph does there, it does not do to us.

python -m multimodal_fusion.runtime.trial SIDE SECONDS BYTES < MODEL   is that process
"""

import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from ..errors import UserError, out_of_memory
from .manifest import Manifest
from .session import open_session

MAX_SECONDS = 30.0
MAX_MEMORY = 4096.0  # MB, of addresses

_TYPES = {
    'tensor(uint8)': np.uint8,
    'tensor(float)': np.float32,
    'tensor(float16)': np.float16,
    'tensor(int64)': np.int64,
}
_NO_MEMORY = 3  # exit code
_held: set[tuple[str, int, float, float]] = set()  # (hash, side, seconds, memory) that were tried


def try_unlisted(
    content: bytes,
    path: Path,
    manifest: Manifest,
    side: int,
    seconds: float = MAX_SECONDS,
    memory: float = MAX_MEMORY,
) -> None:
    """Load and run a model once, on the CPU, unless ``models.yaml`` lists it or it was tried here.

    content: checked by `manifest.read_model`. path: for messages. side: what sizes that the model
    leaves open become. seconds: that it may take. memory: MB of addresses that its process may
    have. Raises UserError if it exceeds a limit or brings its process down.
    """
    sha256 = hashlib.sha256(content).hexdigest()
    key = (sha256, side, seconds, memory)
    if manifest.lists(sha256) or key in _held:
        return
    limits = [str(side), str(seconds), str(round(memory * 2**20))]
    command = [sys.executable, '-m', __name__, *limits]
    package = str(Path(__file__).parents[2])
    paths = os.pathsep.join(filter(None, (package, os.environ.get('PYTHONPATH'))))
    # Idle pools of threads take addresses, for each core some.
    environment = os.environ | {'PYTHONPATH': paths, 'OPENBLAS_NUM_THREADS': '1'}
    try:
        ended = subprocess.run(
            command, input=content, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=seconds, env=environment, start_new_session=True,
        )  # fmt: skip
        code = ended.returncode
    except subprocess.TimeoutExpired:
        code = -signal.SIGXCPU
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        raise UserError(
            f'{path} was not done with one image within {seconds:g} s when it was tried out; use a '
            'smaller model, or allow it more (model.max_seconds)'
        )
    if code == _NO_MEMORY:
        raise UserError(
            f'{path} needs more than {memory:g} MB for one image; use a smaller model, or allow it '
            'more (model.max_memory)'
        )
    if code < 0:
        raise UserError(
            f'{path} brought its process down when it was tried out (signal {-code}); do not use it'
        )
    _held.add(key)  # what was refused in words there, will be here, in better ones


def _main(side: int, seconds: float, memory: int) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    # Should the parent end meanwhile, this process does not go on.
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 1))
    try:
        session = open_session(sys.stdin.buffer.read(), Path('the model'), ('cpu',), 1)
        session.run(None, {port.name: _blank(port, side) for port in session.get_inputs()})
    except Exception as error:  # the runtime's own exception types share no base class
        return _NO_MEMORY if out_of_memory(error) else 1
    return 0


def _blank(port, side: int) -> np.ndarray:
    """An input of ones; one image, where the number is left open."""
    shape = [n if isinstance(n, int) and n > 0 else side for n in port.shape]
    if shape and not isinstance(port.shape[0], int):
        shape[0] = 1
    return np.ones(shape, _TYPES[port.type])


if __name__ == '__main__':
    sys.exit(_main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
