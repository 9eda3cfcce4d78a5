"""How lists of runs may differ: their order and their pages."""

from __future__ import annotations

import base64
import hashlib
from itertools import groupby
from typing import TYPE_CHECKING, Any

from wbframe.server.differing.registry import Asked, wraps

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__: list[str] = []

_LISTS = ("Project.runs", "Sweep.runs")
_BEFORE = "next:"


def _every(asked: Asked) -> list[Any]:
    """Give all runs that fit, whatever page of them is asked for."""
    found: list[Any] = []
    after = None
    while True:
        page = asked.answer(first=1000, after=after)
        found += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


def _with_runs(page: dict[str, Any], runs: list[Any]) -> dict[str, Any]:
    """Put other runs into a page."""
    edges = [{**edge, "node": run} for edge, run in zip(page["edges"], runs, strict=False)]
    return {**page, "edges": edges}


def _start(page: Mapping[str, Any]) -> int:
    """Say where a page begins; pages that come here have our own cursors."""
    cursor = page["pageInfo"]["startCursor"]
    return 0 if cursor is None else int(base64.b64decode(cursor).decode().rpartition(":")[2])


@wraps(
    "ties",
    "Runs of one second have another order on each page, so some come twice and some never.",
    *_LISTS,
)
def _ties(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    page = asked.answer()
    start = _start(page)

    def shuffled(run: Any) -> str:
        return hashlib.md5(f"{start}:{run.run.name}".encode()).hexdigest()  # noqa: S324 - an order

    order = asked.arguments.get("order") or "-createdAt"
    if order.lstrip("+-") not in ("createdAt", "created_at"):
        return page
    groups = groupby(_every(asked), key=lambda run: str(run.run.created_at)[:19])
    runs = [run for _, tied in groups for run in sorted(tied, key=shuffled)]
    return _with_runs(page, runs[start : start + len(page["edges"])])


@wraps(
    "order_of_keys", "Runs asked for in the order of a key come in that of their creation.", *_LISTS
)
def _order_of_keys(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    order = (asked.arguments.get("order") or "").lstrip("+-")
    by_key = order.startswith(("config.", "summary_metrics."))
    return asked.answer(order="+createdAt") if by_key else asked.answer()


@wraps(
    "page_overlap", "Each page but the first begins with the last run of the page before.", *_LISTS
)
def _overlap(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    page = asked.answer()
    start = _start(page)
    if not start or not page["edges"]:
        return page
    before = {"node": _every(asked)[start - 1], "cursor": page["pageInfo"]["startCursor"]}
    return {**page, "edges": [before, *page["edges"]]}


@wraps(
    "page_short",
    "Pages, but not the last, lack their last run: the next page begins with it.",
    *_LISTS,
)
def _page_short(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    first = asked.arguments.get("first") or 50
    return asked.answer(first=max(1, first - 1))


@wraps("order_ignored", "Runs come in the order of their names, whatever `order` says.", *_LISTS)
def _order_ignored(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    return asked.answer(order="+name")


@wraps(
    "page_most", "A page has so many runs at the most, whatever `first` says.", *_LISTS, kind=int
)
def _page_most(most: int, asked: Asked) -> Any:
    first = asked.arguments.get("first") or 50
    return asked.answer(first=max(1, min(first, most)))


@wraps(
    "last_page",
    "The last page says that more follows: then comes that page again, or an empty one, or empty ones for ever.",
    *_LISTS,
    choices="repeats empty_once empty",
)
def _last_page(how: str, asked: Asked) -> Any:
    page = asked.answer()
    if page["pageInfo"]["hasNextPage"]:
        return page
    if not page["edges"]:
        if how == "empty_once":
            return page
        if how == "repeats":
            first = asked.arguments.get("first") or 50
            total = page["totalCount"]
            at = max(0, (total - 1) // first * first) - 1
            cursor = (
                base64.b64encode(f"arrayconnection:{at}".encode()).decode() if at >= 0 else None
            )
            page = asked.answer(after=cursor)
    return {**page, "pageInfo": {**page["pageInfo"], "hasNextPage": True}}


@wraps(
    "page_nulls",
    "An empty page has null edges, and lists have null edges between the others.",
    *_LISTS,
)
def _nulls(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    page = asked.answer()
    edges = [each for edge in page["edges"] for each in (edge, None)]
    return {**page, "edges": edges or None}


@wraps(
    "no_page_info",
    "`hasNextPage` is false on every page, or null, or `pageInfo` is null.",
    *_LISTS,
    choices="false null no_info",
)
def _no_page_info(how: str, asked: Asked) -> Any:
    page = asked.answer()
    if how == "no_info":
        return {**page, "pageInfo": None}
    more = False if how == "false" else None
    return {**page, "pageInfo": {**page["pageInfo"], "hasNextPage": more}}


@wraps(
    "cursors",
    "Cursors are tokens that say nothing, plain numbers, or not given for edges, or not for pages.",
    *_LISTS,
    choices="token number no_edge_cursors no_end_cursor",
)
def _cursors(how: str, asked: Asked) -> Any:
    after = asked.arguments.get("after")
    if how in ("no_edge_cursors", "no_end_cursor"):
        page = asked.answer()
        if how == "no_edge_cursors":
            return {**page, "edges": [{**edge, "cursor": None} for edge in page["edges"]]}
        return {**page, "pageInfo": {**page["pageInfo"], "endCursor": None}}
    page = asked.answer(after=_ours(how, after) if after else after)

    def theirs(cursor: str | None) -> str | None:
        if cursor is None:
            return None
        index = base64.b64decode(cursor).decode().rpartition(":")[2]
        if how == "number":
            return str(int(index) + 1)
        return (
            base64.urlsafe_b64encode(f"{_BEFORE}{index}".encode()[::-1]).decode().rstrip("=") + "."
        )

    info = {key: theirs(page["pageInfo"][key]) for key in ("startCursor", "endCursor")}
    edges = [{**edge, "cursor": theirs(edge["cursor"])} for edge in page["edges"]]
    return {**page, "edges": edges, "pageInfo": {**page["pageInfo"], **info}}


def _ours(how: str, after: str) -> str:
    """Give our cursor for one of another form; one that cannot be read stays, and is refused."""
    try:
        if how == "number":
            index = int(after) - 1
        else:
            text = after.removesuffix(".")
            padded = text + "=" * (-len(text) % 4)
            index = int(base64.urlsafe_b64decode(padded)[::-1].decode().removeprefix(_BEFORE))
    except ValueError:
        return after
    return base64.b64encode(f"arrayconnection:{index}".encode()).decode()
