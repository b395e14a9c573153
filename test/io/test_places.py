"""Remote bags, from a real object store that runs here, through a wire that can be cut."""

import contextlib
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from multimodal_fusion.errors import UserError
from multimodal_fusion.io.bag import Bag
from multimodal_fusion.io.bag_names import expand
from multimodal_fusion.io.places import name_of, place
from multimodal_fusion.pipeline.offline import Offline
from multimodal_fusion.pipeline.settings import checked

from ..helpers.bags import Planted, flight, scene


class Wire:
    """A proxy to a port: counts what comes back, and cuts connections. cut: after so many bytes
    from now on, on how many connections; -1 for all."""

    def __init__(self, port):
        self._target, self.bytes, self.cut, self.times = port, 0, 0, 0
        self._server = socket.create_server(('127.0.0.1', 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(('127.0.0.1', self._target))
            threading.Thread(target=self._copy, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, True), daemon=True).start()

    def _copy(self, source, sink, back):
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if back:
                    self.bytes += len(data)
                    passed += len(data)
                    if self.times and passed > self.cut:
                        self.times -= 1
                        break
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._server.close()


@pytest.fixture(scope='module')
def store():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def wire(store, monkeypatch):
    import boto3
    import s3fs

    found = Wire(store)
    for name, value in {
        'AWS_ENDPOINT_URL': f'http://127.0.0.1:{found.port}', 'AWS_ACCESS_KEY_ID': 'a',
        'AWS_SECRET_ACCESS_KEY': 'b', 'AWS_DEFAULT_REGION': 'us-east-1',
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    found.client = boto3.client('s3', endpoint_url=f'http://127.0.0.1:{store}')
    found.client.create_bucket(Bucket='flights')
    yield found
    s3fs.S3FileSystem.clear_instance_cache()
    for item in found.client.list_objects(Bucket='flights').get('Contents', []):
        found.client.delete_object(Bucket='flights', Key=item['Key'])
    found.client.delete_bucket(Bucket='flights')
    found.close()


def upload(wire, folder, key):
    file = next(folder.glob('*.mcap'))
    wire.client.upload_file(str(file), 'flights', key)
    return file


def fused(path):
    """What a bag gives, image by image."""
    settings = checked({'model.name': 'max', 'sync.thermal_time_offset': 0.12})
    with Bag(path) as bag:
        offline = Offline(bag, bag.choose(None, None), settings)
        return [offline.fuse(pair) for step in offline.steps() for pair in step.pairs], bag.duration


def test_a_remote_bag_gives_what_the_local_one_gives(wire, tmp_path):
    file = upload(wire, flight(tmp_path / 'bag', Planted(seconds=4)), 'a/one.mcap')
    (remote, duration), (local, seconds) = fused(place('s3://flights/a/one.mcap')), fused(file)
    assert duration == pytest.approx(seconds) and len(local) == len(remote) > 30
    assert all(map(np.array_equal, remote, local))


def fat(path):
    """A bag with a third topic that takes 40 times as much as the images, in chunks of its own."""
    from mcap.writer import CompressionType, Writer
    from rosbags.rosbag2 import Reader

    source = flight(path / 'source', Planted(seconds=6))
    out = path / 'fat.mcap'
    random = np.random.default_rng(0)
    with Reader(source) as bag, out.open('wb') as file:
        mcap = Writer(file, chunk_size=2**18, compression=CompressionType.NONE)
        mcap.start(profile='ros2')
        channels = {}
        for c in bag.connections:
            schema = mcap.register_schema(c.msgtype, 'ros2msg', c.msgdef.data.encode())
            channels[c.topic] = mcap.register_channel(c.topic, 'cdr', schema)
        last = 0
        for c, time, raw in bag.messages():
            mcap.add_message(channels[c.topic], time, bytes(raw), time)
            last = time
        cloud = mcap.register_schema('std_msgs/msg/String', 'ros2msg', b'string data')
        points = mcap.register_channel('/points', 'cdr', cloud)
        for number in range(150):
            text = b'\x00\x01\x00\x00' + random.bytes(2**18)
            mcap.add_message(points, last + number, text, last + number)
        mcap.finish()
    return out


def test_two_topics_of_a_large_bag_do_not_fetch_the_rest(wire, tmp_path):
    file = fat(tmp_path)
    wire.client.upload_file(str(file), 'flights', 'fat.mcap')
    before = wire.bytes
    images, _ = fused(place('s3://flights/fat.mcap'))
    fetched, size = wire.bytes - before, file.stat().st_size
    assert len(images) > 40 and size > 40e6
    assert fetched < size / 3, (fetched, size)


def test_patterns_and_lists_of_remote_bags(wire, tmp_path):
    bag = flight(tmp_path / 'bag', Planted(seconds=1))
    for key in ('x/one.mcap', 'x/y/two.mcap', 'x/three.txt'):
        upload(wire, bag, key)
    both = ['s3://flights/x/one.mcap', 's3://flights/x/y/two.mcap']
    assert expand('s3://flights/x/**/*.mcap') in (both, both[1:])
    assert expand('s3://flights/x/') == both
    wire.client.put_object(Bucket='flights', Key='x/y/metadata.yaml', Body=b'')
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    assert expand('s3://flights/x') == [both[0], 's3://flights/x/y']  # a folder that is a bag
    assert expand('s3://flights/x/y/') == ['s3://flights/x/y']
    with pytest.raises(UserError, match='gives no bag'):
        expand('s3://flights/x/*.db3')
    assert expand('s3://flights/nothing/') == ['s3://flights/nothing']  # told when it is opened
    listed = tmp_path / 'bags.txt'
    listed.write_text(f'# mine\ns3://flights/x/one.mcap\n\n{bag}\n')
    assert expand(str(listed)) == sorted([str(bag), 's3://flights/x/one.mcap'])


def test_patterns_and_folders_here(tmp_path):
    one, two = (flight(tmp_path / 'in' / n, Planted(seconds=1)) for n in ('one', 'two'))
    loose = tmp_path / 'in' / 'loose.mcap'
    loose.write_bytes(next(one.glob('*.mcap')).read_bytes())
    assert expand(str(tmp_path / 'in')) == sorted(map(str, (one, two, loose)))
    assert expand(str(tmp_path / 'in/**/*.mcap')) == sorted(map(str, (one, two, loose)))
    assert expand(str(one)) == [str(one)]
    with pytest.raises(UserError, match='gives no bag'):
        expand(str(tmp_path / '*.mcap'))
    empty = tmp_path / 'bags.txt'
    empty.write_text('# nothing\n')
    with pytest.raises(UserError, match='gives no bag'):
        expand(str(empty))


def test_an_object_that_is_not_there_or_vanishes(wire, tmp_path):
    with pytest.raises(UserError, match=r'the bag s3://flights/no.mcap does not exist'):
        Bag(place('s3://flights/no.mcap'))
    upload(wire, flight(tmp_path / 'bag', Planted(seconds=8)), 'one.mcap')
    with Bag(place('s3://flights/one.mcap')) as bag:
        wire.client.delete_object(Bucket='flights', Key='one.mcap')
        with pytest.raises(UserError, match=r's3://flights/one.mcap is not there \(any more\)'):
            list(bag.messages())


def test_no_access(wire, store, tmp_path, monkeypatch):
    """A bucket of somebody else: the store is told to ask for permissions."""
    import s3fs

    upload(wire, flight(tmp_path / 'bag', Planted(seconds=1)), 'one.mcap')
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'stranger')
    import requests

    requests.post(f'http://127.0.0.1:{store}/moto-api/reset-auth', data=b'0', timeout=10)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(UserError, match=r'no access to s3://flights/one.mcap \(.*AWS_ACCESS'):
            Bag(place('s3://flights/one.mcap'))
    finally:
        requests.post(f'http://127.0.0.1:{store}/moto-api/reset-auth', data=b'inf', timeout=10)


def test_a_cut_connection_is_tried_again_and_then_told(wire, tmp_path, monkeypatch):
    upload(wire, flight(tmp_path / 'bag', Planted(seconds=4)), 'one.mcap')
    wire.cut, wire.times = 3000, 2
    images, _ = fused(place('s3://flights/one.mcap'))
    assert len(images) > 30 and wire.times == 0
    wire.cut, wire.times = 0, -1
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, 'retries', 1)  # the usual five take a minute
    monkeypatch.setenv('AWS_MAX_ATTEMPTS', '1')
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(UserError, match=r's3://flights/one.mcap cannot be reached: '):
        fused(place('s3://flights/one.mcap'))


