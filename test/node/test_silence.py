"""A stream that stops: the other one goes out alone, by policy, and it is told at once."""

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String

from multimodal_fusion.io import messages
from multimodal_fusion.nodes.distro import qos

from .frames import SECOND, START, play, scene, stamp_of, warm
from .harness import running, wait_for


def listen_to_state(rig):
    """The states as they come; subscribed late, the last one comes all the same."""
    latched = qos('reliable', 1)
    latched.durability = DurabilityPolicy.TRANSIENT_LOCAL
    states = []
    rig.create_subscription(String, 'fused/state', lambda m: states.append(m.data), latched)
    return states


def send_until(rig, name, pixels, condition, what, start=START, **options):
    """Frames of one stream until a condition holds; returns the last stamp."""
    sent = iter(range(100_000))
    last = [start]

    def attempt():
        last[0] = start + next(sent) * 33_000_000
        rig.send(name, pixels, last[0], **options)
        return condition()

    wait_for(attempt, what)
    return last[0]


@pytest.mark.parametrize('stall', [{'stall.thermal': 'pass'}, {'stall.policy': 'visible'}])
def test_rgb_goes_out_alone_while_thermal_is_silent_and_is_fused_again_with_the_first_pair(stall):
    visible, thermal = scene(3)
    with running({'stall.timeout': 0.5, **stall}) as node:
        rig = node.rig
        warm(rig)
        states = listen_to_state(rig)
        start = START + SECOND
        last = send_until(rig, 'rgb', visible, lambda: len(rig.fused) > 3, 'RGB alone', start)
        assert np.array_equal(messages.to_visible(rig.fused[-1]), visible)
        assert start <= stamp_of(rig.fused[-1]) <= last
        assert rig.fused[-1].header.frame_id == 'camera'
        assert ('stall.policy goes with 0.2.0' in node.log) == ('stall.policy' in stall)
        wait_for(lambda: 'rgb; rgb=OK; thermal=SILENT; stall=pass' in states, 'the state')
        warned = lambda: (  # noqa: E731
            rig.statuses[-1].level == b'\x01'
            and 'thermal is silent: the rgb image goes out alone' in rig.statuses[-1].message
        )
        send_until(rig, 'rgb', visible, warned, 'the warning', last + SECOND)
        assert int(rig.figures()['rgb alone']) > 3
        node.wait_for_log('thermal is silent: the rgb image goes out alone')
        rig.fused.clear()
        both = START + 60 * SECOND
        rig.send('rgb', visible, both)
        rig.send('thermal', thermal, both)
        wait_for(lambda: 'fused; rgb=OK; thermal=OK' in states, 'the state of both')

        def fused():
            """The newest; RGB may have gone out alone before, with the same stamp."""
            newest = rig.fused[-1] if rig.fused else None
            shown = newest and stamp_of(newest) == both
            return shown and not np.array_equal(messages.to_visible(newest), visible)

        wait_for(fused, 'a fused image')


def test_the_last_thermal_image_is_fused_on_for_a_while_and_then_rgb_goes_out_alone():
    visible, thermal = scene(3)
    with running({'stall.timeout': 0.3, 'stall.hold_for': 1.5}) as node:
        rig = node.rig
        warm(rig)
        states, sent = listen_to_state(rig), iter(range(10_000))

        def both():
            stamp = START + next(sent) * 33_000_000
            rig.send('rgb', visible, stamp)
            rig.send('thermal', thermal, stamp)
            return rig.fused

        wait_for(both, 'a fused image')
        last = stamp_of(rig.fused[-1])
        fused = messages.to_visible(rig.fused[-1])
        assert not np.array_equal(fused, visible)

        def held():
            newest = rig.fused[-1]
            return 'fused; rgb=OK; thermal=SILENT; stall=hold' in states and stamp_of(newest) > last

        start = START + 20 * SECOND
        stamp = send_until(rig, 'rgb', visible, held, 'RGB with the last thermal image', start)
        assert np.array_equal(messages.to_visible(rig.fused[-1]), fused)
        assert start <= stamp_of(rig.fused[-1]) <= stamp
        send_until(
            rig, 'rgb', visible, lambda: 'rgb; rgb=OK; thermal=SILENT; stall=pass' in states,
            'the end of holding', stamp + SECOND,
        )  # fmt: skip

        def alone():
            return np.array_equal(messages.to_visible(rig.fused[-1]), visible)

        send_until(rig, 'rgb', visible, alone, 'RGB alone', stamp + 20 * SECOND)


