"""Rows of one run as Python objects from its exported files, for servers that give them nowhere else."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from pyarrow.types import is_large_binary

from wbframe.core.decode.plain import misfit
from wbframe.core.hints import whole
from wbframe.core.model import STEP
from wbframe.dropin.values import from_json
from wbframe.io.read.exports import read_exports, signed_file
from wbframe.io.read.files import read_file
from wbframe.io.read.storage import CONCURRENCY, Storage
from wbframe.io.threads import pool, side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from wbframe.core.model import Match, RunPath
    from wbframe.io.client.client import Client

Row = dict[str, Any]
# Files that are read side by side: what is made of each is larger by far.
_FILES = 4


def exported_rows(
    client: Client,
    path: RunPath,
    name: str,
    keys: Sequence[str],
    low: int,
    high: int,
    *,
    match: Match = "all",
) -> list[Row]:
    """Read the rows of a half-open window of steps from the files of a run; none where it has no files.

    Parameters
    ----------
    client, path, name
        Which run.
    keys
        What rows must hold, and all that they are given with, besides `_step`; empty for whole rows.
    low, high
        The window.
    match
        Whether rows must hold all of the keys, or any.

    Returns
    -------
    list of dict
        By step, each step of one file only.
    """
    holds = all if match == "all" or not keys else any
    [export] = read_exports(client, path, [name])
    found: dict[int, list[Row]] = {}
    wanted = list(keys) or None
    with closing(Storage(client)) as storage, pool(CONCURRENCY, "wbframe-ranges") as ranges:

        def read(url: str) -> tuple[str, pa.Table]:
            file = signed_file(client, storage, path, name, url)
            table = read_file(file, wanted, min_step=low, max_step=high, workers=ranges)
            return f"the exported file {file.name}", table

        for where, table in side_by_side(_FILES, read, export.urls):
            more: dict[int, list[Row]] = {}
            for row in _rows(table, where):
                # Files are of all rows, while the server gives those that have all keys.
                if low <= row[STEP] < high and holds(key in row for key in keys):
                    more.setdefault(row[STEP], []).append(row)
            found = {**more, **found}
    return [row for step in sorted(found) for row in found[step]]


def merged(exported: Iterable[Row], others: Iterable[Row]) -> list[Row]:
    """Put exported rows and others together by step; of rows in both, the exported ones."""
    found = list(exported)
    # Servers may give exported rows as live ones too.
    there = {row[STEP] for row in found}
    found += [row for row in others if row[STEP] not in there]
    return sorted(found, key=lambda row: row[STEP])


def _rows(table: pa.Table, where: str) -> Iterator[Row]:
    """Give rows with what they hold; a step is a whole number."""
    columns = {
        field.name: _values(table[field.name], json=is_large_binary(field.type))
        for field in table.schema
    }
    for cells in zip(*columns.values(), strict=True):
        row = {name: value for name, value in zip(columns, cells, strict=True) if value is not None}
        step = row.get(STEP)
        found = step if type(step) is int else whole(step)
        if found is None:
            raise misfit(STEP, f"{step!r}, which is no step", where)
        yield {**row, STEP: found}


def _values(column: pa.ChunkedArray, *, json: bool) -> list[Any]:
    """Give a column of an exported file as Python objects."""
    values: list[Any] = column.to_pylist()
    return [None if each is None else from_json(each) for each in values] if json else values
