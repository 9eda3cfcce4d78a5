"""What code of the official SDK finds here: its errors, its words, its arguments, and what it would write."""

from __future__ import annotations

import json
import pickle
import sys
import types

import numpy as np
import pandas as pd
import polars as pl
import pytest

import wbframe
from wbframe import Runs, errors
from wbframe.dropin.run import Run
from wbframe.server import Exports, Features, History, Project, RunRecord, Sweep, serve

SDK = """
class Error(Exception):
    def __init__(self, message, context=None):
        super().__init__(message)
        self.message = message
        self.context = context or {}

class CommError(Error):
    def __init__(self, msg, exc=None):
        self.exc = exc
        super().__init__(msg)

class AuthenticationError(CommError):
    pass

class UsageError(Error):
    pass
"""


@pytest.fixture
def client(server):
    return wbframe.Client(server.url, server.api_key, retry=wbframe.RetryPolicy(tries=1))


@pytest.fixture
def api(client):
    return wbframe.Api(client=client)


@pytest.fixture
def run(api):
    return api.run("wbframe/ragged/cadence1")


@pytest.fixture
def sdk(monkeypatch):
    """The errors of the SDK, as where it is imported."""
    module = types.ModuleType("wandb.errors")
    exec(SDK, vars(module))
    runs = types.ModuleType("wandb.apis.public.runs")
    runs.RunNotFoundError = type("RunNotFoundError", (ValueError,), {})
    monkeypatch.setitem(sys.modules, "wandb.errors", module)
    monkeypatch.setitem(sys.modules, "wandb.apis.public.runs", runs)
    return module


# ---------------------------------------------------------------- errors


DOORS = {
    "api.run": lambda api, _: api.run("wbframe/ragged/nope"),
    "api.runs": lambda api, _: api.runs("https://elsewhere.example.org/e/p"),
    "from_path": lambda api, _: api.from_path("ragged"),
    "len": lambda api, _: len(api.runs("wbframe/nope")),
    "next": lambda api, _: next(api.runs("wbframe/nope")),
    "index": lambda api, _: api.runs("wbframe/nope")[0],
    "histories": lambda api, _: api.runs("wbframe/nope").histories(),
    "format": lambda api, _: api.runs("wbframe/ragged").histories(format="arrow"),
    "made": lambda api, _: Run(api, "wbframe", "ragged", "nope"),
    "config": lambda api, _: Run(api, "e", "p", "r", {"config": 1}),
    "history": lambda _, run: run.history(),
    "scan": lambda _, run: list(run.scan_history()),
    "keys": lambda _, run: run.scan_history(keys="loss"),
    "load": lambda _, run: run.load(force=True),
    "full": lambda _, run: run.load_full_data(force=True),
    "sweep": lambda _, run: Run(run.client, "e", "p", "r", {"sweepName": "s"}).sweep,
    "metadata": lambda _, run: run.metadata,
}


@pytest.mark.parametrize("door", DOORS)
def test_what_goes_wrong_is_caught_as_the_sdks_too(server, api, run, sdk, door):
    if door in {"history", "scan", "load", "full", "sweep", "metadata"}:
        server.fail(status=403, times=100)
    with pytest.raises(sdk.CommError) as caught:
        DOORS[door](api, run)
    error = caught.value
    assert isinstance(error, errors.WbframeError)
    assert error.message == str(error)
    assert type(error).__name__ in errors.__all__
    # it is ours alone where it goes to another process, in which there may be no wandb
    assert type(pickle.loads(pickle.dumps(error))) is getattr(errors, type(error).__name__)


def test_errors_keep_their_kinds_beside_the_sdks(server, api, sdk):
    with pytest.raises(sys.modules["wandb.apis.public.runs"].RunNotFoundError) as caught:
        api.run("wbframe/ragged/nope")
    assert isinstance(caught.value, errors.RunNotFoundError)
    assert isinstance(caught.value, sdk.CommError)
    refused = wbframe.Api({"base_url": server.url}, api_key="0" * 40)
    with pytest.raises(sdk.AuthenticationError) as caught:
        refused.run("wbframe/ragged/whole")
    assert isinstance(caught.value, errors.RefusedKeyError)


