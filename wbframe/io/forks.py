"""What a forked process must not take over, and whether polars works in it.

A fork copies all memory, but of the threads only the one that forks: a lock that another one held is held for
ever, a pool has no thread left, and a connection is used by two processes. What holds such things begins anew in
the forked process (`begins_anew`). The pools of polars cannot, so whatever reads into frames asks `check` first.
https://docs.pola.rs/user-guide/misc/multiprocessing/
"""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from weakref import WeakSet

import polars as pl

from wbframe.errors import ForkedError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Guard", "begins_anew", "check", "generation", "is_polars_used"]

# Seconds that polars gets to show that it works in a forked process; it takes a few thousandths of one.
_PATIENCE = 5.0
# Where Linux lists the threads of a process, and how much it keeps of their names.
_THREADS, _NAME = Path("/proc/self/task"), 15
_INSTEAD = (
    'start processes by multiprocessing.get_context("spawn"), DataLoader(multiprocessing_context="spawn"),'
    ' or ProcessPoolExecutor(mp_context=get_context("spawn"))'
)


class _BeginsAnew(Protocol):
    def begin(self) -> None:
        """Make anew what a forked process must not share."""


class _Process:
    """What is known of this process: how many forks it is away from the first, and whether polars works in it."""

    def __init__(self) -> None:
        self.generation = 0
        self.works: bool | None = True
        self.used = False
        self.anew: WeakSet[_BeginsAnew] = WeakSet()

    def forked(self) -> None:
        """Begin anew in a forked process."""
        self.generation += 1
        self.works = None
        for each in list(self.anew):
            each.begin()


_process = _Process()


class Guard:
    """Holds a lock, another one in each process that is forked: ``with guard.lock``.

    It is no context manager itself: only Python's own lock is sure to be let go of whenever Ctrl-C comes.
    """

    def __init__(self) -> None:
        self.begin()
        begins_anew(self)

    def begin(self) -> None:
        """Have a lock that no thread holds."""
        self.lock = threading.Lock()


def begins_anew(thing: _BeginsAnew) -> None:
    """Have `begin` of something called in each process that is forked while it is there."""
    _process.anew.add(thing)


def generation() -> int:
    """Give how many forks this process is away from the first: what another number has made is not its own."""
    return _process.generation


def is_polars_used() -> bool:
    """Whether something was read into frames, in this process or before it was forked."""
    return _process.used


def check() -> None:
    """Raise if polars cannot work here, since its threads are in the process that this one was forked from.

    Raises
    ------
    ForkedError
        At once where the threads can be listed; else after polars has kept still for some seconds.
    """
    _process.used = True
    if _process.works is None:
        _process.works = _works()
    if not _process.works:
        raise ForkedError(
            "cannot read into frames: this process was forked from one that had used polars, whose threads"
            f" stayed there; {_INSTEAD}"
        )


def _has_threads() -> bool:
    """Tell whether the threads of polars are in this process; True where nobody can tell."""
    if not _THREADS.is_dir():
        return True
    before = set(_listed())
    # Makes them, unless that was done before the fork.
    size = pl.thread_pool_size()
    after = set(_listed())
    if len(after - before) >= size:
        return True
    prefix = os.environ.get("POLARS_THREAD_NAME", "polars")
    names = {f"{prefix}-{i}".encode()[:_NAME] for i in range(size)}
    return not names.isdisjoint(_names(after))


def _listed() -> list[str]:
    """List the threads of this process, those of other languages too."""
    return os.listdir(_THREADS)  # noqa: PTH208 -- the names alone


def _names(threads: Iterable[str]) -> set[bytes]:
    """Give the names of threads, as far as they have not ended."""
    found = set()
    for each in threads:
        try:
            found.add((_THREADS / each / "comm").read_bytes().rstrip(b"\n"))
        except OSError:
            continue
    return found


def _works() -> bool:
    """Tell whether polars works here; tried on a thread that is left behind where it does not answer."""
    told: list[bool] = []
    done = threading.Event()

    def ask() -> None:
        if _has_threads():
            # Some of its threads may be here, and others not.
            pl.LazyFrame({"a": [1, 2]}).filter(pl.col("a") > 1).collect(engine="streaming")
            pl.read_ndjson(io.BytesIO(b'{"a":1}\n'))
            told.append(True)
        done.set()

    threading.Thread(target=ask, name="wbframe-fork", daemon=True).start()
    return done.wait(_PATIENCE) and bool(told)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forked)
