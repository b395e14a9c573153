"""What goes wrong with the real node, and what it says: bad frames, settings, models, topics."""

import array
import importlib.util
import re
import signal

import cv2
import numpy as np
import pytest

from multimodal_fusion.host import processes
from multimodal_fusion.io import pixels

from ..helpers.models import onnx_bytes, slow_bytes
from .frames import SECOND, START, play, scene, stamp_of, warm
from .harness import DEADLINE, Running, running, start_node, wait_for

BAD_STARTS = [
    ({'sync.slopp': 0.1}, 'unknown parameter sync.slopp: did you mean sync.slop?'),
    ({'sync.slop': -1.0}, 'parameter sync.slop is -1; it must be from 0 to 10 s'),
    ({'model.name': 'none.onnx'}, 'the model file none.onnx cannot be read: No such file'),
    ({'sync.backend': 'message_filters'}, 'message_filters, which is not installed'),
]


def test_bad_frames_are_counted_and_told_and_do_not_stop_the_node():
    visible, thermal = scene(0)
    with running() as node:
        rig = node.rig
        warm(rig)
        stamp = START
        rig.send('rgb', visible, stamp, encoding='32FC1')
        node.wait_for_log("rgb: image encoding '32FC1' is not supported; publish one of mono8")
        rig.send('thermal', thermal, stamp, step=5)
        rig.send('rgb', visible, stamp + 1, data=array.array('B', bytes(100)))
        # Both cameras fine, but of different sizes: only the pair shows it.
        rig.send('rgb', visible, stamp + 2 * SECOND)
        rig.send('thermal', thermal[:64, :64], stamp + 2 * SECOND)
        wait_for(
            lambda: (
                rig.figures().get('refused')
                == 'pair mismatch 1, rgb encoding 1, rgb truncated 1, thermal size 1'
            ),
            'four refusals in the diagnostics',
        )
        assert not rig.fused
        fused = play(rig, [scene(5)], start=stamp + 10 * SECOND)
        assert fused[0].shape == visible.shape
        assert node.process.poll() is None


def test_parameters_change_at_run_time_or_are_refused_with_a_reason():
    visible, thermal = scene(4)
    with running() as node:
        rig = node.rig
        warm(rig)
        assert rig.set_parameter('model.name', 'average') == (True, '')
        fused = play(rig, [(pixels.luma(visible), thermal)])
        assert np.array_equal(fused[0], cv2.addWeighted(pixels.luma(visible), 0.5, thermal, 0.5, 0))
        good, reason = rig.set_parameter('model.name', 'nosuch')
        assert not good and "there is no model 'nosuch'" in reason
        good, reason = rig.set_parameter('stall.policy', 'stop')
        assert not good and "parameter stall.policy is 'stop'; use one of" in reason
        good, reason = rig.set_parameter('sync.slop', 99.0)
        assert not good and 'sync.slop' in reason
        good, reason = rig.set_parameter('qos.depth', 9)
        assert not good and 'read-only' in reason
        assert rig.set_parameter('sync.slop', 0.001)[0]
        values = rig.get_parameter_values('model.name', 'sync.slop')
        assert (values[0].string_value, values[1].double_value) == ('average', 0.001)


@pytest.mark.parametrize(('first', 'then'), [(1.0, 2.0), (2.0, 0.5)])
def test_the_time_to_a_warning_may_change_after_one_was_given(first, then):
    """rclpy's own throttle dies of a period that changes."""
    with running({'stall.warn_after': first}) as node:
        node.wait_for_log('no pair for')
        assert node.rig.set_parameter('stall.warn_after', then)[0]
        count = node.log.count('no pair for')
        wait_for(lambda: node.log.count('no pair for') > count, 'another warning')
        assert node.process.poll() is None


def test_a_model_that_cannot_run_is_refused_and_the_old_one_goes_on(tmp_path):
    (tmp_path / 'fixed.onnx').write_bytes(onnx_bytes(fixed=(48, 65)))
    with running({'model.allow_unlisted': True}) as node:
        warm(node.rig)
        good, reason = node.rig.set_parameter('model.name', str(tmp_path / 'fixed.onnx'))
        assert not good and 'failed on a 64x48 image' in reason
        visible, thermal = scene(2)
        fused = play(node.rig, [(pixels.luma(visible), thermal)])
        assert np.array_equal(fused[0], np.maximum(pixels.luma(visible), thermal))


def test_a_model_that_cannot_keep_up_is_told_with_its_rate_and_the_newest_pair_wins(tmp_path):
    (tmp_path / 'slow.onnx').write_bytes(slow_bytes())
    parameters = {'model.name': str(tmp_path / 'slow.onnx'), 'model.allow_unlisted': True}
    visible, thermal = scene(0)
    with running(parameters) as node:
        rig = node.rig
        warm(rig)
        stamps = [START]

        def attempt():
            stamps.append(stamps[-1] + 10_000_000)
            rig.send('rgb', visible, stamps[-1])
            rig.send('thermal', thermal, stamps[-1])
            return rig.statuses and 'overtaken by newer ones' in rig.statuses[-1].message

        wait_for(attempt, 'the warning')
        told, newest = rig.statuses[-1], stamps[-1]
        assert told.level == b'\x01'
        assert re.search(r'one takes \d+ ms, [\d.]+ a second\): choose a faster', told.message)

        def caught_up():
            attempt()
            return rig.fused and stamp_of(rig.fused[-1]) >= newest

        wait_for(caught_up, 'a pair that was sent after the warning')
        assert len(rig.fused) < len(stamps) / 2


