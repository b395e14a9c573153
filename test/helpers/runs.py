"""Training runs in processes of their own, for tests of what a kill leaves behind."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import psutil

CONFIGS = Path(__file__).parents[2] / 'config/train'
REPOSITORY = Path(__file__).parents[2]
DEADLINE = 120.0


def kill_under_way(command, metrics: Path, evaluations: int = 4) -> None:
    """Start a run and kill -9 it once its metrics.csv holds so many evaluations."""
    code = end_under_way(command, metrics, signal.SIGKILL, evaluations)
    assert code == -signal.SIGKILL


def end_under_way(command, metrics: Path, number, evaluations: int = 1) -> int:
    """Start a run and send it a signal once it has made so many evaluations; its exit code."""
    process = subprocess.Popen(
        list(map(str, command)), cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    deadline, pause = time.monotonic() + DEADLINE, threading.Event()
    while not metrics.exists() or len(metrics.read_text().splitlines()) <= evaluations:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, f'no {evaluations} evaluations in {DEADLINE} s'
        pause.wait(0.002)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    if number == signal.SIGKILL:  # what torchrun started would go on
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    code = process.wait(DEADLINE)
    process.stderr.close()
    return code


def scene(seed, height=48, width=56):
    """A smooth visible image with texture, and a thermal one with a warm square."""
    random = np.random.default_rng(seed)
    visible = cv2.resize(random.integers(0, 200, (9, 9), np.uint8), (width, height))
    thermal = np.full((height, width), 30, np.uint8)
    top, left = random.integers(0, 30, 2)
    thermal[top : top + 14, left : left + 10] = 220
    return visible, thermal


def write_pairs(folder):
    """A training folder of 4 training and 3 validation pairs; returns it."""
    for split, seeds in (('train', range(4)), ('val', range(4, 7))):
        for kind in ('vis', 'ir'):
            (folder / split / kind).mkdir(parents=True)
        for seed in seeds:
            visible, thermal = scene(seed)
            colour = cv2.cvtColor(visible, cv2.COLOR_GRAY2BGR)
            cv2.imwrite(str(folder / f'{split}/vis/s{seed}.png'), colour)
            cv2.imwrite(str(folder / f'{split}/ir/s{seed}.png'), thermal)
    return folder


def changes_of(values):
    """{dotted key: value} as the command line takes changes."""
    return [f'{key}={json.dumps(value)}' for key, value in values.items()]


def train_with(recipe, data, out, values, resume=False):
    """Run a packaged configuration with some values changed; returns what `train` returns."""
    from multimodal_fusion.train.config import Config
    from multimodal_fusion.train.loop import TrainingJob, train

    config = Config.load(CONFIGS / f'{recipe}.yaml', changes_of(values))
    return train(TrainingJob(config, data, out, resume))


def command(recipe, data, out, values, *options):
    """The same as a process: words for `subprocess`."""
    words = [sys.executable, '-m', 'multimodal_fusion', 'train', recipe, *changes_of(values)]
    return [*words, '--data', str(data), '--out', str(out), *map(str, options)]


def step_of(run):
    """Of the checkpoint that a run would go on from."""
    from multimodal_fusion.train.states import read_state

    return read_state(run / 'last.state')['progress']['step']
