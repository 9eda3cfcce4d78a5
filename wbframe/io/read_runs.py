"""Reading the runs frame."""

from __future__ import annotations

import fnmatch
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.filters import EMPTY
from wbframe.core.listing import RunsTaken, describe, rows_where
from wbframe.core.model import Selection
from wbframe.core.narrow import predicate_columns, with_own_predicate
from wbframe.core.runs_frame import RunsBuffer, leaf_types, runs_frame
from wbframe.core.schema import (
    RUN_COLUMNS,
    RunsSchema,
    is_mixed,
    merge_index,
    needs_index,
    runs_schema,
)
from wbframe.core.separable import is_row_separable
from wbframe.errors import CollisionWarning, NewKeyWarning, PrecisionWarning, SchemaMismatchError
from wbframe.io.leaving_out import readable
from wbframe.io.outcome import Outcome
from wbframe.io.progress import Progress, silent
from wbframe.io.reader import read_index, read_pages, resolved

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wbframe.core.graphql import RunNode
    from wbframe.core.model import LeftOut, OnNewKey, RunPath, RunsScan, ScanReport
    from wbframe.core.schema import Index
    from wbframe.io.client import Client
    from wbframe.io.progress import Hook


RUNS_LOOKED_AT_ONCE = 1000
NUMBERS = frozenset({"number", "nil"})


@dataclass(frozen=True, slots=True)
class Read:
    """A frame and the report on how it was read."""

    frame: pl.DataFrame
    report: ScanReport


@dataclass(frozen=True, slots=True)
class RunsPlan:
    """A runs scan with everything that must be known before its pages.

    Attributes
    ----------
    scan
        With default entities filled in.
    columns
        The names and globs of the scan and of its predicate; None for all.
    index
        The config and summary columns of the projects: empty where none is needed, None where the
        server has no index.
    sampled
        Whether the index is that of some runs, so that others may have more columns.
    """

    scan: RunsScan
    columns: tuple[str, ...] | None
    index: Index | None
    sampled: bool = False

    def resolve(self, columns: tuple[str, ...] | None, index: Index | None) -> RunsSchema:
        """Give the columns that names and globs mean."""
        where = describe(self.scan.selection.paths)
        complete = self.index is not None and not self.sampled
        return runs_schema(columns, index, self.scan.overrides, where=where, complete=complete)

    def of(self, scan: RunsScan) -> RunsPlan:
        """Give the plan for a scan of the same projects: what it reads is what it and its predicate look at."""
        looked_at = predicate_columns(scan.selection.predicate)
        whole = scan.columns is None or looked_at is None
        columns = (
            None if whole else tuple(dict.fromkeys((*(scan.columns or ()), *(looked_at or ()))))
        )
        return replace(self, scan=scan, columns=columns)

    def unnamed(self, names: set[str]) -> set[str]:
        """Give those of some names without a column that are wanted all the same: by a glob, or all."""
        if not names or self.columns is None:
            return names
        return {
            name for name in names if any(fnmatch.fnmatchcase(name, each) for each in self.columns)
        }

    @property
    def in_one_piece(self) -> bool:
        """Whether it takes all runs to tell the types, or which of them the predicate keeps."""
        predicate = self.scan.selection.predicate
        return self.index is None or not (predicate is None or is_row_separable(predicate))


def plan_runs(client: Client, scan: RunsScan) -> RunsPlan:
    """Resolve a scan: one request a thousand config and summary keys, none where no such column is read.

    Raises
    ------
    ColumnError
        If a column exists in no run of the projects.
    """
    paths = resolved(client, scan.selection.paths)
    scan = replace(scan, selection=replace(scan.selection, paths=paths))
    looked_at = predicate_columns(scan.selection.predicate)
    whole = scan.columns is None or looked_at is None
    columns = None if whole else tuple(dict.fromkeys((*(scan.columns or ()), *(looked_at or ()))))
    index = read_index(client, paths) if needs_index(columns) else {}
    plan = RunsPlan(scan=scan, columns=columns, index=index)
    if index:
        index = _with_spelled_numbers(client, plan, index)
        plan = replace(plan, index=index)
    if index is not None:
        plan.resolve(tuple(looked_at or ()), index)
    known = plan.resolve(columns, index).columns
    # What no index vouches for may be text or number, so the server is not asked to compare it.
    sure = {name: known[name] for name in known if index is not None or name in RUN_COLUMNS}
    return replace(plan, scan=replace(scan, selection=with_own_predicate(scan.selection, sure)))


