"""Columns of Python objects -> a polars frame, each column of the narrowest type that holds every value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from wbframe.core.decode.cells import NON_FINITE
from wbframe.core.decode.json import decode_any
from wbframe.core.decode.spelling import one_spelling
from wbframe.core.decode.taken import taken_in
from wbframe.core.model import EXACT
from wbframe.dropin.columns import (
    ABSENT,
    MISSING,
    at_once,
    held,
    keys_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from wbframe.dropin.columns import Chunk, Columns

__all__ = ["column", "dtype_of_values", "float_or_none", "loses_digits", "polars_frame"]

Row = dict[str, Any]

_NUMBERS = frozenset({int, float})
_NUMERIC = frozenset({int, float, str})
_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)
_NULL = pl.Null()
_FLOAT = pl.Float64()
_raw = msgspec.json.Decoder(msgspec.Raw)
_TEXT = pl.String()


def polars_frame(
    columns: Columns, *, text: Collection[str] = ()
) -> tuple[pl.DataFrame, frozenset[str]]:
    """Build a frame whose columns are sorted by name.

    Parameters
    ----------
    columns
        The rows.
    text
        Keys known to hold text, in which ``"NaN"`` is a word and no number.

    Returns
    -------
    tuple
        The frame, 0 x 0 without rows, and the columns in which Float64 lost digits of an integer.

    Examples
    --------
    >>> from wbframe.dropin.columns import Columns
    >>> frame, _ = polars_frame(Columns([{"b": 1}, {"b": 2.5, "a": "x"}]))
    >>> frame.columns, frame.dtypes
    (['a', 'b'], [String, Float64])
    """
    found = {}
    imprecise = set()
    for name, chunks in sorted(columns.framed.items()):
        with taken_in(f"the values of {name!r}"):
            found[name], lost = joined(name, chunks, text=name in text)
        if lost:
            imprecise.add(name)
    return pl.DataFrame(found), frozenset(imprecise)


def joined(name: str, chunks: Sequence[Chunk], *, text: bool = False) -> tuple[pl.Series, bool]:
    """Do `column` for chunks, at once where they are of one type or numbers that Float64 holds."""
    quick = at_once(chunks, text=text, gaps=True)
    if quick is not None:
        return quick.alias(name), False
    return column(name, [cell for chunk in chunks for cell in chunk.cells], text=text)


def column(name: str, values: Sequence[Any], *, text: bool = False) -> tuple[pl.Series, bool]:
    """Build one column; also tell whether Float64 lost digits of an integer.

    Integers are Int64 (UInt64 where they must be), Float64 beside fractions or beyond 64 bits;
    numbers beside the names of non-finite ones are Float64; lists are List and objects Struct, of the
    union of their items and fields; values of different kinds are String, each but text as JSON.
    """
    kinds = frozenset(map(type, values))
    if type(MISSING) in kinds:
        values = [None if value is MISSING else value for value in values]
    dtype = dtype_of_values(values, text=text)
    lost = dtype == pl.Float64 and int in kinds and any(map(loses_digits, values))
    try:
        return pl.Series(name, _fitting(values, dtype, kinds), dtype=dtype), lost
    except UnicodeEncodeError:
        values = list(map(held, values))
        dtype = dtype_of_values(values, text=text)
        return pl.Series(name, _fitting(values, dtype, kinds), dtype=dtype), lost


def _fitting(values: Sequence[Any], dtype: pl.DataType, kinds: frozenset[type]) -> Sequence[Any]:
    """Turn values into what a column of the dtype takes, where some are not that."""
    if kinds - ABSENT <= _PLAIN.get(type(dtype), frozenset()):
        return values
    return [_fit(value, dtype) for value in values]


# What a column of the dtype is made of without looking at each value.
_PLAIN = {
    pl.Null: frozenset[type](),
    pl.Float64: frozenset({float}),
    pl.Int64: frozenset({int}),
    pl.UInt64: frozenset({int}),
    pl.Boolean: frozenset({bool}),
    pl.String: frozenset({str}),
}


def dtype_of_values(values: Sequence[Any], *, text: bool = False) -> pl.DataType:
    """Give the narrowest dtype that holds all values.

    Examples
    --------
    >>> dtype_of_values([1, 2.5, "NaN"]), dtype_of_values([1, "one"])
    (Float64, String)
    >>> dtype_of_values([[1], [], None])
    List(Int64)
    """
    # All are looked at: the SDK's frames are of the first 100 rows' types, so that a later 1.5 becomes 1.
    # https://docs.pola.rs/api/python/stable/reference/api/polars.from_records.html
    kinds = set(map(type, values)) - ABSENT
    if not kinds:
        return _NULL
    if kinds == {int}:
        return _integers(values)
    if kinds <= {int, float}:
        return _FLOAT
    if kinds == {bool}:
        return pl.Boolean()
    if kinds <= {int, float, str} and not text and _are_numbers(values):
        return _FLOAT
    if kinds == {list}:
        return pl.List(
            dtype_of_values([item for each in values if type(each) is list for item in each])
        )
    if kinds == {dict}:
        return _struct([each for each in values if type(each) is dict])
    return _TEXT


def _integers(values: Sequence[Any]) -> pl.DataType:
    """Choose among the integer dtypes."""
    known = [value for value in values if type(value) is int]
    low, high = min(known), max(known)
    if low in _INT64 and high in _INT64:
        return pl.Int64()
    # Rare: integers beyond 2**63 - 1 are uploaded as floats.
    return pl.UInt64() if low in _UINT64 and high in _UINT64 else _FLOAT


def _are_numbers(values: Sequence[Any]) -> bool:
    """Tell whether all text is the name of a non-finite number."""
    return all(type(value) is not str or value in NON_FINITE for value in values)


def _struct(values: Sequence[Row]) -> pl.DataType:
    """Unite the fields of objects; objects without any field have no better type than text."""
    # polars would take the fields of a struct from the first value alone.
    names = keys_of(values)
    if not names:
        return _TEXT
    return pl.Struct(
        {name: dtype_of_values([value.get(name) for value in values]) for name in names}
    )


def loses_digits(value: Any) -> bool:
    """Tell whether a value is an integer that no Float64 equals.

    Examples
    --------
    >>> loses_digits(2**53 + 1), loses_digits(2**60), loses_digits(0.5)
    (True, False, False)
    """
    if type(value) is not int or -EXACT <= value <= EXACT:
        return False
    try:
        return int(float(value)) != value
    except OverflowError:
        return True


def float_or_none(value: Any) -> float | None:
    """Read a number or the name of a non-finite one; None for None.

    Examples
    --------
    >>> float_or_none("-Infinity"), float_or_none(3)
    (-inf, 3.0)
    """
    if value is None:
        return None
    if type(value) is str:
        return NON_FINITE[value]
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _json(value: Any) -> str:
    """Spell a value as JSON; lists and objects as in every other frame, so that equal ones are equal."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(value, dict | list):
        return text
    return one_spelling(bytes(decode_any(_raw, text.encode(), where="")))


def _fit(value: Any, dtype: pl.DataType) -> Any:
    """Turn a value into what a column of the dtype takes."""
    if value is None:
        return None
    if dtype == pl.Float64:
        return float_or_none(value)
    if dtype == pl.String:
        return value if type(value) is str else _json(value)
    if isinstance(dtype, pl.List):
        inner: Any = dtype.inner
        return [_fit(item, inner) for item in value]
    if isinstance(dtype, pl.Struct):
        return {field.name: _fit(value.get(field.name), field.dtype) for field in dtype.fields}  # type: ignore[arg-type]
    return value
