"""How many requests are under way at once, how soon one follows the other.

Three things slow a client down: a fixed `requests_per_minute`; a `RateLimit-Remaining` below a tenth of its
limit, after which what is left is spread until `RateLimit-Reset`; and a 429. After that nothing begins for a
while, then one request finds out whether that was long enough, and from there the rate grows with time, used or
not: a refusal that does not recur is over in seconds. One that recurs makes pause and growth slower, and halves
the rate if it was in use. Starts are handed out one by one: threads that waited for the same pause do not begin
together.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wbframe.io import threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wbframe.io.client.retry import Clock

__all__ = ["Pace", "Quota", "read_quota"]

# Limits are told by the minute: so long after the pace was full again, a refusal is another matter.
_MINUTE = 60.0
# Seconds without a start after a refusal, and after those that recur: three in vain outlast most of a minute.
_PAUSES = 2.0, 8.0, 32.0
# Starts a second after a pause. No slower than the last: who took less is not refused for its own pace.
# W&B does not publish its limits; its older documentation had 50 and 200 requests a minute:
# https://github.com/wandb/docs/pull/1271, https://github.com/wandb/wandb/issues/5445
_RATES = 4.0, 2.0, 1.0
# Starts a second that are as good as any number: the answers take longer than the gap.
_FREE = 200.0
# What is little of a quota that does not say of how much.
# W&B counts down from 1000: https://docs.wandb.ai/models/track/limits
_LOW = 100.0


@dataclass(frozen=True, slots=True)
class Quota:
    """What the rate limit headers of an answer say; None for what they do not."""

    remaining: float | None = None
    limit: float | None = None
    reset: float | None = None

    @property
    def is_low(self) -> bool:
        """Whether less than a tenth is left."""
        low = self.limit / 10 if self.limit else _LOW
        return self.remaining is not None and self.remaining < low


def read_quota(headers: Mapping[str, str]) -> Quota:
    """Read the rate limit headers; a reset that is a moment becomes the seconds until then.

    Examples
    --------
    >>> read_quota({"RateLimit-Remaining": "40", "RateLimit-Reset": "20"}).is_low
    True
    """
    # Seconds by https://datatracker.ietf.org/doc/html/draft-polli-ratelimit-headers-02, a moment elsewhere.
    names = ("RateLimit-Remaining", "RateLimit-Limit", "RateLimit-Reset")
    remaining, limit, reset = (_number(headers.get(name)) for name in names)
    # No quota lasts for decades: so many seconds are those since 1970.
    if reset is not None and reset > time.time() / 2:
        reset = max(reset - time.time(), 0.0)
    return Quota(remaining, limit, reset)


def _number(text: str | None) -> float | None:
    """Read a number from 0 on; None for anything else."""
    try:
        value = float(text or math.nan)
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


_UNSAID = Quota()


@dataclass(frozen=True, slots=True)
class _Law:
    """What refusals have taught: when the last pause ends, places in the tables above, what was taken since."""

    since: float = -math.inf
    pause: int = 0
    slow: int = 0
    taken: int = 0

    def rate(self, now: float) -> float:
        """Give the starts a second: twice as many after two pauses, nine times after four, then free."""
        age = max(now - self.since, 0.0) / (2 * _PAUSES[self.pause])
        return _RATES[self.slow] * (1 + age**3)

    def gap(self, now: float) -> float:
        """Give the seconds between two starts."""
        return 1 / self.rate(now) if self.rate(now) < _FREE else 0.0

    def most(self, concurrency: int, now: float) -> int:
        """Give how many may be under way: one until it is taken, then half until the pace is full."""
        if self.rate(now) >= _FREE:
            return concurrency
        return (concurrency + 1) // 2 if self.taken else 1

    def took(self, now: float) -> _Law:
        """Count what was taken; an answer within the pause is older than it."""
        return replace(self, taken=self.taken + (now >= self.since))

    def refused(self, now: float, told: float, longest: float) -> _Law:
        """Pause as long as was told, no shorter than one's own pause, and no longer than the longest."""
        if now < self.since:
            # What was under way beside a refusal says the same thing again.
            return replace(self, since=max(self.since, now + min(told, longest)))
        pause = slow = 0
        if self.rate(now - _MINUTE) < _FREE:
            used = 0 < self.taken >= _RATES[-1] * (now - self.since)
            pause = min(self.pause + (used or not self.taken), len(_PAUSES) - 1)
            slow = min(self.slow + used, len(_RATES) - 1)
        return _Law(now + min(max(told, _PAUSES[pause]), longest), pause, slow)


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
    longest
        Seconds that an answer may keep requests waiting, whatever it says.

    Attributes
    ----------
    waits, waited : int, float
        How often a request had to wait for its turn, and how many seconds in all.
    """

    def __init__(
        self,
        concurrency: int,
        clock: Clock,
        per_minute: float | None = None,
        longest: float = 5 * _MINUTE,
    ) -> None:
        self._most, self._clock, self._longest = concurrency, clock, longest
        self._least_gap = _MINUTE / per_minute if per_minute else 0.0
        self._law = _Law()
        # What is left of a quota: the gap, and until when it holds.
        self._spread = (0.0, -math.inf)
        self._resumes = self._next = -math.inf
        self._active = 0
        self._changed = threading.Condition()
        self.waits, self.waited = 0, 0.0

    @property
    def concurrency(self) -> int:
        """Requests that may be under way now."""
        return self._law.most(self._most, self._clock.now())

    @property
    def gap(self) -> float:
        """Seconds between two starts now."""
        return self._gap(self._clock.now())

    @property
    def paused(self) -> float:
        """Seconds for which nothing begins, as an answer has asked; never above `longest`."""
        return max(self._resumes - self._clock.now(), 0.0)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and take it."""
        while not self._begin(self._start()):
            pass
        try:
            yield
        finally:
            self._end()

    def took(self, quota: Quota = _UNSAID) -> None:
        """Learn from an answer that was no 429."""
        with self._changed:
            now = self._clock.now()
            self._law = self._law.took(now)
            if quota.is_low:
                left = quota.remaining or 0.0
                reset = min(_MINUTE if quota.reset is None else quota.reset, self._longest)
                self._spread = (reset / max(left, 1.0), now + reset)
                if left < 1:
                    self._resumes = max(self._resumes, now + reset)
            elif quota.remaining is not None:
                self._spread = (0.0, now)

    def refused(self, retry_after: float | None, quota: Quota = _UNSAID) -> float:
        """Learn from a 429, and give the seconds of the pause: never above `longest`, whatever was asked for."""
        with self._changed:
            told = max(0.0, retry_after or quota.reset or 0.0)
            self._law = self._law.refused(self._clock.now(), told, self._longest)
            self._resumes = max(self._resumes, self._law.since)
            return self.paused

    def _gap(self, now: float) -> float:
        """Give the seconds between two starts at that time."""
        gap, until = self._spread
        return max(self._law.gap(now), gap if now < until else 0.0, self._least_gap)

    def _start(self) -> float:
        """Wait until one more may be under way, and give it a start of its own."""
        with self._changed:
            while self._active >= self.concurrency:
                threads.check()
                self._changed.wait(threads.PIECE)
            self._active += 1
            now = self._clock.now()
            start = max(now, self._next, self._resumes)
            self._next = start + self._gap(start)
            self.waits += start > now
            self.waited += start - now
            return start

    def _begin(self, start: float) -> bool:
        """Wait for the start; a pause that began meanwhile takes it away again."""
        begins = False
        try:
            if (wait := start - self._clock.now()) > 0:
                self._clock.sleep(wait)
            begins = start >= self._resumes
        finally:
            if not begins:
                self._end()
        return begins

    def _end(self) -> None:
        """Let others begin."""
        with self._changed:
            self._active -= 1
            self._changed.notify_all()
