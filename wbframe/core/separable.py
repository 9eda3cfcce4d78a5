"""Whether an expression says the same of a row whatever other rows there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wbframe.core.expression import read
from wbframe.core.nodes import children

if TYPE_CHECKING:
    import polars as pl

__all__ = ["is_row_separable"]


def is_row_separable(expr: pl.Expr) -> bool:
    """Tell whether pages of rows may be filtered one by one instead of all rows at once.

    Parameters
    ----------
    expr
        A predicate.

    Returns
    -------
    bool
        False also where that is not known: of Python functions, and of whatever polars may yet invent.

    Examples
    --------
    >>> import polars as pl
    >>> is_row_separable(pl.col("config.lr") > 0.1)
    True
    >>> is_row_separable(pl.col("created_at") == pl.col("created_at").max())
    False
    """
    pending = [read(expr)]
    while pending:
        inner = children(pending.pop())
        if inner is None:
            return False
        pending += inner
    return True
