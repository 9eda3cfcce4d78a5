"""From a histories scan and what the server knows of its runs to a list of picklable tasks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import msgspec

from wbframe.core.graphql import RowsOf, json_object, name_of, rows_request, spec
from wbframe.core.schema import (
    STEP,
    SYSTEM_PREFIXES,
    HistorySchema,
    Index,
    Types,
    merge_index,
    system_column,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from wbframe.core.graphql import RunNode
    from wbframe.core.model import HistoryScan, Request, RunPath

Field = Literal["sampledHistory", "history", "events"]

# Cells that one request asks for at the most, and runs: about 2-4 MB of JSON.
POINTS_PER_REQUEST = 120_000
RUNS_PER_REQUEST = 100
# A machine-metrics row count that no server exceeds; used to size requests for events.
_EVENTS_CAP = 1000
_ENDED = frozenset({"finished", "crashed", "failed", "killed"})


class _TypeCount(msgspec.Struct):
    type: str = "json"
    count: int | float = 0


class _KeyInfo(msgspec.Struct, rename="camel"):
    type_counts: list[_TypeCount] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """What the server knows of one run's rows.

    Attributes
    ----------
    ordinal
        Its place in the order of the scan.
    path
        Its project.
    run_id
        Its id.
    ended
        Whether it logs no more, so that counts are final.
    line_count
        Rows logged, or None.
    keys
        Logged key -> type -> rows that hold it; None if the server does not say.
    """

    ordinal: int
    path: RunPath
    run_id: str
    ended: bool = True
    line_count: int | None = None
    keys: Mapping[str, Mapping[str, int]] | None = None

    def types(self, *, system: bool) -> dict[str, Types]:
        """Give the keys of one stream, as they stand in its rows, and their types."""
        if self.keys is None:
            return {}
        return {
            system_column(key) if system else key: frozenset(counts)
            for key, counts in self.keys.items()
            if key.startswith(SYSTEM_PREFIXES) == system
        }

    def count(self, key: str) -> int:
        """Give the number of rows that hold the key."""
        return sum((self.keys or {}).get(key, {}).values())


def run_entry(ordinal: int, path: RunPath, node: RunNode) -> RunEntry:
    """Read an entry off a run that was selected with historyKeys."""
    where = f"the history keys of run {node.name!r} of {name_of(path)}"
    raw = json_object(node.history_keys, where=where).get("keys")
    keys: dict[str, dict[str, int]] | None = None
    if raw is not None:
        infos = json_object(raw, where=where)
        keys = {key: _counts(info) for key, info in infos.items()}
    return RunEntry(
        ordinal=ordinal,
        path=path,
        run_id=node.name,
        ended=node.state in _ENDED,
        line_count=None if node.history_line_count is None else int(node.history_line_count),
        keys=keys,
    )


def _counts(info: msgspec.Raw) -> dict[str, int]:
    """Read the type counts of one key; a key without them is of unknown type."""
    parsed = msgspec.convert(msgspec.json.decode(info), _KeyInfo, strict=False)
    return {each.type: int(each.count) for each in parsed.type_counts or [_TypeCount()]}


def index_of(entries: Iterable[RunEntry], *, system: bool) -> Index:
    """Unite the keys of several runs."""
    found: Index = {}
    for entry in entries:
        merge_index(found, entry.types(system=system))
    return found


# ---------------------------------------------------------------- tasks


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRead:
    """What is read of one run: groups of keys, or everything (no groups)."""

    ordinal: int
    run_id: str
    groups: tuple[Group, ...] = ()
    known: int | None = None
    ended: bool = True
    points: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryTask:
    """One request for the rows of several runs of one project; picklable, and complete in itself."""

    path: RunPath
    field: Field
    runs: tuple[RunRead, ...]
    schema: HistorySchema
    samples: int
    min_step: int | None = None
    max_step: int | None = None
    match_all: bool = False
    all_keys: bool = False

    def rows_of(self) -> list[RowsOf]:
        """Give what the document asks of each run."""
        return [
            RowsOf(
                run_id=run.run_id,
                specs=tuple(
                    spec((*self.schema.lead, *group.keys), self.samples, self.min_step, self.max_step)
                    for group in run.groups
                ),
            )
            for run in self.runs
        ]

    def request(self) -> Request:
        """Build the request."""
        return rows_request(
            self.path,
            self.rows_of(),
            field=self.field,
            samples=self.samples,
            min_step=self.min_step,
            max_step=self.max_step,
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
    batch: list[RunRead] = []
    path: RunPath | None = None
    points = 0
    for entry in entries:
        run = run_read(scan, entry, schema)
        if run is None:
            continue
        full = points + run.points > budget() or len(batch) >= RUNS_PER_REQUEST
        if batch and path is not None and (path != entry.path or full):
            yield _task(scan, path, batch, schema)
            batch, points = [], 0
        path = entry.path
        batch.append(run)
        points += run.points
    if batch and path is not None:
        yield _task(scan, path, batch, schema)


def _task(
    scan: HistoryScan, path: RunPath, runs: Sequence[RunRead], schema: HistorySchema
) -> HistoryTask:
    """Make the task for a batch of runs."""
    return HistoryTask(
        path=path,
        field=field_of(scan),
        runs=tuple(runs),
        schema=schema,
        samples=scan.samples,
        min_step=scan.min_step,
        max_step=scan.max_step,
        match_all=scan.match == "all",
        all_keys=scan.keys is None,
    )


def field_of(scan: HistoryScan) -> Field:
    """Choose the field of a run that answers the scan."""
    if scan.stream == "system":
        return "events"
    return "history" if scan.keys is None else "sampledHistory"


def run_read(scan: HistoryScan, entry: RunEntry, schema: HistorySchema) -> RunRead | None:
    """Decide what is read of one run; None if it holds nothing that was asked."""
    if scan.stream == "system":
        system = entry.types(system=True)
        rows = max((entry.count(key) for key in entry.keys or {} if system_column(key) in system), default=None)
        return RunRead(
            ordinal=entry.ordinal,
            run_id=entry.run_id,
            ended=entry.ended,
            known=rows,
            points=min(scan.samples, _EVENTS_CAP) * max(len(system), 20),
        )
    if scan.keys is None:
        if entry.keys is not None and not entry.keys and not entry.line_count:
            return None
        rows = entry.line_count
        return RunRead(
            ordinal=entry.ordinal,
            run_id=entry.run_id,
            ended=entry.ended,
            known=rows,
            points=min(scan.samples, rows or scan.samples) * max(len(entry.keys or {}), 1),
        )
    groups = group_keys(scan, entry, tuple(schema.keys))
    if not groups:
        return None
    counts = [group.known for group in groups if group.known is not None]
    return RunRead(
        ordinal=entry.ordinal,
        run_id=entry.run_id,
        ended=entry.ended,
        groups=groups,
        known=max(counts, default=None),
        points=sum(min(scan.samples, g.known or scan.samples) * (len(g.keys) + 1) for g in groups),
    )


def group_keys(scan: HistoryScan, entry: RunEntry, keys: Sequence[str]) -> tuple[Group, ...]:
    """Decide which keys of a run share a spec, so that no row is lost to the all-keys rule.

    A key that is in every row of the run may stand with any other such key. Keys with equal counts
    below `samples` may have been logged together; whether they were is checked against the number of
    rows that comes back. Everything else gets a spec of its own: when rows are down-sampled, a wrong
    guess could not be seen.
    """
    axis_everywhere = scan.x_axis == STEP or entry.count(scan.x_axis) == entry.line_count
    if entry.keys is not None and scan.x_axis != STEP and not entry.count(scan.x_axis):
        return ()
    if scan.match == "all":
        held = entry.keys is None or all(entry.count(key) for key in keys)
        return (Group(keys=tuple(keys)),) if held and keys else ()
    if entry.keys is None:
        return tuple(Group(keys=(key,)) for key in keys)
    unbounded = scan.min_step is None and scan.max_step is None
    shared: dict[int, list[str]] = defaultdict(list)
    groups: list[Group] = []
    for key in keys:
        count = entry.count(key)
        checkable = entry.ended and unbounded and axis_everywhere and count <= scan.samples
        if count and (count == entry.line_count or checkable):
            shared[count].append(key)
        elif count:
            groups.append(Group(keys=(key,), known=count))
    for count, together in shared.items():
        proven = count == entry.line_count or len(together) == 1
        groups.append(Group(keys=tuple(together), known=count, proven=proven))
    return tuple(groups)


def split_groups(run: RunRead, wrong: Sequence[int]) -> RunRead:
    """Give each key of the wrong groups a spec of its own."""
    groups = [group for i, group in enumerate(run.groups) if i not in wrong]
    groups += [Group(keys=(key,), known=run.groups[i].known) for i in wrong for key in run.groups[i].keys]
    return replace(run, groups=tuple(groups))


# ---------------------------------------------------------------- looking at rows where the index is silent

LOOK_AT_RUNS = 20


def runs_to_look_at(entries: Iterable[RunEntry], mixed: Iterable[str]) -> list[tuple[RunEntry, tuple[str, ...]]]:
    """Choose the runs whose rows tell what the index does not.

    Parameters
    ----------
    entries
        All runs.
    mixed
        Keys with text among numbers, which may be no more than spelled-out NaN.

    Returns
    -------
    list
        Runs, and the mixed keys to read of each (none: all its rows, since its keys are unknown);
        at most `LOOK_AT_RUNS` for each key.
    """
    wanted = dict.fromkeys(mixed, LOOK_AT_RUNS)
    unknown = LOOK_AT_RUNS
    chosen: list[tuple[RunEntry, tuple[str, ...]]] = []
    for entry in entries:
        if entry.keys is None:
            if unknown and (entry.line_count is None or entry.line_count):
                unknown -= 1
                chosen.append((entry, ()))
            continue
        here = tuple(key for key in wanted if wanted[key] and "string" in entry.keys.get(key, {}))
        for key in here:
            wanted[key] -= 1
        if here:
            chosen.append((entry, here))
    return chosen
