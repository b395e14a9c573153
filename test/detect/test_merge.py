"""Boxes of several views become one list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multimodal_fusion.detect.detection import Detection
from multimodal_fusion.detect.merge import merge

PERSON = Detection('person', 0.6, 0, 0, 10, 20)


def test_two_views_of_one_thing():
    """Weights 0.6 and 0.2: x1 = (0.6 * 10 + 0.2 * 12) / 0.8 = 10.5; score 1 - 0.4 * 0.8 = 0.68."""
    (found,) = merge([[PERSON], [Detection('person', 0.2, 0, 0, 12, 20)]])
    assert found == Detection('person', pytest.approx(0.68), 0, 0, pytest.approx(10.5), 20)


@pytest.mark.parametrize(
    'other',
    [
        Detection('car', 0.5, 0, 0, 10, 20),  # another class
        Detection('person', 0.5, 9, 0, 19, 20),  # another place
        Detection('person', 0.5, 5, 5, 5, 5),  # an empty box
    ],
)
def test_what_is_not_the_same_stays_apart(other):
    assert merge([[PERSON], [other]]) == [PERSON, other]


def test_boxes_of_one_view_are_never_one_thing():
    beside = Detection('person', 0.5, 1, 0, 11, 20)
    assert merge([[PERSON, beside]]) == [PERSON, beside]
    assert len(merge([[PERSON, beside], [PERSON]])) == 2


def test_a_blind_view_takes_nothing_away_and_the_limit_keeps_the_best():
    car = Detection('car', 0.9, 50, 50, 90, 80)
    assert merge([[], [PERSON, car]]) == [car, PERSON]
    assert merge([[], [PERSON, car]], 1) == [car]
    assert merge([[], []]) == []


corner, side = st.integers(0, 40), st.integers(1, 30)
boxes = st.builds(
    lambda label, score, x, y, w, h: Detection(label, score, x, y, x + w, y + h),
    st.sampled_from(('person', 'car')), st.floats(0.01, 1), corner, corner, side, side,
)  # fmt: skip


@given(st.lists(st.lists(boxes, max_size=6), max_size=3))
def test_nothing_is_lost_or_made_up(seen):
    found = merge(seen)
    every = [d for view in seen for d in view]
    assert max(map(len, seen), default=0) <= len(found) <= len(every)
    assert {d.label for d in found} == {d.label for d in every}
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    if every:
        assert max(d.score for d in found) >= max(d.score for d in every) - 1e-9
        assert max(d.x1 for d in found) <= max(d.x1 for d in every) + 1e-6
