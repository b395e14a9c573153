"""The state of a stream: worse at once, better when calm, life at once; for any order of signs."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal_fusion.pipeline.stream_state import CALM, STATES, Signs, StreamState

BAD = ('late', 'stale', 'mismatched', 'frozen', 'silent')


def test_the_worst_sign_names_the_state():
    """In the order of STATES, whatever else is seen."""
    for chosen in itertools.product([False, True], repeat=len(BAD)):
        worst = max((i + 1 for i, seen in enumerate(chosen) if seen), default=0)
        assert Signs(**dict(zip(BAD, chosen, strict=True))).worst() == STATES[worst]


@pytest.mark.parametrize('sign', ['late', 'stale', 'mismatched'])
def test_what_comes_and_goes_does_not_flicker(sign):
    """Bad for one look in three, every 0.3 s: one change in, one change out a second after."""
    machine, seen = StreamState(), []
    for i in range(40):
        bad = i < 20 and i % 3 == 0
        seen.append(machine.update(Signs(**{sign: bad}), i * 0.3))
    changes = [a != b for a, b in itertools.pairwise(seen)]
    assert sum(changes) == 1 and seen[0] == sign.upper() and seen[-1] == 'OK'
    assert machine.since == pytest.approx(22 * 0.3)  # the last bad one was number 18


@pytest.mark.parametrize('sign', ['frozen', 'silent'])
def test_life_is_back_at_once(sign):
    machine = StreamState()
    assert machine.update(Signs(**{sign: True}), 1.0) == sign.upper()
    assert machine.update(Signs(), 1.01) == 'OK' and machine.since == 1.01


def test_a_clock_that_jumps_back_does_not_hold_a_state_forever():
    machine = StreamState()
    machine.update(Signs(late=True), 1000.0)
    assert machine.update(Signs(), 5.0) == 'OK'


@given(st.lists(st.tuples(st.builds(Signs, **dict.fromkeys(BAD, st.booleans())), st.floats(0, 2))))
def test_it_is_never_better_than_what_is_seen_and_calms_down(steps):
    machine, now = StreamState(), 0.0
    for signs, pause in steps:
        now += pause
        state = machine.update(signs, now)
        assert STATES.index(state) >= STATES.index(signs.worst())
        assert machine.since <= now
    machine.update(Signs(), now + CALM)
    assert machine.update(Signs(), now + 2 * CALM + 1e-6) == 'OK'
