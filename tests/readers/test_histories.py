"""The histories frame: every row that holds any key, in few requests, typed and complete."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import wbframe
from tests.readers.plain import assert_column, column, history_rows, outer_join, text
from wbframe.core.histories.tasks import POINTS_PER_REQUEST, RUNS_PER_REQUEST
from wbframe.errors import ColumnError, PrecisionWarning, SchemaMismatchError, StatusError
from wbframe.polars import read_histories, read_runs, report_of
from wbframe.server import Features, History, Project, RunRecord, serve, synthetic

pytestmark = pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")

RAGGED = "wbframe/ragged"
DEMO = "wbframe/demo"


def in_order(project):
    return sorted(project.runs, key=lambda run: run.created_at.removesuffix("Z"))


def assert_rows(frame, runs, keys, rows_of):
    """Compare a frame with the plain rows of its runs, cell by cell."""
    rows = [(run.name, row) for run in runs for row in rows_of(run)]
    assert_column(frame["run_id"], pl.String(), [name for name, _ in rows])
    assert_column(frame["_step"], pl.Int64(), [row["_step"] for _, row in rows])
    for key, name in keys.items():
        assert_column(frame[name], *column([row.get(key) for _, row in rows]))


def columns_of(keys):
    return {key: "history.run_id" if key == "run_id" else key for key in keys}


# ---------------------------------------------------------------- what it holds


def test_without_keys_it_is_every_row_of_every_run(project, client):
    frame = read_histories(project.path, samples=10_000, client=client)
    runs = in_order(project)
    keys = sorted({key for run in runs for row in history_rows(run) for key in row} - {"_step"})
    assert frame.columns == ["run_id", "_step", *columns_of(keys).values()]
    assert_rows(frame, runs, columns_of(keys), history_rows)
    assert not report_of(frame).sampled


@pytest.mark.parametrize(
    "keys",
    [
        ["train/loss"],
        ["eval/loss", "train/loss"],
        ["even only", "odd only"],
        ["late", "lr", "eval/loss", "even only", "odd only", "train/loss"],
        ["maybe", "always null", "maybe too"],
        ["text or number", "number as text", "flag or number", "flag"],
        ["spelled", "all nan", "bins", "quoted"],
        ["gradients/w1", "packed", "list", "empty list", "nested.deep.er", "nested.b", "empty", "table", "image"],
        ["big", "edge", "big/odd", "big/low", "big/high", "big/round"],
        ["text", "\u9047/\u00fcber", "\U0001f680", "a.dotted.key", "with space/and slash", 'quo"te', "line\nbreak"],
        ["run_id", "state", "entity", "$dollar%r{}"],
        ["_timestamp", "train/loss", "_runtime"],
        ["drift", "count", "train/loss"],
    ],
)  # fmt: skip
def test_any_of_the_keys_makes_a_row(keys, ragged_project, client):
    frame = read_histories(RAGGED, keys=keys, samples=10_000, client=client)
    assert frame.columns == ["run_id", "_step", *columns_of(keys).values()]
    assert_rows(
        frame, in_order(ragged_project), columns_of(keys), lambda run: outer_join(run, keys)
    )


def test_all_of_the_keys_make_a_row(ragged_project, client):
    keys = ["train/loss", "eval/loss"]
    frame = read_histories(RAGGED, keys=keys, match="all", client=client)
    runs = in_order(ragged_project)
    assert_rows(
        frame,
        runs,
        columns_of(keys),
        lambda run: [row for row in history_rows(run) if all(key in row for key in keys)],
    )
    assert frame.height > 24


def test_every_key_asked_alone_is_the_same_as_among_all(client):
    whole = read_histories(RAGGED, samples=10_000, client=client)
    for key in ("train/loss", "flag or number", "text", "lr", "bins"):
        alone = read_histories(RAGGED, keys=[key], samples=10_000, client=client)
        assert_frame_equal(alone.drop_nulls(), whole.select("run_id", "_step", key).drop_nulls())


def test_steps_alone_are_every_step(ragged_project, client):
    frame = read_histories(RAGGED, keys=["_step"], client=client)
    expected = [
        (run.name, row["_step"]) for run in in_order(ragged_project) for row in history_rows(run)
    ]
    assert frame.rows() == expected


def test_globs_choose_keys(client):
    frame = read_histories(RAGGED, keys=["*/loss", "lr"], client=client)
    assert frame.columns == ["run_id", "_step", "eval/loss", "train/loss", "lr"]


def test_a_key_may_be_called_like_the_column_of_another():
    run = RunRecord(name="r", history=History([{"run_id": 1, "history.run_id": 2, "state": 3}]))
    with serve(Project(entity="e", name="p", runs=(run,))) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = read_histories("e/p", run_columns=["state"], client=client)
        assert frame.to_dicts() == [
            {"run_id": "r", "_step": 0, "history.run_id": 2.0, "history.history.run_id": 1.0, "history.state": 3.0, "state": "finished"}
        ]  # fmt: skip


# ---------------------------------------------------------------- dtypes


def test_overrides_keep_every_digit(ragged_project, client):
    keys = ["big", "big/odd", "big/low", "big/high", "big/round"]
    frame = read_histories(
        RAGGED, keys=keys, schema_overrides=dict.fromkeys(keys, pl.Int64), client=client
    )
    rows = history_rows(ragged_project.run("huge"))
    for key in keys:
        assert_column(frame[key], pl.Int64(), [row[key] for row in rows])


def test_digits_that_are_lost_are_warned_of(client):
    with pytest.warns(PrecisionWarning, match="'big/odd'"):
        read_histories(RAGGED, keys=["big/odd"], client=client)


def test_overrides_open_lists(client):
    frame = read_histories(
        RAGGED, keys=["bins"], schema_overrides={"bins": pl.List(pl.Float64)}, client=client
    )
    first = frame["bins"][0].to_list()
    assert math.isnan(first[0])
    assert first[1:] == [1.0, math.inf]


def test_an_override_that_a_value_does_not_fit_names_the_key(client):
    with pytest.raises(SchemaMismatchError, match="text or number"):
        read_histories(
            RAGGED,
            keys=["text or number"],
            schema_overrides={"text or number": pl.Float64},
            client=client,
        )


# ---------------------------------------------------------------- which rows


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 5), (3, 4), (5000, 5010), (5000, None), (None, 10), (239, 240), (10**6, None)],
)
@pytest.mark.parametrize("keys", [None, ["train/loss", "eval/loss"]])
def test_min_step_is_inclusive_and_max_step_exclusive(low, high, keys, ragged_project, client):
    frame = read_histories(RAGGED, keys=keys, min_step=low, max_step=high, client=client)

    def rows_of(run):
        rows = history_rows(run) if keys is None else outer_join(run, keys)
        return [
            r
            for r in rows
            if (low is None or r["_step"] >= low) and (high is None or r["_step"] < high)
        ]

    assert_rows(frame, in_order(ragged_project), columns_of(keys or []), rows_of)


def test_another_axis_stands_beside_the_step_and_rows_without_it_are_left_out(
    ragged_project, client
):
    frame = read_histories(
        RAGGED, keys=["eval/loss"], x_axis="train/loss", samples=10_000, client=client
    )
    assert frame.columns == ["run_id", "_step", "train/loss", "eval/loss"]
    assert_rows(
        frame,
        in_order(ragged_project),
        columns_of(["train/loss", "eval/loss"]),
        lambda run: [
            row for row in history_rows(run) if "train/loss" in row and "eval/loss" in row
        ],
    )


def test_another_axis_without_keys(client):
    frame = read_histories(RAGGED, x_axis="eval/loss", samples=10_000, client=client)
    assert frame.columns[:3] == ["run_id", "_step", "eval/loss"]
    assert frame["eval/loss"].null_count() == 0
    assert frame.height == read_histories(RAGGED, keys=["eval/loss"], client=client).height


def test_the_axis_itself_may_be_asked_for(client):
    frame = read_histories(RAGGED, keys=["eval/loss"], x_axis="eval/loss", client=client)
    assert_frame_equal(frame, read_histories(RAGGED, keys=["eval/loss"], client=client))


def test_runs_come_in_the_order_of_the_query_and_are_limited_and_filtered(client):
    frame = read_histories(
        RAGGED,
        keys=["train/loss"],
        order="-created_at",
        filters={"state": "finished"},
        limit=3,
        client=client,
    )
    assert frame["run_id"].unique(maintain_order=True).to_list() == [
        "summary",
        "twice",
        "objects",
    ] or (frame["run_id"].unique(maintain_order=True).to_list() == ["summary", "twice"])
    assert report_of(frame).runs == 3
    assert read_histories(RAGGED, limit=0, keys=["train/loss"], client=client).rows() == []


@pytest.mark.parametrize(
    "predicate",
    [
        pl.col("state") == "finished",
        pl.col("summary.train/loss") < 0.5,
        pl.col("created_at") == pl.col("created_at").min(),
        pl.col("config.epochs").is_null(),
    ],
)
def test_an_expression_over_runs_chooses_runs(predicate, client):
    kept = read_runs(RAGGED, client=client).filter(predicate)["run_id"].implode()
    expected = read_histories(RAGGED, keys=["train/loss"], client=client).filter(
        pl.col("run_id").is_in(kept)
    )
    assert_frame_equal(
        read_histories(RAGGED, keys=["train/loss"], filters=predicate, client=client), expected
    )


def test_run_columns_are_repeated_beside_each_row(client):
    columns = ["state", "config.lr", "created_at", "tags", "summary.train/loss"]
    frame = read_histories(
        RAGGED, keys=["train/loss"], run_columns=["run_id", *columns], client=client
    )
    assert frame.columns == ["run_id", "_step", "train/loss", *columns]
    runs = read_runs(RAGGED, columns=["run_id", *columns], client=client)
    joined = frame.select("run_id", "_step", "train/loss").join(
        runs, on="run_id", how="left", maintain_order="left"
    )
    assert_frame_equal(frame, joined)


def test_run_columns_have_the_dtypes_of_overrides(client):
    wanted = {"config.big": pl.Int64}
    frame = read_histories(
        RAGGED,
        keys=["train/loss"],
        run_columns=["config.big"],
        schema_overrides=wanted,
        client=client,
    )
    assert set(frame.filter(pl.col("run_id") == "objects")["config.big"]) == {2**60 + 1}


def test_run_ids_join_with_those_of_the_runs_frame(client):
    rows = read_histories(DEMO, keys=["train/loss"], samples=500, client=client)
    runs = read_runs(DEMO, columns=["run_id", "state"], client=client)
    assert rows.join(runs, on="run_id").height == rows.height


def test_several_projects_give_one_frame(client):
    frame = read_histories(
        [RAGGED, DEMO], keys=["train/loss"], samples=500, run_columns=["project"], client=client
    )
    one = read_histories(DEMO, keys=["train/loss"], samples=500, client=client)
    assert_frame_equal(frame.filter(project="demo").drop("project"), one)
    assert frame["project"].unique(maintain_order=True).to_list() == ["ragged", "demo"]


def test_a_sweep_and_a_run(client):
    sweep = read_histories("wbframe/ragged/sweeps/swp1aaaa", keys=["train/loss"], client=client)
    assert sweep["run_id"].unique(maintain_order=True).to_list() == ["cadence1", "drifting"]
    run = read_histories("wbframe/ragged/runs/drifting", keys=["train/loss"], client=client)
    assert_frame_equal(run, sweep.filter(run_id="drifting"))


# ---------------------------------------------------------------- machine metrics


@pytest.mark.parametrize("spelling", ["cpu", "system.cpu", "system/cpu"])
def test_machine_metrics_in_any_spelling(spelling, ragged_project, client):
    frame = read_histories(RAGGED, stream="system", keys=[spelling], samples=500, client=client)
    assert frame.columns == ["run_id", "_runtime", "_timestamp", "system.cpu"]
    rows = ragged_project.run("drifting").events.to_dicts()
    of_run = frame.filter(run_id="drifting")
    for key in ("_runtime", "_timestamp", "system.cpu"):
        assert_column(of_run[key], pl.Float64(), [float(row[key]) for row in rows])


def test_all_machine_metrics(ragged_project, client):
    frame = read_histories(RAGGED, stream="system", samples=500, client=client)
    assert frame.columns[3:] == ["system.cpu", "system.gpu.0.gpu", "system.memory_percent"]
    rows = ragged_project.run("drifting").events.to_dicts()
    gpu = [
        None if "system.gpu.0.gpu" not in row else float(row["system.gpu.0.gpu"]) for row in rows
    ]
    assert_column(frame.filter(run_id="drifting")["system.gpu.0.gpu"], pl.Float64(), gpu)


@pytest.mark.parametrize("spelling", ["gpu*", "system.gpu*", "system/gpu*"])
def test_globs_of_machine_metrics(spelling, client):
    frame = read_histories(RAGGED, stream="system", keys=[spelling], samples=500, client=client)
    assert frame.columns[3:] == ["system.gpu.0.gpu"]
    assert frame["system.gpu.0.gpu"].null_count() == 0


def test_match_of_machine_metrics(client):
    keys = ["cpu", "gpu.0.gpu"]
    any_of = read_histories("wbframe/ragged/drifting", stream="system", keys=keys, client=client)
    all_of = read_histories(
        "wbframe/ragged/drifting", stream="system", keys=keys, match="all", client=client
    )
    assert (any_of.height, all_of.height) == (6, 3)


def test_the_clock_of_machine_metrics_may_be_asked_for(client):
    frame = read_histories(
        "wbframe/ragged/drifting", stream="system", keys=["_timestamp", "cpu"], client=client
    )
    assert frame.columns == ["run_id", "_runtime", "_timestamp", "system.cpu"]


def test_machine_metrics_of_which_the_server_gives_less_than_there_are_say_so(client):
    frame = read_histories(
        "wbframe/ragged/cadence1", stream="system", keys=["cpu"], samples=5000, client=client
    )
    assert frame.height < 1200
    assert report_of(frame).sampled


# ---------------------------------------------------------------- sampled or whole


def sampled(path, client, **options):
    frame = read_histories(path, client=client, **options)
    return frame, report_of(frame).sampled


def test_fewer_samples_than_rows_say_so(client):
    frame, was = sampled("wbframe/ragged/cadence1", client, keys=["train/loss"], samples=50)
    assert (frame.height, was) == (50, True)
    assert frame["_step"].to_list()[:: frame.height - 1] == [0, 239]
    frame, was = sampled("wbframe/ragged/cadence1", client, samples=50)
    assert (frame.height, was) == (50, True)


def test_as_many_samples_as_rows_are_all(client):
    frame, was = sampled("wbframe/ragged/cadence1", client, keys=["train/loss"], samples=240)
    assert (frame.height, was) == (240, False)


def test_a_window_that_came_whole_is_not_sampled(client):
    frame, was = sampled(
        "wbframe/ragged/cadence1",
        client,
        keys=["train/loss"],
        samples=100,
        min_step=20,
        max_step=40,
    )
    assert (frame.height, was) == (20, False)
    frame, was = sampled("wbframe/ragged/cadence1", client, samples=100, max_step=40)
    assert (frame.height, was) == (40, False)
    frame, was = sampled("wbframe/ragged/cadence1", client, samples=100, max_step=200)
    assert (frame.height, was) == (100, True)


def test_keys_at_unlike_steps_that_were_each_sampled_say_so():
    rows = [{"_step": i, ("a" if i % 2 else "b"): i} for i in range(120)]
    run = RunRecord(name="r", history=History(rows))
    with serve(Project(entity="e", name="p", runs=(run,))) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame, was = sampled("e/p", client, keys=["a", "b"], samples=30)
        assert (frame.height, was) == (60, True)
        frame, was = sampled("e/p", client, keys=["a", "b"], samples=60)
        assert (frame.height, was) == (120, False)


def test_rows_that_must_hold_all_keys_say_whether_they_were_sampled(client):
    keys = ["train/loss", "lr"]
    assert sampled("wbframe/ragged/cadence1", client, keys=keys, match="all", samples=50)[1]
    assert not sampled("wbframe/ragged/cadence1", client, keys=keys, match="all")[1]
    assert not sampled(
        "wbframe/ragged/cadence1", client, keys=["train/loss", "eval/loss"], match="all", samples=50
    )[1]


def test_more_rows_than_a_server_ever_gives_say_so():
    project = synthetic(runs=1, rows=12_000, keys=1)
    with serve(project) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame, was = sampled(project.path, client, keys=["metric/00"], samples=20_000)
    assert (frame.height, was) == (10_000, True)


# ---------------------------------------------------------------- cost


def test_one_request_for_the_runs_and_one_for_their_rows(web, client):
    read_histories(DEMO, keys=["train/loss", "eval/loss"], samples=100, client=client)
    assert web.requests[0].operation == "Runs"
    rows = [request for request in web.requests if "sampledHistory" in request.document]
    assert len(rows[-1:]) == 1
    assert rows[-1].document.count("sampledHistory(") > 20


def test_keys_of_unlike_cadence_still_take_one_request():
    project = synthetic(runs=30, rows=60, keys=6, cadence=(1, 10, 7))
    keys = [f"metric/{i:02d}" for i in range(6)]
    with serve(project) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = read_histories(project.path, keys=keys, client=client)
        assert [request.operation for request in server.requests] == ["Runs", "Rows"]
        [specs] = {tuple(v) for k, v in server.requests[1].variables.items() if k.startswith("s")}
    # metrics 0 and 3 are in every row; 1 and 4, and 2 and 5, were logged equally often
    assert [json.loads(each)["keys"] for each in specs] == [
        ["_step", "metric/00", "metric/03"],
        ["_step", "metric/01", "metric/04"],
        ["_step", "metric/02", "metric/05"],
    ]
    assert_rows(frame, in_order(project), columns_of(keys), lambda run: outer_join(run, keys))


def test_a_wrong_guess_of_what_was_logged_together_costs_one_more_request():
    rows = [
        {"_step": i, "x": i, **({"a": i} if i < 10 else {"b": i} if i >= 20 else {})}
        for i in range(30)
    ]
    runs = tuple(RunRecord(name=f"r{i}", history=History(rows)) for i in range(5))
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = read_histories("e/p", keys=["a", "b"], client=client)
        assert [request.operation for request in server.requests] == ["Runs", "Rows", "Rows"]
    assert frame.height == 5 * 20
    assert frame.select(pl.col("a", "b").count()).row(0) == (50, 50)


@pytest.mark.parametrize(("runs", "rows", "keys"), [(250, 3, 1), (60, 400, 9), (3, 30, 2)])
def test_requests_are_counted_by_runs_and_points(runs, rows, keys):
    project = synthetic(runs=runs, rows=rows, keys=keys)
    names = [f"metric/{i:02d}" for i in range(keys)]
    with serve(project) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = read_histories(project.path, keys=names, client=client)
        report = report_of(frame)
        assert frame.height == runs * rows
        assert report.requests == len(server.requests)
        assert report.bytes_received >= sum(request.response_bytes for request in server.requests)
    a_request = min(POINTS_PER_REQUEST // (rows * (keys + 1)), RUNS_PER_REQUEST)
    assert report.requests == -(-runs // 200) + -(-runs // a_request)


def test_runs_that_hold_none_of_the_keys_are_not_asked(web, client):
    read_histories(RAGGED, keys=["drift"], client=client)
    assert [v for k, v in web.requests[-1].variables.items() if k.startswith("r")] == [
        "drifting",
        "norows",  # says nothing of its keys
    ]


def test_a_request_that_is_too_big_is_halved_and_the_budget_grows_again():
    project = synthetic(runs=8, rows=20, keys=1)
    with serve(project) as server:
        client = wbframe.Client(server.url, server.api_key)
        expected = read_histories(project.path, keys=["metric/00"], client=client)
        whole = client.budget.now
        server.clear()
        server.fail(status=500, match="sampledHistory", times=3)
        frame = read_histories(project.path, keys=["metric/00"], client=client)
        asked = [
            r.document.count("sampledHistory(")
            for r in server.requests
            if "sampledHistory" in r.document
        ]
        assert asked == [8, 4, 2, 1, 1, 2, 4]
        assert_frame_equal(frame, expected)
        assert report_of(frame).retries == 0
        shrunk = client.budget.now
        assert shrunk < whole
        for _ in range(20):
            read_histories(project.path, keys=["metric/00"], client=client)
        assert client.budget.now == whole


def test_one_run_that_is_too_big_is_an_error_after_the_retries():
    project = synthetic(runs=1, rows=5, keys=1)
    with serve(project) as server:
        policy = wbframe.RetryPolicy(tries=2, first_wait=0.0)
        client = wbframe.Client(server.url, server.api_key, retry=policy)
        server.fail(status=500, match="sampledHistory", times=9)
        with pytest.raises(StatusError) as caught:
            read_histories(project.path, keys=["metric/00"], client=client)
        assert caught.value.status == 500
        assert len(server.requests) == 3


def test_a_run_that_vanishes_between_listing_and_reading_is_an_error():
    project = synthetic(runs=2, rows=5, keys=1)
    with serve(project) as server:
        client = wbframe.Client(server.url, server.api_key)
        body = {"data": {"project": {"r0": {"sampledHistory": [[]]}, "r1": None}}}
        server.fail(body=json.dumps(body).encode(), match="sampledHistory")
        with pytest.raises(wbframe.errors.RunNotFoundError, match="run-00001"):
            read_histories(project.path, keys=["metric/00"], client=client)


def test_progress_tells_runs_and_rows(client):
    told = []
    options = {"samples": 500, "progress": told.append, "client": client}
    frame = read_histories(DEMO, keys=["train/loss"], **options)
    assert {each.kind for each in told} == {"runs", "histories"}
    last = told[-1]
    assert (last.kind, last.done, last.total, last.rows) == ("histories", 24, 24, frame.height)


def test_the_report_says_what_was_asked_and_what_came(ragged_project, client):
    frame = read_histories(RAGGED, keys=["train/loss"], samples=50, client=client)
    report = report_of(frame)
    assert (report.kind, report.projects, report.runs, report.samples) == (
        "histories",
        (RAGGED,),
        13,
        50,
    )
    assert report.rows == frame.height
    assert report.rows_known == sum(len(run.history) for run in ragged_project.runs)
    # cadence1, drifting and resumed have more than 50
    assert report.sampled_runs == 3
    assert report.seconds > 0


# ---------------------------------------------------------------- nothing there


def test_an_empty_project(client):
    assert dict(read_histories("wbframe/empty", client=client).schema) == {
        "run_id": pl.String(),
        "_step": pl.Int64(),
    }
    frame = read_histories("wbframe/empty", keys=["a"], run_columns=["state"], client=client)
    assert frame.shape == (0, 4)
    assert frame.columns == ["run_id", "_step", "a", "state"]


def test_a_run_without_rows(client):
    frame = read_histories("wbframe/ragged/norows", client=client)
    assert frame.shape == (0, 2)
    assert read_histories("wbframe/ragged/norows", keys=["train/loss"], client=client).shape == (
        0,
        3,
    )


@pytest.mark.parametrize(
    "filters", [{"state": "no such state"}, pl.col("state") == "no such state"]
)
def test_a_filter_that_matches_nothing(filters, client):
    frame = read_histories(
        RAGGED, filters=filters, keys=["train/loss"], run_columns=["created_at"], client=client
    )
    assert frame.height == 0
    utc = pl.Datetime("us", "UTC")
    wanted = {
        "run_id": pl.String(),
        "_step": pl.Int64(),
        "train/loss": pl.Float64(),
        "created_at": utc,
    }
    assert dict(frame.schema) == wanted


def test_an_unknown_key_names_the_near_ones(client):
    with pytest.raises(ColumnError, match=r"'train/los'.*Did you mean 'train/loss'"):
        read_histories(RAGGED, keys=["train/los"], client=client)
    with pytest.raises(ColumnError, match=r"Did you mean 'system\.cpu'"):
        read_histories(RAGGED, keys=["cpuu"], stream="system", client=client)
    with pytest.raises(ColumnError, match="nothing"):
        read_histories(RAGGED, keys=["nothing*"], client=client)
    with pytest.raises(ColumnError, match="eval/los"):
        read_histories(RAGGED, keys=["lr"], x_axis="eval/los", client=client)
    with pytest.raises(ColumnError, match=r"schema_overrides.*'train/loss'"):
        read_histories(RAGGED, schema_overrides={"train/los": pl.Float64}, client=client)


# ---------------------------------------------------------------- runs that are still running


def index_of(*names, count=3):
    keys = {
        name: {"typeCounts": [{"type": "number", "count": count}]} for name in ("_step", *names)
    }
    return {"sets": [], "lastStep": 2, "keys": keys}


def test_a_key_that_was_logged_after_the_listing_is_a_column_too():
    rows = [{"a": i, "b": i / 2} for i in range(5)]
    runs = (
        RunRecord(
            name="r1",
            state="running",
            history=History(rows),
            history_keys=index_of("a"),
            history_line_count=3,
        ),
        RunRecord(name="r2", history=History([{"a": 9}])),
    )
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = read_histories("e/p", client=client)
    assert frame.columns == ["run_id", "_step", "a", "b"]
    assert frame["a"].to_list() == [0, 1, 2, 3, 4, 9]
    assert frame["b"].to_list() == [0.0, 0.5, 1.0, 1.5, 2.0, None]


def test_running_runs_are_read_as_far_as_they_are():
    rows = [{"a": i, **({"b": i} if i % 2 else {})} for i in range(9)]
    keys = {
        "a": {"typeCounts": [{"type": "number", "count": 2}]},
        "b": {"typeCounts": [{"type": "number", "count": 2}]},
    }
    run = RunRecord(
        name="r",
        state="running",
        history=History(rows),
        history_keys={"lastStep": 1, "keys": keys},
        history_line_count=7,
    )
    with serve(Project(entity="e", name="p", runs=(run,))) as server:
        frame = read_histories(
            "e/p", keys=["a", "b"], client=wbframe.Client(server.url, server.api_key)
        )
    assert frame["a"].to_list() == list(range(9))
    assert frame["b"].drop_nulls().to_list() == [1, 3, 5, 7]


@pytest.mark.parametrize("keys", [None, ["loss"]])
def test_runs_whose_keys_the_server_does_not_tell(keys):
    rows = [{"loss": value} for value in (1.5, math.nan, None, 2)]
    runs = (
        RunRecord(name="r1", history=History(rows), history_keys=None, history_line_count=None),
        RunRecord(name="r2", history=History([{"loss": 7}])),
        RunRecord(name="r3", history_keys=None),
    )
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        frame = read_histories("e/p", keys=keys, client=wbframe.Client(server.url, server.api_key))
    assert_column(frame["loss"], pl.Float64(), [1.5, math.nan, None, 2.0, 7.0])
    assert frame.columns == ["run_id", "_step", "loss"]


def test_text_that_only_spells_numbers_is_a_number():
    rows = [
        {"loss": value, "note": value if i else "bad"}
        for i, value in enumerate(("NaN", 0.5, "Infinity", "-Infinity"))
    ]
    run = RunRecord(name="r", history=History(rows))
    with serve(Project(entity="e", name="p", runs=(run,))) as server:
        client = wbframe.Client(server.url, server.api_key)
        for keys in (None, ["loss", "note"]):
            frame = read_histories("e/p", keys=keys, client=client)
            assert_column(frame["loss"], pl.Float64(), [math.nan, 0.5, math.inf, -math.inf])
            assert_column(frame["note"], pl.String(), ["bad", "0.5", "Infinity", "-Infinity"])


@pytest.mark.parametrize("features", [Features(fields=False), Features(projection=False), Features(nested_histories=False), Features(fields=False, projection=False)])  # fmt: skip
def test_old_servers_give_the_same_rows(features, client):
    options = {
        "run_columns": ["config.model", "state"],
        "filters": pl.col("history_line_count") > 3,
    }
    with serve("ragged", features=features) as old:
        own = wbframe.Client(old.url, old.api_key)
        for keys in (None, ["train/loss", "eval/loss"]):
            assert_frame_equal(
                read_histories(RAGGED, keys=keys, client=own, **options),
                read_histories(RAGGED, keys=keys, client=client, **options),
            )


# ---------------------------------------------------------------- the law of any rows

KEYS = ["a", "b", "c", "d"]
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    # fractions that every encoder spells alike
    st.integers(-999, 999).map(lambda eighths: eighths / 8),
    st.sampled_from([math.nan, math.inf, -math.inf, -0.0]),
    st.sampled_from(["", "text", "NaN", "1"]),
)


@st.composite
def logged(draw):
    """Rows of a run: keys of one cadence or of none, at steps that may have gaps and may repeat."""
    count = draw(st.integers(0, 12))
    gaps = draw(st.lists(st.sampled_from([0, 1, 1, 1, 5]), min_size=count, max_size=count))
    numeric = draw(st.booleans())
    values = st.integers(0, 9) if numeric else VALUES
    cadence = {key: draw(st.sampled_from([0, 1, 1, 2, 2, 3, -1])) for key in KEYS}
    rows, step = [], 0
    for i, gap in enumerate(gaps):
        row = {"_step": step}
        for key, every in cadence.items():
            if (every > 0 and i % every == 0) or (every < 0 and draw(st.booleans())):
                row[key] = draw(values)
        rows.append(row)
        step += gap
    return rows


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(logged(), min_size=1, max_size=4),
    st.sets(st.sampled_from(KEYS), min_size=1),
    st.booleans(),
)
def test_grouping_never_loses_a_row(histories, keys, floats):
    runs = tuple(
        RunRecord(name=f"r{i}", history=History(rows), created_at=f"2026-01-01T00:00:0{i}Z")
        for i, rows in enumerate(histories)
    )
    project = Project(entity="e", name="p", runs=runs, bare_tokens=floats, float_steps=floats)
    asked = sorted(keys)
    there = {key for rows in histories for row in rows for key in row}
    with serve(project) as server, wbframe.Client(server.url, server.api_key) as client:
        if not any(histories):
            asked = ["a"]
        elif not keys <= there:
            with pytest.raises(ColumnError):
                read_histories("e/p", keys=asked, client=client)
            asked = sorted(keys & there) or ["_step"]
        frame = read_histories("e/p", keys=asked, client=client)
        whole = read_histories("e/p", client=client)
    rows_of = (lambda run: outer_join(run, asked)) if asked != ["_step"] else history_rows
    assert_rows(frame, runs, columns_of([key for key in asked if key != "_step"]), rows_of)
    assert_rows(whole, runs, columns_of(sorted(there - {"_step"})), history_rows)


def test_times_in_rows_read_as_times(client):
    frame = read_histories(
        "wbframe/ragged/whole",
        keys=["_timestamp"],
        schema_overrides={"_timestamp": pl.Datetime("us", "UTC")},
        client=client,
    )
    assert frame["_timestamp"][0] == datetime.fromtimestamp(1767600000.0, tz=timezone.utc)


def test_the_plain_reference_itself():
    """The reference must tell a 1 from a True and keep an unmatched row, or the tests above test nothing."""
    run = RunRecord(name="r", history=History([{"a": 1}, {"b": True}, {"a": None}]))
    assert outer_join(run, ["a", "b"]) == [
        {"_step": 0, "a": 1},
        {"_step": 1, "b": True},
        {"_step": 2, "a": None},
    ]
    assert outer_join(run, ["b"]) == [{"_step": 1, "b": True}]
    assert text(True) == "true"
    with pytest.raises(AssertionError):
        assert_column(pl.Series("x", [1.0]), pl.Float64(), [True])


@pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")
@pytest.mark.parametrize("options", [{}, {"keys": ["*loss*"]}, {"run_columns": ["state"]}])
def test_no_run_has_the_columns_of_all_runs(options, project, web, client):
    path = f"wbframe/{project.name}"
    whole = wbframe.polars.scan_histories(path, client=client, **options).collect_schema()
    web.clear()
    none = wbframe.polars.read_histories(path, limit=0, client=client, **options)
    assert [each.operation for each in web.requests] == ["Keys"]
    assert none.height == 0
    assert none.columns == whole.names()
    scan = wbframe.polars.scan_histories(path, limit=0, client=client, **options)
    assert scan.collect().schema == none.schema
