"""The loss terms, beside their definitions and the metrics they are made from."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.train import losses  # noqa: E402

from ..runs import scene  # noqa: E402


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
    assert losses.ssim(*tensors).item() == pytest.approx(ssim_by_definition(a, b), abs=1e-9)
    assert losses.ssim(tensors[0], tensors[0]).item() == pytest.approx(1.0, abs=1e-9)


def test_sobel_of_a_ramp_is_its_slope():
    ramp = (0.03 * torch.arange(9.0)[:, None] + 0.01 * torch.arange(8.0))[None, None]
    across, down = losses.sobel(ramp)[0]
    torch.testing.assert_close(across, torch.full((7, 6), 0.01))
    torch.testing.assert_close(down, torch.full((7, 6), 0.03))


def test_gradient_term_wants_the_steeper_edge_with_its_sign():
    flat = torch.full((1, 1, 16, 16), 0.5)
    edge = flat.clone()
    edge[..., 8:] = 0.9
    cost = {
        name: losses.gradient(fused, edge, flat).item()
        for name, fused in (('edge', edge), ('flat', flat), ('inverted', 1 - edge))
    }
    assert cost['edge'] == 0
    assert cost['inverted'] == pytest.approx(2 * cost['flat'])


def test_intensity_and_structure_terms_vanish_where_they_should():
    visible, thermal = (torch.from_numpy(image / np.float32(255))[None, None] for image in scene(0))
    assert losses.intensity(torch.maximum(thermal, visible), thermal, visible) == 0
    assert losses.structure(thermal, thermal, thermal).item() == pytest.approx(0, abs=1e-6)


def test_edge_term_is_one_less_qabf_and_can_be_learnt_from():
    """The metric takes black for what is outside, so black borders make both the same."""
    from multimodal_fusion.evaluate.metrics import evaluate_triple

    visible, thermal = (cv2.GaussianBlur(image, (5, 5), 0) for image in scene(5))
    fused = np.maximum(thermal, visible) // 2 + thermal // 2
    padded = (np.pad(image, 1)[None, None] for image in (fused, thermal, visible))
    tensors = [torch.from_numpy(image).float() / 255 for image in padded]
    qabf = evaluate_triple(thermal, visible, fused)['Qabf']
    assert 0.3 < qabf < 0.9
    assert losses.edges(*tensors).item() == pytest.approx(1 - qabf, abs=5e-3)
    flat = torch.full((1, 1, 50, 58), 0.5, requires_grad=True)
    losses.edges(flat, *tensors[1:]).backward()
    assert torch.isfinite(flat.grad).all()
    assert flat.grad.abs().max() > 0


@pytest.mark.parametrize(
    ('term', 'metric'), [(losses.fidelity, 'VIF'), (losses.differences, 'SCD')]
)
def test_terms_of_vif_and_scd_are_the_metrics_and_can_be_learnt_from(term, metric):
    from multimodal_fusion.evaluate.metrics import evaluate_triple

    visible, thermal = scene(5)
    fused = np.maximum(thermal, visible) // 2 + thermal // 2
    tensors = [
        torch.from_numpy(image)[None, None].float() / 255 for image in (fused, thermal, visible)
    ]
    expected = evaluate_triple(thermal, visible, fused)[metric]
    assert term(*tensors).item() == pytest.approx(1 - expected / 2, abs=1e-4)
    flat = torch.full_like(tensors[0], 0.5)
    for images in ((flat, *tensors[1:]), (tensors[0], flat, flat)):
        images[0].requires_grad_()
        term(*images).backward()
        assert torch.isfinite(images[0].grad).all()
