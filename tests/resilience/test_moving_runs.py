"""Runs that come, go, finish and change places while they are listed: none twice, none missed that stays."""

from __future__ import annotations

import contextlib
import warnings
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wbframe
from wbframe.errors import IncompleteError, LeftOutWarning
from wbframe.polars import read_runs, scan_runs
from wbframe.server import History, Project, RunRecord, serve

PATH = "e/p"
SIZE = 4


def record(i):
    return RunRecord(
        name=f"r{i:03}",
        created_at=f"2026-01-01T00:{i // 60:02}:{i % 60:02}Z",
        state="running",
        history=History([{"a": i}]),
    )


class Moving:
    """Changes the runs of a server between its answers to pages."""

    def __init__(self, server, changes):
        self.server = server
        self.changes = changes
        self.asked = 0
        self.staying = set(self.runs)
        self.made = len(self.staying)
        self.real = server._faults.take
        server._faults.take = self

    @property
    def runs(self):
        return dict(self.server.engine.catalog.views[PATH].runs)

    def __call__(self, text, where="api"):
        if "query Runs" in text:
            for kind, place in self.changes.get(self.asked, ()):
                self.change(kind, place)
            self.asked += 1
        return self.real(text, where)

    def change(self, kind, place):
        views = self.server.engine.catalog.views
        runs = list(views[PATH].project.runs)
        at = place % max(len(runs), 1)
        if kind == "create":
            runs.append(record(self.made))
            self.made += 1
        elif kind == "delete" and runs:
            self.staying.discard(runs.pop(at).name)
        elif kind == "move" and runs:
            runs[at] = replace(runs[at], summary={"a": 7 * place % 41})
        elif runs:
            runs[at] = replace(runs[at], state="finished")
        views[PATH] = views[PATH].next(replace(views[PATH].project, runs=tuple(runs)))


def changes(*kinds):
    """Draw what changes before which request."""
    one = st.tuples(st.sampled_from(kinds), st.integers(0, 40))
    return st.dictionaries(st.integers(1, 8), st.lists(one, max_size=3), max_size=4)


CHANGES = changes("create", "delete", "finish")


def runs_of(client, **options):
    return wbframe.Runs(client, "e", "p", **options)


def by_index(runs):
    """Give the ids of runs, each asked for by its place."""
    found = []
    with contextlib.suppress(IndexError):
        while len(found) < len(runs):
            found.append(runs[len(found)].id)
    return found


def of_histories(runs):
    """Give the ids of the runs whose rows are read; of one that was deleted since it was listed, there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOutWarning)
        return [row["run_id"] for row in runs.histories(on_error="skip")]


READS = {
    "read_runs": lambda **options: read_runs(PATH, columns=["run_id"], **options)[
        "run_id"
    ].to_list(),
    "scan_runs": lambda **options: (
        scan_runs(PATH, **options).select("run_id").collect()["run_id"].to_list()
    ),
}
OF_THE_DROP_IN = {
    "list": lambda **options: [run.id for run in runs_of(**options)],
    "slice": lambda **options: [run.id for run in runs_of(**options)[:]],
    "index": lambda **options: by_index(runs_of(**options)),
    "histories": lambda **options: of_histories(runs_of(**options)),
}


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    """Names are listed in pages of five."""
    monkeypatch.setattr("wbframe.io.read.paging.MOST_PER_PAGE", SIZE + 2)
    monkeypatch.setattr("wbframe.dropin.pages.MOST_PER_PAGE", SIZE + 2)


@pytest.mark.parametrize("order", ["+created_at", "-created_at"])
@pytest.mark.parametrize("read", READS)
@settings(max_examples=60, deadline=None)
@given(changes=CHANGES, runs=st.integers(1, 30), concurrency=st.sampled_from([1, 3]))
def test_none_is_missed_and_none_comes_twice(read, order, changes, runs, concurrency):
    check(READS[read], order, changes, runs, concurrency)


@pytest.mark.parametrize("order", ["+created_at", "-created_at"])
@pytest.mark.parametrize("read", OF_THE_DROP_IN)
@settings(max_examples=25, deadline=None)
@given(changes=CHANGES, runs=st.integers(1, 30))
def test_the_drop_in_misses_none_and_gives_none_twice(read, order, changes, runs):
    check(OF_THE_DROP_IN[read], order, changes, runs)


# What was deleted may be made up for by what came at the same time; otherwise it is noticed.
@pytest.mark.parametrize("read", OF_THE_DROP_IN)
@settings(max_examples=25, deadline=None)
@given(changes=changes("create", "move") | changes("delete", "move"), runs=st.integers(1, 30))
def test_the_drop_in_misses_none_in_an_order_that_changes(read, changes, runs):
    check(OF_THE_DROP_IN[read], "-summary_metrics.a", changes, runs)


def check(read, order, changes, runs, concurrency=1):
    project = Project(entity="e", name="p", runs=tuple(record(i) for i in range(runs)))
    with (
        serve(project) as server,
        wbframe.Client(server.url, server.api_key, concurrency=concurrency) as client,
    ):
        moving = Moving(server, changes)
        try:
            found = read(order=order, per_page=SIZE, client=client)
        except IncompleteError:
            # It moved again whenever it was listed.
            assert sum(map(len, changes.values())) >= 3
            return
        assert max(Counter(found).values(), default=1) == 1
        assert moving.staying <= set(found)
