"""A thermal camera that stands still, dies and comes back: what the node shows, and what it says.

    python -m tools.results.stalls --out docs/results/stalls.jpg

The live node over DDS, by its defaults, on the synthetic road.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from multimodal_fusion.io import messages
from multimodal_fusion.io.image_files import write_image
from multimodal_fusion.pipeline.frames import stamp_of
from multimodal_fusion.scene import Scene
from test.node.faults import Cameras
from test.node.harness import running, wait_for
from test.node.test_silence import listen_to_state

SIZE = 320, 240
# Seconds: what happens to thermal, and when the node is looked at meanwhile.
STORY = (
    ('thermal lives', 2.0, (1.8,)),
    ('thermal stands still', 3.6, (1.0, 3.4)),
    ('it lives again', 1.0, (0.8,)),
    ('thermal is dead', 4.5, (0.7, 2.0, 4.2)),
    ('it is back', 1.0, (0.8,)),
)


def tell() -> list[tuple[str, np.ndarray, str]]:
    """(caption, fused image, state) of every look."""
    road = Scene(*SIZE)
    scenes = [(road.visible(40 + i / 10), road.thermal(40 + i / 10)) for i in range(300)]
    shown = []
    parameters = {'stall.timeout': 1.0, 'model.name': 'default'}
    with running(parameters) as node:
        states = listen_to_state(node.rig)
        cameras = Cameras(node.rig, scenes=scenes)
        try:
            wait_for(lambda: len(node.rig.fused) > 5, 'fused images')
            for caption, lasts, looks in STORY:
                start = time.monotonic()
                _do(cameras, caption)
                for look in looks:
                    wait_for(lambda t=start + look: time.monotonic() >= t, 'the look')
                    newest = node.rig.fused[-1]
                    age = time.time() - stamp_of(newest.header) * 1e-9
                    shown.append(
                        (
                            f'{caption}, {look:.1f} s',
                            messages.to_visible(newest)
                            if age < 0.5
                            else np.zeros((*SIZE[::-1], 3)),
                            states[-1],
                        )
                    )
                wait_for(lambda t=start + lasts: time.monotonic() >= t, 'the end')
        finally:
            cameras.stop()
    return shown


def _do(cameras: Cameras, caption: str) -> None:
    cameras.still.clear()
    cameras.pixels.clear()
    if caption == 'thermal is dead':
        cameras.still.add('thermal')
    elif caption == 'thermal stands still':
        held: list[np.ndarray] = []

        def repeat(pixels, number):
            held[:] = held or [pixels]
            return held[0]

        cameras.pixels['thermal'] = repeat


def strip(shown: list[tuple[str, np.ndarray, str]]) -> np.ndarray:
    """Four a row, with what happens above and what the node says below."""
    cells = []
    for caption, image, state in shown:
        cell = np.zeros((SIZE[1] + 52, SIZE[0] + 8, 3), np.uint8)
        cell[24 : 24 + SIZE[1], 4 : 4 + SIZE[0]] = image
        for text, y in ((caption, 16), (state, SIZE[1] + 40)):
            cv2.putText(
                cell, text, (6, y), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (255,) * 3, 1, cv2.LINE_AA
            )
        cells.append(cell)
    cells += [np.zeros_like(cells[0])] * (-len(cells) % 4)
    return np.vstack([np.hstack(cells[i : i + 4]) for i in range(0, len(cells), 4)])


if __name__ == '__main__':
    parser = argparse.ArgumentParser(prog='python -m tools.results.stalls', description=__doc__)
    parser.add_argument('--out', type=Path, required=True)
    found = tell()
    for caption_, _, state_ in found:
        print(f'{caption_:32} {state_}')
    write_image(parser.parse_args().out, strip(found))
