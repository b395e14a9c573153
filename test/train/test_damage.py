"""Run folders, checkpoints and packed files that were damaged: one sentence each."""

import shutil
import zipfile

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from multimodal_fusion import cli
from multimodal_fusion.errors import UserError
from multimodal_fusion.train.data.packed import load_packed, pack
from multimodal_fusion.train.run import Checkpoint

from ..helpers.damage import damages, put
from .test_train import run, write_config

KINDS = list(damages(b'whole content of a file'))


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run that is done, its data and its configuration; not to be written into."""
    from ..helpers.runs import write_pairs

    folder = tmp_path_factory.mktemp('finished')
    data = write_pairs(folder / 'tiny')
    config = write_config(folder / 'c.yaml', steps=4)
    run('mmdrfuse', config, data, folder / 'run')
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished / 'run', tmp_path / 'run')


def resume(finished, folder):
    command = ['train', 'mmdrfuse', '--config', finished / 'c.yaml', '--data', finished / 'tiny']
    return cli.main([*map(str, command), '--out', str(folder), '--resume'])


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('name', ['last.state', 'config.yaml', 'metrics.csv'])
def test_a_damaged_run_is_not_gone_on_with(finished, copy, capsys, name, kind):
    """Without ``last.state`` there is no run yet, and a new one begins."""
    put(copy / name, damages((copy / name).read_bytes())[kind])
    code = resume(finished, copy)
    err = capsys.readouterr().err
    assert 'Traceback' not in err
    begun_anew = (name, kind) == ('last.state', 'gone')
    # Losing the end of a table or of a comment may leave what is valid.
    assert code == 2 or (code == 0 and (begun_anew or kind in ('last byte gone', 'bytes flipped')))
    if code == 2:
        assert str(copy) in err and len(err.splitlines()[-1]) < 600, err


@pytest.mark.parametrize(
    'change',
    [
        {'step': 9}, {'step': -1}, {'step': 'four'}, {'best': None}, {'world': 'two'},
        {'network': {}}, {'network': 3}, {'optimiser': {}}, {'optimiser': None},
        {'random': torch.zeros(3)}, {'random': 'dice'}, {'data': 7}, {'seconds': []},
        {'network': {'layers.0.weight': torch.zeros(1)}},
    ],
)  # fmt: skip
def test_a_state_of_other_content_is_refused(finished, copy, capsys, change):
    state = torch.load(copy / 'last.state', weights_only=True)
    torch.save({**state, **change}, copy / 'last.state')
    assert resume(finished, copy) == 2
    assert 'damaged or of another version' in capsys.readouterr().err


@pytest.mark.parametrize('key', ['step', 'seconds', 'best', 'data', 'network', 'random'])
def test_a_state_without_a_part_is_refused(finished, copy, capsys, key):
    state = torch.load(copy / 'last.state', weights_only=True)
    del state[key]
    torch.save(state, copy / 'last.state')
    assert resume(finished, copy) == 2
    assert 'damaged or of another version' in capsys.readouterr().err


@pytest.mark.parametrize('kind', KINDS)
def test_a_damaged_checkpoint_is_refused(copy, kind):
    path = copy / 'best.safetensors'
    put(path, damages(path.read_bytes())[kind])
    with pytest.raises(UserError, match=r'best\.safetensors (is missing|is not a checkpoint)'):
        Checkpoint.load(copy)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('config', '[]'), ('config', '{}'), ('config', '"text"'), ('config', '{"recipe": 3}'),
        ('config', '{"recipe": "nobody"}'), ('config', '{"recipe": "detector"}'), ('config', '{'),
        ('row', '{'), ('row', None), ('trained_on', None), ('config', None),
    ],
)  # fmt: skip
def test_a_checkpoint_of_other_metadata_is_refused(copy, key, value):
    from safetensors import safe_open

    path = copy / 'best.safetensors'
    with safe_open(path, 'pt') as file:
        metadata = file.metadata()
    metadata.pop(key)
    if value is not None:
        metadata[key] = value
    save_file(load_file(path), path, metadata)
    with pytest.raises(UserError, match=r'best\.safetensors'):
        Checkpoint.load(copy)


@pytest.mark.parametrize('change', ['shape', 'name', 'type'])
def test_a_checkpoint_of_other_weights_is_refused(copy, change):
    from safetensors import safe_open

    path = copy / 'best.safetensors'
    with safe_open(path, 'pt') as file:
        metadata = file.metadata()
    weights = load_file(path)
    name = next(iter(weights))
    if change == 'shape':
        weights[name] = weights[name][..., :1].contiguous()
    elif change == 'name':
        weights['other'] = weights.pop(name)
    else:
        weights[name] = weights[name].to(torch.bool)
    save_file(weights, path, metadata)
    with pytest.raises(UserError, match=r'best\.safetensors'):
        Checkpoint.load(copy)


@pytest.fixture(scope='module')
def packed(finished):
    path = finished / 'crops.zip'
    pack(finished / 'tiny', path, side=40, limit=100_000)
    return path


@pytest.mark.parametrize('kind', KINDS)
def test_a_damaged_packed_file_is_refused(packed, tmp_path, kind):
    path = tmp_path / 'crops.zip'
    put_copy(packed, path, damages(packed.read_bytes())[kind])
    with pytest.raises(UserError, match=r'crops\.zip is not a file of "data pack"'):
        load_packed(path)


def put_copy(source, path, content):
    shutil.copy(source, path)
    put(path, content)


def rewritten(packed, path, change, method=zipfile.ZIP_STORED):
    """A packed file whose parts {name: bytes} were changed."""
    with zipfile.ZipFile(packed) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', method) as archive:
        for name, content in change(parts).items():
            archive.writestr(name, content)


TINY = cv2.imencode('.webp', np.zeros((2, 1, 3), np.uint8))[1].tobytes()
CHANGES = {
    'no val': lambda parts: {n: c for n, c in parts.items() if not n.startswith('val')},
    'no train': lambda parts: {n: c for n, c in parts.items() if not n.startswith('train')},
    'another folder': lambda parts: {**parts, 'test/00000-a.webp': TINY},
    'no image': lambda parts: {**parts, 'val/00009-a.webp': b'no image'},
    'a pair of one pixel': lambda parts: {**parts, 'val/00009-a.webp': TINY},
    'another version': lambda parts: {**parts, 'about.txt': '9\nof the future'},
    'no words on it': lambda parts: {n: c for n, c in parts.items() if n != 'about.txt'},
    'a bomb': lambda parts: {**parts, 'val/00009-a.webp': bytes(300_000_000)},
}


@pytest.mark.parametrize('name', CHANGES)
def test_a_packed_file_of_other_content_is_refused(packed, tmp_path, name):
    path = tmp_path / 'crops.zip'
    rewritten(packed, path, CHANGES[name], zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r'crops\.zip is not a file of "data pack"'):
        load_packed(path)


@pytest.mark.parametrize(('offset', 'value'), [(8, 99), (6, 1)], ids=['method', 'encrypted'])
def test_packed_parts_that_cannot_be_read_are_refused(packed, tmp_path, offset, value):
    """Local headers begin with PK 3 4, those of the directory with PK 1 2 and two bytes more."""
    content = bytearray(packed.read_bytes())
    for mark, more in ((b'PK\3\4', 0), (b'PK\1\2', 2)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset + more] = value
            at = content.find(mark, at + 4)
    (tmp_path / 'crops.zip').write_bytes(content)
    with pytest.raises(UserError, match=r'crops\.zip is not a file of "data pack"'):
        load_packed(tmp_path / 'crops.zip')
