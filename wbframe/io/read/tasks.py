"""Drives plans: sends their requests, overlaps them, hands out what came back in order."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from wbframe.core.histories.rows import TaskRows, halves, merge_rows, put_together, read_answer
from wbframe.core.histories.tasks import HistoryTask, whole_rows
from wbframe.core.paths import name_of
from wbframe.core.runs.listing import listings
from wbframe.errors import PathError
from wbframe.io.read.paging import pages_of
from wbframe.io.read.parts import SKIPPED, read_or_leave_out, send_in_parts
from wbframe.io.threads import side_by_side
from wbframe.report import LeftOut

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from wbframe.core.model import RunPath, Selection
    from wbframe.core.protocol.runs import Listing, NodeFields, Page
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Read

__all__ = ["read_pages", "read_task", "read_tasks", "resolved"]


def resolved(client: Client, paths: Iterable[RunPath]) -> tuple[RunPath, ...]:
    """Fill in the default entity, and check that addresses belong to the client's server.

    Raises
    ------
    PathError
        If an address is one of another server's web app.
    """
    from wbframe.io.client.credentials import app_hosts  # noqa: PLC0415 -- read where the environment is

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


def read_pages(
    read: Read, selection: Selection, fields: NodeFields
) -> Iterator[tuple[Listing, Page]]:
    """Read the pages of a selection, in order; stop taking to stop reading.

    Where the selection says so, a project whose further runs cannot be listed is a loss.
    """
    for listing in listings(selection, fields):
        taken = 0
        with closing(pages_of(read.client, listing, selection)) as pages:
            try:
                for known, page in pages:
                    taken += len(page.nodes)
                    yield known, page
            except SKIPPED as error:
                if selection.on_error == "raise" or read.losses is None:
                    raise
                why = f"no runs behind the first {taken}: {error}"
                read.losses.append(LeftOut(name_of(listing.path), why))


def read_tasks(
    client: Client, tasks: Iterable[HistoryTask], *, ahead: int | None = None
) -> Generator[TaskRows]:
    """Read tasks side by side, and hand out what they gave in their order.

    Closing the iterator stops what has not begun, and cuts what has.
    """

    def read(task: HistoryTask) -> TaskRows:
        return read_task(client, task)

    return side_by_side(
        client.concurrency, lambda task: read_or_leave_out(read, task), tasks, ahead=ahead
    )


def read_task(client: Client, task: HistoryTask) -> TaskRows:
    """Read one task; ask again where grouping was wrong, and for less where it was too big."""
    lead = tuple(task.schema.lead)
    found = TaskRows()
    unclear: set[int] = set()
    for rows in send_in_parts(client, task, halves, HistoryTask.request, read_answer):
        again, rows.again = rows.again, None
        unclear |= put_together(found, rows, lead)
        if again is not None:
            put_together(found, read_task(client, again), lead)
    if unclear:
        runs = tuple(whole_rows(run) for run in task.runs if run.ordinal in unclear)
        merge_rows(found, read_task(client, replace(task, runs=runs)))
    return found
