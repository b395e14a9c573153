"""Where the time of one pair goes, stage by stage."""

import time

STAGES = (
    'receive',
    'observe',
    'pair',
    'wait',
    'decode',
    'thermal',
    'register',
    'fuse',
    'encode',
    'publish',
)
"""In the order in which the node goes through them.

receive: from the stamp of the later of the two images to our callback: the camera's driver, the
    middleware, and the difference of the clocks. Left out where stamps are of another time (a bag).
observe: range and freeze detection on the arrival of the thermal image, whichever came first.
pair: the rest of the callback until the pair is handed over. wait: until the worker takes it.
decode: the visible message to an array. thermal: counts to grey. register: to the RGB grid.
encode: the fused array to a message. publish: the call into the middleware.
"""


class Laps:
    """A stopwatch: calling it with a name ends the stage of that name. start: monotonic seconds."""

    def __init__(self, start: float):
        self.seconds: dict[str, float] = {}
        self.last = start

    def __call__(self, stage: str) -> None:
        now = time.monotonic()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self.last
        self.last = now


def no_laps(stage: str) -> None:
    """For whoever does not want to know."""
