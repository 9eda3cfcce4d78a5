"""Runs, projects and sweeps that are named and not there: one error, or what is there and a word for the rest."""

from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pytest

import wbframe
from wbframe.errors import (
    AccessError,
    ColumnError,
    LeftOutWarning,
    ProjectNotFoundError,
    RunNotFoundError,
    SweepNotFoundError,
)
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.server import Project, Sweep, serve
from wbframe.server.api.engine import Answer

from .conftest import record

PATHS = ["e/p/r1", "e/p/r2", "e/p/nope", "e/p/r3"]
HERE = ["r1", "r2", "r3"]
NAMED = pl.DataFrame({"entity": "e", "project": "p", "run_id": ["r1", "r2", "nope", "r3"]})
EMPTY = pd.DataFrame({"run_id": pd.Series(dtype=object)})
GONE = "left out 1, .*e/p/nope: Could not find run 'nope' in e/p"


def runs_of(table):
    """Give the runs of a frame of any kind, in order."""
    column = table["run_id"]
    values = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    return list(dict.fromkeys(values))


def lazily(scan):
    return lambda *given, **options: scan(*given, **options).collect()


READERS = {
    "runs": read_runs,
    "runs, some columns": lambda path, **more: read_runs(path, columns=["run_id", "config.lr"], **more),
    "runs, a predicate": lambda path, **more: read_runs(path, filters=pl.col("config.depth") >= 0, **more),
    "scan_runs": lazily(scan_runs),
    "arrow runs": wbframe.arrow.read_runs,
    "arrow runs, batches": lambda *a, **more: wbframe.arrow.runs_reader(*a, **more).read_all(),
    "pandas runs": pd.read_wandb_runs,
    "histories": read_histories,
    "histories, keys": lambda *a, **more: read_histories(*a, keys=["a"], run_columns=["config.lr"], **more),
    "whole histories": lambda *a, **more: read_histories(*a, samples=None, **more),
    "machine metrics": lambda *a, **more: read_histories(*a, stream="system", **more),
    "scan_histories": lazily(scan_histories),
    "scan_histories, whole": lambda *a, **more: scan_histories(*a, samples=None, **more).collect(),
    "arrow histories": wbframe.arrow.read_histories,
    "arrow histories, batches": lambda *a, **more: wbframe.arrow.histories_reader(*a, **more).read_all(),
    "pandas histories": pd.read_wandb_histories,
    "pandas, iterated": lambda *a, **more: pd.concat([EMPTY, *wbframe.pandas.iter_histories(*a, **more)]),
    "buckets": lambda *a, **more: wbframe.buckets.read_buckets(*a, bins=3, **more),
    "scan_buckets": lambda *a, **more: wbframe.buckets.scan_buckets(*a, bins=3, **more).collect(),
}  # fmt: skip
FRAMES = {
    "histories": NAMED.wandb.histories,
    "runs": NAMED.wandb.runs,
    "lazy histories": lambda **more: NAMED.lazy().wandb.histories(**more).collect(),
    "lazy runs": lambda **more: NAMED.lazy().wandb.runs(**more).collect(),
    "pandas histories": NAMED.to_pandas().wandb.histories,
    "pandas runs": NAMED.to_pandas().wandb.runs,
}
each_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)
each_frame = pytest.mark.parametrize("read", FRAMES.values(), ids=FRAMES)


@each_reader
def test_a_deleted_run_is_left_out_by_name_and_the_others_are_read(client, read):
    with pytest.warns(LeftOutWarning, match=GONE) as warned:
        found = read(PATHS, on_error="skip", client=client)
    assert runs_of(found) == HERE
    assert len(warned) == 1
    assert [each.what for each in client.last_report.left_out] == ["e/p/nope"]


@each_frame
def test_a_deleted_run_of_a_frame_is_left_out_by_name(client, read):
    with pytest.warns(LeftOutWarning, match=GONE):
        found = read(on_error="skip", client=client)
    assert runs_of(found) == HERE


@each_frame
def test_without_skip_a_deleted_run_of_a_frame_is_an_error_that_names_it(client, read):
    with pytest.raises((RunNotFoundError, pl.exceptions.ComputeError), match="'nope' in e/p"):
        read(client=client)


@each_reader
def test_without_skip_a_deleted_run_is_an_error_that_names_it(client, read):
    with pytest.raises((RunNotFoundError, pl.exceptions.ComputeError), match="'nope' in e/p"):
        read(PATHS, client=client)


@each_reader
def test_projects_and_sweeps_that_are_not_there_are_left_out_among_others(client, read):
    paths = ["e/nope", "e/p/r1", "forbidden/q", "e/p/sweeps/gone", "e/p/r1", "e/nope/r7"]
    with pytest.warns(LeftOutWarning, match="left out 4, .*e/nope: Could not find project e/nope"):
        found = read(paths, on_error="skip", client=client)
    assert runs_of(found) == ["r1"]
    left_out = [each.what for each in client.last_report.left_out]
    assert left_out == ["e/nope", "forbidden/q", "e/p/sweeps/gone", "e/nope/r7"]


@each_reader
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("e/nope", ProjectNotFoundError),
        ("e/p/sweeps/gone", SweepNotFoundError),
        ("forbidden/q", AccessError),
        (["e/nope", "f/nope"], ProjectNotFoundError),
    ],
)
def test_where_no_project_is_there_skipping_is_an_error_all_the_same(client, read, path, kind):
    with pytest.raises((kind, pl.exceptions.ComputeError), match=r"nope|gone|forbidden"):
        read(path, on_error="skip", client=client)


