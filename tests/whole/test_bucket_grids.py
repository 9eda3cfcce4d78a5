"""Buckets on one grid for all runs, in windows of steps, in every face, with their report."""

from __future__ import annotations

import json
import math
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

import wbframe
from tests.whole.truth import PATH, project_of
from wbframe.errors import LeftOutWarning, UsageError
from wbframe.server import Exports, Features, History, RunRecord

ENDS = ("min", "max", "mean", "last")


def rows(seed, length, stride):
    """Log `a` at every stride, `b` at every third row of these, and sometimes what is no number."""
    return [
        {"_step": stride * i + seed, "_timestamp": 1.7e9 + 10 * i, "a": math.sin(i + seed) * i}
        | ({"b": i / 7} if i % 3 == 0 else {})
        | ({"a": math.nan} if i % 11 == 5 else {})
        | ({"note": "text"} if i == 4 else {})
        for i in range(length)
    ]


# Seeds of unequal lengths, that log at different steps; one that logs nothing of the kind.
SEEDS = {
    "s0": rows(0, 300, 1),
    "s1": rows(1, 130, 3),
    "s2": rows(7, 41, 2),
    "none": [{"_step": 0, "note": "x"}],
}
PROJECT = project_of(
    *(
        RunRecord(
            name=name,
            config={"lr": i / 2},
            history=History(each),
            exports=Exports.split(2, 0.3, 5) if i else Exports.all(),
            created_at=f"2026-01-0{i + 1}T00:00:00Z",
        )
        for i, (name, each) in enumerate(SEEDS.items())
    )
)  # fmt: skip


@pytest.fixture(params=[Features(), Features(bucketed_history=False)], ids=["buckets", "none"])
def served(request, serving):
    return serving(PROJECT, features=request.param)


@pytest.fixture
def client(serving):
    return serving(PROJECT)[1]


def by_hand(edges, *, closed, keys=("a", "b"), axis="_step", low=-math.inf, high=math.inf):
    """Sum up all runs on one grid, a row at a time."""
    found = []
    for name, each in SEEDS.items():
        buckets = {}
        for row in each:
            if axis not in row or not low <= row["_step"] < high:
                continue
            x = float(row[axis])
            place = sum(edge <= x for edge in edges) - 1
            place = min(place, len(edges) - 2) if closed else place
            held = {key: row[key] for key in keys if math.isfinite(row.get(key, math.nan))}
            if held and 0 <= place < len(edges) - 1:
                buckets.setdefault(place, []).append((x, held))
        for place, inside in sorted(buckets.items()):
            line = {"run_id": name, "bucket": place, axis: sum(x for x, _ in inside) / len(inside)}
            for key in keys:
                values = [held[key] for _, held in inside if key in held]
                line |= dict.fromkeys(f"{key}.{end}" for end in ENDS)
                if values:
                    told = (min(values), max(values), sum(values) / len(values), values[-1])
                    line |= {f"{key}.{end}": value for end, value in zip(ENDS, told, strict=True)}
            found.append(line)
    return found


def assert_is(frame, wanted):
    assert frame.height == len(wanted)
    assert frame.columns == list(wanted[0])
    for row, line in zip(frame.to_dicts(), wanted, strict=True):
        for name, value in line.items():
            assert row[name] == (
                pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            ), name


def test_all_runs_and_keys_share_one_grid(served):
    _, client = served
    got = pl.read_wandb_buckets(PATH, keys=["a", "b"], bins=8, grid="shared", client=client)
    edges = np.linspace(0, 388, 9)
    assert_is(got, by_hand(edges, closed=True))
    assert got.schema["bucket"] == pl.Int64
    assert client.last_report.replaced == ("run.bucketedHistory",)
    assert not [each for each in got["run_id"] if each == "none"]


def test_seeds_are_averaged_by_bucket(client):
    edges = [0, 10, 50, 90, 400]
    got = pl.read_wandb_buckets(PATH, keys=["a"], edges=edges, client=client)
    mean = got.group_by("bucket").agg(pl.col("a.mean").mean(), pl.len()).sort("bucket")
    wanted = {}
    for line in by_hand(edges, closed=False, keys=("a",)):
        wanted.setdefault(line["bucket"], []).append(line["a.mean"])
    assert dict(mean.select("bucket", "len").rows()) == {k: len(v) for k, v in wanted.items()}
    # The shortest seed ends at step 87.
    assert {k: len(v) for k, v in wanted.items()} == {0: 3, 1: 3, 2: 3, 3: 2}
    assert mean["a.mean"].to_list() == pytest.approx([sum(v) / len(v) for v in wanted.values()])


