"""The table of metrics: directions, ranges, documents, and how a function gets into it."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from multimodal_fusion.evaluate.metrics import (
    DEFINITIONS,
    METRICS,
    evaluate_triple,
    metric_names,
)


def test_table():
    """Every metric has a direction, a documented function and our own definition."""
    lower = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    assert lower == {'CE', 'Nabf', 'MSE', 'RMSE', 'amplified', 'saturated'}
    for name, metric in METRICS.items():
        assert metric.name == name
        assert 'ours' in metric.definitions
        assert set(metric.definitions) <= set(DEFINITIONS)
        for compute in metric.definitions.values():
            assert compute.__doc__
        ours = ' '.join(metric.definitions['ours'].__doc__.split())
        assert ('higher is better' if metric.higher_is_better else 'ower is better') in ours
        assert metric.arrow == ('↑' if metric.higher_is_better else '↓')
    assert metric_names() == list(METRICS)
    ranked_by_vifb = {'AG', 'CE', 'EI', 'EN', 'MI', 'PSNR', 'RMSE', 'SF', 'SSIM', 'SD'}
    assert ranked_by_vifb <= set(metric_names('vifb'))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(['noise', 'flat', 'equal', 'extreme']))
def test_every_metric_lies_in_its_range(seed, kind):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (3, 48, 56), np.uint8)
    if kind == 'flat':
        images[2] = 77
    elif kind == 'equal':
        images[1:] = images[0]
    elif kind == 'extreme':
        images = np.where(images > 127, 255, 0).astype(np.uint8)
    for name, value in evaluate_triple(*images).items():
        low, high = METRICS[name].range
        assert math.isnan(value) or low - 1e-6 <= value <= high + 1e-6, name


def test_a_function_becomes_a_metric(monkeypatch):
    from multimodal_fusion.evaluate.metrics import metric, registry

    monkeypatch.setattr(registry, '_METRICS', dict(registry._METRICS))

    @metric('MAX', 'brightest pixel', better='higher', range=(0, 255))
    def brightest(images):
        """max F. Higher is better."""
        return float(images.f.image.max())

    found = registry.metrics()
    assert list(found)[-1] == 'MAX' and list(found)[:-1] == list(METRICS)
    assert found['MAX'].definitions == {'ours': brightest}
