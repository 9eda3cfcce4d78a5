"""Finding out what polars asks of our sources in a query, by running a copy of it in which they give no rows.

There is no public way to see what a plan pushes down into a Python source; there is a public way to copy a
plan, and sources are asked how they are copied. A copy is of its own: queries that run meanwhile stay untouched.
"""

from __future__ import annotations

import io
import threading
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from wbframe.core.pushdown.query import Wanted
from wbframe.scans.frames import as_ours

if TYPE_CHECKING:
    from collections.abc import Iterator


class Source(Protocol):
    """What can be probed."""

    def schema(self) -> pl.Schema:
        """Give the columns."""

    def promised(self) -> pl.Schema:
        """Give them to polars."""


@dataclass(slots=True)
class _Recorder:
    """The sources of a query, and what each was asked for."""

    sources: list[Source] = field(default_factory=list)
    asked: list[tuple[Source, Wanted]] = field(default_factory=list)


_recorders: dict[int, _Recorder] = {}
_tokens = count()
# Other threads may pickle plans meanwhile, which must stay what they are.
_copying = threading.local()


class Probe:
    """Stands for a source in a copied plan: promises the same, gives no rows, and tells what it was asked."""

    def __init__(self, token: int, place: int) -> None:
        self._recorder = _recorders[token]
        self._source = self._recorder.sources[place]

    def promised(self) -> pl.Schema:
        """Give the columns."""
        return self._source.promised()

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,  # noqa: ARG002 -- polars passes it
    ) -> Iterator[pl.DataFrame]:
        """Take note of what is asked."""
        self._recorder.asked.append((self._source, Wanted(with_columns, predicate, n_rows)))
        empty = pl.DataFrame(schema=self._source.schema())
        yield empty if with_columns is None else empty.select(with_columns)


def probe_of(source: Source) -> tuple[Any, ...] | None:
    """Give what to pickle in place of a source, if this thread is copying a plan; None otherwise."""
    token: int | None = getattr(_copying, "token", None)
    if token is None:
        return None
    sources = _recorders[token].sources
    sources.append(source)
    return Probe, (token, len(sources) - 1)


def probe(frame: pl.LazyFrame) -> list[tuple[Source, Wanted]] | None:
    """Give the sources of a query that are asked, in that order, and what of; None if it has none of ours.

    The rest of the query runs on no rows of ours; other sources in it are really read.
    """
    token = next(_tokens)
    recorder = _recorders[token] = _Recorder()
    _copying.token = token
    try:
        try:
            # polars tells nobody what it pushes down, but pickles the sources of a plan: there others step in.
            plan = frame.serialize()
        finally:
            _copying.token = None
        if not recorder.sources:
            return None
        with as_ours():
            pl.LazyFrame.deserialize(io.BytesIO(plan)).collect()
    finally:
        del _recorders[token]
    return recorder.asked
