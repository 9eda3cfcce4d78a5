"""The sources that polars calls: they promise a schema, then read what a query wants of it.

polars trusts a source: it applies neither the predicate nor the limit again. From 1.39 on it hands over both
where a query takes rows before it filters them, so the limit comes first here, always.
"""

from __future__ import annotations

import inspect
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import polars as pl
from polars.io.plugins import register_io_source

from wbframe.core.arguments import INFER_SCHEMA_RUNS, check_promised
from wbframe.core.explain import describe_scan
from wbframe.core.paths import paths_of
from wbframe.core.pushdown.query import Wanted, narrow_histories, narrow_runs
from wbframe.core.pushdown.reader import without_dynamic
from wbframe.errors import WbframeError, WbframeWarning, remember
from wbframe.io import forks
from wbframe.io.client.client import client_or_default
from wbframe.io.client.reports import ScanName
from wbframe.io.client.secrets import forget
from wbframe.io.forks import Guard
from wbframe.scans.frames import ScanFrame, as_ours
from wbframe.scans.passing import passing_on
from wbframe.scans.probe import probe_of
from wbframe.scans.running import held_by_query, line_inside, meet_columns, take_held
from wbframe.scans.stream import promise_histories, promise_runs, stream_histories, stream_runs
from wbframe.warn import given_at, line_of_program

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from wbframe.core.model import HistoryScan, OnNewKey, RunsScan
    from wbframe.core.pushdown.query import NarrowedHistories, NarrowedRuns
    from wbframe.io.client.client import Client
    from wbframe.report import ScanReport
    from wbframe.scans.stream import Ahead, HistoryPromise, RunsPromise


_Promise = TypeVar("_Promise")
_numbers = count()


class Source(Generic[_Promise]):
    """What polars calls. Pickles as plain data: no key, no connection, nothing that was read.

    Parameters
    ----------
    client
        The connection, or None for the default where it runs; a pickled one finds its key anew.
    on_new_key
        What to do with keys that the schema does not promise.
    infer_schema_runs
        Runs that are looked at for the schema where the server has no index.

    Raises
    ------
    UsageError
        If `client` is no client.
    """

    label = ""
    scan: Any

    def __init__(
        self,
        client: Client | None = None,
        on_new_key: OnNewKey = "ignore",
        infer_schema_runs: int = INFER_SCHEMA_RUNS,
    ) -> None:
        self.client = None if client is None else client_or_default(client)
        self.on_new_key = on_new_key
        self.infer_schema_runs = infer_schema_runs
        self._promise: _Promise | None = None
        self._guard = Guard()
        self._number = next(_numbers)
        # Of threads of polars nobody knows for which line of a program they work.
        self._line = line_of_program()

    def __reduce__(self) -> tuple[Any, ...]:
        return probe_of(self) or (_restored, (type(self), self._plain()))

    def _plain(self) -> dict[str, Any]:
        """Give what pickles."""
        # A lock does not pickle, and with one in a source polars can no longer pickle the plan.
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def connection(self) -> Client:
        """Give the client that reads."""
        return client_or_default(self.client)

    @property
    def report(self) -> ScanReport | None:
        """What the last read of this scan did."""
        return self.connection().reports.of(self.name)

    @property
    def name(self) -> ScanName:
        """Which scan this is, for reports."""
        return ScanName(self._number, f"{self.label.lower()}: {self.detail()}")

    def promise(self) -> _Promise:
        """Find what the schema takes; asks the server once, however many threads ask."""
        # polars asks for the schema at each collect, collect_schema and explain.
        with self._guard.lock:
            if self._promise is None:
                self._promise = self.make_promise()
            return self._promise

    def detail(self) -> str:
        """Describe the scan as it was made, on one line."""
        raise NotImplementedError

    def make_promise(self) -> _Promise:
        """Ask the server."""
        raise NotImplementedError

    def schema(self) -> pl.Schema:
        """Give the columns."""
        raise NotImplementedError

    def promised(self) -> pl.Schema:
        """Give the columns to polars, which asks for them on the thread that runs a query, before all else."""
        self._line = line_of_program() or self._line
        with self._for_program():
            self.connection().reports.begin()
            with passing_on():
                schema = self.schema()
            meet_columns(schema)
            return schema

    def frames(self, wanted: Wanted) -> Generator[pl.DataFrame]:
        """Read what is wanted, or more."""
        raise NotImplementedError

    @contextmanager
    def _for_program(self) -> Iterator[None]:
        """Do some work, on whatever thread: warnings are at the program's line, and errors can be had again."""
        with given_at(line_inside() or self._line):
            try:
                yield
            except (WbframeError, WbframeWarning) as error:
                # polars makes its own error of what is raised while it finds the schema.
                remember(error)
                forget(error)
                raise

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        """Read what a query wants."""
        with passing_on():
            yield from self._called(with_columns, predicate, n_rows, batch_size)

    def _called(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
    ) -> Iterator[pl.DataFrame]:
        """Read it, each batch for the program's line."""
        # In a self-join polars 2.1 calls a source twice, `is_pure` or not: nothing may be used up.
        if with_columns == []:
            # polars 1.41 to 1.44 count the rows of what comes, and a frame without columns has none.
            with_columns = list(self.schema())[:1]
        wanted = Wanted(with_columns, own_predicate(predicate), n_rows)
        with self._for_program():
            frames = finished(self.frames(wanted), wanted, batch_size)
        try:
            while True:
                with self._for_program():
                    frame = next(frames, None)
                if frame is None:
                    return
                yield frame
        finally:
            with self._for_program():
                frames.close()


