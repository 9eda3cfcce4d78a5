from __future__ import annotations

import json
import math

import pytest

from tests.server.asking import engine_of, project_data
from wbframe.errors import UsageError
from wbframe.server import BUILT_IN, History, Project, RunRecord, built_in, ragged, serve, synthetic
from wbframe.server.projects.store import COMPUTED
from wbframe.server.serving import _projects


def everything(project):
    return [
        (run.name, run.config, run.summary_metrics, run.history.rows, run.events.rows)
        for run in project.runs
    ]


def test_ragged_is_the_same_on_every_call(ragged_project):
    again = ragged()
    assert json.dumps([each[:3] for each in everything(again)]) == json.dumps(
        [each[:3] for each in everything(ragged_project)]
    )
    assert [each[3:] for each in everything(again)] == [
        each[3:] for each in everything(ragged_project)
    ]


def test_ragged_has_the_hard_cases(ragged_project):
    rows = {run.name: run.history.to_dicts() for run in ragged_project.runs}
    cadence = rows["cadence1"]
    assert min(i for i, row in enumerate(cadence) if "late" in row) > 100
    even = {i for i, row in enumerate(cadence) if "even only" in row}
    odd = {i for i, row in enumerate(cadence) if "odd only" in row}
    assert len(even) == len(odd)
    assert not even & odd
    drift = [row["drift"] for row in rows["drifting"]]
    assert all(isinstance(value, int) for value in drift[:120])
    assert drift[120] == 120.5
    losses = [row["train/loss"] for row in rows["nonfinite"]]
    assert math.isnan(losses[0])
    assert losses[2:4] == [math.inf, -math.inf]
    assert {type(row["text or number"]) for row in rows["mixed"]} == {str, float}
    assert {type(row["flag or number"]) for row in rows["mixed"]} == {bool, int}
    assert None in [row["maybe"] for row in rows["mixed"]]
    assert {"run_id", "state", "entity", "a.dotted.key", ""} <= set(rows["named"][0])
    assert [row["_step"] for row in rows["resumed"]][:2] == [5000, 5007]
    steps = [row["_step"] for row in rows["twice"]]
    assert len(steps) == len(set(steps)) + 2
    assert rows["norows"] == []
    assert {run.state for run in ragged_project.runs} == {
        "running", "finished", "crashed", "failed", "killed",
    }  # fmt: skip
    assert len({run.display_name for run in ragged_project.runs}) < len(ragged_project.runs)
    times = [run.created_at for run in ragged_project.runs]
    assert {len(time) for time in times} == {
        len("2026-01-05T08:10:00") + extra for extra in (0, 1, 5)
    }
    assert {run.heartbeat_at is None for run in ragged_project.runs} == {True, False}


def test_records_compute_what_is_left_out():
    history = History([{"_runtime": 1.5, "a": {"b": 1}}, {"_runtime": 2.5, "c": None}])
    events = History([{"system.cpu": 1, "_timestamp": 3}], stepped=False)
    run = RunRecord(name="r", history=history, events=events)
    assert run.summary_metrics == {
        "_step": 1,
        "_runtime": 2.5,
        "a": {"b": 1},
        "c": None,
        "_wandb": {"runtime": 2},
    }
    assert run.last_system_metrics == {"system.cpu": 1}
    assert run.line_count == 2
    assert run.key_index["lastStep"] == 1
    assert set(run.key_index["keys"]) == {"_step", "_runtime", "a.b", "c", "system/cpu"}
    bare = RunRecord(name="r")
    assert bare.summary_metrics == {}
    assert bare.last_system_metrics == {}
    assert bare.key_index == {"sets": [], "lastStep": -1, "keys": {}}
    assert repr(COMPUTED) == "COMPUTED"


def test_records_keep_what_is_given():
    run = RunRecord(
        name="r",
        summary={"x": 1},
        system_metrics={"y": 2},
        history_keys={"keys": {}},
        history_line_count=7,
    )
    assert (run.summary_metrics, run.last_system_metrics) == ({"x": 1}, {"y": 2})
    assert (run.key_index, run.line_count) == ({"keys": {}}, 7)


