"""Nothing that one message holds ends the node, fills its memory or costs the frames after it."""

import itertools

import cv2
import psutil
from sensor_msgs.msg import CameraInfo, Image

from ..helpers.hostile import images as hostile
from .frames import START, scene
from .harness import running, wait_for

PACKED = {'input.rgb_transport': 'compressed', 'input.thermal_transport': 'compressed'}
STEP = 33_000_000


def send_whole(rig, stamp):
    visible, thermal = scene(0)
    for name, pixels in (('rgb', visible), ('thermal', thermal)):
        rig.send_compressed(name, cv2.imencode('.png', pixels)[1].tobytes(), stamp)


def send_hostile(rig, stream, content, stamp):
    """An image on one stream; RGB with a partner, since it is decoded once it has one."""
    if stream == 'rgb':
        thermal = cv2.imencode('.png', scene(0)[1])[1].tobytes()
        rig.send_compressed('thermal', thermal, stamp)
    rig.send_compressed(stream, content, stamp, 'jpeg')


def until_fused(rig, stamps):
    """Send whole pairs until one comes back."""
    count = len(rig.fused)

    def attempt():
        send_whole(rig, next(stamps))
        return len(rig.fused) > count

    wait_for(attempt, 'a fused image')


def test_hostile_images_are_counted_and_told_and_the_next_pair_is_fused():
    """Before, one JPEG of 389 bytes ended the node, and a PNG of 85 bytes took 4 GB of memory."""
    stamps = (START + i * STEP for i in range(100_000))
    with running(PACKED) as node:
        rig, process = node.rig, psutil.Process(node.process.pid)
        until_fused(rig, stamps)
        memory = process.memory_info().rss
        for name, content in hostile().items():
            for stream in ('thermal', 'rgb'):
                send_hostile(rig, stream, content, next(stamps))
            until_fused(rig, stamps)
            assert node.process.poll() is None, f'{name}: {node.log}'
        assert process.memory_info().rss - memory < 200 * 2**20
        expected = [
            f'{stream} {reason}'
            for stream in ('rgb', 'thermal')
            for reason in ('encoding', 'size', 'truncated')
        ]
        again = itertools.cycle(itertools.product(('rgb', 'thermal'), hostile().values()))

        def told():
            # An RGB image whose pair a newer one replaced was never looked at: sent again.
            send_hostile(rig, *next(again), next(stamps))
            return all(key in rig.figures().get('refused', '') for key in expected)

        wait_for(told, 'each kind of refusal in the diagnostics')
        node.wait_for_log('bytes cannot hold 65500x65500 pixels')
        assert 'Traceback' not in node.log


def test_whatever_a_message_leads_a_library_into_is_a_bad_frame():
    """Fields that no check of ours foresees: a stamp before 1970, a calibration of nothing."""
    with running() as node:
        rig = node.rig
        visible, thermal = scene(0)
        image = Image(height=2**31, width=2**31, step=2**31, encoding='mono8')
        image.header.stamp.sec = -(2**31)
        image.header.stamp.nanosec = 2**32 - 1
        for name in ('rgb', 'thermal'):
            rig.outputs[name].publish(image)
            rig.outputs[name, 'info'].publish(CameraInfo(width=2**31, d=[float('nan')] * 40))
        sent = iter(range(100_000))

        def attempt():
            stamp = START + next(sent) * STEP
            rig.send('rgb', visible, stamp)
            rig.send('thermal', thermal, stamp)
            return bool(rig.fused)

        wait_for(attempt, 'a fused image')
        assert node.process.poll() is None and 'Traceback' not in node.log
