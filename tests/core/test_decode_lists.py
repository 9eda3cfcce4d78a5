"""Several arrays decoded at once: the same as one by one, whatever stands in any of them."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from wbframe.core.decode.rows import array_of, decode_lists, decode_rows
from wbframe.errors import AnswerError, SchemaMismatchError

COLUMNS = {
    "_step": pl.Int64(),
    "loss": pl.Float64(),
    "ok": pl.Boolean(),
    "tokens": pl.Int64(),
    "phase": pl.String(),
}
FITTING = {
    "_step": st.integers(0, 3),
    "loss": st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["NaN", "Infinity", "-Infinity", 0, 1, 2**53, 10**30]),
    "ok": st.booleans() | st.none(),
    "tokens": st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, 1]) | st.none(),
    "phase": st.sampled_from(["warm up", "true", "false", "1.0", ""]) | st.booleans(),
}
rows = st.fixed_dictionaries({}, optional={**FITTING, "other": st.booleans() | st.text(max_size=3)})
arrays = st.lists(st.lists(rows, max_size=4), min_size=1, max_size=4)
names = st.sets(st.sampled_from(sorted(COLUMNS)), min_size=1)


@given(arrays, names)
@example([[{"loss": 1.0, "ok": True}], [{"loss": 0.0, "ok": False}]], {"loss", "ok"})
@example([[{"_step": 1}], [{"_step": 1, "other": True}]], {"_step"})
def test_each_is_as_if_it_were_alone(given_rows, wanted):
    raws = [json.dumps(each).encode() for each in given_rows]
    columns = {name: COLUMNS[name] for name in COLUMNS if name in wanted}
    together = decode_lists(raws, columns)
    assert len(together) == len(raws)
    for one, raw in zip(together, raws, strict=True):
        alone = decode_rows(raw, columns)
        assert_frame_equal(one.frame, alone.frame, check_exact=True)
        assert one.imprecise == alone.imprecise


def test_a_boolean_among_numbers_is_found_in_whichever_array_it_is():
    raws = [b'[{"a":1.0}]', b'[{"a":true}]', b'[{"a":0.0}]']
    with pytest.raises(SchemaMismatchError, match=r"^second: key 'a' holds true"):
        decode_lists(raws, {"a": pl.Float64()}, where=["first", "second", "third"])


def test_booleans_that_their_column_accounts_for_do_not_hide_others():
    raws = [b'[{"ok":true,"a":1.0}]', b'[{"ok":false,"a":true}]']
    with pytest.raises(SchemaMismatchError, match="'a' holds true"):
        decode_lists(raws, {"ok": pl.Boolean(), "a": pl.Float64()})


def test_no_arrays_and_empty_ones():
    assert decode_lists([], COLUMNS) == []
    assert [each.frame.shape for each in decode_lists([b"[]", b"[{}]"], COLUMNS)] == [
        (0, 5),
        (1, 5),
    ]


def test_texts_become_an_array_and_a_blank_one_is_refused():
    assert array_of(['{"a": 1}', "{}"]) == b'[{"a": 1},{}]'
    with pytest.raises(AnswerError, match=r"^here: a row is an empty text$"):
        array_of(["{}", " "], where="here")