def _restored(kind: type[Source[Any]], plain: dict[str, Any]) -> Source[Any]:
    """Make a pickled source anew."""
    return kind(**plain)


class RunsSource(Source["RunsPromise"]):
    """A runs scan as polars calls it."""

    label = "WANDB RUNS"

    def __init__(self, scan: RunsScan, *options: Any, **named: Any) -> None:
        super().__init__(*options, **named)
        self.scan = check_promised(scan)

    def detail(self) -> str:
        """Describe the scan as it was made."""
        return describe_scan(self.scan)

    def make_promise(self) -> RunsPromise:
        """Ask for the index of columns."""
        return promise_runs(self.connection(), self.scan, self.infer_schema_runs)

    def schema(self) -> pl.Schema:
        """Give the columns."""
        return pl.Schema(self.promise().columns)

    def narrowed(self, wanted: Wanted) -> NarrowedRuns:
        """Decide what is read."""
        promise = self.promise()
        return narrow_runs(promise.plan.scan, promise.columns, wanted)

    def frames(self, wanted: Wanted) -> Generator[pl.DataFrame]:
        """Read pages."""
        narrowed = self.narrowed(wanted)
        return stream_runs(self.connection(), self.promise(), narrowed, self.on_new_key, self.name)


class HistorySource(Source["HistoryPromise"]):
    """A histories scan as polars calls it."""

    label = "WANDB HISTORIES"

    def __init__(self, scan: HistoryScan, *options: Any, **named: Any) -> None:
        super().__init__(*options, **named)
        self.scan = scan

    def detail(self) -> str:
        """Describe the scan as it was made."""
        return describe_scan(self.scan)

    def make_promise(self) -> HistoryPromise:
        """Ask for the keys of all runs, and for the first of these where a query is about to read them."""
        held = held_by_query()

        def hold(ahead: Ahead) -> None:
            # Asked for in the query that reads it, and gone with it: as fresh as any page of this query.
            if held is not None:
                held[self._number] = ahead

        hold_it = None if held is None else hold
        return promise_histories(self.connection(), self.scan, self.infer_schema_runs, hold_it)

    def schema(self) -> pl.Schema:
        """Give the columns."""
        return pl.Schema(self.promise().schema.columns)

    def narrowed(self, wanted: Wanted) -> NarrowedHistories:
        """Decide what is read."""
        promise = self.promise()
        return narrow_histories(promise.scan, promise.schema, wanted)

    def frames(self, wanted: Wanted) -> Generator[pl.DataFrame]:
        """Read batches of rows."""
        return stream_histories(
            self.connection(),
            self.promise(),
            self.narrowed(wanted),
            self.on_new_key,
            wanted.n_rows,
            self.name,
            take_held(self._number),
        )


