"""Lists of stems: what they choose, leave out and refuse, and the list that the package ships."""

from pathlib import Path

import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.stems import Selection, StemList

from ..helpers.data import DATA, needs_data

PAIRS = [Path(f'{stem}.png') for stem in ('a1', 'a2', 'b1', 'b2', 'c[1]')]


def listed(path, text):
    path.write_text(text)
    return path


def stems(pairs):
    return [pair.stem for pair in pairs]


def test_nothing_asked_chooses_all():
    for empty in (None, ''):
        assert Selection.read(empty, empty).choose(PAIRS, 'here') == PAIRS


@pytest.mark.parametrize('ending', ['\n', '\r\n'])
def test_stems_and_patterns_with_remarks(tmp_path, ending):
    text = ending.join(('# two', 'b*  # all of b', '', ' a2 ', 'c[1]', ''))
    path = listed(tmp_path / 'x.txt', text)
    assert stems(Selection.read(path).choose(PAIRS, 'here')) == ['a2', 'b1', 'b2', 'c[1]']


def test_without_leaves_out_and_counts(tmp_path, capsys):
    path = listed(tmp_path / 'x.txt', 'a1\nnowhere\n[unscored]\nb*\n')
    assert stems(Selection.read(None, path).choose(PAIRS, 'here')) == ['a2', 'c[1]']
    assert '3 of 5 pairs of here are left out, by x.txt' in capsys.readouterr().err
    assert Selection.read(None, path).leave_out(PAIRS[1:2], 'here') == PAIRS[1:2]
    assert not capsys.readouterr().err


def test_what_is_unscored_is_not_chosen(tmp_path):
    path = listed(tmp_path / 'x.txt', 'a1\n[unscored]\nb*\n')
    assert stems(Selection.read(path).choose(PAIRS, 'here')) == ['a1']


def test_both_lists(tmp_path):
    some, apart = listed(tmp_path / 's.txt', 'a*\n'), listed(tmp_path / 'w.txt', 'b1\n')
    assert stems(Selection.read(some, apart).choose(PAIRS, 'here')) == ['a1', 'a2']
    apart.write_text('nothing\n[unscored]\na2\n')
    with pytest.raises(UserError, match=r'a2 is named in .*s.txt, and .*w.txt keeps it apart: tak'):
        Selection.read(some, apart).choose(PAIRS, 'here')


def test_refusals(tmp_path):
    path = listed(tmp_path / 'x.txt', 'frame_13\n')
    with pytest.raises(UserError, match=r"has no 'frame_13', named in .*x.txt; .* 'frame_12'"):
        Selection.read(path).choose([Path('frame_12.png')], 'here')
    path.write_text('z*\n')
    with pytest.raises(UserError, match=r"here has no 'z\*'"):
        Selection.read(path).choose(PAIRS, 'here')
    path.write_text('*')
    with pytest.raises(UserError, match=r'5 of 5 pairs of here are left out: .* names all of them'):
        Selection.read(None, path).choose(PAIRS, 'here')
    for text, message in (
        ('# nothing\n', 'names no stem'),
        ('[unscored]\n', 'names no stem'),
        ('a1 b1\n', 'expected a stem, a pattern or .unscored. on a line, got .a1 b1'),
        ('[other]\na1\n', 'got .*other'),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            StemList.read(path)
    with pytest.raises(UserError, match=r'nowhere.txt does not exist; it should name a stem a lin'):
        StemList.read(tmp_path / 'nowhere.txt')
    with pytest.raises(UserError, match='no regular file'):
        StemList.read(tmp_path)


def test_the_shipped_list_is_found_by_its_name_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = StemList.read('config/train/ivif_test.txt')
    assert len(shipped.named) == len(set(shipped.named)) == 64
    assert shipped.unscored == ('llvip_020*',)
    assert all(map(shipped.holds, StemList.read('config/train/ivif_test_llvip.txt').named))


@needs_data
def test_no_training_frame_is_near_a_listed_one():
    """Whole runs: 10 numbers and more between them, in both parts of the frames' names."""
    shipped = StemList.read('config/train/ivif_test.txt')
    for split in ('train', 'val'):
        kept: dict[str, list[int]] = {}
        listed: dict[str, list[int]] = {}
        for path in (DATA / f'ivif/{split}/ir').iterdir():
            family = ''.join(c for c in path.stem if not c.isdigit())
            number = int(''.join(c for c in path.stem if c.isdigit()))
            (listed if shipped.holds(path.stem) else kept).setdefault(family, []).append(number)
        assert bool(listed) == (split == 'train')
        for family, numbers in listed.items():
            others = kept.get(family, [])
            assert all(abs(n - o) > 10 for n in numbers for o in others), family


@needs_data
def test_no_box_or_mask_by_people_is_lost():
    shipped = StemList.read('config/train/ivif_test.txt')
    for part in ('labels', 'person_masks_derived'):
        assert not any(shipped.holds(p.stem) for p in (DATA / 'ivif/train' / part).iterdir())
    masked = [p.stem for s in ('train', 'val') for p in (DATA / f'segmentation/{s}/vis').iterdir()]
    assert masked and not any(map(shipped.holds, masked))
