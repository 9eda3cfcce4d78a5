"""What the drop-in's reads tell of themselves, as every read does."""

from __future__ import annotations

import pytest

import wbframe
from wbframe.dropin.runs import Runs
from wbframe.errors import IncompleteHistoryError, StatusError
from wbframe.server import serve, synthetic


@pytest.fixture(scope="module")
def server():
    with serve(synthetic(runs=5, rows=30, keys=2)) as started:
        yield started


@pytest.fixture
def client(server):
    server.clear()
    with wbframe.Client(server.url, server.api_key, retry=wbframe.RetryPolicy(tries=1)) as made:
        yield made


@pytest.fixture
def runs(client):
    return Runs(client, "wbframe", "synthetic")


@pytest.mark.parametrize("kind", ["default", "pandas", "polars"])
def test_histories(server, client, runs, kind):
    found = runs.histories(samples=10, keys=["metric/00"], format=kind)
    report = client.last_report
    assert (report.kind, report.projects) == ("histories", ("wbframe/synthetic",))
    assert (report.runs, report.rows, report.samples) == (5, len(found), 10)
    assert report.requests == len(server.requests) > 1


@pytest.mark.parametrize("pandas", [True, False])
def test_history(server, client, runs, pandas):
    run = runs[0]
    server.clear()
    found = run.history(samples=7, pandas=pandas)
    report = client.last_report
    assert (report.runs, report.rows, report.samples) == (1, len(found), 7)
    assert report.requests == len(server.requests)


def test_scan_history(client, runs):
    rows = runs[0].scan_history()
    for _ in range(30):
        next(rows)
    assert client.last_report is None  # it goes on
    with pytest.raises(StopIteration):
        next(rows)
    report = client.last_report
    assert (report.runs, report.rows, report.samples) == (1, 30, None)


def test_a_read_that_fails(server, client, runs):
    len(runs)
    server.fail(status=404, match="ampledHistory", times=50)
    with pytest.raises(StatusError) as caught:
        runs.histories(keys=["metric/00"])
    assert caught.value.report is client.last_report
    assert caught.value.report.rows == 0
    scan = runs[0].scan_history()
    scan.expect(31)
    with pytest.raises(IncompleteHistoryError, match="31 rows expected, 30 came") as caught:
        list(scan)
    assert caught.value.report.rows == 30


def test_runs_that_were_thinned_out_are_counted(client, runs):
    for read in (
        runs.histories,
        lambda **how: runs.histories(format="pandas", **how),
        runs[0].history,
    ):
        for how, thinned in [
            ({"samples": 10}, True),
            ({"samples": 10, "keys": ["metric/00"]}, True),
            ({"samples": 10, "keys": ["metric/00", "metric/01"], "match": "any"}, True),
            ({"samples": 30}, False),
            ({"samples": 30, "keys": ["metric/00"]}, False),
            ({"samples": 1, "stream": "system"}, False),
        ]:
            read(**how)
            report = client.last_report
            assert report.sampled_runs == (report.runs if thinned else 0)
            assert report.rows_known == (None if "stream" in how else 30 * report.runs)
