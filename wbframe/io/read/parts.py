"""Less where it was too much: requests that are too big in parts, and what cannot be read left out."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from wbframe.core.histories.rows import TaskRows, merge_rows
from wbframe.core.paths import run_of
from wbframe.core.protocol.answers import open_answer
from wbframe.core.protocol.request import refused_features
from wbframe.errors import (
    AnswerError,
    IncompleteError,
    QueryError,
    RequestError,
    RunNotFoundError,
    WbframeError,
)
from wbframe.io.client.session import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wbframe.core.histories.tasks import HistoryTask, RunRead
    from wbframe.core.model import OnError
    from wbframe.core.protocol.request import Request
    from wbframe.io.client.client import Client

__all__ = [
    "SKIPPED",
    "RefusedFeatureError",
    "halves_of",
    "in_parts",
    "read_or_leave_out",
    "send",
    "send_in_parts",
    "send_page",
]

_Asked = TypeVar("_Asked")
_Item = TypeVar("_Item")
_Out = TypeVar("_Out")
SKIPPED = (RequestError, QueryError, AnswerError, IncompleteError, RunNotFoundError)
_log = logging.getLogger("wbframe.read")


# ---------------------------------------------------------------- too big


def send_in_parts(
    client: Client,
    asked: _Asked,
    cut: Callable[[_Asked], Sequence[_Asked]],
    request_of: Callable[[_Asked], Request],
    read: Callable[[_Asked, bytes, Request], _Out],
    *,
    shrink: Callable[[_Asked], None] | None = None,
) -> Iterator[_Out]:
    """Ask for something in one request, or for parts of it where the server finds that too big.

    Parameters
    ----------
    client
        Who asks, and whose budget of cells shrinks and grows.
    asked
        What is asked for.
    cut
        Cuts it; gives nothing where it cannot be cut.
    request_of
        Makes the request for it, or for a part.
    read
        Reads an answer; it holds a turn to decode meanwhile.
    shrink
        Learns what was too big, in place of the budget of cells.

    Yields
    ------
    _Out
        What was read of each part, in order.

    Raises
    ------
    RefusedFeatureError
        If the server refuses a feature of the request.
    WbframeError
        What `Client.send` raises, also of what cannot be cut any further.
    """
    parts, request = cut(asked), request_of(asked)
    try:
        with Turn(client.decoding) as turn:
            content = send(client, request, splittable=bool(parts), turn=turn)
            if shrink is None:
                client.budget.grow()
            turn.take()
            found = read(asked, content, request)
            del content
    except WbframeError as error:
        if not parts or not error.too_big:
            raise
    else:
        yield found
        return
    if shrink is None:
        client.budget.shrink()
    else:
        shrink(asked)
    for part in parts:
        yield from send_in_parts(client, part, cut, request_of, read, shrink=shrink)


def halves_of(items: Sequence[_Item]) -> list[Sequence[_Item]]:
    """Cut things in two; nothing where there is but one."""
    half = len(items) // 2
    return [items[:half], items[half:]] if half else []


def send_page(
    client: Client,
    wanted: int,
    request_of: Callable[[int], Request],
    read: Callable[[int, bytes, Request], _Out],
) -> _Out:
    """Ask for a page of so many things, or for a smaller one where the server finds that too big."""
    [page] = send_in_parts(
        client,
        client.pages.at_most(wanted),
        lambda size: [size // 2] if size > 1 else [],
        request_of,
        read,
        shrink=client.pages.shrink,
    )
    client.pages.grow()
    return page


class RefusedFeatureError(QueryError):
    """The server does not have a feature that a request uses; remembered, and never leaves the reader."""


def send(
    client: Client, request: Request, *, splittable: bool = False, turn: Turn | None = None
) -> bytes:
    """Send a request that may use features.

    Raises
    ------
    RefusedFeatureError
        If the server refuses one.
    WbframeError
        What `Client.send` raises.
    """
    try:
        content = client.send(request, splittable=splittable, turn=turn)
        if request.features and content[:200].find(b'"errors"') >= 0:
            open_answer(content, request)
    except QueryError as error:
        refused = refused_features(request, str(error))
        if not refused:
            raise
        client.refuse(refused)
        raise RefusedFeatureError(str(error)) from error
    return content


# ---------------------------------------------------------------- left out


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
        halves = halves_of(part)
        if not halves or (isinstance(error, RequestError) and not error.too_big):
            yield part, error
            return
    else:
        yield part, found
        return
    for some in halves:
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
            where = run_of(task.path, run.run_id)
            _log.warning(
                "%s is left out: %s", where, rows,
                extra={"wbframe_run": run.run_id, "wbframe_reason": str(rows)},
            )  # fmt: skip
            found.left_out[run.ordinal] = str(rows)
    return found
