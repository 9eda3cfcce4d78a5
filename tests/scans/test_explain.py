"""What a query will do, told before it does it, is what it then does."""

from __future__ import annotations

import polars as pl
import pytest

import wbframe
from wbframe.errors import UsageError
from wbframe.polars import scan_histories, scan_runs
from wbframe.server import Features, serve, synthetic

pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")

RAGGED = "wbframe/ragged"
MADE = "wbframe/synthetic"
STATE, STEP = pl.col("state"), pl.col("_step")
FINISHED = STATE == "finished"


@pytest.fixture(scope="module")
def made(demo_project, ragged_project):
    project = synthetic(runs=450, rows=300, keys=6, cadence=(1, 10))
    with (
        serve([demo_project, ragged_project, project]) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        yield server, client


def fates(scan):
    return {each.text: each.status for each in scan.conjuncts}


def test_the_text_of_runs(client):
    lazy = scan_runs(RAGGED, order="-created_at", client=client)
    query = lazy.filter(
        FINISHED, pl.col("name").str.contains("e"), pl.col("tags").list.len() > 0
    ).select("run_id")
    lines = str(wbframe.explain(query)).splitlines()
    assert (
        lines[:3]
        == [
            "runs of wbframe/ragged",
            "  columns: run_id, name, state, tags",
            '  server filter: {"$and":[{"state":"finished"},{"displayName":{"$regex":"e"}}]}',
        ]
        or lines[2]
        == '  server filter: {"$and":[{"displayName":{"$regex":"e"}},{"state":"finished"}]}'
    )
    assert '  pushed exactly: state == \'finished\' as {"state":"finished"}' in lines
    [superset] = [line for line in lines if "as a superset" in line]
    assert superset.startswith(
        '  pushed as a superset: name regex \'e\' as {"displayName":{"$regex":"e"}} (the server searches anywhere'
    )
    assert sum(line.startswith("  stays local: ") for line in lines) == 1
    assert lines[-1] == "  requests: about 1"


def test_the_text_of_rows(client):
    lazy = scan_histories(RAGGED, run_columns=["state"], samples=40, client=client)
    query = lazy.filter(
        FINISHED, STEP >= 5, STEP < 50, pl.col("_timestamp") > 0, pl.col("train/loss") < 1
    ).select("train/loss")
    text = str(wbframe.explain(query))
    assert "histories of wbframe/ragged" in text
    assert 'server filter: {"state":"finished"}' in text
    assert "steps: 5 to 50 (exclusive); at most 40 rows a run" in text
    assert "keys: _timestamp, train/loss; stream: default" in text
    assert "stays local: _timestamp > 0" in text
    assert "(the server has no window of times)" in text
    assert "stays local: train/loss < 1" in text


def test_the_data(client):
    lazy = scan_histories(RAGGED, run_columns=["state"], client=client)
    [scan] = wbframe.explain(
        lazy.filter(FINISHED, STEP.is_between(2, 4)).select("run_id", "train/loss")
    ).scans
    assert scan.kind == "histories"
    assert scan.paths == (RAGGED,)
    assert scan.columns == ("run_id", "_step", "train/loss", "state")
    assert scan.filters == '{"state":"finished"}'
    assert (scan.min_step, scan.max_step) == (2, 5)
    assert scan.keys == ("train/loss",)
    assert (scan.samples, scan.stream, scan.n_rows) == (500, "default", None)
    assert set(fates(scan).values()) == {"exact"}
    assert scan.replaced == ()


def test_a_limit_comes_before_the_predicate(client):
    for lazy in (
        scan_runs(RAGGED, client=client),
        scan_histories(RAGGED, run_columns=["state"], client=client),
    ):
        [scan] = wbframe.explain(lazy.head(5).filter(FINISHED)).scans
        assert scan.n_rows == 5
        assert fates(scan) == {"state == 'finished'": "local"}
        assert scan.filters == "{}"
        assert "limit: 5 rows, taken before the predicate" in str(scan)
        [scan] = wbframe.explain(lazy.filter(FINISHED).head(5)).scans
        assert scan.n_rows is None
        assert fates(scan) == {"state == 'finished'": "exact"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limit": 4}, "own limit"),
        ({"filters": pl.col("created_at") == pl.col("created_at").max()}, "at once"),
    ],
)
def test_what_the_scans_own_arguments_keep_local(options, reason, client):
    for lazy in (
        scan_runs(RAGGED, client=client, **options),
        scan_histories(RAGGED, run_columns=["state"], client=client, **options),
    ):
        [scan] = wbframe.explain(lazy.filter(FINISHED)).scans
        [conjunct] = scan.conjuncts
        assert conjunct.status == "local"
        assert reason in conjunct.reason
        assert scan.filters == "{}"


