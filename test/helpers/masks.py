"""A folder of images with foreground masks, for tests of what is trained on them."""

import cv2
import numpy as np


def masked_folder(folder, count=20, names=('images', 'masks'), height=44, width=52):
    """Textured images m00.png, m01.png, ... and their masks, a filled square each."""
    for name in names:
        (folder / name).mkdir(parents=True)
    for number in range(count):
        random = np.random.default_rng(number)
        image = cv2.resize(random.integers(0, 256, (11, 13), np.uint8), (width, height))
        mask = np.zeros((height, width), np.uint8)
        top, left = random.integers(4, 16, 2)
        mask[top : top + 20, left : left + 22] = 255
        cv2.imwrite(str(folder / names[0] / f'm{number:02}.png'), image)
        cv2.imwrite(str(folder / names[1] / f'm{number:02}.png'), mask)
    return folder
