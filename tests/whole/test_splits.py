"""However a history is split into files and live rows: every row once, in step order."""

from __future__ import annotations

import math
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wbframe
from tests.meeting import requests_meet
from tests.whole.truth import PATH, frame_of, project_of
from wbframe.server import (
    Export,
    ExportFile,
    Exports,
    Features,
    FileFormat,
    History,
    RunRecord,
    serve,
)

KEYS = {
    # names that a join or a window function might use itself stand among them
    "loss": st.floats() | st.integers(-5, 5),
    "nth": st.integers(-(2**31), 2**31),
    "there": st.booleans(),
    "text": st.text(max_size=3).filter(lambda text: text not in {"NaN", "Infinity", "-Infinity"}),
    "a.b": st.sampled_from([0.5, math.nan, math.inf, -math.inf]),
}
FORMATS = st.builds(
    FileFormat,
    step=st.sampled_from(["int64", "float64"]),
    numbers=st.sampled_from(["exact", "float64"]),
    texts=st.sampled_from(["string", "dictionary"]),
    columns=st.sampled_from(["own", "all"]),
    compression=st.sampled_from(["zstd", "snappy", "none"]),
    row_group_rows=st.sampled_from([1, 3, 50_000]),
    statistics=st.booleans(),
)
FEATURES = st.builds(
    Features,
    live_data=st.sampled_from(["rows", "null"]),
    history_serves_exported=st.booleans(),
    shuffled_urls=st.booleans(),
    url_gets=st.sampled_from([None, 1]),
    united_keys=st.booleans(),
)
FILES = 3


@st.composite
def runs(draw: st.DrawFn) -> RunRecord:
    """Draw a run: rows with gaps and ties, each step put into files, into the live part, into both or neither."""
    gaps = st.sampled_from([0, 1, 1, 1, 2, 10_000])
    at = draw(st.sampled_from([0, 7, 5_000_000]))
    rows = []
    for gap in [0, *draw(st.lists(gaps, max_size=12))]:
        at += gap
        rows.append(
            {
                "_step": at,
                "_timestamp": 1.7e9 + len(rows),
                **draw(st.fixed_dictionaries({}, optional=KEYS)),
            }
        )
    history = History(rows)
    places = {
        step: (draw(st.sets(st.integers(0, FILES - 1), max_size=2)), draw(st.booleans()))
        for step in sorted(set(history.steps))
    }
    at_places = [places[step] for step in history.steps]
    files = [
        [i for i, (in_files, _) in enumerate(at_places) if file in in_files]
        for file in range(FILES)
    ]
    live = [i for i, (_, is_live) in enumerate(at_places) if is_live]
    export = Export(
        files=tuple(ExportFile(tuple(each)) for each in draw(st.permutations(files)) if each),
        live=tuple(live),
        format=draw(FORMATS),
    )
    state = draw(st.sampled_from(["finished", "running"]))
    return RunRecord(name="r", state=state, history=history, exports=export)


@st.composite
def torn_runs(draw: st.DrawFn) -> RunRecord:
    """Draw a run of which rows of one step lie in different places, each row in one."""
    run = draw(runs())
    places = [draw(st.integers(0, FILES)) for _ in run.history.steps]
    files = [tuple(i for i, at in enumerate(places) if at == file) for file in range(FILES)]
    live = tuple(i for i, at in enumerate(places) if at == FILES)
    return replace(run, exports=Export(files=tuple(map(ExportFile, files)), live=live))


def same(got: pl.DataFrame, want: pl.DataFrame) -> None:
    """Compare frames cell by cell; NaN equals NaN."""
    assert got.schema == want.schema
    assert got.equals(want), (got, want)


