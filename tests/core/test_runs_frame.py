"""Runs as the server gives them -> the runs frame, against a plain reading of the same JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.readers.plain import SPELLED, assert_column, column, leaves
from wbframe.core.model import RunPath
from wbframe.core.protocol.runs import RunNode
from wbframe.core.runs.frame import RunsBuffer, leaf_types, run_leaves, runs_frame
from wbframe.core.schema.runs import RUN_COLUMNS, RunsSchema, runs_schema
from wbframe.errors import AnswerError, SchemaMismatchError

PATH = RunPath(entity="e", project="p")


def raw(value):
    """Spell a value as the server does: JSON text inside JSON."""
    return msgspec.Raw(json.dumps(json.dumps(value)).encode())


def buffer_of(*nodes):
    buffer = RunsBuffer()
    buffer.add(PATH, nodes)
    return buffer


def read(nodes, overrides=None):
    buffer = buffer_of(*nodes)
    schema = runs_schema(None, leaf_types(buffer), overrides or {})
    return runs_frame(buffer, schema)


# Text that spells a number that is not finite is one to whoever has the values alone.
TEXT = st.text(st.characters(codec="utf-8"), max_size=5).filter(lambda text: text not in SPELLED)
LEAF = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXT,
    st.lists(st.integers(0, 9), max_size=3),
)
NAME = st.text("ab._/ \u00e9", min_size=1, max_size=4)
TREE = st.recursive(LEAF, lambda inner: st.dictionaries(NAME, inner, max_size=3), max_leaves=6)
BLOB = st.one_of(st.none(), st.dictionaries(NAME, TREE, max_size=4))


def flat(prefix, blob):
    found = {}
    for key in sorted(blob or {}):
        found |= leaves(f"{prefix}.{key}", blob[key])
    return found


@given(st.lists(st.tuples(BLOB, BLOB), max_size=5))
def test_the_frame_is_the_plain_reading(blobs):
    nodes = [
        RunNode(
            name=f"r{i}",
            config=raw(
                None
                if config is None
                else {key: {"value": value, "desc": None} for key, value in config.items()}
            ),
            summary_metrics=raw(summary),
        )
        for i, (config, summary) in enumerate(blobs)
    ]
    frame, imprecise = read(nodes)
    rows = [flat("config", config) | flat("summary", summary) for config, summary in blobs]
    names = {name for row in rows for name in row}
    assert {name for name in frame.columns if name not in RUN_COLUMNS} == names
    assert frame["run_id"].to_list() == [node.name for node in nodes]
    for name in names:
        values = [row.get(name) for row in rows]
        dtype, expected = column(values)
        if dtype != pl.String():
            assert_column(frame[name], dtype, expected)
            continue
        assert frame.schema[name] == pl.String()
        for got, value in zip(frame[name].to_list(), values, strict=True):
            assert (
                got == value
                if isinstance(value, str) or value is None
                else json.loads(got) == value
            )
    assert not imprecise


def test_config_leaves_are_unwrapped_and_the_sdks_own_are_dropped():
    config = {
        "lr": {"value": 0.1, "desc": None},
        "bare": 3,
        "nested": {"value": {"value": {"value": 1}, "x": 2}},
        "_wandb": {"value": {"t": {}}},
        "wandb_version": {"value": 1},
    }
    summary = {
        "_wandb": {"runtime": 3},
        "_step": 5,
        "media": {"_type": "image-file", "path": "x"},
        "empty": {},
    }
    found = run_leaves(
        RunNode(name="r", config=raw(config), summary_metrics=raw(summary)), where="run r"
    )
    assert {name: json.loads(bytes(value)) for name, value in found.items()} == {
        "config.lr": 0.1,
        "config.bare": 3,
        "config.nested.value.value": 1,
        "config.nested.x": 2,
        "summary._step": 5,
        "summary.media": {"_type": "image-file", "path": "x"},
        "summary.empty": {},
    }


@pytest.mark.parametrize("value", ['"text"', "3", "[1]", '"[1, 2]"', '""', "null"])
def test_a_config_that_is_no_object_has_no_keys(value):
    assert run_leaves(RunNode(name="r", config=msgspec.Raw(value.encode())), where="run r") == {}


def test_an_object_is_taken_also_when_it_is_no_text():
    node = RunNode(name="r", config=msgspec.Raw(b'{"lr": {"value": 1}}'))
    assert run_leaves(node, where="run r") == {"config.lr": msgspec.Raw(b"1")}


def test_a_config_that_is_broken_json_names_the_run():
    node = RunNode(name="r7", config=msgspec.Raw(b'"{\\"lr\\": "'))
    with pytest.raises(AnswerError, match=r"the config of run 'r7' of e/p"):
        buffer_of(node)


def test_depth_has_an_end():
    deep = 1
    for _ in range(200):
        deep = {"d": deep}
    [(name, value)] = run_leaves(
        RunNode(name="r", summary_metrics=raw(deep)), where="run r"
    ).items()
    assert name == "summary" + ".d" * 33
    assert json.loads(bytes(value)).keys() == {"d"}


def test_numbers_of_every_spelling():
    text = (
        '{"a": NaN, "b": -Infinity, "c": "NaN", "d": 1e400, "e": 12345678901234567890123, "f": 1.0}'
    )
    frame, imprecise = read(
        [RunNode(name="r", summary_metrics=msgspec.Raw(json.dumps(text).encode()))]
    )
    row = frame.row(0, named=True)
    assert str(row["summary.a"]) == "nan" == str(row["summary.c"])
    assert (row["summary.b"], row["summary.d"]) == (float("-inf"), float("inf"))
    assert row["summary.e"] == pytest.approx(1.2345678901234568e22)
    assert imprecise == {"summary.e"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-05T08:00:00Z", datetime(2026, 1, 5, 8, tzinfo=timezone.utc)),
        ("2026-01-05T08:00:00", datetime(2026, 1, 5, 8, tzinfo=timezone.utc)),
        ("2026-01-05 08:00:00", datetime(2026, 1, 5, 8, tzinfo=timezone.utc)),
        ("2026-01-05T08:00:00.5Z", datetime(2026, 1, 5, 8, 0, 0, 500_000, tzinfo=timezone.utc)),
        (
            "2026-01-05T08:00:00.123456789Z",
            datetime(2026, 1, 5, 8, 0, 0, 123_456, tzinfo=timezone.utc),
        ),
        ("2026-01-05T08:00:00+00:00", datetime(2026, 1, 5, 8, tzinfo=timezone.utc)),
        (
            "2026-01-05T08:00:00.25+0000",
            datetime(2026, 1, 5, 8, 0, 0, 250_000, tzinfo=timezone.utc),
        ),
        ("2026-01-05 08:00:00 UTC", datetime(2026, 1, 5, 8, tzinfo=timezone.utc)),
        ("2026-01-05T08:00:00+02:00", datetime(2026, 1, 5, 6, tzinfo=timezone.utc)),
        ("2026-01-05 08:00:00.5-0530", datetime(2026, 1, 5, 13, 30, 0, 500_000, timezone.utc)),
        (1767600000, datetime(2026, 1, 5, 8, tzinfo=timezone.utc)),
        ("1767600000250", datetime(2026, 1, 5, 8, 0, 0, 250_000, timezone.utc)),
        (None, None),
    ],
)
def test_times(text, expected):
    frame, _ = runs_frame(
        buffer_of(RunNode(name="r", created_at=text)), runs_schema(["created_at"], {}, {})
    )
    assert frame["created_at"].to_list() == [expected]
    assert frame.schema["created_at"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize("text", ["yesterday", "", "2026-01-05T08:00:00+", "2026-13-05T08:00:00Z"])
def test_times_of_no_known_form_are_errors(text):
    with pytest.raises(AnswerError, match="`heartbeat_at`: cannot read the time"):
        runs_frame(
            buffer_of(RunNode(name="r", heartbeat_at=text)), runs_schema(["heartbeat_at"], {}, {})
        )


def test_metadata():
    node = RunNode(
        name="r", display_name="n", user={"name": "Ada"}, tags=None, history_line_count=3.0
    )
    other = RunNode(name="s", user={"username": "ada", "name": "Ada"}, tags=["x"])
    columns = ["entity", "project", "run_id", "name", "user", "tags", "history_line_count", "sweep"]
    frame, _ = runs_frame(buffer_of(node, other), runs_schema(columns, {}, {}))
    assert frame.rows() == [
        ("e", "p", "r", "n", "Ada", [], 3, None),
        ("e", "p", "s", None, "ada", ["x"], None, None),
    ]


def test_no_runs_give_every_column():
    schema = runs_schema(None, {"config.a": frozenset({"number"})}, {})
    frame, _ = runs_frame(RunsBuffer(), schema)
    assert frame.schema == pl.Schema(dict(schema.columns))
    assert frame.height == 0


def test_a_value_that_does_not_fit_is_an_error():
    buffer = buffer_of(RunNode(name="r", summary_metrics=raw({"a": "text"})))
    with pytest.raises(SchemaMismatchError, match=r"summary\.a"):
        runs_frame(buffer, RunsSchema(columns={"summary.a": pl.Float64()}))
