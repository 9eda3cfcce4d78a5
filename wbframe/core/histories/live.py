"""Live rows of whole histories: which steps to ask for, and whether what came can be all of them.

No list of rows is taken for whole because it came. Servers give so many rows at the most, whatever is asked for:
some thin a longer list out, some end it. So a list is believed where it holds every step there can be, or agrees
with what another list said, or is well below the longest that came; any other is read again in parts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.batches import halves_of
from wbframe.core.hints import widened
from wbframe.core.histories.whole import combined, shortfall
from wbframe.core.histories.windows import PROFILE_STEPS, Window, windows_among, windows_over
from wbframe.core.model import STEP
from wbframe.core.protocol.request import Request, by_run
from wbframe.core.protocol.rows import RowsOf, fewer_samples, rows_request, spec
from wbframe.core.schema.types import Index, merge_index

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from wbframe.core.histories.whole import Expected
    from wbframe.core.model import RunPath
    from wbframe.core.protocol.exports import Export

# A step that none is above, which every JSON number holds.
_BEHIND_ALL = 2**53
# Steps of a window in which rows are looked for between those that were told of.
_FEW = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Asks which steps a run has, from one on: so many of them at the most."""

    min_step: int | None = None
    max_step: int | None = None
    samples: int = PROFILE_STEPS


@dataclass(frozen=True, slots=True)
class Told:
    """The steps that a server told of, sorted, and how many it was asked for."""

    steps: list[int]
    samples: int

    @property
    def is_sample(self) -> bool:
        """Whether it is so long that it must be taken for thinned out."""
        return len(self.steps) * 2 > self.samples


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The rows of a window, how many came of those asked for, and what there is to say of them."""

    frame: pl.DataFrame
    came: int
    samples: int
    imprecise: frozenset[str] = frozenset()
    new_keys: Index = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Sequence[WindowRows]) -> WindowRows:
        """Put the parts of one window together."""
        new: Index = {}
        for part in parts:
            merge_index(new, part.new_keys)
        return cls(
            pl.concat([part.frame for part in parts]),
            max(part.came for part in parts),
            min(part.samples for part in parts),
            frozenset().union(*(part.imprecise for part in parts)),
            new,
        )


Ask = Profile | tuple[Window, ...]
Answer = Told | list[WindowRows]


@dataclass(slots=True)
class Steps:
    """Steps of one run of which the server has told that they have rows, and how long the lists of rows were.

    `thinned` says that there were others between them; `stops` counts how long the lists were that proved to be
    cut.
    """

    known: set[int] = field(default_factory=set)
    asked: bool = False
    thinned: bool = False
    longest: int = 0
    stops: Counter[int] = field(default_factory=Counter)

    def of(self, ask: Profile) -> Generator[Ask, Answer, Told]:
        """Ask which steps there are."""
        answer: Told = yield ask  # type: ignore[assignment]
        low, high = ask.min_step or 0, ask.max_step
        found = [step for step in answer.steps if step >= low and (high is None or step < high)]
        self.known.update(found)
        self.asked = True
        return Told(sorted(found), answer.samples)

    @property
    def cap(self) -> int | None:
        """The number of rows at which lists were cut more than once, and which none exceeds."""
        most = max(self.stops, default=0)
        return most if self.stops[most] > 1 and most >= self.longest else None

    def compare(self, windows: Sequence[Window], answers: Sequence[WindowRows]) -> None:
        """Learn how long lists are, and whether there are steps between those that were told of."""
        self.longest = max(self.longest, *(rows.came for rows in answers))
        # Behind the last that was told of there may always be more.
        between = zip(windows[:-1], answers[:-1], strict=True)
        self.thinned |= any(rows.frame.height > window.rows for window, rows in between)

    def is_whole(self, window: Window, rows: WindowRows) -> bool:
        """Tell whether the rows of a window are believed to be all of it."""
        return window.is_whole(
            rows.frame[STEP],
            rows.came,
            rows.samples,
            longest=self.longest,
            as_told=not self.thinned,
        )


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
    if expected.is_bounded and not steps.asked:
        told = yield from steps.of(_profile(expected, expected.min_step))
        if set(_there(exported, frames)).difference(told.steps):
            # It lacks steps that are there, so that it may lack any.
            return (yield from _profiled(expected, None, None, steps))
    there = _there(exported, frames)
    if missing := sorted(steps.known.difference(there)):
        most = max(min(expected.rows_per_window, steps.longest // 2), 1)
        windows = windows_among(missing, pl.Series(sorted(there), dtype=pl.Int64), most=most)
        more = yield from _read(expected, _open_ended(expected, windows), steps)
        new = pl.col(STEP).is_in(there).not_()
        frames = [*frames, *(each.filter(new) for each in more)]
    return frames


def _open_ended(expected: Expected, windows: list[Window]) -> list[Window]:
    """Have the last window reach as far as rows are expected: what told of steps may have been ended."""
    return [
        *windows[:-1],
        *(replace(each, max_step=expected.max_step or _BEHIND_ALL) for each in windows[-1:]),
    ]


def _there(exported: pl.Series, frames: Sequence[pl.DataFrame]) -> list[int]:
    """Give the steps of which rows came."""
    return [*exported.to_list(), *(step for frame in frames for step in frame[STEP].to_list())]


def _profile(expected: Expected, low: int | None) -> Profile:
    """Ask for the steps from one on, as many as the server lets itself be asked for."""
    return Profile(
        min_step=low, max_step=expected.max_step, samples=min(PROFILE_STEPS, expected.samples)
    )


def _live_rows(
    expected: Expected, export: Export, exported: pl.Series, steps: Steps
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Read what is not exported, as far as counts and the server's list of live rows tell."""
    most = expected.rows_per_window
    frames: list[pl.DataFrame] = []
    if export.live_steps and export.urls:
        windows = windows_among(export.live_steps, exported, most=most)
        frames += yield from _read(expected, windows, steps)
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
    told = yield from steps.of(_profile(expected, expected.min_step))
    if told.is_sample or set(exported.to_list()).difference(told.steps):  # any step may be missing
        return (yield from _profiled(expected, None, None, steps))
    missing = sorted((Counter(told.steps) - Counter(exported.to_list())).elements())
    windows = [
        window
        for some in (missing[:_FEW], missing[_FEW:])
        for window in windows_among(some, exported, most=expected.rows_per_window)
    ]
    frames = yield from _read(expected, _open_ended(expected, windows), steps)
    return (yield from _profiled(expected, None, None, steps)) if steps.thinned else frames


