"""Warnings come each time, and at the line of the program that reads."""

from __future__ import annotations

import ast
import asyncio
import json
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

import wbframe
from wbframe.errors import (
    CountWarning,
    LeftOutWarning,
    PlainHttpWarning,
    PrecisionWarning,
    SampledWarning,
    WbframeWarning,
)
from wbframe.io import threads
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.server import Features, History, Project, RunRecord, serve
from wbframe.server.api.engine import Answer
from wbframe.warn import warn

GONE = ["e/p/nope", "e/p/r1"]
FRAME = pl.DataFrame({"entity": "e", "project": "p", "run_id": ["r1", "nope"]})
# One line each, all of this file; `a` are the arguments.
READS = {
    "runs": lambda a: read_runs(GONE, **a),
    "scan_runs": lambda a: scan_runs(GONE, **a).collect(),
    "scan_runs, streaming": lambda a: scan_runs(GONE, **a).collect(engine="streaming"),
    "scan_runs, head": lambda a: scan_runs(GONE, **a).head(1).collect(),
    "arrow runs": lambda a: wbframe.arrow.read_runs(GONE, **a),
    "arrow, batches": lambda a: wbframe.arrow.runs_reader(GONE, **a).read_all(),
    "pandas runs": lambda a: pd.read_wandb_runs(GONE, **a),
    "histories": lambda a: read_histories(GONE, samples=9, **a),
    "whole": lambda a: read_histories(GONE, samples=None, **a),
    "scan": lambda a: scan_histories(GONE, samples=9, **a).collect(),
    "scan, streaming": lambda a: scan_histories(GONE, samples=9, **a).collect(engine="streaming"),
    "scan, whole": lambda a: scan_histories(GONE, samples=None, **a).collect(),
    "scan, head": lambda a: scan_histories(GONE, samples=9, **a).head(2).collect(),
    "scan, background": lambda a: scan_histories(GONE, samples=9, **a).collect(background=True).fetch_blocking(),
    "collect_all": lambda a: pl.collect_all([scan_histories(GONE, samples=9, **a)]),
    "collect_all, streaming": lambda a: pl.collect_all([scan_runs(GONE, **a)], engine="streaming"),
    "group_by": lambda a: scan_histories(GONE, samples=9, **a).group_by("run_id").len().collect(),
    "pandas": lambda a: pd.read_wandb_histories(GONE, samples=9, **a),
    "iterator": lambda a: list(wbframe.pandas.iter_histories(GONE, samples=9, **a)),
    "arrow": lambda a: wbframe.arrow.read_histories(GONE, samples=9, **a),
    "frame": lambda a: FRAME.wandb.histories(samples=9, **a),
    "frame of pandas": lambda a: FRAME.to_pandas().wandb.runs(**a),
    "lazy frame": lambda a: FRAME.lazy().wandb.histories(samples=9, **a).collect(),
    "buckets": lambda a: wbframe.buckets.read_buckets(GONE, bins=3, **a),
    "scan of buckets": lambda a: wbframe.buckets.scan_buckets(GONE, bins=3, **a).collect(),
}  # fmt: skip
each_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


def here(read, own, kind=LeftOutWarning, **more):
    """Read under Python's own filters, and give what is warned of: the file and the line of each."""
    with warnings.catch_warnings(record=True) as warned:
        warnings.resetwarnings()
        warnings.simplefilter("default")
        read({"on_error": "skip", "client": own, **more})
    return [(each.filename, each.lineno) for each in warned if issubclass(each.category, kind)]


@each_read
def test_a_warning_is_at_the_line_of_the_program(read, own):
    assert here(read, own) == [(__file__, read.__code__.co_firstlineno)]


@each_read
def test_a_warning_comes_each_time(read, own):
    def nightly(options):
        for _ in range(2):
            read(options)

    assert len(here(nightly, own)) == 2


