"""What a scan raises is ours, on both engines and whatever runs it, or can be had from what polars raises."""

from __future__ import annotations

import asyncio
import pickle
from datetime import datetime

import polars as pl
import polars.selectors as cs
import pytest

import wbframe
from wbframe.errors import (
    AnswerError,
    ColumnError,
    FilterError,
    ProjectNotFoundError,
    RunNotFoundError,
    SchemaMismatchError,
    WbframeError,
    unwrap,
)
from wbframe.polars import read_runs, scan_histories, scan_runs
from wbframe.scans.frames import ScanFrame
from wbframe.server import History, Project, RunRecord, serve

NUMBER = {"a": pl.Float64}


@pytest.fixture
def own():
    counts = {"a": {"typeCounts": [{"type": "number", "count": 1}]}}
    liar = RunRecord(
        name="liar", history=History([{"a": "text"}]), history_keys={"lastStep": 0, "keys": counts}
    )
    with (
        serve(Project(entity="e", name="m", runs=(liar,))) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        yield client


# By whose fault: while the schema is found, and while rows are read.
SCANS = {
    "schema": (lambda own: scan_histories("e/nope", client=own), ProjectNotFoundError),
    "schema, runs": (lambda own: scan_runs("e/m/nope", columns=["config.x"], client=own), WbframeError),
    "rows": (lambda own: scan_histories("e/m", keys=["a"], schema_overrides=NUMBER, client=own), SchemaMismatchError),
    "rows, runs": (lambda own: scan_runs("e/m/nope", client=own), RunNotFoundError),
    "buckets": (lambda own: wbframe.buckets.scan_buckets("e/nope", client=own), ProjectNotFoundError),
    "left": (lambda own: scan_runs("e/nope", client=own).wandb.histories(client=own), ProjectNotFoundError),
}  # fmt: skip
each_scan = pytest.mark.parametrize(("make", "kind"), SCANS.values(), ids=SCANS)


async def awaited(lazy, **options):
    return await lazy.collect_async(**options)


RUNS = {
    "collect": lambda lazy, _: lazy.collect(),
    "collect, streaming": lambda lazy, _: lazy.collect(engine="streaming"),
    "filter": lambda lazy, _: lazy.filter(pl.col("run_id") > "a").collect(),
    "head": lambda lazy, _: lazy.head(3).collect(),
    "with_columns": lambda lazy, _: lazy.with_columns(b=1).sort("run_id").collect(),
    "join": lambda lazy, _: lazy.join(lazy.select("run_id"), on="run_id").collect(),
    "sink_parquet": lambda lazy, tmp: lazy.sink_parquet(tmp / "x.parquet"),
    "sink_csv": lambda lazy, tmp: lazy.select(~cs.by_dtype(pl.List(pl.String))).sink_csv(
        tmp / "x.csv"
    ),
    "sink_ndjson": lambda lazy, tmp: lazy.select(~cs.by_dtype(pl.List(pl.String))).sink_ndjson(
        tmp / "x.ndjson"
    ),
    "async": lambda lazy, _: asyncio.run(awaited(lazy)),
    "async, streaming": lambda lazy, _: asyncio.run(awaited(lazy, engine="streaming")),
    "describe": lambda lazy, _: lazy.describe(),
}
if hasattr(pl.LazyFrame, "fetch"):
    RUNS["fetch"] = lambda lazy, _: (
        lazy._fetch(3) if hasattr(lazy, "_fetch") else lazy.head(3).collect()
    )
if hasattr(pl.LazyFrame, "collect_batches"):
    RUNS["collect_batches"] = lambda lazy, _: list(lazy.collect_batches())
# What polars runs by functions of its own, and frames that it makes by these.
ELSEWHERE = {
    "collect_all": lambda lazy: pl.collect_all([lazy]),
    "collect_all, streaming": lambda lazy: pl.collect_all([lazy, lazy.head(1)], engine="streaming"),
    "group_by": lambda lazy: lazy.group_by("run_id").first().collect(),
    "concat": lambda lazy: pl.concat([lazy, lazy]).collect(engine="streaming"),
    "background": lambda lazy: lazy.collect(background=True).fetch_blocking(),
    "other": lambda lazy: pl.LazyFrame({"run_id": ["a"]}).join(lazy, on="run_id").collect(),
}


@each_scan
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_what_a_scan_raises_is_our_error(own, tmp_path, make, kind, run):
    with pytest.raises(kind) as error:
        run(make(own), tmp_path)
    assert isinstance(error.value, WbframeError)
    assert "\n" not in str(error.value)
    assert unwrap(error.value) is error.value


@each_scan
@pytest.mark.parametrize("run", ELSEWHERE.values(), ids=ELSEWHERE)
def test_where_polars_takes_the_type_away_it_can_be_had_and_the_message_says_it(
    own, make, kind, run
):
    with pytest.raises((kind, pl.exceptions.ComputeError)) as error:
        run(make(own))
    ours = unwrap(error.value)
    assert isinstance(ours, kind)
    if ours is not error.value:
        assert f"{type(ours).__name__}: {ours}" in str(error.value)


@each_scan
def test_asking_for_columns_raises_our_error_too(own, make, kind):
    lazy = make(own)
    if kind in {SchemaMismatchError, RunNotFoundError}:
        assert "run_id" in lazy.collect_schema()
        return
    for ask in (lazy.collect_schema, lazy.explain, lambda: wbframe.explain(lazy)):
        with pytest.raises(kind):
            ask()


def test_the_error_keeps_its_report_and_its_attributes(own):
    with pytest.raises(SchemaMismatchError) as error:
        SCANS["rows"][0](own).collect(engine="streaming")
    assert error.value.key == "a"
    assert error.value.report.projects == ("e/m",)
    with pytest.raises((SchemaMismatchError, pl.exceptions.ComputeError)) as error:
        pl.collect_all([SCANS["rows"][0](own)])
    assert unwrap(error.value).key == "a"
    assert unwrap(error.value).report.projects == ("e/m",)


def test_errors_of_polars_stay_those_of_polars(own):
    with pytest.raises(pl.exceptions.PolarsError) as error:
        scan_runs("e/m", client=own).select(pl.col("nope")).collect()
    assert unwrap(error.value) is None
    assert unwrap(ValueError("any")) is None


def test_a_wrong_column_is_our_error(own):
    with pytest.raises(ColumnError, match="'zz'"):
        scan_histories("e/m", keys=["zz"], client=own).collect(engine="streaming")


def test_unwrap_finds_causes():
    error = RuntimeError("that")
    error.__cause__ = AnswerError("this")
    assert unwrap(error) is error.__cause__


def test_a_scan_is_a_lazy_frame_in_every_respect(own):
    lazy = scan_runs("e/m", client=own)
    assert isinstance(lazy, pl.LazyFrame)
    assert isinstance(lazy.filter(state="finished").with_columns(b=1).sort("b").head(3), ScanFrame)
    again = pickle.loads(pickle.dumps(scan_histories("e/m", client=own)))
    assert isinstance(again, pl.LazyFrame)
    assert lazy.collect().equals(read_runs("e/m", client=own))


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_key_that_is_text_in_some_runs_says_how_it_is_compared(engine):
    runs = tuple(
        RunRecord(name=f"r{i}", config={"lr": lr}) for i, lr in enumerate([1e-3, "1e-5", 0.1])
    )
    with (
        serve(Project(entity="e", name="p", runs=runs)) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        lazy = wbframe.scan_runs("e/p", client=client)
        with pytest.raises(FilterError, match=r"config\.lr is text in some runs") as caught:
            lazy.filter(pl.col("config.lr") < 0.01).collect(engine=engine)
        assert ".cast(pl.Float64)" in str(caught.value)
        assert isinstance(caught.value.__cause__, pl.exceptions.PolarsError)
        cast = lazy.filter(pl.col("config.lr").cast(pl.Float64) < 0.01)
        assert cast.collect(engine=engine)["run_id"].to_list() == ["r0", "r1"]


NUMBERS = (
    lambda x: x > 0.1,
    lambda x: x == 0.1,
    lambda x: x.is_in([0.1]),
    lambda x: x.is_between(0, 1),
    lambda x: x * 2 > 1,
    lambda x: x.is_finite(),
    lambda x: x.abs() > 1,
)
BOOLEANS = (lambda x: x, lambda x: ~x, lambda x: x & (pl.col("run_id") == "r0"))


@pytest.fixture(scope="module")
def worded():
    """Runs of which some have text for numbers and for booleans."""
    values = {"x": [0.1, "0.2", 0.3], "b": [True, "true", False]}
    runs = tuple(
        RunRecord(name=f"r{i}", config=row, history=History([row]))
        for i, row in enumerate({key: each[i] for key, each in values.items()} for i in range(3))
    )
    with (
        serve(Project(entity="e", name="p", runs=runs)) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        yield client


@pytest.mark.parametrize(("key", "of", "how"), [
    *(("x", each, "pl.col({0!r}).cast(pl.Float64)`, or schema_overrides={{{0!r}: pl.Float64}}") for each in NUMBERS),
    *(("b", each, "; {0} is text in some runs: schema_overrides={{{0!r}: pl.Boolean}}") for each in BOOLEANS),
])  # fmt: skip
def test_every_way_to_take_text_for_another_type_says_how_it_is_read(
    worded, tmp_path, key, of, how
):
    named = read_runs("e/p", client=worded)
    for column, scan in [
        (f"config.{key}", scan_runs("e/p", client=worded)),
        (key, scan_histories("e/p", client=worded)),
        (key, named.lazy().wandb.histories(client=worded)),
    ]:
        lazy = scan.filter(of(pl.col(column)))
        for run in (
            lazy.collect,
            lambda lazy=lazy: lazy.select("run_id").sink_csv(tmp_path / "x.csv"),
        ):
            with pytest.raises(FilterError) as caught:
                run()
            assert how.format(column) in str(caught.value)
            assert "FAILED" not in str(caught.value)
            assert isinstance(caught.value.__cause__, pl.exceptions.PolarsError)
    with pytest.raises(FilterError) as caught:
        read_runs("e/p", filters=of(pl.col(f"config.{key}")), client=worded)
    assert how.format(f"config.{key}") in str(caught.value)


def test_a_time_without_a_zone_says_how_it_is_written(worded):
    naive = pl.col("created_at") > datetime(2020, 1, 1)  # noqa: DTZ001 -- what it is about
    said = r"write datetime\(\.\.\., tzinfo=timezone\.utc\)"
    for read in (
        lambda: read_runs("e/p", filters=naive, client=worded),
        lambda: scan_runs("e/p", client=worded).filter(naive).collect(),
        lambda: scan_histories("e/p", run_columns=["created_at"], client=worded).filter(naive).collect(),
    ):  # fmt: skip
        with pytest.raises(FilterError, match=said):
            read()


def test_what_polars_says_of_columns_that_are_no_keys_stays_its_own(worded):
    for lazy in (
        scan_runs("e/p", client=worded).filter(pl.col("name") > 1),
        scan_histories("e/p", client=worded).with_columns(y=pl.lit("a")).filter(pl.col("y") > 1),
        scan_histories("e/p", client=worded).select(pl.col("x").cast(pl.Int64)),
    ):
        with pytest.raises(pl.exceptions.PolarsError):
            lazy.collect()
