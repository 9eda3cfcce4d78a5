"""What was thinned out unasked is told, and what a read did can be had after it, on every face."""

from __future__ import annotations

import asyncio
import inspect
import json

import pandas as pd
import polars as pl
import pytest

import wbframe
from wbframe.core.model import DEFAULT_SAMPLES
from wbframe.errors import SampledWarning
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.report import ScanReport

FRAME = pl.DataFrame({"entity": ["e"], "project": ["p"], "run_id": ["r1"]})

THINNED = (
    "^2 of 3 runs of e/p were thinned out; samples=None reads every row, and samples=500 says that"
)
ENGINES = ("in-memory", "streaming") if pl.__version__ >= "2" else ("streaming",)
READS = {
    "eager": read_histories,
    "scan": lambda *a, **k: scan_histories(*a, **k).collect(),
    "scan, streaming": lambda *a, **k: scan_histories(*a, **k).collect(engine="streaming"),
    "scan, projected": lambda *a, **k: scan_histories(*a, **k).select("a").collect(),
    "scan, grouped": lambda *a, **k: scan_histories(*a, **k).group_by("run_id").len().collect(),
    "collect_all": lambda *a, **k: pl.collect_all([scan_histories(*a, **k)]),
    "pandas": pd.read_wandb_histories,
    "iterator": lambda *a, **k: list(wbframe.pandas.iter_histories(*a, **k)),
    "arrow": wbframe.arrow.read_histories,
    "batches": lambda *a, **k: wbframe.arrow.histories_reader(*a, **k).read_all(),
}
each_read = pytest.mark.parametrize("read", READS.values(), ids=READS)


@each_read
def test_a_read_that_was_thinned_out_unasked_says_so_once(read, own):
    with pytest.warns(SampledWarning, match=THINNED) as warned:
        read("e/p", client=own)
    assert len(warned) == 1
    assert own.last_report.sampled_runs == 2


@each_read
@pytest.mark.parametrize("samples", [500, DEFAULT_SAMPLES + 0, 20, None])
def test_who_says_how_many_samples_is_not_told(read, own, samples):
    read("e/p", samples=samples, client=own)
    assert own.last_report.sampled is (samples is not None)


@each_read
def test_where_every_row_came_nothing_is_told(read, own):
    read("e/p/r0", client=own)
    assert not own.last_report.sampled


def test_frames_that_name_their_runs_tell_too(own):
    runs = FRAME
    for read in (
        runs.wandb.histories,
        lambda **k: runs.lazy().wandb.histories(**k).collect(),
        runs.to_pandas().wandb.histories,
    ):
        with pytest.warns(SampledWarning, match="^1 of 1 runs of e/p"):
            read(client=own)


def test_machine_metrics_that_cannot_be_had_whole_say_so(own):
    # As W&B does, the server gives no more than 999 of them.
    for samples in (500, 10_000):
        read_histories("e/p", stream="system", samples=samples, client=own)
    with pytest.warns(SampledWarning, match="samples=None reads as many rows as the server gives"):
        read_histories("e/p", stream="system", client=own)


def test_the_default_is_shown_as_a_number():
    shown = str(inspect.signature(read_histories).parameters["samples"])
    assert shown == "samples: 'int | None' = 500"
    assert DEFAULT_SAMPLES == 500


def test_a_scan_has_a_report_after_it_is_collected(own):
    rows = scan_histories("e/p", samples=500, client=own).filter(pl.col("a") > 3).collect()
    assert own.last_report.kind == "histories"
    assert (own.last_report.runs, own.last_report.sampled_runs) == (3, 2)
    assert own.last_report.residual == ("a > 3.0",)
    assert rows.height < own.last_report.rows
    scan_runs("e/p", client=own).filter(state="finished").collect()
    assert own.last_report.kind == "runs"


def test_a_report_is_there_when_a_head_has_been_collected(own):
    for engine in ("in-memory", "streaming"):
        before = own.last_report
        assert (
            scan_histories("e/p", samples=500, client=own).head(7).collect(engine=engine).height
            == 7
        )
        assert own.last_report is not before


