"""Counting runs without reading them.

polars asks a source for some narrow column where a query only counts rows, and does not say that it only
counts. So the frame of a runs scan remembers, as far as it is a scan and filters and no more, what a count of it
means; then ``select(pl.len())`` can ask the server for its own count. Everything else is polars' as ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from wbframe.core.model import MOST_PER_PAGE, RunPath, Selection
from wbframe.core.protocol.runs import NodeFields, pushed_feature
from wbframe.core.pushdown.conjuncts import push_runs
from wbframe.core.pushdown.query import filtered, predicate_columns
from wbframe.core.schema.runs import RUN_COLUMNS
from wbframe.io.read.outcome import Read
from wbframe.io.read.paging import list_runs, resolved
from wbframe.io.read.project import count_runs
from wbframe.io.read.runs import try_pushed
from wbframe.scans.frames import ScanFrame

if TYPE_CHECKING:
    from wbframe.core.filters import Filter
    from wbframe.io.client.client import Client
    from wbframe.scans.source import RunsSource


@dataclass(frozen=True, slots=True)
class Counted:
    """A runs scan and the filters on it, and nothing besides."""

    source: RunsSource
    predicates: tuple[pl.Expr, ...] = ()

    def count(self) -> int | None:
        """Ask the server, a request a project; None if it cannot count exactly what is meant."""
        # For `select(pl.len())` polars has a source read rows; it cannot ask for their number.
        selection = self.source.scan.selection
        plain = all(path.run is None and path.sweep is None for path in selection.paths)
        # What is left out of several is told by the read itself.
        plain = plain and not (selection.on_error == "skip" and len(selection.paths) > 1)
        if not plain or (selection.limit is not None and self.predicates):
            return None
        client = self.source.connection()
        own = push_runs(selection.predicate, _METADATA)
        wanted = reduce(and_, self.predicates) if self.predicates else None
        asked = push_runs(wanted, self._schema(wanted))
        # A filter that keeps more than the predicate counts more.
        if not (own.exact and asked.exact):
            return None
        # What the server makes of a filter is only believed once runs have shown it.
        selection = filtered(filtered(selection, own, selection.predicate), asked, wanted)
        if selection.claim is not None:
            try_pushed(client, selection)
            if pushed_feature(selection.pushed) not in client.exact:
                return None
        counts = [
            _count(client, path, selection.asked) for path in resolved(client, selection.paths)
        ]
        if None in counts:
            return None
        total = sum(filter(None, counts))
        return total if selection.limit is None else min(total, selection.limit)

    def _schema(self, predicate: pl.Expr | None) -> dict[str, pl.DataType]:
        """Give the types of the predicate's columns; those of metadata are known without asking."""
        looked_at = predicate_columns(predicate)
        columns = self.source.scan.columns
        there = _METADATA if columns is None else _METADATA.keys() & columns
        if looked_at is not None and all(name in there for name in looked_at):
            return _METADATA
        return dict(self.source.schema())


def _count(client: Client, path: RunPath, filters: Filter) -> int | None:
    """Count by listing where a page holds all runs; of more, the server's count is taken, if no fewer came."""
    most = MOST_PER_PAGE - 1
    few = Selection(paths=(path,), filters=filters, limit=most, per_page=most)
    listed = sum(1 for _ in list_runs(Read(client), few, NodeFields()))
    if listed < most:
        return listed
    counted = count_runs(client, path, filters)
    return counted if counted is not None and counted >= listed else None


_METADATA = {name: dtype for name, (dtype, _) in RUN_COLUMNS.items()}


class RunsLazyFrame(ScanFrame):
    """The lazy frame of a runs scan."""

    _counted: Counted | None = None
    _count_name: str | None = None

    def _is_runs(self) -> bool:
        """Tell whether the rows are still the runs."""
        return self._counted is not None and self._count_name is None

    def filter(self, *predicates: Any, **constraints: Any) -> pl.LazyFrame:
        """Filter as ever, and remember what a count now means."""
        frame = super().filter(*predicates, **constraints)
        known = all(isinstance(each, pl.Expr) for each in predicates) and not constraints
        if isinstance(frame, RunsLazyFrame) and self._counted and self._is_runs() and known:
            predicates = (*self._counted.predicates, *predicates)
            frame._counted = Counted(self._counted.source, predicates)  # noqa: SLF001 -- of this class
        return frame

    def select(self, *exprs: Any, **named_exprs: Any) -> pl.LazyFrame:
        """Select as ever, and remember if it is but a count."""
        frame = super().select(*exprs, **named_exprs)
        if isinstance(frame, RunsLazyFrame) and self._is_runs():
            name = _name_of_count(exprs, named_exprs)
            if name is not None:
                frame._counted, frame._count_name = self._counted, name  # noqa: SLF001 -- as above
        return frame

    def collect(self, *args: Any, **kwargs: Any) -> Any:
        """Collect as ever; a count that the server knows is asked for."""
        if (
            self._counted is not None
            and self._count_name is not None
            # Then polars gives a handle of the query, not a frame.
            and not kwargs.get("background")
        ):
            count = self._counted.count()
            if count is not None:
                # As polars counts: UInt64 in its builds for more rows, else UInt32.
                return pl.DataFrame(
                    {self._count_name: [count]}, schema={self._count_name: pl.get_index_type()}
                )
        return super().collect(*args, **kwargs)


def _name_of_count(exprs: tuple[Any, ...], named: dict[str, Any]) -> str | None:
    """Give the column of a lone ``pl.len()``, whatever it is called; None for anything else."""
    if len(exprs) + len(named) != 1:
        return None
    [expr] = (*exprs, *named.values())
    if not isinstance(expr, pl.Expr) or not expr.meta.undo_aliases().meta.eq(pl.len()):
        return None
    return next(iter(named), None) or expr.meta.output_name()


def counting(frame: pl.LazyFrame, source: RunsSource) -> RunsLazyFrame:
    """Give the same frame, remembering that it is a scan of this source."""
    # As polars itself makes frames of a subclass.
    counted = cast("RunsLazyFrame", RunsLazyFrame._from_pyldf(frame._ldf))  # noqa: SLF001
    counted._counted = Counted(source)  # noqa: SLF001
    return counted
