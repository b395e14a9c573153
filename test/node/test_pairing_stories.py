"""Right pairs over DDS: a lost frame, a driver that starts later, one that dies and comes back.

Visible is black and thermal frame i has the grey level i, so that the fused image of ``max`` tells
the thermal frame, and its stamp the RGB frame, that it was made of.
"""

import numpy as np
import pytest
from sensor_msgs.msg import Image

from multimodal_fusion.io import messages

from .frames import START, stamp_of
from .harness import qos, running, wait_for

MS = 1_000_000
PERIOD = 33_333_333
# Sent faster than a camera does, with nothing coming back to wait for: none may be lost.
KEEP_ALL = {'qos.reliability': 'reliable', 'qos.depth': 200}
BLACK = np.zeros((48, 64, 3), np.uint8)


def shoot(rig, numbers, skew, streams=('rgb', 'thermal'), wait=True):
    """Send frames exposed together, stamped ``skew`` milliseconds apart; of the given streams.

    wait: for each pair to come back. The first ones do not, until the node knows the rhythm.
    """
    for i in numbers:
        grey = np.full((48, 64), i, np.uint8)
        arrivals = [('rgb', 0, BLACK), ('thermal', round(skew * MS), grey)]
        for name, behind, pixels in sorted(arrivals, key=lambda arrival: arrival[1]):
            if name in streams:
                rig.send(name, pixels, START + i * PERIOD + behind)
        if wait and len(streams) == 2:
            wait_for(lambda i=i: made(rig)[-1:] == [(i, i)], f'pair {i}')


def made(rig):
    """The (RGB, thermal) numbers of the fused images."""
    return [
        ((stamp_of(m) - START) // PERIOD, int(messages.to_visible(m)[0, 0, 0])) for m in rig.fused
    ]


def check(rig, skew, least):
    """All fused pairs are right, there are enough of them, and the diagnostics tell the skew."""
    pairs = made(rig)
    assert len(pairs) >= least
    assert [pair for pair in pairs if pair[0] != pair[1]] == []
    figures = ('skew median (ms)', 'skew last (ms)', 'skew running (ms)')
    wait_for(
        lambda: all(abs(float(rig.figures().get(name, 'nan')) - skew) < 0.02 for name in figures),
        f'a skew of {skew} ms in the diagnostics',
    )
    # A busy machine may lose some of what was sent at once; about the pairing nothing is said.
    told = rig.statuses[-1].message
    assert told == 'fusing' or 'overtaken by newer ones' in told


@pytest.mark.parametrize('name', ['rgb', 'thermal'])
def test_one_lost_frame(name):
    """Thermal +1.0 ms: the greedy rule made -32.3 ms of all that came after a lost RGB frame."""
    other = 'thermal' if name == 'rgb' else 'rgb'
    with running(KEEP_ALL) as node:
        shoot(node.rig, range(9), 1.0, wait=False)
        shoot(node.rig, range(9, 60), 1.0)
        shoot(node.rig, [60], 1.0, streams=(other,))
        shoot(node.rig, range(61, 120), 1.0)
        check(node.rig, 1.0, least=110)


def test_rgb_starts_two_seconds_later_than_thermal():
    """Thermal +10 ms: the greedy rule made -23.3 ms of all pairs."""
    with running(KEEP_ALL) as node:
        shoot(node.rig, range(60), 10.0, streams=('thermal',))
        # Across topics nothing keeps the order: the node has to have seen them first.
        wait_for(lambda: node.rig.figures().get('thermal frames') == '60', 'sixty thermal frames')
        shoot(node.rig, range(60, 69), 10.0, wait=False)
        shoot(node.rig, range(69, 180), 10.0)
        check(node.rig, 10.0, least=110)


def test_the_rgb_driver_is_killed_and_started_again():
    with running(KEEP_ALL) as node:
        rig = node.rig
        shoot(rig, range(9), 10.0, wait=False)
        shoot(rig, range(9, 60), 10.0)
        rig.destroy_publisher(rig.outputs.pop('rgb'))
        shoot(rig, range(60, 105), 10.0, streams=('thermal',))
        wait_for(lambda: rig.figures().get('thermal frames') == '105', 'the thermal frames')
        rig.outputs['rgb'] = rig.create_publisher(Image, 'rgb/image_raw', qos('reliable', 200))
        wait_for(rig.outputs['rgb'].get_subscription_count, 'the node to hear the new driver')
        shoot(rig, range(105, 180), 10.0)
        check(rig, 10.0, least=125)
