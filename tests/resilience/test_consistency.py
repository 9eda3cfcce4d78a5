"""Runs that come and go while they are listed; pages, cursors and tasks that are too big."""

from __future__ import annotations

import json

import pytest

import wbframe
from wbframe.errors import AnswerError, CountWarning
from wbframe.polars import read_histories, read_runs, scan_histories
from wbframe.server import serve


def answer(names, *, count, cursor=None, nodes=()):
    edges = [{"node": {"name": name, "state": "finished"}, "cursor": name} for name in names]
    info = {"endCursor": cursor, "hasNextPage": cursor is not None}
    runs = {"edges": [*edges, *nodes], "pageInfo": info}
    return json.dumps({"data": {"project": {"runCount": count, "runs": runs}}}).encode()


def pages(server, *bodies):
    for body in bodies:
        server.fail(body=body, match="query Runs")


def listed(client, **options):
    return read_runs("e/p", columns=["run_id"], client=client, **options)["run_id"].to_list()


def test_a_run_that_a_deleted_one_moved_to_the_page_before_is_found(server, client):
    # r0 is deleted between the pages, so r2 moves to the first, which was read already.
    pages(
        server,
        answer(["r0", "r1"], count=5, cursor="2"),
        answer(["r3", "r4"], count=4),
        answer(["r1", "r2", "r3", "r4"], count=4),
        answer(["r2"], count=1),
    )
    assert listed(client) == ["r0", "r1", "r3", "r4", "r2"]
    assert server.requests[2].variables["first"] == 999
    assert json.loads(server.requests[3].variables["filters"])


def test_a_run_that_comes_twice_is_there_once(server, client):
    # A new run under a falling order moves one to the next page.
    pages(
        server,
        answer(["r4", "r3"], count=5, cursor="2"),
        answer(["r3", "r2"], count=6, cursor="4"),
        answer(["r1", "r0"], count=6),
        answer(["r5", "r4", "r3", "r2", "r1", "r0"], count=6),
        answer(["r5"], count=1),
    )
    assert listed(client) == ["r4", "r3", "r2", "r1", "r0", "r5"]


def test_a_count_that_stays_costs_no_further_request(server, client):
    assert len(listed(client, per_page=4)) == 9
    assert len(server.requests) == 3


def test_fewer_runs_than_the_server_counts_are_told_of_where_two_listings_agree(server, client):
    pages(server, *[answer(["r0", "r1"], count=3)] * 2)
    with pytest.warns(CountWarning, match=r"the server counts 3 and gives 2, in every listing"):
        assert listed(client) == ["r0", "r1"]
    assert len(server.requests) == 2


def test_null_edges_and_null_runs_are_noticed(server, client):
    pages(
        server,
        answer(["r0"], count=3, nodes=[None, {"node": None}]),
        answer(["r0", "r1", "r2"], count=3),
        answer(["r1", "r2"], count=2),
    )
    assert listed(client) == ["r0", "r1", "r2"]
    pages(server, *[answer(["r0"], count=2, nodes=[{"node": None, "cursor": "x"}])] * 4)
    with pytest.warns(CountWarning):
        assert listed(client) == ["r0"]


def test_an_empty_page_is_not_the_last_if_the_server_says_so(server, client):
    pages(
        server,
        answer(["r0"], count=2, cursor="1"),
        answer([], count=2, cursor="2"),
        answer(["r1"], count=2),
    )
    assert listed(client) == ["r0", "r1"]


def test_cursors_that_go_in_circles_are_an_error(server, client):
    pages(server, *[answer([f"r{i}"], count=9, cursor="ab"[i % 2]) for i in range(9)])
    with pytest.raises(AnswerError, match="repeats the cursor"):
        listed(client)
    assert len(server.requests) == 3


def test_a_page_that_gives_nothing_new_when_the_count_is_met_is_the_end(server, client):
    pages(server, answer(["r0", "r1"], count=2, cursor="a"), answer([], count=2, cursor="b"))
    assert listed(client) == ["r0", "r1"]
    assert len(server.requests) == 2


