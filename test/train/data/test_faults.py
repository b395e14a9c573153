"""What is wrong with a pair: planted, worded, read from words, and found by measures."""

import json

import numpy as np
import pytest

pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.errors import UserError
from multimodal_fusion.fusers.text import PHRASES, faults_in
from multimodal_fusion.io.pixels import luma
from multimodal_fusion.scene import Scene
from multimodal_fusion.train.data.faults import (
    FAULTS,
    Found,
    drawn,
    present,
    spoil,
    text_of,
)
from multimodal_fusion.train.data.text import (
    Annotation,
    Vectors,
    analyse,
    noise_level,
    read_annotations,
    stripe_level,
)


def number(phrase):
    return PHRASES.index(phrase)


LOW_LIGHT, NOISE = number('low light in the visible image'), number('noise in the thermal image')
STRIPES = number('stripes in the thermal image')


@pytest.fixture(scope='module')
def pair():
    road = Scene(seed=3, freeze_for=0)
    visible = np.clip(road.visible(2.0).astype(np.int32) * 2 + 30, 0, 255).astype(np.uint8)
    return visible, road.thermal(2.0)


@pytest.mark.parametrize('which', range(len(FAULTS)), ids=PHRASES)
def test_each_fault_spoils_its_own_image_and_more_so_when_it_is_stronger(pair, which):
    off = []
    for strength in (0.2, 1.0):
        spoilt = spoil(*pair, [Found(which, strength)], np.random.default_rng(0))
        own = 0 if FAULTS[which].image == 'visible' else 1
        assert np.array_equal(spoilt[1 - own], pair[1 - own])
        assert spoilt[own].dtype == np.uint8 and spoilt[own].shape == pair[own].shape
        off.append(np.abs(spoilt[own].astype(float) - pair[own]).mean())
    assert 0 < off[0] < off[1]


def test_without_faults_nothing_changes_and_draws_repeat(pair):
    same = spoil(*pair, [], np.random.default_rng(0))
    assert all(np.array_equal(a, b) for a, b in zip(same, pair, strict=True))
    once, again = (
        [drawn(np.random.default_rng(seed), 3, 0.2, 1.0) for seed in range(200)] for _ in range(2)
    )
    assert once == again
    counts = [len(found) for found in once]
    assert set(counts) == {0, 1, 2, 3} and 20 < counts.count(0) < 60
    assert all(len({f.number for f in found}) == len(found) for found in once)
    assert all(0.2 <= f.strength <= 1 for found in once for f in found)


def test_words():
    found = [Found(LOW_LIGHT, 0.5), Found(NOISE, 1.0), Found(STRIPES, 0.1)]
    text = text_of(found)
    assert text == 'Visible: low light.\nThermal: noise, stripes.'
    assert np.array_equal(faults_in(text), present(found))
    assert text_of([]) == 'Visible: clean.\nThermal: clean.'
    assert not faults_in(text_of([])).any()


@pytest.mark.parametrize('sigma', [5.0, 15.0, 30.0])
def test_noise_is_measured_within_a_fifth(sigma):
    noise = np.random.default_rng(0).normal(128, sigma, (200, 200))
    assert noise_level(np.clip(noise, 0, 255)) == pytest.approx(sigma, rel=0.2)


def test_stripes_are_told_from_noise():
    random = np.random.default_rng(0)
    striped = 128 + random.normal(0, 10, (1, 200)).repeat(200, 0)
    assert stripe_level(striped) == pytest.approx(10, rel=0.25)
    assert stripe_level(random.normal(128, 10, (200, 200))) < 2


@pytest.mark.parametrize(
    'phrase',
    ['low light in the visible image', 'over-exposure in the visible image',
     'noise in the visible image', 'low contrast in the visible image',
     'noise in the thermal image', 'stripes in the thermal image',
     'dead rows in the thermal image', 'saturation in the thermal image',
     'low contrast in the thermal image'],
)  # fmt: skip
def test_what_was_planted_is_found_and_stronger_when_it_is(pair, phrase):
    which = number(phrase)

    def strength(planted):
        spoilt = spoil(*pair, [Found(which, planted)] * (planted > 0), np.random.default_rng(1))
        return {f.number: f.strength for f in analyse(*spoilt)}.get(which, 0.0)

    assert strength(0) < strength(1.0)
    assert strength(0.3) <= strength(1.0)


def test_grey_visible_images_are_analysed_too(pair):
    dark = (luma(pair[0]) // 8, pair[1])
    assert LOW_LIGHT in [f.number for f in analyse(*dark)]
    assert analyse(*pair) == []


def test_annotations_there_and_back(tmp_path):
    given = Annotation.of('a', [Found(NOISE, 0.5)])
    path = tmp_path / 'a.jsonl'
    path.write_text(given.line() + '\n\n' + Annotation.of('b', []).line() + '\n')
    assert read_annotations(path) == {'a': given, 'b': Annotation.of('b', [])}
    for bad in (
        '{"stem": "a"}',
        'x',
        '[]',
        json.dumps({'stem': 'a', 'text': '', 'degradations': {'rain': 1}}),
    ):
        path.write_text(bad)
        with pytest.raises(UserError, match='line 1: expected a JSON object'):
            read_annotations(path)


def vectors():
    return Vectors('mine', np.eye(len(FAULTS), 16, dtype=np.float32))


def test_vectors_are_the_mean_of_what_is_there(tmp_path):
    vectors().save(tmp_path / 'text.npz')
    found = Vectors.load(tmp_path / 'text.npz')
    assert found.encoder == 'mine' and np.array_equal(found.table, vectors().table)
    both = found.of(np.stack([present([Found(0, 1.0), Found(2, 1.0)]), present([])]))
    assert both[0, :4].tolist() == [0.5, 0, 0.5, 0] and not both[1].any()


def test_files_that_hold_no_vectors(tmp_path):
    path = tmp_path / 'text.npz'
    with pytest.raises(UserError, match=r'do not exist; make it with: .* data embed'):
        Vectors.load(path)
    path.write_bytes(b'x')
    with pytest.raises(UserError, match='holds no embeddings'):
        Vectors.load(path)
    np.savez(path, phrases=['rain'], vectors=np.zeros((1, 4)), encoder='old')
    with pytest.raises(UserError, match=r"has 1 phrases, .* knows 12 \(such as 'low light"):
        Vectors.load(path)


def test_the_words_of_an_encoder_lie_apart():
    """Static vectors of a package: what names one thing in two images is nearer than two things."""
    from multimodal_fusion.train.data.text import embed

    table = embed('wordllama').table
    assert table.shape == (12, 256)
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, atol=1e-5)
    alike = table[number('noise in the visible image')] @ table[NOISE]
    assert alike > table[LOW_LIGHT] @ table[STRIPES]
