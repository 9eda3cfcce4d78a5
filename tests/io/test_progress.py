"""What `progress` tells: a bar that is drawn, lines where none can be, and what a function gets."""

from __future__ import annotations

import builtins
import io
import subprocess
import sys
import types
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path

import polars as pl
import pytest

import wbframe
from wbframe.errors import UsageError, WbframeError
from wbframe.io.read import progress as told
from wbframe.io.read.progress import hook_of, silent
from wbframe.report import Progress

DEMO = "wbframe/demo"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_silence_or_a_function():
    assert hook_of(None) is silent
    assert hook_of(False) is silent
    assert silent(Progress(kind="runs", done=1)) is None
    assert hook_of(print) is print
    with pytest.raises(UsageError, match="`progress` must be True, False or a function; got 3"):
        hook_of(3)


def test_a_read_of_two_phases_draws_one_bar(client):
    pytest.importorskip("tqdm")
    with redirect_stderr(Terminal()) as terminal:
        frame = wbframe.polars.read_histories(
            DEMO,
            keys=["train/loss"],
            samples=500,
            run_columns=["name"],
            progress=True,
            client=client,
        )
    # Each bar ends its line; what is drawn before it is written over.
    drawn = terminal.getvalue()
    assert drawn.count("\n") == 1
    last = drawn.strip().split("\r")[-1]
    assert last.startswith("histories: 100%")
    assert "24/24" in last
    assert f"{frame.height:,} rows, " in last
    megabytes = client.last_report.bytes_received / 1e6
    assert f"{megabytes:.1f} MB, waited 0.0 s" in last


def test_the_bar_of_a_read_that_fails_ends_its_line(web, client):
    pytest.importorskip("tqdm")
    # Cleared by `web` behind the test, as its log is.
    web.fail(status=403, match="sampledHistory", times=1000)
    with redirect_stderr(Terminal()) as terminal, pytest.raises(WbframeError):
        wbframe.polars.read_histories(
            DEMO, keys=["train/loss"], samples=500, progress=True, client=client
        )
    assert terminal.getvalue().count("\n") == 1


def test_a_bar_that_the_environment_disables_draws_nothing(client, monkeypatch):
    pytest.importorskip("tqdm")
    with redirect_stderr(Terminal()) as terminal:
        hook = hook_of(True)
        monkeypatch.setattr(hook, "_tqdm", partial(hook._tqdm, disable=True))
        wbframe.polars.read_runs(
            DEMO, filters=pl.col("state") == "killed", progress=hook, client=client
        )
        hook(Progress(kind="histories", done=1, total=99))
    assert terminal.getvalue() == ""


def test_without_a_terminal_a_line_is_written_at_the_end(client):
    with redirect_stderr(io.StringIO()) as stderr:
        frame = wbframe.polars.read_histories(
            DEMO, keys=["train/loss"], samples=500, progress=True, client=client
        )
    said = stderr.getvalue()
    assert "\r" not in said
    megabytes = client.last_report.bytes_received / 1e6
    assert said == (
        f"wbframe: histories: 24 of 24 runs, {frame.height:,} rows,"
        f" {megabytes:.1f} MB, waited 0.0 s\n"
    )


def test_without_a_terminal_a_line_is_written_every_five_seconds(monkeypatch):
    seconds = [100.0]
    monkeypatch.setattr(told, "time", types.SimpleNamespace(monotonic=lambda: seconds[0]))
    with redirect_stderr(io.StringIO()) as stderr:
        hook = hook_of(True)
        for passed in range(12):
            seconds[0] = 100.0 + passed
            hook(Progress(kind="runs", done=passed, bytes_received=2_000_000, waited=1.25))
    assert stderr.getvalue().splitlines() == [
        "wbframe: runs: 5 runs, 2.0 MB, waited 1.2 s",
        "wbframe: runs: 10 runs, 2.0 MB, waited 1.2 s",
    ]


def test_lines_need_no_tqdm_and_a_bar_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with redirect_stderr(io.StringIO()):
        assert hook_of(True) is not silent
    with (
        redirect_stderr(Terminal()),
        pytest.raises(UsageError, match=r"pip install 'wbframe\[progress\]'"),
    ):
        hook_of(True)


def test_a_function_gets_the_bytes_and_waits_so_far(client):
    got = []
    wbframe.polars.read_histories(
        DEMO, keys=["train/loss"], samples=500, progress=got.append, client=client
    )
    received = [each.bytes_received for each in got]
    assert received == sorted(received)
    assert received[0] > 0
    assert received[-1] == client.last_report.bytes_received
    assert {each.waited for each in got} == {client.last_report.waited}


def test_a_notebook_without_widgets_draws_a_bar_and_warns_of_nothing():
    pytest.importorskip("tqdm")
    script = """
import sys, types
shell = type("ZMQInteractiveShell", (), {"config": {"IPKernelApp": {}}})()
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: shell)
sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")
sys.modules["ipywidgets"] = None
from wbframe.io.read.progress import hook_of
from wbframe.report import Progress, ScanReport
hook = hook_of(True)
hook(Progress(kind="runs", done=1, total=2))
hook(Progress(kind="runs", done=2, total=2, report=ScanReport(kind="runs", projects=(), runs=2, rows=2)))
"""
    ended = subprocess.run(
        [sys.executable, "-W", "always", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(wbframe.__file__).parents[1],
    )
    assert "Warning" not in ended.stderr
    assert "runs: 100%" in ended.stderr
