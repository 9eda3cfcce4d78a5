"""The README is run as it stands: Python and console blocks, the shape of commands, the table about the SDK."""

from __future__ import annotations

import contextlib
import io
import math
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

import wbframe
from benchmarks.peers import CURRENT, run_peer
from wbframe import cli
from wbframe.cli import commands
from wbframe.server import History, Project, RunRecord, serve

README = Path(__file__).resolve().parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A fenced block and the line of the page on which it begins."""

    kind: str
    body: str
    line: int


def blocks():
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return [Block(each[1], each[2], TEXT[: each.start()].count("\n") + 1) for each in found]


@pytest.fixture
def served(monkeypatch, tmp_path):
    """The demo project, where the environment says that W&B is."""
    with serve("demo") as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", server.api_key)
        monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        monkeypatch.setenv("COLUMNS", "100")
        yield server


def printed(block, namespace):
    """Run a Python block; its lines are those of the page in tracebacks."""
    out = io.StringIO()
    code = compile("\n" * block.line + block.body, str(README), "exec")
    with contextlib.redirect_stdout(out):
        exec(code, namespace)
    return out.getvalue()


def settled(text):
    """Polars 1 hands over the conditions of a filter in another order, so their lines may stand in any there."""
    return text if pl.__version__ >= "2" else sorted(text.splitlines())


def test_every_block_is_of_a_kind_that_is_run_or_checked():
    assert {block.kind for block in blocks()} == {"python", "text", "console", "sh"}


def test_the_python_blocks_print_what_stands_below_them(served, monkeypatch):
    # The first one says which server it is, and starts it.
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    page, namespace = blocks(), {}
    shown = 0
    for i, block in enumerate(page):
        if block.kind != "python":
            continue
        got = printed(block, namespace)
        below = page[i + 1] if i + 1 < len(page) and page[i + 1].kind == "text" else None
        wanted = "" if below is None else below.body
        assert settled(got) == settled(wanted), f"README.md, line {block.line}"
        shown += below is not None
    assert namespace["server"].requests
    namespace["server"].stop()
    assert not served.requests
    assert shown == sum(block.kind == "text" for block in page)
    assert shown > 5


def test_the_console_blocks_show_what_the_command_gives(served, capfdbinary):
    runs = 0
    for block in blocks():
        if block.kind != "console":
            continue
        for part in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]:
            line, _, wanted = part.partition("\n")
            program, *args = shlex.split(line)
            assert program == "wbframe"
            assert cli.main(args) == 0
            assert capfdbinary.readouterr().out.decode() == wanted, line
            runs += 1
    assert runs


def test_the_shell_lines_are_commands_that_exist():
    released, install, test, *rest = [
        line for block in blocks() if block.kind == "sh" for line in block.body.splitlines()
    ]
    assert released == "pip install 'wbframe[all]'"
    assert (
        install
        == "python3 -m venv .venv && .venv/bin/python -m pip install '.[server]' && .venv/bin/wbframe demo"
    )
    steps = test.split(" && ")
    assert steps[0] == "python3 -m venv .venv"
    assert steps[-1] == ".venv/bin/python -m pytest"
    assert all(step.startswith(".venv/bin/python -m pip install ") for step in steps[1:-1])
    assert "--group test" in steps[-2]
    for line in rest:
        program, command, *args = shlex.split(line)
        assert program == "wbframe"
        assert commands.command.commands[command].make_context(command, args).params


def test_every_option_of_wbframe_in_the_text_exists():
    options = {
        option
        for each in commands.command.commands.values()
        for param in each.params
        for option in param.opts
    }
    named = set(re.findall(r"`(--[a-z-]+)", TEXT)) - {"--help"}
    assert named
    assert named <= options


def test_every_error_in_the_text_exists():
    named = set(re.findall(r"`(\w+(?:Error|Warning))`", TEXT)) - {"CommError"}
    assert named
    assert all(hasattr(wbframe.errors, name) for name in named)


def test_the_page_is_short_enough_to_read():
    assert TEXT.count("\n") < 500
    assert (
        max(
            map(len, re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL).splitlines())
        )
        < 160
    )


# ---------------------------------------------------------------- the table about the SDK


def project(name, *histories):
    runs = (
        RunRecord(name=f"run{i}", created_at=f"2026-01-0{i + 1}T00:00:00Z", history=History(rows))
        for i, rows in enumerate(histories)
    )
    return Project(entity="cases", name=name, runs=tuple(runs))


def rows(count, of_step):
    return [{"_step": i, **of_step(i)} for i in range(count)]


CASES = [
    project("keys", rows(3, lambda i: {"x": i / 2}), rows(3, lambda i: {"x": i / 2, "y": i / 4})),
    project("numbers", rows(3, lambda i: {"x": i}), rows(3, lambda i: {"x": i / 2})),
    project("late", rows(150, lambda i: {"x": i / 2, **({"late": i / 4} if i >= 120 else {})})),
    project("drift", rows(150, lambda i: {"x": i if i < 120 else i + 0.3})),
    project("nan", rows(4, lambda i: {"x": (1.5, math.nan, math.inf, 0.5)[i]})),
    project(
        "cadence", rows(20, lambda i: {"train": i / 2, **({"eval": i / 4} if i % 10 == 0 else {})})
    ),
]
KEYS = {"cadence": ["train", "eval"]}

SCRIPT = """
import wandb

