"""The official SDKs read from the server as from W&B."""

from __future__ import annotations

import json
import math
import re

import pytest

from benchmarks.peers import CURRENT, OLDEST, run_peer
from tests.server.asking import engine_of, names
from wbframe.server import built_in, serve
from wbframe.server.serving import _demo_folder

pytestmark = pytest.mark.referee

SDKS = pytest.mark.parametrize("sdk", [CURRENT, OLDEST])

PRELUDE = """
import json
import wandb

def plain(value):
    return json.loads(json.dumps(value, default=lambda each: each.item()))

def attempt(call):
    try:
        return plain(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
"""


def ask(sdk, server, script, args=None):
    env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.api_key}
    return run_peer(sdk, PRELUDE + script, env, args)


def same(got, wanted):
    """Compare JSON values; NaN equals NaN, and 1 is not True."""
    return json.dumps(got) == json.dumps(wanted)


@pytest.fixture(params=["ragged", "demo"])
def project(request, ragged_project):
    if request.param == "ragged":
        return ragged_project
    if not (_demo_folder() / "project.json").is_file():
        pytest.skip("the demo's data are not installed")
    return built_in("demo")


LISTING = """
def main(path):
    runs = wandb.Api().runs(path, per_page=5)
    found = [
        {
            "id": run.id, "name": run.name, "state": run.state, "config": dict(run.config),
            "summary": run.summary._json_dict if hasattr(run.summary, "_json_dict") else None,
            "tags": list(run.tags), "user": run.user.username, "sweep": run.sweep and run.sweep.id,
            "created_at": run.created_at, "group": run.group, "job_type": run.job_type,
            "last": run.lastHistoryStep, "system": run.system_metrics,
        }
        for run in runs
    ]
    return plain({"len": len(runs), "runs": found})
"""


@SDKS
def test_runs_are_listed_in_order_with_config_and_summary(sdk, project):
    with serve(project) as server:
        got = ask(sdk, server, LISTING, project.path)
    assert got["len"] == len(project.runs)
    order = sorted(project.runs, key=lambda run: run.created_at.removesuffix("Z"))
    assert [run["id"] for run in got["runs"]] == [run.name for run in order]
    for found, run in zip(got["runs"], order, strict=True):
        assert found["name"] == (run.name if run.display_name is None else run.display_name) or (
            found["name"] is run.display_name
        )
        assert same(found["config"], run.config or {})
        assert same(sorted_items(found["summary"]), sorted_items(run.summary_metrics or {}))
        assert found["tags"] == list(run.tags)
        assert (found["state"], found["user"]) == (run.state, run.user["username"])
        assert (found["sweep"], found["group"]) == (run.sweep, run.group)
        assert (found["created_at"], found["job_type"]) == (run.created_at, run.job_type)
        assert found["last"] == (run.history.steps[-1] if len(run.history) else -1)
        assert same(found["system"], run.last_system_metrics or {})


def sorted_items(summary):
    return sorted(summary.items())


ROWS = """
def main(path):
    found = {}
    for run in wandb.Api().runs(path):
        found[run.id] = {
            "all": run.history(samples=10_000, pandas=False),
            "few": run.history(samples=7, pandas=False),
            "keys": run.history(samples=10_000, keys=["train/loss"], pandas=False),
            "two": run.history(keys=["train/loss", "eval/loss"], pandas=False),
            "frame": json.loads(run.history(samples=10_000).to_json(orient="records")),
            "system": run.history(stream="system", pandas=False),
            "scan": list(run.scan_history()),
            "scan keys": list(run.scan_history(keys=["_step", "train/loss"])),
        }
    return plain(found)
"""


def keyed(rows, keys, *, float_step):
    """Read the rows that hold all keys as `sampledHistory` spells them."""
    found = []
    for row in rows:
        if all(key in row for key in keys):
            picked = {key: spelled(row[key]) for key in keys}
            if float_step:
                picked["_step"] = float(picked["_step"])
            found.append(picked)
    return found


def spelled(value):
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


