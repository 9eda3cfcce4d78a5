"""Scans under everything that runs a lazy frame: engines, threads, pickles, errors, an early end."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wbframe
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.server import serve, synthetic

pytestmark = pytest.mark.filterwarnings(
    "ignore::wbframe.errors.PrecisionWarning",
    "ignore:`LazyFrame.collect_batches` is:Warning",
    "ignore:.*unstable:Warning",
)

ENGINES = ["in-memory", "streaming"]
FINISHED = pl.col("state") == "finished"
BOTH = [(scan_runs, read_runs, {}), (scan_histories, read_histories, {"run_columns": ["state"]})]
both = pytest.mark.parametrize(("scan", "read", "options"), BOTH, ids=["runs", "histories"])


def client_of(server):
    return wbframe.Client(server.url, server.api_key, retry=wbframe.RetryPolicy(tries=1))


@pytest.fixture(scope="module")
def large():
    with serve(synthetic(runs=150, rows=200, keys=4)) as server:
        yield server


@pytest.fixture
def reader(large):
    large.clear()
    with client_of(large) as made:
        yield made


LARGE = "wbframe/synthetic"


# ---------------------------------------------------------------- ways to collect


@both
def test_batches(scan, read, options, reader):
    eager = read(LARGE, client=reader, **options)
    lazy = scan(LARGE, client=reader, **options).filter(FINISHED)
    batches = list(lazy.collect_batches(chunk_size=1000))
    assert_frame_equal(pl.concat(batches), eager.filter(FINISHED))


@both
def test_sinks(scan, read, options, reader, tmp_path):
    eager = read(LARGE, client=reader, **options)
    scan(LARGE, client=reader, **options).filter(~FINISHED).sink_parquet(tmp_path / "out.parquet")
    assert_frame_equal(pl.read_parquet(tmp_path / "out.parquet"), eager.filter(~FINISHED))


@pytest.mark.parametrize("engine", ENGINES)
def test_several_at_once(engine, client):
    runs = scan_runs("wbframe/ragged", client=client)
    rows = scan_histories("wbframe/ragged", run_columns=["state"], client=client)
    some, all_, counted = pl.collect_all(
        [rows.filter(FINISHED), runs, runs.select(pl.len())], engine=engine
    )
    assert_frame_equal(some, rows.collect().filter(FINISHED))
    assert_frame_equal(all_, runs.collect())
    assert counted.item() == all_.height


@pytest.mark.parametrize("engine", ENGINES)
def test_sql(engine, client):
    runs = scan_runs("wbframe/ragged", client=client)
    rows = scan_histories("wbframe/ragged", keys=["train/loss"], client=client)
    asked = """
        SELECT state, COUNT(*) AS n, MAX(_step) AS last FROM rows JOIN runs ON rows.run_id = runs.run_id
        WHERE state <> 'killed' AND _step < 100 GROUP BY state ORDER BY state
    """
    lazy, eager = (
        pl.SQLContext(runs=a, rows=b).execute(asked, eager=False)
        for a, b in ((runs, rows), (runs.collect(), rows.collect()))
    )
    assert_frame_equal(lazy.collect(engine=engine), eager.collect())


@pytest.mark.parametrize("engine", ENGINES)
def test_a_join_with_itself(engine, client):
    rows = scan_histories("wbframe/ragged", keys=["train/loss", "eval/loss"], client=client)
    query = rows.select("run_id", "_step", "train/loss").join(
        rows.select("run_id", "_step", "eval/loss"), on=["run_id", "_step"]
    )
    eager = rows.collect()
    wanted = eager.select("run_id", "_step", "train/loss").join(
        eager.select("run_id", "_step", "eval/loss"), on=["run_id", "_step"]
    )
    keys = ["run_id", "_step", "train/loss", "eval/loss"]
    assert_frame_equal(query.collect(engine=engine).sort(keys), wanted.sort(keys))


def test_the_in_memory_engine_reads_the_same_scan_once(web, client):
    runs = scan_runs("wbframe/ragged", columns=["run_id", "state"], client=client)
    runs.collect_schema()
    web.clear()
    joined = runs.join(runs, on="run_id").collect(engine="in-memory")
    assert joined.height == 13
    assert [request.operation for request in web.requests] == ["Runs"]


@both
def test_the_gathered_result_is_the_same_in_pieces(scan, read, options, reader):
    lazy = scan(LARGE, client=reader, **options)
    pieces = [lazy.slice(offset, 60).collect() for offset in range(0, 150, 60)]
    assert_frame_equal(
        pl.concat(pieces), lazy.head(180).collect().head(sum(piece.height for piece in pieces))
    )


# ---------------------------------------------------------------- pickles and keys


@both
@pytest.mark.parametrize("module", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
def test_a_plan_travels_without_the_key(module, scan, read, options, web, client, monkeypatch):
    lazy = (
        scan("wbframe/ragged", client=client, **options).filter(FINISHED).select("run_id", "state")
    )
    wanted = lazy.collect()
    plan = module.dumps(lazy)
    assert web.api_key.encode() not in plan
    assert web.api_key not in repr(lazy)
    assert web.api_key not in lazy.explain()
    monkeypatch.setenv("WANDB_API_KEY", web.api_key)
    there = module.loads(plan)
    for engine in ENGINES:
        assert_frame_equal(there.collect(engine=engine), wanted)


def test_a_plan_for_the_default_client_finds_its_server_where_it_runs(web, monkeypatch):
    plan = pickle.dumps(scan_runs("wbframe/ragged").filter(FINISHED).select("run_id"))
    monkeypatch.setenv("WANDB_BASE_URL", web.url)
    monkeypatch.setenv("WANDB_API_KEY", web.api_key)
    assert pickle.loads(plan).collect().height == 7


@both
def test_a_plan_runs_in_another_process(scan, read, options, web, client, tmp_path):
    lazy = (
        scan("wbframe/ragged", client=client, **options).filter(FINISHED).select("run_id", "state")
    )
    (tmp_path / "plan").write_bytes(pickle.dumps(lazy))
    program = f"""
        import pickle, pathlib
        here = pathlib.Path({str(tmp_path)!r})
        pickle.loads((here / "plan").read_bytes()).collect().write_parquet(here / "out")
    """
    run_python(program, WANDB_API_KEY=web.api_key)
    assert_frame_equal(pl.read_parquet(tmp_path / "out"), lazy.collect())


def run_python(program, seconds=60, **environment):
    """Run a program of its own; it must end in time."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, **environment},
        timeout=seconds,
        check=True,
        capture_output=True,
        text=True,
    )


