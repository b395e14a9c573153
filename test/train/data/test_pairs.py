"""Pairs from folders: what is used, left out and refused; crops."""

import re

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')
for package in ('lightning_fabric', 'pydantic', 'safetensors', 'onnx', 'onnxscript', 'matplotlib'):
    pytest.importorskip(package, reason='training needs the train extra')

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.stems import Selection
from multimodal_fusion.train.data import pairs as pairs_module
from multimodal_fusion.train.data.pairs import (
    Crops,
    ImagePair,
    Streamed,
    large_enough,
    load_folders,
    load_pairs,
)

from ...helpers.runs import (
    scene,
)


def test_crops_depend_on_seed_and_step_alone_and_stay_registered():
    pairs = [ImagePair(str(seed), image, image) for seed in range(3) for image in scene(seed)]
    crops = Crops(pairs, 40, 5, seed=1)
    thermal, visible = crops(3)
    assert thermal.shape == visible.shape == (5, 1, 40, 40)
    assert thermal.dtype == torch.float32
    assert 0 <= thermal.min() < thermal.max() <= 1
    assert torch.equal(thermal, visible)
    crops(4)
    assert torch.equal(crops(3)[0], thermal)
    assert not torch.equal(crops(4)[0], thermal)
    assert not torch.equal(Crops(pairs, 40, 5, seed=2)(3)[0], thermal)


def test_crops_come_from_every_place_in_all_eight_poses():
    image = np.zeros((33, 33), np.uint8)
    image[0, 1] = 255  # in a 32-pixel crop at (0, 1), with 8 poses, at (0, 0), with 4, or outside
    crops = Crops([ImagePair('a', image, image)], 32, 64, seed=0)
    spots = torch.cat([torch.nonzero(crops(step)[0])[:, 2:] for step in range(4)])
    assert len(spots.unique(dim=0)) == 8 + 4


def test_pairs_that_are_left_out_and_those_that_are_chosen(data, tmp_path, capsys):
    apart, some = tmp_path / 'apart.txt', tmp_path / 'some.txt'
    apart.write_text('s1\ns4\n')
    some.write_text('s0\ns3\n')
    whole = load_folders(data)
    found = load_folders(data, selection=Selection.read(None, apart))
    assert [p.stem for p in found.train] == ['s0', 's2', 's3']
    assert [p.stem for p in found.validation] == ['s5', 's6']
    assert '1 of 4 pairs of' in capsys.readouterr().err
    chosen = load_folders(data, selection=Selection.read(some, apart))
    assert [p.stem for p in chosen.train] == ['s0', 's3']
    assert [p.stem for p in chosen.validation] == ['s5', 's6']
    assert len({x.fingerprint for x in (whole, found, chosen)}) == 3
    some.write_text('s0\ns1\n')
    with pytest.raises(UserError, match=r's1 is named in .*some.txt, and .*apart.txt keeps it'):
        load_folders(data, selection=Selection.read(some, apart))


def test_visible_becomes_luma(data):
    pair = load_pairs(data / 'val')[0][0]
    visible, thermal = scene(4)
    assert pair.stem == 's4'
    np.testing.assert_array_equal(pair.visible, visible)
    np.testing.assert_array_equal(pair.thermal, thermal)


def break_layout(data):
    (data / 'val/ir').rename(data / 'val/warm')


def break_pairing(data):
    (data / 'train/ir/s1.png').unlink()
    (data / 'train/vis/s2.png').unlink()


def leave_one_pair(data):
    for seed in (1, 2, 3):
        for kind in ('vis', 'ir'):
            (data / f'train/{kind}/s{seed}.png').unlink()


def resize_one(data):
    cv2.imwrite(str(data / 'train/ir/s1.png'), np.zeros((50, 56), np.uint8))


def shrink_one(data):
    for kind in ('vis', 'ir'):
        cv2.imwrite(str(data / f'train/{kind}/s1.png'), np.zeros((33, 40), np.uint8))


def shrink_far(data):
    for kind in ('vis', 'ir'):
        cv2.imwrite(str(data / f'val/{kind}/s5.png'), np.zeros((8, 9), np.uint8))


def garble_one(data):
    (data / 'train/ir/s1.png').write_text('not a picture')


