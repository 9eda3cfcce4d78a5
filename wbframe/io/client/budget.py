"""How much one request asks for: halved when the server finds it too big, grown again when it is not."""

from __future__ import annotations

import math
import threading

__all__ = ["Budget"]

_GROWTH = 1.25


class Budget:
    """Things that one request may ask for, whatever they are; shared by all threads of a client.

    Parameters
    ----------
    most
        Where it begins, and where it ends to grow; infinite for no bound.
    least
        Where it ends to shrink.

    Examples
    --------
    >>> rows = Budget(200_000, least=1_000)
    >>> rows.shrink()
    >>> rows.now
    100000
    >>> pages = Budget(math.inf, least=1)
    >>> pages.shrink(200)
    >>> pages.at_most(1000), pages.at_most(50)
    (100, 50)
    """

    def __init__(self, most: float, *, least: int) -> None:
        self._most = self._now = most
        self._least = least
        self._lock = threading.Lock()

    @property
    def now(self) -> int:
        """What the next request may ask for."""
        return self.at_most(self._most)

    def at_most(self, wanted: float) -> int:
        """Give what the next request may ask for, for one who wants so much."""
        return int(min(wanted, self._now))

    def shrink(self, size: float = math.inf) -> None:
        """Learn that so much (else what was allowed) was too much."""
        with self._lock:
            self._now = max(min(self._now, size) // 2, self._least)

    def grow(self) -> None:
        """Learn that it was not too much."""
        with self._lock:
            self._now = min(
                math.ceil(self._now * _GROWTH) if self._now < math.inf else self._now, self._most
            )
