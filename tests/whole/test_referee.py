"""Beside `scan_history()` of the current SDK, on the same server: where it repeats or drops rows, we do not."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

import wbframe
from benchmarks.peers import CURRENT, run_peer
from tests.whole.truth import project_of
from wbframe.server import Export, ExportFile, Exports, Features, History, RunRecord, serve

pytestmark = pytest.mark.referee

SCAN = """
import wandb
def main(path):
    found = {}
    for run in wandb.Api().runs(path):
        found[run.id] = [row["_step"] for row in run.scan_history()]
    return found
"""
SPARSE = [{"_step": 5_000 + step + 3_000 * (step > 200), "x": step / 2} for step in range(400)]
TWICE = [{"_step": step // 2, "x": step / 2} for step in range(40)]


def runs():
    """Give runs by how they are exported."""
    rows = History(SPARSE)
    below = Export(files=(ExportFile(range(100, 400)),), live=range(100))
    return {
        "live": RunRecord(name="live", history=rows, exports=Exports.none()),
        "exported": RunRecord(name="exported", history=rows, exports=Exports.all(3)),
        "tail": RunRecord(name="tail", history=rows, exports=Exports.split(2, 0.2)),
        "both": RunRecord(name="both", history=rows, exports=Exports.split(2, 0.2, 30)),
        "below": RunRecord(name="below", history=rows, exports=below),
        "twice": RunRecord(name="twice", history=History(TWICE), exports=Exports.none()),
    }


# What the SDK gives besides every row once, by what `history` serves and by run: (repeated, lost).
LISTED = {
    True: {"tail": True, "both": True, "below": True},
    False: {"both": True},
}


@pytest.mark.parametrize("serves", [True, False])
def test_the_sdk_repeats_rows_where_files_and_live_rows_meet(serves):
    made = runs()
    project = replace(project_of(*made.values()))
    with serve(project, features=Features(history_serves_exported=serves)) as server:
        env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.api_key}
        theirs = run_peer(CURRENT, SCAN, env, project.path)
        with wbframe.Client(server.url, server.api_key) as client:
            ours = pl.read_wandb_histories(project.path, samples=None, client=client)
    for name, run in made.items():
        steps = list(run.history.steps)
        assert ours.filter(run_id=name)["_step"].to_list() == steps
        if name == "twice":
            # Pages of as many rows as they have steps: of two rows in a step it drops every second.
            assert len(theirs[name]) < len(steps)
            continue
        assert set(theirs[name]) == set(steps)
        assert (len(theirs[name]) > len(steps)) == LISTED[serves].get(name, False), name
