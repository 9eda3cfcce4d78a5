"""Rows read straight into columns give what reading them one by one gives."""

from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from wbframe import errors
from wbframe.dropin import pandas_frame, polars_frame
from wbframe.dropin.asked import known_size, rows_holding
from wbframe.dropin.columns import MISSING, Columns, keys_of
from wbframe.dropin.reading import last_step
from wbframe.dropin.values import RowShape, objects, side_by_side, united

NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.floats(allow_nan=False, width=32),
    st.sampled_from([2**53, 2**53 + 1, -(2**63), 2**63, 2**64 - 1, 2**70, 1.0, 1e300]),
)
NAMES = st.sampled_from(["NaN", "Infinity", "-Infinity"])
VALUES = {
    "int": st.integers(-3, 3),
    "float": st.floats(allow_nan=False),
    "number": NUMBERS,
    "non-finite": st.one_of(NUMBERS, NAMES),
    "name": NAMES,
    "bare": st.one_of(st.floats(), st.none()),
    "bool": st.booleans(),
    "text": st.one_of(st.text(max_size=2), NAMES),
    "null": st.none(),
    "maybe": st.one_of(st.none(), st.booleans(), st.integers(0, 1)),
    "list": st.lists(NUMBERS, max_size=2),
    "object": st.dictionaries(st.sampled_from(["x", "y"]), NUMBERS, max_size=2),
}
KEYS = st.sampled_from(["a", "b", "c d", 'quo"te', "", "é", "run_id"])


@st.composite
def tables(draw):
    """Draw the rows of several runs; of each key a kind of values, and how often it is there."""
    keys = draw(st.lists(KEYS, unique=True, min_size=1, max_size=4))
    kinds = {key: draw(st.sampled_from(sorted(VALUES))) for key in keys}
    often = {key: draw(st.sampled_from([0.0, 0.5, 1.0, 1.0])) for key in keys}

    def row():
        held = [key for key in keys if often[key] == 1 or (often[key] and draw(st.booleans()))]
        return {key: draw(VALUES[kinds[key]]) for key in held}

    return [[row() for _ in range(draw(st.integers(0, 3)))] for _ in range(draw(st.integers(1, 4)))]


def read(runs, *, texts, expected=(), together=2):
    """Read runs as answers are: some of them together, all by one shape."""
    shape = RowShape(expected)
    found = Columns()
    for start in range(0, len(runs), together):
        part = Columns()
        for at, rows in enumerate(runs[start : start + together], start):
            spelled = [json.dumps(row) for row in rows]
            raw = spelled if texts else f"[{','.join(spelled)}]".encode()
            count, cells = shape.cells(raw)
            part.add_cells(cells, count, run_id=f"r{at}")
        part.settle()
        found.extend(part)
    return found


def one_by_one(runs):
    """Give the same rows, each value by itself."""
    rows = [
        {**row, "run_id": f"r{at}"}
        for at, run in enumerate(runs)
        for row in objects([json.dumps(row) for row in run])
    ]
    return {key: [row.get(key, MISSING) for row in rows] for key in keys_of(rows)}


@settings(max_examples=300, deadline=None)
@given(runs=tables(), texts=st.booleans(), text=st.booleans(), known=st.booleans())
def test_a_polars_frame_of_columns_is_that_of_values(runs, texts, text, known):
    named = {"a", "b"} if text else set()
    plain = one_by_one(runs)
    columns = {
        key: polars_frame.column(key, plain[key], text=key in named) for key in sorted(plain)
    }
    found, lost = polars_frame.polars_frame(
        read(runs, texts=texts, expected=["a", "b"] if known else ()), text=named
    )
    assert_frame_equal(found, pl.DataFrame({key: each for key, (each, _) in columns.items()}))
    assert lost == {key for key, (_, imprecise) in columns.items() if imprecise}


@settings(max_examples=300, deadline=None)
@given(runs=tables(), texts=st.booleans(), text=st.booleans(), known=st.booleans())
def test_a_pandas_frame_of_columns_is_that_of_values(runs, texts, text, known):
    named = {"a", "b"} if text else set()
    plain = one_by_one(runs)
    columns = {key: pandas_frame._series(plain[key], text=key in named) for key in sorted(plain)}
    found, lost = pandas_frame.pandas_frame(
        read(runs, texts=texts, expected=["a", "b"] if known else ()), text=named, by_name=True
    )
    wanted = pd.DataFrame({key: each for key, (each, _) in columns.items()})
    pd.testing.assert_frame_equal(found, wanted)
    assert lost == {key for key, (_, imprecise) in columns.items() if imprecise}


def test_rows_with_another_key_are_learned():
    shape = RowShape()
    assert shape.cells(b'[{"a": 1}]') == (1, {"a": [1]})
    count, cells = shape.cells(b'[{"a": 2, "b": 3}, {"b": 4}]')
    assert (count, {key: list(each) for key, each in cells.items()}) == (
        2,
        {"a": [2, MISSING], "b": [3, 4]},
    )
    # both are known now, and a key that no row holds is no column
    assert shape.cells(b'[{"b": 5}]') == (1, {"b": (5,)})
    assert shape.cells([]) == (0, {})


@pytest.mark.parametrize(
    "raw", [b"[1]", b"{}", b"[", b'[{"a": }]', ["1"], [""], ["[]"], ['{"a": 1'], [" "]]
)
@pytest.mark.parametrize("expected", [(), ("a",)])
def test_what_are_no_rows(raw, expected):
    with pytest.raises(errors.AnswerError, match=r"run r: (the rows|a row)"):
        RowShape(expected).cells(raw, where="run r")


def test_series_are_made_where_answers_arrive():
    columns = Columns([{"a": 1.5, "b": 1}, {"a": 2.5}])
    columns.settle()
    kinds = [type(chunk.values) for chunks in columns.chunks.values() for chunk in chunks]
    assert kinds == [pl.Series, pl.Series]
    assert columns.cells == {"a": [1.5, 2.5], "b": [1, MISSING]}


STEPS = st.lists(st.integers(0, 3), max_size=4)


@settings(max_examples=300, deadline=None)
@given(steps=st.lists(STEPS, min_size=1, max_size=3), same=st.booleans())
def test_specs_side_by_side_are_their_rows_united(steps, same):
    if same:
        steps = [sorted(steps[0])] * len(steps)
    parts = [
        [{"_step": step, "x": i * 10 + at, f"k{i}": at} for at, step in enumerate(each)]
        for i, each in enumerate(steps)
    ]
    shapes = [RowShape(("_step", "x", f"k{i}")) for i in range(len(parts))]
    cells = [
        shape.cells([json.dumps(row) for row in part])
        for shape, part in zip(shapes, parts, strict=True)
    ]
    found = side_by_side(cells)
    if same:
        assert found is not None
    if found is not None:
        rows = [
            dict(zip(found[1], row, strict=True)) for row in zip(*found[1].values(), strict=True)
        ]
        assert rows == united(parts)
        assert found[0] == len(rows)


@pytest.mark.parametrize("said", [[], {}, "many", "7", 7.5, True])
def test_counts_and_steps_of_other_forms_are_unknown(said):
    node = {
        "historyLineCount": said,
        "historyKeys": {"lastStep": said, "keys": {"a": {"typeCounts": said}}},
    }
    number = 7 if said in ("7", 7.5) else None
    assert known_size(node) == (number, 1)
    assert last_step(node) == number
    assert rows_holding(["a"], node) == (0, False)
    counted = {"historyKeys": {"keys": {"a": {"typeCounts": [{"count": said}]}}}}
    assert rows_holding(["a"], counted) == ((0, False) if number is None else (number, True))
