"""Training runs in processes of their own, for tests of what a kill leaves behind."""

import signal
import subprocess
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
DEADLINE = 120.0


def kill_under_way(command, metrics: Path, evaluations: int = 4) -> None:
    """Start a run and kill -9 it once its metrics.csv holds so many evaluations."""
    process = subprocess.Popen(
        list(map(str, command)), cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    deadline, pause = time.monotonic() + DEADLINE, threading.Event()
    while not metrics.exists() or len(metrics.read_text().splitlines()) <= evaluations:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, f'no {evaluations} evaluations in {DEADLINE} s'
        pause.wait(0.002)
    process.kill()
    assert process.wait(DEADLINE) == -signal.SIGKILL
    process.stderr.close()
