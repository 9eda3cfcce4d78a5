"""Ending reads that nobody waits for: their waits end, and their connections are cut.

Each group of threads that works for one read has a `Scope`. A thread that is blocked on a socket hears of no
event, so stopping a scope also shuts the sockets that its threads are using.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from wbframe.warn import given_at, line_of_program

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator


__all__ = [
    "Scope",
    "StoppedError",
    "Threads",
    "begun",
    "check",
    "current",
    "pool",
    "result_of",
    "side_by_side",
    "use",
    "wait",
]

_In = TypeVar("_In")
_Out = TypeVar("_Out")
# Waits are cut into pieces of this many seconds: some hosts, polars among them, handle SIGINT in a way that
# starts waits anew, so that Ctrl-C is heard only when one has ended.
# https://github.com/pola-rs/polars/pull/20961
PIECE = 0.1
# Seconds that stopped threads get before they are left to end by themselves.
_PATIENCE = 2.0
_local = threading.local()


class StoppedError(Exception):
    """The read that this thread works for was stopped; nobody waits for what it would give."""


class Scope:
    """The threads that work for one read."""

    def __init__(self) -> None:
        self.parent = current()
        # Its threads are in no program themselves.
        self.line = line_of_program()
        self._event = threading.Event()
        self._using: dict[int, Any] = {}
        self._lock = threading.Lock()

    @property
    def stopped(self) -> bool:
        """Whether this read, or the one that it is part of, was stopped."""
        return self._event.is_set() or (self.parent is not None and self.parent.stopped)

    def stop(self) -> None:
        """Wake whoever waits, and cut the connections in use; may be called again."""
        self._event.set()
        with self._lock:
            using = list(self._using.values())
        for connection in using:
            open_socket = getattr(connection, "sock", None)
            if isinstance(open_socket, socket.socket):
                with contextlib.suppress(OSError):
                    # Not the method of a TLS socket, which takes apart what its thread is reading with.
                    socket.socket.shutdown(open_socket, socket.SHUT_RDWR)

    def use(self, connection: object) -> None:
        """Take note of the connection that this thread uses; None when it is done."""
        with self._lock:
            if connection is None:
                self._using.pop(threading.get_ident(), None)
            else:
                self._using[threading.get_ident()] = connection
        if connection is not None and self.stopped:
            raise StoppedError

    def wait(self, seconds: float) -> None:
        """Wait so long; raises `StoppedError` as soon as the read is stopped."""
        end = time.monotonic() + seconds
        while not self.stopped and (left := end - time.monotonic()) > 0:
            self._event.wait(min(left, PIECE))
        if self.stopped:
            raise StoppedError

    def bound(self, work: Callable[..., _Out]) -> Callable[..., _Out]:
        """Give the same work, done in this scope."""

        def done(*items: Any) -> _Out:
            before, _local.scope = current(), self
            try:
                check()
                with given_at(self.line):
                    return work(*items)
            finally:
                _local.scope = before

        return done


def current() -> Scope | None:
    """Give the scope in which this thread works; None outside of any."""
    return getattr(_local, "scope", None)


def check() -> None:
    """Raise `StoppedError` if the read that this thread works for was stopped, KeyboardInterrupt after Ctrl-C."""
    scope = current()
    if scope is None:
        # polars' streaming engine keeps Ctrl-C to itself until a query inside of it, be it of nothing, asks.
        pl.LazyFrame().collect(engine="in-memory")
    elif scope.stopped:
        raise StoppedError


def use(connection: object) -> None:
    """Take note of the connection that this thread uses; None when it is done."""
    scope = current()
    if scope is not None:
        scope.use(connection)


def wait(seconds: float) -> None:
    """Wait so long, or until the read that this thread works for is stopped."""
    scope = current()
    if scope is not None:
        scope.wait(seconds)
        return
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, PIECE))
        check()


def result_of(future: Future[_Out]) -> _Out:
    """Give the result of a future; a wait that Ctrl-C, or the end of the read, interrupts."""
    while not future.done():
        check()
        wait_for([future], timeout=PIECE)
    return future.result()


class Threads:
    """Threads that work for one read.

    Attributes
    ----------
    scope
        What stops them.
    """

    def __init__(self, threads: int, name: str) -> None:
        self.scope = Scope()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._begun: set[Future[Any]] = set()

    def submit(self, work: Callable[..., _Out], *items: Any) -> Future[_Out]:
        """Begin some work as soon as a thread is free."""
        future = self._executor.submit(self.scope.bound(work), *items)
        self._begun.add(future)
        future.add_done_callback(self._begun.discard)
        return future

    def end(self) -> None:
        """Stop what still runs, and wait for its threads as long as that is sure to end."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        running = {each for each in self._begun.copy() if not each.done()}
        end = time.monotonic() + _PATIENCE
        while running and time.monotonic() < end:
            # Again each time: a connection may have been opened since.
            self.scope.stop()
            running = set(wait_for(running, timeout=PIECE, return_when=FIRST_COMPLETED).not_done)
        if not running:
            self._executor.shutdown(wait=True)


@contextmanager
def pool(threads: int, name: str) -> Iterator[Threads]:
    """Give threads that are gone when the block ends, however it ends."""
    made = Threads(threads, name)
    try:
        yield made
    finally:
        made.end()


def side_by_side(
    threads: int, work: Callable[[_In], _Out], items: Iterable[_In], *, ahead: int | None = None
) -> Generator[_Out]:
    """Do the work of each item on so many threads, and hand out the results in order.

    Items are taken on the caller's thread, `ahead` of what it has been given at the most. However it ends, no
    thread is left.
    """
    ahead = ahead or 2 * threads
    with pool(threads, "wbframe") as workers:
        yield from _in_order(workers, work, items, ahead)


@contextmanager
def begun(items: Iterator[_Out]) -> Iterator[Iterator[_Out]]:
    """Give the same items, the first of which is already being made on another thread."""
    with pool(1, "wbframe-ahead") as workers:
        first = workers.submit(lambda: list(islice(items, 1)))

        def all_of_them() -> Iterator[_Out]:
            yield from result_of(first)
            yield from items

        yield all_of_them()


def _in_order(
    workers: Threads, work: Callable[[_In], _Out], items: Iterable[_In], ahead: int
) -> Iterator[_Out]:
    """Map with bounded look-ahead, in order."""
    waiting: deque[Future[_Out]] = deque()
    for item in items:
        waiting.append(workers.submit(work, item))
        if len(waiting) >= ahead:
            yield result_of(waiting.popleft())
    while waiting:
        yield result_of(waiting.popleft())
