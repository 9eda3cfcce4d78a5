"""Runs brought into an order that no server is known to give, or that one has got wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.paths import describe
from wbframe.core.schema.order import no_such_order
from wbframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wbframe.core.model import RunPath
    from wbframe.core.runs.plan import RunsPlan

__all__ = ["is_sure", "places_of", "sorted_places"]

# Values that are compared as what they are; what has no value comes last, whatever the direction.
_VALUE, _TEXT, _NAN, _NULL = range(4)


def places_of(plan: RunsPlan, frame: pl.DataFrame, paths: Sequence[RunPath]) -> list[int] | None:
    """Give the places of the runs that are wanted, in the order of a plan; None if more runs must be read for it.

    Parameters
    ----------
    plan
        What is read, and how it is sorted.
    frame, paths
        The runs that came, and the project of each.

    Raises
    ------
    ColumnError
        If no run has the column.
    """
    sort, limit = plan.sort, plan.scan.selection.limit
    assert sort is not None
    as_came = list(range(frame.height))
    if any(path.run is not None for path in plan.scan.selection.paths):
        return as_came[:limit]  # by their names runs come in the order given
    cut = sort.trusted and limit is not None and frame.height >= limit
    if sort.column not in frame.columns:
        if frame.height and not cut:
            raise no_such_order(sort.column, frame.columns, describe(plan.scan.selection.paths))
        return None if cut and limit else as_came
    projects = {path: at for at, path in enumerate(dict.fromkeys(paths))}
    column = frame[sort.column]
    places = sorted_places(
        column, descending=sort.descending, groups=[projects[path] for path in paths]
    )
    if cut:
        valued = _valued(column)
        if places != as_came or len(valued) < (limit or 0) or not is_sure(valued):
            return None
    return places[:limit]


def sorted_places(
    column: pl.Series, *, descending: bool, groups: Sequence[int] | None = None
) -> list[int]:
    """Give the places of rows in the order of a column; equal ones stay as they are.

    Text that spells a number counts as that number, and comes before other text. NaN comes behind all values, and
    null last: no run is the best by what it does not have.

    Parameters
    ----------
    column
        What to order by.
    descending
        Whether the greatest come first.
    groups
        A number a row; rows are ordered among those of their group, and groups by their numbers.

    Raises
    ------
    UsageError
        If its values have no order.

    Examples
    --------
    >>> sorted_places(pl.Series([None, "10", "auto", "9", "nan"]), descending=True)
    [1, 3, 2, 4, 0]
    """
    if column.dtype.is_nested():
        raise UsageError(f"`order`: {column.name!r} holds {column.dtype}, which has no order")
    rank, number, text = _keys(column)
    frame = pl.DataFrame(
        {
            "group": pl.Series(groups or [0] * len(column), dtype=pl.Int64),
            "rank": rank,
            "number": number,
            "text": text,
        }
    )
    by = frame.with_row_index("\0at").sort(
        "group",
        "rank",
        "number",
        "text",
        descending=[False, False, descending, descending],
        nulls_last=True,
        maintain_order=True,
    )
    return by["\0at"].to_list()


def _valued(column: pl.Series) -> pl.Series:
    """Leave off the runs without a value at the end, where they belong."""
    there = column.is_not_null().arg_true()
    return column.head(int(there[-1]) + 1 if len(there) else 0)


def is_sure(column: pl.Series) -> bool:
    """Tell whether all servers order these values alike: no nulls, no NaN, no infinities, no numbers in text."""
    rank, number, _ = _keys(column)
    if column.dtype == pl.String:
        return bool((rank == _TEXT).all())
    finite = not number.dtype.is_float() or bool(number.is_finite().fill_null(value=True).all())
    return finite and bool((rank == _VALUE).all())


def _keys(column: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Give the rank, the number (or what compares as itself), and the text of each value."""
    nulls = pl.Series([None], dtype=pl.String).new_from_index(0, len(column))
    number, text = column, nulls
    if column.dtype == pl.String:
        number, text = column.str.strip_chars().cast(pl.Float64, strict=False), column
    nan = number.is_nan() if number.dtype.is_float() else number.is_null() & False
    rank = pl.select(
        pl.when(column.is_null())
        .then(_NULL)
        .when(nan.fill_null(value=False))
        .then(_NAN)
        .when(number.is_null())
        .then(_TEXT)
        .otherwise(_VALUE)
    ).to_series()
    if number.dtype.is_float():
        number = number.fill_nan(None)
    return rank, number, pl.select(pl.when(rank == _TEXT).then(text)).to_series()
