"""What the demo plays."""

import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.sources import open_source

from ..helpers import bags

pytest.importorskip('rosbags', reason='bags need rosbags; the ros extra brings it')


def test_a_bag_with_cut_messages_plays_on(tmp_path):
    """The one that is cut gives a sentence when its pixels are asked for; the others their own."""
    whole = bags.flight(tmp_path / 'whole', bags.Planted(seconds=1.0))
    path = bags.rewritten(
        whole, tmp_path / 'in',
        lambda topic, i, raw: bytes(raw)[:30] if (topic, i) == ('/camera/image_raw', 3) else raw,
    )  # fmt: skip
    refused = []
    for item in open_source(bag=path):
        try:
            assert item.load().size
        except UserError as error:
            refused.append(str(error))
    assert len(refused) == 1 and 'is no valid sensor_msgs/msg/Image' in refused[0]
