"""Nodes as processes of their own: started alike by the demo, the benchmark and the tests."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from ..errors import Interrupted


def local_environment(domain: int | None = None) -> dict[str, str]:
    """The environment for nodes that talk among themselves and to nobody else.

    domain: ROS_DOMAIN_ID; without it the user's, or one made from the process number so that two
    demos on one machine do not mix.
    """
    environment = dict(os.environ)
    if domain is not None:
        environment['ROS_DOMAIN_ID'] = str(domain)
    environment.setdefault('ROS_DOMAIN_ID', str(1 + os.getpid() % 100))
    environment.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    environment.setdefault('AMENT_PREFIX_PATH', sys.prefix)
    return environment


def start(
    module: str, arguments: Iterable[str], environment: Mapping[str, str], **options
) -> subprocess.Popen:
    """Start ``python -m module`` in a session of its own, so that Ctrl-C reaches it once, by us."""
    return subprocess.Popen(
        [sys.executable, '-m', module, *arguments],
        env=dict(environment),
        start_new_session=True,
        **options,
    )


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put Ctrl-C and SIGTERM off until the block is done, so that no child that has just started
    is left behind because nobody knows of it yet."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = []
    wait = {s: signal.signal(s, lambda *_: came.append(1)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in wait.items():
            signal.signal(number, handler)
    if came:
        raise Interrupted


def stop(process: subprocess.Popen, timeout: float = 15.0) -> int:
    """End a process and wait; returns its exit code.

    Our nodes end on SIGTERM as on Ctrl-C; one that is still starting up ends without a traceback.
    """
    if process.poll() is None:
        process.terminate()
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def parameter_arguments(parameters: Mapping[str, object]) -> list[str]:
    """``--ros-args -p name:=value ...``."""
    arguments = ['--ros-args']
    for name, value in parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        arguments += ['-p', f'{name}:={text}']
    return arguments
