"""Configurations: complete files, short ones, changes, and what is refused."""

import json

import pytest
import yaml

torch = pytest.importorskip('torch', reason='training needs the train extra')
for package in ('lightning_fabric', 'pydantic', 'safetensors', 'onnx', 'onnxscript', 'matplotlib'):
    pytest.importorskip(package, reason='training needs the train extra')

from multimodal_fusion.errors import UserError
from multimodal_fusion.train.config import Config, OptimiserSettings
from multimodal_fusion.train.schedule import learning_rate

from ..helpers.runs import (
    CONFIGS,
)


def load(*changes, name='fusion'):
    return Config.load(CONFIGS / f'{name}.yaml', changes)


@pytest.mark.parametrize(
    'name', [p.stem for p in CONFIGS.glob('*.yaml') if not p.stem.startswith(('ablate', 'search'))]
)
def test_packaged_configurations_are_complete(name):
    config = Config.load(CONFIGS / f'{name}.yaml')
    assert config == Config.check(json.loads(config.to_json()), 'again')
    assert config == Config.check(yaml.safe_load(config.to_yaml()), 'again')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('stesp=12', r"unknown key 'stesp'; did you mean 'steps'\?"),
        ('optimiser.learning_rat=1', r"'optimiser.learning_rat'; did you mean 'learning_rate'\?"),
        ('steps=1.5', r'steps must be a valid integer, got 1.5'),
        ('steps="12"', r"steps must be a valid integer, got '12'"),
        ('batch=0', r'batch must be greater than or equal to 1, got 0'),
        ('optimiser.learning_rate=.nan', r'optimiser.learning_rate must be a finite number'),
        ('optimiser.learning_rate=fast', r"learning_rate must be a valid number, got 'fast'"),
        ('optimiser.kind=sgd', r"optimiser.kind must be 'adam' or 'adamw', got 'sgd'"),
        ('fusion.weights.gradient=-1', r'fusion: weights.gradient must be greater than or equal'),
        ('fusion.weights.edges=1', r'the loss term edges is called qabf now'),
        ('learning_rate=1', r'learning_rate is called optimiser.learning_rate now'),
        ('steps', r"'steps' is no change of the configuration; give key=value"),
        ('checkpoint_every=soon', r"checkpoint_every must be a valid number, got 'soon'"),
        ('method=dream', r"there is no method 'dream'; known are fusion, mmdrfuse, mobilefuse"),
    ],
)
def test_unusable_configurations_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        load(change)


def test_what_a_file_leaves_out_or_adds_is_told(tmp_path):
    content = yaml.safe_load((CONFIGS / 'fusion.yaml').read_text())
    del content['steps'], content['optimiser']['floor']
    with pytest.raises(UserError, match=r'missing steps, optimiser.floor'):
        Config.check(content, 'c.yaml')
    (tmp_path / 'c.yaml').write_text('method: fusion\nweights: [{')
    with pytest.raises(UserError, match=r'is not valid YAML'):
        Config.load(tmp_path / 'c.yaml')
    (tmp_path / 'c.yaml').write_text('recipe: mmdrfuse\n')
    with pytest.raises(UserError, match=r'of an earlier version: it says recipe, now method'):
        Config.load(tmp_path / 'c.yaml')


def test_a_short_file_changes_its_base_and_nothing_it_does_not_have(tmp_path):
    (tmp_path / 'fusion.yaml').write_text((CONFIGS / 'fusion.yaml').read_text())
    (tmp_path / 'mine.yaml').write_text('base: fusion\nsteps: 3\noptimiser: {clip: 1.0}\n')
    mine = Config.load(tmp_path / 'mine.yaml')
    assert (mine.steps, mine.optimiser.clip, mine.batch) == (3, 1.0, load().batch)
    (tmp_path / 'mine.yaml').write_text('base: fusion\noptimiser: {clp: 1.0}\n')
    with pytest.raises(UserError, match=r"unknown key 'optimiser.clp'; did you mean 'clip'\?"):
        Config.load(tmp_path / 'mine.yaml')
    (tmp_path / 'mine.yaml').write_text('base: mine\n')
    with pytest.raises(UserError, match=r'base must name a file beside it that has an end'):
        Config.load(tmp_path / 'mine.yaml')


def test_keys_of_the_methods_section_need_not_name_it():
    assert load('network=ifcnn', 'patch=64') == load('fusion.network=ifcnn', 'fusion.patch=64')


def test_times_have_units():
    for text, seconds in (('5 min', 300), ('30 s', 30), ('2h', 7200), ('0', 0), ('1.5', 1.5)):
        assert load(f'checkpoint_every={text}').checkpoint_every == seconds


def test_configuration_hash_ignores_comments_and_order(tmp_path):
    lines = load().to_yaml().splitlines()
    common = [f'{line}  # why' for line in lines if not line.startswith((' ', 'optim', 'fusion'))]
    nested = [line for line in lines if line.startswith((' ', 'optimiser', 'fusion'))]
    (tmp_path / 'other.yaml').write_text('\n'.join([*nested, *reversed(common)]))
    assert Config.load(tmp_path / 'other.yaml').hash == load().hash
    assert load('steps=13').hash != load().hash


def optimiser(**values):
    given = {'kind': 'adam', 'learning_rate': 0.01, 'weight_decay': 0, 'clip': 0, 'floor': 0,
             'schedule': 'cosine', 'warm_up': 2, 'average': 0}  # fmt: skip
    return OptimiserSettings(**{**given, **values})


def test_learning_rate_warms_up_and_ends_at_its_floor():
    rates = [learning_rate(optimiser(), step, 12) for step in range(13)]
    assert rates[:3] == pytest.approx([0.005, 0.01, 0.01])
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[12] == pytest.approx(0)
    assert learning_rate(optimiser(floor=0.1), 12, 12) == pytest.approx(0.001)
    assert learning_rate(optimiser(schedule='constant'), 12, 12) == 0.01
