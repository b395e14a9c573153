"""The demo as a user runs it: three processes over DDS, and what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from multimodal_fusion import cli

from ..helpers import bags

pytest.importorskip('rosbags', reason='bags need rosbags; the ros extra brings it')


def demo(tmp_path, *arguments):
    assert (
        cli.main(['demo', *map(str, arguments), '--model', 'max', '-o', str(tmp_path / 'd')]) == 0
    )
    return json.loads((tmp_path / 'd' / 'results.json').read_text())


def test_the_scene_leaves_video_sheet_bag_and_figures(tmp_path, capsys):
    figures = demo(tmp_path, '--seconds', 3)
    assert figures['rgb published'] == figures['thermal published'] == 90
    assert figures['pairs in'] >= 85 and figures['fused out'] >= 60
    assert 0 < figures['latency ms']['median'] < 1000
    assert figures['CPU % of one core'] > 0 and figures['memory MB'] > 30
    assert 'fused out' in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / 'd' / 'sheet.png'))
    assert sheet.shape == (6 * 480, 3 * 640, 3)
    assert all(sheet[i * 480 : i * 480 + 480, j * 640 :][:, :640].std() > 5
               for i in range(6) for j in range(3))  # fmt: skip
    capture = cv2.VideoCapture(str(tmp_path / 'd' / 'fused.mp4'))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == figures['fused out']
    topics = [topic for topic, _, _ in bags.read(tmp_path / 'd' / 'fused_bag')]
    assert topics.count('/fused/image_raw') == figures['fused out']
    assert '/diagnostics' in topics
    assert sorted(p.name for p in (tmp_path / 'd').iterdir()) == [
        'fused.mp4', 'fused_bag', 'results.json', 'sheet.png',
    ]  # fmt: skip


@pytest.mark.parametrize('compressed', [False, True])
def test_a_bag_of_the_users_own(tmp_path, compressed):
    planted = bags.Planted(seconds=4.0, offset=0.0, freeze=(99, 99), jump_at=99)
    bag = bags.flight(tmp_path / 'bag', planted, compressed=compressed)
    figures = demo(tmp_path, '--bag', bag)
    assert figures['thermal published'] == 36 and figures['pairs in'] >= 33


def test_a_folder_with_a_damaged_image(tmp_path):
    for i in range(6):
        for name in ('vis', 'ir'):
            path = tmp_path / 'data' / name / f'{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.random.default_rng(i).integers(0, 256, (48, 64), np.uint8))
    damaged = tmp_path / 'data' / 'vis' / '3.png'
    damaged.write_bytes(damaged.read_bytes()[:200])
    figures = demo(tmp_path, '--data', tmp_path / 'data')
    assert figures['rgb published'] == 5 and figures['fused out'] >= 4


def test_terminated_it_takes_its_children_along(tmp_path):
    environment = os.environ | {'ROS_DOMAIN_ID': '99'}
    process = subprocess.Popen(
        [sys.executable, '-m', 'multimodal_fusion', 'demo', '--model', 'max',
         '-o', str(tmp_path / 'd')], env=environment,
    )  # fmt: skip
    deadline, pids = time.monotonic() + 30, set()
    while len(pids) < 3 and time.monotonic() < deadline:
        listed = subprocess.run(
            ['pgrep', '-P', str(process.pid)], capture_output=True, text=True, check=False
        ).stdout
        pids = set(listed.split())
    assert len(pids) >= 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 130
    assert not any(os.path.exists(f'/proc/{pid}') for pid in pids)
    assert list((tmp_path / 'd').iterdir()) == []
