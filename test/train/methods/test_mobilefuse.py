"""MobileFuse and IFCNN: sizes, what blending promises, model files, and their training."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')
ort = pytest.importorskip('onnxruntime')
for package in ('lightning_fabric', 'pydantic', 'safetensors', 'onnx', 'onnxscript', 'matplotlib'):
    pytest.importorskip(package, reason='training needs the train extra')

from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers import blending
from multimodal_fusion.networks.ifcnn import IFCNN
from multimodal_fusion.networks.mobilefuse import MobileFuse, blend
from multimodal_fusion.train import run
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.data.masks import Synthesised, load_masked
from multimodal_fusion.train.data.pairs import eight_bit
from multimodal_fusion.train.export.card import count_by_part, count_parameters
from multimodal_fusion.train.export.onnx import export
from multimodal_fusion.train.methods.mobilefuse import MobileFuseMethod
from multimodal_fusion.train.run import Checkpoint

from ...helpers.masks import masked_folder
from ...helpers.runs import CONFIGS, command, kill_under_way, step_of, train_with
from ..test_train import assert_same_run, rows

KINDS = {
    'mobilefuse': {},
    'mobilefuse on the mask': {'learns': 'mask'},
    'mobilefuse painting': {'mobilefuse.network': 'paint'},
    'ifcnn': {},
}
SMALL = {
    'steps': 4, 'batch': 2, 'evaluate_every': 2, 'samples': 1, 'optimiser.warm_up': 1,
    'mobilefuse.patch': 32,
}  # fmt: skip


def blender():
    """A MobileFuse whose weights and running statistics are noisy enough to decide both ways."""
    torch.manual_seed(1)
    network = MobileFuse()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.05)
            module.running_var.uniform_(0.1, 0.3)
    with torch.no_grad():
        network.head[1].weight *= 20
    return network.eval()


def sources(height=45, width=62, seed=0):
    random = np.random.default_rng(seed)
    thermal, visible = random.integers(0, 256, (2, height, width), np.uint8)
    visible[: height // 2] = np.linspace(0, 255, width)
    return thermal, visible


def tensor(image):
    return torch.from_numpy(image)[None, None].float() / 255


# The networks


def test_mobilefuse_has_33_thousand_parameters():
    """Stream: 3x3 1 -> 16 (144), then pairs of depthwise 9c and pointwise c d: 16 -> 32 (656),
    32 -> 64 (2336), 64 -> 64 (4672), and two for each normalised channel (576): 8384. Trunk: twice
    4672 + 256. Decoder: 96 -> 32 (3936), 32 -> 32 (1312), 384. Head: 9 * 32 + 32 + 32 * 4 + 4."""
    parts = count_by_part(MobileFuse())
    assert parts == {'thermal': 8384, 'visible': 8384, 'trunk': 9856, 'decoder': 5632, 'head': 452}
    assert count_parameters(MobileFuse()) == sum(parts.values()) == 32708


def test_ifcnn_has_the_published_number_of_parameters():
    """7x7x3x64 = 9408; twice 3x3x64x64 + 128 = 36992; 64 x 3 + 3 = 195. With what sees a source
    counted once for each source, 83587 + 9408 + 36992 = 129987."""
    parts = count_by_part(IFCNN())
    assert parts == {'conv1': 9408, 'conv2': 36992, 'conv3': 36992, 'conv4': 195}
    assert count_parameters(IFCNN()) + parts['conv1'] + parts['conv2'] == 129987


@pytest.mark.parametrize('shape', [(32, 32), (33, 47), (64, 50), (35, 34)])
@pytest.mark.parametrize('network', [MobileFuse(), MobileFuse('paint'), IFCNN()])
def test_output_has_the_size_of_the_input(network, shape):
    image = torch.rand(2, 1, *shape)
    assert network.eval()(image, image).shape == image.shape


@torch.no_grad()
def test_output_is_between_the_sources_and_the_mask_decides():
    thermal, visible = map(tensor, sources())
    network = blender()
    mask = network.mask(thermal, visible)
    fused = network(thermal, visible)
    assert mask.min() < 0.2 < 0.8 < mask.max()
    pixels = [(255 * x).round() for x in (thermal, visible)]
    result = eight_bit(fused).float()
    assert (result >= torch.minimum(*pixels)).all()
    assert (result <= torch.maximum(*pixels)).all()
    torch.testing.assert_close(fused, visible + mask * (thermal - visible), atol=1e-6, rtol=0)


@torch.no_grad()
def test_equal_sources_give_the_source():
    image, _ = sources()
    assert torch.equal(
        eight_bit(blender()(tensor(image), tensor(image)))[0, 0], torch.from_numpy(image)
    )


def test_a_mask_of_zero_or_one_gives_a_source_exactly():
    thermal, visible = map(tensor, sources())
    assert torch.equal(blend(thermal, visible, torch.zeros_like(thermal)), visible)
    assert torch.equal(blend(thermal, visible, torch.ones_like(thermal)), thermal)


def test_swapped_streams_swap_the_features_but_not_their_weights():
    network = blender()
    assert not torch.equal(network.thermal.stem[0].weight, network.visible.stem[0].weight)
    with pytest.raises(ValueError, match=r'output must be one of blend, paint'):
        MobileFuse('draw')


# Model files


@pytest.fixture(scope='module', params=['luma', 'colour'])
def exported(request, tmp_path_factory):
    path = tmp_path_factory.mktemp('blender') / f'{request.param}.onnx'
    network = blender()
    export(network, path, {}, request.param)
    return request.param, network, ort.InferenceSession(path)


@pytest.mark.parametrize('size', [(32, 32), (33, 47), (121, 86)])
@torch.no_grad()
def test_model_file_gives_the_pixels_of_torch_and_its_mask(exported, size):
    kind, network, session = exported
    thermal, visible = sources(*size)
    shown = visible[..., None]
    if kind == 'colour':
        shown = np.dstack((visible, visible // 2, 255 - visible))
    feed = {'visible': shown[None], 'thermal': thermal[None, ..., None]}
    fused, mask = session.run(['fused', 'mask'], feed)
    grey = visible
    if kind == 'colour':
        grey = np.rint(shown @ np.array((0.299, 0.587, 0.114))).astype(np.uint8)
    expected = eight_bit(network.mask(tensor(thermal), tensor(grey)))[0, 0].numpy()
    assert mask.shape == (1, *size, 1)
    assert np.abs(mask[0, ..., 0].astype(int) - expected).max() <= 1
    for channel in range(shown.shape[2]):
        part = np.ascontiguousarray(shown[..., channel])
        whole = network.mask(tensor(thermal), tensor(grey))
        torch_pixels = eight_bit(blend(tensor(thermal), tensor(part), whole))[0, 0].numpy()
        found = fused[0, ..., channel].astype(int)
        assert np.abs(found - torch_pixels).max() <= 1
        # At full size, blending outside the graph by the 8-bit mask gives the same image.
        outside = blending.blend(thermal, part, mask[0, ..., 0])
        assert np.abs(found - outside).max() <= 1


def test_only_blending_networks_have_a_colour_form(tmp_path):
    with pytest.raises(UserError, match=r'no colour form: it is of the luma kind'):
        export(MobileFuse('paint'), tmp_path / 'm.onnx', {}, 'colour')


# Training


@pytest.fixture
def masked(tmp_path):
    return masked_folder(tmp_path / 'photos')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('synthesis.blur=3', r'mobilefuse: synthesis.blur must be a valid list, got 3'),
        ('synthesis.blur=[5, 1]', r'synthesis.blur must go from low to high, got \[5, 1\]'),
        ('synthesis.blur=[0, 1]', r'synthesis.blur.0 must be greater than or equal to 0.01'),
        ('synthesis.smear=[1, 2]', r"unknown key 'synthesis.smear'"),
        ('learns=both', r"learns must be 'image' or 'mask', got 'both'"),
    ],
)
def test_unusable_configurations_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        Config.load(CONFIGS / 'mobilefuse.yaml', [change])


@pytest.mark.parametrize('name', KINDS)
def test_every_kind_runs_to_the_end(tmp_path, masked, name, no_export):
    recipe = name.partition(' ')[0]
    best = train_with(recipe, masked, tmp_path / 'run', {**SMALL, **KINDS[name]})
    assert best['val_image'] == best['val_loss'] > 0
    term = KINDS[name].get('learns', 'image')
    assert float(rows(tmp_path / 'run')[-1][f'train_{term}']) > 0
    assert Checkpoint.load(tmp_path / 'run').network.training is False


def test_a_network_that_finds_the_mask_costs_nothing(masked):
    """The known mask as the network's own: both terms vanish; its opposite costs the most."""
    config = Config.load(CONFIGS / 'mobilefuse.yaml')
    how = config.section.synthesis
    batches = Synthesised(load_masked(masked).images, 32, 4, 0, how)
    batch = batches(0)

    class Oracle(torch.nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.wanted = mask

        def logits(self, thermal, visible):
            return 40 * (self.wanted - 0.5)

        def forward(self, thermal, visible):
            return blend(thermal, visible, torch.sigmoid(self.logits(thermal, visible)))

    class Nothing:
        device = torch.device('cpu')

        def minimise(self, loss):
            pass

    def cost(learns, mask):
        method = object.__new__(MobileFuseMethod)
        method.settings = config.section.model_copy(update={'learns': learns})
        method.engine = method.optimiser = Nothing()
        method.batches, method.network = batches, Oracle(mask)
        return method.step(0)['loss']

    for learns in ('image', 'mask'):
        assert cost(learns, batch.mask) < 1e-6
        assert cost(learns, 1 - batch.mask) > 1e-3


def test_killed_run_resumes_to_the_same_result(tmp_path, masked, no_export):
    values = {**SMALL, 'steps': 24}
    train_with('mobilefuse', masked, tmp_path / 'whole', values)
    out = tmp_path / 'killed'
    kill_under_way(command('mobilefuse', masked, out, values), out / 'metrics.csv')
    assert 0 < step_of(out) < 24
    train_with('mobilefuse', masked, out, values, resume=True)
    assert_same_run(tmp_path / 'whole', out)


def test_fine_tuning_on_pairs_starts_from_a_run(tmp_path, masked, data, no_export):
    train_with('mobilefuse', masked, tmp_path / 'run', SMALL)
    values = {'network': 'mobilefuse', 'start': str(tmp_path / 'run'), 'steps': 2, 'batch': 2,
              'fusion.patch': 32}  # fmt: skip
    train_with('fusion', data, tmp_path / 'tuned', values)
    tuned = Checkpoint.load(tmp_path / 'tuned')
    start = Checkpoint.load(tmp_path / 'run').network
    assert tuned.trained_on.endswith(f'started from mobilefuse {run.fingerprint(start)}')


def test_fine_tuning_without_a_start_is_refused(tmp_path, masked):
    with pytest.raises(UserError, match=r'is missing: give a run folder'):
        train_with('mobilefuse', masked, tmp_path / 'x', {**SMALL, 'start': str(tmp_path / 'no')})
