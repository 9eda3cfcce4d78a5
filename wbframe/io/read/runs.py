"""Reading the runs frame."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.filters import EMPTY
from wbframe.core.model import Selection
from wbframe.core.paths import describe, run_of
from wbframe.core.pushdown.query import predicate_columns, with_own_predicate
from wbframe.core.runs.frame import RunsBuffer, leaf_types, run_leaves
from wbframe.core.runs.pages import GrowingPages, PromisedPages, RunsPage, RunsTaken, rows_where
from wbframe.core.runs.plan import RunsPlan, columns_of
from wbframe.core.schema.runs import RUN_COLUMNS, RunsSchema, needs_index, runs_schema
from wbframe.core.schema.types import is_mixed, merge_index
from wbframe.errors import (
    AnswerError,
    CollisionWarning,
    NewKeyWarning,
    PrecisionWarning,
    SchemaMismatchError,
)
from wbframe.io.read.outcome import Outcome, Progress, silent
from wbframe.io.read.project import read_index
from wbframe.io.read.tasks import read_pages, resolved
from wbframe.io.threads import begun
from wbframe.report import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wbframe.core.model import OnNewKey, RunPath, RunsScan
    from wbframe.core.protocol.runs import Listing, Page, RunNode
    from wbframe.core.schema.types import Index
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook
    from wbframe.report import ScanReport

    Listed = Iterator[tuple[Listing, Page]]


__all__ = [
    "NUMBERS",
    "RUNS_LOOKED_AT_ONCE",
    "ListedRuns",
    "Read",
    "collect_runs",
    "iter_pages",
    "iter_runs",
    "plan_runs",
    "read_runs",
    "readable",
    "warn_collided",
    "warn_imprecise",
    "warn_new_keys",
]


RUNS_LOOKED_AT_ONCE = 1000
NUMBERS = frozenset({"number", "nil"})


@dataclass(frozen=True, slots=True)
class Read:
    """A frame and the report on how it was read."""

    frame: pl.DataFrame
    report: ScanReport


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
    everything = Selection(paths=tuple(paths), filters=EMPTY, per_page=RUNS_LOOKED_AT_ONCE)
    fields = RunsSchema(columns=dict.fromkeys(mixed, pl.String())).fields()
    types: Index = {}
    for listing, page in read_pages(client, everything, fields):
        buffer = RunsBuffer()
        buffer.add(listing.path, page.nodes)
        merge_index(types, leaf_types(buffer))
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
    with outcome, _listed_ahead(client, scan, outcome.losses) as listed:
        plan = plan_runs(client, scan)
        outcome.selection = plan.scan.selection
        frame = collect_runs(
            client, plan, progress, keep=False, losses=outcome.losses, listed=listed
        ).frame
        outcome.runs = outcome.rows = frame.height
    return Read(frame, outcome.report())


@contextmanager
def _listed_ahead(client: Client, scan: RunsScan, losses: list[LeftOut]) -> Iterator[Listed | None]:
    """Ask for the first page beside the index, where no column needs the index to be asked for."""
    if (
        columns_of(scan) is not None
        or scan.selection.predicate is not None
        or scan.selection.limit == 0
    ):
        yield None
        return
    selection = replace(scan.selection, paths=resolved(client, scan.selection.paths))
    fields = runs_schema(None, None, {}).fields()
    with begun(read_pages(client, selection, fields, losses)) as listed:
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
    client: Client,
    plan: RunsPlan,
    progress: Hook = silent,
    *,
    plain: tuple[str, ...] = (),
    keep: bool = True,
    losses: list[LeftOut] | None = None,
    listed: Listed | None = None,
) -> ListedRuns:
    """Read all pages of a plan; again, where their values turn out not to have the types of its index.

    Parameters
    ----------
    client, plan, progress
        What is read, and how.
    plain
        GraphQL fields that the caller wants besides.
    keep
        Whether the caller wants more of the runs than their frame.
    losses
        Takes what is left out, where the selection allows it.
    listed
        The pages, if they have been asked for.
    """
    selection = plan.scan.selection
    late = selection.predicate if plan.in_one_piece else None
    if late is not None:
        selection = replace(selection, predicate=None, limit=None)
    index = plan.index
    before = [] if losses is None else list(losses)
    while True:
        pages = GrowingPages(plan, index, keep)
        for page in iter_runs(
            client, selection, pages, progress, plain=plain, losses=losses, listed=listed
        ):
            pages.add(page)
        frame, index = pages.joined(), pages.index
        if frame is not None:
            break
        listed = None
        if losses is not None:
            losses[:] = before
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
    client: Client,
    plan: RunsPlan,
    progress: Hook = silent,
    *,
    plain: tuple[str, ...] = (),
    on_new_key: OnNewKey = "raise",
    losses: list[LeftOut] | None = None,
) -> Iterator[ListedRuns]:
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
    pages = PromisedPages(plan, on_new_key)
    for page in iter_runs(client, plan.scan.selection, pages, progress, plain=plain, losses=losses):
        pages.add(page)
        runs = [(page.path, node) for node in page.nodes]
        yield ListedRuns(runs, page.frame.select(wanted), plan.index)
    warn_imprecise(pages.imprecise)
    warn_collided(pages.collided)
    warn_new_keys(pages.new, "pages")


def _one_piece(
    client: Client,
    plan: RunsPlan,
    progress: Hook,
    *,
    plain: tuple[str, ...],
    on_new_key: OnNewKey,
    losses: list[LeftOut] | None,
) -> Iterator[ListedRuns]:
    """Read a plan whole, into the columns promised."""
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
    warn_new_keys(dict.fromkeys(new, len(whole.runs)), "among runs")
    yield replace(whole, frame=whole.frame.select(list(promised)))


def iter_runs(
    client: Client,
    selection: Selection,
    pages: PromisedPages | GrowingPages,
    progress: Hook,
    *,
    plain: tuple[str, ...] = (),
    losses: list[LeftOut] | None = None,
    listed: Listed | None = None,
) -> Iterator[RunsPage]:
    """Read the runs of a selection page by page; `plain` names further GraphQL fields."""
    skips = selection.on_error == "skip" and losses is not None
    taken = RunsTaken(selection.predicate, selection.limit)
    if taken.full:
        return
    if listed is None:
        fields = pages.schema.fields()
        fields = replace(fields, plain=tuple(dict.fromkeys((*fields.plain, *plain))))
        listed = read_pages(client, selection, fields, losses)
    for listing, page in listed:
        nodes: Iterable[RunNode] = page.nodes
        if skips and losses is not None:
            nodes = readable(listing.path, nodes, losses)
        yield taken.take(pages.decode(listing.path, taken.fresh(listing.path, nodes)))
        total = page.run_count if selection.limit is None else selection.limit
        progress(Progress(kind="runs", done=taken.taken, total=total))
        if taken.full:
            return


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


def readable(path: RunPath, nodes: Iterable[RunNode], losses: list[LeftOut]) -> list[RunNode]:
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