# ---------------------------------------------------------------- threads


def test_one_thread_of_polars_is_enough(large):
    program = f"""
        import warnings; warnings.simplefilter("ignore")
        import polars as pl, wbframe
        assert pl.thread_pool_size() == 1
        client = wbframe.Client({large.url!r}, {large.api_key!r})
        finished = pl.col("state") == "finished"
        heights = []
        for lazy in (
            pl.scan_wandb_runs("{LARGE}", client=client),
            pl.scan_wandb_histories("{LARGE}", run_columns=["state"], client=client),
            pl.scan_wandb_runs("{LARGE}", client=client).head(20).wandb.histories(run_columns=["state"], client=client),
        ):
            lazy = lazy.filter(finished)
            heights.append(sum(batch.height for batch in lazy.collect_batches(chunk_size=500)))
            heights.append(next(iter(lazy.collect_batches(chunk_size=50))).height)
            heights.append(lazy.collect(engine="streaming").height)
            heights.append(lazy.collect(engine="in-memory").height)
            heights.append(lazy.join(lazy, on="run_id", how="semi").collect(engine="streaming").height)
            heights.append(len(pl.collect_all([lazy, lazy.head(3)])))
        print(heights)
    """
    said = run_python(program, POLARS_MAX_THREADS="1").stdout
    runs, first, *others = eval(said)[:5]
    assert runs == 90
    assert 0 < first <= 90
    assert others == [90, 90, 90]
    assert eval(said)[6] == 90 * 200


@both
def test_two_threads_collect_one_frame_at_once(scan, read, options, reader, large):
    lazy = scan(LARGE, client=reader, **options)
    eager = read(LARGE, client=reader, **options)
    large.clear()
    start = threading.Barrier(4)

    def collect(i):
        start.wait()
        return lazy.filter(FINISHED).collect(engine=ENGINES[i % 2])

    with ThreadPoolExecutor(4) as pool:
        for frame in pool.map(collect, range(4)):
            assert_frame_equal(frame, eager.filter(FINISHED))
    # The columns were asked for once, however many threads asked.
    asked = [request.operation for request in large.requests]
    assert asked.count("Fields") <= 1
    assert asked.count("Keys") <= 1


