from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from benchmarks import peers


class Pip:
    """Stands for venv and pip: notes what it was asked, and makes what they would make."""

    def __init__(self, monkeypatch, folder):
        self.made = []
        self.installed = []
        self.fails = False
        monkeypatch.setattr(peers, "_FOLDER", folder)
        monkeypatch.setattr(peers.venv, "create", self.create)
        monkeypatch.setattr(peers.subprocess, "run", self.run)

    def create(self, root, *, with_pip):
        assert with_pip
        assert not root.exists()
        self.made.append(root)
        (root / "bin").mkdir(parents=True)
        (root / "bin" / "python").touch()

    def run(self, command, **_options):
        assert Path(command[0]).exists()
        assert command[1:4] == ["-m", "pip", "install"]
        self.installed.append(command[5:])
        return subprocess.CompletedProcess(command, int(self.fails), "", "no such version")


@pytest.fixture
def pip(monkeypatch, tmp_path):
    return Pip(monkeypatch, tmp_path / "referees")


def test_an_environment_is_made_once(pip):
    first = peers.python_of("wandb==0.31.0")
    assert first == peers.python_of("wandb==0.31.0")
    assert first.parent.parent.name.startswith("wandb-0.31.0-py3.")
    assert pip.installed == [["wandb==0.31.0", "pandas", "polars"]]
    peers.python_of(peers.OLDEST)
    assert pip.installed[1] == [peers.OLDEST, "pandas<3", "polars"]


def test_two_at_once_make_one(pip):
    threads = [threading.Thread(target=peers.python_of, args=("x",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pip.made) == 1


@pytest.mark.parametrize("note", [None, "[", '["other", "pandas", "polars"]'])
def test_a_half_made_environment_is_made_anew(pip, note):
    root = peers.python_of("x").parent.parent
    mark = root / "complete.json"
    assert json.loads(mark.read_text()) == ["x", "pandas", "polars"]
    if note is None:
        mark.unlink()
    else:
        mark.write_text(note)
    (root / "left over").touch()
    peers.python_of("x")
    assert len(pip.made) == 2
    assert not (root / "left over").exists()


def test_a_failed_installation_is_told_and_tried_again(pip):
    pip.fails = True
    with pytest.raises(peers.PeerError, match="no such version"):
        peers.python_of("x")
    pip.fails = False
    assert peers.python_of("x").exists()
    assert len(pip.made) == 2


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(peers, "python_of", lambda _requirement: Path(sys.executable))


def test_a_script_gives_back_json(here):
    script = """
import math, os
def main(args):
    return [args, math.nan, sorted(os.environ), os.getcwd() == os.environ["HOME"]]
"""
    args, nan, names, at_home = peers.run_peer("x", script, {"WANDB_API_KEY": "k"}, {"a": math.inf})
    assert args == {"a": math.inf}
    assert math.isnan(nan)
    assert at_home
    assert {"WANDB_API_KEY", "WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_SILENT", "PATH"} <= set(names)
    assert not any(name.startswith(("PYTEST", "VIRTUAL")) for name in names)


def test_a_failing_script_is_told(here):
    with pytest.raises(peers.PeerError, match="on purpose"):
        peers.run_peer("x", "def main(_):\n    raise ValueError('on purpose')\n")


def test_a_slow_script_is_stopped(here):
    script = "import time\ndef main(_):\n    time.sleep(30)\n"
    with pytest.raises(peers.PeerError, match=r"more than 0\.5 s"):
        peers.run_peer("x", script, timeout=0.5)