@each_read
def test_filters_make_errors_of_warnings(read, own):
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeftOutWarning)
        with pytest.raises((LeftOutWarning, pl.exceptions.ComputeError)) as error:
            read({"on_error": "skip", "client": own})
    assert isinstance(wbframe.errors.unwrap(error.value), LeftOutWarning)


@each_read
def test_filters_silence_warnings(read, own):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("ignore", LeftOutWarning)
        read({"on_error": "skip", "client": own})
    assert [each for each in warned if issubclass(each.category, WbframeWarning)] == []


def test_filters_of_a_module_hold(own):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=LeftOutWarning, module=__name__)
        with pytest.raises(LeftOutWarning):
            read_runs(GONE, on_error="skip", client=own)


def test_a_collected_sink_warns_where_it_is_written(own, tmp_path):
    def read(options):
        scan_runs(GONE, **options).sink_parquet(tmp_path / "runs.parquet")

    assert here(read, own) == [(__file__, read.__code__.co_firstlineno + 1)]


def test_the_line_is_that_of_the_collect_and_not_that_of_the_scan(own, tmp_path):
    lazy = scan_histories(GONE, samples=9, on_error="skip", client=own)
    # Once known, polars does not ask for the schema again.
    lazy.collect_schema()

    async def awaited():
        return await lazy.collect_async()

    for read in (
        lambda _: lazy.collect(engine="in-memory"),
        lambda _: lazy.collect(engine="streaming"),
        lambda _: lazy.filter(pl.col("a") > 3).head(3).collect(),
        lambda _: lazy.sink_parquet(tmp_path / "rows.parquet"),
        lambda _: list(lazy.collect_batches()),
    ):
        assert here(read, own) == [(__file__, read.__code__.co_firstlineno)]
    [(file, line)] = here(lambda _: asyncio.run(awaited()), own)
    assert (file, line) == (__file__, awaited.__code__.co_firstlineno + 1)


def test_a_query_that_is_awaited_warns_at_the_program(own):
    async def read(options):
        return await scan_runs(GONE, **options).collect_async()

    [(file, _)] = here(lambda options: asyncio.run(read(options)), own)
    assert file == __file__


def test_reads_on_threads_of_the_program_warn_at_its_line(own):
    def read(options):
        def work():
            read_runs(GONE, **options)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    [(file, line)] = here(read, own)
    assert (file, line) == (__file__, read.__code__.co_firstlineno + 2)


def test_threads_that_work_for_a_read_warn_at_the_line_of_who_waits(own):
    def read(_):
        list(threads.side_by_side(2, lambda i: warn(f"number {i}", WbframeWarning), [1, 2]))

    line = read.__code__.co_firstlineno + 1
    assert here(read, own, WbframeWarning) == [(__file__, line)] * 2


def test_threads_that_work_for_threads_too(own):
    def inner(i):
        return list(threads.side_by_side(1, lambda _: warn(f"{i}", WbframeWarning), [i]))

    def read(_):
        list(threads.side_by_side(2, inner, [1]))

    [(file, _)] = here(read, own, WbframeWarning)
    assert file == __file__


def test_every_kind_of_warning_is_at_the_line_of_the_program(served):
    rows = [{"a": 2**60 + 1, "b": "text"}, {"a": 1}]
    keys = {"keys": {"a": {"typeCounts": [{"type": "number", "count": 2}]}}, "lastStep": 9}
    short = RunRecord(name="s", history=History(rows), history_keys={**keys, "lastStep": 1})
    with serve(Project(entity="e", name="q", runs=(short,))) as server:
        client = wbframe.Client(server.url, server.api_key)

        def read(options):
            read_histories("e/q", keys=["a"], **options)

        line = read.__code__.co_firstlineno + 1
        assert here(read, client, PrecisionWarning) == [(__file__, line)]


