"""How many requests a scan will send, from what is known before its rows."""

from __future__ import annotations

import math
from itertools import cycle
from typing import TYPE_CHECKING

from wbframe.core.exports import NEAR_BYTES, TAIL_BYTES, WHOLE_SHARE, Export
from wbframe.core.plan import POINTS_PER_REQUEST, RUNS_PER_REQUEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from wbframe.core.plan import HistoryTask, RunRead

__all__ = ["count_requests", "first_of", "task_requests", "tasks_until", "with_exports"]

# Of a number in an exported file; compression makes it no larger.
_CELL_BYTES = 8


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
        One for where the files are; one for each file of at most 128 KiB, for a larger one another, or one
        for each column where columns lie far apart; one to see where live rows are, unless the server says,
        and those that read them. Right as long as numbers take eight bytes in the files, and no answer is
        too large for the server.
    """
    requests = 0 if refused else 1
    profiled = False
    rows_of_round = [0, 0]  # live rows that are read at once, and those that are looked for first
    for run, export in zip(task.runs, exports, strict=True):
        live = len(export.live_steps or ())
        exported = max((run.known or 0) - live, 0)
        if export.urls:
            requests += len(export.urls) * _gets(run, exported // len(export.urls), columns)
        if live:
            rows_of_round[0] += sum(_is_wanted(task, step) for step in export.live_steps or ())
        elif not export.urls:
            profiled = True
            rows_of_round[1] += _in_window(task, run.known or 0)
        elif not run.ended or task.min_step is not None or task.max_step is not None:
            profiled = True
    width = max((run.width or columns for run in task.runs), default=0) + 1
    batches = sum(math.ceil(rows / max(points // width, 1)) for rows in rows_of_round)
    return requests + profiled + batches


def _gets(run: RunRead, rows: int, columns: int) -> int:
    """Estimate the ranges that are read of a file."""
    chunk = rows * _CELL_BYTES
    width = max(run.width, columns + 1)
    if chunk * width <= TAIL_BYTES:
        return 1
    if columns + 1 >= WHOLE_SHARE * width or chunk <= NEAR_BYTES:
        return 2
    return 2 + columns


def _is_wanted(task: HistoryTask, step: int) -> bool:
    """Tell whether a step is in the window."""
    return (task.min_step or 0) <= step and (task.max_step is None or step < task.max_step)


def _in_window(task: HistoryTask, rows: int) -> int:
    """Give the rows of a run that a window holds at the most, a row a step."""
    low = min(task.min_step or 0, rows)
    return max((rows if task.max_step is None else min(task.max_step, rows)) - low, 0)