# ---------------------------------------------------------------- too big


def test_pages_that_are_too_big_are_halved_and_grow_again(server, client):
    server.fail(status=504, match="query Runs", times=2)
    assert len(listed(client, per_page=8)) == 9
    assert [r.variables["first"] for r in server.requests] == [8, 4, 2, 3, 4]
    assert client.last_report.retries == 0
    for _ in range(40):
        client.pages.grow()
    assert client.pages.at_most(1000) == 1000


def test_pages_that_fail_for_another_reason_are_as_large_as_before(clock):
    differing = {"refuse_counts": "internal"}
    with (
        serve("demo", differing=differing) as server,
        wbframe.Client(server.url, server.api_key, clock=clock) as client,
    ):
        options = {"columns": ["run_id"], "per_page": 8, "client": client}
        assert read_runs("wbframe/demo", **options).height == 24
        sizes = [(each.status, each.variables["first"]) for each in server.requests]
    # Smaller pages fail too, and without the count no page does: later ones are whole.
    assert sizes[:5] == [(500, 8), (500, 4), (500, 2), (200, 2), (200, 8)]


def test_a_page_of_one_is_tried_again(server, client):
    server.fail(status=500, match="query Runs", times=9)
    assert len(listed(client, per_page=8)) == 9
    # With the count of runs twice smaller, then without it, to the end.
    assert [r.variables["first"] for r in server.requests][:10] == [8, 4, 2, 2, 1, 1, 1, 1, 1, 1]
    assert client.last_report.retries == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 500},
        {"status": 413},
        {"body": b'{"errors": [{"message": "response too large"}]}'},
        {"body": b'{"errors": [{"message": "context deadline exceeded"}], "data": null}'},
    ],
)
def test_rows_are_halved_down_to_one_run_and_one_key(wrong, server, client):
    expected = read_histories("e/p", keys=["a", "b", "c"], client=client)
    server.clear()
    # 9 runs, then 4, 2, 1 run, then 1 of 3 keys.
    server.fail(**wrong, match="sampledHistory", times=4)
    found = read_histories("e/p", keys=["a", "b", "c"], client=client)
    assert found.equals(expected)
    sent = [request for request in server.requests if "sampledHistory" in request.document]
    keys = [json.loads(each.variables["s0"][0])["keys"] for each in sent[3:6]]
    assert keys == [["_step", "a", "b", "c"], ["_step", "a"], ["_step", "b", "c"]]
    assert client.last_report.retries == 0


def test_one_key_of_one_run_that_is_too_big_counts_as_failed(server, client):
    server.fail(status=413, match="sampledHistory", times=99)
    with pytest.raises(wbframe.errors.StatusError, match="HTTP 413") as error:
        read_histories("e/p", keys=["a", "b"], client=client)
    assert error.value.status == 413
    # 9, 4, 2, 1 runs, and one key; 413 does not pass.
    assert len([r for r in server.requests if r.fault]) == 5


def test_whole_histories_are_halved(server, client):
    expected = read_histories("e/x", samples=None, client=client)
    server.fail(status=504, match="parquetHistory", times=3)
    assert read_histories("e/x", samples=None, client=client).equals(expected)
    assert client.last_report.retries == 0


def test_windows_and_profiles_are_halved(server, client):
    expected = read_histories("e/p", samples=None, client=client)
    server.clear()
    server.fail(status=504, match="sampledHistory", times=2)
    server.fail(status=504, match="history(", times=2)
    assert read_histories("e/p", samples=None, client=client).equals(expected)
    assert client.last_report.retries == 0


def test_a_scan_says_what_was_pushed(client):
    import polars as pl

    lazy = scan_histories("e/p", keys=["a"], run_columns=["state"], client=client)
    lazy.filter(pl.col("state") == "finished", pl.col("a") > 3).collect()
    report = client.last_report
    assert len(report.pushed) == len(report.residual) == 1
    assert "state" in report.pushed[0]
    assert "a" in report.residual[0]
