"""Counts to what the fuser sees: the same for all that fuse. A homography through each of them.

The matrix doubles the thermal image and moves it by (3, -2): thermal pixel (x, y) lies at visible
(2x + 3, 2y - 2), so the visible pixel (2x + 3, 2y - 2) shows exactly thermal (x, y).
"""

import cv2
import numpy as np
import pytest
import yaml

from multimodal_fusion import cli
from multimodal_fusion.io import messages
from multimodal_fusion.io.bag import type_store
from multimodal_fusion.pipeline.preparation import Preparation
from multimodal_fusion.pipeline.settings import checked

from ..helpers import bags

MATRIX = [2.0, 0.0, 3.0, 0.0, 2.0, -2.0, 0.0, 0.0, 1.0]
SETTINGS = {
    'registration.mode': 'homography',
    'registration.homography': MATRIX,
    'registration.feather': 0,
}
BLACK = np.zeros((96, 128, 3), np.uint8)


def thermal(i=0):
    return np.random.default_rng(i).integers(40, 256, (48, 64), np.uint8)


def check(fused, counts):
    """On black, the maximum is the thermal image where the matrix puts it."""
    grey = fused if fused.ndim == 2 else fused[..., 0]
    assert np.array_equal(grey[0:94:2, 3:128:2], counts[1:48, :63])


@pytest.fixture
def robot(tmp_path):
    """The node's parameter file."""
    path = tmp_path / 'robot.yaml'
    parameters = {'registration': {'mode': 'homography', 'homography': MATRIX, 'feather': 0}}
    parameters['model'] = {'name': 'max'}
    path.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}))
    return path


def test_white_hot_lies_where_the_matrix_puts_it():
    counts = thermal()
    prepared = Preparation.of(checked(SETTINGS)).still(counts, (96, 128))
    assert prepared.shape == (96, 128) and prepared.dtype == np.uint8
    check(prepared, counts)
    assert prepared[:, :2].max() == 0  # what the thermal camera does not see


def test_fuse(tmp_path, robot):
    cv2.imwrite(str(tmp_path / 'rgb.png'), BLACK)
    cv2.imwrite(str(tmp_path / 'ir.png'), thermal())
    files = [str(tmp_path / name) for name in ('rgb.png', 'ir.png', 'fused.png')]
    assert cli.main(['fuse', *files[:2], '-o', files[2], '--params', str(robot)]) == 0
    check(cv2.imread(files[2]), thermal())


def test_evaluate(tmp_path, robot, monkeypatch):
    """Every pair was refused: only the mode was passed on."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    for i in range(3):
        for kind, pixels in (('vis', BLACK + 9), ('ir', thermal(i))):
            (tmp_path / 'data' / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / 'data' / kind / f'{i}.png'), pixels)
    arguments = ['--data', tmp_path / 'data', '--models', 'max', '--params', robot]
    out = ['--no-timing', '--no-baselines', '--metrics', 'EN', '--jobs', '1', '--out', tmp_path]
    assert cli.main(['evaluate', *map(str, (*arguments, *out))]) == 0


def test_replay(tmp_path, robot):
    store = type_store()
    with bags.writer(tmp_path / 'in') as bag:
        topics = {'rgb': '/rgb/image_raw', 'thermal': '/thermal/image_raw'}
        kind = 'sensor_msgs/msg/Image'
        ports = {
            name: bag.add_connection(topic, kind, typestore=store) for name, topic in topics.items()
        }
        for i in range(6):
            stamp = bags.START + i * 33_000_000
            for name, pixels in (('rgb', BLACK), ('thermal', thermal(i))):
                message = bags.message(store, name, pixels, stamp)
                bag.write(ports[name], stamp, store.serialize_cdr(message, kind))
    arguments = [tmp_path / 'in', '-o', tmp_path / 'out', '--params', robot]
    assert cli.main(['replay', *map(str, arguments)]) == 0
    fused = [raw for topic, _, raw in bags.read(tmp_path / 'out') if topic == '/fused/image_raw']
    assert len(fused) == 6
    for i, raw in enumerate(fused):
        image = messages.to_visible(store.deserialize_cdr(raw, 'sensor_msgs/msg/Image'))
        check(image, thermal(i))
