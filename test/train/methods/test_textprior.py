"""The text prior's losses, its run from teacher to student, and what it refuses."""

import json

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from safetensors.torch import load_file

from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.fuser import Fuser
from multimodal_fusion.fusers.text import PHRASES
from multimodal_fusion.networks.textprior import TextPrior
from multimodal_fusion.train.ablate import ablate
from multimodal_fusion.train.config import Config
from multimodal_fusion.train.data.faults import FAULTS, Found, present
from multimodal_fusion.train.data.pairs import ImagePair, load_folders
from multimodal_fusion.train.data.spoilt import Spoiler, own_faults
from multimodal_fusion.train.data.text import Annotation, Vectors
from multimodal_fusion.train.losses import textprior as losses
from multimodal_fusion.train.methods import textprior
from multimodal_fusion.train.run import Checkpoint

from ...helpers.runs import CONFIGS, changes_of, train_with, write_pairs

torch.set_num_threads(1)
SMALL = {
    'steps': 4, 'batch': 2, 'evaluate_every': 2, 'samples': 1, 'optimiser.warm_up': 1,
    'textprior.width': 8, 'textprior.patch': 32, 'textprior.validation_pairs': 2, 'without': '',
}  # fmt: skip


def test_the_terms_by_hand():
    """Flat images: V red (1, 0, 0), luma 0.299; T 0.5; F grey 0.4. intensity |0.4 - 0.5|; no
    gradient; SSIM of flat images is (2ab + c1) / (a^2 + b^2 + c1), c1 = 1e-4; Cb and Cr of V are
    -0.168736 and 0.5, of F 0."""
    visible = torch.zeros(2, 3, 16, 16)
    visible[:, 0] = 1
    thermal, fused = torch.full((2, 1, 16, 16), 0.5), torch.full((2, 3, 16, 16), 0.4)
    found = losses.terms(fused, visible, thermal, torch.tensor([1.0, 0.0]))

    def similarity(a, b):
        return (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)

    of_visible, of_thermal = 1 - similarity(0.4, 0.299), 1 - similarity(0.4, 0.5)
    assert found['intensity'].tolist() == pytest.approx([0.1, 0.1], abs=1e-6)
    assert found['ssim'].tolist() == pytest.approx([of_visible + of_thermal, of_visible], abs=1e-4)
    assert found['gradient'].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert found['color'].tolist() == pytest.approx([(0.168736 + 0.5) / 2] * 2, abs=1e-5)


def test_the_text_switches_the_weights():
    config = Config.load(CONFIGS / 'textprior-teacher.yaml')
    factors, thermal = textprior.switched(config.section.switch)
    noise = PHRASES.index('noise in the thermal image')
    assert factors.shape == (len(FAULTS), 4) and thermal.shape == (len(FAULTS),)
    assert factors[noise].tolist() == [1, 1.5, 0.5, 1] and thermal[noise] == 1
    assert thermal[PHRASES.index('haze in the visible image')] == 1.5


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp('data') / 'tiny')


@pytest.fixture(scope='module')
def embeddings(tmp_path_factory):
    path = tmp_path_factory.mktemp('text') / 'text.npz'
    Vectors('mine', np.eye(len(FAULTS), 16, dtype=np.float32)).save(path)
    return str(path)


@pytest.fixture(scope='module')
def taught(data, embeddings, tmp_path_factory):
    """A finished teacher."""
    out = tmp_path_factory.mktemp('runs') / 'teacher'
    with pytest.MonkeyPatch.context() as patch:  # exporting it takes longer than training it
        patch.setattr(textprior.TextPriorMethod, 'export', lambda *_: None)
        train_with(
            'textprior-teacher-cpu', data, out, {**SMALL, 'textprior.embeddings': embeddings}
        )
    return out


def test_a_teacher_is_told_texts(taught):
    network = Checkpoint.load(taught).network
    assert isinstance(network, TextPrior) and network.texts == 16
    assert network.modulate[0].weight.abs().sum() > 0  # it has learnt something from them
    assert (taught / 'samples/0000004.png').stat().st_size


@pytest.mark.slow
def test_the_student_learns_from_it_and_its_model_file_fuses(data, embeddings, taught, tmp_path):
    values = {**SMALL, 'textprior.embeddings': embeddings, 'textprior.teacher': str(taught)}
    last = train_with('textprior-student-cpu', data, tmp_path / 'run', values)
    assert last['step'] == 4
    rows = (tmp_path / 'run/metrics.csv').read_text().splitlines()
    assert 'train_features' in rows[0] and 'train_result' in rows[0]
    network = Checkpoint.load(tmp_path / 'run').network.eval()
    assert network.texts == 0
    weights = load_file(tmp_path / 'run/last.safetensors')
    assert not any('reduce' in name or 'teacher' in name for name in weights)
    fuser = Fuser.load(str(tmp_path / 'run/model.onnx'), allow_unlisted=True)
    assert fuser.kind == 'colour'
    random = np.random.default_rng(0)
    for height, width in ((40, 70), (64, 64)):
        visible = random.integers(0, 256, (height, width, 3), np.uint8)
        thermal = random.integers(0, 256, (height, width), np.uint8)
        with torch.no_grad():
            rgb = np.ascontiguousarray(visible[..., ::-1])
            expected = network(
                torch.from_numpy(thermal)[None, None] / 255,
                torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255,
            )
        pixels = (expected[0].clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()[..., ::-1]
        assert np.abs(fuser.fuse(visible, thermal) - pixels).max() <= 1


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({}, 'the student learns from a teacher: give the run folder'),
        ({'textprior.teacher': '{taught}'}, 'is told texts of 16 numbers: give the embeddings'),
        (
            {'textprior.teacher': '{taught}', 'textprior.embeddings': '{other}'},
            r'\(other, 4 numbers\) does not hold the vectors that the teacher .* \(16 numbers\)',
        ),
        (
            {'textprior.teacher': '{taught}', 'textprior.embeddings': '{alike}'},
            r'\(alike, 16 numbers\) does not hold the vectors that the teacher',
        ),
        (
            {'textprior.teacher': '{taught}', 'textprior.embeddings': 'nothing.npz'},
            'the embeddings nothing.npz do not exist; make it with',
        ),
    ],
)
def test_students_that_are_refused(changes, text, data, taught, tmp_path):
    other, alike = tmp_path / 'other.npz', tmp_path / 'alike.npz'
    Vectors('other', np.eye(len(FAULTS), 4, dtype=np.float32)).save(other)
    Vectors('alike', np.eye(len(FAULTS), 16, 1, dtype=np.float32)).save(alike)
    paths = {'taught': taught, 'other': other, 'alike': alike}
    changes = {name: value.format(**paths) for name, value in changes.items()}
    with pytest.raises(UserError, match=text):
        train_with('textprior-student-cpu', data, tmp_path / 'run', {**SMALL, **changes})


