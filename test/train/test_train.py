"""Training: data, the loop, and that nothing is lost when it is killed."""

import csv
import json
import re
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')
for package in ('lightning_fabric', 'pydantic', 'safetensors', 'onnx', 'onnxscript', 'matplotlib'):
    pytest.importorskip(package, reason='training needs the train extra')

from multimodal_fusion import cli
from multimodal_fusion import train as train_package
from multimodal_fusion.cli import build_parser
from multimodal_fusion.errors import UserError
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.data.pairs import (
    Crops,
)
from multimodal_fusion.train.loop import DivergedError

from ..helpers.runs import (
    REPOSITORY,
    command,
    end_under_way,
    kill_under_way,
    step_of,
    train_with,
)

SIMPLE = ('mmdrfuse', 'mmdrfuse_plus')
SMALL = {
    'seed': 7, 'steps': 12, 'batch': 2, 'evaluate_every': 4, 'samples': 2,
    'optimiser.learning_rate': 0.01, 'optimiser.warm_up': 2, 'fusion.patch': 32,
}  # fmt: skip


def run(data, out, resume=False, **values):
    return train_with('fusion', data, out, {**SMALL, **values}, resume)


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


# The loop


@pytest.mark.parametrize('name', SIMPLE)
def test_a_run_learns_and_leaves_everything_in_its_folder(tmp_path, data, name):
    out = tmp_path / 'run'
    best = run(data, out, steps=22, network=name, name=name)
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
    used = Config.load(out / 'config.yaml')
    assert used.name == name and used.steps == 22 and used.section.network == name
    assert cv2.imread(str(out / 'samples/0000022.png')).shape == (480, 840, 3)
    assert cv2.imread(str(out / 'curves.png')) is not None
    assert '| parameters | 113 |' in (out / 'model.md').read_text()
    assert 'tiny/train, 4 pairs' in (out / 'model.md').read_text()


def test_killed_run_resumes_to_the_same_result(tmp_path, data, no_export):
    run(data, tmp_path / 'whole', steps=40)
    out = tmp_path / 'killed'
    kill_under_way(command('fusion', data, out, {**SMALL, 'steps': 40}), out / 'metrics.csv')
    assert 0 < step_of(out) < 40
    run(data, out, steps=40, resume=True)
    assert_same_run(tmp_path / 'whole', out)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_ended_in_order_it_keeps_the_step_it_has_made(tmp_path, data, no_export, number):
    """Far between two evaluations: what was added up since the last one goes on too."""
    values = {**SMALL, 'steps': 90, 'evaluate_every': 45}
    train_with('fusion', data, tmp_path / 'whole', values)
    out = tmp_path / 'ended'
    words = command('fusion', data, out, values)
    assert end_under_way(words, out / 'metrics.csv', number, evaluations=2) == 130
    assert 45 <= step_of(out) < 90
    train_with('fusion', data, out, values, resume=True)
    assert_same_run(tmp_path / 'whole', out)


def test_a_checkpoint_by_time_is_one_to_go_on_from(tmp_path, data, no_export, monkeypatch):
    values = {**SMALL, 'steps': 9, 'evaluate_every': 9}
    train_with('fusion', data, tmp_path / 'whole', values)
    cut = {**values, 'checkpoint_every': 1e-9}
    crops, calls = Crops.__call__, []

    def fail_the_sixth_time(self, step):
        calls.append(step)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return crops(self, step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Crops, '__call__', fail_the_sixth_time)
        train_with('fusion', data, tmp_path / 'cut', cut)
    assert step_of(tmp_path / 'cut') == 5
    train_with('fusion', data, tmp_path / 'cut', cut, resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'cut')


