"""The real node over real DDS: every fused frame against the offline path, and what goes wrong."""

import array
import importlib.util
import signal

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

from multimodal_fusion import images, processes
from multimodal_fusion.detector import Detector, draw
from multimodal_fusion.image_files import read_thermal
from multimodal_fusion.nodes.distro import profile_variable
from multimodal_fusion.parameters import checked
from multimodal_fusion.pipeline import build

from ..data import DATA, needs_data
from ..models import onnx_bytes
from .harness import DEADLINE, Running, running, start_node, wait_for

SECOND = 10**9
START = 1_700_000_000 * SECOND
rng = np.random.default_rng(0)


def scene(i, height=96, width=128):
    """A textured pair that moves with i."""
    base = np.random.default_rng(7).integers(0, 256, (height, width, 3), np.uint8)
    visible = np.roll(cv2.blur(base, (5, 5)), i, axis=1)
    thermal = np.roll(cv2.blur(base[::-1, :, 0], (9, 9)), 2 * i, axis=1)
    return np.ascontiguousarray(visible), np.ascontiguousarray(thermal)


def play(rig, frames, start=START, period=SECOND // 30, **options):
    """Send pairs one by one, each when the one before has come back; returns the fused arrays."""
    for i, (visible, thermal) in enumerate(frames):
        count = len(rig.fused)
        rig.send('rgb', visible, start + i * period, **options)
        rig.send('thermal', thermal, start + i * period - 2_000_000)
        wait_for(lambda count=count: len(rig.fused) > count, f'fused image {i}')
    return [images.to_visible(m) for m in rig.fused[-len(frames) :]]


def warm(rig, start=START - SECOND):
    """Until a first pair has come through: discovery is not instant, and best effort loses."""
    visible, thermal = scene(0)
    sent = iter(range(10_000))

    def attempt():
        stamp = start + next(sent) * 10_000_000
        rig.send('rgb', visible, stamp)
        rig.send('thermal', thermal, stamp)
        return bool(rig.fused)

    wait_for(attempt, 'the first fused image')
    # Let what is still on its way arrive: the node has seen the last stamp sent.
    last = start + (next(sent) - 1) * 10_000_000
    wait_for(lambda: rig.fused and stamp_of(rig.fused[-1]) >= last, 'the rest')
    rig.fused.clear()
    rig.infos.clear()


def stamp_of(message):
    return message.header.stamp.sec * SECOND + message.header.stamp.nanosec


@pytest.mark.parametrize('model', ['max', 'default', 'laplacian'])
def test_every_frame_equals_the_offline_path_to_the_last_bit(model):
    with running({'model.name': model}) as node:
        warm(node.rig)
        frames = [scene(i) for i in range(20)]
        fused = play(node.rig, frames)
    offline = build(checked({'model.name': model}))
    for i, (visible, thermal) in enumerate(frames):
        expected = offline.fuse(visible, offline.observe(thermal, i))
        assert np.array_equal(fused[i], expected), f'frame {i}'
    messages = node.rig.fused
    assert [stamp_of(m) for m in messages] == [START + i * (SECOND // 30) for i in range(20)]
    assert {m.encoding for m in messages} == {'bgr8'}
    assert {m.header.frame_id for m in messages} == {'camera'}


def test_16_bit_thermal_follows_its_range_as_offline():
    """The range has a memory: equal pixels mean that live and offline saw the same history."""
    frames = []
    for i in range(15):
        visible, thermal = scene(i)
        frames.append((visible, thermal.astype(np.uint16) * (8 + i) + 7000))
    with running() as node:
        warm(node.rig)
        # A step back of the clock by more than sync.reset_after starts the range afresh.
        fused = play(node.rig, frames, start=START - 1000 * SECOND)
    offline = build(checked({'model.name': 'max'}))
    for i, (visible, thermal) in enumerate(frames):
        stamp = START - 1000 * SECOND + i * (SECOND // 30) - 2_000_000
        assert np.array_equal(fused[i], offline.fuse(visible, offline.observe(thermal, stamp)))


def test_compressed_streams():
    """PNG is lossless, so the offline path on the originals must give the same pixels."""
    parameters = {'input.rgb_transport': 'compressed', 'input.thermal_transport': 'compressed'}
    visible, thermal = scene(3)
    coded = {
        'rgb': array.array('B', cv2.imencode('.png', visible)[1].tobytes()),
        'thermal': array.array('B', cv2.imencode('.png', thermal)[1].tobytes()),
    }
    with running(parameters) as node:
        sent = iter(range(10_000))

        def attempt():
            stamp = START + next(sent) * 30_000_000
            for name, data in coded.items():
                node.rig.send_compressed(name, data, stamp)
            return bool(node.rig.fused)

        wait_for(attempt, 'a fused image from compressed ones')
    offline = build(checked({'model.name': 'max'}))
    expected = offline.fuse(visible, offline.observe(thermal, 0))
    assert np.array_equal(images.to_visible(node.rig.fused[0]), expected)


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


def test_the_resolution_may_change_mid_stream():
    with running() as node:
        warm(node.rig)
        frames = [scene(0), scene(1, 120, 161), scene(2, 480, 640), scene(3)]
        fused = play(node.rig, frames)
    for (visible, _), image in zip(frames, fused, strict=True):
        assert image.shape == visible.shape


def test_grey_visible_stays_grey():
    visible, thermal = scene(0)
    with running() as node:
        warm(node.rig)
        fused = play(node.rig, [(images.luma(visible), thermal)])
    assert node.rig.fused[-1].encoding == 'mono8'
    assert np.array_equal(fused[0], np.maximum(images.luma(visible), thermal))


def test_camera_info_goes_with_the_fused_image():
    with running() as node:
        warm(node.rig)
        info = CameraInfo(height=96, width=128, distortion_model='plumb_bob')
        info.k[0] = 321.5
        node.rig.outputs['rgb', 'info'].publish(info)
        sent = iter(range(1000))

        def attempt():
            play(node.rig, [scene(1)], start=START + next(sent) * SECOND)
            return bool(node.rig.infos)

        wait_for(attempt, 'fused/camera_info')
        got = node.rig.infos[-1]
        assert (got.k[0], got.distortion_model) == (321.5, 'plumb_bob')
        assert stamp_of(got) in {stamp_of(m) for m in node.rig.fused}


def test_parameters_change_at_run_time_or_are_refused_with_a_reason():
    visible, thermal = scene(4)
    with running() as node:
        rig = node.rig
        warm(rig)
        assert rig.set_parameter('model.name', 'average') == (True, '')
        fused = play(rig, [(images.luma(visible), thermal)])
        assert np.array_equal(fused[0], cv2.addWeighted(images.luma(visible), 0.5, thermal, 0.5, 0))
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
        fused = play(node.rig, [(images.luma(visible), thermal)])
        assert np.array_equal(fused[0], np.maximum(images.luma(visible), thermal))


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


def test_the_calibration_follows_the_reference_camera():
    infos = {}
    for name, focal in (('rgb', 100.0), ('thermal', 50.0)):
        infos[name] = CameraInfo(height=96, width=128)
        infos[name].k[0] = focal
    with running() as node:
        rig = node.rig
        warm(rig)
        sent = iter(range(1000))

        def focal(value):
            for name, info in infos.items():
                rig.outputs[name, 'info'].publish(info)
            play(rig, [scene(1)], start=START + next(sent) * SECOND)
            return rig.infos and rig.infos[-1].k[0] == value

        wait_for(lambda: focal(100.0), 'the calibration of RGB')
        assert rig.set_parameter('output.reference', 'thermal')[0]
        wait_for(lambda: focal(50.0), 'the calibration of thermal')


def test_a_remapped_topic_takes_its_compressed_transport_along():
    with running({'input.rgb_transport': 'compressed'}, connected=False) as node:
        node.wait_for_log('fusing with')
        namespace = node.rig.get_namespace()
    other = Running(
        start_node(
            {'model.name': 'max', 'input.rgb_transport': 'compressed', 'stall.warn_after': 0.5},
            namespace, '-r', 'rgb/image_raw:=/cam/image_raw',
        ),
        None,
    )  # fmt: skip
    other.wait_for_log('/cam/image_raw/compressed: no frame yet')
    assert other.stop() == 0


def test_the_profile_variable_is_the_one_the_distribution_reads(monkeypatch):
    for release, name in (('humble', 'FASTRTPS'), ('jazzy', 'FASTRTPS'), ('kilted', 'FASTDDS')):
        monkeypatch.setenv('ROS_DISTRO', release)
        assert profile_variable() == f'{name}_DEFAULT_PROFILES_FILE'
    monkeypatch.delenv('ROS_DISTRO')
    for version, name in (('7.1.6', 'FASTRTPS'), ('9.1.2', 'FASTDDS')):
        monkeypatch.setattr('importlib.metadata.version', lambda _, version=version: version)
        assert profile_variable() == f'{name}_DEFAULT_PROFILES_FILE'


def test_nothing_is_computed_while_nobody_listens():
    with running(listen=False) as node:
        rig, sent = node.rig, iter(range(100_000))

        def attempt(key, least):
            stamp = START + next(sent) * 33_000_000
            visible, thermal = scene(0)
            rig.send('rgb', visible, stamp)
            rig.send('thermal', thermal, stamp)
            return int(rig.figures().get(key, 0)) >= least

        wait_for(lambda: attempt('not computed (nobody listens)', 5), 'idle pairs')
        assert rig.figures()['fused'] == '0'
        rig.listen()
        wait_for(lambda: attempt('fused', 1), 'fusion to start with the first listener')


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
        wait_for(lambda: node.rig.statuses, 'diagnostics')
        assert 'does not fit' in node.rig.statuses[-1].message


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


def test_registration_by_resizing():
    visible, thermal = scene(0)
    with running({'registration.mode': 'resize'}) as node:
        warm(node.rig)
        fused = play(node.rig, [(visible, cv2.resize(thermal, (64, 48)))])
    assert fused[0].shape == visible.shape


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


BAD_STARTS = [
    ({'sync.slopp': 0.1}, 'unknown parameter sync.slopp: did you mean sync.slop?'),
    ({'sync.slop': -1.0}, 'parameter sync.slop is -1; it must be from 0 to 10 s'),
    ({'model.name': 'none.onnx'}, 'the model file none.onnx cannot be read: No such file'),
    ({'sync.backend': 'message_filters'}, 'message_filters, which is not installed'),
]


@pytest.mark.parametrize(('parameters', 'text'), BAD_STARTS)
def test_a_bad_start_ends_with_2_and_one_sentence(parameters, text):
    if 'sync.backend' in parameters and importlib.util.find_spec('message_filters'):
        pytest.skip('message_filters is installed here')
    node = Running(start_node({'model.name': 'max', **parameters}, '/bad'), None)
    assert node.process.wait(DEADLINE) == 2
    assert processes.stop(node.process) == 2
    node.wait_for_log(text)
    assert 'Traceback' not in node.log


@needs_data
def test_detections_are_published_while_somebody_listens():
    """A real thermal street image with people; the array too where vision_msgs is installed."""
    thermal = read_thermal(DATA / 'ivif/train/ir/llvip_010001.png')
    parameters = {
        'detector.enabled': True,
        'detector.model': str(DATA / 'weights' / 'yolox_nano.onnx'),
        'model.allow_unlisted': True,
    }
    pictures, arrays = [], []
    with running(parameters, listen=False) as node:
        rig = node.rig
        rig.create_subscription(Image, 'fused/detections_image', pictures.append, 10)
        if importlib.util.find_spec('vision_msgs'):
            from vision_msgs.msg import Detection2DArray

            rig.create_subscription(Detection2DArray, 'fused/detections', arrays.append, 10)
        sent = iter(range(10_000))

        def attempt():
            stamp = START + next(sent) * 33_000_000
            rig.send('rgb', thermal, stamp)
            rig.send('thermal', thermal, stamp)
            return pictures and (arrays or not importlib.util.find_spec('vision_msgs'))

        wait_for(attempt, 'detections')
    detector = Detector(parameters['detector.model'], allow_unlisted=True)
    found = detector.detect(thermal)
    assert found
    assert np.array_equal(images.to_visible(pictures[0]), draw(thermal, found))
    for array_ in arrays[:1]:
        assert [d.results[0].hypothesis.class_id for d in array_.detections] == [
            d.label for d in found
        ]
        first = array_.detections[0]
        assert first.header == array_.header
        assert first.bbox.size_x == pytest.approx(found[0].x1 - found[0].x0)
        assert first.bbox.center.position.x == pytest.approx((found[0].x0 + found[0].x1) / 2)


@pytest.mark.skipif(
    not importlib.util.find_spec('message_filters'),
    reason='message_filters is not on PyPI; run this where ROS 2 is installed',
)
def test_pairing_by_message_filters_gives_the_same_images():
    frames = [scene(i) for i in range(5)]
    with running({'sync.backend': 'message_filters'}) as node:
        warm(node.rig)
        fused = play(node.rig, frames)
    offline = build(checked({'model.name': 'max'}))
    for i, (visible, thermal) in enumerate(frames):
        assert np.array_equal(fused[i], offline.fuse(visible, offline.observe(thermal, i)))
