"""The real node over real DDS: every fused frame is compared with the offline path."""

import array
import importlib.util

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo

from multimodal_fusion.io import messages, pixels
from multimodal_fusion.nodes.distro import profile_variable
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked

from .frames import SECOND, START, play, scene, stamp_of, warm
from .harness import Running, running, start_node, wait_for


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
    fused = node.rig.fused
    assert [stamp_of(m) for m in fused] == [START + i * (SECOND // 30) for i in range(20)]
    assert {m.encoding for m in fused} == {'bgr8'}
    assert {m.header.frame_id for m in fused} == {'camera'}


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
    assert np.array_equal(messages.to_visible(node.rig.fused[0]), expected)


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
        fused = play(node.rig, [(pixels.luma(visible), thermal)])
    assert node.rig.fused[-1].encoding == 'mono8'
    assert np.array_equal(fused[0], np.maximum(pixels.luma(visible), thermal))


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


def test_it_works_on_simulated_time_even_while_that_stands_still():
    """No /clock is published: stamps alone decide, diagnostics go by the steady clock."""
    with running({'use_sim_time': True}) as node:
        warm(node.rig)
        play(node.rig, [scene(1)])
        wait_for(lambda: int(node.rig.figures().get('fused', 0)) >= 1, 'diagnostics')


def test_registration_by_resizing():
    visible, thermal = scene(0)
    with running({'registration.mode': 'resize'}) as node:
        warm(node.rig)
        fused = play(node.rig, [(visible, cv2.resize(thermal, (64, 48)))])
    assert fused[0].shape == visible.shape


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
