"""The sources that polars calls: they promise a schema, then read what a query wants of it.

polars trusts a source: it applies neither the predicate nor the limit again. From 1.39 on it hands over both where a
query takes rows before it filters them, so the limit comes first here, always.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.expression import without_dynamic
from wbframe.core.narrow import Wanted, narrow_histories, narrow_runs
from wbframe.io.client import client_or_default
from wbframe.io.stream import (
    INFER_SCHEMA_RUNS,
    promise_histories,
    promise_runs,
    stream_histories,
    stream_runs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wbframe.core.model import HistoryScan, RunsScan
    from wbframe.io.client import Client
    from wbframe.io.stream import HistoryPromise, OnNewKey, RunsPromise


@dataclass(slots=True)
class _Promised:
    """What is found out once for each source, however many threads ask."""

    value: Any = None
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class RunsSource:
    """A runs scan as polars calls it. Pickles as plain data: no key, no connection, nothing that was read."""

    scan: RunsScan
    client: Client | None = None
    on_new_key: OnNewKey = "raise"
    infer_schema_runs: int = INFER_SCHEMA_RUNS
    _promised: _Promised = field(default_factory=_Promised, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scan, self.client, self.on_new_key, self.infer_schema_runs)

    def promise(self) -> RunsPromise:
        """Find the columns; asks the server once."""
        with self._promised.lock:
            if self._promised.value is None:
                found = promise_runs(client_or_default(self.client), self.scan, self.infer_schema_runs)
                self._promised.value = found
            return self._promised.value  # type: ignore[no-any-return]

    def schema(self) -> pl.Schema:
        """Give the columns."""
        return pl.Schema(self.promise().columns)

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        """Read what a query wants."""
        wanted = Wanted(with_columns, own_predicate(predicate), n_rows)
        promise = self.promise()
        narrowed = narrow_runs(promise.plan.scan, promise.columns, wanted)
        frames = stream_runs(client_or_default(self.client), promise, narrowed, self.on_new_key)
        yield from finished(frames, wanted, batch_size)


@dataclass(frozen=True, slots=True)
class HistorySource:
    """A histories scan as polars calls it. Pickles as plain data: no key, no connection, nothing that was read."""

    scan: HistoryScan
    client: Client | None = None
    on_new_key: OnNewKey = "raise"
    infer_schema_runs: int = INFER_SCHEMA_RUNS
    _promised: _Promised = field(default_factory=_Promised, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.scan, self.client, self.on_new_key, self.infer_schema_runs)

    def promise(self) -> HistoryPromise:
        """Find the columns; asks the server once."""
        with self._promised.lock:
            if self._promised.value is None:
                found = promise_histories(client_or_default(self.client), self.scan, self.infer_schema_runs)
                self._promised.value = found
            return self._promised.value  # type: ignore[no-any-return]

    def schema(self) -> pl.Schema:
        """Give the columns."""
        return pl.Schema(self.promise().schema.columns)

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        """Read what a query wants."""
        wanted = Wanted(with_columns, own_predicate(predicate), n_rows)
        promise = self.promise()
        narrowed = narrow_histories(promise.scan, promise.schema, wanted)
        client = client_or_default(self.client)
        frames = stream_histories(client, promise, narrowed, self.on_new_key, n_rows)
        yield from finished(frames, wanted, batch_size)


def own_predicate(predicate: pl.Expr | None) -> pl.Expr | None:
    """Drop what some polars add for themselves to a top-k's predicate, and no source can evaluate."""
    return None if predicate is None else without_dynamic(predicate)


def finished(
    frames: Iterable[pl.DataFrame], wanted: Wanted, batch_size: int | None
) -> Iterator[pl.DataFrame]:
    """Do what is left to do here: the limit, then the predicate, then the columns."""
    left = wanted.n_rows
    for frame in frames:
        part = frame if left is None else frame.head(left)
        left = None if left is None else left - part.height
        if wanted.predicate is not None:
            part = part.filter(wanted.predicate)
        if wanted.columns is not None:
            part = part.select(list(wanted.columns))
        yield from part.iter_slices(batch_size) if batch_size and part.height > batch_size else (part,)
        if left == 0:
            return