def test_each_scan_of_a_collect_all_has_its_report(own):
    scans = [
        scan_histories("e/p", keys=["a"], samples=500, client=own),
        scan_histories("e/p/r0", samples=None, client=own),
        scan_runs("e/p", client=own),
    ]
    for engine in ENGINES:
        frames = pl.collect_all(scans, engine=engine)
        found = own.last_reports
        assert len(found) == 3
        rows = {text.partition(";")[0]: each.rows for text, each in found.items()}
        assert rows == {
            "wandb histories: e/p": frames[0].height,
            "wandb histories: e/p/runs/r0": frames[1].height,
            "wandb runs: e/p": frames[2].height,
        }
    scans[2].collect()
    assert list(own.last_reports.values()) == [own.last_report]


def test_scans_that_read_the_same_are_numbered(own):
    pl.collect_all(
        [scan_runs("e/p", client=own).select("name"), scan_runs("e/p", client=own).head(1)]
    )
    first, second = own.last_reports
    assert second == f"{first} #2"
    assert {each.rows for each in own.last_reports.values()} == {3, 1}


def test_asking_for_the_schema_forgets_no_report(own):
    lazy = scan_runs("e/p", client=own)
    lazy.collect()
    lazy.collect_schema()
    assert len(own.last_reports) == 1


def test_a_sink_and_an_awaited_query_have_reports(own, tmp_path):
    scan_runs("e/p", columns=["name"], client=own).sink_csv(tmp_path / "runs.csv")
    assert own.last_report.rows == 3

    async def read():
        return await scan_runs("e/p", client=own).head(2).collect_async()

    assert asyncio.run(read()).height == 2
    assert own.last_report.rows == 2


def test_the_report_of_the_default_client_is_one_of_the_package(served, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", served.url)
    monkeypatch.setenv("WANDB_API_KEY", served.api_key)
    frame = read_runs("e/p").filter(pl.col("config.lr") > 0)
    assert frame.wandb.report is None
    assert wbframe.last_report.rows == 3
    scan_runs("e/p").collect()
    assert list(wbframe.last_reports.values()) == [wbframe.last_report]


def test_pandas_has_the_report_on_its_accessor_also_after_an_operation(own):
    frame = pd.read_wandb_histories("e/p", samples=500, client=own)
    assert isinstance(frame.wandb.report, ScanReport)
    assert frame.wandb.report == own.last_report
    assert frame[frame["a"] > 3].assign(c=1).wandb.report == own.last_report
    assert pd.DataFrame({"a": [1]}).wandb.report is None
    with pytest.warns(wbframe.errors.LeftOutWarning):
        frame = pd.read_wandb_runs(["e/p/r1", "e/p/nope"], on_error="skip", client=own)
    assert frame.wandb.report == own.last_report
    assert frame.wandb.report.left_out[0].what == "e/p/nope"


def test_buckets_have_a_report_on_every_face(own):
    frame = wbframe.buckets.read_buckets("e/p", bins=3, client=own)
    assert frame.wandb.report == own.last_report
    assert frame.wandb.report.rows == frame.height
    table = wbframe.arrow.read_buckets("e/p", bins=3, client=own)
    assert ScanReport.of_dict(json.loads(table.schema.metadata[b"wbframe"])) == own.last_report
    assert pd.read_wandb_buckets("e/p", bins=3, client=own).wandb.report == own.last_report
    wbframe.buckets.scan_buckets("e/p", bins=3, client=own).collect()
    assert own.last_report.rows == frame.height


def test_a_report_survives_json(own):
    with pytest.warns(wbframe.errors.LeftOutWarning):
        read_runs(["e/p/r1", "e/p/nope"], on_error="skip", client=own)
    report = own.last_report
    assert ScanReport.of_dict(json.loads(json.dumps(report.to_dict()))) == report


def test_the_sdk_way_of_reading_stays_as_silent_as_the_sdk(served):
    api = wbframe.Api({"base_url": served.url}, api_key=served.api_key)
    assert len(api.run("e/p/r1").history(samples=500)) == 500
    assert len(api.runs("e/p").histories(samples=500)) > 0
