"""Data sets are found by the names of their folders; pairs by equal stems."""

import cv2
import numpy as np
import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.datasets import find_pairs


def fill(folder, *stems, suffix='.png'):
    folder.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        cv2.imwrite(str(folder / f'{stem}{suffix}'), np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize(
    ('visible', 'thermal', 'layout'),
    [
        ('vis', 'ir', 'ours'),
        ('vi', 'ir', 'MSRS'),
        ('test/vi', 'test/ir', 'MSRS'),
        ('Vis', 'Ir', 'ours'),  # M3FD
        ('crop_LR_visible', 'cropinfrared', 'RoadScene'),
        ('visible/test', 'infrared/test', 'LLVIP'),
        ('input/VI', 'input/IR', 'VIFB'),
        ('visible', 'infrared', 'TNO'),
        ('PET', 'MRI', 'Harvard PET'),
        ('SPECT', 'MRI', 'Harvard SPECT'),
        ('rgb', 'thermal', 'plain'),
    ],
)
def test_known_layouts(tmp_path, visible, thermal, layout):
    fill(tmp_path / visible, 'b', 'a', suffix='.jpg')
    fill(tmp_path / thermal, 'a', 'b', 'c')
    found = find_pairs(tmp_path)
    assert found.layout == layout
    assert [pair.stem for pair in found.pairs] == ['a', 'b']
    assert found.pairs[0].visible == tmp_path / visible / 'a.jpg'
    assert found.alone == ['c']


def test_what_cannot_be_paired(tmp_path):
    with pytest.raises(UserError, match='does not exist or is not a folder'):
        find_pairs(tmp_path / 'none')
    fill(tmp_path / 'left', 'a')
    with pytest.raises(UserError, match=r'holds left; expected one folder of visible'):
        find_pairs(tmp_path)
    fill(tmp_path / 'vis', 'a')
    fill(tmp_path / 'ir', 'b')
    with pytest.raises(UserError, match=r'no file name in common \(such as a and b\)'):
        find_pairs(tmp_path)
    fill(tmp_path / 'ir', 'b', suffix='.bmp')
    with pytest.raises(UserError, match=r'two images named b \(b.bmp, b.png\); keep one'):
        find_pairs(tmp_path)
    (tmp_path / 'empty' / 'vis').mkdir(parents=True)
    (tmp_path / 'empty' / 'ir').mkdir()
    with pytest.raises(UserError, match='holds no images'):
        find_pairs(tmp_path / 'empty')
