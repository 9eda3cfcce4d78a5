"""Buckets: minimum, maximum, mean and last value of keys along an axis, for plots that hide no peak."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.batches import batches, halves_of
from wbframe.core.decode.rows import decode_rows
from wbframe.core.histories.cutting import STATISTICS, merged, numbered
from wbframe.core.histories.tasks import WHOLE_RUNS_PER_TASK
from wbframe.core.model import BUCKET
from wbframe.core.paths import name_of
from wbframe.core.protocol.answers import json_texts
from wbframe.core.protocol.rows import RowsOf, row_lists, rows_answer, rows_request
from wbframe.core.schema.histories import HistorySchema
from wbframe.errors import UsageError
from wbframe.text import REPLACED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import msgspec

    from wbframe.core.histories.entries import RunEntry
    from wbframe.core.model import Grid, HistoryScan, RunPath
    from wbframe.core.protocol.request import Request

_POINTS_PER_REQUEST = 60_000
_RUNS_PER_REQUEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketTask:
    """One request for the buckets of several runs: what is known of each, and which keys of it are wanted."""

    path: RunPath
    runs: tuple[tuple[RunEntry, tuple[str, ...]], ...]
    grid: Grid
    system: bool = False

    @property
    def respelled(self) -> bool:
        """Whether the server knows a key by another name, which cannot be sent."""
        keys = [self.grid.x_axis, *(key for _, keys in self.runs for key in keys)]
        return any(REPLACED in key for key in keys)

    def rows_of(self) -> list[RowsOf]:
        """Give what the document asks of each run: a spec a key."""
        return [
            RowsOf(
                run_id=entry.run_id,
                field="bucketedHistory",
                specs=tuple(self._spec(key) for key in keys),
            )
            for entry, keys in self.runs
        ]

    def _spec(self, key: str) -> str:
        """Spell the spec of one key; machine metrics are asked for under another name than rows have."""
        # The server takes this spelling alone, even where historyKeys has `system.`:
        # https://github.com/wandb/wandb/pull/12739
        asked = f"system/{key.removeprefix('system.')}" if self.system else key
        # One key each, as W&B's own apps ask: what several in one spec come to is not documented.
        content = {"keys": [asked], "bins": self.grid.bins, "xAxis": self.grid.x_axis}
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False)

    def request(self) -> Request:
        """Build the request."""
        return rows_request(self.path, self.rows_of(), samples=self.grid.bins)

    def halves(self) -> list[BucketTask]:
        """Cut the task in two; nothing if it is of one run."""
        return [replace(self, runs=tuple(runs)) for runs in halves_of(self.runs)]


def takes_rows(scan: HistoryScan, grid: Grid) -> bool:
    """Tell whether buckets are made here, of rows: where they are not those that a server would make.

    A server's are of each run and key from its least to its greatest x; whether it takes a window of steps is
    not documented, and without the number of values in each, several cannot be joined to one.
    """
    return grid.is_one or scan.min_step is not None or scan.max_step is not None


def bucket_schema(base: HistorySchema, grid: Grid, asked: Sequence[str] | None) -> HistorySchema:
    """Give the columns of buckets, from those of the histories that they sum up.

    Returns
    -------
    HistorySchema
        `bucket`, the axis, then ``<key>.min``, ``<key>.max``, ``<key>.mean`` and ``<key>.last`` of each numeric
        key.

    Raises
    ------
    UsageError
        If a key that is asked for holds no numbers.
    """
    keys = numeric_keys(base)
    for key in asked or ():
        if key in base.keys and key not in keys:
            text = base.keys[key] == pl.String()
            rows = (
                f", or read its rows: histories with schema_overrides={{{key!r}: pl.Float64}} are of numbers"
                " where these came as text"
            )
            raise UsageError(
                f"buckets are of numbers, and {key!r} is {base.keys[key]}; leave it out{rows if text else ''}"
            )
    found = {f"{key}.{each}": pl.Float64() for key in keys for each in STATISTICS.values()}
    lead = {BUCKET: pl.Int64(), grid.axis: pl.Float64()}
    taken = {"run_id", *lead, *base.run_columns}
    return HistorySchema(
        keys=found,
        lead=lead,
        run_columns=base.run_columns,
        names={name: f"history.{name}" for name in found if name in taken},
    )


def numeric_keys(base: HistorySchema) -> tuple[str, ...]:
    """Give the keys that buckets can be made of."""
    return tuple(key for key, dtype in base.keys.items() if dtype.is_numeric())


def bucket_tasks(
    entries: Iterable[RunEntry], keys: Sequence[str], scan: HistoryScan, grid: Grid
) -> Iterator[BucketTask]:
    """Cut runs into tasks, in their order."""
    system = scan.stream == "system"
    there = ((entry, _held(entry, keys, scan)) for entry in entries)
    for batch in batches(
        (each for each in there if each[1]),
        lambda each: grid.bins * (len(STATISTICS) + 1) * len(each[1]),
        lambda: _POINTS_PER_REQUEST,
        count=WHOLE_RUNS_PER_TASK if takes_rows(scan, grid) else _RUNS_PER_REQUEST,
        apart=lambda each: each[0].path,
    ):
        path = batch[0][0].path
        yield BucketTask(path=path, runs=tuple(batch), grid=grid, system=system)


def runs_per_request(grid: Grid, keys: int) -> int:
    """Give about how many runs of so many keys a request asks for."""
    points = grid.bins * (len(STATISTICS) + 1) * max(keys, 1)
    return max(min(_RUNS_PER_REQUEST, _POINTS_PER_REQUEST // points), 1)


def _held(entry: RunEntry, keys: Sequence[str], scan: HistoryScan) -> tuple[str, ...]:
    """Give the keys that a run may hold."""
    there = {*entry.types(system=scan.stream == "system"), *scan.unlisted}
    return tuple(key for key in keys if entry.keys is None or key in there)


def read_bucket_answer(
    task: BucketTask, content: bytes, request: Request
) -> dict[int, pl.DataFrame]:
    """Decode the answer to a task: ordinal -> buckets of one run, by the axis."""
    answers = rows_answer(content, request, task.path, task.rows_of())
    found = {}
    for (entry, keys), raw in zip(task.runs, answers, strict=True):
        where = f"run {entry.run_id!r} of {name_of(task.path)}"
        frames = [
            _of_key(task, key, rows, where) for key, rows in zip(keys, row_lists(raw), strict=True)
        ]
        found[entry.ordinal] = numbered(merged(frames, task.grid.x_axis), task.grid)
    return found


def _of_key(task: BucketTask, key: str, rows: msgspec.Raw, where: str) -> pl.DataFrame:
    """Decode the buckets of one key; the name on the wire is the key as it was asked for, or as in rows."""
    # Some servers give the buckets of a spec as JSON in a string, and not each has the mean of the axis.
    texts = json_texts(rows, where=where)
    spellings = [f"system/{key.removeprefix('system.')}", key] if task.system else [key]
    wire = {f"{name}{suffix}": pl.Float64() for name in spellings for suffix in STATISTICS}
    axis = [f"{task.grid.x_axis}Avg", f"{task.grid.x_axis}Last"]
    frame = decode_rows(texts, {**dict.fromkeys(axis, pl.Float64()), **wire}, where=where).frame
    return frame.select(
        pl.coalesce(axis).alias(task.grid.x_axis),
        *(
            pl.coalesce(f"{name}{suffix}" for name in spellings).alias(f"{key}.{ours}")
            for suffix, ours in STATISTICS.items()
        ),
    )
