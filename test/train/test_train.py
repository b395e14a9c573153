"""Training: data, the loop, and that nothing is lost when it is killed."""

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')
for package in ('safetensors', 'onnx', 'onnxscript', 'tqdm', 'matplotlib'):
    pytest.importorskip(package, reason='training needs the train extra')

from multimodal_fusion import train as train_package
from multimodal_fusion.cli import build_parser
from multimodal_fusion.errors import UserError
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.data.pairs import Crops, Pair, load_data, load_pairs
from multimodal_fusion.train.loop import DivergedError, train
from multimodal_fusion.train.methods.registry import find_recipe
from multimodal_fusion.train.schedule import learning_rate

from ..helpers.runs import REPOSITORY, kill_under_way, scene

SIMPLE = ('mmdrfuse', 'mmdrfuse_plus')

CONFIG = """
recipe: {recipe}
seed: 7
threads: 1
steps: {steps}
batch: 2
patch: 32
learning_rate: {learning_rate}
warm_up: 2
evaluate_every: 4
samples: 2
start_noise: {noise}
weights: {{intensity: 1.0, gradient: 2.0, structure: 0.5}}
"""


def write_config(path, recipe='mmdrfuse', steps=12, learning_rate=0.01, noise=0.05):
    path.write_text(
        CONFIG.format(recipe=recipe, steps=steps, learning_rate=learning_rate, noise=noise)
    )
    return path


def run(name, config, data, out, resume=False):
    return train(find_recipe(name), config, data, out, resume)


def weights(folder, name='last'):
    from safetensors.torch import load_file

    return load_file(folder / f'{name}.safetensors')


def rows(folder):
    with open(folder / 'metrics.csv', newline='') as file:
        return list(csv.DictReader(file))


def assert_same_run(one, other):
    for name in ('last', 'best'):
        left, right = weights(one, name), weights(other, name)
        assert max((left[key] - right[key]).abs().max() for key in left) < 1e-5
    kept = [[row['step'] for row in rows(folder)] for folder in (one, other)]
    assert kept[0] == kept[1]
    for left, right in zip(rows(one), rows(other), strict=True):
        assert float(left['val_loss']) == pytest.approx(float(right['val_loss']), abs=1e-6)
        assert float(left['train_loss']) == pytest.approx(
            float(right['train_loss']), abs=1e-5, nan_ok=True
        )


# Data


def test_crops_depend_on_seed_and_step_alone_and_stay_registered():
    pairs = [Pair(str(seed), image, image) for seed in range(3) for image in scene(seed)]
    crops = Crops(pairs, 40, 5, seed=1)
    thermal, visible = crops(3)
    assert thermal.shape == visible.shape == (5, 1, 40, 40)
    assert thermal.dtype == torch.float32
    assert 0 <= thermal.min() < thermal.max() <= 1
    assert torch.equal(thermal, visible)
    crops(4)
    assert torch.equal(crops(3)[0], thermal)
    assert not torch.equal(crops(4)[0], thermal)
    assert not torch.equal(Crops(pairs, 40, 5, seed=2)(3)[0], thermal)


def test_crops_come_from_every_place_in_all_eight_poses():
    image = np.zeros((33, 33), np.uint8)
    image[0, 1] = 255  # in a 32-pixel crop at (0, 1), with 8 poses, at (0, 0), with 4, or outside
    crops = Crops([Pair('a', image, image)], 32, 64, seed=0)
    spots = torch.cat([torch.nonzero(crops(step)[0])[:, 2:] for step in range(4)])
    assert len(spots.unique(dim=0)) == 8 + 4


def test_visible_becomes_luma(data):
    pair = load_pairs(data / 'val')[0]
    visible, thermal = scene(4)
    assert pair.stem == 's4'
    np.testing.assert_array_equal(pair.visible, visible)
    np.testing.assert_array_equal(pair.thermal, thermal)


def break_layout(data):
    (data / 'val/ir').rename(data / 'val/warm')


