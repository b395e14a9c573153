"""Pairs made from images with foreground masks."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.cli import build_parser
from multimodal_fusion.errors import UserError
from multimodal_fusion.train.data.masks import (
    KINDS,
    MaskedImage,
    Synthesis,
    Synthesised,
    foreground,
    load_made,
    load_masked,
    spoil,
)

from ...helpers.data import DATA
from ...helpers.masks import masked_folder

HOW = Synthesis(gamma=[0.6, 1.8], blur=[1.0, 5.0], over=[1.4, 3.0], dark=[0.1, 0.6])


@pytest.fixture
def masked(tmp_path):
    return masked_folder(tmp_path / 'photos')


def image_with_disc(side=64):
    random = np.random.default_rng(0)
    image = cv2.resize(random.integers(20, 200, (16, 16), np.uint8), (side, side))
    mask = np.zeros((side, side), np.uint8)
    cv2.circle(mask, (side // 2, side // 2), side // 4, 1, -1)
    return MaskedImage('disc', image, mask > 0)


@pytest.mark.parametrize('kind', KINDS)
def test_the_original_is_the_blend_by_the_mask(kind):
    for seed in range(20):
        pair = spoil(image_with_disc(), kind, HOW, np.random.default_rng(seed))
        np.testing.assert_array_equal(np.where(pair.mask, pair.thermal, pair.visible), pair.target)
        assert (pair.thermal != pair.target)[~pair.mask].mean() > 0.5
        assert (pair.visible != pair.target)[pair.mask].mean() > 0.5


def test_focus_pairs_lose_detail_and_lighting_pairs_lose_level():
    """Blur keeps the mean and lowers the deviation; a gain below 0.6 or above 1.4 moves the mean.

    Over the whole image the spoilt half moves the mean by at least 0.4 x 20 grey levels x its
    share, for the disc (a fifth of the image) more than 1.5.
    """
    moved, flattened = {}, {}
    for kind in KINDS:
        changes = []
        for seed in range(20):
            pair = spoil(image_with_disc(), kind, HOW, np.random.default_rng(seed))
            target = pair.target.astype(float)
            for image in (pair.thermal, pair.visible):
                changes.append((abs(image.mean() - target.mean()), image.std() / target.std()))
        moved[kind], flattened[kind] = (
            np.min([c[0] for c in changes]),
            np.max([c[1] for c in changes]),
        )
    assert moved['lighting'] > 1.5 > moved['focus']
    assert flattened['focus'] < 1.02 < flattened['lighting']


def test_either_image_may_hold_the_foreground():
    source = image_with_disc()
    masks = [spoil(source, 'focus', HOW, np.random.default_rng(s)).mask for s in range(20)]
    foreground = [bool(mask[32, 32]) for mask in masks]
    assert 0 < sum(foreground) < 20


def test_batches_depend_on_seed_and_step_alone_and_are_half_of_each_kind(masked, monkeypatch):
    images = load_masked(masked).images
    batches = Synthesised(images, 32, 6, 3, HOW)
    one, other = batches(5), batches(6)
    assert one.first.shape == one.mask.shape == (6, 1, 32, 32)
    assert one.first.dtype == torch.float32
    assert set(one.mask.unique().tolist()) == {0.0, 1.0}
    batches(7)
    again = Synthesised(images, 32, 6, 3, HOW)(5)
    for part in ('first', 'second', 'target', 'mask'):
        assert torch.equal(getattr(one, part), getattr(again, part))
        assert not torch.equal(getattr(one, part), getattr(other, part))
    assert not torch.equal(one.target, Synthesised(images, 32, 6, 4, HOW)(5).target)
    kinds = []
    monkeypatch.setattr(
        'multimodal_fusion.train.data.masks.spoil',
        lambda source, kind, *rest: kinds.append(kind) or spoil(source, kind, *rest),
    )
    batches(5)
    assert sorted(kinds) == ['focus'] * 3 + ['lighting'] * 3


def test_every_tenth_image_is_for_validation(masked):
    found = load_masked(masked)
    assert [x.stem for x in found.validation] == ['m09', 'm19']
    assert len(found.train) == 18
    data = load_made(masked, 32, 0, HOW)
    assert [pair.stem for pair in data.validation] == ['m09', 'm19']
    assert data.description == 'photos, 18 images with foreground masks, 2 more for validation'
    same = load_made(masked, 32, 0, HOW).validation
    for pair, other in zip(data.validation, same, strict=True):
        np.testing.assert_array_equal(pair.thermal, other.thermal)


@pytest.mark.skipif(not (DATA / 'masks').is_dir(), reason='masked photographs not found')
def test_the_real_photographs_split_into_270_and_30():
    found = load_masked(DATA / 'masks')
    assert (len(found.train), len(found.validation), found.notes) == (270, 30, '')


@pytest.mark.parametrize('names', [('JPEGImages', 'SegmentationClass'), ('Images', 'Masks')])
def test_other_folder_names_are_known(tmp_path, names):
    assert len(load_masked(masked_folder(tmp_path / 'x', 10, names)).images) == 10


def test_a_colour_mask_is_black_in_the_background(masked):
    mask = np.zeros((44, 52, 3), np.uint8)
    mask[10:30, 10:30] = (0, 0, 128)
    cv2.imwrite(str(masked / 'masks/m03.png'), mask)
    assert load_masked(masked).images[3].mask.sum() == 400


def test_what_cannot_be_used_is_skipped_and_counted(masked):
    cv2.imwrite(str(masked / 'masks/m01.png'), np.zeros((44, 52), np.uint8))
    cv2.imwrite(str(masked / 'masks/m02.png'), np.full((44, 52), 255, np.uint8))
    (masked / 'masks/m04.png').unlink()
    found = load_masked(masked)
    assert len(found.images) == 17
    assert found.notes == '1 without mask, 1 empty masks, 1 full masks'
    assert load_made(masked, 32, 0, HOW).description.endswith(f'({found.notes} left out)')


def no_masks(folder):
    for path in (folder / 'masks').iterdir():
        path.unlink()


def other_name(folder):
    (folder / 'masks').rename(folder / 'labels')


def other_stems(folder):
    for path in (folder / 'masks').iterdir():
        path.rename(path.with_name(f'mask_{path.name}'))


def other_size(folder):
    cv2.imwrite(str(folder / 'masks/m05.png'), np.zeros((30, 52), np.uint8))


def all_empty(folder):
    for path in (folder / 'masks').iterdir():
        cv2.imwrite(str(path), np.zeros((44, 52), np.uint8))


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (no_masks, r'masks holds no images'),
        (other_name, r'photos holds images, labels; expected one folder of images and one of'),
        (other_stems, r'0 images with a usable mask \(20 without mask\); .* the same stem'),
        (other_size, r'm05.png is 52x30, its image m05.png is 52x44: a mask must have the size'),
        (all_empty, r'0 images with a usable mask \(20 empty masks\)'),
    ],
)
def test_unusable_folders_are_refused(masked, damage, message):
    damage(masked)
    with pytest.raises(UserError, match=message):
        load_masked(masked)


def test_images_smaller_than_a_crop_are_left_out_or_refused(masked, capsys):
    with pytest.raises(UserError, match=r'all 18 images are smaller than the 64-pixel crops'):
        load_made(masked, 64, 0, HOW)
    for kind in ('images', 'masks'):
        path = next((masked / kind).glob('m00.*'))
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(path), image[:40])
    assert len(load_made(masked, 42, 0, HOW).images) == 17
    assert '1 of 18 images are smaller than the 42-pixel crops' in capsys.readouterr().err


def test_preview_is_a_sheet_of_pairs(masked, tmp_path, capsys):
    arguments = ['data', 'preview', '--data', str(masked), '--rows', '5']
    config = tmp_path / 'c.yaml'
    packaged = build_parser(('data',)).parse_args([*arguments, '--out', str(tmp_path / 'p.png')])
    with pytest.raises(UserError, match=r'all 18 images are smaller than the 64-pixel crops'):
        packaged.run(packaged)
    from multimodal_fusion.host.share import share_file

    text = share_file('config/train/mobilefuse.yaml').read_text()
    config.write_text(text.replace('patch: 64', 'patch: 32'))
    arguments += ['--config', str(config), '--out', str(tmp_path / 'p.png')]
    args = build_parser(('data',)).parse_args(arguments)
    assert args.run(args) == 0
    assert 'original' in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / 'p.png'), cv2.IMREAD_GRAYSCALE)
    assert sheet.shape == (5 * 32, 4 * 32)
    first, second, target, mask = np.hsplit(sheet, 4)
    np.testing.assert_array_equal(np.where(mask > 0, first, second), target)


def soft(levels):
    """A mask whose edge goes through some levels between black and white."""
    row = [0] * 20 + levels + [255] * 20
    return np.tile(np.array(row, np.uint8), (30, 1))


@pytest.mark.parametrize(
    ('mask', 'foreground_share', 'grey'),
    [
        (soft([]), 20 / 40, False),
        (soft([60, 120, 180]), 21 / 43, True),  # 180 alone is over half
        (cv2.imdecode(cv2.imencode('.jpg', soft([]), [1, 50])[1], 0), 20 / 40, True),
        (soft([]) // 255, 20 / 40, False),  # 0 and 1
        (np.tile(np.repeat(np.arange(5, dtype=np.uint8), 8), (9, 1)), 4 / 5, False),  # numbers
        (np.tile(np.repeat(np.array([0, 38, 75, 113, 255], np.uint8), 8), (9, 1)), 4 / 5, False),
    ],
    ids=['hard', 'soft', 'JPEG', 'of ones', 'objects', 'classes'],
)
def test_what_of_a_mask_is_foreground(mask, foreground_share, grey):
    """JPEG's ringing round an edge was learnt as 11 to 36% of the foreground before."""
    found, soft_edged = foreground(mask)
    assert found.mean() == pytest.approx(foreground_share, abs=0.005)
    assert soft_edged is grey
