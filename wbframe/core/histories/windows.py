"""Windows of steps that together give every row of a run: cut where rows are, checked for down-sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rows that a window asks for at the most. A server that keeps every second row of too many gives half of
# what was asked; so an answer of more than half is not trusted, and windows are cut for less than that,
# since they are cut where a sample says that rows are.
SAMPLES_PER_WINDOW = 4_000
_TRUSTED_ROWS = SAMPLES_PER_WINDOW // 2
ROWS_PER_WINDOW = 1_600
# Rows of files that a window of live rows may read again, rather than end before them.
_ROWS_BETWEEN = 100


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open window of steps, and about how many rows it holds."""

    min_step: int
    max_step: int
    rows: int = field(default=ROWS_PER_WINDOW, compare=False, repr=False)

    def is_whole(self, rows: int) -> bool:
        """Tell whether an answer of so many rows cannot have been thinned out."""
        return rows <= _TRUSTED_ROWS

    def halves(self, steps: Sequence[int]) -> tuple[Window, ...]:
        """Cut the window where half of the rows that came lie on either side.

        Examples
        --------
        >>> Window(0, 100).halves([0, 1, 2, 3])
        (Window(min_step=0, max_step=2), Window(min_step=2, max_step=100))
        """
        inside = sorted(step for step in steps if self.min_step < step < self.max_step)
        middle = inside[len(inside) // 2] if inside else (self.min_step + self.max_step) // 2
        if not self.min_step < middle < self.max_step:
            return (self,)
        rows = max(self.rows // 2, 1)
        return Window(self.min_step, middle, rows), Window(middle, self.max_step, rows)

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
    rows_of = [int(min(size, len(distinct) - i * size) * weight) for i in range(len(cuts))]
    return [Window(a, b, held) for (a, b), held in zip(pairwise(bounds), rows_of, strict=True)]


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
    for i in range(1, len(steps)):
        between = below[i] - below[i - 1]
        more = rows + between + 1
        if steps[i] > steps[i - 1] and (between > _ROWS_BETWEEN or more > most):
            found.append(Window(steps[first], steps[i - 1] + 1, rows))
            first, more = i, 1
        rows = more
    found.append(Window(steps[first], steps[-1] + 1, rows))
    return found
