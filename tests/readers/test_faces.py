"""polars, pandas and Arrow give the same frame; nobody pays for a face that is not used."""

from __future__ import annotations

import gc
import json
import math
from dataclasses import asdict

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

import wbframe
from tests.test_signatures import READERS, called, rows_of
from wbframe.errors import (
    NewKeyWarning,
    RunNotFoundError,
    SchemaMismatchError,
    StatusError,
    UsageError,
)
from wbframe.server import Features, History, Project, RunRecord, serve, synthetic

pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")

CALLS = {
    "runs": ("runs", "wbframe/ragged", {}),
    "runs, some": ("runs", "wbframe/ragged", {"columns": ["summary.*", "tags", "run_id", "created_at"], "order": "-created_at"}),
    "runs, whole numbers": ("runs", "wbframe/ragged", {"schema_overrides": {"config.big": pl.Int64}, "filters": pl.col("state") == "finished"}),
    "runs, none": ("runs", "wbframe/empty", {}),
    "runs, demo": ("runs", "wbframe/demo", {"limit": 5}),
    "rows": ("histories", "wbframe/ragged", {"samples": 10_000}),
    "rows, some": ("histories", "wbframe/ragged", {"keys": ["train/loss", "eval/loss", "flag"], "run_columns": ["state", "tags", "config.lr"]}),
    "rows, whole numbers": ("histories", "wbframe/ragged", {"keys": ["big/odd", "train/loss"], "schema_overrides": {"big/odd": pl.Int64}}),
    "rows, machine": ("histories", "wbframe/ragged", {"stream": "system", "samples": 500}),
    "rows, none": ("histories", "wbframe/empty", {"keys": ["a"]}),
    "rows, demo": ("histories", "wbframe/demo", {"keys": ["train/loss", "eval/best"], "samples": 500, "limit": 4}),
}  # fmt: skip
CALL = pytest.mark.parametrize(("what", "path", "options"), CALLS.values(), ids=CALLS.keys())


def reader(face, what):
    return getattr(face, f"read_{what}")


def polars_of(table):
    """Read a table in polars, which would rename a column without a name."""
    numbered = table.rename_columns([str(i) for i in range(table.num_columns)])
    frame = pl.from_arrow(numbered)
    frame.columns = table.column_names
    return frame


def cells(frame):
    """Give every cell of a pandas frame as polars has it: null is None, and only a float can be NaN."""
    found = {}
    for name in frame.columns:
        series = frame[name]
        values = series.tolist()
        if isinstance(series.dtype, pd.ArrowDtype):
            values = pa.array(series.array).to_pylist()
        found[name] = [list(v) if isinstance(v, np.ndarray) else v for v in values]
    return found


def missing(value):
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float) and math.isnan(value))
    )


def same(wanted, got, *, numpy):
    """Tell whether a pandas cell is that of polars."""
    if wanted is None or (isinstance(wanted, float) and math.isnan(wanted)):
        return missing(got) and (
            numpy or (got is pd.NA or got is pd.NaT or got is None) == (wanted is None)
        )
    if isinstance(wanted, list):
        return list(got) == wanted
    return (
        not missing(got)
        and got == wanted
        and isinstance(got, bool | np.bool_) == isinstance(wanted, bool)
    )


# ---------------------------------------------------------------- the same on all faces


@CALL
def test_arrow_is_polars_cell_by_cell(what, path, options, client):
    frame = reader(wbframe.polars, what)(path, client=client, **options)
    table = reader(wbframe.arrow, what)(path, client=client, **options)
    assert isinstance(table, pa.Table)
    assert table.column_names == frame.columns
    assert_frame_equal(polars_of(table), frame)
    text = [field.type for field in table.schema if pa.types.is_large_string(field.type)]
    assert len(text) == sum(dtype == pl.String for dtype in frame.dtypes)


@CALL
def test_readers_of_batches_give_the_same_table(what, path, options, client):
    frame = reader(wbframe.polars, what)(path, client=client, **options)
    batches = getattr(wbframe.arrow, f"{what}_reader")(path, client=client, **options)
    assert isinstance(batches, pa.RecordBatchReader)
    schema = batches.schema
    table = batches.read_all()
    assert table.schema == schema
    assert_frame_equal(polars_of(table), frame)


