"""Reading buckets: from the server, or summed up here where it has none."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core import graphql
from wbframe.core.buckets import (
    bucket_schema,
    bucket_tasks,
    cut_into_buckets,
    numeric_keys,
    read_bucket_answer,
)
from wbframe.core.explain import describe_scan
from wbframe.core.histories import TaskRows, assemble
from wbframe.core.narrow import NarrowedHistories, Wanted, narrow_histories
from wbframe.core.plan import history_tasks
from wbframe.io.read_histories import read_any_tasks
from wbframe.io.reader import send_or_refuse, side_by_side
from wbframe.io.source import Source
from wbframe.io.stream import entries_of, promise_histories

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from wbframe.core.buckets import BucketTask
    from wbframe.core.model import HistoryScan
    from wbframe.core.schema import HistorySchema
    from wbframe.io.client import Client
    from wbframe.io.stream import HistoryPromise


@dataclass(frozen=True, slots=True)
class BucketPromise:
    """A scan of buckets whose columns are known: of which histories, and which columns these make."""

    base: HistoryPromise
    schema: HistorySchema


class BucketSource(Source["BucketPromise"]):
    """A scan of buckets as polars calls it."""

    label = "WANDB BUCKETS"

    def __init__(
        self, scan: HistoryScan, bins: int, x_axis: str, client: Client | None = None
    ) -> None:
        super().__init__(client)
        self.scan = scan
        self.bins = bins
        self.x_axis = x_axis

    def _plain(self) -> dict[str, object]:
        return {"scan": self.scan, "bins": self.bins, "x_axis": self.x_axis, "client": self.client}

    def detail(self) -> str:
        """Describe the scan as it was made."""
        return f"{describe_scan(self.scan)}; {self.bins} buckets along {self.x_axis}"

    def make_promise(self) -> BucketPromise:
        """Ask for the keys of all runs."""
        base = promise_histories(self.connection(), self.scan, self.infer_schema_runs)
        return BucketPromise(base, bucket_schema(base.schema, self.x_axis, self.scan.keys))

    def schema(self) -> pl.Schema:
        """Give the columns."""
        return pl.Schema(self.promise().schema.columns)

    def narrowed(self, wanted: Wanted) -> NarrowedHistories:
        """Decide of which runs buckets are read: each makes rows, so keys are not left out."""
        promise = self.promise()
        runs = Wanted(predicate=wanted.predicate, n_rows=wanted.n_rows)
        narrowed = narrow_histories(promise.base.scan, promise.schema, runs)
        # Conditions on the axis are of buckets, not of the rows that they sum up.
        scan = replace(narrowed.scan, narrowed=True, min_step=None, max_step=None)
        return replace(narrowed, scan=scan, empty=False)

    def frames(self, wanted: Wanted) -> Iterable[pl.DataFrame]:
        """Read batches of buckets, runs in order."""
        client, promise = self.connection(), self.promise()
        scan = self.narrowed(wanted).scan
        entries = entries_of(client, promise.base, scan, self.on_new_key)
        keys = numeric_keys(promise.base.schema)
        tasks = bucket_tasks(
            entries, keys, bins=self.bins, x_axis=self.x_axis, system=scan.stream == "system"
        )
        work = _Reader(client, scan, promise.base.schema, keys, self.bins, self.x_axis)
        with closing(side_by_side(client, work.read, tasks)) as results:
            for frames in results:
                run_ids = {entry.ordinal: entry.run_id for entry in entries.listed}
                yield assemble(frames, run_ids, promise.schema, entries.beside())


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads tasks from the server's buckets, or from its rows."""

    client: Client
    scan: HistoryScan
    schema: HistorySchema
    keys: tuple[str, ...]
    bins: int
    x_axis: str

    def read(self, task: BucketTask) -> dict[int, pl.DataFrame]:
        """Read the buckets of the runs of a task."""
        if graphql.BUCKETS not in self.client.refused:
            request = task.request()
            content = send_or_refuse(self.client, request)
            if content is not None:
                return read_bucket_answer(task, content, request)
        return {
            ordinal: cut_into_buckets(frame, keys, self.bins, self.x_axis)
            for ordinal, keys, frame in self._rows(task)
        }

    def _rows(self, task: BucketTask) -> Generator[tuple[int, tuple[str, ...], pl.DataFrame]]:
        """Read the rows themselves, whole."""
        scan = replace(self.scan, keys=(*self.keys,), match="any", narrowed=False)
        keys = {entry.ordinal: each for entry, each in task.runs}
        rows = TaskRows()
        tasks = history_tasks(scan, [entry for entry, _ in task.runs], self.schema)
        with closing(read_any_tasks(self.client, scan, tasks)) as results:
            for result in results:
                rows.frames |= result.frames
        for ordinal, frame in rows.frames.items():
            yield ordinal, keys[ordinal], frame
