"""Data sets are found by the names of their folders; pairs by equal stems."""

import cv2
import numpy as np
import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.datasets import find_pairs, find_sets


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
        ('visible', 'lwir', 'KAIST'),
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


def test_sets_of_a_share(tmp_path, monkeypatch):
    kaist = tmp_path / 'share/kaist/images/set00/V000'
    for folder, names in ((kaist, ('visible', 'lwir')), (tmp_path / 'share/m3fd', ('Vis', 'Ir'))):
        for name in names:
            fill(folder / name, 'a')
    fill(tmp_path / 'share/.hidden/vis', 'a')
    fill(tmp_path / 'share/.hidden/ir', 'a')
    fill(tmp_path / 'share/odd', 'a')
    both = sorted(map(str, (kaist, tmp_path / 'share/m3fd')))
    share = str(tmp_path / 'share')
    assert find_sets(share) == find_sets(f'{share}/') == find_sets(f'{share}/*') == both
    assert find_sets(f'{share}/m*') == find_sets(both[1]) == both[1:]
    monkeypatch.chdir(tmp_path)
    assert find_sets('share/m3fd') == ['share/m3fd']
    listed = tmp_path / 'sets.txt'
    listed.write_text(f'{share}/m*\n# no more\n{tmp_path}/gone\n')
    assert find_sets(str(listed)) == sorted([both[1], f'{tmp_path}/gone'])  # told when it is read
    with pytest.raises(UserError, match='gives no data set'):
        find_sets(f'{share}/o*')


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
