"""What `schema_overrides` promise: the values that runs and rows hold, whole, and never fewer runs."""

from __future__ import annotations

import math
from contextlib import contextmanager
from decimal import Decimal

import polars as pl
import pytest

import wbframe.pandas
from wbframe import arrow
from wbframe.errors import FilterError, PrecisionWarning, SchemaMismatchError
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.server import Exports, Features, History, Project, RunRecord, serve

# Of a key: what the runs hold, the promised type, a condition, and the places of the runs that it keeps.
HIDDEN = {
    "numbers as text": ([0.001, "1e-5", 0.1], pl.Float64, lambda key: key < 0.01, [0, 1]),
    "whole numbers as text": ([3, "3", 4], pl.Int64, lambda key: key == 3, [0, 1]),
    "wide whole numbers": ([3, "3", 4], pl.Int128, lambda key: key.is_in([3, 5]), [0, 1]),
    "decimals": ([0.5, "0.25", 2], pl.Decimal(20, 2), lambda key: key < 1, [0, 1]),
    "booleans as text": ([True, "true", "False"], pl.Boolean, lambda key: key, [0, 1]),
    "a negation": ([True, "true", "False"], pl.Boolean, lambda key: ~key, [2]),
    "infinities": ([1, "inf", "Infinity"], pl.Float64, lambda key: key > 5, [1, 2]),
    "not a number": ([1, "nan", "NaN"], pl.Float64, lambda key: key.is_nan(), [1, 2]),
    "times": ([0, "2026-01-01", "2026-01-02T00:00:00Z"], pl.Datetime("us", "UTC"),
              lambda key: key > pl.datetime(2025, 1, 1, time_zone="UTC"), [1, 2]),
    "lists": ([[1, 2], "[3]", [3, 1]], pl.List(pl.Int64), lambda key: key.list.contains(3), [1, 2]),
    "text": ([1, "1", 2], pl.String, lambda key: key == "1", [0, 1]),
}  # fmt: skip


