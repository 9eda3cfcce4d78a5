"""Hosts that give so many rows of a list and no more: every row comes all the same, or a word."""

from __future__ import annotations

import polars as pl
import pytest

import wbframe
from wbframe.server import Exports, History, Project, RunRecord, serve

ROWS = 2600


def _run(name, every, exports):
    rows = [{"_step": i * every, "x": i / 8, **({"y": i} if i % 3 == 0 else {})} for i in range(ROWS)]  # fmt: skip
    return RunRecord(name=name, history=History(rows), exports=exports)


PROJECT = Project(
    entity="e",
    name="p",
    runs=(
        _run("dense", 1, Exports.none()),
        _run("gaps", 7, Exports.none()),
        _run("half", 1, Exports.split(2, 0.5)),
    ),
)
LAST = {"dense": ROWS, "gaps": 7 * ROWS, "half": ROWS}
CAPPED = [
    {"sampled_most": 333},
    {"history_most": 333},
    {"sampled_most": 1000, "history_most": 1000},
    {"sampled_most": 333, "history_most": 333, "line_count": "null"},
    {"sampled_most": 500, "history_most": 500, "last_step": "absent"},
    {"rows_cut": 500},
    {"rows_cut": 1000, "live_most": 100},
    {"most_samples": 500},
    {"most_samples": 123},
]


@pytest.mark.parametrize("bounds", [{}, {"min_step": 50}, {"min_step": 100, "max_step": 2500}], ids=str)  # fmt: skip
@pytest.mark.parametrize("differing", CAPPED, ids=str)
def test_every_row_comes_whatever_a_list_ends_at(differing, bounds):
    with (
        serve(PROJECT, differing=differing) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        frame = wbframe.read_histories("e/p", samples=None, client=client, **bounds)
    low, high = bounds.get("min_step", 0), bounds.get("max_step", 10**9)
    for name in LAST:
        every = 7 if name == "gaps" else 1
        steps = frame.filter(pl.col("run_id") == name)["_step"].to_list()
        assert steps == [i * every for i in range(ROWS) if low <= i * every < high]


def test_where_lists_end_is_remembered_for_the_host():
    windows = []
    with (
        serve(PROJECT, differing={"history_most": 333}) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        for _ in range(2):
            server.clear()
            wbframe.read_histories("e/p/dense", samples=None, client=client)
            windows.append(sum(each.operation == "Windows" for each in server.requests))
        assert client.rows.now <= 333 // 2
    # The second time no window is asked for twice.
    assert windows[1] < windows[0]


def test_how_many_rows_may_be_asked_for_is_remembered_for_the_host():
    with (
        serve(PROJECT, differing={"most_samples": 500}) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        wbframe.read_histories("e/p/dense", samples=None, client=client)
        server.clear()
        wbframe.read_histories("e/p/gaps", samples=None, client=client)
        assert {each.status for each in server.requests} == {200}
