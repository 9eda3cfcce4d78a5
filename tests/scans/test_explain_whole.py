"""What is told of the requests for every row is what is then sent."""

from __future__ import annotations

import polars as pl
import pytest

import wbframe
from wbframe.polars import scan_histories
from wbframe.server import Exports, Features, built_in, growing, ragged, serve, synthetic

pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")

FEW_STEPS = pl.col("_step") < 10
KEY = {"keys": ["metric/03"]}
ALL = Exports.all()


def made(runs, rows, exports=None, keys=6):
    return synthetic(runs=runs, rows=rows, keys=keys, exports=exports)


def everything(lazy):
    return lazy


def told_and_sent(projects, query=everything, features=None, names=(), **options):
    """Give what is told of a query, what it costs to tell, and what collecting it sends."""
    paths = [f"{each.entity}/{each.name}" for each in projects]
    paths = [f"{paths[0]}/{name}" for name in names] or paths
    with (
        serve(projects, features=features or Features()) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        lazy = query(scan_histories(paths, samples=None, client=client, **options))
        lazy.collect_schema()
        server.clear()
        told = wbframe.explain(lazy).requests
        cost = len(server.requests) + len(server.storage_requests)
        server.clear()
        lazy.collect(engine="in-memory")
        return told, cost, len(server.requests) + len(server.storage_requests)


EXACT = {
    "a small project": ([made(3, 100, ALL)], {}),
    "many runs": ([made(70, 100, ALL)], {}),
    "several files a run": ([made(20, 300, Exports.all(3))], {}),
    "large files": ([made(5, 20_000, ALL, keys=20)], {}),
    "a key of large files": ([made(5, 20_000, ALL, keys=20)], KEY),
    "a window of large files": ([made(20, 3_000, ALL)], {"query": lambda lazy: lazy.filter(FEW_STEPS)}),
    "a key": ([made(20, 300, ALL)], KEY),
    "a column": ([made(20, 300, ALL)], {"query": lambda lazy: lazy.select("run_id", "metric/02")}),
    "no exports": ([made(20, 300)], {}),
    "no exports, many rows": ([made(20, 5_000)], {}),
    "no exports, a window": ([made(20, 5_000)], {"query": lambda lazy: lazy.filter(FEW_STEPS)}),
    "no exports, a key": ([made(20, 5_000)], KEY),
    "files and live rows": ([made(20, 300, Exports.split(files=1, live=0.25))], {}),
    "live rows in a window": ([made(20, 300, Exports.split(files=1, live=0.25))], {"max_step": 100}),
    "the first rows": ([made(70, 300, ALL)], {"query": lambda lazy: lazy.head(100)}),
    "more first rows": ([made(70, 300, ALL)], {"query": lambda lazy: lazy.head(6_000)}),
    "running runs": ([growing()], {}),
    "a key of running runs": ([growing()], {"keys": ["train/loss"]}),
    "a window of running runs": ([growing()], {"query": lambda lazy: lazy.filter(FEW_STEPS)}),
    "hard cases": ([ragged()], {}),
    "named runs": ([made(20, 300, ALL)], {"names": [f"run-{i:05d}" for i in range(5)]}),
    "a limit of runs": ([made(70, 300, ALL)], {"limit": 20}),
    "filtered runs": ([made(70, 300, ALL)], {"filters": {"state": "failed"}}),
    "filtered row by row": ([made(40, 300, ALL)], {"filters": pl.col("run_id").str.slice(7) == "01"}),
    "filtered here": ([made(40, 300, ALL)], {"filters": pl.col("created_at") < pl.col("created_at").mean()}),
    "projects": ([made(20, 300, ALL), growing()], {}),
    "a limit over projects": ([made(20, 300, ALL), growing()], {"limit": 22}),
    "rows of projects": ([made(20, 300, ALL), growing()], {"query": lambda lazy: lazy.head(6_100)}),
    "a server without exports": ([made(20, 300, ALL)], {"features": Features(parquet_history=False)}),
    "a server that does not tell live rows": ([made(20, 300, ALL)], {"features": Features(live_data="null")}),
    "a server without live rows": ([growing()], {"features": Features(live_data="absent")}),
    "no run": ([made(20, 300, ALL)], {"filters": {"state": "no such"}}),
    "no row": ([made(20, 300, ALL)], {"query": lambda lazy: lazy.head(0)}),
}  # fmt: skip


@pytest.mark.parametrize(("projects", "options"), EXACT.values(), ids=list(EXACT))
def test_the_estimate_is_exact(projects, options):
    told, _, sent = told_and_sent(projects, **options)
    assert told == sent


# Of 450 runs 250 are on further pages, whose tasks are counted in proportion; files of the demo are
# smaller than eight bytes a number.
ABOVE = {"several pages": [made(450, 50, ALL)], "well compressed files": [built_in("demo")]}


@pytest.mark.parametrize("projects", ABOVE.values(), ids=list(ABOVE))
def test_the_estimate_is_a_little_above(projects):
    told, _, sent = told_and_sent(projects)
    assert sent <= told <= 1.2 * sent


@pytest.mark.parametrize("runs", [3, 450])
def test_it_costs_three_requests_however_many_runs_there_are(runs):
    _, cost, sent = told_and_sent([made(runs, 10, ALL, keys=1)])
    assert cost == 3
    assert sent > cost
