"""The small form of the fuzzers: seeds, cut and mutated, a few hundred tries each."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .targets import TARGETS, survives

pytest.importorskip('rosbags', reason='bags need rosbags; the ros extra brings it')

EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),  # where
        st.sampled_from(['set', 'cut', 'insert', 'remove', 'repeat']),
        st.binary(min_size=1, max_size=8) | st.sampled_from([b'\xff' * 8, b'\0' * 8, b'\x7f']),
    ),
    min_size=1,
    max_size=6,
)


def edited(data: bytes, edits) -> bytes:
    for where, what, piece in edits:
        at = round(where * len(data))
        if what == 'set':
            data = data[:at] + piece + data[at + len(piece) :]
        elif what == 'cut':
            data = data[:at]
        elif what == 'insert':
            data = data[:at] + piece + data[at:]
        elif what == 'remove':
            data = data[:at] + data[at + len(piece) :]
        else:
            data = data[:at] + data[max(0, at - 64) : at] * 3 + data[at:]
    return data


@pytest.mark.parametrize('name', list(TARGETS))
def test_damaged_bytes_give_a_value_or_one_sentence(name):
    target = TARGETS[name]
    seeds = target.seeds()
    for seed in seeds:
        survives(target, seed)

    @settings(
        max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.integers(0, len(seeds) - 1), EDITS)
    def tries(number, edits):
        survives(target, edited(seeds[number], edits))

    tries()