def test_a_window_is_pushed_whatever_limits_the_runs(client):
    [scan] = wbframe.explain(scan_histories(RAGGED, limit=4, client=client).filter(STEP < 7)).scans
    assert fates(scan) == {"_step < 7": "exact"}
    assert scan.max_step == 7


def test_more_runs_than_a_filter_holds(client):
    many = pl.col("run_id").is_in([f"run-{i}" for i in range(1500)])
    for lazy in (scan_runs(RAGGED, client=client), scan_histories(RAGGED, client=client)):
        [scan] = wbframe.explain(lazy.filter(many)).scans
        [conjunct] = scan.conjuncts
        assert (conjunct.status, scan.filters) == ("local", "{}")
        assert conjunct.reason


def test_joins_have_several_scans(client):
    runs = scan_runs(RAGGED, client=client).filter(FINISHED).select("run_id", "state")
    rows = scan_histories(RAGGED, keys=["train/loss"], client=client)
    found = wbframe.explain(runs.join(rows, on="run_id"))
    assert sorted(scan.kind for scan in found.scans) == ["histories", "runs"]
    assert found.requests == sum(scan.requests for scan in found.scans)
    assert str(found).count(" of wbframe/ragged") == 2


def test_runs_on_the_left_are_the_paths(client):
    left = scan_runs(RAGGED, client=client).filter(pl.col("run_id").is_in(["whole", "huge"]))
    [scan] = wbframe.explain(left.wandb.histories(keys=["train/loss"], client=client)).scans
    assert scan.paths == ("wbframe/ragged/runs/whole", "wbframe/ragged/runs/huge")


def test_other_sources_may_stand_in_the_query(client):
    other = pl.LazyFrame({"run_id": ["huge", "whole"]})
    runs = scan_runs(RAGGED, client=client).filter(
        pl.col("run_id").map_elements(lambda name: min(name) < "f", return_dtype=pl.Boolean)
    )
    [scan] = wbframe.explain(other.join(runs, on="run_id")).scans
    assert scan.kind == "runs"


def test_a_query_without_a_scan_is_an_error():
    with pytest.raises(UsageError, match="no scan of wbframe"):
        wbframe.explain(pl.LazyFrame({"a": [1]}))


def test_a_scan_that_polars_need_not_read(client):
    found = wbframe.explain(scan_runs(RAGGED, client=client).head(0))
    assert (found.scans, found.requests, str(found)) == ((), 0, "nothing is read")


def test_a_sink_is_not_run(client, tmp_path):
    there = tmp_path / "there.parquet"
    there.write_text("of value")
    with pytest.raises(UsageError, match="sink"):
        wbframe.explain(
            scan_runs(RAGGED, client=client).select("run_id").sink_parquet(there, lazy=True)
        )
    assert there.read_text() == "of value"


def test_no_row_is_read_for_it(made):
    server, client = made
    for lazy in (scan_runs(MADE, client=client), scan_histories(MADE, client=client)):
        lazy.collect_schema()
        server.clear()
        wbframe.explain(lazy.filter(pl.col("run_id") == "run-00001"))
        assert [request.operation for request in server.requests] in (["Count"], ["Count", "Keys"])


