"""The lazy frames of scans: those of polars, whose errors are ours again where polars made them its own."""

from __future__ import annotations

import copy
import functools
import re
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.runs.listing import type_hint
from wbframe.errors import FilterError, WbframeError, WbframeWarning, unwrap
from wbframe.io import forks
from wbframe.io.threads import Items, awaited
from wbframe.warn import line_of_program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping

    from wbframe.warn import Line

__all__ = ["ScanFrame", "as_ours", "held_by_query", "line_inside", "passing_on", "take_held"]

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


@dataclass(slots=True, eq=False)
class _Inside:
    """A program that is in polars with one of our frames: its line, and the columns of what is read.

    `thread` is where it runs a query that reads rows, None where it does not; `held` what has been read ahead for
    this one query, by the number of its source.
    """

    line: Line | None
    thread: int | None = None
    columns: dict[str, pl.DataType] = field(default_factory=dict)
    held: dict[int, Any] = field(default_factory=dict)


# On its own threads polars does not know them.
_inside: list[_Inside] = []


# What polars says of each schema while whose entries it takes Ctrl-C comes: it asks no more what was raised.
_LOST = "expected a polars.Schema; got "
# What was raised into polars, and is none of our errors: Ctrl-C, an exit, whatever a handler of signals raises.
_passing: deque[BaseException] = deque(maxlen=8)


def line_inside() -> Line | None:
    """Give the line of the program that runs one of our frames, on whatever thread; the last one of several."""
    return _inside[-1].line if _inside else None


def meet_columns(schema: pl.Schema) -> None:
    """Take note of the columns of what is read, for what polars may say of them."""
    for each in _inside:
        each.columns.update(schema)


def held_by_query() -> dict[int, Any] | None:
    """Give what is held for the query that this thread runs; None if it reads no rows, or is not the only one."""
    # What another query has read ahead may be older than this one.
    alone = len(_inside) == 1 and _inside[0].thread == threading.get_ident()
    return _inside[0].held if alone else None


def take_held(number: int) -> Any:
    """Give what a source has read ahead for the query that calls it, once; None if there is nothing."""
    return _inside[0].held.pop(number, None) if len(_inside) == 1 else None


@contextmanager
def passing_on() -> Iterator[None]:
    """Keep what is raised into polars, which makes an error of its own even of Ctrl-C, or loses it."""
    try:
        yield
    except (GeneratorExit, WbframeError, WbframeWarning, pl.exceptions.PolarsError):
        raise
    except BaseException as error:
        _passing.append(_without_traceback(error))
        raise


def _without_traceback(error: BaseException) -> BaseException:
    """Copy what is raised: its traceback would hold a read that was dropped, with its threads."""
    try:
        return copy.copy(error)
    except TypeError:
        # Its class is not made of what it says.
        kept = type(error).__new__(type(error), *error.args)
        kept.args, kept.__dict__ = error.args, dict(vars(error))
        return kept


def _passed(error: pl.exceptions.PolarsError) -> BaseException | None:
    """Give what an error of polars was made of."""
    said = str(error)
    if _LOST in said:
        return KeyboardInterrupt()
    for each in reversed(_passing):
        if f"{type(each).__name__}: {each}" in said:
            return each
    return None


def _forget(error: BaseException) -> None:
    """Let go of what has come through."""
    for each in _passing:
        if type(each) is type(error) and each.args == error.args:
            _passing.remove(each)
            return


def _raise_lost(before: list[BaseException]) -> None:
    """Raise the Ctrl-C that polars has lost, and some rows with it."""
    for each in _passing:
        if not isinstance(each, Exception) and each not in before:
            _passing.remove(each)
            raise each


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
    inside = _Inside(line_of_program(), threading.get_ident() if reads else None)
    _inside.append(inside)
    before = list(_passing)
    try:
        with awaited():
            yield
        _raise_lost(before)
    except pl.exceptions.PolarsError as error:
        if (passed := _passed(error)) is not None:
            _forget(passed)
            raise passed from None
        ours = unwrap(error) or _of_types(error, inside.columns)
        if ours is None:
            raise
        # polars says the same once more, and of what kind it was, in words.
        raise ours from ours.__cause__ or error
    except BaseException as error:
        # It came through as it was, as newer releases have it.
        _forget(error)
        raise
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
