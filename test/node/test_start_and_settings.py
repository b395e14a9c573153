"""How the node starts, ends and takes new settings: arguments, files, signals, slow models."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node

from multimodal_fusion.errors import UserError
from multimodal_fusion.host import processes
from multimodal_fusion.nodes import configuration
from multimodal_fusion.nodes.ros_parameters import _meant, declare, in_force
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.runtime.manifest import Manifest

from ..helpers.models import onnx_bytes
from .frames import play, scene, warm
from .harness import DEADLINE, DOMAIN, running, wait_for


def run(*arguments):
    return subprocess.run(
        [sys.executable, '-m', 'multimodal_fusion.nodes', 'fusion_node', *map(str, arguments)],
        env=processes.local_environment(DOMAIN), capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    ('arguments', 'code', 'text'),
    [
        (['--help'], 0, 'usage: fusion_node [--ros-args -p NAME:=VALUE'),
        (['modle:=max'], 2, "unknown argument 'modle:=max'"),
        (['--ros-args', '-p', 'use_sim_time:=abc'], 2, "use_sim_time must be a boolean, got 'abc'"),
        (['--ros-args', '--params-file', '/none.yaml'], 2, '/none.yaml'),
        (['--ros-args', '-p', 'model.name:=/dev/null.onnx'], 2, '/dev/null.onnx cannot be read'),
    ],
)
def test_arguments_that_do_not_fit(arguments, code, text):
    ended = run(*arguments)
    assert ended.returncode == code
    assert text in ended.stdout + ended.stderr
    assert 'Traceback' not in ended.stderr


@pytest.mark.parametrize(
    ('key', 'meant'),
    [
        ('/**', True), ('/*', False), ('/*/fusion_node', True), ('/robot/fusion_node', True),
        ('robot/fusion_node', True), ('fusion_node', False), ('/**/fusion_node', True),
        ('/robot/other', False), ('/robot/**', True), ('/**/robot', False),
    ],
)  # fmt: skip
def test_which_keys_of_a_parameter_file_mean_a_node(key, meant):
    assert _meant(key, '/robot/fusion_node') is meant


def test_a_parameter_file_of_another_node_is_told(tmp_path):
    path = tmp_path / 'other.yaml'
    path.write_text('camera:\n  ros__parameters:\n    model.name: laplacian\n')
    with running(connected=False, arguments=['--params-file', str(path)]) as node:
        node.wait_for_log(f'nothing of {path} is in force: it is for camera, and this is /')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('after', [0.3, 0.6, 0.9])
def test_asked_to_end_while_it_starts_it_ends_quietly(number, after):
    """Wherever it is: in Python's own start, in imports, in ROS."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'multimodal_fusion.nodes', 'fusion_node'],
        env=processes.local_environment(DOMAIN), stdout=-1, stderr=-2, text=True,
    )  # fmt: skip
    time.sleep(after)  # what is tried is this very moment
    process.send_signal(number)
    output, _ = process.communicate(timeout=DEADLINE)
    assert 'multimodal_fusion' not in output or 'Traceback' not in output, output
    assert process.returncode in (0, -number)


def test_a_model_that_never_loads_leaves_the_node_alive_and_fusing(tmp_path):
    """A pipe is refused at once; a file that takes its time is waited for aside."""
    os.mkfifo(tmp_path / 'pipe.onnx')
    with running({'model.allow_unlisted': True}) as node:
        warm(node.rig)
        good, reason = node.rig.set_parameter('model.name', str(tmp_path / 'pipe.onnx'))
        assert not good and 'pipe.onnx is no regular file' in reason
        play(node.rig, [scene(1)])
        node.process.send_signal(signal.SIGINT)
        assert node.process.wait(DEADLINE) == 0


def test_the_same_path_is_loaded_anew_when_the_file_has_changed(tmp_path):
    manifest = Manifest.load()
    path = tmp_path / 'model.onnx'
    shutil.copy(manifest.folder / manifest.models['mmdrfuse'].file, path)
    with running({'model.name': str(path)}) as node:
        node.wait_for_log('fusing with model on')
        assert node.rig.set_parameter('model.name', str(path)) == (True, '')
        assert node.log.count('fusing with model on') == 1
        shutil.copy(manifest.folder / manifest.models['mmdrfuse_plus'].file, path)
        assert node.rig.set_parameter('model.name', str(path)) == (True, '')
        wait_for(lambda: node.log.count('fusing with model on') == 2, 'the model anew')
        path.write_bytes(onnx_bytes())
        good, reason = node.rig.set_parameter('model.name', str(path))
        assert not good and 'not listed in models.yaml' in reason


def test_whole_numbers_are_numbers_and_unknown_names_get_a_hint():
    with running() as node:
        assert node.rig.set_parameter('sync.slop', 1) == (True, '')
        assert node.rig.get_parameter_values('sync.slop')[0].double_value == 1.0
        good, reason = node.rig.set_parameter('sync.slopp', 0.1)
        assert not good and 'unknown parameter sync.slopp: did you mean sync.slop?' in reason
        good, reason = node.rig.set_parameter('model.threads', 1.5)
        assert not good


@pytest.mark.parametrize('fails', [False, True])
def test_while_a_model_takes_its_time_the_old_one_goes_on(monkeypatch, fails):
    """An engine is built for minutes: taken note of at once, in force when it is done."""
    gate, changes = threading.Event(), []

    def slow(settings, previous=None, given=()):
        if previous is not None:
            gate.wait(DEADLINE)
            if fails:
                raise UserError('the engine does not fit')
        return build(settings, previous, given)

    monkeypatch.setattr(configuration, 'build', slow)
    monkeypatch.setattr(configuration, '_PATIENCE', 0.05)
    context = Context()
    rclpy.init(args=[], context=context, domain_id=DOMAIN)
    node = Node(
        'slow', context=context, automatically_declare_parameters_from_overrides=True,
        allow_undeclared_parameters=True,
    )  # fmt: skip
    try:
        declare(node)
        made = configuration.Configuration(node, in_force(node), None, lambda *c: changes.append(c))
        node.add_on_set_parameters_callback(made.change)
        first = made.current
        result = node.set_parameters([rclpy.Parameter('model.name', value='max')])[0]
        assert result.successful
        assert made.current is first and 'max is being loaded' in made.poll()
        result = node.set_parameters([rclpy.Parameter('sync.slop', value=0.01)])[0]
        assert not result.successful and 'still being loaded' in result.reason
        gate.set()
        told = ['being loaded']

        def settled():
            told.append(made.poll())
            return 'being loaded' not in told[-1]

        wait_for(settled, 'the model')
        assert ('the engine does not fit' in told[-1]) is fails
        name = node.get_parameter('model.name').value
        assert (made.current is first) is fails
        assert name == made.current.settings.model.name == ('default' if fails else 'max')
        assert len(changes) == (0 if fails else 1)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
