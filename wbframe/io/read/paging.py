"""Pages of runs, one after the other, and whether they are all the runs that there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wbframe.core import filters as flt
from wbframe.core.batches import halves_of
from wbframe.core.hints import MOST_FRUITLESS, MOST_PAGES, more_than
from wbframe.core.model import MOST_PER_PAGE, RunPath
from wbframe.core.paths import name_of, path_at, run_of
from wbframe.core.protocol.answers import run_not_found
from wbframe.core.protocol.request import PROJECTION
from wbframe.core.protocol.runs import (
    Listing,
    NamedListing,
    NodeFields,
    Page,
    ProjectListing,
    RunNode,
    cursors_ahead,
    is_offset,
    lacks,
    one_earlier,
)
from wbframe.core.runs.listing import RunsTaken, listings, only_named
from wbframe.core.schema.doubts import doubts
from wbframe.errors import (
    AnswerError,
    CountWarning,
    IncompleteError,
    PathError,
    QueryError,
    StatusError,
)
from wbframe.io.client.credentials import app_places
from wbframe.io.read.parts import ABSENT, SKIPPED, is_of_one, optionally, send_page
from wbframe.io.threads import side_by_side
from wbframe.report import Progress
from wbframe.warn import warn

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from wbframe.core.model import Selection
    from wbframe.core.protocol.request import Request
    from wbframe.errors import WbframeError
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Read

__all__ = ["Listed", "Met", "fresh_runs", "list_runs", "pages_of", "read_pages", "resolved"]

Listed = Iterator[tuple[Listing, Page]]
# A project whose runs move each time that they are listed is given up.
_MOST_LISTINGS = 3
_NAMES_A_FILTER = 500


@dataclass(slots=True)
class Met:
    """What the pages of one listing held, and whether these can be all its runs.

    Attributes
    ----------
    names, last
        The runs, and the one that came last.
    counts
        How many the server counted, each time.
    joined, moved
        Whether each page began with the last run of the one before, and whether one did not though it should.
    pages, fruitless
        How many came, and how many of the last brought no new run.
    """

    names: set[str] = field(default_factory=set)
    last: str | None = None
    counts: list[int] = field(default_factory=list)
    joined: bool = True
    moved: bool = False
    pages: int = 0
    fruitless: int = 0

    def meet(self, page: Page, *, overlaps: bool | None = None) -> Page:
        """Take note of a page, and take off it what it has in common with the one before."""
        if overlaps and page.nodes and page.nodes[0].name == self.last:
            page = replace(page, nodes=page.nodes[1:])
        elif overlaps:
            self.moved = True
        elif overlaps is not None:
            self.joined = False
        before = len(self.names)
        self.names.update(node.name for node in page.nodes)
        self.names.update(page.missing)
        self.pages += 1
        self.fruitless = 0 if len(self.names) > before else self.fruitless + 1
        self.last = page.nodes[-1].name if page.nodes else self.last
        if page.run_count is not None:
            self.counts.append(page.run_count)
        return page

    def check(self, asked: str) -> None:
        """Check that the pages come to an end.

        Raises
        ------
        AnswerError
            If they go on without anything new, or for ever.
        """
        if self.fruitless >= MOST_FRUITLESS and not self.has_all:
            raise AnswerError(
                f"could not read {asked}: the server counts {self.counts[-1]} runs, has given {len(self.names)},"
                f" and its last {self.fruitless} pages brought no other; try again"
            )
        if self.pages > MOST_PAGES:
            raise more_than(MOST_PAGES, "pages", asked=asked, advice="set `limit`, or a filter")

    @property
    def has_all(self) -> bool:
        """Whether as many runs came as the server counts, or it counts none."""
        return not self.counts or len(self.names) >= self.counts[-1]

    def next_cursor(self, page: Page) -> str | None:
        """Give where the next page begins; of a page that calls itself the last too early, too."""
        early = page.cursor is None and page.nodes and self.counts and not self.has_all
        return (
            page.after
            if early and self.counts[-1] - len(self.names) >= len(page.nodes)
            else page.cursor
        )

    @property
    def complete(self) -> bool:
        """Whether no run was missed that was there all the time."""
        if not self.counts:
            return not self.moved
        # Where all pages join, runs that came or went did so behind them.
        still = self.joined or len(set(self.counts)) == 1
        # A run that was deleted meanwhile is no run that was missed.
        least = min(self.counts) if self.joined else self.counts[-1]
        return still and not self.moved and len(self.names) >= least


def pages_of(read: Read, listing: Listing, selection: Selection) -> Generator[tuple[Listing, Page]]:
    """Read the pages of a listing, in order; stop taking to stop reading.

    Runs that come and go meanwhile move others from one page to the next, so that one may be given twice, or
    never. Where cursors are plain offsets, each page is asked for from the last run of the one before it on,
    and if that is another one by now, or else if the server's count changes or is above what came, all names
    are listed again (a thousand a request), and the runs that were missed are read behind the others.

    Raises
    ------
    AnswerError
        If a cursor comes again, or pages go on that bring nothing new.
    IncompleteError
        If the server still counts more runs than it gives, or they never stand still.
    """
    met = Met()
    # How many pages are wanted is not known where some of their runs are left out here.
    foretell = selection.limit is None or selection.predicate is None
    with closing(_pages(read.client, listing, met, selection.limit, foretell=foretell)) as pages:
        yield from pages
    if isinstance(listing, ProjectListing) and not met.complete:
        yield from _missed(read, listing, met)


def _pages(
    client: Client, listing: Listing, met: Met, most: int | None = None, *, foretell: bool = True
) -> Generator[tuple[Listing, Page]]:
    """Read pages; where the cursors of further ones can be foretold, side by side.

    Each of these must end where the next one was asked to begin, so that what is sent is the same as one
    after the other.
    """
    known, page, _ = _page(client, listing, None)
    yield known, met.meet(page)
    # Pages that had to be made smaller grow again, so that nobody knows where they will end.
    as_asked = known.per_page == listing.per_page
    # Where cursors are offsets, a run that comes or goes shifts all pages behind it; then a run is missed, or
    # comes twice: https://github.com/wandb/wandb/issues/6614, https://github.com/wandb/wandb/issues/7666
    overlap = (
        isinstance(listing, ProjectListing)
        and len(page.nodes) == listing.per_page
        and is_offset(page)
    )
    ahead = cursors_ahead(known, page, most) if foretell and as_asked else []

    def read(cursor: str) -> tuple[Listing, Page, bool]:
        return _page(client, listing, cursor, overlap=overlap)

    seen: set[str] = set()
    if len(ahead) > 1:
        with closing(
            side_by_side(client.concurrency, read, ahead, ahead=client.concurrency)
        ) as foretold:
            for cursor, (known, following, overlaps) in zip(ahead, foretold, strict=True):
                if page.cursor != cursor:
                    break
                seen.add(cursor)
                page = following
                yield known, met.meet(page, overlaps=overlaps)
                met.check(known.asked)
    while (after := met.next_cursor(page)) is not None:
        if after in seen:
            if page.cursor is None:
                return  # it was the last page after all
            raise AnswerError(
                f"could not read {known.asked}: the server repeats the cursor of a page; try again"
            )
        seen.add(after)
        known, page, overlaps = read(after)
        yield known, met.meet(page, overlaps=overlaps)
        if met.fruitless and met.has_all:
            return
        met.check(known.asked)


def _page(
    client: Client, listing: Listing, cursor: str | None, *, overlap: bool = False
) -> tuple[Listing, Page, bool]:
    """Read one page; a smaller one where the server finds it too big, and again where it refuses a field.

    If it may, it begins with the run before the cursor; the last of what comes back tells whether it does.
    """

    def ask(refused: frozenset[str]) -> tuple[Listing, Page, bool]:
        known = listing.without(refused)
        overlaps = overlap and known.per_page == listing.per_page < MOST_PER_PAGE

        def request_of(size: int) -> Request:
            begin = one_earlier(cursor) if cursor and size > listing.per_page else cursor
            return replace(known, per_page=size).request(begin)

        def read(size: int, content: bytes, request: Request) -> tuple[Listing, Page, bool]:
            sized = replace(known, per_page=size)
            return sized, sized.page(content, request), size > listing.per_page

        return send_page(client, known.per_page + overlaps, request_of, read)

    found = optionally(client, listing.features, ask)
    if PROJECTION in found[0].features and PROJECTION not in client.trusted:
        return _judged(client, found, lambda: ask(client.refused | {PROJECTION}))
    return found


def _judged(
    client: Client,
    projected: tuple[Listing, Page, bool],
    ask_whole: Callable[[], tuple[Listing, Page, bool]],
) -> tuple[Listing, Page, bool]:
    """Give a page of some keys of config and summary; if no run has one of them, whole ones tell why."""
    listing, page, _ = projected
    lacking = lacks(page.nodes, listing.fields)
    if not page.nodes or not lacking:
        return projected
    found = ask_whole()
    if lacking - lacks(found[1].nodes, listing.fields):
        client.refuse(frozenset({PROJECTION}))
        return found
    client.trust(PROJECTION, exact=True)
    return projected


def _missed(read: Read, listing: ProjectListing, met: Met) -> Iterator[tuple[Listing, Page]]:
    """Read the runs that the pages missed."""
    client = read.client
    # Ids alone come in few large pages, between which less can change.
    names = replace(listing, fields=NodeFields(), per_page=MOST_PER_PAGE - 1)
    for _ in range(_MOST_LISTINGS):
        there = Met()
        for _ in _pages(client, names, there):
            pass
        if not there.moved:
            break
    missed = sorted(there.names - met.names)
    for start in range(0, len(missed), _NAMES_A_FILTER):
        only = only_named(missed[start : start + _NAMES_A_FILTER])
        late = replace(listing, filters=flt.conjoin(only, listing.filters))
        yield from _pages(client, late, Met())
    counted = there.counts[-1] if there.counts else 0
    if there.moved:
        raise IncompleteError(
            f"could not read {listing.asked} completely: the server counts {counted} and gives"
            f" {len(there.names)}; try again, or set on_error='skip' to do without the others"
        )
    if len(there.names) < counted and not read.looks:
        # Two listings that give the same are believed, rather than a count.
        msg = f"{listing.asked}: the server counts {counted} and gives {len(there.names)}, in every listing"
        warn(msg, CountWarning)


# ---------------------------------------------------------------- the runs of a selection


def resolved(client: Client, paths: Iterable[RunPath]) -> tuple[RunPath, ...]:
    """Fill in the default entity, and check that addresses belong to the client's server.

    Raises
    ------
    PathError
        If an address is one of another server's web app.
    """
    found = []
    places = app_places(client.base_url)
    for path in paths:
        # The key is for one server; a pasted address may be of another.
        if path.host is not None and path.host not in places:
            msg = (
                f"the address is of {path.host}, but the client reads {client.base_url};"
                " set WANDB_BASE_URL, or pass `client=wbframe.Client(base_url=...)`"
            )
            raise PathError(msg)
        known = path if path.host is None else path_at(path, places[path.host])
        entity = known.entity if known.entity is not None else client.default_entity()
        found.append(replace(known, entity=entity, host=None, page=()))
    return tuple(dict.fromkeys(found))


def read_pages(
    read: Read, selection: Selection, fields: NodeFields
) -> Iterator[tuple[Listing, Page]]:
    """Read the pages of a selection, in order; stop taking to stop reading.

    Where the selection says so, runs that cannot be read by their names are losses, and projects that are not
    there, or whose further runs cannot be listed.

    Raises
    ------
    NotFoundError, AccessError
        If no project or sweep of the selection is there.
    """
    absent: list[WbframeError] = []
    came = False
    for listing in listings(selection, fields):
        for known, page in _read_or_lost(read, selection, listing, absent):
            came = True
            yield known, page
    if absent and not came:
        raise absent[0]


def _read_or_lost(
    read: Read, selection: Selection, listing: Listing, absent: list[WbframeError]
) -> Iterator[tuple[Listing, Page]]:
    """Read the pages of a listing; where runs may be left out, those that come, and take note of the others."""
    taken, met = 0, set[str]()
    with closing(pages_of(read, listing, selection)) as pages:
        try:
            for known, page in pages:
                taken += len(page.nodes) + len(page.missing)
                met.update(node.name for node in page.nodes)
                _lose_missing(read, listing, page.missing)
                yield known, page
        except (*SKIPPED, *ABSENT) as error:
            said = "; ".join(doubts(selection.filters))
            if said and isinstance(error, QueryError | StatusError):
                error.args = (f"{error}; {said}",)
            if selection.on_error == "raise":
                raise
            failed = error
        else:
            _look_for(read, selection, listing, met)
            return
    if isinstance(failed, ABSENT):
        absent.append(failed)
    elif read.losses is None and not (isinstance(listing, NamedListing) and is_of_one(failed)):
        # What it takes to know the columns is not left out.
        raise failed
    if not isinstance(listing, NamedListing):
        why = f"no runs behind the first {taken}: {failed}" if taken else str(failed)
        read.lose(_names_of(listing), why)
        return
    of_one = is_of_one(failed) and not isinstance(failed, ABSENT)
    end = taken + listing.per_page if of_one else len(listing.names)
    some, behind = listing.names[taken:end], listing.names[end:]
    parts = halves_of(some) if of_one else []
    if not parts:
        read.lose(_names_of(replace(listing, names=some)), failed)
    for names in filter(None, (*parts, behind)):
        yield from _read_or_lost(read, selection, replace(listing, names=tuple(names)), absent)


def _names_of(listing: Listing) -> list[str]:
    """Name what a listing is of: its runs, or its project or sweep."""
    if listing.names:
        return [run_of(listing.path, name) for name in listing.names]
    sweep = listing.path.sweep
    return [f"{name_of(listing.path)}/sweeps/{sweep}" if sweep else name_of(listing.path)]


def _lose_missing(read: Read, listing: Listing, names: Iterable[str]) -> None:
    """Take note of runs that are not there."""
    for name in names:
        read.lose([run_of(listing.path, name)], run_not_found(name, listing.path))


def _look_for(read: Read, selection: Selection, listing: Listing, met: set[str]) -> None:
    """Tell runs that are not there from those that the filters have left out, by listing these without.

    Raises
    ------
    RunNotFoundError
        Of the first that is not there, unless it may be left out.
    """
    if isinstance(listing, NamedListing) or read.losses is None:
        return
    out = [name for name in listing.names if name not in met]
    if not out:
        return
    plain = replace(
        listing, filters=only_named(out), pushed=flt.EMPTY, fields=NodeFields(), per_page=len(out)
    )
    there = {node.name for _, page in pages_of(read, plain, selection) for node in page.nodes}
    missing = [name for name in out if name not in there]
    if missing and selection.on_error == "raise":
        raise run_not_found(missing[0], listing.path)
    _lose_missing(read, listing, missing)


def list_runs(
    read: Read, selection: Selection, fields: NodeFields
) -> Iterator[tuple[RunPath, RunNode]]:
    """List the runs of a selection without a predicate, each once, up to its limit; no frame is made of them."""
    taken = RunsTaken(None, selection.limit)
    if taken.full:
        return
    for path, nodes in fresh_runs(read, selection, taken, read_pages(read, selection, fields)):
        taken.taken += len(nodes)
        for node in nodes:
            yield path, node


def fresh_runs(
    read: Read,
    selection: Selection,
    taken: RunsTaken,
    listed: Listed,
    readable: Callable[[RunPath, Iterable[RunNode]], list[RunNode]] | None = None,
) -> Iterator[tuple[RunPath, list[RunNode]]]:
    """Give the runs of each page that are `readable` and have not been listed before, until enough are taken."""
    for listing, page in listed:
        nodes: Iterable[RunNode] = page.nodes
        if readable is not None:
            nodes = readable(listing.path, nodes)
        yield listing.path, taken.fresh(listing.path, nodes)
        total = page.run_count if selection.limit is None else selection.limit
        read.progress(Progress(kind="runs", done=taken.taken, total=total))
        if taken.full:
            return
