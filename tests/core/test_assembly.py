"""Rows of runs -> one frame: with exactly the schema's columns, runs in order, however they come."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from wbframe.core.histories import frame as assembly
from wbframe.core.histories.frame import Assembly, assemble, repeated
from wbframe.core.schema.histories import HistorySchema


def frame(rows, *keys):
    return pl.DataFrame(
        rows, schema={"_step": pl.Int64, **dict.fromkeys(keys, pl.Float64)}, orient="row"
    )


def test_runs_are_put_one_below_the_other_with_exactly_the_schema():
    schema = HistorySchema(
        keys={"a": pl.Float64(), "state": pl.String()},
        lead={"_step": pl.Int64()},
        run_columns={"state": pl.String()},
        names={"state": "history.state"},
    )
    frames = {2: frame([(5, 1.0)], "a"), 0: frame([(0, 2.0), (1, None)], "a"), 1: frame([], "a")}
    beside = pl.DataFrame({"state": ["x", "y", "z"]})
    got = assemble(frames, {0: "r0", 1: "r1", 2: "r2"}, schema, beside)
    assert dict(got.schema) == schema.columns
    assert got.rows() == [
        ("r0", 0, 2.0, None, "x"),
        ("r0", 1, None, None, "x"),
        ("r2", 5, 1.0, None, "z"),
    ]
    empty = assemble({}, {}, schema, beside)
    assert dict(empty.schema) == schema.columns
    assert_frame_equal(empty, got.clear())


SCHEMA = HistorySchema(
    keys={"a": pl.Float64(), "b": pl.Float64()},
    lead={"_step": pl.Int64()},
    run_columns={"name": pl.String()},
)
TASKS = st.lists(
    st.dictionaries(st.integers(0, 30), st.tuples(st.integers(0, 4), st.booleans()), max_size=4),
    max_size=6,
)


def rows_of(ordinal, height, *, both):
    """The rows of a run, which may not have logged every key."""
    columns = {"_step": list(range(height)), "a": [ordinal + 0.5] * height}
    if both:
        columns["b"] = [float(ordinal)] * height
    schema = {"_step": pl.Int64(), **{key: pl.Float64() for key in columns if key != "_step"}}
    return pl.DataFrame(columns, schema=schema)


@pytest.mark.parametrize("cells", [1, 10, 10_000])
@pytest.mark.parametrize("short", [0, 2, 200])
@given(TASKS)
@example([{3: (2, True)}, {1: (2, False)}])
def test_how_rows_come_does_not_show(cells, short, tasks):
    once = {i: rows for task in reversed(tasks) for i, rows in task.items()}
    run_ids = {i: f"r{i}" for i in once}
    beside = pl.DataFrame({"name": [f"n{i}" for i in range(31)]})
    frames = {i: rows_of(i, height, both=both) for i, (height, both) in once.items()}
    expected = assemble(frames, run_ids, SCHEMA, beside)
    assert not frames
    made, left = Assembly(), dict(once)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "_CELLS_A_CHUNK", cells)
        patch.setattr(assembly, "_SHORT", short)
        for task in tasks:
            mine = {i: left.pop(i) for i in sorted(task) if i in left}
            made.add(
                {i: rows_of(i, height, both=both) for i, (height, both) in mine.items()}, SCHEMA
            )
        assert_frame_equal(made.whole(run_ids, SCHEMA, beside), expected)


def test_later_rows_may_have_more_columns():
    narrow = HistorySchema(keys={"b": pl.Float64()}, lead={"_step": pl.Int64()})
    wide = HistorySchema(keys={"a": pl.Float64(), "b": pl.Float64()}, lead={"_step": pl.Int64()})
    made = Assembly()
    made.add({0: frame([(0, 1.0)], "b"), 2: frame([(0, 2.0)], "b")}, narrow)
    made.add({1: frame([(0, 3.0)], "a")}, wide)
    assert made.whole({0: "r0", 1: "r1", 2: "r2"}, wide).rows() == [
        ("r0", 0, None, 1.0),
        ("r1", 0, 3.0, None),
        ("r2", 0, None, 2.0),
    ]


def test_many_short_runs_share_chunks(monkeypatch):
    monkeypatch.setattr(assembly, "_CELLS_IN_ONE_PIECE", 0)
    made = Assembly()
    for task in range(10):
        runs = range(task * 50, task * 50 + 50)
        made.add({i: rows_of(i, 3, both=True) for i in runs}, SCHEMA)
    beside = pl.DataFrame({"name": ["n"] * 500})
    whole = made.whole({i: f"r{i}" for i in range(500)}, SCHEMA, beside)
    assert whole.height == 1500
    assert whole["a"].n_chunks() == 1


@given(st.lists(st.tuples(st.text(max_size=3), st.integers(0, 5)), max_size=6), st.booleans())
def test_values_are_repeated(pairs, long):
    values, times = [value for value, _ in pairs], [count for _, count in pairs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "_LONG", 0 if long else 1000)
        found = repeated("x", values, times, pl.String())
    assert found.to_list() == [value for value, count in pairs for _ in range(count)]
    assert (found.name, found.dtype) == ("x", pl.String())
