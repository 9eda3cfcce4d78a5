"""What a scan does, in words and as data."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Literal

from wbframe.core import filters as flt
from wbframe.core.histories.tasks import POINTS_PER_REQUEST, RUNS_PER_REQUEST
from wbframe.core.model import HistoryScan
from wbframe.core.protocol.exports import Export
from wbframe.core.protocol.spans import NEAR_BYTES, end_bytes, file_bytes, is_most
from wbframe.text import counted, listed, one_line, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from wbframe.core.histories.tasks import HistoryTask, RunRead
    from wbframe.core.model import RunPath, RunsScan
    from wbframe.core.pushdown.conjuncts import Conjunct

__all__ = [
    "ScanExplanation",
    "count_requests",
    "describe_namespace",
    "describe_scan",
    "first_of",
    "path_text",
    "task_requests",
    "tasks_until",
    "with_exports",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanExplanation:
    """What one scan of a query does.

    Attributes
    ----------
    kind
        ``"runs"`` or ``"histories"``.
    paths
        The projects, sweeps and runs that it reads.
    columns
        The columns that it gives.
    filters
        What the server is asked to keep, as JSON.
    conjuncts
        The conditions of the query's predicate: which are pushed exactly, which as a superset, which stay
        local, and why.
    n_rows
        The limit that the query hands over; it comes before the predicate.
    min_step, max_step
        The window of steps that is read, half-open.
    keys, samples, stream
        The logged keys that are read (None for all), rows of a run at the most, and of which stream.
    requests
        About how many requests collecting it takes, besides those for its schema. It counts the runs that
        the server's filter keeps and the rows that they have logged, so that a window of steps, or a page
        that ends early, may make it less. Where every row is read, it is made from the first page of each
        project's runs and from what is exported of the first of them: exact where the others are alike, no
        file is larger than 128 KiB, and no run logs on meanwhile.
    looked_at
        Runs that were looked at to know the columns, since the index of a server may lack some: the last, and of
        an index that does lack some the first.
    replaced
        Server features that were refused and are replaced by older queries.
    """

    kind: Literal["runs", "histories"]
    paths: tuple[str, ...]
    columns: tuple[str, ...]
    filters: str
    conjuncts: tuple[Conjunct, ...] = ()
    n_rows: int | None = None
    min_step: int | None = None
    max_step: int | None = None
    keys: tuple[str, ...] | None = None
    samples: int | None = None
    stream: str | None = None
    requests: int | None = None
    looked_at: int = 0
    replaced: tuple[str, ...] = ()

    def __repr__(self) -> str:
        lines = [f"{self.kind} of {listed(self.paths, _PATHS)}"]
        lines.append(f"columns: {listed(self.columns, _SHOWN)}")
        lines.append(f"server filter: {shortened(self.filters)}")
        if self.kind == "histories":
            keys = "all" if self.keys is None else listed(self.keys, _SHOWN)
            lines.append(f"keys: {keys}; stream: {self.stream}")
            low = "start" if self.min_step is None else self.min_step
            high = "end" if self.max_step is None else self.max_step
            rows = "every row" if self.samples is None else f"at most {self.samples} rows a run"
            lines.append(f"steps: {low} to {high} (exclusive); {rows}")
        if self.n_rows is not None:
            lines.append(f"limit: {self.n_rows} rows, taken before the predicate")
        for each in self.conjuncts[:_SHOWN]:
            reason = f" ({each.reason})" if each.reason else ""
            pushed = f" as {_json(each.pushed)}" if each.pushed else ""
            lines.append(
                f"{_STATUS[each.status]}: {shortened(each.text, _CONDITION)}{pushed}{reason}"
            )
        if len(self.conjuncts) > _SHOWN:
            lines.append(f"conditions: {len(self.conjuncts) - _SHOWN:,} more, see `conjuncts`")
        if self.looked_at:
            lines.append(
                f"columns known by: the server's index, and a look at {counted(self.looked_at, 'run')}"
            )
        if self.requests is not None:
            lines.append(f"requests: about {self.requests}")
        lines.extend(f"not on this server: {each}, replaced" for each in self.replaced)
        return "\n  ".join(shortened(line, _LINE) for line in lines)


_STATUS = {"exact": "pushed exactly", "superset": "pushed as a superset", "local": "stays local"}
# What is shown at the most: names and conditions, paths, characters of a condition and of a line.
_SHOWN, _PATHS, _CONDITION, _LINE = 12, 4, 120, 500


def _json(value: object) -> str:
    """Spell what is pushed."""
    return shortened(json.dumps(value, separators=(",", ":"), ensure_ascii=False), _CONDITION)


def path_text(path: RunPath) -> str:
    """Spell a path as a user would."""
    base = path.project if path.entity is None else f"{path.entity}/{path.project}"
    if path.sweep:
        return f"{base}/sweeps/{path.sweep}"
    return f"{base}/runs/{path.run}" if path.run else base


def describe_scan(scan: RunsScan | HistoryScan) -> str:
    """Describe a scan on one line, as it was made: what a query adds, the plan shows beside it."""
    selection = scan.selection
    # A lazy frame names none before it is collected.
    parts = [listed(list(map(path_text, selection.paths)), _PATHS)] if selection.paths else []
    if selection.filters != flt.EMPTY:
        parts.append(f"server filter {shortened(flt.to_json(selection.filters))}")
    if selection.predicate is not None:
        parts.append(f"filter {shortened(str(selection.predicate))}")
    parts.append(f"order {selection.order}")
    if selection.limit is not None:
        parts.append(f"limit {selection.limit} runs")
    if isinstance(scan, HistoryScan):
        every = "scalars" if scan.scalars else "all"
        parts.append(f"keys {listed(scan.keys, _SHOWN) if scan.keys else every} ({scan.match})")
        if scan.stream != "default":
            parts.append(f"stream {scan.stream}")
        if scan.min_step is not None or scan.max_step is not None:
            parts.append(f"steps [{scan.min_step or 0}, {scan.max_step or 'end'})")
        parts.append("every row" if scan.samples is None else f"at most {scan.samples} rows a run")
    return one_line("; ".join(parts))


def describe_namespace(kind: type, runs: int | None) -> str:
    """Describe a namespace of frames: how many runs its frame names, and a line for each thing that it has."""
    has = {name: each for name, each in vars(kind).items() if not name.startswith("_")}
    width = max(map(len, has)) + 2
    lines = [
        f"  {name + ('()' if callable(each) else ''):<{width}}  {(each.__doc__ or '').splitlines()[0]}"
        for name, each in has.items()
    ]
    of = "the runs of a lazy frame" if runs is None else counted(runs, "run")
    return "\n".join([f"wandb of {of}", *lines])


def first_of(counts: Sequence[int], limit: int | None) -> tuple[int, ...]:
    """Tell how many runs of each project are among the first.

    Examples
    --------
    >>> first_of([300, 200], 350), first_of([300, 200], None), first_of([300, 200], 100)
    ((300, 50), (300, 200), (100,))
    """
    taken: list[int] = []
    for each in counts:
        left = each if limit is None else min(each, limit - sum(taken))
        if taken and left <= 0 < each:
            break
        taken.append(left)
    return tuple(taken)


def count_requests(counts: Sequence[int], per_page: int, cells: int | None = None) -> int:
    """Estimate requests: pages of the runs of each project, and batches of rows.

    Examples
    --------
    >>> count_requests([450], 200), count_requests([450, 3], 200, cells=1000)
    (3, 10)
    """
    pages = sum(max(math.ceil(runs / per_page), 1) for runs in counts)
    if cells is None:
        return pages
    by_runs = sum(math.ceil(runs / RUNS_PER_REQUEST) for runs in counts)
    return pages + max(math.ceil(cells / POINTS_PER_REQUEST), by_runs)


# ---------------------------------------------------------------- whole histories


def tasks_until(tasks: Iterable[HistoryTask], n_rows: int | None) -> Iterator[HistoryTask]:
    """Give the tasks that are read for so many rows; all for None."""
    rows = 0
    for task in tasks:
        if n_rows is not None and rows >= n_rows:
            return
        yield task
        rows += sum(run.known or 0 for run in task.runs)


def with_exports(
    tasks: Iterable[HistoryTask], known: Mapping[str, Export]
) -> Iterator[tuple[HistoryTask, list[Export]]]:
    """Pair tasks with the exports of their runs; a run that is not known is taken to be like those that are.

    Parameters
    ----------
    tasks
        Tasks, of one project.
    known
        The exports of some runs of the first task.
    """
    like = cycle(known.values() or [Export()])
    for task in tasks:
        yield task, [known.get(run.run_id) or next(like) for run in task.runs]


def task_requests(
    task: HistoryTask, exports: Sequence[Export], columns: int, points: int, *, refused: bool
) -> int:
    """Estimate the requests for the rows of a task that reads whole histories.

    Parameters
    ----------
    task, exports
        What is read, and what is exported of each run.
    columns
        How many columns are read besides `_step`.
    points
        Cells that a request may give.
    refused
        Whether the server has no exports, so that it is not asked for them.

    Returns
    -------
    int
        One for where the files are; one for each small file, for a larger one another, or one for each column
        where columns lie far apart; one to see where live rows are, unless the server says,
        and those that read them. Right as long as numbers take eight bytes in the files, no answer is too
        large for the server, and no run is so long that it is read in stretches.
    """
    requests = 0 if refused else 1
    profiled = False
    bounded = bool(task.min_step) or task.max_step is not None
    rows_of_round = [0, 0]  # live rows that are read at once, and those that are looked for first
    for run, export in zip(task.runs, exports, strict=True):
        live = len(export.live_steps or ())
        exported = max((run.known or 0) - live, 0)
        if export.urls:
            files = len(export.urls)
            requests += files * _gets(run, exported // files, columns, bounded=bounded)
        if live:
            rows_of_round[0] += sum(_is_wanted(task, step) for step in export.live_steps or ())
            # Rows of a window cannot be counted, so that its steps are asked for.
            profiled = profiled or bounded
        elif not export.urls:
            profiled = True
            rows_of_round[1] += _in_window(task, run.known or 0)
        elif not run.ended or task.min_step is not None or task.max_step is not None:
            profiled = True
    width = max((run.width or columns for run in task.runs), default=0) + 1
    batches = sum(math.ceil(rows / max(points // width, 1)) for rows in rows_of_round)
    return requests + profiled + batches


def _gets(run: RunRead, rows: int, columns: int, *, bounded: bool) -> int:
    """Estimate the ranges that are read of a file."""
    width = max(run.width, columns + 1)
    most = is_most(columns + 1, width)
    # The end of a file is read first, as its footer is there; that may be all of it.
    if file_bytes(rows, width) <= end_bytes(rows, width, most=most and not bounded):
        return 1
    if most or file_bytes(rows, 1) <= NEAR_BYTES:
        return 2
    return 2 + columns


def _is_wanted(task: HistoryTask, step: int) -> bool:
    """Tell whether a step is in the window."""
    return (task.min_step or 0) <= step and (task.max_step is None or step < task.max_step)


def _in_window(task: HistoryTask, rows: int) -> int:
    """Give the rows of a run that a window holds at the most, a row a step."""
    low = min(task.min_step or 0, rows)
    return max((rows if task.max_step is None else min(task.max_step, rows)) - low, 0)
