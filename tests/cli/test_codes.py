"""Exit codes: each kind of error has its own, on every command, and the help lists them."""

from __future__ import annotations

import click
import pytest

import wbframe
from tests.cli.conftest import RAGGED, one_line
from wbframe import errors
from wbframe.cli.codes import EXIT_CODES, code_of
from wbframe.server import History, Project, RunRecord, serve

READS = {
    "runs": ["-c", "config.lr"],
    "histories": ["-k", "a"],
    "buckets": ["-k", "a", "--bins", "2"],
    "keys": [],
    "explain runs": ["-c", "config.lr"],
    "explain histories": ["-k", "a"],
}


@pytest.fixture
def faulty(monkeypatch):
    """A server that a test lets go wrong, of one project of two runs."""
    rows = History([{"a": 1.0}, {"a": 2.0}])
    runs = tuple(RunRecord(name=f"r{i}", config={"lr": i}, history=rows) for i in range(2))
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        yield server


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["runs"], "PATH"),
        (["runs", RAGGED, "--filters", "{state}"], "is no JSON"),
        (["runs", RAGGED, "--filters", "[1]"], "no object"),
        (["runs", RAGGED, "--filters", '{"state": {"$lt3": 1}}'], "$lt3"),
        (["runs", "a/b/c/d/e/f"], "cannot read the path"),
        (["runs", RAGGED, "-c", "config.nope"], "config.nope"),
        (["runs", RAGGED, "--per-page", "0"], "--per-page"),
        (["runs", RAGGED, "--override", "x=Int63"], "Int63"),
        (["runs", RAGGED, "--override", "Int64"], "COLUMN=DTYPE"),
        (["runs", RAGGED, "-o", "runs.xlsx"], "says no format"),
        (["runs", RAGGED, "-o", "no/such/folder/runs.csv"], "no folder"),
        (["runs", RAGGED, "--base-url", "wandb.ai"], "--base-url"),
        (["histories", RAGGED, "--match", "some"], "some"),
        (["histories", RAGGED, "--samples", "most"], "'most' is neither"),
        (["histories", RAGGED, "--samples", "0"], "--samples"),
        (["serve", "--project", "demmo"], "Did you mean 'demo'"),
        (["runs", RAGGED, "-c", "name,,state"], "a name is empty"),
        (["runs", RAGGED, "-o", "runs.xml.gz"], "says no format"),
        (["runs", RAGGED, "--timeout", "0"], "timeout"),
        (["runs", RAGGED, "--timeout", "nan"], "--timeout"),
        (["runs", RAGGED, "--requests-per-minute", "inf"], "--requests-per-minute"),
        (["runs", RAGGED, "--retry-seconds", "nan"], "--retry-seconds"),
        (["runs", RAGGED, "--retry-seconds", "inf"], "--retry-seconds"),
        (["buckets", RAGGED, "--bins", "0"], "--bins"),
        (["keys", RAGGED, "-k", "train/los"], "Did you mean 'train/loss'"),
        (["explain", "runs", RAGGED, "--order", "speed"], "--order"),
        (["walk"], "walk"),
    ],
)
def test_a_wrong_call_is_exit_code_2(run, args, said):
    code, out, err = run(*args)
    assert (code, out) == (2, b"")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("read", READS)
def test_each_kind_of_failure_has_its_code_on_each_command(run, faulty, monkeypatch, read):
    call = [*read.split(), "e/p", *READS[read], "--retry-seconds", "0"]
    assert run(*call)[0] == 0
    for code, fault in {
        3: {"status": 403},
        5: {"status": 503},
        1: {"status": 200, "body": b'{"data": {"project": 7}}'},
    }.items():
        faulty.fail(**fault, times=1000)
        got, out, err = run(*call)
        faulty.clear()
        assert (got, out) == (code, b""), err
        one_line(err)
    faulty.fail(status=429, headers={"Retry-After": "0"}, times=1000)
    assert run(*call)[0] == 5
    faulty.clear()
    nowhere = ["e/nope" if each == "e/p" else each for each in call]
    assert run(*nowhere)[0] == 4
    monkeypatch.setenv("WANDB_API_KEY", "wrong" * 8)
    code, _, err = run(*call)
    assert code == 3
    assert "API key was refused" in one_line(err)
    assert "wrong" not in err
    monkeypatch.delenv("WANDB_API_KEY")
    code, _, err = run(*call)
    assert code == 3
    assert "no API key" in one_line(err)
    assert "api_key" not in err
    monkeypatch.setenv("WANDB_API_KEY", faulty.api_key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert run(*call)[0] == 5


def test_rows_that_are_missing_are_a_code_of_their_own(run, monkeypatch):
    def incomplete(*_, **__):
        raise errors.IncompleteHistoryError("run 'x' of e/p is incomplete")

    monkeypatch.setattr(wbframe.polars, "read_histories", incomplete)
    code, _, err = run("histories", RAGGED, "--samples", "all")
    assert (code, one_line(err)) == (6, "wbframe: error: run 'x' of e/p is incomplete\n")


@pytest.mark.parametrize("form", ["csv", "parquet", "ndjson.gz"])
def test_skipping_is_0_if_something_came_and_6_if_nothing_did(run, monkeypatch, tmp_path, form):
    # By its keys its rows hold numbers.
    keys = {"lastStep": 0, "keys": {"a": {"typeCounts": [{"type": "number", "count": 1}]}}}
    liar = RunRecord(name="liar", history=History([{"a": "text"}]), history_keys=keys)
    honest = RunRecord(name="honest", history=History([{"a": 1.5}]))
    file = tmp_path / f"rows.{form}"
    file.write_text("of last night")
    call = [
        "histories",
        "e/p",
        "-k",
        "a",
        "--on-error",
        "skip",
        "-o",
        file,
        "--override",
        "a=Float64",
    ]
    with serve(Project(entity="e", name="p", runs=(liar, honest))) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        code, out, err = run(*call, "--filters", '{"name": "liar"}')
        assert (code, out) == (6, b"")
        assert err.startswith("wbframe: left out: e/p/liar: ")
        assert err.endswith(
            "wbframe: error: nothing came: 1 left out, as said above; nothing was written\n"
        )
        assert file.read_text() == "of last night"
        code, _, err = run(*call)
        assert code == 0
        assert err.count("wbframe: left out: e/p/liar: ") == 1
        assert file.read_bytes() != b"of last night"
        # Nothing is there, and nothing is lost.
        assert run(*call, "--limit", "0")[0] == 0


def test_the_codes_are_those_of_the_tree_and_stand_in_the_help(run):
    kinds = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.WbframeError)
    ]
    for kind in kinds:
        error = kind("x", 500) if issubclass(kind, errors.StatusError) else kind("x")
        assert code_of(error) in EXIT_CODES
    for name in (
        (),
        ("runs",),
        ("histories",),
        ("buckets",),
        ("keys",),
        ("doctor",),
        ("explain", "runs"),
    ):
        text = run(*name, "--help")[1].decode()
        for code, meaning in EXIT_CODES.items():
            assert f"{code:>5}  {meaning}" in text


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, click.Abort])
def test_ctrl_c_is_quiet(run, monkeypatch, interruption):
    def interrupted(*_, **__):
        raise interruption

    monkeypatch.setattr(wbframe.polars, "read_runs", interrupted)
    code, out, err = run("runs", RAGGED)
    # click ends the line in which a terminal has shown ^C.
    assert (code, out, err.strip()) == (130, b"", "")
