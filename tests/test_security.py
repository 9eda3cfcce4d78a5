"""The table of SECURITY.md: each module is there, and each test is one that is run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.test_imports import MODULES

ROOT = Path(__file__).resolve().parent.parent
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "SECURITY.md").read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith("| who |")
]
TESTS = {
    node.name
    for path in (ROOT / "tests").rglob("test_*.py")
    for node in ast.walk(ast.parse(path.read_text("utf-8")))
    if isinstance(node, ast.FunctionDef)
}


@pytest.mark.parametrize(("who", "what", "where", "tests"), ROWS, ids=[each[1] for each in ROWS])
def test_each_threat_is_stopped_where_it_is_said_and_a_test_shows_it(who, what, where, tests):
    assert who
    assert what
    modules, names = (re.findall(r"`([^`]+)`", cell) for cell in (where, tests))
    assert modules
    assert names
    assert {f"wbframe.{name}" for name in modules} <= MODULES.keys()
    assert set(names) <= TESTS


def test_there_is_a_table():
    assert len(ROWS) > 40
