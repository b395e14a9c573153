"""Every method, killed at several moments and ended in order, ends as a run that was left alone."""

import signal

import numpy as np
import pytest

from ..helpers.runs import command, end_under_way, step_of, train_with
from .methods import test_detector, test_mmdrfuse, test_mobilefuse
from .methods.test_mmdrfuse import data as pairs_and_vgg  # noqa: F401 (a fixture)
from .methods.test_mobilefuse import masked  # noqa: F401 (a fixture)
from .test_train import weights

pytestmark = pytest.mark.slow
BOUND = {'32-true': 1e-5, 'bf16-mixed': 1e-3}


def unlike(one, other):
    a, b = weights(one), weights(other)
    return max((a[name].double() - b[name].double()).abs().max().item() for name in a)


@pytest.fixture
def methods(tmp_path, masked, pairs_and_vgg):  # noqa: F811
    """{name: (recipe, data, values of a run of 16 steps)}."""
    steps = {'steps': 16, 'evaluate_every': 4}
    without = {'vgg': 'none', 'mmdrfuse.weights.distillation': 0}
    return {
        'mmdrfuse': ('mmdrfuse-cpu', pairs_and_vgg, {**test_mmdrfuse.SMALL, **steps, **without}),
        'mobilefuse': ('mobilefuse', masked, {**test_mobilefuse.SMALL, **steps}),
        'detector': (
            'detector',
            test_detector.make_data(tmp_path / 'boxes'),
            {**test_detector.SMALL, **steps},
        ),
    }


@pytest.mark.parametrize('precision', BOUND)
@pytest.mark.parametrize('name', ['mmdrfuse', 'mobilefuse', 'detector'])
def test_three_kills_and_one_end_in_order(tmp_path, methods, no_export, name, precision):
    recipe, data, values = methods[name]
    values = {**values, 'precision': precision}
    train_with(recipe, data, tmp_path / 'whole', values)
    cut = tmp_path / 'cut'
    seen = []
    moments = ((signal.SIGKILL, 2), (signal.SIGKILL, 3), (signal.SIGTERM, 4), (signal.SIGKILL, 4))
    for number, evaluations in moments:
        words = command(recipe, data, cut, values, '--resume')
        code = end_under_way(words, cut / 'metrics.csv', number, evaluations)
        assert code == (130 if number == signal.SIGTERM else -number)
        seen.append(step_of(cut))
    assert seen == sorted(seen) and 0 < seen[-1] < 16
    train_with(recipe, data, cut, values, resume=True)
    assert unlike(tmp_path / 'whole', cut) < BOUND[precision]
    if name == 'mmdrfuse':
        both = [np.fromfile(x / 'memory/best-0.bin', 'u1') for x in (tmp_path / 'whole', cut)]
        assert np.array_equal(*both)


def test_two_processes_that_are_killed_go_on_to_the_same(tmp_path, methods, no_export):
    recipe, data, values = methods['mmdrfuse']
    runs = [tmp_path / 'whole', tmp_path / 'cut']
    words = [command(recipe, data, run, values, '--resume') for run in runs]
    assert test_mmdrfuse.in_two(words[0]).returncode == 0
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    python, *rest = words[1]
    for evaluations in (2, 3):
        metrics = runs[1] / 'metrics.csv'
        end_under_way([python, *torchrun, *rest], metrics, signal.SIGKILL, evaluations)
    assert 0 < step_of(runs[1]) < 16
    assert test_mmdrfuse.in_two(words[1]).returncode == 0
    assert unlike(*runs) < 1e-5
    for rank in (0, 1):
        both = [np.fromfile(run / f'memory/best-{rank}.bin', 'u1') for run in runs]
        assert np.array_equal(*both)
