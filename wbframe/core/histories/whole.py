"""Whole histories: which rows the exports lack, how both are put together, and whether that is all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.hints import widened
from wbframe.core.histories.rows import by_step
from wbframe.core.histories.windows import (
    ROWS_PER_WINDOW,
    SAMPLES_PER_WINDOW,
    Window,
    windows_among,
    windows_over,
)
from wbframe.core.model import STEP
from wbframe.core.protocol.request import Request, by_run
from wbframe.core.schema.types import Index, merge_index

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence

    from wbframe.core.histories.tasks import HistoryTask, RunRead
    from wbframe.core.model import RunPath
    from wbframe.core.protocol.exports import Export

# Steps that are asked for to see where rows are; what servers give at the most.
PROFILE_STEPS = 10_000
# A step that none is above, which every JSON number holds.
_BEHIND_ALL = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Asks which steps a run has, from one on."""

    min_step: int | None = None
    max_step: int | None = None


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
    """

    line_count: int | None
    last_step: int | None
    ended: bool
    min_step: int | None = None
    max_step: int | None = None
    rows_per_window: int = ROWS_PER_WINDOW

    @property
    def countable(self) -> int | None:
        """Rows that must come at the least; None where it cannot be told, as of a window."""
        return None if self.min_step or self.max_step is not None else self.line_count

    def is_met(self, rows: int) -> bool:
        """Tell whether so many rows are all that the server has spoken of."""
        return self.countable is not None and rows >= self.countable

    def cut(self, window: Window) -> Window | None:
        """Give the part of a window that is expected."""
        low = max(window.min_step, self.min_step or 0)
        high = window.max_step if self.max_step is None else min(window.max_step, self.max_step)
        return Window(low, high, window.rows) if low < high else None


Ask = Profile | tuple[Window, ...]
Answer = list[int] | list[pl.DataFrame]


@dataclass(slots=True)
class Steps:
    """Steps of one run of which the server has told that they have rows, once it was asked."""

    known: set[int] = field(default_factory=set)
    asked: bool = False

    def of(self, ask: Profile) -> Generator[Ask, Answer, list[int]]:
        """Ask which steps there are."""
        answer: list[int] = yield ask  # type: ignore[assignment]
        low, high = ask.min_step or 0, ask.max_step
        found = [step for step in answer if step >= low and (high is None or step < high)]
        self.known.update(found)
        self.asked = True
        return found


def live_rows(
    expected: Expected, export: Export, exported: pl.Series, steps: Steps
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Decide what to ask of the live rows of one run: yields what to ask, is sent what came, returns the rows.

    Rows of a window cannot be counted, so that their steps are asked for, and those that did not come once more.

    Parameters
    ----------
    expected
        What is expected.
    export
        What the server says of exports.
    exported
        The steps of exported rows, as far as they are wanted; sorted.
    steps
        Takes the steps that the server has told of.
    """
    frames = yield from _live_rows(expected, export, exported, steps)
    if expected.countable is not None or not (expected.min_step or expected.max_step is not None):
        return frames
    if not steps.asked:
        yield from steps.of(Profile(min_step=expected.min_step, max_step=expected.max_step))
    there = {*exported.to_list(), *(step for frame in frames for step in frame[STEP].to_list())}
    if missing := sorted(steps.known - there):
        windows = windows_among(missing, exported, most=expected.rows_per_window)
        more = yield from _read(expected, windows)
        frames = [*frames, *(each.filter(pl.col(STEP).is_in(missing)) for each in more)]
    return frames


