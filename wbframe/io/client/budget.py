"""How much one request asks for: halved when the server finds it too big, grown again when it is not."""

from __future__ import annotations

import math
import threading

from wbframe.core.histories.tasks import POINTS_PER_REQUEST

_SMALLEST = 1_000
_GROWTH = 1.25
# Pages above this are as good as unbounded.
_PAGE = 1_000


class PointBudget:
    """Cells that one request may ask for; shared by all threads of a client.

    Examples
    --------
    >>> budget = PointBudget()
    >>> whole = budget.points
    >>> budget.shrink()
    >>> budget.points * 2 == whole
    True
    """

    def __init__(self, points: int = POINTS_PER_REQUEST) -> None:
        self._most = points
        self._points = points
        self._lock = threading.Lock()

    @property
    def points(self) -> int:
        """Cells that the next request may ask for."""
        return self._points

    def shrink(self) -> None:
        """Ask for half as much."""
        with self._lock:
            self._points = max(self._points // 2, _SMALLEST)

    def grow(self) -> None:
        """Ask for a little more, up to where it began."""
        with self._lock:
            self._points = min(int(self._points * _GROWTH), self._most)


class PageBudget:
    """Things on one page at the most, whatever they are; shared by all threads of a client.

    Examples
    --------
    >>> pages = PageBudget()
    >>> pages.shrink(200)
    >>> pages.at_most(1000), pages.at_most(50)
    (100, 50)
    """

    def __init__(self) -> None:
        self._most: float = math.inf
        self._lock = threading.Lock()

    def at_most(self, wanted: int) -> int:
        """Give the size of the next page, for one who wants so many."""
        return int(min(wanted, self._most))

    def shrink(self, size: int) -> None:
        """Learn that a page of this size was too big."""
        with self._lock:
            self._most = max(min(self._most, size // 2), 1)

    def grow(self) -> None:
        """Learn that a page was not too big."""
        with self._lock:
            self._most = math.ceil(self._most * _GROWTH) if self._most < _PAGE else math.inf
