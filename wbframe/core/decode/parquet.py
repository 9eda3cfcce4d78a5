"""Columns of exported files, whatever their types -> columns of the promised dtypes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from wbframe.core.decode.exact import fits_float, narrow
from wbframe.core.decode.rows import decode_rows
from wbframe.core.decode.spelling import without_nulls
from wbframe.errors import SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


_NON_FINITE_JSON = {"NaN": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}
_NON_FINITE = {"inf": "Infinity", "-inf": "-Infinity"}
# One value in one of several types: a member a type, or its value beside the name of its type.
_ALTERNATIVE = "_type_"
_VALUE = "_val"
_TAGGED = {"_type", _VALUE}


def promised_frame(
    frame: pl.DataFrame,
    columns: Mapping[str, pl.DataType],
    *,
    where: str,
    lenient: Collection[str] = (),
) -> tuple[pl.DataFrame, frozenset[str]]:
    """Give a file's rows the promised columns; one that the file lacks is null.

    Parameters
    ----------
    frame
        The rows as they stand in the file.
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
    for name, dtype in columns.items():
        if name not in frame.columns:
            found[name] = pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height)
            continue
        series, lost = promised_column(frame[name], dtype, where=where, lenient=name in lenient)
        found[name] = series
        if lost:
            imprecise.add(name)
    if not found:
        return frame.select(), frozenset()
    return pl.DataFrame(found), frozenset(imprecise)


def promised_column(
    series: pl.Series, dtype: pl.DataType, *, where: str, lenient: bool = False
) -> tuple[pl.Series, bool]:
    """Cast one column; also tell whether Float64 lost digits of it.

    Numbers are cast; everything else takes the way of the JSON that it stands for, by the rules that live
    rows follow: text, dictionaries of text, JSON in binary, lists, structs, structs of alternatives.
    """
    if series.dtype == dtype and not isinstance(dtype, pl.Struct):
        return series, False
    if series.dtype.is_integer() and dtype == pl.Float64:
        cast = series.cast(pl.Float64)
        exact = fits_float(cast) or bool((cast.cast(pl.Int64, strict=False) == series).all())
        return cast, not exact
    if series.dtype.is_integer() and dtype.is_integer():
        return _checked(series, series.cast(dtype, strict=False), dtype, where), False
    if series.dtype.is_float() and (dtype.is_float() or dtype.is_integer()):
        wide = series.cast(pl.Float64)
        if dtype.is_float() or fits_float(wide):
            narrowed = narrow(wide, dtype)
            if narrowed is not None:
                return narrowed, False
        # What the file holds as Float64 may have been a longer integer.
        return _checked(series, wide.cast(dtype, strict=False), dtype, where), True
    if series.dtype.is_float() and dtype == pl.String:
        # JSON has no spelling for these three, so they would come out as null.
        return series.cast(pl.String).replace(_NON_FINITE), False
    decoded = decode_rows(
        _json_rows(series),
        {series.name: dtype},
        where=where,
        lenient=(series.name,) if lenient else (),
    )
    lost = (
        dtype.is_decimal() and series.dtype.is_float() and not fits_float(series.cast(pl.Float64))
    )
    return decoded.frame[series.name], lost or bool(decoded.imprecise)


def _checked(series: pl.Series, cast: pl.Series, dtype: pl.DataType, where: str) -> pl.Series:
    """Refuse a cast that changed a value."""
    changed = cast.is_null() & series.is_not_null() | (
        cast.cast(series.dtype, strict=False) != series
    )
    if changed.any():
        value = series.filter(changed.fill_null(value=False))[0]
        name = series.name
        msg = (
            f"the key {name!r} was promised as {dtype} but {where} holds {value!r};"
            f" pass schema_overrides={{{name!r}: pl.Float64}}"
        )
        error = SchemaMismatchError(msg)
        error.key = name
        raise error
    return cast


def _json_rows(series: pl.Series) -> bytes:
    """Spell a column as a JSON array of rows."""
    if isinstance(series.dtype, pl.Categorical | pl.Enum):
        series = series.cast(pl.String)
    rows = _json_cells(series)
    return b"[" + ",".join(rows.to_list()).encode() + b"]"


