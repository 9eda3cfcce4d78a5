"""What a terminal gets of names that are made to hurt it, on terminals of all kinds and on none."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import wbframe
from tests.cli.conftest import ROOT, one_line
from tests.hostile import NASTY, is_seen, nasty_project
from wbframe.cli.screen import renamed
from wbframe.server import serve

PATH = "e/p"


@pytest.fixture(scope="module")
def nasty():
    with serve(nasty_project()) as started:
        yield started


@pytest.fixture
def shell(nasty, tmp_path):
    """The environment of a command that reads the hostile project."""
    return {
        **os.environ,
        "WANDB_BASE_URL": nasty.url,
        "WANDB_API_KEY": nasty.api_key,
        "WANDB_CONFIG_DIR": str(tmp_path),
        "NETRC": str(tmp_path / "netrc"),
        "TERM": "xterm",
    }


@pytest.fixture
def read(run, nasty, monkeypatch):
    """Run the command in this process, on the hostile project."""
    monkeypatch.setenv("WANDB_BASE_URL", nasty.url)
    monkeypatch.setenv("WANDB_API_KEY", nasty.api_key)
    nasty.clear()
    return run


# Several commands in one process, for a new one costs more than they do: each with its terminal's size and TERM.
SEVERAL = """
import fcntl, json, os, struct, sys, termios
from wbframe import cli
for args, rows, columns, term in json.loads(sys.argv[1]):
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.environ["TERM"] = term
    code = cli.main(args)
    print(f"@{code}@", flush=True)
"""


def on_terminal(calls, env):
    """Run commands on a terminal; give the exit code of each, and all that the terminal got of it."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", SEVERAL, json.dumps(calls)]
    env = {name: value for name, value in env.items() if name not in {"COLUMNS", "LINES"}}
    streams = {"stdin": follower, "stdout": follower, "stderr": follower}
    with subprocess.Popen(command, cwd=ROOT, env=env, **streams) as started:
        os.close(follower)
        got = b""
        # Linux ends a terminal without a writer by an error.
        with contextlib.suppress(OSError):
            while more := os.read(leader, 65536):
                got += more
        os.close(leader)
        assert started.wait(timeout=60) == 0
    text = got.decode().replace("\r\n", "\n")
    parts = re.split(r"@(\d+)@\n", text)
    assert len(parts) == 2 * len(calls) + 1
    return [(int(code), part) for part, code in zip(parts[::2], parts[1::2], strict=False)]


def usual(*args):
    return list(args), 24, 100, "xterm"


COMMANDS = [
    ["runs", PATH],
    ["runs", PATH, "-f", "csv"],
    ["runs", PATH, "-f", "json"],
    ["histories", PATH, "-f", "ndjson"],
    ["histories", PATH, "--samples", "7", "-v"],
    ["buckets", PATH, "--bins", "2"],
    ["keys", PATH],
    ["explain", "histories", PATH],
    ["explain", "runs", PATH, "--filters", json.dumps({"displayName": NASTY})],
    ["doctor", PATH],
    ["histories", PATH, "-k", "\x1b[2J\u202e"],
    ["runs", "e/\u202e\x7f\x1b[2J"],
    ["runs", "--\x1b[2J\u202e"],
    ["\x1b[2J\u202e"],
    ["runs", PATH, "--filters", "\x1b[2J\u202e"],
    ["runs", PATH, "--override", "\x1b[2J\u202e"],
    ["runs", PATH, "-f", "\x1b[2J\u202e"],
    ["runs", PATH, "-o", "/no/\x1b[2J\u202e.csv"],
]


def test_a_terminal_gets_what_is_seen(shell):
    for args, (code, got) in zip(
        COMMANDS, on_terminal([usual(*args) for args in COMMANDS], shell), strict=True
    ):
        assert code in {0, 2, 4}
        assert got
        assert is_seen(got, lines=True), args
        assert "Traceback" not in got


def test_terminals_of_all_kinds(shell):
    pytest.importorskip("tqdm")
    bar = ["runs", PATH, "-c", "run_id", "--progress"]
    sizes = [(0, 0), (1, 1), (24, 7), (60_000, 60_000)]
    table = ["runs", PATH, "-c", "run_id,name"]
    calls = [usual(*bar), (bar, 24, 100, "dumb"), *((table, *size, "xterm") for size in sizes)]
    (_, drawn), (_, lines), *tables = on_terminal(calls, shell)
    assert "runs: 100%" in drawn
    # A bar goes back to the beginning of its line, and to no other place.
    assert is_seen(drawn.replace("\r", "").replace("\x1b[A", ""), lines=True)
    assert "wbframe: runs: 3 of 3 runs" in lines
    assert is_seen(lines, lines=True)
    for code, got in tables:
        assert code == 0
        assert "shape: (3, 2)" in got
        assert is_seen(got, lines=True)