def read(path, keys):
    try:
        frame = wandb.Api().runs(path).histories(format="polars", keys=keys)
    except Exception as error:
        return {"error": type(error).__name__}
    dtypes = {name: str(dtype) for name, dtype in frame.schema.items()}
    return {"dtypes": dtypes, "height": frame.height, "last": frame.row(-1, named=True)}

def main(given):
    return {path: read(path, keys) for path, keys in given}
"""


@pytest.mark.referee
def test_what_the_table_says_of_the_sdk():
    with serve([*CASES, "demo"]) as server:
        env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.api_key}
        got = run_peer(CURRENT, SCRIPT, env, [(each.path, KEYS.get(each.name)) for each in CASES])
        server.clear()
        run_peer(CURRENT, SCRIPT, env, [("wbframe/demo", ["train/loss"])])
        asked = len(server.requests)
    assert got["cases/keys"] == {"error": "CommError"}
    assert got["cases/numbers"] == {"error": "CommError"}
    assert set(got["cases/late"]["dtypes"]) == {"_step", "x", "run_id"}
    assert got["cases/drift"]["last"]["x"] == 149
    assert got["cases/nan"]["dtypes"]["x"] == "String"
    assert got["cases/cadence"]["height"] == 2
    assert asked == 27


def test_what_the_table_says_of_wbframe():
    with serve([*CASES, "demo"]) as server:
        client = wbframe.Client(server.url, server.api_key)

        def read(name):
            return wbframe.polars.read_histories(
                f"cases/{name}", keys=KEYS.get(name), client=client
            )

        assert read("keys").to_dict(as_series=False) == {
            "run_id": ["run0"] * 3 + ["run1"] * 3,
            "_step": [0, 1, 2] * 2,
            "x": [0.0, 0.5, 1.0] * 2,
            "y": [None, None, None, 0.0, 0.25, 0.5],
        }
        assert read("numbers")["x"].to_list() == [0.0, 1.0, 2.0, 0.0, 0.5, 1.0]
        assert read("late")["late"].to_list() == [None] * 120 + [i / 4 for i in range(120, 150)]
        assert read("drift")["x"][-1] == 149.3
        assert str(read("nan")["x"].to_list()) == "[1.5, nan, inf, 0.5]"
        assert read("cadence")["eval"].to_list() == [
            i / 4 if i % 10 == 0 else None for i in range(20)
        ]
        wbframe.polars.read_histories(
            "wbframe/demo", keys=["train/loss"], samples=500, client=client
        )
        assert client.last_report.requests == 2


def test_the_types_that_the_page_promises():
    wanted = {"_step": pl.Int64, "run_id": pl.String}
    with serve("demo") as server:
        client = wbframe.Client(server.url, server.api_key)
        nothing = wbframe.polars.read_histories("wbframe/demo", limit=0, client=client)
        runs = wbframe.polars.read_runs("wbframe/demo", client=client)
    assert {name: nothing.schema[name] for name in wanted} == wanted
    listed = (
        re.search(r"one row a run; `(.*?)`, then", TEXT, re.DOTALL)[1]
        .replace("\n", " ")
        .split(", ")
    )
    assert runs.columns[: len(listed)] == listed
    assert runs.columns[len(listed)].startswith("config.")
    assert runs.schema["tags"] == pl.List(pl.String)
    assert runs.schema["created_at"] == pl.Datetime("us", "UTC")
