"""The node for hours, with faults drawn by a seed: it must not die, grow, or lose count.

    python -m test.soak --minutes 120 --seed 1

The synthetic road at 30 Hz over DDS. Every few seconds something fails; when that is over, a fused
image must come, and at the end every frame that came in must be accounted for. Exit code 1 where
something of it did not hold.
"""

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter, deque

import numpy as np
import psutil
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from sensor_msgs.msg import Image

from multimodal_fusion.benchmark.statistics import slope_per_hour
from multimodal_fusion.nodes.distro import qos
from multimodal_fusion.scene import Scene

from ..node.faults import Cameras, adds_up, ends, publisher, recovers
from ..node.frames import SECOND
from ..node.harness import running, wait_for

WARM = 180.0  # seconds before the memory counts
LOOK = 10.0  # seconds between two looks at the memory
SIZE = 320, 240


SETTINGS = (
    ('sync.slop', 0.02), ('sync.slop', 0.05), ('thermal.clahe', 2.0), ('thermal.clahe', 0.0),
    ('registration.dx', 5.0), ('registration.dx', 0.0), ('output.view', 'inset'),
    ('output.view', 'fused'), ('stall.thermal', 'pass'), ('stall.thermal', 'hold'),
)  # fmt: skip


class Soak:
    """node, cameras: of `faults`. Each fault is a method that begins it and returns what ends it,
    or None where it ends with the hooks of the cameras."""

    def __init__(self, node, cameras, seed):
        self.node, self.cameras, self.rig = node, cameras, node.rig
        self.random = random.Random(seed)
        self.change = self.rig.create_client(ChangeState, 'fusion_node/change_state')

    def stream(self):
        return self.random.choice(('rgb', 'thermal'))

    def silent(self):
        self.cameras.still.add(self.stream())

    def both_silent(self):
        self.cameras.still |= {'rgb', 'thermal'}

    def restarted(self):
        name = self.stream()
        self.cameras.still.add(name)
        with self.cameras.lock:
            self.rig.destroy_publisher(self.rig.outputs.pop(name))
        return lambda: publisher(self.rig, name)

    def frozen(self):
        held = []

        def repeat(pixels, number):
            held.append(pixels) if not held else None
            return held[0]

        self.cameras.pixels['thermal'] = repeat

    def jump(self):
        step = self.random.choice((-3600, -30, -2, 0.2, 5, 3600)) * SECOND
        self.cameras.stamp[self.stream()] = lambda now: int(now + step)

    def unstamped(self):
        self.cameras.stamp[self.stream()] = lambda now: 0

    def jitter(self):
        draw = random.Random(self.random.random())
        self.cameras.stamp[self.stream()] = lambda now: (
            now + int(draw.uniform(-0.03, 0.03) * SECOND)
        )

    def cut(self):
        self.cameras.fields[self.stream()] = self.random.choice(
            ({'step': 7}, {'height': 4000}, {'encoding': 'rgb64'})
        )

    def other_size(self):
        self.cameras.pixels[self.stream()] = lambda p, n: np.ascontiguousarray(p[: len(p) // 2])

    def sixteen_bits(self):
        self.cameras.pixels['thermal'] = lambda p, n: p.astype(np.uint16) * 200

    def lossy(self):
        draw = random.Random(self.random.random())
        self.cameras.pixels[self.stream()] = lambda p, n: p if draw.random() < 0.7 else None

    def flood(self):
        self.cameras.rates['rgb'] = 60.0
        return lambda: self.cameras.rates.update(rgb=30.0)

    def stopped(self):
        self.node.process.send_signal(signal.SIGSTOP)
        return lambda: self.node.process.send_signal(signal.SIGCONT)

    def another_listener(self):
        port = self.rig.create_subscription(Image, 'fused/image_raw', lambda m: None, 10)
        return lambda: self.rig.destroy_subscription(port)

    def model(self):
        name = self.random.choice(('max', 'average', 'laplacian', 'mmdrfuse_plus'))
        assert self.rig.set_parameter('model.name', name) == (True, '')

    def setting(self):
        name, value = self.random.choice(SETTINGS)
        assert self.rig.set_parameter(name, value) == (True, '')

    def around(self):
        """Taken down and up again, as by a lifecycle manager."""
        for step in ('DEACTIVATE', 'CLEANUP', 'CONFIGURE', 'ACTIVATE'):
            number = getattr(Transition, f'TRANSITION_{step}')
            request = ChangeState.Request(transition=Transition(id=number))
            assert self.rig._call(self.change, request).success, step


FAULTS = [
    Soak.silent, Soak.both_silent, Soak.restarted, Soak.frozen, Soak.jump, Soak.unstamped,
    Soak.jitter, Soak.cut, Soak.other_size, Soak.sixteen_bits, Soak.lossy, Soak.flood, Soak.stopped,
    Soak.another_listener, Soak.model, Soak.setting, Soak.around,
]  # fmt: skip


def prepare(rig):
    rig.fused = deque(maxlen=200)
    rig.statuses = deque(maxlen=10)
    rig.create_subscription(
        Image, 'fused/image_raw', lambda m: rig.fused.append(m), qos('reliable', 50)
    )


def scenes():
    """A second of the road."""
    road = Scene(*SIZE)
    return [(road.visible(10 + i / 30), road.thermal(10 + i / 30)) for i in range(30)]


def run(minutes, seed, faults):
    parameters = {
        'model.name': 'mmdrfuse_plus',
        'stall.timeout': 1.0,
        'registration.mode': 'resize',
    }
    with running(parameters, listen=False) as node:
        prepare(node.rig)
        cameras = Cameras(node.rig, scenes=scenes())
        try:
            wait_for(lambda: len(node.rig.fused) > 5, 'fused images')
            found = _soak(node, cameras, minutes, seed, faults)
        finally:
            cameras.stop()
        adds_up(node)
        found['counters add up'] = True
        found['counted'] = {
            k: int(node.rig.figures()[k])
            for k in ('rgb frames', 'thermal frames', 'pairs', 'fused', 'replaced by newer')
        }
        ends(node)
    return found


def _soak(node, cameras, minutes, seed, faults):
    soak, start = Soak(node, cameras, seed), time.monotonic()
    process = psutil.Process(node.process.pid)
    memory, looked, done, recovered = [], -LOOK, Counter(), []

    def now():
        return time.monotonic() - start

    while now() < 60 * minutes:
        fault, lasts = soak.random.choice(faults), soak.random.uniform(0.3, 6.0)
        name = fault.__name__
        end = fault(soak)
        until = now() + lasts
        wait_for(lambda t=until: now() >= t, name)
        if end is not None:
            end()
        took = recovers(node, cameras)
        recovered.append((took, name))
        done[name] += 1
        calm = now() + soak.random.uniform(0.5, 4.0)
        wait_for(lambda t=calm: now() >= t, 'calm')
        if now() - looked >= LOOK:
            looked = now()
            memory.append((now(), process.memory_full_info().uss * 1e-6))
            print(
                f'{now() / 60:6.1f} min, {sum(done.values())} faults, slowest recovery '
                f'{max(recovered)[0]:.2f} s ({max(recovered)[1]}), {memory[-1][1]:.1f} MB',
                file=sys.stderr, flush=True,
            )  # fmt: skip
    times, sizes = (np.array(x) for x in zip(*memory, strict=True))
    warm = times >= min(WARM, 20 * minutes)
    seconds = sorted(took for took, _ in recovered)
    return {
        'minutes': minutes,
        'seed': seed,
        'faults': dict(done.most_common()),
        'recovery s': {
            'median': round(float(np.median(seconds)), 3),
            'p99': round(float(np.percentile(seconds, 99)), 3),
            'slowest': [(round(t, 2), name) for t, name in sorted(recovered)[-5:]],
        },
        'memory MB': [round(float(sizes[warm][0]), 1), round(float(sizes[-1]), 1)],
        'memory MB/h': round(slope_per_hour(times[warm], sizes[warm]), 2),
    }


if __name__ == '__main__':
    known = {fault.__name__: fault for fault in FAULTS}
    parser = argparse.ArgumentParser(prog='python -m test.soak', description=__doc__)
    parser.add_argument('--minutes', type=float, default=120.0)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument(
        '--only', default=','.join(known), help='these faults, by comma (default: all)'
    )
    args = parser.parse_args()
    try:
        faults = [known[name] for name in args.only.split(',')]
        print(json.dumps(run(args.minutes, args.seed, faults), indent=1))
    except AssertionError as error:
        print(f'it did not hold: {error}', file=sys.stderr)
        sys.exit(1)
