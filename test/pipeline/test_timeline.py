"""Time lines for Rerun: what a bag holds, what was lost, and what is said without rerun-sdk."""

import builtins
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from multimodal_fusion.cli import main
from multimodal_fusion.detect.detection import Detection
from multimodal_fusion.errors import UserError
from multimodal_fusion.pipeline.timeline import Timeline

from ..helpers.bags import Planted, flight


def printed(path: Path) -> str:
    """What rerun itself reads in a file."""
    command = [str(Path(sys.executable).parent / 'rerun'), 'rrd', 'print', '-vvv', str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_images_boxes_gaps_and_events(tmp_path):
    path = tmp_path / 'a.rrd'
    timeline = Timeline(path)
    timeline.image('rgb', 10**9, np.zeros((20, 30, 3), np.uint8))
    timeline.image('thermal', 10**9, np.full((20, 30), 7000, np.uint16))
    timeline.boxes(10**9, [Detection('person', 0.9, 1, 2, 5, 8)])
    timeline.boxes(2 * 10**9, [])
    timeline.gap(10**9, -3_000_000)
    timeline.event(10**9, 'rgb without a partner')
    timeline.close()
    text = printed(path)
    for part in (
        '/rgb',
        '/thermal',
        '/fused/boxes',
        'person 0.90',
        '-3.0',
        'rgb without a partner',
    ):
        assert part in text, part


def test_replay_writes_one(tmp_path, capsys):
    bag, out = flight(tmp_path / 'bag', Planted(seconds=3)), tmp_path / 'a.rrd'
    command = [
        'replay',
        str(bag),
        '-o',
        str(tmp_path / 'fused'),
        '--model',
        'max',
        '--thermal-time-offset',
        '0.12',
    ]
    assert main([*command, '--rerun', str(out)]) == 0
    assert f'rerun {out}' in capsys.readouterr().out
    text = printed(out)
    assert all(part in text for part in ('/rgb', '/thermal', '/fused', '/gap_ms', '/events'))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r'a\.rrd cannot be written'):
        Timeline(tmp_path / 'nowhere' / 'a.rrd')


def test_without_rerun_it_says_what_to_install(tmp_path, monkeypatch):
    def missing(name, *args, real=builtins.__import__, **options):
        if name.startswith('rerun'):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, '__import__', missing)
    with pytest.raises(UserError, match='pip install rerun-sdk'):
        Timeline(tmp_path / 'a.rrd')
