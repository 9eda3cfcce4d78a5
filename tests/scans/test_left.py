"""From a lazy frame of runs to their rows, lazily: the runs on the left are the run list of the scan."""

from __future__ import annotations

import pickle

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from wbframe.polars import read_histories, scan_runs

pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")

ENGINES = ["in-memory", "streaming"]
RAGGED = "wbframe/ragged"
FINISHED = pl.col("state") == "finished"
KEYS = ["train/loss", "eval/loss"]


def runs_of(client, **options):
    return scan_runs(
        RAGGED,
        columns=["entity", "project", "run_id", "state", "created_at"],
        client=client,
        **options,
    )


def test_nothing_is_read_before_it_is_collected(web, client):
    runs_of(client).filter(FINISHED).wandb.histories(keys=KEYS, client=client).filter(
        pl.col("_step") < 3
    )
    assert not web.requests


@pytest.mark.parametrize("engine", ENGINES)
def test_the_rows_of_exactly_these_runs_in_this_order(engine, web, client):
    left = runs_of(client).filter(FINISHED).sort("created_at", descending=True)
    ids = left.collect()["run_id"].to_list()
    lazy = left.wandb.histories(keys=KEYS, run_columns=["state"], client=client)
    found = lazy.collect(engine=engine)
    assert found["run_id"].unique(maintain_order=True).to_list() == [
        each for each in ids if each in set(found["run_id"])
    ]
    whole = read_histories(
        RAGGED,
        keys=KEYS,
        run_columns=["state"],
        filters=FINISHED,
        order="-created_at",
        client=client,
    )
    assert_frame_equal(found, whole)


@pytest.mark.parametrize("engine", ENGINES)
def test_only_their_rows_are_asked_for(engine, web, client):
    lazy = (
        runs_of(client)
        .filter(pl.col("run_id").is_in(["whole", "twice"]))
        .wandb.histories(keys=["train/loss"], client=client)
    )
    web.clear()
    assert lazy.filter(pl.col("_step") < 3).collect(engine=engine).height == 6
    rows = [request for request in web.requests if request.operation == "Rows"]
    assert [request.document.count("run(") for request in rows] == [2]
    assert "maxStep" in str(rows[0].variables)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_comes_after_is_pushed_as_ever(engine, client):
    lazy = runs_of(client).wandb.histories(
        keys=KEYS, run_columns=["state"], samples=5000, client=client
    )
    eager = lazy.collect()
    for query in (
        lambda frame: frame.filter(FINISHED, pl.col("_step").is_between(3, 9)),
        lambda frame: frame.head(10).filter(pl.col("_step") > 3),
        lambda frame: frame.select("eval/loss", "run_id"),
        lambda frame: frame.filter(pl.col("run_id") == "whole").select(pl.len()),
    ):
        assert_frame_equal(query(lazy).collect(engine=engine), query(eager.lazy()).collect())


def test_any_lazy_frame_will_do(client):
    ids = pl.LazyFrame({"run_id": ["whole", "twice", "whole"]})
    found = ids.wandb.histories(path=RAGGED, keys=["train/loss"], client=client).collect()
    assert found["run_id"].unique(maintain_order=True).to_list() == ["whole", "twice"]
    assert found.height == 20 + 10


def test_runs_and_back(client):
    rows = pl.LazyFrame({"run_id": ["twice", "whole", "whole"]})
    found = rows.wandb.runs(path=RAGGED, columns=["run_id", "state"], client=client)
    assert found.collect().rows() == [("twice", "finished"), ("whole", "failed")]
    assert found.filter(FINISHED).collect().rows() == [("twice", "finished")]
    assert found.select(pl.len()).collect().item() == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_no_run_on_the_left(engine, client):
    left = runs_of(client).filter(pl.col("state") == "nothing of the kind")
    found = left.wandb.histories(keys=None, client=client).collect(engine=engine)
    assert found.schema == pl.Schema({"run_id": pl.String, "_step": pl.Int64})
    assert found.is_empty()


def test_a_run_that_is_not_there_is_an_error(client):
    with pytest.raises(Exception, match="nobody"):
        pl.LazyFrame({"run_id": ["nobody"]}).wandb.histories(path=RAGGED, client=client).collect()


def test_a_frame_without_run_ids_is_an_error(client):
    with pytest.raises(Exception, match="run_id"):
        pl.LazyFrame({"id": ["whole"]}).wandb.histories(path=RAGGED, client=client).collect()


@pytest.mark.parametrize("engine", ENGINES)
def test_it_travels(engine, web, client, monkeypatch):
    lazy = runs_of(client).filter(FINISHED).wandb.histories(keys=KEYS, client=client).head(30)
    wanted = lazy.collect(engine=engine)
    plan = pickle.dumps(lazy)
    assert web.api_key.encode() not in plan
    monkeypatch.setenv("WANDB_API_KEY", web.api_key)
    assert_frame_equal(pickle.loads(plan).collect(engine=engine), wanted)
