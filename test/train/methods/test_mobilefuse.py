"""MobileFuse and IFCNN: sizes, what blending promises, model files, and their training."""

import sys

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')
ort = pytest.importorskip('onnxruntime')
for package in ('safetensors', 'onnx', 'onnxscript', 'tqdm', 'matplotlib'):
    pytest.importorskip(package, reason='training needs the train extra')

from multimodal_fusion.cli import build_parser
from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers import blending
from multimodal_fusion.host.share import share_file
from multimodal_fusion.networks.ifcnn import IFCNN
from multimodal_fusion.networks.mobilefuse import MobileFuse, blend
from multimodal_fusion.train import loop, run
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.data.pairs import eight_bit
from multimodal_fusion.train.export.card import count_by_part, count_parameters
from multimodal_fusion.train.export.onnx import export
from multimodal_fusion.train.loop import train
from multimodal_fusion.train.methods.mmdrfuse import Helpers
from multimodal_fusion.train.methods.mobilefuse import KnownObjective
from multimodal_fusion.train.methods.registry import find_recipe
from multimodal_fusion.train.run import Checkpoint

from ...helpers.masks import masked_folder
from ...helpers.runs import kill_under_way
from ..test_train import assert_same_run, rows

RECIPES = ('mobilefuse', 'mobilefuse-blending-only', 'mobilefuse-generative-only', 'ifcnn')


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


def small_config(path, name, steps=4, every=2):
    text = share_file(f'config/train/{name}.yaml').read_text()
    for key, value in (('steps', steps), ('batch', 2), ('patch', 32), ('warm_up', 1),
                       ('evaluate_every', every), ('samples', 1)):  # fmt: skip
        line = next(line for line in text.splitlines() if line.startswith(f'{key}:'))
        text = text.replace(line, f'{key}: {value}')
    path.write_text(text)
    return path


@pytest.mark.parametrize('name', [*RECIPES, 'mobilefuse-thermal'])
def test_packaged_configurations_fit_their_recipes(name):
    find_recipe(name).check(Config.load(share_file(f'config/train/{name}.yaml')))


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('blur: [1.0, 5.0]', 'blur: 3', r'synthesis: blur must be a range such as'),
        ('blur: [1.0, 5.0]', 'blur: [5, 1]', r'synthesis: blur must go from low to high'),
        ('blur: [1.0, 5.0]', 'blur: [0, 1]', r'synthesis: blur must be a number of at least 0.01'),
        ('  blur: [1.0, 5.0]', '  smear: [1, 2]', r"synthesis: unknown key 'smear'"),
        ('image: 1.0', 'mask: 1.0', r'weights must name exactly the loss terms image'),
    ],
)
def test_unusable_configurations_are_refused(tmp_path, old, new, message):
    path = small_config(tmp_path / 'c.yaml', 'mobilefuse')
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        find_recipe('mobilefuse').check(Config.load(path))


def test_recipes_without_pairs_have_no_section_for_them(tmp_path):
    path = small_config(tmp_path / 'c.yaml', 'mobilefuse')
    kept = path.read_text().split('synthesis:')[0]
    path.write_text(kept)
    with pytest.raises(UserError, match=r'mobilefuse needs section "synthesis"'):
        find_recipe('mobilefuse').check(Config.load(path))


@pytest.mark.parametrize('name', RECIPES)
def test_every_recipe_runs_to_the_end(tmp_path, masked, name, no_export):
    config = small_config(tmp_path / 'c.yaml', name)
    best = train(find_recipe(name), config, masked, tmp_path / 'run', False)
    assert best['val_image'] == best['val_loss'] > 0
    term = 'mask' if name == 'mobilefuse-blending-only' else 'image'
    assert float(rows(tmp_path / 'run')[-1][f'train_{term}']) > 0
    assert Checkpoint.load(tmp_path / 'run').network.training is False


