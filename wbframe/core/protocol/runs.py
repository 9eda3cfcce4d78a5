"""Pages of runs: what is selected of each, the documents that ask for them, and the answers."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.core import filters as flt
from wbframe.core.hints import MOST_PAGES, whole
from wbframe.core.paths import name_of
from wbframe.core.protocol.answers import (
    RAW_NULL,
    PageInfo,
    answered,
    decode_answer,
    found_project,
    found_run,
    open_answer,
    present_runs,
)
from wbframe.core.protocol.request import (
    ALIASES,
    COUNT,
    PAGES,
    PROJECTION,
    RUN_KEYS,
    Request,
    by_run,
    of_project,
)
from wbframe.errors import AnswerError, SweepNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wbframe.core.filters import Filter
    from wbframe.core.model import RunPath


# ---------------------------------------------------------------- what to select of a run


_FEW_KEYS = 10
# Runs of a page as the SDK asks for them.
SDK_PER_PAGE = 50
_HEAVY = frozenset({"historyKeys", "systemMetrics"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFields:
    """What is selected of each run.

    Attributes
    ----------
    plain
        GraphQL fields without arguments, as they stand in the document.
    config, summary
        Top-level keys to ask for; None for all, empty for none of it.
    """

    plain: tuple[str, ...] = ("name",)
    config: tuple[str, ...] | None = ()
    summary: tuple[str, ...] | None = ()

    @property
    def light(self) -> bool:
        """Whether what is selected takes few bytes a run."""
        keys = None if self.config is None or self.summary is None else self.config + self.summary
        return keys is not None and len(keys) <= _FEW_KEYS and _HEAVY.isdisjoint(self.plain)

    def beside(self, plain: Iterable[str]) -> NodeFields:
        """Select further fields as well."""
        return replace(self, plain=tuple(dict.fromkeys((*self.plain, *plain))))

    def covers(self, other: NodeFields) -> bool:
        """Tell whether another selection is part of this one."""
        pairs = ((self.config, other.config), (self.summary, other.summary))
        return set(self.plain) >= set(other.plain) and all(
            own is None or (asked is not None and set(own) >= set(asked)) for own, asked in pairs
        )

    def features(self) -> list[str]:
        """Tell which features of newer servers the selection uses."""
        return [PROJECTION] if self.config or self.summary else []

    def without(self, features: frozenset[str]) -> NodeFields:
        """Select the same (or more) without `features`."""
        if PROJECTION not in features:
            return self
        return replace(
            self,
            config=None if self.config else self.config,
            summary=None if self.summary else self.summary,
        )

    def text(self) -> str:
        """Spell the selection as it stands in a document."""
        parts = list(self.plain)
        parts += _blob("config", "configKeys", self.config)
        parts += _blob("summaryMetrics", "summaryKeys", self.summary)
        return " ".join(parts)

    def variables(self) -> dict[str, tuple[str, Any]]:
        """Give the variables that `text` uses: name -> (type, value)."""
        found: dict[str, tuple[str, Any]] = {}
        if self.config:
            found["configKeys"] = ("[String!]", list(self.config))
        if self.summary:
            found["summaryKeys"] = ("[String!]", list(self.summary))
        return found


def _blob(name: str, variable: str, keys: tuple[str, ...] | None) -> list[str]:
    """Spell the selection of one of the two JSON blobs."""
    if keys is None:
        return [name]
    # Left out rather than asked for with an empty list, of which nobody knows what servers make.
    return [f"{name}(keys: ${variable})"] if keys else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of runs; `cursor` is None when it is the last one, `after` is where another would begin.

    `missing` are the ids of runs that were asked for by name, and are not there.
    """

    nodes: tuple[RunNode, ...]
    cursor: str | None
    run_count: int | None = None
    after: str | None = None
    missing: tuple[str, ...] = ()

    def whole(self, fields: NodeFields) -> list[RunNode] | None:
        """Give some fields of its runs, if it is the first page and the server counts no more runs; else None."""
        if self.cursor is not None or self.run_count != len(self.nodes):
            return None
        # Copies: who decodes a run takes its config and summary out of it.
        without: dict[str, Any] = {"config": RAW_NULL} if fields.config == () else {}
        if fields.summary == ():
            without["summary_metrics"] = RAW_NULL
        return [msgspec.structs.replace(node, **without) for node in self.nodes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectListing:
    """The runs of a project or sweep, page by page; or those of some `names` that pass filters."""

    path: RunPath
    filters: Filter
    order: str
    fields: NodeFields
    per_page: int
    counted: bool = True
    pushed: Filter = flt.EMPTY
    names: tuple[str, ...] = ()

    @property
    def features(self) -> list[str]:
        """What a server may refuse of it, likelier first."""
        pages = [PAGES] if self.per_page > SDK_PER_PAGE else []
        count = [COUNT] if self.counted else []
        return [*self._pushed, *self.fields.features(), *count, *pages]

    @property
    def _pushed(self) -> list[str]:
        """Name what is pushed, if anything is."""
        return [] if self.pushed == flt.EMPTY else [pushed_feature(self.pushed)]

    def without(self, features: frozenset[str]) -> ProjectListing:
        """Ask for the same, or more, without some features."""
        return replace(
            self,
            fields=self.fields.without(features),
            counted=COUNT not in features,
            pushed=flt.EMPTY if features.intersection(self._pushed) else self.pushed,
            per_page=min(self.per_page, SDK_PER_PAGE) if PAGES in features else self.per_page,
        )

    @property
    def asked(self) -> str:
        """What is read, in words."""
        return f"{self._what} of {name_of(self.path)}"

    @property
    def _what(self) -> str:
        """The same without the project."""
        return f"the runs of sweep {self.path.sweep!r}" if self.path.sweep else "the runs"

    def request(self, cursor: str | None = None) -> Request:
        """Ask for the page after `cursor`."""
        filters = flt.conjoin(server_filters(self.filters, self.path), self.pushed)
        variables = {
            "filters": ("JSONString", flt.to_json(filters)),
            "order": ("String", self.order),
            "first": ("Int!", self.per_page),
            "after": ("String", cursor),
            **self.fields.variables(),
        }
        # By a filter, since `sweep { runs }` has ended at 500: https://github.com/wandb/wandb/issues/2467
        sweep = ""
        if self.path.sweep:
            variables["sweep"] = ("String!", self.path.sweep)
            # A filter by a sweep that is not there is no error, but a page without runs.
            sweep = "sweep(sweepName: $sweep) { name } "
        return of_project(
            "Runs",
            self.path,
            f"{sweep}{'runCount(filters: $filters) ' if self.counted else ''}"
            "runs(filters: $filters, order: $order, first: $first, after: $after) {"
            f" edges {{ node {{ {self.fields.text()} }} cursor }} pageInfo {{ endCursor hasNextPage }} }}",
            asked=self._what,
            variables=variables,
            features=self.features,
        )

    def page(self, content: bytes, request: Request) -> Page:
        """Parse the answer to `request`.

        Raises
        ------
        SweepNotFoundError
            If the path names a sweep that is not there.
        AnswerError
            If the answer is not one of runs.
        """
        data: RunsData = decode_answer(open_answer(content, request), RunsData, request)
        project = found_project(data.project, self.path)
        if self.path.sweep and project.sweep is None:
            msg = f"no sweep {self.path.sweep!r} in {name_of(self.path)}; its id is the last part of its address"
            raise SweepNotFoundError(msg)
        if project.runs is None:
            raise AnswerError(f"could not read {self.asked}: the answer has no runs")
        listed = [edge for edge in project.runs.edges or () if edge]
        edges = [edge for edge in listed if edge.node]
        info = project.runs.page_info or PageInfo()
        cursor = info.end_cursor or (listed[-1].cursor if listed else None)
        more = info.has_next_page
        if more is None:
            # Not said: a full page may have a successor.
            more = len(edges) >= self.per_page
        return Page(
            nodes=tuple(edge.node for edge in edges),
            cursor=cursor if more else None,
            run_count=whole(project.run_count),
            after=cursor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedListing:
    """Runs by their ids, `per_page` of them in one request; where it is `lenient`, some may be missing."""

    path: RunPath
    names: tuple[str, ...]
    fields: NodeFields
    per_page: int
    lenient: bool = False

    @property
    def features(self) -> list[str]:
        """What an old server may refuse of it, likelier first."""
        keys = [RUN_KEYS] if "historyKeys" in self.fields.plain else []
        return [*self.fields.features(), *keys, *([ALIASES] if self.per_page > 1 else [])]

    def without(self, features: frozenset[str]) -> NamedListing:
        """Ask for the same, or more, without some features."""
        fields = self.fields.without(features)
        if RUN_KEYS in features:
            plain = tuple(each for each in fields.plain if each != "historyKeys")
            fields = replace(fields, plain=plain)
        return replace(self, fields=fields, per_page=1 if ALIASES in features else self.per_page)

    @property
    def asked(self) -> str:
        """What is read, in words."""
        runs = f"run {self.names[0]!r}" if len(self.names) == 1 else f"{len(self.names)} runs"
        return f"{runs} of {name_of(self.path)}"

    def request(self, cursor: str | None = None) -> Request:
        """Ask for the page that starts at index `cursor`."""
        start = int(cursor or 0)
        names = self.names[start : start + self.per_page]
        text = self.fields.text()
        return by_run(
            "NamedRuns",
            self.path,
            names,
            lambda _: text,
            variables=self.fields.variables(),
            features=self.features,
        )

    def page(self, content: bytes, request: Request) -> Page:
        """Parse the answer to `request`."""
        data: NamedRuns = decode_answer(open_answer(content, request), NamedRuns, request)
        names = [value for name, value in request.variables.items() if re.fullmatch(r"r\d+", name)]
        there = present_runs(data.project, names, self.path)
        missing = tuple(name for name, run in zip(names, there, strict=True) if run is None)
        for name in () if self.lenient else missing:
            found_run(None, name, self.path)
        end = self.names.index(names[-1]) + 1
        return Page(
            nodes=tuple(run for run in there if run is not None),
            cursor=str(end) if end < len(self.names) else None,
            missing=missing,
        )


def pushed_feature(pushed: Filter) -> str:
    """Name a filter that is pushed, by its fields, operators and types: what a server makes of these it repeats.

    Examples
    --------
    >>> pushed_feature(flt.parse({"config.lr.value": {"$lt": 0.5}, "state": "finished"}))
    'filter {"config.lr.value":{"$lt":"float"},"state":"str"}'
    """
    shape = json.dumps(_shape(flt.to_dict(pushed)), separators=(",", ":"))
    return f"filter {shape}"


def _shape(part: Any) -> Any:
    """Put types in place of values."""
    if isinstance(part, dict):
        return {key: _shape(each) for key, each in part.items()}
    if isinstance(part, list):
        shapes = [_shape(each) for each in part]
        return [each for i, each in enumerate(shapes) if each not in shapes[:i]]
    return type(part).__name__


def server_filters(filters: Filter, path: RunPath) -> Filter:
    """Add what the path itself filters by: its sweep."""
    if path.sweep is None:
        return filters
    return flt.conjoin(flt.parse({"sweep": path.sweep}), filters)


def lacks(nodes: Iterable[RunNode], fields: NodeFields) -> set[tuple[str, str]]:
    """Give the keys of config and summary that are asked for, and that no run has; each to its first dot."""
    wanted = {("config", key.partition(".")[0]) for key in fields.config or ()}
    wanted |= {("summary", key.partition(".")[0]) for key in fields.summary or ()}
    for node in nodes:
        blobs = {"config": bytes(node.config), "summary": bytes(node.summary_metrics)}
        wanted = {(kind, key) for kind, key in wanted if not _has(blobs[kind], key)}
        if not wanted:
            break
    return wanted


def _has(blob: bytes, key: str) -> bool:
    """Tell whether JSON, or text of it with its quotes escaped, has a key or one that begins so and has a dot."""
    spelled = re.escape(msgspec.json.encode(key)[1:-1])
    return re.search(rb'"' + spelled + rb'(\.|\\*")', blob) is not None


Listing = ProjectListing | NamedListing


def cursors_ahead(listing: Listing, page: Page, most: int | None) -> list[str]:
    """Foretell the cursors after the first page's own, so that pages can be asked for side by side.

    A guess, to be checked: each page must end at the cursor with which the next was asked for.

    Parameters
    ----------
    listing, page
        What is listed, and its first page.
    most
        Runs that are wanted at the most; None for all.

    Returns
    -------
    list of str
        The page's cursor first; empty where none can be foretold: cursors are no plain offsets, the number of
        runs is not known, or one page is left.
    """
    size = len(page.nodes) + len(page.missing)
    if page.cursor is None:
        return []
    if isinstance(listing, NamedListing):
        ends = range(int(page.cursor), len(listing.names), size)
        return [str(end) for end in ends][: None if most is None else -(-most // size) - 1]
    if page.run_count is None or not is_offset(page):
        return []
    begin, end = _offset(page.cursor) or ("", 0)
    wanted = page.run_count if most is None else min(most, page.run_count)
    # The count may be anything.
    return [_cursor(begin, at) for at in range(end, end + wanted - size, size)[:MOST_PAGES]]


def is_offset(page: Page) -> bool:
    """Tell whether the cursor of a first page is no more than the number of runs before it."""
    size = len(page.nodes)
    found = None if page.cursor is None else _offset(page.cursor)
    # graphql-relay counts from 0, so that a page of 50 ends at 49; others count the runs. 0 and 1 may be chance.
    return found is not None and found[1] in {size - 1, size} and size > 1


def one_earlier(cursor: str) -> str:
    """Give the cursor of a page that begins one run earlier, for one that is an offset."""
    found = _offset(cursor)
    return cursor if found is None else _cursor(found[0], found[1] - 1)


def _offset(cursor: str) -> tuple[str, int] | None:
    """Open a cursor in base64 that ends in a number; None if it is not, or spells otherwise what we would."""
    try:
        # W&B's are `arrayconnection:199` and so on: https://github.com/wandb/wandb/issues/6614
        text = b64decode(cursor, validate=True).decode()
    except ValueError:
        return None
    match = re.fullmatch(r"(.*\D|)(\d{1,18})", text, re.DOTALL)
    if match is None or _cursor(match[1], int(match[2])) != cursor:
        return None
    return match[1], int(match[2])


def _cursor(begin: str, offset: int) -> str:
    """Spell a cursor."""
    return b64encode(f"{begin}{offset}".encode()).decode()


class RunNode(msgspec.Struct, rename="camel", gc=False):
    """One run, as far as it was selected; what is said of it may come in any type."""

    # The server's `name` is the id in addresses; what people call the run is `displayName`.
    name: str
    display_name: Any = None
    state: Any = None
    created_at: Any = None
    heartbeat_at: Any = None
    user: Any = None
    group: Any = None
    job_type: Any = None
    sweep_name: Any = None
    tags: Any = None
    notes: Any = None
    commit: Any = None
    history_line_count: Any = None
    history_keys: msgspec.Raw = RAW_NULL
    config: msgspec.Raw = RAW_NULL
    summary_metrics: msgspec.Raw = RAW_NULL


class _Edge(msgspec.Struct, gc=False):
    node: RunNode | None = None
    cursor: str | None = None


class _Connection(msgspec.Struct, rename="camel"):
    edges: list[_Edge | None] | None = None
    page_info: PageInfo | None = None


class _Project(msgspec.Struct, rename="camel"):
    runs: _Connection | None = None
    run_count: Any = None
    sweep: dict[str, Any] | None = None


@answered
class RunsData(msgspec.Struct):
    """The data of a page of runs."""

    project: _Project | None = None


@answered
class NamedRuns(msgspec.Struct):
    """The data of runs by their names: alias -> run."""

    project: dict[str, RunNode | None] | None = None