@SDKS
def test_histories_are_the_rows_in_memory(sdk, project):
    with serve(project) as server:
        got = ask(sdk, server, ROWS, project.path)
    assert set(got) == {run.name for run in project.runs}
    for run in project.runs:
        found = got[run.name]
        rows = run.history.to_dicts()
        texts = rows if project.bare_tokens else [unbared(row) for row in rows]
        assert same(found["all"], texts)
        assert len(found["frame"]) == len(rows)
        assert len(found["few"]) == min(7, len(rows))
        if rows:
            assert same([found["few"][0], found["few"][-1]], [texts[0], texts[-1]])
        wanted = keyed(rows, ("_step", "train/loss"), float_step=project.float_steps)
        assert same(found["keys"], wanted)
        both = keyed(rows, ("_step", "train/loss", "eval/loss"), float_step=project.float_steps)
        assert same(found["two"], both) or len(both) > 500
        assert len(found["system"]) == min(500, len(run.events))
        # what is exported comes from its file: a key that a row lacks is null there, NaN is a number
        exported = sdk == CURRENT and project.exports.of(run.state, run.history.steps).files
        held = without_nulls if exported else dict
        scanned = {as_text(held(row)) for row in found["scan"]}
        stored = {as_text(row) for row in (rows if exported else texts)}
        if run.name == "twice" and sdk == CURRENT:
            # it asks for as many rows as a page has steps, so a step in two rows is thinned out
            assert scanned < stored
        else:
            assert scanned == stored
        scanned = {as_text(held(row)) for row in found["scan keys"]}
        if exported:
            # and then it does not drop the rows that lack a key
            wanted = [picked(row, ("_step", "train/loss")) for row in rows]
        stored = {as_text(row) for row in wanted}
        assert scanned <= stored
        # 0.18.0 asks for a page of 1000 steps with an inclusive bound: 1001 rows thinned to 1000
        assert len(stored - scanned) <= (len(rows) // 1000 if sdk == OLDEST else 0)


def as_text(value):
    """Spell a row so that 1.0 and 1 are the same: 0.31.0 gives whole floats of a scan as ints."""
    return json.dumps(whole(value), sort_keys=True)


def whole(value):
    if isinstance(value, dict):
        return {key: whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def without_nulls(row):
    return {key: value for key, value in row.items() if value is not None}


def picked(row, keys):
    return {key: row[key] for key in keys if key in row}


def unbared(row):
    return {key: spelled(value) for key, value in row.items()}


HISTORIES = """
def main(args):
    api = wandb.Api()
    options = {"per_page": 3, "filters": {"name": {"$in": args["names"]}}}
    def frame(kind, **more):
        found = api.runs(args["path"], **options).histories(format=kind, **more)
        if kind == "default":
            return found
        if kind == "pandas":
            return json.loads(found.to_json(orient="records"))
        return found.to_dicts()
    return {
        "default": attempt(lambda: frame("default")),
        "pandas": attempt(lambda: frame("pandas")),
        "polars": attempt(lambda: frame("polars", keys=["train/loss"])),
        "keys": attempt(lambda: frame("default", keys=["train/loss"], samples=4)),
        "system": attempt(lambda: frame("default", stream="system")),
    }
"""


@SDKS
def test_histories_of_many_runs(sdk, ragged_project):
    chosen = ["cadence1", "resumed", "twice", "norows"]
    with serve(ragged_project) as server:
        got = ask(sdk, server, HISTORIES, {"path": "wbframe/ragged", "names": chosen})
    runs = [run for run in ragged_project.runs if run.name in chosen]
    wanted = [{**row, "run_id": run.name} for run in runs for row in run.history.to_dicts()]
    assert same(got["default"], wanted)
    assert len(got["pandas"]) == len(wanted)
    assert {row["run_id"] for row in got["pandas"]} == set(chosen) - {"norows"}
    losses = [(row["run_id"], row["train/loss"]) for row in wanted if "train/loss" in row]
    assert sorted((row["run_id"], row["train/loss"]) for row in got["polars"]) == sorted(losses)
    assert [row["_step"] for row in got["keys"] if row["run_id"] == "resumed"][:2] == [5000, 5182]
    assert len(got["keys"]) == 12
    assert {row["run_id"] for row in got["system"]} == {"cadence1"}
    assert len(got["system"]) == 500


QUERIES = """
def main(cases):
    api = wandb.Api()
    found = []
    for case in cases:
        runs = api.runs("wbframe/ragged", per_page=4, **case)
        found.append(attempt(lambda: [len(runs), [run.id for run in runs]]))
        api.flush()
    return found
"""

CASES = [
    {},
    {"order": "-created_at"},
    {"order": "+display_name"},
    {"order": "-config.lr.value"},
    {"order": "+summary_metrics.train/loss"},
    {"order": "-heartbeat_at"},
    {"order": "-nonsense"},
    {"filters": {"state": {"$in": ["crashed", "failed"]}}},
    {"filters": {"config.epochs.value": {"$gt": 9}}, "order": "-created_at"},
    {"filters": {"displayName": {"$regex": "^(same|no )"}}},
    {"filters": {"tags": {"$in": ["baseline"]}}},
    {"filters": {"createdAt": {"$gte": "2026-01-05T09:00:00Z"}}},
    {"filters": {"$and": [{"sweep": "swp1aaaa"}, {"config.model": {"$ne": "cnn"}}]}},
    {"filters": {"$or": [{"username": "grace"}, {"jobType": "resume"}]}},
    {"filters": {"name": "nobody at all"}},
]


@SDKS
def test_filters_and_orders(sdk, ragged_project):
    with serve(ragged_project) as server:
        got = ask(sdk, server, QUERIES, CASES)
    engine = engine_of(ragged_project)
    for case, answered in zip(CASES, got, strict=True):
        wanted = names(engine, "ragged", first=100, **{"order": "+created_at", **case})
        assert answered == [len(wanted), wanted], case


OTHERS = """
def main(_):
    api = wandb.Api()
    run = api.run("wbframe/ragged/cadence1")
    sweep = api.sweep("wbframe/ragged/swp1aaaa")
    return {
        "viewer": api.viewer.username,
        "entity": api.default_entity,
        "projects": [project.name for project in api.projects("wbframe")],
        "sweep": [sweep.state, sweep.config["method"], sorted(each.id for each in sweep.runs)],
        "best": sweep.best_run().id,
        "of run": run.sweep.id,
        "files": [file.name for file in run.files()],
        "no run": attempt(lambda: api.run("wbframe/ragged/no").id),
        "no project": attempt(lambda: len(api.runs("wbframe/no"))),
        "no sweep": attempt(lambda: api.sweep("wbframe/ragged/no").id),
        "forbidden": attempt(lambda: len(api.runs("forbidden/p"))),
        "bad filter": attempt(lambda: len(api.runs("wbframe/ragged", {"$what": 1}))),
        "length": attempt(lambda: [len(api.runs("wbframe/empty")), list(api.runs("wbframe/empty"))]),
    }
"""


@SDKS
def test_everything_else_that_the_sdk_reads(sdk, server):
    got = ask(sdk, server, OTHERS)
    assert (got["viewer"] or "ada", got["entity"]) == ("ada", "wbframe")
    assert got["projects"] == ["ragged", "odd", "empty"]
    assert got["sweep"] == ["FINISHED", "random", ["cadence1", "drifting"]]
    assert got["best"] == "cadence1"
    assert got["of run"] == "swp1aaaa"
    assert got["files"] == []
    assert got["length"] == [0, []]
    assert re.search("(?i)could not find run", got["no run"])
    assert got["no project"].startswith("ValueError: Could not find project")
    assert re.search("(?i)could not find sweep|not found", got["no sweep"])
    assert "Error" in got["forbidden"]
    assert "Error" in got["bad filter"] or "Exception" in got["bad filter"]
    assert 403 in {logged.status for logged in server.requests}
    agents = {logged.user_agent for logged in server.requests}
    assert any(sdk.removeprefix("wandb==") in agent for agent in agents)


@SDKS
def test_a_rate_limit_is_retried(sdk, server):
    server.fail(status=429, headers={"Retry-After": "0"}, match="Runs(")
    script = 'def main(_):\n    return len(wandb.Api().runs("wbframe/ragged"))\n'
    assert ask(sdk, server, script) == 13
    assert [logged.status for logged in server.requests if "Runs(" in logged.document] == [429, 200]


def test_what_official_sdks_cannot_read_is_in_the_odd_project(server):
    script = """
def main(_):
    runs = wandb.Api().runs("wbframe/odd")
    return [attempt(lambda: [run.id for run in runs])]
"""
    assert "NoneType" in ask(CURRENT, server, script)[0]
    assert "AttributeError" in ask(OLDEST, server, script)[0]


def test_a_wrong_key_is_an_error_to_the_sdk(server):
    script = "def main(_):\n    return attempt(lambda: len(wandb.Api().runs('wbframe/ragged')))\n"
    env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "w" * 40}
    assert "Error" in run_peer(OLDEST, PRELUDE + script, env)
    assert {logged.status for logged in server.requests} == {401}
