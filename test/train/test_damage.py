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
from multimodal_fusion.train.states import read_state, write_state

from ..helpers.damage import damages, put
from ..helpers.runs import changes_of
from .test_train import SMALL, run

KINDS = list(damages(b'whole content of a file'))


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run that is done, its data and its configuration; not to be written into."""
    from ..helpers.runs import write_pairs

    folder = tmp_path_factory.mktemp('finished')
    data = write_pairs(folder / 'tiny')
    run(data, folder / 'run', steps=4)
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished / 'run', tmp_path / 'run')


def resume(finished, folder):
    words = ['train', 'fusion', *changes_of({**SMALL, 'steps': 4})]
    return cli.main([*words, '--data', str(finished / 'tiny'), '--out', str(folder), '--resume'])


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


def put_into(state, path, value):
    """Set, or with ... take away, what a path of keys leads to."""
    *path, last = path
    for key in path:
        state = state[key]
    if value is ...:
        del state[last]
    else:
        state[last] = value


@pytest.mark.parametrize(
    ('path', 'value'),
    [
        (('format',), 1), (('format',), ...), (('progress',), ...), (('progress', 'step'), 9),
        (('progress', 'step'), -1), (('progress', 'step'), 'four'), (('progress', 'best'), None),
        (('progress', 'seconds'), []), (('progress', 'judged'), 7), (('progress', 'more'), 1),
        (('progress', 'sums'), ...), (('world',), 'two'), (('world',), ...), (('data',), 7),
        (('data',), ...), (('engine',), ...), (('engine',), 3), (('engine', 'networks'), []),
        (('engine', 'networks', 0), {}), (('engine', 'networks', 0), None),
        (('engine', 'networks', 0), {'conv1.weight': torch.zeros(1)}),
        (('engine', 'networks', 0, 'conv1.bias'), torch.zeros(4, dtype=torch.bool)),
        (('engine', 'networks', 0, 'conv1.bias'), torch.zeros(3)),
        (('engine', 'averages'), [{}, {}]), (('engine', 'optimisers'), ...),
        (('engine', 'optimisers', 0), {}), (('engine', 'optimisers', 0), None),
        (('engine', 'optimisers', 0, 'param_groups'), []), (('engine', 'chances'), []),
        (('engine', 'chances', 0, 'torch'), torch.zeros(3)),
        (('engine', 'chances', 0, 'torch'), 'dice'), (('engine', 'chances', 0, 'numpy'), [1, 2]),
        (('engine', 'chances', 0, 'python'), ...), (('method',), ...), (('method',), []),
    ],
    ids=str,
)  # fmt: skip
def test_a_state_of_other_content_is_refused(finished, copy, capsys, path, value):
    state = read_state(copy / 'last.state')
    put_into(state, path, value)
    write_state(copy / 'last.state', state)
    assert resume(finished, copy) == 2
    assert 'damaged or of another version' in capsys.readouterr().err


@pytest.mark.parametrize('kind', KINDS)
def test_a_damaged_checkpoint_is_refused(copy, kind):
    path = copy / 'best.safetensors'
    put(path, damages(path.read_bytes())[kind])
    with pytest.raises(
        UserError, match=r'best\.safetensors (is missing|is not a checkpoint|does not hold)'
    ):
        Checkpoint.load(copy)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('config', '[]'), ('config', '{}'), ('config', '"text"'), ('config', '{"recipe": 3}'),
        ('config', '{"method": "nobody"}'), ('config', '{"method": "fusion"}'), ('config', '{'),
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
