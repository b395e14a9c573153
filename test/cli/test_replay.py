"""replay: a bag in, a bag out, on bags with planted faults."""

import contextlib
import dataclasses
import shutil
import sqlite3

import numpy as np
import pytest

from multimodal_fusion import cli
from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.io import messages
from multimodal_fusion.io.bag import Bag, BagWriter, Topic, header_stamp, type_store

from ..helpers import bags, hostile

pytest.importorskip('rosbags', reason='bags need rosbags; the ros extra brings it')

SHORT = bags.Planted(seconds=4.0, offset=0.0, freeze=(9, 9), jump_at=99)


def replay(*arguments):
    return cli.main(['replay', *map(str, arguments), '--model', 'max'])


def refused(capsys, text, *arguments):
    assert replay(*arguments) == 2
    err = capsys.readouterr().err
    assert text in err, err
    assert 'Traceback' not in err


@pytest.mark.parametrize(
    ('options', 'bits'),
    [({}, 8), ({'plugin': 'SQLITE3'}, 8), ({'compressed': True}, 8), ({}, 16)],
    ids=['mcap', 'sqlite3', 'compressed', '16 bit'],
)
def test_originals_stay_byte_for_byte_and_fused_images_are_right(tmp_path, capsys, options, bits):
    path = bags.flight(tmp_path / 'in', SHORT, bits=bits, **options)
    assert replay(path, '-o', tmp_path / 'out') == 0
    assert '36 pairs; without a partner: rgb ' in capsys.readouterr().out
    before, after = bags.read(path), bags.read(tmp_path / 'out')
    fused = [m for m in after if m[0] == '/fused/image_raw']
    infos = [m for m in after if m[0] == '/fused/camera_info']
    assert [m for m in after if not m[0].startswith('/fused')] == before
    assert len(fused) == len(infos) == 36
    store = type_store()
    rgb_stamps = {header_stamp(raw) for topic, _, raw in before if topic == '/camera/image_raw'}
    for _, _, raw in fused:
        assert header_stamp(raw) in rgb_stamps
    message = store.deserialize_cdr(fused[10][2], 'sensor_msgs/msg/Image')
    assert message.header.frame_id == 'rgb' and message.encoding == 'bgr8'
    info = store.deserialize_cdr(infos[10][2], 'sensor_msgs/msg/CameraInfo')
    assert info.header == message.header and info.k.tolist() == list(range(9))
    if bits == 8:
        stamp = header_stamp(fused[10][2])
        i = round((stamp - bags.START) / bags.SECOND * 30)
        thermal = round((stamp - bags.START) / bags.SECOND * 9)
        expected = Fuser.load('max').fuse(bags.scene(i)[0], bags.scene(thermal)[1])
        assert np.array_equal(messages.to_visible(message), expected)


def test_a_bag_cut_off_in_the_middle_is_read_as_far_as_it_goes(tmp_path, capsys):
    """The recorder was killed: no index at the end, no metadata.yaml; whole chunks are left."""
    path = bags.flight(tmp_path / 'in', dataclasses.replace(SHORT, seconds=16.0))
    file = next(path.glob('*.mcap'))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    (path / 'metadata.yaml').unlink()
    assert replay(path, '-o', tmp_path / 'out') == 0
    err = capsys.readouterr().err
    assert 'is cut off or damaged (it has no end)' in err and 'that can be read are used' in err
    fused = [m for m in bags.read(tmp_path / 'out') if m[0] == '/fused/image_raw']
    assert 36 <= len(fused) <= 72


