"""Which topics of a bag are fused: names and encodings of real drivers, and what is refused."""

import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.bag import Bag, _encoding
from multimodal_fusion.io.bag_topics import IMAGE_TYPES, choose

from ..helpers import bags

RAW, CODED = IMAGE_TYPES


def chosen(topics, rgb=None, thermal=None):
    """topics: {name: encoding, or a format with a semicolon}."""
    types = {n: CODED if ';' in e or e in ('jpeg', 'png') else RAW for n, e in topics.items()}
    found = choose(types, topics, rgb, thermal, 'the bag')
    return found.rgb, found.thermal


@pytest.mark.parametrize(
    ('topics', 'expected'),
    [
        (  # record -a of a driver with image_transport's plug-ins, the unreadable one first
            {'/boson/image_raw/compressedDepth': '16UC1; compressedDepth png',
             '/boson/image_raw/compressed': 'mono8; jpeg', '/boson/image_raw': '16UC1',
             '/cam/image_raw/compressed': 'bgr8; jpeg', '/cam/image_raw': 'bgr8',
             '/cam/image_raw/theora': 'jpeg'},
            ('/cam/image_raw', '/boson/image_raw'),
        ),
        (  # depth looks like a picture, and aligned depth is called after the colour camera
            {'/camera/depth/image_rect_raw': '16UC1', '/camera/color/image_raw': 'rgb8',
             '/camera/aligned_depth_to_color/image_raw': '16UC1', '/thermal/image_raw': 'mono16'},
            ('/camera/color/image_raw', '/thermal/image_raw'),
        ),
        (  # a stereo camera's near infrared is not thermal
            {'/camera/infra1/image_rect_raw': 'mono8', '/camera/infra2/image_rect_raw': 'mono8',
             '/camera/color/image_raw': 'rgb8', '/boson': 'mono8'},
            ('/camera/color/image_raw', '/boson'),
        ),
        ({'/ir/image': 'mono8', '/left/image': 'mono8'}, ('/left/image', '/ir/image')),
        ({'/thermal': '32FC1', '/cam': 'bgr8'}, ('/cam', '/thermal')),  # refused with its reason
        (  # colour before grey, whatever the names
            {'/a/image_raw': 'mono8', '/b/image_raw': 'bayer_rggb8', '/lepton': 'mono16'},
            ('/b/image_raw', '/lepton'),
        ),
        (  # what this node or others made of the two
            {'/fused/image': 'bgr8', '/camera/image': 'bgr8', '/thermal/image': 'mono8'},
            ('/camera/image', '/thermal/image'),
        ),
        (  # an encoding that can't be read leaves the other one
            {'/flir/temperature': '32FC1', '/flir/image_raw': 'mono16', '/cam': 'bgr8'},
            ('/cam', '/flir/image_raw'),
        ),
    ],
)  # fmt: skip
def test_the_choice(topics, expected):
    assert chosen(topics) == expected


def test_a_name_that_is_given_is_taken_and_the_other_one_is_told():
    topics = {'/cam0/image_raw': 'bgr8', '/cam1/image_raw': 'bgr8', '/thermal': 'mono8'}
    assert chosen(topics, rgb='/cam1/image_raw') == ('/cam1/image_raw', '/thermal')
    assert chosen(topics, '/cam0/image_raw', '/cam1/image_raw') == (
        '/cam0/image_raw', '/cam1/image_raw',
    )  # fmt: skip


@pytest.mark.parametrize(
    ('topics', 'text'),
    [
        (
            {'/cam0/image_raw': 'bgr8', '/cam1/image_raw': 'bgr8', '/thermal': 'mono8'},
            r'several topics that may be the rgb one: /cam0/image_raw, /cam1/image_raw; name it '
            r'with --rgb-topic',
        ),
        (
            {'/thermal/left': 'mono8', '/thermal/right': 'mono8', '/cam': 'bgr8'},
            r'several topics that may be the thermal one: /thermal/left, /thermal/right',
        ),
        (
            {'/camera/color/image_raw': 'rgb8', '/camera/infra1/image_rect_raw': 'mono8'},
            r'name the two .*\(/camera/infra1/image_rect_raw: near infrared by its name',
        ),
        ({'/thermal': '16UC1', '/depth/image_raw': '16UC1'}, 'name the two with'),
    ],
)
def test_several_candidates_or_none_are_asked_for_by_name(topics, text):
    with pytest.raises(UserError, match=text):
        chosen(topics)


@pytest.mark.parametrize('compressed', [False, True])
def test_encodings_are_read_from_the_first_messages_and_the_choice_is_said(
    tmp_path, capsys, compressed
):
    pytest.importorskip('rosbags')
    path = bags.flight(tmp_path / 'in', bags.Planted(seconds=1.0), compressed=compressed)
    with Bag(path) as bag:
        topics = bag.choose(None, None)
        assert (topics.rgb, topics.thermal) == ('/camera/image_raw', '/boson/thermal/image_raw')
        first = {}
        for topic, _, raw in bag.messages((topics.rgb, topics.thermal)):
            first.setdefault(topic, _encoding(raw, bag.types[topic]))
    assert first[topics.thermal] == ('png' if compressed else 'mono8')
    assert 'rgb /camera/image_raw, thermal /boson/thermal/image_raw' in capsys.readouterr().err
    assert _encoding(b'\0\1\0\0abc', RAW) == ''
