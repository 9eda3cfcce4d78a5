"""How many requests are under way at once, and how soon one follows the other: one pace a client.

Three things slow a client down: a fixed `requests_per_minute`; a 429, after which all threads pause, then go on
at nine tenths of the rate that the server took before; and a `RateLimit-Remaining` below a tenth of its limit,
after which what is left is spread over the time until `RateLimit-Reset`. Calm spells speed it up again. Starts
are handed out one by one, so threads that waited for the same pause do not begin together.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wbframe.io import threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wbframe.io.client.clock import Clock

__all__ = ["Pace", "Quota", "read_quota"]

_MINUTE = 60.0
# After a 429: so much of the rate that was taken in the minute before, if that is rate enough to go by.
_CAUTION = 0.9
_EVIDENCE = 20
# What a calm spell makes of the gap between two starts: little where the server's rate is known.
_SLOW_RECOVERY, _SLOW_SPELL = 0.97, _MINUTE
_QUICK_RECOVERY, _QUICK_SPELL, _QUICK_CALM = 0.5, 10.0, 10
_SMALLEST_GAP, _FIRST_GAP, _LARGEST_GAP = 0.02, 0.25, 30.0
_LOW = 0.1
_FULL_QUOTA = 1000.0
# A server that says no more than 429 is left alone for so long, then twice as long.
_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_PIECE = 0.1


@dataclass(frozen=True, slots=True)
class Quota:
    """What the rate limit headers of an answer say; None for what they do not."""

    remaining: float | None = None
    limit: float | None = None
    reset: float | None = None

    @property
    def is_low(self) -> bool:
        """Whether less than a tenth is left."""
        return self.remaining is not None and self.remaining < _LOW * (self.limit or _FULL_QUOTA)


def read_quota(headers: Mapping[str, str]) -> Quota:
    """Read the rate limit headers.

    Examples
    --------
    >>> read_quota({"RateLimit-Remaining": "40", "RateLimit-Reset": "20"}).is_low
    True
    """
    return Quota(
        *(_number(headers.get(f"RateLimit-{name}")) for name in ("Remaining", "Limit", "Reset"))
    )


def _number(text: str | None) -> float | None:
    """Read a number from 0 on; None for anything else."""
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


_UNSAID = Quota()


class Pace:
    """Lets requests begin; shared by all threads and reads of a client.

    Parameters
    ----------
    concurrency
        Requests under way at the most.
    clock
        What tells the time and waits.
    per_minute
        Requests a minute at the most, evenly spread; None for as many as the server takes.

    Attributes
    ----------
    waits, waited : int, float
        How often a request had to wait for its turn, and how many seconds in all.
    """

    def __init__(self, concurrency: int, clock: Clock, per_minute: float | None = None) -> None:
        self._most = float(concurrency)
        self._clock = clock
        self._least_gap = _MINUTE / per_minute if per_minute else 0.0
        self._gap = self._least_gap
        self._limit = self._most
        self._active = 0
        self._next = self._paused_until = -math.inf
        self._calm_since = clock.now()
        self._calm = 0
        self._lessons = 0
        self._pause = _PAUSE
        self._sure = self._by_quota = False
        self._taken: deque[float] = deque()
        self._changed = threading.Condition()
        self.waits = 0
        self.waited = 0.0

    @property
    def concurrency(self) -> int:
        """Requests that may be under way now."""
        return max(int(self._limit), 1)

    @property
    def gap(self) -> float:
        """Seconds between two starts now."""
        return self._gap

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and take it."""
        with self._changed:
            while self._active >= self.concurrency:
                threads.check()
                self._changed.wait(_PIECE)
            self._active += 1
        try:
            self._start()
            yield
        finally:
            with self._changed:
                self._active -= 1
                self._changed.notify()

    def _start(self) -> None:
        """Wait for a start of one's own; a pause that begins meanwhile takes it away again."""
        start = -math.inf
        while True:
            with self._changed:
                if start >= self._paused_until and start > -math.inf:
                    return
                now = self._clock.now()
                start = max(now, self._next)
                self._next = start + self._gap
                if start > now:
                    self.waits += 1
                    self.waited += start - now
            if start > now:
                self._clock.sleep(start - now)

    def took(self, quota: Quota = _UNSAID) -> None:
        """Learn from an answer that was no 429."""
        with self._changed:
            now = self._clock.now()
            self._taken.append(now)
            self._forget(now)
            self._calm += 1
            self._limit = min(self._limit + 1 / self._limit, self._most)
            if quota.is_low:
                self._spread(now, quota)
            elif self._by_quota and quota.remaining is not None:
                self._by_quota, self._gap = False, self._least_gap
            else:
                self._recover(now)

    def refused(self, retry_after: float | None, quota: Quota = _UNSAID) -> None:
        """Learn from a 429: pause, and go on more slowly."""
        with self._changed:
            now = self._clock.now()
            if now >= self._paused_until:
                # One lesson a pause: what was under way beside it says the same thing again. And if nothing
                # was taken since the last one, the pause was too short, whatever the rate.
                again = self._lessons and not self._calm
                self._pause = min(2 * self._pause, _LONGEST_PAUSE) if again else _PAUSE
                self._learn(now, pace=not (again and self._sure))
            told = retry_after if retry_after is not None else quota.reset
            pause = self._pause if told is None else told
            self._paused_until = max(self._paused_until, now + pause)
            self._next = max(self._next, self._paused_until)

    def _learn(self, now: float, *, pace: bool) -> None:
        """Halve what is under way, and keep below the rate that was taken in the last minute."""
        self._forget(now)
        self._lessons += 1
        self._limit = max(self._limit / 2, 1.0)
        if not pace:
            return
        gap = max(2 * self._gap, _FIRST_GAP)
        if len(self._taken) >= _EVIDENCE:
            gap = max(_MINUTE / (_CAUTION * len(self._taken)), self._gap / _CAUTION)
            self._sure = True
        self._gap = max(min(gap, _LARGEST_GAP), self._least_gap)
        self._calm_since, self._calm = now, 0

    def _recover(self, now: float) -> None:
        """Speed up a little after a calm spell."""
        spell = _SLOW_SPELL if self._sure else _QUICK_SPELL
        if now - self._calm_since <= spell or (not self._sure and self._calm < _QUICK_CALM):
            return
        self._calm_since, self._calm = now, 0
        eased = self._gap * (_SLOW_RECOVERY if self._sure else _QUICK_RECOVERY)
        self._gap = max(eased if eased > _SMALLEST_GAP else 0.0, self._least_gap)

    def _spread(self, now: float, quota: Quota) -> None:
        """Spread what is left of a quota over the time that it has to last."""
        reset = quota.reset if quota.reset is not None else _MINUTE
        left = quota.remaining or 0.0
        if left < 1:
            self._paused_until = max(self._paused_until, now + reset)
            self._next = max(self._next, self._paused_until)
        else:
            self._gap = max(min(reset / left, _LARGEST_GAP), self._least_gap)
        self._by_quota = True
        self._limit = max(self._limit / 2, 1.0)
        self._calm_since, self._calm = now, 0

    def _forget(self, now: float) -> None:
        """Forget what is older than a minute."""
        while self._taken and self._taken[0] <= now - _MINUTE:
            self._taken.popleft()