@pytest.mark.parametrize(
    'values',
    [
        {'workers': 2},
        {'accumulate': 2, 'batch': 1},
        {'optimiser.kind': 'adamw', 'optimiser.weight_decay': 0.1, 'optimiser.clip': 0.1},
        {'optimiser.average': 0.9},
        {'precision': 'bf16-mixed'},
    ],
    ids=lambda values: next(iter(values)),
)
def test_whatever_the_engine_is_asked_for_a_cut_run_goes_on_to_the_same(
    tmp_path, data, no_export, monkeypatch, values
):
    from multimodal_fusion.train.run import Run

    run(data, tmp_path / 'whole', **values)
    save, calls = Run.save, []

    def fail_the_second_time(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        save(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, 'save', fail_the_second_time)
        run(data, tmp_path / 'cut', **values)
    assert step_of(tmp_path / 'cut') == 4
    run(data, tmp_path / 'cut', resume=True, **values)
    assert_same_run(tmp_path / 'whole', tmp_path / 'cut')


def test_batches_are_the_same_whoever_makes_them(tmp_path, data, no_export):
    run(data, tmp_path / 'here')
    run(data, tmp_path / 'ahead', workers=1)
    one, other = (weights(tmp_path / name) for name in ('here', 'ahead'))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_two_small_batches_step_as_one_large(tmp_path, data, no_export, monkeypatch):
    """Losses are means over a batch: the gradients of halves, added up by halves, are its own."""
    crops = Crops.__call__

    def halves(self, number):
        if self.batch == 2:
            return crops(self, number)
        thermal, visible = crops(Crops(self.pairs, self.side, 2, self.key[0]), number // 2)
        half = slice(number % 2, number % 2 + 1)
        return thermal[half], visible[half]

    monkeypatch.setattr(Crops, '__call__', halves)
    run(data, tmp_path / 'large', steps=4)
    run(data, tmp_path / 'small', steps=4, batch=1, accumulate=2)
    one, other = (weights(tmp_path / name) for name in ('large', 'small'))
    assert max((one[key] - other[key]).abs().max() for key in one) < 1e-4


def test_stopped_between_two_files_of_a_checkpoint_it_resumes_to_the_same(
    tmp_path, data, monkeypatch, no_export
):
    from multimodal_fusion.train import run as run_module

    run(data, tmp_path / 'whole')
    write, calls = run_module.write_state, []

    def fail_the_third_time(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write(*args)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module, 'write_state', fail_the_third_time)
        run(data, tmp_path / 'cut')
    assert len(rows(tmp_path / 'cut')) == 3  # one more than last.state knows of
    run(data, tmp_path / 'cut', resume=True)
    assert_same_run(tmp_path / 'whole', tmp_path / 'cut')


def test_a_run_is_not_overwritten_nor_resumed_under_other_conditions(tmp_path, data, no_export):
    out = tmp_path / 'run'
    run(data, out, steps=4)
    with pytest.raises(UserError, match=r'already holds a run; go on with it by --resume'):
        run(data, out, steps=4)
    with pytest.raises(UserError, match=r'configuration differs .*steps 8 against 4'):
        run(data, out, steps=8, resume=True)
    cv2.imwrite(str(data / 'train/ir/s3.png'), np.zeros((48, 56), np.uint8))
    with pytest.raises(UserError, match=r'started on the same words, other images, not on'):
        run(data, out, steps=4, resume=True)
    for kind in ('vis', 'ir'):
        (data / f'train/{kind}/s3.png').unlink()
    with pytest.raises(UserError, match=r'started on tiny/train, 4 pairs, not on .* 3 pairs'):
        run(data, out, steps=4, resume=True)


def test_a_run_of_an_earlier_version_is_told_so(tmp_path, data, no_export):
    run(data, tmp_path / 'run', steps=4)
    torch.save({'step': 4}, tmp_path / 'run/last.state')
    with pytest.raises(UserError, match=r'was begun by an earlier version'):
        run(data, tmp_path / 'run', steps=4, resume=True)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path, data, capsys):
    values = {**SMALL, 'optimiser.learning_rate': 1e30}
    words = command('fusion', data, tmp_path / 'run', values)[3:]
    assert cli.main(words) == 1
    assert "at step 1, first in its term 'intensity'" in capsys.readouterr().err
    assert step_of(tmp_path / 'run') == 0
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / 'run').values())
    with pytest.raises(DivergedError, match=r'the last checkpoint is kept'):
        train_with('fusion', data, tmp_path / 'run', values, resume=True)