def _live_rows(
    expected: Expected, export: Export, exported: pl.Series, steps: Steps
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Read what is not exported, as far as counts and the server's list of live rows tell."""
    most = expected.rows_per_window
    frames: list[pl.DataFrame] = []
    if export.live_steps and export.urls:
        frames += yield from _read(expected, windows_among(export.live_steps, exported, most=most))
    elif not export.urls:
        # A run that is under way, or whose export is hours off; wandb 0.27.1 found no row of it:
        # https://github.com/wandb/wandb/issues/12067, https://github.com/wandb/wandb/issues/12511
        return (yield from _profiled(expected, None, expected.countable, steps))
    elif export.live_steps is None and expected.countable is None:
        # The server left out `liveData`: https://github.com/wandb/wandb/pull/12073
        return (yield from _unexported(expected, exported, steps))
    elif not (expected.ended and expected.is_met(len(exported))):
        last = exported.max()
        behind = last + 1 if isinstance(last, int) else None
        known = expected.countable
        missing = None if known is None else max(known - len(exported), 0)
        frames += yield from _profiled(expected, behind, missing, steps)
    there = combined(exported.to_frame(), [frame.select(STEP) for frame in frames])[STEP]
    if shortfall(expected, there):
        # Live rows may lie below exported ones, and not every server says which they are.
        return (yield from _profiled(expected, None, expected.countable, steps))
    return frames


def _unexported(
    expected: Expected, exported: pl.Series, steps: Steps
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Read what is not exported of a window, where neither a count nor the server tells what that is."""
    answer = yield from steps.of(Profile(min_step=expected.min_step, max_step=expected.max_step))
    if len(answer) * 2 > PROFILE_STEPS:  # a sample, so that any step may be missing
        return (yield from _profiled(expected, None, None, steps))
    missing = sorted((Counter(answer) - Counter(exported.to_list())).elements())
    windows = windows_among(missing, exported, most=expected.rows_per_window)
    return (yield from _read(expected, windows))


def _profiled(
    expected: Expected, min_step: int | None, rows: int | None, told: Steps
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Find where rows are, then read them."""
    lows = [step for step in (min_step, expected.min_step) if step is not None]
    low = max(lows, default=None)
    steps = sorted((yield from told.of(Profile(min_step=low, max_step=expected.max_step))))
    if not steps:
        return []
    end = None if expected.last_step is None else expected.last_step + 1
    is_sample = len(steps) * 2 > PROFILE_STEPS if rows is None else len(steps) < rows
    start, known = None, None
    if is_sample:  # which need not have the first row, nor the last
        start, end = low or 0, end or expected.max_step or _BEHIND_ALL
        known = rows or steps[-1] - steps[0] + 1
    windows = windows_over(steps, rows=known, start=start, end=end, most=expected.rows_per_window)
    return (yield from _read(expected, windows))


def _read(
    expected: Expected, windows: Sequence[Window]
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Read windows, and cut those in two whose answers may have been thinned out."""
    found: list[pl.DataFrame] = []
    waiting = tuple(cut for each in windows if (cut := expected.cut(each)) is not None)
    while waiting:
        frames: list[pl.DataFrame] = yield waiting  # type: ignore[assignment]
        again: list[Window] = []
        for window, frame in zip(waiting, frames, strict=True):
            if window.is_whole(frame.height) or window.is_single:
                found.append(frame)
            else:
                again.extend(window.halves(frame[STEP].to_list()))
        waiting = tuple(again)
    return found


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
        if sum(frame.height for frame in together) <= known:
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


# ---------------------------------------------------------------- requests


def windows_request(path: RunPath, asked: Sequence[tuple[str, Window]]) -> Request:
    """Ask for the rows of several windows of several runs, each a step wider on both sides."""
    variables: dict[str, tuple[str, Any]] = {"samples": ("Int", SAMPLES_PER_WINDOW)}
    for i, (_, window) in enumerate(asked):
        low, high = widened(window.min_step, window.max_step)
        variables[f"a{i}"], variables[f"b{i}"] = ("Int64", low), ("Int64", high)
    return by_run(
        "Windows",
        path,
        [run_id for run_id, _ in asked],
        lambda i: f"history(minStep: $a{i}, maxStep: $b{i}, samples: $samples)",
        asked="the live rows of ",
        variables=variables,
    )


# ---------------------------------------------------------------- of a task


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The rows of a window, and what there is to say of them; see `TaskRows`."""

    frame: pl.DataFrame
    imprecise: frozenset[str]
    new_keys: Index

    @classmethod
    def of(cls, parts: Sequence[WindowRows]) -> WindowRows:
        """Put the parts of one window together."""
        new: Index = {}
        for part in parts:
            merge_index(new, part.new_keys)
        return cls(
            pl.concat([part.frame for part in parts]),
            frozenset().union(*(part.imprecise for part in parts)),
            new,
        )


# A window's number in a request, the place of its run in the task, and the window.
Numbered = tuple[int, int, Window]


def halved(part: Sequence[Numbered]) -> list[Sequence[Numbered]]:
    """Cut a request for windows in two; nothing if it is for a single step."""
    half = len(part) // 2
    if half:
        return [part[:half], part[half:]]
    [(number, place, window)] = part
    halves = window.halves(())
    return [[(number, place, each)] for each in halves] if len(halves) > 1 else []


def expected_of(task: HistoryTask, run: RunRead, rows: int = ROWS_PER_WINDOW) -> Expected:
    """Say what is expected of one run, if a request may give so many rows."""
    return Expected(
        line_count=run.known,
        last_step=run.last_step,
        ended=run.ended,
        min_step=task.min_step,
        max_step=task.max_step,
        rows_per_window=max(min(rows, ROWS_PER_WINDOW), 1),
    )


def rows_wanted(task: HistoryTask, frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows that hold the axis and what makes a row."""
    # Files and `history` have whatever was logged, so that the condition which a spec puts to rows is put here.
    axes = [axis for axis in task.schema.lead if axis != STEP]
    frame = frame.drop_nulls(axes) if axes else frame
    if not task.row_keys:
        return frame
    held = pl.col(list(task.row_keys)).is_not_null()
    return frame.filter(pl.all_horizontal(held) if task.match_all else pl.any_horizontal(held))
