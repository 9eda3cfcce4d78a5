"""What must be known of a runs scan before its pages: its index, and a look at runs where that is not enough."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.filters import EMPTY
from wbframe.core.hints import MOST_LOOKED_AT
from wbframe.core.model import RunsScan, Selection
from wbframe.core.paths import describe, projects_of
from wbframe.core.protocol.request import FIELDS
from wbframe.core.protocol.runs import NodeFields
from wbframe.core.pushdown.query import predicate_columns, with_own_predicate
from wbframe.core.runs.frame import RunsBuffer, leaf_types
from wbframe.core.runs.plan import RunsPlan, columns_of
from wbframe.core.schema.order import needs_sort, sort_of
from wbframe.core.schema.runs import (
    RUN_COLUMNS,
    RunsSchema,
    needs_index,
    runs_schema,
    settled,
    weighed,
)
from wbframe.core.schema.types import Index, is_glob, is_mixed, merge_index
from wbframe.errors import ColumnError, did_you_mean
from wbframe.io import forks
from wbframe.io.client.credentials import app_url
from wbframe.io.read.outcome import Read
from wbframe.io.read.paging import list_runs, read_pages, resolved
from wbframe.io.read.parts import ABSENT
from wbframe.io.read.project import read_index
from wbframe.io.threads import pool, result_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from wbframe.core.model import RunPath
    from wbframe.core.protocol.runs import RunNode
    from wbframe.io.client.client import Client
    from wbframe.io.threads import Task

__all__ = ["plan_runs"]

_RUNS_LOOKED_AT_ONCE = 1000
_LAST = "-created_at"
_NUMBERS = frozenset({"number", "nil"})


def plan_runs(
    client: Client,
    scan: RunsScan,
    *,
    most: int | None = None,
    all_runs: Callable[[NodeFields], list[RunNode] | None] | None = None,
) -> RunsPlan:
    """Resolve a scan: one request a thousand config and summary keys, none where no such column is read.

    Parameters
    ----------
    client, scan
        Who reads, and what.
    most
        Runs that are looked at from either end of each project where its index is not enough, so that columns are
        known before any page is; None for a read that learns them from its pages.
    all_runs
        Gives all runs of the one project of the scan, with some fields, if they are there already.

    Raises
    ------
    ColumnError
        If a column exists in no run of the projects.
    """
    forks.check()
    paths = resolved(client, scan.selection.paths)
    scan = replace(scan, selection=replace(scan.selection, paths=paths))
    with _looking(client, scan, most) as looks:
        return _planned(client, scan, most, replace(looks, all_runs=all_runs))


def _planned(client: Client, scan: RunsScan, most: int | None, looks: _Looks) -> RunsPlan:
    """Do `plan_runs` of a scan with its entities."""
    paths, order = scan.selection.paths, scan.selection.order
    indexed = needs_index(columns_of(scan, sort_of(order, None, scan.overrides)))
    index = read_index(client, paths, scan.selection.on_error) if indexed else {}
    sort = sort_of(order, index, scan.overrides)
    columns = columns_of(scan, sort)
    plan = RunsPlan(
        scan=scan, columns=columns, index=index, app=app_url(client.base_url), sort=sort
    )
    told: Mapping[RunPath, Index] = {}
    if index is not None and indexed:
        index, unsure, complete = weighed(index, columns)
        by = {sort.column} if sort else set()
        complete = complete and by <= {*index, *RUN_COLUMNS}
        plan = replace(plan, index=index, unsure=unsure, sampled=not complete)
        if most is not None or not plan.of_all:
            plan, told = _looked_at(plan, most or MOST_LOOKED_AT, looks)
    if plan.index:
        plan = replace(plan, index=_with_spelled_numbers(plan, plan.index, told, looks))
    if plan.index is not None:
        plan.resolve(tuple(predicate_columns(scan.selection.predicate) or ()), plan.index)
    known = plan.resolve(columns, plan.index).columns
    # What no index vouches for may be text or number, so the server is not asked to compare it.
    sure = {name: known[name] for name in known if plan.index is not None or name in RUN_COLUMNS}
    selection = with_own_predicate(scan.selection, sure, scan.overrides)
    return replace(plan, scan=replace(scan, selection=selection))


@dataclass(frozen=True, slots=True)
class _Looks:
    """Looks at some runs of projects, of which those that are likely wanted have been begun.

    `fields` is what these ask of each run; `begun` are the runs of each project that was last, no more than
    `MOST_LOOKED_AT`. `all_runs` gives all that there are, if these have come.
    """

    client: Client
    fields: NodeFields = field(default_factory=NodeFields)
    begun: Mapping[RunPath, Task[list[tuple[RunPath, RunNode]]]] = field(default_factory=dict)
    all_runs: Callable[[NodeFields], list[RunNode] | None] | None = None

    def at(
        self, project: RunPath, end: str, most: int, fields: NodeFields
    ) -> list[tuple[RunPath, RunNode]]:
        """Give the first runs of a project in an order."""
        task = self.begun.get(project) if end == _LAST and self.fields.covers(fields) else None
        if task is not None:
            nodes = result_of(task)
            # Fewer than it asked for are all.
            if most <= MOST_LOOKED_AT or len(nodes) < MOST_LOOKED_AT:
                return nodes[:most]
        return _some_runs(self.client, project, end, most, fields)


@contextmanager
def _looking(client: Client, scan: RunsScan, most: int | None) -> Iterator[_Looks]:
    """Begin to look at runs, beside the index, where these are looked at whatever it says.

    So they are where all columns are read, or by globs, and columns must be known before any page.
    """
    selection = scan.selection
    columns = columns_of(scan)
    looked = most is not None or not RunsPlan(scan=scan, columns=columns, index={}).of_all
    guess = runs_schema(columns, None, scan.overrides, complete=False)
    looked = looked and any(map(is_glob, guess.open)) and not needs_sort(selection.order)
    if not looked or FIELDS in client.refused:
        yield _Looks(client)
        return
    fields = replace(guess.fields(), plain=("name",))
    projects = projects_of(selection.paths)
    with pool(min(len(projects), client.concurrency), "wbframe-ahead") as workers:
        begun = {
            each: workers.submit(_some_runs, client, each, _LAST, MOST_LOOKED_AT, fields)
            for each in projects
        }
        yield _Looks(client, fields, begun)


def _some_runs(
    client: Client, project: RunPath, end: str, most: int, fields: NodeFields
) -> list[tuple[RunPath, RunNode]]:
    """Read the first runs of a project in an order."""
    few = Selection(paths=(project,), filters=EMPTY, limit=most, order=end)
    return list(list_runs(Read(client, looks=True), few, fields))


def _looked_at(
    plan: RunsPlan, most: int, looks: _Looks
) -> tuple[RunsPlan, Mapping[RunPath, Index]]:
    """Look at runs of each project for columns that its index lacks: the last, and the first if there are any.

    Returns
    -------
    tuple
        The plan with what was found, and the types of all columns of projects that have no other runs.

    Raises
    ------
    ColumnError
        If none of these has a column that is asked for by its name.
    """
    index, wanted = dict(plan.index or {}), plan.resolve(plan.columns, plan.index)
    if not (wanted.open or plan.unsure):
        return plan, {}
    fields = replace(wanted, columns=dict.fromkeys(plan.unsure, pl.String())).fields()
    fields = replace(fields, plain=("name",))
    told: dict[RunPath, Index] = {}
    for project in projects_of(plan.scan.selection.paths):
        for end in (_LAST, "+created_at"):
            most = most if plan.sampled else MOST_LOOKED_AT
            buffer = RunsBuffer(shown=wanted.shown)
            try:
                nodes = looks.at(project, end, most, fields)
            except ABSENT:
                if plan.scan.selection.on_error == "raise":
                    raise
                told[project] = {}
                break
            for path, node in nodes:
                buffer.add(path, [node], skip=plan.scan.selection.on_error == "skip")
            found = leaf_types(buffer)
            if len(nodes) < most and fields.config is fields.summary is None:
                told[project] = found
            new = {name: found[name] for name in wanted.takes(found)}
            plan = replace(
                plan,
                sampled=plan.sampled or bool(new),
                looked_at=plan.looked_at + len(buffer),
            )
            merge_index(index, new)
            if len(buffer) < most or not plan.sampled:
                break
    merge_index(index, settled(plan.unsure, index))
    looked_for = (*wanted.open, *(predicate_columns(plan.scan.selection.predicate) or ()))
    if plan.sort is not None:
        looked_for = (*looked_for, plan.sort.column)
    for name in looked_for:
        if not is_glob(name) and name not in {*index, *wanted.columns}:
            where = describe(plan.scan.selection.paths)
            raise ColumnError(
                f"no column {name!r} in the runs of {where}.{did_you_mean(name, [*RUN_COLUMNS, *index])}"
                f" If some have it, read it with schema_overrides={{{name!r}: pl.String}}"
            )
    return replace(plan, index=index, unsure=()), told


def _with_spelled_numbers(
    plan: RunsPlan, index: Index, told: Mapping[RunPath, Index], looks: _Looks
) -> Index:
    """Find the keys whose only text is spelled-out NaN, or that of runs that are gone.

    In all runs, so that filters change no type; `told` has their types in projects that have no others.
    """
    mixed = [
        name
        for name in plan.resolve(plan.columns, index).columns
        if name in index and is_mixed(index[name]) and name not in plan.scan.overrides
    ]
    if not mixed:
        return index
    types: Index = {}
    for each in told.values():
        merge_index(types, each)
    others = [each for each in projects_of(plan.scan.selection.paths) if each not in told]
    if others:
        merge_index(types, _types_in_all(plan, mixed, looks, others))
    sure = {name: types[name] for name in mixed if types.get(name, index[name]) <= _NUMBERS}
    return {**index, **sure}


def _types_in_all(
    plan: RunsPlan, names: Iterable[str], looks: _Looks, projects: Sequence[RunPath]
) -> Index:
    """Read the types that some columns have in all runs of some projects."""
    texts = RunsSchema(columns=dict.fromkeys(names, pl.String()))
    fields = texts.fields()
    everything = Selection(
        paths=tuple(projects),
        filters=EMPTY,
        per_page=_RUNS_LOOKED_AT_ONCE,
        on_error=plan.scan.selection.on_error,
    )
    there = None if looks.all_runs is None else looks.all_runs(fields)
    pages: Iterable[tuple[RunPath, Iterable[RunNode]]]
    if there is None:
        read = Read(looks.client, looks=True)
        pages = ((of.path, page.nodes) for of, page in read_pages(read, everything, fields))
    else:
        pages = [(projects[0], there)]
    types: Index = {}
    for path, nodes in pages:
        buffer = RunsBuffer(shown=texts.shown)
        buffer.add(path, nodes, skip=everything.on_error == "skip")
        merge_index(types, leaf_types(buffer))
    return types
