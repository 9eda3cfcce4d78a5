"""Listing the runs of a selection: which listings there are, and which of their runs are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core import filters as flt
from wbframe.core.graphql import NamedListing, ProjectListing, name_of
from wbframe.core.runs_frame import RunsBuffer, runs_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wbframe.core.graphql import Listing, NodeFields, RunNode
    from wbframe.core.model import RunPath, Selection
    from wbframe.core.schema import RunsSchema

# Runs named by id with a filter besides go into one `$in` each so many.
_NAMES_PER_FILTER = 500
NAMES_PER_PAGE = 100


def listings(selection: Selection, fields: NodeFields) -> Iterator[Listing]:
    """Cut a selection into listings, in the order of its paths."""
    for (_, _, named), group in groupby(selection.paths, key=_kind):
        paths = list(group)
        if not named:
            yield from (_project_listing(selection, path, fields) for path in paths)
            continue
        path = replace(paths[0], run=None)
        names = tuple(each.run for each in paths if each.run is not None)
        if selection.filters == flt.EMPTY:
            yield NamedListing(
                path=path, names=names, fields=fields, per_page=min(selection.per_page, NAMES_PER_PAGE)
            )
            continue
        for start in range(0, len(names), _NAMES_PER_FILTER):
            part = list(names[start : start + _NAMES_PER_FILTER])
            only = replace(
                selection, filters=flt.conjoin(flt.parse({"name": {"$in": part}}), selection.filters)
            )
            yield _project_listing(only, path, fields)


def _kind(path: RunPath) -> tuple[str | None, str, bool]:
    return path.entity, path.project, path.run is not None


def _project_listing(selection: Selection, path: RunPath, fields: NodeFields) -> ProjectListing:
    return ProjectListing(
        path=path,
        filters=selection.filters,
        order=selection.order,
        fields=fields,
        per_page=selection.per_page,
    )


@dataclass(slots=True)
class RunsTaken:
    """Keeps of the listed runs those that the selection means: each once, matching, up to the limit."""

    predicate: pl.Expr | None
    schema: RunsSchema
    limit: int | None
    seen: set[tuple[str | None, str, str]]
    taken: int = 0

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and self.taken >= self.limit

    def take(self, path: RunPath, nodes: Iterable[RunNode]) -> list[RunNode]:
        """Take what is wanted of a page."""
        fresh = []
        for node in nodes:
            key = (path.entity, path.project, node.name)
            if key not in self.seen:
                self.seen.add(key)
                fresh.append(node)
        if self.predicate is not None and fresh:
            fresh = self._matching(path, fresh, self.predicate)
        if self.limit is not None:
            fresh = fresh[: self.limit - self.taken]
        self.taken += len(fresh)
        return fresh

    def _matching(self, path: RunPath, nodes: list[RunNode], predicate: pl.Expr) -> list[RunNode]:
        """Keep the runs for which the predicate is true."""
        buffer = RunsBuffer()
        buffer.add(path, nodes)
        frame, _ = runs_frame(buffer, self.schema)
        kept = frame.with_row_index("\0at").filter(predicate)["\0at"]
        return [nodes[i] for i in kept]


def describe(paths: Iterable[RunPath]) -> str:
    """Name the projects of several paths."""
    return ", ".join(dict.fromkeys(name_of(path) for path in paths))
