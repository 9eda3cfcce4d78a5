"""History rows read value by value, by the spelling of each.

This is the reading that decides what a value is. `wbframe.core.decode.rows` goes through polars where
that gives the same, and comes here with the columns for which it may not. Two steps:

*typed*
    one decoding of the rows into a struct that has a field a column. A value of a kind that the
    column cannot take, or a number that `float` cannot hold to the digit, sends on to
*cell by cell*
    each value as the bytes it was spelled with, read by a function made for the column's dtype.

Bytes that are JSON only by Python's measure are respelled, once the strict reading has failed.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from wbframe.core.decode.cells import (
    LIMIT,
    LISTS,
    NON_FINITE,
    RAW,
    TYPES,
    MisfitError,
    kind_of,
    reader_of,
)
from wbframe.core.decode.json import decode_any, told
from wbframe.errors import AnswerError, SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from wbframe.core.decode.cells import Reader

    Table = tuple[int, dict[str, Sequence[Any]]]  # the height, and the columns


__all__ = ["Columns", "fits_float", "narrow", "read_columns"]

_SHOWN = 60  # characters of a value in a message
_NULL = msgspec.Raw(b"null")

# A name that msgspec does not take as a field's, as it would have to be escaped in JSON.
_ODD_NAME = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
_dict_rows = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


@dataclass(frozen=True, slots=True)
class Columns:
    """Some columns of a list of rows.

    Attributes
    ----------
    series
        The columns by name, in the order asked.
    imprecise
        The names of those in which an integer has more digits than its Float64 holds.
    height
        How many rows there are.
    """

    series: dict[str, pl.Series]
    imprecise: frozenset[str]
    height: int


def read_columns(
    raw: bytes,
    columns: Mapping[str, pl.DataType],
    *,
    where: str,
    lenient: Collection[str] = (),
) -> Columns:
    """Read columns out of a JSON array of row objects, exactly.

    Parameters
    ----------
    raw
        The array. Python's extensions to JSON are understood: bare ``NaN``, ``Infinity`` and
        ``-Infinity``, control characters in strings, lone surrogates (read as U+FFFD).
    columns
        Key as it stands in the rows, and the dtype it shall have.
    where
        What is read, for the messages of errors.
    lenient
        Columns that take numbers and booleans spelled out in text.

    Returns
    -------
    Columns
        One series a key, each with one value a row; null where the row lacks the key.

    Raises
    ------
    AnswerError
        `raw` is no JSON array of objects.
    SchemaMismatchError
        A value does not fit its dtype.
    UsageError
        A dtype is none of those a history column can have.

    Examples
    --------
    >>> rows = b'[{"a": 1e400}, {"a": "NaN"}]'
    >>> read_columns(rows, {"a": pl.Float64()}, where="").series["a"].to_list()
    [inf, nan]
    """
    lost: dict[str, list[bytes]] = {name: [] for name in columns}
    readers = {
        name: reader_of(name, dtype, lost[name], lenient=name in lenient)
        for name, dtype in columns.items()
    }
    kinds = {name: kind_of(dtype) for name, dtype in columns.items()}
    if any(map(_ODD_NAME.search, columns)):
        kinds = dict.fromkeys(columns, RAW)
    # Not as text: the first list or object under such a key would end the typed step for all.
    kinds = {name: RAW if kind == "text" else kind for name, kind in kinds.items()}
    try:
        height, values = _by_column(raw, kinds, where)
    except msgspec.ValidationError:
        kinds = dict.fromkeys(columns, RAW)
        height, values = _cells(raw, kinds, where)
    settled = {
        name: _settle(values[name], dtype) for name, dtype in columns.items() if kinds[name] != RAW
    }
    again = [name for name, series in settled.items() if series is None]
    if again:
        values.update(_cells(raw, dict.fromkeys(again, RAW), where)[1])
    series = {}
    for name, dtype in columns.items():
        done = settled.get(name)
        if done is None:
            done = _from_cells(name, values[name], dtype, readers[name], where)
        series[name] = done.alias(name)
    return Columns(series, frozenset(name for name, cells in lost.items() if cells), height)


def fits_float(series: pl.Series) -> bool:
    """Say whether every integer that reads as a finite value of this Float64 series is exact in it.

    Examples
    --------
    >>> fits_float(pl.Series([1.5, None, 2.0**52])), fits_float(pl.Series([2.0**53]))
    (True, False)
    """
    finite = series if math.isfinite(_peak(series)) else series.filter(series.is_finite())
    return _peak(finite) < LIMIT


def narrow(series: pl.Series, dtype: pl.DataType) -> pl.Series | None:
    """Cast a Float64 series that `fits_float` to another numeric dtype.

    Gives None if a value would change. To Float32 values are rounded, as was asked for; a finite
    one that would become infinite counts as changed.

    Examples
    --------
    >>> narrow(pl.Series([1.0, None]), pl.Int8()).to_list(), narrow(pl.Series([1.5]), pl.Int8())
    ([1, None], None)
    """
    if dtype == pl.Float64:
        return series
    cast = series.cast(dtype, strict=False)
    if dtype == pl.Float32:
        return None if (cast.is_infinite() & series.is_finite()).any() else cast
    same = cast.null_count() == series.null_count() and (cast.cast(pl.Float64) == series).all()
    return cast if same else None


# -- rows ------------------------------------------------------------------------------------------


@lru_cache(maxsize=128)
def _row_decoder(fields: tuple[tuple[str, str], ...]) -> msgspec.json.Decoder[list[Any]]:
    """Make the decoder of rows that keeps these fields and skips the rest."""
    defaults = {RAW: _NULL}
    row = msgspec.defstruct(
        "Row",
        [
            (f"c{at}", TYPES[kind], msgspec.field(name=name, default=defaults.get(kind)))
            for at, (name, kind) in enumerate(fields)
        ],
        gc=False,
    )
    return msgspec.json.Decoder(list[row])  # type: ignore[valid-type]


def _by_column(raw: bytes, kinds: Mapping[str, str], where: str) -> Table:
    """Decode rows, and turn them into columns of Python values."""
    if any(map(_ODD_NAME.search, kinds)):
        found = decode_any(_dict_rows, raw, where=where)
        return len(found), {name: [row.get(name, _NULL) for row in found] for name in kinds}
    rows = decode_any(_row_decoder(tuple(kinds.items())), raw, where=where)
    values = zip(*map(msgspec.structs.astuple, rows), strict=True) if rows else ((),) * len(kinds)
    return len(rows), dict(zip(kinds, values, strict=False))


def _cells(raw: bytes, kinds: Mapping[str, str], where: str) -> Table:
    """Do `_by_column` for columns of raw cells, for which only the rows themselves can be wrong."""
    try:
        return _by_column(raw, kinds, where)
    except msgspec.ValidationError as error:
        raise AnswerError(told(where, f"the rows must be a list of objects: {error}")) from error


# -- columns ---------------------------------------------------------------------------------------


def _peak(series: pl.Series) -> float:
    """Give the largest magnitude in a Float64 series; 0.0 where it has no value."""
    low, high = series.min(), series.max()
    if not isinstance(low, float) or not isinstance(high, float):
        return 0.0
    return max(-low, high)


def _settle(values: Sequence[Any], dtype: pl.DataType) -> pl.Series | None:
    """Make the column from values of its kind, or None if they leave a doubt."""
    if dtype.is_integer():
        # 12.0 and 1e3 come as floats; which integers they are to the digit, only their spelling tells.
        if float in set(map(type, values)):
            return None
        try:
            return pl.Series(values, dtype=dtype)
        except (TypeError, OverflowError):
            return None
    if not dtype.is_float():
        return pl.Series(values, dtype=dtype)
    try:
        series = pl.Series(values, dtype=pl.Float64)
    except TypeError:
        if any(type(value) is str and value not in NON_FINITE for value in values):
            return None
        numbers = [NON_FINITE[value] if type(value) is str else value for value in values]
        series = pl.Series(numbers, dtype=pl.Float64)
    return narrow(series, dtype) if fits_float(series) else None


def _from_cells(
    name: str, cells: Sequence[msgspec.Raw], dtype: pl.DataType, read: Reader, where: str
) -> pl.Series:
    """Make a column from its cells, all at once where they are of one kind, else one by one."""
    joined = b",".join(cells)
    kind = kind_of(dtype)
    if kind != RAW:
        try:
            settled = _settle(LISTS[kind].decode(b"[%b]" % joined), dtype)
        except msgspec.ValidationError:
            settled = None
        if settled is not None:
            return settled
    if kind == "text" and not any(mark in joined for mark in (b'"', b"[", b"{")):
        spelled = joined.decode().split(",")
        return pl.Series([None if each == "null" else each for each in spelled], dtype=dtype)
    values: list[Any] = []
    try:
        for cell in cells:
            values.append(read(bytes(cell)))  # noqa: PERF401 - the length tells which one was wrong
    except MisfitError:
        raise _mismatch(name, bytes(cells[len(values)]), dtype, where) from None
    return pl.Series(values, dtype=dtype)


def _mismatch(name: str, cell: bytes, dtype: pl.DataType, where: str) -> SchemaMismatchError:
    """Make the error for a value that does not fit."""
    text = cell.decode()
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    shown = shown.encode("unicode_escape").decode() if not shown.isprintable() else shown
    number = (dtype.is_integer() or dtype.is_decimal()) and cell[:1] in b"-0123456789"
    error = SchemaMismatchError(
        told(
            where,
            f"key {name!r} holds {shown}, which is no {dtype};"
            f" `schema_overrides={{{name!r}: pl.{'Float64' if number else 'String'}}}` takes it",
        )
    )
    error.key = name
    return error
