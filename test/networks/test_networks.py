"""The networks compute what their equations say."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='networks need the train extra')

from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.networks.mmdrfuse import OUTPUTS, MMDRFuse, MMDRFuseTeacher


def images(height, width, seed=0):
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (2, 1, 1, height, width)) / 255
    return tuple(torch.from_numpy(pixels.astype(np.float32)))


def convolve(image, weight, bias):
    """Reflect-padded 3x3 correlation: (C, H, W), (D, C, 3, 3), (D,) -> (D, H, W)."""
    height, width = image.shape[1:]
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), mode='reflect')
    result = np.zeros((len(weight), height, width))
    for row in range(3):
        for column in range(3):
            window = padded[:, row : row + height, column : column + width]
            result += np.einsum('dc,chw->dhw', weight[:, :, row, column], window)
    return result + bias[:, None, None]


@pytest.mark.parametrize('output', OUTPUTS)
def test_student_has_113_parameters(output):
    assert sum(parameter.numel() for parameter in MMDRFuse(output).parameters()) == 113


@pytest.mark.parametrize('output', OUTPUTS)
@settings(max_examples=20, deadline=None)
@given(height=st.integers(2, 40), width=st.integers(2, 40), seed=st.integers(0, 99))
def test_student_follows_its_equations_at_any_size(output, height, width, seed):
    torch.manual_seed(seed)
    network = MMDRFuse(output)
    thermal, visible = images(height, width, seed)
    with torch.no_grad():
        fused = network(thermal, visible)[0].numpy()
    weights = {name: value.double().numpy() for name, value in network.state_dict().items()}
    sources = np.concatenate((thermal[0].numpy(), visible[0].numpy()))
    hidden = convolve(sources, weights['conv1.weight'], weights['conv1.bias'])
    expected = convolve(np.maximum(hidden, 0), weights['conv2.weight'], weights['conv2.bias'])
    expected = np.tanh(expected) if output == 'tanh' else expected
    np.testing.assert_allclose(fused, expected, atol=1e-5)


@pytest.mark.parametrize(('widths', 'count'), [((4,), 113), ((64,), 1793), ((8, 8, 4), 1065)])
def test_student_can_be_of_other_sizes(widths, count):
    network = MMDRFuse('tanh', widths)
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    buffer, fused = network.buffered(*images(9, 8))
    assert buffer.shape == (1, widths[-1], 9, 8)
    assert buffer.min() >= 0
    assert torch.equal(fused, network(*images(9, 8)))


def test_teacher_has_the_parameters_of_the_paper():
    assert sum(parameter.numel() for parameter in MMDRFuseTeacher().parameters()) == 556_489


@pytest.mark.parametrize('size', [(3, 3), (33, 47), (34, 47), (64, 80)])
def test_teacher_takes_any_size_and_shows_its_buffer(size):
    torch.manual_seed(0)
    network = MMDRFuseTeacher()
    buffer, fused = network.buffered(*images(*size))
    assert buffer.shape == (1, 4, *size)
    assert buffer.min() >= 0
    assert fused.shape == (1, 1, *size)
    assert torch.equal(fused, network(*images(*size)))


def test_teacher_uses_every_layer():
    torch.manual_seed(0)
    network = MMDRFuseTeacher()
    network(*images(32, 32)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_teacher_starts_where_the_student_does():
    torch.manual_seed(0)
    teacher, student = MMDRFuseTeacher().start_at_maximum(), MMDRFuse().start_at_maximum()
    torch.testing.assert_close(teacher(*images(20, 23)), student(*images(20, 23)))


@pytest.mark.parametrize('size', [(2, 2), (2, 7), (33, 47)])
def test_linear_start_is_the_pixel_maximum(size):
    thermal, visible = images(*size)
    fused = MMDRFuse('linear').start_at_maximum()(thermal, visible)
    torch.testing.assert_close(fused, torch.maximum(thermal, visible))


def test_tanh_start_is_near_the_pixel_maximum_and_keeps_black():
    levels = torch.linspace(0, 1, 256)
    thermal, visible = (grid[None, None] for grid in torch.meshgrid(levels, levels, indexing='ij'))
    network = MMDRFuse('tanh').start_at_maximum()
    difference = 255 * (network(thermal, visible) - torch.maximum(thermal, visible))
    assert difference.square().mean().sqrt() < 6
    assert difference.abs().max() < 22
    assert network(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).abs().max() == 0


def test_start_noise_is_drawn_from_the_global_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return MMDRFuse('linear').start_at_maximum(0.02).conv1.weight.clone()

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_unknown_output_is_refused():
    with pytest.raises(ValueError, match="one of tanh, linear, got 'relu'"):
        MMDRFuse('relu')


def test_the_networks_of_the_loss_search():
    """About 140 and 250 thousand parameters; any size, and a gradient to the pixels."""
    from multimodal_fusion.networks.dense import DenseFusion
    from multimodal_fusion.networks.segmenter import Segmenter

    dense, segmenter = DenseFusion(), Segmenter(3)
    counts = [sum(p.numel() for p in network.parameters()) for network in (dense, segmenter)]
    assert counts == [139745, 248595]
    thermal, visible = torch.rand(2, 2, 1, 33, 47)
    fused = dense(thermal, visible)
    assert fused.shape == thermal.shape and 0 <= fused.min().item() <= fused.max().item() <= 1
    images = torch.rand(2, 3, 33, 47, requires_grad=True)
    logits = segmenter(images)
    assert logits.shape == (2, 3, 33, 47)
    assert torch.autograd.grad(logits.square().sum(), images)[0].abs().sum() > 0
