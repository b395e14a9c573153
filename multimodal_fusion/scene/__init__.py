"""A synthetic night road, filmed by a registered thermal and colour camera pair.

The street is a trough (facade, ground, facade) that repeats every ``LOOP`` metres. It is unrolled
into one tall texture, so a frame of the moving background is a single ``cv2.remap`` through a
fixed map over a sliding window of that texture. Everything else (people, cars, lamp posts) is a
flat sprite, warped to its place and blended from far to near.
"""

from .night_road import CLASSES, IGNORE, Box, Scene

__all__ = ['CLASSES', 'IGNORE', 'Box', 'Scene']
