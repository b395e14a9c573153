"""Who and what is on the road at any moment."""

import math

from .camera import travelled
from .figures import PHASES, cast
from .world import LAMP_ARM, LAMP_Y, LAMPS, LAP, LEFT, LOOP, RIGHT, ZEBRA

# People who cross while the camera waits: start X, way, m/s, start in seconds of the lap, height.
CROSSERS = (
    (LEFT - 0.4, 1, 1.5, -6.0, 1.78),
    (RIGHT + 0.4, -1, 1.35, -2.5, 1.7),
    (LEFT - 0.4, 1, 2.2, 0.8, 1.75),
)
# People along the street: between which X, and which way along Z.
LANES = (
    ((4.1, 5.6), -1),
    ((-7.0, -5.3), 1),
    ((-6.8, -5.2), -1),
    ((4.1, 5.4), 1),
    ((-6.8, -5.2), -1),
    ((4.2, 5.6), -1),
)


class Traffic:
    """People, animals, cars and lamp posts, as the camera sees them."""

    def __init__(self, camera, rng):
        self._camera, self._cast, self._last = camera, cast(), (None, [])
        self._walkers = [  # lane, m/s along Z, start Z, height, look
            (
                float(rng.uniform(*lane)),
                way * float(rng.uniform(1.0, 1.5)),
                28.0 * (i + rng.uniform(0, 0.7)) / 6,
                float(rng.uniform(1.6, 1.85)),
                i % 3,
            )
            for i, (lane, way) in enumerate(LANES)
        ]

    def items(self, t):
        """Everything that is not the street, from far to near. People who go behind a facade are
        cut off there, as if they went through a door."""
        last = self._last
        if t == last[0]:  # both pictures of one moment are usually asked for in turn
            return last[1]
        items = []
        gone, lap = travelled(t), (t + LAP / 2) % LAP - LAP / 2

        def add(owner, label, sprite, x, z, **more):
            if z > 1:
                items.append(self._camera.board(t, owner, label, sprite, x, z, **more))

        def ahead(z, loop=LOOP, nearest=-6.0):
            return (z - gone - nearest) % loop + nearest

        def walk(owner, x, z, pace, tall, look, side, mirror):
            turn = int(abs(pace) * t / (0.81 * tall) * PHASES) % PHASES
            sprite = self._cast.people[side, look][turn]
            add(owner, 'person', sprite, x, z, scale=tall, mirror=mirror)

        for i, (lane, pace, start, tall, look) in enumerate(self._walkers):
            z = ahead(start + pace * t, 28.0, 2.0)
            out = min(max((z - 25) / 4, 0.0), 1.0)  # at the far end they step out of a door
            x = lane + (math.copysign(7.6, lane) - lane) * out
            walk(('walker', i), x, z, pace, tall, look, out > 0, lane > 0)
        for i, (start, way, pace, since, tall) in enumerate(CROSSERS):
            x, z = start + way * pace * (lap - since), ahead(ZEBRA - 0.4 + 0.25 * i)
            if lap > since and LEFT - 0.5 < x < RIGHT + 0.5:
                walk(('crosser', i), x, z, pace, tall, i, True, way < 0)
        x = LEFT + 2.6 * (t % LAP - 8.0)
        if LEFT - 0.6 < x < RIGHT + 0.6:
            add(('fox',), 'animal', self._cast.fox[int(t * 30) % PHASES], x, ahead(33.0))
        z = 20.0 + 4.0 * math.sin(2 * math.pi * t / 31.0)
        tails = [(x, 0.74, z, 0.75, 'tail') for x in (-0.72, 0.72)]
        add(('lead',), 'car', self._cast.lead, 0.0, z, lights=tails)
        for i, (since, speed) in enumerate(((6.0, 11.0), (9.0, 12.0))):
            z = 110.0 - speed * ((t - since) % LAP)
            heads = [(x - 3.2, 0.74, z, 2.6, 'head') for x in (-0.72, 0.72)]
            add(('oncoming', i), 'car', self._cast.oncoming, -3.2, z, lights=heads)
        for i, start in enumerate((22.0, 37.0)):
            z = ahead(start)
            near, far = max(z, 1.01), z + 4.2
            if far > 1.5:
                add(('parked', i), 'car', self._cast.parked_side, 1.95, near, depth=far - near)
                add(('parked', i), 'car', self._cast.parked, 2.88, z)
        for i, (x, start) in enumerate(LAMPS * 2):
            z, way = ahead(start + LOOP * (i // len(LAMPS)), 2 * LOOP), math.copysign(1.0, -x)
            lights = [(x + LAMP_ARM * way, LAMP_Y, z, 1.4, 'lamp')]
            post = self._cast.post if z < 50 else None  # from there on it is thinner than a pixel
            add(('lamp', i), 'lamp', post, x + 0.9 * way, z, mirror=x < 0, lights=lights)
        items.sort(key=lambda item: -item.z)
        self._last = (t, items)
        return items
