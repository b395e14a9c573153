"""Annotations of collections: bags and data sets, cut into tasks."""

import json

import cv2
import pytest

pytest.importorskip('torch', reason='training data need the train extra')

from multimodal_fusion.cli import main
from multimodal_fusion.train.data.text import read_annotations

from ...helpers.bags import Planted, flight, scene

OFFSET = ['--set', 'sync.thermal_time_offset=0.12', '--set', 'thermal.memory=0.5']


def annotate(capsys, *words):
    rc = main(['data', 'annotate', *map(str, words), '--json', '--jobs', '1'])
    told = capsys.readouterr()
    return rc, told.out and json.loads(told.out), told.err


def test_bags_whole_and_cut_give_the_same_lines(tmp_path, capsys):
    for number in range(2):
        flight(tmp_path / f'in/flight{number}', Planted(seconds=6 + number))
    (tmp_path / 'in/none.mcap').write_bytes(b'no bag')
    found = []
    for length in ('100', '2'):
        words = ['--bags', tmp_path / 'in', '--out', tmp_path / length, '--stretch', length]
        rc, facts, err = annotate(capsys, *words, '--every', '0.5', *OFFSET)
        assert rc == 0 and facts['bags'] == 3 and facts['left out'] == 1 and 'none.mcap' in err
        lines = (tmp_path / length / 'annotations.jsonl').read_text()
        found.append([json.loads(line) for line in lines.splitlines()])
    assert found[0] == found[1] and len(found[0]) == facts['pairs'] > 20
    first = found[0][0]
    assert first['bag'].endswith('flight0') and first['stem'].startswith('flight0_0000')
    assert first['time'] < 1 and first['stamp'] > 10**18
    times = [line['time'] for line in found[0] if line['bag'] == first['bag']]
    assert times == sorted(times) and len({int(t / 0.5) for t in times}) == len(times)
    known = read_annotations(tmp_path / '2/annotations.jsonl')
    assert len(known) == len(found[0])
    part = next((tmp_path / '2/parts').glob('*.jsonl'))
    was = part.stat().st_mtime_ns
    words = ['--bags', tmp_path / 'in', '--out', tmp_path / '2', '--stretch', '2']
    assert annotate(capsys, *words, '--every', '0.5', *OFFSET)[0] == 0
    assert part.stat().st_mtime_ns == was
    rc, _, err = annotate(capsys, *words, '--every', '1', *OFFSET)
    assert rc == 2 and 'holds a run with other' in err


def test_data_sets(tmp_path, capsys):
    for name in ('a', 'b'):
        for index, kind in enumerate(('vis', 'ir')):
            (tmp_path / 'share' / name / kind).mkdir(parents=True)
            for i in range(3):
                pixels = scene(i)[index] // (16 if name == 'b' and index == 0 else 1)
                cv2.imwrite(str(tmp_path / 'share' / name / kind / f'{name}{i}.png'), pixels)
    (tmp_path / 'share/a/vis/a1.png').write_bytes(b'no picture')
    rc, facts, err = annotate(capsys, '--sets', tmp_path / 'share', '--out', tmp_path / 'out')
    assert rc == 0 and facts['pairs'] == 5 and facts['unusable'] == 1 and 'a1.png' in err
    found = read_annotations(tmp_path / 'out/annotations.jsonl')
    assert sorted(found) == ['a0', 'a2', 'b0', 'b1', 'b2']
    assert 'low light' in found['b1'].text and 'low light' not in found['a0'].text
    single = tmp_path / 'b.jsonl'
    assert annotate(capsys, '--data', tmp_path / 'share/b', '--out', single)[0] == 0
    assert read_annotations(single) == {k: v for k, v in found.items() if k[0] == 'b'}


def test_nothing_comes_out(tmp_path, capsys):
    (tmp_path / 'none.mcap').write_bytes(b'no bag')
    out = tmp_path / 'out'
    rc, _, err = annotate(capsys, '--bags', tmp_path / 'none.mcap', '--out', out)
    assert rc == 2 and 'none of the 1 bags gave a pair that can be used' in err
    assert not (out / 'annotations.jsonl').exists()
    rc, _, err = annotate(capsys, '--bags', tmp_path, '--out', out, '--stems', 'x')
    assert rc == 2 and '--stems and --without are of one folder' in err