@CALL
@pytest.mark.parametrize("dtype_backend", ["numpy", "numpy_nullable", "pyarrow"])
def test_pandas_is_polars_cell_by_cell(what, path, options, dtype_backend, client):
    frame = reader(wbframe.polars, what)(path, client=client, **options)
    got = reader(wbframe.pandas, what)(path, client=client, dtype_backend=dtype_backend, **options)
    assert list(got.columns) == frame.columns
    assert isinstance(got.index, pd.RangeIndex)
    assert len(got) == frame.height
    found = cells(got)
    for name in frame.columns:
        pairs = zip(frame[name].to_list(), found[name], strict=True)
        wrong = [
            (i, a, b)
            for i, (a, b) in enumerate(pairs)
            if not same(a, b, numpy=dtype_backend == "numpy")
        ]
        assert not wrong, (name, got[name].dtype, wrong[:5])


def test_dtypes_of_the_three_backends(client):
    options = {
        "columns": [
            "run_id",
            "config.big",
            "history_line_count",
            "summary.flag",
            "created_at",
            "summary.lr",
        ]
    }
    options["schema_overrides"] = {"config.big": pl.Int64}
    read = wbframe.pandas.read_runs
    numpy = read("wbframe/ragged", client=client, **options).dtypes.astype(str).to_dict()
    assert numpy["history_line_count"] == "int64"
    assert numpy["config.big"] == "object"  # with nulls, and too large for a float
    assert numpy["created_at"] == "datetime64[us, UTC]"
    assert numpy["summary.lr"] == "float64"
    nullable = read(
        "wbframe/ragged", dtype_backend="numpy_nullable", client=client, **options
    ).dtypes
    assert [str(each) for each in nullable[:4]] == ["string", "Int64", "Int64", "boolean"]
    arrow = read("wbframe/ragged", dtype_backend="pyarrow", client=client, **options).dtypes
    assert all(isinstance(each, pd.ArrowDtype) for each in arrow)
    assert arrow["config.big"].pyarrow_dtype == pa.int64()


def test_whole_numbers_with_nulls_that_a_float_holds_are_floats_in_numpy():
    runs = tuple(
        RunRecord(name=name, summary=summary) for name, summary in (("a", {"n": 7}), ("b", {}))
    )
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = wbframe.pandas.read_runs(
            "e/p", columns=["summary.n"], schema_overrides={"summary.n": pl.Int64}, client=client
        )
    assert frame["summary.n"].dtype == np.float64
    assert frame["summary.n"].tolist()[0] == 7.0


def test_an_unknown_backend_is_refused_before_any_request(web, client):
    with pytest.raises(
        UsageError, match=r"`dtype_backend` must be one of .*'pyarow'.*Did you mean 'pyarrow'"
    ):
        wbframe.pandas.read_runs("wbframe/ragged", dtype_backend="pyarow", client=client)
    with pytest.raises(UsageError, match="dtype_backend"):
        wbframe.pandas.read_histories("wbframe/ragged", dtype_backend="", client=client)
    assert not web.requests


# ---------------------------------------------------------------- reports travel with the frame


@pytest.mark.parametrize("what", ["runs", "histories"])
def test_frames_say_how_they_were_read(what, client):
    options = {"client": client, **({"samples": 500} if what == "histories" else {})}
    table = reader(wbframe.arrow, what)("wbframe/demo", **options)
    report = json.loads(table.schema.metadata[b"wbframe"])
    assert report["kind"] == what
    assert report["rows"] == table.num_rows
    frame = reader(wbframe.pandas, what)("wbframe/demo", **options)
    assert frame.attrs["wbframe"] == asdict(client.last_report)
    json.dumps(frame.attrs["wbframe"])
    polars = reader(wbframe.polars, what)("wbframe/demo", **options)
    assert polars.wandb.report == client.last_report
    assert polars.clone().wandb.report is None


def test_reports_of_frames_that_are_gone_are_gone_too(client):
    from wbframe.report import _reports

    frame = wbframe.polars.read_runs("wbframe/demo", columns=["run_id"], client=client)
    place = id(frame)
    assert _reports[place] is client.last_report
    del frame
    gc.collect()
    assert place not in _reports


# ---------------------------------------------------------------- the Arrow C stream


def test_duckdb_reads_tables_and_streams(client):
    options = {"keys": ["train/loss"], "samples": 500, "client": client}
    table = wbframe.arrow.read_histories("wbframe/demo", **options)
    stream = wbframe.arrow.histories_reader("wbframe/demo", **options)
    runs = wbframe.arrow.runs_reader("wbframe/demo", client=client)
    connection = duckdb.connect()
    connection.register("rows", table)
    assert connection.sql("select count(*) from rows").fetchall() == [(table.num_rows,)]
    connection.register("stream", stream)
    query = 'select run_id, max("train/loss") from stream group by run_id order by run_id'
    got = dict(connection.sql(query).fetchall())
    frame = pl.from_arrow(table).group_by("run_id").agg(pl.col("train/loss").max())
    # DuckDB orders NaN above all numbers, as polars does not
    finite = {k: v for k, v in got.items() if not math.isnan(v)}
    assert finite == {k: v for k, v in frame.rows() if k in finite}
    assert len(finite) >= 23
    connection.register("runs", runs)
    assert connection.sql("select count(distinct run_id) from runs").fetchall() == [(24,)]


