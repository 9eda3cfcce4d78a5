"""How much one request asks for: halved when the server finds it too big, grown again when it is not."""

from __future__ import annotations

import threading

from wbframe.core.plan import POINTS_PER_REQUEST

_SMALLEST = 1_000
_GROWTH = 1.25


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
