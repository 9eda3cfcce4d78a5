"""A long run is streamed in stretches of steps: the same rows as at once, in order, in memory that does not grow."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wbframe
from tests.lying import Answer, honest, storage
from tests.whole.truth import PATH, project_of
from wbframe.core.histories import stretches, tasks
from wbframe.server import Exports, Features, FileFormat, History, RunRecord, serve, synthetic

TOLD = {"ETag": '"1"'}
GROUPED = FileFormat(row_group_rows=100)


@pytest.fixture
def short_is_long(monkeypatch):
    """Cut runs of few rows, as those of very many are."""
    for module in (stretches, tasks):
        monkeypatch.setattr(module, "WHOLE_POINTS_PER_TASK", 1_000)


def streamed(client, **options):
    reader = wbframe.arrow.histories_reader(PATH, samples=None, client=client, **options)
    return [pl.DataFrame(pl.from_arrow(batch)) for batch in reader]


def at_once(client, **options):
    return pl.read_wandb_histories(PATH, samples=None, client=client, **options)


@pytest.mark.usefixtures("short_is_long")
@pytest.mark.parametrize(
    ("exports", "options", "parts"),
    [
        (Exports.all(format=GROUPED), {}, 10),
        (Exports.all(format=GROUPED), {"keys": ["metric/01", "metric/00"]}, 5),
        (Exports.all(4, format=GROUPED), {}, 10),
        (Exports.split(2, 0.1, format=GROUPED), {}, 9),
        (Exports.split(2, 0.6, format=GROUPED), {}, 4),
        (Exports.all(format=GROUPED), {"min_step": 150, "max_step": 1_501}, 8),
        (Exports.all(format=GROUPED), {"run_columns": ["state"]}, 10),
        (Exports.all(format=FileFormat(statistics=False, row_group_rows=100)), {}, 1),
        (Exports.all(), {}, 1),
        (Exports.none(), {}, 1),
    ],
    ids=["one file", "two keys", "four files", "a live tail", "a long live tail", "a window", "run columns",
         "no statistics", "one row group", "no files"],
)  # fmt: skip
def test_stretches_are_the_run_in_order(serving, exports, options, parts):
    project = synthetic(runs=2, rows=2_000, keys=2, name="p", exports=exports)
    _, client = serving(project, features=Features(shuffled_urls=True))
    found = streamed(client, **options)
    assert pl.concat(found).equals(at_once(client, **options))
    assert len(found) == 2 * parts
    for before, after in pairwise(found):
        if before["run_id"][-1] == after["run_id"][0]:
            assert before["_step"].max() < after["_step"].min()


@pytest.mark.usefixtures("short_is_long")
@pytest.mark.parametrize("live_data", ["null", "absent"])
@pytest.mark.parametrize("live", [0.0, 0.2])
def test_stretches_are_the_run_where_live_rows_are_not_told(serving, live_data, live):
    project = synthetic(
        runs=1, rows=2_000, keys=2, name="p", exports=Exports.split(2, live, format=GROUPED)
    )
    _, client = serving(project, features=Features(live_data=live_data))
    found = streamed(client)
    assert pl.concat(found).equals(at_once(client))
    assert len(found) > 1


@pytest.mark.usefixtures("short_is_long")
def test_a_look_that_cuts_nothing_costs_nothing(serving):
    """What was learned of the file is not asked for again."""
    rows = 40_000
    project = synthetic(runs=1, rows=rows, keys=2, name="p", exports=Exports.all())
    server, client = serving(project)
    assert [each.height for each in streamed(client)] == [rows]
    assert [each.operation for each in server.requests].count("Exports") == 1
    assert len(server.storage_requests) == 2


@pytest.mark.usefixtures("short_is_long")
def test_each_row_group_and_each_footer_is_read_once(serving):
    rows = 200_000
    project = synthetic(
        runs=1, rows=rows, keys=2, name="p", exports=Exports.all(format=FileFormat(row_group_rows=20_000))
    )  # fmt: skip
    server, client = serving(project)
    assert sum(each.height for each in streamed(client)) == rows
    assert [each.operation for each in server.requests].count("Exports") == 1
    tail, *ranges = [each.range for each in server.storage_requests]
    assert tail == "bytes=-262144"
    bounds = sorted(tuple(map(int, each.removeprefix("bytes=").split("-"))) for each in ranges)
    assert all(before[1] < after[0] for before, after in pairwise(bounds))


@pytest.mark.usefixtures("short_is_long")
def test_a_few_rows_are_had_without_the_rest(serving):
    project = synthetic(
        runs=1, rows=200_000, keys=2, name="p", exports=Exports.all(format=FileFormat(row_group_rows=10_000))
    )  # fmt: skip
    server, client = serving(project)
    lazy = pl.scan_wandb_histories(PATH, samples=None, client=client)
    assert lazy.head(10).collect().height == 10
    assert sum(each.bytes for each in server.storage_requests) < 1_500_000


@pytest.mark.usefixtures("short_is_long")
def test_addresses_that_expire_are_asked_for_anew(serving):
    project = synthetic(
        runs=1, rows=100_000, keys=2, name="p", exports=Exports.all(format=FileFormat(row_group_rows=10_000))
    )  # fmt: skip
    _, client = serving(project, features=Features(url_gets=1))
    assert pl.concat(streamed(client)).equals(at_once(client))


def file_of(rows, group, scale=1.0):
    """Make a file of one key."""
    sink = io.BytesIO()
    schema = pa.schema([("_step", pa.int64()), ("m", pa.float64())])
    options = {"compression": "none", "use_dictionary": False}
    with pq.ParquetWriter(sink, schema, **options) as writer:
        for low in range(0, rows, group):
            steps = np.arange(low, min(low + group, rows))
            writer.write_table(pa.table({"_step": steps, "m": steps * scale}))
    return sink.getvalue()


def run_of(rows):
    """Give a run whose files are elsewhere."""
    history = History([{"m": 1.0}] * 2)
    return RunRecord(name="r", history=history, exports=Exports.all(), history_line_count=rows)


@pytest.mark.usefixtures("short_is_long")
def test_fewer_rows_than_are_counted_are_an_error_or_told():
    content = file_of(30_000, 1_000)
    told = "30001 rows expected, 30000 came"
    with (
        storage(lambda asked: honest(content, asked, TOLD)) as (address, _),
        serve(project_of(run_of(30_001))) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        server.engine.links.base = address
        with pytest.raises(wbframe.errors.IncompleteHistoryError, match=told):
            streamed(client)
        with pytest.warns(wbframe.errors.IncompleteHistoryWarning, match="30000"):
            found = streamed(client, on_incomplete="warn")
    assert sum(each.height for each in found) == 30_000


@pytest.mark.usefixtures("short_is_long")
def test_stretches_of_two_versions_are_an_error_not_a_mixture():
    one, two = file_of(60_000, 1_000), file_of(60_000, 1_000, scale=2.0)

    def answer(asked):
        if asked.number < 4:
            return honest(one, asked, TOLD)
        return honest(two, asked, {"ETag": '"2"'})

    with storage(answer) as (address, _), serve(project_of(run_of(60_000))) as server:
        server.engine.links.base = address
        with (
            wbframe.Client(server.url, server.api_key, concurrency=1) as client,
            pytest.raises(wbframe.errors.AnswerError, match="was replaced while it was read"),
        ):
            streamed(client)


@pytest.mark.usefixtures("short_is_long")
def test_a_file_whose_end_does_not_come_is_told_as_ever():
    with storage(lambda _: Answer(404)) as (address, _), serve(project_of(run_of(9_000))) as server:
        server.engine.links.base = address
        with (
            wbframe.Client(server.url, server.api_key) as client,
            pytest.raises(wbframe.errors.StatusError, match="HTTP 404"),
        ):
            streamed(client)


CHILD = """
import json, sys
import polars as pl, pyarrow as pa, wbframe