def test_errors_are_ours_alone_without_the_sdk(api):
    assert "wandb.errors" not in sys.modules
    with pytest.raises(errors.RunNotFoundError) as caught:
        api.run("wbframe/ragged/nope")
    assert type(caught.value) is errors.RunNotFoundError
    assert "wandb" not in sys.modules


# ---------------------------------------------------------------- attributes


WRITES = {
    "tags": lambda run: setattr(run, "tags", ["new"]),
    "name": lambda run: setattr(run, "name", "other"),
    "display_name": lambda run: setattr(run, "display_name", "other"),
    "displayName": lambda run: setattr(run, "displayName", "other"),
    "notes": lambda run: setattr(run, "notes", "other"),
    "config": lambda run: setattr(run, "config", {}),
    "user": lambda run: setattr(run, "user", None),
    "username": lambda run: setattr(run.user, "username", "other"),
    "summary": lambda run: setattr(run, "summary", {}),
    "summary attribute": lambda run: setattr(run.summary, "loss", 1),
    "update": lambda run: run.update(),
    "delete": lambda run: run.delete(),
    "upload_file": lambda run: run.upload_file("x"),
    "state of a sweep": lambda run: setattr(run.sweep, "state", "FINISHED"),
}


@pytest.mark.parametrize("write", WRITES)
def test_what_would_write_says_that_wbframe_reads_only(server, run, write):
    _ = run.sweep
    server.clear()
    with pytest.raises(errors.ReadOnlyError, match="wbframe reads only") as caught:
        WRITES[write](run)
    assert isinstance(caught.value, AttributeError)
    assert server.requests == []


def test_a_config_can_be_changed_here_and_not_there(run):
    run.config["x"] = 1
    assert run.config["x"] == 1
    with pytest.raises(AttributeError, match=r"no attribute 'update': wbframe reads only"):
        run.update()
    run.my_own = 3
    assert run.my_own == 3


def test_a_summary_says_that_it_is_read_only(run):
    with pytest.raises(errors.ReadOnlyError, match="'loss' of a summary"):
        run.summary["loss"] = 1
    with pytest.raises(TypeError, match="reads only"):
        del run.summary["train/loss"]
    with pytest.raises(AttributeError, match="Did you mean '_step'"):
        _ = run.summary.step


TYPOS = {
    "run.fil": (lambda _, run: run.fil, "Did you mean 'file'"),
    "run.sumary": (lambda _, run: run.sumary, "Did you mean 'summary'"),
    "run.scan_histori": (lambda _, run: run.scan_histori, "Did you mean 'scan_history'"),
    "run.heartbeat": (lambda _, run: run.heartbeat, "heartbeat_at'"),
    "api.runz": (lambda api, _: api.runz, "Did you mean 'run', 'runs'?"),
    "runs.histores": (
        lambda api, _: api.runs("wbframe/ragged").histores,
        "Did you mean 'histories'",
    ),
    "runs.objekts": (lambda api, _: api.runs("wbframe/ragged").objekts, "Did you mean 'objects'"),
    "sweep.stat": (lambda _, run: run.sweep.stat, "Did you mean 'state'"),
}


@pytest.mark.parametrize("typo", TYPOS)
def test_a_typing_error_is_told_what_is_near(api, run, typo):
    ask, said = TYPOS[typo]
    with pytest.raises(AttributeError) as caught:
        ask(api, run)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["files", "logged_artifacts", "console_logs"])
def test_the_rest_of_a_run_is_in_the_sdk(run, name):
    assert not hasattr(run, name)
    with pytest.raises(
        AttributeError, match=r"reads runs and histories only, the rest is in wandb\.Api"
    ):
        getattr(run, name)


# ---------------------------------------------------------------- notebooks


