"""From a histories scan and what the server knows of its runs to a list of picklable tasks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import polars as pl

from wbframe.core.batches import batches
from wbframe.core.hints import spread, widened
from wbframe.core.model import MOST_SAMPLES, STEP
from wbframe.core.paths import name_of
from wbframe.core.protocol.rows import RowsOf, rows_request, spec
from wbframe.core.schema.types import system_column
from wbframe.text import REPLACED

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Sequence

    from wbframe.core.histories.entries import RunEntry
    from wbframe.core.model import HistoryScan, OnError, OnIncomplete, RunPath
    from wbframe.core.protocol.request import Request
    from wbframe.core.schema.histories import HistorySchema

Field = Literal["sampledHistory", "history", "events"]

# Keys of one run that are asked for though it does not list them.
_MOST_DOUBTED = 20
# Cells that one request asks for at the most, and runs: about 4-6 MB of JSON, a third of it on the wire.
POINTS_PER_REQUEST = 200_000
RUNS_PER_REQUEST = 100
# Of whole histories a task holds more runs and rows, since most come from files; it bounds memory.
WHOLE_POINTS_PER_TASK = 1_000_000
WHOLE_RUNS_PER_TASK = 16
# Rows of machine metrics that no server exceeds, and columns where it names none; they size requests.
# https://github.com/wandb/wandb/issues/6501
_EVENTS_CAP = 1000
_SYSTEM_KEYS = 20
# Servers thin out longer answers whatever `samples` says: near 10,000 rows a spec, below 1000 events.
# https://github.com/wandb/wandb/issues/12067, https://github.com/wandb/wandb/issues/6501
_ROWS_AT_MOST = {"sampledHistory": 9_900, "history": 9_900, "events": 950}


def rows_asked(samples: int | None) -> int:
    """Give the rows to ask for where rows are sampled: for every row, what servers give at the most."""
    return MOST_SAMPLES if samples is None else samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Keys that share a spec.

    Attributes
    ----------
    keys
        The spec's keys besides `_step`.
    known
        Rows that the server says hold all of them, or None.
    proven
        Whether the grouping needs no check against the rows that come back.
    """

    keys: tuple[str, ...]
    known: int | None = None
    proven: bool = True

    def rows(self, samples: int) -> int:
        """Say about how many rows come of it."""
        return samples if self.known is None else min(samples, max(self.known, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRead:
    """What is read of one run: a spec for each group of keys, or every key (no groups).

    `width` is how many keys a row of every key has at the most, where it is known; `lines` how many rows there
    are, by the server's count. `another_way` says that the run is read so since another way gave too few rows.
    """

    ordinal: int
    run_id: str
    field: Field = "sampledHistory"
    groups: tuple[Group, ...] = ()
    known: int | None = None
    lines: int | None = None
    another_way: bool = False
    last_step: int | None = None
    ended: bool = True
    points: int = 0
    width: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTask:
    """One request for the rows of several runs of one project; picklable, and complete in itself.

    Attributes
    ----------
    path, runs
        The project, and what is read of each run.
    schema
        The columns to decode.
    samples, min_step, max_step, on_incomplete, on_error
        As of the scan; `samples` is None for every row.
    match_all
        Whether a row must hold all keys.
    row_keys
        The keys that make a row of machine metrics; None for every row.
    narrowed
        Whether the schema leaves out keys on purpose, so that others are no news.
    """

    path: RunPath
    runs: tuple[RunRead, ...]
    schema: HistorySchema
    samples: int | None
    min_step: int | None = None
    max_step: int | None = None
    on_incomplete: OnIncomplete = "raise"
    on_error: OnError = "raise"
    match_all: bool = False
    row_keys: tuple[str, ...] | None = None
    narrowed: bool = False

    def where(self, run: RunRead) -> str:
        """Name a run, for messages."""
        return f"run {run.run_id!r} of {name_of(self.path)}"

    def columns(self, keys: Sequence[str] | None = None) -> dict[str, pl.DataType]:
        """Give the columns to read of some keys; else of whole rows, with those that only make a row, as text."""
        typed, lead = self.schema.keys, self.schema.lead
        if keys is not None:
            return {**lead, **{key: typed[key] for key in keys if key in typed}}
        return {**lead, **dict.fromkeys(self.row_keys or (), pl.String()), **typed}

    @property
    def window(self) -> tuple[int | None, int | None]:
        """Give the steps to ask for: a step more on each side where no row is thinned out for it."""
        samples = rows_asked(self.samples)
        low, high = self.min_step, self.max_step
        narrow = high is not None and high - (low or 0) + 2 <= samples
        few = (run.lines is not None and run.lines <= samples for run in self.runs)
        return widened(low, high) if narrow or all(few) else (low, high)

    def width(self, run: RunRead) -> int:
        """Say how many cells a row of `history` has: it gives whole rows, whatever is wanted of them."""
        return run.width or len(self.columns())

    def rows_of(self) -> list[RowsOf]:
        """Give what the document asks of each run."""
        window, samples = self.window, rows_asked(self.samples)
        return [
            RowsOf(
                run_id=run.run_id,
                field=run.field,
                specs=tuple(
                    spec(
                        (*self.schema.lead, *group.keys),
                        samples,
                        *window,
                    )
                    for group in run.groups
                ),
            )
            for run in self.runs
        ]

    def is_sampled(self, field: Field, known: int | None, came: int) -> bool:
        """Tell whether the server may hold more of the rows asked for than came.

        Parameters
        ----------
        field
            What was asked of the run.
        known
            Rows that hold what is asked, in all steps of the run, or None.
        came
            Rows that came back.
        """
        if known is not None and known <= came:
            return False
        by_keys = field == "sampledHistory" and (self.match_all or len(self.schema.lead) > 1)
        if known is None or by_keys or self.min_step is not None or self.max_step is not None:
            return came >= self.rows_at_most(field)
        return True

    def rows_at_most(self, field: Field) -> int:
        """Rows from which on an answer may have been thinned out."""
        return min(rows_asked(self.samples), _ROWS_AT_MOST[field])

    def request(self) -> Request:
        """Build the request."""
        low, high = self.window
        return rows_request(
            self.path,
            self.rows_of(),
            samples=rows_asked(self.samples),
            min_step=low,
            max_step=high,
        )


def history_tasks(
    scan: HistoryScan,
    entries: Iterable[RunEntry],
    schema: HistorySchema,
    budget: Callable[[], int] = lambda: POINTS_PER_REQUEST,
) -> Iterator[HistoryTask]:
    """Cut a scan into tasks, in the order of the runs.

    Parameters
    ----------
    scan, entries, schema
        What is read, of which runs, into which columns.
    budget
        Gives the cells that the next task may ask for; a single run may be above it.
    """
    read = ((entry.path, run) for entry in entries if (run := run_read(scan, entry, schema)))
    sampled = scan.samples is not None
    for batch in batches(
        read,
        lambda each: each[1].points,
        budget if sampled else lambda: WHOLE_POINTS_PER_TASK,
        count=RUNS_PER_REQUEST if sampled else WHOLE_RUNS_PER_TASK,
        apart=lambda each: each[0],
    ):
        yield _task(scan, batch[0][0], [run for _, run in batch], schema)


def _task(
    scan: HistoryScan, path: RunPath, runs: Sequence[RunRead], schema: HistorySchema
) -> HistoryTask:
    """Make the task for a batch of runs."""
    return HistoryTask(
        path=path,
        runs=tuple(runs),
        schema=schema,
        samples=scan.samples,
        min_step=scan.min_step,
        max_step=scan.max_step,
        on_incomplete=scan.on_incomplete,
        on_error=scan.selection.on_error,
        match_all=scan.match == "all",
        row_keys=scan.keys,
        narrowed=scan.narrowed,
    )


def run_read(scan: HistoryScan, entry: RunEntry, schema: HistorySchema) -> RunRead | None:
    """Decide what is read of one run; None if it holds nothing that was asked."""
    samples = scan.samples
    if samples is None:
        return _every_row(scan, entry, schema)
    if scan.stream == "system":
        system = entry.types(system=True)
        columns = max(len(system), _SYSTEM_KEYS)
        counts = [entry.count(key) for key in entry.keys or {} if system_column(key) in system]
        rows = max((count for count in counts if count is not None), default=None)
        return _whole_read(scan, entry, "events", rows, columns)
    asked = (scan.x_axis, *schema.keys) if scan.keys or scan.narrowed else ()
    if any(REPLACED in key for key in asked):
        # The server knows it by another name, which cannot be sent.
        return _whole_read(scan, entry, "history", entry.line_count, len(entry.keys or {}))
    if scan.keys is None:
        if entry.is_empty:
            return None
        groups = all_rows_groups(scan, entry, tuple(schema.keys)) if scan.narrowed else None
        if groups is None:
            return _whole_read(scan, entry, "history", entry.line_count, len(entry.keys or {}))
    else:
        groups = row_groups(scan, entry, schema.keys)
        if not groups:
            return None
    return RunRead(
        ordinal=entry.ordinal,
        run_id=entry.run_id,
        ended=entry.ended,
        lines=entry.line_count,
        groups=groups,
        known=max((group.known for group in groups if group.known is not None), default=None),
        points=sum(g.rows(samples) * (len(g.keys) + 1) for g in groups),
    )


def _every_row(scan: HistoryScan, entry: RunEntry, schema: HistorySchema) -> RunRead | None:
    """Decide whether a run is read whole; None if it holds nothing that was asked."""
    held = (scan.keys is None or any(_may_hold(scan, entry, key) for key in scan.keys)) and (
        scan.x_axis.startswith("_") or _may_hold(scan, entry, scan.x_axis)
    )
    if (entry.is_empty or not held) and entry.ended:
        return None
    return RunRead(
        ordinal=entry.ordinal,
        run_id=entry.run_id,
        field="history",
        ended=entry.ended,
        known=entry.line_count,
        last_step=entry.last_step,
        points=(entry.line_count or 0) * (len(schema.keys) + 1),
        width=len(entry.keys or {}),
    )


def _may_hold(scan: HistoryScan, entry: RunEntry, key: str) -> bool:
    """Tell whether a run may have logged a key: it lists it, or does not say, or no run lists it."""
    return key in scan.unlisted or entry.count(key) != 0


def _whole_read(
    scan: HistoryScan, entry: RunEntry, field: Field, rows: int | None, columns: int
) -> RunRead:
    """Read all keys of a run."""
    samples = rows_asked(scan.samples)
    most = min(samples, _EVENTS_CAP) if field == "events" else samples
    return RunRead(
        ordinal=entry.ordinal,
        run_id=entry.run_id,
        field=field,
        ended=entry.ended,
        lines=entry.line_count,
        known=rows,
        points=min(most, rows or most) * max(columns, 1),
    )


def all_rows_groups(
    scan: HistoryScan, entry: RunEntry, keys: Sequence[str]
) -> tuple[Group, ...] | None:
    """Give groups that read some keys and yet every row of a run; None if all keys must be read for it.

    Keys that are in every row do alone. Others need the bare steps beside them, and no down-sampling,
    which would choose other rows for each spec.
    """
    total = entry.line_count
    if entry.keys is None or total is None or not entry.ended:
        return None
    if scan.x_axis != STEP and entry.count(scan.x_axis) == 0:
        return None
    if all(entry.count(key) == total for key in keys):
        return (Group(keys=tuple(keys), known=total),)
    if total > rows_asked(scan.samples):
        return None
    listed = [key for key in keys if entry.count(key) != 0]
    # Whatever else its list lacks costs but a spec.
    doubted = [Group(keys=(key,), known=0) for key in keys if entry.count(key) == 0]
    if len(doubted) > _MOST_DOUBTED:
        return None
    return (Group(keys=(), known=total), *group_keys(scan, entry, listed), *doubted)


def row_groups(scan: HistoryScan, entry: RunEntry, wanted: Container[str]) -> tuple[Group, ...]:
    """Give the groups of the scan's keys that are needed for the wanted columns and for all rows.

    A key makes rows even where its column is not wanted. Only where some key is in every row, and all rows
    come, can the specs of unwanted keys be left out.
    """
    groups = group_keys(scan, entry, scan.keys or ())
    if scan.match == "all" or entry.line_count is None:
        return groups
    every_row = [
        g for g in groups if g.known == entry.line_count and g.known <= rows_asked(scan.samples)
    ]
    if not every_row or not entry.ended:
        return groups
    kept = tuple(group for group in groups if any(key in wanted for key in group.keys))
    if any(group in every_row for group in kept):
        return kept
    return (Group(keys=(), known=entry.line_count), *kept)


def group_keys(scan: HistoryScan, entry: RunEntry, keys: Sequence[str]) -> tuple[Group, ...]:
    """Decide which keys of a run share a spec, so that no row is lost to the all-keys rule.

    A key that is in every row of the run may stand with any other such key. Keys with equal counts
    below `samples` may have been logged together; whether they were is checked against the number of
    rows that comes back. Everything else gets a spec of its own: when rows are down-sampled, a wrong
    guess could not be seen.
    """
    if scan.x_axis != STEP and not _may_hold(scan, entry, scan.x_axis):
        return ()
    if not keys:
        # Nothing beside the steps (and the axis) is asked, unless a glob matched no key.
        only_lead = set(scan.keys or ()) <= {STEP, scan.x_axis} and not scan.scalars
        known = entry.line_count if scan.x_axis == STEP else None
        return (Group(keys=(), known=known),) if only_lead and not entry.is_empty else ()
    if entry.is_empty:
        return ()
    counts = {key: entry.count(key) for key in keys}
    if scan.match == "all":
        if not all(_may_hold(scan, entry, key) for key in keys):
            return ()
        sure = [count for count in counts.values() if count]
        return (Group(keys=tuple(keys), known=min(sure) if len(sure) == len(keys) else None),)
    checkable = _is_checkable(scan, entry)
    shared: dict[int, list[str]] = defaultdict(list)
    groups: list[Group] = []
    for key, count in counts.items():
        if count and (
            count == entry.line_count or (checkable and count <= rows_asked(scan.samples))
        ):
            shared[count].append(key)
        elif count != 0 or key in scan.unlisted:
            groups.append(Group(keys=(key,), known=count or None))
    for count, together in shared.items():
        checked = checkable and count <= rows_asked(scan.samples)
        proven = len(together) == 1 or not checked
        groups.append(Group(keys=tuple(together), known=count, proven=proven))
    if groups:
        # Lists of keys may be incomplete; of a run that is read, a key that it does not list costs but a spec.
        doubted = [key for key, count in counts.items() if count == 0 and key not in scan.unlisted]
        groups += [Group(keys=(key,), known=0) for key in doubted[:_MOST_DOUBTED]]
    return tuple(groups)


def _is_checkable(scan: HistoryScan, entry: RunEntry) -> bool:
    """Tell whether the counts of a run can be compared with the rows that come."""
    unbounded = scan.min_step is None and scan.max_step is None
    axis_everywhere = scan.x_axis == STEP or entry.count(scan.x_axis) == entry.line_count
    return entry.ended and unbounded and axis_everywhere


def whole_rows(run: RunRead) -> RunRead:
    """Read whole rows, where it is not in the rows of keys which of them belong together."""
    # This field takes no keys, but its rows are as they were logged.
    return replace(run, field="history", groups=())


def another_way(task: HistoryTask, run: RunRead) -> RunRead | None:
    """Read a run of which too few rows came another way; None where there is none that could give more."""
    if run.another_way or run.field == "events":
        return None
    if run.field == "history":
        keys = task.schema.keys if task.row_keys is None else task.row_keys
        groups = tuple(Group(keys=(key,)) for key in keys) if len(keys) <= _MOST_DOUBTED else ()
        found = replace(run, field="sampledHistory", groups=groups) if groups else None
    else:
        # Of a longer run whole rows are thinned out.
        fits = run.lines is None or run.lines <= rows_asked(task.samples)
        found = replace(whole_rows(run), known=run.lines) if fits and not task.match_all else None
    return None if found is None else replace(found, another_way=True)


def split_groups(run: RunRead, wrong: Sequence[int]) -> RunRead:
    """Give each key of the wrong groups a spec of its own."""
    groups = [group for i, group in enumerate(run.groups) if i not in wrong]
    groups += [
        Group(keys=(key,), known=run.groups[i].known) for i in wrong for key in run.groups[i].keys
    ]
    return replace(run, groups=tuple(groups))


# ---------------------------------------------------------------- looking at rows where the index is silent


def runs_to_look_at(
    entries: Sequence[RunEntry], unsure: Iterable[str], named: Sequence[str] | None
) -> list[tuple[RunEntry, tuple[str, ...]]]:
    """Choose the runs whose rows tell what the index does not.

    Parameters
    ----------
    entries
        All runs.
    unsure
        Keys whose type is not known, or that have text among numbers, which may be no more than spelled-out NaN.
    named
        The keys that are asked for, None for all: of runs that do not say what they hold, and of some whose
        list lacks them.

    Returns
    -------
    list
        Runs, and the keys to read of each (none: all its rows); the first, the last and some between, at most
        `MOST_LOOKED_AT` for each key.
    """
    chosen: dict[int, dict[str, None]] = defaultdict(dict)
    for key in unsure:
        there = [entry for entry in entries if _may_tell(entry, key)]
        for entry in spread(there or [entry for entry in entries if not entry.is_empty]):
            chosen[entry.ordinal][key] = None
    for key in (named or ())[:_MOST_DOUBTED]:
        for entry in spread([each for each in entries if each.keys and each.count(key) == 0]):
            chosen[entry.ordinal][key] = None
    unknown = spread([entry for entry in entries if entry.keys is None and not entry.is_empty])
    for entry in unknown:
        chosen[entry.ordinal].update(dict.fromkeys(named or ()))
    return [
        (entry, () if named is None and entry.keys is None else tuple(chosen[entry.ordinal]))
        for entry in entries
        if entry.ordinal in chosen
    ]


def _may_tell(entry: RunEntry, key: str) -> bool:
    """Tell whether the rows of a run may tell the type of a key: it lists it as text, or without a type."""
    types = (entry.keys or {}).get(key)
    return types is not None and (not types or "string" in types)
