"""Tasks cut in two, and what both halves gave put together again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wbframe.core.histories import TaskRows, merge_rows, merge_specs
from wbframe.core.schema import STEP

if TYPE_CHECKING:
    import polars as pl

    from wbframe.core.plan import Group, HistoryTask

__all__ = ["halves", "put_together"]


def halves(task: HistoryTask) -> tuple[HistoryTask, HistoryTask] | None:
    """Cut a task in two: half of its runs, then half of the keys of its one run; None if that is one key.

    Whole rows cannot be cut by keys, nor can rows that hold all of several keys.
    """
    if len(task.runs) > 1:
        half = len(task.runs) // 2
        return replace(task, runs=task.runs[:half]), replace(task, runs=task.runs[half:])
    [run] = task.runs
    groups = list(run.groups)
    if len(groups) == 1 and not task.match_all:
        groups = _by_key(groups[0])
    if len(groups) <= 1:
        return None
    half = len(groups) // 2
    first, second = (
        replace(task, runs=(replace(run, groups=tuple(part)),))
        for part in (groups[:half], groups[half:])
    )
    return first, second


def _by_key(group: Group) -> list[Group]:
    """Cut the keys of a group, which were logged together, in two groups."""
    half = len(group.keys) // 2
    parts = (group.keys[:half], group.keys[half:])
    return [replace(group, keys=keys) for keys in parts if keys]


def put_together(task: HistoryTask, first: TaskRows, second: TaskRows) -> TaskRows | None:
    """Put together what the halves of a task gave; None if their rows cannot be told apart by steps."""
    if len(task.runs) > 1:
        return merge_rows(first, second)
    [run] = task.runs
    one, other = first.frames.get(run.ordinal), second.frames.get(run.ordinal)
    merged = merge_rows(first, second)
    if one is None or other is None:
        return merged
    lead = tuple(task.schema.lead)
    if (set(one.columns) & set(other.columns)) - set(lead):
        # One of them had to read whole rows, so it has everything.
        merged.frames[run.ordinal] = max(one, other, key=_width)
        return merged
    if one[STEP].is_duplicated().any() or other[STEP].is_duplicated().any():
        return None
    merged.frames[run.ordinal] = merge_specs((one, other), lead)
    return merged


def _width(frame: pl.DataFrame) -> int:
    """Count the columns."""
    return frame.width
