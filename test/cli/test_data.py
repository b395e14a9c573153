"""The commands ``data annotate`` and ``data embed``."""

import json
import sys

import cv2
import numpy as np
import pytest

pytest.importorskip('torch', reason='training data need the train extra')

from multimodal_fusion.cli import main
from multimodal_fusion.scene import Scene
from multimodal_fusion.train.data.text import Vectors, read_annotations


def test_annotate_writes_a_line_a_pair(tmp_path, capsys):
    """A dark pair among clean ones, and an image that cannot be read."""
    road = Scene(seed=3, freeze_for=0)
    visible = np.clip(road.visible(2.0).astype(np.int32) * 2 + 30, 0, 255).astype(np.uint8)
    for name in ('vis', 'ir'):
        (tmp_path / name).mkdir()
    for stem, image in (('clean', visible), ('dark', visible // 16), ('broken', visible)):
        cv2.imwrite(str(tmp_path / f'vis/{stem}.png'), image)
        cv2.imwrite(str(tmp_path / f'ir/{stem}.png'), road.thermal(2.0))
    (tmp_path / 'vis/broken.png').write_bytes(b'no picture')
    out = tmp_path / 'a.jsonl'
    assert main(['data', 'annotate', '--data', str(tmp_path), '--out', str(out), '--json']) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {'file': str(out), 'pairs': 2, 'with faults': 1}
    assert 'broken.png' in told.err
    found = read_annotations(out)
    assert 'low light' in found['dark'].text
    assert found['clean'].text == 'Visible: clean.\nThermal: clean.'
    assert main(['data', 'annotate', '--data', str(tmp_path / 'none'), '--out', str(out)]) == 2


def test_embed_by_the_package(tmp_path, capsys):
    pytest.importorskip('wordllama')
    out = tmp_path / 'text.npz'
    assert main(['data', 'embed', '--out', str(out), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['numbers'] == 256
    assert Vectors.load(out).encoder == 'wordllama'


def test_encoders_that_are_not_there(tmp_path, capsys, monkeypatch):
    out = tmp_path / 'text.npz'
    monkeypatch.setitem(sys.modules, 'wordllama', None)
    assert main(['data', 'embed', '--out', str(out)]) == 2
    assert 'pip install "multimodal_fusion[text]"' in capsys.readouterr().err
    assert main(['data', 'embed', '--encoder', 'clip-l', '--out', str(out)]) == 2
    assert "'clip-l' is neither wordllama nor a folder" in capsys.readouterr().err
    (tmp_path / 'empty').mkdir()
    assert main(['data', 'embed', '--encoder', str(tmp_path / 'empty'), '--out', str(out)]) == 2
    assert not out.exists()
