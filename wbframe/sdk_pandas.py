"""Rows as Python objects -> a pandas frame with the dtypes that pandas itself would give them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl

from wbframe.core.sdk_frames import MISSING, column, keys_of, loses_digits

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["pandas_frame"]

_ABSENT = frozenset({type(None), type(MISSING)})
_NUMERIC = frozenset({int, float, str})


def pandas_frame(
    rows: Sequence[dict[str, Any]], *, text: Collection[str] = (), by_name: bool = False
) -> tuple[pd.DataFrame, frozenset[str]]:
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
    tuple
        The frame with a fresh RangeIndex, 0 x 0 without rows, and the columns in which float64 lost
        digits of an integer. Integers are int64, float64 where a row lacks the key (Python integers where
        that would cost digits); numbers are float64, also beside the names of non-finite ones; anything
        else is what pandas makes of the values, NaN where a row lacks the key.

    Examples
    --------
    >>> frame, _ = pandas_frame([{"b": 1, "a": "NaN"}, {"b": 2, "a": 0.5}])
    >>> frame.dtypes.astype(str).to_dict()
    {'b': 'int64', 'a': 'float64'}
    """
    names = keys_of(rows)
    if by_name:
        names.sort()
    columns = {}
    imprecise = set()
    for name in names:
        values = [row.get(name, MISSING) for row in rows]
        columns[name], lost = _series(values, text=name in text)
        if lost:
            imprecise.add(name)
    return pd.DataFrame(columns), frozenset(imprecise)


def _series(values: list[Any], *, text: bool) -> tuple[pd.Series[Any], bool]:
    """Build one column; also tell whether float64 lost digits of an integer."""
    kinds = set(map(type, values)) - _ABSENT
    if not kinds:
        return pd.Series(_filled(values, math.nan), dtype=object), False
    if kinds == {float}:
        return pd.Series(_filled(values, math.nan), dtype="float64"), False
    whole = len(set(map(type, values))) == 1
    if kinds == {int} and whole:
        return pd.Series(values), False
    if kinds <= _NUMERIC:
        plain = _filled(values, None)
        numbers, lost = column("", plain, text=text)
        if kinds == {int}:
            lost = any(map(loses_digits, plain))
            if lost:
                return pd.Series(plain, dtype=object), False
        if numbers.dtype.is_numeric():
            return pd.Series(numbers.cast(pl.Float64).to_numpy()), lost
    return pd.Series(values if whole else _filled(values, math.nan)), False


def _filled(values: list[Any], gap: Any) -> list[Any]:
    """Put something where a row lacks the key."""
    return [gap if value is MISSING else value for value in values]
