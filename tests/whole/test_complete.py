"""Complete, or an error that says what is missing; and what is said of a read."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pyarrow.parquet as pq
import pytest

import wbframe
from tests.whole.truth import PATH, frame_of, project_of
from wbframe.errors import IncompleteHistoryError, IncompleteHistoryWarning, SampledWarning
from wbframe.server import Export, ExportFile, Exports, Features, History, RunRecord

ROWS = [{"_step": step, "loss": step / 2} for step in range(100)]
FULL = RunRecord(name="full", history=History(ROWS), exports=Exports.all())


def whole(client, path=PATH, **options):
    return pl.read_wandb_histories(path, samples=None, client=client, **options)


LOST = [
    (Export(files=(ExportFile(range(90)),)), "100 rows expected, 90 came"),
    (Export(files=(ExportFile(range(90)),), live=range(80, 95)), "100 rows expected, 95 came"),
    (Export(files=(ExportFile(()),), live=()), "100 rows expected, 0 came"),
]


@pytest.fixture(params=["finished", "running"])
def state(request):
    return request.param


@pytest.mark.parametrize(("export", "told"), LOST)
def test_a_shortfall_names_the_run_and_the_numbers(serving, export, told, state, monkeypatch):
    run = RunRecord(name="lost", state=state, history=History(ROWS), exports=export)
    server, client = serving(
        project_of(FULL, run), features=Features(history_serves_exported=False)
    )
    view = server.engine.catalog.views[PATH].runs["lost"]
    kept = view.run.history.chosen(
        sorted({*export.exported, *export.live} - export.exported | set(export.live))
    )
    monkeypatch.setattr(
        type(view),
        "unexported",
        property(lambda self: kept if self.run.name == "lost" else self.run.history.chosen(())),
    )
    with pytest.raises(
        IncompleteHistoryError, match=rf"^run 'lost' of wbframe/p is incomplete: {told}; read again"
    ):
        whole(client)
    with pytest.warns(IncompleteHistoryWarning, match=told) as warned:
        got = whole(client, on_incomplete="warn")
    assert [each.filename for each in warned] == [whole.__code__.co_filename]
    assert got.filter(run_id="full").height == 100
    assert got.filter(run_id="lost").height == int(told.split()[-2])


def test_the_last_step_is_missed_where_rows_are_not_counted(serving):
    keys = {"keys": {"loss": {"typeCounts": [{"type": "number", "count": 100}]}}, "lastStep": 150}
    run = RunRecord(name="r", history=History(ROWS), history_keys=keys, history_line_count=None)
    _, client = serving(project_of(run))
    with pytest.raises(
        IncompleteHistoryError, match="up to step 150 expected, the last that came is 99"
    ):
        whole(client)
    with pytest.raises(IncompleteHistoryError, match="up to step 150"):
        whole(client, min_step=50)
    assert whole(client, max_step=100).height == 100


def test_a_run_that_grows_is_no_error_and_is_said(serving):
    server, client = serving("growing")
    path = "wbframe/growing"
    send = client.send

    def growing(request, **options):
        if request.document.startswith(("query Exports", "query Windows")):
            for name in ("live", "tail", "overlap", "fresh"):
                server.advance(f"{path}/{name}", 60)
        return send(request, **options)

    client.send = growing
    for _ in range(4):
        got = whole(client, path, keys=["train/loss"])
        for run in ("live", "tail", "overlap", "fresh", "ended"):
            steps = got.filter(run_id=run)["_step"].to_list()
            assert steps == list(range(len(steps)))
        assert client.last_report.growing_runs == 4
        assert client.last_report.rows >= client.last_report.rows_known


def test_keys_that_a_running_run_logs_meanwhile_are_columns_too(serving):
    server, client = serving("growing")
    send = client.send

    def growing(request, **options):
        if request.document.startswith("query Exports"):
            server.advance("wbframe/growing/live", 300)
        return send(request, **options)

    client.send = growing
    got = whole(client, "wbframe/growing")
    assert got.filter(run_id="live")["late"].drop_nulls().len() > 0


def test_the_report_says_whole(serving):
    _, client = serving(project_of(FULL))
    whole(client)
    report = client.last_report
    assert (report.samples, report.sampled, report.rows, report.rows_known) == (
        None,
        False,
        100,
        100,
    )


def test_machine_metrics_say_that_they_are_capped(serving):
    events = History(
        [
            {"_wandb": True, "_timestamp": 1.7e9 + i, "_runtime": i, "system.cpu": i / 2}
            for i in range(1500)
        ],
        stepped=False,
    )
    _, client = serving(project_of(replace(FULL, events=events)))
    # No number of samples was asked for, and every row cannot be had.
    with pytest.warns(SampledWarning, match="gives machine metrics of long runs in no other way"):
        got = whole(client, stream="system")
    assert got.height == 999
    assert client.last_report.sampled_runs == 1
    assert client.last_report.sampled
    buckets = pl.read_wandb_buckets(PATH, stream="system", bins=10, client=client)
    assert buckets["system.cpu.max"].max() == 1499 / 2
    assert buckets["system.cpu.min"].min() == 0.0


def test_faces_agree(serving):
    run = RunRecord(
        name="r",
        history=History(
            [
                {"_step": i, "x": i / 2, "t": f"{i}", **({"n": i} if i % 3 else {})}
                for i in range(500)
            ]
        ),
        exports=Exports.split(2, 0.3, 5),
    )
    _, client = serving(project_of(run, FULL))
    polars = whole(client)
    arrow = wbframe.arrow.read_histories(PATH, samples=None, client=client)
    assert polars.equals(pl.DataFrame(pl.from_arrow(arrow)))
    pandas = wbframe.pandas.read_histories(
        PATH, samples=None, dtype_backend="pyarrow", client=client
    )
    assert polars.equals(pl.from_pandas(pandas))
    assert polars.equals(pl.scan_wandb_histories(PATH, samples=None, client=client).collect())
    assert polars.equals(frame_of([run, FULL], polars))


def test_a_lazy_scan_reads_only_what_is_wanted_and_gives_the_same(serving, tmp_path):
    runs = [
        RunRecord(
            name=f"r{i}",
            config={"lr": i / 10},
            history=History([{"_step": s, "x": s / 2, "y": s / 3} for s in range(300)]),
            exports=Exports.split(2, 0.2, 9),
        )
        for i in range(4)
    ]
    server, client = serving(project_of(*runs))
    eager = whole(client, run_columns=["config.lr"])
    lazy = pl.scan_wandb_histories(PATH, samples=None, run_columns=["config.lr"], client=client)
    asked = [
        lambda f: f.filter(pl.col("config.lr") > 0.15, pl.col("_step") < 120).select(
            "run_id", "_step", "x"
        ),
        lambda f: f.filter(pl.col("x") > 20.0).select("y"),
        lambda f: f.group_by("run_id", maintain_order=True).agg(pl.col("y").max()),
        lambda f: f.head(350),
        lambda f: f.filter(pl.col("_step").is_between(100, 260)).select(pl.len()),
        lambda f: f.select("run_id"),
    ]
    for query in asked:
        server.clear()
        assert query(lazy).collect().equals(query(eager.lazy()).collect())
    server.clear()
    asked[0](lazy).collect()
    exports = [each for each in server.requests if each.operation == "Exports"]
    assert {
        value for each in exports for value in each.variables.values() if str(value).startswith("r")
    } == {"r2", "r3"}
    lazy.sink_parquet(tmp_path / "all.parquet")
    assert pl.DataFrame(pl.from_arrow(pq.read_table(tmp_path / "all.parquet"))).equals(eager)
