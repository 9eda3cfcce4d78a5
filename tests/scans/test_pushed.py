"""What of a lazy query reaches the server, what never may, and what that saves in requests and bytes."""

from __future__ import annotations

import datetime as dt
import json

import polars as pl
import pytest

import wbframe
from wbframe.polars import scan_histories, scan_runs
from wbframe.server import serve, synthetic

pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")

RAGGED = "wbframe/ragged"
c = pl.col
FINISHED = {"state": "finished"}
BEGUN = dt.datetime(2026, 1, 5, 9, tzinfo=dt.timezone.utc)


def sent_filters(web):
    """The filters of the page that has most of them; the runs that they are tried on are asked for beside it."""
    pages = [request for request in web.requests if request.operation == "Runs"]
    return json.loads(max((page.variables["filters"] or "{}" for page in pages), key=len))


# ---------------------------------------------------------------- filters of runs

PUSHED = {
    "equal": (c("state") == "finished", FINISHED),
    "keyword": (c("state").eq("finished"), FINISHED),
    "unequal": (c("state") != "failed", {"state": {"$ne": "failed"}}),
    "not": (~(c("state") == "failed"), {"state": {"$ne": "failed"}}),
    "among": (c("state").is_in(["failed", "killed"]), {"state": {"$in": ["failed", "killed"]}}),
    "by id": (c("run_id") == "huge", {"name": "huge"}),
    "by ids": (c("run_id").is_in(["huge", "whole"]), {"name": {"$in": ["huge", "whole"]}}),
    "times": (c("created_at") >= BEGUN, {"createdAt": {"$gte": "2026-01-05T08:59:59Z"}}),
    "a tag": (c("tags").list.contains("best"), {"tags": {"$in": ["best"]}}),
    "a part of a name": (c("name").str.contains("same"), {"displayName": {"$regex": "same"}}),
    "the start of a name": (
        c("name").str.starts_with("same n"),
        {"displayName": {"$regex": "same n"}},
    ),
    "the end of a name": (c("name").str.ends_with("types"), {"displayName": {"$regex": "types"}}),
    "a key of the config": (c("config.model") == "mlp", {"config.model.value": "mlp"}),
    "a key that is there": (
        c("config.model").is_not_null(),
        {"config.model.value": {"$exists": True}},
    ),
    "a part of an and": ((c("state") == "finished") & (c("notes").is_null()), FINISHED),
    "an or": (
        (c("state") == "failed") | (c("run_id") == "huge"),
        {"$or": [{"state": "failed"}, {"name": "huge"}]},
    ),
}


@pytest.mark.parametrize(("predicate", "filters"), PUSHED.values(), ids=list(PUSHED))
def test_is_pushed_from_runs(predicate, filters, web, client):
    scan_runs(RAGGED, client=client).filter(predicate).select("run_id").collect()
    assert sent_filters(web) == filters


@pytest.mark.parametrize(("predicate", "filters"), PUSHED.values(), ids=list(PUSHED))
def test_is_pushed_from_rows(predicate, filters, web, client):
    columns = ["state", "created_at", "tags", "name", "notes", "config.model"]
    lazy = scan_histories(RAGGED, run_columns=columns, keys=["train/loss"], client=client)
    lazy.filter(predicate).select("run_id").collect()
    assert sent_filters(web) == filters


LOCAL = {
    "a null": c("group").is_null(),
    "no null of metadata": c("group").is_not_null(),
    "unequal text": c("name") != "huge numbers",
    "unequal key": c("config.model") != "mlp",
    "not a part": ~c("name").str.contains("same"),
    "not a tag": ~c("tags").list.contains("best"),
    "an order of text": c("run_id") > "h",
    "a part of a key": c("config.model").str.contains("m"),
    "a dotted key": c("config.dotted.key") == 1,
    "a nested key": c("config.optimizer.name") == "adam",
    "a key beside a null": c("config.model").eq_missing(None),
    "NaN as text": c("summary.best") == "NaN",
    "anchored": c("name").str.contains("^same"),
    "an or with a local part": (c("state") == "finished") | c("notes").is_null(),
    "exclusive or": (c("state") == "finished") ^ (c("run_id") == "huge"),
    "computed": c("history_line_count") + 1 > 3,
    "a choice": pl.when(c("state") == "finished").then(True).otherwise(c("run_id") == "huge"),
    "columns compared": c("created_at") < c("heartbeat_at"),
    "over a thousand": c("run_id").is_in([f"r{i}" for i in range(1001)]),
    "a long pattern": c("name").str.contains("a" * 1001),
    "a Python function": c("run_id").map_elements(
        lambda name: min(name) < "d", return_dtype=pl.Boolean
    ),
    "all rows at once": c("created_at") == c("created_at").max(),
}


