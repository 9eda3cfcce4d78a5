"""Reading the runs frame."""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from wbframe.core.filters import EMPTY
from wbframe.core.model import DEFAULT_ORDER, RunsScan, Selection
from wbframe.core.paths import describe, run_of
from wbframe.core.protocol.runs import NodeFields, pushed_feature
from wbframe.core.pushdown.query import predicate_columns
from wbframe.core.runs.frame import kept_columns, run_leaves
from wbframe.core.runs.listing import RunsTaken, reads_all, rows_where
from wbframe.core.runs.pages import (
    GrowingPages,
    ListedRuns,
    PromisedPages,
    RunsPage,
    as_promised,
)
from wbframe.core.runs.plan import RunsPlan, columns_of
from wbframe.core.runs.sorting import places_of
from wbframe.core.schema.order import needs_sort
from wbframe.core.schema.runs import (
    check_matched,
    needs_index,
    runs_schema,
)
from wbframe.core.schema.types import is_glob
from wbframe.errors import (
    AnswerError,
)
from wbframe.io import forks
from wbframe.io.read.filtered import tell_of_filters
from wbframe.io.read.outcome import (
    Outcome,
    Read,
    silent,
    warn_collided,
    warn_imprecise,
    warn_new_keys,
)
from wbframe.io.read.paging import Listed, fresh_runs, read_pages, resolved
from wbframe.io.read.plan import plan_runs
from wbframe.io.threads import begun
from wbframe.report import LeftOut

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    import polars as pl

    from wbframe.core.model import OnNewKey, RunPath
    from wbframe.core.protocol.runs import Listing, NodeFields, Page, RunNode
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook
    from wbframe.report import ScanReport


__all__ = [
    "collect_runs",
    "fields_ahead",
    "iter_pages",
    "plan_and_collect",
    "read_runs",
    "try_pushed",
]

# Runs that a filter is tried on.
_TRIED_ON = 100


def read_runs(
    client: Client, scan: RunsScan, progress: Hook = silent
) -> tuple[pl.DataFrame, ScanReport]:
    """Read the runs frame whole, and report how.

    Raises
    ------
    WbframeError
        Whatever kept it from being whole.
    """
    forks.check()
    outcome = Outcome(client, scan.selection, "runs", progress, holds=True)
    with outcome:
        plan, listed = plan_and_collect(outcome.read, scan)
        outcome.selection = plan.scan.selection
        frame = kept_columns(listed.frame, scan.kept)
        outcome.runs = outcome.rows = frame.height
        if not frame.height:
            tell_of_filters(outcome.read, plan.scan.selection, plan_runs)
    return frame, outcome.report()


def plan_and_collect(
    read: Read, scan: RunsScan, *, plain: tuple[str, ...] = (), keep: bool = False
) -> tuple[RunsPlan, ListedRuns]:
    """Do `plan_runs` and `collect_runs`, with the first page asked for beside the index where that can be."""
    guess = fields_ahead(scan)
    if guess is None or not needs_index(columns_of(scan)):
        plan = plan_runs(read.client, scan)
        return plan, collect_runs(read, plan, plain=plain, keep=keep)
    # A round trip less: neither question needs the answer to the other.
    fields = guess.beside(plain)
    selection = replace(scan.selection, paths=resolved(read.client, scan.selection.paths))
    with begun(read_pages(read, selection, fields)) as listed:
        first: list[tuple[Listing, Page]] = []

        def all_runs(wanted: NodeFields) -> list[RunNode] | None:
            if not (fields.covers(wanted) and reads_all(selection)):
                return None
            first.extend(islice(listed, 1))
            return first[0][1].whole(wanted) if first else None

        plan = plan_runs(read.client, scan, all_runs=all_runs)
        # An index may tell of columns where none were looked for.
        pages = chain(first, listed) if fields.covers(plan.fields()) else None
        return plan, collect_runs(read, plan, plain=plain, keep=keep, listed=pages)


def fields_ahead(scan: RunsScan) -> NodeFields | None:
    """Give what is selected of each run whatever an index says; None where that depends on it."""
    columns = columns_of(scan)
    selection = scan.selection
    if needs_sort(selection.order) or selection.predicate is not None or selection.limit == 0:
        return None
    schema = runs_schema(columns, None, scan.overrides, complete=False)
    # Of `config.*` all is selected, whatever it comes to; of `*loss` what an index says.
    if any(is_glob(each) and each not in schema.open for each in columns or ()):
        return None
    return schema.fields()