@pytest.mark.parametrize(
    ('change', 'text'),
    [
        ('switch={rain: {ssim: 2}}', "switch names 'rain', which is no fault; they are low light"),
        (
            'switch={blur in the thermal image: {sharp: 2}}',
            "has 'sharp'; it can have intensity, ssim, gradient, color, thermal",
        ),
        ('width=12', 'width must be a multiple of 8'),
        ('blocks=[1, 1]', 'blocks List should have at least 4 items'),
        ('faults=-1', 'faults must be greater than or equal to 0'),
    ],
)
def test_configurations_that_are_refused(change, text):
    with pytest.raises(UserError, match=text):
        config = Config.load(CONFIGS / 'textprior-teacher-cpu.yaml', [f'textprior.{change}'])
        textprior.switched(config.section.switch)


def test_a_student_without_distillation_needs_no_teacher(data, tmp_path):
    """The base row of the paper's table VI."""
    alone = {f'textprior.distil.{name}': 0.0 for name in ('features', 'result')}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(textprior.TextPriorMethod, 'export', lambda *_: None)
        train_with('textprior-student-quick', data, tmp_path / 'run', {**SMALL, **alone})
    assert Checkpoint.load(tmp_path / 'run').network.texts == 0


def test_own_faults_are_named_and_not_planted_again(embeddings):
    """A pair with stripes of its own: low light is planted on it, more stripes are not."""
    stripes = PHRASES.index('stripes in the thermal image')
    dark = PHRASES.index('low light in the visible image')
    pair = ImagePair('a', np.full((16, 16), 90, np.uint8), np.full((16, 16, 3), 90, np.uint8))
    own = {'a': present([Found(stripes, 1.0)])}
    spoiler = Spoiler(2, 0.2, 1.0, Vectors.load(embeddings), own)
    found = [Found(stripes, 1.0), Found(dark, 1.0)]
    batch = spoiler.batch([pair], [found], np.random.default_rng(0))
    assert torch.equal(batch.thermal, batch.clean_thermal)
    assert batch.visible.mean() < 0.5 * batch.clean_visible.mean()
    assert batch.faults.nonzero()[:, 1].tolist() == sorted((stripes, dark))
    assert batch.text[0, [stripes, dark]].tolist() == [0.5, 0.5]


def test_annotations_that_lack_pairs_are_refused(data, tmp_path):
    path = tmp_path / 'some.jsonl'
    stems = sorted(p.stem for p in (data / 'train/vis').iterdir())
    path.write_text(Annotation.of(stems[0], []).line())
    changes = {**SMALL, 'textprior.annotations': [str(path)]}
    with pytest.raises(UserError, match=r'some.jsonl lack \d+ of \d+ pairs \(.*\); annotate each'):
        train_with('textprior-teacher-quick', data, tmp_path / 'run', changes)
    assert own_faults([str(path)], stems[:1])[stems[0]].sum() == 0


def test_ablation_scores_spoilt_pairs_beside_the_clean_ones(data, embeddings, tmp_path):
    """A told and an untold teacher; ``max`` gets the spoilt pair, the scores the clean one."""
    (tmp_path / 'small.yaml').write_text(
        Config.load(CONFIGS / 'textprior-teacher-quick.yaml', changes_of(SMALL)).to_yaml()
    )
    content = {
        'pairs': 3,
        'metrics': ['EN'],
        'all': {'steps': 1},
        'variants': {
            'told': {'label': 'told', 'base': 'small'},
            'untold': {'label': 'untold', 'base': 'small', 'set': {'textprior.embeddings': ''}},
        },
    }
    (tmp_path / 'ablate.yaml').write_text(json.dumps(content))
    clean, spoilt = [pair.thermal for pair in load_folders(data).validation], []

    def scores(thermal, visible, fused):
        assert any(np.array_equal(thermal, image) for image in clean)
        spoilt.append((fused.astype(int) - np.maximum(thermal, visible)).any())
        return {'EN': 1.0}

    changes = [f'embeddings={embeddings}']
    table = ablate(tmp_path / 'ablate.yaml', data, tmp_path / 'out', 'none', scores, changes)
    assert spoilt[:3] == [False, True, True]  # the first of four is as it is
    assert [row['variant'] for row in table.rows[-2:]] == ['told', 'untold']
    assert 'overshoot' not in table.rows[0] and 'overshoot' not in table.markdown()
    networks = [Checkpoint.load(tmp_path / 'out' / name).network for name in ('told', 'untold')]
    assert [network.texts for network in networks] == [16, 0]