def _profiled(
    expected: Expected, min_step: int | None, rows: int | None, steps: Steps
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Find where rows are, then read them: in windows shorter than that list, but where a count agrees."""
    lows = [step for step in (min_step, expected.min_step) if step is not None]
    low = max(lows, default=None)
    told = yield from steps.of(_profile(expected, low))
    if not told.steps:
        return []
    expected = replace(
        expected,
        samples=told.samples,
        rows_per_window=max(min(expected.rows_per_window, told.samples * 2 // 5), 1),
    )
    if rows is not None and len(told.steps) >= rows:
        end = None if expected.last_step is None else expected.last_step + 1
        windows = windows_over(told.steps, rows=rows, end=end, most=expected.rows_per_window)
    else:
        windows = _doubtful_windows(expected, told, low or 0, rows)
    return (yield from _read(expected, windows, steps))


def _doubtful_windows(expected: Expected, told: Told, low: int, rows: int | None) -> list[Window]:
    """Cut windows by steps of which any may be lacking, the first or the last too: shorter than the list of them.

    The first is so short that it would show a list that was thinned out.
    """
    end = expected.max_step or _BEHIND_ALL
    most = max(min(expected.rows_per_window, len(told.steps) * 2 // 5), 1)
    if rows is None and told.is_sample:
        span = told.steps[-1] - told.steps[0] + 1
        windows = windows_over(told.steps, rows=span, start=low, end=end, most=most)
        return [replace(each, least=0) for each in windows]
    if rows is not None or len(told.steps) <= 2 * _FEW:
        return windows_over(told.steps, rows=rows, start=low, end=end, most=most)
    few, others = told.steps[:_FEW], told.steps[_FEW:]
    return [
        *windows_over(few, start=low, end=others[0], most=most),
        *windows_over(others, end=end, most=most),
    ]


def _read(
    expected: Expected, windows: Sequence[Window], steps: Steps
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Read windows, and those again in parts whose answers may lack rows."""
    found: list[pl.DataFrame] = []
    waiting = tuple(cut for each in windows if (cut := expected.cut(each)) is not None)
    while waiting:
        answers: list[WindowRows] = yield waiting  # type: ignore[assignment]
        again: list[Window] = []
        steps.compare(waiting, answers)
        for window, rows in zip(waiting, answers, strict=True):
            if steps.is_whole(window, rows):
                found.append(rows.frame)
            else:
                steps.stops[rows.came] += 1
                again.extend(window.parts(rows.frame[STEP].to_list(), rows.samples))
        waiting = tuple(again)
    return found


# ---------------------------------------------------------------- requests

# A window's number in a request, the place of its run in the task, and the window.
Numbered = tuple[int, int, Window]
# The place of a run in the task, its name, and the steps to ask for.
Asked = tuple[int, str, Profile]


def windows_request(path: RunPath, asked: Sequence[tuple[str, Window]]) -> Request:
    """Ask for the rows of several windows of several runs, each a step wider on both sides."""
    samples = max(window.samples for _, window in asked)
    variables: dict[str, tuple[str, Any]] = {"samples": ("Int", samples)}
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


def fewer_rows(part: Sequence[Numbered]) -> list[Sequence[Numbered]]:
    """Cut a request for windows in two; of one window, ask for fewer rows; nothing if that is too few."""
    if len(part) > 1:
        return halves_of(part)
    [(number, place, window)] = part
    samples = None if window.is_single else fewer_samples(window.samples)
    return [] if samples is None else [[(number, place, replace(window, samples=samples))]]


def profiles_request(path: RunPath, asked: Sequence[Asked]) -> Request:
    """Ask for the steps of several runs."""
    rows = profiled_rows(asked)
    return rows_request(path, rows, samples=PROFILE_STEPS)


def profiled_rows(asked: Sequence[Asked]) -> list[RowsOf]:
    """Give what is asked of each run to tell its steps."""
    return [
        RowsOf(
            run_id=run_id,
            specs=(spec((STEP,), ask.samples, *widened(ask.min_step, ask.max_step)),),
        )
        for _, run_id, ask in asked
    ]


def fewer_steps(part: Sequence[Asked]) -> list[Sequence[Asked]]:
    """Cut a request for steps in two; of one run, ask for fewer steps; nothing if that is too few."""
    if len(part) > 1:
        return halves_of(part)
    [(place, run_id, ask)] = part
    samples = fewer_samples(ask.samples)
    return [] if samples is None else [[(place, run_id, replace(ask, samples=samples))]]
