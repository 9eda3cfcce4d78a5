"""The lazy frames of scans: those of polars, whose errors are ours again where polars made them its own."""

from __future__ import annotations

import functools
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.runs.listing import type_hint
from wbframe.errors import FilterError, unwrap
from wbframe.io import forks
from wbframe.io.threads import Items, awaited
from wbframe.scans.passing import let_go, passed, passing, raise_lost
from wbframe.scans.running import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping


__all__ = ["ScanFrame", "as_ours"]

# What runs a query, or asks for its schema, in one polars or another.
_RUNS = (
    "collect", "collect_schema", "explain", "fetch", "profile", "show_graph", "sink_batches", "sink_csv",
    "sink_delta", "sink_iceberg", "sink_ipc", "sink_ndjson", "sink_parquet",
)  # fmt: skip
_READS_NOTHING = frozenset({"collect_schema", "explain", "show_graph"})


# How polars names a column in an expression, and how it says that one is of no type that it can take.
_COLUMN = re.compile(r"""(?:col\("|series ')([^"']+)["']""")
_OF_TYPES = re.compile(
    r"(?i)(?=.*\b(str(ing)?|datetime)\b)"
    r"(?=.*(cannot (compare|check)|could not evaluate|must be of type|not (supported|allowed)))"
)


@contextmanager
def as_ours(*, reads: bool = False) -> Iterator[None]:
    """Raise what an error of polars stands for: an error of wbframe, or what has interrupted the query.

    Parameters
    ----------
    reads
        Whether a query is run for its rows, on this thread.

    Raises
    ------
    ForkedError
        If polars would hang in this process.
    """
    forks.check()
    before = passing()
    with running(reads=reads) as query:
        try:
            with awaited():
                yield
            raise_lost(before)
        except pl.exceptions.PolarsError as error:
            if (came := passed(error)) is not None:
                let_go(came)
                raise came from None
            ours = unwrap(error) or _of_types(error, query.columns)
            if ours is None:
                raise
            # polars says the same once more, and of what kind it was, in words.
            raise ours from ours.__cause__ or error
        except BaseException as error:
            # It came through as it was, as newer releases have it.
            let_go(error)
            raise


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
        return Items(_taken(batches))


def _taken(batches: Iterator[pl.DataFrame]) -> Generator[pl.DataFrame]:
    """Give batches."""
    with as_ours():
        yield from batches


async def _awaited(handle: Awaitable[pl.DataFrame]) -> pl.DataFrame:
    """Wait for a frame."""
    with as_ours():
        return await handle


def _raising_ours(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method of polars' frames."""
    reads = method.__name__ not in _READS_NOTHING

    @functools.wraps(method)
    def run(self: ScanFrame, *args: Any, **kwargs: Any) -> Any:
        with as_ours(reads=reads):
            return method(self, *args, **kwargs)

    return run


for _name in _RUNS:
    if hasattr(pl.LazyFrame, _name):
        setattr(ScanFrame, _name, _raising_ours(getattr(pl.LazyFrame, _name)))