def test_thermal_goes_out_on_the_last_visible_grid_while_rgb_is_silent():
    visible, thermal = scene(0)
    with running({'stall.timeout': 0.5, 'registration.mode': 'resize'}) as node:
        rig = node.rig
        warm(rig)
        rig.send('rgb', visible, START, frame_id='rgb_frame')
        small = np.ascontiguousarray(thermal[::2, ::2])
        send_until(
            rig, 'thermal', small, lambda: rig.fused, 'thermal alone', START + SECOND,
            frame_id='thermal_frame',
        )  # fmt: skip
        shown = messages.to_visible(rig.fused[-1])
        assert shown.shape == visible.shape and rig.fused[-1].encoding == 'bgr8'
        assert np.ptp(shown, axis=2).max() == 0
        assert rig.fused[-1].header.frame_id == 'rgb_frame'
        states = listen_to_state(rig)
        wait_for(lambda: states, 'the latched state')
        assert 'rgb=SILENT' in states[-1]


def test_a_thermal_camera_without_any_rgb_goes_out_as_it_is():
    with running({'stall.timeout': 0.3}) as node:
        _, thermal = scene(0)
        send_until(node.rig, 'thermal', thermal, lambda: node.rig.fused, 'thermal alone')
        assert np.array_equal(messages.to_visible(node.rig.fused[0]), thermal)


@pytest.mark.parametrize('stall', [{'stall.thermal': 'drop'}, {'stall.policy': 'drop'}])
def test_drop_sends_nothing(stall):
    visible, _ = scene(0)
    with running({'stall.timeout': 0.3, **stall}) as node:
        rig = node.rig
        warm(rig)
        states = listen_to_state(rig)
        line = 'none; rgb=OK; thermal=SILENT; stall=drop'
        send_until(rig, 'rgb', visible, lambda: line in states, 'the state', START + SECOND)
        assert not rig.fused
        warned = lambda: 'nothing goes out (stall.thermal drop)' in rig.statuses[-1].message  # noqa: E731
        send_until(rig, 'rgb', visible, warned, 'the warning', START + 100 * SECOND)


@pytest.mark.parametrize('latched', [False, True])
def test_camera_info_is_found_beside_the_images_and_passed_on_beside_the_fused_ones(latched):
    """Only the image topics are remapped; the info came once, before the node, where latched."""
    visible, thermal = scene(0)
    remaps = ['-r', 'rgb/image_raw:=cam/front/image_raw', '-r', 'fused/image_raw:=out/picture']
    with running(arguments=remaps, connected=False, listen=False) as node:
        rig, infos = node.rig, []
        profile = qos('reliable', 1)
        if latched:
            profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
        port = rig.create_publisher(CameraInfo, 'cam/front/camera_info', profile)
        info = CameraInfo(height=visible.shape[0], width=visible.shape[1])
        port.publish(info)
        rig.create_subscription(CameraInfo, 'out/camera_info', infos.append, qos('reliable', 5))
        from sensor_msgs.msg import Image

        rig.outputs['rgb'] = rig.create_publisher(Image, 'cam/front/image_raw', profile)
        sent = iter(range(100_000))

        def attempt():
            stamp = START + next(sent) * 33_000_000
            if not latched:
                port.publish(info)
            rig.send('rgb', visible, stamp)
            rig.send('thermal', thermal, stamp)
            return infos

        wait_for(attempt, 'camera_info beside the fused images')
        assert infos[0].width == visible.shape[1] and stamp_of(infos[0]) >= START


def test_a_waited_for_camera_info_that_nobody_publishes_is_told_once():
    with running() as node:  # the rig waits for it
        node.rig.destroy_publisher(node.rig.outputs['rgb', 'info'])
        warm(node.rig)
        node.wait_for_log('/rgb/camera_info, so nothing goes out on')
        play(node.rig, [scene(i) for i in range(3)], START + 10 * SECOND)
        assert node.log.count('so nothing goes out on') == 1
