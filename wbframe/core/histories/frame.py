"""Rows of runs -> one frame of exactly the schema's columns, runs in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wbframe.core.schema.histories import HistorySchema

__all__ = ["Assembly", "assemble", "repeated"]

# A frame of so many cells is made to be one piece in memory; of a larger one the pieces stay apart, since
# copying it would take its size again.
_CELLS_IN_ONE_PIECE = 2_000_000
# A frame a run takes up to a kilobyte a column besides its values; so many cells share one.
_CELLS_A_CHUNK = 500_000
# Runs of fewer rows are copied into one piece then; of longer ones a copy would cost more than their pieces do.
_SHORT = 200
# Runs of so many rows are repeated one by one, which takes no memory besides; shorter ones are too many for that.
_LONG = 1_000


@dataclass(slots=True)
class _Rows:
    """Rows of several runs: the columns of the lead and of keys, and how many rows each run has."""

    frame: pl.DataFrame
    heights: dict[int, int]

    @property
    def cells(self) -> int:
        return self.frame.height * self.frame.width


@dataclass(slots=True)
class Assembly:
    """Puts rows together while they come, task by task."""

    _chunks: list[_Rows] = field(default_factory=list)
    _small: list[_Rows] = field(default_factory=list)

    def add(self, frames: dict[int, pl.DataFrame], schema: HistorySchema) -> None:
        """Add the rows of further runs: ordinal -> rows; emptied, so that their memory goes.

        Later schemas may have more columns.
        """
        rows = _stacked(frames, schema)
        if not rows.heights:
            return
        if self._small and self._small[0].frame.columns != rows.frame.columns:
            self._pack()
        self._small.append(rows)
        if sum(each.cells for each in self._small) >= _CELLS_A_CHUNK:
            self._pack()

    def _pack(self) -> None:
        """Make one chunk of what came last; one piece, where its runs are short."""
        small, self._small = self._small, []
        if not small:
            return
        frame = pl.concat([each.frame for each in small])
        heights = {ordinal: rows for each in small for ordinal, rows in each.heights.items()}
        tiny = frame.height < _SHORT * len(heights)
        self._chunks.append(_Rows(frame.rechunk() if tiny else frame, heights))

    def whole(
        self,
        run_ids: Mapping[int, str],
        schema: HistorySchema,
        beside: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        """Give all rows, runs in order; the arguments are those of `assemble`."""
        self._pack()
        chunks, self._chunks = self._chunks, []
        heights = [pair for each in chunks for pair in each.heights.items()]
        parts = [each.frame for each in chunks]
        chunks.clear()
        frame = _below(parts, {**schema.lead, **schema.keys})
        if any(before > after for (before, _), (after, _) in pairwise(heights)):
            frame, heights = _in_order(frame, heights)
        return _finished(frame, dict(heights), run_ids, schema, beside)


def assemble(
    frames: dict[int, pl.DataFrame],
    run_ids: Mapping[int, str],
    schema: HistorySchema,
    beside: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Put the rows of several runs one below the other, with exactly the schema's columns.

    Parameters
    ----------
    frames
        Ordinal -> rows of one run; emptied, so that its memory goes column by column.
    run_ids
        Ordinal -> run id.
    schema
        The promised columns.
    beside
        The run columns, a row an ordinal; needed if the schema has any.
    """
    one = Assembly()
    one.add(frames, schema)
    return one.whole(run_ids, schema, beside)


def _stacked(frames: dict[int, pl.DataFrame], schema: HistorySchema) -> _Rows:
    """Put rows one below the other."""
    heights = {i: frames[i].height for i in sorted(frames) if frames[i].height}
    parts = [frames[i] for i in heights]
    frames.clear()
    return _Rows(_below(parts, {**schema.lead, **schema.keys}), heights)


def _below(parts: list[pl.DataFrame], columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Put frames of some of the columns one below the other; emptied."""
    names = list(columns)
    if not parts or any(each.columns != names for each in parts):
        parts.insert(0, pl.DataFrame(schema=columns))
        frame = pl.concat(parts, how="diagonal").select(names)
    else:
        frame = pl.concat(parts)
    parts.clear()
    return frame


def _in_order(
    frame: pl.DataFrame, heights: Sequence[tuple[int, int]]
) -> tuple[pl.DataFrame, list[tuple[int, int]]]:
    """Put runs in order, some of which were read later than those behind them."""
    places: dict[int, tuple[int, int]] = {}
    start = 0
    for ordinal, rows in heights:
        places[ordinal] = (start, rows)
        start += rows
    parts = [frame.slice(*places[ordinal]) for ordinal in sorted(places)]
    return pl.concat(parts), sorted(heights)


def _finished(
    frame: pl.DataFrame,
    heights: Mapping[int, int],
    run_ids: Mapping[int, str],
    schema: HistorySchema,
    beside: pl.DataFrame | None,
) -> pl.DataFrame:
    """Add the run ids and run columns, and give keys the names of their columns."""
    ordinals, times = list(heights), list(heights.values())
    small = frame.height * frame.width <= _CELLS_IN_ONE_PIECE
    rows = frame.get_columns()
    del frame
    columns = {"run_id": repeated("run_id", [run_ids[i] for i in ordinals], times, pl.String())}
    while rows:
        column = rows.pop(0).rechunk() if small else rows.pop(0)
        columns[schema.names.get(column.name, column.name)] = column
    if schema.run_columns and beside is not None:
        place = repeated("place", ordinals, times, pl.UInt32())
        columns |= {name: beside[name].gather(place) for name in schema.run_columns}
    return pl.DataFrame(columns)


def repeated(
    name: str, values: Sequence[object], times: Sequence[int], dtype: pl.DataType
) -> pl.Series:
    """Repeat each value so many times."""
    each = pl.Series(name, values, dtype=dtype)
    if 0 < sum(times) < _LONG * len(times):
        # Without those of no row: of an empty list, polars before 2.0 makes a null.
        some = [(at, count) for at, count in enumerate(times) if count]
        at, counts = (pl.Series(column, dtype=pl.UInt32) for column in zip(*some, strict=True))
        return each.gather(at.repeat_by(counts).explode())
    parts = [each.new_from_index(at, count) for at, count in enumerate(times)]
    return pl.concat([each.clear(), *parts], rechunk=False)