def test_fine_tuning_goes_on_from_the_weights_of_a_run(tmp_path, data, no_export):
    run(data, tmp_path / 'first')
    run(data, tmp_path / 'second', start=str(tmp_path / 'first'), steps=4)
    first, second = (rows(tmp_path / name) for name in ('first', 'second'))
    best = min(float(row['val_loss']) for row in first)
    assert float(second[0]['val_loss']) == pytest.approx(best, abs=1e-6)
    with pytest.raises(UserError, match=r'does not hold the weights of this network'):
        run(data, tmp_path / 'third', start=str(tmp_path / 'first'), network='ifcnn')


# The command line


def test_command_prints_what_it_made_and_is_quiet_otherwise(tmp_path, data, capsys, no_export):
    words = command('fusion', data, tmp_path / 'run', {**SMALL, 'steps': 4}, '--json')[3:]
    assert cli.main(words) == 0
    printed = capsys.readouterr()
    assert printed.err == ''
    assert json.loads(printed.out).keys() >= {'model', 'step', 'val_loss', 'val_ssim'}


def test_a_finished_run_resumes_with_its_own_configuration(tmp_path, data, capsys, no_export):
    best = run(data, tmp_path / 'run', steps=4)
    words = ['train', 'fusion', '--data', str(data), '--out', str(tmp_path / 'run')]
    assert cli.main([*words, '--resume', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['val_loss'] == best['val_loss']


def test_a_run_is_not_gone_on_with_as_another_one(tmp_path, data, capsys, no_export):
    run(data, tmp_path / 'run', steps=4)
    words = ['train', 'mmdrfuse_plus', '--data', str(data), '--out', str(tmp_path / 'run')]
    assert cli.main([*words, '--resume']) == 2
    assert 'method mmdrfuse against fusion' in capsys.readouterr().err


def test_off_a_terminal_it_tells_how_far_it_is(tmp_path, data, capsys, no_export, monkeypatch):
    monkeypatch.setattr('multimodal_fusion.train.loop._TELL_EVERY', 0.0)
    run(data, tmp_path / 'run', steps=4)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r'step 4 of 4, loss \d.\d{4}, \d+ ms a step, 0 min left', lines[-1])


def test_a_dry_run_says_what_it_would_do_and_leaves_nothing(tmp_path, data, capsys):
    words = command('fusion', data, tmp_path / 'run', SMALL, '--dry-run', '--json')[3:]
    assert cli.main(words) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts['parameters'] == 113 and facts['data'] == 'tiny/train, 4 pairs'
    assert facts['seconds a step'] > 0 and facts['configuration']
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('yolo', r"there is no configuration 'yolo'; known are detector-roads, detector, fusion"),
        ('mmdrfuse_plu', r"did you mean 'mmdrfuse_plus'\?"),
        ('mobilefus', r"did you mean 'mobilefuse'\?"),
        ('none.yaml', r'the configuration none.yaml cannot be read'),
    ],
)
def test_unknown_configurations_are_refused(tmp_path, data, capsys, name, message):
    assert cli.main(['train', name, '--data', str(data), '--out', str(tmp_path / 'run')]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_run_is_a_models_name(tmp_path, data, capsys):
    run(data, tmp_path / 'run', steps=4)
    pictures = [str(data / f'val/{kind}/s4.png') for kind in ('vis', 'ir')]
    words = ['fuse', *pictures, '-o', str(tmp_path / 'f.png'), '--model', str(tmp_path / 'run')]
    assert cli.main([*words, '--allow-unlisted']) == 0
    assert cli.main(words) == 2
    (tmp_path / 'run/model.onnx').unlink()
    assert cli.main([*words, '--allow-unlisted']) == 2
    assert f'python -m multimodal_fusion export {tmp_path / "run"}' in capsys.readouterr().err


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
