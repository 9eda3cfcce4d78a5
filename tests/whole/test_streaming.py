"""Batches are handed out while later ones are on their way, and memory does not grow with the project."""

from __future__ import annotations

import threading

import pandas as pd
import polars as pl
import pytest

import wbframe
from tests.whole.truth import PATH
from wbframe.server import Exports, synthetic

RUNS, ROWS = 80, 100
PROJECT = synthetic(runs=RUNS, rows=ROWS, keys=2, name="p", exports=Exports.split(1, 0.1))


@pytest.fixture
def far(serving):
    return serving(PROJECT)


def readers(client, batch_size=None):
    """Give the batches of each face as polars frames."""
    options = {"samples": None, "batch_size": batch_size, "client": client}
    yield (
        pl.DataFrame(pl.from_arrow(each))
        for each in wbframe.arrow.histories_reader(PATH, **options)
    )
    frames = wbframe.pandas.iter_histories(PATH, dtype_backend="pyarrow", **options)
    yield (pl.from_pandas(each) for each in frames)


def test_batches_are_as_large_as_asked_and_together_the_whole(far):
    _, client = far
    whole = pl.read_wandb_histories(PATH, samples=None, client=client)
    assert whole.height == RUNS * ROWS
    for size in (None, 999):
        for batches in readers(client, size):
            found = list(batches)
            assert pl.concat(found).equals(whole)
            if size is None:
                assert len(found) == -(-RUNS // 16)  # a batch a task
            else:
                assert max(each.height for each in found) <= size


def test_an_empty_project_has_its_columns(serving):
    _, client = serving(synthetic(runs=2, rows=0, keys=1, name="p"))
    reader = wbframe.arrow.histories_reader(PATH, samples=None, client=client)
    assert reader.schema.names == ["run_id", "_step"]
    assert reader.read_all().num_rows == 0


def test_pandas_batches_have_one_set_of_dtypes(far):
    _, client = far
    frames = list(wbframe.pandas.iter_histories(PATH, samples=None, batch_size=500, client=client))
    assert all(isinstance(each, pd.DataFrame) and list(each.index[:1]) == [0] for each in frames)
    assert len({tuple(each.dtypes.astype(str)) for each in frames}) == 1


def test_look_ahead_is_bounded_by_tasks_not_by_runs(serving):
    client = serving(synthetic(runs=640, rows=3, keys=1, name="p", exports=Exports.all()))[1]
    begun = []
    send = client.send

    def counted(request, **options):
        if request.document.startswith("query Exports"):
            begun.append(request)
        return send(request, **options)

    client.send = counted
    batches = iter(wbframe.arrow.histories_reader(PATH, samples=None, client=client))
    next(batches)
    # One is handed out, and twice as many as there are threads are under way or wait to be.
    assert len(begun) <= 1 + 2 * client.concurrency
    rest = sum(each.num_rows for each in batches)
    assert rest == (640 - 16) * 3
    assert len(begun) == 40


def test_a_reader_that_is_left_stops_its_threads(far):
    _, client = far
    batches = wbframe.pandas.iter_histories(PATH, samples=None, client=client)
    next(batches)
    batches.close()
    lazy = pl.scan_wandb_histories(PATH, samples=None, client=client).head(3).collect()
    assert lazy.height == 3
    names = [thread.name for thread in threading.enumerate()]
    ours = ("wbframe-files", "wbframe-windows", "wbframe_")
    assert not [name for name in names if name.startswith(ours)]


def test_polars_collects_batches_and_sinks(far, tmp_path):
    _, client = far
    whole = pl.read_wandb_histories(PATH, samples=None, client=client)
    lazy = pl.scan_wandb_histories(PATH, samples=None, client=client)
    assert pl.concat(list(lazy.collect_batches(chunk_size=900))).equals(whole)
    lazy.sink_parquet(tmp_path / "rows.parquet")
    assert pl.read_parquet(tmp_path / "rows.parquet").equals(whole)
