"""Rows as Python objects -> a pandas frame with the dtypes that pandas itself would give them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl

from wbframe.core.sdk_frames import column, keys_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["pandas_frame"]

_NONE = type(None)
# Float64 holds every integer up to here.
_EXACT = 2**53


def pandas_frame(
    rows: Sequence[dict[str, Any]], *, text: Collection[str] = (), by_name: bool = False
) -> pd.DataFrame:
    """Build a frame of the union of all keys.

    Parameters
    ----------
    rows
        The rows, each with any of the keys.
    text
        Keys known to hold text, in which ``"NaN"`` is a word and no number.
    by_name
        Whether columns are sorted by name, rather than in the order in which they first come.

    Returns
    -------
    pandas.DataFrame
        With a fresh RangeIndex; 0 x 0 without rows. Integers are int64, float64 where a row lacks the key
        (Python integers where that would cost digits); numbers are float64, also beside the names of
        non-finite ones; anything else is what pandas makes of the values, NaN where a row lacks the key.

    Examples
    --------
    >>> pandas_frame([{"b": 1, "a": "NaN"}, {"b": 2, "a": 0.5}]).dtypes.astype(str).to_dict()
    {'b': 'int64', 'a': 'float64'}
    """
    names = keys_of(rows)
    if by_name:
        names.sort()
    found = {
        name: _series([row.get(name, math.nan) for row in rows], text=name in text) for name in names
    }
    return pd.DataFrame(found)


def _series(values: list[Any], *, text: bool) -> pd.Series[Any]:
    """Build one column; NaN stands for a missing key."""
    kinds = set(map(type, values)) - {_NONE}
    if kinds == {float}:
        return pd.Series(values, dtype="float64")
    if kinds == {int} and None not in values:
        return pd.Series(values)
    if kinds <= {int, float} and kinds:
        whole = [value for value in values if type(value) is int]
        gaps_only = all(value is None or value != value for value in values if type(value) is not int)  # noqa: PLR0124 -- NaN
        if gaps_only and whole and max(-min(whole), max(whole)) > _EXACT:
            return pd.Series([None if value != value else value for value in values], dtype=object)  # noqa: PLR0124 -- NaN
        return pd.Series(values, dtype="float64")
    if kinds <= {int, float, str} and str in kinds:
        numbers, _ = column("", [None if value != value else value for value in values], text=text)  # noqa: PLR0124 -- NaN
        if numbers.dtype == pl.Float64:
            return pd.Series(numbers.to_numpy())
    return pd.Series(values)
