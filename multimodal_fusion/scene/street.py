"""The street without objects: facades, ground and light, unrolled into one texture."""

import functools
import math

import cv2
import numpy as np

from .world import (
    COLS,
    EYE,
    GROUND_PPM,
    GROUND_W,
    LAMP_ARM,
    LAMP_Y,
    LAMPS,
    LEFT,
    LEVELS,
    LOOP,
    RIGHT,
    ROWS,
    SODIUM,
    WALL,
    WALL_PPM,
    WALL_W,
    WARM,
    Z_PPM,
    ZEBRA,
    grey,
)


def _smooth(rng, rows, cols, cell, sigma):
    """Random relief, float32 (rows, cols), with features of about ``cell`` texels."""
    small = rng.normal(0, sigma, (rows // cell + 1, cols // cell + 1)).astype(np.float32)
    return cv2.resize(small, (cols, rows), interpolation=cv2.INTER_CUBIC)


def _facade(rng, signs):
    """One side of the street: reflectance and glow (WALL_W, ROWS, 3), Celsius (WALL_W, ROWS),
    and the columns of shop windows. Columns go from left to right as seen from the road."""
    paint = np.zeros((WALL_W, ROWS, 3), np.float32)
    glow = np.zeros((WALL_W, ROWS, 3), np.uint8)
    heat = np.full((WALL_W, ROWS), -18.0, np.float32)
    glow[:] = (24, 13, 9)  # the night sky above the roofs

    def up(metres):
        return round((WALL - metres) * WALL_PPM)

    def block(x, y, w, h, colour=None, light=None, celsius=None):
        area = np.s_[up(y + h) : up(y), max(0, round(x * Z_PPM)) : round((x + w) * Z_PPM)]
        for image, value in ((paint, colour), (glow, light), (heat, celsius)):
            if value is not None:
                image[area] = value

    start, shops = 0.0, []
    widths = rng.permutation([8.0, 10.0, 14.0, 16.0])
    for width, sign in zip(widths, signs, strict=True):
        roof = float(rng.uniform(6.6, 8.2))
        brick = np.array(
            [(62, 74, 118), (78, 88, 104), (96, 104, 112), (58, 66, 92)][rng.integers(4)]
        )
        block(start, 0, width, roof, brick, (0, 0, 0), 10.0 + rng.uniform(-0.8, 0.8))
        left, bricks = round(start * Z_PPM), int(width * Z_PPM / 13)
        for row, y in enumerate(range(WALL_W, up(roof) + 5, -5)):  # bricks of 13 by 5 texels
            tone = np.repeat(rng.uniform(0.75, 1.2, bricks), 13)[:, None]
            course = paint[y - 5 : y, left + 6 * (row % 2) :][:, : 13 * bricks]
            course *= tone[: course.shape[1]]
            course[:, ::13] = course[0] = 40
        block(start, roof - 0.3, width, 0.3, (120, 125, 130), None, 8.5)
        block(start + width - 0.1, 0, 0.1, roof, (30, 30, 32), None, 9.0)
        for x in np.arange(start + 0.8, start + width - 1.6, 2.1):
            for y in np.arange(3.6, roof - 1.9, 2.4):
                lit = rng.random() < 0.3
                tone = rng.uniform(0.35, 0.95) * np.array(
                    [(90, 175, 235), (120, 190, 225), (190, 190, 170)][rng.integers(3)]
                )
                block(x - 0.08, y - 0.1, 1.26, 1.66, (105, 110, 112), None, 10.6)
                block(x, y, 1.1, 1.45, (26, 22, 20), tone if lit else (9, 6, 4), 9.2)
                if lit:
                    block(x, y, 0.25, 1.45, None, tone * 0.6)
                block(x + 0.52, y, 0.06, 1.45, (70, 70, 70), (0, 0, 0))
                block(x, y + 0.95, 1.1, 0.05, (70, 70, 70), (0, 0, 0))
        if sign:
            x, w, (text, light) = start + 1.2, min(width - 4.0, 6.0), sign
            shops.append(x + w / 2)
            block(x - 0.15, 0.3, w + 0.3, 2.9, (40, 40, 44), (0, 0, 0), 10.5)
            block(x, 0.5, w, 1.9, (30, 30, 30), np.array(WARM) * 0.62, 10.9)
            for i in range(int(w / 0.4)):  # goods on shelves
                block(x + 0.4 * i, 0.55, 0.3, rng.uniform(0.2, 1.2), None, rng.uniform(20, 150, 3))
            for i in range(4):
                block(x + i * w / 3 - 0.04, 0.5, 0.08, 1.9, (30, 30, 30), (0, 0, 0))
            scale = 0.95 * w * Z_PPM / cv2.getTextSize(text, 3, 1.0, 2)[0][0]
            scale = min(scale, 0.72)
            textw = cv2.getTextSize(text, 3, scale, 2)[0][0]
            at = (round((x + w / 2) * Z_PPM - textw / 2), up(2.6))
            cv2.putText(glow, text, at, 3, scale, light, 3, cv2.LINE_AA)
        block(start + width - 1.9, 0, 1.1, 2.2, (34, 40, 58), (0, 0, 0), 10.8)
        pipe = start + width - 0.5
        block(pipe, 0.2, 0.16, roof - 1.2, None, None, rng.uniform(19, 26))  # a heating pipe
        start += width
    return paint, glow, heat + _smooth(rng, WALL_W, ROWS, 30, 0.25), shops


def _ground(rng):
    """Reflectance (ROWS, GROUND_W, 3) and Celsius (ROWS, GROUND_W) of road and pavements."""
    paint = np.full((ROWS, GROUND_W), 62, np.float32)
    paint += _smooth(rng, ROWS, GROUND_W, 40, 5) + rng.normal(0, 7, paint.shape).astype(np.float32)
    heat = 9.5 + _smooth(rng, ROWS, GROUND_W, 60, 0.25)

    def area(x0, x1, z0=0.0, z1=LOOP):
        return np.s_[
            round(z0 * Z_PPM) : round(z1 * Z_PPM),
            round((x0 - LEFT) * GROUND_PPM) : round((x1 - LEFT) * GROUND_PPM),
        ]

    for x0, x1 in ((LEFT, -4.9), (3.7, RIGHT)):  # pavements: slabs, and a kerb
        slabs = paint[area(x0, x1)]
        slabs += 26
        slabs[::20], slabs[:, ::24] = 45, 45
        heat[area(x0, x1)] -= 1.2
    for x0, x1 in ((-4.98, -4.83), (3.6, 3.75)):
        paint[area(x0, x1)], heat[area(x0, x1)] = 130, 10.6
    for x in (-4.0, -2.4, -0.75, 0.75):  # wheel tracks are worn, and a little warmer
        paint[area(x - 0.2, x + 0.2)] -= 6
        heat[area(x - 0.25, x + 0.25)] += 0.7
    for z in np.arange(0, LOOP, 6.0):
        paint[area(-1.67, -1.53, z, z + 3)] = 215
        paint[area(1.7, 1.8, z, z + 6)] = 170
    paint[area(-4.8, 1.7, ZEBRA - 2.5, ZEBRA + 2.5)] = 58
    for x in np.arange(-4.6, 1.6, 1.0):
        paint[area(x, x + 0.5, ZEBRA - 1.6, ZEBRA + 1.6)] = 200
    paint[area(-0.1, 1.5, ZEBRA - 3.0, ZEBRA - 2.65)] = 200
    for x, z in ((0.6, 3.0), (-3.1, 21.0), (0.3, 31.0)):  # manholes: plain iron, warm steam below
        at = (round((x - LEFT) * GROUND_PPM), round(z * Z_PPM))
        cv2.ellipse(paint, at, (14, 11), 0, 0, 360, 44, -1)
        cv2.ellipse(heat, at, (18, 14), 0, 0, 360, 16.0, -1)
        cv2.ellipse(heat, at, (14, 11), 0, 0, 360, 25.0, -1)
    return np.repeat(paint[..., None], 3, 2) * np.float32([1.0, 1.0, 0.97]), heat


def _lighting(shops):
    """Light falling on the unrolled street, float32 (ROWS, COLS, 3), from lamps and shops."""
    cols, rows = COLS // 10, ROWS // 16
    u = (np.arange(cols) + 0.5) * COLS / cols
    left, right = u < WALL_W, u >= WALL_W + GROUND_W
    x = np.clip((u - WALL_W) / GROUND_PPM + LEFT, LEFT, RIGHT)
    y = np.where(left, WALL_W - u, np.where(right, u - WALL_W - GROUND_W, 0)) / WALL_PPM
    normal = np.stack([left * 1.0 - right, ~(left | right)])
    z = ((np.arange(rows) + 0.5) * LOOP / rows)[:, None]
    light = np.full((rows, cols, 3), (0.20, 0.15, 0.13), np.float32)
    sources = [
        (px - math.copysign(LAMP_ARM, px), LAMP_Y - 0.1, pz, SODIUM, 22.0) for px, pz in LAMPS
    ]
    sources += [(sx, 1.7, sz, WARM, 0.75) for sx, sz in shops]
    for sx, sy, sz, colour, power in sources:
        for lap in (-LOOP, 0, LOOP):
            to = np.stack(np.broadcast_arrays(sx - x, sy - y, sz + lap - z))
            facing = np.maximum(normal[0] * to[0] + normal[1] * to[1], 0)
            strength = power * facing / np.maximum((to * to).sum(0), 0.3) ** 1.5
            light += (strength[..., None] * (np.array(colour) / 255)).astype(np.float32)
    return cv2.resize(light, (COLS, ROWS), interpolation=cv2.INTER_LINEAR)


def _mips(street):
    """Ever blurrier copies side by side, two laps long: any window of one lap can be sliced."""
    levels, cols = [], street.shape[1]
    for blur, shrink in LEVELS:
        wrapped = np.concatenate([street[-blur:], street, street[:blur]])
        level = cv2.blur(wrapped, (1, blur))[blur : blur + ROWS]
        levels.append(cv2.resize(level, (cols // shrink, ROWS), interpolation=cv2.INTER_AREA))
    lap = np.concatenate(levels, axis=1)
    return np.concatenate([lap, lap, lap[:2]])


def _bands(street):
    """Mip levels of what lies above the horizon (Z along columns) and below it (Z along rows), each
    as the rows of a picture run through it, which is twice as fast as one texture for both."""
    above = _mips(np.concatenate([street[:, -EYE:], street[:, :EYE]], axis=1))
    return np.ascontiguousarray(above.swapaxes(0, 1)), _mips(street[:, EYE:-EYE])


def _unrolled(left, right, middle):
    right = right[::-1, ::-1]  # facing the other way, and from the ground up
    return np.concatenate([left.swapaxes(0, 1), middle, right.swapaxes(0, 1)], axis=1)


def _parts(seed):
    """Ground, and the left and the right facade, as `_ground` and `_facade` give them."""
    rng = np.random.default_rng(seed)
    ground = _ground(rng)
    left = _facade(rng, [('CAFE LUNA', (90, 120, 255)), None, ('HOTEL', (120, 255, 160)), None])
    right = _facade(rng, [None, ('PHARMACY', (110, 255, 90)), None, ('24h SHOP', (255, 190, 90))])
    return ground, left, right


@functools.lru_cache(maxsize=1)
def street(seed):
    """The unrolled street: the bands of colour, and those of heat, in uint8 levels."""
    (ground, warmth), left, right = _parts(seed)
    lamps = [(LEFT + 0.8, x) for x in left[3]] + [(RIGHT - 0.8, LOOP - x) for x in right[3]]
    paint = _unrolled(left[0], right[0], ground) * _lighting(lamps)
    colour = np.clip(paint + _unrolled(left[1], right[1], 0 * ground), 0, 255).astype(np.uint8)
    celsius = _unrolled(left[2], right[2], warmth)
    return _bands(colour), _bands(grey(celsius).astype(np.uint8))


@functools.lru_cache(maxsize=1)
def kinds(seed):
    """What the street is made of, as bands like those of `street`: 0 sky, 128 building, 255 ground,
    so that what is blended lies near one of them."""
    (_, warmth), left, right = _parts(seed)
    walls = (np.where(facade[2] < -8, 0, 128).astype(np.uint8) for facade in (left, right))
    return _bands(_unrolled(*walls, np.full(warmth.shape, 255, np.uint8)))
