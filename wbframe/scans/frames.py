"""The lazy frames of scans: those of polars, whose errors are ours again where polars made them its own."""

from __future__ import annotations

import functools
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.runs.listing import type_hint
from wbframe.errors import FilterError, unwrap
from wbframe.warn import line_of_program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from wbframe.warn import Line

__all__ = ["ScanFrame", "as_ours", "line_inside"]

# What runs a query, or asks for its schema, in one polars or another.
_RUNS = (
    "collect", "collect_schema", "explain", "fetch", "profile", "show_graph", "sink_batches", "sink_csv",
    "sink_delta", "sink_iceberg", "sink_ipc", "sink_ndjson", "sink_parquet",
)  # fmt: skip


# How polars names a column in an expression, and how it says that one is of no type that it can take.
_COLUMN = re.compile(r"""(?:col\("|series ')([^"']+)["']""")
_OF_TYPES = re.compile(
    r"(?i)(?=.*\b(str(ing)?|datetime)\b)"
    r"(?=.*(cannot (compare|check)|could not evaluate|must be of type|not (supported|allowed)))"
)


@dataclass(slots=True, eq=False)
class _Inside:
    """A program that is in polars with one of our frames: its line, and the columns of what is read."""

    line: Line | None
    columns: dict[str, pl.DataType] = field(default_factory=dict)


# On its own threads polars does not know them.
_inside: list[_Inside] = []


def line_inside() -> Line | None:
    """Give the line of the program that runs one of our frames, on whatever thread; the last one of several."""
    return _inside[-1].line if _inside else None


def meet_columns(schema: pl.Schema) -> None:
    """Take note of the columns of what is read, for what polars may say of them."""
    for each in _inside:
        each.columns.update(schema)


@contextmanager
def as_ours() -> Iterator[None]:
    """Raise the error of wbframe that an error of polars stands for."""
    inside = _Inside(line_of_program())
    _inside.append(inside)
    try:
        yield
    except pl.exceptions.PolarsError as error:
        ours = unwrap(error) or _of_types(error, inside.columns)
        if ours is None:
            raise
        # polars says the same once more, and of what kind it was, in words.
        raise ours from ours.__cause__ or error
    finally:
        _inside.remove(inside)


def _of_types(
    error: pl.exceptions.PolarsError, columns: Mapping[str, pl.DataType]
) -> FilterError | None:
    """Give the error for a query that takes a column of W&B for another type than its own; None for others."""
    # Behind the step that failed polars shows those below, which have nothing to do with it.
    before, _, steps = str(error).partition("<---")
    said = " ".join(before.partition("Resolved plan")[0].split())
    if not _OF_TYPES.match(said):
        return None
    named = _COLUMN.findall(before + steps.strip().partition("\n")[0])
    hint = type_hint(said, dict.fromkeys(named), columns)
    return FilterError(f"the query cannot be run: {said:.300}{hint}") if hint else None


class ScanFrame(pl.LazyFrame):
    """A lazy frame that reads from W&B, and any that polars makes of it by one of its methods."""

    def collect_async(self, *args: Any, **kwargs: Any) -> Any:
        """Collect as ever."""
        with as_ours():
            handle = super().collect_async(*args, **kwargs)
        return handle if kwargs.get("gevent") else _awaited(handle)

    def collect_batches(self, *args: Any, **kwargs: Any) -> Any:
        """Collect as ever."""
        with as_ours():
            batches = super().collect_batches(*args, **kwargs)
        return _taken(batches)


def _taken(batches: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Give batches."""
    with as_ours():
        yield from batches


async def _awaited(handle: Awaitable[pl.DataFrame]) -> pl.DataFrame:
    """Wait for a frame."""
    with as_ours():
        return await handle


def _raising_ours(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of polars' frames."""

    @functools.wraps(method)
    def run(self: ScanFrame, *args: Any, **kwargs: Any) -> Any:
        with as_ours():
            return method(self, *args, **kwargs)

    return run


for _name in _RUNS:
    if hasattr(pl.LazyFrame, _name):
        setattr(ScanFrame, _name, _raising_ours(getattr(pl.LazyFrame, _name)))
