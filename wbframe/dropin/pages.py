"""The runs of a project, page by page, as a sequence and as an iterator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, overload

from typing_extensions import Self

from wbframe.core.batches import halves_of
from wbframe.core.filters import EMPTY, parse
from wbframe.core.hints import whole
from wbframe.core.model import MOST_PER_PAGE, RunPath, Selection
from wbframe.core.paths import name_of
from wbframe.core.protocol.request import COUNT
from wbframe.core.protocol.runs import NodeFields, Page, RunNode, is_offset, one_earlier
from wbframe.core.schema.doubts import column_filtered
from wbframe.core.schema.order import check_order, is_ordered, sent_order
from wbframe.dropin import reading
from wbframe.dropin.asked import whole_number
from wbframe.dropin.clients import client_of
from wbframe.dropin.documents import LIGHT_RUNS, RUNS, runs_page, without_count
from wbframe.dropin.parts import Sweep, as_html, in_address
from wbframe.dropin.run import Run
from wbframe.dropin.sdk import absent, as_sdk
from wbframe.dropin.values import values_at
from wbframe.errors import (
    AnswerError,
    ColumnError,
    FilterError,
    FilterWarning,
    OrderWarning,
    ProjectNotFoundError,
    RunNotFoundError,
    UsageError,
)
from wbframe.io.client.credentials import app_url
from wbframe.io.client.secrets import without_locals
from wbframe.io.read.filtered import missing_column, tell_of_filters
from wbframe.io.read.outcome import Read
from wbframe.io.read.paging import Met, list_runs
from wbframe.io.read.parts import optionally, send_in_parts
from wbframe.text import is_utf8, shortened
from wbframe.warn import warn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wbframe.core.protocol.request import Request
    from wbframe.io.client.client import Client

__all__ = ["UNORDERED", "RunPages"]

_PER_PAGE = 50
# What `histories`, which needs every page, makes of it.
_WIDE = 200
# Full runs that one request asks for by their names.
_AT_ONCE = 50
# What servers do without an order.
UNORDERED = "-created_at"


class RunPages(Iterator[Run]):
    """Loads the runs of a project while they are looked at; what `Runs` builds on."""

    QUERY: str = RUNS

    @without_locals
    def __init__(
        self,
        client: Any = None,
        entity: str | None = None,
        project: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str | None = None,
        per_page: int = _PER_PAGE,
        include_sweeps: bool = True,  # noqa: FBT001, FBT002 -- positional in the SDK
        lazy: bool = False,  # noqa: FBT001, FBT002
        api_key: str | None = None,
        *,
        service_api: Any = None,
    ) -> None:
        if not project:
            raise UsageError(f"`project` must be the name of a project; got {project!r}")
        self.client: Client = client_of(client, service_api=service_api, api_key=api_key)
        self.entity = entity
        self.project = project
        self.filters = dict(filters or {})
        if not is_utf8(json.dumps(self.filters, ensure_ascii=False)):
            raise FilterError("A filter cannot hold half of a surrogate pair.")
        self.order = order
        self.per_page = (
            _PER_PAGE if per_page is None else whole_number("per_page", per_page, least=1)
        )
        self.variables: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "order": order,
            "filters": json.dumps(self.filters),
        }
        self.objects: list[Run] = []
        self.index = -1
        self.last_response: dict[str, Any] | None = None
        # Who asks for small pages has a reason.
        self._narrow = self.per_page < _PER_PAGE
        self._stuck = False
        self._met = Met()
        # Whether further pages begin with the last run of the one before, so that moving runs are noticed.
        self._joins = self._joined = False
        self._whole = False
        self._include_sweeps = include_sweeps
        self._sweeps: dict[str, Sweep | None] = {}
        self._lazy = lazy
        if lazy:
            self.QUERY = LIGHT_RUNS

    def __repr__(self) -> str:
        return shortened(f"<Runs {self.entity}/{self.project}>")

    def _repr_html_(self) -> str:
        # Without a request: of what is known already.
        loaded = len(self.objects)
        known = "" if self.length is None else f" {max(self.length, loaded)} runs, {loaded} loaded"
        address = "/".join(in_address(self.entity, self.project))
        url = None if self.entity is None else f"{app_url(self.client.base_url)}/{address}"
        return as_html(f"{self!r}{known}", url)

    if not TYPE_CHECKING:  # which then finds typing errors itself

        def __getattr__(self, name: str) -> Any:
            raise absent(self, name, self.__dict__)

    # ------------------------------------------------------------ pages

    @property
    def length(self) -> int | None:
        """How many runs fit, by the last page; None before the first."""
        project = self._last_project()
        return None if project is None else whole(project.get("runCount"))

    @property
    def more(self) -> bool:
        """Whether there are runs beyond those loaded."""
        if self._last_project() is None:
            return True
        told = (self._last_runs().get("pageInfo") or {}).get("hasNextPage")
        lacks = self.length is None or len(self.objects) < self.length
        if not self._edges() or (self._stuck and not lacks):
            return False
        # A full page may have a successor, whatever is said of it, unless all runs are there.
        return bool(told) or (lacks and len(self._edges()) >= self.variables["perPage"])

    @property
    def cursor(self) -> str | None:
        """The cursor of the last run loaded; None before the first page and after an empty one."""
        edges = self._edges()
        told = (self._last_runs().get("pageInfo") or {}).get("endCursor")
        return (edges[-1].get("cursor") or told) if edges else None

    def _last_project(self) -> dict[str, Any] | None:
        return (self.last_response or {}).get("project")

    def _last_runs(self) -> dict[str, Any]:
        return (self._last_project() or {}).get("runs") or {}

    def _edges(self) -> list[dict[str, Any]]:
        """Give the runs of the last page, as they came."""
        return [each for each in self._last_runs().get("edges") or [] if each and each.get("node")]

    def update_variables(self) -> None:
        """Set the variables for the page after `cursor`."""
        order = sent_order(self.order) if self.order else self.order
        self.variables.update({"perPage": self.per_page, "cursor": self.cursor, "order": order})

    def convert_objects(self) -> list[Run]:
        """Make the runs of the last page; asks for those of their sweeps that are not loaded yet.

        Raises
        ------
        ProjectNotFoundError
            If there is no such project: a ValueError, "Could not find project ...".
        """
        project = self._last_project()
        if project is None:
            msg = (
                f"Could not find project {self.project}: {self.entity}/{self.project} does not exist,"
                " or the API key may not see it"
            )
            raise ProjectNotFoundError(msg)
        nodes = {edge["node"]["name"]: edge["node"] for edge in self._edges()}
        found = [self._run(node) for node in nodes.values()]
        if self._include_sweeps:
            self._attach_sweeps(found)
        return found

    def _run(self, node: Mapping[str, Any]) -> Run:
        """Make a run of what a page told of it."""
        return Run(
            self.client,
            str(self.entity),
            self.project,
            node["name"],
            node,
            include_sweeps=self._include_sweeps,
            lazy=self._lazy,
        )

    def _attach_sweeps(self, runs: list[Run]) -> None:
        """Give runs their sweeps, each loaded once."""
        names = [name for run in runs if (name := run.load().get("sweepName"))]
        new = [name for name in dict.fromkeys(names) if name not in self._sweeps]
        if new:
            for name, attrs in reading.read_sweeps(self.client, self._path, new).items():
                self._sweeps[name] = (
                    None
                    if attrs is None
                    else Sweep(self.client, str(self.entity), self.project, attrs)
                )
        for run in runs:
            run.take_sweep(self._sweeps.get(run.load().get("sweepName", "")))

    @property
    def _path(self) -> RunPath:
        return RunPath(entity=self.entity, project=self.project)

    @as_sdk
    def _load_page(self, *, wide: bool = False) -> bool:
        """Load the next page, by wish a wide one; behind the last, what pages missed. False if nothing came."""
        if not self.more:
            return self._complete()
        if self.entity is None:
            self.entity = self.variables["entity"] = self.client.default_entity()
        self.update_variables()
        before, cursor = self.last_response, self.cursor
        most = max(self.per_page, _WIDE) if wide and not self._narrow else self.per_page
        self.last_response = optionally(
            self.client, [COUNT], lambda refused: self._ask(most, refused)
        )
        try:
            found = self.convert_objects()
            if before is None:
                self._check_order(found)
        except BaseException:
            # What is not taken over is asked for again, rather than passed by.
            self.last_response = before
            raise
        there = {run.id for run in self.objects}
        new = [run for run in found if run.id not in there]
        self.objects.extend(new)
        self._meet(first=before is None)
        self._stuck = not new or self.cursor == cursor
        if self.more:
            self._met.check(f"the runs of {name_of(self._path)}")
        if self.more and self.cursor == cursor and before is not None:
            raise AnswerError(
                f"could not read the runs of {name_of(self._path)}: the server repeats the cursor of a page;"
                " try again"
            )
        return True

    def _check_order(self, runs: Sequence[Run]) -> None:
        """Look whether the first page came in the order asked for: of what it does not know a server makes some.

        Costs nothing where a run of the page has the key; else what it costs to know a column.
        """
        # https://github.com/wandb/wandb/issues/8924
        column = column_filtered(check_order(self.order)[1:]) if self.order and runs else None
        if column is None:
            return
        head, _, key = column.partition(".")
        leaves = (run.rawconfig if head == "config" else run.summary_metrics for run in runs)
        values = [] if self._lazy else [value for each in leaves for value in values_at(each, key)]
        if not values:
            from wbframe.io.read.plan import plan_runs  # noqa: PLC0415 -- imports what translates filters

            selection = Selection(paths=(self._path,), filters=EMPTY)
            if said := missing_column(self.client, selection, column, plan_runs):
                raise ColumnError(f"`order`: {said}")
        elif not is_ordered(values, descending=str(self.order).startswith("-")):
            warn(
                f"the server does not give the runs of {name_of(self._path)} in the `order` {self.order!r};"
                " `to_polars` of these runs, and wbframe.read_runs, sort them here",
                OrderWarning,
            )

    def _meet(self, *, first: bool) -> None:
        """Take note of the page that was loaded, and take off it the run that the one before ended with."""
        edges = self._edges()
        nodes = tuple(RunNode(name=edge["node"]["name"]) for edge in edges)
        page = Page(nodes=nodes, cursor=self.cursor, run_count=self.length)
        met = self._met.meet(page, overlaps=None if first else self._joined)
        if len(met.nodes) < len(nodes):
            self._last_runs()["edges"] = edges[1:]
        if first:
            # As the readers do: https://github.com/wandb/wandb/issues/6614
            self._joins = len(nodes) == self.variables["perPage"] and is_offset(page)

    def _ask(self, most: int, refused: frozenset[str]) -> dict[str, Any]:
        """Ask for the next page, of `most` runs or as many as the caller wants."""
        query = without_count(self.QUERY) if COUNT in refused else self.QUERY
        earlier = int(self._joins and self.cursor is not None)

        def page(size: int) -> Request:
            self._joined = bool(earlier) and size < MOST_PER_PAGE
            after = one_earlier(str(self.cursor)) if self._joined else self.cursor
            asked = {"perPage": size + self._joined, "cursor": after}
            return runs_page(query, {**self.variables, **asked}, self._path)

        [found] = send_in_parts(
            self.client,
            most,
            lambda size: [self.per_page] if size > self.per_page else [],
            page,
            self._read_page,
            shrink=self._shrink,
        )
        return found

    @as_sdk
    def _complete(self) -> bool:
        """Add the runs that no page had, where there are any; False if none were added."""
        if self._whole:
            return False
        before = len(self.objects)
        # In an order that changes, a run that is deleted may make room for one that then moves by.
        fell = any(after < before for before, after in pairwise(self._met.counts))
        if fell or not self._met.complete:
            self._add_missed()
        self._whole = True
        if self.filters and not self.objects:
            self._tell_of_filters()
        return len(self.objects) > before

    def _tell_of_filters(self) -> None:
        """Warn of what is odd about filters that no run has passed."""
        from wbframe.io.read.plan import plan_runs  # noqa: PLC0415 -- imports what translates filters

        try:
            filters = parse(self.filters)
        except FilterError as error:
            # The server was asked all the same, as the SDK does.
            warn(f"no run of {name_of(self._path)} passes `filters`: {error}", FilterWarning)
            return
        selection = Selection(paths=(self._path,), filters=filters)
        tell_of_filters(Read(self.client), selection, plan_runs)

    def _add_missed(self) -> None:
        """List all runs again, by their names, and add those that are not there yet.

        Runs that came, went or changed their place meanwhile moved others from one page to another; and runs
        of one second have no order at some servers.
        """
        # In an order that stays.
        listed = Selection(
            paths=(self._path,),
            filters=parse(self.filters),
            order="+created_at",
            per_page=MOST_PER_PAGE - 1,
        )
        there = {run.id for run in self.objects}
        names = [node.name for _, node in list_runs(Read(self.client), listed, NodeFields())]
        missed = [name for name in dict.fromkeys(names) if name not in there]
        found = [self._run(node) for node in self._nodes_there(missed)]
        if self._include_sweeps:
            self._attach_sweeps(found)
        self.objects.extend(found)

    def _nodes_there(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Do `_nodes`, but for runs that were deleted since they were listed."""
        for start in range(0, len(names), _AT_ONCE):
            part = names[start : start + _AT_ONCE]
            try:
                yield from self._nodes(part)
            except RunNotFoundError:
                for half in halves_of(part):
                    yield from self._nodes_there(half)

    def _nodes(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Read what the server knows of runs, many a request."""
        for start in range(0, len(names), _AT_ONCE):
            yield from reading.read_nodes(self.client, self._path, names[start : start + _AT_ONCE])

    def _read_page(self, size: int, content: bytes, request: Request) -> dict[str, Any]:
        """Read a page of so many runs."""
        data = reading.data_of(content, request)
        if data.get("project") is not None and data["project"].get("runs") is None:
            # Else nothing would pass for no run.
            raise AnswerError(f"could not read {request.asked}: the answer has no runs")
        self.variables["perPage"] = size
        return data

    def _shrink(self, _: int) -> None:
        """Learn that wide pages are too much for the server."""
        self._narrow = True

    # ------------------------------------------------------------ as a sequence, as an iterator

    def __len__(self) -> int:
        if self.last_response is None:
            self._load_page()
        while self.length is None and self._load_page():
            pass
        if not self.more:
            self._complete()
        # Runs that are there can be indexed, however few the server counts since.
        at_least = len(self.objects) + self.more
        return at_least if self._whole else max(self.length or 0, at_least)

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...

    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        if not isinstance(index, slice):
            index = whole_number("index", index)
        if isinstance(index, slice):
            ends = [end for end in (index.start, index.stop) if end is not None]
            whole = index.stop is None or any(end < 0 for end in ends)
            while (whole or max(ends) > len(self.objects)) and self._load_page():
                pass
        else:
            # From the end on, of all runs, and not of those that happen to be loaded.
            while (index < 0 or index >= len(self.objects)) and self._load_page():
                pass
        return self.objects[index]

    def __iter__(self) -> Self:
        self.index = -1
        return self

    def __next__(self) -> Run:
        # Where a page does not come, the next try is for the same run.
        at = self.index + 1
        while len(self.objects) <= at and self._load_page():
            pass
        self.index = at
        if len(self.objects) <= at:
            raise StopIteration
        return self.objects[at]

    next = __next__

    @as_sdk
    def upgrade_to_full(self) -> None:
        """Load what a lazy collection left out: of the runs loaded so far many a request, later pages whole."""
        if not self._lazy:
            return
        self._lazy = False
        self.QUERY = RUNS
        nodes = self._nodes([run.id for run in self.objects])
        for run, node in zip(self.objects, nodes, strict=True):
            run.fill(node)
