"""Listing the runs of a selection, page by page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core import filters as flt
from wbframe.core.model import LIGHT_PER_PAGE, PER_PAGE
from wbframe.core.protocol.runs import Listing, NamedListing, ProjectListing, RunNode
from wbframe.core.schema.runs import RUN_COLUMNS
from wbframe.errors import ColumnError, FilterError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from wbframe.core.model import RunPath, Selection
    from wbframe.core.protocol.runs import NodeFields


# Runs named by id with a filter besides go into one `$in` each so many.
# How long a filter may be is not documented.
_NAMES_PER_FILTER = 500
NAMES_PER_PAGE = 100
# What polars says of times with a zone and without, and of text where it wants booleans.
_OF_TIMES = re.compile(r"Datetime.*UTC")
_OF_TRUTH = re.compile(r"of type `?Boolean|'not' operation")


def listings(selection: Selection, fields: NodeFields) -> Iterator[Listing]:
    """Cut a selection into listings, in the order of its paths."""
    for (_, _, named), group in groupby(selection.paths, key=_kind):
        paths = list(group)
        if not named:
            yield from (_project_listing(selection, path, fields) for path in paths)
            continue
        path = replace(paths[0], run=None)
        names = tuple(each.run for each in paths if each.run is not None)
        if selection.filters == selection.pushed == flt.EMPTY:
            yield NamedListing(
                path=path,
                names=names,
                fields=fields,
                per_page=min(page_size(selection, fields), NAMES_PER_PAGE),
                lenient=selection.on_error == "skip",
            )
            continue
        # `run(name:)` takes no filter, `runs` does.
        for start in range(0, len(names), _NAMES_PER_FILTER):
            part = names[start : start + _NAMES_PER_FILTER]
            only = replace(selection, filters=flt.conjoin(only_named(part), selection.filters))
            yield replace(_project_listing(only, path, fields), names=part)


def only_named(names: Iterable[str]) -> flt.Filter:
    """Give the filter that keeps some runs by their ids."""
    return flt.parse({"name": {"$in": list(names)}})


def _kind(path: RunPath) -> tuple[str | None, str, bool]:
    return path.entity, path.project, path.run is not None


def _project_listing(selection: Selection, path: RunPath, fields: NodeFields) -> ProjectListing:
    return ProjectListing(
        path=path,
        filters=selection.filters,
        pushed=selection.pushed,
        order=selection.order,
        fields=fields,
        per_page=page_size(selection, fields),
    )


def page_size(selection: Selection, fields: NodeFields) -> int:
    """Give the runs of a page: as told, else many where each takes few bytes; no more than are wanted."""
    size = selection.per_page
    if size is None:
        size = LIGHT_PER_PAGE if fields.light else PER_PAGE
    # A predicate may drop most of a page, so that a page of `limit` runs would be one of many.
    if selection.limit is None or selection.predicate is not None:
        return size
    return max(min(size, selection.limit), 1)


def reads_all(selection: Selection) -> bool:
    """Tell whether a selection is of one project, and leaves none of its runs out but by a limit."""
    named = any(path.run is not None or path.sweep is not None for path in selection.paths)
    plain = selection.filters == selection.pushed == flt.EMPTY and selection.predicate is None
    return plain and not named and len(selection.paths) == 1


@dataclass(slots=True)
class RunsTaken:
    """Keeps of the listed runs those that the selection means: each once, matching, up to the limit."""

    predicate: pl.Expr | None
    limit: int | None
    seen: dict[tuple[str | None, str], set[str]] = field(default_factory=dict)
    taken: int = 0

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.limit is not None and self.taken >= self.limit

    def fresh(self, path: RunPath, nodes: Iterable[RunNode]) -> list[RunNode]:
        """Leave out runs that have been listed before."""
        seen = self.seen.setdefault((path.entity, path.project), set())
        found = []
        for node in nodes:
            # Pages overlap where runs come while they are read: https://github.com/wandb/wandb/issues/7666
            if node.name not in seen:
                seen.add(node.name)
                found.append(node)
        if self.predicate is None and self.limit is not None:
            return found[: self.limit - self.taken]
        return found

    def take(self, runs: Sequence[RunNode], frame: pl.DataFrame) -> list[int] | None:
        """Give the places of the runs that are wanted of a page of such runs, by its frame; None for all."""
        places = None
        if self.predicate is not None and runs:
            places = rows_where(frame, self.predicate)
            places = places if self.limit is None else places[: self.limit - self.taken]
        self.taken += len(runs if places is None else places)
        return places


def rows_where(frame: pl.DataFrame, predicate: pl.Expr) -> list[int]:
    """Give the places of the rows for which a predicate is true.

    Raises
    ------
    ColumnError
        If it looks at a column that the frame does not have.
    FilterError
        If it is no predicate, or does not suit the types of the columns.
    """
    try:
        return frame.with_row_index("\0at").filter(predicate)["\0at"].to_list()
    except pl.exceptions.ColumnNotFoundError as error:
        missing = [each for each in predicate.meta.root_names() if each not in frame.columns]
        hints = "".join(did_you_mean(each, frame.columns) for each in missing)
        raise ColumnError(f"`filters`: no column {missing} in the runs frame.{hints}") from error
    except pl.exceptions.PolarsError as error:
        said = " ".join(str(error).split())  # of a pattern the last line says what is wrong with it
        raise FilterError(
            f"`filters`: the expression cannot be applied to the runs frame: {said:.300}"
            f"{type_hint(said, predicate.meta.root_names(), frame.schema)}"
        ) from error


def type_hint(said: str, names: Iterable[str], schema: Mapping[str, pl.DataType]) -> str:
    """Say how columns of W&B are taken for another type than theirs; empty where that is not the matter.

    Parameters
    ----------
    said
        What polars says.
    names
        The columns of which it does.
    schema
        Those of what is read.
    """
    found = {name: schema[name] for name in names if name in schema}
    if _OF_TIMES.search(said) and any(dtype == pl.Datetime for dtype in found.values()):
        return "; times are in UTC: write datetime(..., tzinfo=timezone.utc)"
    of_truth = _OF_TRUTH.search(said) is not None
    return "".join(
        f"; {name} is text in some runs: {_read_as(name, of_truth=of_truth)}"
        for name, dtype in found.items()
        if dtype == pl.String and name not in RUN_COLUMNS
    )


def _read_as(name: str, *, of_truth: bool) -> str:
    """Say how a column of text is read as what a query takes it for."""
    if of_truth:
        return f"schema_overrides={{{name!r}: pl.Boolean}} reads its truth values"
    cast = f"`pl.col({name!r}).cast(pl.Float64)`"
    return f"{cast}, or schema_overrides={{{name!r}: pl.Float64}}, reads its numbers"
