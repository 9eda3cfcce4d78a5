"""`on_error`: everything or one error; or what could be read, and a report that names the rest."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pandas as pd
import polars as pl
import pytest

import wbframe
from wbframe.cli import main
from wbframe.errors import (
    AnswerError,
    ConnectionFailedError,
    LeftOutWarning,
    RunNotFoundError,
    SchemaMismatchError,
    StatusError,
    UsageError,
)
from wbframe.polars import read_histories, read_runs, report_of, scan_histories, scan_runs
from wbframe.server import History, Project, RunRecord, serve

from .conftest import record

NUMBER = {"a": pl.Float64}


@pytest.fixture
def mixed():
    """A project with a run whose rows are no numbers, as its keys say they are."""
    counts = {"a": {"typeCounts": [{"type": "number", "count": 1}]}}
    liar = RunRecord(
        name="liar", history=History([{"a": "text"}]), history_keys={"lastStep": 0, "keys": counts}
    )
    runs = (record(0), record(1), liar, record(3))
    with serve(Project(entity="e", name="m", runs=runs)) as server:
        yield server


@pytest.fixture
def reader(mixed, clock):
    with wbframe.Client(mixed.url, mixed.api_key, clock=clock) as made:
        yield made


def test_raise_is_the_default_and_the_error_has_the_report(reader):
    with pytest.raises(SchemaMismatchError, match="liar") as error:
        read_histories("e/m", keys=["a"], schema_overrides=NUMBER, client=reader)
    assert error.value.report is reader.last_report
    assert error.value.report.projects == ("e/m",)
    assert pickle.loads(pickle.dumps(error.value)).report == error.value.report


def test_skip_leaves_out_the_run_that_cannot_be_read(reader):
    with pytest.warns(LeftOutWarning, match="left out 1, .*e/m/liar: .*holds"):
        frame = read_histories("e/m", keys=["a"], on_error="skip", client=reader)
    assert frame["run_id"].unique(maintain_order=True).to_list() == ["r0", "r1", "r3"]
    report = report_of(frame)
    [left_out] = report.left_out
    assert left_out.what == "e/m/liar"
    assert "'text'" in left_out.why or '"text"' in left_out.why
    assert report.runs == 3


def test_every_face_takes_it(reader):
    options = {"keys": ["a"], "on_error": "skip", "client": reader}
    wanted = {"r0", "r1", "r3"}
    with pytest.warns(LeftOutWarning):
        frame = pd.read_wandb_histories("e/m", **options)
    assert set(frame["run_id"]) == wanted
    assert frame.attrs["wbframe"]["left_out"][0]["what"] == "e/m/liar"
    with pytest.warns(LeftOutWarning):
        table = wbframe.arrow.read_histories("e/m", **options)
    assert set(table["run_id"].to_pylist()) == wanted
    assert "e/m/liar" in json.loads(table.schema.metadata[b"wbframe"])["left_out"][0]["what"]
    with pytest.warns(LeftOutWarning):
        batches = wbframe.arrow.histories_reader("e/m", **options).read_all()
    assert set(batches["run_id"].to_pylist()) == wanted
    with pytest.warns(LeftOutWarning):
        assert set(scan_histories("e/m", **options).collect()["run_id"]) == wanted
    runs = read_runs("e/m", columns=["entity", "project", "run_id"], client=reader)
    with pytest.warns(LeftOutWarning):
        assert set(runs.wandb.histories(**options)["run_id"]) == wanted
    with pytest.warns(LeftOutWarning):
        assert set(runs.lazy().wandb.histories(**options).collect()["run_id"]) == wanted
    assert reader.last_report.left_out


def test_a_key_that_is_no_number_after_all_is_read_as_text(reader):
    frame = read_histories("e/m", keys=["a"], client=reader)
    assert frame.filter(run_id="liar")["a"].to_list() == ["text"]
    assert frame["run_id"].n_unique() == 4
    assert frame.schema["a"] == pl.String()


def test_the_command_line_takes_it(mixed, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", mixed.api_key)
    call = ["histories", "e/m", "-k", "a", "--base-url", mixed.url, "-f", "csv"]
    assert main(call) == 0
    assert "liar,0,text" in capsys.readouterr().out
    assert main([*call, "--on-error", "skip"]) == 0
    out, err = capsys.readouterr()
    assert "r3,0," in out
    assert err.count("wbframe: left out: e/m/liar: ") == 1
    assert main([*call, "--on-error", "maybe"]) == 2


def test_other_values_are_refused():
    with pytest.raises(UsageError, match="`on_error` must be one of 'raise', 'skip'; got 'ignore'"):
        read_runs("e/m", on_error="ignore")


def test_a_run_deleted_since_it_was_listed(project, clock):
    with (
        serve(project) as server,
        wbframe.Client(server.url, server.api_key, clock=clock) as client,
    ):
        options = {"keys": ["a"], "client": client}
        view = server.engine.catalog.views["e/p"]
        real = server._faults.take
        gone = []

        def delete(text, where="api"):
            if "sampledHistory" in text and not gone:
                gone.append(view.runs.pop("r4"))
            return real(text, where)

        server._faults.take = delete
        with pytest.raises(RunNotFoundError, match="r4"):
            read_histories("e/p", **options)
        view.runs["r4"] = gone.pop()
        with pytest.warns(LeftOutWarning, match="e/p/r4: Could not find run 'r4'"):
            frame = read_histories("e/p", on_error="skip", **options)
        assert frame["run_id"].n_unique() == 8
        assert [each.what for each in client.last_report.left_out] == ["e/p/r4"]


def test_a_server_that_is_gone_is_not_asked_for_each_run(server, clock):
    policy = wbframe.RetryPolicy(tries=3)
    with wbframe.Client(server.url, server.api_key, clock=clock, retry=policy) as client:
        server.fail(drop=True, match="sampledHistory", times=99)
        with pytest.warns(LeftOutWarning, match="left out 9"):
            frame = read_histories("e/p", keys=["a"], on_error="skip", client=client)
        assert frame.height == 0
        assert frame.schema == {"run_id": pl.String, "_step": pl.Int64, "a": pl.Float64}
        assert [each.what for each in client.last_report.left_out] == [
            f"e/p/r{i}" for i in range(9)
        ]
        assert all("gave up after 3 tries" in each.why for each in client.last_report.left_out)
        assert client.last_report.requests == 4


def test_pages_that_do_not_come_leave_out_the_rest_of_the_project(server, clock):
    policy = wbframe.RetryPolicy(tries=2)
    options = {"clock": clock, "retry": policy, "concurrency": 1}  # one page after the other
    with wbframe.Client(server.url, server.api_key, **options) as client:
        options = {"columns": ["run_id"], "per_page": 4, "client": client}
        real = server._faults.take
        seen = []

        def second(text, where="api"):
            seen.append(text)
            return (
                wbframe.server.faults.Fault(drop=True)
                if len(seen) in {2, 3, 5, 6, 8, 9}
                else real(text, where)
            )

        server._faults.take = second
        try:
            with pytest.raises(ConnectionFailedError) as error:
                read_runs("e/p", **options)
            assert error.value.report.requests == 3
            with pytest.warns(LeftOutWarning, match="no runs behind the first 4"):
                frame = read_runs("e/p", on_error="skip", **options)
            assert frame.height == 4
            with pytest.warns(LeftOutWarning):
                assert scan_runs("e/p", on_error="skip", **options).collect().height == 4
        finally:
            server._faults.take = real
    [left_out] = client.last_report.left_out
    assert left_out.what == "e/p"


def test_a_run_whose_config_is_no_json(server, client):
    nodes = [{"name": "good", "config": '{"lr": {"value": 1}}'}, {"name": "bad", "config": "{lr"}]
    body = json.dumps(
        {"data": {"project": {"runs": {"edges": [{"node": node} for node in nodes]}}}}
    ).encode()
    server.fail(body=body, match="query Runs")
    with pytest.raises(AnswerError, match="bad"):
        read_runs("e/p", columns=["run_id", "config.lr"], client=client)
    server.fail(body=body, match="query Runs")
    with pytest.warns(LeftOutWarning, match="e/p/bad"):
        frame = read_runs("e/p", columns=["run_id", "config.lr"], on_error="skip", client=client)
    assert frame.rows() == [("good", 1.0)]


def test_a_file_that_cannot_be_read_leaves_out_its_run_alone(server, client):
    server.fail(status=404, where="storage")
    with pytest.warns(LeftOutWarning, match="exported file"):
        frame = read_histories("e/x", samples=None, on_error="skip", client=client)
    assert frame["run_id"].n_unique() == 8
    [left_out] = client.last_report.left_out
    assert left_out.what not in {f"e/x/{name}" for name in frame["run_id"]}


def test_buckets_take_it(mixed, reader):
    mixed.fail(status=404, match="bucketedHistory", times=4)
    mixed.fail(status=404, match="history(", times=50)
    with pytest.warns(LeftOutWarning, match="left out"):
        frame = wbframe.buckets.read_buckets(
            "e/m", keys=["a"], bins=2, on_error="skip", client=reader
        )
    assert frame.columns[0] == "run_id"
    assert reader.last_report.left_out


def test_the_last_progress_has_the_report(client):
    told = []
    read_histories("e/p", keys=["a"], client=client, progress=told.append)
    assert [each.report for each in told][:-1] == [None] * (len(told) - 1)
    assert told[-1].report == client.last_report
    assert dataclasses.asdict(client.last_report)["rows"] == 180


def test_rows_that_cannot_be_looked_at_are_read_all_the_same(clock):
    runs = [
        RunRecord(name=f"r{i}", history=History([{"a": value}, {"a": 1.5}]))
        for i, value in enumerate([1, "NaN", 2])
    ]
    with (
        serve(Project(entity="e", name="m", runs=tuple(runs))) as server,
        wbframe.Client(server.url, server.api_key, clock=clock) as client,
    ):
        options = {"keys": ["a"], "client": client}
        server.fail(status=404, match="sampledHistory", times=4)
        with pytest.raises(StatusError):
            read_histories("e/m", **options)
        for read in (read_histories, lambda *a, **o: scan_histories(*a, **o).collect()):
            server.clear()
            server.fail(status=404, match="sampledHistory", times=4)
            frame = read("e/m", on_error="skip", **options)
            assert [request.status for request in server.requests].count(404) == 4
            assert frame["run_id"].to_list() == ["r0", "r0", "r1", "r1", "r2", "r2"]
            assert client.last_report.left_out == ()
