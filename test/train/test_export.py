"""Model files: the contract, the same pixels as torch, and the files that ship."""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

ort = pytest.importorskip('onnxruntime')

from ..helpers.data import every, validation_pairs

REPOSITORY = Path(__file__).resolve().parents[2]
SIZES = [(32, 32), (33, 47), (255, 257), (480, 640)]
METADATA = {
    *('name', 'kind', 'parameters', 'opset', 'trained_on', 'config_hash', 'commit', 'licence'),
}
MANIFEST = yaml.safe_load((REPOSITORY / 'models/models.yaml').read_text())
BLENDERS = [name for name, entry in MANIFEST['models'].items() if 'mobilefuse' in name]
MINI = [name for name, entry in MANIFEST['models'].items() if entry['parameters'] == 113]


def session(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])


def fuse(model, thermal, visible):
    feed = {'visible': visible[None, ..., None], 'thermal': thermal[None, ..., None]}
    return model.run(['fused'], feed)[0][0, ..., 0]


def pixels(height, width):
    """Thermal and visible: noise beside smooth ramps, black and white included."""
    random = np.random.default_rng(height)
    noise = random.integers(0, 256, (2, height, width), np.uint8)
    ramp = np.linspace(0, 255, width).astype(np.uint8)
    noise[0, : height // 2] = ramp
    noise[1, height // 3 :] = ramp[::-1]
    return noise


def check_contract(path, kind='luma', parameters=113):
    """The ports and properties that design.md asks of a model; blending ones have a mask, too."""
    model = session(path)
    ports = [*model.get_inputs(), *model.get_outputs()]
    names = [port.name for port in ports]
    assert names in (['visible', 'thermal', 'fused'], ['visible', 'thermal', 'fused', 'mask'])
    assert all(port.type == 'tensor(uint8)' for port in ports)
    channels = {'visible': 3, 'fused': 3} if kind == 'colour' else {}
    assert all(port.shape == [1, 'H', 'W', channels.get(port.name, 1)] for port in ports)
    properties = model.get_modelmeta().custom_metadata_map
    assert properties.keys() == METADATA
    assert properties['kind'] == kind
    assert properties['parameters'] == str(parameters)
    return model, properties


# The exporter


@pytest.fixture(scope='module', params=['tanh', 'linear'])
def exported(request, tmp_path_factory):
    """A network with noisy weights, and its model file."""
    torch = pytest.importorskip('torch', reason='export needs the train extra')
    pytest.importorskip('onnxscript', reason='export needs the train extra')
    pytest.importorskip('safetensors', reason='export needs the train extra')
    from multimodal_fusion.networks.mmdrfuse import MMDRFuse
    from multimodal_fusion.train.export.onnx import export

    torch.manual_seed(5)
    network = MMDRFuse(request.param).start_at_maximum(0.1)
    path = tmp_path_factory.mktemp('export') / 'model.onnx'
    properties = ('name', 'trained_on', 'config_hash', 'commit', 'licence')
    export(network, path, dict.fromkeys(properties, 'test'))
    return network, path


def test_model_file_meets_the_contract(exported):
    onnx = pytest.importorskip('onnx')
    _, path = exported
    _, properties = check_contract(path)
    model = onnx.load(path, load_external_data=False)
    assert model.ir_version <= 9
    assert properties['opset'] == str(model.opset_import[0].version)
    assert int(properties['opset']) <= 18
    assert not any(tensor.external_data for tensor in model.graph.initializer)


def test_graph_is_lean_and_tells_nothing_of_the_machine(exported):
    onnx = pytest.importorskip('onnx')
    network, path = exported
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count('Conv') == kinds.count('Pad') == 2
    assert len(kinds) == 17 + (network.output == 'tanh')
    assert str(REPOSITORY).encode() not in path.read_bytes()
    assert b'.py' not in path.read_bytes()


@pytest.mark.parametrize('size', SIZES)
def test_model_file_gives_the_pixels_of_torch(exported, size):
    import torch

    from multimodal_fusion.train.export.onnx import eight_bit

    network, path = exported
    thermal, visible = pixels(*size)
    with torch.no_grad():
        sources = (torch.from_numpy(x)[None, None].float() / 255 for x in (thermal, visible))
        expected = eight_bit(network(*sources))[0, 0].numpy()
    fused = fuse(session(path), thermal, visible)
    assert fused.shape == size
    assert fused.dtype == np.uint8
    assert np.abs(fused.astype(int) - expected).max() <= 1
    assert expected.std() > 30


def test_half_precision_is_near_the_whole_and_smaller(tmp_path):
    """A network that is normed over the image in a layer, which float16 alone would spoil: sums of
    squares of 300 thousand values."""
    torch = pytest.importorskip('torch', reason='export needs the train extra')
    pytest.importorskip('onnxscript', reason='export needs the train extra')
    from multimodal_fusion.networks.textprior import tsab
    from multimodal_fusion.train.export.half import halve
    from multimodal_fusion.train.export.onnx import export

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.enter, self.leave = torch.nn.Conv2d(2, 16, 1), torch.nn.Conv2d(16, 1, 1)
            self.body = tsab(16, 1, 8.0)
            torch.nn.init.normal_(self.leave.weight, std=0.1)

        def forward(self, thermal, visible):
            return thermal + 0.1 * self.leave(
                self.body(self.enter(torch.cat((thermal, visible), 1)))
            )

    torch.manual_seed(2)
    path = tmp_path / 'm.onnx'
    export(Network(), path, {})
    thermal, visible = pixels(480, 640)
    whole, size = fuse(session(path), thermal, visible).astype(int), path.stat().st_size
    (tmp_path / 'm.md').write_text('# m\n')
    halve(path)
    properties = session(path).get_modelmeta().custom_metadata_map
    assert properties['precision'] == 'float16' and properties['kind'] == 'luma'
    assert 'float16' in (tmp_path / 'm.md').read_text()
    apart = np.abs(fuse(session(path), thermal, visible) - whole)
    assert path.stat().st_size < 0.8 * size
    assert (apart <= 1).mean() > 0.999 and np.abs(whole - thermal).max() > 5


def test_clip_and_rounding_are_exact(tmp_path):
    torch = pytest.importorskip('torch', reason='export needs the train extra')
    pytest.importorskip('onnxscript', reason='export needs the train extra')
    from multimodal_fusion.train.export.onnx import export

    class Difference(torch.nn.Module):
        """2 thermal - visible: from -1 to 2, and different in its two inputs."""

        kind = 'luma'

        def forward(self, thermal, visible):
            return 2 * thermal - visible

    export(Difference(), tmp_path / 'm.onnx', {})
    thermal, visible = pixels(40, 50)
    expected = np.clip(2 * thermal.astype(int) - visible, 0, 255)
    np.testing.assert_array_equal(fuse(session(tmp_path / 'm.onnx'), thermal, visible), expected)


# The command


def parse(*arguments):
    from multimodal_fusion.cli import build_parser

    return build_parser(('export',)).parse_args(['export', *map(str, arguments)])


@pytest.fixture
def checkpoint(tmp_path):
    """A run folder with a best checkpoint."""
    pytest.importorskip('torch', reason='export needs the train extra')
    save_file = pytest.importorskip('safetensors.torch').save_file
    from multimodal_fusion.networks.mmdrfuse import MMDRFuse
    from multimodal_fusion.train.config import Config

    config = Config.load(REPOSITORY / 'config/train/mmdrfuse_plus.yaml')
    row = {'step': 500, 'seconds': 60.0, 'val_loss': 0.1}
    metadata = {'config': config.to_json(), 'trained_on': 'tiny/train, 4 pairs'}
    metadata |= {'commit': 'abc', 'machine': 'a test', 'row': json.dumps(row)}
    path = tmp_path / 'run' / 'best.safetensors'
    path.parent.mkdir()
    for name in ('best', 'last'):
        save_file(
            MMDRFuse('linear').start_at_maximum().state_dict(),
            path.with_stem(name),
            metadata,
        )
    return path


def test_a_run_and_its_checkpoint_export_to_the_same_file(checkpoint, tmp_path, capsys):
    prints = []
    for name, source in (('one', checkpoint.parent), ('two', checkpoint)):
        args = parse(source, '-o', tmp_path / name / 'model.onnx', '--json')
        assert args.run(args) == 0
        prints.append(json.loads(capsys.readouterr().out))
    files = [tmp_path / name / 'model.onnx' for name in ('one', 'two')]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert prints[0]['sha256'] == hashlib.sha256(files[0].read_bytes()).hexdigest()
    model, properties = check_contract(files[0])
    assert properties['name'] == 'mmdrfuse_plus'
    assert properties['trained_on'] == 'tiny/train, 4 pairs'
    assert properties['commit'] == 'abc'
    thermal, visible = pixels(33, 47)
    np.testing.assert_array_equal(fuse(model, thermal, visible), np.maximum(thermal, visible))
    assert properties['config_hash'] in files[0].with_suffix('.md').read_text()


@pytest.mark.parametrize(
    ('source', 'output', 'message'),
    [
        ('run', 'model.pt', r'must end in \.onnx, got .*model\.pt'),
        ('nothing', 'model.onnx', r'nothing is missing: give a run folder of "train"'),
        ('text.safetensors', 'model.onnx', r'text.safetensors is not a checkpoint of "train"'),
        ('foreign.safetensors', 'model.onnx', r'foreign.safetensors is not a checkpoint of'),
    ],
)
def test_unusable_checkpoints_are_refused(checkpoint, tmp_path, source, output, message):
    import torch
    from safetensors.torch import save_file

    from multimodal_fusion.errors import UserError

    (tmp_path / 'text.safetensors').write_text('not a checkpoint')
    save_file({'weight': torch.zeros(3)}, tmp_path / 'foreign.safetensors')
    args = parse(tmp_path / source, '-o', tmp_path / output)
    with pytest.raises(UserError, match=message):
        args.run(args)
    assert not (tmp_path / output).exists()


# The files that ship


def test_default_model_is_listed():
    assert MANIFEST['default'] in MANIFEST['models']


@pytest.mark.parametrize('name', MANIFEST['models'])
def test_shipped_model_is_what_the_manifest_says(name):
    entry = MANIFEST['models'][name]
    path = REPOSITORY / 'models' / entry['file']
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry['sha256']
    _, properties = check_contract(path, entry['kind'], entry['parameters'])
    assert properties['name'] == name
    assert properties['licence'] == entry['licence']
    assert properties['trained_on'] == entry['trained_on']
    assert path.with_suffix('.md').is_file()


@pytest.mark.parametrize('name', MINI)
def test_shipped_mini_model_keeps_both_sources(name):
    """A warm target in the dark, texture in the cold, blacks that stay black, no ringing."""
    model = session(REPOSITORY / 'models' / MANIFEST['models'][name]['file'])
    thermal, visible = np.full((2, 64, 96), 20, np.uint8)
    thermal[16:48, 10:30] = 200
    visible[:, 60:90:4] = 120
    fused = fuse(model, thermal, visible).astype(int)
    difference = fused - np.maximum(thermal, visible)
    assert np.abs(difference[20:44, 14:26]).max() < 20  # the target
    assert fused[:, 60:90:4].mean() - fused[:, 62:90:4].mean() > 70  # the texture
    assert np.abs(difference[:, :7]).max() < 12  # away from everything
    around = difference[12:52, 6:34]
    assert np.abs(around).max() < 40  # no halo
    black = np.zeros((40, 40), np.uint8)
    assert fuse(model, black, black).max() < 10


@pytest.mark.parametrize('name', MINI)
def test_shipped_mini_model_stays_near_the_maximum_on_validation_pairs(name):
    folder = validation_pairs()
    model = session(REPOSITORY / 'models' / MANIFEST['models'][name]['file'])
    for path in every((folder / 'ir').iterdir(), 8):
        thermal = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        visible = cv2.imread(str(folder / 'vis' / f'{path.stem}.jpg'), cv2.IMREAD_GRAYSCALE)
        fused, expected = fuse(model, thermal, visible), np.maximum(thermal, visible)
        assert fused.shape == thermal.shape
        assert np.corrcoef(fused.ravel(), expected.ravel())[0, 1] > 0.97
        assert abs(fused.mean() - expected.mean()) < 8


@pytest.mark.parametrize('name', BLENDERS)
def test_shipped_blender_decides_and_stays_between_its_sources(name):
    folder = validation_pairs()
    entry = MANIFEST['models'][name]
    model = session(REPOSITORY / 'models' / entry['file'])
    for path in every((folder / 'ir').iterdir(), 16):
        thermal = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)[..., None]
        colour = cv2.imread(str(folder / 'vis' / f'{path.stem}.jpg'))
        grey = cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)[..., None]
        visible = colour[..., ::-1] if entry['kind'] == 'colour' else grey
        feed = {'visible': visible[None], 'thermal': thermal[None]}
        fused, mask = (x[0] for x in model.run(['fused', 'mask'], feed))
        assert (fused >= np.minimum(visible, thermal)).all()
        assert (fused <= np.maximum(visible, thermal)).all()
        assert (mask > 200).mean() + (mask < 55).mean() > 0.02
        share = mask / 255
        exact = share * thermal + (1 - share) * visible
        assert np.abs(fused - exact).max() <= 1
        same = model.run(['fused'], {'visible': visible[None], 'thermal': grey[None]})[0][0]
        if entry['kind'] == 'luma':
            np.testing.assert_array_equal(same, grey)
