"""What goes wrong in the field, over real DDS: the table of docs/reliability.md, a test a row."""

import resource
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import psutil
import pytest
from onnx import TensorProto, helper, numpy_helper
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image

from multimodal_fusion.host import processes
from multimodal_fusion.nodes.distro import qos

from ..helpers.models import onnx_bytes
from .faults import publisher, recovers, under_fault
from .frames import SECOND, stamp_of
from .harness import DOMAIN, wait_for


def count(node, name):
    return int(node.rig.figures().get(name, 0))


def until(node, name, more=3):
    """A counter of the diagnostics grows."""
    before = count(node, name)
    wait_for(lambda: count(node, name) >= before + more, f'{name} to be counted')


@pytest.mark.parametrize('name', ['rgb', 'thermal'])
def test_a_driver_killed_and_started_again(name):
    with under_fault() as (node, cameras):
        cameras.still.add(name)
        with cameras.lock:
            node.rig.destroy_publisher(node.rig.outputs.pop(name))
        node.wait_for_log(f'{name} is silent')
        publisher(node.rig, name)


def test_rgb_floods_slow_thermal():
    with under_fault(rgb=60.0, thermal=9.0) as (node, _):
        wait_for(lambda: count(node, 'fused') > 20, 'pairs at 9 Hz')
        assert count(node, 'pairs') <= count(node, 'thermal frames')
        assert not count(node, 'replaced by newer')


JUMPS = {
    'an hour back': lambda now: now - 3600 * SECOND,
    'an hour forward': lambda now: now + 3600 * SECOND,
    'zero': lambda now: 0,
    'in the future': lambda now: now + 20 * SECOND,
    'standing still': lambda now: 7 * SECOND,
}


@pytest.mark.parametrize('name', ['rgb', 'thermal'])
def test_stamps_that_jump(name):
    """One jump after the other; after each, fused images with the stamps of now."""
    with under_fault() as (node, cameras):
        for jump in JUMPS.values():
            cameras.stamp[name] = jump
            until(node, f'{name} frames', 30)
            recovers(node, cameras)


def test_size_and_encoding_change_in_mid_stream():
    with under_fault({'registration.mode': 'resize'}) as (node, cameras):
        changes = [
            {'rgb': lambda p, n: np.ascontiguousarray(p[::2, ::2])},
            {'rgb': lambda p, n: np.ascontiguousarray(p[..., 0])},
            {'thermal': lambda p, n: p.astype(np.uint16) * 256},
            {'thermal': lambda p, n: np.repeat(p, 2, axis=1)},
            {
                n: lambda p, i: p if i % 2 else np.ascontiguousarray(p[:40])
                for n in ('rgb', 'thermal')
            },
        ]
        for change in changes:
            cameras.pixels = change
            until(node, 'fused', 10)


@pytest.mark.parametrize('name', ['rgb', 'thermal'])
def test_messages_cut_off_and_steps_that_are_wrong(name):
    with under_fault() as (node, cameras):
        cameras.fields[name] = {'step': 7}
        until(node, f'{name} refused')
        cameras.fields[name] = {'height': 4000}
        until(node, f'{name} refused')
        cameras.fields[name] = {'encoding': 'rgb64'}
        until(node, f'{name} refused')
        assert 'step is 7 bytes' in node.log and "'rgb64' is not supported" in node.log


def test_qos_that_does_not_fit_on_the_way_in_and_out():
    parameters = {'qos.reliability': 'reliable', 'qos.output_reliability': 'best_effort'}

    def listen(rig):
        rig.create_subscription(Image, 'fused/image_raw', rig.fused.append, qos('best_effort', 50))

    with under_fault(parameters, prepare=listen, listen=False) as (node, cameras):
        rig = node.rig
        rig.create_subscription(Image, 'fused/image_raw', lambda m: None, qos('reliable', 5))
        node.wait_for_log('a subscriber of')
        with cameras.lock:
            publisher(rig, 'thermal', 'best_effort')
        node.wait_for_log('set qos.reliability to best_effort, or change the publisher')
        with cameras.lock:
            publisher(rig, 'thermal', 'reliable')


def test_simulated_time_that_is_paused_and_loops():
    """The clock of a bag that is played twice, paused in between; frames are stamped by it."""
    with under_fault({'use_sim_time': True}) as (node, cameras):
        port = node.rig.create_publisher(Clock, '/clock', 10)
        base = time.time_ns()

        def tick(now, loop):
            message = Clock()
            stamp = 1000 * SECOND + (now - base) - loop
            message.clock.sec, message.clock.nanosec = divmod(stamp, SECOND)
            port.publish(message)
            return stamp

        for loop in (0, 300 * SECOND):
            cameras.stamp = dict.fromkeys(('rgb', 'thermal'), lambda now, o=loop: tick(now, o))
            until(node, 'fused', 20)
            frozen = tick(time.time_ns(), loop)
            cameras.stamp = dict.fromkeys(('rgb', 'thermal'), lambda now, f=frozen: f)
            until(node, 'rgb duplicate', 20)
        assert count(node, 'clock resets') > 0


def failing_detector(path):
    """Raises at run time for images that are white: an index beyond an axis."""
    image = helper.make_tensor_value_info('images', TensorProto.FLOAT, [1, 3, 32, 32])
    boxes = helper.make_tensor_value_info('output', TensorProto.FLOAT, [1, 1, 6])
    nodes = [
        helper.make_node('ReduceMean', ['images'], ['most'], keepdims=0),
        helper.make_node('Div', ['most', 'white'], ['share']),
        helper.make_node('Floor', ['share'], ['whole']),
        helper.make_node('Cast', ['whole'], ['index'], to=TensorProto.INT64),
        helper.make_node('Gather', ['table', 'index'], ['row'], axis=0),
        helper.make_node('Reshape', ['row', 'shape'], ['output']),
    ]
    row = np.array([[1, 1, 9, 9, 0.9, 0]], np.float32)
    given = {
        'white': np.float32(0.8), 'table': row, 'shape': np.array([1, 1, 6], np.int64),
    }  # fmt: skip
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in given.items()]
    graph = helper.make_graph(nodes, 'failing', [image], [boxes], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)
    helper.set_model_props(model, {'names': "{0: 'person'}"})
    onnx.save(model, str(path))
    return path


