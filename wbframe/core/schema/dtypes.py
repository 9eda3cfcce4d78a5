"""From whatever a caller names a dtype by, to the dtype of polars."""

from __future__ import annotations

import types
from datetime import date, datetime
from typing import Any, get_args, get_origin

import polars as pl

from wbframe.core.decode.cells import UTC_TIME, reader_of
from wbframe.errors import UsageError, did_you_mean

__all__ = ["dtype_named"]

_PYTHON: dict[Any, pl.DataType] = {
    int: pl.Int64(),
    float: pl.Float64(),
    str: pl.String(),
    bool: pl.Boolean(),
    date: pl.Date(),
    datetime: UTC_TIME,
    # Which unit and zone it does not say, and all times of a runs frame are these.
    pl.Datetime: UTC_TIME,
}
_NUMBERS: dict[str, pl.DataType] = {
    each.__name__: each()
    for each in (
        pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64,
        pl.Int128, pl.Float32, pl.Float64,
    )
}  # fmt: skip
# Those of pandas and numpy, of pyarrow, and of polars itself.
_NAMES: dict[str, pl.DataType] = {
    **_NUMBERS,
    **{name.lower(): dtype for name, dtype in _NUMBERS.items()},
    **dict.fromkeys(("boolean", "bool", "Boolean", "bool_"), pl.Boolean()),
    **dict.fromkeys(("string", "str", "String", "large_string"), pl.String()),
    **dict.fromkeys(("datetime64[us, UTC]", "timestamp[us, tz=UTC]"), UTC_TIME),
    **dict.fromkeys(("date", "Date", "date32", "date32[day]"), pl.Date()),
    **dict.fromkeys(("float", "double"), pl.Float64()),
    "int": pl.Int64(),
}


def dtype_named(given: object, *, column: str) -> pl.DataType:
    """Give the dtype of polars that is meant, if values of a column can be read as it.

    Parameters
    ----------
    given
        A dtype of polars or its class, a type of Python (``int``, ``datetime``, ``list[float]``), a name as
        pandas has it (``"Int64"``, ``"datetime64[us, UTC]"``), or a dtype of pandas, numpy or pyarrow.
    column
        Whose dtype it shall be, for messages.

    Raises
    ------
    UsageError
        If it is none of these, or no value can be read as it.

    Examples
    --------
    >>> dtype_named(int, column="n"), dtype_named("boolean", column="b"), dtype_named(list[float], column="l")
    (Int64, Boolean, List(Float64))
    """
    found = _found(given, column)
    # Its reader is what knows which dtypes values have.
    reader_of(column, found, [])
    return found


def _found(given: Any, column: str) -> pl.DataType:
    """Look a dtype up."""
    if isinstance(given, pl.DataType):
        return given
    if get_origin(given) is list:
        return pl.List(_found(get_args(given)[0], column))
    if isinstance(given, type | types.GenericAlias):
        if given in _PYTHON:
            return _PYTHON[given]
        if isinstance(given, type) and issubclass(given, pl.DataType):
            return _made(given, column)
    name = _spelled(given)
    if name in _NAMES:
        return _NAMES[name]
    raise UsageError(
        f"`schema_overrides`: {column!r} must be a dtype of polars like pl.Int64, a type like int, or a name"
        f" of pandas like 'Int64'; got {given!r}.{did_you_mean(name, _NAMES)}"
    )


def _made(kind: type[pl.DataType], column: str) -> pl.DataType:
    """Make the dtype that a class stands for: pl.Int64 and pl.Int64() mean the same."""
    try:
        return kind()
    except TypeError:
        raise UsageError(
            f"`schema_overrides`: {column!r}: pl.{kind.__name__} needs to be told of what, as in"
            " pl.List(pl.Float64)"
        ) from None


def _spelled(given: Any) -> str:
    """Give the name of a dtype; those of other libraries, and what numpy has for types, tell theirs."""
    return given.__name__ if isinstance(given, type) else str(given).removesuffix("[pyarrow]")
