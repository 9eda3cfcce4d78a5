"""The commands beside the readers: keys, buckets, explain, the server, the demo; help, and completion."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import sys
import warnings

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import wbframe
from tests.cli.conftest import RAGGED, one_line, program
from wbframe.cli import commands, demo
from wbframe.server import History, Project, RunRecord, serve

DEMO = "wbframe/demo"

# ---------------------------------------------------------------- keys


def test_keys_are_those_of_a_read_with_types_runs_and_rows(run):
    _, out, _ = run("keys", RAGGED, "-f", "parquet")
    keys = pl.read_parquet(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wbframe.errors.PrecisionWarning)
        read = wbframe.polars.read_histories(RAGGED, samples=None)
    assert keys["key"].to_list() == [name.removeprefix("history.") for name in read.columns[2:]]
    assert keys["dtype"].to_list() == [str(dtype) for dtype in read.dtypes[2:]]
    # What was logged, also where it is null: no less than the values.
    for name, runs, rows in zip(read.columns[2:], keys["runs"], keys["rows"], strict=True):
        held = read.filter(pl.col(name).is_not_null())
        assert runs >= held["run_id"].n_unique()
        assert rows >= held.height
    mixed = keys.row(by_predicate=pl.col("key") == "text or number", named=True)
    assert mixed == {
        "key": "text or number", "types": ["number", "string"], "dtype": "String", "runs": 1, "rows": 16,
    }  # fmt: skip


def test_keys_take_globs_filters_and_the_stream(run):
    _, out, _ = run(
        "keys", DEMO, "-k", "eval/*", "--filters", '{"displayName": "mlp-long"}', "-f", "ndjson"
    )
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["key"] for row in rows] == ["eval/accuracy", "eval/best", "eval/loss"]
    assert {row["runs"] for row in rows} == {1}
    _, out, _ = run("keys", DEMO, "--stream", "system", "-k", "cpu", "-f", "csv")
    assert out.decode().splitlines()[1].startswith("system.cpu,")


def test_keys_leave_out_by_name_what_is_gone(run):
    code, _, err = run("keys", DEMO, "wbframe/gone", f"{DEMO}/nope", "-f", "csv")
    assert (code, "wbframe/gone" in err) == (4, True)
    asked = ("keys", DEMO, "wbframe/gone", f"{DEMO}/nope", "-f", "csv", "--on-error", "skip")
    code, out, err = run(*asked)
    assert (code, out) == (0, run("keys", DEMO, "-f", "csv")[1])
    assert [line.split(": ")[2] for line in err.splitlines()] == ["wbframe/gone", f"{DEMO}/nope"]
    code, out, err = run("keys", f"{DEMO}/nope", "-f", "csv", "--on-error", "skip")
    assert (code, out) == (6, b"")


def test_keys_of_no_run_say_what_is_odd_about_the_filters(run):
    code, _, err = run("keys", DEMO, "--filters", '{"config.no such": 1}')
    assert code == 0
    assert "warning: no run of wbframe/demo passes --filters: no column 'config.no such'" in err


def test_the_table_of_keys_has_all_of_them(run):
    table = run("keys", RAGGED)[1].decode()
    wanted = pl.read_parquet(run("keys", RAGGED, "-f", "parquet")[1])["key"]
    assert wanted.len() > 20
    assert all(f" {key} " in table for key in wanted if "\n" not in key)


def test_keys_cost_the_pages_of_runs(run, served):
    run("keys", DEMO)
    assert len(served.requests) == 1


def test_keys_of_runs_that_list_none_have_no_counts(run, monkeypatch):
    record = RunRecord(name="r0", history=History([{"a": 1.5}]), history_keys={"lastStep": 0})
    with serve(Project(entity="e", name="p", runs=(record,))) as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        _, out, _ = run("keys", "e/p", "-f", "ndjson")
    rows = [json.loads(line) for line in out.splitlines()]
    assert {"key": "a", "types": ["number"], "dtype": "Float64", "runs": None, "rows": None} in rows


# ---------------------------------------------------------------- buckets


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (["-k", "train/loss", "--bins", "3"], {"keys": ["train/loss"], "bins": 3}),
        (["-k", "train/loss,eval/loss", "--run-columns", "name,state", "--limit", "2"], {"keys": ["train/loss", "eval/loss"], "run_columns": ["name", "state"], "limit": 2}),
        (["-k", "eval/loss", "--x-axis", "_timestamp", "--filters", '{"state": "finished"}'], {"keys": ["eval/loss"], "x_axis": "_timestamp", "filters": {"state": "finished"}}),
        (["--stream", "system", "-k", "cpu", "--bins", "5", "--order", "-created_at"], {"stream": "system", "keys": ["cpu"], "bins": 5, "order": "-created_at"}),
    ],
)  # fmt: skip
def test_buckets_are_those_of_the_reader(run, args, options):
    code, out, _ = run("buckets", DEMO, *args, "--format", "parquet")
    assert code == 0
    assert_frame_equal(pl.read_parquet(out), wbframe.buckets.read_buckets(DEMO, **options))


# ---------------------------------------------------------------- explain


def test_explain_says_what_the_scan_would_do_and_reads_nothing(run, served):
    args = [
        "-k",
        "train/loss",
        "--samples",
        "all",
        "--filters",
        '{"state": "finished"}',
        "--max-step",
        "9",
    ]
    code, out, err = run("explain", "histories", DEMO, *args)
    assert (code, err) == (0, "")
    lazy = wbframe.polars.scan_histories(
        DEMO, keys=["train/loss"], samples=None, filters={"state": "finished"}, max_step=9
    )
    assert out.decode() == f"{wbframe.explain(lazy)}\n"
    assert "every row" in out.decode()
    assert not [each for each in served.requests if each.operation == "Rows"]


def test_explain_of_buckets_is_that_of_their_scan(run):
    for args, options in [
        (("--bins", "7"), {"bins": 7}),
        (("--grid", "shared"), {"grid": "shared"}),
        (("--edges", "0,10", "--min-step", "5"), {"edges": [0, 10], "min_step": 5}),
    ]:
        asked = ("explain", "buckets", DEMO, "-k", "train/loss", "--order", "name", *args)
        code, out, _ = run(*asked)
        lazy = wbframe.scan_buckets(DEMO, keys=["train/loss"], order="name", **options)
        assert (code, out.decode()) == (0, f"{wbframe.explain(lazy)}\n")


def test_explain_of_runs_is_that_of_their_scan(run):
    args = ["-c", "name,config.model", "--limit", "5", "--order", "-created_at"]
    code, out, _ = run("explain", "runs", DEMO, *args)
    lazy = wbframe.polars.scan_runs(
        DEMO, columns=["name", "config.model"], limit=5, order="-created_at"
    )
    assert (code, out.decode()) == (0, f"{wbframe.explain(lazy)}\n")


def test_a_read_and_its_explanation_take_the_same_options():
    for name in ("runs", "histories", "buckets"):
        read = {each.name for each in commands.command.commands[name].params}
        explained = {each.name for each in commands.explain.commands[name].params}
        assert read - explained == read & {"form", "output", "safe", "progress", "convert_integer"}
        assert explained < read


# ---------------------------------------------------------------- help and completion


@pytest.mark.parametrize("name", ["runs", "histories", "buckets", "keys", "doctor", "serve"])
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


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("wbframe hist", "histories"),
        ("wbframe runs --on-err", "--on-error"),
        ("wbframe histories --samples 5 --match a", "any"),
        ("wbframe explain r", "runs"),
    ],
)
def test_a_shell_completes_by_what_the_help_says(run, words, found):
    help_ = run("--help")[1].decode()
    lines = [line.strip() for line in help_.splitlines() if "_WBFRAME_COMPLETE=" in line]
    assert [line.split("_WBFRAME_COMPLETE=")[1].split()[0] for line in lines] == [
        "bash_source", "zsh_source", "fish_source",
    ]  # fmt: skip
    asked = {
        "_WBFRAME_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
    }
    with program(env={**os.environ, **asked}) as started:
        out, err = started.communicate()
    assert err == b""
    assert f"plain,{found}" in out.decode().splitlines()


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
    assert "public" not in err
    given.clear()
    code, _, err = run(
        "serve", "--host", "0.0.0.0", "--fixed-key", "--allow-host", "a.b", "--allow-host", "c"
    )
    assert (code, "the key is a public one" in err) == (0, True)
    assert (given["hosts"], given["api_key"]) == (("a.b", "c"), wbframe.server.API_KEY)


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
