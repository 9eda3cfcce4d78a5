from __future__ import annotations

import json
import math

import polars as pl
import pytest

from wbframe.errors import UsageError
from wbframe.server import load_project

RUNS = [
    {
        "name": "typed",
        "displayName": "typed rows",
        "state": "crashed",
        "config": {"lr": 0.1, "opt": {"name": "sgd"}},
        "wandbConfig": {"t": {}},
        "tags": ["a", "b"],
        "group": "g",
        "jobType": "train",
        "sweepName": "s1",
        "notes": None,
        "commit": "c" * 40,
        "createdAt": "2026-03-02T09:00:00Z",
        "heartbeatAt": None,
        "user": {"name": "A", "username": "a"},
        "computeSeconds": 9,
    },
    {"name": "loose", "summaryMetrics": {"x": "NaN"}, "historyKeys": None, "tags": None},
    {"name": "none"},
]
SWEEPS = [
    {"name": "s1", "displayName": "first", "state": "FINISHED", "method": "grid", "config": "a: 1"}
]


@pytest.fixture
def folder(tmp_path):
    about = {"entity": "e", "name": "p", "sweeps": SWEEPS, "floatSteps": True, "description": "d"}
    (tmp_path / "project.json").write_text(json.dumps(about))
    (tmp_path / "runs.json").write_text(json.dumps(RUNS))
    for name in ("history", "events"):
        (tmp_path / name).mkdir()
    histogram = pl.Struct({"_type": pl.String, "bins": pl.List(pl.Float64), "packed": pl.Int64})
    frame = pl.DataFrame(
        {
            "_step": [0, 1, 2],
            "loss": [1.0, math.nan, None],
            "count": [None, 2**60, 3],
            "grad": [None, {"_type": "histogram", "bins": [0.5, math.inf], "packed": None}, None],
            "deep": [{"a": {"b": 1, "c": None}}, None, None],
        },
        schema_overrides={"grad": histogram},
    )
    frame.write_parquet(tmp_path / "history" / "typed.parquet")
    (tmp_path / "history" / "loose.json").write_text('[{"x": NaN, "y": null}, {"x": 2}]')
    pl.DataFrame({"_timestamp": [1.5], "system.cpu": [20.0]}).write_parquet(
        tmp_path / "events" / "typed.parquet"
    )
    return tmp_path


def test_a_project_from_a_folder(folder):
    project = load_project(folder)
    assert (project.path, project.float_steps, project.bare_tokens) == ("e/p", True, False)
    assert project.sweeps[0].display_name == "first"
    typed, loose, none = project.runs
    assert typed.display_name == "typed rows"
    assert (typed.state, typed.sweep, typed.tags) == ("crashed", "s1", ("a", "b"))
    assert (typed.heartbeat_at, typed.compute_seconds) == (None, 9)
    assert typed.events.to_dicts() == [{"_timestamp": 1.5, "system.cpu": 20.0}]
    assert (none.display_name, none.tags, len(none.history)) == (None, (), 0)
    assert loose.history_keys is None
    assert loose.key_index is None
    assert none.key_index is not None


def test_typed_rows_drop_nulls_and_keep_types(folder):
    first, second, third = load_project(folder).run("typed").history.to_dicts()
    assert first == {"_step": 0, "loss": 1.0, "deep.a.b": 1}
    assert math.isnan(second["loss"])
    assert second["count"] == 2**60
    assert second["grad"] == {"_type": "histogram", "bins": [0.5, math.inf]}
    assert third == {"_step": 2, "count": 3}


def test_loose_rows_keep_nulls(folder):
    first, second = load_project(str(folder)).run("loose").history.to_dicts()
    assert math.isnan(first["x"])
    assert first["y"] is None
    assert second == {"x": 2, "_step": 1}
    assert load_project(folder).run("loose").summary_metrics == {"x": "NaN"}


def wreck(folder, name, text):
    path = folder / name
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("project.json", None, "no file .*project.json"),
        ("project.json", "{", "is no JSON"),
        ("project.json", "[]", "must hold a JSON object"),
        ("project.json", '{"name": "p"}', "needs 'entity'"),
        ("project.json", '{"entity": "e", "name": 3}', "needs 'name'"),
        ("project.json", '{"entity": "e", "name": "p", "swepes": []}', "Did you mean 'sweeps'"),
        ("project.json", '{"entity": "e", "name": "p", "sweeps": [{"name": "s", "x": 1}]}', "'x'"),
        ("runs.json", None, "no file .*runs.json"),
        ("runs.json", "{}", "must hold a JSON list"),
        ("runs.json", "[3]", "where an object must be"),
        ("runs.json", '[{"displayName": "x"}]', "without a usable 'name'"),
        ("runs.json", '[{"name": "a/b"}]', "without a usable 'name'"),
        ("runs.json", '[{"name": "a", "displayname": "b"}]', "Did you mean 'displayName'"),
        ("history/loose.json", "[1]", "must hold a list of row objects"),
        ("history/loose.json", "{}", "must hold a JSON list"),
        ("history/typed.parquet", "no parquet", "is no parquet file"),
    ],
)
def test_broken_folders_are_refused(folder, name, text, message):
    wreck(folder, name, text)
    with pytest.raises(UsageError, match=message):
        load_project(folder)
