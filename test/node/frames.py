"""Frames for node tests: a moving textured pair, sent and awaited one by one."""

import cv2
import numpy as np

from multimodal_fusion.io import messages
from multimodal_fusion.pipeline.frames import stamp_of as header_stamp

from .harness import wait_for

SECOND = 10**9
START = 1_700_000_000 * SECOND


def scene(i, height=96, width=128):
    """A textured pair that moves with i."""
    base = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    visible = np.roll(cv2.blur(base, (5, 5)), i, axis=1)
    thermal = np.roll(cv2.blur(base[::-1, :, 0], (9, 9)), 2 * i, axis=1)
    return np.ascontiguousarray(visible), np.ascontiguousarray(thermal)


def play(rig, frames, start=START, period=SECOND // 30, **options):
    """Send pairs one by one, each when the one before has come back; returns the fused arrays."""
    for i, (visible, thermal) in enumerate(frames):
        count = len(rig.fused)
        rig.send('rgb', visible, start + i * period, **options)
        rig.send('thermal', thermal, start + i * period - 2_000_000)
        wait_for(lambda count=count: len(rig.fused) > count, f'fused image {i}')
    return [messages.to_visible(m) for m in rig.fused[-len(frames) :]]


def warm(rig, start=START - SECOND):
    """Until a first pair has come through: discovery is not instant, and best effort loses."""
    visible, thermal = scene(0)
    sent = iter(range(10_000))

    def attempt():
        stamp = start + next(sent) * 10_000_000
        rig.send('rgb', visible, stamp)
        rig.send('thermal', thermal, stamp)
        return bool(rig.fused)

    wait_for(attempt, 'the first fused image')
    # Let what is still on its way arrive: the node has seen the last stamp sent.
    last = start + (next(sent) - 1) * 10_000_000
    wait_for(lambda: rig.fused and stamp_of(rig.fused[-1]) >= last, 'the rest')
    rig.fused.clear()
    rig.infos.clear()


def stamp_of(message):
    return header_stamp(message.header)
