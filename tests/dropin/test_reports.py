"""What the drop-in's reads tell of themselves, as every read does."""

from __future__ import annotations

import pytest

import wbframe
from wbframe.dropin.runs import Runs
from wbframe.errors import IncompleteHistoryError, IncompleteHistoryWarning, StatusError
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


# ---------------------------------------------------------------- fewer rows than the server counts


@pytest.fixture(scope="module")
def short():
    with serve(synthetic(runs=5, rows=30, keys=2), differing={"rows_cut": 20}) as started:
        yield started


@pytest.fixture
def cut(short):
    with wbframe.Client(short.url, short.api_key) as made:
        yield Runs(made, "wbframe", "synthetic")


SHORT = r"5 runs of wbframe/synthetic are incomplete: run '[-\w]+': 30 rows expected, 20 came; .* and 2 more"


@pytest.mark.parametrize("kind", ["default", "pandas", "polars"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"keys": ["metric/00"]},
        {"keys": ["metric/00", "metric/01"]},
        {"keys": ["metric/00", "metric/01"], "match": "any"},
    ],
)
def test_runs_of_which_fewer_rows_came_are_named(cut, kind, asked):
    with pytest.warns(IncompleteHistoryWarning, match=SHORT) as warned:
        found = cut.histories(**asked, format=kind)
    assert (len(found), len(warned)) == (100, 1)


@pytest.mark.parametrize("pandas", [True, False])
def test_a_run_of_which_fewer_rows_came_is_named(cut, pandas):
    with pytest.warns(IncompleteHistoryWarning, match="30 rows expected, 20 came"):
        assert len(cut[0].history(pandas=pandas)) == 20
    # So few were asked for.
    assert len(cut[0].history(samples=20, pandas=pandas)) == 20


def test_a_scan_of_which_fewer_rows_came_is_told(cut):
    with pytest.raises(IncompleteHistoryError, match="30 rows expected, 20 came"):
        list(cut[0].scan_history(keys=["metric/00", "metric/01"]))


def test_rows_that_hold_all_of_several_keys_are_counted_at_the_least(cut):
    run = cut[0]
    keys = run._attrs["historyKeys"]["keys"]
    run._attrs["historyKeys"] = {
        **run._attrs["historyKeys"],
        "keys": {**keys, "metric/01": {"typeCounts": [{"type": "number", "count": 29}]}},
    }
    with pytest.warns(IncompleteHistoryWarning, match="29 rows expected at the least, 20 came"):
        assert len(list(run.scan_history(keys=["metric/00", "metric/01"]))) == 20
