"""What a lazy query wants of a scan -> a scan that reads no more than that, and what is left to do here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wbframe.core import filters as flt
from wbframe.core.predicate import HistoryPushdown, Pushdown, push_history, push_runs
from wbframe.core.separable import is_row_separable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from wbframe.core.model import HistoryScan, RunsScan, Selection
    from wbframe.core.schema import HistorySchema


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a query engine asks of a source; it trusts the source to do all of it.

    Attributes
    ----------
    columns
        Columns to give, in this order; None for all.
    predicate
        Rows to keep.
    n_rows
        Rows to take, before the predicate; None for all.
    """

    columns: Sequence[str] | None = None
    predicate: pl.Expr | None = None
    n_rows: int | None = None

    def needed(self, names: Sequence[str]) -> list[str]:
        """Give the columns to read, of those that there are: the wanted ones and the predicate's."""
        looked_at = predicate_columns(self.predicate)
        if self.columns is None or looked_at is None:
            return list(names)
        wanted = {*self.columns, *looked_at}
        return [name for name in names if name in wanted]


def predicate_columns(predicate: pl.Expr | None) -> list[str] | None:
    """Give the columns that a predicate looks at; None if they cannot be told."""
    if predicate is None:
        return []
    names = predicate.meta.root_names()
    unsure = predicate.meta.has_multiple_outputs() or any(name.startswith("^") for name in names)
    return None if unsure or not names else names


@dataclass(frozen=True, slots=True)
class NarrowedRuns:
    """A runs scan narrowed to a query; `pushdown` is None where a limit comes before the predicate."""

    scan: RunsScan
    pushdown: Pushdown | None


def narrow_runs(scan: RunsScan, schema: Mapping[str, pl.DataType], wanted: Wanted) -> NarrowedRuns:
    """Narrow a runs scan.

    Parameters
    ----------
    scan
        The scan as it was made.
    schema
        Its promised columns.
    wanted
        What the query asks. A limit and a predicate never go to the server together: the limit comes
        first, so a predicate would take rows from behind it.
    """
    columns = tuple(wanted.needed(list(schema)))
    pushdown = None
    selection = with_own_predicate(scan.selection, schema)
    if wanted.n_rows is not None:
        selection = _limited(selection, wanted.n_rows)
    elif wanted.predicate is not None and selection.limit is None:
        pushdown = push_runs(wanted.predicate, schema)
        selection = filtered(selection, pushdown)
    return NarrowedRuns(replace(scan, selection=selection, columns=columns), pushdown)


def with_own_predicate(selection: Selection, schema: Mapping[str, pl.DataType]) -> Selection:
    """Ask the server for what it can do of the scan's own expression, which a limit comes after.

    Of one that looks at several rows at once, nothing: with fewer rows it would say something else.
    """
    if selection.predicate is None or not is_row_separable(selection.predicate):
        return selection
    return filtered(selection, push_runs(selection.predicate, schema))


def filtered(selection: Selection, pushdown: Pushdown) -> Selection:
    """Add what is pushed to the server's filters."""
    if pushdown.filter is None:
        return selection
    return replace(selection, filters=flt.conjoin(selection.filters, pushdown.filter))


def _limited(selection: Selection, n_rows: int) -> Selection:
    """Take no more than `n_rows` runs, nor larger pages."""
    limit = n_rows if selection.limit is None else min(n_rows, selection.limit)
    return replace(selection, limit=limit, per_page=max(min(selection.per_page, limit), 1))


@dataclass(frozen=True, slots=True)
class NarrowedHistories:
    """A histories scan narrowed to a query.

    Attributes
    ----------
    scan, schema
        What is read, into which columns.
    pushdown
        What became of the predicate; None where a limit comes before it.
    empty
        Whether no row can be wanted.
    """

    scan: HistoryScan
    schema: HistorySchema
    pushdown: HistoryPushdown | None
    empty: bool = False


def narrow_histories(scan: HistoryScan, schema: HistorySchema, wanted: Wanted) -> NarrowedHistories:
    """Narrow a histories scan; its keys are the resolved ones, which make the rows.

    Parameters
    ----------
    scan
        The scan as it was made.
    schema
        Its promised columns.
    wanted
        What the query asks.
    """
    columns = schema.columns
    needed = set(wanted.needed(list(columns)))
    narrow = replace(
        schema,
        keys={key: dtype for key, dtype in schema.keys.items() if schema.names.get(key, key) in needed},
        run_columns={name: dtype for name, dtype in schema.run_columns.items() if name in needed},
    )
    changed = replace(
        scan, run_columns=tuple(narrow.run_columns), narrowed=len(narrow.keys) < len(schema.keys)
    )
    if wanted.predicate is None or wanted.n_rows is not None:
        return NarrowedHistories(changed, narrow, None, empty=wanted.n_rows == 0)
    pushdown = push_history(wanted.predicate, columns, run_columns=tuple(schema.run_columns))
    if changed.selection.limit is None:
        changed = replace(changed, selection=filtered(changed.selection, pushdown.run))
    empty = pushdown.run_ids is not None and not pushdown.run_ids
    if scan.stream == "default":
        low, high = window(scan, pushdown)
        changed = replace(changed, min_step=low, max_step=high)
        empty = empty or (high is not None and high <= (low or 0))
    return NarrowedHistories(changed, narrow, pushdown, empty=empty)


def window(scan: HistoryScan, pushdown: HistoryPushdown) -> tuple[int | None, int | None]:
    """Meet the scan's window of steps with the predicate's; half-open."""
    lows = [step for step in (scan.min_step, pushdown.min_step) if step is not None and step > 0]
    highs = [step for step in (scan.max_step, pushdown.max_step) if step is not None]
    return max(lows, default=None), min(highs, default=None)
