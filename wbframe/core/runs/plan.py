"""What is known of a runs scan before its pages are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wbframe.core.filters import EMPTY
from wbframe.core.paths import describe
from wbframe.core.pushdown.query import predicate_columns
from wbframe.core.pushdown.reader import is_row_separable
from wbframe.core.schema.runs import runs_schema
from wbframe.core.schema.types import is_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wbframe.core.model import RunPath, RunsScan
    from wbframe.core.protocol.runs import NodeFields
    from wbframe.core.schema.order import Sort
    from wbframe.core.schema.runs import RunsSchema
    from wbframe.core.schema.types import Index


# One run alone is in any order: so many show whether they came in the one that was asked for.
_BEHIND_ONE = 20


@dataclass(frozen=True, slots=True)
class RunsPlan:
    """A runs scan with everything that must be known before its pages.

    Attributes
    ----------
    scan
        With default entities filled in.
    columns
        The names and globs of the scan and of its predicate; None for all.
    index
        The config and summary columns of the projects: empty where none is needed, None where the
        server has no index.
    unsure
        Columns of the index that may stand for others, or for none.
    sampled
        Whether the index is that of some runs, or not wholly believed, so that runs may have more columns.
    app
        The address of the web app of the server.
    looked_at
        Runs that were looked at for columns which the index lacks.
    sort
        How runs are brought into their order, where that is no field that servers order by.
    """

    scan: RunsScan
    columns: tuple[str, ...] | None
    index: Index | None
    unsure: tuple[str, ...] = ()
    sampled: bool = False
    app: str = ""
    sort: Sort | None = None
    looked_at: int = 0

    def resolve(self, columns: tuple[str, ...] | None, index: Index | None) -> RunsSchema:
        """Give the columns that names and globs mean."""
        where = describe(self.scan.selection.paths)
        schema = runs_schema(
            columns,
            index,
            self.scan.overrides,
            where=where,
            complete=self.index is not None and not self.sampled,
            taken=self.index is None,
        )
        return replace(schema, app=self.app)

    def fields(self) -> NodeFields:
        """Give what must be selected of each run."""
        return self.resolve(self.columns, self.index).fields()

    def of(self, scan: RunsScan) -> RunsPlan:
        """Give the plan for a scan of the same projects: what it reads is what it and its predicate look at."""
        return replace(self, scan=scan, columns=columns_of(scan, self.sort))

    @property
    def of_all(self) -> bool:
        """Whether all runs are read, so that none that is not could tell of more columns."""
        selection = self.scan.selection
        unbounded = selection.predicate is None and selection.limit is None
        unbounded = unbounded and selection.filters == EMPTY
        return unbounded and all(path.run is path.sweep is None for path in selection.paths)

    @property
    def predicate_waits(self) -> bool:
        """Whether it takes all runs to tell the types, or which of them the predicate keeps."""
        predicate = self.scan.selection.predicate
        return self.index is None or not (predicate is None or is_row_separable(predicate))

    @property
    def in_one_piece(self) -> bool:
        """Whether no page can be handed out before the last has come."""
        return self.sort is not None or self.predicate_waits

    def in_two_steps(self, plain: Sequence[str]) -> bool:
        """Whether all runs are sorted, and few of them are wanted, of which more is read than of all."""
        sort, limit = self.sort, self.scan.selection.limit
        if sort is None or sort.trusted or limit is None:
            return False
        return bool(plain) or not self.fields().light

    def sorting(self, *, ids: bool = False) -> RunsPlan:
        """Give the plan that reads what runs are sorted by, and of them either their ids alone or all columns."""
        assert self.sort is not None
        selection = replace(self.scan.selection, order=self.sort.sent)
        if not self.sort.trusted:
            selection = replace(selection, limit=None)
        elif selection.limit == 1:
            selection = replace(selection, limit=_BEHIND_ONE)
        wanted = ("run_id",) if ids else self.scan.columns
        scan = replace(self.scan, selection=selection, columns=_with(wanted, (self.sort.column,)))
        return replace(self, scan=scan, columns=columns_of(scan))

    def named(self, paths: Iterable[RunPath]) -> RunsPlan:
        """Give the plan that reads some runs by their names, which have passed all filters."""
        selection = replace(
            self.scan.selection,
            paths=tuple(paths),
            filters=EMPTY,
            pushed=EMPTY,
            predicate=None,
            claim=None,
            limit=None,
        )
        return replace(self.of(replace(self.scan, selection=selection)), sort=None)


def columns_of(scan: RunsScan, sort: Sort | None = None) -> tuple[str, ...] | None:
    """Give the names and globs that a scan, its predicate and its order look at; None for all."""
    looked_at = predicate_columns(scan.selection.predicate)
    if looked_at is None:
        return None
    by = () if sort is None else (sort.column,)
    return _with(scan.columns, (*looked_at, *by))


def _with(columns: tuple[str, ...] | None, more: tuple[str, ...]) -> tuple[str, ...] | None:
    """Add columns to those that are read; all of them lack what the SDK keeps among the keys."""
    if columns is None:
        more = tuple(filter(is_own, more))
        return ("*", *more) if more else None
    return tuple(dict.fromkeys((*columns, *more)))
