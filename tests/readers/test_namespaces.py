"""`df.wandb`: from a frame to exactly the runs and histories that its rows name."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wbframe
from wbframe.errors import ColumnError, RunNotFoundError, UsageError
from wbframe.polars import read_histories, read_runs

RAGGED = "wbframe/ragged"


def refused(error):
    """What is raised: a lazy frame is looked at when polars asks for its schema, and polars wraps what it says."""
    return (error, pl.exceptions.ComputeError)


IDS = ["twice", "cadence1", "drifting"]
KINDS = ["polars", "lazy", "pandas"]


def made(kind, data):
    if kind == "pandas":
        return pd.DataFrame(data)
    frame = pl.DataFrame(data)
    return frame.lazy() if kind == "lazy" else frame


def collected(frame):
    if isinstance(frame, pl.LazyFrame):
        return frame.collect()
    return pl.from_pandas(frame) if isinstance(frame, pd.DataFrame) else frame


def full(ids):
    return {"entity": ["wbframe"] * len(ids), "project": ["ragged"] * len(ids), "run_id": ids}


@pytest.mark.parametrize("kind", KINDS)
def test_histories_of_exactly_the_runs_in_the_frame_in_its_order(kind, client):
    result = made(kind, full(IDS)).wandb.histories(keys=["train/loss"], client=client)
    assert isinstance(
        result, {"polars": pl.DataFrame, "lazy": pl.LazyFrame, "pandas": pd.DataFrame}[kind]
    )
    frame = collected(result)
    assert frame["run_id"].unique(maintain_order=True).to_list() == IDS
    paths = [f"{RAGGED}/{run_id}" for run_id in IDS]
    assert_frame_equal(frame, read_histories(paths, keys=["train/loss"], client=client))


@pytest.mark.parametrize("kind", KINDS)
def test_run_ids_alone_need_a_path(kind, client):
    frame = made(kind, {"run_id": IDS})
    rows = collected(frame.wandb.histories(path=RAGGED, keys=["train/loss"], client=client))
    assert rows["run_id"].n_unique() == 3
    with pytest.raises(refused(ColumnError), match="'entity' and 'project'; pass path="):
        collected(frame.wandb.histories(keys=["train/loss"], client=client))
    with pytest.raises(refused(ColumnError), match="'run_id'"):
        collected(made(kind, {"name": ["x"]}).wandb.runs(path=RAGGED, client=client))
    with pytest.raises(refused(UsageError), match="the frame names the runs"):
        collected(frame.wandb.runs(path=f"{RAGGED}/runs/huge", client=client))


@pytest.mark.parametrize("kind", KINDS)
def test_a_path_may_leave_the_entity_to_the_settings(kind, client):
    rows = collected(
        made(kind, {"run_id": IDS}).wandb.runs(path="ragged", columns=["run_id"], client=client)
    )
    assert rows["run_id"].to_list() == IDS


@pytest.mark.parametrize("kind", KINDS)
def test_runs_is_the_opposite_way(kind, client):
    rows = read_histories([f"{RAGGED}/{name}" for name in IDS], keys=["train/loss"], client=client)
    frame = rows.to_pandas() if kind == "pandas" else rows.lazy() if kind == "lazy" else rows
    runs = collected(
        frame.wandb.runs(path=RAGGED, columns=["run_id", "state", "config.model"], client=client)
    )
    expected = read_runs(
        [f"{RAGGED}/{name}" for name in IDS],
        columns=["run_id", "state", "config.model"],
        client=client,
    )
    assert_frame_equal(runs, expected)


def test_from_runs_to_histories_and_back(client):
    runs = read_runs(
        "wbframe/demo", limit=5, columns=["entity", "project", "run_id", "state"], client=client
    )
    rows = runs.wandb.histories(
        keys=["train/loss"], samples=500, run_columns=["entity", "project"], client=client
    )
    back = rows.wandb.runs(columns=runs.columns, client=client)
    assert_frame_equal(back, runs)
    pandas = wbframe.pandas.read_runs("wbframe/demo", limit=5, client=client)
    assert_frame_equal(
        pl.from_pandas(pandas.wandb.histories(keys=["train/loss"], samples=500, client=client)),
        rows.drop("entity", "project"),
    )


def test_runs_of_several_projects(client):
    data = {
        "entity": ["wbframe"] * 3,
        "project": ["odd", "ragged", "odd"],
        "run_id": ["listed", "huge", "nobody"],
    }
    for kind in KINDS:
        runs = collected(made(kind, data).wandb.runs(columns=["project", "run_id"], client=client))
        assert runs.rows() == [("odd", "listed"), ("ragged", "huge"), ("odd", "nobody")]


def test_many_runs_take_one_request_a_hundred(web, client):
    ids = read_runs("wbframe/demo", columns=["run_id"], client=client)["run_id"].to_list()
    web.clear()
    pl.DataFrame({"run_id": ids}).wandb.histories(
        path="wbframe/demo", keys=["lr"], samples=5, client=client
    )
    # Some do not list the key, and a few of these are looked at.
    assert [request.operation for request in web.requests] == ["NamedRuns", "Rows", "Rows"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_without_rows_gives_the_empty_frame(kind, client):
    data = {
        name: pd.Series([], dtype=str) if kind == "pandas" else pl.Series([], dtype=pl.String)
        for name in full([])
    }
    rows = collected(made(kind, data).wandb.histories(keys=["a"], client=client))
    assert rows.columns == ["run_id", "_step", "a"]
    assert rows.height == 0
    runs = collected(made(kind, data).wandb.runs(client=client))
    assert runs.height == 0
    assert runs.columns[:3] == ["entity", "project", "run_id"]


@pytest.mark.parametrize("kind", KINDS)
def test_ids_that_name_no_run(kind, client):
    with pytest.raises(refused(UsageError), match="null"):
        collected(made(kind, {"run_id": ["huge", None]}).wandb.runs(path=RAGGED, client=client))
    with pytest.raises(refused(UsageError), match="must be text; got 7"):
        collected(made(kind, {"run_id": [7]}).wandb.runs(path=RAGGED, client=client))
    with pytest.raises(refused(RunNotFoundError), match="'nope'"):
        collected(made(kind, {"run_id": ["nope"]}).wandb.runs(path=RAGGED, client=client))


def test_categorical_ids_are_text(client):
    frame = pl.DataFrame({"run_id": IDS}).cast(pl.Categorical)
    assert (
        frame.wandb.runs(path=RAGGED, columns=["run_id"], client=client)["run_id"].to_list() == IDS
    )
    pandas = pd.DataFrame({"run_id": pd.Categorical(IDS)})
    assert (
        pandas.wandb.runs(path=RAGGED, columns=["run_id"], client=client)["run_id"].tolist() == IDS
    )


def test_options_go_through(client):
    frame = made("pandas", full(["cadence1"]))
    rows = frame.wandb.histories(
        keys=["train/loss", "eval/loss"], match="all", min_step=50, max_step=100, samples=3,
        run_columns=["state"], dtype_backend="pyarrow", client=client,
    )  # fmt: skip
    assert rows["_step"].tolist() == [50, 70, 90]
    assert isinstance(rows["state"].dtype, pd.ArrowDtype)
    cpu = frame.wandb.histories(stream="system", keys=["cpu"], samples=500, client=client)
    assert cpu["run_id"].unique().tolist() == ["cadence1"]


def test_importing_anew_does_not_complain():
    import importlib

    importlib.reload(wbframe)
    assert pl.DataFrame.wandb is not None
