"""What callers may call a dtype in `schema_overrides`: the same on all faces, and told before any request if it is none."""

from __future__ import annotations

from datetime import date, datetime, timezone

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal, assert_series_equal

import wbframe
from tests.test_signatures import READERS, called, reader, rows_of
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
pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")
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


# ---------------------------------------------------------------- whole numbers as integers

RUNS = tuple(
    RunRecord(
        name=f"r{i}",
        config={"whole": i, "some": None if i else 7, "half": i / 2, "big": 2**53 + i, "said": i, "odd": "NaN" if i else 3, "text": "a", "none": None},
        history=History([{"whole": i, "some": 1} if i else {"whole": i, "half": 0.5, "big": 2**53}]),
    )
    for i in range(3)
)  # fmt: skip
WHOLE = {"whole": [0, 1, 2], "some": [7, None, None]}
CONVERTING = [name for name, (_, beside) in READERS.items() if "convert_integer" in beside]


@pytest.fixture(scope="module")
def whole_numbers():
    with (
        serve(Project(entity="e", name="p", runs=RUNS)) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        yield client


def read_converted(name, client, **options):
    """Read all runs, of a path or of a frame that names them."""
    place, _, function = name.rpartition(".")
    kinds = {"FrameNamespace": pl.DataFrame, "pandas.FrameAccessor": pd.DataFrame}
    if place in kinds:
        named = kinds[place]({"run_id": [run.name for run in RUNS]})
        return getattr(named.wandb, function)(path="e/p", client=client, **options)
    return reader(name)("e/p", client=client, **options)


@pytest.mark.parametrize("name", [name for name in CONVERTING if name.endswith("runs")])
def test_whole_numbers_become_integers_where_it_is_exact(name, whole_numbers):
    overrides = {"columns": ["config.*"], "schema_overrides": {"config.said": pl.Float64}}
    if "pandas" in name:
        overrides["dtype_backend"] = "pyarrow"
    found, plain = (
        rows_of(read_converted(name, whole_numbers, convert_integer=asked, **overrides))
        for asked in (True, False)
    )
    for key, values in WHOLE.items():
        assert_series_equal(found[f"config.{key}"], pl.Series(f"config.{key}", values, pl.Int64))
    others = [column for column in plain.columns if column.removeprefix("config.") not in WHOLE]
    assert_frame_equal(found.select(others), plain.select(others))
    floats = {"config.half", "config.big", "config.said", "config.odd", "config.none"}
    assert floats <= {column for column in others if plain[column].dtype == pl.Float64}
    assert all(plain[f"config.{key}"].dtype == pl.Float64 for key in WHOLE)


@pytest.mark.parametrize("name", [name for name in CONVERTING if name.endswith("histories")])
def test_whole_numbers_of_histories_become_integers_too(name, whole_numbers):
    options = {"keys": ["whole", "some", "half", "big"], "run_columns": ["config.whole"]}
    if "pandas" in name:
        options["dtype_backend"] = "pyarrow"
    found = rows_of(read_converted(name, whole_numbers, convert_integer=True, **options))
    assert found["whole"].to_list() == found["config.whole"].to_list() == [0, 1, 2]
    assert found["some"].to_list() == [None, 1, 1]
    kinds = {each: found[each].dtype for each in ("whole", "some", "config.whole", "half", "big")}
    assert list(kinds.values()) == [pl.Int64] * 3 + [pl.Float64] * 2


@pytest.mark.parametrize(
    ("dtype_backend", "whole", "some"),
    [
        ("numpy", np.dtype("int64"), pd.Int64Dtype()),
        ("numpy_nullable", pd.Int64Dtype(), pd.Int64Dtype()),
        ("pyarrow", pd.ArrowDtype(pa.int64()), pd.ArrowDtype(pa.int64())),
    ],
)
def test_pandas_has_integers_beside_missing_values(whole_numbers, dtype_backend, whole, some):
    found = wbframe.pandas.read_runs(
        "e/p",
        columns=["config.whole", "config.some", "history_line_count"],
        dtype_backend=dtype_backend,
        convert_integer=True,
        client=whole_numbers,
    )
    assert found["config.whole"].dtype == whole
    assert found["config.some"].dtype == some
    assert [None if pd.isna(each) else each for each in found["config.some"]] == [7, None, None]


def test_the_report_is_that_of_the_frame_with_integers(whole_numbers):
    found = wbframe.read_runs("e/p", convert_integer=True, client=whole_numbers)
    assert wbframe.of(found).report == whole_numbers.last_report
