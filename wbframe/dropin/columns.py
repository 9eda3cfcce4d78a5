"""Rows as Python objects -> columns of them: the union of all keys, as series where values are of one type."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.decode.cells import NON_FINITE
from wbframe.core.decode.exact import fits_float
from wbframe.errors import AnswerError
from wbframe.text import as_utf8

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "ABSENT",
    "MISSING",
    "NUMERIC",
    "Chunk",
    "Columns",
    "at_once",
    "chunk_of",
    "held",
    "keys_of",
    "kinds_of",
    "lacking",
]

Row = dict[str, Any]

MISSING = object()
"""Stands where a row lacks the key; a logged null is None."""

ABSENT = frozenset({type(None), type(MISSING)})
"""The types of what stands where there is no value."""

_LACKING = frozenset({type(MISSING)})
_NULL = pl.Null()
NUMERIC = frozenset({int, float, str})
_FLOAT = pl.Float64()
_SERIES: dict[type, pl.DataType] = {
    float: _FLOAT,
    int: pl.Int64(),
    bool: pl.Boolean(),
    str: pl.String(),
}


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
        # Most runs log the same keys at each step.
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

    def count(self, name: str) -> dict[Any, int]:
        """Count the rows of each value of a column that every row has."""
        parts = [chunk.cells for chunk in self.chunks.get(name, [])]
        return dict(Counter(chain.from_iterable(parts)))

    @property
    def chunks(self) -> dict[str, list[Chunk]]:
        """Key -> all its values, in order; keys in the order in which they first come."""
        self.settle()
        return {name: self._whole(chunks) for name, chunks in self._chunks.items()}

    @property
    def framed(self) -> dict[str, list[Chunk]]:
        """The chunks by names that a frame can have.

        Raises
        ------
        AnswerError
            If two keys have one such name.
        """
        found = {as_utf8(name): chunks for name, chunks in self.chunks.items()}
        if len(found) < len(self._chunks):
            raise AnswerError(
                "two keys differ in halves of surrogate pairs alone, so that no frame has a column for each;"
                " read their rows as Python objects"
            )
        return found

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


def held(value: Any) -> Any:
    """Give a value as frames have it: with U+FFFD for halves of surrogate pairs, at any depth."""
    if isinstance(value, str):
        return as_utf8(value)
    if isinstance(value, list):
        return list(map(held, value))
    if isinstance(value, dict):
        return {as_utf8(name): held(each) for name, each in value.items()}
    return value


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


def kinds_of(chunks: Iterable[Chunk]) -> frozenset[type]:
    """Give the types of the values of all chunks."""
    return frozenset[type]().union(*(chunk.kinds for chunk in chunks))


def at_once(chunks: Sequence[Chunk], *, text: bool, gaps: bool) -> pl.Series | None:
    """Join chunks that are of one type, or numbers that Float64 holds; None where each value must be looked at.

    Parameters
    ----------
    chunks
        The column.
    text
        Whether its text is known to be words, so that ``"NaN"`` is no number.
    gaps
        Whether rows may lack a value in a series of one type.
    """
    kinds = kinds_of(chunks)
    known = kinds - ABSENT
    found = None
    if len(known) == 1 and (gaps or kinds == known):
        found = _of_one_type(chunks)
        if found is not None and known == {str} and not text and _all_names(found):
            found = None
    numeric = NUMERIC - {str} if text else NUMERIC
    if found is None and known and known <= numeric and not (gaps and known == {int}):
        found = _floats(chunks)
    return found


def _of_one_type(chunks: Sequence[Chunk]) -> pl.Series | None:
    """Join chunks of one type; None if they are of several, or one of them is no series."""
    parts = [chunk.values for chunk in chunks if isinstance(chunk.values, pl.Series)]
    dtypes = {part.dtype for part in parts} - {_NULL}
    if len(parts) < len(chunks) or len(dtypes) != 1:
        return None
    dtype = dtypes.pop()
    return pl.concat([part.cast(dtype) if part.dtype == _NULL else part for part in parts])


def _all_names(texts: pl.Series) -> bool:
    """Tell whether all text is the name of a non-finite number; there must be some."""
    first = texts[0]
    if first is not None and first not in NON_FINITE:
        return False
    return texts.drop_nulls().is_in(list(NON_FINITE)).all()


def _floats(chunks: Sequence[Chunk]) -> pl.Series | None:
    """Join chunks of numbers and the names of non-finite ones as Float64.

    None if that would cost an integer its digits, and for other text.
    """
    parts: list[pl.Series] = []
    for chunk in chunks:
        if str not in chunk.kinds and isinstance(chunk.values, pl.Series):
            part = chunk.values.cast(_FLOAT)
        else:
            values = chunk.cells
            if str in chunk.kinds:
                if not {value for value in values if type(value) is str} <= NON_FINITE.keys():
                    return None
                values = [NON_FINITE[value] if type(value) is str else value for value in values]
            try:
                part = pl.Series(_without(values), dtype=_FLOAT)
            except (OverflowError, TypeError):
                return None
        # A cast rounds integers beyond 2**53 without a word.
        if int in chunk.kinds and not fits_float(part):
            return None
        parts.append(part)
    return pl.concat(parts)
