"""The loss search: a planted problem, tasks of ours and of one's own, and what it refuses."""

import subprocess

import numpy as np
import pytest
import yaml

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.errors import UserError
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.losses.chosen import read_weights
from multimodal_fusion.train.losses.search_space import FIXED, NAMES
from multimodal_fusion.train.run import Checkpoint
from multimodal_fusion.train.tasks.task import TaskItem, scene_of, split

from ...helpers.runs import CONFIGS, command, train_with, write_pairs
from .test_mmdrfuse import in_two

torch.set_num_threads(1)
THERMAL_TASK = '''
import cv2
import numpy as np
import torch
from torch import nn

from multimodal_fusion.train.losses.fusion import luma
from multimodal_fusion.train.tasks.task import TaskItem, Task, anywhere


class Thermometer(Task):
    """Reads the thermal image off the fused one: visible is of no use to it."""

    name = 'thermometer'

    def __init__(self, data, settings, selection):
        random = np.random.default_rng(3)

        def smooth(*shape):
            return cv2.resize(random.integers(0, 256, shape, np.uint8), (48, 48))

        self.items = [
            TaskItem(f'scene_{n}_0', f'scene_{n}', heat, smooth(12, 12, 3), heat)
            for n, heat in ((n, smooth(12, 12)) for n in range(20))
        ]
        self.network = nn.Conv2d(3, 1, 1)
        nn.init.constant_(self.network.weight, 1 / 3)

    def window(self, item, side, random):
        return anywhere(item, side, random)

    def cut(self, item, top, left, side, flip):
        heat = item.target[top : top + side, left : left + side]
        return torch.from_numpy(np.ascontiguousarray(heat[:, ::-1] if flip else heat)) / 255

    def loss(self, images, targets):
        return (self.network(images)[:, 0] - torch.stack(list(targets))).abs().mean()

    def metrics(self, images, targets):
        return {'right': 1 - float(self.loss(images, targets))}


class Deaf(Thermometer):
    def loss(self, images, targets):
        return super().loss(images.detach(), targets)


class Blend(nn.Module):
    """A share of thermal, at first a half."""

    kind = 'luma'

    def __init__(self):
        super().__init__()
        self.share = nn.Parameter(torch.zeros(1, 1, 1, 1))

    def forward(self, thermal, visible):
        share = self.share.sigmoid()
        return share * thermal + (1 - share) * visible
'''
PLANTED = {
    'steps': 90, 'batch': 4, 'evaluate_every': 30, 'samples': 1, 'without': '',
    'optimiser.learning_rate': 0.02, 'loss_search.patch': 32, 'loss_search.vgg': 'none',
    'loss_search.unroll_rate': 1.0,
}  # fmt: skip


@pytest.fixture
def own(tmp_path):
    path = tmp_path / 'mine.py'
    path.write_text(THERMAL_TASK)
    return path


