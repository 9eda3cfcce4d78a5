"""How rows are split into exported files and a live tail."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.asking import answer, engine_of, project_data
from wbframe.errors import UsageError
from wbframe.server import (
    Export,
    ExportFile,
    Exports,
    Features,
    FileFormat,
    History,
    Project,
    RunRecord,
    synthetic,
)

STEPS = st.lists(st.integers(0, 30), max_size=40).map(sorted)
RULES = st.one_of(
    st.builds(
        Exports.split,
        st.integers(1, 5),
        st.floats(0, 1),
        st.integers(0, 8),
    ),
    st.builds(Exports.all, st.integers(1, 5)),
    st.builds(Exports.blocks, st.integers(1, 9), st.integers(0, 4)),
    st.builds(Exports.scattered, st.integers(0, 10_000)),
)


@given(STEPS, RULES)
def test_files_and_live_rows_add_up_to_the_rows(steps, rule):
    export = rule.plan(steps)
    listed = [row for file in export.files for row in file.rows]
    assert len(listed) == len(set(listed))
    assert all(len(file.rows) for file in export.files)
    assert set(listed) | set(export.live) == set(range(len(steps)))
    assert export.exported == set(listed)
    assert export.overlap == len(set(listed) & set(export.live))
    assert rule.plan(steps) == export


@given(STEPS, RULES)
def test_rows_of_one_step_stay_together(steps, rule):
    export = rule.plan(steps)
    for file in (*export.files, ExportFile(tuple(export.live))):
        inside = {steps[row] for row in file.rows}
        assert sum(step in inside for step in steps) == len(file.rows)


@given(STEPS, RULES)
def test_a_server_that_keeps_files_apart_has_the_rest(steps, rule):
    export = rule.plan(steps)
    rest = set(export.unexported(len(steps)))
    if export.files:
        assert rest == set(export.live) | (set(range(len(steps))) - export.exported)
    else:
        assert rest == set(range(len(steps)))


def test_splits_are_as_asked():
    export = Exports.split(files=3, live=0.2, overlap=10).plan(range(100))
    assert [file.rows for file in export.files] == [range(26), range(26, 53), range(53, 80)]
    assert export.live == range(70, 100)
    assert (export.live_from, export.overlap) == (70, 10)
    whole = Exports.all(files=2).plan(range(5))
    assert [file.rows for file in whole.files] == [range(2), range(2, 5)]
    assert (list(whole.live), whole.live_from, whole.overlap) == ([], None, 0)
    assert Exports.none().plan(range(5)) == Export()
    blocks = Exports.blocks(4, overlap=1).plan(range(10))
    assert [file.rows for file in blocks.files] == [range(4), range(4, 8)]
    assert blocks.live == range(7, 10)
    assert Exports.blocks(4).plan(range(3)) == Export(live=range(3))
    assert Exports.split(live=1.0).plan(range(3)) == Export(live=range(3))


def test_a_step_may_be_split_on_demand():
    steps = [0, 1, 1, 2]
    together = Exports.split(live=0.5).plan(steps)
    apart = Exports(live=0.5, whole_steps=False).plan(steps)
    assert [list(export.live) for export in (together, apart)] == [[3], [2, 3]]


def test_random_splits_are_of_every_sort():
    plans = [Exports.scattered(seed).plan(range(40)) for seed in range(60)]
    assert {len(plan.files) for plan in plans} >= {0, 1, 2, 3}
    assert {bool(plan.overlap) for plan in plans} == {True, False}
    assert {bool(plan.live) for plan in plans} == {True, False}
    firsts = [[file.rows[0] for file in plan.files] for plan in plans]
    assert any(each != sorted(each) for each in firsts)


def test_running_runs_are_exported_on_demand():
    for state in ("running", "pending", "preempting", None):
        assert Exports.all().of(state, range(3)) == Export()
        assert Exports.all(running=True).of(state, range(3)).files
    for state in ("finished", "crashed", "failed", "killed", "preempted"):
        assert Exports.all().of(state, range(3)).files


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Exports.split(files=-1),
        lambda: Exports.split(live=1.5),
        lambda: Exports.split(overlap=-1),
        lambda: Exports.blocks(0),
        lambda: ExportFile((2, 1)),
        lambda: ExportFile((1, 1)),
        lambda: FileFormat(step="int32"),
        lambda: FileFormat(compression="gzip"),
        lambda: FileFormat(row_group_rows=0),
        lambda: Features(live_data="none"),
        lambda: Features(url_gets=0),
    ],
)
def test_senseless_plans_are_refused(wrong):
    with pytest.raises(UsageError):
        wrong()


ROWS = [
    {"loss": 1 / (i + 1), "nan": float("nan"), **({"acc": i} if i % 2 else {})} for i in range(10)
]


def project_of(exports=None, run_exports=None, state="finished"):
    run = RunRecord(name="r", state=state, history=History(ROWS), exports=run_exports)
    return Project(entity="wbframe", name="p", runs=(run,), exports=exports or Exports.none())


def ask(engine, fields):
    return project_data(engine, "p", f'run(name: "r") {{ {fields} }}')["run"]


def parquet_history(engine, keys):
    fields = f"parquetHistory(liveKeys: {json.dumps(keys)}) {{ parquetUrls liveData }}"
    return ask(engine, fields)["parquetHistory"]


def test_urls_and_live_rows():
    engine = engine_of(project_of(Exports.split(files=2, live=0.3, overlap=1)))
    found = parquet_history(engine, ["_step"])
    assert len(found["parquetUrls"]) == 2
    assert all(
        url.startswith("http://storage.invalid/exports/wbframe/p/r/10/") and "&sig=" in url
        for url in found["parquetUrls"]
    )
    assert (
        json.dumps(found["liveData"])
        == '[{"_step": 6.0}, {"_step": 7.0}, {"_step": 8.0}, {"_step": 9.0}]'
    )
    again = parquet_history(engine, ["acc", "_step", "acc", "no"])
    assert again["liveData"][:2] == [{"_step": 6.0}, {"acc": 7, "_step": 7.0}]
    assert not set(found["parquetUrls"]) & set(again["parquetUrls"])
    assert parquet_history(engine, ["acc"])["liveData"] == [{"acc": 7}, {"acc": 9}]
    assert parquet_history(engine, ["nan"])["liveData"][0] == {"nan": "NaN"}
    assert parquet_history(engine, [])["liveData"] == []


def test_a_run_may_say_how_it_is_exported():
    lost = Export(files=(ExportFile((0, 2)),), live=(9,))
    engine = engine_of(project_of(Exports.all(), lost))
    found = parquet_history(engine, ["_step"])
    assert (len(found["parquetUrls"]), found["liveData"]) == (1, [{"_step": 9.0}])
    engine = engine_of(project_of(Exports.all(), Exports.none()))
    assert parquet_history(engine, ["_step"]) == {"parquetUrls": [], "liveData": []}


def test_live_data_may_be_null_or_unknown():
    project = project_of(Exports.split())
    null = engine_of(project, features=Features(live_data="null"))
    assert parquet_history(null, ["_step"])["liveData"] is None
    absent = engine_of(project, features=Features(live_data="absent"))
    fields = "parquetHistory(liveKeys: []) { parquetUrls }"
    assert len(ask(absent, fields)["parquetHistory"]["parquetUrls"]) == 1
    document = f'{{ project(name: "p") {{ run(name: "r") {{ {fields[:-1]} liveData }} }} }} }}'
    assert answer(absent, document)[0] == 400


def test_urls_may_be_shuffled():
    project = project_of(Exports.all(files=5))
    engine = engine_of(project, features=Features(shuffled_urls=True))
    orders = {
        tuple(url.split("?")[0] for url in parquet_history(engine, [])["parquetUrls"])
        for _ in range(20)
    }
    assert len(orders) > 3
    assert len({frozenset(order) for order in orders}) == 1


@pytest.mark.parametrize("serves", [True, False])
def test_history_may_lack_exported_rows(serves):
    project = project_of(Exports.split(files=2, live=0.3, overlap=1))
    engine = engine_of(project, features=Features(history_serves_exported=serves))
    spec = json.dumps(json.dumps({"keys": ["_step", "acc"], "samples": 100}))
    found = ask(engine, f"history(minStep: 1, maxStep: 9) sampledHistory(specs: [{spec}])")
    first = 1 if serves else 6
    assert [json.loads(row)["_step"] for row in found["history"]] == list(range(first, 9))
    steps = [row["_step"] for row in found["sampledHistory"][0]]
    assert steps == ([1, 3, 5, 7, 9] if serves else [7, 9])
    assert json.loads(found["history"][-1])["nan"] == "NaN"


def test_synthetic_rows_are_made_when_asked_for():
    now = synthetic(runs=2, rows=9000, keys=3, cadence=(1, 7), seed=4)
    later = synthetic(runs=2, rows=9000, keys=3, cadence=(1, 7), seed=4, exports=Exports.all())
    for one, other in zip(now.runs, later.runs, strict=True):
        assert list(other.history.rows) == one.history.rows
        assert other.history.rows[5000:5003] == one.history.rows[5000:5003]
        assert other.history.rows[-1] == one.history.rows[-1]
        assert other.history.last == one.history.last
        assert other.history.table().to_pydict() == one.history.table().to_pydict()
        with pytest.raises(IndexError):
            other.history.rows[9000]
    keys = ("_step", "metric/01", "no")
    wanted = History(now.runs[1].history.to_dicts()).objects(range(20, 40), keys)
    assert later.runs[1].history.objects(range(20, 40), keys) == wanted
    assert len(later.runs[1].history.objects((0, 1, 7), ["metric/01"])) == 2
    assert later.runs[1].history.objects((0, 1), ["no"]) == []
    rows = [json.loads(row) for row in now.runs[1].history.rows]
    listed = now.runs[1].history.table().to_pylist()
    assert [{k: v for k, v in row.items() if v is not None} for row in listed] == rows
