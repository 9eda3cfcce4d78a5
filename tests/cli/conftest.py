"""The command, in this process where it can be and as a program where it must be."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from wbframe import cli
from wbframe.server import serve

ROOT = Path(__file__).resolve().parents[2]
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


def one_line(err):
    """Give what is said of an error, which is one line."""
    assert err.startswith("wbframe: error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err
