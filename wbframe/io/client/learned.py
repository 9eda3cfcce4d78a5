"""What a client learns of its server while it reads: what it lacks, what it does right, how much it takes."""

from __future__ import annotations

import math
import threading

from wbframe.core.histories.tasks import POINTS_PER_REQUEST
from wbframe.core.histories.windows import PROFILE_STEPS, ROWS_PER_WINDOW

__all__ = ["Budget", "Learned"]

# What a request may ask for grows by this much, each time that it was not too much.
_GROWTH = 1.25
_FEWEST_POINTS = 1_000


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

    @property
    def limit(self) -> float:
        """What any request may ask for at the most; infinite for no bound."""
        return self._now

    def restore(self, size: float) -> None:
        """Learn that so much was not too much after all."""
        with self._lock:
            self._now = max(self._now, min(size, self._most))

    def hold(self, size: int) -> None:
        """Learn that more than so much is of no use."""
        with self._lock:
            self._now = self._most = max(min(self._now, size), self._least)

    def grow(self) -> None:
        """Learn that it was not too much."""
        with self._lock:
            self._now = min(
                math.ceil(self._now * _GROWTH) if self._now < math.inf else self._now, self._most
            )


class Learned:
    """What was learned of a server; of features and filters by all reads, of sizes by those of one process.

    Attributes
    ----------
    refused
        Features that the server lacks; each is tried once, or twice where it was there before.
    proven
        Features with which it has answered.
    trusted, exact
        Filters by which it was seen to keep the right runs, and no others.
    budget, pages
        Cells that one request may ask for, and things on a page.
    rows, samples
        Rows that a window should hold at the most, and rows that one list may be asked for.
    """

    def __init__(self) -> None:
        self.refused = self.proven = self._doubted = frozenset[str]()
        self.trusted = self.exact = frozenset[str]()
        self.learn_anew()

    def learn_anew(self) -> None:
        """Forget sizes, and locks that a forked process may hold."""
        self._learning = threading.Lock()
        self.budget = Budget(POINTS_PER_REQUEST, least=_FEWEST_POINTS)
        self.pages = Budget(math.inf, least=1)
        self.rows = Budget(ROWS_PER_WINDOW, least=1)
        self.samples = Budget(PROFILE_STEPS, least=1)

    def refuse(self, features: frozenset[str], *, sure: bool = True) -> None:
        """Remember that the server lacks these features; where that is not sure, from the second time on."""
        with self._learning:
            if sure or features <= self._doubted:
                self.refused |= features
            self._doubted |= features

    def prove(self, features: frozenset[str]) -> None:
        """Remember that the server has answered with these features."""
        if not features <= self.proven:
            with self._learning:
                self.proven |= features

    def trust(self, feature: str, *, exact: bool) -> None:
        """Remember that the server does right by a filter; whether it keeps no other runs."""
        with self._learning:
            self.trusted |= {feature}
            self.exact |= {feature} if exact else set()
