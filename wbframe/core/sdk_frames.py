"""Rows as Python objects -> columns: the union of all keys, each of the narrowest type that holds every value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.exact import NON_FINITE, fits_float

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = [
    "MISSING",
    "Columns",
    "column",
    "dtype_of_values",
    "float_or_none",
    "loses_digits",
    "polars_frame",
]

Row = dict[str, Any]

MISSING = object()
"""Stands where a row lacks the key; a logged null is None."""

ABSENT = frozenset({type(None), type(MISSING)})
"""The types of what stands where there is no value."""

_LACKING = frozenset({type(MISSING)})
_NUMBERS = frozenset({int, float})

_INT64 = range(-(2**63), 2**63)
_UINT64 = range(2**64)
_EXACT = 2**53
_NULL = pl.Null()
_FLOAT = pl.Float64()
_TEXT = pl.String()
_SERIES: dict[type, pl.DataType] = {
    float: _FLOAT, int: pl.Int64(), bool: pl.Boolean(), str: _TEXT
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some values of one column.

    Attributes
    ----------
    values
        A series stands for values of one type; its nulls are `MISSING`. Anything else is as it came.
    kinds
        The types of the values.
    """

    values: pl.Series | Sequence[Any]
    kinds: frozenset[type]

    @property
    def cells(self) -> Sequence[Any]:
        """The values as they came."""
        if not isinstance(self.values, pl.Series):
            return self.values
        found: list[Any] = self.values.to_list()
        return _filled(found) if self.values.null_count() else found


class Columns:
    """Rows turned into columns, as they come.

    Attributes
    ----------
    height
        How many rows there are.

    Examples
    --------
    >>> columns = Columns([{"b": 1}, {"b": 2}], run_id="r1")
    >>> columns.add([{"b": 3}], run_id="r2")
    >>> columns.cells
    {'b': [1, 2, 3], 'run_id': ['r1', 'r1', 'r2']}
    """

    def __init__(self, rows: Sequence[Row] = (), **same: Any) -> None:
        self.height = 0
        self._chunks: dict[str, list[tuple[int, Chunk]]] = {}  # each with its first row
        self._open: dict[
            str, list[Any]
        ] = {}  # rows since the last `settle`, from row `_settled` on
        self._settled = 0
        self.add(rows, **same)

    def add(self, rows: Sequence[Row], **same: Any) -> None:
        """Add rows; `same` are columns in which all of them have one value."""
        if not rows:
            return
        names = list(rows[0])
        cells: dict[str, Sequence[Any]]
        if all(list(row) == names for row in rows):
            cells = dict(zip(names, zip(*map(dict.values, rows), strict=True), strict=True))
        else:
            cells = {name: [row.get(name, MISSING) for row in rows] for name in keys_of(rows)}
        self.add_cells(cells, len(rows), **same)

    def add_cells(self, cells: Mapping[str, Sequence[Any]], count: int, **same: Any) -> None:
        """Add `count` rows that are columns already; `MISSING` stands where a row lacks the key."""
        if not count:
            return
        parts = {**cells, **{name: [value] * count for name, value in same.items()}}
        for name, part in parts.items():
            if name not in self._open:
                self._open[name] = [MISSING] * (self.height - self._settled)
            self._open[name] += part
        for name in self._open.keys() - parts.keys():
            self._open[name] += [MISSING] * count
        self.height += count

    def settle(self) -> None:
        """Turn what was added into series, as far as its values are of one type."""
        for name, cells in self._open.items():
            self._chunks.setdefault(name, []).append((self._settled, chunk_of(cells)))
        self._open = {}
        self._settled = self.height

    def extend(self, more: Columns) -> None:
        """Add the rows of other columns."""
        self.settle()
        more.settle()
        for name, chunks in more._chunks.items():
            shifted = [(self.height + start, chunk) for start, chunk in chunks]
            self._chunks.setdefault(name, []).extend(shifted)
        self.height = self._settled = self.height + more.height

    @property
    def chunks(self) -> dict[str, list[Chunk]]:
        """Key -> all its values, in order; keys in the order in which they first come."""
        self.settle()
        return {name: self._whole(chunks) for name, chunks in self._chunks.items()}

    @property
    def cells(self) -> dict[str, list[Any]]:
        """Key -> one value a row, `MISSING` where the row lacks the key."""
        return {
            name: [cell for chunk in chunks for cell in chunk.cells]
            for name, chunks in self.chunks.items()
        }

    def _whole(self, chunks: list[tuple[int, Chunk]]) -> list[Chunk]:
        """Fill the gaps between chunks."""
        found: list[Chunk] = []
        at = 0
        for start, chunk in chunks:
            if start > at:
                found.append(_gap(start - at))
            found.append(chunk)
            at = start + len(chunk.values)
        if at < self.height:
            found.append(_gap(self.height - at))
        return found


def _gap(height: int) -> Chunk:
    """Give rows that lack the key."""
    return Chunk(pl.repeat(None, height, dtype=_NULL, eager=True), _LACKING)


def chunk_of(cells: Sequence[Any]) -> Chunk:
    """Make a chunk of values: a series, where nothing of them is lost in it."""
    kinds = frozenset(map(type, cells))
    known = kinds - _LACKING
    dtype = _SERIES.get(next(iter(known))) if len(known) == 1 else None
    if dtype is None:
        return Chunk(cells, kinds)
    plain = cells if kinds == known else _without(cells)
    try:
        return Chunk(pl.Series(plain, dtype=dtype), kinds)
    except (OverflowError, TypeError, UnicodeError):  # beyond 64 bits, a lone surrogate
        return Chunk(cells, kinds)


