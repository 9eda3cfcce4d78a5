"""Requests that a server finds too big: cut in two, down to one run and one key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from wbframe.errors import WbframeError
from wbframe.io.retry import is_too_big

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wbframe.core.model import Request
    from wbframe.core.sdk_rows import RowsTask
    from wbframe.io.client import Client

__all__ = ["send_in_parts", "send_or_split"]

_Item = TypeVar("_Item")
_Content = TypeVar("_Content", bytes, "bytes | None")


def send_in_parts(
    client: Client,
    items: Sequence[_Item],
    request_of: Callable[[Sequence[_Item]], Request],
    send: Callable[..., _Content],
) -> Iterator[tuple[Sequence[_Item], _Content, Request]]:
    """Send one request for several things, or several for parts of them where it is too big.

    Parameters
    ----------
    client
        Whose budget shrinks and grows.
    items
        What is asked for.
    request_of
        Makes the request for some of them.
    send
        Sends it; `splittable` says whether it can be cut in two.

    Yields
    ------
    tuple
        The items that were answered, the answer, and the request; parts in order.
    """
    request = request_of(items)
    try:
        content = send(request, splittable=len(items) > 1)
    except WbframeError as error:
        if len(items) <= 1 or not is_too_big(error):
            raise
        client.budget.shrink()
        half = len(items) // 2
        for part in (items[:half], items[half:]):
            yield from send_in_parts(client, part, request_of, send)
        return
    client.budget.grow()
    yield items, content, request


def send_or_split(client: Client, task: RowsTask) -> Iterator[tuple[RowsTask, bytes, Request]]:
    """Send the request of a task, or those of its parts; yields parts, answers and requests in order."""

    def of(runs: Sequence[str]) -> Request:
        return replace(task, runs=tuple(runs)).request()

    for runs, content, request in send_in_parts(client, task.runs, of, client.send):
        yield replace(task, runs=tuple(runs)), content, request
