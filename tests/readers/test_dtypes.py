"""What callers may call a dtype in `schema_overrides`: the same on all faces, and told before any request if it is none."""

from __future__ import annotations

from datetime import date, datetime, timezone

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import wbframe
from tests.test_signatures import READERS, called, rows_of
from wbframe.core.schema.dtypes import dtype_named
from wbframe.errors import SchemaMismatchError, UsageError
from wbframe.server import Exports, History, Project, RunRecord, serve

UTC = pl.Datetime("us", "UTC")
MEANT = [
    (pl.Int64, [pl.Int64, pl.Int64(), int, "Int64", "int64", "int", np.int64, np.dtype("int64"), pd.Int64Dtype(), pd.ArrowDtype(pa.int64()), pa.int64(), "int64[pyarrow]"]),
    (pl.UInt8, [pl.UInt8, "UInt8", "uint8", pd.UInt8Dtype(), pa.uint8()]),
    (pl.Float64, [pl.Float64, float, "Float64", "float64", "float", "double", np.float64, pd.Float64Dtype(), pa.float64()]),
    (pl.String, [pl.String, str, "string", "str", pd.StringDtype(), pa.string(), pa.large_string()]),
    (pl.Boolean, [pl.Boolean, bool, "boolean", "bool", np.bool_, pd.BooleanDtype(), pa.bool_()]),
    (pl.Date, [pl.Date, pl.Date(), date, "date", pa.date32()]),
    (UTC, [UTC, pl.Datetime, datetime, "datetime64[us, UTC]", pd.DatetimeTZDtype("us", "UTC"), pa.timestamp("us", "UTC")]),
    (pl.List(pl.Float64), [pl.List(pl.Float64), list[float]]),
    (pl.List(pl.List(pl.Date)), [list[list[date]]]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("meant", "given"), [(meant, each) for meant, names in MEANT for each in names]
)
def test_dtypes_have_many_names(meant, given):
    assert dtype_named(given, column="n") == meant


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("Int46", r"'n' must be a dtype of polars .*; got 'Int46'\. Did you mean 'Int64'"),
        ("datetime64[ns, UTC]", r"Did you mean 'datetime64\[us, UTC\]'"),
        ("strin", "Did you mean 'String', 'str'"),
        (list, "must be a dtype"),
        (pl.List, r"'n': pl\.List needs to be told of what, as in pl\.List\(pl\.Float64\)"),
        (pl.Categorical, "'n' cannot be read as Categorical: the dtypes .* are"),
        (pl.Datetime("us"), "'n' cannot be read as Datetime"),
        (None, "got None"),
        (3, "got 3"),
        ([int], "must be a dtype"),
    ],
)
def test_what_is_no_dtype_is_told(given, told):
    with pytest.raises(UsageError, match=told):
        dtype_named(given, column="n")


RUN = RunRecord(
    name="r",
    config={"n": 3, "d": "2024-01-02", "t": "2024-01-02T03:04:05Z", "l": [1, 2]},
    history=History([{"_step": 0, "n": 3, "d": "2024-01-02", "t": "2024-01-02T03:04:05Z", "l": [1, 2]}]),
)  # fmt: skip
VALUES = {
    "n": ("int64", 3),
    "d": (date, date(2024, 1, 2)),
    "t": ("datetime64[us, UTC]", datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)),
    "l": (list[int], [1, 2]),
}
OVERRIDING = [name for name, (given, _) in READERS.items() if "schema_overrides" in given]


@pytest.mark.parametrize("exports", [None, Exports.all()])
@pytest.mark.parametrize("name", OVERRIDING)
def test_all_faces_take_the_names_of_dtypes(name, exports):
    runs, prefix = ("runs" in name, "config." if "runs" in name else "")
    overrides = {f"{prefix}{key}": named for key, (named, _) in VALUES.items()}
    options = {"columns" if runs else "keys": list(overrides), "schema_overrides": overrides}
    if not runs:
        options["samples"] = None if exports else 500
    if "dtype_backend" in READERS[name][1].split():
        options["dtype_backend"] = "pyarrow"
    with (
        serve(Project(entity="e", name="p", runs=(RUN,)), exports=exports) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        (row,) = rows_of(called(name)(client=client, **options)).rows(named=True)
    assert {name: row[name] for name in overrides} == {
        f"{prefix}{key}": value for key, (_, value) in VALUES.items()
    }


@pytest.mark.parametrize("name", OVERRIDING)
def test_what_is_no_dtype_costs_no_request(name):
    column = "config.n" if "runs" in name else "n"
    for wrong in ("Int46", pl.Categorical, list):
        with pytest.raises(UsageError, match=f"'{column}' "):
            called(name)(schema_overrides={column: wrong})


def test_a_time_of_day_is_no_day():
    run = RunRecord(name="r", config={"d": "2024-01-02T03:04:05Z", "e": 1704153600})
    with (
        serve(Project(entity="e", name="p", runs=(run,))) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        read = {"columns": ["config.e"], "schema_overrides": {"config.e": pl.Date}}
        found = wbframe.read_runs("e/p", client=client, **read)
        assert found["config.e"].to_list() == [date(2024, 1, 2)]
        read = {"columns": ["config.d"], "schema_overrides": {"config.d": pl.Date}}
        with pytest.raises(SchemaMismatchError, match=r"'config\.d' holds .* which is no Date"):
            wbframe.read_runs("e/p", client=client, **read)


@pytest.mark.parametrize("ask", [pl.Expr.__eq__, pl.Expr.__gt__, pl.Expr.__le__, pl.Expr.__ne__])
def test_filters_over_days_lose_nothing(ask):
    days = ["2024-01-02", "2024-01-03", "2024-01-04", None]
    runs = tuple(RunRecord(name=f"r{i}", config={"d": day}) for i, day in enumerate(days))
    options = {"columns": ["run_id", "config.d"], "schema_overrides": {"config.d": pl.Date}}
    with (
        serve(Project(entity="e", name="p", runs=runs)) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        asked = ask(pl.col("config.d"), date(2024, 1, 3))
        whole = wbframe.read_runs("e/p", client=client, **options)
        assert whole.filter(asked).equals(
            wbframe.scan_runs("e/p", client=client, **options).filter(asked).collect()
        )
        assert whole.filter(asked).equals(
            wbframe.read_runs("e/p", client=client, filters=asked, **options)
        )
