"""The layout of the street, and the units of its textures and temperatures.

World axes: X right, Y up from the ground, Z forward, in metres; the camera is at (0, CAMERA, 0).
Temperatures are degrees Celsius.
"""

import numpy as np

CAMERA = 1.5  # height of the camera
LEFT, RIGHT, WALL = -7.5, 6.2, 8.5  # where the facades stand, and how high their texture goes
LOOP, LAP = 48.0, 24.0  # the street repeats after this many metres, driven in this many seconds
ZEBRA = 9.5  # Z of the zebra crossing
GROUND_PPM, WALL_PPM, Z_PPM = 40, 32, 32  # texels per metre: across, up, along
GROUND_W, WALL_W = round((RIGHT - LEFT) * GROUND_PPM), round(WALL * WALL_PPM)
ROWS, COLS = round(LOOP * Z_PPM), GROUND_W + 2 * WALL_W
EYE = round((WALL - CAMERA) * WALL_PPM)  # texels of facade that lie above the horizon
LEVELS = ((1, 1), (4, 1), (16, 2), (64, 4), (256, 4))  # (blur along Z, shrink across) per mip level
LAMPS = ((3.95, 18.0), (3.95, 42.0), (-5.1, 30.0))  # X, Z of the posts; the crossing stays dark
LAMP_Y, LAMP_ARM = 5.5, 1.5
SODIUM, WARM = (70, 165, 255), (150, 215, 255)  # light of the street lamps and the shops, BGR
ZERO_C = 27315  # 0 degrees Celsius in centikelvin
WHITE = 38.0  # degrees shown as grey 255; 0 degrees is grey 0
# Heat is drawn in grey levels, which OpenCV blends far faster than uint16, and decoded at the end.
DECODE = np.round(np.arange(256) * WHITE / 255 * 100 + ZERO_C).astype(np.uint16)
DECODE[0] = ZERO_C - 1800  # only the clear sky is that cold


def grey(celsius):
    return np.clip(np.asarray(celsius) * (255 / WHITE) + 0.5, 0, 255)
