"""Rows of a run -> buckets: minimum, maximum, mean and last value of keys in each stretch of an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.model import BUCKET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wbframe.core.model import Grid

__all__ = [
    "STATISTICS",
    "counted_rows",
    "cut_into_buckets",
    "cut_on_grid",
    "even_edges",
    "merged",
    "numbered",
    "shared_edges",
]

# What is told of each bucket: the wire's suffix -> ours, in the order of the frame.
STATISTICS = {"Min": "min", "Max": "max", "Avg": "mean", "Last": "last"}
_PLACE = "\0bucket"


def merged(frames: Sequence[pl.DataFrame], x_axis: str) -> pl.DataFrame:
    """Join the buckets of several keys where they stand at the same place of the axis."""
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.join(frame, on=x_axis, how="full", coalesce=True, nulls_equal=True)
    return whole.sort(x_axis, nulls_last=True)


def numbered(buckets: pl.DataFrame, grid: Grid) -> pl.DataFrame:
    """Count the buckets of one run, from 0, and give the axis the name of its column."""
    place = pl.int_range(pl.len(), dtype=pl.Int64).alias(BUCKET)
    rest = pl.exclude(grid.x_axis)
    return buckets.select(place, pl.col(grid.x_axis).alias(grid.axis), rest)


def counted_rows(rows: pl.DataFrame, keys: Sequence[str], x_axis: str) -> pl.DataFrame:
    """Give the numbers that buckets are made of: the axis, and keys; what is not finite is null.

    Rows without the axis, or without any of the keys, are left out; a key that no row holds has no column.
    """
    there = [key for key in keys if key in rows.columns]
    if not there or x_axis not in rows.columns:
        return pl.DataFrame(schema={x_axis: pl.Float64})
    numbers = rows.select(pl.col(x_axis, *there).cast(pl.Float64))
    finite = numbers.select(pl.when(pl.all().is_finite()).then(pl.all()))
    return finite.filter(
        pl.col(x_axis).is_not_null(), pl.any_horizontal(pl.col(key).is_not_null() for key in there)
    )


def _summed(rows: pl.DataFrame, keys: Sequence[str], x_axis: str) -> pl.DataFrame:
    """Sum up rows by their bucket, in the column `_PLACE`."""
    numbers = [pl.col(key).drop_nulls() for key in keys]
    return (
        rows.group_by(_PLACE)
        .agg(
            pl.col(x_axis).mean().alias("\0axis"),
            *(each.min().name.suffix(".min") for each in numbers),
            *(each.max().name.suffix(".max") for each in numbers),
            *(each.mean().name.suffix(".mean") for each in numbers),
            *(each.last().name.suffix(".last") for each in numbers),
        )
        .sort(_PLACE)
    )


def cut_into_buckets(
    rows: pl.DataFrame, keys: Sequence[str], bins: int, x_axis: str
) -> pl.DataFrame:
    """Sum up the rows of one run as a server does: buckets of equal width from the least to the greatest x.

    For servers that have no buckets themselves. Only pairs of finite numbers count.

    Parameters
    ----------
    rows
        The rows of one run, by step.
    keys
        Numeric columns.
    bins
        Buckets of a key at the most; empty ones are left out.
    x_axis
        A numeric column.
    """
    frames = []
    for key in keys:
        pair = counted_rows(rows, [key], x_axis)
        if pair.is_empty():
            continue
        low, high = pl.col(x_axis).min(), pl.col(x_axis).max()
        # Where all rows have one x, this is 0/0, which is not a number.
        place = (
            ((pl.col(x_axis) - low) / ((high - low) / bins)).fill_nan(0.0).floor().clip(0, bins - 1)
        )
        found = _summed(pair.with_columns(place.alias(_PLACE)), [key], x_axis)
        frames.append(found.drop(_PLACE).rename({"\0axis": x_axis}))
    return merged(frames, x_axis) if frames else pl.DataFrame(schema={x_axis: pl.Float64})


def even_edges(low: float, high: float, bins: int) -> tuple[float, ...]:
    """Give the edges of so many buckets of equal width.

    Examples
    --------
    >>> even_edges(0, 3, 2)
    (0.0, 1.5, 3.0)
    """
    width = (high - low) / bins
    return (*(float(low + i * width) for i in range(bins)), float(high))


def shared_edges(runs: Iterable[pl.DataFrame], grid: Grid) -> tuple[float, ...]:
    """Give the edges of buckets of equal width from the least to the greatest x of `counted_rows` of all runs."""
    spans = [
        (rows[grid.x_axis].min(), rows[grid.x_axis].max()) for rows in runs if not rows.is_empty()
    ]
    if not spans:
        return 0.0, 1.0
    low = min(float(each[0]) for each in spans)  # type: ignore[arg-type]
    high = max(float(each[1]) for each in spans)  # type: ignore[arg-type]
    if low == high:
        high = low + grid.bins
    return even_edges(low, high, grid.bins)


def cut_on_grid(
    rows: pl.DataFrame, keys: Sequence[str], grid: Grid, edges: Sequence[float], *, closed: bool
) -> pl.DataFrame:
    """Sum up `counted_rows` of one run in buckets that all runs and keys share; empty ones are left out.

    Parameters
    ----------
    rows, keys, grid
        What is cut, along which axis.
    edges
        Where buckets begin and end: the first is in the bucket, the second in the next.
    closed
        Whether the last edge is in the last bucket; else what lies there is left out, as is all beyond the edges.
    """
    there = [key for key in keys if key in rows.columns]
    place = pl.Series(edges).search_sorted(rows[grid.x_axis], side="right").cast(pl.Int64) - 1
    last = len(edges) - 2
    if closed:
        place = place.clip(upper_bound=last)
    inside = (place >= 0) & (place <= last)
    found = _summed(rows.with_columns(place.alias(_PLACE)).filter(inside), there, grid.x_axis)
    return found.rename({_PLACE: BUCKET, "\0axis": grid.axis})