def _with_spelled_numbers(client: Client, plan: RunsPlan, index: Index) -> Index:
    """Find the summary keys whose only text is spelled-out NaN: in all runs, so that filters change no type."""
    mixed = [
        name
        for name in plan.resolve(plan.columns, index).columns
        if name.startswith("summary.") and is_mixed(index[name]) and name not in plan.scan.overrides
    ]
    if not mixed:
        return index
    paths = dict.fromkeys(replace(each, run=None, sweep=None) for each in plan.scan.selection.paths)
    everything = Selection(paths=tuple(paths), filters=EMPTY, per_page=RUNS_LOOKED_AT_ONCE)
    buffer = RunsBuffer()
    schema = RunsSchema(columns=dict.fromkeys(mixed, pl.String()))
    for path, nodes in iter_runs(client, everything, schema, silent):
        buffer.add(path, nodes)
    types = leaf_types(buffer)
    sure = {name: types[name] for name in mixed if types.get(name, index[name]) <= NUMBERS}
    return {**index, **sure}


def read_runs(client: Client, scan: RunsScan, progress: Hook = silent) -> Read:
    """Read the runs frame whole.

    Raises
    ------
    WbframeError
        Whatever kept it from being whole.
    """
    outcome = Outcome(client, scan.selection, "runs", progress)
    with outcome:
        plan = plan_runs(client, scan)
        outcome.selection = plan.scan.selection
        frame = collect_runs(client, plan, progress, losses=outcome.losses).frame
        outcome.runs = outcome.rows = frame.height
    return Read(frame, outcome.report())


@dataclass(frozen=True, slots=True)
class RunsCollected:
    """The runs of a selection: where each is, as the server gave it, and their frame.

    `index` is what is known of config and summary columns now.
    """

    paths: list[RunPath]
    nodes: list[RunNode]
    frame: pl.DataFrame
    index: Index | None


def collect_runs(
    client: Client,
    plan: RunsPlan,
    progress: Hook = silent,
    *,
    plain: tuple[str, ...] = (),
    losses: list[LeftOut] | None = None,
) -> RunsCollected:
    """Read all pages of a plan; `plain` names GraphQL fields that the caller wants besides."""
    selection = plan.scan.selection
    late = selection.predicate if plan.in_one_piece else None
    if late is not None:
        selection = replace(selection, predicate=None, limit=None)
    paths: list[RunPath] = []
    buffer = RunsBuffer()
    needed = plan.resolve(plan.columns, plan.index)
    for path, nodes in iter_runs(client, selection, needed, progress, plain=plain, losses=losses):
        buffer.add(path, nodes)
        paths += [path] * len(nodes)
    frame, index = _frame(buffer, plan)
    kept = pl.Series(range(len(buffer)), dtype=pl.Int64)
    if late is not None:
        kept = pl.Series(rows_where(frame, late), dtype=pl.Int64)
        limit = plan.scan.selection.limit
        kept = kept if limit is None else kept.head(limit)
    return RunsCollected(
        paths=[paths[i] for i in kept],
        nodes=[buffer.nodes[i] for i in kept],
        frame=frame[kept].select(list(plan.resolve(plan.scan.columns, index).columns)),
        index=index,
    )


@dataclass(frozen=True, slots=True)
class ListedPage:
    """A page of a selection: its project, its runs, and the frame of the columns wanted of them."""

    path: RunPath
    nodes: list[RunNode]
    frame: pl.DataFrame


def iter_pages(
    client: Client,
    plan: RunsPlan,
    progress: Hook = silent,
    *,
    plain: tuple[str, ...] = (),
    on_new_key: OnNewKey = "raise",
    losses: list[LeftOut] | None = None,
) -> Iterator[ListedPage]:
    """Read a plan page by page; in one piece where the server has no index to promise types from.

    Parameters
    ----------
    client, plan, progress
        What is read, and how.
    plain
        GraphQL fields that the caller wants besides.
    on_new_key
        Whether a config or summary key that is wanted, and that the index does not name, is an error, or is
        left out with a warning.
    losses
        Takes what is left out, where the selection allows it.

    Raises
    ------
    SchemaMismatchError
        If a run has a key, or a type of one, that the index does not name.
    """
    wanted = list(plan.resolve(plan.scan.columns, plan.index).columns)
    if plan.in_one_piece:
        yield from _one_piece(
            client, plan, progress, plain=plain, on_new_key=on_new_key, losses=losses
        )
        return
    needed = plan.resolve(plan.columns, plan.index)
    imprecise: set[str] = set()
    collided: set[str] = set()
    new: Counter[str] = Counter()
    for path, nodes in iter_runs(
        client, plan.scan.selection, needed, progress, plain=plain, losses=losses
    ):
        buffer = RunsBuffer()
        buffer.add(path, nodes)
        unnamed = plan.unnamed(buffer.names - needed.columns.keys())
        if unnamed and on_new_key == "raise":
            msg = (
                f"the index of {describe([path])} does not name {sorted(unnamed)};"
                " scan again, read them by name, or set on_new_key='ignore'"
            )
            raise SchemaMismatchError(msg)
        new.update(unnamed)
        frame, lost = runs_frame(buffer, needed)
        imprecise |= lost
        collided |= buffer.collided
        yield ListedPage(path, nodes, frame.select(wanted))
    warn_imprecise(imprecise)
    warn_collided(collided)
    warn_new_keys(new, "pages")