@pytest.mark.parametrize("columns", ["0", "1", "-3", "many", "99999999999999"])
def test_any_width_that_the_environment_says_gets_a_table(read, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    code, out, _ = read("runs", PATH, "-c", "run_id,name", "--limit", "2")
    assert code == 0
    assert b"shape: (2, 2)" in out


# ---------------------------------------------------------------- data


def test_data_in_a_pipe_hold_the_exact_values_and_a_terminal_the_same_json(read, shell):
    args = ["runs", PATH, "-c", "run_id,name,tags", "-f"]
    rows = json.loads(read(*args, "json")[1])
    assert [row["name"] for row in rows] == [NASTY] * 3
    assert rows[0]["tags"] == [NASTY, f"a{NASTY}"]
    # Python's reader of CSV refuses NUL before 3.11.
    told = read(*args, "csv")[1].decode().replace("\0", "<nul>")
    (header, *lines) = csv.reader(io.StringIO(told, newline=""))
    assert header == ["run_id", "name", "tags"]
    assert lines[0][1] == NASTY.replace("\0", "<nul>")
    ((code, got),) = on_terminal([usual(*args, "json")], shell)
    assert code == 0
    assert is_seen(got, lines=True)
    assert json.loads(got) == rows


def test_names_that_become_alike_are_told_apart(run, monkeypatch):
    assert renamed(["a", "a (2)", "a"]) == ["a", "a (2)", "a (3)"]
    made = pl.DataFrame({"a\x1b": [1], "a\\x1b": [2], "a\x1b\x1b" * 1_000: ["x" * 10_000]})
    monkeypatch.setattr(wbframe.polars, "read_runs", lambda *_, **__: made)
    code, out, _ = run("runs", "wbframe/demo")
    assert code == 0
    assert "a\\x1b " in out.decode()
    assert "a\\x1b (2)" in out.decode()
    assert max(map(len, out.decode().splitlines())) <= 120


def test_a_cell_forges_no_row(run, monkeypatch):
    cells = ["first\n│ forged ┆ 9 │", None, "last"] + [f"{i}\r\x1b[1A" for i in range(100)]
    made = pl.DataFrame({"name": cells, "l": [["a\nb"]] * 103, "s": [{"f": "\x07"}] * 103})
    monkeypatch.setattr(wbframe.polars, "read_runs", lambda *_, **__: made)
    code, out, _ = run("runs", "wbframe/demo")
    assert code == 0
    text = out.decode()
    assert is_seen(text, lines=True)
    assert "shape: (103, 3)" in text
    assert "first\\n│ forged" in text
    # Twenty rows, the one that stands for the others, the names and dtypes, the frame, the shape.
    assert len(text.splitlines()) == 20 + 1 + 3 + 3 + 1


# ---------------------------------------------------------------- encodings


ENCODINGS = ["ascii", "latin-1", "utf-8", "cp1252", "utf-16", "cp037"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["runs", PATH, "-c", "run_id,name,tags"], 0),
        (["explain", "runs", PATH, "--filters", '{"displayName": "größe 損失"}'], 0),
        (["runs", PATH, "-c", "config.größe 損失"], 2),
        (["runs", "--größe"], 2),
    ],
    ids=["table", "explain", "error", "call"],
)
def test_a_stream_of_any_encoding_gets_what_it_has(read, monkeypatch, args, code, encoding):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    ended, *_ = read(*args)
    shown, told = (each.buffer.getvalue().decode(encoding) for each in (out, err))
    assert ended == code
    assert is_seen(shown + told, lines=True)
    assert shown or told
    if args[-1].endswith("tags"):
        assert ("┌" if encoding.startswith("utf") else "+-") in shown


# ---------------------------------------------------------------- no stream


@pytest.mark.parametrize("form", ["table", "csv", "parquet", "ndjson.gz"])
def test_a_closed_stdout_is_told_before_anything_is_read(read, nasty, monkeypatch, form):
    monkeypatch.setattr(sys, "stdout", None)
    code, _, err = read("runs", PATH, "-f", form)
    assert code == 1
    assert "stdout is closed" in one_line(err)
    assert not nasty.requests


