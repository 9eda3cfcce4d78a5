"""Rows whose keys came nested -> rows with dotted keys, as most servers give them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from wbframe.core.decode.json import decode_any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["flat_rows", "members", "object_of"]

_row_dicts = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL = b"null"
# Deeper objects stay JSON text: nobody's config nests so far, and recursion has an end.
_MOST_LEVELS = 32


def flat_rows(raw: bytes | msgspec.Raw, *, where: str = "") -> bytes | msgspec.Raw:
    """Give rows with dots in place of nesting; rows without are given as they came, and are not parsed.

    Media and histograms, which have a `_type`, and empty objects are values. Errors say `where` they are of.

    Examples
    --------
    >>> flat_rows(b'[{"_step": 0, "opt": {"m": 1, "v": {"w": null}}}]')
    b'[{"_step":0,"opt.m":1,"opt.v.w":null}]'
    >>> flat_rows(b'[{"hist": {"_type": "histogram"}}]')
    b'[{"hist": {"_type": "histogram"}}]'
    """
    text = bytes(raw)
    # Counting is far faster than parsing; a `_type` comes first where the SDK writes it.
    objects = text.count(b'":{') + text.count(b'": {')
    if not objects:
        return raw
    values = sum(text.count(each) for each in (b'":{"_type"', b'": {"_type"', b'":{}', b'": {}'))
    if objects <= values:
        return raw
    try:
        rows = decode_any(_row_dicts, text, where=where)
    except msgspec.ValidationError:
        return raw  # whoever decodes it says what is wrong
    flat = [_flat(row) for row in rows]
    return raw if flat == rows else msgspec.json.encode(flat)


def _flat(row: dict[str, msgspec.Raw]) -> dict[str, msgspec.Raw]:
    """Give one row with dotted keys; a null never takes the place of a value."""
    found: dict[str, msgspec.Raw] = {}
    for key, value in row.items():
        for name, cell in _leaves(key, value, 0):
            if name not in found or bytes(cell) != _NULL:
                found[name] = cell
    return found


def members(value: msgspec.Raw, level: int) -> dict[str, msgspec.Raw] | None:
    """Give what lies within a value, so many levels deep; None or nothing where it is one itself."""
    inner = object_of(value) if level < _MOST_LEVELS else None
    return None if inner is None or "_type" in inner else inner


def object_of(value: msgspec.Raw) -> dict[str, msgspec.Raw] | None:
    """Open a JSON object; None for anything else."""
    return _object.decode(value) if bytes(value).lstrip()[:1] == b"{" else None


def _leaves(key: str, value: msgspec.Raw, level: int) -> Iterator[tuple[str, msgspec.Raw]]:
    """Give the values below a key."""
    inner = members(value, level)
    if not inner:
        yield key, value
        return
    for name, each in inner.items():
        yield from _leaves(f"{key}.{name}", each, level + 1)
