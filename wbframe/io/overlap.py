"""Work done side by side, its results handed out in order."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from wbframe.io import stopping

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from wbframe.io.client import Client

__all__ = ["begun", "side_by_side"]

_In = TypeVar("_In")
_Out = TypeVar("_Out")


def side_by_side(
    client: Client, work: Callable[[_In], _Out], items: Iterable[_In], *, ahead: int | None = None
) -> Generator[_Out]:
    """Do the work of each item on the client's threads, and hand out the results in order.

    Items are taken on the caller's thread, `ahead` of what it has been given at the most. However it ends, no
    thread is left.
    """
    ahead = ahead or 2 * client.concurrency
    with stopping.pool(client.concurrency, "wbframe") as threads:
        yield from _in_order(threads, work, items, ahead)


@contextmanager
def begun(items: Iterator[_Out]) -> Iterator[Iterator[_Out]]:
    """Give the same items, the first of which is already being made on another thread."""
    with stopping.pool(1, "wbframe-ahead") as threads:
        first = threads.submit(lambda: list(islice(items, 1)))

        def all_of_them() -> Iterator[_Out]:
            yield from stopping.result_of(first)
            yield from items

        yield all_of_them()


def _in_order(
    threads: stopping.Threads, work: Callable[[_In], _Out], items: Iterable[_In], ahead: int
) -> Iterator[_Out]:
    """Map with bounded look-ahead, in order."""
    waiting: deque[Future[_Out]] = deque()
    for item in items:
        waiting.append(threads.submit(work, item))
        if len(waiting) >= ahead:
            yield stopping.result_of(waiting.popleft())
    while waiting:
        yield stopping.result_of(waiting.popleft())