def collect_runs(
    read: Read,
    plan: RunsPlan,
    *,
    plain: tuple[str, ...] = (),
    keep: bool = True,
    listed: Listed | None = None,
) -> ListedRuns:
    """Read all pages of a plan, in its order.

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

    Raises
    ------
    ColumnError
        If no run has the column that they are ordered by, or one that is read.
    """
    if plan.sort is None:
        return _collected(read, plan, plain, keep=keep, listed=listed)
    before = list(read.losses or ())
    ids = plan.in_two_steps(plain)
    found = _collected(read, plan.sorting(ids=ids), () if ids else plain, keep=True, listed=None)
    places = places_of(plan, found.frame, [path for path, _ in found.runs])
    if places is None:
        # What a server has sorted wrongly begins with the wrong runs.
        if read.losses is not None:
            read.losses[:] = before
        sort = replace(plan.sort, trusted=False)
        return collect_runs(read, replace(plan, sort=sort), plain=plain, keep=keep)
    if ids:
        some = (found.runs[i] for i in places)
        named = plan.named(replace(path, sweep=None, run=node.name) for path, node in some)
        return _collected(read, named, plain, keep=keep, listed=None)
    wanted = list(plan.resolve(plan.scan.columns, found.index).columns)
    runs = [found.runs[i] for i in places] if keep else []
    return ListedRuns(runs=runs, frame=found.frame[places].select(wanted), index=found.index)


def _collected(
    read: Read, plan: RunsPlan, plain: tuple[str, ...], *, keep: bool, listed: Listed | None
) -> ListedRuns:
    """Read all pages of a plan; again, where their values turn out not to have the types of its index."""
    selection = plan.scan.selection
    late = selection.predicate if plan.predicate_waits else None
    if late is not None:
        selection = replace(selection, predicate=None, limit=None)
    index = plan.index
    before = list(read.losses or ())
    while True:
        pages = GrowingPages(plan, index, keep)
        for page in _iter_runs(read, selection, pages, plain=plain, listed=listed):
            pages.add(page)
            read.hold(*pages.size)
        frame, index = pages.joined(), pages.index
        # Pages read by types that turned out too narrow cannot be mended: what a cast lost is gone.
        if frame is not None:
            break
        listed = None
        if read.losses is not None:
            read.losses[:] = before
    if not read.looks:
        warn_imprecise(pages.imprecise)
        warn_collided(pages.collided)
    runs = pages.runs
    if late is not None:
        places = rows_where(frame, late)[: plan.scan.selection.limit]
        frame = frame[places]
        runs = [runs[i] for i in places] if keep else runs
    wanted = list(plan.resolve(plan.scan.columns, index).columns)
    if plan.of_all:
        where = describe(plan.scan.selection.paths)
        check_matched(plan.scan.columns, plan.scan.overrides, index or {}, where=where)
    return ListedRuns(runs=runs, frame=frame.select(wanted), index=index)


