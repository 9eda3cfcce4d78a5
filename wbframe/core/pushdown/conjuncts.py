"""From the predicate of a polars expression to what the server is asked.

A predicate is split at its top-level ANDs; each conjunct is pushed whole, pushed as something
wider, or stays here. The whole predicate is applied again to what comes back, so a filter may
only widen; `pushdown` holds the forms that are known to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeVar

import polars as pl

from wbframe.core.filters import Filter, conjoin, to_dict, to_json
from wbframe.core.model import EXACT, KEY_PREFIXES
from wbframe.core.pushdown import tree as ex
from wbframe.core.pushdown.reader import read
from wbframe.core.pushdown.translate import Local, Pushed, translate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping


__all__ = ["Conjunct", "HistoryPushdown", "Pushdown", "Status", "push_history", "push_runs"]

Status: TypeAlias = Literal["exact", "superset", "local"]
_Range: TypeAlias = "tuple[float, float]"
_T = TypeVar("_T")

_MICROSECOND: Final = 1e-6  # what a double loses of a time of today, rounded up
# How large a filter may be is not documented.
MOST_VALUES: Final = 1000
"""How many constants a filter may hold; a predicate with more stays here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conjunct:
    """One of the conditions that a predicate joins by AND.

    Attributes
    ----------
    text : str
        The condition, for people.
    status : {"exact", "superset", "local"}
        Whether the server keeps just its rows, keeps more, or is not asked.
    pushed : dict or None
        What the server is asked.
    reason : str
        Why it is not exact; empty when it is.
    """

    text: str
    status: Status
    pushed: dict[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushdown:
    """What of a predicate over the runs frame goes to the server.

    Attributes
    ----------
    filter : Filter or None
        Keeps every run that the predicate keeps, and maybe more; None asks for all.
    exact : bool
        Whether it keeps no more.
    conjuncts : tuple of Conjunct
        Every condition and what became of it, in the order of the predicate.
    """

    filter: Filter | None = None
    exact: bool = True
    conjuncts: tuple[Conjunct, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPushdown:
    """What of a predicate over the histories frame goes to the server.

    Attributes
    ----------
    run : Pushdown
        The conditions on runs: `run_id` and the columns of the runs frame beside the rows.
    run_ids : frozenset of str or None
        The only runs with rows that the predicate keeps; None when it does not say.
    min_step, max_step : int or None
        Steps of the rows that the predicate keeps: ``min_step <= _step < max_step``. No step is
        left when ``min_step >= max_step``.
    min_timestamp, max_timestamp : float or None
        Seconds since the epoch; both ends belong to the range. They hold for rows whose
        `_timestamp` is a finite number.
    conjuncts : tuple of Conjunct
        Every condition and what became of it, in the order of the predicate.
    """

    run: Pushdown
    run_ids: frozenset[str] | None = None
    min_step: int | None = None
    max_step: int | None = None
    min_timestamp: float | None = None
    max_timestamp: float | None = None
    conjuncts: tuple[Conjunct, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether no row comes that the predicate does not keep."""
        return all(each.status == "exact" for each in self.conjuncts)


def push_runs(
    expr: pl.Expr | None, schema: Mapping[str, pl.DataType], *, overridden: Collection[str] = ()
) -> Pushdown:
    """Decide what of a predicate over the runs frame the server is asked.

    Parameters
    ----------
    expr
        The predicate; None keeps every run.
    schema
        The columns of the runs frame and their types. A column that is not there is not pushed.
    overridden
        Those whose type is the caller's: what runs hold may be of others.

    Returns
    -------
    Pushdown
        A filter that keeps every run that the predicate keeps, and the fate of each conjunct.
        It never raises for an expression that it cannot read.

    Examples
    --------
    >>> import polars as pl
    >>> from wbframe.core.filters import to_json
    >>> pushdown = push_runs(
    ...     (pl.col("state") == "finished") & (pl.col("config.layers") == 3),
    ...     {"state": pl.String(), "config.layers": pl.Float64()},
    ... )
    >>> to_json(pushdown.filter)
    '{"$and":[{"state":"finished"},{"config.layers.value":3}]}'
    >>> [each.status for each in pushdown.conjuncts]
    ['exact', 'superset']
    """
    return _push_runs(_conjuncts(expr), schema, overridden)


def _conjuncts(expr: pl.Expr | None) -> tuple[ex.Node, ...]:
    """Split a predicate at its top-level ANDs, with the negations at the leaves."""
    if expr is None:
        return ()
    node = ex.negations_to_leaves(read(expr))
    nodes = node.operands if isinstance(node, ex.And) else (node,)
    return tuple(each for each in nodes if each != ex.Value(value=True))


def _push_runs(
    nodes: Iterable[ex.Node], schema: Mapping[str, pl.DataType], overridden: Collection[str]
) -> Pushdown:
    """Push each conjunct, as long as the constants are not too many."""
    filters: list[Filter] = []
    conjuncts: list[Conjunct] = []
    left = MOST_VALUES
    # What the caller promised says nothing of what runs hold; text is compared as whatever it may spell.
    free = [each for each in overridden if each in schema and schema[each] != pl.String()]
    stored = {**schema, **{each: pl.Unknown() for each in free if each.startswith(KEY_PREFIXES)}}
    for node in nodes:
        count = ex.count_values(node)
        if count > left:
            found: Pushed | Local = Local(f"a filter holds at most {MOST_VALUES:,} constants")
        else:
            found = translate(node, stored)
        if isinstance(found, Pushed) and _RESPELLED in to_json(found.filter):
            found = Local("what the server has for U+FFFD may be what no UTF-8 can say")
        if isinstance(found, Pushed):
            left -= count
            filters.append(found.filter)
        conjuncts.append(_conjunct(node, found))
    return Pushdown(
        filter=conjoin(*filters) if filters else None,
        exact=all(each.status == "exact" for each in conjuncts),
        conjuncts=tuple(conjuncts),
    )


# In JSON. Text that spells it so itself is taken for it, and stays local too.
_RESPELLED = "\\ufffd"


def _conjunct(node: ex.Node, found: Pushed | Local) -> Conjunct:
    """Say what became of a conjunct."""
    if isinstance(found, Local):
        return Conjunct(text=ex.render(node), status="local", reason=found.reason)
    return Conjunct(
        text=ex.render(node),
        status="exact" if found.exact else "superset",
        pushed=to_dict(found.filter),
        reason="" if found.exact else found.reason,
    )


def push_history(
    expr: pl.Expr | None,
    schema: Mapping[str, pl.DataType],
    *,
    run_columns: Iterable[str] = (),
    overridden: Collection[str] = (),
) -> HistoryPushdown:
    """Decide what of a predicate over the histories frame the server is asked.

    Parameters
    ----------
    expr
        The predicate; None keeps every row.
    schema
        The columns of the histories frame and their types.
    run_columns
        Which of them are columns of the runs frame, such as ``config.lr`` or ``state``. Without
        being named here, a column is a logged key, whatever it is called.
    overridden
        Columns whose type is the caller's: what runs hold may be of others.

    Returns
    -------
    HistoryPushdown
        The runs, steps and times outside of which the predicate keeps no row.

    Examples
    --------
    >>> import polars as pl
    >>> pushdown = push_history(
    ...     (pl.col("_step") < 1000) & (pl.col("run_id") == "a1"),
    ...     {"run_id": pl.String(), "_step": pl.Int64()},
    ... )
    >>> pushdown.run_ids, pushdown.min_step, pushdown.max_step
    (frozenset({'a1'}), None, 1000)
    """
    names = {"run_id", *run_columns}
    runs_schema = {name: dtype for name, dtype in schema.items() if name in names}
    nodes = _conjuncts(expr)
    run = _push_runs(nodes, runs_schema, overridden)
    ids: frozenset[str] | None = None
    steps = times = (-math.inf, math.inf)
    conjuncts: list[Conjunct] = []
    for node, pushed in zip(nodes, run.conjuncts, strict=True):
        node_ids = _bound(node, _run_ids, _common, _union)
        node_steps = _bound(node, _steps, _meet, _hull)
        node_times = _bound(node, _times, _meet, _hull)
        ids = node_ids if ids is None else ids if node_ids is None else ids & node_ids
        steps = _meet(steps, node_steps) if node_steps else steps
        times = _meet(times, node_times) if node_times else times
        conjuncts.append(_history_conjunct(node, pushed, node_ids, node_steps, node_times))
    kept = tuple(each for each in run.conjuncts if each.status != "local")
    exact = all(each.status == "exact" for each in kept)
    return HistoryPushdown(
        run=Pushdown(filter=run.filter, exact=exact, conjuncts=kept),
        run_ids=ids,
        min_step=_whole(steps[0]),
        max_step=_whole(steps[1]),
        min_timestamp=times[0] if math.isfinite(times[0]) else None,
        max_timestamp=times[1] if math.isfinite(times[1]) else None,
        conjuncts=tuple(conjuncts),
    )


def _history_conjunct(
    node: ex.Node,
    run: Conjunct,
    ids: frozenset[str] | None,
    steps: _Range | None,
    times: _Range | None,
) -> Conjunct:
    """Say what became of a conjunct over histories."""
    if run.status == "exact":
        return run
    pushed = dict(run.pushed or {})
    if ids is not None and not pushed:
        pushed["run_id"] = {"$in": sorted(ids)}
    for column, found, above in (("_step", steps, "$lt"), ("_timestamp", times, "$lte")):
        if found is not None:
            ends = {"$gte": found[0], above: found[1]}
            pushed[column] = {key: each for key, each in ends.items() if math.isfinite(each)}
    if not pushed:
        return run
    if _is_whole(node, ids, steps):
        return Conjunct(text=run.text, status="exact", pushed=pushed)
    reason = run.reason if run.status == "superset" else "only its outer bounds are pushed"
    return Conjunct(text=run.text, status="superset", pushed=pushed, reason=reason)


def _is_whole(node: ex.Node, ids: frozenset[str] | None, steps: _Range | None) -> bool:
    """Say whether run ids or a range of steps say all that a condition says."""
    if isinstance(node, (ex.Compare, ex.IsBetween)):
        return ids is not None or steps is not None
    if isinstance(node, ex.IsIn):
        if steps is not None:
            return len({each for each in node.values if each is not None}) == steps[1] - steps[0]
        return ids is not None
    return False


def _bound(
    node: ex.Node,
    leaf: Callable[[ex.Node], _T | None],
    meet: Callable[[_T, _T], _T],
    join: Callable[[_T, _T], _T],
) -> _T | None:
    """Bound what a tree keeps by what its leaves keep; None is no bound."""
    if not isinstance(node, (ex.And, ex.Or)):
        return leaf(node)
    parts = [_bound(each, leaf, meet, join) for each in node.operands]
    known = [each for each in parts if each is not None]
    if isinstance(node, ex.And):
        return reduce(meet, known) if known else None
    # One alternative without a bound lets every row through.
    return reduce(join, known) if len(known) == len(parts) else None


def _common(left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    """Give the run ids that both have."""
    return left & right


def _union(left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    """Give the run ids that one has."""
    return left | right


def _meet(left: _Range, right: _Range) -> _Range:
    """Give the range that both have."""
    return max(left[0], right[0]), min(left[1], right[1])


def _hull(left: _Range, right: _Range) -> _Range:
    """Give the smallest range around both."""
    return min(left[0], right[0]), max(left[1], right[1])


def _whole(end: float) -> int | None:
    """Give one end of a range of steps."""
    return int(end) if math.isfinite(end) else None


def _run_ids(leaf: ex.Node) -> frozenset[str] | None:
    """Give the run ids that a leaf keeps."""
    values: tuple[Any, ...]
    if isinstance(leaf, ex.IsIn) and not (leaf.nulls_equal and None in leaf.values):
        operand, values = leaf.operand, leaf.values
    elif isinstance(leaf, ex.Compare):
        parts = ex.compared(leaf)
        if parts is None or parts[1] not in ("==", "eq_missing") or parts[2] is None:
            return None
        operand, values = parts[0], (parts[2],)
    else:
        return None
    if isinstance(operand, ex.Cast) and operand.dtype == "String":
        operand = operand.operand
    if operand != ex.Column("run_id"):
        return None
    return frozenset(each for each in values if isinstance(each, str))


def _numbers(leaf: ex.Node, column: str) -> tuple[tuple[str, Any], ...] | None:
    """Give the comparisons of a column with constants that a leaf stands for."""
    if isinstance(leaf, ex.IsBetween):
        low, high = (_numbers(each, column) for each in ex.comparisons(leaf))
        return None if low is None or high is None else low + high
    if isinstance(leaf, ex.IsIn):
        operand, values = leaf.operand, [each for each in leaf.values if each is not None]
        if leaf.nulls_equal and None in leaf.values:
            return None
        if not values or not all(map(_is_number, values)):
            return None
        found: tuple[tuple[str, Any], ...] = ((">=", min(values)), ("<=", max(values)))
    elif isinstance(leaf, ex.Compare) and (parts := ex.compared(leaf)) is not None:
        operand, found = parts[0], ((parts[1], parts[2]),)
    else:
        return None
    # polars casts an integer column so to compare it with a float.
    if isinstance(operand, ex.Cast) and operand.dtype == "Float64":
        operand = operand.operand
    return found if operand == ex.Column(column) else None


def _is_number(value: Any) -> bool:
    """Say whether a constant is a number that a double holds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < EXACT


def _steps(leaf: ex.Node) -> _Range | None:
    """Give the half-open range of steps outside of which a leaf keeps no row."""
    tests = _numbers(leaf, "_step")
    if tests is None or not all(_is_number(value) for _, value in tests):
        return None
    low, high = -math.inf, math.inf
    for operator, value in tests:
        if operator in (">=", "==", "eq_missing"):
            # Between whole numbers there is no step.
            low = max(low, math.ceil(value))
        if operator in ("<=", "==", "eq_missing"):
            high = min(high, math.floor(value) + 1)
        if operator == ">":
            low = max(low, math.floor(value) + 1)
        if operator == "<":
            high = min(high, math.ceil(value))
    return (low, high) if math.isfinite(low) or math.isfinite(high) else None


def _times(leaf: ex.Node) -> _Range | None:
    """Give the closed range of times outside of which a leaf keeps no row."""
    tests = _numbers(leaf, "_timestamp")
    if tests is None:
        return None
    low, high = -math.inf, math.inf
    for operator, value in tests:
        # W&B logs seconds since 1970, which an override may have made times.
        if isinstance(value, datetime) and value.tzinfo is not None:
            seconds, spare = value.timestamp(), _MICROSECOND
        elif _is_number(value):
            seconds, spare = float(value), 0.0
        else:
            return None
        if operator in (">", ">=", "==", "eq_missing"):
            low = max(low, seconds - spare)
        if operator in ("<", "<=", "==", "eq_missing"):
            high = min(high, seconds + spare)
    return (low, high) if math.isfinite(low) or math.isfinite(high) else None
