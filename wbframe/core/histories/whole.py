"""Whole histories: which rows the exports lack, how both are put together, and whether that is all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.histories.rows import by_step
from wbframe.core.histories.windows import PROFILE_STEPS, ROWS_PER_WINDOW, Window
from wbframe.core.model import STEP
from wbframe.core.protocol.spans import end_bytes, is_most

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from wbframe.core.histories.tasks import HistoryTask, RunRead
    from wbframe.core.protocol.exports import Export


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is expected of one run's rows.

    Attributes
    ----------
    line_count
        Rows that the server says it has, or None.
    last_step
        The last step that the server knows, or None.
    ended
        Whether no more are logged.
    min_step, max_step
        The window expected, half-open.
    rows_per_window
        Rows that one window should hold at the most.
    samples
        Rows that the server lets itself be asked for, as far as it is known.
    """

    line_count: int | None
    last_step: int | None
    ended: bool
    min_step: int | None = None
    max_step: int | None = None
    rows_per_window: int = ROWS_PER_WINDOW
    samples: int = PROFILE_STEPS

    @property
    def is_bounded(self) -> bool:
        """Whether not all steps are expected."""
        return bool(self.min_step) or self.max_step is not None

    @property
    def countable(self) -> int | None:
        """Rows that must come at the least; None where it cannot be told, as of most windows."""
        if self.line_count is None or not self.is_bounded:
            return self.line_count
        return None

    def is_met(self, rows: int) -> bool:
        """Tell whether so many rows are all that the server has spoken of."""
        return self.countable is not None and rows >= self.countable

    def cut(self, window: Window) -> Window | None:
        """Give the part of a window that is expected."""
        low = max(window.min_step, self.min_step or 0)
        high = window.max_step if self.max_step is None else min(window.max_step, self.max_step)
        cut = replace(window, min_step=low, max_step=high)
        return replace(cut, samples=min(cut.samples, self.samples)) if low < high else None


def united(files: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put the rows of several files together, by step; rows of a step that is in several files once.

    Parameters
    ----------
    files
        With `_step`, all of the same columns; one at the least.
    """
    # Whether files of a run share steps, and in which order they are named, is not documented.
    held = sorted((file for file in files if file.height), key=lambda file: file[STEP].min())  # type: ignore[arg-type, return-value]
    apart = all(a[STEP].max() < b[STEP].min() for a, b in pairwise(held))  # type: ignore[operator]
    if apart or len(held) < 2:  # noqa: PLR2004 -- one file is apart from itself
        return by_step(pl.concat(held or files[:1]))
    found = by_step(held[0])
    for file in held[1:]:
        found = combined(found, [file])
    return found


def every_row(
    expected: Expected, files: Sequence[pl.DataFrame], live: Sequence[pl.DataFrame]
) -> pl.DataFrame:
    """Put the files and the live rows of a run together: every row once, in step order.

    Rows of one step that come from several places are taken for the same, unless so few are left then that
    they must be different ones.
    """
    # Whether `history` still gives exported rows depends on the server; self-managed ones drop them after a week:
    # https://github.com/wandb/server/issues/160
    exported, known = united(files), expected.countable
    if known and sum(frame.height for frame in live) >= known:
        alone = by_step(pl.concat(live, how="diagonal"))
        if exported.join(alone, on=STEP, how="anti").is_empty():
            return alone
    whole = combined(exported, live)
    if known is not None and whole.height < known:
        together = [*files, *live]
        if sum(frame.height for frame in together) == known:
            return by_step(pl.concat(together, how="diagonal"))
    return whole


def combined(exported: pl.DataFrame, live: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put exported and live rows together: every row once, in step order; of rows in both the exported one.

    A step of which more live rows came is taken from these alone: servers give exported rows among them, and
    which of the rows of a step those are cannot be told.

    Parameters
    ----------
    exported
        Rows in the order of their steps.
    live
        Rows in any order.
    """
    if not sum(frame.height for frame in live):
        return exported
    fresh = by_step(pl.concat(live, how="diagonal"))
    if exported.height:
        there = exported.group_by(STEP).len("\0there")
        more = fresh.group_by(STEP).len("\0fresh").join(there, on=STEP, how="left")
        more = more.filter(pl.col("\0there").is_null() | (pl.col("\0fresh") > pl.col("\0there")))
        fresh = fresh.join(more, on=STEP, how="semi", maintain_order="left")
        exported = exported.join(more, on=STEP, how="anti", maintain_order="left")
    return by_step(pl.concat([exported, fresh], how="diagonal"))


def shortfall(
    expected: Expected, steps: pl.Series, known: Collection[int] = frozenset()
) -> str | None:
    """Say what is missing of one run, by the steps that came; None if nothing is, or if it cannot be told.

    A run that logs on may have more rows than were known, and never fewer. Steps that are `known` have rows.
    """
    lacking = set(known).difference(steps.to_list()) if known and expected.ended else set()
    if lacking:
        return f"rows of {len(lacking)} steps did not come, the first of step {min(lacking)}"
    count = expected.countable
    if count is not None:
        # Rows that are counted and there weigh more than where the last one is said to be.
        return f"{count} rows expected, {len(steps)} came" if len(steps) < count else None
    last = expected.last_step
    within = (
        last is not None
        and last >= (expected.min_step or 0)
        and (expected.max_step is None or last < expected.max_step)
    )
    most = steps.max()
    came = most if isinstance(most, int) else None
    if last is not None and within and (came is None or came < last):
        return f"rows up to step {last} expected, the last that came is {came}"
    return None


# ---------------------------------------------------------------- of a task


def expected_of(
    task: HistoryTask,
    run: RunRead,
    *,
    rows: int = ROWS_PER_WINDOW,
    samples: int = PROFILE_STEPS,
) -> Expected:
    """Say what is expected of one run, if a request may give so many rows, and be asked for so many."""
    return Expected(
        line_count=run.known,
        last_step=run.last_step,
        ended=run.ended,
        min_step=task.min_step,
        max_step=task.max_step,
        rows_per_window=max(min(rows, ROWS_PER_WINDOW), 1),
        samples=samples,
    )


def end_wanted(task: HistoryTask, run: RunRead, export: Export) -> int:
    """Choose how much to read at first of the end of each file of a run."""
    live = len(export.live_steps or ())
    rows = None if run.known is None else max(run.known - live, 0) // max(len(export.urls), 1)
    wanted = len(task.columns())
    width = max(run.width, wanted)
    # Of a window it may be that few row groups are needed.
    bounded = bool(task.min_step) or task.max_step is not None
    return end_bytes(rows, width, most=is_most(wanted, width) and not bounded)


def rows_wanted(task: HistoryTask, frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows that hold the axis and what makes a row."""
    # Files and `history` have whatever was logged, so that the condition which a spec puts to rows is put here.
    axes = [axis for axis in task.schema.lead if axis != STEP]
    frame = frame.drop_nulls(axes) if axes else frame
    if not task.row_keys:
        return frame
    held = pl.col(list(task.row_keys)).is_not_null()
    return frame.filter(pl.all_horizontal(held) if task.match_all else pl.any_horizontal(held))
