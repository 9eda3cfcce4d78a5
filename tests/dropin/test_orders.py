"""Orders of the drop-in's runs: the server's, the frame's own names too, and a word where they did not come so."""

from __future__ import annotations

import warnings

import pytest

import wbframe
from wbframe.errors import ColumnError, OrderWarning
from wbframe.server import Project, RunRecord, serve

RUNS = tuple(
    RunRecord(
        name=f"r{i}",
        display_name=f"n{3 - i}",
        created_at=f"2026-01-0{i + 1}T00:00:00Z",
        config={"opt": {"lr": 10 - i}, "x.y": [3, 1, 2][i], "word": "cab"[i]},
        summary={"best": {"acc": [0.5, 0.7, 0.6][i]}, **({"rare": i} if i else {})},
    )
    for i in range(3)
)


@pytest.fixture(scope="module")
def server():
    with serve(Project(entity="e", name="p", runs=RUNS)) as started:
        yield started


@pytest.fixture
def api(server):
    server.clear()
    with wbframe.Client(server.url, server.api_key) as client:
        yield wbframe.Api(client=client)


RIGHT = {
    "-summary_metrics.best.acc": "r1 r2 r0",
    "-summary.best.acc": "r1 r2 r0",
    "+summary.rare": "r1 r2 r0",
    "-config.opt.value.lr": "r0 r1 r2",
    "config.word": "r1 r2 r0",
    "run_id": "r0 r1 r2",
    "-display_name": "r0 r1 r2",
    "-name": "r2 r1 r0",
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("order", "wanted"), RIGHT.items())
def test_names_of_the_server_and_of_the_frame(server, api, order, wanted):
    found = [run.id for run in api.runs("e/p", order=order)]
    if order == "+summary.rare":
        # Where runs without a value stand is the server's.
        found.remove("r0")
        wanted = "r1 r2"
    assert found == wanted.split()
    assert len(server.requests) == 1


WRONG = {
    "-summary.best.ac": "Did you mean 'summary.best.acc'",
    "-summary_metrics.best.ac": "Did you mean 'summary.best.acc'",
    "-config.zzz": "no column 'config.zzz'",
    "-creatd_at": "Did you mean 'created_at'",
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(("order", "said"), WRONG.items())
def test_a_typing_error_is_no_order(api, order, said, lazy):
    for take in (list, len, lambda runs: runs[0], lambda runs: runs.histories(format="polars")):
        runs = api.runs("e/p", order=order, lazy=lazy)
        for _ in range(2):
            with pytest.raises(ColumnError, match=said) as raised:
                take(runs)
            assert str(raised.value).startswith("`order`")


def test_runs_that_come_in_another_order_are_told():
    with serve(Project(entity="e", name="p", runs=RUNS)) as server:
        api = wbframe.Api(client=wbframe.Client(server.url, server.api_key))
        runs = api.runs("e/p", order="+config.x.y")
        with pytest.warns(OrderWarning, match=r"'\+config\.x\.y'; `to_polars`") as warned:
            assert [run.id for run in runs] == ["r0", "r1", "r2"]
        assert warned[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert runs.to_polars(columns=["run_id"])["run_id"].to_list() == ["r1", "r2", "r0"]
            # One run is in any order, and text is in whichever the server compares it.
            assert len(api.runs("e/p", {"name": "r0"}, order="+config.x.y")) == 1
