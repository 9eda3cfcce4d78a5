"""The queries of our frames that run, wherever polars runs them: whose they are, and what they meet."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wbframe.warn import Line, line_of_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

__all__ = ["Running", "held_by_query", "line_inside", "meet_columns", "running", "take_held"]


@dataclass(slots=True, eq=False)
class Running:
    """A program that is in polars with one of our frames: its line, and the columns of what is read.

    `thread` is where it runs a query that reads rows, None where it does not; `held` what has been read ahead for
    this one query, by the number of its source.
    """

    line: Line | None
    thread: int | None = None
    columns: dict[str, pl.DataType] = field(default_factory=dict)
    held: dict[int, Any] = field(default_factory=dict)


# On its own threads polars does not know them.
_queries: list[Running] = []


@contextmanager
def running(*, reads: bool) -> Iterator[Running]:
    """Run a query, for its rows or not, on this thread."""
    query = Running(line_of_program(), threading.get_ident() if reads else None)
    _queries.append(query)
    try:
        yield query
    finally:
        _queries.remove(query)


def line_inside() -> Line | None:
    """Give the line of the program that runs one of our frames, on whatever thread; the last one of several."""
    return _queries[-1].line if _queries else None


def meet_columns(schema: pl.Schema) -> None:
    """Take note of the columns of what is read, for what polars may say of them."""
    for each in _queries:
        each.columns.update(schema)


def held_by_query() -> dict[int, Any] | None:
    """Give what is held for the query that this thread runs; None if it reads no rows, or is not the only one."""
    # What another query has read ahead may be older than this one.
    alone = len(_queries) == 1 and _queries[0].thread == threading.get_ident()
    return _queries[0].held if alone else None


def take_held(number: int) -> Any:
    """Give what a source has read ahead for the query that calls it, once; None if there is nothing."""
    return _queries[0].held.pop(number, None) if len(_queries) == 1 else None