def test_the_detector_fails_on_some_frames(tmp_path):
    path = failing_detector(tmp_path / 'failing.onnx')
    parameters = {
        'detector.enabled': True, 'detector.model': str(path), 'model.allow_unlisted': True,
        'detector.every': 1, 'detector.layout': 'yolov10',
    }  # fmt: skip
    with under_fault(parameters) as (node, cameras):
        drawn = []
        node.rig.create_subscription(Image, 'fused/detections_image', drawn.append, 10)
        wait_for(lambda: len(drawn) > 3, 'detections')
        cameras.pixels['rgb'] = lambda p, n: np.full_like(p, 255)
        wait_for(lambda: 'detector ' in node.rig.figures().get('refused', ''), 'its failure')
        cameras.pixels.clear()
        drawn.clear()
        wait_for(lambda: len(drawn) > 3, 'detections again')


@pytest.mark.parametrize('content', [b'', onnx_bytes()[:200], b'not a model' * 100])
def test_the_model_file_is_replaced_on_disk_by_something_else(tmp_path, content):
    path = tmp_path / 'model.onnx'
    path.write_bytes(onnx_bytes())
    with under_fault({'model.name': str(path), 'model.allow_unlisted': True}) as (node, _):
        path.write_bytes(content)
        until(node, 'fused', 20)
        done, reason = node.rig.set_parameter('model.name', str(path))
        assert not done and str(path) in reason
        path.unlink()
        done, reason = node.rig.set_parameter('model.name', str(path))
        assert not done and str(path) in reason
        until(node, 'fused', 20)


def test_a_subscriber_that_comes_late_and_one_that_is_slow():
    """The slow one takes each image half a second; reliable, it holds nobody else up."""
    with under_fault() as (node, _):
        before = len(node.rig.fused)
        slow = subprocess.Popen(
            [sys.executable, '-c', SLOW, node.rig.get_namespace()],
            env=processes.local_environment(DOMAIN), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert slow.stdout.readline() == 'image\n'
            until(node, 'fused', 60)
            assert len(node.rig.fused) - before > 50
        finally:
            slow.kill()
            slow.wait()
            slow.stdout.close()


SLOW = """
import sys, time, rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image
from multimodal_fusion.nodes.distro import qos, use_profile
use_profile()
rclpy.init()
node = Node('slow', namespace=sys.argv[1])
def take(message):
    print('image', flush=True)
    time.sleep(0.5)
node.create_subscription(Image, 'fused/image_raw', take, qos('reliable', 5))
rclpy.spin(node)
"""


@pytest.mark.parametrize('early', [False, True])
def test_the_node_is_stopped_for_five_seconds(early):
    """Under SIGSTOP while frames come; early: before it has fused for a second."""
    with under_fault() as (node, _):
        if not early:
            until(node, 'fused', 60)
        node.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        wait_for(lambda: time.monotonic() - stopped > 5, 'five seconds')
        node.process.send_signal(signal.SIGCONT)


def test_memory_that_runs_out():
    """Room for 60 MB more: images of 100 MB are refused in a sentence, others are fused."""
    with under_fault({'registration.mode': 'resize'}) as (node, cameras):
        until(node, 'fused', 30)
        process = psutil.Process(node.process.pid)
        limits = process.rlimit(psutil.RLIMIT_AS)
        process.rlimit(psutil.RLIMIT_AS, (process.memory_info().vms + 60 * 2**20, limits[1]))
        large = np.zeros((4800, 7000), np.uint8)
        cameras.pixels['rgb'] = lambda p, n: (
            np.zeros((4800, 7000, 3), np.uint8) if n % 30 == 0 else p
        )
        cameras.pixels['thermal'] = lambda p, n: large if n % 30 == 0 else p
        until(node, 'fused', 60)
        process.rlimit(psutil.RLIMIT_AS, limits)


def test_a_disk_that_is_full_while_it_is_recorded(tmp_path):
    bag = tmp_path / 'bag'
    with under_fault() as (node, _):
        recorder = processes.start(
            'multimodal_fusion.nodes.recorder',
            [str(bag), '--ros-args', '-r', f'__ns:={node.rig.get_namespace()}'],
            processes.local_environment(DOMAIN),
            stderr=subprocess.PIPE, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, 2**21)),
        )  # fmt: skip
        _, error = recorder.communicate(timeout=60)
        assert recorder.returncode == 2, error
        assert 'cannot be written any more (File too large)' in error
        assert 'Traceback' not in error


def test_camera_info_that_is_missing_late_and_of_another_size():
    with under_fault() as (node, _):
        rig = node.rig
        wrong = CameraInfo(height=9, width=9)
        before = len(rig.fused)

        def told():
            rig.outputs['rgb', 'info'].publish(wrong)
            return 'camera_info of output.reference is for 9x9 images' in node.log

        wait_for(told, 'the size that does not fit')
        assert not rig.infos and len(rig.fused) > before
        newest = rig.fused[-1]
        right = CameraInfo(height=newest.height, width=newest.width)

        def passed_on():
            rig.outputs['rgb', 'info'].publish(right)
            return rig.infos

        wait_for(passed_on, 'camera_info')
        assert stamp_of(rig.infos[-1]) >= stamp_of(newest)
