"""The current SDK scans exported histories from the server as from W&B."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.peers import CURRENT
from tests.server.test_referees import as_text, ask, picked, unbared, without_nulls
from wbframe.server import (
    Exports,
    Features,
    FileFormat,
    History,
    Project,
    RunRecord,
    serve,
    synthetic,
)

pytestmark = pytest.mark.referee

SCAN = """
def main(args):
    path, keys = args
    return plain({
        run.id: [list(run.scan_history()), list(run.scan_history(keys=keys))]
        for run in wandb.Api().runs(path)
    })
"""


def scan(project, keys, **options):
    with serve(project, **options) as server:
        got = ask(CURRENT, server, SCAN, [project.path, keys])
        assert not any(logged.authorization_seen for logged in server.storage_requests)
        assert all(logged.method == "GET" for logged in server.storage_requests)
    return got


def counted(rows):
    return Counter(as_text(without_nulls(row)) for row in rows)


def some_runs(project):
    """Take the runs whose values Parquet spells as JSON does."""
    plain = ("cadence1", "drifting", "whole", "resumed", "huge", "named", "twice", "noconfig")
    return Project(
        entity="wbframe",
        name="plain",
        runs=tuple(run for run in project.runs if run.name in plain),
        bare_tokens=True,
    )


@pytest.fixture(params=["ragged", "synthetic"])
def exported(request, ragged_project):
    """A project, and a key that not every row has."""
    if request.param == "ragged":
        return some_runs(ragged_project), "eval/loss"
    return synthetic(runs=3, rows=2500, keys=3, cadence=(1, 10)), "metric/01"


def test_files_alone_are_every_row_once(exported):
    project, key = exported
    steps = itertools.cycle(["int64", "float64", "float32"])
    runs = tuple(
        replace(
            run,
            exports=Exports.all(
                files=3, running=True, format=FileFormat(step=step, row_group_rows=64)
            ),
        )
        for run, step in zip(project.runs, steps, strict=False)
    )
    got = scan(replace(project, runs=runs), ["_step", key])
    for run in project.runs:
        rows = run.history.to_dicts()
        whole, keyed = got[run.name]
        assert counted(whole) == counted(rows)
        # rows without the key come too, with a null
        assert counted(keyed) == counted(picked(row, ("_step", key)) for row in rows)


def test_files_and_a_live_tail_apart_are_every_row_once(exported):
    project, key = exported
    rule = Exports.split(files=2, live=0.3)
    features = Features(history_serves_exported=False)
    got = scan(project, ["_step", key], exports=rule, features=features)
    for run in project.runs:
        rows = run.history.to_dicts()
        whole, keyed = got[run.name]
        assert counted(whole) == counted(rows)
        held = [row for row in keyed if row.get(key) is not None]
        assert counted(held) == counted(picked(row, ("_step", key)) for row in rows if key in row)


def test_it_repeats_rows_that_are_both_exported_and_live(exported):
    project, key = exported
    rule = Exports.split(files=2, live=0.3, overlap=4)
    features = Features(history_serves_exported=False)
    got = scan(project, ["_step", key], exports=rule, features=features)
    for run in project.runs:
        if run.name == "twice":
            continue  # pages are as many rows as they have steps: what has more is thinned out
        rows = run.history.to_dicts()
        export = rule.plan(run.history.steps)
        repeated = [rows[row] for row in export.exported.intersection(export.live)]
        assert repeated
        assert counted(got[run.name][0]) == counted(rows) + counted(repeated)


def test_it_repeats_what_history_serves_of_a_page_with_live_rows(exported):
    """It asks for each page of 1000 steps that reaches the first live one, whole."""
    project, key = exported
    rule = Exports.split(files=2, live=0.3)
    got = scan(project, ["_step", key], exports=rule)
    for run in project.runs:
        if run.name == "twice":
            continue
        rows = run.history.to_dicts()
        export = rule.plan(run.history.steps)
        boundary = rows[export.live_from]["_step"]
        first, last = rows[0]["_step"], rows[-1]["_step"]
        pages = range(0, last + 1, 1000)
        again = [page for page in pages if min(page + 1000, last + 1) > boundary]
        repeated = [
            rows[row]
            for row in export.exported
            if any(page <= rows[row]["_step"] < page + 1000 for page in again)
        ]
        assert counted(got[run.name][0]) == counted(rows) + counted(repeated), (first, last)


def test_it_spells_non_finite_numbers_by_where_they_are():
    rows = [{"x": float("nan")}, {"x": float("inf")}, {"x": 1.5}, {"x": float("nan")}]
    run = RunRecord(name="r", history=History(rows))
    project = Project(entity="wbframe", name="p", runs=(run,))
    features = Features(history_serves_exported=False)
    got = scan(project, ["_step", "x"], exports=Exports.split(live=0.25), features=features)
    whole, keyed = got["r"]
    stored = run.history.to_dicts()
    assert counted(whole) == counted([*stored[:3], unbared(stored[3])])
    assert counted(keyed) == counted([*stored[:3], unbared(stored[3])])
    assert whole[3]["x"] == "NaN"


def test_it_reads_every_spelling_of_a_file(ragged_project):
    for spelled in (
        FileFormat(mixed="binary", objects="binary", compression="snappy"),
        FileFormat(texts="dictionary", columns="all", numbers="float64", compression="none"),
    ):
        got = scan(ragged_project, ["_step", "text"], exports=Exports.all(2, format=spelled))
        for run in ragged_project.runs:
            assert len(got[run.name][0]) == len(run.history)
        texts = [row["text"] for row in got["named"][1]]
        assert texts == [row["text"] for row in ragged_project.run("named").history.to_dicts()]
