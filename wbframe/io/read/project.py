"""What a server says of a whole project: its config and summary keys, the keys of its rows, how many runs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from wbframe.core import filters as flt
from wbframe.core.histories.entries import parse_keys
from wbframe.core.protocol.project import (
    FIELDS_PER_PAGE,
    count_answer,
    count_request,
    fields_page,
    fields_request,
    keys_answer,
    keys_request,
)
from wbframe.core.protocol.request import FIELDS, KEYS
from wbframe.core.protocol.runs import server_filters
from wbframe.core.schema.types import index_of_fields, merge_index
from wbframe.errors import AnswerError
from wbframe.io.read.paging import send_or_refuse, send_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wbframe.core.filters import Filter
    from wbframe.core.model import RunPath
    from wbframe.core.schema.types import Index
    from wbframe.io.client.client import Client

__all__ = ["count_runs", "read_index", "read_keys"]


def read_index(client: Client, paths: Iterable[RunPath]) -> Index | None:
    """Read the index of config and summary keys of the projects; None where a server has none."""
    index: Index = {}
    for path in dict.fromkeys(replace(each, run=None, sweep=None) for each in paths):
        cursor = None
        seen = set()
        while True:
            if FIELDS in client.refused:
                return None
            content, request, _ = send_page(
                client, FIELDS_PER_PAGE, partial(fields_request, path, cursor)
            )
            if content is None:
                return None
            pairs, cursor = fields_page(content, request, path)
            merge_index(index, index_of_fields(pairs))
            if cursor is None:
                break
            if cursor in seen:
                msg = f"could not read {request.asked}: the server repeats the cursor of a page"
                raise AnswerError(f"{msg}; try again")
            seen.add(cursor)
    return index


def read_keys(
    client: Client, path: RunPath, filters: Filter
) -> Mapping[str, Mapping[str, int]] | None:
    """Read the keys that the runs of a project have logged: key -> type -> rows that hold it.

    None where a server does not unite them.
    """
    if KEYS in client.refused:
        return None
    request = keys_request(path, flt.to_json(server_filters(filters, path)))
    content = send_or_refuse(client, request)
    if content is None:
        return None
    return parse_keys(keys_answer(content, request, path), where=request.asked)


def count_runs(client: Client, path: RunPath, filters: Filter) -> int:
    """Ask how many runs of a project or sweep pass the filters."""
    request = count_request(path, flt.to_json(server_filters(filters, path)))
    return count_answer(client.send(request), request, path)
