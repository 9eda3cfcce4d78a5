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
from wbframe.core.decode.rows import decode_rows
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
            # A struct does not tell a member that is null from one that is not there.
            told = ~a[name].str.contains("null", literal=True).fill_null(value=False)
            assert a[name].filter(told).equals(b[name].filter(told)), name
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


SPELLINGS = [
    (rb'{"b":[1,2.5,1e-07],"a":{"d":"\u00e9/","c":100000}}',
     rb'{ "a": {"c": 1.0e5, "d": "\u00e9\/"}, "b": [1.0, 2.50, 0.0000001] }'),
    (b'{"_type":"histogram","values":[3,0],"bins":[0.5,-0.0,12e20]}',
     b'{"bins":[5e-1,0,1.2e21],"values":[3,0],"_type":"histogram"}'),
    (b'[{"y":12345678901234567890.10,"x":null}]', b'[{"x":null,"y":1.23456789012345678901e19}]'),
    (rb'[[{"z":0,"\u0061":1}]]', b'[[{"a":1,"z":-0}]]'),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_equal_values_are_equal_as_text(one, other):
    both = decode_rows(b'[{"x":%b},{"x":%b}]' % (one, other), {"x": pl.String()}).frame["x"]
    assert both[0] == both[1]
    binary, _ = promised_column(
        pl.Series("x", [one, other, None], dtype=pl.Binary), pl.String(), where=""
    )
    assert binary.to_list() == [both[0], both[0], None]
    assert json.loads(both[0]) == json.loads(one)


def test_equal_values_are_equal_as_text_in_files_and_live_rows_and_config(serving):
    cell = {"name": "x", "_type": "thing", "size": 3.0, "at": [{"y": 1.0, "x": 2.5}, {"x": 1.0}]}
    turned = {"at": [{"x": 2.5, "y": 1}, {"x": 1}], "size": 3, "_type": "thing", "name": "x"}
    rows = [
        {"_step": i, "m": each} for i, each in enumerate((cell, turned, {"_type": "thing", "b": 1}))
    ]
    run = RunRecord(
        name="r",
        config={"m": cell},
        summary={"m": turned},
        history=History(rows),
        exports=Exports.split(1, 0.4),
    )
    other = RunRecord(name="s", config={"m": turned}, summary={"m": cell}, history=History(rows))
    _, client = serving(project_of(run, other))
    whole = pl.read_wandb_histories(PATH, samples=None, client=client)
    sampled = pl.read_wandb_histories(PATH, client=client)
    assert whole.equals(sampled)
    spelled = '{"_type":"thing","at":[{"x":2.5,"y":1},{"x":1}],"name":"x","size":3}'
    assert whole["m"].to_list() == [spelled, spelled, '{"_type":"thing","b":1}'] * 2
    runs = pl.read_wandb_runs(PATH, columns=["config.m", "summary.m"], client=client)
    assert runs.rows() == [(spelled, spelled)] * 2
