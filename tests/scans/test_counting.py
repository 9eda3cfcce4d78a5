"""Counting: what is one request for a number, and what must be read."""

from __future__ import annotations

import pickle

import polars as pl
import pytest

import wbframe
from wbframe.polars import read_runs, scan_runs
from wbframe.server import serve
from wbframe.server.projects.synthetic import synthetic

RAGGED = "wbframe/ragged"
STATE = pl.col("state")

COUNTED = {
    "all": lambda frame: frame.select(pl.len()),
    "by another name": lambda frame: frame.select(pl.len().alias("n")),
    "as a keyword": lambda frame: frame.select(n=pl.len()),
    "a state": lambda frame: frame.filter(STATE == "finished").select(pl.len()),
    "states": lambda frame: frame.filter(STATE.is_in(["failed", "crashed"])).select(pl.len()),
    "a run": lambda frame: frame.filter(pl.col("run_id") == "whole").select(pl.len()),
    "one after the other": lambda frame: (
        frame.filter(STATE == "finished")
        .filter(pl.col("run_id").is_in(["huge", "whole"]))
        .select(pl.len())
    ),
    "two at once": lambda frame: frame.filter(
        STATE == "finished", pl.col("run_id") == "huge"
    ).select(pl.len()),
}

READ = {
    "a superset": lambda frame: frame.filter(pl.col("name") == "huge numbers").select(pl.len()),
    "unequal": lambda frame: frame.filter(STATE != "finished").select(pl.len()),
    "local": lambda frame: frame.filter(STATE.str.len_chars() > 6).select(pl.len()),
    "partly local": lambda frame: frame.filter(
        STATE == "finished", pl.col("tags").list.len() > 0
    ).select(pl.len()),
    "by keyword": lambda frame: frame.filter(state="finished").select(pl.len()),
    "a limit": lambda frame: frame.head(3).select(pl.len()),
    "a filter behind a limit": lambda frame: (
        frame.head(5).filter(STATE == "finished").select(pl.len())
    ),
    "a limit behind a filter": lambda frame: (
        frame.filter(STATE == "finished").head(2).select(pl.len())
    ),
    "states once": lambda frame: frame.unique("state").select(pl.len()),
    "what is not null": lambda frame: frame.select(pl.col("group").count()),
    "more than a count": lambda frame: frame.select(pl.len(), pl.col("run_id").first()),
    "a computed count": lambda frame: frame.select(pl.len() + 1),
    "a count in a frame": lambda frame: frame.with_columns(n=pl.len()).select("n").head(1),
    "columns": lambda frame: frame.select("run_id").select(pl.len()),
    "twice": lambda frame: pl.concat([frame, frame]).select(pl.len()),
    "groups": lambda frame: frame.group_by("state").len().sort("state"),
    "a count of a count": lambda frame: frame.select(pl.len()).select(pl.len()),
    "a filtered count": lambda frame: frame.select(pl.len()).filter(pl.lit(True)).select(pl.len()),
    "all at once": lambda frame: frame.filter(
        pl.col("created_at") == pl.col("created_at").max()
    ).select(pl.len()),
    "exploded": lambda frame: frame.explode("tags").select(pl.len()),
    "all columns": lambda frame: frame.select(pl.all()).select(pl.len()),
    "cast": lambda frame: frame.select(pl.len().cast(pl.Float64)),
}


def operations(web):
    return [request.operation for request in web.requests]


@pytest.mark.parametrize(
    "columns",
    [None, ["run_id", "state", "name", "tags", "group", "created_at"]],
    ids=["all columns", "some"],
)
@pytest.mark.parametrize("query", COUNTED.values(), ids=list(COUNTED))
def test_a_count_is_one_request(query, columns, web, client):
    eager = read_runs(RAGGED, columns=["run_id", "state"], client=client)
    lazy = query(scan_runs(RAGGED, columns=columns, client=client))
    web.clear()
    lazy.collect()
    # A filter is tried on the first runs before it is believed.
    assert operations(web) in (["Runs"], ["Runs", "Runs", "Runs"])
    web.clear()
    found = lazy.collect()
    # A page holds the names of all: they are counted, and no count of the server is believed.
    assert operations(web) == ["Runs"]
    wanted = query(eager.lazy()).collect()
    assert found.schema == wanted.schema
    assert found.rows() == wanted.rows()


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@pytest.mark.parametrize("query", READ.values(), ids=list(READ))
def test_everything_else_is_read(query, engine, web, client):
    columns = ["run_id", "state", "name", "tags", "group", "created_at"]
    eager = read_runs(RAGGED, columns=columns, client=client)
    web.clear()
    found = query(scan_runs(RAGGED, columns=columns, client=client)).collect(engine=engine)
    assert "Count" not in operations(web)
    wanted = query(eager.lazy()).collect()
    assert found.schema == wanted.schema
    assert found.rows() == wanted.rows()


