"""Columns of exported files -> columns of the promised dtypes; and which bytes of a file hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import polars as pl

from wbframe.core.decode.arrow import json_cells
from wbframe.core.decode.cells import MisfitError
from wbframe.core.decode.exact import fits_float, narrow
from wbframe.core.decode.plain import misfit
from wbframe.core.decode.rows import decode_rows
from wbframe.core.model import STEP
from wbframe.errors import SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pyarrow as pa
    import pyarrow.parquet as pq


_NON_FINITE = {"inf": "Infinity", "-inf": "-Infinity"}


def promised_frame(
    table: pa.Table,
    columns: Mapping[str, pl.DataType],
    *,
    where: str,
    lenient: Collection[str] = (),
) -> tuple[pl.DataFrame, frozenset[str]]:
    """Give a file's rows the promised columns; one that the file lacks is null.

    Parameters
    ----------
    table
        The rows as `leaf_columns` gives them.
    columns
        Name -> promised dtype, in order.
    where
        What is read, for messages.
    lenient
        Columns that take numbers and booleans spelled out in text.

    Returns
    -------
    tuple
        The frame, and the columns in which Float64 lost digits, be it that of the file.

    Raises
    ------
    SchemaMismatchError
        If a value does not fit its column.
    """
    found = {}
    imprecise = set()
    there = set(table.column_names)
    for name, dtype in columns.items():
        if name not in there:
            found[name] = pl.Series(name, [None], dtype=dtype).new_from_index(0, table.num_rows)
            continue
        series = pl.Series(name, pl.from_arrow(table[name]))
        found[name], lost = promised_column(series, dtype, where=where, lenient=name in lenient)
        if lost:
            imprecise.add(name)
    if not found:
        return pl.DataFrame(height=table.num_rows), frozenset()
    return pl.DataFrame(found), frozenset(imprecise)


def promised_column(
    series: pl.Series, dtype: pl.DataType, *, where: str, lenient: bool = False
) -> tuple[pl.Series, bool]:
    """Cast one column; also tell whether Float64 lost digits of it.

    Numbers are cast; everything else takes the way of the JSON that it stands for, by the rules that live
    rows follow.
    """
    kind = series.dtype
    if kind == dtype and not isinstance(dtype, pl.Struct):
        return series, False
    if kind == pl.Null:
        return pl.Series(series.name, [None], dtype=dtype).new_from_index(0, len(series)), False
    if kind.is_integer() and dtype == pl.Float64:
        cast = series.cast(pl.Float64)
        return cast, not (fits_float(cast) or _is_exact(cast, series))
    if kind.is_integer() and dtype.is_integer():
        return _checked(series, series.cast(dtype, strict=False), dtype, where), False
    wide = series.cast(pl.Float64) if kind.is_float() else series
    if kind.is_float() and (dtype.is_float() or dtype.is_integer()):
        if dtype.is_float() or fits_float(wide):
            narrowed = narrow(wide, dtype)
            if narrowed is not None:
                return narrowed, False
        # What the file holds as Float64 may have been a longer integer.
        return _checked(wide, wide.cast(dtype, strict=False), dtype, where), True
    if kind.is_float() and dtype == pl.String:
        # JSON has no spelling for these three, so they would come out as null.
        return wide.cast(pl.String).replace(_NON_FINITE), False
    decoded = decode_rows(
        _json_rows(wide, where),
        {series.name: dtype},
        where=where,
        lenient=(series.name,) if lenient else (),
    )
    lost = dtype.is_decimal() and kind.is_float() and not fits_float(wide)
    return decoded.frame[series.name], lost or bool(decoded.imprecise)


def _is_exact(cast: pl.Series, series: pl.Series) -> bool:
    """Tell whether Float64 has each of some integers: the nearest one may lie beyond those of their type."""
    return bool((cast.cast(pl.Int128) == series.cast(pl.Int128)).all())


def _checked(series: pl.Series, cast: pl.Series, dtype: pl.DataType, where: str) -> pl.Series:
    """Refuse a cast that changed a value."""
    changed = cast.is_null() & series.is_not_null() | (
        cast.cast(series.dtype, strict=False) != series
    )
    if changed.any():
        value = series.filter(changed.fill_null(value=False))[0]
        name = series.name
        # A step has no other type than one.
        other = f"schema_overrides={{{name!r}: pl.Float64}}" if name != STEP else "samples=500"
        msg = f"the key {name!r} was promised as {dtype} but {where} holds {value!r}; pass {other}"
        error = SchemaMismatchError(msg)
        error.key = name
        raise error
    return cast


def _json_rows(series: pl.Series, where: str) -> bytes:
    """Spell a column as a JSON array of rows."""
    try:
        cells = json_cells(series.to_arrow())
    except MisfitError as error:
        raise misfit(series.name, str(error), where) from None
    name = msgspec.json.encode(series.name)
    return b"[%b]" % b",".join(b"{%b:%b}" % (name, cell) for cell in cells)


# Read at once from the end of a file: its footer, and all of it if it is small.
TAIL_BYTES = 128 * 1024
# Chunks of columns nearer than this are read as one range: a request costs more than so many bytes.
NEAR_BYTES = 64 * 1024
# A share of the file from which on it is read whole, in one request.
WHOLE_SHARE = 0.6


# ---------------------------------------------------------------- which bytes


def ranges_needed(
    metadata: pq.FileMetaData,
    columns: Iterable[str],
    size: int,
    groups: Sequence[int],
) -> list[tuple[int, int]]:
    """Choose the ranges of bytes that hold some columns of some row groups.

    Parameters
    ----------
    metadata
        The file's footer.
    columns
        Top-level columns; all leaves of a nested one are needed.
    size
        The file's size.
    groups
        Row groups to read.

    Returns
    -------
    list of (start, end)
        Half-open, in order; near ones are joined, and if most of the file is needed it is one range.
    """
    wanted = set(columns)
    found = []
    for group in groups:
        row_group = metadata.row_group(group)
        for i in range(row_group.num_columns):
            chunk = row_group.column(i)
            if _root(chunk.path_in_schema, wanted):
                # A dictionary comes before the data pages, and is part of the chunk's size:
                # https://github.com/apache/parquet-format
                start = chunk.data_page_offset
                if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                    start = min(start, chunk.dictionary_page_offset)
                found.append((start, start + chunk.total_compressed_size))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if joined and start - joined[-1][1] <= NEAR_BYTES:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    if sum(end - start for start, end in joined) >= WHOLE_SHARE * size:
        return [(0, size)]
    return joined


def untold(
    metadata: pq.FileMetaData, groups: Iterable[int], columns: Iterable[str]
) -> tuple[str, str] | None:
    """Find a column that Arrow would read without a word, and not as it is.

    Of more values than a row group has rows it cuts off the rest; times of 96 bits it counts in
    nanoseconds, of which 64 bits hold 584 years, and gives others for those beyond.

    Parameters
    ----------
    metadata
        The file's footer.
    groups, columns
        Which are read, the columns by their top-level names.

    Returns
    -------
    tuple or None
        The column, and what is wrong with it.
    """
    wanted = set(columns)
    leaves = [metadata.schema.column(i) for i in range(metadata.num_columns)]
    places = [i for i, leaf in enumerate(leaves) if _root(leaf.path, wanted)]
    for i in places:
        if leaves[i].physical_type == "INT96":
            return leaves[i].path, "times as INT96, which Parquet has given up"
    flat = [i for i in places if leaves[i].max_repetition_level == 0]
    for group in groups:
        row_group = metadata.row_group(group)
        for i in flat:
            values = row_group.column(i).num_values
            if values != row_group.num_rows:
                return leaves[i].path, f"{values} values for {row_group.num_rows} rows"
    return None


def _root(path: str, wanted: set[str]) -> bool:
    """Tell whether a leaf belongs to a wanted column; names may hold dots themselves."""
    if path in wanted:
        return True
    parts = path.split(".")
    return any(".".join(parts[:i]) in wanted for i in range(1, len(parts)))


def groups_in_window(
    metadata: pq.FileMetaData, min_step: int | None, max_step: int | None
) -> list[int]:
    """Choose the row groups that may hold steps of a half-open window; all where statistics do not say."""
    chosen = []
    for group in range(metadata.num_row_groups):
        span = _step_span(metadata, group)
        if span is None or (
            (max_step is None or span[0] < max_step) and (min_step is None or span[1] >= min_step)
        ):
            chosen.append(group)
    return chosen


def _step_span(metadata: pq.FileMetaData, group: int) -> tuple[float, float] | None:
    """Give the least and the greatest step of a row group, if its statistics have them."""
    row_group = metadata.row_group(group)
    found = [
        row_group.column(i).statistics
        for i in range(row_group.num_columns)
        if row_group.column(i).path_in_schema == STEP
    ]
    # Statistics are optional in Parquet, and what W&B's exporter writes is not documented.
    stats = found[0] if len(found) == 1 else None
    if stats is None or not stats.has_min_max:
        return None
    # Steps that are text have another order.
    span = stats.min, stats.max
    return span if all(isinstance(each, int | float) for each in span) else None
