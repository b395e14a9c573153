"""What is installed is what runs: under pip and under colcon, from a copy of the sources."""

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from multimodal_fusion.host import processes

ROOT = Path(__file__).parent.parent
GUARD = '_ROS_WHEELS_BOOTSTRAP_COMPLETE'


@pytest.fixture
def sources(tmp_path):
    """A copy of the sources: builds leave folders behind."""
    made = ('build', 'demo', 'runs', 'install', 'log', '__pycache__')
    skip = shutil.ignore_patterns('.*', '*.so', *made)
    return Path(shutil.copytree(ROOT, tmp_path / 'src' / 'multimodal_fusion', ignore=skip))


def clean_environment(**more):
    """Without what this Python's own ROS wheels have set, which does not fit another prefix."""
    leave = ('LD_LIBRARY_PATH', 'PYTHONPATH', 'AMENT_PREFIX_PATH', GUARD)
    environment = {k: v for k, v in os.environ.items() if k not in leave}
    environment['PATH'] = f'{Path(sys.executable).parent}{os.pathsep}{environment["PATH"]}'
    return environment | {k: str(v) for k, v in more.items()}


def run(command, **options):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=400, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start_and_stop(executable, environment, cwd):
    """Start an installed fusion_node, wait until it fuses, interrupt it."""
    node = subprocess.Popen(
        [executable, '--ros-args', '-p', 'model.name:=default'],
        env=environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    first = node.stdout.readline()
    assert processes.stop(node) == 0
    return first


def test_a_wheel_holds_all_that_a_robot_needs(sources, tmp_path):
    """Installed by pip into an empty prefix: data where ament_index looks, and it fuses."""
    prefix = tmp_path / 'prefix'
    venv.create(prefix, with_pip=False)
    python = prefix / 'bin' / 'python'
    run(
        [sys.executable, '-m', 'pip', '--python', python, 'install', '--no-deps', sources],
        env=clean_environment(),
    )
    share = prefix / 'share' / 'multimodal_fusion'
    for name in (
        'package.xml', 'launch/fusion.launch.py', 'config/fusion.yaml', 'config/fastdds.xml',
        'config/train/mmdrfuse.yaml', 'models/models.yaml', 'models/mmdrfuse.onnx',
    ):  # fmt: skip
        assert (share / name).is_file(), name
    index = prefix / 'share/ament_index/resource_index/packages/multimodal_fusion'
    assert index.is_file()
    for name in ('fusion_node', 'multimodal_fusion'):
        assert os.access(prefix / 'lib' / 'multimodal_fusion' / name, os.X_OK)
    # The other needs come from this environment; the package from the new prefix.
    site = next((prefix / 'lib').glob('python3*/site-packages'))
    here = Path(importlib.util.find_spec('numpy').origin).parent.parent
    environment = clean_environment(PYTHONPATH=f'{site}{os.pathsep}{here}')
    listed = run([prefix / 'bin' / 'multimodal_fusion', 'models'], env=environment, cwd=tmp_path)
    assert 'mmdrfuse' in listed
    if shutil.which('gcc') or shutil.which('cc'):
        assert list((site / 'multimodal_fusion/fusers/kernel').glob('two_layer*.so'))


@pytest.mark.skipif(
    not (importlib.util.find_spec('colcon_ros') and importlib.util.find_spec('rclpy')),
    reason='colcon or rclpy is not installed; the test extra brings colcon, the ros extra rclpy',
)
def test_colcon_builds_it_and_the_installed_executable_runs(sources, tmp_path):
    run([sys.executable, '-m', 'colcon', 'build'], env=clean_environment(), cwd=tmp_path)
    prefix = tmp_path / 'install' / 'multimodal_fusion'
    assert (prefix / 'share/multimodal_fusion/launch/fusion.launch.py').is_file()
    assert (prefix / 'share/ament_index/resource_index/packages/multimodal_fusion').is_file()
    script = '. install/setup.sh && env -0'
    sourced = subprocess.run(
        ['sh', '-c', script], env=clean_environment(), cwd=tmp_path, capture_output=True, check=True
    )
    environment = dict(
        entry.split('=', 1) for entry in sourced.stdout.decode().split('\0') if '=' in entry
    )
    environment['ROS_DOMAIN_ID'] = '101'
    executable = prefix / 'lib' / 'multimodal_fusion' / 'fusion_node'
    assert 'fusing with' in start_and_stop(executable, environment, tmp_path)
