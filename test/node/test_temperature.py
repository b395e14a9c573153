"""Temperatures of the live node: on the thermal camera's grid, without RGB, on demand."""

import numpy as np
import pytest
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import Image

from .frames import START
from .harness import running, wait_for

COUNTS = np.full((48, 64), 7326, np.uint16)
COUNTS[20, 30] = 8000


def test_temperatures_come_without_rgb():
    """0.04 K a count: 19.89 and 46.85 degrees."""
    with running({'thermal.scale': 0.04, 'thermal.unit': 'kelvin'}, listen=False) as node:
        rig, images, points = node.rig, [], []
        rig.create_subscription(Image, 'thermal/temperature', images.append, 10)
        rig.create_subscription(PointStamped, 'thermal/hottest', points.append, 10)
        sent = iter(range(10_000))

        def attempt():
            rig.send('thermal', COUNTS, START + next(sent) * 33_000_000, frame_id='boson')
            return images and points

        wait_for(attempt, 'temperatures')
        image, point = images[0], points[0]
        assert (image.encoding, image.height, image.width) == ('32FC1', 48, 64)
        assert image.header.frame_id == point.header.frame_id == 'boson'
        degrees = np.frombuffer(image.data, np.float32).reshape(48, 64)
        assert degrees[0, 0] == pytest.approx(19.89, abs=0.01)
        assert (point.point.x, point.point.y) == (30, 20)
        assert point.point.z == pytest.approx(46.85, abs=0.01) == degrees[20, 30]
        assert rig.set_parameter('thermal.unit', 'counts') == (True, '')
        wait_for(lambda: attempt() and 'set thermal.unit' in node.log, 'a sentence in the log')
