"""Threads that work for one read, and are gone when it ends, however it ends.

What threads of several reads share is changed on such threads only (`apart`): Ctrl-C comes to the main thread,
between any two steps of Python's own conditions and semaphores too, which are then held for ever.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast
from weakref import WeakSet, ref

from wbframe.errors import ForkedError, UsageError
from wbframe.io.scopes import PIECE, Scope, StoppedError, check, current, use, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence


__all__ = [
    "PIECE",
    "Items",
    "Scope",
    "StoppedError",
    "Task",
    "Threads",
    "apart",
    "awaited",
    "begun",
    "check",
    "current",
    "pool",
    "result_of",
    "side_by_side",
    "together",
    "use",
    "wait",
]

_In = TypeVar("_In")
_Out = TypeVar("_Out")
# Seconds that stopped threads get before they are left to end by themselves.
_PATIENCE = 2.0
# Seconds after which a thread without work looks whether anybody is left to give it some.
_IDLE = 1.0


class Task(Generic[_Out]):
    """Some work that is done on another thread, and what came of it.

    Attributes
    ----------
    done
        Whether it is done, be it in vain.
    """

    # No future of `concurrent.futures`: each has a condition, which Ctrl-C may leave held.
    __slots__ = ("_error", "_latch", "_scope", "_value", "_work", "done")

    def __init__(self, scope: Scope, work: Callable[[], _Out]) -> None:
        self._scope, self._work = scope, work
        self._value: _Out
        self._error: BaseException | None = None
        self._latch = threading.Lock()
        self._latch.acquire()
        self.done = False

    def run(self) -> None:
        """Do it."""
        work = self._work
        del self._work
        try:
            self._value = work()
        except BaseException as error:  # noqa: BLE001 -- for who asks for the result
            self._end(error)
        else:
            self._end()

    def drop(self) -> None:
        """End what was not begun."""
        self._end(StoppedError())

    def _end(self, error: BaseException | None = None) -> None:
        """Let who waits go on."""
        self._error, self.done = error, True
        with contextlib.suppress(RuntimeError):
            self._latch.release()

    def result(self, seconds: float = math.inf) -> _Out:
        """Wait for it, interruptibly, and give what came of it.

        Parameters
        ----------
        seconds
            To wait at the most.

        Raises
        ------
        TimeoutError
            If it is not done by then.
        ForkedError
            If it is done in the process that this one was forked from.
        BaseException
            What it raised.
        """
        if not self._scope.is_here:
            raise ForkedError(
                "this read was begun before the process was forked, and goes on there: begin another one here"
            )
        end = time.monotonic() + seconds
        while not self.done:
            if time.monotonic() > end:
                raise TimeoutError
            check()
            # Taken by one of those who wait; others see that it is done when the piece has passed.
            self._latch.acquire(timeout=PIECE)
        try:
            if _exit.has_come and current() is None and isinstance(self._error, StoppedError):
                # On a daemon's thread, which ends with the program and without a word.
                raise SystemExit
            if self._error is not None:
                raise self._error
            return self._value
        finally:
            # An error holds its frames, and these would hold the task that holds the error.
            del self


def result_of(task: Task[_Out]) -> _Out:
    """Give the result of a task; a wait that Ctrl-C, or the end of the read, interrupts."""
    return task.result()


class Threads:
    """Threads that work for one read.

    Attributes
    ----------
    scope
        What stops them.
    """

    # Not those of `concurrent.futures`, for which the interpreter waits when it ends, whatever they wait for.

    def __init__(self, threads: int, name: str) -> None:
        self.scope = Scope()
        self._most, self._name = threads, name
        self._waiting: SimpleQueue[Task[Any] | None] = SimpleQueue()
        self._tasks: set[Task[Any]] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._ended = False
        _exit.open.add(self)

    def submit(self, work: Callable[..., _Out], *items: Any) -> Task[_Out]:
        """Begin some work as soon as a thread is free."""
        bound = self.scope.bound(work)
        task = Task(self.scope, lambda: bound(*items))
        with self._lock:
            if self._ended:
                raise StoppedError
            self._tasks.add(task)
            self._waiting.put(task)
            if len(self._threads) < min(len(self._tasks), self._most):
                self._begin_thread()
        return task

    def _begin_thread(self) -> None:
        """Have one more thread."""
        thread = threading.Thread(
            target=_work_off,
            args=(self._waiting, self._tasks, ref(self)),
            name=f"{self._name}_{len(self._threads)}",
            daemon=True,
        )
        self._threads.append(thread)
        thread.start()

    @property
    def ended(self) -> bool:
        """Whether nothing more is begun."""
        return self._ended

    def end(self, patience: float = _PATIENCE) -> None:
        """Stop what still runs, and wait for its threads as long as that is sure to end."""
        if not self.scope.is_here:
            return
        try:
            self._drop()
            self._join(patience)
        except BaseException:
            # Interrupted once more: not waited for, but ended all the same.
            self.scope.stop()
            self._drop()
            raise

    def _drop(self) -> None:
        """Take back what was not begun, and let the threads end that have no work."""
        with self._lock:
            self._ended = True
        with contextlib.suppress(Empty):
            while True:
                task = self._waiting.get_nowait()
                if task is not None:
                    self._tasks.discard(task)
                    task.drop()
        for _ in self._threads:
            self._waiting.put(None)

    def _join(self, patience: float) -> None:
        """Wait for the threads; stop those that work."""
        end = time.monotonic() + patience
        # A generator may be dropped by whatever thread lets go of it last, one of its own too.
        others = [each for each in self._threads if each is not threading.current_thread()]
        while (left := [each for each in others if each.is_alive()]) and time.monotonic() < end:
            if self._tasks:
                # Again each time: a connection may have been opened since.
                self.scope.stop()
            left[0].join(PIECE)


def _work_off(
    waiting: SimpleQueue[Task[Any] | None], tasks: set[Task[Any]], owner: ref[Threads]
) -> None:
    """Do tasks until there is one no more, or nobody who could give one."""
    while True:
        try:
            task = waiting.get(timeout=_IDLE)
        except Empty:
            threads = owner()
            if threads is None or threads.ended:
                return
            del threads
            continue
        if task is None:
            return
        task.run()
        tasks.discard(task)
        # A thread that waits for the next one must not keep what the last one gave.
        del task


class _Exit:
    """The end of the program, which waits for no request."""

    def __init__(self) -> None:
        self.has_come = False
        self.open: WeakSet[Threads] = WeakSet()
        self.awaited: set[object] = set()

    def __call__(self) -> None:
        """Stop all threads: they must be out of polars before the interpreter goes."""
        self.has_come = True
        left = list(self.open)
        for each in left:
            each.scope.stop()
        end = time.monotonic() + _PATIENCE
        for each in left:
            each.end(max(0.0, end - time.monotonic()))
        while self.awaited and time.monotonic() < end:
            time.sleep(PIECE / 10)


# Threads of the program that are no daemons have ended by then.
_exit = _Exit()
atexit.register(_exit)


@contextmanager
def awaited() -> Iterator[None]:
    """Let the end of the program wait until a daemon's thread is out of polars, which would abort it else."""
    block = object()
    _exit.awaited.add(block)
    try:
        yield
    finally:
        _exit.awaited.discard(block)


