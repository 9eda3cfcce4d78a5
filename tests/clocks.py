"""A clock for tests: nobody waits, and time is what was waited for."""

from __future__ import annotations

import threading

from wbframe.io import threads
from wbframe.io.client.retry import Clock


class FakeClock(Clock):
    """Notes the waits; several threads that wait at once all wait at the same time."""

    def __init__(self):
        self.time = 1000.0
        self.waits = []
        self._lock = threading.Lock()

    def now(self):
        return self.time

    def sleep(self, seconds):
        threads.check()
        until = self.time + seconds
        with self._lock:
            self.waits.append(seconds)
            self.time = max(self.time, until)


class TurnClock(FakeClock):
    """Time that passes only when nobody is at work: what is on its way is answered before the next wait ends.

    `working` tells how many have begun, those that wait among them.
    """

    def __init__(self, working):
        super().__init__()
        self._working = working
        self._ends = []
        self._changed = threading.Condition()

    def sleep(self, seconds):
        with self._changed:
            until = self.time + seconds
            self.waits.append(seconds)
            self._ends.append(until)
            try:
                while self.time < until:
                    threads.check()
                    if until == min(self._ends) and self._working() <= len(self._ends):
                        self.time = until
                    else:
                        self._changed.wait(0.0005)
            finally:
                self._ends.remove(until)
                self._changed.notify_all()