@pytest.mark.parametrize('kind', ['sqlite3', 'cut off', 'folder'])
def test_a_remote_bag_without_an_index_is_fetched_whole(wire, tmp_path, kind):
    """As the same bag here; what was fetched is gone afterwards."""
    plugin = 'MCAP' if kind == 'cut off' else 'SQLITE3'
    folder = flight(tmp_path / 'bag', Planted(seconds=8), plugin=plugin)
    file = next(f for f in folder.iterdir() if f.suffix in ('.mcap', '.db3'))
    if kind == 'cut off':
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    names = list(folder.iterdir()) if kind == 'folder' else [file]
    for name in names:
        wire.client.upload_file(str(name), 'flights', f'x/{name.name}')
    there = expand('s3://flights/x/')
    assert there == ['s3://flights/x' if kind == 'folder' else f's3://flights/x/{file.name}']
    local, _ = fused(folder if kind == 'folder' else file)
    remote, _ = fused(place(there[0]))
    assert len(remote) == len(local) > 10 and all(map(np.array_equal, remote, local))
    with Bag(place(there[0])) as bag:
        assert not bag.indexed and bag.warning.startswith('s3://') == (kind == 'cut off')
        scratch = bag._at.parent
        assert scratch.exists()
    assert not scratch.exists()