def test_each_stream_is_told_about_and_counters_survive_a_change_of_slop():
    visible, thermal = scene(0)
    with running() as node:
        rig = node.rig
        warm(rig)
        wait_for(lambda: int(rig.figures().get('pairs', 0)) > 0, 'pairs in the diagnostics')
        pairs = int(rig.figures()['pairs'])
        rig.send('rgb', visible, START, encoding='32FC1')
        rig.send('thermal', thermal, START, encoding='64FC1')
        node.wait_for_log("rgb: image encoding '32FC1'")
        node.wait_for_log("thermal: image encoding '64FC1'")
        assert rig.set_parameter('sync.slop', 0.02)[0]
        wait_for(lambda: 'thermal encoding 1' in rig.figures()['refused'], 'the count')
        assert int(rig.figures()['pairs']) >= pairs


def test_diagnostics_are_an_error_while_every_pair_is_refused():
    visible, thermal = scene(0)
    with running() as node:
        rig = node.rig
        warm(rig)
        sent = iter(range(10_000))

        def attempt():
            stamp = START + next(sent) * 33_000_000
            rig.send('rgb', visible, stamp)
            rig.send('thermal', thermal[:64, :64], stamp)
            return rig.statuses[-1].level == b'\x02'

        wait_for(attempt, 'an error in the diagnostics')
        assert 'pairs come but cannot be fused' in rig.statuses[-1].message


def test_a_silent_topic_is_reported_with_what_to_try():
    with running({'stall.warn_after': 1.0}) as node:
        sent = iter(range(100_000))

        def attempt():
            node.rig.send('rgb', scene(0)[0], START + next(sent) * 33_000_000)
            return f'Nothing comes on {node.rig.get_namespace()}/thermal/image_raw: ch' in node.log

        wait_for(attempt, 'the warning')
        wait_for(lambda: node.rig.statuses[-1].level == b'\x02', 'an error in the diagnostics')


def test_incompatible_qos_is_reported():
    """The rig offers best effort; a node that insists on reliable cannot be served."""
    with running(
        {'qos.reliability': 'reliable'}, connected=False, reliability='best_effort'
    ) as node:
        node.wait_for_log('uses QoS that does not fit (RELIABILITY): set qos.reliability to best_')
        wait_for(
            lambda: node.rig.statuses and 'does not fit' in node.rig.statuses[-1].message,
            'it in the diagnostics',
        )


def test_frames_without_a_stamp_are_paired_by_arrival():
    visible, thermal = scene(0)
    with running() as node:
        rig = node.rig

        def attempt():
            rig.send('rgb', visible, 0)
            rig.send('thermal', thermal, 0)
            return bool(rig.fused)

        wait_for(attempt, 'a fused image')
        assert stamp_of(rig.fused[0]) > START
        node.wait_for_log('carry no stamp; they are paired by their arrival')


def test_a_frozen_thermal_camera_is_seen_and_handled_by_policy():
    """The same thermal bytes for longer than 0.3 s of stamps; policy visible passes RGB on."""
    frames = [scene(i) for i in range(20)]
    frozen = [(visible, frames[9][1]) for visible, _ in frames]
    with running({'stall.policy': 'visible'}) as node:
        warm(node.rig)
        fused = play(node.rig, frozen)
        wait_for(lambda: node.rig.figures().get('thermal frozen') == 'true', 'the diagnosis')
        assert not np.array_equal(fused[5], frozen[5][0])
        assert np.array_equal(fused[15], frozen[15][0])


def test_ctrl_c_cuts_off_a_model_that_takes_half_a_minute(tmp_path):
    (tmp_path / 'slow.onnx').write_bytes(slow_bytes())
    parameters = {'model.name': str(tmp_path / 'slow.onnx'), 'model.allow_unlisted': True}
    visible, thermal = scene(0, 480, 640)
    with running(parameters) as node:
        sent = iter(range(10_000))

        def under_way():
            stamp = START + next(sent) * 10_000_000
            node.rig.send('rgb', visible, stamp)
            node.rig.send('thermal', thermal, stamp)
            return int(node.rig.figures().get('replaced by newer', 0)) > 2

        wait_for(under_way, 'pairs that wait for the first one')
        node.process.send_signal(signal.SIGINT)
        assert node.process.wait(DEADLINE) == 0
        node.stop()


@pytest.mark.parametrize('twice', [False, True])
def test_ctrl_c_ends_the_node_cleanly(twice):
    """Under launch a node gets SIGINT twice: from the terminal's process group and passed on."""
    with running() as node:
        warm(node.rig)
        node.process.send_signal(signal.SIGINT)
        if twice:
            node.process.send_signal(signal.SIGINT)
        assert node.process.wait(DEADLINE) == 0
        node.stop()
        assert 'Traceback' not in node.log and 'rror' not in node.log


@pytest.mark.parametrize(('parameters', 'text'), BAD_STARTS)
def test_a_bad_start_ends_with_2_and_one_sentence(parameters, text):
    if 'sync.backend' in parameters and importlib.util.find_spec('message_filters'):
        pytest.skip('message_filters is installed here')
    node = Running(start_node({'model.name': 'max', **parameters}, '/bad'), None)
    assert node.process.wait(DEADLINE) == 2
    assert processes.stop(node.process) == 2
    node.wait_for_log(text)
    assert 'Traceback' not in node.log
