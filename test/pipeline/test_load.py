"""What waits for the fuser: room, age, order."""

import pytest

from multimodal_fusion.pipeline.load import Backlog
from tools.backlog import simulate


def test_room_for_one_keeps_the_newest():
    backlog = Backlog()
    assert [backlog.put(item, 0.0) for item in 'abc'] == [0, 1, 1]
    assert backlog.take() == 'c' and backlog.take() is None


def test_room_for_some_keeps_the_order_and_drops_the_oldest():
    backlog = Backlog(3, 1.0)
    assert sum(backlog.put(item, item / 30) for item in range(5)) == 2
    assert [backlog.take() for _ in range(4)] == [2, 3, 4, None]


def test_what_waits_too_long_goes_when_a_newer_one_comes():
    """Put at 0 and 0.1 s, at most 0.15 s old: at 0.2 s the first goes; alone none does."""
    backlog = Backlog(4, 0.15)
    assert backlog.put('a', 0.0) == backlog.put('b', 0.1) == 0
    assert backlog.put('c', 0.2) == 1 and len(backlog) == 2
    assert backlog.put('d', 9.0) == 2 and backlog.take() == 'd'


def test_what_an_item_stands_for_goes_uncounted():
    backlog = Backlog(4, 1.0)
    for item in ('a', 1, 2):
        backlog.put(item, 0.0)
    assert backlog.put('b', 0.0, over=lambda held: isinstance(held, int)) == 0
    assert [backlog.take() for _ in range(3)] == ['a', 'b', None]


@pytest.mark.parametrize('service', [0.002, 0.025])
def test_a_pause_of_100_ms_loses_nothing(service):
    lost, latency = simulate(Backlog(4, 0.15), service, 0.1)
    assert lost == 0 and latency < 150
    assert simulate(Backlog(), service, 0.1)[0] > 2


def test_under_overload_latency_stays_bounded():
    lost, latency = simulate(Backlog(4, 0.15), 0.1, 0.0)
    assert 60 < lost < 80 and latency < 150 + 2 * 130
