"""The command, in this process where it can be and as a program where it must be."""

from __future__ import annotations

import inspect
import io
import json
import math
import os
import shlex
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import click
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wbframe
from wbframe import cli
from wbframe.cli import commands, demo
from wbframe.server import serve

ROOT = Path(__file__).resolve().parents[1]
RAGGED = "wbframe/ragged"


@pytest.fixture(scope="module")
def served(ragged_project):
    with serve([ragged_project, "demo"]) as started:
        yield started


@pytest.fixture(autouse=True)
def environment(served, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_BASE_URL", served.url)
    monkeypatch.setenv("WANDB_API_KEY", served.api_key)
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("COLUMNS", "120")
    served.clear()


@pytest.fixture
def run(capfdbinary):
    """Run the command; give its exit code, stdout as bytes and stderr as text."""

    def go(*args):
        code = cli.main([str(each) for each in args])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return go


@contextmanager
def program(*args, **options):
    """Run the command as a process that does not outlive the test."""
    command = [sys.executable, "-m", "wbframe", *args]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, **pipes, **options) as started:
        try:
            yield started
            started.wait(timeout=60)
        finally:
            started.kill()


# ---------------------------------------------------------------- the readers' arguments


READS = [
    (["runs", "wbframe/demo"], "read_runs", {}),
    (["runs", RAGGED, "-c", "name", "-c", "config.l*"], "read_runs", {"columns": ["name", "config.l*"]}),
    (["runs", RAGGED, "--filters", '{"state": "finished"}', "--limit", "3", "-c", "state"], "read_runs", {"filters": {"state": "finished"}, "limit": 3, "columns": ["state"]}),
    (["runs", "wbframe/demo", "--order", "-created_at", "--per-page", "5"], "read_runs", {"order": "-created_at", "per_page": 5}),
    (["runs", "wbframe/demo", "--override", "summary.train/loss=Float64"], "read_runs", {"schema_overrides": {"summary.train/loss": pl.Float64}}),
    (["histories", RAGGED, "-k", "train/loss", "-k", "eval/loss"], "read_histories", {"keys": ["train/loss", "eval/loss"]}),
    (["histories", RAGGED, "-k", "train/loss", "-k", "eval/loss", "--match", "all"], "read_histories", {"keys": ["train/loss", "eval/loss"], "match": "all"}),
    (["histories", RAGGED, "-k", "train/loss", "--samples", "7"], "read_histories", {"keys": ["train/loss"], "samples": 7}),
    (["histories", "wbframe/demo", "-k", "lr", "--samples", "all"], "read_histories", {"keys": ["lr"], "samples": None}),
    (["histories", "wbframe/demo", "-k", "lr", "--samples", "all", "--on-incomplete", "warn"], "read_histories", {"keys": ["lr"], "samples": None, "on_incomplete": "warn"}),
    (["histories", RAGGED, "-k", "train/loss", "--min-step", "3", "--max-step", "9"], "read_histories", {"keys": ["train/loss"], "min_step": 3, "max_step": 9}),
    (["histories", RAGGED, "-k", "train/loss", "--x-axis", "eval/loss"], "read_histories", {"keys": ["train/loss"], "x_axis": "eval/loss"}),
    (["histories", "wbframe/demo", "--stream", "system", "-k", "cpu"], "read_histories", {"stream": "system", "keys": ["cpu"]}),
    (["histories", RAGGED, "-k", "train/loss", "--run-columns", "state", "--run-columns", "created_at"], "read_histories", {"keys": ["train/loss"], "run_columns": ["state", "created_at"]}),
    (["histories", RAGGED, "-k", "big", "--override", "big=Int64"], "read_histories", {"keys": ["big"], "schema_overrides": {"big": pl.Int64}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "reader", "options"),
    READS,
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_an_option_is_an_argument(run, args, reader, options):
    code, out, _ = run(*args, "--format", "parquet")
    assert code == 0
    assert_frame_equal(pl.read_parquet(out), getattr(wbframe.polars, reader)(args[1], **options))


@pytest.mark.parametrize(
    ("name", "reader"), [("runs", "read_runs"), ("histories", "read_histories")]
)
def test_every_argument_has_its_option_and_the_key_has_none(name, reader):
    options = {each.name for each in commands.command.commands[name].params}
    arguments = set(inspect.signature(getattr(wbframe.polars, reader)).parameters)
    renamed = {"path": "paths", "schema_overrides": "overrides", "client": "base_url"}
    assert options - {"form", "output"} == {renamed.get(each, each) for each in arguments}


def test_several_paths_are_read_one_after_the_other(run):
    _, out, _ = run("runs", "wbframe/demo", RAGGED, "-c", "project", "--format", "csv")
    projects = out.decode().split()[1:]
    assert projects == ["demo"] * 24 + ["ragged"] * (len(projects) - 24)
    assert len(projects) > 24


def test_base_url_wins_over_the_environment(run, served, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    assert run("runs", RAGGED, "-c", "run_id", "--base-url", served.url)[0] == 0


# ---------------------------------------------------------------- formats


@pytest.fixture
def frame(monkeypatch):
    """A frame of every dtype that a reader gives, which every read gives now."""
    made = pl.DataFrame(
        {
            "run_id": ["a", "b", "c", "d"],
            "text": ["", None, 'x,"y"', "two\nlines"],
            "x": [0.1, math.nan, math.inf, -math.inf],
            "n": [2**60 + 1, None, -(2**60) - 1, 0],
            "flag": [True, None, False, True],
            "at": [datetime(2026, 3, 2, 9, 0, 0, 5, tzinfo=timezone.utc), None, None, None],
            "tags": [["a", "b,c"], [], None, ['"']],
            "bins": [[0.5, math.nan], None, [math.inf], []],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    monkeypatch.setattr(wbframe.polars, "read_runs", lambda *_, **__: made)
    return made


ROWS = [
    {"run_id": "a", "text": "", "x": 0.1, "n": 2**60 + 1, "flag": True, "at": "2026-03-02T09:00:00.000005Z", "tags": ["a", "b,c"], "bins": [0.5, "NaN"]},
    {"run_id": "b", "text": None, "x": "NaN", "n": None, "flag": None, "at": None, "tags": [], "bins": None},
    {"run_id": "c", "text": 'x,"y"', "x": "Infinity", "n": -(2**60) - 1, "flag": False, "at": None, "tags": None, "bins": ["Infinity"]},
    {"run_id": "d", "text": "two\nlines", "x": "-Infinity", "n": 0, "flag": True, "at": None, "tags": ['"'], "bins": []},
]  # fmt: skip


def test_json_is_an_array_that_loses_nothing(run, frame):
    code, out, err = run("runs", RAGGED, "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out) == ROWS


def test_ndjson_is_an_object_a_line(run, frame):
    out = run("runs", RAGGED, "--format", "ndjson")[1]
    assert out.endswith(b"}\n")
    assert [json.loads(line) for line in out.splitlines()] == ROWS


def test_csv_tells_null_from_empty_and_spells_lists_as_json(run, frame):
    out = run("runs", RAGGED, "--format", "csv")[1]
    wanted = (
        "run_id,text,x,n,flag,at,tags,bins\n"
        'a,"",0.1,1152921504606846977,true,2026-03-02T09:00:00.000005Z,"[""a"",""b,c""]","[0.5,""NaN""]"\n'
        "b,,NaN,,,,[],\n"
        'c,"x,""y""",inf,-1152921504606846977,false,,,"[""Infinity""]"\n'
        'd,"two\nlines",-inf,0,true,,"[""\\""""]",[]\n'
    )
    assert out.decode() == wanted


def test_parquet_is_the_frame(run, frame):
    out = run("runs", RAGGED, "--format", "parquet")[1]
    assert_frame_equal(pl.read_parquet(out), frame)


def test_no_rows_are_an_empty_file_of_its_format(run):
    nothing = ["runs", RAGGED, "--limit", "0", "-c", "run_id", "-c", "tags"]
    assert run(*nothing, "--format", "json")[1] == b"[]\n"
    assert run(*nothing, "--format", "ndjson")[1] == b""
    assert run(*nothing, "--format", "csv")[1] == b"run_id,tags\n"
    empty = pl.read_parquet(run(*nothing, "--format", "parquet")[1])
    assert empty.schema == {"run_id": pl.String, "tags": pl.List(pl.String)}


@pytest.mark.parametrize(
    ("ending", "read"),
    [
        (".csv", lambda data: data.decode().split()[1:]),
        (".json", lambda data: [row["run_id"] for row in json.loads(data)]),
        (".jsonl", lambda data: [json.loads(line)["run_id"] for line in data.splitlines()]),
        (".PARQUET", lambda data: pl.read_parquet(data)["run_id"].to_list()),
    ],
)
def test_the_ending_of_the_file_is_its_format(run, tmp_path, ending, read):
    file = tmp_path / f"runs{ending}"
    assert run("runs", RAGGED, "-c", "run_id", "-o", file) == (0, b"", "")
    wanted = wbframe.polars.read_runs(RAGGED, columns=["run_id"])["run_id"].to_list()
    assert read(file.read_bytes()) == wanted


def test_parquet_holds_the_report(run):
    out = run("histories", RAGGED, "-k", "train/loss", "--samples", "7", "--format", "parquet")[1]
    report = json.loads(pl.read_parquet_metadata(io.BytesIO(out))["wbframe"])
    assert report["samples"] == 7
    assert report["sampled_runs"] > 0


def test_the_table_is_as_wide_as_the_terminal_and_says_its_shape(run, monkeypatch):
    wide = run("runs", "wbframe/demo")[1].decode()
    monkeypatch.setenv("COLUMNS", "60")
    narrow = run("runs", "wbframe/demo")[1].decode()
    assert wide.startswith("shape: (24, ")
    assert narrow.startswith("shape: (24, ")
    widest = [max(map(len, text.splitlines())) for text in (wide, narrow)]
    assert 100 < widest[0] <= 120
    assert widest[1] <= 60


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["runs"], "PATH"),
        (["runs", RAGGED, "--filters", "{state}"], "is no JSON"),
        (["runs", RAGGED, "--filters", "[1]"], "no object"),
        (["runs", RAGGED, "--filters", '{"state": {"$lt3": 1}}'], "$lt3"),
        (["runs", "a/b/c/d/e/f"], "cannot read the path"),
        (["runs", RAGGED, "-c", "config.nope"], "config.nope"),
        (["runs", RAGGED, "--per-page", "0"], "per_page"),
        (["runs", RAGGED, "--override", "x=Int63"], "Int63"),
        (["runs", RAGGED, "--override", "Int64"], "COLUMN=DTYPE"),
        (["runs", RAGGED, "-o", "runs.xlsx"], "says no format"),
        (["runs", RAGGED, "-o", "no/such/folder/runs.csv"], "no folder"),
        (["runs", RAGGED, "--base-url", "wandb.ai"], "base_url"),
        (["histories", RAGGED, "--match", "some"], "some"),
        (["histories", RAGGED, "--samples", "most"], "'most' is neither"),
        (["histories", RAGGED, "--samples", "0"], "samples"),
        (["serve", "--project", "demmo"], "Did you mean 'demo'"),
        (["walk"], "walk"),
    ],
)
def test_a_wrong_call_is_exit_code_2(run, args, said):
    code, out, err = run(*args)
    assert (code, out) == (2, b"")
    assert said in err
    assert "Traceback" not in err


def one_line(err):
    assert err.startswith("wbframe: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def test_what_goes_wrong_is_one_line_and_exit_code_1(run, served, monkeypatch):
    code, out, err = run("runs", "wbframe/no-such-project")
    assert (code, out) == (1, b"")
    assert "no-such-project" in one_line(err)
    monkeypatch.setenv("WANDB_API_KEY", "wrong" * 8)
    code, _, err = run("runs", RAGGED)
    assert code == 1
    assert "API key was refused" in one_line(err)
    assert "wrong" not in err
    monkeypatch.delenv("WANDB_API_KEY")
    code, _, err = run("runs", RAGGED)
    assert code == 1
    assert "no API key" in one_line(err)
    assert "api_key" not in err


def test_a_file_that_cannot_be_written_is_one_line(run, tmp_path, frame, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(commands.FORMS, "csv", full)
    code, _, err = run("runs", RAGGED, "-o", tmp_path / "runs.csv")
    assert code == 1
    assert "No space left" in one_line(err)


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_may_not_be_written_is_told_before_anything_is_read(
    run, served, tmp_path, monkeypatch, there
):
    output = tmp_path / "runs.csv"
    if there:
        output.write_text("of value")
    closed = output if there else tmp_path
    access = os.access  # who runs the tests may write everywhere

    def allowed(path, mode, **how):
        refused = mode == os.W_OK and os.fspath(path) == os.fspath(closed)
        return not refused and access(path, mode, **how)

    monkeypatch.setattr("os.access", allowed)
    served.clear()
    status, _, err = run("runs", "wbframe/ragged", "--output", str(output))
    assert status == 2
    assert "runs.csv" in err
    # click says so of a file that is there.
    assert "is not writable" in err if there else "may not be written" in one_line(err)
    assert not served.requests
    assert output.exists() == there


def test_parquet_is_refused_by_a_terminal(run, served, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, out, err = run("runs", RAGGED, "--format", "parquet")
    assert (code, out) == (2, b"")
    assert "--output FILE" in one_line(err)
    assert not served.requests


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, click.Abort])
def test_ctrl_c_is_quiet(run, monkeypatch, interruption):
    def interrupted(*_, **__):
        raise interruption

    monkeypatch.setattr(wbframe.polars, "read_runs", interrupted)
    code, out, err = run("runs", RAGGED)
    # click ends the line in which a terminal has shown ^C.
    assert (code, out, err.strip()) == (130, b"", "")


def test_a_closed_pipe_is_quiet():
    with program("histories", "wbframe/demo", "--format", "ndjson") as started:
        assert started.stdout.readline().startswith(b'{"run_id":')
        started.stdout.close()
        said = started.stderr.read()
    assert (started.returncode, said) == (1, b"")


# ---------------------------------------------------------------- on stderr


def test_a_sample_says_so(run):
    code, _, err = run("histories", RAGGED, "-k", "train/loss", "--samples", "7")
    assert code == 0
    assert err.startswith("wbframe: sampled: ")
    assert "more than --samples 7; --samples all reads every row" in err
    assert run("histories", RAGGED, "-k", "train/loss")[2] == ""


def test_a_warning_is_one_line_and_goes_with_the_override(run):
    code, _, err = run("histories", RAGGED, "-k", "big")
    assert code == 0
    assert err.startswith("wbframe: warning: Float64 cannot hold every digit of 'big'")
    assert err.endswith("--override big=Int64\n")
    assert err.count("\n") == 1
    code, out, err = run(
        "histories", RAGGED, "-k", "big", "--override", "big=Int64", "--format", "csv"
    )
    assert (code, err) == (0, "")
    exact = wbframe.polars.read_histories(RAGGED, keys=["big"], schema_overrides={"big": pl.Int64})
    assert out.decode() == exact.write_csv()


def test_messages_name_options_in_place_of_arguments(run, monkeypatch):
    def incomplete(*_, **__):
        raise wbframe.errors.IncompleteError("rows are missing; set on_incomplete='warn'")

    monkeypatch.setattr(wbframe.polars, "read_histories", incomplete)
    code, _, err = run("histories", RAGGED, "--samples", "all")
    assert (code, one_line(err)) == (
        1,
        "wbframe: error: rows are missing; set --on-incomplete warn\n",
    )


def test_progress_is_for_terminals(run, monkeypatch):
    pytest.importorskip("tqdm")
    assert run("runs", RAGGED, "-c", "name", "--progress")[2] == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "runs: 100%" in run("runs", RAGGED, "-c", "name", "--progress")[2]


# ---------------------------------------------------------------- help


@pytest.mark.parametrize("name", ["runs", "histories", "serve"])
def test_help_has_examples_that_parse(run, name, monkeypatch):
    code, out, _ = run(name, "--help")
    assert code == 0
    examples = [
        line.split("wbframe ", 1)[1]
        for line in out.decode().splitlines()
        if line.startswith("  wbframe ")
    ]
    assert len(examples) >= 2
    for example in examples:
        first, *rest = shlex.split(example)
        assert first == name
        context = commands.command.commands[name].make_context(name, rest)
        assert context.params


def test_version_and_help_of_the_program():
    with program("--version") as started:
        out, err = started.communicate()
    assert (started.returncode, out.split(), err) == (
        0,
        [b"wbframe,", b"version", wbframe.__version__.encode()],
        b"",
    )


# ---------------------------------------------------------------- serve


def test_serve_prints_what_other_shells_need_and_ends_quietly():
    # A shell that runs this in its background may have SIGINT ignored, which processes inherit.
    heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.default_int_handler)}
    with program("serve", "--project", "empty", "--project", "demo", **heard) as started:
        lines = [started.stdout.readline().decode().rstrip("\n") for _ in range(4)]
        exports = dict(line.removeprefix("export ").split("=", 1) for line in lines[2:])
        with program(
            "runs", "wbframe/demo", "--format", "csv", "-c", "run_id", env={**os.environ, **exports}
        ) as other:
            out, err = other.communicate()
        started.send_signal(signal.SIGINT)
        rest, said = started.communicate(timeout=30)
    assert "wbframe/demo, wbframe/empty" in lines[0]
    assert exports["WANDB_BASE_URL"] in lines[1]
    assert (other.returncode, err, out.count(b"\n")) == (0, b"", 25)
    assert (started.returncode, rest, said) == (0, b"", b"")


def test_serve_hands_its_options_on_and_warns_of_the_network(run, monkeypatch):
    given = {}
    monkeypatch.setattr(
        wbframe.server,
        "serve_forever",
        lambda projects, **options: given.update(options, projects=projects),
    )
    assert run("serve") == (0, b"", "")
    assert given == {
        "projects": None,
        "port": 0,
        "host": "127.0.0.1",
        "latency": 0.0,
        "ready": commands._announce,
    }
    code, _, err = run(
        "serve", "--host", "0.0.0.0", "--port", "8080", "--latency", "0.1", "--project", "demo"
    )
    assert code == 0
    assert err.startswith("wbframe: warning: whoever reaches 0.0.0.0")
    assert given["projects"] == ["demo"]
    assert (given["port"], given["latency"], given["host"]) == (8080, 0.1, "0.0.0.0")


# ---------------------------------------------------------------- demo


def test_the_demo_shows_what_the_readers_give(run, served):
    code, out, err = run("demo")
    assert (code, err) == (0, "")
    text = out.decode()
    rows = wbframe.polars.read_histories(
        "wbframe/demo", keys=["train/loss", "eval/loss"], samples=500
    )
    assert f"shape: ({rows.height:_}, 5)" in text
    assert f"{rows.height:,} of 9,725 rows of 24 runs" in text
    assert 'pl.read_wandb_runs("<entity>/<project>")' in text
    for name in ("mlp-long", "softmax-long"):
        assert f" {name}" in text.split("train/loss by _step")[1]


def test_the_demo_without_aiohttp_says_what_to_install(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "wbframe.server.http", raising=False)
    code, out, err = run("demo")
    assert (code, out) == (2, b"")
    assert "pip install 'wbframe[server]'" in one_line(err)


def test_curves_put_each_value_where_it_belongs():
    rows = pl.DataFrame(
        {
            "name": ["up", "down"] * 3,
            "_step": [0, 0, 1, 1, 2, 2],
            "y": [1.0, 100.0, 10.0, 10.0, 100.0, 1.0],
        }
    )
    drawn = demo.curves(rows, "y", ["up", "down"], width=3, height=3).splitlines()
    assert drawn[:3] == [
        "     100 |b a",
        "      10 | b" if drawn[1].endswith("b") else "      10 | a",
        "       1 |a b",
    ]
    assert drawn[-1].split() == ["a", "up", "b", "down"]


def test_curves_leave_out_what_a_logarithm_has_not():
    rows = pl.DataFrame(
        {"name": ["x"] * 5, "_step": range(5), "y": [math.nan, math.inf, 0.0, -1.0, None]}
    )
    assert demo.curves(rows, "y", ["x"]) == "  nothing to draw"
    flat = rows.with_columns(y=pl.lit(2.0))
    drawn = demo.curves(flat, "y", ["x"], width=5, height=3).splitlines()
    assert drawn[0] == "       2 |aaaaa"