def break_pairing(data):
    (data / 'train/ir/s1.png').unlink()
    (data / 'train/vis/s2.png').unlink()


def leave_one_pair(data):
    for seed in (1, 2, 3):
        for kind in ('vis', 'ir'):
            (data / f'train/{kind}/s{seed}.png').unlink()


def resize_one(data):
    cv2.imwrite(str(data / 'train/ir/s1.png'), np.zeros((50, 56), np.uint8))


def shrink_one(data):
    for kind in ('vis', 'ir'):
        cv2.imwrite(str(data / f'train/{kind}/s1.png'), np.zeros((33, 40), np.uint8))


def shrink_far(data):
    for kind in ('vis', 'ir'):
        cv2.imwrite(str(data / f'val/{kind}/s5.png'), np.zeros((8, 9), np.uint8))


def deepen_one(data):
    cv2.imwrite(str(data / 'train/ir/s1.png'), np.zeros((48, 56), np.uint16))


def garble_one(data):
    (data / 'train/ir/s1.png').write_text('not a picture')


def double_one(data):
    cv2.imwrite(str(data / 'train/vis/s1.jpg'), scene(1)[0])


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (break_layout, r'val holds vis, warm; expected one folder of visible and one of'),
        (break_pairing, r'2 images of .*train have no partner .*: s1, s2$'),
        (leave_one_pair, r'train holds 1 pair; training needs at least two'),
        (resize_one, r'ir/s1.png is 56x50, .*vis/s1.png is 56x48: pairs must be registered'),
        (shrink_one, r's1 is 40x33, smaller than the 36-pixel crops; .*lower "patch"'),
        (shrink_far, r's5.png is 9x8; both sides must be at least 32 pixels'),
        (deepen_one, r's1.png is uint16; training reads 8-bit images'),
        (double_one, r'train/vis holds two images named s1 \(s1.jpg, s1.png\); keep one'),
    ],
)
def test_unusable_data_is_refused(data, damage, message):
    damage(data)
    with pytest.raises(UserError, match=message):
        load_data(data, side=36, batch=2, seed=0)


def test_images_that_cannot_be_read_are_left_out_and_told(data, capsys):
    garble_one(data)
    whole = len(list((data / 'train/ir').iterdir()))
    assert len(load_pairs(data / 'train')) == whole - 1
    assert 's1.png is not an image that can be decoded' in capsys.readouterr().err
    for path in (data / 'train/ir').iterdir():
        path.write_text('not a picture')
    with pytest.raises(UserError, match=r'nothing in .*train can be read; the first: .*s0'):
        load_pairs(data / 'train')


# Configuration