def test_a_file_is_written_where_there_is_no_stream_at_all(read, monkeypatch, tmp_path):
    file = tmp_path / "runs.csv"
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert read("runs", PATH, "-c", "run_id", "-o", file, "--progress", "-v")[0] == 0
    assert file.stat().st_size > 0


def test_what_stderr_would_get_does_not_come_among_the_data(read, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    code, out, _ = read("runs", PATH, "-c", "state", "-f", "ndjson", "--progress", "-v")
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [{"state": f"finished{NASTY}"}] * 3


def closed(*args, env, streams):
    """Run the command in a shell that closes or fills some of its streams."""
    # As a shell has it: with buffers, which are written when the process ends.
    env = {name: each for name, each in env.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" -m wbframe "$@" {streams}', sys.executable, *args],
        env=env,
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_stdout_that_is_full_is_one_line(shell, form):
    args = ("runs", PATH, "-c", "run_id", "-f", form)
    ended = closed(*args, env=shell, streams="> /dev/full")
    assert ended.returncode == 1
    assert "No space left on device" in one_line(ended.stderr.decode())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_stderr_that_is_full_changes_no_exit_code(shell):
    assert closed("runs", "e/none", env=shell, streams="2> /dev/full").returncode == 4


def test_closed_streams_of_a_process_are_no_traceback(shell):
    ended = closed("runs", PATH, env=shell, streams=">&-")
    assert ended.returncode == 1
    assert "stdout is closed" in one_line(ended.stderr.decode())


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_pipe_that_nobody_reads_is_an_end_without_a_word(shell, form):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "wbframe", "runs", PATH, "-c", "run_id", "-f", form]
    with subprocess.Popen(
        command, env=shell, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE
    ) as started:
        os.close(writer)
        _, err = started.communicate(timeout=60)
    assert started.returncode == 1
    assert err == b""


# ---------------------------------------------------------------- bytes that are no text

# What a shell gives for a byte that is no text.
BYTE = "\udcff\x1b[2J"


@pytest.mark.parametrize(
    "args",
    [
        ["runs", f"e/{BYTE}"],
        ["runs", "e/\udcff"],
        ["runs", PATH, "-c", "config.\udcff"],
        ["histories", PATH, "-k", "\udcff\udcfe"],
        ["histories", PATH, "-k", "a", "--x-axis", "\udcff"],
        ["histories", PATH, "--run-columns", "config.\udcff"],
        ["runs", PATH, "--filters", '{"displayName": "\\ud800"}'],
        ["runs", PATH, "--filters", '{"config.\\ud800": 1}'],
        ["runs", PATH, "--filters", '{"state": {"$near": {"\\ud800": 1}}}'],
        ["runs", PATH, "--order", "+config.\udcff"],
        ["runs", PATH, "--override", "config.\udcff=Int64"],
        ["runs", PATH, "-o", "/no/\udcff.csv"],
        ["runs", "p", "--entity", "\udcff"],
        ["runs", PATH, "--on-error", "\udcff"],
        ["ru\udcffns"],
    ],
    ids=ascii,
)
def test_bytes_that_are_no_text_are_told_before_any_request(read, nasty, args):
    code, out, err = read(*args)
    assert (code, out) == (2, b"")
    assert is_seen(err, lines=True)
    assert not nasty.requests


def test_a_file_of_any_name_is_written_and_told(read, tmp_path):
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b[2J\xe2\x80\xae.csv"))
    code, _, err = read("runs", PATH, "-c", "run_id", "-o", file)
    assert code == 0
    assert file.stat().st_size > 0
    assert is_seen(err, lines=True)
    assert "\\udcff\\x1b[2J\\u202e.csv: 3 rows" in err


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("WANDB_ENTITY", {2}),
        ("WANDB_API_KEY", {3}),
        ("WANDB_BASE_URL", {2}),
        ("WBFRAME_TIMEOUT", {2}),
        ("NETRC", {0}),
        ("WANDB_CONFIG_DIR", {0}),
        ("TERM", {0}),
    ],
)
def test_an_environment_of_any_bytes_is_lines_that_are_seen(read, monkeypatch, name, codes):
    monkeypatch.setenv(name, f"/tmp/{BYTE}\u202e")
    code, _, err = read("runs", "p", "-c", "run_id")
    assert code in codes
    assert is_seen(err, lines=True)
