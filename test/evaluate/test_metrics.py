"""
Tests of multimodal_fusion.evaluate.metrics.

The independent checks compare with scikit-image, scikit-learn, sewar and with plain float64
forms of the equations written below.  Where no real images are, rendered ones stand in for them.
"""

import math
import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.evaluate.metrics import (
    DEFINITIONS,
    METRICS,
    SourcePair,
    Triple,
    evaluate,
    evaluate_triple,
    metric_names,
)
from multimodal_fusion.evaluate.metrics.structural import box_ssim, gaussian_ssim
from multimodal_fusion.evaluate.metrics.visual_fidelity import fidelity

from ..helpers.data import validation_pairs
from ..helpers.golden import FUSED, A, B

#: SCD without a difference, the others without contrast in the sources they ask about.
MAY_BE_NAN = {'SCD', 'KC', 'KC_thermal', 'KC_visible', 'amplified'}


def picture(seed, height=96, width=128, blur=2.0):
    """Return a random image with smooth regions and the full range of levels, uint8."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), blur)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.rint(255 * smooth).astype(np.uint8)


def noise(seed, height=96, width=128):
    """Return white noise, uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def partly_flat(seed):
    """Return an image with a black, a white and a grey patch, uint8."""
    image = picture(seed)
    image[:40, :50], image[50:, 90:], image[60:90, 10:60] = 0, 255, 77
    return image


def real_pair(stem):
    """Return thermal and visible luma of a real pair, or of a rendered one in its place."""
    folder = validation_pairs()
    if not (folder / 'ir' / f'{stem}.png').is_file():
        stem = f'road_{REAL.index(stem)}'
    paths = folder / 'ir' / f'{stem}.png', folder / 'vis' / f'{stem}.jpg'
    return [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]


REAL = ['msrs_00229D', 'msrs_00690N', 'llvip_030001', 'm3fd_00512']
MADE = {
    'smooth': (picture(1), picture(2)),
    'noise': (noise(3), noise(4)),
    'patches': (partly_flat(5), partly_flat(6)),
    'odd size': (picture(7, 61, 83), noise(8, 61, 83)),
}


@pytest.fixture(params=[*MADE, *REAL])
def sources(request):
    """Return thermal and visible of a made or a real scene."""
    return MADE[request.param] if request.param in MADE else real_pair(request.param)


@pytest.fixture
def scene(sources):
    """Return a fused image that is neither of the sources, as a Triple."""
    thermal, visible = sources
    fused = cv2.addWeighted(np.maximum(thermal, visible), 0.7, cv2.blur(visible, (5, 5)), 0.3, 4)
    return Triple(SourcePair(thermal, visible), fused)


@pytest.fixture(autouse=True)
def warnings_are_errors():
    """Fail on any warning and any bad floating-point operation."""
    with warnings.catch_warnings(), np.errstate(divide='raise', invalid='raise', over='raise'):
        warnings.simplefilter('error')
        yield


# Independent implementations


def plain_edges(image):
    """Return Sobel magnitude and angle of Qabf, written out in float64."""
    padded = np.pad(image.astype(float), 1)
    rows, columns = image.shape

    def at(down, right):
        return padded[1 + down : 1 + down + rows, 1 + right : 1 + right + columns]

    # Convolution turns the kernels [-1 0 1; -2 0 2; -1 0 1] and [1 2 1; 0 0 0; -1 -2 -1] round.
    x = sum(weight * (at(d, -1) - at(d, 1)) for d, weight in ((-1, 1), (0, 2), (1, 1)))
    y = sum(weight * (at(1, d) - at(-1, d)) for d, weight in ((-1, 1), (0, 2), (1, 1)))
    angle = np.where(x == 0, np.pi / 2, np.arctan(y / np.where(x == 0, 1, x)))
    return np.sqrt(x * x + y * y), angle


def plain_kept(source, fused):
    """Return the map Q^XF, written out in float64."""
    (strength, angle), (fused_strength, fused_angle) = source, fused
    high = np.maximum(strength, fused_strength)
    share = np.minimum(strength, fused_strength) / np.where(high == 0, 1, high)
    share = np.where(strength == fused_strength, fused_strength, share)
    alike = 1 - np.abs(angle - fused_angle) / (np.pi / 2)
    return 0.9994 / (1 + np.exp(-15 * (share - 0.5))) * 0.9879 / (1 + np.exp(-22 * (alike - 0.8)))


