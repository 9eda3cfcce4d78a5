"""Which keys runs have logged, as a frame."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.schema.types import system_column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wbframe.core.histories.entries import RunEntry
    from wbframe.core.schema.histories import HistorySchema
    from wbframe.core.schema.types import Index

__all__ = ["key_frame"]

_SCHEMA: dict[str, pl.DataType] = {
    "key": pl.String(),
    "types": pl.List(pl.String),
    "dtype": pl.String(),
    "runs": pl.Int64(),
    "rows": pl.Int64(),
}


def key_frame(
    entries: Iterable[RunEntry], schema: HistorySchema, index: Index, *, system: bool
) -> pl.DataFrame:
    """Give a row for each key that a read of these runs has.

    Returns
    -------
    polars.DataFrame
        `key`; `types`, as the server calls them, sorted; `dtype` of its column; `runs` that list it, and `rows`
        of these that hold it. Null where no run lists it, or one does not say how many rows: rows may hold it
        all the same.
    """
    runs: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    unsaid: set[str] = set()
    for entry in entries:
        for logged in entry.keys or {}:
            key = system_column(logged) if system else logged
            count = entry.count(logged)
            runs[key] += 1
            rows[key] += count or 0
            if count is None:
                unsaid.add(key)
    found = [
        (
            key,
            sorted(index.get(key, ())),
            str(dtype),
            runs[key] or None,
            None if key in unsaid else rows[key] or None,
        )
        for key, dtype in schema.keys.items()
    ]
    return pl.DataFrame(found, schema=_SCHEMA, orient="row")
