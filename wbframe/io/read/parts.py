"""What ``on_error="skip"`` leaves out: single runs where it can be told which, else what was asked at once."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from wbframe.core.histories.rows import TaskRows, merge_rows
from wbframe.core.paths import name_of
from wbframe.errors import (
    AnswerError,
    IncompleteError,
    QueryError,
    RequestError,
    RunNotFoundError,
    WbframeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wbframe.core.histories.tasks import HistoryTask, RunRead
    from wbframe.core.model import OnError
    from wbframe.core.protocol.request import Request
    from wbframe.io.client.client import Client

__all__ = ["SKIPPED", "in_parts", "read_or_leave_out", "send_in_parts"]

_Item = TypeVar("_Item")
_Out = TypeVar("_Out")
SKIPPED = (RequestError, QueryError, AnswerError, IncompleteError, RunNotFoundError)
_log = logging.getLogger("wbframe.read")


def in_parts(
    read: Callable[[tuple[_Item, ...]], _Out], items: Sequence[_Item], on_error: OnError
) -> Iterator[tuple[tuple[_Item, ...], _Out | WbframeError]]:
    """Read things together; where some may be left out and cannot be read, the others without them.

    What the server said of one of them is found by halves. Where there is no server to be read from, each would
    say the same, so they are left out together.

    Parameters
    ----------
    read
        Reads several.
    items
        Which.
    on_error
        Whether any may be left out.

    Yields
    ------
    tuple
        Some of them, and what was read, or why it was not; in order.
    """
    part = tuple(items)
    try:
        found = read(part)
    except SKIPPED as error:
        if on_error == "raise":
            raise
        if len(part) == 1 or (isinstance(error, RequestError) and not error.too_big):
            yield part, error
            return
    else:
        yield part, found
        return
    half = len(part) // 2
    for some in (part[:half], part[half:]):
        yield from in_parts(read, some, on_error)


def read_or_leave_out(read: Callable[[HistoryTask], TaskRows], task: HistoryTask) -> TaskRows:
    """Read a task; where it may, leave out the runs that cannot be read."""
    if task.on_error == "raise":
        return read(task)

    def some(runs: tuple[RunRead, ...]) -> TaskRows:
        return read(replace(task, runs=runs))

    found = TaskRows()
    for runs, rows in in_parts(some, task.runs, task.on_error):
        if isinstance(rows, TaskRows):
            merge_rows(found, rows)
            continue
        for run in runs:
            _log.warning(
                "%s/%s is left out: %s", name_of(task.path), run.run_id, rows,
                extra={"wbframe_run": run.run_id, "wbframe_reason": str(rows)},
            )  # fmt: skip
            found.left_out[run.ordinal] = str(rows)
    return found


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
        if len(items) <= 1 or not error.too_big:
            raise
        client.budget.shrink()
        half = len(items) // 2
        for part in (items[:half], items[half:]):
            yield from send_in_parts(client, part, request_of, send)
        return
    client.budget.grow()
    yield items, content, request