def _one_piece(
    client: Client,
    plan: RunsPlan,
    progress: Hook,
    *,
    plain: tuple[str, ...],
    on_new_key: OnNewKey,
    losses: list[LeftOut] | None,
) -> Iterator[ListedPage]:
    """Read a plan whole, into the columns promised; a page for each project."""
    whole = collect_runs(client, plan, progress, plain=plain, losses=losses)
    promised = plan.resolve(plan.scan.columns, plan.index).columns
    found = whole.frame.schema
    new = found.keys() - promised.keys()
    if any(found[name] != dtype for name, dtype in promised.items()) or (
        new and on_new_key == "raise"
    ):
        where = describe(plan.scan.selection.paths)
        named = f"; new are {sorted(new)}" if new else ""
        raise SchemaMismatchError(
            f"the index of {where} does not name every key, or not its type{named}"
        )
    warn_new_keys(dict.fromkeys(new, len(whole.nodes)), "among runs")
    frame = whole.frame.select(list(promised))
    for path, places in groupby(range(len(whole.nodes)), key=whole.paths.__getitem__):
        at = list(places)
        yield ListedPage(path, [whole.nodes[i] for i in at], frame[at])


def iter_runs(
    client: Client,
    selection: Selection,
    schema: RunsSchema,
    progress: Hook,
    *,
    plain: tuple[str, ...] = (),
    losses: list[LeftOut] | None = None,
) -> Iterator[tuple[RunPath, list[RunNode]]]:
    """Read the runs of a selection page by page; `plain` names further GraphQL fields."""
    skips = selection.on_error == "skip" and losses is not None
    taken = RunsTaken(
        predicate=selection.predicate, schema=schema, limit=selection.limit, seen=set()
    )
    fields = schema.fields()
    fields = replace(fields, plain=tuple(dict.fromkeys((*fields.plain, *plain))))
    if taken.full:
        return
    for listing, page in read_pages(client, selection, fields, losses):
        nodes = page.nodes
        if skips and losses is not None:
            nodes = tuple(readable(listing.path, nodes, losses))
        yield listing.path, taken.take(listing.path, nodes)
        total = page.run_count if selection.limit is None else selection.limit
        progress(Progress(kind="runs", done=taken.taken, total=total))
        if taken.full:
            return


def _frame(buffer: RunsBuffer, plan: RunsPlan) -> tuple[pl.DataFrame, Index | None]:
    """Build the frame; what the index did not name, or named wrongly, comes from the runs."""
    index = plan.index
    if index is None:
        index = leaf_types(buffer) if buffer.names else None
    elif plan.columns is None and not buffer.names <= index.keys():
        types = leaf_types(buffer)
        index = {**index, **{name: types[name] for name in types if name not in index}}
    needed = plan.resolve(plan.columns, index)
    try:
        frame, imprecise = runs_frame(buffer, needed)
    except SchemaMismatchError:
        widened = dict(index or {})
        merge_index(widened, leaf_types(buffer))
        if plan.resolve(plan.columns, widened) == needed:
            raise
        index = widened
        frame, imprecise = runs_frame(buffer, plan.resolve(plan.columns, index))
    warn_imprecise(imprecise)
    warn_collided(buffer.collided)
    return frame, index


def warn_collided(names: set[str]) -> None:
    """Warn of columns that two values of one run would stand in."""
    if names:
        msg = f"keys with dots stand in the columns of nested ones: {sorted(names)}; rename one of each pair"
        warnings.warn(msg, CollisionWarning, stacklevel=2)


def warn_imprecise(names: frozenset[str] | set[str]) -> None:
    """Warn of columns whose digits Float64 cannot hold."""
    for name in sorted(names):
        msg = (
            f"Float64 cannot hold every digit of {name!r}; read it exactly with"
            f" schema_overrides={{{name!r}: pl.Int64}}"
        )
        warnings.warn(msg, PrecisionWarning, stacklevel=2)


def warn_new_keys(new: Mapping[str, int], where: str) -> None:
    """Warn of keys that were left out because no column was promised for them."""
    if new:
        listed = ", ".join(f"{key!r} ({where}: {count})" for key, count in sorted(new.items()))
        msg = f"left out {len(new)} keys that the schema does not name: {listed}"
        warnings.warn(msg, NewKeyWarning, stacklevel=2)