def double_one(data):
    cv2.imwrite(str(data / 'train/vis/s1.jpg'), scene(1)[0])


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (break_layout, r'val holds vis, warm; expected one folder of visible and one of'),
        (leave_one_pair, r'train holds 1 pair that can be read; training needs at least two'),
        (resize_one, r'ir/s1.png is 56x50, .*vis/s1.png is 56x48: pairs must be registered'),
        (double_one, r'train/vis holds two images named s1 \(s1.jpg, s1.png\); keep one'),
    ],
)
def test_unusable_data_is_refused(data, damage, message):
    damage(data)
    with pytest.raises(UserError, match=message):
        load_folders(data)


@pytest.mark.parametrize(
    ('damage', 'left', 'message'),
    [
        (break_pairing, (2, 3), r'2 images of .*train have no partner .*\(s1, s2\)'),
        (shrink_far, (4, 2), r's5.png is 9x8, under 32 pixels; left out'),
        (shrink_one, (3, 3), r'1 of 4 images are smaller than the 36-pixel crops'),
    ],
)
def test_what_does_not_fit_is_left_out_and_counted(data, capsys, damage, left, message):
    damage(data)
    found = load_folders(data)
    train = large_enough(found.train, 36)
    assert (len(train), len(found.validation)) == left
    assert re.search(message, capsys.readouterr().err)


def test_when_nothing_is_large_enough_it_says_so(data):
    with pytest.raises(UserError, match=r'all 4 images are smaller than the 64-pixel crops; lower'):
        large_enough(load_folders(data).train, 64)


def test_thermal_of_16_bits_goes_through_the_preparation_of_the_node(data):
    """Counts of 7000 to 9000 become black to white, by percentiles."""
    ramp = np.linspace(7000, 9000, 48 * 56).astype(np.uint16).reshape(48, 56)
    cv2.imwrite(str(data / 'train/ir/s1.png'), ramp)
    thermal = next(p for p in load_folders(data).train if p.stem == 's1').thermal
    assert thermal.dtype == np.uint8 and thermal.min() == 0 and thermal.max() == 255


def test_a_flat_folder_is_split_by_the_seed(data):
    """Of four pairs one is for validation; the same one for the same seed."""
    first, again, other = (load_folders(data / 'train', seed) for seed in (1, 1, 5))
    stems = [[pair.stem for pair in found.validation] for found in (first, again, other)]
    assert len(stems[0]) == 1 and stems[0] == stems[1]
    assert len(first.train) == 3 and stems[0][0] not in [pair.stem for pair in first.train]
    assert len({tuple(p.stem for p in load_folders(data / 'train', s).validation)
                for s in range(9)}) > 1  # fmt: skip
    assert '3 pairs, 1 more drawn for validation' in first.description


def test_above_a_size_pairs_stay_on_disk_and_are_the_same(data, monkeypatch):
    kept = load_folders(data)
    monkeypatch.setattr(pairs_module, 'IN_MEMORY', 1000)
    streamed = load_folders(data)
    assert isinstance(streamed.train, Streamed) and not isinstance(kept.train, Streamed)
    assert streamed.fingerprint == kept.fingerprint
    one, other = (Crops(found.train, 32, 4, seed=1)(5) for found in (kept, streamed))
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_the_fingerprint_is_of_the_content_not_of_the_name(data, tmp_path):
    before = load_folders(data).fingerprint
    moved = data.rename(tmp_path / 'elsewhere')
    assert load_folders(moved).fingerprint == before
    cv2.imwrite(str(moved / 'train/ir/s1.png'), np.zeros((48, 56), np.uint8))
    assert load_folders(moved).fingerprint != before


def test_images_that_cannot_be_read_are_left_out_and_told(data, capsys):
    garble_one(data)
    whole = len(list((data / 'train/ir').iterdir()))
    assert len(load_pairs(data / 'train')[0]) == whole - 1
    assert 'left out' in capsys.readouterr().err
    for path in (data / 'train/ir').iterdir():
        path.write_text('not a picture')
    with pytest.raises(UserError, match=r'nothing in .*train can be read; the first: '):
        load_pairs(data / 'train')
