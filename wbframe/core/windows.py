"""Windows of steps that together give every row of a run: cut where rows are, checked for down-sampling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Rows that a window asks for at the most. A server thins out an answer only if the window holds more, and
# some give a little less than they were asked for; so windows are cut for half of it, and an answer of more
# than that is not trusted.
SAMPLES_PER_WINDOW = 4_000
ROWS_PER_WINDOW = SAMPLES_PER_WINDOW // 2


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open window of steps, and about how many rows it holds."""

    min_step: int
    max_step: int
    rows: int = field(default=ROWS_PER_WINDOW, compare=False, repr=False)

    def is_whole(self, rows: int) -> bool:
        """Tell whether an answer of so many rows cannot have been thinned out."""
        return rows <= ROWS_PER_WINDOW

    def halves(self, steps: Sequence[int]) -> tuple[Window, ...]:
        """Cut the window where half of the rows that came lie on either side.

        Examples
        --------
        >>> Window(0, 100).halves([0, 1, 2, 3])
        (Window(min_step=0, max_step=2), Window(min_step=2, max_step=100))
        """
        inside = sorted(step for step in steps if self.min_step < step < self.max_step)
        if not inside:
            return (self,)
        middle = inside[len(inside) // 2]
        return Window(self.min_step, middle), Window(middle, self.max_step)

    @property
    def is_single(self) -> bool:
        """Whether it holds one step only, and cannot be cut."""
        return self.max_step - self.min_step <= 1


def windows_over(
    steps: Sequence[int], *, rows: int | None = None, end: int | None = None
) -> list[Window]:
    """Cut windows that cover some steps.

    Parameters
    ----------
    steps
        Steps that are known, sorted: all of them, or an even sample.
    rows
        Rows that they stand for; None if they are all.
    end
        The step behind the last that is wanted, if rows may follow the last known one.

    Returns
    -------
    list of Window
        In order, none overlapping. Of an even sample, windows touch, so that no row is missed; of all
        steps, gaps between windows are left out.

    Examples
    --------
    >>> windows_over([5000, 5001, 9000])
    [Window(min_step=5000, max_step=9001)]
    """
    if not steps:
        return []
    distinct = sorted(set(steps))
    sampled = rows is not None and rows > len(steps)
    weight = rows / len(steps) if sampled and rows is not None else 1.0
    size = max(int(ROWS_PER_WINDOW / weight), 1)
    parts = [distinct[i : i + size] for i in range(0, len(distinct), size)]
    if not sampled and end is None:
        return [Window(part[0], part[-1] + 1, len(part)) for part in parts]
    starts = [part[0] for part in parts]
    last = max(distinct[-1] + 1, end or 0)
    ends = [*starts[1:], last]
    return [
        Window(a, b, int(len(part) * weight))
        for part, a, b in zip(parts, starts, ends, strict=True)
    ]
