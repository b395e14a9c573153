"""Intersection over union by hand, and masks as people give them."""

import cv2
import numpy as np
import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.evaluate.segmentation import confusion, intersection_over_union, read_masks
from multimodal_fusion.io.mask_files import IGNORE

CLASSES = ('other', 'person', 'car')


def test_intersection_over_union_by_hand():
    """Class 0: one of two found, nothing else called it: 1/2. Class 1: one right, one that is 0:
    1/2. Class 2 is nowhere; the last pixel nobody knows."""
    counts = confusion(np.array([0, 1, 1, 1]), np.array([0, 0, 1, IGNORE]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    found = intersection_over_union(counts)
    assert found[:2].tolist() == [0.5, 0.5] and np.isnan(found[2])


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / 'set/masks'
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / 'a.png'), np.array([[0, 1], [2, IGNORE]], np.uint8))
    return folder


def test_masks_in_the_numbers_of_the_segmenter(masks):
    found = read_masks(masks, {'a': (2, 2), 'b': (2, 2)}, CLASSES)
    assert list(found) == ['a'] and found['a'].tolist() == [[0, 1], [2, IGNORE]]


def test_masks_with_names_of_their_own(masks):
    """What the segmenter does not know is its first class."""
    (masks.parent / 'classes.txt').write_text('nothing\nCar\nbicycle\n')
    assert read_masks(masks, {'a': (2, 2)}, CLASSES)['a'].tolist() == [[0, 2], [0, IGNORE]]
    (masks.parent / 'classes.txt').write_text('nothing\ncat\ndog\n')
    with pytest.raises(UserError, match='have no class in common: the masks have nothing, cat'):
        read_masks(masks, {'a': (2, 2)}, CLASSES)


@pytest.mark.parametrize(
    ('sizes', 'classes', 'text'),
    [
        ({'a': (4, 2)}, CLASSES, 'is 2x2, its images are 2x4: they must be of one size'),
        ({'b': (2, 2)}, CLASSES, 'needs STEM.png for some of b'),
        ({'a': (2, 2)}, CLASSES[:2], 'has the class 2, and the classes are 2: other, person'),
    ],
)
def test_masks_that_are_refused(masks, sizes, classes, text):
    with pytest.raises(UserError, match=text):
        read_masks(masks, sizes, classes)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(UserError, match='does not exist or is not a folder'):
        read_masks(tmp_path / 'none', {'a': (2, 2)}, CLASSES)