def test_an_unencrypted_key_is_told_at_the_line_of_the_program():
    def read(_):
        client = wbframe.Client(
            "http://wandb.invalid", "k" * 40, retry=wbframe.RetryPolicy(tries=1)
        )
        with pytest.raises(wbframe.errors.ConnectionFailedError):
            client.default_entity()

    [(file, _)] = here(read, None, PlainHttpWarning)
    assert file == __file__


def test_what_a_head_leaves_unread_does_not_silence_what_came(own):
    with pytest.warns(SampledWarning, match="1 of "):
        scan_histories("e/p/r1", client=own).head(2).collect()


def test_a_script_sees_it_every_night(served, tmp_path):
    script = tmp_path / "nightly.py"
    script.write_text(
        "import polars as pl, wbframe, sys\n"
        f"client = wbframe.Client({served.url!r}, {served.api_key!r})\n"
        "for night in range(3):\n"
        "    pl.read_wandb_histories('e/p', client=client)\n"
        "    pl.scan_wandb_histories('e/p', client=client).collect()\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(wbframe.__file__).parents[1],
        env={"PYTHONPATH": str(Path(wbframe.__file__).parents[1])},
    )
    assert done.stderr.count(f"{script}:4: SampledWarning: 2 of 3 runs of e/p") == 3
    assert done.stderr.count(f"{script}:5: SampledWarning: 2 of 3 runs of e/p") == 3
    assert done.stderr.count("pl.read_wandb_histories('e/p', client=client)") == 3


def test_one_place_gives_out_warnings():
    root = Path(wbframe.__file__).parent
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"warn", "warn_explicit"}
    }
    assert found == {"warn.py"}


def test_the_drop_in_warns_at_the_line_of_the_program():
    rows = [{"a": 2**60 + 1}, {"a": 0.5}]
    with serve(
        Project(entity="e", name="q", runs=(RunRecord(name="s", history=History(rows)),))
    ) as server:
        api = wbframe.Api({"base_url": server.url}, api_key=server.api_key)

        def read(_):
            api.runs("e/q").histories(format="polars")

        line = read.__code__.co_firstlineno + 1
        assert here(read, None, PrecisionWarning) == [(__file__, line)]


@pytest.mark.parametrize("fields", [True, False])
@pytest.mark.parametrize(
    "read",
    [
        lambda options: read_runs("e/q", **options),
        lambda options: scan_runs("e/q", **options).collect(),
        lambda options: scan_runs("e/q", **options).head(2).collect(),
        lambda options: scan_histories("e/q", run_columns=["config.*"], **options).collect(),
    ],
)
def test_a_read_tells_of_a_column_once_though_it_looks_at_runs_before(read, fields):
    runs = tuple(
        RunRecord(name=f"r{i}", config={"n": each}, history=History([{"a": 1}]))
        for i, each in enumerate([2**60 + 1, 0.5])
    )
    features = Features(fields=fields)
    with serve(Project(entity="e", name="q", runs=runs), features=features) as server:
        client = wbframe.Client(server.url, server.api_key)
        assert len(here(read, client, PrecisionWarning)) == 1


@pytest.mark.parametrize(
    "read",
    [
        lambda options: read_histories("e/p", samples=9, **options),
        lambda options: scan_histories("e/p", samples=9, **options).collect(),
        lambda options: scan_histories("e/p", samples=9, limit=9, **options).collect(),
        lambda options: scan_runs("e/p", **options).collect(),
    ],
)
def test_a_read_tells_of_a_wrong_count_once(read, own, served, monkeypatch):
    answer = served.engine.answer

    def counting(question):
        found = answer(question)
        body = json.loads(found.body)
        project = (body.get("data") or {}).get("project") or {}
        if "runCount" in project:
            project["runCount"] += 1
        return Answer(found.status, json.dumps(body).encode())

    monkeypatch.setattr(served.engine, "answer", counting)
    assert here(read, own, CountWarning) == [(__file__, read.__code__.co_firstlineno)]
