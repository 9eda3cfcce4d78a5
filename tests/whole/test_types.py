"""Columns of exported files, whatever their types, end in the promised ones."""

from __future__ import annotations

import json
import math

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.whole.truth import PATH, project_of
from wbframe.core.decode.parquet import promised_column
from wbframe.errors import PrecisionWarning, SchemaMismatchError
from wbframe.server import Exports, FileFormat, History, RunRecord, ragged


def plain(text):
    """Take JSON apart; what a struct of Arrow holds besides is null."""
    if not isinstance(text, str):
        return text
    try:
        return without_nulls(json.loads(text))
    except ValueError:
        return text


def without_nulls(value):
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "spelled",
    [
        FileFormat(numbers="exact"),
        FileFormat(step="float64", mixed="binary", objects="binary", compression="snappy"),
        FileFormat(step="float32", texts="dictionary", columns="all", compression="none"),
        FileFormat(objects="binary", row_group_rows=3),
    ],
)
def test_files_give_what_live_rows_give(serving, spelled):
    runs = [
        run
        for run in ragged().runs
        if run.name != "huge" and len(run.history) and run.events is not None
    ]
    project = project_of(*runs)
    _, live = serving(project)
    _, exported = serving(project, exports=Exports.all(2, running=True, format=spelled))
    a = pl.read_wandb_histories(PATH, samples=None, client=live)
    b = pl.read_wandb_histories(PATH, samples=None, client=exported)
    assert a.schema == b.schema
    assert a.height == b.height
    for name in a.columns:
        if a[name].dtype == pl.String:
            pairs = zip(map(plain, a[name]), map(plain, b[name]), strict=True)
            assert all(x == y or is_nan(x, y) for x, y in pairs), name
        else:
            assert a[name].equals(b[name]), name


def is_nan(x, y):
    return isinstance(x, float) and isinstance(y, float) and math.isnan(x) and math.isnan(y)


def test_int64_keeps_every_digit(serving):
    big = [2**53 + 1, 2**60 + 1, -(2**63), 2**63 - 1, 0]
    run = RunRecord(name="r", history=History([{"n": n} for n in big]))
    for rule in (Exports.none(), Exports.all(), Exports.split(1, 0.4)):
        _, client = serving(project_of(run), exports=rule)
        exact = pl.read_wandb_histories(
            PATH, samples=None, schema_overrides={"n": pl.Int64}, client=client
        )
        assert exact["n"].to_list() == big
        with pytest.warns(PrecisionWarning, match="'n'"):
            rounded = pl.read_wandb_histories(PATH, samples=None, client=client)
        assert rounded["n"].to_list() == [float(n) for n in big]


def test_nan_of_a_file_is_nan(serving):
    values = [math.nan, 1.5, math.inf, -math.inf, None]
    run = RunRecord(name="r", history=History([{"x": x} for x in values]), exports=Exports.all())
    _, client = serving(project_of(run))
    got = pl.read_wandb_histories(PATH, samples=None, client=client)["x"]
    assert got.equals(pl.Series("x", values, dtype=pl.Float64))


def served(serving, table, **options):
    """Read a file that holds a table."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    run = RunRecord(name="r", history=History([{"x": 1.0}] * len(table)), exports=Exports.all())
    server, client = serving(project_of(run))
    server.fail(where="storage", status=200, body=sink.getvalue().to_pybytes(), times=9)
    return pl.read_wandb_histories(PATH, samples=None, client=client, **options)["x"].to_list()


STEPS = pa.array([0, 1, 2])


@pytest.mark.parametrize(
    ("column", "want"),
    [
        (pa.array([1, None, 3], pa.int8()), [1.0, None, 3.0]),
        (pa.array([1.5, None, 3], pa.float32()), [1.5, None, 3.0]),
        (pa.array([1, 2, 3], pa.uint64()), [1.0, 2.0, 3.0]),
        (pa.array([1.5, None, 1.5]).dictionary_encode(), [1.5, None, 1.5]),
        (pa.array([b"1.5", None, b'"NaN"'], pa.binary()), [1.5, None, math.nan]),
        (pa.array([b"1.5", None, b"NaN"], pa.large_binary()), [1.5, None, math.nan]),
        (pa.array(["1.5", None, "2"]), ["1.5", None, "2"]),
        (
            pa.array([{"_type_number": 1.5}, None, {"_type_number": math.inf}]),
            [1.5, None, math.inf],
        ),
        (
            pa.array([{"_type": "number", "_val": 1.5}, None, {"_type": "number", "_val": 2.0}]),
            [1.5, None, 2.0],
        ),
        (pa.nulls(3), [None, None, None]),
        (pa.array([None, None, 4], pa.int64()), [None, None, 4.0]),
    ],
)
def test_columns_of_other_types(serving, column, want):
    table = pa.table({"_step": STEPS, "x": column})
    got = served(serving, table)
    assert repr(got) == repr(want)


@pytest.mark.parametrize(
    ("column", "want"),
    [
        (
            pa.array([[("a", 1.5)], None, []], pa.map_(pa.string(), pa.float64())),
            ['{"a":1.5}', None, "{}"],
        ),
        (
            pa.array(
                [
                    {"_type_number": 1.5, "_type_string": None},
                    None,
                    {"_type_number": None, "_type_string": "a"},
                ]
            ),
            ["1.5", None, "a"],
        ),
        (
            pa.array([{"_type": "s", "_val": "a"}, None, {"_type": "s", "_val": "b"}]),
            ["a", None, "b"],
        ),
        (pa.array([[1, 2], None, []]), ["[1,2]", None, "[]"]),
        (pa.array([math.nan, math.inf, 1.5]), ["NaN", "Infinity", "1.5"]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array([True, None, False]), ["true", None, "false"]),
    ],
)
def test_columns_as_text(serving, column, want):
    table = pa.table({"_step": STEPS, "x": column})
    assert served(serving, table, schema_overrides={"x": pl.String}) == want


def test_a_value_that_does_not_fit_is_named():
    with pytest.raises(
        SchemaMismatchError, match=r"'x' was promised as Int64 but run 'r' holds 1\.5"
    ):
        promised_column(pl.Series("x", [1.0, 1.5]), pl.Int64(), where="run 'r'")
