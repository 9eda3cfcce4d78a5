"""Columns of exported files -> columns of the promised dtypes."""

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
    from collections.abc import Collection, Mapping

    import pyarrow as pa


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
