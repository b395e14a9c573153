"""MMDRFuse's teacher and student: train, kill, resume, in two processes, export."""

import os
import re
import subprocess
import zipfile

import cv2
import numpy as np
import pytest
import yaml

torch = pytest.importorskip('torch', reason='training needs the train extra')
for package in ('lightning_fabric', 'pydantic', 'safetensors', 'onnx', 'onnxscript', 'matplotlib'):
    pytest.importorskip(package, reason='training needs the train extra')

from safetensors.torch import save_file

from multimodal_fusion import cli
from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.networks.vgg import BLOCKS
from multimodal_fusion.train import run as run_module
from multimodal_fusion.train.ablate import METRICS, ablate, load_plan
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.data.packed import load_packed, pack
from multimodal_fusion.train.data.pairs import load_folders
from multimodal_fusion.train.loop import DivergedError
from multimodal_fusion.train.methods.mmdrfuse import MMDRFuseMethod

from ...helpers.runs import (
    CONFIGS,
    DEADLINE,
    REPOSITORY,
    changes_of,
    command,
    kill_under_way,
    scene,
    step_of,
    train_with,
)
from ..test_train import assert_same_run, rows, weights

TEACHER, STUDENT = 'mmdrfuse-teacher', 'mmdrfuse'
SMALL = {
    'threads': 1, 'steps': 12, 'batch': 4, 'samples': 1, 'evaluate_every': 6,
    'optimiser.warm_up': 0, 'optimiser.learning_rate': 0.003, 'mmdrfuse.patch': 32,
    'mmdrfuse.patches': 8, 'mmdrfuse.perceived': 2, 'mmdrfuse.cache': False,
}  # fmt: skip


@pytest.fixture
def data(tmp_path):
    """A folder of 4 training and 2 validation pairs, with VGG-19 (a thin one) beside it."""
    for split, seeds in (('train', range(4)), ('val', range(4, 6))):
        for kind in ('vis', 'ir'):
            (tmp_path / 'tiny' / split / kind).mkdir(parents=True)
        for seed in seeds:
            for kind, image in zip(('vis', 'ir'), scene(seed), strict=True):
                cv2.imwrite(str(tmp_path / f'tiny/{split}/{kind}/s{seed}.png'), image)
    random, inputs, found = np.random.default_rng(0), 3, {}
    for block, outputs in enumerate((4, 8, 8, 8, 8)):
        for i in range(BLOCKS[block]):
            name = f'conv{block + 1}_{i + 1}'
            spread = (2 / 9 / inputs) ** 0.5
            found[f'{name}.weight'] = random.normal(0, spread, (outputs, inputs, 3, 3))
            found[f'{name}.bias'] = np.zeros(outputs)
            inputs = outputs
    (tmp_path / 'weights').mkdir()
    np.savez(tmp_path / 'weights/vgg19_conv_fp16.npz', **found)
    return tmp_path / 'tiny'


def run(recipe, data, out, resume=False, teacher=None, perception=True, **values):
    """A packaged configuration, made small."""
    values = {**SMALL, **values, 'vgg': 'auto' if perception else 'none'}
    if teacher:
        values['teacher'] = str(teacher)
    return train_with(f'{recipe}-cpu', data, out, values, resume)


def vgg(data):
    return data.parent / 'weights/vgg19_conv_fp16.npz'


@pytest.fixture
def no_thin_cache(monkeypatch):
    """Let the cache of features fit the thin VGG-19."""
    from multimodal_fusion.train.methods import mmdrfuse

    monkeypatch.setattr(mmdrfuse, 'CHANNELS', (4, 8, 8, 8, 8))


@pytest.fixture
def teacher(tmp_path):
    """A run folder that holds no more than an untrained teacher."""
    config = Config.load(CONFIGS / f'{TEACHER}-cpu.yaml', changes_of(SMALL))
    torch.manual_seed(0)
    facts = dict.fromkeys(('trained_on', 'commit', 'machine'), 'nothing')
    facts |= {'config': config.to_json(), 'row': '{"step": 0, "seconds": 0.0}'}
    (tmp_path / 'teacher').mkdir()
    state = MMDRFuseMethod.made(config.section).state_dict()
    for name in ('best', 'last'):
        save_file(state, tmp_path / f'teacher/{name}.safetensors', facts)
    return tmp_path / 'teacher'