def test_notebooks_show_a_line_without_a_request_or_the_key(server, api):
    runs = Runs(api, "wbframe", "ragged <b>", per_page=4)
    run = Run(api, "wbframe", "ragged <b>", "a&b", {"state": "finished"})
    server.clear()
    for each in (api, runs, run):
        shown = each._repr_html_()
        assert "<b>" not in shown
        assert server.api_key not in shown
        assert len(shown) < 300
    assert "ragged &lt;b&gt;" in runs._repr_html_()
    assert f'{server.url}/wbframe/ragged%20%3Cb%3E/runs/a%26b"' in run._repr_html_()
    assert server.requests == []
    known = api.runs("wbframe/ragged", per_page=4)
    _ = known[0]
    assert "13 runs, 4 loaded" in known._repr_html_()


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize("number", [np.int64, np.int32, np.uint8, float, np.float64])
def test_integers_of_any_type_are_taken(client, number):
    runs = Runs(client, "wbframe", "ragged", order="+created_at", per_page=number(4))
    assert [runs[number(5)].id, len(runs[: np.int64(3)])] == [runs[5].id, 3]
    assert len(runs) == 13
    run = runs[0]
    assert len(run.history(samples=number(5))) == 5
    assert len(run.history(samples=number(5), keys=["train/loss"])) == 5
    assert len(runs.histories(samples=number(1), keys=["train/loss"], format="polars")) == len(
        runs.histories(samples=1, keys=["train/loss"])
    )
    steps = [
        row["_step"]
        for row in run.scan_history(page_size=number(3), min_step=number(10), max_step=number(13))
    ]
    assert steps == [10, 11, 12]


