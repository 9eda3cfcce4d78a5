"""What `wbframe.doctor` says of servers, that it asks little, and that it tells nothing private."""

from __future__ import annotations

import json
import re

import pytest

import wbframe
from wbframe import cli
from wbframe.core.doctor.report import DoctorReport, Failed, Finding
from wbframe.core.doctor.words import hidden, plain
from wbframe.errors import (
    ConnectionFailedError,
    PathError,
    ProjectNotFoundError,
    QueryError,
    RefusedKeyError,
)
from wbframe.server import Features, History, Project, RunRecord, serve, synthetic

DEMO = "wbframe/demo"
SCREEN = """\
project #0638db2c on server #, wbframe *, polars *, Python *
schema              ok       told; has all 7 optional fields
pages of runs       ok       asked for 1000, came 24, counted 24, no more
index               ok       56 paths on 1 page; names all 15 config leaves of the runs looked at
index depth         ok       2 of 2 names of a config key
index of summaries  ok       names 15 of 15 keys of the runs looked at
index types         ok       number, string, bool, list, histogram; lists are one path
config(keys:)       ok       one key comes alone, in 20 of 20 runs
filter names        ok       runs that pass by name: 20
filter missing keys ok       runs that pass by $ne: 20, null: 20
filter numbers      ok       runs that pass by equal: 9, $gte: 15, $gt: 6
filter mixed types  ok       runs that pass by $gte text: 0
filter nested keys  ok       runs that pass by equal: 20
runs a request      ok       5 runs by name in one request
historyKeys         ok       object; 131 of 131 keys have counts; number, bool, histogram, string
united keys         ok       object of 28 keys, 5 runs name 28
whole rows          ok       700 as texts, in step order
counts of keys      ok       15 of 15 counts are those of 700 rows
ends of runs        ok       lastStep is right, historyLineCount is right
specs a request     ok       came 696, 70 of 696, 70 rows
dotted keys         ok       came 70 of 70 rows
media with scalars  ok       came 7 of 7 rows
windows: rows       ok       minStep is inclusive, maxStep is exclusive, one step comes
windows: samples    ok       minStep is inclusive, maxStep is inclusive, one step comes
buckets             ok       10 buckets of 10 that were asked for
samples: many       ok       asked for 20000, came 1400 of 1400
samples: few        ok       asked for 501 of 1400 rows, came 501
rows a window       ok       asked for 2000, came 1409 of 1409
exports             ok       5 files of 5 runs; liveData has 0 rows
exported files      ok       a range of bytes comes, and is Parquet
read: runs          ok       20 rows of 20 runs, 50 columns in * s, * requests
read: sampled       ok       5388 rows of 20 runs, 4 columns in * s, * requests
read: whole run     ok       700 rows of 1 runs, 16 columns in * s, * requests
rate limits         ok       no header tells one; of * answers 0 were 429, 0 5xx
will use: config(keys:), parquetHistory.liveData, project.fields, run.bucketedHistory,
run.parquetHistory, runs.historyKeys
* requests, * s; nothing was changed"""


def look(project, path=DEMO, **options):
    with serve(project, **options) as server, wbframe.Client(server.url, server.api_key) as client:
        return wbframe.doctor(path, client=client)


@pytest.fixture(scope="module")
def report(demo_project):
    return look(demo_project)


def masked(text):
    """Leave out what depends on the machine: the port, versions, times, and how many requests reads take."""
    text = re.sub(r"server #\w+", "server #", text)
    text = re.sub(r"(wbframe|polars|Python) [\d.a-z]+", r"\1 *", text)
    return re.sub(r"[\d.]+ (s\b|requests|answers)", r"* \1", text)


# ---------------------------------------------------------------- the report


def test_the_demo_in_one_screen(report):
    assert masked(str(report)) == SCREEN
    assert max(map(len, str(report).splitlines())) <= 100
    assert report.requests <= 40


def test_it_is_a_value(report, demo_project):
    again = look(demo_project)
    assert again.project == report.project
    assert again.server != report.server
    with pytest.raises(AttributeError):
        report.requests = 0
    assert report.state_of("index") == "ok"
    assert report.state_of("no such topic") is None


def test_the_json_holds_what_the_screen_does(report):
    read = json.loads(report.to_json())
    assert [Finding(**each) for each in read["findings"]] == list(report.findings)
    assert read["versions"]["wbframe"] == wbframe.__version__
    assert (read["project"], read["requests"], read["failures"]) == (
        report.project,
        report.requests,
        [],
    )


@pytest.mark.parametrize("name", ["ragged", "odd", "empty"])
def test_other_projects_take_no_more_requests(name, all_projects):
    all_projects.clear()
    with wbframe.Client(all_projects.url, all_projects.api_key) as client:
        report = wbframe.doctor(f"wbframe/{name}", client=client)
    assert len(all_projects.requests) <= report.requests <= 40
    assert report.failures == ()
    assert len(str(report).splitlines()) <= 40


