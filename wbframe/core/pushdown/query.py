"""What a lazy query wants of a scan -> a scan that reads no more than that, and what is left to do here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING

from wbframe.core import filters as flt
from wbframe.core.pushdown.conjuncts import Conjunct, Pushdown, push_history, push_runs
from wbframe.core.pushdown.reader import is_row_separable, read
from wbframe.core.pushdown.tree import And

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import polars as pl

    from wbframe.core.model import HistoryScan, RunsScan, Selection
    from wbframe.core.pushdown.conjuncts import HistoryPushdown
    from wbframe.core.schema.histories import HistorySchema


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
        # Whether `with_columns` names the predicate's columns too is not promised:
        # https://github.com/pola-rs/polars/issues/25741
        wanted = {*self.columns, *looked_at}
        return [name for name in names if name in wanted]


def predicate_columns(predicate: pl.Expr | None) -> list[str] | None:
    """Give the columns that a predicate looks at; None if they cannot be told."""
    if predicate is None:
        return []
    names = predicate.meta.root_names()
    # Of a pattern like `^a.*$` polars names no root at all, nor of `pl.len()`: any column may be needed.
    unsure = predicate.meta.has_multiple_outputs() or any(name.startswith("^") for name in names)
    return None if unsure or not names else names


@dataclass(frozen=True, slots=True)
class NarrowedRuns:
    """A runs scan narrowed to a query, and what became of the query's predicate."""

    scan: RunsScan
    pushdown: Pushdown


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
        first, so a predicate would take rows from behind it. Nor does a predicate behind a filter of
        the scan that says of a run how it stands among the others: with fewer runs it would say
        something else.
    """
    columns = tuple(wanted.needed(list(schema)))
    pushdown = push_runs(wanted.predicate, schema, overridden=scan.overrides)
    selection = scan.selection
    reason = _why_local(selection, wanted)
    if reason:
        pushdown = _kept_local(pushdown, reason)
    if wanted.n_rows is not None:
        selection = _limited(selection, wanted.n_rows)
    selection = filtered(selection, pushdown, wanted.predicate)
    return NarrowedRuns(replace(scan, selection=selection, columns=columns), pushdown)


def _why_local(selection: Selection, wanted: Wanted) -> str:
    """Say why the server may not filter runs for a query, whatever its predicate; empty if it may."""
    if wanted.n_rows is not None:
        # From 1.39 on polars hands over both, as slices come first in its scans.
        return "the query takes its rows before it filters them"
    if selection.limit is not None:
        return "the scan's own limit comes first"
    if selection.predicate is not None and not is_row_separable(selection.predicate):
        return "the scan's own filter looks at all its runs at once"
    if _is_named(selection):
        return "the scan names its runs, and a filter would give them in another order"
    return ""


def _is_named(selection: Selection) -> bool:
    """Tell whether runs are asked for by name."""
    return any(path.run is not None for path in selection.paths)


def _kept_local(pushdown: Pushdown, reason: str) -> Pushdown:
    """Push nothing of a predicate."""
    local = tuple(
        Conjunct(text=each.text, status="local", reason=reason) for each in pushdown.conjuncts
    )
    return Pushdown(exact=not local, conjuncts=local)


def with_own_predicate(
    selection: Selection, schema: Mapping[str, pl.DataType], overridden: Collection[str] = ()
) -> Selection:
    """Ask the server for what it can do of the scan's own expression, which a limit comes after.

    Of one that looks at several rows at once, nothing: with fewer rows it would say something else. Of
    one over runs that are named, nothing either: a filter would give them in another order.
    """
    if selection.predicate is None or not is_row_separable(selection.predicate):
        return selection
    # By their names runs come in the order given; a filter gives them in one of the server's orders.
    if _is_named(selection):
        return selection
    pushdown = push_runs(selection.predicate, schema, overridden=overridden)
    return filtered(selection, pushdown, selection.predicate)


def filtered(selection: Selection, pushdown: Pushdown, claim: pl.Expr | None) -> Selection:
    """Add what is pushed of an expression that is true of the runs that are wanted."""
    if pushdown.filter is None or claim is None:
        return selection
    both = claim if selection.claim is None else selection.claim & claim
    return replace(selection, pushed=flt.conjoin(selection.pushed, pushdown.filter), claim=both)


def _of_runs(predicate: pl.Expr | None, names: Collection[str]) -> pl.Expr | None:
    """Give the conditions of a predicate that look at some columns alone; None for none."""
    if predicate is None:
        return None
    roots = predicate_columns(predicate)
    if roots and all(name in names for name in roots):
        return predicate
    parts = predicate.meta.pop() if isinstance(read(predicate), And) else []
    found = [each for each in (_of_runs(part, names) for part in parts) if each is not None]
    return reduce(and_, found) if found else None


def _limited(selection: Selection, n_rows: int) -> Selection:
    """Take no more than `n_rows` runs."""
    limit = n_rows if selection.limit is None else min(n_rows, selection.limit)
    return replace(selection, limit=limit)


@dataclass(frozen=True, slots=True)
class NarrowedHistories:
    """A histories scan narrowed to a query.

    Attributes
    ----------
    scan, schema
        What is read, into which columns.
    conjuncts
        What became of the predicate.
    empty
        Whether no row can be wanted.
    """

    scan: HistoryScan
    schema: HistorySchema
    conjuncts: tuple[Conjunct, ...] = ()
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
        keys={
            key: dtype for key, dtype in schema.keys.items() if schema.names.get(key, key) in needed
        },
        run_columns={name: dtype for name, dtype in schema.run_columns.items() if name in needed},
    )
    changed = replace(
        scan, run_columns=tuple(narrow.run_columns), narrowed=len(narrow.keys) < len(schema.keys)
    )
    pushdown = push_history(
        wanted.predicate,
        columns,
        run_columns=tuple(schema.run_columns),
        overridden=scan.overrides,
    )
    reason = _why_local(scan.selection, wanted)
    if not reason:
        claim = _of_runs(wanted.predicate, {"run_id", *schema.run_columns})
        changed = replace(changed, selection=filtered(changed.selection, pushdown.run, claim))
    conjuncts = tuple(
        _as_sent(each, reason, limited=wanted.n_rows is not None) for each in pushdown.conjuncts
    )
    if wanted.n_rows is not None:
        return NarrowedHistories(changed, narrow, conjuncts, empty=wanted.n_rows == 0)
    empty = pushdown.run_ids is not None and not pushdown.run_ids
    # Rows of machine metrics have no steps.
    if scan.stream == "default":
        low, high = window(scan, pushdown)
        changed = replace(changed, min_step=low, max_step=high)
        empty = empty or (high is not None and high <= (low or 0))
    return NarrowedHistories(changed, narrow, conjuncts, empty=empty)


# What a condition may bound besides runs, by its column in `Conjunct.pushed`. Times are compared here: the
# server has no window of them, and a list of runs goes to it as a filter or not at all.
_STEP_WINDOW = "_step"
_NEVER_SENT = frozenset({"_timestamp", "run_id"})


def _as_sent(conjunct: Conjunct, reason: str, *, limited: bool) -> Conjunct:
    """Say what is really sent of a condition; `reason` is why no filter of runs is, or empty."""
    pushed = conjunct.pushed or {}
    sent = {
        name: value
        for name, value in pushed.items()
        if name not in _NEVER_SENT and not (limited if name == _STEP_WINDOW else reason)
    }
    if sent == pushed:
        return conjunct
    if "_timestamp" in pushed and not reason:
        reason = "the server has no window of times"
    reason = reason or conjunct.reason or "it names more runs than a filter holds"
    if not sent:
        return Conjunct(text=conjunct.text, status="local", reason=reason)
    return Conjunct(text=conjunct.text, status="superset", pushed=sent, reason=reason)


def window(scan: HistoryScan, pushdown: HistoryPushdown) -> tuple[int | None, int | None]:
    """Meet the scan's window of steps with the predicate's; half-open."""
    lows = [step for step in (scan.min_step, pushdown.min_step) if step is not None and step > 0]
    highs = [step for step in (scan.max_step, pushdown.max_step) if step is not None]
    return max(lows, default=None), min(highs, default=None)