def test_anything_that_takes_the_c_stream_takes_a_reader(client):
    batches = wbframe.arrow.runs_reader("wbframe/demo", columns=["run_id", "state"], client=client)
    assert hasattr(batches, "__arrow_c_stream__")
    assert pl.DataFrame(batches).height == 24


def test_a_reader_hands_out_a_page_before_the_next_is_asked_for(web, client):
    batches = wbframe.arrow.runs_reader(
        "wbframe/demo", columns=["run_id"], per_page=10, client=client
    )
    first = batches.read_next_batch()
    assert first.num_rows == 10
    assert len([request for request in web.requests if request.operation == "Runs"]) == 1
    assert [batch.num_rows for batch in batches] == [10, 4]


def test_a_reader_that_is_dropped_stops_asking():
    project = synthetic(runs=1000, rows=1, keys=1)
    with (
        serve(project) as server,
        wbframe.Client(server.url, server.api_key, concurrency=1) as client,
    ):
        batches = wbframe.arrow.histories_reader(project.path, keys=["metric/00"], client=client)
        batches.read_next_batch()
        batches.close()
        del batches
        assert len([request for request in server.requests if request.operation == "Rows"]) < 10


def test_an_error_on_a_later_page_comes_out_of_the_reader():
    project = synthetic(runs=30, rows=1, keys=1)
    with serve(project) as server:
        policy = wbframe.RetryPolicy(tries=1)
        client = wbframe.Client(server.url, server.api_key, retry=policy)
        batches = wbframe.arrow.runs_reader(
            project.path, columns=["run_id"], per_page=10, client=client
        )
        batches.read_next_batch()
        server.fail(status=503, times=10)
        with pytest.raises(StatusError, match="HTTP 503"):
            batches.read_all()


def index_of(*paths):
    """The answer of an index that names some paths, all of numbers."""
    edges = [{"node": {"path": path, "type": "number"}} for path in paths]
    fields = {"edges": edges, "pageInfo": {"hasNextPage": False}}
    return json.dumps({"data": {"project": {"fields": fields}}}).encode()


def test_keys_that_no_index_names_are_found_by_looking_at_runs():
    run = RunRecord(name="r", config={"a": 1})
    with serve(Project(entity="e", name="p", runs=(run,))) as server:
        client = wbframe.Client(server.url, server.api_key)
        server.fail(body=index_of(), match="fields(", times=3)
        table = wbframe.arrow.runs_reader("e/p", client=client).read_all()
        assert table["config.a"].to_pylist() == [1.0]
        assert wbframe.polars.read_runs("e/p", client=client)["config.a"].to_list() == [1.0]
        assert wbframe.polars.scan_runs("e/p", client=client).collect()["config.a"].to_list() == [1]


@pytest.mark.parametrize("predicate", [None, pl.col("run_id").rank() == 2])
def test_keys_that_nothing_told_of_are_left_out_with_a_warning(predicate):
    runs = tuple(
        RunRecord(
            name=f"r{i}",
            config={"b": 2} | ({"a": 1} if i == 1 else {}),
            created_at=f"2026-01-0{i + 1}T00:00:00Z",
        )
        for i in range(3)
    )
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        client = wbframe.Client(server.url, server.api_key)
        server.fail(body=index_of("config.b.value"), match="fields(", times=2)
        options = {"filters": predicate, "infer_schema_runs": 1, "client": client}
        with pytest.warns(NewKeyWarning, match=r"'config\.a'.*ask for them by name"):
            found = wbframe.polars.scan_runs("e/p", **options).collect()
        assert found["config.b"].to_list() == [2.0] * found.height
        with pytest.raises(Exception, match=r"config\.a"):
            wbframe.polars.scan_runs("e/p", **options, on_new_key="raise").collect()
        named = wbframe.polars.scan_runs("e/p", columns=["config.a"], client=client).collect()
        assert named["config.a"].to_list() == [None, 1.0, None]