def test_a_remote_file_that_is_no_bag(wire, tmp_path):
    wire.client.put_object(Bucket='flights', Key='none.mcap', Body=b'not a bag' * 100)
    with pytest.raises(UserError, match=r's3://flights/none.mcap is not a rosbag2'):
        Bag(place('s3://flights/none.mcap'))


@pytest.fixture
def web(tmp_path):
    """A web server that gives parts of files."""
    import asyncio

    from aiohttp import web

    started, loop = threading.Event(), asyncio.new_event_loop()
    ports = []

    async def serve():
        app = web.Application()
        app.router.add_static('/', tmp_path, show_index=True)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, '127.0.0.1', 0)
        await site.start()
        ports.append(site._server.sockets[0].getsockname()[1])
        started.set()

    def run():
        loop.run_until_complete(serve())
        loop.run_forever()

    threading.Thread(target=run, daemon=True).start()
    assert started.wait(20)
    yield f'http://127.0.0.1:{ports[0]}'
    loop.call_soon_threadsafe(loop.stop)


def test_a_bag_on_a_web_server(web, tmp_path):
    file = next(flight(tmp_path / 'bag', Planted(seconds=3)).glob('*.mcap'))
    name = f'{web}/bag/{file.name}'
    assert expand(name) == [name]
    assert expand(f'{web}/bag') == [f'{web}/bag']
    local, _ = fused(file)
    signed = f'{name}?signature=x.y'
    assert expand(signed) == [signed]
    for there in (name, f'{web}/bag', signed):
        remote, _ = fused(place(there))
        assert len(remote) == len(local) > 20 and all(map(np.array_equal, remote, local))
    with pytest.raises(UserError, match='does not exist'):
        Bag(place(f'{web}/bag/none.mcap'))
    with pytest.raises(UserError, match='cannot be reached'):
        Bag(place('http://127.0.0.1:9/one.mcap'))


@pytest.mark.parametrize(
    ('pattern', 'path', 'name'),
    [
        ('ftp://me@host:21/x/*', '/x/a', 'ftp://me@host:21/x/a'),  # fsspec drops the host
        ('ftp://host/x/', '/x/a/', 'ftp://host/x/a'),
        ('s3://flights/x', 'flights/x/a', 's3://flights/x/a'),
        ('memory://x', '/x/a', 'memory://x/a'),
        ('http://host:80/x', 'http://host:80/x/a', 'http://host:80/x/a'),
        ('/here/x', '/here/x/a', '/here/x/a'),
    ],
)
def test_names_keep_their_host(pattern, path, name):
    found = SimpleNamespace(path=path) if '://' in pattern else Path(path)
    assert name_of(found, pattern) == name