@pytest.mark.parametrize(
    ('recipe', 'batch', 'epochs', 'weights'),
    [(TEACHER, 45, 8, (1, 0.1, 0, 1)), (STUDENT, 30, 30, (2, 1, 0.1, 1))],
)
def test_paper_configurations_have_the_values_of_the_paper(recipe, batch, epochs, weights):
    config = Config.load(CONFIGS / f'{recipe}-paper.yaml')
    method, optimiser = config.section, config.optimiser
    assert (config.batch, method.patch, optimiser.learning_rate) == (batch, 128, 1e-4)
    assert config.steps == epochs * (method.patches // batch)
    terms = ('gradient', 'perception', 'distillation', 'refresh')
    assert tuple(method.weights[term] for term in terms) == weights
    assert (method.gradient, method.decide, method.norm) == ('paper', 'patch', 'sample')
    assert optimiser.schedule == 'constant'
    assert method.perceived == batch


def test_smoke_train_kill_resume_export_load(tmp_path, data, teacher, no_export):
    """The whole way; the loss goes down, and the killed run ends as one that was left alone."""
    values = {'steps': 36, 'evaluate_every': 6, 'initial_noise': 0.1, 'teacher': str(teacher)}
    run(STUDENT, data, tmp_path / 'whole', **values)
    out = tmp_path / 'killed'
    words = command(f'{STUDENT}-cpu', data, out, {**SMALL, **values, 'vgg': 'auto'})
    kill_under_way(words, out / 'metrics.csv')
    assert 0 < step_of(out) < 36
    best = run(STUDENT, data, out, resume=True, **values)
    assert_same_run(tmp_path / 'whole', out)
    memories = [np.fromfile(x / 'memory/best-0.bin', 'u1') for x in (tmp_path / 'whole', out)]
    assert np.array_equal(*memories)
    found = rows(out)
    assert best['val_loss'] < 0.9 * float(found[0]['val_loss'])
    assert float(found[-1]['train_loss']) < 0.9 * float(found[1]['train_loss'])
    statistics = [float(found[-1][f'train_{name}']) for name in ('wins_ssim', 'wins_gmsd')]
    assert 0 < max(statistics) <= 1
    assert float(found[-1]['train_refresh']) > 0
    words = ['export', str(out), '-o', str(tmp_path / 'x.onnx'), '--scores', str(data / 'val')]
    assert cli.main(words) == 0
    visible, thermal = scene(9, 47, 61)
    fuser = Fuser.load(str(tmp_path / 'x.onnx'), allow_unlisted=True)
    assert fuser.fuse(visible, thermal).shape == visible.shape
    card = (tmp_path / 'x.md').read_text()
    assert '| parameters | 113 |' in card
    pairs = load_folders(data).validation
    fusion = [(np.maximum(pair.thermal, pair.visible)) for pair in pairs]
    assert f'\n| max | {np.mean([entropy(image) for image in fusion]):.3f} |' in card


def entropy(image):
    """Bits a pixel, of the 256-bin histogram."""
    shares = np.bincount(image.ravel()) / image.size
    return -sum(share * np.log2(share) for share in shares if share)


def test_teacher_exports_at_any_size(tmp_path, data):
    from multimodal_fusion.train.export.onnx import eight_bit, export

    torch.manual_seed(0)
    config = Config.load(CONFIGS / f'{TEACHER}-cpu.yaml', ['initial=random'])
    network = MMDRFuseMethod.made(config.section).eval()
    export(network, tmp_path / 't.onnx', {'name': 'teacher'})
    fuser = Fuser.load(str(tmp_path / 't.onnx'), allow_unlisted=True)
    for size in ((33, 47), (64, 40)):
        visible, thermal = scene(3, *size)
        images = [torch.from_numpy(x)[None, None].float() / 255 for x in (thermal, visible)]
        with torch.no_grad():
            expected = eight_bit(network(*images))[0, 0].numpy()
        difference = fuser.fuse(visible, thermal).astype(int) - expected
        assert abs(difference).max() <= 1


def test_cached_targets_give_the_same_run(tmp_path, data, teacher, no_export, no_thin_cache):
    for cache in (False, True):
        run(STUDENT, data, tmp_path / f'{cache}', teacher=teacher, **{'mmdrfuse.cache': cache})
    one, other = (weights(tmp_path / f'{cache}') for cache in (False, True))
    assert max((one[key] - other[key]).abs().max() for key in one) < 0.02
    assert {path.name for path in (tmp_path / 'True/memory').iterdir()} == {
        *('best-0.bin', 'best-0.undo', 'features-0.bin', 'teacher-0.bin')
    }


@pytest.mark.parametrize('changes', [{'norm': 'batch', 'decide': 'batch', 'gradient': 'code'},
                                     {'distil': 'output', 'output': 'linear'},
                                     {'initial': 'teacher', 'gradient': 'paper'},
                                     {'widths': [8, 4], 'initial': 'random'}])  # fmt: skip
def test_every_option_runs(tmp_path, data, teacher, no_export, changes):
    run(STUDENT, data, tmp_path / 'run', teacher=teacher, steps=3, **changes)
    if changes.get('initial') == 'teacher':
        start, theirs = weights(tmp_path / 'run'), weights(teacher, 'best')
        unlike = (start['conv2.weight'] - theirs['conv13.weight']).abs().max()
        assert 0 < unlike < 0.05


def test_terms_of_weight_zero_cost_nothing(tmp_path, data, no_export, monkeypatch):
    zero = {f'mmdrfuse.weights.{term}': 0 for term in ('perception', 'distillation', 'refresh')}
    run(STUDENT, data, tmp_path / 'run', steps=3, **zero)
    assert not (tmp_path / 'run/memory').exists()
    last = rows(tmp_path / 'run')[-1]
    assert float(last['train_perception']) == float(last['train_refresh']) == 0


def in_two(words):
    """Run the words of a training command in two processes under torchrun."""
    torchrun = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    return subprocess.run(
        [words[0], *torchrun, *words[1:]],
        cwd=REPOSITORY,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def test_two_processes_train_to_the_quality_of_one(tmp_path, data, no_export):
    """Each owns half of the patches; what rank 0 writes is the run."""
    values = {'steps': 24, 'evaluate_every': 12, 'initial_noise': 0.1,
              'mmdrfuse.weights.distillation': 0}  # fmt: skip
    run(STUDENT, data, tmp_path / 'one', perception=False, **values)
    done = in_two(
        command(f'{STUDENT}-cpu', data, tmp_path / 'two', {**SMALL, **values, 'vgg': 'none'})
    )
    assert done.returncode == 0, done.stderr
    one, two = (
        [float(row['val_loss']) for row in rows(tmp_path / name)] for name in ('one', 'two')
    )
    assert two[0] == pytest.approx(one[0], abs=1e-6)
    assert two[-1] < 0.9 * two[0]
    assert two[-1] == pytest.approx(one[-1], rel=0.1)
    names = {path.name for path in (tmp_path / 'two/memory').glob('*.bin')}
    assert names == {'best-0.bin', 'best-1.bin'}
    with pytest.raises(UserError, match='started with 2 processes, not 1'):
        run(STUDENT, data, tmp_path / 'two', resume=True, perception=False, **values)


# Bad input


def test_a_searched_loss_stands_for_the_comprehensive_one(data, tmp_path):
    """Of weight 1 alone it is the loss; distillation and refresh go on beside it."""
    loss = tmp_path / 'searched_loss.yaml'
    loss.write_text(yaml.safe_dump({'weights': {'l1_ir': 0.75, 'ssim_vis': 0.25}}))
    zero = {f'mmdrfuse.weights.{term}': 0 for term in ('distillation', 'refresh')}
    run(STUDENT, data, tmp_path / 'run', **zero, **{'mmdrfuse.loss': str(loss)})
    for row in rows(tmp_path / 'run')[1:]:
        assert row['train_loss'] == row['train_searched'] != '0.0'
        assert float(row['train_intensity']) == float(row['train_perception']) == 0
    loss.write_text('weights: {l1_ir: -1}')
    with pytest.raises(UserError, match='is no loss: expected "weights:"'):
        run(STUDENT, data, tmp_path / 'other', **zero, **{'mmdrfuse.loss': str(loss)})


def test_without_vgg_it_says_what_to_do(tmp_path, data, no_export, capsys):
    vgg(data).unlink()
    words = command(f'{TEACHER}-cpu', data, tmp_path / 'run', {**SMALL, 'steps': 1})[3:]
    assert cli.main(words) == 2
    assert 'vgg19_conv_fp16.npz is missing: give --vgg' in capsys.readouterr().err
    assert cli.main([*words, '--no-perception']) == 0


def test_a_student_without_teacher_says_what_to_do(tmp_path, data):
    with pytest.raises(UserError, match=r'--teacher, or set weights.distillation to 0'):
        run(STUDENT, data, tmp_path / 'run')


def test_a_teacher_is_a_teacher(tmp_path, data, no_export):
    run(TEACHER, data, tmp_path / 't', perception=False, steps=1)
    values = {'mmdrfuse.weights.distillation': 0}
    run(STUDENT, data, tmp_path / 's', perception=False, steps=1, **values)
    with pytest.raises(UserError, match='is no run of mmdrfuse-teacher'):
        run(STUDENT, data, tmp_path / 'x', perception=False, teacher=tmp_path / 's')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'gradient': 'sobel'}, r"gradient must be 'paper', 'code' or 'signed', got 'sobel'"),
        ({'mmdrfuse.cache': 7}, r'cache must be a valid boolean, got 7'),
        ({'widths': []}, r'widths List should have at least 1 item'),
        ({'mmdrfuse.decided': 1}, r"unknown key 'mmdrfuse.decided'; did you mean 'decide'\?"),
        ({'mmdrfuse.augmentation.noise': -1}, r'augmentation.noise must be greater than or equal'),
        ({'batch': 9}, r'batch 9 is more than the 8 patches'),
        ({'mmdrfuse.patches': 0}, r'patches must be greater than or equal to 1'),
        ({'mmdrfuse.weights.vif': 0.5}, r'patch is 3. pixels; the loss term vif needs 41'),
        ({'mmdrfuse.weights.fidelity': 1}, r'the loss term fidelity is called vif now'),
        ({'mmdrfuse.weights.sim': 1}, r'weights must name exactly the loss terms intensity, grad'),
    ],
)
def test_unusable_configurations_are_refused(tmp_path, data, changes, message):
    with pytest.raises(UserError, match=message):
        run(TEACHER, data, tmp_path / 'run', perception=False, **changes)