@contextmanager
def runs_of(values, *, exports=None, features=None, **columns):
    """Serve a run a value, which is in its config, its summary and its rows."""
    runs = tuple(
        RunRecord(
            name=f"r{i}",
            config={"x": value},
            summary={"x": value},
            history=History([{"x": value}]),
            created_at=f"2026-01-0{i + 1}T00:00:00Z",
            **columns,
        )
        for i, value in enumerate(values)
    )
    project = Project(entity="e", name="p", runs=runs)
    with (
        serve(project, exports=exports, features=features) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        yield client


@pytest.mark.parametrize("features", [None, Features(fields=False)], ids=["index", "no index"])
@pytest.mark.parametrize("column", ["config.x", "summary.x"])
@pytest.mark.parametrize(("values", "dtype", "condition", "kept"), HIDDEN.values(), ids=HIDDEN)
def test_an_override_hides_no_run(values, dtype, condition, kept, column, features):
    predicate, wanted = condition(pl.col(column)), [f"r{i}" for i in kept]
    options = {"schema_overrides": {column: dtype}}
    with runs_of(values, features=features) as client:
        options["client"] = client
        eager = read_runs("e/p", filters=predicate, **options)
        assert eager["run_id"].to_list() == wanted
        table = arrow.read_runs("e/p", filters=predicate, columns=["run_id"], **options)
        assert table["run_id"].to_pylist() == wanted
        lazy = scan_runs("e/p", columns=["run_id", column], **options).filter(predicate)
        assert lazy.collect()["run_id"].to_list() == wanted
        assert lazy.select(pl.len()).collect().item() == len(wanted)
        rows = read_histories("e/p", filters=predicate, samples=None, **options)
        assert rows["run_id"].to_list() == wanted
        rows = scan_histories("e/p", run_columns=[column], **options).filter(predicate)
        assert rows.collect()["run_id"].to_list() == wanted


def test_what_is_pushed_does_not_hang_on_the_promise():
    """Conditions on what is not promised are the server's as ever."""
    with runs_of([1, "2", 3]) as client:
        lazy = scan_runs("e/p", schema_overrides={"config.x": pl.Int64}, client=client)
        told = wbframe.explain(lazy.filter(pl.col("config.x") > 1, pl.col("state") == "finished"))
    found = {each.status: each for each in told.scans[0].conjuncts}
    assert found.keys() == {"local", "exact"}
    assert "config.x" in found["local"].text
    assert "type that was asked for" in found["local"].reason


@pytest.mark.parametrize("column", ["config.x", "summary.x"])
def test_a_filter_of_numbers_over_text_says_how_they_are_read(column):
    with runs_of([0.001, "1e-5", 0.1]) as client:
        with pytest.raises(FilterError, match="is text in some runs") as caught:
            read_runs("e/p", filters=pl.col(column) < 0.01, client=client)
        assert f"pl.col('{column}').cast(pl.Float64)" in str(caught.value)
        assert f"schema_overrides={{'{column}': pl.Float64}}" in str(caught.value)
        with pytest.raises(FilterError, match="is text in some runs"):
            read_histories("e/p", filters=pl.col(column) < 0.01, client=client)
        cast = read_runs("e/p", filters=pl.col(column).cast(pl.Float64) < 0.01, client=client)
        assert cast["run_id"].to_list() == ["r0", "r1"]


# ---------------------------------------------------------------- what text spells

SPELLED = {
    "Float64": (pl.Float64, ["3", "1e-5", " .5 ", "+2.", "nan", "-inf", 7, None],
                [3.0, 1e-5, 0.5, 2.0, math.nan, -math.inf, 7.0, None]),
    "Float32": (pl.Float32, ["3", 0.5, None], [3.0, 0.5, None]),
    "Int64": (pl.Int64, ["3", "-4", "9223372036854775807", "5.0", 6, None], [3, -4, 2**63 - 1, 5, 6, None]),
    "UInt8": (pl.UInt8, ["255", 0, None], [255, 0, None]),
    "Boolean": (pl.Boolean, ["true", "false", "True", "False", True, None],
                [True, False, True, False, True, None]),
    "Int128": (pl.Int128, [2**100 + 1, str(-(2**127)), "3", None], [2**100 + 1, -(2**127), 3, None]),
    "UInt64": (pl.UInt64, [2**64 - 1, str(2**64 - 1), None], [2**64 - 1, 2**64 - 1, None]),
    "Decimal": (pl.Decimal(38, 0), [2**100 + 1, str(2**100 + 1), None],
                [Decimal(2**100 + 1), Decimal(2**100 + 1), None]),
    "fractions": (pl.Decimal(20, 3), [0.1, "12.345", 2, None],
                  [Decimal("0.1"), Decimal("12.345"), Decimal(2), None]),
    "lists": (pl.List(pl.Int128), [[2**100 + 1, "3"], None], [[2**100 + 1, 3], None]),
}  # fmt: skip


def same(left, right):
    """Tell whether lists are equal, NaN being equal to itself."""
    return len(left) == len(right) and all(
        a == b or (a != a and b != b)  # noqa: PLR0124 -- NaN alone is unequal to itself
        for a, b in zip(left, right, strict=True)
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("dtype", "given", "wanted"), SPELLED.values(), ids=SPELLED)
def test_an_override_reads_text_and_every_digit(dtype, given, wanted):
    exact = {f"{head}.x": dtype for head in ("config", "summary")}
    with runs_of(given) as client:
        frame = read_runs("e/p", schema_overrides=exact, client=client)
        for column in exact:
            assert frame[column].dtype == dtype
            assert same(frame[column].to_list(), wanted), column
        for samples in (500, None):
            rows = read_histories(
                "e/p", keys=["x"], samples=samples, schema_overrides={"x": dtype}, client=client
            )
            assert rows["x"].dtype == dtype
            told = dict(zip(*rows["run_id", "x"].to_dict(as_series=False).values(), strict=True))
            assert same([told.get(f"r{i}") for i in range(len(wanted))], wanted), samples
        lazy = scan_histories("e/p", keys=["x"], schema_overrides={"x": dtype}, client=client)
        assert same(lazy.collect()["x"].drop_nulls().to_list(), rows["x"].drop_nulls().to_list())


@pytest.mark.parametrize(
    ("dtype", "given", "wanted"),
    [SPELLED[name] for name in ("Float64", "Int64", "UInt8", "Boolean", "lists")],
    ids=["Float64", "Int64", "UInt8", "Boolean", "lists"],
)
def test_exported_files_are_read_so_too(dtype, given, wanted):
    with runs_of(given, exports=Exports.all()) as client:
        rows = read_histories(
            "e/p", keys=["x"], samples=None, schema_overrides={"x": dtype}, client=client
        )
    told = dict(zip(*rows["run_id", "x"].to_dict(as_series=False).values(), strict=True))
    assert same([told.get(f"r{i}") for i in range(len(wanted))], wanted)


@pytest.mark.parametrize("dtype", [pl.Int128, pl.Decimal(38, 0)])
def test_a_file_that_holds_an_integer_as_a_float_is_warned_of_by_its_key(dtype):
    """What the exporter has rounded no override brings back."""
    with (
        runs_of([2**70 + 1], exports=Exports.all()) as client,
        pytest.warns(PrecisionWarning, match="'x'"),
    ):
        rows = read_histories(
            "e/p", keys=["x"], samples=None, schema_overrides={"x": dtype}, client=client
        )
    assert float(rows["x"][0]) == 2.0**70


@pytest.mark.parametrize(
    ("value", "dtype"),
    [("auto", pl.Float64), ("3.5", pl.Int64), ("1", pl.Boolean), ("", pl.Float64)],
)
def test_text_that_is_no_number_is_still_an_error(value, dtype):
    with runs_of([value]) as client:
        with pytest.raises(SchemaMismatchError, match=r"'config\.x' holds"):
            read_runs("e/p", schema_overrides={"config.x": dtype}, client=client)
        with pytest.raises(SchemaMismatchError, match=r"'x' holds"):
            read_histories("e/p", schema_overrides={"x": dtype}, client=client)


def test_without_an_override_text_stays_text():
    with runs_of([1, "2"]) as client:
        assert read_runs("e/p", client=client)["config.x"].to_list() == ["1", "2"]
        assert read_histories("e/p", keys=["x"], client=client)["x"].to_list() == ["1", "2"]


def test_digits_beyond_a_decimal_are_an_error():
    with (
        runs_of(["0.125"]) as client,
        pytest.raises(SchemaMismatchError, match=r"'config\.x' holds"),
    ):
        read_runs("e/p", schema_overrides={"config.x": pl.Decimal(20, 2)}, client=client)


@pytest.mark.parametrize("dtype", [pl.Int128, pl.UInt128])
def test_wide_integers_are_exact_in_arrow_and_pandas_too(dtype):
    exact = {"config.x": dtype}
    with runs_of([2**100 + 1, "3", None]) as client:
        table = arrow.read_runs("e/p", schema_overrides=exact, client=client)
        frame = wbframe.pandas.read_runs("e/p", schema_overrides=exact, client=client)
    assert table["config.x"].to_pylist() == [2**100 + 1, 3, None]
    assert frame["config.x"].to_list() == [2**100 + 1, 3, None]