def test_pages_are_read_again_where_the_index_has_the_wrong_type():
    values = [0.5, 2, "x"]
    runs = tuple(
        RunRecord(name=f"r{i}", config={"a": value}, created_at=f"2026-01-0{i + 1}T00:00:00Z")
        for i, value in enumerate(values)
    )
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        client = wbframe.Client(server.url, server.api_key)
        server.fail(body=index_of("config.a.value", "summary_metrics.x"), match="fields(")
        server.requests.clear()
        frame = wbframe.polars.read_runs("e/p", per_page=1, client=client)
        assert frame["config.a"].to_list() == ["0.5", "2", "x"]
        assert len(server.requests) == 1 + 2 * 3
        assert frame.wandb.report.requests == 7


def test_an_index_with_the_wrong_type_costs_a_column_its_type_and_no_cell():
    runs = tuple(
        RunRecord(name=name, config={"a": value}) for name, value in (("r", 1), ("s", "x"))
    )
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        client = wbframe.Client(server.url, server.api_key)
        server.fail(body=index_of("config.a.value", "summary_metrics.x"), match="fields(")
        assert wbframe.polars.read_runs("e/p", client=client)["config.a"].to_list() == ["1", "x"]
        server.fail(body=index_of("config.a.value", "summary_metrics.x"), match="fields(")
        with pytest.raises(SchemaMismatchError, match=r"config\.a"):
            wbframe.arrow.runs_reader("e/p", client=client).read_all()


@pytest.mark.parametrize("what", ["runs", "histories"])
def test_readers_of_old_servers(what, client):
    with serve("ragged", features=Features(fields=False, projection=False)) as old:
        own = wbframe.Client(old.url, old.api_key)
        table = getattr(wbframe.arrow, f"{what}_reader")("wbframe/ragged", client=own).read_all()
        assert_frame_equal(
            polars_of(table), reader(wbframe.polars, what)("wbframe/ragged", client=own)
        )


def test_readers_find_what_is_missing_before_they_return(client):
    with pytest.raises(RunNotFoundError):
        wbframe.arrow.histories_reader("wbframe/demo/runs/nope", client=client)


def test_rows_with_a_key_of_a_running_run_that_nobody_promised():
    keys = {"a": {"typeCounts": [{"type": "number", "count": 1}]}}
    run = RunRecord(
        name="r",
        state="running",
        history=History([{"a": 1, "b": 2}]),
        history_keys={"lastStep": 0, "keys": keys},
    )
    with serve(Project(entity="e", name="p", runs=(run,))) as server:
        client = wbframe.Client(server.url, server.api_key)
        table = wbframe.arrow.histories_reader("e/p", client=client).read_all()
        assert table["b"].to_pylist() == [2.0]


# ---------------------------------------------------------------- on the modules themselves


def test_the_readers_are_on_polars_and_pandas():
    assert pl.read_wandb_runs is wbframe.polars.read_runs
    assert pl.read_wandb_histories is wbframe.polars.read_histories
    assert pd.read_wandb_runs is wbframe.pandas.read_runs
    assert pd.read_wandb_histories is wbframe.pandas.read_histories


def test_the_package_has_the_readers_that_polars_has():
    names = {name for name in dir(wbframe) if name.startswith(("read_", "scan_"))}
    assert names == {name.replace("wandb_", "") for name in dir(pl) if "_wandb_" in name}
    for name in names:
        verb, what = name.split("_")
        assert getattr(wbframe, name) is getattr(pl, f"{verb}_wandb_{what}")


@pytest.mark.parametrize("kind", [pl.DataFrame, pl.LazyFrame, pd.DataFrame])
def test_the_namespace_of_any_frame(kind, client):
    frame = kind({"entity": ["wbframe"], "project": ["ragged"], "run_id": ["huge"], "wandb": [1]})
    namespace = wbframe.of(frame)
    assert type(namespace) is type(kind({"run_id": []}).wandb)
    found = namespace.runs(columns=["run_id", "state"], client=client)
    assert list(found.columns if kind is pd.DataFrame else found.collect_schema()) == ["run_id", "state"]  # fmt: skip


@pytest.mark.parametrize("given", [None, pl.Series(), {"run_id": ["a"]}, pl])
def test_what_has_no_namespace_is_told(given):
    with pytest.raises(UsageError, match=f"`frame` must be a frame .*; got {type(given).__name__}"):
        wbframe.of(given)


@pytest.mark.parametrize("name", READERS)
def test_all_faces_take_the_drop_ins_api_for_a_client(name):
    runs = (RunRecord(name="r", config={"a": 1}, history=History([{"a": 1}])),)
    with (
        serve(Project(entity="e", name="p", runs=runs)) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        rows = rows_of(called(name)(client=wbframe.Api(client=client)))
        sent = client.traffic.requests
        assert rows.height == 1
        assert sent == len(server.requests) > 0
        assert rows.equals(rows_of(called(name)(client=client)))
