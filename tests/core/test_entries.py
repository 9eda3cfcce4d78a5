"""Entries: what the server knows of a run before its rows are read."""

from __future__ import annotations

import msgspec
import pytest

from wbframe.core.histories.entries import run_entry
from wbframe.core.model import RunPath
from wbframe.core.protocol.runs import RunNode

PATH = RunPath(entity="e", project="p")


def node(history_keys, **options):
    return RunNode(name="r", history_keys=msgspec.Raw(history_keys), **options)


def test_an_entry_from_the_key_index():
    keys = b'{"lastStep": 4, "keys": {"a": {"typeCounts": [{"type": "number", "count": 3.0}, {"type": "nil", "count": 1}]}, "b": {}, "system/cpu": {"typeCounts": [{"type": "number", "count": 9}]}}}'
    found = run_entry(2, PATH, node(keys, state="running", history_line_count=4.0))
    assert (found.ordinal, found.run_id, found.ended, found.line_count) == (2, "r", False, 4)
    assert found.keys["a"] == {"number": 3, "nil": 1}
    assert (found.count("a"), found.count("nope")) == (4, 0)
    assert found.types(system=False) == {
        "a": frozenset({"number", "nil"}),
        "b": frozenset({"json"}),
    }
    assert found.types(system=True) == {"system.cpu": frozenset({"number"})}


@pytest.mark.parametrize("state", ["finished", "crashed", "failed", "killed"])
def test_states_in_which_no_more_is_logged(state):
    assert run_entry(0, PATH, node(b"null", state=state)).ended
    assert not run_entry(0, PATH, node(b"null", state="preempting")).ended
    assert not run_entry(0, PATH, node(b"null")).ended


def test_no_index_is_not_an_empty_one():
    assert run_entry(0, PATH, node(b"null")).keys is None
    assert run_entry(0, PATH, node(b"{}")).keys is None
    assert run_entry(0, PATH, node(b'{"keys": {}}')).keys == {}
    assert run_entry(0, PATH, node(b'"{\\"keys\\": {\\"a\\": {}}}"')).keys == {"a": {"json": 0}}
    assert run_entry(0, PATH, node(b"null")).types(system=False) == {}
