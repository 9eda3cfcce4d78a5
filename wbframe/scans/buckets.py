"""Lazy frames of buckets."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.explain import describe_scan
from wbframe.core.histories.buckets import bucket_schema
from wbframe.core.histories.frame import assemble
from wbframe.core.pushdown.conjuncts import Conjunct
from wbframe.core.pushdown.query import NarrowedHistories, Wanted, narrow_histories
from wbframe.io.read.buckets import BucketReader, instead_of
from wbframe.io.read.outcome import Outcome, tell_short, warn_new_keys
from wbframe.scans.source import Source
from wbframe.scans.stream import entries_of, promise_histories
from wbframe.text import shortened

if TYPE_CHECKING:
    from collections.abc import Generator

    from wbframe.core.model import Grid, HistoryScan
    from wbframe.core.schema.histories import HistorySchema
    from wbframe.scans.stream import HistoryPromise


@dataclass(frozen=True, slots=True)
class BucketPromise:
    """A scan of buckets whose columns are known: of which histories, and which columns these make."""

    base: HistoryPromise
    schema: HistorySchema


class BucketSource(Source["BucketPromise"]):
    """A scan of buckets as polars calls it."""

    label = "WANDB BUCKETS"

    def __init__(self, scan: HistoryScan, grid: Grid, *options: Any, **named: Any) -> None:
        super().__init__(*options, **named)
        self.scan = scan
        self.grid = grid

    def detail(self) -> str:
        """Describe the scan as it was made."""
        return f"{describe_scan(self.scan)}; {self.grid.bins} buckets along {shortened(self.grid.x_axis)}"

    def make_promise(self) -> BucketPromise:
        """Ask for the keys of all runs."""
        base = promise_histories(self.connection(), self.scan, self.infer_schema_runs)
        return BucketPromise(base, bucket_schema(base.schema, self.grid, self.scan.keys))

    def schema(self) -> pl.Schema:
        """Give the columns."""
        return pl.Schema(self.promise().schema.columns)

    def narrowed(self, wanted: Wanted) -> NarrowedHistories:
        """Decide of which runs buckets are read: each makes rows, so keys are not left out."""
        promise = self.promise()
        runs = Wanted(predicate=wanted.predicate, n_rows=wanted.n_rows)
        narrowed = narrow_histories(promise.base.scan, promise.schema, runs)
        conjuncts = tuple(map(_of_buckets, narrowed.conjuncts))
        if self.grid.shared and self.grid.edges is None:
            # Of fewer runs the grid would be another.
            narrowed = narrow_histories(promise.base.scan, promise.schema, Wanted())
            conjuncts = tuple(_local(each, "all runs make the grid") for each in conjuncts)
        low, high = self.scan.min_step, self.scan.max_step
        scan = replace(narrowed.scan, narrowed=True, min_step=low, max_step=high)
        return replace(narrowed, scan=scan, conjuncts=conjuncts, empty=False)

    def frames(self, wanted: Wanted) -> Generator[pl.DataFrame]:
        """Read batches of buckets, runs in order."""
        client, promise = self.connection(), self.promise()
        narrowed = self.narrowed(wanted)
        scan = narrowed.scan
        entries = entries_of(client, promise.base, scan, self.on_new_key)
        outcome = Outcome(
            client,
            scan.selection,
            "histories",
            scan=scan,
            entries=entries.listed,
            losses=entries.losses,
            conjuncts=narrowed.conjuncts,
            instead=instead_of(scan, self.grid),
            name=self.name,
        )
        work = BucketReader(client, scan, promise.base.schema, self.grid, outcome.seen)
        with outcome, closing(work.read_all(entries)) as results:
            for frames in results:
                run_ids = {entry.ordinal: entry.run_id for entry in entries.listed}
                part = assemble(frames, run_ids, promise.schema, entries.beside())
                outcome.rows += part.height
                yield part
            tell_short(outcome.seen, entries.listed, scan.on_incomplete)
            warn_new_keys({key: len(runs) for key, runs in entries.new.items()}, "runs")


def _of_buckets(conjunct: Conjunct) -> Conjunct:
    """Keep a condition on the axis here: it is of buckets, not of the rows that they sum up."""
    of_rows = {"_step", "_timestamp"} & set(conjunct.pushed or ())
    return _local(conjunct, "it is of buckets, not of their rows") if of_rows else conjunct


def _local(conjunct: Conjunct, reason: str) -> Conjunct:
    """Say that a condition is applied here."""
    return Conjunct(text=conjunct.text, status="local", reason=reason)