def test_many_runs_take_no_more_requests():
    report = look(synthetic(1200, 30), "wbframe/synthetic")
    assert report.requests <= 40
    [pages] = [each.detail for each in report.findings if each.topic == "pages of runs"]
    assert pages == "asked for 1000, came 1000, counted 1200, more follow"


# ---------------------------------------------------------------- nothing private

SECRETS = ["acme", "plans", "falcon", "lr_of_us", "secret/loss", "wizardry", "hunter2", "jane@acme.example"]  # fmt: skip


@pytest.fixture(scope="module")
def private():
    rows = [{"_step": step, "secret/loss": 1.5, "falcon.x": step} for step in range(30)]
    config = {"lr_of_us": 0.125, "wizardry": {"falcon": "hunter2"}, "mail": "jane@acme.example"}
    run = RunRecord(name="falcon1", config=config, history=History(rows))
    return Project(entity="acme", name="plans", runs=(run,))


@pytest.mark.parametrize(
    "differing",
    [{}, {"refuse_history": "internal"}, {"bad_run": "falcon1"}, {"bad_key": "secret/loss"}, {"hidden_projects": True}],
)  # fmt: skip
def test_nothing_private_is_told(private, differing):
    with serve(private, differing=differing) as server:
        with wbframe.Client(server.url, server.api_key) as client:
            report = wbframe.doctor("acme/plans", client=client)
        told = report.to_json() + str(report)
        for each in [
            *SECRETS,
            server.url,
            server.api_key,
            "127.0.0.1",
            server.url.rpartition(":")[2],
        ]:
            assert each not in told


def test_words_of_servers_stay_and_others_become_hashes():
    said = "Cannot query field 'runs' on type 'Project' of acme"
    assert (
        plain(said)
        == f"Cannot query field '{hidden('runs')}' on type 'Project' of {hidden('acme')}"
    )
    assert (
        plain(said, "{ runs }")
        == f"Cannot query field 'runs' on type 'Project' of {hidden('acme')}"
    )


def test_a_failure_leaves_out_what_names_the_project():
    from wbframe.core.doctor.questions import SCHEMA

    error = QueryError("could not read acme from http://acme: the server answered: no acme here")
    assert "acme" not in str(Failed.of(SCHEMA, error))
    assert Failed.of(SCHEMA, error).question == "Schema"


# ---------------------------------------------------------------- what differs is found

CHANGES = [
    ({"index_depth": 1}, "index depth", "differs", "1 of 2 names"),
    ({"index_types": "python"}, "index types", "differs", "float"),
    ({"index_lists": True}, "index types", "differs", "opened item by item"),
    ({"refuse_fields": "unknown"}, "index", "absent", "Cannot query field 'fields'"),
    ({"most_first_fields": 500}, "index", "ok", "56 paths"),
    ({"blob_keys": "all"}, "config(keys:)", "differs", "other keys come too"),
    ({"key_form": "bitmap"}, "historyKeys", "differs", "text that is no JSON"),
    ({"key_form": "list"}, "historyKeys", "differs", "list in keys"),
    ({"key_counts": "absent"}, "historyKeys", "differs", "0 of 131 keys have counts"),
    ({"key_counts": "high"}, "counts of keys", "differs", "too high, 0 too low"),
    ({"last_step": "one_low"}, "ends of runs", "differs", "lastStep is 1 too low"),
    ({"line_count": "text"}, "ends of runs", "differs", "historyLineCount is str"),
    ({"united_most": 5}, "united keys", "differs", "23 missing"),
    ({"history_max_step_inclusive": True}, "windows: rows", "differs", "maxStep is inclusive"),
    ({"sampled_max_step_exclusive": True}, "windows: samples", "differs", "maxStep is exclusive"),
    ({"min_step_exclusive": True}, "windows: rows", "differs", "minStep is exclusive"),
    ({"one_step_windows_empty": True}, "windows: rows", "differs", "one step is not given alone"),
    ({"bounds_ignored": "both"}, "windows: rows", "differs", "bounds are ignored"),
    ({"sampled_most": 300}, "samples: many", "differs", "came 300 of 1400"),
    ({"history_most": 1000}, "rows a window", "differs", "came 1000 of 1409"),
    ({"specs_first_only": True}, "specs a request", "differs", "came 696, 0 of"),
    ({"objects_apart": True}, "media with scalars", "differs", "came 0 of 7"),
    ({"nested_rows": True}, "whole rows", "differs", "nested keys as objects"),
    ({"filter_bounds": "exclusive"}, "filter numbers", "differs", "$gte: 6 for 15"),
    ({"filter_paths": "no_nested"}, "filter nested keys", "differs", "equal: 0 for 20"),
    ({"filter_result": "none"}, "filter names", "differs", "name: 0 for 20"),
    ({"refuse_filters": "words_400"}, "filters", "absent", "no answer"),
    ({"refuse_aliases": "words_400"}, "runs a request", "absent", "no answer"),
    ({"export_null": True}, "exports", "differs", "parquetUrls is null"),
    ({"live_form": "null"}, "exports", "differs", "liveData is no list"),
    ({"no_introspection": True}, "schema", "absent", "no answer"),
    ({"most_first": 200}, "pages of runs", "ok", "asked for 20"),
    ({"count": "one_high"}, "pages of runs", "differs", "came 24, counted 25"),
    ({"run_gone": 3}, "read: sampled", "differs", "failed: RunNotFoundError"),
    ({"retry_after": "now"}, "rate limits", "differs", "1 were 429"),
]


