"""What is written for a person: lines that a terminal shows and does not obey, in the characters that it has."""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import polars as pl

from wbframe.errors import WbframeError
from wbframe.text import legible, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TABLE_ROWS", "encodable", "renamed", "show", "stdout", "table", "table_format"]

TABLE_ROWS = 20
"""Rows that a table shows, unless told otherwise."""

_CHARS_A_COLUMN = 14
# Characters that a table takes at the most and at the least; of a cell, and of a name.
_WIDEST, _NARROWEST = 1_000, 20
_CELL, _NAME = 200, 80
# In lines for a person.
_KEPT = "\n"
_BOX = "┌─┬┐│┆╞═╪╡└┴┘"


def stdout() -> TextIO:
    """Give what is written to.

    Raises
    ------
    WbframeError
        If the shell has closed it.
    """
    # Python's way to say so: https://docs.python.org/3/library/sys.html#sys.__stdout__
    if sys.stdout is None:
        raise WbframeError("stdout is closed, so that nothing can be written there")
    return sys.stdout


def encodable(text: str, stream: TextIO) -> str:
    """Spell out the characters that the encoding of a stream does not have."""
    encoding = stream.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def show(text: str) -> None:
    """Write lines to stdout, at once."""
    out = stdout()
    out.write(encodable(f"{legible(text, keep=_KEPT)}\n", out))
    out.flush()


@contextmanager
def table_format(rows: int = TABLE_ROWS) -> Iterator[None]:
    """Let frames take the width of the terminal while they are printed, and lines that it has.

    Parameters
    ----------
    rows
        How many of its rows a frame shows.
    """
    width = min(max(shutil.get_terminal_size((100, 24)).columns, _NARROWEST), _WIDEST)
    columns = max(3, width // _CHARS_A_COLUMN)
    lines = {} if _has_boxes() else {"tbl_formatting": "ASCII_FULL_CONDENSED"}
    with pl.Config(
        tbl_width_chars=width,
        tbl_cols=columns,
        tbl_rows=rows,
        fmt_str_lengths=40,
        **lines,  # type: ignore[arg-type]
    ):
        yield


def _has_boxes() -> bool:
    """Tell whether the encoding of stdout has the lines of a table."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return _BOX.encode(encoding, "replace") == _BOX.encode(encoding, "ignore")


def table(frame: pl.DataFrame, rows: int = TABLE_ROWS) -> str:
    """Print a frame as polars does, its names and texts spelled out.

    Parameters
    ----------
    frame
        The frame.
    rows
        How many of its rows are shown; -1 for all.
    """
    names = renamed([shortened(legible(name), _NAME) for name in frame.columns])
    ends = frame.height if rows < 0 else rows // 2 + 1
    columns = [
        _spelled(series, ends).alias(name) for series, name in zip(frame, names, strict=True)
    ]
    with table_format(rows):
        return legible(str(pl.DataFrame(columns)), keep=_KEPT)


def renamed(names: list[str]) -> list[str]:
    """Tell apart the names that have become alike.

    Examples
    --------
    >>> renamed(["a", "b", "a"])
    ['a', 'b', 'a (2)']
    """
    found: dict[str, None] = {}
    for name in names:
        own, times = name, 1
        while own in found:
            times += 1
            own = f"{name} ({times})"
        found[own] = None
    return list(found)


def _spelled(series: pl.Series, ends: int) -> pl.Series:
    """Spell out the texts of a column's first and last rows; those between are not printed."""
    if not _holds_text(series.dtype):
        return series
    if series.len() <= 2 * ends:
        return _cells(series)
    head, tail = _cells(series.head(ends)), _cells(series.tail(ends))
    return pl.concat([head, series.slice(ends, series.len() - 2 * ends), tail])


def _cells(series: pl.Series) -> pl.Series:
    """Spell out all texts of a column."""
    return pl.Series(series.name, list(map(_cell, series.to_list())), series.dtype)


def _holds_text(dtype: pl.DataType) -> bool:
    """Tell whether values of a dtype hold text at any depth."""
    if isinstance(dtype, pl.List | pl.Array):
        return _holds_text(dtype.inner)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return any(_holds_text(field.dtype) for field in dtype.fields)  # type: ignore[arg-type]
    return dtype == pl.String


def _cell(value: object) -> object:
    """Spell out a value's texts, as much of them as a table shows."""
    if isinstance(value, str):
        return value if value.isprintable() and len(value) <= _CELL else legible(value[:_CELL])
    if isinstance(value, list):
        return list(map(_cell, value))
    if isinstance(value, dict):
        return {name: _cell(each) for name, each in value.items()}
    return value
