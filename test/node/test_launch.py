"""fusion.launch.py through `ros2 launch`, as on a robot, with the package installed."""

import importlib.util
import os
import shutil
import signal
import subprocess

import pytest

from multimodal_fusion.host import processes

from ..helpers import bags
from .harness import DOMAIN, Running, wait_for

pytestmark = pytest.mark.skipif(
    not (importlib.util.find_spec('launch_ros') and shutil.which('ros2')),
    reason='launch_ros and ros2 launch are not on PyPI; run this where ROS 2 is installed',
)


def launch(*arguments, file='fusion.launch.py'):
    environment = processes.local_environment(DOMAIN) | {'PYTHONUNBUFFERED': '1'}
    process = subprocess.Popen(
        ['ros2', 'launch', 'multimodal_fusion', file, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd='/',
        start_new_session=True,
    )
    return Running(process, None)


def test_arguments_reach_the_node_and_ctrl_c_ends_it():
    """A file of parameters stays in force where no argument overrides it."""
    started = launch('model:=laplacian', 'rgb_topic:=/cam/rgb', 'namespace:=robot')
    try:
        started.wait_for_log('fusing with laplacian on opencv')
        started.wait_for_log('/cam/rgb: no frame yet')
        started.wait_for_log('/robot/thermal/image_raw: no frame yet')
    finally:
        os.killpg(started.process.pid, signal.SIGINT)  # as a terminal does: launch and node
        assert started.process.wait(30) == 0
    wait_for(lambda: 'finished cleanly' in started.log, f'a clean end:\n{started.log}')
    assert 'Traceback' not in started.log


def test_the_detector_argument():
    started = launch('detector:=true')
    started.wait_for_log('detecting with detector_person_car')
    started.process.send_signal(signal.SIGINT)
    assert started.process.wait(30) == 0


def test_a_detector_that_is_not_there_is_told():
    started = launch('detector:=true', 'detector_model:=nothing.onnx')
    started.wait_for_log('the model file nothing.onnx cannot be read')
    assert started.process.wait(30) == 1  # the launch ends with its only process
    started.wait_for_log('ended with exit code 2')


def test_arguments_are_described():
    shown = subprocess.run(
        ['ros2', 'launch', 'multimodal_fusion', 'fusion.launch.py', '--show-args'],
        capture_output=True, text=True, check=True, timeout=60, env=processes.local_environment(),
    ).stdout  # fmt: skip
    for name in ('rgb_topic', 'thermal_topic', 'model', 'params_file', 'detector'):
        assert f"'{name}'" in shown


def test_a_bag_is_played_through_the_live_node_and_recorded(tmp_path):
    """The launch ends by itself when the bag does."""
    pytest.importorskip('rosbags')
    bag = bags.flight(tmp_path / 'in', bags.Planted(seconds=4.0, freeze=(9, 9), jump_at=9))
    arguments = (f'bag:={bag}', f'record:={tmp_path / "out"}', 'model:=max')
    started = launch(*arguments, file='replay.launch.py')
    assert started.process.wait(60) == 0, started.log
    recorded = [topic for topic, _, _ in bags.read(tmp_path / 'out')]
    assert recorded.count('/fused/image_raw') >= 33


def test_a_compressed_bag_is_played_without_being_told(tmp_path):
    pytest.importorskip('rosbags')
    planted = bags.Planted(seconds=3.0, freeze=(9, 9), jump_at=9)
    bag = bags.flight(tmp_path / 'in', planted, compressed=True)
    arguments = (f'bag:={bag}', f'record:={tmp_path / "out"}', 'model:=max')
    started = launch(*arguments, file='replay.launch.py')
    assert started.process.wait(60) == 0, started.log
    recorded = [topic for topic, _, _ in bags.read(tmp_path / 'out')]
    assert recorded.count('/fused/image_raw') >= 20


def test_a_replay_ends_with_the_recorder_that_cannot_write(tmp_path):
    pytest.importorskip('rosbags')
    bag = bags.flight(tmp_path / 'in', bags.Planted(seconds=3.0))
    (tmp_path / 'out').mkdir()
    started = launch(f'bag:={bag}', f'record:={tmp_path / "out"}', file='replay.launch.py')
    assert started.process.wait(60) == 1
    started.wait_for_log('cannot be written')


def test_a_bag_that_is_not_there_ends_the_launch_with_a_sentence(tmp_path):
    started = launch(f'bag:={tmp_path / "none"}', file='replay.launch.py')
    assert started.process.wait(60) == 1
    started.wait_for_log('none does not exist')


def test_a_node_that_dies_is_started_again_where_that_is_asked_for():
    started = launch('respawn:=true', 'model:=max')
    try:
        started.wait_for_log('fusing with max')
        pid = subprocess.run(
            ['pgrep', '-f', 'fusion_node.*__node:=fusion_node'], capture_output=True, text=True
        ).stdout.split()  # fmt: skip
        for number in pid:
            os.kill(int(number), signal.SIGKILL)
        wait_for(lambda: started.log.count('fusing with max') == 2, f'it again:\n{started.log}')
    finally:
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(30) == 0
