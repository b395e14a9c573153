"""The pyramid computes what its equations say, has no halos, and takes any size."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='networks need the train extra')

from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.networks.pyramid import MMDRFusePyramid, median, pooled, spread

from .test_networks import images


def at(image, row, column):
    """A pixel, the edge repeated."""
    height, width = image.shape
    return image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]


def plain_median(image, apart):
    height, width = image.shape
    return np.array([[np.median([at(image, y + apart * i, x + apart * j)
                                 for i in (-1, 0, 1) for j in (-1, 0, 1)])
                      for x in range(width)] for y in range(height)])  # fmt: skip


def plain_pooled(image):
    height, width = (-(-side // 4) for side in image.shape)
    blocks = np.array([[np.mean([at(image, 4 * y + i, 4 * x + j)
                                 for i in range(4) for j in range(4)])
                        for x in range(width)] for y in range(height)])  # fmt: skip
    taps = (1, 2, 1)
    return np.array([[sum(taps[i] * taps[j] * at(blocks, y + i - 1, x + j - 1)
                          for i in range(3) for j in range(3)) / 16
                      for x in range(width)] for y in range(height)])  # fmt: skip


def plain_spread(blocks, shape):
    """Pixel n lies at (n + 0.5) / 4 - 0.5 between the blocks."""

    def around(n):
        place = (n + 0.5) / 4 - 0.5
        first = int(np.floor(place))
        return [(first, first + 1 - place), (first + 1, place - first)]

    return np.array([[sum(a * b * at(blocks, i, j)
                          for i, a in around(y) for j, b in around(x))
                      for x in range(shape[1])] for y in range(shape[0])])  # fmt: skip


@pytest.mark.parametrize('shape', [(8, 8), (7, 10), (5, 6), (2, 3)])
@pytest.mark.parametrize('apart', [1, 2, 8])
def test_medians(shape, apart):
    image = np.random.default_rng(0).random(shape)
    found = median(torch.from_numpy(image)[None, None], apart)[0, 0]
    np.testing.assert_array_equal(found, plain_median(image, apart))


@pytest.mark.parametrize('shape', [(8, 8), (7, 10), (5, 6), (2, 3)])
def test_local_means_and_the_way_back(shape):
    image = np.random.default_rng(0).random(shape)
    tensor = torch.from_numpy(image)[None, None]
    found = pooled(tensor)
    np.testing.assert_allclose(found[0, 0], plain_pooled(image), atol=1e-12)
    expected = plain_spread(plain_pooled(image), shape)
    np.testing.assert_allclose(spread(found, tensor)[0, 0], expected, atol=1e-12)


@pytest.mark.parametrize('shape', [(9, 14), (8, 11)])
def test_the_equations(shape):
    """Two levels, as the docstring has them."""
    torch.manual_seed(0)
    network = MMDRFusePyramid(levels=2).start_at_shares(0.3).double()
    sources = [image.double() for image in images(*shape)]
    w = {name: value.numpy() for name, value in network.state_dict().items()}
    t, v = (image[0, 0].numpy() for image in sources)
    m = [(t, v)]
    for k in range(2):
        m.append(tuple(plain_median(image, 2**k) for image in m[-1]))
    top, low = np.maximum(*m[2]), np.minimum(*m[2])
    fused = top.copy()
    for k in range(2):
        d = [m[k][s] - m[k + 1][s] for s in range(2)]
        e = [plain_pooled(x**2) for x in (*d, d[0] + d[1])]
        most, floor = np.maximum(e[0], e[1]), (0.5 / 255) ** 2
        x = np.stack([(e[0] + floor) / (most + floor), (e[1] + floor) / (most + floor),
                      e[2] / (4 * most + floor), most / (most + (8 / 255) ** 2),
                      plain_pooled(top)])  # fmt: skip
        h = np.einsum('ci,ihw->chw', w['enter.weight'][:, :, 0, 0], x) + w[f'level.{k}']
        g = np.einsum('oc,chw->ohw', w['leave.weight'][:, :, 0, 0], np.maximum(h, 0))
        g = [plain_spread(gain, shape) for gain in g + w['leave.bias'][:, None, None]]
        fused += g[0] * d[0] + g[1] * d[1] - g[2] * (top - low)
    mean = [plain_pooled(x) for x in (t, v, fused)]
    s = [
        np.sqrt(np.maximum(plain_pooled(x**2) - average**2, 1e-8))
        for x, average in zip((t, v, fused), mean, strict=True)
    ]
    still = 2 / 255
    share = np.minimum(1, (w['limit'] * np.maximum(s[0], s[1]) + still) / (s[2] + still))
    mean, share = (plain_spread(x, shape) for x in (mean[2], share))
    with torch.no_grad():
        found = network(*sources)[0, 0].numpy()
    np.testing.assert_allclose(found, mean + share * (fused - mean), atol=1e-12)


def test_it_has_100_parameters():
    assert sum(p.numel() for p in MMDRFusePyramid().parameters()) == 100


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(2, 50), width=st.integers(2, 50), levels=st.integers(1, 4),
    grey=st.floats(0, 1),
)  # fmt: skip
def test_any_size_and_what_is_flat_stays_flat(height, width, levels, grey):
    torch.manual_seed(0)
    network = MMDRFusePyramid(levels).start_at_shares(0.3)
    flat = torch.full((1, 1, height, width), grey)
    with torch.no_grad():
        assert network(*images(height, width)).shape == flat.shape
        torch.testing.assert_close(network(flat, flat), flat, atol=1e-5, rtol=0)


@pytest.mark.parametrize('level', [0.1, 0.5, 0.9])
def test_a_step_edge_is_no_detail(level):
    """Medians leave straight edges as they are: the start gives the maximum, without a halo."""
    step = torch.full((1, 1, 32, 64), 0.2)
    step[..., 32:] = 0.8
    flat = torch.full_like(step, level)
    with torch.no_grad():
        for pair in ((step, flat), (flat, step)):
            fused = MMDRFusePyramid().start_at_shares()(*pair)
            torch.testing.assert_close(fused, torch.maximum(*pair), atol=1e-5, rtol=0)


def test_strokes_under_a_brighter_image_are_kept_and_not_amplified():
    """Strokes of 2 pixels, 0.2 to 0.4, in one source below a flat brighter other one."""
    visible = torch.full((1, 1, 48, 48), 0.2)
    for left in range(8, 40, 8):
        visible[..., 8:40, left : left + 2] = 0.4
    thermal = torch.full_like(visible, 0.7)
    with torch.no_grad():
        fused = MMDRFusePyramid().start_at_shares()(thermal, visible)
    change = fused[..., 16:32, 12:36] - fused[..., 16:32, 12:36].min()
    assert change.max() == pytest.approx(0.2, abs=0.03)
    assert fused.min() > 0.6
