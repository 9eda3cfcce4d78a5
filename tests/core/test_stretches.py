"""Where long runs are cut: between row groups, so that each is in one stretch and none is lost."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from wbframe.core.histories.stretches import stretches

groups = st.tuples(st.integers(-50, 1_000), st.integers(0, 40), st.integers(0, 30)).map(
    lambda each: (each[0], each[0] + each[1], each[2])
)


@given(st.lists(groups, max_size=60), st.integers(1, 100))
def test_each_row_group_is_in_one_stretch(spans, rows):
    cuts = stretches(spans, rows)
    assert cuts == sorted(set(cuts))
    bounds = [-math.inf, *cuts, math.inf]
    held = [0] * (len(cuts) + 1)
    for low, high, count in spans:
        if count:
            [place] = [i for i in range(len(held)) if bounds[i] <= low and high < bounds[i + 1]]
            held[place] += count
    # Only the last may have fewer.
    assert all(count >= rows for count in held[:-1])


@given(st.lists(groups, max_size=20), st.integers(1, 100), st.data())
def test_where_one_does_not_say_its_steps_none_is_cut(spans, rows, data):
    place = data.draw(st.integers(0, len(spans)))
    odd = data.draw(st.sampled_from([None, (-math.inf, 3.0, 5), (0.0, math.inf, 5)]))
    assert stretches([*spans[:place], odd, *spans[place:]], rows) == []
