"""What polars asks of a source, each row of the contract on whichever polars runs this."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wbframe
from tests.scripts import run_script
from wbframe.core.pushdown.query import Wanted
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.scans.source import Source
from wbframe.server import serve, synthetic

pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")

ENGINES = ["in-memory", "streaming"]
FINISHED = pl.col("state") == "finished"


def client_of(server):
    return wbframe.Client(server.url, server.api_key)


@pytest.fixture
def asked(monkeypatch):
    """What polars asks of the sources, in order."""
    seen: list[Wanted] = []
    original = Source.__call__

    def noting(self, with_columns, predicate, n_rows, batch_size):
        seen.append(Wanted(with_columns, predicate, n_rows))
        return original(self, with_columns, predicate, n_rows, batch_size)

    monkeypatch.setattr(Source, "__call__", noting)
    return seen


@pytest.fixture(scope="module")
def runs(all_projects):
    return read_runs("wbframe/ragged", client=client_of(all_projects))


@pytest.fixture(scope="module")
def rows(all_projects):
    return read_histories(
        "wbframe/ragged", run_columns=["state"], samples=5000, client=client_of(all_projects)
    )


def lazy_runs(client, **options):
    return scan_runs("wbframe/ragged", client=client, **options)


def lazy_rows(client, **options):
    return scan_histories(
        "wbframe/ragged", run_columns=["state"], samples=5000, client=client, **options
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_limit_before_a_filter(engine, client, runs, rows):
    for lazy, eager in ((lazy_runs(client), runs), (lazy_rows(client), rows)):
        for n in (0, 1, 4, 300, 10_000):
            assert_frame_equal(
                lazy.head(n).filter(~FINISHED).collect(engine=engine),
                eager.head(n).filter(~FINISHED),
            )


@pytest.mark.parametrize("engine", ENGINES)
def test_a_filter_before_a_limit(engine, client, runs, rows):
    for lazy, eager in ((lazy_runs(client), runs), (lazy_rows(client), rows)):
        for n in (0, 1, 4, 300, 10_000):
            assert_frame_equal(
                lazy.filter(~FINISHED).head(n).collect(engine=engine),
                eager.filter(~FINISHED).head(n),
            )


def test_polars_hands_over_a_limit_and_a_filter_together(client, asked):
    lazy_runs(client).head(4).filter(FINISHED).collect()
    [wanted] = asked
    assert wanted.n_rows == 4
    assert wanted.predicate is not None
    asked.clear()
    lazy_runs(client).filter(FINISHED).head(4).collect()
    [wanted] = asked
    assert wanted.n_rows is None
    assert wanted.predicate is not None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_limit_is_counted_over_batches(engine, client, runs):
    assert_frame_equal(lazy_runs(client, per_page=2).head(5).collect(engine=engine), runs.head(5))


@pytest.mark.parametrize("engine", ENGINES)
def test_columns_of_the_predicate_alone_do_not_come_along(engine, client, runs, rows):
    for lazy, eager in ((lazy_runs(client), runs), (lazy_rows(client), rows)):
        assert_frame_equal(
            lazy.filter(FINISHED).select("run_id").collect(engine=engine),
            eager.filter(FINISHED).select("run_id"),
        )


@pytest.mark.parametrize("engine", ENGINES)
def test_columns_come_in_the_order_selected(engine, client, runs, rows):
    for lazy, eager in ((lazy_runs(client), runs), (lazy_rows(client), rows)):
        names = eager.columns[::-3]
        assert_frame_equal(lazy.select(names).collect(engine=engine), eager.select(names))


@pytest.mark.parametrize("engine", ENGINES)
def test_the_number_of_rows(engine, client, runs, rows, asked):
    assert lazy_rows(client).select(pl.len()).collect(engine=engine).item() == rows.height
    [wanted] = asked
    assert len(wanted.columns) == 1
    for counting in (
        lazy_runs(client).select(pl.len()),
        lazy_runs(client).filter(pl.col("name").str.contains("e")).select(pl.len()),
    ):
        assert counting.collect(engine=engine).dtypes == [pl.get_index_type()]
    assert (
        lazy_runs(client).select("run_id", n=pl.len()).collect(engine=engine)["n"][0] == runs.height
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "query",
    [
        lambda frame: frame.sort("run_id", maintain_order=True).head(3),
        lambda frame: (
            frame.sort("run_id", descending=True, maintain_order=True).filter(FINISHED).head(3)
        ),
        lambda frame: frame.filter(FINISHED).sort("run_id", maintain_order=True).head(2),
        lambda frame: (
            frame.select("run_id", "state").top_k(3, by=["run_id", "state"]).sort("run_id", "state")
        ),
        lambda frame: (
            frame.select("run_id", "state")
            .filter(FINISHED)
            .bottom_k(3, by=["run_id", "state"])
            .sort("run_id")
        ),
    ],
)
def test_a_top_k(query, engine, client, runs, rows):
    for lazy, eager in ((lazy_runs(client), runs), (lazy_rows(client), rows)):
        assert_frame_equal(query(lazy).collect(engine=engine), query(eager.lazy()).collect())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "query",
    [
        lambda frame: frame.tail(3),
        lambda frame: frame.slice(2, 5),
        lambda frame: frame.slice(-4, 2),
        lambda frame: frame.group_by("state").len().sort("state"),
        lambda frame: frame.unique("state", keep="first", maintain_order=True),
        lambda frame: frame.with_row_index().filter(pl.col("index") > 3),
        lambda frame: frame.filter(pl.col("run_id") == pl.col("run_id").max()),
        lambda frame: frame.filter(pl.col("run_id").is_first_distinct()),
        lambda frame: frame.filter(pl.len().over("state") > 3),
        lambda frame: frame.filter(pl.int_range(pl.len()) < 4),
        lambda frame: frame.filter(pl.col("state").shift(1) == "finished"),
        lambda frame: frame.filter(pl.lit(False)),
        lambda frame: frame.filter(pl.lit(None, dtype=pl.Boolean)),
        lambda frame: frame.filter(
            pl.col("run_id").map_elements(lambda name: min(name) < "d", return_dtype=pl.Boolean)
        ),
        lambda frame: frame.filter(pl.col("^stat.$") == "failed"),
        lambda frame: frame.remove(FINISHED),
        lambda frame: frame.filter(FINISHED).clear(),
        lambda frame: frame.reverse().head(4),
    ],
)
def test_queries_that_are_not_for_a_source(query, engine, client, runs, rows):
    for lazy, eager in ((lazy_runs(client), runs), (lazy_rows(client), rows)):
        assert_frame_equal(query(lazy).collect(engine=engine), query(eager.lazy()).collect())


def test_nothing_is_read_before_it_is_collected(web, client):
    runs = lazy_runs(client)
    rows = lazy_rows(client)
    both = rows.filter(FINISHED).join(runs, on="run_id").head(3)
    runs.select("run_id").filter(pl.col("run_id") == "a")
    assert both is not None
    assert not web.requests


def test_the_schema_is_asked_for_once(web, client):
    lazy = lazy_runs(client)
    first = lazy.collect_schema()
    asked = len(web.requests)
    assert lazy.filter(FINISHED).collect_schema() == first
    lazy.explain()
    lazy.select("run_id").collect_schema()
    assert len(web.requests) == asked


@pytest.mark.parametrize("engine", ENGINES)
def test_no_batch_gives_the_promised_columns(engine, client, runs, rows):
    for lazy, eager in ((lazy_runs(client), runs), (lazy_rows(client), rows)):
        assert_frame_equal(
            lazy.filter(pl.col("run_id") == "nobody").collect(engine=engine), eager.clear()
        )
        assert_frame_equal(lazy.head(0).collect(engine=engine), eager.clear())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", ["wbframe/empty", ["wbframe/empty"]])
def test_an_empty_project(path, engine, client):
    assert_frame_equal(
        scan_runs(path, client=client).collect(engine=engine), read_runs(path, client=client)
    )
    assert_frame_equal(
        scan_histories(path, client=client).collect(engine=engine),
        read_histories(path, client=client),
    )
    assert scan_runs(path, client=client).select(pl.len()).collect(engine=engine).item() == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_many_projects_in_one_scan(engine, client):
    paths = ["wbframe/demo", "wbframe/ragged", "wbframe/empty", "wbframe/odd"]
    columns = ["entity", "project", "run_id", "state", "config.model"]
    eager = read_runs(paths, columns=columns, client=client)
    lazy = scan_runs(paths, columns=columns, client=client)
    assert eager["project"].n_unique() == 3
    assert_frame_equal(lazy.collect(engine=engine), eager)
    assert_frame_equal(lazy.filter(FINISHED).collect(engine=engine), eager.filter(FINISHED))
    assert (
        lazy.filter(FINISHED).select(pl.len()).collect(engine=engine).item()
        == eager.filter(FINISHED).height
    )
    keys = ["train/loss", "loss"]
    options = {"samples": 500, "run_columns": ["project", "state"], "client": client}
    eager = read_histories(paths, keys=keys, **options)
    lazy = scan_histories(paths, keys=keys, **options)
    assert_frame_equal(lazy.collect(engine=engine), eager)
    assert_frame_equal(
        lazy.filter(project="odd").collect(engine=engine), eager.filter(project="odd")
    )
    assert_frame_equal(lazy.head(700).collect(engine=engine), eager.head(700))


@pytest.mark.parametrize("engine", ENGINES)
def test_overrides(engine, client):
    exact = {"big": pl.Int64, "list": pl.List(pl.String)}
    lazy = scan_histories(
        "wbframe/ragged", keys=["big", "list"], schema_overrides=exact, client=client
    )
    eager = read_histories(
        "wbframe/ragged", keys=["big", "list"], schema_overrides=exact, client=client
    )
    assert lazy.collect_schema() == eager.schema
    assert_frame_equal(lazy.collect(engine=engine), eager)
    odd = pl.col("big") == 2**53 + 1
    assert_frame_equal(lazy.filter(odd).collect(engine=engine), eager.filter(odd))
    assert eager.filter(odd).height == 1
    runs = {"config.big": pl.Int64, "config.layers": pl.List(pl.Float64)}
    lazy = scan_runs("wbframe/ragged", schema_overrides=runs, client=client)
    eager = read_runs("wbframe/ragged", schema_overrides=runs, client=client)
    assert_frame_equal(lazy.collect(engine=engine), eager)
    big = pl.col("config.big") >= 2**60 + 1
    assert_frame_equal(lazy.filter(big).collect(engine=engine), eager.filter(big))
    assert eager.filter(big).height == 1


# ---------------------------------------------------------------- stopping early


def pages(web):
    return [request.operation for request in web.requests].count("Runs")


def test_head_ends_the_paging_on_both_engines():
    with serve(synthetic(runs=60, rows=2, keys=1)) as server, client_of(server) as client:
        lazy = scan_runs("wbframe/synthetic", per_page=5, client=client)
        lazy.collect_schema()
        for engine in ENGINES:
            server.clear()
            assert lazy.head(7).select("run_id").collect(engine=engine).height == 7
            assert pages(server) == 2
            server.clear()
            assert lazy.head(3).collect(engine=engine).height == 3
            assert pages(server) == 1
            assert server.requests[-1].variables["first"] == 3


def test_a_local_filter_of_the_scan_does_not_make_pages_small():
    with serve(synthetic(runs=60, rows=2, keys=1)) as server, client_of(server) as client:
        local = pl.col("name").str.len_chars() == 13
        lazy = scan_runs("wbframe/synthetic", filters=local, per_page=60, client=client)
        lazy.collect_schema()
        server.clear()
        assert lazy.select("name", "run_id").head(1).collect()["run_id"].to_list() == ["run-00009"]
        assert pages(server) == 1


def test_streaming_stops_reading_after_a_filter_and_a_limit():
    with serve(synthetic(runs=400, rows=2, keys=1)) as server, client_of(server) as client:
        lazy = scan_runs("wbframe/synthetic", per_page=5, client=client)
        few = lazy.filter(pl.col("name").str.ends_with("1")).select("name").head(2)
        lazy.collect_schema()
        server.clear()
        assert few.collect(engine="streaming").height == 2
        assert pages(server) < 80


def test_head_reads_the_rows_of_few_runs():
    with serve(synthetic(runs=400, rows=100, keys=3)) as server, client_of(server) as client:
        lazy = scan_histories("wbframe/synthetic", client=client)
        for engine in ENGINES:
            server.clear()
            assert lazy.head(150).collect(engine=engine).height == 150
            asked = [request for request in server.requests if request.operation == "Rows"]
            assert 1 <= len(asked) <= 4
            assert sum(request.document.count("run(") for request in asked) <= 8


SEVERAL = """
import os
os.environ["POLARS_MAX_THREADS"] = "1"
import polars as pl, wbframe
from wbframe.server import serve
with serve("demo") as server:
    client = wbframe.Client(server.url, server.api_key)
    one, other = (
        wbframe.scan_histories("wbframe/demo", keys=[key], samples=500, client=client)
        for key in ("train/loss", "eval/loss")
    )
    print(one.join(other, on=["run_id", "_step"]).collect(engine="ENGINE").height)
    print(*(each.height for each in pl.collect_all([one, other, one], engine="ENGINE")))
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_more_scans_than_polars_has_threads_come_to_an_end(engine):
    # Sources decode by polars in threads of their own, which wait where polars' own are all taken:
    # https://github.com/pola-rs/polars/issues/24963
    ended = run_script(SEVERAL.replace("ENGINE", engine))
    assert ended.stdout.split() == ["350", "7770", "429", "7770"], ended.stderr
