"""What the real node says when too little comes out, and what is to be done about it."""

import cv2
import pytest
from sensor_msgs.msg import CompressedImage

from multimodal_fusion.nodes.distro import qos

from .frames import SECOND, START, scene, warm
from .harness import running, start_node, wait_for


def coded(kind, pixels):
    return cv2.imencode(kind, pixels)[1].tobytes()


def feed(rig, condition, what, rgb, thermal, rgb_stamp=0, thermal_stamp=0, start=START):
    """Pairs until a condition holds: rgb(i), thermal(i) send one each at a stamp."""
    sent = iter(range(100_000))

    def attempt():
        i = next(sent)
        stamp = start + i * 33_000_000
        rgb(i, stamp + rgb_stamp)
        thermal(i, stamp + thermal_stamp)
        return rig.statuses and condition(rig.statuses[-1])

    wait_for(attempt, what)
    return rig.statuses[-1]


@pytest.mark.parametrize(('every', 'level'), [(1, b'\x02'), (3, b'\x01')])
def test_compressed_rgb_that_cannot_be_decoded_is_told_with_its_share(every, level):
    """All of it is an ERROR, a third a WARN; both name the stage and the reason."""
    visible, thermal = scene(0)
    good, cut = coded('.jpg', visible), coded('.jpg', visible)[:900]
    with running({'input.rgb_transport': 'compressed'}) as node:
        rig = node.rig
        status = feed(
            rig,
            lambda s: s.level == level and 'does not decode' in s.message,
            'the status',
            lambda i, stamp: rig.send_compressed('rgb', good if i % every else cut, stamp, 'jpeg'),
            lambda i, stamp: rig.send('thermal', thermal, stamp),
        )
        assert 'does not decode' in status.message
        assert 'rgb ' in rig.figures()['refused']
        node.wait_for_log('does not decode')


def test_thermal_that_arrives_a_second_late_is_paired_by_its_right_stamps():
    visible, thermal = scene(0)
    with running() as node:
        rig = node.rig
        feed(
            rig,
            lambda _: int(rig.figures()['pairs']) > 100,
            'late pairs',
            lambda i, stamp: rig.send('rgb', visible, stamp),
            lambda i, stamp: rig.send('thermal', thermal, stamp - 30 * 33_000_000),
        )
        assert rig.figures()['rgb waited too long'] == '0'
        assert rig.figures()['skew last (ms)'] == '0.00'


def test_stamps_that_stand_still_are_told():
    visible, thermal = scene(0)
    with running({'stall.warn_after': 1.0}) as node:
        rig = node.rig
        feed(
            rig,
            lambda s: 'the stamps of thermal stand still' in s.message,
            'the reason',
            lambda i, stamp: rig.send('rgb', visible, stamp),
            lambda i, stamp: rig.send('thermal', thermal, START - 60 * SECOND),
        )
        assert 'thermal_time_offset' not in rig.statuses[-1].message


def test_simulated_time_without_a_clock_is_told():
    with running({'use_sim_time': True, 'stall.warn_after': 1.0}) as node:
        node.wait_for_log('nobody publishes /clock')


def test_only_compressed_images_are_published():
    with running({'stall.warn_after': 1.0}, connected=False) as node:
        rig = node.rig
        name = rig.get_namespace()
        for stream in ('rgb', 'thermal'):
            rig.destroy_publisher(rig.outputs[stream])
        node.wait_for_log(f'only {name}/rgb/image_raw/compressed is published: set input.rgb_tr')


def test_a_topic_of_another_type_is_told():
    remap = ['-r', 'rgb/image_raw:=cam/compressed']
    with running({'stall.warn_after': 1.0}, connected=False, arguments=remap) as node:
        rig = node.rig
        rig.create_publisher(CompressedImage, 'cam/compressed', qos('reliable', 1))
        node.wait_for_log('cam/compressed holds compressed images: give the topic without /compr')


def test_the_nearest_image_topic_is_named():
    remap = ['-r', 'rgb/image_raw:=rgb/image_rav']
    with running({'stall.warn_after': 1.0}, connected=False, arguments=remap) as node:
        node.wait_for_log('nobody publishes it; images are on')
        node.wait_for_log(f'Did you mean {node.rig.get_namespace()}/rgb/image_raw')


def test_a_third_of_the_frames_refused_is_a_warning_with_the_share():
    visible, thermal = scene(0)
    with running() as node:
        rig = node.rig
        status = feed(
            rig,
            lambda s: s.level == b'\x01' and 'of the rgb frames are refused' in s.message,
            'the warning',
            lambda i, t: rig.send('rgb', visible, t, encoding='32FC1' if i % 3 == 0 else None),
            lambda i, t: rig.send('thermal', thermal, t),
        )
        assert "encoding '32FC1' is not supported" in status.message
        node.wait_for_log('of the rgb frames are refused')


def test_two_nodes_of_one_name_are_told():
    with running() as node:
        other = start_node({'model.name': 'max'}, node.rig.get_namespace())
        try:
            node.wait_for_log('2 nodes are called')
        finally:
            other.terminate()
            other.communicate()


def test_an_endless_encoding_is_cut_in_messages():
    with running() as node:
        warm(node.rig)
        node.rig.send('rgb', scene(0)[0], START, encoding='x' * 100_000)
        node.wait_for_log("image encoding 'xxx")
        assert max(map(len, node.log.splitlines())) < 600


def test_frames_that_wait_survive_a_change_of_settings():
    visible, thermal = scene(0)
    with running() as node:
        rig = node.rig
        warm(rig)
        rig.send('rgb', visible, START + 10 * SECOND)
        wait_for(lambda: rig.figures().get('rgb frames'), 'a status')
        frames = int(rig.figures()['rgb frames'])
        wait_for(lambda: int(rig.figures()['rgb frames']) >= frames, 'the frame')
        assert rig.set_parameter('sync.slop', 0.03)[0]
        rig.send('thermal', thermal, START + 10 * SECOND)
        wait_for(lambda: rig.fused, 'a fused image')