def test_features_that_are_replaced_are_told(ragged_project):
    with (
        serve(ragged_project, features=Features(fields=False, united_keys=False)) as server,
        wbframe.Client(server.url, server.api_key) as own,
    ):
        lazy = scan_histories(RAGGED, run_columns=["config.lr"], client=own)
        [scan] = wbframe.explain(lazy).scans
        assert set(scan.replaced) == {"project.fields", "runs.historyKeys"}
        assert "not on this server: project.fields, replaced" in str(scan)


def test_the_plan_of_polars_names_the_source(client):
    lazy = scan_histories(RAGGED, keys=["train/loss"], filters={"state": "finished"}, client=client)
    plan = lazy.filter(STEP < 3).select("run_id").explain()
    assert "PROJECT 2/3 COLUMNS" in plan
    assert "_step" in plan.partition("SELECTION:")[2]
    if pl.__version__ >= "2":
        assert "WANDB HISTORIES" in plan
        assert (
            'wbframe/ragged; server filter {"state":"finished"}; order +created_at; keys train/loss (any); at most 500 rows a run'
            in plan
        )
        assert "WANDB RUNS" in scan_runs(RAGGED, client=client).explain()


QUERIES = {
    "runs": lambda runs, rows: runs(MADE),
    "small pages": lambda runs, rows: runs(MADE, per_page=50),
    "the first runs": lambda runs, rows: runs(MADE).head(10),
    "some runs": lambda runs, rows: runs(MADE).filter(STATE == "failed"),
    "few runs": lambda runs, rows: runs(MADE, limit=250),
    "runs of projects": lambda runs, rows: runs([MADE, "wbframe/demo", RAGGED]).select("run_id"),
    "rows": lambda runs, rows: rows(MADE),
    "rows of a key": lambda runs, rows: rows(MADE, keys=["metric/00"]),
    "rows of two keys": lambda runs, rows: rows(MADE, keys=["metric/00", "metric/01"]),
    "a column": lambda runs, rows: rows(MADE).select("metric/01"),
    "the number of rows": lambda runs, rows: rows(MADE).select(pl.len()),
    "a window": lambda runs, rows: rows(MADE).filter(STEP < 10),
    "rows of some runs": lambda runs, rows: rows(MADE, run_columns=["state"]).filter(
        STATE == "failed"
    ),
    "the first rows": lambda runs, rows: rows(MADE).head(1000),
    "many first rows": lambda runs, rows: rows(MADE).head(50_000),
    "rows of two runs": lambda runs, rows: rows(MADE).filter(
        pl.col("run_id").is_in(["run-00001", "run-00002"])
    ),
    "few samples": lambda runs, rows: rows(MADE, samples=20),
    "named runs": lambda runs, rows: rows([f"{MADE}/run-{i:05d}" for i in range(150)]),
    "demo": lambda runs, rows: rows("wbframe/demo"),
    "machine": lambda runs, rows: rows("wbframe/demo", stream="system"),
    "ragged": lambda runs, rows: rows(RAGGED, keys=["train/loss", "eval/loss"]),
    "rows of projects": lambda runs, rows: rows(["wbframe/demo", RAGGED], keys=["train/loss"]),
    "a join": lambda runs, rows: (
        runs(MADE)
        .filter(STATE == "failed")
        .select("run_id")
        .join(rows(MADE, keys=["metric/02"]), on="run_id")
    ),
    "no step": lambda runs, rows: rows(MADE).filter(STEP < 0),
    "no run": lambda runs, rows: rows(MADE).filter(pl.col("run_id") == "nobody"),
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=list(QUERIES))
def test_the_estimate_is_within_a_factor_of_two(query, made):
    server, client = made

    def runs(path, **options):
        return scan_runs(path, client=client, **options)

    def rows(path, **options):
        return scan_histories(path, client=client, **{"samples": 500, **options})

    lazy = query(runs, rows)
    lazy.collect_schema()
    told = wbframe.explain(lazy).requests
    server.clear()
    lazy.collect(engine="in-memory")
    sent = len(server.requests)
    assert sent <= 2 * told
    assert told <= 2 * sent