def own_threads():
    return [each for each in threading.enumerate() if each.name.startswith("wbframe_")]


def gone(seconds=10.0):
    """Wait until our threads have ended."""
    end = time.monotonic() + seconds
    while own_threads() and time.monotonic() < end:
        for each in own_threads():
            each.join(0.1)
    return not own_threads()


@both
@pytest.mark.parametrize("engine", ENGINES)
def test_an_early_end_leaves_no_thread(engine, scan, read, options, reader):
    lazy = scan(LARGE, client=reader, **options)
    assert lazy.head(5).collect(engine=engine).height == 5
    assert lazy.filter(FINISHED).head(5).collect(engine=engine).height == 5
    assert gone()


def test_batches_that_are_dropped_leave_no_thread(reader):
    batches = iter(scan_histories(LARGE, client=reader).collect_batches(chunk_size=100))
    assert next(batches).height
    del batches
    gc.collect()
    assert gone()


def test_an_error_in_the_query_leaves_no_thread(reader):
    wrong = scan_histories(LARGE, client=reader).with_columns(pl.col("run_id").cast(pl.Int64))
    with pytest.raises(pl.exceptions.PolarsError):
        wrong.collect()
    assert gone()


# ---------------------------------------------------------------- errors

STATUS = r"could not read .*wbframe/synthetic from http.*HTTP 404"


@pytest.mark.parametrize("engine", ENGINES)
@both
def test_an_error_before_the_schema(engine, scan, read, options, reader, large):
    large.fail(status=404, times=99)
    lazy = scan(LARGE, client=reader, **options)
    with pytest.raises(Exception, match=STATUS):
        lazy.collect_schema()
    with pytest.raises(Exception, match=STATUS):
        lazy.collect(engine=engine)
    large.clear()
    # What went wrong once is not remembered.
    assert lazy.select("run_id").collect(engine=engine).height >= 150


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_in_the_middle_of_the_runs(engine, reader, large):
    lazy = scan_runs(LARGE, per_page=20, client=reader)
    lazy.head(50).select("run_id").collect()
    large.clear()
    large.fail(delay=0.01, match="query Runs", times=3)
    large.fail(status=404, match="query Runs", times=99)
    with pytest.raises(Exception, match=STATUS):
        lazy.select("run_id").collect(engine=engine)
    # Of each page that was on its way, no more than without what the server may lack, and smaller.
    assert [request.status for request in large.requests].count(404) < 50


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_in_the_middle_of_the_rows(engine, reader, large):
    lazy = scan_histories(LARGE, client=reader)
    lazy.collect_schema()
    large.fail(delay=0.01, match="query Rows")
    large.fail(status=403, match="query Rows", times=99)
    with pytest.raises(Exception, match=r"may not read it \(HTTP 403\)"):
        lazy.collect(engine=engine)
    assert gone()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "path", ["wbframe/nowhere", "forbidden/secret", "wbframe/ragged/runs/nobody"]
)
@both
def test_what_may_not_or_cannot_be_read(path, engine, scan, read, options, client):
    with pytest.raises(wbframe.errors.WbframeError) as wanted:
        read(path, client=client, **options)
    for query in (lambda lazy: lazy, lambda lazy: lazy.filter(FINISHED).select("run_id")):
        with pytest.raises(Exception) as caught:
            query(scan(path, client=client, **options)).collect(engine=engine)
        # Which request met it first differs; whom it met, and what to do, does not.
        assert str(wanted.value).partition(" of ")[2] in str(caught.value)


def test_a_count_of_what_cannot_be_read(client):
    with pytest.raises(wbframe.errors.ProjectNotFoundError):
        scan_runs("wbframe/nowhere", client=client).select(pl.len()).collect()


def test_newer_polars_keep_the_class_of_an_error(client):
    if pl.__version__ < "2":
        pytest.skip("older polars wrap every error")
    with pytest.raises(wbframe.errors.RunNotFoundError):
        scan_runs("wbframe/ragged/runs/nobody", columns=["run_id"], client=client).collect()
