"""Rows as Python objects: reading them, windows over them, columns of them."""

from __future__ import annotations

import math

import polars as pl
import pytest

from wbframe.core.model import RunPath
from wbframe.dropin.asked import RowsAsked, StepWindows, rows_tasks
from wbframe.dropin.columns import Columns
from wbframe.dropin.pandas_frame import pandas_frame as as_pandas
from wbframe.dropin.polars_frame import polars_frame as as_polars
from wbframe.dropin.values import objects
from wbframe.errors import AnswerError


def polars_frame(rows, **options):
    return as_polars(Columns(rows), **options)


def pandas_frame(rows, **options):
    return as_pandas(Columns(rows), **options)


COLUMNS = [
    ([1, 2], pl.Int64, [1, 2]),
    ([1, None], pl.Int64, [1, None]),
    ([2**64 - 1, 0], pl.UInt64, [2**64 - 1, 0]),
    ([2**70, 1], pl.Float64, [float(2**70), 1.0]),
    ([2**64 - 1, -1], pl.Float64, [float(2**64), -1.0]),
    ([10**400, -(10**400)], pl.Float64, [math.inf, -math.inf]),
    ([1, 2.5], pl.Float64, [1.0, 2.5]),
    ([1, "Infinity"], pl.Float64, [1.0, math.inf]),
    (["-Infinity", None], pl.Float64, [-math.inf, None]),
    (["NaN", "x"], pl.String, ["NaN", "x"]),
    ([1, "x", 1e-05, True, None], pl.String, ["1", "x", "1e-05", "true", None]),
    ([True, None], pl.Boolean, [True, None]),
    ([True, 1], pl.String, ["true", "1"]),
    ([None, None], pl.Null, [None, None]),
    ([[1], [2.5, None], []], pl.List(pl.Float64), [[1.0], [2.5, None], []]),
    ([[], []], pl.List(pl.Null), [[], []]),
    ([["a", 1]], pl.List(pl.String), [["a", "1"]]),
    (
        [{"a": 1}, {"b": "x"}],
        pl.Struct({"a": pl.Int64, "b": pl.String}),
        [{"a": 1, "b": None}, {"a": None, "b": "x"}],
    ),
    (
        [{"a": {}}, {"a": {"b": 1}}],
        pl.Struct({"a": pl.Struct({"b": pl.Int64})}),
        [{"a": {"b": None}}, {"a": {"b": 1}}],
    ),
    ([{}, {}], pl.String, ["{}", "{}"]),
    ([[1], {"a": 1}], pl.String, ["[1]", '{"a":1}']),
    ([{"a": 1}, 3], pl.String, ['{"a":1}', "3"]),
]


@pytest.mark.parametrize(("values", "dtype", "wanted"), COLUMNS)
def test_the_narrowest_type_that_holds_every_value(values, dtype, wanted):
    frame, _ = polars_frame([{"x": value} for value in values])
    assert frame.schema["x"] == dtype
    assert frame["x"].to_list() == wanted


def test_a_word_is_no_number_where_text_is_logged():
    rows = [{"x": "NaN"}, {}]
    assert polars_frame(rows, text={"x"})[0]["x"].to_list() == ["NaN", None]
    assert pandas_frame(rows, text={"x"})[0]["x"].tolist()[0] == "NaN"
    assert math.isnan(pandas_frame(rows)[0]["x"].tolist()[0])


PANDAS = [
    ([1, 2], "i", [1, 2]),
    ([1, ...], "f", [1.0, None]),
    ([2**53 + 1, ...], "O", [2**53 + 1, None]),
    ([2**64 - 1, 1], "u", [2**64 - 1, 1]),
    ([2**70, 1], "O", [2**70, 1]),
    ([1, 2.5], "f", [1.0, 2.5]),
    ([1.5, "NaN", ...], "f", [1.5, None, None]),
    ([1.5, "x"], "O", [1.5, "x"]),
    ([True, False], "b", [True, False]),
    ([True, ...], "O", [True, None]),
    ([None, ...], "O", [None, None]),
    ([[1], ...], "O", [[1], None]),
    ([{"a": 1}], "O", [{"a": 1}]),
    ([10**400, 0.5], "f", [math.inf, 0.5]),
]