def _json_cells(series: pl.Series) -> pl.Series:
    """Spell each value as a JSON object with the column's name."""
    name = series.name
    # Exports keep JSON in bytes where a column has no one type, and W&B's own readers take it so.
    if series.dtype == pl.Binary:
        quoted = msgspec.json.encode(name).decode()
        return "{" + quoted + ":" + series.cast(pl.String).fill_null("null") + "}"
    dtype = series.dtype
    members = (
        alternatives([each.name for each in dtype.fields]) if isinstance(dtype, pl.Struct) else []
    )
    if members:
        cells = [_json_cells(series.struct.field(each).alias(name)) for each in members]
        held = [series.struct.field(each).is_not_null() for each in members]
        chosen = cells[0]
        for cell, there in zip(cells[1:], held[1:], strict=True):
            chosen = cell.zip_with(there, chosen)
        return chosen
    if series.dtype.is_float() or series.dtype.is_decimal():
        quoted = msgspec.json.encode(name).decode()
        numbers = series.cast(pl.String).replace(_NON_FINITE_JSON).fill_null("null")
        return "{" + quoted + ":" + numbers + "}"
    if not series.dtype.is_nested():
        return _spelled_by_polars(series)
    if _has_non_finite(series):
        spelled_here = [as_json({name: value}).decode() for value in series.to_list()]
        return _as_logged(pl.Series(name, spelled_here))
    return _as_logged(_spelled_by_polars(series))


def _spelled_by_polars(series: pl.Series) -> pl.Series:
    return series.to_frame().select(pl.struct(pl.col(series.name)).struct.json_encode()).to_series()


def _as_logged(cells: pl.Series) -> pl.Series:
    """Leave out members that are null: a struct has one for each that some other row holds."""
    if not cells.str.contains(":null", literal=True).any():
        return cells
    return pl.Series(cells.name, [without_nulls(each.encode()).decode() for each in cells])


def _has_non_finite(series: pl.Series) -> bool:
    """Tell whether a NaN or an infinity is somewhere in a column, for which polars' JSON has no spelling."""
    if series.dtype.is_float():
        return not series.is_finite().all()
    if isinstance(series.dtype, pl.Struct):
        return any(_has_non_finite(series.struct.field(each)) for each in series.struct.fields)
    if isinstance(series.dtype, pl.List | pl.Array):
        return _has_non_finite(series.explode().rename(""))
    return False


def as_json(value: Any) -> bytes:
    """Spell a value as JSON.

    Examples
    --------
    >>> as_json({"a": [1.5, float("nan")]})
    b'{"a":[1.5,"NaN"]}'
    """
    return msgspec.json.encode(spelled(value))


def spelled(value: Any) -> Any:
    """Spell what is not finite in a nested value as W&B does, since JSON has no such numbers."""
    if isinstance(value, dict):
        return {key: spelled(each) for key, each in value.items()}
    if isinstance(value, list):
        return [spelled(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def alternatives(names: Sequence[str]) -> list[str]:
    """Name the members of a struct that hold one value in one of several types; none for other structs.

    Examples
    --------
    >>> alternatives(["_type_number", "_type_string"]), alternatives(["_type", "_val"]), alternatives(["a"])
    (['_type_number', '_type_string'], ['_val'], [])
    """
    if set(names) == _TAGGED:
        return [_VALUE]
    return list(names) if all(name.startswith(_ALTERNATIVE) for name in names) else []


def leaves(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Give the keys of a file, and where each lies: of a struct of keys they are its members, with dots.

    Media, and structs of one value in several types, are values.

    Examples
    --------
    >>> import pyarrow as pa
    >>> leaves(pa.schema([("a", pa.int64()), ("opt", pa.struct([("m", pa.int64())]))]))
    {'a': ('a',), 'opt.m': ('opt', 'm')}
    """
    found: dict[str, tuple[str, ...]] = {}
    for field in schema:
        for path in _paths(field):
            found.setdefault(".".join(path), path)
    return found


def _paths(field: pa.Field) -> Iterator[tuple[str, ...]]:
    """Give the ways to the values below a column."""
    members = [member.name for member in field.type] if pat.is_struct(field.type) else []
    if not members or alternatives(members) or "_type" in members:
        yield (field.name,)
        return
    for member in field.type:
        for path in _paths(member):
            yield field.name, *path


def leaf_columns(table: pa.Table, paths: Mapping[str, tuple[str, ...]]) -> pa.Table:
    """Take the keys of a file out of its columns."""
    columns = {
        name: table[path[0]] if len(path) == 1 else pc.struct_field(table[path[0]], list(path[1:]))
        for name, path in paths.items()
    }
    return pa.table(list(columns.values()), names=list(columns))


def types_in(schema: pa.Schema, paths: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """Give the types of a file's keys, which `leaves` has found."""
    found = {}
    for name, path in paths.items():
        kind = schema.field(path[0]).type
        for member in path[1:]:
            kind = kind.field(member).type
        found[name] = _type_of(kind)
    return found


def _type_of(kind: pa.DataType) -> frozenset[str]:
    """Name the type of a column."""
    if pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind):
        return frozenset({"number"})
    if pat.is_boolean(kind):
        return frozenset({"bool"})
    if pat.is_null(kind):
        return frozenset({"nil"})
    return frozenset({"string" if pat.is_string(kind) or pat.is_large_string(kind) else "json"})
