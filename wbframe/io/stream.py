"""Reading what a lazy query wants, batch by batch, into columns promised beforehand."""

from __future__ import annotations

import time
import warnings
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.histories import TaskRows, assemble, merge_rows
from wbframe.core.listing import describe
from wbframe.core.model import RunsScan
from wbframe.core.plan import RunEntry, history_tasks, index_of, run_entry
from wbframe.core.schema import history_schema, is_mixed, merge_index
from wbframe.errors import NewKeyWarning, SchemaMismatchError
from wbframe.io.read_histories import (
    ENTRY_FIELDS,
    HistoryPlan,
    histories_report,
    is_listed,
    plan_histories,
    read_keys,
)
from wbframe.io.read_runs import (
    RunsPlan,
    collect_runs,
    iter_pages,
    plan_runs,
    runs_report,
    warn_imprecise,
)
from wbframe.io.reader import read_tasks

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from wbframe.core.model import HistoryScan, OnNewKey
    from wbframe.core.narrow import NarrowedHistories, NarrowedRuns
    from wbframe.core.schema import HistorySchema, Index
    from wbframe.io.client import Client

# ---------------------------------------------------------------- runs


@dataclass(frozen=True, slots=True)
class RunsPromise:
    """A runs scan whose columns are known."""

    plan: RunsPlan
    columns: dict[str, pl.DataType]


def promise_runs(client: Client, scan: RunsScan, infer_schema_runs: int) -> RunsPromise:
    """Find the columns of a scan: from the index of fields, or from some runs where there is none."""
    plan = plan_runs(client, scan)
    if plan.index is None:
        some = replace(plan.scan, selection=replace(plan.scan.selection, predicate=None, limit=infer_schema_runs))
        looked = collect_runs(client, replace(plan, scan=some))
        plan = replace(plan, index=looked.index or {})
    columns = dict(plan.resolve(plan.scan.columns, plan.index).columns)
    return RunsPromise(plan, columns)


def stream_runs(
    client: Client, promise: RunsPromise, narrowed: NarrowedRuns, on_new_key: OnNewKey
) -> Generator[pl.DataFrame]:
    """Read the narrowed scan page by page."""
    started, before = time.perf_counter(), client.traffic
    looked_at = promise.plan.columns
    own = [] if looked_at is None else [name for name in looked_at if name not in promise.columns]
    columns = tuple(dict.fromkeys((*(narrowed.scan.columns or ()), *own)))
    whole = narrowed.scan.columns is not None and len(narrowed.scan.columns) == len(promise.columns)
    everything = whole and promise.plan.scan.columns is None
    plan = replace(promise.plan, scan=narrowed.scan, columns=None if everything else columns)
    rows = 0
    for page in iter_pages(client, plan, closed=on_new_key == "raise"):
        rows += page.frame.height
        yield page.frame
    client.last_report = runs_report(client, plan.scan.selection, rows, before, started)


# ---------------------------------------------------------------- histories


@dataclass(frozen=True, slots=True)
class HistoryPromise:
    """A histories scan whose columns are known; `scan` has its entities and keys resolved."""

    scan: HistoryScan
    schema: HistorySchema
    runs: RunsPlan


def promise_histories(client: Client, scan: HistoryScan, infer_schema_runs: int) -> HistoryPromise:
    """Find the columns of a scan without reading its rows.

    A request a project for the united keys of its runs, and one a thousand config and summary keys where
    run columns need them. Runs are listed only where they are few (a limit, or runs by name), or where a key
    has text among numbers, which only rows can tell from spelled-out NaN.
    """
    leaves = {k: v for k, v in scan.overrides.items() if k.startswith(("config.", "summary."))}
    runs = RunsScan(selection=scan.selection, columns=scan.run_columns or ("run_id",), overrides=leaves)
    plan = plan_runs(client, runs)
    scan = replace(scan, selection=plan.scan.selection)
    index = None if is_listed(scan.selection) else _united_keys(client, scan, plan)
    mixed = index is not None and any(
        is_mixed(types) and key not in scan.overrides and (scan.keys is None or key in scan.keys)
        for key, types in index.items()
    )
    if index is None or mixed:
        some = scan
        if index is None and not is_listed(scan.selection):
            some = replace(scan, selection=replace(scan.selection, limit=infer_schema_runs))
        found: HistoryPlan = plan_histories(client, some)
        index, schema = dict(found.index), found.schema
    else:
        columns = dict(plan.resolve(plan.scan.columns, plan.index).columns) if scan.run_columns else {}
        schema = history_schema(scan, index, columns, where=describe(scan.selection.paths))
    if scan.keys is not None:
        scan = replace(scan, keys=tuple(schema.keys))
    return HistoryPromise(scan, schema, plan)