def test_a_network_that_finds_the_mask_costs_nothing(masked):
    """The known mask as the network's own: both terms vanish; its opposite costs the most."""
    config = Config.load(share_file('config/train/mobilefuse.yaml'))
    from multimodal_fusion.train.data.masks import Synthesised, load_masked

    batches = Synthesised(load_masked(masked).images, 32, 4, 0, config.synthesis)
    batch = batches(0)

    class Oracle(torch.nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.wanted = mask

        def logits(self, thermal, visible):
            return 40 * (self.wanted - 0.5)

        def forward(self, thermal, visible):
            return blend(thermal, visible, torch.sigmoid(self.logits(thermal, visible)))

    def cost(name, mask):
        objective = KnownObjective(Config.load(share_file(f'config/train/{name}.yaml')), batches)
        return objective.step(Oracle(mask), 0)[0].item()

    for name in ('mobilefuse', 'mobilefuse-blending-only'):
        assert cost(name, batch.mask) < 1e-6
        assert cost(name, 1 - batch.mask) > 1e-3


def test_killed_run_resumes_to_the_same_result(tmp_path, masked, no_export):
    config = small_config(tmp_path / 'c.yaml', 'mobilefuse', steps=24)
    train(find_recipe('mobilefuse'), config, masked, tmp_path / 'whole', False)
    out = tmp_path / 'killed'
    command = [sys.executable, '-m', 'multimodal_fusion', 'train', 'mobilefuse', '--resume']
    command += ['--config', str(config), '--data', str(masked), '--out', str(out)]
    kill_under_way(command, out / 'metrics.csv')
    assert 0 < torch.load(out / 'last.state', weights_only=True)['step'] < 24
    train(find_recipe('mobilefuse'), config, masked, out, resume=True)
    assert_same_run(tmp_path / 'whole', out)


def test_fine_tuning_starts_from_a_run(tmp_path, masked, data, capsys, monkeypatch):
    monkeypatch.setattr(loop, 'export_checkpoint', lambda source, path: None)
    config = small_config(tmp_path / 'c.yaml', 'mobilefuse')
    train(find_recipe('mobilefuse'), config, masked, tmp_path / 'run', False)
    tuning = small_config(tmp_path / 'd.yaml', 'mobilefuse-thermal')
    arguments = ['train', 'mobilefuse', '--finetune-on', str(data), '--config', str(tuning)]
    arguments += ['--start', str(tmp_path / 'run'), '--out', str(tmp_path / 'tuned')]
    args = build_parser(('train',)).parse_args(arguments)
    assert args.run(args) == 0
    tuned = Checkpoint.load(tmp_path / 'tuned')
    assert tuned.recipe.name == 'mobilefuse-thermal'
    start = Checkpoint.load(tmp_path / 'run').network
    assert tuned.trained_on.endswith(f'started from mobilefuse {run.fingerprint(start)}')


def test_fine_tuning_without_a_fitting_start_is_refused(tmp_path, masked, data):
    tuning = small_config(tmp_path / 'd.yaml', 'mobilefuse-thermal')
    recipe, out = find_recipe('mobilefuse-thermal'), tmp_path / 'tuned'
    with pytest.raises(UserError, match=r'goes on from a run of mobilefuse: give it by --start'):
        train(recipe, tuning, data, out, False)
    config = small_config(tmp_path / 'c.yaml', 'mobilefuse')
    with pytest.raises(UserError, match=r'mobilefuse starts afresh; leave --start out'):
        train(find_recipe('mobilefuse'), config, masked, out, False, Helpers(start=tmp_path))
    with pytest.raises(UserError, match=r'is missing: give a run folder'):
        train(recipe, tuning, data, out, False, Helpers(start=tmp_path / 'none'))
    for arguments, message in (
        (['train', 'ifcnn', '--finetune-on', 'x'], r'is of the recipe mobilefuse, not of ifcnn'),
        (['train', 'mobilefuse'], r'train mobilefuse needs --data'),
        (['train', 'mobilefuse', '--finetune-on', 'x', '--data', 'y'], r'not both'),
    ):
        args = build_parser(('train',)).parse_args([*arguments, '--out', str(out)])
        with pytest.raises(UserError, match=message):
            args.run(args)