@pytest.mark.parametrize(
    ("differing", "topic", "state", "detail"), CHANGES, ids=lambda each: str(each) if isinstance(each, dict) else ""
)  # fmt: skip
def test_a_difference_is_found(demo_project, differing, topic, state, detail):
    report = look(demo_project, differing=differing)
    found = [each for each in report.findings if each.topic == topic][-1]
    assert (found.state, detail in found.detail) == (state, True), found
    assert report.requests <= 40
    assert len(str(report).splitlines()) <= 44


def test_an_old_server_is_read_without_what_it_lacks(demo_project):
    lacks = Features(fields=False, projection=False, united_keys=False, parquet_history=False, bucketed_history=False)  # fmt: skip
    report = look(demo_project, features=lacks)
    assert report.uses == ()
    assert len(report.replaced) == 6
    assert "does without project.fields: columns are those of runs" in str(report)
    assert report.state_of("read: whole run") == "ok"


def test_missing_keys_as_in_sql(demo_project):
    report = look(demo_project, null_reading="sql")
    assert report.state_of("filter missing keys") == "differs"


def test_a_server_that_refuses_all_is_told_of(demo_project):
    with serve(demo_project) as server, wbframe.Client(server.url, server.api_key) as client:
        server.fail(status=400, body=b'{"errors": [{"message": "not today"}]}', times=99)
        report = wbframe.doctor(DEMO, client=client)
    assert report.state_of("project") == "absent"
    assert {each.kind for each in report.failures} == {"QueryError"}


# ---------------------------------------------------------------- what ends it


def test_what_cannot_be_asked_is_an_error(web, client):
    with pytest.raises(ProjectNotFoundError):
        wbframe.doctor("wbframe/nothing", client=client)
    with pytest.raises(PathError):
        wbframe.doctor("a/b/c/d/e/f", client=client)
    with wbframe.Client(web.url, "0" * 40) as wrong, pytest.raises(RefusedKeyError):
        wbframe.doctor(DEMO, client=wrong)
    patient = wbframe.RetryPolicy(tries=1)
    nobody = wbframe.Client("http://127.0.0.1:9", "0" * 40, retry=patient)
    with nobody, pytest.raises(ConnectionFailedError):
        wbframe.doctor(DEMO, client=nobody)


def test_the_client_of_the_caller_is_as_it_was(client):
    before = client.traffic
    wbframe.doctor(f"{DEMO}/sweeps/x", client=client)
    assert client.traffic == before
    assert client.refused == frozenset()
    assert client.last_report is None


# ---------------------------------------------------------------- in a shell


@pytest.fixture
def run(web, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("WANDB_BASE_URL", web.url)
    monkeypatch.setenv("WANDB_API_KEY", web.api_key)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    def go(*args):
        code = cli.main([str(each) for each in args])
        return code, *capfd.readouterr()

    return go


def test_the_command_says_it_and_writes_it(run, tmp_path):
    file = tmp_path / "report.json"
    file.write_text("old")
    code, out, err = run("doctor", DEMO, "--json", file)
    assert (code, err) == (0, "")
    assert masked(out.rstrip("\n")) == SCREEN
    assert json.loads(file.read_text())["format"] == 1
    assert [each.name for each in tmp_path.iterdir() if "report" in each.name] == ["report.json"]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["wbframe/nothing"], 4, "Could not find project wbframe/nothing"),
        (["forbidden/x"], 3, "may not read it"),
        (["a/b/c/d/e/f"], 2, "cannot read the path"),
        ([DEMO, "--json", "no/such/report.json"], 2, "--json: there is no folder"),
    ],
)
def test_what_goes_wrong_is_one_line(run, args, code, said):
    got, out, err = run("doctor", *args)
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert said in err


def test_a_refused_key_is_one_line(run, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    code, out, err = run("doctor", DEMO)
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "the API key was refused" in err


def test_names_are_exported():
    assert wbframe.DoctorReport is DoctorReport