def _united_keys(client: Client, scan: HistoryScan, plan: RunsPlan) -> Index | None:
    """Find the keys of all runs: as the server unites them, else from the index of summary keys."""
    united = read_keys(client, scan)
    if united is not None or scan.stream == "system":
        return united
    index = plan.index if plan.index else plan_runs(client, RunsScan(selection=scan.selection, columns=("summary.*",))).index
    if not index:
        return None
    hidden = ("summary._wandb", "summary._step")
    return {
        name.removeprefix("summary."): types
        for name, types in index.items()
        if name.startswith("summary.") and not name.startswith(hidden)
    }


@dataclass(slots=True)
class _Entries:
    """Lists runs page by page, and keeps their run columns for the rows that come later."""

    client: Client
    plan: RunsPlan
    known: HistorySchema
    system: bool
    watch: bool
    on_new_key: OnNewKey
    listed: list[RunEntry] = field(default_factory=list)
    frames: list[pl.DataFrame] = field(default_factory=list)
    new: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[RunEntry]:
        for page in iter_pages(self.client, self.plan, plain=ENTRY_FIELDS):
            self.frames.append(page.frame)
            for node in page.nodes:
                entry = run_entry(len(self.listed), page.path, node)
                self.listed.append(entry)
                if self.watch:
                    self.meet(index_of([entry], system=self.system))
                yield entry

    def meet(self, keys: Index) -> None:
        """Take note of keys that were not promised."""
        there = self.known.keys.keys() | self.known.lead.keys()
        for key in keys.keys() - there:
            self.new[key] = self.new.get(key, 0) + 1
        if self.new and self.on_new_key == "raise":
            names = sorted(self.new)
            msg = f"runs have logged keys that the schema does not name: {names}; scan again, or set on_new_key='ignore'"
            raise SchemaMismatchError(msg)

    def beside(self) -> pl.DataFrame | None:
        """Give the run columns so far, a row an ordinal."""
        if len(self.frames) > 1:
            self.frames = [pl.concat(self.frames)]
        return self.frames[0] if self.frames and self.known.run_columns else None


def stream_histories(
    client: Client,
    promise: HistoryPromise,
    narrowed: NarrowedHistories,
    on_new_key: OnNewKey,
    n_rows: int | None = None,
) -> Generator[pl.DataFrame]:
    """Read the narrowed scan, runs in order; listing, reading and decoding overlap."""
    if narrowed.empty:
        return
    started, before = time.perf_counter(), client.traffic
    scan, schema = narrowed.scan, narrowed.schema
    runs = replace(promise.runs.scan, selection=scan.selection, columns=scan.run_columns or ("run_id",))
    own = promise.runs.columns or ()
    columns = tuple(dict.fromkeys((*(runs.columns or ()), *own))) if scan.selection.predicate is not None else runs.columns
    entries = _Entries(
        client=client,
        plan=replace(promise.runs, scan=runs, columns=columns),
        known=promise.schema,
        system=scan.stream == "system",
        watch=scan.keys is None and not scan.narrowed,
        on_new_key=on_new_key,
    )
    width = len(schema.keys) + 1

    def budget() -> int:
        return client.budget.points if n_rows is None else min(client.budget.points, n_rows * width)

    seen = TaskRows()
    height = 0
    tasks = history_tasks(scan, entries, schema, budget)
    with closing(read_tasks(client, tasks, ahead=None if n_rows is None else 1)) as results:
        for result in results:
            for keys in result.new_keys.values():
                entries.meet(keys)
            run_ids = {entry.ordinal: entry.run_id for entry in entries.listed}
            part = assemble(result.frames, run_ids, schema, entries.beside())
            height += part.height
            result.frames = {}
            merge_rows(seen, result)
            yield part
            if n_rows is not None and height >= n_rows:
                break
    warn_imprecise(seen.imprecise)
    warn_new_keys(entries.new)
    client.last_report = histories_report(client, scan, entries.listed, seen, height, before, started)


def warn_new_keys(new: dict[str, int]) -> None:
    """Warn of keys that were left out because the schema did not promise them."""
    if new:
        listed = ", ".join(f"{key!r} ({count} runs)" for key, count in sorted(new.items()))
        warnings.warn(f"left out {len(new)} keys that were not promised: {listed}", NewKeyWarning, stacklevel=2)