class LeftSource(Source["Source[Any]"]):
    """A scan of exactly the runs that a lazy frame names; the frame is collected when they are needed."""

    def __init__(self, left: pl.LazyFrame, path: str | None, inner: Source[Any]) -> None:
        super().__init__(inner.client, inner.on_new_key, inner.infer_schema_runs)
        self.left = left
        self.path = path
        self.inner = inner
        self.label = inner.label

    def _plain(self) -> dict[str, Any]:
        return {"left": self.left, "path": self.path, "inner": self.inner}

    def detail(self) -> str:
        """Describe the scan as it was made."""
        return f"the runs of a lazy frame; {self.inner.detail()}"

    def make_promise(self) -> Source[Any]:
        """Collect the frame as far as its run ids."""
        with as_ours():
            there = self.left.collect_schema().names()
            names = [each for each in ("entity", "project", "run_id") if each in there]
            rows = self.left.select(names).unique(maintain_order=True).collect().to_dicts()
        paths = tuple(paths_of(rows, names, self.path))
        source = copy(self.inner)
        source.scan = replace(source.scan, selection=replace(source.scan.selection, paths=paths))
        return source

    def schema(self) -> pl.Schema:
        """Give the columns."""
        return self.promise().schema()

    def frames(self, wanted: Wanted) -> Generator[pl.DataFrame]:
        """Read what is wanted of these runs."""
        return self.promise().frames(wanted)


def registered(source: Source[Any]) -> ScanFrame:
    """Hand a source to polars; plans name it where polars lets them.

    Raises
    ------
    ForkedError
        If polars would hang in this process.
    """
    forks.check()
    # polars 2 has these: https://github.com/pola-rs/polars/pull/23978
    labels: dict[str, Any] = {}
    if "explain_name" in inspect.signature(register_io_source).parameters:
        labels = {"explain_name": source.label, "explain_detail": source.detail()}
    # The schema as a function is asked for when a query runs: making a scan sends nothing.
    frame = register_io_source(source, schema=source.promised, is_pure=True, **labels)
    # As polars itself makes frames of a subclass.
    return cast("ScanFrame", ScanFrame._from_pyldf(frame._ldf))  # noqa: SLF001


def own_predicate(predicate: pl.Expr | None) -> pl.Expr | None:
    """Drop what some polars add for themselves to a top-k's predicate, and no source can evaluate."""
    # https://github.com/pola-rs/polars/issues/28629
    return None if predicate is None else without_dynamic(predicate)


def finished(
    frames: Generator[pl.DataFrame], wanted: Wanted, batch_size: int | None
) -> Generator[pl.DataFrame]:
    """Do what is left to do here: the limit, then the predicate, then the columns."""
    with closing(frames):
        yield from _finished(frames, wanted, batch_size)


def _finished(
    frames: Generator[pl.DataFrame], wanted: Wanted, batch_size: int | None
) -> Iterator[pl.DataFrame]:
    """Do the same with frames that are closed afterwards."""
    # polars trusts a source to have done all three; the order is that of its own scans:
    # https://github.com/pola-rs/polars/issues/25741
    left = wanted.n_rows
    for frame in frames:
        # Counted over all frames: polars does not cut again, and would give so many rows a frame.
        part = frame if left is None else frame.head(left)
        left = None if left is None else left - part.height
        if left == 0:
            # Its report and its warnings come before the last rows: polars may not ask for more.
            frames.close()
        if wanted.predicate is not None:
            part = part.filter(wanted.predicate)
        if wanted.columns is not None:
            part = part.select(list(wanted.columns))
        yield from (
            # A hint that costs little; polars 2.1 says 100,000 in any case.
            part.iter_slices(batch_size) if batch_size and part.height > batch_size else (part,)
        )
        if left == 0:
            return
