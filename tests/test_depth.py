"""How many round trips in a row each read takes, and of which questions: the same on every run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import wbframe
from tests.depth import in_rounds
from wbframe import read_histories, read_runs, scan_histories, scan_runs
from wbframe.server import serve, synthetic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wbframe.server.http import Server

STEPS, LR, STATE = (
    pl.col("_step") < 3,
    pl.col("config.param_00") >= 0,
    pl.col("state") == "finished",
)
ALL = ("run_id", "_step", "metric/00")


@pytest.fixture(scope="module")
def many() -> Iterator[Server]:
    """A project of more runs than a look takes, and of more than a page that holds the keys of each."""
    with serve(
        [synthetic(runs=30, rows=4, keys=2), synthetic(runs=250, rows=2, keys=2, name="large")]
    ) as started:
        yield started


def _collected(scan: Callable[..., pl.LazyFrame], *steps: Any) -> Callable[..., pl.DataFrame]:
    """Read by a scan, of which some conditions are taken, and then some columns."""

    def read(path: str, client: wbframe.Client) -> pl.DataFrame:
        frame = scan(path, client=client)
        for step in steps:
            frame = frame.filter(step) if isinstance(step, pl.Expr) else frame.select(step)
        return frame.collect()

    return read


TABLE = {
    "runs": (read_runs, ["Fields Runs"]),
    "runs, metadata": (partial(read_runs, columns=["run_id", "state"]), ["Runs"]),
    "runs, named": (partial(read_runs, columns=["run_id", "config.param_00"]), ["Fields Runs"]),
    "runs, glob": (partial(read_runs, columns=["run_id", "config.*"]), ["Fields", "Runs"]),
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
        ["Keys Runs", "Rows", "Runs", "Rows"],
    ),
    "scan of histories, narrowed": (
        _collected(scan_histories, STEPS, ALL),
        ["Keys Runs", "Rows", "Runs", "Rows"],
    ),
    "scan of histories, named": (
        _collected(partial(scan_histories, keys=["metric/00"])),
        ["Keys Runs", "Runs", "Rows"],
    ),
    "scan of histories, run columns": (
        _collected(
            partial(scan_histories, keys=["metric/00"], run_columns=["config.param_00", "state"]),
            STATE,
        ),
        ["Fields Keys Runs", "Runs", "Rows"],
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_read_takes_so_many_rounds(many, monkeypatch, name):
    read, expected = TABLE[name]
    with wbframe.Client(many.url, many.api_key) as client:
        # What a server does, one read has found out.
        read("wbframe/synthetic", client=client)
        rounds = in_rounds(client, monkeypatch, expected)
        assert read("wbframe/synthetic", client=client).height
        rounds.check()
