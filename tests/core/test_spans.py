"""How much of a file is asked for at once: never less than is needed, and never much more."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbframe.core.protocol.spans import (
    LEAST_TAIL,
    NEAR_BYTES,
    end_bytes,
    file_bytes,
    ranges_needed,
)

SIZE = 100_000_000
places = st.lists(
    st.tuples(st.integers(0, SIZE - 200_000), st.integers(0, 200_000)).map(
        lambda each: (each[0], sum(each))
    ),
    min_size=1,
    max_size=150,
)


def waves(ranges, at_once):
    return -(-len(ranges) // at_once)


@given(places, st.sampled_from([1, 2, 32]))
def test_ranges_hold_all_that_is_needed_in_order_and_apart(needed, at_once):
    ranges = ranges_needed(needed, SIZE, at_once=at_once)
    assert all(0 <= start <= end <= SIZE for start, end in ranges)
    assert all(a[1] < b[0] for a, b in pairwise(ranges))
    assert all(any(low <= start and end <= high for low, high in ranges) for start, end in needed)


@given(places, st.sampled_from([1, 2, 32]))
def test_what_is_read_besides_costs_less_than_what_it_spares(needed, at_once):
    """Each range joined costs less than a request, and those of the last wave less than a round trip."""
    near = ranges_needed(needed, SIZE, at_once=10**9)
    ranges = ranges_needed(needed, SIZE, at_once=at_once)
    more = sum(end - start for start, end in ranges) - sum(end - start for start, end in near)
    assert 0 <= more <= 512 << 10
    assert waves(ranges, at_once) == waves(near, at_once) - (len(ranges) < len(near))
    assert all(b[0] - a[1] > NEAR_BYTES for a, b in pairwise(near))


@pytest.mark.parametrize(
    ("groups", "left"), [(32, 32), (33, 32), (38, 32), (48, 48), (64, 64), (69, 64)]
)
def test_few_ranges_too_many_for_a_wave_are_joined_to_others(groups, left):
    """Of row groups that are alike only as many are joined as must be."""
    needed = [(i * 100_000, i * 100_000 + 20_000) for i in range(groups)]
    assert len(ranges_needed(needed, SIZE, at_once=32)) == left


def test_most_of_a_file_is_one_range():
    needed = [(i * 1_000_000, i * 1_000_000 + 700_000) for i in range(100)]
    assert ranges_needed(needed, SIZE, at_once=32) == [(0, SIZE)]
    assert ranges_needed([], SIZE) == []


@given(st.none() | st.integers(0, 10**12), st.integers(1, 10**6), st.booleans())
def test_the_end_is_long_enough_for_a_footer_and_no_longer_than_what_is_quickly_had(
    rows, width, most
):
    chosen = end_bytes(rows, width, most=most)
    assert LEAST_TAIL <= chosen <= int((4 << 20) * 1.125)
    if rows is not None and file_bytes(rows, width) <= 400_000:
        assert chosen >= file_bytes(rows, width)
    if rows is not None and most and file_bytes(rows, width) <= 3_000_000:
        assert chosen >= file_bytes(rows, width)