@pytest.mark.parametrize('name', SIMPLE)
def test_packaged_configurations_fit_their_recipes(name):
    config = Config.load(REPOSITORY / f'config/train/{name}.yaml')
    find_recipe(name).check(config)


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('steps: 12', 'stesp: 12', r"unknown key 'stesp'; did you mean 'steps'\?"),
        ('steps: 12', '', r'missing steps$'),
        ('steps: 12', 'steps: 1.5', r'steps must be a whole number of at least 1, got 1.5'),
        ('batch: 2', 'batch: 0', r'batch must be a whole number of at least 1, got 0'),
        ('rate: 0.01', 'rate: .nan', r'learning_rate must be a number of at least 0, got nan'),
        ('rate: 0.01', 'rate: fast', r"learning_rate must be a number of at least 0, got 'fast'"),
        ('gradient: 2.0', 'gradient: -1', r'weights.gradient must be a number of at least 0'),
        ('gradient: 2.0', 'edges: 1', r'weights must name exactly the loss terms intensity, grad'),
        ('weights: {', 'weights: [{', r'is not valid YAML'),
        ('mmdrfuse', 'mmdrfuse_plus', r"one of recipe 'mmdrfuse_plus', not of 'mmdrfuse'"),
    ],
)
def test_unusable_configurations_are_refused(tmp_path, data, old, new, message):
    config = write_config(tmp_path / 'c.yaml')
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        run('mmdrfuse', config, data, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_configuration_hash_ignores_comments_and_order(tmp_path):
    one = write_config(tmp_path / 'one.yaml')
    lines = [f'{line}  # why' for line in one.read_text().strip().splitlines()]
    (tmp_path / 'other.yaml').write_text('\n'.join(reversed(lines)))
    other = Config.load(tmp_path / 'other.yaml')
    assert Config.load(one).hash == other.hash
    assert Config.load(write_config(one, steps=13)).hash != other.hash


def test_learning_rate_warms_up_and_ends_at_zero(tmp_path):
    config = Config.load(write_config(tmp_path / 'c.yaml', steps=12, learning_rate=0.01))
    rates = [learning_rate(config, step) for step in range(13)]
    assert rates[:3] == pytest.approx([0.005, 0.01, 0.01])
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[12] == pytest.approx(0)


# The loop


@pytest.mark.parametrize('name', SIMPLE)
def test_a_run_learns_and_leaves_everything_in_its_folder(tmp_path, data, name):
    config = write_config(tmp_path / 'c.yaml', recipe=name, steps=22, noise=0.1)
    best = run(name, config, data, tmp_path / 'run')
    out = tmp_path / 'run'
    steps = [int(row['step']) for row in rows(out)]
    assert steps == [*range(0, 21, 4), 22]
    values = {int(row['step']): float(row['val_loss']) for row in rows(out)}
    assert best['val_loss'] == values[best['step']] == min(values.values()) < 0.9 * values[0]
    found = {str(path.relative_to(out)) for path in out.rglob('*') if path.is_file()}
    assert found == {
        *('config.yaml', 'metrics.csv', 'curves.png', 'last.state'),
        *('last.safetensors', 'best.safetensors', 'model.onnx', 'model.md'),
        *(f'samples/{step:07d}.png' for step in steps),
    }
    assert (out / 'config.yaml').read_text() == config.read_text()
    assert cv2.imread(str(out / 'samples/0000022.png')).shape == (480, 840, 3)
    assert cv2.imread(str(out / 'curves.png')) is not None
    assert '| parameters | 113 |' in (out / 'model.md').read_text()
    assert 'tiny/train, 4 pairs' in (out / 'model.md').read_text()


def test_killed_run_resumes_to_the_same_result(tmp_path, data, no_export):
    config = write_config(tmp_path / 'c.yaml', steps=40)
    run('mmdrfuse', config, data, tmp_path / 'whole')
    out = tmp_path / 'killed'
    command = [sys.executable, '-m', 'multimodal_fusion', 'train', 'mmdrfuse', '--resume']
    command += ['--config', str(config), '--data', str(data), '--out', str(out)]
    kill_under_way(command, out / 'metrics.csv')
    assert 0 < torch.load(out / 'last.state', weights_only=True)['step'] < 40
    run('mmdrfuse', config, data, out, resume=True)
    assert_same_run(tmp_path / 'whole', out)


def test_stopped_between_two_files_of_a_checkpoint_it_resumes_to_the_same(
    tmp_path, data, monkeypatch, no_export
):
    config = write_config(tmp_path / 'c.yaml', recipe='mmdrfuse_plus')
    run('mmdrfuse_plus', config, data, tmp_path / 'whole')
    save, calls = torch.save, []

    def fail_the_third_time(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch, 'save', fail_the_third_time)
        run('mmdrfuse_plus', config, data, tmp_path / 'cut')
    assert len(rows(tmp_path / 'cut')) == 3  # one more than last.state knows of
    run('mmdrfuse_plus', config, data, tmp_path / 'cut', resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'cut')


def test_a_run_is_not_overwritten_nor_resumed_under_other_conditions(tmp_path, data, no_export):
    config = write_config(tmp_path / 'c.yaml', steps=4)
    out = tmp_path / 'run'
    run('mmdrfuse', config, data, out)
    with pytest.raises(UserError, match=r'already holds a run; go on with it by --resume'):
        run('mmdrfuse', config, data, out)
    with pytest.raises(UserError, match=r'configuration differs .*config.yaml'):
        run('mmdrfuse', write_config(tmp_path / 'd.yaml', steps=8), data, out, resume=True)
    for kind in ('vis', 'ir'):
        (data / f'train/{kind}/s3.png').unlink()
    with pytest.raises(UserError, match=r'started on tiny/train, 4 pairs, not on .* 3 pairs'):
        run('mmdrfuse', config, data, out, resume=True)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path, data, capsys):
    config = write_config(tmp_path / 'c.yaml', recipe='mmdrfuse_plus', learning_rate=1e30)
    arguments = ['train', 'mmdrfuse_plus', '--config', str(config), '--data', str(data)]
    args = build_parser(('train',)).parse_args([*arguments, '--out', str(tmp_path / 'run')])
    assert args.run(args) == 1
    assert "at step 1, first in its term 'intensity'" in capsys.readouterr().err
    state = torch.load(tmp_path / 'run/last.state', weights_only=True)
    assert state['step'] == 0
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / 'run').values())
    with pytest.raises(DivergedError, match=r'the last checkpoint is kept'):
        run('mmdrfuse_plus', config, data, tmp_path / 'run', resume=True)


