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