def test_a_loss_that_is_no_number_stops_with_step_and_term(tmp_path, data, no_export):
    values = {'optimiser.learning_rate': 1e30}
    with pytest.raises(DivergedError, match=r"at step \d+, first in its term 'intensity'"):
        run(TEACHER, data, tmp_path / 'run', perception=False, **values)
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / 'run').values())


@pytest.mark.parametrize('where', ['before', 'within'])
def test_a_full_disk_stops_in_a_sentence_and_the_run_goes_on(
    tmp_path, data, no_export, monkeypatch, where
):
    values = {'steps': 4, 'evaluate_every': 2, 'perception': False}
    run(TEACHER, data, tmp_path / 'whole', **values)
    calls = []

    def fill(act):
        """Do this twice; then the disk is full."""

        def acting(*args):
            calls.append(args)
            if len(calls) > 2:
                raise OSError(28, 'No space left on device')
            return act(*args)

        return acting

    with monkeypatch.context() as patch:
        if where == 'before':
            patch.setattr(
                run_module, 'free_space', lambda folder: 10**9 if len(rows_of(folder)) < 2 else 0
            )
        else:
            patch.setattr(run_module, 'write_state', fill(run_module.write_state))
        with pytest.raises(UserError, match=r'the disk of .*run is full; .*--resume'):
            run(TEACHER, data, tmp_path / 'run', **values)
    assert step_of(tmp_path / 'run') == 2
    run(TEACHER, data, tmp_path / 'run', resume=True, **values)
    assert_same_run(tmp_path / 'whole', tmp_path / 'run')


