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
    assert (found.count("a"), found.count("b"), found.count("nope")) == (4, None, 0)
    assert found.types(system=False) == {
        "a": frozenset({"number", "nil"}),
        "b": frozenset(),
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
    assert run_entry(0, PATH, node(b'"{\\"keys\\": {\\"a\\": {}}}"')).keys == {"a": {}}
    assert run_entry(0, PATH, node(b"null")).types(system=False) == {}


COUNTED = b'{"a": {"typeCounts": [{"type": "number", "count": 3}]}}'
UNCOUNTED = {"a": {}, "b": {}}


@pytest.mark.parametrize(
    ("history_keys", "keys"),
    [
        (b'{"keys": ' + COUNTED + b"}", {"a": {"number": 3}}),
        (b'{"keys": {"items": ' + COUNTED + b"}}", {"a": {"number": 3}}),
        (b'{"keys": {"a": {"typeCounts": [{"type": "Double", "count": "3"}]}}}', {"a": {"number": 3}}),
        (b'{"keys": {"a": {"typeCounts": [{"type": "number", "count": 0}]}}}', {"a": {}}),
        (b'{"keys": {"a": {"typeCounts": [{"type": "what", "count": 3}]}}}', {"a": {}}),
        (b'{"keys": {"a": {"typeCounts": []}, "b": null}}', UNCOUNTED),
        (b'{"keys": ["a", "b"]}', UNCOUNTED),
        (b'["a", "b"]', UNCOUNTED),
        (b'{"keys": [{"key": "a"}, {"name": "b"}]}', UNCOUNTED),
        (b'{"keys": {"a": true, "b": 7}}', UNCOUNTED),
        (b'{"keys": {"a": {"typeCounts": [{"type": "map", "keys": {"x": {}}}]}}}', {"a.x": {}}),
        (b'"\\"{\\\\\\"keys\\\\\\": [\\\\\\"a\\\\\\", \\\\\\"b\\\\\\"]}\\""', UNCOUNTED),
        (b'"R0lGODlh"', None),
        (b'{"keys": "R0lGODlh"}', None),
        (b'{"keys": 5}', None),
        (b"17", None),
        (b'{"lastStep": 3, "keys": {}}', None),
    ],
)  # fmt: skip
def test_keys_in_any_form(history_keys, keys):
    assert run_entry(0, PATH, node(history_keys)).keys == keys


@pytest.mark.parametrize(
    ("count", "step", "known"),
    [(0, None, 0), (0, 5, None), ("12", 5, 12), (12.0, 5, 12), ("many", 5, None), (-1, 5, None)],
)
def test_a_count_of_rows_that_says_otherwise_is_none(count, step, known):
    keys = b'{"keys": {}}' if step is None else b'{"lastStep": 5}'
    assert run_entry(0, PATH, node(keys, history_line_count=count)).line_count == known