def lacking(cells: Sequence[Any]) -> bool:
    """Tell whether no row has the key."""
    return cells[0] is MISSING and all(cell is MISSING for cell in cells)


def _without(cells: Sequence[Any]) -> list[Any]:
    """Put None where a row lacks the key."""
    return [None if cell is MISSING else cell for cell in cells]


def _filled(cells: Sequence[Any]) -> list[Any]:
    """Put `MISSING` where a row lacks the key."""
    return [MISSING if cell is None else cell for cell in cells]


def keys_of(rows: Iterable[Row]) -> list[str]:
    """Give every key of the rows, in the order in which they first come.

    Examples
    --------
    >>> keys_of([{"b": 1}, {"a": 1, "b": 2}])
    ['b', 'a']
    """
    found: dict[str, None] = {}
    for row in rows:
        if not row.keys() <= found.keys():
            found.update(dict.fromkeys(row))
    return list(found)


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
    >>> frame, _ = polars_frame(Columns([{"b": 1}, {"b": 2.5, "a": "x"}]))
    >>> frame.columns, frame.dtypes
    (['a', 'b'], [String, Float64])
    """
    found = {}
    imprecise = set()
    for name, chunks in sorted(columns.chunks.items()):
        found[name], lost = joined(name, chunks, text=name in text)
        if lost:
            imprecise.add(name)
    return pl.DataFrame(found), frozenset(imprecise)


def joined(name: str, chunks: Sequence[Chunk], *, text: bool = False) -> tuple[pl.Series, bool]:
    """Do `column` for chunks, at once where they are of one type or numbers that Float64 holds."""
    known = kinds_of(chunks) - ABSENT
    quick = None
    if len(known) == 1:
        quick = plain(chunks)
        if known == {str} and quick is not None and not text and all_names(quick):
            quick = None
    if quick is None and float in known and known <= _NUMBERS:
        quick = floats(chunks)
    if quick is not None:
        return quick.alias(name), False
    return column(name, [cell for chunk in chunks for cell in chunk.cells], text=text)


def kinds_of(chunks: Iterable[Chunk]) -> frozenset[type]:
    """Give the types of the values of all chunks."""
    return frozenset[type]().union(*(chunk.kinds for chunk in chunks))


def plain(chunks: Sequence[Chunk]) -> pl.Series | None:
    """Join chunks of one type; None if they are of several, or one of them is no series."""
    parts = [chunk.values for chunk in chunks if isinstance(chunk.values, pl.Series)]
    dtypes = {part.dtype for part in parts} - {_NULL}
    if len(parts) < len(chunks) or len(dtypes) != 1:
        return None
    dtype = dtypes.pop()
    return pl.concat([part.cast(dtype) if part.dtype == _NULL else part for part in parts])


def all_names(texts: pl.Series) -> bool:
    """Tell whether all text is the name of a non-finite number; there must be some."""
    first = texts[0]
    if first is not None and first not in NON_FINITE:
        return False
    return texts.drop_nulls().is_in(list(NON_FINITE)).all()


def floats(chunks: Sequence[Chunk]) -> pl.Series | None:
    """Join chunks of numbers as Float64; None if that would cost an integer its digits."""
    parts: list[pl.Series] = []
    for chunk in chunks:
        values = chunk.values
        if isinstance(values, pl.Series):
            part = values.cast(_FLOAT)
        else:
            try:
                part = pl.Series(_without(values), dtype=_FLOAT)
            except (OverflowError, TypeError):
                return None
        if int in chunk.kinds and not fits_float(part):
            return None
        parts.append(part)
    return pl.concat(parts)


def column(name: str, values: Sequence[Any], *, text: bool = False) -> tuple[pl.Series, bool]:
    """Build one column; also tell whether Float64 lost digits of an integer.

    Integers are Int64 (UInt64 where they must be), Float64 beside fractions or beyond 64 bits;
    numbers beside the names of non-finite ones are Float64; lists are List and objects Struct, of the
    union of their items and fields; values of different kinds are String, each but text as JSON.
    """
    kinds = set(map(type, values))
    if type(MISSING) in kinds:
        values = [None if value is MISSING else value for value in values]
    dtype = dtype_of_values(values, text=text)
    lost = dtype == pl.Float64 and int in kinds and any(map(loses_digits, values))
    if not (kinds - ABSENT <= _PLAIN.get(type(dtype), frozenset())):
        values = [_fit(value, dtype) for value in values]
    return pl.Series(name, values, dtype=dtype), lost


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
    return pl.UInt64() if low in _UINT64 and high in _UINT64 else _FLOAT


def _are_numbers(values: Sequence[Any]) -> bool:
    """Tell whether all text is the name of a non-finite number."""
    return all(type(value) is not str or value in NON_FINITE for value in values)


def _struct(values: Sequence[Row]) -> pl.DataType:
    """Unite the fields of objects; objects without any field have no better type than text."""
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
    if type(value) is not int or -_EXACT <= value <= _EXACT:
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


def _fit(value: Any, dtype: pl.DataType) -> Any:
    """Turn a value into what a column of the dtype takes."""
    if value is None:
        return None
    if dtype == pl.Float64:
        return float_or_none(value)
    if dtype == pl.String:
        return (
            value
            if type(value) is str
            else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        )
    if isinstance(dtype, pl.List):
        inner: Any = dtype.inner
        return [_fit(item, inner) for item in value]
    if isinstance(dtype, pl.Struct):
        return {field.name: _fit(value.get(field.name), field.dtype) for field in dtype.fields}  # type: ignore[arg-type]
    return value
