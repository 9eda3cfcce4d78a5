"""Rows as Python objects -> a pandas frame with the dtypes that pandas itself would give them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.decode.taken import taken_in
from wbframe.dropin.columns import (
    ABSENT,
    MISSING,
    NUMERIC,
    Chunk,
    Columns,
    at_once,
)
from wbframe.dropin.polars_frame import column, loses_digits
from wbframe.text import as_utf8

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy as np
    import pandas as pd

__all__ = ["pandas_frame"]


def pandas_frame(
    columns: Columns, *, text: Collection[str] = (), by_name: bool = False
) -> tuple[pd.DataFrame, frozenset[str]]:
    """Build a frame of the union of all keys.

    Parameters
    ----------
    columns
        The rows.
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
    >>> frame, _ = pandas_frame(Columns([{"b": 1, "a": "NaN"}, {"b": 2, "a": 0.5}]))
    >>> frame.dtypes.astype(str).to_dict()
    {'b': 'int64', 'a': 'float64'}
    """
    import pandas as pd  # noqa: PLC0415 -- costs more to import than all the rest

    found = {}
    imprecise = set()
    chunks = columns.framed
    for name in sorted(chunks) if by_name else chunks:
        with taken_in(f"the values of {name!r}"):
            found[name], lost = _joined(chunks[name], text=name in text)
        if lost:
            imprecise.add(name)
    return pd.DataFrame(found), frozenset(imprecise)


def _joined(
    chunks: Sequence[Chunk], *, text: bool
) -> tuple[pd.Series[Any] | np.ndarray[Any, Any], bool]:
    """Build one column of chunks, at once where pandas would make the same of their series."""
    import pandas as pd  # noqa: PLC0415 -- as above

    quick = at_once(chunks, text=text, gaps=False)
    if quick is not None and quick.dtype == pl.String:
        # From Python's text, of which pandas 3 makes its `str`, and pandas 2 objects.
        return pd.Series(quick.to_list()), False
    if quick is not None:
        # polars' own memory is read-only to numpy.
        return quick.to_numpy(writable=True), False
    cells = [cell for chunk in chunks for cell in chunk.cells]
    # Within lists and objects, which stay Python's own, text is as it came.
    return _series([as_utf8(each) if type(each) is str else each for each in cells], text=text)


def _series(values: list[Any], *, text: bool) -> tuple[pd.Series[Any], bool]:
    """Build one column; also tell whether float64 lost digits of an integer."""
    import pandas as pd  # noqa: PLC0415 -- as above

    kinds = set(map(type, values))
    known = kinds - ABSENT
    if not known:
        # What pandas makes of a column in which no row has a value.
        return pd.Series(_filled(values, math.nan), dtype=object), False
    if known == {float}:
        plain = values if kinds == known else _filled(values, math.nan)
        return pd.Series(plain, dtype="float64"), False
    if kinds == {int}:
        return pd.Series(values), False
    if known <= NUMERIC:
        numbers, lost = column("", values, text=text)
        # With a gap pandas would make float64 of them, and round.
        if known == {int} and any(map(loses_digits, values)):
            return pd.Series(_filled(values, None), dtype=object), False
        if numbers.dtype.is_numeric():
            return pd.Series(numbers.cast(pl.Float64).to_numpy()), lost
    return pd.Series(_filled(values, math.nan) if kinds != known else values), False


def _filled(values: list[Any], gap: Any) -> list[Any]:
    """Put something where a row lacks the key."""
    return [gap if value is MISSING else value for value in values]
