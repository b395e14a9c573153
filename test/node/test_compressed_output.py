"""Compressed topics of the live node: what a ground station on Wi-Fi subscribes to."""

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from multimodal_fusion.io import messages

from .frames import START
from .harness import running, wait_for

VISIBLE = np.zeros((48, 64, 3), np.uint8)
VISIBLE[:, 20:40] = (40, 160, 90)
THERMAL = np.zeros((48, 64), np.uint8)
THERMAL[10:30, 5:15] = 200


def test_compressed_alone_is_enough():
    """Nobody takes the raw image. JPEG is near to it, PNG the same; changed while it runs."""
    with running({'output.jpeg_quality': 95}, listen=False) as node:
        rig, found, sent = node.rig, [], iter(range(10_000))
        rig.create_subscription(CompressedImage, 'fused/image_raw/compressed', found.append, 10)

        def attempt(kind):
            stamp = START + next(sent) * 33_000_000
            rig.send('rgb', VISIBLE, stamp)
            rig.send('thermal', THERMAL, stamp)
            return any(kind in message.format for message in found)

        wait_for(lambda: attempt('jpeg'), 'a JPEG')
        jpeg = messages.read_visible(found[-1])
        assert found[-1].format == 'bgr8; jpeg compressed bgr8'
        assert jpeg.shape == VISIBLE.shape
        assert rig.set_parameter('output.compressed', 'png') == (True, '')
        wait_for(lambda: attempt('png'), 'a PNG')
        png = messages.read_visible(next(m for m in found if 'png' in m.format))
        assert (png[15, 8] == 200).all() and png[5, 30].tolist() == pytest.approx([40, 160, 90])
        assert np.abs(png.astype(int) - jpeg).mean() < 4
        done, reason = rig.set_parameter('output.jpeg_quality', 0)
        assert not done and 'jpeg_quality' in reason