def rows_of(folder):
    return rows(folder) if (folder / 'metrics.csv').exists() else []


# Pack


def test_packed_crops_train_and_keep_their_pixels(tmp_path, data, no_export, capsys):
    words = ['data', 'pack', '--data', data, '--out', tmp_path / 'p.zip', '--side', 40]
    assert cli.main([str(word) for word in words]) == 0
    assert 'crops: ' in capsys.readouterr().out
    packed, whole = load_packed(tmp_path / 'p.zip'), load_folders(data)
    assert {pair.stem for pair in packed.train} == {pair.stem for pair in whole.train}
    source = {pair.stem: pair for pair in whole.train}
    for crop in packed.train:
        assert crop.thermal.shape == (40, 40)
        windows = np.lib.stride_tricks.sliding_window_view(source[crop.stem].visible, (40, 40))
        assert (windows == crop.visible).all((2, 3)).any()
    run(TEACHER, tmp_path / 'p.zip', tmp_path / 'run', steps=1, perception=False)
    assert len(rows(tmp_path / 'run')) == 2


def test_pack_keeps_to_its_limit(tmp_path, data):
    facts = pack(data, tmp_path / 'p.zip', 32, limit=40_000)
    assert facts['bytes'] <= 40_000
    with pytest.raises(UserError, match='not even two crops'):
        pack(data, tmp_path / 'q.zip', 32, limit=100)