with wbframe.Client(*sys.argv[1:3], concurrency=2) as client:
    rows, parts, last = 0, 0, -1
    for batch in wbframe.arrow.histories_reader(sys.argv[3], samples=None, client=client):
        steps = pl.Series(batch.column("_step"))
        assert steps[0] == last + 1 and steps[-1] - last == len(steps) and steps.is_sorted()
        rows, parts, last = rows + len(steps), parts + 1, steps[-1]
        del batch, steps
print(json.dumps([rows, parts, pa.default_memory_pool().max_memory()]))
"""


def test_memory_does_not_grow_with_the_run():
    """Three times as many rows are read in the same memory, which is far less than they take."""
    peaks = []
    for rows in (3_000_000, 9_000_000):
        content = file_of(rows, 100_000)
        with (
            storage(lambda asked, content=content: honest(content, asked, TOLD)) as (address, _),
            serve(project_of(run_of(rows))) as server,
        ):
            server.engine.links.base = address
            done = subprocess.run(
                [sys.executable, "-c", CHILD, server.url, server.api_key, PATH],
                env=os.environ,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        assert done.returncode == 0, done.stderr
        came, parts, peak = json.loads(done.stdout)
        assert came == rows
        assert parts == rows // 500_000
        peaks.append(peak)
    assert peaks[1] < 1.5 * max(peaks[0], 40_000_000)
    assert peaks[1] < 9_000_000 * 16 / 2
