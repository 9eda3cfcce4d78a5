"""The JSON of rows -> Python objects, and columns of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.core.decode.json import told
from wbframe.core.decode.rows import array_of
from wbframe.core.decode.taken import taken_in
from wbframe.core.model import STEP
from wbframe.dropin.columns import MISSING, keys_of, lacking
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "Cells",
    "RowShape",
    "Texts",
    "from_json",
    "objects",
    "side_by_side",
    "united",
    "values_at",
]

Row = dict[str, Any]
# An array of rows in JSON, or the JSON of each row.
Texts = bytes | msgspec.Raw | list[str]
# How many rows there are, and key -> one value a row, `MISSING` where it is not.
Cells = tuple[int, dict[str, Sequence[Any]]]

_row = msgspec.json.Decoder(dict[str, Any])
_rows = msgspec.json.Decoder(list[dict[str, Any]])
# A name that msgspec does not take as a field's, as it would have to be escaped in JSON.
_ODD_NAME = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')


def from_json(text: str | bytes | msgspec.Raw) -> Any:
    """Read JSON by the rules of Python's `json`: NaN is a float, integers have any size.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> from_json('{"a": [NaN, 1]}')
    {'a': [nan, 1]}
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        # As the SDK reads: control characters occur in summaries, and integers have any size.
        return json.loads(text if isinstance(text, str) else bytes(text), strict=False)


def values_at(found: Any, key: str) -> list[Any]:
    """Give the value that nested dicts have under a key, whichever of its dots nest it; none if they have none.

    Examples
    --------
    >>> values_at({"a": {"b.c": 1}}, "a.b.c"), values_at({"a": 1}, "a.b")
    ([1], [])
    """
    if not isinstance(found, dict):
        return []
    if key in found:
        return [found[key]]
    below = (name for name in found if key.startswith(f"{name}."))
    return next(filter(None, (values_at(found[each], key[len(each) + 1 :]) for each in below)), [])


def objects(raw: Texts, *, where: str = "") -> list[Row]:
    """Read objects, a JSON array of them or one text each, by the rules of Python's `json`.

    Raises
    ------
    AnswerError
        If it is no such array.

    Examples
    --------
    >>> objects(b'[{"a": NaN, "b": 1}]')
    [{'a': nan, 'b': 1}]
    """
    with taken_in(where or "the rows"):
        try:
            return list(map(_row.decode, raw)) if isinstance(raw, list) else _rows.decode(raw)
        except (msgspec.DecodeError, RecursionError):
            array = array_of(raw, where=where) if isinstance(raw, list) else bytes(raw)
            return _objects_slowly(array, where)


def _objects_slowly(raw: bytes, where: str) -> list[Row]:
    """Read what is JSON by Python's measure only."""
    try:
        found = json.loads(raw, strict=False)
    except ValueError as error:
        raise AnswerError(told(where, f"the rows are not JSON: {error}")) from error
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise AnswerError(told(where, "the rows must be a list of objects"))
    return found


class RowShape:
    """What keys the rows of a project's runs hold, learned from the first of them.

    Rows that hold no other key are then read into columns with no dict a row. Threads may share one.

    Parameters
    ----------
    keys
        What the rows are expected to hold.

    Examples
    --------
    >>> RowShape().cells(b'[{"a": 1, "b": 2}, {"a": 3, "b": 4}]')
    (2, {'a': [1, 3], 'b': [2, 4]})
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = tuple(dict.fromkeys(keys))

    def cells(self, raw: Texts, *, where: str = "") -> Cells:
        """Read rows: how many there are, and key -> one value a row, `MISSING` where it is not.

        Raises
        ------
        AnswerError
            As `objects`.
        """
        with taken_in(where or "the rows"):
            return self._cells(raw, where)

    def _cells(self, raw: Texts, where: str) -> Cells:
        """Read rows at once if they hold no other keys than these before, else object by object."""
        if not self._keys and isinstance(raw, list) and raw:
            self._learn(list(objects(raw[:1], where=where)[0]))
        keys = self._keys
        if keys:
            try:
                one, many = _shaped(keys)
                rows = list(map(one.decode, raw)) if isinstance(raw, list) else many.decode(raw)
            except (msgspec.DecodeError, RecursionError):
                pass
            else:
                columns = zip(*map(msgspec.structs.astuple, rows), strict=True)
                found = zip(keys, columns, strict=bool(rows))
                return len(rows), {key: cells for key, cells in found if not lacking(cells)}
        found_rows = objects(raw, where=where)
        own = keys_of(found_rows)
        self._learn(own)
        return len(found_rows), {key: [row.get(key, MISSING) for row in found_rows] for key in own}

    def _learn(self, own: list[str]) -> None:
        """Expect the keys of these rows too; only them, if they are few beside those of other rows."""
        if any(map(_ODD_NAME.search, own)):
            return
        both = tuple(dict.fromkeys([*self._keys, *own]))
        self._keys = both if len(both) <= 2 * len(own) else tuple(own)


@lru_cache(maxsize=32)
def _shaped(
    keys: tuple[str, ...],
) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[list[Any]]]:
    """Make the decoders of a row that holds these keys and no other, and of an array of such."""
    fields = [
        (f"c{at}", Any, msgspec.field(name=key, default=MISSING)) for at, key in enumerate(keys)
    ]
    # A key besides is an error, after which the rows are read key by key: none may be lost.
    row = msgspec.defstruct("Row", fields, gc=False, forbid_unknown_fields=True)
    return msgspec.json.Decoder(row), msgspec.json.Decoder(list[row])  # type: ignore[valid-type]


# ---------------------------------------------------------------- several specs of one run


def united(parts: Iterable[list[Row]]) -> list[Row]:
    """Unite the rows of several specs by step, first with first where a step has several rows.

    Examples
    --------
    >>> united([[{"_step": 0, "a": 1}], [{"_step": 0, "b": 2}, {"_step": 1, "b": 3}]])
    [{'_step': 0, 'a': 1, 'b': 2}, {'_step': 1, 'b': 3}]
    """
    found: dict[tuple[Any, int], Row] = {}
    for rows in parts:
        seen: dict[Any, int] = {}
        # One step may have several rows, of which the specs say no more than their order.
        for row in rows:
            step = row.get(STEP)
            if step is None:
                raise AnswerError(
                    "rows came without `_step`, by which those of several keys are put together;"
                    " ask with match='all'"
                )
            seen[step] = seen.get(step, -1) + 1
            found.setdefault((step, seen[step]), {}).update(row)
    return [found[place] for place in sorted(found)]


def side_by_side(parts: Sequence[Cells]) -> Cells | None:
    """Do `united` for columns of the same steps, in their order; None for others.

    Examples
    --------
    >>> side_by_side([(2, {"_step": [0, 1], "a": [1, 2]}), (2, {"_step": [0, 1], "b": [3, 4]})])
    (2, {'_step': [0, 1], 'a': [1, 2], 'b': [3, 4]})
    """
    held = [part for part in parts if part[0]]
    if not held:
        return 0, {}
    steps = list(held[0][1].get(STEP, ()))
    if not {int, float}.issuperset(map(type, steps)) or steps != sorted(steps):
        return None
    found: dict[str, Sequence[Any]] = {}
    for _, cells in held:
        if list(cells.get(STEP, ())) != steps:
            return None
        if any(key != STEP and MISSING in cells[key] for key in found.keys() & cells.keys()):
            return None
        found |= cells
    return held[0][0], found
