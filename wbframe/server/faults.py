"""Answers that go wrong on purpose, and the log of answers."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

from wbframe.errors import UsageError, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Fault", "Faults", "Log", "LoggedRequest", "StorageRequest"]

_Where = Literal["api", "storage"]
_MOST_LOGGED, _MOST_BYTES_LOGGED = 100_000, 64 << 20
Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRequest:
    """One request that the server got, and what it sent back.

    Attributes
    ----------
    operation
        The name of the GraphQL operation, empty if it has none.
    document, variables
        The GraphQL document as sent, and its variables.
    status
        The HTTP status sent; 0 if the connection was cut without one.
    request_bytes, response_bytes
        The sizes of the two bodies on the wire, so after any compression of the answer.
    seconds
        From the whole request in hand to the answer ready, the pretended latency included.
    started
        When the request was in hand, on the clock of `time.perf_counter`.
    user_agent
        What the client calls itself.
    fault
        Whether `Server.fail` decided the answer.
    """

    operation: str
    document: str
    variables: Mapping[str, Any]
    status: int
    request_bytes: int
    response_bytes: int
    seconds: float
    started: float
    user_agent: str
    fault: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRequest:
    """One request that the storage host got, and what it sent back.

    Attributes
    ----------
    method, path
        ``"GET"`` or another, and the path without the signature.
    range
        The ``Range`` header; None if there was none.
    status
        The HTTP status sent; 0 if the connection was cut without one.
    bytes
        The size of the body of the answer.
    authorization_seen
        Whether the request had an ``Authorization`` header, which a storage host must not get.
    seconds, started, user_agent, fault
        As of a `LoggedRequest`.
    """

    method: str
    path: str
    range: str | None
    status: int
    bytes: int
    authorization_seen: bool
    seconds: float
    started: float
    user_agent: str
    fault: bool = False


class Log(Generic[Entry]):
    """The latest entries: so many at the most, and of so many bytes; for several threads.

    Attributes
    ----------
    gone : int
        How many older entries were dropped.

    Examples
    --------
    >>> log = Log[str](2)
    >>> for text in ("a", "b", "c"):
    ...     log.add(text, len(text))
    >>> log.entries(), log.gone
    (['b', 'c'], 1)
    """

    def __init__(self, most: int = _MOST_LOGGED, *, most_bytes: int = _MOST_BYTES_LOGGED) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._entries: deque[tuple[Entry, int]] = deque()
        self._lock = threading.Lock()
        self._bytes = 0
        self.gone = 0

    def add(self, entry: Entry, size: int) -> None:
        """Put an entry of so many bytes behind the others, and drop the oldest that are too many."""
        with self._lock:
            self._entries.append((entry, size))
            self._bytes += size
            while len(self._entries) > self._most or self._bytes > self._most_bytes:
                _, size = self._entries.popleft()
                self._bytes -= size
                self.gone += 1

    def entries(self) -> list[Entry]:
        """List what is there, the oldest first."""
        with self._lock:
            return [entry for entry, _ in self._entries]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()
            self._bytes = self.gone = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to go wrong; see `Server.fail` for the meaning of each field."""

    status: int | None = None
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: bool = False
    truncate: bool = False
    delay: float = 0.0
    match: str | None = None
    times: int = 1
    where: _Where = "api"
    location: str | None = None

    def __post_init__(self) -> None:
        if self.times < 1:
            raise UsageError(f"`times` must be at least 1; got {self.times}")
        if self.where not in get_args(_Where):
            raise one_of("where", self.where, get_args(_Where))
        if self.drop and (self.truncate or self.status is not None or self.body is not None):
            raise UsageError("`drop` sends nothing, so it goes with no status, body or truncate")

    @property
    def replaces(self) -> bool:
        """Whether the answer itself is another than the real one."""
        return not (self.drop or self.truncate or self.delay) or (
            self.status is not None or self.body is not None or self.location is not None
        )


class Faults:
    """The queue of faults; each request takes the first that fits it."""

    def __init__(self) -> None:
        self._queue: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Put a fault behind the others."""
        with self._lock:
            self._queue.append(fault)

    def take(self, text: str, where: _Where = "api") -> Fault | None:
        """Take the first fault that fits a document or a storage path, and use it up by one."""
        with self._lock:
            for index, fault in enumerate(self._queue):
                if fault.where == where and (fault.match is None or fault.match in text):
                    if fault.times > 1:
                        self._queue[index] = replace(fault, times=fault.times - 1)
                    else:
                        del self._queue[index]
                    return fault
        return None

    def clear(self) -> None:
        """Forget every fault."""
        with self._lock:
            self._queue.clear()

    def __len__(self) -> int:
        with self._lock:
            return sum(fault.times for fault in self._queue)