@pytest.mark.parametrize(
    ("options", "requests"),
    [
        ({"filters": {"state": "finished"}}, ["Runs"]),
        ({"filters": STATE == "finished"}, ["Runs"]),
        ({"filters": STATE == "finished", "columns": ["run_id"]}, ["Runs"]),
        ({"limit": 4}, ["Runs"]),
        ({"limit": 4, "filters": STATE == "finished"}, ["Runs"]),
        ({"limit": 400}, ["Runs"]),
        ({"filters": STATE != "finished", "columns": ["run_id"]}, ["Runs"]),
        ({"filters": STATE.str.len_chars() > 6, "columns": ["run_id"]}, ["Runs"]),
        (
            {"filters": pl.col("created_at") == pl.col("created_at").max(), "columns": ["run_id"]},
            ["Runs"],
        ),
    ],
)
def test_the_scans_own_arguments_count(options, requests, web, client):
    eager = read_runs(RAGGED, client=client, **{"columns": ["run_id"], **options})
    web.clear()
    assert (
        scan_runs(RAGGED, client=client, **options).select(pl.len()).collect().item()
        == eager.height
    )
    # Expressions are tried on the first runs before they are believed.
    assert operations(web) in (requests, requests * 2, requests * 3)


def test_runs_that_no_page_holds_are_counted_by_the_server():
    with serve(synthetic(runs=1200, rows=1, keys=1)) as server:
        client = wbframe.Client(server.url, server.api_key)
        assert (
            scan_runs("wbframe/synthetic", client=client).select(pl.len()).collect().item() == 1200
        )
        assert operations(server) == ["Runs", "Count"]


@pytest.mark.parametrize("count", ["zero", "one_low", "null"])
def test_a_count_that_is_wrong_is_not_believed_where_a_page_tells_better(count):
    with serve("ragged", differing={"count": count}) as server:
        client = wbframe.Client(server.url, server.api_key)
        assert scan_runs(RAGGED, client=client).select(pl.len()).collect().item() == 13


def test_a_filter_of_a_limited_scan_is_read(web, client):
    few = scan_runs(RAGGED, limit=4, columns=["run_id", "state"], client=client).filter(
        STATE == "finished"
    )
    assert few.select(pl.len()).collect().item() == few.collect().height
    assert "Count" not in operations(web)


@pytest.mark.parametrize(
    "path",
    [
        "wbframe/ragged/sweeps/swp1aaaa",
        "wbframe/ragged/runs/huge",
        ["wbframe/ragged", "wbframe/ragged/runs/huge"],
    ],
)
def test_sweeps_and_named_runs_are_read(path, web, client):
    eager = read_runs(path, columns=["run_id"], client=client).height
    assert (
        scan_runs(path, columns=["run_id"], client=client).select(pl.len()).collect().item()
        == eager
    )
    assert "Count" not in operations(web)


def test_a_project_is_counted_once_and_several_are_added(web, client):
    paths = ["wbframe/ragged", "wbframe/demo", "wbframe/ragged", "wbframe/empty"]
    eager = read_runs(paths, columns=["run_id"], client=client).height
    web.clear()
    assert scan_runs(paths, client=client).select(pl.len()).collect().item() == eager
    assert operations(web) == ["Runs"] * 3


def test_a_count_by_a_column_that_is_not_there_is_an_error(client):
    lazy = (
        scan_runs(RAGGED, columns=["run_id"], client=client)
        .filter(STATE == "finished")
        .select(pl.len())
    )
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        lazy.collect()


def test_a_plan_that_travelled_is_right_still(web, client, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", web.api_key)
    lazy = scan_runs(RAGGED, client=client).filter(STATE == "finished").select(pl.len())
    assert pickle.loads(pickle.dumps(lazy)).collect().item() == lazy.collect().item() == 7


def test_both_readings_of_nulls_count_alike(reading):
    eager = read_runs(RAGGED, columns=["run_id", "state"], client=reading)
    for query in COUNTED.values():
        assert (
            query(scan_runs(RAGGED, client=reading)).collect().item()
            == query(eager.lazy()).collect().item()
        )


def test_runs_that_appear_are_counted(ragged_project):
    with serve(ragged_project) as server, wbframe.Client(server.url, server.api_key) as own:
        counting = scan_runs(RAGGED, client=own).select(pl.len())
        assert counting.collect().item() == 13
        views = server.engine.catalog.views
        views[RAGGED] = views[RAGGED].next(
            type(ragged_project)(entity="wbframe", name="ragged", runs=ragged_project.runs[:5])
        )
        assert counting.collect().item() == 5
