"""Drives plans: sends their requests, overlaps them, hands out what came back in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from wbframe.core import graphql
from wbframe.core.histories import TaskRows, merge_rows, read_answer
from wbframe.core.listing import cursors_ahead, listings
from wbframe.core.schema import index_of_fields, merge_index
from wbframe.errors import AnswerError, PathError, QueryError, StatusError, TimedOutError
from wbframe.io.retry import is_too_big

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

    from wbframe.core.graphql import NodeFields
    from wbframe.core.listing import Listing, Page
    from wbframe.core.model import Request, RunPath, Selection
    from wbframe.core.plan import HistoryTask
    from wbframe.core.schema import Index
    from wbframe.core.sdk_rows import RowsTask
    from wbframe.io.client import Client

_In = TypeVar("_In")
_Out = TypeVar("_Out")
# A request for some of many runs.
_Task = TypeVar("_Task", "HistoryTask", "RowsTask")


def resolved(client: Client, paths: Iterable[RunPath]) -> tuple[RunPath, ...]:
    """Fill in the default entity, and check that addresses belong to the client's server.

    Raises
    ------
    PathError
        If an address is one of another server's web app.
    """
    from wbframe.io.credentials import app_hosts  # noqa: PLC0415 -- read where the environment is

    hosts = app_hosts(client.base_url)
    found = []
    for path in paths:
        if path.host is not None and path.host not in hosts:
            msg = (
                f"the address is of {path.host}, but the client reads {client.base_url};"
                " set WANDB_BASE_URL, or pass `client=wbframe.Client(base_url=...)`"
            )
            raise PathError(msg)
        entity = path.entity if path.entity is not None else client.default_entity()
        found.append(replace(path, entity=entity, host=None))
    return tuple(dict.fromkeys(found))


def read_index(client: Client, paths: Iterable[RunPath]) -> Index | None:
    """Read the index of config and summary keys of the projects; None where a server has none."""
    index: Index = {}
    for path in dict.fromkeys(replace(each, run=None, sweep=None) for each in paths):
        cursor = None
        while True:
            if graphql.FIELDS in client.refused:
                return None
            request = graphql.fields_request(path, cursor)
            content = send_or_refuse(client, request)
            if content is None:
                return None
            pairs, cursor = graphql.fields_page(content, request, path)
            merge_index(index, index_of_fields(pairs))
            if cursor is None:
                break
    return index


def read_pages(
    client: Client, selection: Selection, fields: NodeFields
) -> Iterator[tuple[Listing, Page]]:
    """Read the pages of a selection, in order; stop taking to stop reading.

    Where the cursors of further pages can be foretold, these are read side by side. Each must end where the
    next one was asked to begin, so that what is sent is the same as one after the other.
    """
    for listing in listings(selection, fields):
        pages = _pages_of(client, listing, selection)
        with closing(pages):
            for page in pages:
                yield listing, page


def _pages_of(client: Client, listing: Listing, selection: Selection) -> Generator[Page]:
    """Read the pages of one listing."""
    page = _read_page(client, listing, None)
    yield page
    ahead: list[str] = []
    if selection.limit is None or selection.predicate is None:
        ahead = cursors_ahead(listing, page, selection.limit)
    if len(ahead) > 1:
        foretold = side_by_side(
            client,
            lambda cursor: _read_page(client, listing, cursor),
            ahead,
            ahead=client.concurrency,
        )
        with closing(foretold):
            for cursor, next_page in zip(ahead, foretold, strict=True):
                if page.cursor != cursor:
                    break
                page = next_page
                yield page
    while page.cursor is not None:
        cursor = page.cursor
        page = _read_page(client, listing, cursor)
        yield page
        if page.cursor == cursor:
            raise AnswerError(
                f"could not read {listing.asked}: the server repeats the cursor of a page; try again"
            )


def _read_page(client: Client, listing: Listing, cursor: str | None) -> Page:
    """Read one page; again where the server refuses a field."""
    while True:
        known = replace(listing, fields=listing.fields.without(client.refused))
        request = known.request(cursor)
        content = send_or_refuse(client, request)
        if content is not None:
            return known.page(content, request)


def send_or_refuse(client: Client, request: Request, *, splittable: bool = False) -> bytes | None:
    """Send a request that uses features; None, and remembered, if the server refuses one."""
    try:
        content = client.send(request, splittable=splittable)
        if request.features and content[:200].find(b'"errors"') >= 0:
            graphql.open_answer(content, request)
    except QueryError as error:
        refused = graphql.refused_features(request, str(error))
        if not refused:
            raise
        client.refuse(refused)
        return None
    return content


def read_tasks(
    client: Client, tasks: Iterable[HistoryTask], *, ahead: int | None = None
) -> Generator[TaskRows]:
    """Read tasks side by side, and hand out what they gave in their order.

    Closing the iterator stops what has not begun.
    """
    return side_by_side(client, lambda task: read_task(client, task), tasks, ahead=ahead)


def side_by_side(
    client: Client, work: Callable[[_In], _Out], items: Iterable[_In], *, ahead: int | None = None
) -> Generator[_Out]:
    """Do the work of each item on the client's threads, and hand out the results in order.

    Items are taken on the caller's thread, `ahead` of what it has been given at the most.
    """
    ahead = ahead or 2 * client.concurrency
    with ThreadPoolExecutor(client.concurrency, thread_name_prefix="wbframe") as pool:
        yield from _in_order(pool, work, items, ahead)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[_In], _Out], items: Iterable[_In], ahead: int
) -> Iterator[_Out]:
    """Map with bounded look-ahead, in order."""
    waiting: deque[Future[_Out]] = deque()
    source = iter(items)
    try:
        for item in source:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def read_task(client: Client, task: HistoryTask) -> TaskRows:
    """Read one task; ask again where grouping was wrong."""
    found = TaskRows()
    for part, content, request in send_or_split(client, task):
        with client.decoding:
            rows = read_answer(part, content, request)
        del content
        again, rows.again = rows.again, None
        merge_rows(found, rows)
        if again is not None:
            merge_rows(found, read_task(client, again))
    return found


def send_or_split(client: Client, task: _Task) -> Iterator[tuple[_Task, bytes, Request]]:
    """Send the request of a task; cut the task in two where the server finds it too big.

    Yields
    ------
    tuple
        The part of the task that was answered, the answer, and the request; parts in order.
    """
    request = task.request()
    try:
        content = client.send(request, splittable=len(task.runs) > 1)
    except (StatusError, TimedOutError) as error:
        if len(task.runs) == 1 or not is_too_big(error):
            raise
        client.budget.shrink()
        half = len(task.runs) // 2
        for runs in (task.runs[:half], task.runs[half:]):
            yield from send_or_split(client, replace(task, runs=runs))
        return
    client.budget.grow()
    yield task, content, request
