"""Reading the runs frame."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.filters import EMPTY
from wbframe.core.model import Selection
from wbframe.core.paths import describe, run_of
from wbframe.core.pushdown.query import predicate_columns, with_own_predicate
from wbframe.core.runs.frame import RunsBuffer, leaf_types, run_leaves
from wbframe.core.runs.listing import RunsTaken, rows_where
from wbframe.core.runs.pages import GrowingPages, PromisedPages, RunsPage
from wbframe.core.runs.plan import RunsPlan, columns_of
from wbframe.core.schema.runs import RUN_COLUMNS, RunsSchema, needs_index, runs_schema
from wbframe.core.schema.types import is_mixed, merge_index
from wbframe.errors import (
    AnswerError,
    SchemaMismatchError,
)
from wbframe.io.read.outcome import (
    Outcome,
    Read,
    silent,
    warn_collided,
    warn_imprecise,
    warn_new_keys,
)
from wbframe.io.read.paging import fresh_runs, read_pages, resolved
from wbframe.io.read.project import read_index
from wbframe.io.threads import begun
from wbframe.report import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wbframe.core.model import OnNewKey, RunPath, RunsScan
    from wbframe.core.protocol.runs import Listing, Page, RunNode
    from wbframe.core.schema.types import Index
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook
    from wbframe.report import ScanReport

    Listed = Iterator[tuple[Listing, Page]]


__all__ = ["ListedRuns", "collect_runs", "iter_pages", "plan_runs", "read_runs"]

_RUNS_LOOKED_AT_ONCE = 1000
_NUMBERS = frozenset({"number", "nil"})


def plan_runs(client: Client, scan: RunsScan) -> RunsPlan:
    """Resolve a scan: one request a thousand config and summary keys, none where no such column is read.

    Raises
    ------
    ColumnError
        If a column exists in no run of the projects.
    """
    paths = resolved(client, scan.selection.paths)
    scan = replace(scan, selection=replace(scan.selection, paths=paths))
    columns = columns_of(scan)
    index = read_index(client, paths) if needs_index(columns) else {}
    plan = RunsPlan(scan=scan, columns=columns, index=index)
    if index:
        index = _with_spelled_numbers(client, plan, index)
        plan = replace(plan, index=index)
    if index is not None:
        plan.resolve(tuple(predicate_columns(scan.selection.predicate) or ()), index)
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
    everything = Selection(paths=tuple(paths), filters=EMPTY, per_page=_RUNS_LOOKED_AT_ONCE)
    fields = RunsSchema(columns=dict.fromkeys(mixed, pl.String())).fields()
    types: Index = {}
    for listing, page in read_pages(Read(client), everything, fields):
        buffer = RunsBuffer()
        buffer.add(listing.path, page.nodes)
        merge_index(types, leaf_types(buffer))
    sure = {name: types[name] for name in mixed if types.get(name, index[name]) <= _NUMBERS}
    return {**index, **sure}


def read_runs(
    client: Client, scan: RunsScan, progress: Hook = silent
) -> tuple[pl.DataFrame, ScanReport]:
    """Read the runs frame whole, and report how.

    Raises
    ------
    WbframeError
        Whatever kept it from being whole.
    """
    outcome = Outcome(client, scan.selection, "runs", progress)
    with outcome, _listed_ahead(outcome.read, scan) as listed:
        plan = plan_runs(client, scan)
        outcome.selection = plan.scan.selection
        frame = collect_runs(outcome.read, plan, keep=False, listed=listed).frame
        outcome.runs = outcome.rows = frame.height
    return frame, outcome.report()


@contextmanager
def _listed_ahead(read: Read, scan: RunsScan) -> Iterator[Listed | None]:
    """Ask for the first page beside the index, where no column needs the index to be asked for."""
    if (
        columns_of(scan) is not None
        or scan.selection.predicate is not None
        or scan.selection.limit == 0
    ):
        yield None
        return
    selection = replace(scan.selection, paths=resolved(read.client, scan.selection.paths))
    fields = runs_schema(None, None, {}).fields()
    with begun(read_pages(read, selection, fields)) as listed:
        yield listed


@dataclass(frozen=True, slots=True)
class ListedRuns:
    """Runs of a selection, or of a page of it.

    Attributes
    ----------
    runs
        The project of each, and what the server gave of it; empty if that was not wanted.
    frame
        The columns that are wanted of them.
    index
        What is known of config and summary columns now.
    """

    runs: list[tuple[RunPath, RunNode]]
    frame: pl.DataFrame
    index: Index | None


def collect_runs(
    read: Read,
    plan: RunsPlan,
    *,
    plain: tuple[str, ...] = (),
    keep: bool = True,
    listed: Listed | None = None,
) -> ListedRuns:
    """Read all pages of a plan; again, where their values turn out not to have the types of its index.

    Parameters
    ----------
    read, plan
        What is read, and how.
    plain
        GraphQL fields that the caller wants besides.
    keep
        Whether the caller wants more of the runs than their frame.
    listed
        The pages, if they have been asked for.
    """
    selection = plan.scan.selection
    late = selection.predicate if plan.in_one_piece else None
    if late is not None:
        selection = replace(selection, predicate=None, limit=None)
    index = plan.index
    before = list(read.losses or ())
    while True:
        pages = GrowingPages(plan, index, keep)
        for page in _iter_runs(read, selection, pages, plain=plain, listed=listed):
            pages.add(page)
        frame, index = pages.joined(), pages.index
        if frame is not None:
            break
        listed = None
        if read.losses is not None:
            read.losses[:] = before
    warn_imprecise(pages.imprecise)
    warn_collided(pages.collided)
    runs = pages.runs
    if late is not None:
        places = rows_where(frame, late)[: plan.scan.selection.limit]
        frame = frame[places]
        runs = [runs[i] for i in places] if keep else runs
    wanted = list(plan.resolve(plan.scan.columns, index).columns)
    return ListedRuns(runs=runs, frame=frame.select(wanted), index=index)


def iter_pages(
    read: Read,
    plan: RunsPlan,
    *,
    plain: tuple[str, ...] = (),
    on_new_key: OnNewKey = "raise",
) -> Iterator[ListedRuns]:
    """Read a plan page by page; in one piece where the server has no index to promise types from.

    Parameters
    ----------
    read, plan
        What is read, and how.
    plain
        GraphQL fields that the caller wants besides.
    on_new_key
        Whether a config or summary key that is wanted, and that the index does not name, is an error, or is
        left out with a warning.

    Raises
    ------
    SchemaMismatchError
        If a run has a key, or a type of one, that the index does not name.
    """
    if plan.in_one_piece:
        yield _one_piece(plan, collect_runs(read, plan, plain=plain), on_new_key)
        return
    wanted = list(plan.resolve(plan.scan.columns, plan.index).columns)
    pages = PromisedPages(plan, on_new_key)
    for page in _iter_runs(read, plan.scan.selection, pages, plain=plain):
        pages.add(page)
        runs = [(page.path, node) for node in page.nodes]
        yield ListedRuns(runs, page.frame.select(wanted), plan.index)
    warn_imprecise(pages.imprecise)
    warn_collided(pages.collided)
    warn_new_keys(pages.new, "pages")


def _one_piece(plan: RunsPlan, whole: ListedRuns, on_new_key: OnNewKey) -> ListedRuns:
    """Give a plan that was read whole the columns promised."""
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
    warn_new_keys(dict.fromkeys(new, len(whole.runs)), "among runs")
    return replace(whole, frame=whole.frame.select(list(promised)))


def _iter_runs(
    read: Read,
    selection: Selection,
    pages: PromisedPages | GrowingPages,
    *,
    plain: tuple[str, ...] = (),
    listed: Listed | None = None,
) -> Iterator[RunsPage]:
    """Read the runs of a selection page by page, as frames; `plain` names further GraphQL fields."""
    taken = RunsTaken(selection.predicate, selection.limit)
    if listed is None and not taken.full:
        fields = pages.schema.fields()
        fields = replace(fields, plain=tuple(dict.fromkeys((*fields.plain, *plain))))
        listed = read_pages(read, selection, fields)
    readable = None
    if selection.on_error == "skip" and read.losses is not None:
        readable = partial(_readable, read.losses)
    for path, nodes in fresh_runs(read, selection, taken, listed or iter(()), readable):
        page = pages.decode(path, nodes)
        places = taken.take(page.nodes, page.frame)
        yield page if places is None else page.only(places)


def _readable(losses: list[LeftOut], path: RunPath, nodes: Iterable[RunNode]) -> list[RunNode]:
    """Give the runs whose config and summary can be read; the others are losses."""
    found = []
    for node in nodes:
        try:
            run_leaves(node, where=run_of(path, node.name))
        except AnswerError as error:
            losses.append(LeftOut(run_of(path, node.name), str(error)))
        else:
            found.append(node)
    return found