def test_edge_metrics_match_the_equations(scene):
    """Qabf and Nabf in float32 agree with the float64 equations to 1e-6."""
    a, b, f = (plain_edges(plane.image) for plane in (scene.a, scene.b, scene.f))
    kept_a, kept_b = plain_kept(a, f), plain_kept(b, f)
    weight = (a[0] + b[0]).sum()
    added = (f[0] > a[0]) & (f[0] > b[0])
    values = evaluate(scene, metrics=['Qabf', 'Nabf'])
    assert values['Qabf'] == pytest.approx((kept_a * a[0] + kept_b * b[0]).sum() / weight, rel=1e-6)
    lost = ((1 - kept_a) * a[0] + (1 - kept_b) * b[0])[added].sum() / weight
    assert values['Nabf'] == pytest.approx(lost, rel=1e-6, abs=1e-9)


def test_statistics_match_the_equations(scene):
    """The metrics from whole-number sums agree with NumPy's float64 forms."""
    a, b, f = (plane.image.astype(float) for plane in (scene.a, scene.b, scene.f))

    def corr(x, y):
        return np.corrcoef(x.ravel(), y.ravel())[0, 1]

    error = (np.mean((a - f) ** 2) + np.mean((b - f) ** 2)) / 2
    down, right = np.gradient(f)
    wanted = {
        'SD': f.std(),
        'CC': (corr(a, f) + corr(b, f)) / 2,
        'SCD': corr(f - b, a) + corr(f - a, b),
        'MSE': error,
        'RMSE': math.sqrt(error),
        'PSNR': 10 * math.log10(255**2 / error),
        'AG': np.sqrt((down**2 + right**2) / 2).mean(),
        'SF': math.sqrt(np.mean(np.diff(f, axis=0) ** 2) + np.mean(np.diff(f, axis=1) ** 2)),
    }
    assert evaluate(scene, metrics=wanted) == pytest.approx(wanted, rel=1e-9)


def test_ssim_matches_scikit_image(scene):
    """Each of the three forms of SSIM agrees with scikit-image to 1e-6, for each source."""
    ssim = pytest.importorskip('skimage.metrics').structural_similarity
    gauss = {'gaussian_weights': True, 'sigma': 1.5, 'use_sample_covariance': False}
    for pair in (scene.af, scene.bf):
        first, second = pair.first.image.astype(float), pair.second.image.astype(float)
        values = box_ssim(pair)
        for data_range in (255, 2):
            wanted = ssim(first, second, data_range=data_range)
            assert values[data_range] == pytest.approx(wanted, rel=1e-6, abs=1e-9)
        wanted = ssim(first, second, data_range=255, **gauss)
        assert gaussian_ssim(pair) == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_vif_matches_sewar(scene):
    """VIFp agrees with sewar to 1e-6, for each source."""
    vifp = pytest.importorskip('sewar.full_ref').vifp
    for pair in (scene.af, scene.bf):
        wanted = vifp(pair.first.image, pair.second.image)
        assert fidelity(pair) == pytest.approx(wanted, rel=1e-6)


def test_mi_matches_scikit_learn(scene):
    """MI agrees with scikit-learn's mutual_info_score to 1e-6."""
    score = pytest.importorskip('sklearn.metrics').mutual_info_score
    fused = scene.f.image.ravel()
    wanted = sum(score(source.image.ravel(), fused) for source in (scene.a, scene.b))
    assert evaluate(scene, metrics='MI')['MI'] == pytest.approx(wanted, rel=1e-6)


