"""Figures that the benchmark makes of its series."""

import math
import time

import numpy as np
import pytest

from multimodal_fusion.benchmark.node import spread, table
from multimodal_fusion.benchmark.pauses import Pauses
from multimodal_fusion.benchmark.rig import PairSize, parse_pair
from multimodal_fusion.benchmark.soak import soak_text
from multimodal_fusion.benchmark.statistics import highest_rate, percentiles, slope_per_hour
from multimodal_fusion.errors import UserError


def test_percentiles_by_hand():
    """Of 0..100 the p-th percentile is p; of nothing there is none."""
    assert percentiles(list(range(101))) == {'median': 50.0, 'p95': 95.0, 'p99': 99.0}
    assert all(math.isnan(x) for x in percentiles([]).values())


def test_a_slope_by_hand():
    """0.001 MB a second on top of 200 MB is 3.6 MB an hour, whatever the clock began with."""
    seconds = [5000.0 + 10 * i for i in range(60)]
    assert slope_per_hour(seconds, [200 + 0.001 * s for s in seconds]) == pytest.approx(3.6)
    assert slope_per_hour(seconds, [200.0] * 60) == pytest.approx(0.0, abs=1e-6)
    assert math.isnan(slope_per_hour([0.0, 1.0], [1.0, 2.0]))


def test_a_slope_under_noise_is_that_of_least_squares():
    """Points 0, 1, 5 at 0, 1, 2 s: covariance 5 / 3 over variance 2 / 3 is 2.5 a second."""
    assert slope_per_hour([0.0, 1.0, 2.0], [0.0, 1.0, 5.0]) == pytest.approx(2.5 * 3600)


def test_a_spread_by_hand():
    assert spread([3.0, 1.0, 2.0]) == {'median': 2.0, 'quartiles': [1.5, 2.5]}
    assert math.isnan(spread([])['median'])


def test_pauses_are_found_where_they_overlap():
    pauses = Pauses()
    pauses.found = [(1.0, 1.02), (5.0, 5.5), (5.2, 5.3)]
    assert pauses.longest(0.9, 1.1) == pytest.approx(0.02)
    assert pauses.longest(5.25, 5.26) == pytest.approx(0.5)
    assert pauses.longest(1.02, 5.0) == 0.0


def test_a_processor_that_is_kept_busy_is_noticed():
    """Held up by the interpreter lock, as by a host: a long sort lets no other thread run."""
    values = list(np.random.default_rng(0).random(2_000_000))
    with Pauses() as pauses:
        begin = time.monotonic()
        values.sort()
        end = time.monotonic()
    assert pauses.longest(begin, end) > 0.5 * (end - begin) > 0.05


@pytest.mark.parametrize('capacity', [15.0, 33.0, 119.0, 300.0])
def test_the_highest_rate_is_found_from_below(capacity):
    tried = []

    def lossless(rate):
        tried.append(rate)
        return rate <= capacity

    found = highest_rate(lossless, 15.0, 480.0)
    assert found in tried and capacity / 1.1 <= found <= capacity
    assert len(tried) <= 10


def test_the_search_ends_where_it_cannot_begin_and_at_its_limit():
    assert highest_rate(lambda _: False, 15.0, 480.0) == 0.0
    assert highest_rate(lambda _: True, 15.0, 100.0) == 100.0


def test_pairs_are_parsed():
    assert parse_pair('640x480+640x480') == PairSize((640, 480), (640, 480), 8)
    pair = parse_pair('1280x1024+640x512:14')
    assert str(pair) == '1280x1024 bgr8 + 640x512 mono16'
    for text in ('640', '640x480', '640x480+640x480:12', '1x1+64x64', '640x480+9999x64'):
        with pytest.raises(UserError, match='expected WIDTHxHEIGHT'):
            parse_pair(text)


def test_tables_are_markdown_of_equal_columns():
    part = {
        'sent': 9, 'lost': 1, 'latency ms': {'median': 1.0, 'p95': 2.0, 'p99': 3.0},
        'cpu % of one core': {'publisher': 1.0, 'listener': 2.0, 'node': 3.0, 'floor': 4.0},
        'memory MB': {'resident': 100.0},
    }  # fmt: skip
    row = {
        'pair': 'a', 'rate Hz': 30.0, 'node': part, 'floor': part, 'cpu over floor': 2.0,
        'latency over floor': spread([1.4, 1.5, 1.9]),
        'latency less fuse over floor': spread([1.1]),
        'deliver ms': 0.5, 'stages ms': {'fuse': {'p50': 1.2, 'p99': 2.0}},
    }  # fmt: skip
    text = table({'model': 'max', 'machine': 'm', 'load before': 0.1, 'rows': [row]})
    for block in text.split('\n\n')[1:]:
        assert len({line.count('|') for line in block.splitlines()}) == 1
    assert '1 of 9' in text and '| 1.2 |' in text
    assert '| 1.5 (1.45–1.7) | 1.1 (1.1–1.1) | 2.0 |' in text
    soak = {
        'pair': 'a', 'rate Hz': 30.0, 'minutes': 20.0, 'sent': 9, 'lost': 1,
        'counted by the node': {'pairs': 9},
        'pauses': {'priority': 'equal', 'number': 2, 'longest ms': 30.0},
        'lost at s, longest pause near it ms': [[12.5, 30.0]],
        'memory MB': {'private': {'at the start': 180.0, 'warm': 190.0, 'last': 189.9}},
        'latency ms': part['latency ms'], 'slope MB/h': {'resident': 0.25, 'private': -0.1},
    }  # fmt: skip
    text = soak_text(soak)
    assert 'private: 180.0 MB at the start, 190.0 warm, 189.9 at the end: -0.1 MB/h' in text
    assert 'a pair was lost at 12.5 s, near a pause of 30.0 ms' in text
