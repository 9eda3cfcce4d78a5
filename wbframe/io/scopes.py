"""Ending reads that nobody waits for: their waits end, and their connections are cut.

Each group of threads that works for one read has a `Scope`. A thread that is blocked on a socket hears of no
event, so stopping a scope also shuts the sockets that its threads are using.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from wbframe.io import forks
from wbframe.warn import given_at, line_of_program

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["PIECE", "Scope", "StoppedError", "check", "current", "use", "wait"]

_Out = TypeVar("_Out")
# Waits are cut into pieces of this many seconds: some hosts, polars among them, handle SIGINT in a way that
# starts waits anew, so that Ctrl-C is heard only when one has ended.
# https://github.com/pola-rs/polars/pull/20961
PIECE = 0.1
_local = threading.local()


class StoppedError(Exception):
    """The read that this thread works for was stopped; nobody waits for what it would give."""


class Scope:
    """The threads that work for one read."""

    def __init__(self) -> None:
        self.parent = current()
        self._generation = forks.generation()
        # Its threads are in no program themselves.
        self.line = line_of_program()
        self._stopped = False
        self._using: dict[int, Any] = {}
        self._lock = threading.Lock()

    @property
    def is_here(self) -> bool:
        """Whether its threads are in this process, and not in one that this was forked from."""
        return self._generation == forks.generation()

    @property
    def stopped(self) -> bool:
        """Whether this read, or the one that it is part of, was stopped."""
        return self._stopped or (self.parent is not None and self.parent.stopped)

    def stop(self) -> None:
        """Wake whoever waits, and cut the connections in use; may be called again."""
        if not self.is_here:
            # To cut a connection is to cut it for both processes.
            return
        self._stopped = True
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
            time.sleep(min(left, PIECE))
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
        if forks.is_polars_used():
            # It keeps Ctrl-C to itself while it works, on any thread, until a query, be it of nothing, asks.
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