@pytest.mark.parametrize("predicate", LOCAL.values(), ids=list(LOCAL))
def test_must_not_be_pushed_from_runs(predicate, web, client):
    scan_runs(RAGGED, client=client).filter(predicate).select("run_id").collect()
    assert sent_filters(web) == {}


def test_a_metric_is_never_a_filter_of_runs(web, client):
    lazy = scan_histories(RAGGED, run_columns=["summary.train/loss"], client=client)
    lazy.filter(c("train/loss") < 1).select("run_id").collect()
    assert sent_filters(web) == {}


def test_a_logged_key_called_like_a_column_is_no_filter_of_runs(web, client):
    # The rows of one run hold a key `state`, which says nothing of the run's state.
    lazy = scan_histories(RAGGED, client=client)
    assert lazy.filter(c("state") == "logged").select("run_id").unique().collect().item() == "named"
    assert sent_filters(web) == {}


@pytest.mark.parametrize(
    "query",
    [
        lambda lazy: lazy.head(9).filter(c("state") == "finished"),
        lambda lazy: lazy.with_row_index().filter(c("state") == "finished", c("index") < 4),
        lambda lazy: lazy.filter(c("state").shift(1) == "finished"),
        lambda lazy: lazy.tail(5).filter(c("state") == "finished"),
    ],
)
def test_a_filter_behind_what_looks_at_places_is_not_pushed(query, web, client):
    query(scan_runs(RAGGED, client=client)).collect()
    assert sent_filters(web) == {}


def test_a_filter_joins_those_of_the_scan(web, client):
    lazy = scan_runs(RAGGED, filters={"state": "finished"}, client=client)
    lazy.filter(c("run_id") == "huge").select("run_id").collect()
    assert sent_filters(web) == {"$and": [{"state": "finished"}, {"name": "huge"}]}


def test_deep_predicates_are_read_or_left_alone(web, client):
    lazy = scan_runs(RAGGED, client=client)
    eager = lazy.select("run_id").collect()["run_id"].to_list()
    anything = c("run_id") == "huge"
    for i in range(400):
        anything = anything | (c("run_id") == f"r{i}")
    assert lazy.filter(anything).select("run_id").collect()["run_id"].to_list() == ["huge"]
    assert sent_filters(web) != {}
    turned = c("run_id") == "huge"
    for _ in range(120):
        turned = pl.when(turned).then(True).otherwise(False)
    web.clear()
    assert lazy.filter(turned).select("run_id").collect()["run_id"].to_list() == ["huge"]
    assert sent_filters(web) == {}
    assert "huge" in eager


# ---------------------------------------------------------------- windows of steps

WINDOWS = {
    "below": (c("_step") < 3, (None, 3)),
    "at most": (c("_step") <= 3, (None, 4)),
    "above": (c("_step") > 3, (4, None)),
    "at least": (c("_step") >= 3, (3, None)),
    "at": (c("_step") == 3, (3, 4)),
    "between": (c("_step").is_between(3, 6), (3, 7)),
    "between, open": (c("_step").is_between(3, 6, closed="none"), (4, 6)),
    "among": (c("_step").is_in([9, 4]), (4, 10)),
    "fractions": ((c("_step") > 2.5) & (c("_step") < 4.5), (3, 5)),
    "not": (~(c("_step") >= 5), (None, 5)),
    "either": ((c("_step") < 3) | (c("_step") == 8), (None, 9)),
    "one side": ((c("_step") < 3) | (c("train/loss") > 1), (None, None)),
    "unequal": (c("_step") != 3, (None, None)),
    "before the first": (c("_step") > -4, (None, None)),
    "computed": (c("_step") * 2 < 9, (None, None)),
}


@pytest.mark.parametrize(("predicate", "window"), WINDOWS.values(), ids=list(WINDOWS))
def test_a_window_of_steps(predicate, window, web, client):
    lazy = scan_histories(RAGGED, samples=5000, client=client)
    [scan] = wbframe.explain(lazy.filter(predicate)).scans
    assert (scan.min_step, scan.max_step) == window
    found = lazy.filter(predicate).collect()
    assert found.equals(lazy.collect().filter(predicate))