# The command line


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (('mmdrfuse', '--config', 'cpu'), "no configuration 'cpu'; leave --config out"),
        (('mmdr-teacher', '--config', 'plus'), "no configuration 'plus'; it has cpu, gpu, paper"),
        (('detector',), '--data'),
    ],
)
def test_what_is_missing_is_told(tmp_path, words, message):
    data = ('--data', str(tmp_path)) if '--config' in words else ()
    args = build_parser(('train',)).parse_args(['train', *words, *data, '--out', str(tmp_path)])
    with pytest.raises(UserError, match=message):
        args.run(args)


def test_command_prints_what_it_made_and_is_quiet_otherwise(tmp_path, data, capsys, no_export):
    config = write_config(tmp_path / 'c.yaml', steps=4)
    arguments = ['train', 'mmdrfuse', '--config', str(config), '--data', str(data), '--json']
    args = build_parser(('train',)).parse_args([*arguments, '--out', str(tmp_path / 'run')])
    assert args.run(args) == 0
    printed = capsys.readouterr()
    assert printed.err == ''
    assert json.loads(printed.out).keys() >= {'model', 'step', 'val_loss', 'val_structure'}


def test_a_finished_run_resumes_with_its_own_configuration(tmp_path, data, capsys, no_export):
    config = write_config(tmp_path / 'c.yaml', steps=4)
    best = run('mmdrfuse', config, data, tmp_path / 'run')
    arguments = ['train', 'mmdrfuse', '--data', str(data), '--out', str(tmp_path / 'run')]
    args = build_parser(('train',)).parse_args([*arguments, '--resume', '--json'])
    assert args.run(args) == 0
    assert json.loads(capsys.readouterr().out)['val_loss'] == best['val_loss']


def test_unknown_recipe_is_refused(tmp_path):
    args = build_parser(('train',)).parse_args(['train', 'yolo', '--data', 'x', '--out', 'y'])
    with pytest.raises(UserError, match=r"no recipe 'yolo'; known are mmdrfuse, mmdrfuse_plus"):
        args.run(args)


@pytest.mark.parametrize(
    'arguments', [['train', 'mmdrfuse', '--data', 'x', '--out', 'y'], ['export', 'x', '-o', 'y']]
)
def test_without_the_extra_it_says_what_to_install(monkeypatch, arguments):
    monkeypatch.setattr(train_package.importlib.util, 'find_spec', lambda name: None)
    args = build_parser(('train', 'export')).parse_args(arguments)
    with pytest.raises(UserError, match=r'torch.*pip install multimodal_fusion\[train\]'):
        args.run(args)


def test_the_command_line_starts_without_torch():
    code = (
        'import sys; from multimodal_fusion.cli import build_parser; '
        'build_parser(("train", "export")); sys.exit("torch" in sys.modules)'
    )
    assert subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY).returncode == 0
