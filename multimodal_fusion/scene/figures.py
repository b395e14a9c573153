"""Drawings of the people, animals, cars, posts and lights on the road."""

import functools
import math

import numpy as np

from .sprites import SpriteCanvas
from .world import LAMP_ARM, LAMP_Y, SODIUM

PHASES = 12  # drawings per walking cycle
COOL, RED = (255, 245, 235), (30, 25, 255)


def _person(phase, side, coat, girth):
    """A person 1 unit tall in mid-stride. Colours are relative: 128 is as bright as around it."""
    swing = math.sin(phase)
    cloth, trousers, skin = (112, 112, 115), (105, 103, 102), (126, 132, 140)
    canvas = SpriteCanvas(0.72 if side else 0.42, 1.04, 280)
    legs, arms = [], []
    for sign in (-1, 1):
        ahead, lift = sign * swing, max(0.0, sign * math.cos(phase))
        if side:
            hip, shoulder = (0.0, 0.51), (0.0, 0.80)
            thigh, arm = 0.46 * ahead, -0.5 * ahead
            shin, fore = thigh - 0.12 - 0.75 * lift, arm + 0.45
            toe = 0.06
        else:
            hip, shoulder = (sign * 0.045, 0.51), (sign * 0.105 * girth, 0.80)
            thigh, arm, shin, fore, toe = sign * 0.03, sign * 0.11, 0.0, -sign * 0.03, sign * 0.01
        down = 0.245 * (1 if side else 1 - 0.22 * lift)  # a lifted shin is foreshortened
        knee = (hip[0] + 0.245 * math.sin(thigh), hip[1] - 0.245 * math.cos(thigh))
        foot = (knee[0] + down * math.sin(shin), knee[1] - down * math.cos(shin))
        elbow = (shoulder[0] + 0.16 * math.sin(arm), shoulder[1] - 0.16 * math.cos(arm))
        hand = (elbow[0] + 0.15 * math.sin(fore), elbow[1] - 0.15 * math.cos(fore))
        legs.append((hip, knee, foot, (foot[0] + toe, foot[1] - 0.005)))
        arms.append((shoulder, elbow, hand))
    drop = min(leg[2][1] for leg in legs) - 0.024  # the lower foot stands on the ground

    def limb(a, b, ra, rb, colour, celsius):
        canvas.limb((a[0], a[1] - drop), (b[0], b[1] - drop), ra, rb, colour, celsius + 1.0)

    def draw_arm(joints, cooler):
        limb(joints[0], joints[1], 0.036 * girth, 0.030, cloth, 25.0 - cooler)
        limb(joints[1], joints[2], 0.029, 0.022, cloth, 24.0 - cooler)
        limb(joints[2], joints[2], 0.021, 0.021, skin, 30.5 - cooler)

    def draw_leg(joints, cooler):
        limb(joints[0], joints[1], 0.058 * girth, 0.040, trousers, 25.5 - cooler)
        limb(joints[1], joints[2], 0.038, 0.024, trousers, 23.5 - cooler)
        limb(joints[2], joints[3], 0.024, 0.018, (70, 70, 70), 20.0 - cooler)

    draw_arm(arms[0], 1.5)
    draw_leg(legs[0], 1.5)
    draw_leg(legs[1], 0.0)
    wide = (0.055 if side else 0.088) * girth
    limb((0, 0.78), (0, 0.53), wide, wide * 0.86, cloth, 26.0)
    limb((0, 0.70), (0, 0.66), wide * 0.7, wide * 0.7, cloth, 27.5)
    if coat:
        limb((0, 0.56), (0.005, 0.40), wide * 0.95, wide * 1.1, cloth, 23.5)
    limb((0, 0.86), (0.008 * side, 0.90), 0.03, 0.03, skin, 33.0)
    canvas.oval(0.012 * side, 0.93 - drop, 0.047, 0.064, skin, 33.5)
    canvas.oval(-0.008 * side, 0.957 - drop, 0.048, 0.04, (70, 70, 76), 29.0)
    draw_arm(arms[1], 0.0)
    return canvas.sprite(2.2)


def _fox(phase):
    """An animal 1 m long and 0.6 m high, running to the right."""
    canvas, fur = SpriteCanvas(1.2, 0.7, 120), (100, 105, 112)
    for i, x in enumerate((-0.25, -0.2, 0.2, 0.25)):
        reach = 0.14 * math.sin(phase + i * 2.2)
        canvas.limb((x, 0.3), (x + reach, 0.03 + 0.04 * (i % 2)), 0.05, 0.025, fur, 25.0)
    canvas.limb((-0.27, 0.38), (-0.52, 0.26), 0.03, 0.05, fur, 20.0)
    canvas.limb((-0.22, 0.37), (0.22, 0.38), 0.1, 0.09, fur, 27.0)
    canvas.limb((0.25, 0.42), (0.36, 0.5), 0.06, 0.06, fur, 29.0)
    canvas.limb((0.38, 0.5), (0.5, 0.46), 0.05, 0.02, fur, 32.0)
    canvas.poly([(0.31, 0.53), (0.33, 0.64), (0.38, 0.54)], fur, 30.0)
    return canvas.sprite(2.0)


