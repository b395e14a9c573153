"""The pyramid computes what its equations say, begins at the maximum, and takes any size."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='networks need the train extra')

from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.networks.pyramid import MMDRFusePyramid, down, up

from .test_networks import images


def at(image, row, column):
    """A pixel, the edge repeated."""
    height, width = image.shape
    return image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]


def plain_down(image):
    taps = np.array([1, 4, 6, 4, 1]) / 16
    height, width = ((side + 1) // 2 for side in image.shape)
    return np.array([[sum(taps[i] * taps[j] * at(image, 2 * y - 2 + i, 2 * x - 2 + j)
                          for i in range(5) for j in range(5))
                      for x in range(width)] for y in range(height)])  # fmt: skip


def plain_up(image, shape):
    def neighbours(n):
        """(index, weight) of the coarser pixels around a finer one."""
        if n % 2:
            return [(n // 2, 1 / 2), (n // 2 + 1, 1 / 2)]
        return [(n // 2 - 1, 1 / 8), (n // 2, 6 / 8), (n // 2 + 1, 1 / 8)]

    return np.array([[sum(a * b * at(image, i, j)
                          for i, a in neighbours(y) for j, b in neighbours(x))
                      for x in range(shape[1])] for y in range(shape[0])])  # fmt: skip


@pytest.mark.parametrize('shape', [(8, 8), (7, 10), (5, 5), (2, 3)])
def test_the_steps_of_the_pyramid(shape):
    image = np.random.default_rng(0).random(shape)
    coarse = plain_down(image)
    tensor = torch.from_numpy(image)[None, None]
    found = down(tensor)
    np.testing.assert_allclose(found[0, 0], coarse, atol=1e-12)
    np.testing.assert_allclose(up(found, tensor)[0, 0], plain_up(coarse, shape), atol=1e-12)


def test_what_is_flat_stays_flat():
    flat = torch.full((1, 2, 11, 14), 0.3)
    assert torch.allclose(up(down(flat), flat), flat)


def convolved(channels, weight, bias):
    """3x3 or 1x1 correlation, the edge repeated: (C, H, W) to (D, H, W)."""
    reach = weight.shape[2] // 2
    padded = np.pad(channels, ((0, 0), (reach,) * 2, (reach,) * 2), mode='edge')
    height, width = channels.shape[1:]
    out = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            window = padded[:, i : i + height, j : j + width]
            out += np.einsum('dc,chw->dhw', weight[:, :, i, j], window)
    return out


@pytest.mark.parametrize('shape', [(9, 12), (8, 7)])
def test_the_equations(shape):
    """One level, so that base and band are each there once."""
    torch.manual_seed(0)
    network = MMDRFusePyramid(levels=1).double()
    sources = [image.double() for image in images(*shape)]
    w = {name: value.numpy() for name, value in network.state_dict().items()}
    pair = np.stack([image[0, 0].numpy() for image in sources])
    coarse = np.stack([plain_down(image) for image in pair])
    base = network.base(*(torch.from_numpy(c)[None, None] for c in coarse))[0, 0].detach().numpy()
    u = plain_up(base, shape)
    d = pair - np.stack([plain_up(image, shape) for image in coarse])
    h = convolved(d, w['detail1.weight'], w['detail1.bias'])
    h += convolved(pair - u, w['local.weight'], np.zeros(len(h)))
    expected = u + convolved(np.maximum(h, 0), w['detail2.weight'], w['detail2.bias'])[0]
    with torch.no_grad():
        found = network(*sources)[0, 0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_it_has_354_parameters():
    assert sum(p.numel() for p in MMDRFusePyramid().parameters()) == 354


@settings(max_examples=15, deadline=None)
@given(height=st.integers(16, 70), width=st.integers(16, 70), levels=st.integers(1, 3))
def test_it_can_be_the_maximum_at_any_size(height, width, levels):
    """The start is u + max(r) and a share of details; without the share, exactly the maximum."""
    thermal, visible = images(height, width)
    network = MMDRFusePyramid(levels).start_at_maximum()
    with torch.no_grad():
        network.detail2.weight[0, 3:] = 0
        found = network(thermal, visible)
    torch.testing.assert_close(found, torch.maximum(thermal, visible), atol=1e-5, rtol=0)


def test_the_start_keeps_some_of_what_the_maximum_loses():
    """Stripes of one source below a flat brighter other one."""
    visible = torch.full((1, 1, 32, 32), 0.2)
    visible[..., ::2] = 0.4
    thermal = torch.full_like(visible, 0.8)
    with torch.no_grad():
        fused = MMDRFusePyramid().start_at_maximum()(thermal, visible)[0, 0, 8:24, 8:24]
    assert fused[:, ::2].mean() - fused[:, 1::2].mean() > 0.02
    assert fused.mean() == pytest.approx(0.8, abs=0.01)
