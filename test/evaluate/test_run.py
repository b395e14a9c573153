"""An evaluation from Python: the same as the command's, as objects."""

import json

import cv2
import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.errors import UserError
from multimodal_fusion.evaluate import Job, evaluate


@pytest.fixture
def pairs(tmp_path):
    """Four pairs, one of which cannot be read."""
    random = np.random.default_rng(5)
    for kind in ('vis', 'ir'):
        (tmp_path / 'data' / kind).mkdir(parents=True)
        for i in range(4):
            pixels = cv2.blur(random.integers(0, 256, (48, 64), np.uint8), (5, 5))
            cv2.imwrite(str(tmp_path / f'data/{kind}/{i}.png'), pixels)
    (tmp_path / 'data/ir/3.png').write_text('no picture')
    return tmp_path / 'data'


def test_results_as_objects_and_files(pairs, tmp_path):
    job = Job(pairs, models=('max',), baselines=False, metrics=('EN',), cache=None, jobs=1)
    found = evaluate(job)
    assert [model['name'] for model in found.results['models']] == ['max']
    assert [left.stem for left in found.left_out] == ['3']
    assert found.picture('0', 'max').shape[:2] == (48, 64)
    assert found.timing and '| max ' in found.table()
    found.write(tmp_path / 'out')
    written = json.loads((tmp_path / 'out/results.json').read_text())
    assert written == found.results


def test_the_command_gives_the_same(pairs, tmp_path):
    arguments = ['--data', pairs, '--models', 'max', '--no-baselines', '--metrics', 'EN']
    out = ['--no-cache', '--no-timing', '--jobs', '1', '--out', tmp_path / 'out']
    assert cli.main(['evaluate', *map(str, (*arguments, *out))]) == 0
    written = json.loads((tmp_path / 'out/results.json').read_text())
    job = Job(pairs, models=('max',), baselines=False, metrics=('EN',), cache=None, jobs=1)
    assert {**evaluate(job).results, 'command': written['command']} == written


def test_what_cannot_be_evaluated(tmp_path):
    with pytest.raises(UserError, match='of a folder of pairs or of a bag: give one of them'):
        evaluate(Job())
    with pytest.raises(UserError, match="the definition ours has no metric 'XY'; it has EN"):
        evaluate(Job(tmp_path, metrics=('XY',)))