@each_reader
def test_where_all_runs_are_gone_the_frame_is_empty_and_the_warning_names_them(client, read):
    with pytest.warns(LeftOutWarning, match="left out 2, .*e/p/nope: .*; e/p/never: "):
        found = read(["e/p/nope", "e/p/never"], on_error="skip", client=client)
    assert runs_of(found) == []


def test_pages_of_runs_that_are_all_gone_end_no_read(client):
    gone = [f"e/p/gone{i}" for i in range(150)]
    with pytest.warns(LeftOutWarning, match="left out 150, .*and 147 more"):
        found = read_runs([*gone, "e/p/r1"], columns=["run_id"], on_error="skip", client=client)
    assert found["run_id"].to_list() == ["r1"]


def test_a_limit_counts_the_runs_that_are_there(client):
    with pytest.warns(LeftOutWarning, match=GONE):
        found = read_runs(["e/p/nope", *PATHS], limit=2, on_error="skip", client=client)
    assert found["run_id"].to_list() == ["r1", "r2"]


def test_skipping_costs_no_request_more(server, client):
    read_runs(["e/p/r1", "e/p/r2"], columns=["run_id"], client=client)
    before = len(server.requests)
    with pytest.warns(LeftOutWarning):
        read_runs(PATHS, columns=["run_id"], on_error="skip", client=client)
    assert len(server.requests) - before == 1


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_run_that_fails_the_answer_for_all_is_found_by_halves(
    server, client, monkeypatch, status
):
    answer = server.engine.answer
    body = json.dumps({"errors": [{"message": "this run is broken"}]}).encode()

    def broken(question):
        if "r5" in question.variables.values():
            return Answer(status, body)
        return answer(question)

    monkeypatch.setattr(server.engine, "answer", broken)
    paths = [f"e/p/r{i}" for i in range(8)]
    with pytest.warns(LeftOutWarning, match="left out 1, .*e/p/r5: .*this run is broken"):
        found = read_histories(paths, keys=["a"], on_error="skip", client=client)
    assert runs_of(found) == [f"r{i}" for i in range(8) if i != 5]
    with pytest.warns(LeftOutWarning, match="left out 1, .*e/p/r5: .*this run is broken"):
        found = scan_histories(paths, keys=["a"], on_error="skip", client=client).collect()
    assert runs_of(found) == [f"r{i}" for i in range(8) if i != 5]


def test_a_server_that_is_gone_is_not_asked_for_each_named_run(server, clock):
    policy = wbframe.RetryPolicy(tries=3)
    with wbframe.Client(server.url, server.api_key, clock=clock, retry=policy) as client:
        server.fail(drop=True, match="NamedRuns", times=99)
        with pytest.warns(LeftOutWarning, match="left out 4, .*e/p/r1: .*gave up after 3 tries"):
            found = read_runs(PATHS, columns=["run_id"], on_error="skip", client=client)
        assert found.height == 0
        assert client.last_report.requests == 3


def test_a_filter_beside_names_tells_a_deleted_run_from_one_that_does_not_match(client):
    options = {
        "filters": {"config.depth.value": {"$gt": 1}},
        "columns": ["run_id"],
        "client": client,
    }
    with pytest.raises(RunNotFoundError, match="'nope' in e/p"):
        read_runs(PATHS, **options)
    with pytest.warns(LeftOutWarning, match=GONE):
        found = read_runs(PATHS, on_error="skip", **options)
    assert found["run_id"].to_list() == ["r2", "r3"]


def test_names_that_all_match_are_not_asked_for_twice(server, client):
    options = {
        "filters": {"config.depth.value": {"$gt": 1}},
        "columns": ["run_id"],
        "client": client,
    }
    server.clear()
    read_runs(["e/p/r2", "e/p/r3"], **options)
    assert len(server.requests) == 1
    read_runs(["e/p/r1", "e/p/r3"], **options)
    assert len(server.requests) == 3


def test_a_key_that_no_run_has_is_an_error_though_runs_are_left_out(client):
    with pytest.raises(ColumnError, match=r"'bb'.* Did you mean 'b'\\?"):
        read_histories(PATHS, keys=["bb"], on_error="skip", client=client)


def test_a_count_of_several_projects_tells_what_is_left_out(client):
    counted = scan_runs(["e/p", "e/nope"], on_error="skip", client=client).select(pl.len())
    with pytest.warns(LeftOutWarning, match="e/nope"):
        assert counted.collect().item() == 9


def test_explain_of_projects_of_which_one_is_gone(client):
    lazy = scan_histories(["e/p", "e/nope"], on_error="skip", client=client)
    assert "e/nope" in str(wbframe.explain(lazy))


def test_sweeps_of_which_one_is_gone(clock):
    runs = tuple(record(i, sweep="s" if i % 2 else None) for i in range(4))
    project = Project(entity="e", name="p", runs=runs, sweeps=(Sweep(name="s"),))
    with (
        serve(project) as server,
        wbframe.Client(server.url, server.api_key, clock=clock) as client,
    ):
        paths = ["e/p/sweeps/s", "e/p/sweeps/gone"]
        with pytest.warns(LeftOutWarning, match="left out 1, .*e/p/sweeps/gone: no sweep 'gone'"):
            found = read_histories(paths, keys=["a"], on_error="skip", client=client)
    assert runs_of(found) == ["r1", "r3"]
