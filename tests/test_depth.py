"""How many round trips in a row each read takes, and of which questions: the same on every run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import wbframe
from tests.depth import in_rounds
from wbframe import read_histories, read_runs, scan_histories, scan_runs
from wbframe.scans import running
from wbframe.server import History, Project, RunRecord, serve, synthetic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wbframe.server.http import Server

STEPS, STATE = pl.col("_step") < 3, pl.col("state") == "finished"
ALL = ("run_id", "_step", "metric/00")


@pytest.fixture(scope="module")
def many() -> Iterator[Server]:
    """Projects of more runs than a look takes, of fewer, of more than a page, and of text among numbers."""
    few = synthetic(runs=9, rows=4, keys=2, name="few")
    large = synthetic(runs=250, rows=2, keys=2, name="large")
    with serve([synthetic(runs=30, rows=4, keys=2), few, large, _mixed(9), _mixed(30)]) as started:
        yield started


def _mixed(runs: int) -> Project:
    """Make a project in whose summaries NaN stands among numbers, and text in rows."""
    rows = [{"_step": 0, "note": "x"}, {"_step": 1, "note": 1}]
    made = (
        RunRecord(
            name=f"r{i}",
            config={"lr": i},
            summary={"loss": "NaN" if i % 2 else 0.5},
            history=History(rows),
            created_at=f"2026-01-01T00:{i:02d}:00Z",
        )
        for i in range(runs)
    )
    return Project(entity="wbframe", name=f"mixed-{runs}", runs=tuple(made))


def _collected(scan: Callable[..., pl.LazyFrame], *steps: Any) -> Callable[..., pl.DataFrame]:
    """Read by a scan, of which some conditions are taken, and then some columns."""

    def read(path: str, client: wbframe.Client) -> pl.DataFrame:
        frame = scan(path, client=client)
        for step in steps:
            frame = frame.filter(step) if isinstance(step, pl.Expr) else frame.select(step)
        return frame.collect()

    return read


TABLE: dict[str, tuple[Any, list[str]]] = {
    "runs": (read_runs, ["Fields Runs"]),
    "runs, metadata": (partial(read_runs, columns=["run_id", "state"]), ["Runs"]),
    "runs, named": (partial(read_runs, columns=["run_id", "config.param_00"]), ["Fields Runs"]),
    "runs, glob": (partial(read_runs, columns=["run_id", "config.*"]), ["Fields Runs"]),
    "runs, another glob": (partial(read_runs, columns=["*param*"]), ["Fields", "Runs"]),
    "histories": (read_histories, ["Runs", "Rows"]),
    "histories, named": (partial(read_histories, keys=["metric/00"]), ["Runs", "Rows"]),
    "histories, run columns": (
        partial(read_histories, run_columns=["config.param_00"]),
        ["Fields Runs", "Rows"],
    ),
    "scan of runs": (_collected(scan_runs), ["Fields Runs", "Runs"]),
    "scan of runs, selected": (
        _collected(scan_runs, ["run_id", "config.param_00"]),
        ["Fields Runs", "Runs"],
    ),
    "scan of histories, all": (
        _collected(scan_histories),
        ["Keys Runs Runs", "Rows", "Rows"],
    ),
    "scan of histories, narrowed": (
        _collected(scan_histories, STEPS, ALL),
        ["Keys Runs Runs", "Rows", "Rows"],
    ),
    "scan of histories, named": (
        _collected(partial(scan_histories, keys=["metric/00"])),
        ["Keys Runs Runs", "Rows"],
    ),
    "scan of histories, run columns": (
        _collected(
            partial(scan_histories, keys=["metric/00"], run_columns=["config.param_00", "state"]),
        ),
        ["Fields Keys Runs", "Runs", "Rows"],
    ),
    # With columns of runs there may be conditions on these, so that no page is asked for before they are known.
    "scan of histories, filtered": (
        _collected(
            partial(scan_histories, keys=["metric/00"], run_columns=["config.param_00", "state"]),
            STATE,
        ),
        ["Fields Keys Runs", "Runs", "Rows"],
    ),
}


OTHERS = {
    "runs, large": (read_runs, "large", ["Fields Runs", "Runs"]),
    "histories, large": (read_histories, "large", ["Runs", "Runs", "Rows Rows Rows"]),
    # Keys with text among numbers are looked at in all runs, be it in those that have come.
    "runs, mixed, few": (read_runs, "mixed-9", ["Fields Runs"]),
    "runs, mixed": (read_runs, "mixed-30", ["Fields Runs"]),
    "runs, mixed, limit": (partial(read_runs, limit=2), "mixed-30", ["Fields Runs Runs", "Runs"]),
    "runs, mixed, metadata": (
        partial(read_runs, columns=["run_id", "summary.loss"]),
        "mixed-30",
        ["Fields Runs"],
    ),
    "scan of runs, mixed, few": (_collected(scan_runs), "mixed-9", ["Fields Runs", "Runs"]),
    "scan of runs, mixed": (_collected(scan_runs), "mixed-30", ["Fields Runs", "Runs", "Runs"]),
    "scan of histories, mixed, few": (
        _collected(scan_histories),
        "mixed-9",
        ["Keys Runs Runs", "Rows", "Rows"],
    ),
    "scan of histories, mixed": (
        _collected(scan_histories),
        "mixed-30",
        ["Keys Runs Runs", "Runs", "Rows", "Rows"],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_read_takes_so_many_rounds(many, monkeypatch, name):
    read, expected = TABLE[name]
    _takes(many, monkeypatch, read, "synthetic", expected)


@pytest.mark.parametrize("name", OTHERS)
def test_a_read_of_another_project_takes_so_many_rounds(many, monkeypatch, name):
    _takes(many, monkeypatch, *OTHERS[name])


def _takes(server, monkeypatch, read, project, expected):
    with wbframe.Client(server.url, server.api_key) as client:
        # What a server does, one read has found out.
        before = read(f"wbframe/{project}", client=client)
        rounds = in_rounds(client, monkeypatch, expected)
        assert read(f"wbframe/{project}", client=client).equals(before)
        rounds.check()
    assert before.height


def test_what_is_pushed_is_tried_beside_the_runs_that_it_is_tried_on(many, monkeypatch):
    with wbframe.Client(many.url, many.api_key) as client:
        for expected in (["Runs Runs"], ["Runs"]):
            rounds = in_rounds(client, monkeypatch, expected)
            frame = read_runs("wbframe/synthetic", columns=["run_id"], filters=STATE, client=client)
            rounds.check()
            monkeypatch.undo()
            assert frame.height


def test_several_projects_are_asked_of_side_by_side(many, monkeypatch):
    paths = [f"wbframe/{name}" for name in ("synthetic", "few", "mixed-9", "mixed-30")]
    with wbframe.Client(many.url, many.api_key) as client:
        scan_runs(paths, client=client).collect_schema()
        # Only of the two that have more runs than were looked at is text among numbers looked for in all.
        rounds = in_rounds(
            client,
            monkeypatch,
            ["Fields Runs Runs Runs Runs", "Fields Fields Fields", "Runs", "Runs"],
        )
        assert scan_runs(paths, client=client).collect_schema()["summary.loss"] == pl.Float64
        rounds.check()


def test_a_page_is_asked_for_ahead_in_the_query_alone_that_reads_it(many):
    with wbframe.Client(many.url, many.api_key) as client:
        scan = scan_histories("wbframe/synthetic", keys=["metric/00"], client=client)

        def asked(what):
            many.clear()
            what()
            return sorted(each.operation for each in many.requests)

        assert asked(scan.collect_schema) == ["Keys", "Runs"]
        assert asked(scan.collect) == ["Rows", "Runs"]
        assert asked(scan.collect) == ["Rows", "Runs"]
        again = scan_histories("wbframe/synthetic", keys=["metric/00"], client=client)
        assert asked(again.collect) == ["Keys", "Rows", "Runs", "Runs"]
        assert asked(again.collect) == ["Rows", "Runs"]
        both = scan_histories("wbframe/synthetic", keys=["metric/00"], client=client)
        # Each of the two reads lists its own runs, but for the one that takes the page.
        joined = both.join(both, on=["run_id", "_step"]).collect()
        assert joined.height == scan.collect().height
        assert not running._queries  # what is held for a query goes with it