@settings(max_examples=40)
@given(run=runs(), features=FEATURES, other=st.booleans())
def test_every_row_comes_once_and_in_order(run, features, other):
    beside = replace(run, name="s", exports=Exports.split(2, 0.3, 1))
    project = project_of(run, beside) if other else project_of(run)
    with (
        serve(project, features=features) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        got = pl.read_wandb_histories(PATH, samples=None, client=client)
        same(got, frame_of(project.runs, got))
        assert client.last_report.rows == client.last_report.rows_known == got.height


@pytest.mark.parametrize("live_data", ["rows", "null", "absent"])
@pytest.mark.parametrize("serves", [True, False])
@pytest.mark.parametrize("exported", [(3,), (1, 3), (2,), (0, 1)])
def test_rows_of_a_window_that_lie_below_exported_ones(serving, exported, serves, live_data):
    rows = [{"_step": step, "_timestamp": 1.7e9 + step, "loss": step / 2} for step in range(4)]
    live = tuple(i for i in range(4) if i not in exported)
    export = Export(files=(ExportFile(exported),), live=live)
    run = RunRecord(name="r", history=History(rows), exports=export)
    features = Features(live_data=live_data, history_serves_exported=serves)
    _, client = serving(project_of(run), features=features)
    for window in ({"max_step": 8}, {"min_step": 1, "max_step": 4}, {"max_step": 3}):
        got = pl.read_wandb_histories(PATH, samples=None, client=client, **window)
        same(got, frame_of([run], got, **window))


@pytest.mark.parametrize("exported", [(0, 1, 3), (0, 1, 2), (1, 2), (3,)])
def test_a_live_row_before_an_exported_one_of_its_step(serving, exported):
    steps = [0, 0, 1, 1]
    rows = [{"_step": step, "_timestamp": 1.7e9 + i} for i, step in enumerate(steps)]
    live = tuple(i for i in range(4) if i not in exported)
    export = Export(files=(ExportFile(exported),), live=live)
    run = RunRecord(name="r", history=History(rows), exports=export)
    _, client = serving(project_of(run))
    got = pl.read_wandb_histories(PATH, samples=None, client=client)
    same(got.sort("_timestamp"), frame_of([run], got))


@settings(max_examples=20)
@given(run=torn_runs(), features=FEATURES)
def test_rows_of_one_step_that_lie_apart_are_all_there(run, features):
    with (
        serve(project_of(run), features=features) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        got = pl.read_wandb_histories(PATH, samples=None, client=client)
        assert got["_step"].to_list() == run.history.steps
        want = frame_of([run], got)
        order = ["_step", "_timestamp"]  # which row of a step comes first is not told by files
        same(got.sort(order), want.sort(order))


@settings(max_examples=20)
@given(
    run=runs(),
    features=FEATURES,
    keys=st.lists(st.sampled_from([*KEYS, "never"]), min_size=1, max_size=3, unique=True),
    match=st.sampled_from(["any", "all"]),
    x_axis=st.sampled_from(["_step", "_timestamp", "nth"]),
    low=st.integers(0, 12),
    high=st.sampled_from([None, 1, 8, 20_000]),
)
def test_keys_windows_and_axes(run, features, keys, match, x_axis, low, high):
    there = [key for key in keys if key in run.history.keys]
    if not there or x_axis in there or x_axis not in run.history.keys:
        return
    if match == "all" and there != keys:
        return
    if low or high is not None:
        # Of a window rows cannot be counted, so it is as whole as what the server says is live.
        export = run.exports
        left = set(range(len(run.history))) - export.exported
        run = replace(run, exports=replace(export, live=tuple(sorted({*export.live, *left}))))
    asked = {
        "keys": there,
        "match": match,
        "x_axis": x_axis,
        "min_step": low,
        "max_step": None if high is None else low + high,
    }
    with (
        serve(project_of(run), features=features) as server,
        wbframe.Client(server.url, server.api_key) as client,
    ):
        got = pl.read_wandb_histories(PATH, samples=None, client=client, **asked)
        same(got, frame_of([run], got, **asked))


ROWS = [{"_step": step, "loss": step / 2, "_timestamp": 1.7e9 + step} for step in range(400)]


@pytest.mark.parametrize("serves", [True, False])
@pytest.mark.parametrize("live_data", ["rows", "null", "absent"])
@pytest.mark.parametrize(
    ("files", "live"),
    [
        ([range(400)], ()),
        ([range(100, 400)], range(100)),  # live rows below exported ones
        ([range(0, 400, 2)], range(1, 400, 2)),
        ([range(200, 300), range(100)], range(300, 400)),  # the rest: in neither
        ([range(300)], range(250, 400)),
        ([range(300), range(200, 350)], range(350, 400)),  # files that overlap
        ([range(300), range(300)], range(300, 400)),
        ([range(0)], range(400)),
        ([], range(400)),
        ([], ()),
    ],
)
def test_named_splits(serving, serves, live_data, files, live):
    export = Export(files=tuple(ExportFile(each) for each in files), live=live)
    run = RunRecord(name="r", history=History(ROWS), exports=export)
    features = Features(history_serves_exported=serves, live_data=live_data, shuffled_urls=True)
    _, client = serving(project_of(run), features=features)
    got = pl.read_wandb_histories(PATH, samples=None, client=client)
    same(got, frame_of([run], got))


def test_many_runs_of_many_kinds_in_the_order_of_the_query(serving):
    kinds = [
        Exports.none(), Exports.all(), Exports.split(3, 0.4, 7), Exports.blocks(150, 20), Exports.scattered(3),
    ]  # fmt: skip
    made = [
        RunRecord(
            name=f"r{i:02d}",
            state="running" if i % 4 == 3 else "finished",
            history=History([{**row, "loss": row["loss"] + i} for row in ROWS[: 50 * (i % 9)]]),
            exports=kinds[i % len(kinds)],
            created_at=f"2026-01-01T00:{i:02d}:00Z",
        )
        for i in range(40)
    ]
    server, client = serving(project_of(*made))
    got = pl.read_wandb_histories(PATH, samples=None, order="-created_at", client=client)
    same(got, frame_of(reversed(made), got))
    assert client.last_report.growing_runs == 10
    asked = [each for each in server.requests if "parquetHistory" in each.document]
    assert len(asked) == 3  # sixteen runs a request


def test_a_run_that_starts_far_above_zero_and_has_gaps_costs_no_empty_pages(serving):
    steps = [5_000_000, 5_000_001, *range(9_000_000, 9_000_300), 2**40]
    run = RunRecord(name="r", history=History([{"_step": step, "x": 1.5} for step in steps]))
    server, client = serving(project_of(run))
    got = pl.read_wandb_histories(PATH, samples=None, client=client)
    assert got["_step"].to_list() == steps
    windows = [each for each in server.requests if each.operation == "Windows"]
    assert len(windows) == 1
    assert "r1:" not in windows[0].document


def test_one_long_run_of_live_rows(serving, monkeypatch):
    """Only a sample of its steps is known; windows are cut by it, and none is trusted that is thinned out."""
    steps, at = [], 10**6
    for i in range(30_000):  # three in four rows lie in a quarter of the steps
        at += 1 if i % 10_000 < 7_500 else 9
        steps.append(at)
    rows = [{"_step": step, "x": step / 2} for step in steps]
    run = RunRecord(name="r", history=History(rows), state="running")
    server, client = serving(project_of(run))
    client.budget.shrink()  # several requests' worth
    client.budget.shrink()
    requests_meet(client, monkeypatch, 2, beginning="query Windows")
    got = pl.read_wandb_histories(PATH, samples=None, client=client)
    assert got["_step"].to_list() == steps
    assert got["x"].to_list() == [row["x"] for row in rows]
    assert 2 <= sum(each.operation == "Windows" for each in server.requests) <= 6


@pytest.mark.parametrize("line_count", [None, 30_000])
def test_a_long_run_of_which_the_server_tells_little(serving, line_count):
    rows = [{"_step": step * 3, "x": step / 2} for step in range(30_000)]
    run = RunRecord(
        name="r", history=History(rows), history_keys=None, history_line_count=line_count
    )
    _, client = serving(project_of(run))
    got = pl.read_wandb_histories(PATH, keys=["x"], samples=None, client=client)
    assert got["_step"].to_list() == [row["_step"] for row in rows]


def test_many_rows_in_one_step_are_not_cut_for_ever(serving):
    rows = [{"_step": 5 if i < 2_500 else i, "x": i / 2} for i in range(2_600)]
    run = RunRecord(name="r", history=History(rows))
    _, client = serving(project_of(run))
    got = pl.read_wandb_histories(PATH, samples=None, client=client)
    assert got["x"].to_list() == [row["x"] for row in rows]


def test_scattered_live_rows_do_not_fetch_the_exported_ones_between(serving):
    rows = [{"_step": step, "x": step / 2} for step in range(20_000)]
    live = (0, 10_000, 19_999)
    exported = ExportFile(tuple(step for step in range(20_000) if step not in live))
    run = RunRecord(name="r", history=History(rows), exports=Export(files=(exported,), live=live))
    server, client = serving(project_of(run), compress=False)
    got = pl.read_wandb_histories(PATH, samples=None, client=client)
    assert got.height == 20_000
    [windows] = [each for each in server.requests if each.operation == "Windows"]
    assert windows.response_bytes < 500
