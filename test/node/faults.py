"""Two cameras in real time that can be made to fail, and what must hold after each failure."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

from multimodal_fusion.nodes.distro import qos

from .frames import scene, stamp_of
from .harness import DEADLINE, running, wait_for

RECOVERS = 1.0
"""Seconds of stamps from the end of a fault to the first fused image."""
ENDS = 2.0
"""Seconds from Ctrl-C to the end of the node."""
BUSY = 3.0
"""Both are asked for as so many times as long: the tests run beside each other."""


class Cameras:
    """Two streams in real time. stamps, pixels: what a fault makes of the next frame, by stream;
    send: how it is sent. times: (start, end) of the fault."""

    def __init__(self, rig, rgb=30.0, thermal=30.0, scenes=None):
        self.rig, self.rates = rig, {'rgb': rgb, 'thermal': thermal}
        self.stamp: dict[str, Callable[[int], int]] = {}
        self.pixels: dict[str, Callable] = {}
        self.fields: dict[str, dict] = {}
        self.still: set[str] = set()
        self._done = threading.Event()
        self.lock = threading.Lock()  # held while a publisher is used or destroyed
        self._scenes = scenes or [scene(i) for i in range(30)]
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in self.rates]
        for thread in self._threads:
            thread.start()

    def _run(self, name):
        number = 0
        while not self._done.is_set():
            period = 1 / self.rates[name]
            if name not in self.still:
                self._send(name, number)
            number += 1
            # On the grid of its own period, so that both streams are taken together.
            self._done.wait(period - time.time() % period)

    def _send(self, name, number):
        now = time.time_ns()
        stamp = self.stamp.get(name, int)(now)
        moment = int(now * 30 // 10**9) % 30
        pixels = self._scenes[moment][name == 'thermal']
        pixels = self.pixels.get(name, lambda p, n: p)(pixels, number)
        with self.lock:
            if pixels is not None and name in self.rig.outputs:
                self.rig.send(name, pixels, max(stamp, 0), **self.fields.get(name, {}))

    def stop(self):
        self._done.set()
        for thread in self._threads:
            thread.join()


@contextmanager
def under_fault(parameters=None, rgb=30.0, thermal=30.0, prepare=None, **options):
    """(node, cameras) with both streams fused; after the block, the fault is over: the node lives,
    fuses again, has counted every frame, and ends on Ctrl-C. prepare: called with the rig first."""
    parameters = {'stall.timeout': 1.0, **(parameters or {})}
    with running(parameters, **options) as node:
        if prepare:
            prepare(node.rig)
        cameras = Cameras(node.rig, rgb, thermal)
        try:
            wait_for(lambda: len(node.rig.fused) > 5, 'fused images')
            yield node, cameras
            recovers(node, cameras)
        finally:
            cameras.stop()
        adds_up(node)
        ends(node)


def recovers(node, cameras):
    """A fused image of after now comes, by its stamp within `RECOVERS` (times `BUSY`); returns the
    seconds."""
    for hooks in (cameras.stamp, cameras.pixels, cameras.fields, cameras.still):
        hooks.clear()
    end = time.time_ns()
    states = []

    def fused():
        assert node.process.poll() is None, node.log
        found = [stamp_of(m) for m in list(node.rig.fused)[-60:] if stamp_of(m) >= end]
        states.append(found)
        return found

    wait_for(fused, 'a fused image after the fault')
    took = (min(states[-1]) - end) * 1e-9
    assert took <= RECOVERS * BUSY, f'{took:.2f} s'
    return took


def adds_up(node):
    """Every frame that came in is paired, dropped for a reason, or waits; so is every pair."""

    def sums():
        """Of figures that no longer change: the cameras are still, the queues are empty."""
        f = node.rig.figures()
        pairs = int(f['pairs'])
        told = {}
        for name in ('rgb', 'thermal'):
            ends_as = ('unpaired', 'waited too long', 'duplicate', 'late', 'refused', 'waiting')
            total = pairs + sum(int(f[f'{name} {end}']) for end in ends_as)
            told[f'{name} frames'] = int(f[f'{name} frames']), total
        ends_as = (
            'fused', 'pairs as rgb alone', 'replaced by newer', 'not computed (nobody listens)',
            'pairs held back', 'pairs not fused', 'pairs waiting',
        )  # fmt: skip
        told['pairs'] = pairs, sum(int(f[end]) for end in ends_as)
        return told

    def balanced():
        return bool(node.rig.figures()) and all(a == b for a, b in sums().values())

    try:
        wait_for(balanced, 'counters that add up')
    except AssertionError:
        raise AssertionError(f'counters do not add up: {sums()}, {node.rig.figures()}') from None


def ends(node):
    """Ctrl-C ends it, with exit code 0 and no traceback."""
    start = time.monotonic()
    node.process.send_signal(signal.SIGINT)
    assert node.process.wait(DEADLINE) == 0
    assert time.monotonic() - start < ENDS * BUSY
    node.stop()
    assert 'Traceback' not in node.log, node.log


def publisher(rig, name, reliability='reliable'):
    """The stream's publisher anew, as of a driver that was started again."""
    from sensor_msgs.msg import Image

    old = rig.outputs.get(name)
    if old is not None:
        rig.destroy_publisher(old)
    rig.outputs[name] = rig.create_publisher(Image, f'{name}/image_raw', qos(reliability, 50))