def test_projects_find_their_runs(ragged_project):
    assert ragged_project.run("huge").display_name == "huge numbers"
    with pytest.raises(KeyError):
        ragged_project.run("no")
    assert repr(ragged_project) == "<Project wbframe/ragged: 13 runs>"


def test_synthetic_is_the_same_for_the_same_seed():
    made = [synthetic(runs=3, rows=7, keys=4, cadence=(1, 3), seed=seed) for seed in (1, 1, 2)]
    assert everything(made[0]) == everything(made[1])
    assert everything(made[0]) != everything(made[2])


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_synthetic_rows_are_as_if_logged(rows):
    project = synthetic(runs=2, rows=rows, keys=3, cadence=(1, 4))
    for run in project.runs:
        logged = History(run.history.to_dicts())
        assert logged.rows == run.history.rows
        assert list(logged.steps) == list(run.history.steps)
        assert logged.last == run.history.last
        for key, stats in logged.keys.items():
            ours = run.history.keys[key].to_json()
            assert ours["typeCounts"] == stats.to_json()["typeCounts"]
            assert ours["previousValue"] == stats.to_json()["previousValue"]


def test_synthetic_counts():
    project = synthetic(runs=4, rows=5, keys=2, config_keys=6, summary_keys=3, entity="e", name="n")
    assert project.path == "e/n"
    assert {len(run.config) for run in project.runs} == {6}
    assert {len(run.summary_metrics) for run in project.runs} == {3}
    assert len({run.created_at for run in project.runs}) == 4


@pytest.mark.parametrize("wrong", [{"runs": -1}, {"keys": -1}, {"cadence": ()}, {"cadence": (0,)}])
def test_synthetic_refuses_senseless_counts(wrong):
    with pytest.raises(UsageError):
        synthetic(**wrong)


def test_every_built_in_project_can_be_served():
    served = {project.name for project in _projects(None)}
    assert {"ragged", "empty", "odd"} <= served <= set(BUILT_IN)


def test_projects_may_be_mixed(ragged_project, tmp_path):
    (tmp_path / "project.json").write_text('{"entity": "e", "name": "f"}')
    (tmp_path / "runs.json").write_text("[]")
    served = _projects([ragged_project, "empty", tmp_path, str(tmp_path)])
    assert [project.path for project in served] == ["wbframe/ragged", "wbframe/empty", "e/f", "e/f"]
    assert _projects(()) == ()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("ragge", "Did you mean 'ragged'"),
        ("no/such/folder", "neither a folder nor one of 'demo', 'ragged'"),
        (3, "a project is a name, a folder or a Project"),
        ([None], "a project is a name, a folder or a Project"),
    ],
)
def test_unknown_projects_are_refused(asked, message):
    with pytest.raises(UsageError, match=message):
        serve(asked)


def test_wrong_arguments_are_refused():
    with pytest.raises(UsageError, match="`null_reading` must be one of 'mongo', 'sql'"):
        serve("empty", null_reading="mango")
    with pytest.raises(UsageError, match="`latency`"):
        serve("empty", latency=-1)
    with pytest.raises(UsageError, match="Did you mean 'demo'"):
        built_in("dem0")


def test_text_tokens_unless_told():
    rows = [{"x": math.nan}]
    record = RunRecord(name="r", history=History(rows))
    plain = Project(entity="wbframe", name="plain", runs=(record,))
    fields = 'run(name: "r") { history summaryMetrics sampledHistory(specs: ["{\\"keys\\":[\\"_step\\"]}"]) }'
    run = project_data(engine_of(plain), "plain", fields)["run"]
    assert run["history"] == ['{"x":"NaN","_step":0}']
    assert json.loads(run["summaryMetrics"])["x"] == "NaN"
    assert repr(run["sampledHistory"][0][0]["_step"]) == "0"
