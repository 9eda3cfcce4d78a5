"""Pages of runs, one after the other, and whether they are all the runs that there are."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wbframe.core import filters as flt
from wbframe.core import graphql
from wbframe.core.graphql import NodeFields
from wbframe.core.listing import ProjectListing, cursors_ahead
from wbframe.errors import AnswerError, IncompleteError, QueryError, WbframeError
from wbframe.io.overlap import side_by_side
from wbframe.io.retry import is_too_big

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from wbframe.core.listing import Listing, Page
    from wbframe.core.model import Request, Selection
    from wbframe.io.client import Client

__all__ = ["pages_of", "send_or_refuse"]

_NAMES_A_PAGE = 1_000
_NAMES_A_FILTER = 500


@dataclass(slots=True)
class _Met:
    """What the pages of one listing held: the names of their runs, and how many the server counted each time."""

    names: set[str] = field(default_factory=set)
    counts: list[int] = field(default_factory=list)

    def meet(self, page: Page) -> None:
        """Take note of a page."""
        self.names.update(node.name for node in page.nodes)
        if page.run_count is not None:
            self.counts.append(page.run_count)

    @property
    def complete(self) -> bool:
        """Whether these are all runs: as many as were counted, and always as many."""
        return not self.counts or (
            len(self.names) >= self.counts[-1] and len(set(self.counts)) == 1
        )


def pages_of(
    client: Client, listing: Listing, selection: Selection
) -> Generator[tuple[Listing, Page]]:
    """Read the pages of a listing, in order; stop taking to stop reading.

    Runs that come and go meanwhile move others from one page to the next, so that one may be given twice, or
    never. If the server's count changes, or is above what came, all names are listed again (a thousand a
    request), and the runs that were missed are read behind the others.

    Raises
    ------
    AnswerError
        If a cursor comes again.
    IncompleteError
        If the server still counts more runs than it gives.
    """
    met = _Met()
    # How many pages are wanted is not known where some of their runs are left out here.
    foretell = selection.limit is None or selection.predicate is None
    with closing(_pages(client, listing, selection.limit, foretell=foretell)) as pages:
        for known, page in pages:
            met.meet(page)
            yield known, page
    if isinstance(listing, ProjectListing) and not met.complete:
        yield from _missed(client, listing, met)


def _pages(
    client: Client, listing: Listing, most: int | None = None, *, foretell: bool = True
) -> Generator[tuple[Listing, Page]]:
    """Read pages; where the cursors of further ones can be foretold, side by side.

    Each of these must end where the next one was asked to begin, so that what is sent is the same as one
    after the other.
    """
    known, page = _page(client, listing, None)
    yield known, page
    seen: set[str] = set()
    # Pages that had to be made smaller grow again, so that nobody knows where they will end.
    foretell = foretell and known.per_page == listing.per_page
    ahead = cursors_ahead(known, page, most) if foretell else []
    if len(ahead) > 1:
        foretold = side_by_side(
            client, lambda cursor: _page(client, listing, cursor), ahead, ahead=client.concurrency
        )
        with closing(foretold):
            for cursor, answer in zip(ahead, foretold, strict=True):
                if page.cursor != cursor:
                    break
                seen.add(cursor)
                known, page = answer
                yield known, page
    while page.cursor is not None:
        if page.cursor in seen:
            raise AnswerError(
                f"could not read {known.asked}: the server repeats the cursor of a page; try again"
            )
        seen.add(page.cursor)
        known, page = _page(client, listing, page.cursor)
        yield known, page


def _page(client: Client, listing: Listing, cursor: str | None) -> tuple[Listing, Page]:
    """Read one page; a smaller one where the server finds it too big, and again where it refuses a field."""
    while True:
        size = client.pages.at_most(listing.per_page)
        known = replace(listing, fields=listing.fields.without(client.refused), per_page=size)
        request = known.request(cursor)
        try:
            content = send_or_refuse(client, request, splittable=size > 1)
        except WbframeError as error:
            if size <= 1 or not is_too_big(error):
                raise
            client.pages.shrink(size)
            continue
        if content is not None:
            page = known.page(content, request)
            client.pages.grow()
            return known, page


def _missed(client: Client, listing: ProjectListing, met: _Met) -> Iterator[tuple[Listing, Page]]:
    """Read the runs that the pages missed."""
    names = replace(listing, fields=NodeFields(), per_page=_NAMES_A_PAGE)
    there = _Met()
    for _, page in _pages(client, names):
        there.meet(page)
    missed = sorted(there.names - met.names)
    for start in range(0, len(missed), _NAMES_A_FILTER):
        only = flt.parse({"name": {"$in": missed[start : start + _NAMES_A_FILTER]}})
        late = replace(listing, filters=flt.conjoin(only, listing.filters))
        yield from _pages(client, late)
    counted = there.counts[-1] if there.counts else 0
    if len(there.names) < counted:
        raise IncompleteError(
            f"could not read {listing.asked} completely: the server counts {counted} and gives"
            f" {len(there.names)}; try again, or set on_error='skip' to do without the others"
        )


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
