"""The loss terms of contrast beside the metrics of those names, and the halo term by hand."""

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='training needs the train extra')

from multimodal_fusion.evaluate.metrics import evaluate_triple
from multimodal_fusion.train.losses import fusion
from multimodal_fusion.train.losses.halo import (
    flat_pairs,
    halo,
    most_overshoot,
    overshoot,
    step_edges,
)

from ...helpers.golden import FUSED, A, B


def tensors(*images):
    return [torch.from_numpy(image.astype(np.float64))[None, None] / 255 for image in images]


@pytest.mark.parametrize('name', ['average', 'max'])
def test_kc_is_that_of_evaluate_where_no_contrast_is_inverted(name):
    """The term counts an inverted contrast below 0, the metric as 0: it is at most the metric's."""
    fused, thermal, visible = tensors(FUSED[name], A, B)
    found = evaluate_triple(A, B, FUSED[name], metrics=['KC_thermal', 'KC_visible'])
    term = 1 - fusion.kc(fused, thermal, visible).item()
    assert term <= sum(found.values()) / 2 + 1e-9
    stripes = np.where(np.arange(24) % 2, 140, 60).astype(np.uint8) + np.zeros((24, 1), np.uint8)
    flat, half = np.full_like(stripes, 30), np.where(stripes > 100, 120, 80).astype(np.uint8)
    # Half of the stripes' contrast is kept; the flat source has none to keep.
    assert fusion.kc(*tensors(half, stripes, flat)).item() == pytest.approx(1 - 0.5 / 2, abs=1e-9)
    assert fusion.kc(*tensors(255 - half, stripes, flat)).item() > 1


def test_amplified_by_hand():
    """Stripes of 100 +- 40, fused 100 +- 60: 1.5 times, so 0.45 over 1.05; 100 +- 42: none."""

    def stripes(spread):
        return np.where(np.arange(24) % 2, 100 + spread, 100 - spread) + np.zeros((24, 1), int)

    source, flat = stripes(40), np.full((24, 24), 30)
    for spread, value in ((60, 0.45), (42, 0), (20, 0)):
        found = fusion.amplified(*tensors(stripes(spread), source, flat))
        assert found.item() == pytest.approx(value, abs=1e-9)


def test_outside_by_hand():
    fused = torch.tensor([[[[1.5, -0.25, 0.5, 1.0]]]])
    assert fusion.outside(fused, fused, fused).item() == pytest.approx(0.75 / 4)


def test_contrast_terms_have_gradients_everywhere():
    flat = torch.full((2, 1, 16, 16), 0.4)
    for term in (fusion.kc, fusion.amplified, fusion.outside):
        fused = flat.clone().requires_grad_()
        term(fused, flat, torch.rand(2, 1, 16, 16)).backward()
        assert torch.isfinite(fused.grad).all()


def test_step_edges_are_all_cases():
    thermal, visible = step_edges()
    assert thermal.shape == visible.shape == (12, 1, 24, 96)
    levels = [(255 * image[:, 0, 0, [0, -1]]).round().int().tolist() for image in step_edges()]
    ends = {(tuple(t), tuple(v)) for t, v in zip(*levels, strict=True)}
    assert len(ends) == 12
    assert ((30, 220), (125, 125)) in ends and ((30, 30), (220, 30)) in ends


def test_overshoot_and_halo_by_hand():
    """20 levels over at 3 pixels from the edge count 14; 2 levels at 20 pixels count 1.5."""
    edges = tuple(image[:1] for image in step_edges())  # of thermal, 30 to 220
    fused = torch.maximum(*edges)
    near, far = fused.clone(), fused.clone()
    near[..., 50] = 240 / 255
    far[..., 68] = 222 / 255
    assert overshoot(fused).max() == 0
    assert overshoot(near)[0, 50].item() == pytest.approx(20 / 255, abs=1e-6)
    for shown, levels in ((fused, 0), (near, 14), (far, 1.5)):

        def network(thermal, visible, shown=shown):
            return thermal if torch.equal(thermal, visible) else shown

        found = halo(network, edges, flat_pairs()).item()
        assert found == pytest.approx(levels / 255, abs=1e-6)
    darker = halo(lambda thermal, visible: torch.maximum(thermal, visible) - 3 / 255, edges,
                  flat_pairs()).item()  # fmt: skip
    assert darker == pytest.approx(2 / 255 * 96, rel=1e-4)  # a level is allowed


def test_most_overshoot_is_of_whole_grey_levels():
    assert most_overshoot(np.maximum) == 0
    assert most_overshoot(lambda t, v: np.where(np.arange(96) == 50, 255, np.maximum(t, v)).astype(
        np.uint8)) == 35  # fmt: skip