@pytest.mark.parametrize(
    "edges", [[5, 20.5, 21], (0, 1), range(0, 100, 30), np.array([-3.0, 7, 8])]
)
def test_a_bucket_has_its_first_edge_and_not_its_second(served, edges):
    _, client = served
    got = pl.read_wandb_buckets(PATH, keys=["a", "b"], edges=edges, client=client)
    assert_is(got, by_hand(list(edges), closed=False))


def test_one_grid_along_another_axis(client):
    options = {"keys": ["a"], "x_axis": "_timestamp", "client": client}
    got = pl.read_wandb_buckets(PATH, bins=4, grid="shared", **options)
    edges = [1.7e9 + each for each in (0, 747.5, 1495, 2242.5, 2990)]
    assert_is(got, by_hand(edges, closed=True, keys=("a",), axis="_timestamp"))
    got = pl.read_wandb_buckets(PATH, edges=[1.7e9, 1.7e9 + 100, 1.7e9 + 250], **options)
    edges = [1.7e9, 1.7e9 + 100, 1.7e9 + 250]
    assert_is(got, by_hand(edges, closed=False, keys=("a",), axis="_timestamp"))


def test_a_window_of_steps_is_half_open(served):
    server, client = served
    window = {"min_step": 9, "max_step": 90}
    got = pl.read_wandb_buckets(
        PATH, keys=["a", "b"], bins=3, grid="shared", **window, client=client
    )
    assert_is(got, by_hand([9, 36, 63, 90], closed=False, low=9, high=90))
    assert client.last_report.replaced == ("run.bucketedHistory",)
    one = pl.read_wandb_buckets(f"{PATH}/s1", keys=["a"], bins=1, **window, client=client)
    inside = [row for row in SEEDS["s1"] if 9 <= row["_step"] < 90 and math.isfinite(row["a"])]
    assert one["a.max"].item() == max(row["a"] for row in inside)
    assert one["a.mean"].item() == pytest.approx(sum(row["a"] for row in inside) / len(inside))
    assert not [each for each in server.requests if "bucketedHistory" in each.document]


def test_one_place_of_the_axis_is_one_bucket(serving):
    run = RunRecord(name="r", history=History([{"_step": 5, "a": 2.0}]))
    _, client = serving(project_of(run))
    got = pl.read_wandb_buckets(PATH, bins=7, grid="shared", client=client)
    assert got.rows() == [("r", 0, 5.0, 2.0, 2.0, 2.0, 2.0)]


def test_an_axis_that_is_called_bucket(serving):
    history = History([{"_step": i, "a": i / 2, "bucket": i % 3} for i in range(9)])
    _, client = serving(project_of(RunRecord(name="r", history=history)))
    for grid in ("run", "shared"):
        got = pl.read_wandb_buckets(
            PATH, keys=["a"], x_axis="bucket", bins=3, grid=grid, client=client
        )
        assert got.columns[:3] == ["run_id", "bucket", "history.bucket"]
        assert got["history.bucket"].to_list() == [0.0, 1.0, 2.0]
        assert got["a.mean"].to_list() == [1.5, 2.0, 2.5]


# ---------------------------------------------------------------- every face