@pytest.mark.parametrize(("values", "kind", "wanted"), PANDAS)
def test_pandas_columns(values, kind, wanted):
    rows = [{"at": i} if value is ... else {"at": i, "x": value} for i, value in enumerate(values)]
    frame, _ = pandas_frame(rows)
    assert frame["x"].dtype.kind == kind
    assert [None if each is None or each != each else each for each in frame["x"]] == wanted  # noqa: PLR0124


def test_rows_that_come_in_parts_are_the_rows_at_once():
    parts = [
        [{"a": 1, "b": 2}, {"a": 3, "b": 4}],
        [],
        [{"b": 5}],
        [{"c": 6, "a": 7}, {"a": 8}],
        [{}, {}],
    ]
    columns = Columns()
    for i, part in enumerate(parts):
        columns.add(part, run_id=i)
    rows = [{**row, "run_id": i} for i, part in enumerate(parts) for row in part]
    assert columns.height == 7
    at_once = Columns(rows).cells
    assert {name: columns.cells[name] for name in at_once} == at_once


def test_keys_in_another_order_are_the_same_columns():
    assert polars_frame([{"a": 1, "b": 2}, {"b": 3, "a": 4}])[0].rows() == [(1, 2), (4, 3)]


def test_frames_of_nothing():
    assert polars_frame([])[0].shape == (0, 0)
    assert pandas_frame([])[0].shape == (0, 0)


def test_columns_in_order_of_appearance_or_by_name():
    rows = [{"b": 1}, {"a": 1, "_": 1, "B": 1}]
    assert list(pandas_frame(rows)[0]) == ["b", "a", "_", "B"]
    assert (
        list(pandas_frame(rows, by_name=True)[0])
        == ["B", "_", "a", "b"]
        == polars_frame(rows)[0].columns
    )


def test_json_by_the_measure_of_python():
    raw = rb'[{"a": NaN, "b": -Infinity, "c": 1e400, "d": 123456789012345678901234567890, "e": "\ud800"}]'
    [row] = objects(raw)
    assert math.isnan(row["a"])
    assert (row["b"], row["c"], row["d"]) == (-math.inf, math.inf, 123456789012345678901234567890)
    assert row["e"] == "\ud800"


@pytest.mark.parametrize("raw", [b"[1]", b"{}", b"[", b'[{"a": }]'])
def test_what_are_no_rows(raw):
    with pytest.raises(AnswerError, match="run r: the rows"):
        objects(raw, where="run r")


# ---------------------------------------------------------------- windows and tasks


def covered(windows, rows_at):
    """Walk over windows as a scan does; give the rows taken and the windows asked."""
    found, asked = [], []
    while (window := windows.window) is not None:
        asked.append(window)
        rows = [step for step in rows_at if window[0] <= step < window[1]][: windows.samples]
        if windows.took(len(rows)):
            found += rows
        assert len(asked) < 1000
    return found, asked


@pytest.mark.parametrize("page", [1, 2, 10, 1000, 10**6])
@pytest.mark.parametrize(
    "steps",
    [
        [],
        [0],
        list(range(300)),
        list(range(0, 3000, 17)),
        [0] * 2 + list(range(50, 80)) * 2,
        [5, 9999],
    ],
)
def test_windows_take_every_row_once(page, steps):
    steps = sorted(steps)
    stop = max(steps, default=-1) + 1
    found, asked = covered(StepWindows(0, stop, page=page), steps)
    assert found == steps
    assert all(low < high <= stop for low, high in asked)


def test_dense_windows_are_pages():
    _, asked = covered(StepWindows(0, 250, page=100), list(range(250)))
    assert asked == [(0, 100), (100, 200), (200, 250)]


def test_a_page_of_runs_does_not_wait_for_the_next():
    taken = []

    def pages():
        for page in ([("a", 1), ("b", 1)], [("c", 1)]):
            taken.append(page)
            yield page

    tasks = rows_tasks(RunPath(entity="e", project="p"), RowsAsked(), pages(), lambda: 100)
    assert next(tasks).runs == ("a", "b")
    assert len(taken) == 1
    assert [task.runs for task in tasks] == [("c",)]


def test_equal_objects_are_equal_as_text():
    values = [
        {"b": [1.0, math.nan], "a": {"d": 1, "c": 2}},
        {"a": {"c": 2.0, "d": 1}, "b": [1, math.nan]},
        "x",
    ]
    frame, _ = polars_frame([{"x": value} for value in values])
    assert frame["x"].to_list() == ['{"a":{"c":2,"d":1},"b":[1,"NaN"]}'] * 2 + ["x"]