def test_data_sets_of_a_protocol(wire, tmp_path, capsys):
    """The same numbers as of the files here; one that vanishes ends its chunk, not the others."""
    import json

    import cv2

    from multimodal_fusion.cli import main
    from multimodal_fusion.io.datasets import find_sets

    for name in ('one', 'two'):
        for kind, index in (('vis', 0), ('ir', 1)):
            (tmp_path / 'share' / name / kind).mkdir(parents=True)
            for i in range(3):
                file = tmp_path / 'share' / name / kind / f'{i}.png'
                cv2.imwrite(str(file), scene(i + 7 * len(name))[index])
                wire.client.upload_file(str(file), 'flights', f'share/{name}/{kind}/{i}.png')
    both = ['s3://flights/share/one', 's3://flights/share/two']
    assert find_sets('s3://flights/share') == find_sets('s3://flights/share/*') == both
    found = []
    for sets in ('s3://flights/share', str(tmp_path / 'share')):
        words = ['--models', 'max', '--no-baselines', '--metrics', 'EN', '--jobs', '1']
        out = tmp_path / f'out{len(found)}'
        assert main(['evaluate', '--sets', sets, '--out', str(out), *words]) == 0
        found.append(json.loads((out / 'results.json').read_text())['all'])
    assert found[0] == found[1] and found[0]['pairs'] == 6
    single = tmp_path / 'single'
    words = ['--models', 'max', '--no-baselines', '--metrics', 'EN', '--jobs', '2', '--no-cache']
    command = ['evaluate', '--data', both[0], '--out', str(single), *words, '--no-timing']
    assert main(command) == 0
    images = json.loads((single / 'results.json').read_text())['images']
    assert [image['stem'] for image in images] == ['0', '1', '2']


def test_one_remote_bag(wire, tmp_path):
    """replay and evaluate take it as one here."""
    import json

    from multimodal_fusion.cli import main

    upload(wire, flight(tmp_path / 'bag', Planted(seconds=3)), 'one.mcap')
    name = 's3://flights/one.mcap'
    out = tmp_path / 'fused'
    offset = ['--set', 'sync.thermal_time_offset=0.12']
    assert main(['replay', name, '-o', str(out), '--model', 'max', *offset]) == 0
    with Bag(out) as bag:
        assert '/fused/image_raw' in bag.types
    words = ['--models', 'max', '--no-baselines', '--metrics', 'EN', '--out', str(tmp_path / 'x')]
    assert main(['evaluate', '--bag', name, *words, *offset, '--no-timing']) == 0
    found = json.loads((tmp_path / 'x/results.json').read_text())
    assert found['data']['name'] == 'one.mcap' and found['sequence']['pairs'] > 20
    assert main(['evaluate', '--bag', 's3://flights/none.mcap', *words]) == 2


def test_a_protocol_that_nobody_speaks():
    with pytest.raises(UserError, match='nowhere://x'):
        Bag(place('nowhere://x/one.mcap'))


def test_a_collection_on_an_object_store(wire, tmp_path, capsys):
    """The same frames as of the local files."""
    import json

    from multimodal_fusion.cli import main

    words = ('--models', 'max', '--no-baselines', '--metrics', 'EN', '--jobs', '1')
    for number in range(2):
        upload(wire, flight(tmp_path / f'in/{number}', Planted(seconds=3)), f'fleet/{number}.mcap')
    found = []
    for bags in ('s3://flights/fleet/*.mcap', str(tmp_path / 'in')):
        out = tmp_path / f'out{len(found)}'
        assert main(['evaluate', '--bags', bags, '--out', str(out), *words]) == 0
        found.append(json.loads((out / 'results.json').read_text())['all'])
    assert found[0] == found[1] and found[0]['pairs'] > 40