@pytest.mark.parametrize('content', [b'', b'no archive'])
def test_what_is_no_pack_is_refused(tmp_path, content):
    (tmp_path / 'p.zip').write_bytes(content)
    with pytest.raises(UserError, match='not a file of "data pack"'):
        load_packed(tmp_path / 'p.zip')
    with zipfile.ZipFile(tmp_path / 'q.zip', 'w') as archive:
        archive.writestr('about.txt', '99\nx\n')
    with pytest.raises(UserError, match='it has format 99, this version reads 1'):
        load_packed(tmp_path / 'q.zip')


# Ablation


def test_ablation_trains_scores_and_goes_on(tmp_path, data, no_export):
    for recipe in (TEACHER, STUDENT):
        small = Config.load(CONFIGS / f'{recipe}-cpu.yaml', changes_of(SMALL))
        (tmp_path / f'{recipe}.yaml').write_text(small.to_yaml())
    content = {
        'pairs': 2,
        'all': {'steps': 1, 'mmdrfuse.initial': 'random'},
        'variants': {
            'a': {'label': 'teacher', 'base': TEACHER},
            'b': {'label': 'student', 'base': STUDENT, 'teacher': 'a',
                  'set': {'mmdrfuse.widths': [64]}},
        },
    }  # fmt: skip
    (tmp_path / 'ablate.yaml').write_text(yaml.safe_dump(content))
    calls = []

    def scores(thermal, visible, fused):
        calls.append(fused)
        return {name: float(len(calls)) for name in METRICS}

    out = tmp_path / 'out'
    table = ablate(tmp_path / 'ablate.yaml', data, out, 'auto', scores)
    assert [row['SD'] for row in table.rows] == [1.5, 3.5, 5.5, 7.5, 9.5, 11.5]
    assert [round(row['kilobytes'], 1) for row in table.rows] == [0, 0, 0, 0, 2173.8, 7.0]
    text = (out / 'table.md').read_text()
    assert re.search(r'\| student \| 7.00 \| \d+ \| 11.5000 \|', text)
    before = (out / 'b/last.state').stat().st_mtime
    ablate(tmp_path / 'ablate.yaml', data, out, 'auto', scores)
    assert (out / 'b/last.state').stat().st_mtime == before


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('mmdrfuse.patches', 'mmdrfuse.patchs', r"'mmdrfuse.patchs'; did you mean 'patches'"),
        ('teacher: teacher', 'teacher: nobody', r"needs its teacher 'nobody' above it"),
        ('base: mmdrfuse-teacher-cpu', 'base: none', r'none.yaml cannot be read: No such file'),
        ('variants:', 'variant:', r'is not a list of variants'),
    ],
)
def test_unusable_ablations_are_refused(tmp_path, old, new, message):
    for path in CONFIGS.glob('*.yaml'):
        (tmp_path / path.name).write_text(path.read_text())
    load_plan(tmp_path / 'ablate.yaml')
    changed = (tmp_path / 'ablate.yaml').read_text().replace(old, new)
    (tmp_path / 'ablate.yaml').write_text(changed)
    with pytest.raises(UserError, match=message):
        load_plan(tmp_path / 'ablate.yaml')
