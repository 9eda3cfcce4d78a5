"""A long run, which a stream reads in stretches of steps: each is a task, and none needs all rows in memory."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from wbframe.core.histories.tasks import WHOLE_POINTS_PER_TASK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wbframe.core.histories.tasks import HistoryTask


__all__ = ["Span", "in_stretches", "is_long", "stretches"]

# The least and the greatest step of a row group, and how many rows it has.
Span = tuple[float, float, int]
# A run of so many tasks' cells is worth a look at its files beforehand.
_LONG = 4


def is_long(task: HistoryTask) -> bool:
    """Tell whether a task is of one run that may be read in several stretches.

    Not where it may be left out, which is known only when all of it has been read; nor where no count tells in
    the end whether the stretches were all of it.
    """
    points = sum(run.points for run in task.runs)
    counted = all(run.known for run in task.runs)
    alone = len(task.runs) == 1 and task.on_error == "raise"
    return alone and counted and points > _LONG * WHOLE_POINTS_PER_TASK


def stretches(spans: Iterable[Span | None], rows: int) -> list[int]:
    """Choose the steps at which a run is cut: between row groups, when so many rows or more have come together.

    Parameters
    ----------
    spans
        The row groups of all its files; None for one that does not say which steps it has.
    rows
        Rows of a stretch.

    Returns
    -------
    list of int
        In order; none where it cannot be cut.

    Examples
    --------
    >>> stretches([(20, 29, 10), (0, 9, 10), (10, 19, 10), (30, 39, 10)], 20)
    [20]
    >>> stretches([(0, 9, 10), None], 5)
    []
    """
    told = list(spans)
    if any(span is None or not all(map(math.isfinite, span)) for span in told):
        return []
    cuts: list[int] = []
    held, last = 0, -math.inf
    for low, high, count in sorted(span for span in told if span is not None and span[2]):
        if held >= rows and low > last:
            cuts.append(math.ceil(low))
            held = 0
        held, last = held + count, max(last, high)
    return cuts


def in_stretches(task: HistoryTask, spans: Iterable[Span | None]) -> list[HistoryTask]:
    """Cut a task of one run into tasks of stretches, which together are all that it is of."""
    width = len(task.schema.keys) + 1
    cuts = [
        step
        for step in stretches(spans, WHOLE_POINTS_PER_TASK // width)
        if (task.min_step is None or step > task.min_step)
        and (task.max_step is None or step < task.max_step)
    ]
    if not cuts:
        return [task]
    lows, highs = [task.min_step, *cuts], [*cuts, task.max_step]
    return [
        replace(task, min_step=low, max_step=high) for low, high in zip(lows, highs, strict=True)
    ]