def test_a_window_meets_that_of_the_scan(client):
    lazy = scan_histories(RAGGED, min_step=4, max_step=20, client=client)
    [scan] = wbframe.explain(lazy.filter(c("_step") >= 2, c("_step") < 9)).scans
    assert (scan.min_step, scan.max_step) == (4, 9)


@pytest.mark.parametrize("predicate", [c("_step") < 0, (c("_step") > 8) & (c("_step") < 5)])
def test_nothing_is_asked_where_nothing_can_be(predicate, web, client):
    lazy = scan_histories(RAGGED, client=client)
    lazy.collect_schema()
    web.clear()
    assert lazy.filter(predicate).collect().is_empty()
    assert not web.requests


# ---------------------------------------------------------------- what it saves


@pytest.fixture(scope="module")
def made():
    project = synthetic(runs=300, rows=100, keys=12, config_keys=40)
    with (
        serve(project, compress=False) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        yield server, client


MADE = "wbframe/synthetic"
# Query -> requests, and the share of the bytes of the whole that come at the most.
RUNS_TAKE = {
    "one column": (lambda lazy: lazy.select("run_id"), 1, 0.05),
    "one key": (lambda lazy: lazy.select("run_id", "config.param_00"), 1, 0.12),
    "a state": (lambda lazy: lazy.filter(c("state") == "failed"), 1, 0.25),
    "a state's key": (
        lambda lazy: lazy.filter(c("state") == "failed").select("config.param_00"),
        1,
        0.03,
    ),
    "the first": (lambda lazy: lazy.head(3), 1, 0.02),
    "one run": (lambda lazy: lazy.filter(c("run_id") == "run-00007"), 1, 0.01),
    "a count": (lambda lazy: lazy.select(pl.len()), 1, 0.03),
    "a count of a state": (
        lambda lazy: lazy.filter(c("state") == "failed").select(pl.len()),
        1,
        0.01,
    ),
}
ROWS_TAKE = {
    "one key": (lambda lazy: lazy.select("run_id", "metric/00"), 2 + 3, 0.35),
    "run columns": (lambda lazy: lazy.select("run_id", "state"), 2 + 3, 0.3),
    "a count": (lambda lazy: lazy.select(pl.len()), 2 + 3, 0.3),
    "one run": (lambda lazy: lazy.filter(c("run_id") == "run-00007"), 1 + 1, 0.01),
    "a state": (lambda lazy: lazy.filter(c("state") == "failed"), 1 + 1, 0.25),
    "a window": (lambda lazy: lazy.filter(c("_step") < 5), 2 + 3, 0.3),
    "a state's key in a window": (
        lambda lazy: lazy.filter(c("state") == "failed", c("_step") < 5).select("metric/00"),
        1 + 1,
        0.06,
    ),
    "the first": (lambda lazy: lazy.head(10), 1 + 1, 0.15),
}


def traffic(server, lazy):
    """Requests and bytes of collecting a query whose schema is known."""
    lazy.collect_schema()
    server.clear()
    lazy.collect()
    return len(server.requests), sum(request.response_bytes for request in server.requests)


@pytest.mark.parametrize(("query", "requests", "share"), RUNS_TAKE.values(), ids=list(RUNS_TAKE))
def test_what_runs_take(query, requests, share, made):
    server, client = made
    lazy = scan_runs(MADE, client=client)
    tried, _ = traffic(server, query(lazy))
    assert tried <= requests + 2
    sent, size = traffic(server, query(lazy))
    assert sent == requests
    assert size <= share * traffic(server, lazy)[1]


@pytest.mark.parametrize(("query", "requests", "share"), ROWS_TAKE.values(), ids=list(ROWS_TAKE))
def test_what_rows_take(query, requests, share, made):
    server, client = made
    lazy = scan_histories(MADE, run_columns=["state"], client=client)
    sent, size = traffic(server, query(lazy))
    assert sent == requests
    assert size <= share * traffic(server, lazy)[1]


def test_the_report_counts_what_was_sent(made):
    server, client = made
    lazy = scan_histories(MADE, run_columns=["state"], client=client)
    sent, size = traffic(server, lazy.filter(c("state") == "failed"))
    report = client.last_report
    assert (report.requests, report.bytes_received) == (sent, size)
    assert (report.runs, report.rows) == (60, 6000)


def test_only_run_columns_read_no_more_than_the_steps(made):
    server, client = made
    traffic(server, scan_histories(MADE, run_columns=["state"], client=client).select("state"))
    asked = str([request.variables for request in server.requests if request.operation == "Rows"])
    assert "_step" in asked
    assert "metric" not in asked
