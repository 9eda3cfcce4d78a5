"""Whole histories: which rows the exports lack, how both are put together, and whether that is all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.graphql import name_of, project_variables
from wbframe.core.model import Request
from wbframe.core.schema import STEP
from wbframe.core.windows import SAMPLES_PER_WINDOW, Window, windows_over

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from wbframe.core.exports import Export
    from wbframe.core.model import RunPath

# Steps that are asked for to see where rows are; what servers give at the most.
PROFILE_STEPS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Asks which steps a run has, from one on."""

    min_step: int | None = None
    max_step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of one run's rows.

    Attributes
    ----------
    line_count
        Rows that the server says it has, or None.
    last_step
        The last step that the server knows, or None.
    ended
        Whether no more are logged.
    min_step, max_step
        The window wanted, half-open.
    """

    line_count: int | None
    last_step: int | None
    ended: bool
    min_step: int | None = None
    max_step: int | None = None

    @property
    def bounded(self) -> bool:
        """Whether only a window is wanted, so that rows cannot be counted."""
        return self.min_step is not None or self.max_step is not None

    def cut(self, window: Window) -> Window | None:
        """Give the part of a window that is wanted."""
        low = max(window.min_step, self.min_step or 0)
        high = window.max_step if self.max_step is None else min(window.max_step, self.max_step)
        return Window(low, high, window.rows) if low < high else None


Ask = Profile | tuple[Window, ...]
Answer = list[int] | list[pl.DataFrame]


def live_rows(
    wanted: Wanted, export: Export, exported: pl.Series
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Decide what to ask of the live rows of one run: yields what to ask, is sent what came, returns the rows.

    Parameters
    ----------
    wanted
        What is wanted.
    export
        What the server says of exports.
    exported
        The steps of exported rows, as far as they are wanted.
    """
    frames: list[pl.DataFrame] = []
    if export.live_steps:
        frames += yield from _read(wanted, windows_over(export.live_steps))
    elif not export.urls:
        frames += yield from _profiled(wanted, None, wanted.line_count)
    elif not _is_all(wanted, len(exported)):
        last = exported.max()
        behind = last + 1 if isinstance(last, int) else None
        missing = None if wanted.line_count is None else max(wanted.line_count - len(exported), 0)
        frames += yield from _profiled(wanted, behind, missing)
    countable = wanted.ended and not wanted.bounded and wanted.line_count is not None
    if export.urls and countable and not _is_all(wanted, _rows(exported, frames)):
        # Live rows may lie below exported ones, and not every server says which they are.
        return (yield from _profiled(wanted, None, wanted.line_count))
    return frames


def _rows(exported: pl.Series, frames: Sequence[pl.DataFrame]) -> int:
    """Count the rows of both, those in both once."""
    return combined(exported.to_frame(), [frame.select(STEP) for frame in frames]).height


def _is_all(wanted: Wanted, rows: int) -> bool:
    """Tell whether so many exported rows are all there are."""
    return (
        wanted.ended
        and not wanted.bounded
        and wanted.line_count is not None
        and rows >= wanted.line_count
    )


def _profiled(
    wanted: Wanted, min_step: int | None, rows: int | None
) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Find where rows are, then read them."""
    lows = [step for step in (min_step, wanted.min_step) if step is not None]
    steps: list[int] = yield Profile(min_step=max(lows, default=None), max_step=wanted.max_step)  # type: ignore[assignment]
    steps = sorted(steps)
    end = None if wanted.last_step is None or wanted.ended else wanted.last_step + 1
    # An answer as long as it may be was thinned out, so windows must touch.
    thinned = len(steps) * 2 > PROFILE_STEPS
    return (
        yield from _read(
            wanted,
            windows_over(steps, rows=max(rows or 0, len(steps) + 1) if thinned else None, end=end),
        )
    )


def _read(wanted: Wanted, windows: Sequence[Window]) -> Generator[Ask, Answer, list[pl.DataFrame]]:
    """Read windows, and cut those in two whose answers may have been thinned out."""
    found: list[pl.DataFrame] = []
    waiting = tuple(cut for each in windows if (cut := wanted.cut(each)) is not None)
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


def combined(exported: pl.DataFrame, live: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put exported and live rows together: every row once, in step order; of rows in both the exported one.

    The first live row of a step is taken for the first exported one, and so on, so that steps that hold
    several rows keep them all.
    """
    exported = exported.sort(STEP, maintain_order=True)
    if not live:
        return exported
    fresh = pl.concat(live, how="diagonal").sort(STEP, maintain_order=True)
    if exported.height:
        there = exported.group_by(STEP).len("there")
        nth = pl.int_range(pl.len()).over(STEP)
        fresh = (
            fresh.with_columns(nth.alias("nth"))
            .join(there, on=STEP, how="left", maintain_order="left")
            .filter(pl.col("there").is_null() | (pl.col("nth") >= pl.col("there")))
            .drop("nth", "there")
        )
    return pl.concat([exported, fresh], how="diagonal").sort(STEP, maintain_order=True)


def shortfall(wanted: Wanted, rows: int, last_step: int | None) -> str | None:
    """Say what is missing of one run; None if nothing is, or if it cannot be told."""
    if wanted.bounded or not wanted.ended:
        return None
    if wanted.line_count is not None and rows < wanted.line_count:
        return f"{wanted.line_count} rows expected, {rows} came"
    if (
        wanted.last_step is not None
        and wanted.last_step >= 0
        and (last_step is None or last_step < wanted.last_step)
    ):
        return f"rows up to step {wanted.last_step} expected, the last that came is {last_step}"
    return None


# ---------------------------------------------------------------- requests


def windows_request(path: RunPath, asked: Sequence[tuple[str, Window]]) -> Request:
    """Ask for the rows of several windows of several runs."""
    declared, selections = [], []
    variables = project_variables(path)
    runs: dict[str, str] = {}
    for i, (run_id, window) in enumerate(asked):
        name = runs.setdefault(run_id, f"n{len(runs)}")
        declared += [f"$a{i}: Int64", f"$b{i}: Int64"]
        variables |= {name: run_id, f"a{i}": window.min_step, f"b{i}": window.max_step}
        selections.append(
            f"r{i}: run(name: ${name})"
            f" {{ history(minStep: $a{i}, maxStep: $b{i}, samples: $samples) }}"
        )
    declared += [f"${name}: String!" for name in runs.values()]
    variables["samples"] = SAMPLES_PER_WINDOW
    document = (
        f"query Windows($project: String!, $entity: String!, $samples: Int, {', '.join(declared)})"
        f" {{ project(name: $project, entityName: $entity) {{ {' '.join(selections)} }} }}"
    )
    what = f"run {asked[0][0]!r}" if len(runs) == 1 else f"{len(runs)} runs"
    return Request(
        document=document, variables=variables, asked=f"the live rows of {what} of {name_of(path)}"
    )
