"""Reading buckets: from the server, or summed up here where it has none."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core import graphql
from wbframe.core.assembly import assemble
from wbframe.core.buckets import (
    bucket_schema,
    bucket_tasks,
    cut_into_buckets,
    numeric_keys,
    read_bucket_answer,
)
from wbframe.core.explain import describe_scan
from wbframe.core.histories import TaskRows
from wbframe.core.narrow import NarrowedHistories, Wanted, narrow_histories
from wbframe.core.plan import history_tasks
from wbframe.io.leaving_out import in_parts
from wbframe.io.outcome import Outcome
from wbframe.io.overlap import side_by_side
from wbframe.io.paging import send_or_refuse
from wbframe.io.read_histories import read_any_tasks
from wbframe.io.source import Source
from wbframe.io.splitting import send_in_parts
from wbframe.io.stream import entries_of, promise_histories

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from wbframe.core.buckets import BucketTask
    from wbframe.core.entries import RunEntry
    from wbframe.core.model import HistoryScan, Request
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
        outcome = Outcome(
            client, scan.selection, "histories", entries=entries.listed, losses=entries.losses
        )
        with outcome, closing(side_by_side(client, work.read_or_leave_out, tasks)) as results:
            for frames in results:
                run_ids = {entry.ordinal: entry.run_id for entry in entries.listed}
                part = assemble(frames, run_ids, promise.schema, entries.beside())
                outcome.rows += part.height
                outcome.runs += len(frames)
                outcome.seen.left_out = work.left_out
                yield part
            outcome.seen.left_out = work.left_out


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads tasks from the server's buckets, or from its rows."""

    client: Client
    scan: HistoryScan
    schema: HistorySchema
    keys: tuple[str, ...]
    bins: int
    x_axis: str
    left_out: dict[int, str] = field(default_factory=dict)

    def read_or_leave_out(self, task: BucketTask) -> dict[int, pl.DataFrame]:
        """Read a task; where it may, leave out the runs that cannot be read."""
        found: dict[int, pl.DataFrame] = {}
        parts = in_parts(
            lambda runs: self.read(replace(task, runs=runs)),
            task.runs,
            self.scan.selection.on_error,
        )
        for runs, frames in parts:
            if isinstance(frames, dict):
                found |= frames
            else:
                self.left_out.update((entry.ordinal, str(frames)) for entry, _ in runs)
        return found

    def read(self, task: BucketTask) -> dict[int, pl.DataFrame]:
        """Read the buckets of the runs of a task."""
        if graphql.BUCKETS not in self.client.refused:
            found = self._buckets(task)
            if found is not None:
                return found
        return {
            ordinal: cut_into_buckets(frame, keys, self.bins, self.x_axis)
            for ordinal, keys, frame in self._rows(task)
        }

    def _buckets(self, task: BucketTask) -> dict[int, pl.DataFrame] | None:
        """Ask for buckets, of fewer runs where it is too much; None where the server has none."""

        def of(runs: Sequence[tuple[RunEntry, tuple[str, ...]]]) -> Request:
            return replace(task, runs=tuple(runs)).request()

        found: dict[int, pl.DataFrame] = {}
        send = partial(send_or_refuse, self.client)
        for runs, content, request in send_in_parts(self.client, task.runs, of, send):
            if content is None:
                return None
            found |= read_bucket_answer(replace(task, runs=tuple(runs)), content, request)
        return found

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