def iter_pages(
    read: Read,
    plan: RunsPlan,
    *,
    plain: tuple[str, ...] = (),
    on_new_key: OnNewKey = "ignore",
    listed: Listed | None = None,
) -> Generator[ListedRuns]:
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
    listed
        The pages, if they have been asked for, and the plan has neither an expression nor an order of its own.

    Raises
    ------
    SchemaMismatchError
        If a run has a key, or a type of one, that the index does not name.
    """
    came = False
    for page in _pages(read, plan, plain, on_new_key, listed):
        came = came or bool(page.runs)
        yield page
    if not came:
        tell_of_filters(read, plan.scan.selection, plan_runs)


def _pages(
    read: Read,
    plan: RunsPlan,
    plain: tuple[str, ...],
    on_new_key: OnNewKey,
    listed: Listed | None,
) -> Iterator[ListedRuns]:
    """Read the pages of `iter_pages`."""
    if plan.in_one_piece:
        whole, new = as_promised(
            plan, collect_runs(read, plan, plain=plain, listed=listed), on_new_key
        )
        warn_new_keys(dict.fromkeys(new, len(whole.runs)), "among runs")
        yield whole
        return
    wanted = list(plan.resolve(plan.scan.columns, plan.index).columns)
    pages = PromisedPages(plan, on_new_key)
    try:
        for page in _iter_runs(read, plan.scan.selection, pages, plain=plain, listed=listed):
            pages.add(page)
            runs = [(page.path, node) for node in page.nodes]
            yield ListedRuns(runs, page.frame.select(wanted), plan.index)
    except GeneratorExit:
        # Who has enough of them is told of what came.
        _tell_pages(read, pages)
        raise
    _tell_pages(read, pages)


def _tell_pages(read: Read, pages: PromisedPages) -> None:
    """Warn of values and keys of pages that their columns do not hold."""
    if read.looks:
        return
    warn_imprecise(pages.imprecise)
    warn_collided(pages.collided)
    warn_new_keys(pages.new, "pages")


def _iter_runs(
    read: Read,
    selection: Selection,
    pages: PromisedPages | GrowingPages,
    *,
    plain: tuple[str, ...] = (),
    listed: Listed | None = None,
) -> Generator[RunsPage]:
    """Read the runs of a selection page by page, as frames; `plain` names further GraphQL fields.

    What is pushed of expressions is tried on some runs before it is believed.
    """
    if selection.claim is not None and selection.limit != 0:
        feature = pushed_feature(selection.pushed)
        if feature not in read.client.trusted | read.client.refused:
            yield from _tried(read, selection, pages, plain, feature)
            return
    taken = RunsTaken(selection.predicate, selection.limit)
    if listed is None and not taken.full:
        listed = read_pages(read, selection, pages.schema.fields().beside(plain))
    readable = None
    # One config that is no JSON would otherwise end the read of all runs.
    if selection.on_error == "skip" and read.losses is not None:
        readable = partial(_readable, read.losses)
    for path, nodes in fresh_runs(read, selection, taken, listed or iter(()), readable):
        page = pages.decode(path, nodes)
        places = taken.take(page.nodes, page.frame)
        yield page if places is None else page.only(places)


def _tried(
    read: Read,
    selection: Selection,
    pages: PromisedPages | GrowingPages,
    plain: tuple[str, ...],
    feature: str,
) -> Iterator[RunsPage]:
    """Read what the server keeps by a filter that is pushed, if it keeps the first runs that it should.

    Else, and where it keeps none at all, all runs are read.
    """
    # It is this read that tries it; others may meanwhile.
    trying = replace(selection, claim=None)
    came: set[str] = set()
    before: list[RunsPage] = []
    # Two that run into the same refusal at once would each find out what is refused.
    known = read.client.trusted | read.client.refused
    aside = begun if known.issuperset(pages.schema.fields().features()) else nullcontext
    with closing(_iter_runs(read, trying, pages, plain=plain)) as tried, aside(tried) as kept:
        claimed, others, every = _claimed(read, selection, pages.plan)
        for page in kept:
            before.append(page)
            came.update(node.name for node in page.nodes)
            full = selection.limit is not None and len(came) >= selection.limit
            if claimed <= came or (full and came <= claimed):
                read.client.trust(feature, exact=came.isdisjoint(others))
                yield from before
                yield from kept
                return
    if claimed - came:
        read.client.refuse(frozenset({feature}))
    elif came or every:
        yield from before
        return
    yield from _iter_runs(read, replace(selection, pushed=EMPTY, claim=None), pages, plain=plain)


def try_pushed(client: Client, selection: Selection) -> None:
    """Try what is pushed on the first runs, where that has not been done, so that the client knows."""
    if pushed_feature(selection.pushed) in client.trusted | client.refused:
        return
    columns = ("run_id", *(predicate_columns(selection.claim) or ()))
    few = replace(selection, predicate=None, limit=_TRIED_ON, order=DEFAULT_ORDER)
    plan = plan_runs(client, RunsScan(selection=few, columns=columns))
    for _ in iter_pages(Read(client, looks=True), plan):
        pass


def _claimed(read: Read, selection: Selection, plan: RunsPlan) -> tuple[set[str], set[str], bool]:
    """Look at the first runs whatever is pushed: the wanted ones, the others, and whether these are all."""
    assert selection.claim is not None
    few = replace(selection, predicate=None, pushed=EMPTY, claim=None, limit=_TRIED_ON)
    columns = predicate_columns(selection.claim)
    pages = GrowingPages(
        replace(plan, columns=None if columns is None else ("run_id", *columns)), plan.index
    )
    names: list[str] = []
    for page in _iter_runs(Read(read.client, looks=True), few, pages):
        names += [node.name for node in page.nodes]
        pages.add(page)
    frame = pages.joined()
    if frame is None:
        return set(), set(), False
    claimed = {names[i] for i in rows_where(frame, selection.claim)}
    return claimed, set(names) - claimed, len(names) < _TRIED_ON


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