@pytest.mark.parametrize(
    "options",
    [
        {"bins": 5},
        {"bins": 5, "grid": "shared"},
        {"edges": [0, 30, 100]},
        {"bins": 5, "min_step": 10, "max_step": 60},
        {"bins": 5, "grid": "shared", "min_step": 10, "max_step": 60},
    ],
)
def test_every_face_gives_the_same_and_its_report(client, options):
    options = {**options, "run_columns": ["config.lr"], "client": client}
    frame = pl.read_wandb_buckets(PATH, **options)
    report = wbframe.polars.report_of(frame)
    assert report == frame.wandb.report == client.last_report
    assert (report.kind, report.runs, report.rows) == ("histories", 4, frame.height)
    assert report.rows_known == sum(map(len, SEEDS.values()))
    table = wbframe.arrow.read_buckets(PATH, **options)
    assert json.loads(table.schema.metadata[b"wbframe"])["rows"] == frame.height
    found = [table, wbframe.arrow.buckets_reader(PATH, **options).read_all()]
    frames = [pl.DataFrame(pl.from_arrow(each)) for each in found]
    there = wbframe.pandas.read_buckets(PATH, dtype_backend="pyarrow", **options)
    assert there.attrs["wbframe"]["rows"] == frame.height
    parts = list(
        wbframe.pandas.iter_buckets(PATH, dtype_backend="pyarrow", batch_size=3, **options)
    )
    assert max(map(len, parts)) <= 3
    frames += [pl.from_pandas(each) for each in (there, pd.concat(parts, ignore_index=True))]
    lazy = pl.scan_wandb_buckets(PATH, **options)
    assert dict(lazy.collect_schema()) == dict(frame.schema)
    frames += [lazy.collect(), lazy.collect(engine="streaming")]
    assert client.last_report.rows == frame.height
    runs = pl.DataFrame({"entity": ["wbframe"] * 4, "project": ["p"] * 4, "run_id": list(SEEDS)})
    frames += [runs.wandb.buckets(**options), runs.lazy().wandb.buckets(**options).collect()]
    there = runs.to_pandas().wandb.buckets(dtype_backend="pyarrow", **options)
    frames.append(pl.from_pandas(there))
    for each in frames:
        assert each.equals(frame)


def test_a_frame_names_the_runs_and_their_order(client):
    runs = pl.DataFrame({"run_id": ["s2", "s0", "s2"]})
    options = {"path": PATH, "keys": ["a"], "edges": [0, 400], "client": client}
    for got in (
        runs.wandb.buckets(**options),
        runs.lazy().wandb.buckets(**options).collect(),
        pl.from_pandas(runs.to_pandas().wandb.buckets(**options)),
    ):
        assert got["run_id"].to_list() == ["s2", "s0"]


@pytest.mark.parametrize(
    "options",
    [
        {"bins": 4, "grid": "shared"},
        {"edges": [0, 50, 100]},
        {"bins": 4, "min_step": 5},
        {"bins": 4},
    ],
)
def test_a_filtered_scan_is_the_filtered_frame(serving, options, monkeypatch):
    server, client = serving(PROJECT)
    monkeypatch.setenv("WANDB_API_KEY", server.api_key)
    lazy = pl.scan_wandb_buckets(
        PATH, keys=["a", "b"], run_columns=["config.lr"], client=client, **options
    )
    whole = lazy.collect()
    for kept in (
        pl.col("run_id") == "s2",
        pl.col("config.lr") > 0.7,
        pl.col("bucket") < 2,
        (pl.col("_step") < 60) & (pl.col("config.lr") < 0.7),
    ):
        got = lazy.filter(kept).collect()
        assert got.equals(whole.filter(kept))
        assert got.height
    assert lazy.head(3).collect().equals(whole.head(3))
    assert lazy.select("b.max", "bucket").collect().equals(whole.select("b.max", "bucket"))
    assert pickle.loads(pickle.dumps(lazy)).collect_schema() == whole.schema


def test_runs_that_are_not_wanted_are_not_read(serving):
    server, client = serving(PROJECT)
    lazy = pl.scan_wandb_buckets(
        PATH, keys=["a"], edges=[0, 50], run_columns=["config.lr"], client=client
    )
    lazy.collect()
    server.clear()
    assert lazy.filter(pl.col("config.lr") > 0.7).collect()["run_id"].to_list() == ["s2"]
    named = json.dumps([each.variables for each in server.requests])
    assert "s2" in named
    assert '"s0"' not in named


def test_what_a_scan_of_buckets_does_is_explained(serving):
    _, client = serving(PROJECT)
    lazy = pl.scan_wandb_buckets(PATH, keys=["a"], run_columns=["config.lr"], client=client)
    found = wbframe.explain(lazy.filter(pl.col("config.lr") > 0.7, pl.col("_step") < 9))
    told = {each.text: each.status for each in found.scans[0].conjuncts}
    assert sorted(told.values()) == ["local", "superset"]
    assert [text for text, status in told.items() if status == "local"] == ["_step < 9.0"]
    assert "run.bucketedHistory" not in found.scans[0].replaced
    assert found.requests == 2
    shared = pl.scan_wandb_buckets(PATH, grid="shared", run_columns=["config.lr"], client=client)
    told = str(wbframe.explain(shared.filter(pl.col("config.lr") > 0.7)))
    assert "stays local: " in told
    assert "all runs make the grid" in told
    assert "not on this server: run.bucketedHistory, replaced" in told


