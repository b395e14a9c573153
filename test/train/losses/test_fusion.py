"""The loss terms, beside their definitions and the metrics they are made from."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.train.losses import fusion

from ...helpers.runs import scene


def ssim_by_definition(a, b):
    values = []
    for row in range(a.shape[0] - 6):
        for column in range(a.shape[1] - 6):
            x, y = (image[row : row + 7, column : column + 7].ravel() for image in (a, b))
            covariance = np.cov(x, y)
            values.append(
                (2 * x.mean() * y.mean() + 1e-4)
                * (2 * covariance[0, 1] + 9e-4)
                / (x.mean() ** 2 + y.mean() ** 2 + 1e-4)
                / (covariance[0, 0] + covariance[1, 1] + 9e-4)
            )
    return np.mean(values)


def test_ssim_follows_its_definition():
    a, b = np.random.default_rng(0).random((2, 13, 17))
    tensors = [torch.from_numpy(image)[None, None] for image in (a, b)]
    assert fusion.similarity(*tensors).item() == pytest.approx(ssim_by_definition(a, b), abs=1e-9)
    assert fusion.similarity(tensors[0], tensors[0]).item() == pytest.approx(1.0, abs=1e-9)


def test_sobel_of_a_ramp_is_its_slope():
    ramp = (0.03 * torch.arange(9.0)[:, None] + 0.01 * torch.arange(8.0))[None, None]
    across, down = fusion.sobel(ramp)[0]
    torch.testing.assert_close(across, torch.full((7, 6), 0.01))
    torch.testing.assert_close(down, torch.full((7, 6), 0.03))


def test_gradient_term_wants_the_steeper_edge_with_its_sign():
    flat = torch.full((1, 1, 16, 16), 0.5)
    edge = flat.clone()
    edge[..., 8:] = 0.9
    cost = {
        name: fusion.gradient(fused, edge, flat).item()
        for name, fused in (('edge', edge), ('flat', flat), ('inverted', 1 - edge))
    }
    assert cost['edge'] == 0
    assert cost['inverted'] == pytest.approx(2 * cost['flat'])


def test_intensity_and_structure_terms_vanish_where_they_should():
    visible, thermal = (torch.from_numpy(image / np.float32(255))[None, None] for image in scene(0))
    assert fusion.intensity(torch.maximum(thermal, visible), thermal, visible) == 0
    assert fusion.ssim(thermal, thermal, thermal).item() == pytest.approx(0, abs=1e-6)


def test_edge_term_is_one_less_qabf_and_can_be_learnt_from():
    """The metric takes black for what is outside, so black borders make both the same."""
    from multimodal_fusion.evaluate.metrics import evaluate_triple

    visible, thermal = (cv2.GaussianBlur(image, (5, 5), 0) for image in scene(5))
    fused = np.maximum(thermal, visible) // 2 + thermal // 2
    padded = (np.pad(image, 1)[None, None] for image in (fused, thermal, visible))
    tensors = [torch.from_numpy(image).float() / 255 for image in padded]
    qabf = evaluate_triple(thermal, visible, fused)['Qabf']
    assert 0.3 < qabf < 0.9
    assert fusion.qabf(*tensors).item() == pytest.approx(1 - qabf, abs=5e-3)
    flat = torch.full((1, 1, 50, 58), 0.5, requires_grad=True)
    fusion.qabf(flat, *tensors[1:]).backward()
    assert torch.isfinite(flat.grad).all()
    assert flat.grad.abs().max() > 0


@pytest.mark.parametrize(('term', 'metric'), [(fusion.vif, 'VIF'), (fusion.scd, 'SCD')])
def test_terms_of_vif_and_scd_are_the_metrics_and_can_be_learnt_from(term, metric):
    from multimodal_fusion.evaluate.metrics import evaluate_triple

    visible, thermal = scene(5)
    fused = np.maximum(thermal, visible) // 2 + thermal // 2
    tensors = [
        torch.from_numpy(image)[None, None].float() / 255 for image in (fused, thermal, visible)
    ]
    expected = evaluate_triple(thermal, visible, fused)[metric]
    assert term(*tensors).item() == pytest.approx(1 - expected / 2, abs=1e-4)
    tensors[0].requires_grad_()
    term(*tensors).backward()
    assert 1e-4 < tensors[0].grad.norm() < 1


def flat_and_equal_images():
    """Fused, thermal, visible: flat ones, next to flat ones, a copy of the brighter source."""
    visible, thermal = (torch.from_numpy(image)[None, None] / 255 for image in scene(5))
    spot = torch.full_like(visible, 2 / 255)
    spot[..., 20:22, 20:22] = 3 / 255
    yield torch.full_like(visible, 0.5), thermal, visible
    yield visible, torch.full_like(visible, 1 / 255), torch.full_like(visible, 1 / 255)
    yield visible, spot, spot
    bright = 0.6 + visible / 4
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 1e-5, visible.shape)).float()
    yield bright, bright, visible
    yield bright + noise, bright, visible


@pytest.mark.parametrize('term', [fusion.vif, fusion.scd])
@pytest.mark.parametrize('images', list(flat_and_equal_images()), ids=range(5))
def test_flat_and_equal_images_give_no_steep_gradient_nor_rounding_noise(term, images):
    values = []
    for kind in (torch.float32, torch.float64):
        fused, *sources = (image.detach().to(kind) for image in images)
        fused.requires_grad_()
        value = term(fused, *sources)
        value.backward()
        assert fused.grad.norm() < 40
        values.append(value.item())
    assert values[0] == pytest.approx(values[1], abs=2e-3)


def test_a_flat_source_loses_no_information():
    flat = torch.full((1, 1, 48, 56), 1 / 255)
    picture = torch.from_numpy(scene(5)[0])[None, None] / 255
    assert fusion.vif(picture, flat, flat).item() == pytest.approx(0, abs=1e-3)
