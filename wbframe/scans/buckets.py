"""Lazy frames of buckets."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.explain import describe_scan
from wbframe.core.histories.buckets import bucket_schema, bucket_tasks, numeric_keys
from wbframe.core.histories.frame import assemble
from wbframe.core.pushdown.query import NarrowedHistories, Wanted, narrow_histories
from wbframe.io.read.buckets import BucketReader
from wbframe.io.read.outcome import Outcome, tell_short
from wbframe.io.threads import side_by_side
from wbframe.scans.source import Source
from wbframe.scans.stream import entries_of, promise_histories

if TYPE_CHECKING:
    from collections.abc import Generator

    from wbframe.core.model import HistoryScan
    from wbframe.core.schema.histories import HistorySchema
    from wbframe.io.client.client import Client
    from wbframe.scans.stream import HistoryPromise


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

    def frames(self, wanted: Wanted) -> Generator[pl.DataFrame]:
        """Read batches of buckets, runs in order."""
        client, promise = self.connection(), self.promise()
        scan = self.narrowed(wanted).scan
        entries = entries_of(client, promise.base, scan, self.on_new_key)
        keys = numeric_keys(promise.base.schema)
        tasks = bucket_tasks(
            entries, keys, bins=self.bins, x_axis=self.x_axis, system=scan.stream == "system"
        )
        work = BucketReader(client, scan, promise.base.schema, keys, self.bins, self.x_axis)
        outcome = Outcome(
            client,
            scan.selection,
            "histories",
            entries=entries.listed,
            losses=entries.losses,
            seen=work.seen,
            name=self.name,
        )
        with (
            outcome,
            closing(side_by_side(client.concurrency, work.read_or_leave_out, tasks)) as results,
        ):
            for frames in results:
                run_ids = {entry.ordinal: entry.run_id for entry in entries.listed}
                part = assemble(frames, run_ids, promise.schema, entries.beside())
                outcome.rows += part.height
                outcome.runs += len(frames)
                yield part
            tell_short(work.seen, entries.listed, scan.on_incomplete)