def test_progress_tells_runs_and_rows(client):
    told = []
    frame = pl.read_wandb_buckets(PATH, grid="shared", client=client, progress=told.append)
    rows = [each for each in told if each.kind == "histories"]
    assert rows[-1].report == client.last_report
    assert (rows[-1].done, rows[-1].total, rows[-1].rows) == (4, 4, frame.height)
    assert [each.done for each in rows] == sorted(each.done for each in rows)
    # What went over the wire is told on the way, and not at the end alone.
    assert rows[0].bytes_received > 0


@pytest.mark.parametrize("options", [{"edges": [0, 100]}, {"grid": "shared"}, {"min_step": 0}])
def test_what_cannot_be_read_is_left_out_by_name(serving, options):
    counts = {"a": {"typeCounts": [{"type": "number", "count": 1}]}}
    liar = RunRecord(
        name="liar",
        history=History([{"_step": 0, "a": "text"}]),
        history_keys={"lastStep": 0, "keys": counts},
    )
    good = RunRecord(name="good", history=History([{"_step": 0, "a": 1.0}]))
    _, client = serving(project_of(good, liar))
    options = {"keys": ["a"], "on_error": "skip", "client": client, **options}
    with pytest.warns(LeftOutWarning, match="wbframe/p/liar"):
        got = pl.read_wandb_buckets(PATH, **options)
    assert got["run_id"].to_list() == ["good"]
    (left_out,) = wbframe.polars.report_of(got).left_out
    assert left_out.what == "wbframe/p/liar"
    with pytest.warns(LeftOutWarning, match="wbframe/p/liar"):
        assert pl.scan_wandb_buckets(PATH, **options).collect().equals(got)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": "shard"}, "`grid` must be .*Did you mean 'shared'"),
        ({"edges": [1]}, "`edges` must be two numbers or more"),
        ({"edges": [1, 1]}, "each above the one before it"),
        ({"edges": [0, math.inf]}, "`edges` must"),
        ({"edges": "abc"}, "`edges` must"),
        ({"edges": 3}, "`edges` must"),
        ({"edges": [0, 1], "bins": 7}, "`bins` and `edges` say different things: 7 and 1 buckets"),
        ({"min_step": 5, "max_step": 5}, "holds no step"),
        ({"stream": "system", "min_step": 5}, "machine metrics have no steps"),
    ],
)
def test_wrong_grids_are_refused_before_any_request(options, message):
    client = wbframe.Client("http://127.0.0.1:9", "k" * 40, retry=wbframe.RetryPolicy(tries=1))
    for read in (pl.read_wandb_buckets, pl.scan_wandb_buckets, wbframe.arrow.buckets_reader):
        with pytest.raises(UsageError, match=message):
            read("e/p", client=client, **options)


def test_a_key_that_no_run_lists_is_summed_up(serving):
    run = RunRecord(
        name="r",
        history=History([{"_step": i, "a": i, "b": i / 2} for i in range(10)]),
        history_keys={
            "lastStep": 9,
            "keys": {"a": {"typeCounts": [{"type": "number", "count": 10}]}},
        },
    )
    for features in (Features(), Features(bucketed_history=False)):
        _, client = serving(project_of(run), features=features)
        for grid in ({"bins": 2}, {"edges": [0, 5, 10]}):
            options = {"keys": ["b"], "client": client, **grid}
            got = pl.read_wandb_buckets(PATH, **options)
            assert got["b.max"].to_list() == [2.0, 4.5]
            assert pl.scan_wandb_buckets(PATH, **options).collect().equals(got)


@pytest.mark.parametrize(
    "options", [{"grid": "shared", "bins": 2}, {"edges": [1.7e9, 1.7e9 + 49.5, 1.7e9 + 100]}]
)
def test_machine_metrics_share_a_grid(serving, options):
    def events(count):
        rows = [{"_timestamp": 1.7e9 + i, "_runtime": i, "system.cpu": i / 2} for i in range(count)]
        return History(rows, stepped=False)

    runs = [
        RunRecord(name=f"r{count}", history=History([{"a": 1}]), events=events(count))
        for count in (100, 60)
    ]
    _, client = serving(project_of(*runs))
    got = pl.read_wandb_buckets(PATH, stream="system", client=client, **options)
    found = got.select("run_id", "bucket", "system.cpu.max").rows()
    assert found == [("r100", 0, 24.5), ("r100", 1, 49.5), ("r60", 0, 24.5), ("r60", 1, 29.5)]
