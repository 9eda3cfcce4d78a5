"""Rows whose keys came nested are read as those with dots."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbframe.core.decode.nested import flat_rows

VALUES = st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.just({"_type": "image-file"})
NAMES = st.text("abc", min_size=1, max_size=2)
ROWS = st.lists(
    st.dictionaries(
        NAMES, st.recursive(VALUES, lambda inner: st.dictionaries(NAMES, inner, max_size=3))
    ),
    max_size=4,
)


def plain(row):
    """Flatten one row, the plain way; a null never takes the place of a value."""
    found = {}

    def walk(name, value):
        if isinstance(value, dict) and value and "_type" not in value:
            for key, each in value.items():
                walk(f"{name}.{key}", each)
        elif name not in found or value is not None:
            found[name] = value

    for key, value in row.items():
        walk(key, value)
    return found


@given(ROWS, st.sampled_from([(",", ":"), (", ", ": ")]))
def test_nesting_is_dots(rows, separators):
    text = json.dumps(rows, separators=separators).encode()
    assert json.loads(flat_rows(text)) == [plain(row) for row in rows]


@pytest.mark.parametrize(
    "text", [b"[]", b'[{"a.b": 1}]', b'[{"a": {"_type": "histogram"}}]', b'[{"a": {}}]', b"[3]"]
)
def test_what_is_not_nested_is_given_as_it_came(text):
    assert flat_rows(text) is text


def test_what_is_no_json_is_left_to_whoever_decodes_it():
    assert flat_rows(b'[3, {"a": {"b": 1}}]') == b'[3, {"a": {"b": 1}}]'
