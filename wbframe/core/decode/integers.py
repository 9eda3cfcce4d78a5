"""Numbers that all are whole, as the integers that they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.decode.cells import LIMIT

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["with_integers"]


def with_integers(frame: pl.DataFrame, *, but: Collection[str]) -> pl.DataFrame:
    """Make the Float64 columns Int64 that hold whole numbers alone, and at least one.

    Those with a number from 2**53 on stay as they are: it may have been another one, that Float64 does not have.

    Parameters
    ----------
    frame
        A frame as it was read.
    but
        Columns whose dtype the caller has said.

    Examples
    --------
    >>> frame = pl.DataFrame({"a": [1.0, None], "b": [1.0, 0.5], "c": [1.0, 2.0]})
    >>> with_integers(frame, but=["c"]).dtypes
    [Int64, Float64, Float64]
    """
    whole = [
        each.cast(pl.Int64)
        for each in frame.get_columns()
        if each.dtype == pl.Float64 and each.name not in but and _is_whole(each)
    ]
    return frame.with_columns(whole)


def _is_whole(numbers: pl.Series) -> bool:
    """Tell whether there are numbers, and all are whole and exact."""
    if numbers.null_count() == len(numbers):
        return False
    return bool(((numbers.abs() < LIMIT) & (numbers.floor() == numbers)).all())
