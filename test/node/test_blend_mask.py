"""fused/blend_mask: where each pixel comes from, on demand, from the real node."""

import numpy as np
from sensor_msgs.msg import Image

from multimodal_fusion.io import messages
from multimodal_fusion.pipeline.pipeline import build
from multimodal_fusion.pipeline.settings import checked

from ..helpers.models import blending_bytes
from .frames import START, scene, stamp_of
from .harness import running, wait_for


def send_until(node, condition, what):
    """The same pair, with new stamps, until the condition holds."""
    visible, thermal = scene(0)
    sent = iter(range(10_000))

    def attempt():
        stamp = START + next(sent) * 10_000_000
        node.rig.send('rgb', visible, stamp)
        node.rig.send('thermal', thermal, stamp)
        return condition()

    wait_for(attempt, what)
    return visible, thermal


def test_the_mask_is_published_while_somebody_listens_to_it_alone(tmp_path):
    path = tmp_path / 'blender.onnx'
    path.write_bytes(blending_bytes())
    parameters = {
        'model.name': str(path),
        'model.allow_unlisted': True,
        'model.mask_scale': 0.5,
    }
    with running(parameters, listen=False) as node:
        masks = []
        node.rig.create_subscription(Image, 'fused/blend_mask', masks.append, 10)
        visible, thermal = send_until(node, lambda: masks, 'a mask')
    pipeline = build(checked(parameters))
    expected = pipeline.fuse_all(visible, pipeline.observe(thermal, 0)).mask
    assert masks[0].encoding == 'mono8'
    assert masks[0].header.frame_id == 'camera'
    assert (stamp_of(masks[0]) - START) % 10_000_000 == 0
    assert np.array_equal(messages.to_thermal(masks[0]), expected)
    assert 0 < expected.mean() < 255


def test_a_model_without_a_mask_says_so():
    with running(listen=False) as node:
        node.rig.create_subscription(Image, 'fused/blend_mask', print, 10)
        said = 'fused/blend_mask has a subscriber, but max blends by no mask'
        send_until(node, lambda: said in node.log, 'the warning')
        assert node.rig.count_publishers('fused/blend_mask') == 1
