"""Buckets: minimum, maximum, mean and last value of keys along an axis, for plots that hide no peak."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.batches import batches
from wbframe.core.decode.rows import decode_rows
from wbframe.core.paths import name_of
from wbframe.core.protocol.answers import json_texts
from wbframe.core.protocol.rows import RowsOf, row_lists, rows_answer, rows_request
from wbframe.core.schema.histories import HistorySchema
from wbframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import msgspec

    from wbframe.core.histories.entries import RunEntry
    from wbframe.core.model import RunPath
    from wbframe.core.protocol.request import Request

# What is told of each bucket: the wire's suffix -> ours, in the order of the frame.
STATISTICS = {"Min": "min", "Max": "max", "Avg": "mean", "Last": "last"}
_POINTS_PER_REQUEST = 60_000
_RUNS_PER_REQUEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketTask:
    """One request for the buckets of several runs: what is known of each, and which keys of it are wanted."""

    path: RunPath
    runs: tuple[tuple[RunEntry, tuple[str, ...]], ...]
    bins: int
    x_axis: str
    system: bool = False

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
        content = {"keys": [asked], "bins": self.bins, "xAxis": self.x_axis}
        return json.dumps(content, separators=(",", ":"), ensure_ascii=False)

    def request(self) -> Request:
        """Build the request."""
        return rows_request(self.path, self.rows_of(), samples=self.bins)

    def halves(self) -> list[BucketTask]:
        """Cut the task in two; nothing if it is of one run."""
        half = len(self.runs) // 2
        parts = (self.runs[:half], self.runs[half:]) if half else ()
        return [replace(self, runs=runs) for runs in parts]


def bucket_schema(base: HistorySchema, x_axis: str, asked: Sequence[str] | None) -> HistorySchema:
    """Give the columns of buckets, from those of the histories that they sum up.

    Returns
    -------
    HistorySchema
        The axis, then ``<key>.min``, ``<key>.max``, ``<key>.mean`` and ``<key>.last`` of each numeric key.

    Raises
    ------
    UsageError
        If a key that is asked for holds no numbers.
    """
    keys = numeric_keys(base)
    for key in asked or ():
        if key in base.keys and key not in keys:
            raise UsageError(
                f"buckets are of numbers, and {key!r} is {base.keys[key]}; leave it out"
            )
    found = {f"{key}.{each}": pl.Float64() for key in keys for each in STATISTICS.values()}
    taken = {"run_id", x_axis, *base.run_columns}
    return HistorySchema(
        keys=found,
        lead={x_axis: pl.Float64()},
        run_columns=base.run_columns,
        names={name: f"history.{name}" for name in found if name in taken},
    )


def numeric_keys(base: HistorySchema) -> tuple[str, ...]:
    """Give the keys that buckets can be made of."""
    return tuple(key for key, dtype in base.keys.items() if dtype.is_numeric())


def bucket_tasks(
    entries: Iterable[RunEntry], keys: Sequence[str], *, bins: int, x_axis: str, system: bool
) -> Iterator[BucketTask]:
    """Cut runs into tasks, in their order."""
    there = ((entry, _held(entry, keys, system=system)) for entry in entries)
    for batch in batches(
        (each for each in there if each[1]),
        lambda each: bins * (len(STATISTICS) + 1) * len(each[1]),
        lambda: _POINTS_PER_REQUEST,
        count=_RUNS_PER_REQUEST,
        apart=lambda each: each[0].path,
    ):
        path = batch[0][0].path
        yield BucketTask(path=path, runs=tuple(batch), bins=bins, x_axis=x_axis, system=system)


def _held(entry: RunEntry, keys: Sequence[str], *, system: bool) -> tuple[str, ...]:
    """Give the keys that a run may hold."""
    there = entry.types(system=system)
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
        found[entry.ordinal] = merged(frames, task.x_axis)
    return found


def _of_key(task: BucketTask, key: str, rows: msgspec.Raw, where: str) -> pl.DataFrame:
    """Decode the buckets of one key; the name on the wire is the key as it was asked for, or as in rows."""
    # Some servers give the buckets of a spec as JSON in a string, and not each has the mean of the axis.
    texts = json_texts(rows, where=where)
    spellings = [f"system/{key.removeprefix('system.')}", key] if task.system else [key]
    wire = {f"{name}{suffix}": pl.Float64() for name in spellings for suffix in STATISTICS}
    axis = [f"{task.x_axis}Avg", f"{task.x_axis}Last"]
    frame = decode_rows(texts, {**dict.fromkeys(axis, pl.Float64()), **wire}, where=where).frame
    return frame.select(
        pl.coalesce(axis).alias(task.x_axis),
        *(
            pl.coalesce(f"{name}{suffix}" for name in spellings).alias(f"{key}.{ours}")
            for suffix, ours in STATISTICS.items()
        ),
    )


def merged(frames: Sequence[pl.DataFrame], x_axis: str) -> pl.DataFrame:
    """Join the buckets of several keys where they stand at the same place of the axis."""
    whole = frames[0]
    for frame in frames[1:]:
        whole = whole.join(frame, on=x_axis, how="full", coalesce=True, nulls_equal=True)
    return whole.sort(x_axis, nulls_last=True)


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
        Buckets at the most; empty ones are left out.
    x_axis
        A numeric column.
    """
    frames = []
    for key in keys:
        pair = rows.select(pl.col(x_axis).cast(pl.Float64), pl.col(key)).drop_nulls()
        pair = pair.filter(pl.all_horizontal(pl.all().is_finite()))
        low, high = pl.col(x_axis).min(), pl.col(x_axis).max()
        # Where all rows have one x, this is 0/0, which is not a number.
        place = (
            ((pl.col(x_axis) - low) / ((high - low) / bins)).fill_nan(0.0).floor().clip(0, bins - 1)
        )
        frames.append(
            pair.group_by(place.alias("\0bucket"), maintain_order=True)
            .agg(
                pl.col(x_axis).mean(),
                pl.col(key).min().alias(f"{key}.min"),
                pl.col(key).max().alias(f"{key}.max"),
                pl.col(key).mean().alias(f"{key}.mean"),
                pl.col(key).last().alias(f"{key}.last"),
            )
            .sort("\0bucket")
            .drop("\0bucket")
        )
    return merged(frames, x_axis)