def test_a_damaged_chunk_is_told_and_leaves_nothing_behind(tmp_path, capsys):
    path = bags.flight(tmp_path / 'in', SHORT)
    file = next(path.glob('*.mcap'))
    content, at = bytearray(file.read_bytes()), 8
    while content[at] != 0x06:  # an MCAP chunk: opcode, u64 length, 24 bytes, then its checksum
        at += 9 + int.from_bytes(content[at + 1 : at + 9], 'little')
    content[at + 33 : at + 37] = b'\x01\x02\x03\x04'
    file.write_bytes(content)
    refused(capsys, 'is damaged: ', path, '-o', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ['in']


def test_damaged_messages_are_left_out_counted_and_told(tmp_path, capsys):
    """As in the node: a cut message of each stream and an RGB image that does not decode cost two
    of 36 pairs, and nothing else: RGB frame 60 is nobody's nearest."""
    whole = bags.flight(tmp_path / 'whole', SHORT, compressed=True)
    damage = {
        ('/boson/thermal/image_raw', 5): lambda raw: raw[: len(raw) // 2],
        ('/camera/image_raw', 61): lambda raw: raw[:40],
        ('/camera/image_raw', 80): lambda raw: raw.replace(b'IDAT', b'IDOT'),
    }
    path = bags.rewritten(
        whole, tmp_path / 'in', lambda topic, i, raw: damage.get((topic, i), bytes)(bytes(raw))
    )
    assert replay(path, '-o', tmp_path / 'out') == 0
    out, err = capsys.readouterr()
    assert 'rgb message 1' in out and 'thermal message 1' in out and 'rgb truncated 1' in out
    assert 'is no valid sensor_msgs/msg/CompressedImage' in err and 'does not decode' in err
    fused = [m for m in bags.read(tmp_path / 'out') if m[0] == '/fused/image_raw']
    assert len(fused) == 34


def test_a_bag_of_which_nothing_can_be_used_is_refused_with_the_reason(tmp_path, capsys):
    whole = bags.flight(tmp_path / 'whole', bags.Planted(seconds=1.0))
    path = bags.rewritten(
        whole, tmp_path / 'in', lambda _, i, raw: bytes(raw).replace(b'mono8\0', b'32FC1\0')
    )
    assert replay(path, '-o', tmp_path / 'out') == 2
    assert "gave no fused image, so nothing is written: thermal: image encoding '32FC1'" in (
        capsys.readouterr().err
    )
    assert not (tmp_path / 'out').exists()


def test_topics_that_are_not_there_or_of_another_type(tmp_path, capsys):
    path = bags.flight(tmp_path / 'in', bags.Planted(seconds=1.0))
    out = ('-o', tmp_path / 'out')
    refused(capsys, 'has no topic /camera/image; its image topics are /camera/image_raw, '
            '/boson/thermal/image_raw. Did you mean /camera/image_raw',
            path, *out, '--rgb-topic', '/camera/image')  # fmt: skip
    refused(capsys, 'holds sensor_msgs/msg/CameraInfo, expected sensor_msgs/msg/Image or',
            path, *out, '--rgb-topic', '/camera/camera_info')  # fmt: skip


def test_what_is_no_bag(tmp_path, capsys):
    refused(capsys, 'none does not exist', tmp_path / 'none', '-o', tmp_path / 'out')
    (tmp_path / 'text.mcap').write_text('hello')
    refused(
        capsys, 'is not a rosbag2 that can be read', tmp_path / 'text.mcap', '-o', tmp_path / 'o'
    )
    bag = bags.flight(tmp_path / 'in', bags.Planted(seconds=1.0))
    refused(capsys, 'exists already; name a new folder', bag, '-o', bag)


def test_options_reach_the_pairing(tmp_path, capsys):
    """Thermal stamps are 120 ms behind: adding 0.12 s brings the gaps to the 4 ms of recording."""
    path = bags.flight(tmp_path / 'in', bags.Planted(seconds=4.0, freeze=(99, 99), jump_at=99))
    with Bag(path) as bag:
        assert bag.choose(None, None).thermal == '/boson/thermal/image_raw'
    arguments = ('--thermal-time-offset', '0.12', '--slop', '0.0171')
    assert replay(path, '-o', tmp_path / 'out', *arguments) == 0
    assert capsys.readouterr().out.startswith('36 pairs')


def test_types_of_their_own_and_bags_without_digests_are_copied(tmp_path):
    """A message type that rosbags does not know, described in the bag; Humble writes no digest."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.LATEST)
    store.register(get_types_from_msg('float64 value\nstring unit\n', 'own_msgs/msg/Reading'))
    reading = store.types['own_msgs/msg/Reading'](1.5, 'K')
    raw = store.serialize_cdr(reading, 'own_msgs/msg/Reading')
    definition, _ = store.generate_msgdef('own_msgs/msg/Reading', ros_version=2)
    for digest in (store.hash_rihs01('own_msgs/msg/Reading'), ''):
        output = BagWriter(tmp_path / f'bag{len(digest)}')
        output.add(Topic('/reading', 'own_msgs/msg/Reading', definition, digest))
        output.write('/reading', 7, raw)
        output.close()
        assert bags.read(tmp_path / f'bag{len(digest)}') == [('/reading', 7, bytes(raw))]
    output = BagWriter(tmp_path / 'none')
    with pytest.raises(UserError, match='no standard type and is not described in the bag'):
        output.add(Topic('/reading', 'own_msgs/msg/Reading'))


def test_camera_info_of_another_size_is_not_passed_on(tmp_path, capsys):
    """As in the node: the images of the bag are 64x48, its calibration is of 65x48 ones."""
    whole = bags.flight(tmp_path / 'whole', bags.Planted(seconds=2.0))
    width = (64).to_bytes(4, 'little')

    def widen(topic, _, raw):
        raw = bytes(raw)
        at = raw.rindex(width, 0, 64) if topic.endswith('camera_info') else len(raw)
        return raw[:at] + (65).to_bytes(4, 'little') + raw[at + 4 :] if at < len(raw) else raw

    path = bags.rewritten(whole, tmp_path / 'in', widen)
    assert replay(path, '-o', tmp_path / 'out') == 0
    out, err = capsys.readouterr()
    assert 'camera_info size' in out and 'is for 65x48 images, the fused ones are 64x48' in err
    topics = [topic for topic, _, _ in bags.read(tmp_path / 'out')]
    assert '/fused/image_raw' in topics and '/fused/camera_info' not in topics


def moved(source, path, shift):
    """A copy of a bag with each message recorded ``shift(topic, time)`` later, in that order."""
    lines = sorted(
        (time + shift(topic, time), topic, raw) for topic, time, raw in bags.read(source)
    )
    with Bag(source) as bag:
        output = BagWriter(path)
        for topic in bag.topics:
            output.add(topic)
    for time, topic, raw in lines:
        output.write(topic, time, raw)
    output.close()
    return path


@pytest.mark.parametrize('late', [1.0, 5.0])
@pytest.mark.parametrize('stream', ['thermal', 'camera'])
def test_a_stream_recorded_late_with_right_stamps_is_paired_whole(tmp_path, capsys, late, stream):
    """Offline no frame is given up for waiting: 36 of 36, as if it had come in time."""
    whole = bags.flight(tmp_path / 'whole', SHORT)
    shift = lambda topic, _: round(late * bags.SECOND) * (stream in topic)  # noqa: E731
    path = moved(whole, tmp_path / 'in', shift)
    assert replay(path, '-o', tmp_path / 'out') == 0
    out, err = capsys.readouterr()
    assert out.startswith('36 pairs') or out.startswith('35 pairs')  # the last may be undecided
    assert 'offset' not in err


def test_duplicate_and_late_frames_are_named(tmp_path, capsys):
    """Every third RGB message is there again 40 ms later."""
    whole = bags.flight(tmp_path / 'whole', SHORT)
    lines = bags.read(whole)
    rgb = [line for line in lines if line[0] == '/camera/image_raw']
    again = [(topic, time + 40_000_000, raw) for topic, time, raw in rgb[::3]]
    with Bag(whole) as bag:
        output = BagWriter(tmp_path / 'in')
        for topic in bag.topics:
            output.add(topic)
    for line in sorted(lines + again, key=lambda line: line[1]):
        output.write(*line)
    output.close()
    assert replay(tmp_path / 'in', '-o', tmp_path / 'out') == 0
    out, err = capsys.readouterr()
    assert 'duplicate: rgb 40, thermal 0' in out
    assert '25% of the rgb frames come twice or out of order' in err


def test_a_bag_with_a_clock_that_runs_ahead_is_told_what_to_set(tmp_path, capsys):
    path = bags.flight(tmp_path / 'in', dataclasses.replace(SHORT, offset=-7.3))
    assert replay(path, '-o', tmp_path / 'out') == 2
    err = capsys.readouterr().err
    assert 's in the future, so its clock runs ahead: set sync.thermal_time_offset to' in err


def test_a_type_that_nothing_describes_is_left_out_and_told(tmp_path, capsys):
    """As in a sqlite3 bag of Humble with one message type of the robot's own."""
    from rosbags.rosbag2 import Reader, StoragePlugin, Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    source = bags.flight(tmp_path / 'source', SHORT, plugin='SQLITE3')
    store = get_typestore(Stores.LATEST)
    store.register(get_types_from_msg('float64 value\n', 'own_msgs/msg/Reading'))
    reading = store.serialize_cdr(store.types['own_msgs/msg/Reading'](1.5), 'own_msgs/msg/Reading')
    with (
        Reader(source) as before,
        Writer(tmp_path / 'in', version=8, storage_plugin=StoragePlugin.SQLITE3) as after,
    ):
        own = after.add_connection('/reading', 'own_msgs/msg/Reading', typestore=store)
        copies = {
            c.topic: after.add_connection(c.topic, c.msgtype, typestore=store)
            for c in before.connections
        }
        after.write(own, bags.START, reading)
        for connection, time, raw in before.messages():
            after.write(copies[connection.topic], time, raw)
    file = next((tmp_path / 'in').glob('*.db3'))
    with contextlib.closing(sqlite3.connect(file)) as base:
        base.execute('DELETE FROM message_definitions')
        base.commit()
    assert replay(tmp_path / 'in', '-o', tmp_path / 'out') == 0
    out, err = capsys.readouterr()
    assert out.startswith('36 pairs')
    assert '/reading holds own_msgs/msg/Reading, which is no standard type' in err
    assert 'it is left out' in err
    assert '/reading' not in {topic for topic, _, _ in bags.read(tmp_path / 'out')}


def test_topics_are_chosen_and_excluded(tmp_path, capsys):
    path = bags.flight(tmp_path / 'in', SHORT)
    assert replay(path, '-o', tmp_path / 'a', '--topics', '/camera/camera_info') == 0
    assert {t for t, _, _ in bags.read(tmp_path / 'a')} == {
        '/camera/camera_info', '/fused/image_raw', '/fused/camera_info',
    }  # fmt: skip
    assert replay(path, '-o', tmp_path / 'b', '--exclude', '/camera/image_raw') == 0
    assert '/camera/image_raw' not in {t for t, _, _ in bags.read(tmp_path / 'b')}
    capsys.readouterr()
    refused(capsys, 'has no topic /camera/inf. Did you mean /camera/', path, '-o', tmp_path / 'c',
            '--exclude', '/camera/inf')  # fmt: skip


def plain_mcap(path, source, order, profile='', encoding='cdr', end=True):
    """An MCAP file as other tools write it: one chunk a topic, in this order, without a profile."""
    from mcap.writer import Writer

    lines = bags.read(source)
    with Bag(source) as bag, path.open('wb') as file:
        writer = Writer(file, chunk_size=10**6)
        writer.start(profile=profile, library='test')
        for name in order:
            topic = next(t for t in bag.topics if t.name == name)
            schema = writer.register_schema(topic.type, 'ros2msg', topic.definition.encode())
            channel = writer.register_channel(name, encoding, schema)
            for topic_, time, raw in lines:
                if topic_ == name:
                    writer.add_message(channel, time, raw, time)
        if end:
            writer.finish()
    return path


def test_mcap_without_a_profile_topic_by_topic_is_read_whole(tmp_path, capsys):
    source = bags.flight(tmp_path / 'source', SHORT)
    order = ['/camera/image_raw', '/boson/thermal/image_raw']
    path = plain_mcap(tmp_path / 'plain.mcap', source, order)
    assert replay(path, '-o', tmp_path / 'out') == 0
    out, err = capsys.readouterr()
    assert out.startswith('36 pairs') and 'cut off' not in err


@pytest.mark.parametrize(('encoding', 'text'), [('json', 'json'), ('ros1', 'ros1')])
def test_foreign_mcap_files_are_named_as_such(tmp_path, capsys, encoding, text):
    source = bags.flight(tmp_path / 'source', bags.Planted(seconds=1.0))
    path = plain_mcap(tmp_path / 'a.mcap', source, ['/camera/image_raw'], '', encoding)
    refused(capsys, f'holds {text} messages on /camera/image_raw, expected those of ROS 2 (cdr)',
            path, '-o', tmp_path / 'out')  # fmt: skip


@pytest.mark.parametrize(
    ('size', 'whole', 'sentence'),
    [
        (2**30, False, 'it has no end'),
        (2**30, True, 'bytes says that it holds 1073741824'),
        (2**25, True, 'a chunk of no records'),
    ],
)
def test_a_chunk_that_unpacks_to_nothing_costs_nothing(tmp_path, capsys, size, whole, sentence):
    """A gigabyte of zeros in 40 kB: before, over a minute and 778 MB."""
    path = hostile.zeros_mcap(tmp_path / 'zeros.mcap', size, whole)
    refused(capsys, sentence, path, '-o', tmp_path / 'out')


def test_many_bags_each_into_a_folder_of_its_name(tmp_path, capsys):
    """Two of one name, and one that is none; a second call leaves what is there."""
    for name in ('a/one', 'b/one', 'two'):
        bags.flight(tmp_path / 'in' / name, bags.Planted(seconds=2))
    (tmp_path / 'in' / 'none.mcap').write_bytes(b'nothing')
    out = tmp_path / 'out'
    command = (
        'replay', '--bags', tmp_path / 'in', '-o', out, '--model', 'max', '--jobs', 2,
        '--thermal-time-offset', 0.12,
    )  # fmt: skip
    assert cli.main([*map(str, command)]) == 0
    told = capsys.readouterr()
    assert '3 of 4 bags written' in told.out and 'none.mcap is left out' in told.err
    assert 'GB are free' in told.err
    assert {p.name for p in out.iterdir() if p.is_dir()} == {'a_one', 'b_one', 'in_two'}
    alone = tmp_path / 'alone'
    single = ['replay', str(tmp_path / 'in/two'), '-o', str(alone), '--model', 'max']
    assert cli.main([*single, '--thermal-time-offset', '0.12']) == 0
    assert bags.read(alone) == bags.read(out / 'in_two')
    capsys.readouterr()
    assert cli.main([*map(str, command)]) == 0
    assert '0 of 4 bags written' in (told := capsys.readouterr().out) and '3 were there' in told


def test_names_that_meet_and_other_settings(tmp_path, capsys):
    """A folder and a file of one name, a colon: each has a folder of its own. What was replayed by
    another model is not taken for the same."""
    flights = tmp_path / 'in'
    for name in ('f', 'd1', 'd:1'):
        bags.flight(flights / name, bags.Planted(seconds=1))
    shutil.copy(next((flights / 'f').glob('*.mcap')), flights / 'f.mcap')
    command = ['replay', '--bags', str(flights), '-o', str(tmp_path / 'out'), '--jobs', '1']
    offset = ['--thermal-time-offset', '0.12']
    assert cli.main([*command, '--model', 'max', *offset]) == 0
    assert '4 of 4 bags written' in capsys.readouterr().out
    made = [p for p in (tmp_path / 'out').iterdir() if p.is_dir()]
    assert len(made) == 4
    for path in made:
        assert [f.name for f in path.iterdir() if f.is_dir()] == []
        assert any(path.glob('*.mcap'))
    assert cli.main([*command, '--model', 'average', *offset]) == 2
    assert 'holds bags of another model' in capsys.readouterr().err


def test_a_bag_or_many_and_room_for_them(tmp_path, capsys, monkeypatch):
    bag = bags.flight(tmp_path / 'bag', bags.Planted(seconds=1))
    assert cli.main(['replay', '-o', str(tmp_path / 'x')]) == 2
    assert 'give a bag, or --bags PATTERN' in capsys.readouterr().err
    small = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: small)
    assert cli.main(['replay', '--bags', str(bag), '-o', str(tmp_path / 'x')]) == 2
    assert 'would be written to' in capsys.readouterr().err