def _car_end(front, paint, running):
    """The front or the back of a car, 2 m by 1.6 m."""
    canvas = SpriteCanvas(2.0, 1.6, 130)
    warm = 1.0 if running else 0.35
    dark = tuple(c * 0.5 for c in paint)
    for x in (-0.78, 0.78):
        canvas.rect(x - 0.12, 0.0, x + 0.12, 0.4, (10, 10, 10), 13 + 15 * warm)
    canvas.rect(-0.72, 0.2, 0.72, 0.4, (8, 8, 8), 12 + 17 * warm)
    canvas.poly(
        [(-0.9, 0.85), (-0.72, 1.45), (-0.6, 1.52), (0.6, 1.52), (0.72, 1.45), (0.9, 0.85)],
        paint,
        11.0,
    )
    canvas.poly(
        [
            (-0.88, 0.28),
            (-0.95, 0.5),
            (-0.93, 0.85),
            (-0.86, 0.97),
            (0.86, 0.97),
            (0.93, 0.85),
            (0.95, 0.5),
            (0.88, 0.28),
        ],
        paint,
        11.5 + 3.5 * warm,
    )
    canvas.poly(
        [(-0.76, 0.98), (-0.63, 1.42), (0.63, 1.42), (0.76, 0.98)],
        (15, 14, 15),
        7.0 if front else 9.5,
    )
    canvas.rect(-0.93, 0.3, 0.93, 0.45, dark, 11.0 + 5 * warm)
    if front:
        canvas.poly([(-0.8, 0.96), (-0.66, 0.86), (0.66, 0.86), (0.8, 0.96)], dark, 13 + 13 * warm)
        canvas.rect(-0.5, 0.34, 0.5, 0.78, (14, 14, 14), 14 + 24 * warm)
    else:
        canvas.oval(0.55, 0.24, 0.07, 0.05, (40, 40, 40), 12 + 33 * warm)
    canvas.rect(-0.26, 0.5, 0.26, 0.61, (110, 120, 120), 11.0 + 2 * warm)
    for x in (-0.72, 0.72):
        lamp = ((255, 250, 240) if front else (60, 50, 240)) if running else (24, 20, 70)
        canvas.rect(x - 0.15, 0.66, x + 0.15, 0.82, lamp, 12.0 + 5 * warm)
    return canvas.sprite(1.6)


def _car_side(paint):
    """The left side of a parked car, 4.2 m by 1.6 m, nose to the left."""
    canvas = SpriteCanvas(4.2, 1.6, 90)
    canvas.poly(
        [
            (-2.05, 0.3),
            (-2.08, 0.7),
            (-1.9, 0.88),
            (-1.05, 0.99),
            (-0.45, 1.48),
            (1.85, 1.5),
            (2.08, 0.95),
            (2.1, 0.28),
        ],
        tuple(c * 0.8 for c in paint),
        11.0,
    )
    canvas.poly([(-2.0, 0.5), (-1.95, 0.84), (-1.15, 0.95), (-1.1, 0.5)], paint, 19.0)
    canvas.poly([(-0.85, 1.0), (-0.38, 1.4), (1.75, 1.42), (1.9, 1.0)], (15, 14, 15), 8.0)
    canvas.rect(0.5, 0.98, 0.6, 1.44, paint, 11.0)
    for x in (-1.3, 1.35):
        canvas.oval(x, 0.34, 0.34, 0.34, (8, 8, 8), 18.0)
        canvas.oval(x, 0.34, 0.18, 0.18, (26, 28, 31), 22.0)
    return canvas.sprite(1.6)


def _post():
    """A street lamp, its arm to the left, from 1.9 m left of the post to 0.1 m right of it."""
    canvas, steel = SpriteCanvas(2.0, 6.0, 45), (34, 36, 36)
    canvas.rect(0.85, 0.0, 0.95, 5.6, steel, 9.0)
    canvas.rect(0.81, 0.0, 0.99, 0.9, steel, 13.0)
    canvas.limb((0.9, 5.6), (0.9 - LAMP_ARM, LAMP_Y + 0.2), 0.05, 0.04, steel, 9.0)
    canvas.poly([(-0.9, 5.5), (-0.8, 5.75), (-0.3, 5.78), (-0.25, 5.5)], (150, 220, 255), 33.0)
    return canvas.sprite(1.0)


def _glow(colour, streak, mirror):
    """Bloom of a lamp, uint8 (129, 129, 3): a core that saturates, a halo, a horizontal flare; and
    its reflection on the road, ``mirror`` times as bright."""
    y, x = np.mgrid[-1:1:129j, -1:1:129j]
    r = np.hypot(x, y)
    light = 5.0 * np.exp(-((r / 0.085) ** 2)) + 0.75 * np.exp(-r / 0.16)
    flare = light + streak * np.exp(-np.abs(y) / 0.02 - np.abs(x) / 0.3)
    flare = (flare * np.clip(1.25 * (1 - r), 0, 1))[..., None]
    glow = np.array(colour) * flare + 90 * np.maximum(flare - 1, 0)
    smear = mirror * np.array(colour) * np.exp(-((x / 0.22) ** 2) - (y / 0.45) ** 2)[..., None]
    return [np.clip(a, 0, 255).astype(np.uint8) for a in ((glow, smear) if mirror else (glow,))]


class Cast:
    """The sprites that every scene shares."""

    def __init__(self):
        looks = [(False, 1.0), (True, 1.06), (False, 0.92)]
        turns = [2 * math.pi * i / PHASES for i in range(PHASES)]
        self.people = {
            (side, i): [_person(turn, side, *look) for turn in turns]
            for i, look in enumerate(looks)
            for side in (False, True)
        }
        self.fox = [_fox(turn) for turn in turns]
        self.lead = _car_end(False, (26, 24, 44), True)
        self.oncoming = _car_end(True, (30, 28, 26), True)
        self.parked = _car_end(False, (22, 26, 31), False)
        self.parked_side = _car_side((20, 24, 28))
        self.post = _post()
        self.glows = {
            'lamp': _glow(SODIUM, 0.25, 0),
            'head': _glow(COOL, 1.2, 0.25),
            'tail': _glow(RED, 0.2, 0.4),
        }


cast = functools.lru_cache(maxsize=1)(Cast)  # drawn once per process, when first needed
