"""Windows of steps that together give every row of a run: cut where rows are, checked for down-sampling."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rows that a window asks for at the most. A server that keeps every second row of too many gives half of
# what was asked; so an answer of more than half is not trusted, and windows are cut for less than that,
# since they are cut where a sample says that rows are.
SAMPLES_PER_WINDOW = 4_000
ROWS_PER_WINDOW = 1_600
# Steps that are asked for to see where rows are; what servers give at the most.
PROFILE_STEPS = 10_000
# Of the rows that an even sample stands for in a window, so many come at the least.
_LEAST_OF_SAMPLE = 0.75
# A list that is thinned out has at the least half of the rows that the longest has.
_MOST_OF_LONGEST = 0.5
# Rows of files that a window of live rows may read again, rather than end before them.
_ROWS_BETWEEN = 100


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open window of steps: about how many rows it holds, how many must come, how many are asked for.

    Rows of exported files lie in it too, which servers give or not.
    """

    min_step: int
    max_step: int
    rows: int = field(default=ROWS_PER_WINDOW, compare=False, repr=False)
    least: int = field(default=0, compare=False, repr=False)
    samples: int = field(default=SAMPLES_PER_WINDOW, compare=False, repr=False)

    def is_whole(
        self, steps: pl.Series, came: int, samples: int, *, longest: int, as_told: bool = True
    ) -> bool:
        """Tell whether a list of rows can be believed to be all of the window.

        Parameters
        ----------
        steps
            The steps of the rows in it.
        came, samples
            Rows that came, also of steps beside it, and how many were asked for.
        longest
            The longest list that the server gave of the run: it may have been cut there, as this one may be.
        as_told
            Whether it may be believed since as many rows came as the window was told to hold.

        Examples
        --------
        >>> every_second = pl.Series(range(0, 1000, 2))
        >>> window = Window(0, 1000, rows=500)
        >>> window.is_whole(every_second, 500, 4000, longest=500)
        True
        >>> window.is_whole(every_second, 500, 800, longest=500)  # of 800 that were asked for
        False
        >>> Window(0, 1000, rows=300).is_whole(every_second, 500, 4000, longest=500)
        False
        """
        if self.is_single or not came or steps.n_unique() == self.max_step - self.min_step:
            # Of what did not come at all, less would not come either.
            return True
        short = came <= _MOST_OF_LONGEST * longest
        told = as_told and self.least <= len(steps) <= self.rows
        return came * 2 <= samples and (told or (len(steps) >= self.least and short))

    def parts(self, steps: Sequence[int], samples: int) -> list[Window]:
        """Cut the window where rows came, for fewer of them than came, or in the middle where none did."""
        inside = [step for step in steps if self.min_step < step < self.max_step]
        if not inside:
            inside = [(self.min_step + self.max_step) // 2]
        most = max(len(steps) // 2, 1)
        rows = max(self.rows, len(steps), 2 * most)
        cut = windows_over([self.min_step, *inside], rows=rows, end=self.max_step, most=most)
        return [replace(each, least=0, samples=samples) for each in cut]

    @property
    def is_single(self) -> bool:
        """Whether it holds one step only, and cannot be cut."""
        return self.max_step - self.min_step <= 1


def windows_over(
    steps: Sequence[int],
    *,
    rows: int | None = None,
    start: int | None = None,
    end: int | None = None,
    most: int = ROWS_PER_WINDOW,
) -> list[Window]:
    """Cut windows that touch, so that no row between known steps is missed.

    Parameters
    ----------
    steps
        Steps that are known, sorted: all of them, or an even sample.
    rows
        Rows that they stand for; None if they are all.
    start, end
        The first step that is wanted, and the one behind the last, where rows may lie before the first known
        step, or behind the last.
    most
        Rows of a window.

    Returns
    -------
    list of Window
        In order, none overlapping, none empty.

    Examples
    --------
    >>> windows_over([5000, 5001, 9000])
    [Window(min_step=5000, max_step=9001)]
    """
    # The server's windows are of steps, most of which may have no row, so that cutting them evenly means pages
    # without rows: https://github.com/wandb/wandb/issues/1680, https://github.com/wandb/wandb/issues/5014
    distinct = sorted(set(steps))
    if not distinct:
        return []
    weight = max(rows or 0, len(steps)) / len(distinct)
    size = max(int(most / weight), 1)
    cuts = distinct[::size]
    first = cuts[0] if start is None else min(start, cuts[0])
    last = max(distinct[-1] + 1, end or 0)
    bounds = [first, *cuts[1:], last]
    counts = [min(size, len(distinct) - i * size) for i in range(len(cuts))]
    sure = 1.0 if weight == 1 else _LEAST_OF_SAMPLE
    return [
        Window(a, b, int(count * weight), least=int(count * weight * sure))
        for (a, b), count in zip(pairwise(bounds), counts, strict=True)
    ]


def windows_among(
    steps: Sequence[int], others: pl.Series, *, most: int = ROWS_PER_WINDOW
) -> list[Window]:
    """Cut windows over all steps of live rows, leaving out long stretches in which only other rows lie.

    Parameters
    ----------
    steps
        The step of each live row, sorted.
    others
        The steps of rows that are not needed, and that a server may give all the same; sorted.
    most
        Rows of a window.

    Returns
    -------
    list of Window
        In order, none overlapping, none empty.

    Examples
    --------
    >>> windows_among([7, 9, 700], pl.Series([8, *range(10, 600)]))
    [Window(min_step=7, max_step=10), Window(min_step=700, max_step=701)]
    """
    if not steps:
        return []
    below = others.search_sorted(pl.Series(steps, dtype=pl.Int64), side="left").to_list()
    found: list[Window] = []
    first, rows = 0, 1

    def window(end: int) -> Window:
        return Window(steps[first], steps[end - 1] + 1, rows, least=end - first)

    for i in range(1, len(steps)):
        between = below[i] - below[i - 1]
        more = rows + between + 1
        if steps[i] > steps[i - 1] and (between > _ROWS_BETWEEN or more > most):
            found.append(window(i))
            first, more = i, 1
        rows = more
    found.append(window(len(steps)))
    return found
