"""What a server says of a whole project or of its user: documents and answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.core.hints import whole
from wbframe.core.protocol.answers import (
    RAW_NULL,
    PageInfo,
    answered,
    decode_answer,
    found_project,
    open_answer,
)
from wbframe.core.protocol.request import COUNT, FIELDS, KEYS, Request, of_project
from wbframe.core.protocol.runs import RunsData
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from wbframe.core.model import RunPath


# No largest page is documented; one that is too big is halved.
FIELDS_PER_PAGE = 1000


class _Field(msgspec.Struct):
    path: str
    type: Any = None


class _FieldEdge(msgspec.Struct):
    node: _Field | None = None


class _Fields(msgspec.Struct, rename="camel"):
    edges: list[_FieldEdge | None] = []
    page_info: PageInfo = msgspec.field(default_factory=PageInfo)


class _FieldsProject(msgspec.Struct):
    fields: _Fields | None = None


@answered
class _FieldsData(msgspec.Struct):
    project: _FieldsProject | None = None


class _KeysConnection(msgspec.Struct, rename="camel"):
    history_keys: msgspec.Raw = RAW_NULL


class _KeysProject(msgspec.Struct):
    runs: _KeysConnection | None = None


@answered
class _KeysData(msgspec.Struct):
    project: _KeysProject | None = None


# ---------------------------------------------------------------- the index of fields


def fields_request(
    path: RunPath, cursor: str | None = None, first: int = FIELDS_PER_PAGE
) -> Request:
    """Ask for a page of the project's index of config and summary keys."""
    return of_project(
        "Fields",
        path,
        "fields(first: $first, after: $after)"
        " { edges { node { path type } } pageInfo { endCursor hasNextPage } }",
        asked="the fields",
        variables={"first": ("Int!", first), "after": ("String", cursor)},
        features={FIELDS},
    )


def fields_page(
    content: bytes, request: Request, path: RunPath
) -> tuple[list[tuple[str, Any]], str | None]:
    """Parse a page of the index: (path, type) pairs, and the next cursor or None."""
    data: _FieldsData = decode_answer(open_answer(content, request), _FieldsData, request)
    fields = found_project(data.project, path).fields or _Fields()
    pairs = [(edge.node.path, edge.node.type) for edge in fields.edges if edge and edge.node]
    more = fields.page_info.has_next_page and bool(fields.edges)
    return pairs, fields.page_info.end_cursor if more else None


def keys_request(path: RunPath, filters: str) -> Request:
    """Ask for the logged keys of all runs that pass the filters, at once."""
    return of_project(
        "Keys",
        path,
        # On the connection it is of all runs that pass, not of the page, so that one run is enough. No SDK
        # asks for it here, but other clients do.
        "runs(filters: $filters, first: 1) { historyKeys }",
        asked="the logged keys",
        variables={"filters": ("JSONString", filters)},
        features={KEYS},
    )


def keys_answer(content: bytes, request: Request, path: RunPath) -> msgspec.Raw:
    """Parse the answer to `keys_request`: the bytes of the united historyKeys."""
    data: _KeysData = decode_answer(open_answer(content, request), _KeysData, request)
    runs = found_project(data.project, path).runs
    return RAW_NULL if runs is None else runs.history_keys


def count_request(path: RunPath, filters: str) -> Request:
    """Ask how many runs pass the filters."""
    return of_project(
        "Count",
        path,
        "runCount(filters: $filters)",
        asked="the number of runs",
        variables={"filters": ("JSONString", filters)},
        features={COUNT},
    )


def count_answer(content: bytes, request: Request, path: RunPath) -> int:
    """Parse the answer to `count_request`.

    Raises
    ------
    ProjectNotFoundError
        If there is no such project.
    AnswerError
        If the answer has no count.
    """
    data: RunsData = decode_answer(open_answer(content, request), RunsData, request)
    count = whole(found_project(data.project, path).run_count)
    if count is None:
        raise AnswerError(f"could not read {request.asked}: the answer has no runCount")
    return count


VIEWER = Request(
    document="query Viewer { viewer { id entity username } }",
    variables={},
    asked="the default entity",
)


class _Viewer(msgspec.Struct):
    entity: str | None = None


@answered
class _ViewerData(msgspec.Struct):
    viewer: _Viewer | None = None


def viewer_entity(content: bytes) -> str | None:
    """Parse the answer to `VIEWER`."""
    data: _ViewerData = decode_answer(open_answer(content, VIEWER), _ViewerData, VIEWER)
    # Null is no error: so W&B answers who is not logged in.
    return None if data.viewer is None else data.viewer.entity
