"""A client that sends so many requests and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from wbframe.core.doctor.report import SpentError
from wbframe.io.client.client import Client
from wbframe.io.forks import Guard

if TYPE_CHECKING:
    from wbframe.io.client.retry import Try

if TYPE_CHECKING:
    import requests

__all__ = ["MOST_REQUESTS", "Counting"]

_Got = TypeVar("_Got")
MOST_REQUESTS = 40
"""Requests of a visit, in all."""
# Seconds that all answers may take.
_LONGEST = 120.0


class Counting(Client):
    """A client that sends so many requests and no more, and takes note of what their answers say of limits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.most = MOST_REQUESTS
        self.sent = 0
        self.statuses: list[int] = []
        self.limits: dict[str, str] = {}
        self._ends = self.clock.now() + _LONGEST
        self._counting = Guard()

    def read(self, tried: Try[_Got]) -> _Got:
        """Try as any client does, as long as requests are left."""
        self._check()

        def send() -> requests.Response:
            with self._counting.lock:
                self._check()
                self.sent += 1
            response = tried.send()
            self.statuses.append(response.status_code)
            self.limits |= {
                name.lower(): value
                for name, value in response.headers.items()
                if "ratelimit" in name.lower() or name.lower() == "retry-after"
            }
            return response

        return super().read(replace(tried, send=send))

    def _check(self) -> None:
        """Refuse to send what is one too many."""
        if self.sent >= self.most or self.clock.now() > self._ends:
            raise SpentError("no more requests")
