"""Time as a client sees it; tests put in a clock of their own."""

from __future__ import annotations

import time

from wbframe.io import threads

__all__ = ["Clock"]


class Clock:
    """Tells the time, and waits; subclass it to decide both.

    Examples
    --------
    >>> class Patient(Clock):
    ...     waits = []
    ...     def sleep(self, seconds):
    ...         self.waits.append(seconds)
    >>> Patient().sleep(30.0)
    >>> Patient.waits
    [30.0]
    """

    def now(self) -> float:
        """Give seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; ends at once where the read that waits is stopped."""
        threads.wait(seconds)
