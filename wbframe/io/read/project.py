"""What a server says of a whole project: its config and summary keys, the keys of its rows, how many runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from wbframe.core import filters as flt
from wbframe.core.hints import MOST_FRUITLESS, more_than
from wbframe.core.histories.entries import parse_keys
from wbframe.core.paths import name_of, projects_of
from wbframe.core.protocol.project import (
    FIELDS_PER_PAGE,
    count_answer,
    count_request,
    fields_page,
    fields_request,
    keys_answer,
    keys_request,
)
from wbframe.core.protocol.request import COUNT, FIELDS, KEYS, PAGES
from wbframe.core.protocol.runs import SDK_PER_PAGE, server_filters
from wbframe.core.schema.types import index_of_fields, merge_index
from wbframe.errors import AnswerError
from wbframe.io.read.parts import optionally, past_absent, send_and_read, send_page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wbframe.core.filters import Filter
    from wbframe.core.model import OnError, RunPath
    from wbframe.core.schema.types import Index
    from wbframe.io.client.client import Client

__all__ = ["count_runs", "read_index", "read_keys"]

# As many as a million fields take; a server that has small ones only does without its index.
_MOST_PAGES = 1_000


def read_index(
    client: Client, paths: Iterable[RunPath], on_error: OnError = "raise"
) -> Index | None:
    """Read the index of config and summary keys of the projects; None where a server has none."""
    found: Index = {}
    projects = projects_of(paths)
    for index in past_absent(client, partial(_index_of, client), projects, on_error):
        if index is None:
            return None
        merge_index(found, index)
    return found


def _index_of(client: Client, path: RunPath) -> Index | None:
    """Read the index of one project."""

    def ask(refused: frozenset[str]) -> Index | None:
        if FIELDS in refused:
            return None
        index: Index = {}
        first = SDK_PER_PAGE if PAGES in refused else FIELDS_PER_PAGE
        for pairs in _fields_of(client, path, first):
            merge_index(index, index_of_fields(pairs))
        return index

    return optionally(client, [PAGES, FIELDS], ask)


def _fields_of(client: Client, path: RunPath, first: int) -> Iterator[list[tuple[str, Any]]]:
    """Read the index of one project, page by page."""
    cursor: str | None = None
    seen: set[str | None] = set()
    met: set[str] = set()
    fruitless = 0
    while cursor is not None or not seen:
        # A server whose cursor stands still would be asked for ever.
        if cursor in seen:
            msg = f"could not read the fields of {name_of(path)}: the server repeats the cursor of a page"
            raise AnswerError(f"{msg}; try again")
        seen.add(cursor)
        pairs, cursor = send_page(
            client,
            first,
            partial(fields_request, path, cursor),
            lambda _, content, request: fields_page(content, request, path),
            halvings=0,
        )
        before = len(met)
        met.update(name for name, _ in pairs)
        fruitless = 0 if len(met) > before else fruitless + 1
        if cursor is not None and fruitless >= MOST_FRUITLESS:
            raise AnswerError(
                f"could not read the fields of {name_of(path)}: the last {fruitless} pages brought no other;"
                " try again"
            )
        if len(seen) > _MOST_PAGES:
            raise more_than(_MOST_PAGES, "pages", asked="the fields", advice="name the columns")
        yield pairs


def read_keys(
    client: Client, path: RunPath, filters: Filter
) -> Mapping[str, Mapping[str, int]] | None:
    """Read the keys that the runs of a project have logged: key -> type -> rows that hold it.

    None where a server does not unite them.
    """

    def ask(refused: frozenset[str]) -> Mapping[str, Mapping[str, int]] | None:
        if KEYS in refused:
            return None
        request = keys_request(path, flt.to_json(server_filters(filters, path)))
        return send_and_read(
            client, request, lambda content, of: parse_keys(keys_answer(content, of, path))
        )

    return optionally(client, [KEYS], ask)


def count_runs(client: Client, path: RunPath, filters: Filter) -> int | None:
    """Ask how many runs of a project or sweep pass the filters; None where a server does not say."""

    def ask(refused: frozenset[str]) -> int | None:
        if COUNT in refused:
            return None
        request = count_request(path, flt.to_json(server_filters(filters, path)))
        return send_and_read(client, request, lambda content, of: count_answer(content, of, path))

    return optionally(client, [COUNT], ask)