def test_fmi_matches_scikit_learn(scene):
    """FMI is the mutual information of Sobel magnitudes / 4 over the sum of entropies."""
    sklearn = pytest.importorskip('sklearn.metrics')

    def feature(plane):
        padded = cv2.copyMakeBorder(plane.image, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
        x, y = (cv2.Sobel(padded, cv2.CV_64F, dx, 1 - dx)[1:-1, 1:-1] for dx in (1, 0))
        return np.minimum(np.floor(np.hypot(x, y) / 4), 255).ravel()

    fused = feature(scene.f)
    own = sklearn.mutual_info_score(fused, fused)
    wanted = 0.0
    for source in map(feature, (scene.a, scene.b)):
        entropies = sklearn.mutual_info_score(source, source) + own
        wanted += sklearn.mutual_info_score(source, fused) / entropies
    assert evaluate(scene, metrics='FMI')['FMI'] == pytest.approx(wanted, rel=1e-6)


def test_stretched_levels_leave_vifbs_mi_alone():
    """VIFB stretches images before MI, which ours need not do."""
    thermal = picture(1) // 3 + 40
    stretched = np.rint((thermal - 40.0) / (int(thermal.max()) - 40) * 255).astype(np.uint8)
    visible, fused = picture(2), picture(3)
    plain = evaluate_triple(thermal, visible, fused, 'vifb', ['MI'])['MI']
    assert evaluate_triple(stretched, visible, fused, 'vifb', ['MI'])['MI'] == pytest.approx(plain)


# Properties


@settings(max_examples=30, deadline=None)
@given(
    st.integers(2, 60),
    st.integers(2, 60),
    st.lists(st.sampled_from(['flat', 'two levels', 'noise', 'smooth']), min_size=3, max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_values_are_in_range(height, width, kinds, seed):
    """Any images at all give finite values in the documented range; MAY_BE_NAN apart."""
    chance = np.random.default_rng(seed)
    makers = {
        'flat': lambda: np.full((height, width), chance.choice([0, 3, 255]), np.uint8),
        'two levels': lambda: chance.choice(np.array([0, 255], np.uint8), (height, width)),
        'noise': lambda: chance.integers(0, 256, (height, width), dtype=np.uint8),
        'smooth': lambda: picture(seed, height, width),
    }
    images = Triple(
        SourcePair(makers[kinds[0]](), makers[kinds[1]]()),
        makers[kinds[2]](),
    )
    top = {'EN': 8, 'SD': 127.5, 'SF': 361, 'AG': 255, 'EI': 1141, 'MI': 11.1, 'FMI': 1, 'CC': 1}
    top.update({'SCD': 2, 'Qabf': 1, 'Nabf': 1, 'SSIM': 2, 'SSIM_r2': 2, 'MSE': 65025, 'RMSE': 255})
    top.update(dict.fromkeys(('KC', 'KC_thermal', 'KC_visible', 'amplified', 'saturated'), 1))
    signed = {'CC', 'SCD', 'SSIM', 'SSIM_r2', 'CE', 'saturated'}
    for definition in DEFINITIONS:
        values = evaluate(images, definition, metric_names(definition, (height, width)))
        for name, value in values.items():
            if name in MAY_BE_NAN and math.isnan(value):
                continue
            assert math.isfinite(value), (definition, name)
            if definition == 'ours':
                assert value <= top.get(name, math.inf) + 1e-9, name
                assert value >= (-top.get(name, math.inf) if name in signed else 0) - 1e-9, name


def test_sources_may_be_swapped(scene):
    """No metric cares which source is the thermal one, but those that name one: they change."""
    swapped = Triple(SourcePair(scene.b.image, scene.a.image), scene.f.image)
    for definition in DEFINITIONS:
        values = evaluate(scene, definition)
        if definition == 'ours':
            halves = values['KC_visible'], values['KC_thermal']
            values['KC_thermal'], values['KC_visible'] = halves
        assert evaluate(swapped, definition) == pytest.approx(values, rel=1e-9, nan_ok=True)


def test_shared_work_does_not_depend_on_the_order(scene):
    """One metric at a time, all at once, and a reused SourcePair give the same values."""
    thermal, visible, fused = (plane.image for plane in (scene.a, scene.b, scene.f))
    reused = SourcePair(thermal, visible)
    for other in (thermal, visible):
        evaluate(Triple(reused, other))
    for definition in DEFINITIONS:
        whole = evaluate(Triple(reused, fused), definition)
        for name in reversed(metric_names(definition)):
            alone = evaluate_triple(thermal, visible, fused, definition, [name])
            assert alone == {name: whole[name]}


def test_images_are_copied():
    """Writing to an image afterwards changes no value."""
    thermal, visible, fused = (image.copy() for image in (A, B, FUSED['average']))
    images = Triple(SourcePair(thermal, visible), fused)
    for image in (thermal, visible, fused):
        image[:] = 0
    assert evaluate(images) == evaluate_triple(A, B, FUSED['average'])


def test_views_are_read_right():
    """Cut-outs, flipped and transposed arrays are measured as what they show."""
    for view in (
        lambda image: image[3:60, 5:62],
        lambda image: image[:, ::-1],
        lambda image: image.T,
    ):
        images = [view(image) for image in (A, B, FUSED['average'])]
        copies = [np.ascontiguousarray(image) for image in images]
        assert evaluate_triple(*images) == evaluate_triple(*copies)


# Degenerate images


@pytest.mark.parametrize('level', [0, 128, 255])
def test_flat_images_have_values(level):
    """Three equal flat images: nothing to tell, nothing lost."""
    flat = np.full((48, 64), level, np.uint8)
    values = evaluate_triple(flat, flat, flat)
    for name in ('EN', 'SD', 'SF', 'AG', 'EI', 'MI', 'FMI', 'CE', 'CC', 'Nabf', 'MSE', 'RMSE'):
        assert values[name] == 0, name
    assert values['VIF'] == values['SSIM'] == values['SSIM_r2'] == 2
    assert {name for name, value in values.items() if math.isnan(value)} == MAY_BE_NAN
    assert values['saturated'] == 0
    assert values['PSNR'] == pytest.approx(10 * math.log10(255**2 * 4 * flat.size))
    assert math.copysign(1, values['EN']) == 1


@pytest.mark.parametrize('definition', list(DEFINITIONS))
def test_few_metrics_may_be_nan(definition):
    """Every mix of black, white, grey and ordinary images gives numbers, MAY_BE_NAN apart."""
    kinds = [np.full((48, 64), level, np.uint8) for level in (0, 77, 255)]
    kinds.append(np.where(picture(1, 48, 64) > 128, 255, 0).astype(np.uint8))
    kinds.append(picture(2, 48, 64))
    for thermal in kinds:
        for visible in kinds:
            sources = SourcePair(thermal, visible)
            for fused in kinds:
                values = evaluate(Triple(sources, fused), definition)
                without = {name for name, value in values.items() if not math.isfinite(value)}
                assert without <= MAY_BE_NAN
                if 'SCD' in without:
                    difference = [np.subtract(fused, x, dtype=int) for x in (thermal, visible)]
                    assert min(np.ptp(step) for step in difference) == 0


def test_scd_of_a_flat_source():
    """A flat source makes its own term 0; it is NaN only where a difference is constant."""
    flat = np.full((48, 64), 90, np.uint8)
    visible, fused = picture(1, 48, 64), picture(2, 48, 64)
    value = evaluate_triple(flat, visible, fused, metrics=['SCD'])['SCD']
    assert value == pytest.approx(np.corrcoef((fused - 90.0).ravel(), visible.ravel())[0, 1])
    assert math.isnan(evaluate_triple(flat, visible, visible // 2 * 0 + 9, metrics='SCD')['SCD'])


def test_psnr_of_a_perfect_copy_is_finite_and_best():
    """No error at all beats the least error there can be, and stays finite."""
    near = A.copy()
    near[0, 0] += 1
    for definition in DEFINITIONS:
        same, other = (
            evaluate_triple(A, A, fused, definition, ['PSNR'])['PSNR'] for fused in (A, near)
        )
        assert math.isfinite(same)
        assert same > other
    assert evaluate_triple(A * 0, A * 0, A * 0, 'cddfuse', ['PSNR'])['PSNR'] > 0


def test_small_images():
    """Below the size a metric needs there is an error; all others have a value."""
    small = (slice(0, 16), slice(0, 16))
    names = metric_names('ours', (16, 16))
    assert set(METRICS) - set(names) == {'VIF'}
    values = evaluate_triple(A[small], B[small], FUSED['max'][small], metrics=names)
    assert all(math.isfinite(value) for value in values.values())
    with pytest.raises(ValueError, match='VIF: expected images of at least 41x41 pixels, got 16x1'):
        evaluate_triple(A[small], B[small], FUSED['max'][small])
    with pytest.raises(ValueError, match='SSIM: expected images of at least 11x11 pixels, got 64x'):
        evaluate_triple(A[:, :10], B[:, :10], A[:, :10], metrics=['SSIM'])
    edge = (slice(0, 41), slice(0, 41))
    assert evaluate_triple(A[edge], B[edge], A[edge], metrics=['VIF'])['VIF'] > 1


# Bad input

BAD = {
    'float': (A.astype(float), 'fused: expected an 8-bit grey image .* got float64; bring it to'),
    'nan': (np.full((64, 64), np.nan), 'fused: expected .* got float64'),
    '16 bit': (A.astype(np.uint16), 'fused: expected .* got uint16'),
    'bool': (A > 3, 'fused: expected .* got bool'),
    'colour': (np.dstack([A] * 3), r'fused: expected .* got shape \(64, 64, 3\); take the luma'),
    'none': (None, 'fused: expected .* got NoneType; read it'),
    'list': (A.tolist(), 'fused: expected .* got list'),
    'empty': (A[:0], 'fused: expected .* got only 0x64 pixels'),
    'one row': (A[:1], 'fused: expected .* got only 1x64 pixels'),
    'size': (A[:, 1:], r'fused and thermal: .* got \(64, 63\) and \(64, 64\); register and resize'),
}


@pytest.mark.parametrize('kind', list(BAD))
def test_bad_images(kind):
    """A bad image is named, with what was expected and what to do."""
    image, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        evaluate_triple(A, B, image)
    with pytest.raises(ValueError, match='thermal'):
        evaluate_triple(image, B, A)
    with pytest.raises(ValueError, match='visible'):
        evaluate_triple(A, image, A)


def test_unknown_names():
    """Unknown definitions and metrics are refused with those there are."""
    with pytest.raises(ValueError, match="expected one of ours, cddfuse, vifb, got 'theirs'"):
        evaluate_triple(A, B, A, 'theirs')
    with pytest.raises(ValueError, match=r"definition 'vifb' has \(EN, .*\), got 'SCD'"):
        evaluate_triple(A, B, A, 'vifb', ['EN', 'SCD'])
    with pytest.raises(ValueError, match=r"'cddfuse' has .*SSIM_r2.*got 'SSIM'"):
        evaluate_triple(A, B, A, 'cddfuse', ['SSIM'])
