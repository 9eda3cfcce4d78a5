"""What the SDK keeps among the keys of a run: left out, and to be had by name."""

from __future__ import annotations

import polars as pl
import pytest

import wbframe
from wbframe.errors import ColumnError
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.server import Features, History, Project, RunRecord, serve

OWN = {"cli_version": "0.31.0", "branch_point": {"run_id": "parent", "step": 40}, "t": {"1": [5]}}
RUNS = (
    RunRecord(name="parent", config={"lr": 1}, wandb_config={"cli_version": "0.30.0"},
              summary={"loss": 1, "_wandb": {"runtime": 9}}, history=History([{"x": 1}]),
              created_at="2026-01-01T00:00:00Z"),
    RunRecord(name="fork", config={"lr": 2, "opt": {"eps": 3}}, wandb_config=OWN, history=History([{"x": 2}]),
              created_at="2026-01-02T00:00:00Z"),
)  # fmt: skip
BRANCH = ["config._wandb.branch_point.run_id", "config._wandb.branch_point.step"]
FEATURES = [None, Features(fields=False), Features(projection=False)]


@pytest.fixture(params=FEATURES, ids=["all", "no index", "no projection"])
def client(request):
    with (
        serve(Project(entity="e", name="p", runs=RUNS), features=request.param) as server,
        wbframe.Client(server.url, server.api_key) as made,
    ):
        yield made


def test_the_branch_point_of_a_fork_is_read_by_name(client):
    columns = ["run_id", *BRANCH]
    found = read_runs("e/p", columns=columns, client=client)
    assert found.rows() == [("parent", None, None), ("fork", "parent", 40.0)]
    lazy = scan_runs("e/p", columns=columns, client=client)
    assert lazy.filter(pl.col(BRANCH[1]) > 3).collect().rows() == [("fork", "parent", 40.0)]
    kept = read_runs(
        "e/p", columns=["run_id"], filters=pl.col(BRANCH[0]) == "parent", client=client
    )
    assert kept["run_id"].to_list() == ["fork"]
    best = read_runs("e/p", columns=["run_id"], order=f"-{BRANCH[1]}", limit=1, client=client)
    assert best["run_id"].to_list() == ["fork"]
    for options in ({"order": f"-{BRANCH[1]}", "limit": 1}, {"filters": pl.col(BRANCH[1]) > 3}):
        whole = read_runs("e/p", client=client, **options)
        assert whole["run_id"].to_list() == ["fork"]
        assert not [name for name in whole.columns if "_wandb" in name]
    for rows in (
        read_histories("e/p", run_columns=BRANCH, client=client),
        scan_histories("e/p", run_columns=BRANCH, client=client).collect(),
    ):
        assert rows[BRANCH[0]].to_list() == [None, "parent"]


def test_a_glob_of_them_names_them(client):
    found = read_runs("e/p", columns=["config._wandb.*"], client=client)
    assert set(found.columns) == {"config._wandb.cli_version", "config._wandb.t.1", *BRANCH}
    assert found["config._wandb.cli_version"].to_list() == ["0.30.0", "0.31.0"]


def test_the_summary_has_some_too(client):
    found = read_runs("e/p", columns=["summary._wandb.runtime", "summary.loss"], client=client)
    assert found.rows()[0] == (9.0, 1.0)


@pytest.mark.parametrize(
    "columns", [None, ["config.*", "summary.*"], ["*"], ["config.*", BRANCH[0]]]
)
def test_whoever_does_not_name_them_does_not_get_them(columns, client):
    found = read_runs("e/p", columns=columns, client=client)
    own = [name for name in found.columns if "_wandb" in name]
    assert own == (BRANCH[:1] if columns and BRANCH[0] in columns else [])
    assert {"config.lr", "config.opt.eps"} <= set(found.columns)


def test_a_typo_among_them_is_an_error(client):
    with pytest.raises(ColumnError, match=r"config\._wandb\.branch_pont"):
        read_runs("e/p", columns=["config._wandb.branch_pont"], client=client)