def test_a_task_that_needs_thermal_finds_the_thermal_terms(own, tmp_path):
    values = {
        **PLANTED,
        'loss_search.task': f'{own}:Thermometer',
        'loss_search.network': f'{own}:Blend',
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('multimodal_fusion.train.methods.loss_search.LossSearch.export', stay)
        train_with('loss-search', tmp_path, tmp_path / 'run', values)
    found = yaml.safe_load((tmp_path / 'run/searched_loss.yaml').read_text())['weights']
    searched = {name: w for name, w in found.items() if not name.startswith('mse_salient')}
    assert len(searched) == 13 and sum(searched.values()) == pytest.approx(1, abs=1e-5)
    assert sum(w for name, w in searched.items() if name.endswith('_ir')) >= 0.7
    rows = (tmp_path / 'run/metrics.csv').read_text().splitlines()
    column = rows[0].split(',').index('val_loss')
    losses = [float(row.split(',')[column]) for row in rows[1:]]
    assert losses[-1] <= 0.8 * losses[0]
    assert (tmp_path / 'run/weights.png').stat().st_size
    trusted = [f'{own}:Blend']
    assert Checkpoint.load(tmp_path / 'run', trusted).network.share.sigmoid() > 0.6


@pytest.mark.slow
def test_two_processes_find_what_one_finds(own, tmp_path):
    """Each has half of the batch and crops of its own."""
    values = {
        **PLANTED,
        'loss_search.task': f'{own}:Thermometer',
        'loss_search.network': f'{own}:Blend',
    }
    shares = []
    for processes in (1, 2):
        run = tmp_path / f'{processes}'
        words = command('loss-search', tmp_path, run, values)
        code = in_two(words).returncode if processes == 2 else subprocess.run(words).returncode
        assert code == 0
        found = yaml.safe_load((run / 'searched_loss.yaml').read_text())['weights']
        searched = {n: w for n, w in found.items() if not n.startswith('mse_salient')}
        shares.append(sum(w for name, w in searched.items() if name.endswith('_ir')))
    assert min(shares) >= 0.7 and abs(shares[0] - shares[1]) < 0.05


def stay(*_):
    """Exporting takes longer than the search."""


def test_the_searched_loss_trains_another_network(tmp_path):
    data = write_pairs(tmp_path / 'tiny')
    loss = tmp_path / 'searched_loss.yaml'
    loss.write_text(yaml.safe_dump({'weights': {'l1_ir': 0.7, 'ssim_vis': 0.3, 'kc': 0.1}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('multimodal_fusion.train.methods.fusion.Fusion.export', stay)
        values = {
            'steps': 2, 'batch': 2, 'evaluate_every': 1, 'samples': 1, 'without': '',
            'fusion.network': 'mmdrfuse_plus', 'fusion.patch': 32, 'fusion.loss': str(loss),
        }  # fmt: skip
        train_with('fusion', data, tmp_path / 'run', values)
        header = (tmp_path / 'run/metrics.csv').read_text().splitlines()[0]
        assert 'train_l1_ir' in header and 'train_ssim_vis' in header
        loss.write_text(yaml.safe_dump({'weights': {'perceptual_ir': 1.0}}))
        with pytest.raises(UserError, match=r'needs VGG-19 weights, and .* use a loss without'):
            train_with('fusion', data, tmp_path / 'other', values)


def test_losses_that_ship_have_terms_of_the_search_space():
    found = sorted((CONFIGS.parent / 'losses').glob('*.yaml'))
    assert len(found) == 2
    for path in found:
        weights = read_weights(path)
        assert set(weights) == set(NAMES)
        searched = [w for name, w in weights.items() if name not in FIXED]
        assert sum(searched) == pytest.approx(1, abs=1e-3)


def test_a_task_whose_loss_does_not_see_the_image_is_refused_by_name(own, tmp_path):
    values = {**PLANTED, 'loss_search.task': f'{own}:Deaf'}
    with pytest.raises(UserError, match=r'mine.py:Deaf has no gradient to the image'):
        train_with('loss-search', tmp_path, tmp_path / 'run', values)


def item(name, scene, level=0):
    image = np.full((8, 8), level, np.uint8)
    return TaskItem(name, scene, image, np.zeros((8, 8, 3), np.uint8), None)


def test_scenes_are_trained_on_or_weigh_never_both():
    items = [item(f'{s}{n}', f'{s}', 10 * i + n) for i, s in enumerate('abcde') for n in range(4)]
    lower, upper = split(items, 0.2)
    assert len(upper) == 4 and len(lower) == 16
    assert not {i.scene for i in lower} & {i.scene for i in upper}
    with pytest.raises(UserError, match='all images are of one scene'):
        split(items[:4], 0.2)
    twins = [item('a', 'a', 7), item('b', 'b', 7)]
    with pytest.raises(UserError, match='has the same thermal image: remove one'):
        split(twins, 0.5)


def test_what_was_filmed_together():
    assert scene_of('scene_2003_14.20') == 'scene_2003'
    assert scene_of('llvip_010001') == scene_of('llvip_010019') != scene_of('llvip_010100')
    assert scene_of('road_FLIR_06993') != scene_of('msrs_00123D')


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        (['loss_search.options.classes=[cat]'], r'task detection are \['),
        (['loss_search.task=depth'], "there is no task 'depth'; known are detection, segmentation"),
        (
            ['loss_search.task=segmentation'],
            r'are .* the first is everything that is none of the others',
        ),
        (
            ['loss_search.task=segmentation', 'loss_search.options.classes=[other, cat]'],
            "has 'cat', which no mask shows; after the first",
        ),
    ],
)
def test_settings_that_are_refused(changes, text, tmp_path):
    from multimodal_fusion.train.loop import TrainingJob, start

    none = ['loss_search.vgg=none', "without=''", "loss_search.options.held_out=''"]
    changes = [*changes, *none]
    config = Config.load(CONFIGS / 'loss-search.yaml', changes)
    with pytest.raises(UserError, match=text):
        start(TrainingJob(config, tmp_path, tmp_path / 'run'))
