"""Columns out of an exported file whose bytes are here; what they cannot give is told of one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from wbframe.core.decode.plain import misfit
from wbframe.core.decode.taken import told_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow.parquet as pq

__all__ = ["read_columns"]


def read_columns(
    opened: pq.ParquetFile, groups: Sequence[int], names: Sequence[str], rows: int, *, where: str
) -> pa.Table:
    """Read columns of some row groups.

    Parameters
    ----------
    opened
        The file.
    groups, names
        Which; all that a column of several has within.
    rows
        How many these groups have.
    where
        The file, for messages.

    Raises
    ------
    SchemaMismatchError
        If a column cannot be read, or has another number of values than there are rows.
    """
    try:
        table = opened.read_row_groups(groups, columns=names, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise misfit(*_unread(opened, groups, names, rows, error), where) from error
    if table.num_rows != rows:
        raise misfit(names[0], f"{table.num_rows} values for {rows} rows", where)
    return table


def _unread(
    opened: pq.ParquetFile, groups: Sequence[int], names: Sequence[str], rows: int, error: Exception
) -> tuple[str, str]:
    """Find the column that cannot be read with the others, and say why."""
    for name in names:
        try:
            came = opened.read_row_groups(groups, columns=[name], use_threads=False).num_rows
        except (pa.ArrowException, OSError) as own:
            return name, f"values that cannot be read ({told_of(own)})"
        if came != rows:
            return name, f"{came} values for {rows} rows"
    return names[0], f"values that cannot be read ({told_of(error)})"