def apart(work: Callable[[], _Out]) -> _Out:
    """Do some work where Ctrl-C does not come: on a thread of ours, this one if it is one."""
    if current() is not None:
        return work()
    with pool(1, "wbframe-send") as workers:
        return workers.submit(work).result()


class Items(Iterator[_Out]):
    """What a generator gives, for whoever takes it: two threads at once are told so.

    Parameters
    ----------
    items
        The generator.
    """

    def __init__(self, items: Generator[_Out]) -> None:
        self._items = items

    def __next__(self) -> _Out:
        try:
            return next(self._items)
        except ValueError as error:
            _refuse_two(error)
            raise

    def close(self) -> None:
        """End the read; not while another thread waits for an item."""
        try:
            self._items.close()
        except ValueError as error:
            _refuse_two(error)
            raise


def _refuse_two(error: ValueError) -> None:
    """Raise our error where a generator was at work for another thread."""
    inside = error.__traceback__ and error.__traceback__.tb_next
    if inside is None and str(error) == "generator already executing":
        raise UsageError(
            "another thread is reading from this iterator: close it, or go on, on that thread"
        ) from None


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


def together(
    workers: Threads | None, work: Callable[[_In], _Out], items: Sequence[_In]
) -> list[_Out]:
    """Do the work of each item, the first on this thread and the others on threads that wait for no others.

    After one that fails no other is begun; those that were are waited for.

    Parameters
    ----------
    workers
        The other threads; None to do all of it here.
    work, items
        What to do.

    Raises
    ------
    Exception
        What the first of the items that failed raised.
    """
    if workers is None or not items:
        return [work(item) for item in items]
    failed = False

    def done(item: _In) -> _Out | None:
        nonlocal failed
        if failed:
            return None
        try:
            return work(item)
        except BaseException:
            failed = True
            raise

    others = [workers.submit(done, item) for item in items[1:]]
    found: list[_Out | None] = []
    errors: list[Exception] = []
    results: list[Callable[[], _Out | None]] = [partial(done, items[0])]
    results += [partial(result_of, each) for each in others]
    for result in results:
        try:
            found.append(result())
        except Exception as error:  # noqa: BLE001 -- raised below
            errors.append(error)
    try:
        if errors:
            raise errors[0]
        return cast("list[_Out]", found)
    finally:
        # As of a task: errors hold their frames.
        del errors


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
    waiting: deque[Task[_Out]] = deque()
    for item in items:
        waiting.append(workers.submit(work, item))
        if len(waiting) >= ahead:
            yield result_of(waiting.popleft())
    while waiting:
        yield result_of(waiting.popleft())
