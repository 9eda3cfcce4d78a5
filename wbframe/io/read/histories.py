"""Reading the histories frame."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.batches import batches, halves_of
from wbframe.core.decode.nested import flat_rows
from wbframe.core.decode.rows import infer_types, join_texts
from wbframe.core.filters import EMPTY
from wbframe.core.hints import MOST_LOOKED_AT, spread
from wbframe.core.histories.entries import RunEntry, index_of, key_types, run_entry
from wbframe.core.histories.frame import Assembly
from wbframe.core.histories.rows import TaskRows, halves, merge_rows, put_together, read_answer
from wbframe.core.histories.tasks import (
    POINTS_PER_REQUEST,
    HistoryTask,
    history_tasks,
    rows_asked,
    runs_to_look_at,
    whole_rows,
)
from wbframe.core.model import RunsScan
from wbframe.core.paths import describe
from wbframe.core.protocol.rows import (
    RowsOf,
    row_lists,
    rows_answer,
    rows_request,
    spec,
    with_fewer_samples,
)
from wbframe.core.protocol.runs import NodeFields
from wbframe.core.schema.histories import (
    HistorySchema,
    history_schema,
    names_of,
    unlisted_of,
    unsure_of,
)
from wbframe.core.schema.order import needs_sort
from wbframe.core.schema.types import is_mixed, merge_index
from wbframe.errors import SchemaMismatchError
from wbframe.io import forks
from wbframe.io.read.filtered import tell_of_filters
from wbframe.io.read.outcome import Outcome, Read, silent, tell_short
from wbframe.io.read.paging import list_runs, resolved
from wbframe.io.read.parts import (
    in_parts,
    past_absent,
    read_or_leave_out,
    send_in_parts,
)
from wbframe.io.read.project import read_keys
from wbframe.io.threads import side_by_side
from wbframe.report import Progress, ScanReport

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from wbframe.core.histories.tasks import Field
    from wbframe.core.model import HistoryScan, RunPath, Selection
    from wbframe.core.protocol.request import Request
    from wbframe.core.schema.types import Index
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook

# What is selected of each run besides its run columns.
# All three are in the SDK's own fragment of a run, so that every server has them.
ENTRY_FIELDS = ("state", "historyLineCount", "historyKeys")
# A run that logs new keys faster than they are read is read anew so many times.
_MOST_PASSES = 8
# Whole rows that are looked at for keys that no list names, and of how many runs.
_ROWS_LOOKED_AT, _RUNS_LOOKED_INTO = 20, 3


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """A histories scan with everything that must be known before its rows.

    Attributes
    ----------
    scan
        With default entities filled in.
    entries
        What the server knows of each run, in order.
    index
        The keys of all of them, and their types.
    schema
        The columns of the frame.
    beside
        The run columns, a row an entry; None if none is asked.
    complete
        Whether a key outside the index is known to be logged by no run.
    """

    scan: HistoryScan
    entries: tuple[RunEntry, ...]
    index: Index
    schema: HistorySchema
    beside: pl.DataFrame | None
    complete: bool = True


def plan_histories(
    read: Read,
    scan: HistoryScan,
    *,
    most: int | None = None,
    listed: tuple[RunEntry, ...] | None = None,
) -> HistoryPlan:
    """List the runs of a scan with their keys: a request a page, and one where types must be looked at.

    Parameters
    ----------
    read, scan
        What is read, and how.
    most
        List no more runs than that.
    listed
        All these runs, if they have been listed, in whatever order; their run columns are not wanted then.

    Raises
    ------
    ColumnError
        If no run has logged a key that is asked for.
    """
    forks.check()
    selection = scan.selection if most is None else replace(scan.selection, limit=most)
    if listed is None:
        selection, entries, beside = _listed(read, replace(scan, selection=selection))
    else:
        entries, beside = listed, None
    scan = replace(scan, selection=selection)
    if not entries and selection.filters != EMPTY:
        from wbframe.io.read.plan import plan_runs  # noqa: PLC0415 -- imports what translates filters

        tell_of_filters(read, selection, plan_runs)
    index = index_of(entries, system=scan.stream == "system")
    if not is_listed(selection) and (selection.predicate is not None or selection.limit == 0):
        # As a lazy scan promises it: by what the server filters, before the predicate is applied here; and
        # for no run at all as it would be for all.
        merge_index(index, united_index(read.client, scan) or {})
    scan = replace(scan, unlisted=look(read.client, scan, entries, index))
    columns = {} if beside is None else dict(beside.schema)
    told = all(entry.keys is not None or entry.line_count == 0 for entry in entries)
    complete = told and (most is None or len(entries) < most)
    where = describe(selection.paths)
    schema = history_schema(scan, index, columns, where=where, complete=complete)
    if scan.keys is not None or scan.scalars:
        scan = replace(scan, keys=tuple(schema.keys))
    return HistoryPlan(
        scan=scan, entries=entries, index=index, schema=schema, beside=beside, complete=complete
    )


def _listed(
    read: Read, scan: HistoryScan
) -> tuple[Selection, tuple[RunEntry, ...], pl.DataFrame | None]:
    """List the runs of a scan: the selection with its entities, the entries, and the run columns if any are."""
    selection, beside = scan.selection, None
    if scan.run_columns or selection.predicate is not None or needs_sort(selection.order):
        from wbframe.io.read.runs import plan_and_collect  # noqa: PLC0415 -- imports what translates filters

        plan, listed = plan_and_collect(read, runs_beside(scan), plain=ENTRY_FIELDS, keep=True)
        selection, runs = plan.scan.selection, listed.runs
        beside = listed.frame if scan.run_columns else None
    else:
        selection = replace(selection, paths=resolved(read.client, selection.paths))
        runs = list(list_runs(read, selection, NodeFields(plain=("name", *ENTRY_FIELDS))))
    entries = tuple(run_entry(i, path, node) for i, (path, node) in enumerate(runs))
    return selection, entries, beside


def runs_beside(scan: HistoryScan) -> RunsScan:
    """Give the scan of the runs of a histories scan, and of the columns that stand beside its rows."""
    leaves = {k: v for k, v in scan.overrides.items() if k.startswith(("config.", "summary."))}
    columns = scan.run_columns or ("run_id",)
    return RunsScan(selection=scan.selection, columns=columns, overrides=leaves)


def is_listed(selection: Selection) -> bool:
    """Tell whether the keys of a selection are known by listing its runs, which are few."""
    # The united index is of all runs that pass the filters: it would promise columns that these few lack.
    return bool(selection.limit) or any(path.run is not None for path in selection.paths)


def united_index(client: Client, scan: HistoryScan) -> Index | None:
    """Read the keys that all runs have logged, a request a project; None where a server does not unite them."""
    found: Index = {}
    selection = scan.selection

    def ask(path: RunPath) -> Mapping[str, Mapping[str, int]] | None:
        return read_keys(client, path, selection.filters)

    for keys in past_absent(client, ask, selection.paths, selection.on_error):
        if keys is None:
            return None
        merge_index(found, key_types(keys, system=scan.stream == "system"))
    return found


def look(
    client: Client, scan: HistoryScan, entries: tuple[RunEntry, ...], index: Index
) -> tuple[str, ...]:
    """Find from rows what the index leaves open; gives the keys that runs do not list, and their rows hold.

    Open are the keys of runs that do not list theirs, the types of some, text that may be only NaN, and whether
    a key that is asked for by its name, and that no run lists, or not each, is there all the same.
    """
    named, unlisted = names_of(scan), unlisted_of(scan, index)
    unsure = [*unsure_of(scan, index), *unlisted]
    seen: Index = {}
    lists = {entry.run_id: entry for entry in entries if entry.keys}
    lacking: set[str] = set()
    for path, rows in _looks(scan, runs_to_look_at(entries, unsure, named)):
        for run_id, types in _types_of(client, scan, path, rows):
            merge_index(seen, types)
            if run_id in lists:
                lacking.update(key for key in types if lists[run_id].count(key) == 0)
    for key in unsure:
        if key in seen and not (index.get(key) and is_mixed(index[key] & seen[key] | {"number"})):
            index[key] = seen[key]
    merge_index(index, _unknown(seen, index, system=scan.stream == "system"))
    late = {*lacking, *(key for key in unlisted if key in seen)}
    return tuple(key for key in dict.fromkeys((*(named or ()), *unlisted)) if key in late)


def _unknown(seen: Index, index: Index, *, system: bool) -> Index:
    """Give the keys of one stream that were seen, and that the index does not have."""
    return {
        key: types
        for key, types in seen.items()
        if key not in index and key.startswith("system.") == system and key != "_wandb"
    }


def last_listed(client: Client, scan: HistoryScan) -> tuple[RunEntry, ...]:
    """List the last runs that pass the filters, for the keys that an index of all may lack yet."""
    few = replace(
        scan.selection,
        predicate=None,
        pushed=EMPTY,
        claim=None,
        limit=MOST_LOOKED_AT,
        order="-created_at",
    )
    _, entries, _ = _listed(Read(client, looks=True), replace(scan, selection=few, run_columns=()))
    return entries


def looked_behind(
    client: Client, scan: HistoryScan, index: Index, last: tuple[RunEntry, ...]
) -> tuple[Index, tuple[str, ...]]:
    """Look behind the keys that all runs unite: at what the last runs list themselves, and at rows of some.

    Returns
    -------
    tuple
        The index with what it lacked, and the keys that are asked for and that lists of runs lack.
    """
    found = dict(index)
    merge_index(found, index_of(last, system=scan.stream == "system"))
    some = [] if names_of(scan) is not None else spread(last, _RUNS_LOOKED_INTO)
    for path, there in groupby(some, key=lambda entry: entry.path):
        rows = [RowsOf(run_id=entry.run_id, field=_whole_field(scan)) for entry in there]
        for _, types in _types_of(client, scan, path, rows, samples=_ROWS_LOOKED_AT):
            merge_index(found, _unknown(types, found, system=scan.stream == "system"))
    return found, look(client, scan, last, found)


def _whole_field(scan: HistoryScan) -> Field:
    """Name what gives whole rows."""
    return "events" if scan.stream == "system" else "history"


def _types_of(
    client: Client,
    scan: HistoryScan,
    path: RunPath,
    rows: Sequence[RowsOf],
    *,
    samples: int | None = None,
) -> Iterator[tuple[str, Index]]:
    """Look at rows, in smaller requests where they are too big, past runs that may be left out."""
    samples = rows_asked(scan.samples) if samples is None else samples

    def of(part: Sequence[RowsOf]) -> Request:
        return rows_request(path, part, samples=samples)

    def types(part: Sequence[RowsOf], content: bytes, request: Request) -> list[tuple[str, Index]]:
        return [
            (
                asked_of.run_id,
                {key: frozenset(found) for key, found in infer_types(flat_rows(texts)).items()},
            )
            for asked_of, raw in zip(part, rows_answer(content, request, path, part), strict=True)
            for texts in (row_lists(raw) if asked_of.specs else [join_texts(raw)])
        ]

    def read(some: Sequence[RowsOf]) -> list[tuple[str, Index]]:
        parts = send_in_parts(client, some, _halves, of, types)
        return [each for part in parts for each in part]

    for _, found in in_parts(read, rows, scan.selection.on_error):
        if isinstance(found, list):
            yield from found


def _halves(some: Sequence[RowsOf]) -> list[Sequence[RowsOf]]:
    """Cut what is looked at in two: half of the runs, or of the specs of one; of one spec ask for fewer rows."""
    if len(some) > 1:
        return halves_of(some)
    parts = halves_of(some[0].specs)
    if not parts and some[0].specs and (fewer := with_fewer_samples(some[0].specs[0])):
        parts = [(fewer,)]
    return [[replace(some[0], specs=tuple(specs))] for specs in parts]


def _looks(
    scan: HistoryScan, chosen: Iterable[tuple[RunEntry, tuple[str, ...]]]
) -> Iterator[tuple[RunPath, list[RowsOf]]]:
    """Cut what is looked at into requests: some keys of several runs, or one run whose keys are unknown."""
    samples = rows_asked(scan.samples)
    whole = _whole_field(scan)
    for batch in batches(
        chosen,
        lambda each: len(each[1]) * samples if each[1] else POINTS_PER_REQUEST,
        lambda: POINTS_PER_REQUEST,
        apart=lambda each: each[0].path,
    ):
        yield (
            batch[0][0].path,
            [
                RowsOf(
                    run_id=entry.run_id,
                    field="sampledHistory" if keys else whole,
                    specs=tuple(spec((key,), samples, None, None) for key in keys),
                )
                for entry, keys in batch
            ],
        )


def read_histories(
    client: Client, scan: HistoryScan, progress: Hook = silent
) -> tuple[pl.DataFrame, ScanReport]:
    """Read the histories frame whole, and report how.

    Raises
    ------
    WbframeError
        Whatever kept it from being whole.
    """
    outcome = Outcome(client, scan.selection, "histories", progress, scan=scan, holds=True)
    with outcome:
        frame = _read(outcome, scan)
        outcome.rows = frame.height
    return frame, outcome.report()


def _read(outcome: Outcome, scan: HistoryScan) -> pl.DataFrame:
    """Read the frame, and tell the outcome how it goes."""
    plan = plan_histories(outcome.read, scan)
    outcome.scan, outcome.selection = plan.scan, plan.scan.selection
    entries = outcome.entries = plan.entries
    outcome.runs = len(entries)
    assembly = Assembly()
    for _ in range(_MOST_PASSES):
        try:
            new = _read_entries(outcome, plan, entries, assembly)
        except SchemaMismatchError as error:
            wider = _widened(plan, error.key)
            if wider is None:
                raise
            # Rows that were read as numbers have lost their spelling.
            plan, entries, assembly = wider, wider.entries, Assembly()
            outcome.seen = TaskRows()
            continue
        if not new:
            break
        plan, entries = _with_new_keys(plan, new)
    else:
        names = sorted({key for keys in new.values() for key in keys})
        raise SchemaMismatchError(
            f"runs log new keys faster than they are read: {names}; name the `keys` to read"
        )
    tell_short(outcome.seen, plan.entries, plan.scan.on_incomplete)
    run_ids = {entry.ordinal: entry.run_id for entry in plan.entries}
    return assembly.whole(run_ids, plan.schema, plan.beside)


def _read_entries(
    outcome: Outcome, plan: HistoryPlan, entries: tuple[RunEntry, ...], assembly: Assembly
) -> dict[int, Index]:
    """Read the rows of some runs; give the new keys of those that must be read again."""
    client, total = outcome.client, len(plan.entries)
    tasks = history_tasks(plan.scan, entries, plan.schema, lambda: client.budget.now)
    height = done = 0
    new: dict[int, Index] = {}
    with closing(read_any_tasks(client, plan.scan, tasks)) as results:
        for result in results:
            new |= result.new_keys
            frames, result.frames = result.frames, {}
            height += sum(frame.height for frame in frames.values())
            done = max([done, *(ordinal + 1 for ordinal in frames)])
            for ordinal in result.new_keys:
                frames.pop(ordinal, None)
            outcome.read.hold(height, len(plan.schema.lead) + len(plan.schema.keys))
            assembly.add(frames, plan.schema)
            merge_rows(outcome.seen, result)
            outcome.tell(Progress(kind="histories", done=done, total=total, rows=height))
    outcome.tell(Progress(kind="histories", done=total, total=total, rows=height))
    return new


def read_tasks(
    client: Client, tasks: Iterable[HistoryTask], *, ahead: int | None = None
) -> Generator[TaskRows]:
    """Read tasks side by side, and hand out what they gave in their order.

    Closing the iterator stops what has not begun, and cuts what has.
    """

    def read(task: HistoryTask) -> TaskRows:
        return read_task(client, task)

    return side_by_side(
        client.concurrency, lambda task: read_or_leave_out(read, task), tasks, ahead=ahead
    )


def read_task(client: Client, task: HistoryTask) -> TaskRows:
    """Read one task; ask again where grouping was wrong, and for less where it was too big."""
    lead = tuple(task.schema.lead)
    found = TaskRows()
    unclear: set[int] = set()
    for rows in send_in_parts(client, task, halves, HistoryTask.request, read_answer):
        again, rows.again = rows.again, None
        unclear |= put_together(found, rows, lead)
        if again is not None:
            put_together(found, read_task(client, again), lead)
    if unclear:
        # Two answers with several rows of one step: which row goes with which is in neither.
        runs = tuple(whole_rows(run) for run in task.runs if run.ordinal in unclear)
        merge_rows(found, read_task(client, replace(task, runs=runs)))
    return found


def read_any_tasks(
    client: Client,
    scan: HistoryScan,
    tasks: Iterable[HistoryTask],
    *,
    ahead: int | None = None,
    streamed: bool = False,
) -> Generator[TaskRows]:
    """Read the tasks of a scan: sampled, or every row; where they are `streamed`, long runs in several parts."""
    if scan.samples is not None:
        return read_tasks(client, tasks, ahead=ahead)
    from wbframe.io.read.whole import read_whole_tasks  # noqa: PLC0415 -- Parquet costs more to import than all the rest

    return read_whole_tasks(client, tasks, ahead=ahead, streamed=streamed)


def _widened(plan: HistoryPlan, key: str | None) -> HistoryPlan | None:
    """Widen the type of a key that rows have contradicted; None where the caller named it, or none is wider."""
    dtype = plan.schema.keys.get(key or "")
    if key is None or dtype is None or dtype == pl.String() or key in plan.scan.overrides:
        return None
    index = {**plan.index, key: plan.index.get(key, frozenset()) | {"string", "json"}}
    schema = replace(plan.schema, keys={**plan.schema.keys, key: pl.String()})
    return replace(plan, index=index, schema=schema)


def _with_new_keys(
    plan: HistoryPlan, new: dict[int, Index]
) -> tuple[HistoryPlan, tuple[RunEntry, ...]]:
    """Widen the schema by keys that were logged since they were listed; give the runs to read again."""
    index = dict(plan.index)
    for keys in new.values():
        merge_index(index, keys)
    where = describe(plan.scan.selection.paths)
    run_columns = plan.schema.run_columns
    schema = history_schema(plan.scan, index, run_columns, where=where, complete=plan.complete)
    again = tuple(entry for entry in plan.entries if entry.ordinal in new)
    return replace(plan, index=index, schema=schema), again