WRONG = {
    "samples": lambda runs: runs.histories(samples="500"),
    "samples of a run": lambda runs: runs[0].history(samples=0),
    "samples of a half": lambda runs: runs[0].history(samples=0.5),
    "page_size": lambda runs: runs[0].scan_history(page_size=0),
    "min_step": lambda runs: runs[0].scan_history(min_step="1"),
    "max_step": lambda runs: runs[0].scan_history(max_step=1.5),
    "per_page": lambda runs: Runs(runs.client, "e", "p", per_page=0),
    "match": lambda runs: runs[0].history(match="some"),
    "match of a scan": lambda runs: runs[0].scan_history(match="some"),
    "on_error": lambda runs: runs[0].history(on_error="skp"),
    "on_error of histories": lambda runs: runs.histories(on_error="skp"),
    "keys of a scan": lambda runs: runs[0].scan_history(keys=["a", 1]),
    "both clients": lambda runs: Runs(runs.client, "e", "p", service_api=runs.client),
    "a run of no id": lambda runs: Run(runs.client, "e", "p"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments_are_told_before_any_request(server, client, wrong):
    runs = Runs(client, "wbframe", "ragged")
    _ = runs[0]
    server.clear()
    with pytest.raises(errors.UsageError):
        WRONG[wrong](runs)
    assert server.requests == []


def test_the_words_of_newer_releases(server, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    service = types.SimpleNamespace(
        _settings=types.SimpleNamespace(base_url=server.url, api_key=None)
    )
    named = {"entity": "wbframe", "project": "ragged", "api_key": server.api_key}
    assert len(Runs(service_api=service, **named)) == 13
    assert len(Runs(**named)) == 13
    assert len(Runs(wbframe.Client(server.url, "0" * 40), **named)) == 13
    run = Run(service_api=service, run_id="whole", **named)
    assert run.state == "failed"
    for each in (run, run.client, Runs(service_api=service, **named)):
        assert server.api_key not in repr(each)


def test_quoted_paths_are_read(client):
    project = Project(entity="e", name="my project", runs=(RunRecord(name="a b"),))
    with serve(project) as server:
        api = wbframe.Api({"base_url": server.url}, api_key=server.api_key)
        run = api.run("e/my project/a b")
        assert run.path == ["e", "my%20project", "a%20b"]
        assert run.url == f"{server.url}/e/my%20project/runs/a%20b"
        for path in ("/".join(run.path), run.url, "e/my%20project/runs/a b"):
            assert api.run(path).id == "a b"
        for path in ("e/my%20project", "e/my project", f"{server.url}/e/my%20project"):
            assert len(api.runs(path)) == 1


@pytest.mark.parametrize("path", ["", "    ", ":", "/", "//", "/ /", "/ / /", "e/p:", "run"])
def test_what_names_no_run_is_refused_without_a_request(server, client, monkeypatch, path):
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    api = wbframe.Api(client=client)
    with pytest.raises(ValueError, match="Invalid path"):
        api.run(path)
    assert not [each for each in server.requests if "run(" in each.document]


def test_a_path_says_what_it_lacks(monkeypatch):
    for name in ("WANDB_PROJECT", "WANDB_ENTITY"):
        monkeypatch.delenv(name, raising=False)
    with serve("ragged") as server:
        api = wbframe.Api({"base_url": server.url}, api_key=server.api_key)
        server.fail(body=b'{"data": {"viewer": null}}')
        with pytest.raises(ValueError, match="missing entity"):
            api.run("project/run")
        with pytest.raises(ValueError, match="missing project"):
            api.run("run")
    for ask in (api.run, api.runs, api.from_path):
        with pytest.raises(errors.PathError, match="got list"):
            ask(["e", "p", "r"])


def test_settings_name_server_entity_and_project():
    given = {"base_url": "https://wandb.example.org///", "entity": "e", "project": "p"}
    assert wbframe.Api(given, api_key="k" * 40).settings == {
        "base_url": "https://wandb.example.org",
        "entity": "e",
        "project": "p",
    }


# ---------------------------------------------------------------- runs made by hand


@pytest.mark.parametrize("name", ["config", "summaryMetrics", "systemMetrics"])
def test_attributes_come_as_objects_or_as_text(client, name):
    for value in ({"a": "b\tc"}, '{"a": "b\tc"}'):
        assert getattr(Run(client, "e", "p", "r", {name: value}), name) == {"a": "b\tc"}
    for value in (1, [1], True):
        with pytest.raises(errors.AnswerError, match=f"the {name} of .* is no object"):
            Run(client, "e", "p", "r", {name: value})
    assert getattr(Run(client, "e", "p", "r", {name: "1"}), name) == {}


@pytest.mark.parametrize("lazy", [True, False])
@pytest.mark.parametrize("include_sweeps", [True, False])
def test_a_sweep_is_asked_for_when_it_is_looked_at(server, client, lazy, include_sweeps):
    attrs = {"name": "cadence1", "sweepName": "swp1aaaa"}
    run = Run(client, "wbframe", "ragged", "cadence1", attrs, include_sweeps, lazy)
    assert server.requests == []
    assert (run.sweep.id, run.sweep.entity, run.sweep.project) == ("swp1aaaa", "wbframe", "ragged")
    assert run.sweep is run.sweep
    assert len(server.requests) == 1


def test_a_sweep_that_is_gone_is_asked_for_once():
    project = Project(entity="e", name="p", runs=(RunRecord(name="a", sweep="gone"),))
    with serve(project) as server:
        run = Runs(wbframe.Client(server.url, server.api_key), "e", "p", include_sweeps=False)[0]
        server.clear()
        assert (run.sweep, run.sweep) == (None, None)
        assert len(server.requests) == 1


def test_a_lazy_run_that_is_gone_is_told_when_its_config_is_looked_at(client):
    run = Run(client, "wbframe", "ragged", "gone", {"name": "gone", "state": "finished"}, lazy=True)
    with pytest.raises(ValueError, match="Could not find run"):
        _ = run.config


def test_a_lazy_run_tells_its_user_without_a_request(server, client):
    attrs = {"user": {"name": "Ada", "username": "ada"}}
    run = Run(client, "wbframe", "ragged", "cadence1", attrs, lazy=True)
    assert (run.user.name, run.user.username) == ("Ada", "ada")
    assert server.requests == []
    assert run.config["lr"] == 0.1
    assert len(server.requests) == 1


def test_pages_of_bare_nodes_are_runs(client):
    """Servers may leave out what is not asked for, and the page's own words."""
    runs = Runs(client, "e", "p", per_page=2)
    nodes = [{"name": f"r{i}", "sweepName": None, "group": "A"} for i in range(4)]
    runs.last_response = {
        "project": {"runCount": 4, "runs": {"edges": [{"node": node} for node in nodes]}}
    }
    found = runs.convert_objects()
    assert [run.id for run in found] == ["r0", "r1", "r2", "r3"]
    assert all(found)
    assert (found[3].group, found[3].summary_metrics, found[3].state) == ("A", {}, "not found")


def test_a_page_without_cursors_gives_its_runs(server, client):
    """Servers may forget where a page ends; what it holds is there all the same."""
    nodes = [{"name": f"r{i}", "summaryMetrics": '{"acc": 100}', "jobType": "test"} for i in (0, 1)]
    page = {"edges": [{"node": node} for node in nodes], "pageInfo": {"hasNextPage": True}}
    body = json.dumps({"data": {"project": {"runCount": 4, "runs": page}}}).encode()
    server.fail(body=body, times=9)
    runs = Runs(client, "wbframe", "ragged", per_page=2)
    assert (len(runs), len(runs.objects)) == (4, 2)
    assert (runs[0].summary_metrics, runs[1].job_type) == ({"acc": 100}, "test")
    with pytest.raises(errors.AnswerError, match="repeats the cursor"):
        _ = runs[2]


def test_a_count_without_runs_is_no_history(server, client):
    """A server may count a run that it gives in no listing."""
    page = {"edges": [], "pageInfo": {"endCursor": None, "hasNextPage": False}}
    body = json.dumps({"data": {"project": {"runCount": 1, "runs": page}}}).encode()
    server.fail(body=body, times=9)
    with pytest.warns(errors.CountWarning):
        assert Runs(client, "wbframe", "empty").histories(format="polars").shape == (0, 0)


# ---------------------------------------------------------------- pages that fail


def test_the_next_try_is_for_the_same_run(server, client):
    runs = Runs(client, "wbframe", "ragged", order="+created_at", per_page=5)
    found = [next(runs).id for _ in range(5)]
    server.fail(status=500, times=4)
    with pytest.raises(errors.StatusError):
        next(runs)
    server.clear()
    found += [run.id for run in iter(lambda: next(runs, None), None)]
    assert found == [run.id for run in Runs(client, "wbframe", "ragged", order="+created_at")]


def test_a_page_whose_sweeps_failed_is_asked_for_again(server, client):
    runs = Runs(client, "wbframe", "ragged", order="+created_at", per_page=5)
    server.fail(status=500, times=4, match="sweep(")
    with pytest.raises(errors.StatusError):
        _ = runs[0]
    server.clear()
    assert len(list(runs)) == 13


def test_a_scan_that_failed_does_not_look_as_if_it_had_ended(server, run):
    scan = run.scan_history(page_size=50)
    came = [next(scan)["_step"] for _ in range(50)]
    server.fail(status=500, times=4)
    for _ in range(2):
        with pytest.raises(errors.StatusError):
            next(scan)
    server.clear()
    assert len(came) < len(list(scan)) == 240


# ---------------------------------------------------------------- any, and left out


KEYS = ["train/loss", "eval/loss", "late"]


@pytest.mark.parametrize("page_size", [7, 1000])
@pytest.mark.parametrize("name", ["cadence1", "resumed", "drifting", "whole"])
def test_any_scans_the_rows_that_hold_one_of_the_keys(api, ragged_project, name, page_size):
    [record] = [each for each in ragged_project.runs if each.name == name]
    found = list(api.run(f"wbframe/ragged/{name}").scan_history(KEYS, page_size, match="any"))
    held = [row for row in record.history.to_dicts() if set(KEYS) & row.keys()]
    assert [row["_step"] for row in found] == [row["_step"] for row in held]
    assert [set(row) for row in found] == [
        {"_step", *KEYS} & ({"_step"} | row.keys()) for row in held
    ]


def test_any_of_a_run_gives_what_it_gives_of_all(api):
    run = api.run("wbframe/ragged/cadence1")
    runs = api.runs("wbframe/ragged", {"name": "cadence1"})
    rows = run.history(keys=KEYS, match="any", pandas=False, samples=1000)
    assert [{**row, "run_id": run.id} for row in rows] == runs.histories(1000, KEYS, match="any")
    frame = run.history(keys=KEYS, match="any", samples=1000)
    assert list(frame.columns) == ["_step", *KEYS]
    assert len(frame) == len(rows) > len(run.history(keys=KEYS, samples=1000))


@pytest.mark.parametrize("match", ["all", "any"])
def test_rows_in_files_alone_are_scanned_with_their_step(match):
    rows = [{"_step": i, "a": i, **({"b": -i} if i % 3 else {})} for i in range(40)]
    record = RunRecord(name="r", history=History(rows), exports=Exports.split(files=2, live=0.25))
    project = Project(entity="e", name="p", runs=(record,))
    with serve(project, features=Features(history_serves_exported=False)) as server:
        run = Runs(wbframe.Client(server.url, server.api_key), "e", "p")[0]
        found = list(run.scan_history(["b", "a"], match=match))
    wanted = [row for row in rows if match == "any" or "b" in row]
    assert found == wanted
    assert [list(row) for row in found] == [
        [key for key in ("_step", "b", "a") if key in row] for row in wanted
    ]
    assert {type(row["_step"]) for row in found} == {int}


@pytest.fixture
def gone():
    """Runs of which one is deleted when they have been listed."""
    records = tuple(RunRecord(name=f"r{i}", history=History([{"a": i}])) for i in range(5))
    with serve(Project(entity="e", name="p", runs=records)) as server:
        client = wbframe.Client(server.url, server.api_key)
        runs = Runs(client, "e", "p", order="+created_at")
        assert len(list(runs)) == 5
        views = server.engine.catalog.views
        views["e/p"] = views["e/p"].next(
            Project(entity="e", name="p", runs=tuple(each for each in records if each.name != "r2"))
        )
        yield runs


@pytest.mark.parametrize("kind", ["default", "pandas", "polars"])
def test_histories_leave_out_a_run_that_was_deleted_by_its_name(gone, kind):
    with pytest.raises(errors.RunNotFoundError, match="r2"):
        gone.histories(format=kind)
    with pytest.warns(errors.LeftOutWarning, match="e/p/r2"):
        found = gone.histories(format=kind, on_error="skip")
    ids = [row["run_id"] for row in found] if kind == "default" else list(found["run_id"])
    assert sorted(ids) == ["r0", "r1", "r3", "r4"]
    report = gone.client.last_report
    assert [each.what for each in report.left_out] == ["e/p/r2"]
    assert (report.runs, report.rows) == (4, 4)


@pytest.mark.parametrize("pandas", [True, False])
def test_a_run_that_cannot_be_read_has_no_rows(gone, pandas):
    run = gone[2]
    with pytest.warns(errors.LeftOutWarning, match="e/p/r2"):
        found = run.history(pandas=pandas, on_error="skip")
    assert len(found) == 0
    assert isinstance(found, pd.DataFrame if pandas else list)
    with pytest.warns(errors.LeftOutWarning, match="e/p/r2"):
        assert list(run.scan_history(on_error="skip")) == []


def test_a_scan_ends_where_the_rest_cannot_be_read(server, run):
    scan = run.scan_history(page_size=50, on_error="skip")
    came = [next(scan) for _ in range(50)]
    server.fail(status=500, times=4)
    with pytest.warns(errors.LeftOutWarning, match="wbframe/ragged/cadence1"):
        came += scan
    assert len(came) < 240


def test_histories_leave_out_the_pages_behind_one_that_cannot_be_listed(server, client):
    runs = Runs(client, "wbframe", "ragged", order="+created_at", per_page=5)
    _ = runs[0]
    server.fail(status=500, times=20, match="Runs(")
    with pytest.warns(errors.LeftOutWarning, match="no runs behind the first 5"):
        frame = runs.histories(format="polars", on_error="skip")
    assert isinstance(frame, pl.DataFrame)
    assert frame["run_id"].n_unique() == 5
    server.clear()
    assert len(list(runs)) == 13


def test_the_default_names_of_a_sweep_have_no_plus():
    sweep = Sweep(name="s 1", config="method: grid\n")
    runs = (RunRecord(name="a", sweep="s 1"),)
    with serve(Project(entity="e", name="my p", runs=runs, sweeps=(sweep,))) as server:
        found = Runs(wbframe.Client(server.url, server.api_key), "e", "my p")[0].sweep
        assert found.url == f"{server.url}/e/my%20p/sweeps/s%201"
