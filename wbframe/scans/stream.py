"""Reading what a lazy query wants, batch by batch, into columns promised beforehand."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

import polars as pl

from wbframe.core.hints import MOST_LOOKED_AT
from wbframe.core.histories.entries import RunEntry, run_entry
from wbframe.core.histories.frame import assemble
from wbframe.core.histories.rows import merge_rows
from wbframe.core.histories.tasks import history_tasks
from wbframe.core.paths import describe
from wbframe.core.protocol.request import KEYS
from wbframe.core.schema.histories import (
    choose_keys,
    history_schema,
    unlisted_of,
    unsure_of,
)
from wbframe.core.schema.types import is_scalar
from wbframe.errors import SchemaMismatchError, WbframeError
from wbframe.io.read.histories import (
    ENTRY_FIELDS,
    is_listed,
    last_listed,
    looked_behind,
    plan_histories,
    read_any_tasks,
    runs_beside,
    united_index,
)
from wbframe.io.read.outcome import Outcome, Read, tell_short
from wbframe.io.read.paging import read_pages, resolved
from wbframe.io.read.plan import plan_runs
from wbframe.io.read.runs import collect_runs, fields_ahead, iter_pages
from wbframe.io.threads import pool, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from wbframe.core.model import HistoryScan, OnNewKey, RunsScan, Selection
    from wbframe.core.protocol.runs import NodeFields
    from wbframe.core.pushdown.query import NarrowedHistories, NarrowedRuns
    from wbframe.core.runs.plan import RunsPlan
    from wbframe.core.schema.histories import HistorySchema
    from wbframe.core.schema.types import Index, Types
    from wbframe.io.client.client import Client
    from wbframe.io.client.reports import ScanName
    from wbframe.io.read.paging import Listed
    from wbframe.io.threads import Task
    from wbframe.report import LeftOut

_Out = TypeVar("_Out")

# ---------------------------------------------------------------- runs


@dataclass(frozen=True, slots=True)
class RunsPromise:
    """A runs scan whose columns are known."""

    plan: RunsPlan
    columns: dict[str, pl.DataType]


def promise_runs(client: Client, scan: RunsScan, infer_schema_runs: int) -> RunsPromise:
    """Find the columns of a scan: from the index of fields, or from some runs where there is none."""
    plan = plan_runs(client, scan, most=infer_schema_runs)
    if plan.index is None:
        few = replace(plan.scan.selection, predicate=None, limit=infer_schema_runs, per_page=None)
        looked_at = collect_runs(
            Read(client, looks=True), replace(plan, scan=replace(plan.scan, selection=few))
        )
        plan = replace(
            plan, index=looked_at.index or {}, sampled=True, looked_at=looked_at.frame.height
        )
    return RunsPromise(plan, dict(plan.resolve(plan.scan.columns, plan.index).columns))


def stream_runs(
    client: Client,
    promise: RunsPromise,
    narrowed: NarrowedRuns,
    on_new_key: OnNewKey,
    name: ScanName | None = None,
) -> Generator[pl.DataFrame]:
    """Read the narrowed scan page by page."""
    scan = narrowed.scan
    if promise.plan.scan.columns is None and set(scan.columns or ()) == promise.columns.keys():
        # All of them by their names are all: as None, keys that the index lacks are noticed too.
        scan = replace(scan, columns=None)
    plan = promise.plan.of(scan)
    conjuncts = narrowed.pushdown.conjuncts
    outcome = Outcome(client, plan.scan.selection, "runs", conjuncts=conjuncts, name=name)
    with outcome, closing(iter_pages(outcome.read, plan, on_new_key=on_new_key)) as pages:
        for page in pages:
            outcome.rows += page.frame.height
            outcome.runs = outcome.rows
            yield page.frame


# ---------------------------------------------------------------- histories


@dataclass(frozen=True, slots=True)
class HistoryPromise:
    """A histories scan whose columns are known.

    Attributes
    ----------
    scan
        With entities and keys resolved.
    schema
        Its columns.
    runs
        The plan that lists its runs.
    asked
        The keys and globs as they were asked for; None for all.
    looked_at
        Runs that were looked at for the columns.
    """

    scan: HistoryScan
    schema: HistorySchema
    runs: RunsPlan
    asked: tuple[str, ...] | None
    looked_at: int = 0


@dataclass(slots=True)
class Ahead:
    """Pages of runs that were asked for before it was known which a query wants, of which the first has come.

    Attributes
    ----------
    selection, fields
        The runs, and what was selected of each.
    listed
        The pages.
    losses
        What was left out of them.
    """

    selection: Selection
    fields: NodeFields
    listed: Listed
    losses: list[LeftOut]

    def holds(self, plan: RunsPlan) -> bool:
        """Tell whether these are the pages of a plan."""
        selection = plan.scan.selection
        plain = selection.predicate is None and selection.claim is None and plan.sort is None
        wanted = plan.fields().beside(ENTRY_FIELDS)
        return plain and selection == self.selection and self.fields.covers(wanted)


def promise_histories(
    client: Client,
    scan: HistoryScan,
    infer_schema_runs: int,
    hold: Callable[[Ahead], None] | None = None,
) -> HistoryPromise:
    """Find the columns of a scan without reading its rows.

    A request a project for the united keys of its runs, and one a thousand config and summary keys where
    run columns need them. Runs are listed only where they are few (a limit, or runs by name), where a key
    has text among numbers, which only rows can tell from spelled-out NaN, or, some of them, where a server
    does not unite keys. Where `hold` takes it, the first page of them is asked for besides,
    unless run columns are.
    """
    asked = scan.keys
    paths = resolved(client, scan.selection.paths)
    scan = replace(scan, selection=replace(scan.selection, paths=paths))
    few = is_listed(scan.selection)
    last: tuple[RunEntry, ...] | None = None
    if few or KEYS in client.refused:
        runs, index = promise_runs(client, runs_beside(scan), infer_schema_runs), None
    else:
        # With columns of runs beside its rows a query may well have conditions on these.
        likely = None if scan.run_columns else hold
        runs, index, last = _side_by_side(client, scan, infer_schema_runs, likely)
    scan = replace(scan, selection=runs.plan.scan.selection)
    sampled = index is None and not few
    complete = True
    if index is None or unsure_of(scan, index) or unlisted_of(scan, index):
        most = infer_schema_runs if sampled else None
        # Fewer than were asked for are all that pass the filters; of no run, none tells a type.
        full = last is None or len(last) >= min(MOST_LOOKED_AT, most or MOST_LOOKED_AT)
        full = full or scan.selection.limit == 0
        found = plan_histories(
            Read(client, looks=True),
            replace(scan, run_columns=()),
            most=most,
            listed=None if full or scan.selection.predicate is not None else last,
        )
        index, complete, looked_at = dict(found.index), found.complete, len(found.entries)
        scan = replace(scan, unlisted=found.scan.unlisted)
    else:
        last = last_listed(client, scan) if last is None else last
        index, unlisted = looked_behind(client, scan, index, last)
        scan, looked_at = replace(scan, unlisted=unlisted), len(last)
    schema = history_schema(
        scan,
        index,
        runs.columns if scan.run_columns else {},
        where=describe(scan.selection.paths),
        complete=complete,
    )
    if asked is not None or scan.scalars:
        scan = replace(scan, keys=tuple(schema.keys))
    return HistoryPromise(scan, schema, runs.plan, asked, runs.plan.looked_at + looked_at)


def _side_by_side(
    client: Client,
    scan: HistoryScan,
    infer_schema_runs: int,
    hold: Callable[[Ahead], None] | None,
) -> tuple[RunsPromise, Index | None, tuple[RunEntry, ...] | None]:
    """Ask at once for the run columns, the united keys and the last runs: none of them needs another's answer.

    An expression over runs is no matter of the last two: keys are those of all runs that pass the filters.
    """
    with pool(3, "wbframe-ahead") as workers:
        united = workers.submit(united_index, client, scan)
        last = workers.submit(last_listed, client, scan)
        first = None if hold is None else workers.submit(_ahead, client, scan)
        runs = promise_runs(client, runs_beside(scan), infer_schema_runs)
        index = result_of(united)
        found = runs, index, _hoped_for(last)
        ahead = None if first is None else _hoped_for(first)
        if ahead is not None and hold is not None:
            hold(ahead)
        return found


def _hoped_for(task: Task[_Out]) -> _Out | None:
    """Give what may not be needed, if it could be had: who needs it asks again, and says what is wrong."""
    try:
        return result_of(task)
    except WbframeError:
        return None


def _ahead(client: Client, scan: HistoryScan) -> Ahead | None:
    """Ask for the first page of runs that a query wants, unless it has conditions of its own on them."""
    fields = fields_ahead(runs_beside(scan))
    if fields is None:
        return None
    fields = fields.beside(ENTRY_FIELDS)
    losses: list[LeftOut] = []
    pages = read_pages(Read(client, losses=losses), scan.selection, fields)
    first = list(islice(pages, 1))
    return Ahead(scan.selection, fields, chain(first, pages), losses)


@dataclass(slots=True)
class Entries:
    """Lists runs page by page, and keeps their run columns for the rows that come later."""

    client: Client
    plan: RunsPlan
    known: HistorySchema
    system: bool
    asked: tuple[str, ...] | None
    on_new_key: OnNewKey
    scalars: bool = False
    listed: list[RunEntry] = field(default_factory=list)
    frames: list[pl.DataFrame] = field(default_factory=list)
    new: dict[str, set[int]] = field(default_factory=dict)
    losses: list[LeftOut] = field(default_factory=list)
    pages: Listed | None = None

    def __iter__(self) -> Iterator[RunEntry]:
        read, pages = Read(self.client, losses=self.losses), self.pages
        self.pages = None
        for page in iter_pages(read, self.plan, plain=ENTRY_FIELDS, listed=pages):
            self.frames.append(page.frame)
            for path, node in page.runs:
                entry = run_entry(len(self.listed), path, node)
                self.listed.append(entry)
                self.meet(entry.ordinal, entry.types(system=self.system))
                yield entry

    def meet(self, ordinal: int, keys: Mapping[str, Types]) -> None:
        """Take note of keys of one run that are wanted, all or by a glob, and were not promised."""
        new = keys.keys() - self.known.keys.keys() - self.known.lead.keys()
        if self.scalars:
            new = {key for key in new if is_scalar(keys[key])}
        if not new:
            return
        for key in new.intersection(choose_keys(self.asked, new, where="", strict=False)):
            self.new.setdefault(key, set()).add(ordinal)
        if self.new and self.on_new_key == "raise":
            msg = (
                f"runs have logged keys that the schema does not name: {sorted(self.new)};"
                " scan again, or set on_new_key='ignore'"
            )
            raise SchemaMismatchError(msg)

    def beside(self) -> pl.DataFrame | None:
        """Give the run columns so far, a row an ordinal."""
        if len(self.frames) > 1:
            self.frames = [pl.concat(self.frames)]
        return self.frames[0] if self.frames and self.known.run_columns else None


def entries_of(
    client: Client,
    promise: HistoryPromise,
    scan: HistoryScan,
    on_new_key: OnNewKey,
    ahead: Ahead | None = None,
) -> Entries:
    """List the runs of a promise, as far as the narrowed scan wants them."""
    runs = replace(
        promise.runs.scan, selection=scan.selection, columns=scan.run_columns or ("run_id",)
    )
    plan = promise.runs.of(runs)
    if ahead is not None and not ahead.holds(plan):
        ahead = None
    return Entries(
        client=client,
        plan=plan,
        known=promise.schema,
        system=scan.stream == "system",
        asked=() if scan.narrowed else promise.asked,
        on_new_key=on_new_key,
        scalars=scan.scalars,
        losses=[] if ahead is None else ahead.losses,
        pages=None if ahead is None else ahead.listed,
    )


def stream_histories(
    client: Client,
    promise: HistoryPromise,
    narrowed: NarrowedHistories,
    on_new_key: OnNewKey,
    n_rows: int | None = None,
    name: ScanName | None = None,
    ahead: Ahead | None = None,
) -> Generator[pl.DataFrame]:
    """Read the narrowed scan, runs in order; listing, reading and decoding overlap."""
    if narrowed.empty:
        return
    scan = narrowed.scan
    entries = entries_of(client, promise, scan, on_new_key, ahead)
    outcome = Outcome(
        client,
        scan.selection,
        "histories",
        scan=scan,
        entries=entries.listed,
        losses=entries.losses,
        conjuncts=narrowed.conjuncts,
        new=entries.new,
        name=name,
    )
    with outcome:
        yield from _stream(client, narrowed, entries, outcome, n_rows)


def _stream(
    client: Client,
    narrowed: NarrowedHistories,
    entries: Entries,
    outcome: Outcome,
    n_rows: int | None,
) -> Generator[pl.DataFrame]:
    """Read the frames, and tell the outcome how it goes."""
    scan, schema = narrowed.scan, narrowed.schema
    width = len(schema.keys) + 1

    def budget() -> int:
        # A limit asks for few rows, of which requests as large as ever would throw most away.
        return client.budget.at_most(math.inf if n_rows is None else n_rows * width)

    tasks = history_tasks(scan, entries, schema, budget)
    # polars drops a source's generator when it has enough rows; the threads behind it must end then, not at some
    # collection of garbage.
    with closing(
        # What is read ahead of a limit that is already met was read in vain.
        read_any_tasks(client, scan, tasks, ahead=None if n_rows is None else 1, streamed=True)
    ) as results:
        for result in results:
            for ordinal, keys in result.new_keys.items():
                entries.meet(ordinal, keys)
            run_ids = {entry.ordinal: entry.run_id for entry in entries.listed}
            part = assemble(result.frames, run_ids, schema, entries.beside())
            outcome.rows += part.height
            result.frames = {}
            # Before the rows: who has enough of them does not ask for the end.
            tell_short(result, entries.listed, scan.on_incomplete)
            merge_rows(outcome.seen, result)
            yield part
            if n_rows is not None and outcome.rows >= n_rows:
                break
