"""Reading buckets of histories: the server's, or those that every row adds up to."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from wbframe.core.histories.buckets import (
    BucketTask,
    bucket_schema,
    bucket_tasks,
    numeric_keys,
    read_bucket_answer,
    takes_rows,
)
from wbframe.core.histories.cutting import (
    counted_rows,
    cut_into_buckets,
    cut_on_grid,
    numbered,
    shared_edges,
)
from wbframe.core.histories.frame import Assembly
from wbframe.core.histories.rows import TaskRows, merge_rows
from wbframe.core.histories.tasks import history_tasks
from wbframe.core.protocol.request import BUCKETS
from wbframe.io.read.histories import plan_histories, read_any_tasks
from wbframe.io.read.outcome import Outcome, silent, tell_short
from wbframe.io.read.parts import in_parts, optionally, send_in_parts
from wbframe.io.threads import side_by_side
from wbframe.report import Progress

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    import polars as pl

    from wbframe.core.histories.entries import RunEntry
    from wbframe.core.model import Grid, HistoryScan
    from wbframe.core.schema.histories import HistorySchema
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook
    from wbframe.report import ScanReport


def read_buckets(
    client: Client, scan: HistoryScan, grid: Grid, progress: Hook = silent
) -> tuple[pl.DataFrame, ScanReport]:
    """Read the frame of buckets whole, and report how.

    Raises
    ------
    WbframeError
        Whatever kept it from being whole.
    """
    outcome = Outcome(
        client,
        scan.selection,
        "histories",
        progress,
        scan=scan,
        instead=instead_of(scan, grid),
        holds=True,
    )
    with outcome:
        frame = _read(outcome, scan, grid)
        outcome.rows = frame.height
    return frame, outcome.report()


def _read(outcome: Outcome, scan: HistoryScan, grid: Grid) -> pl.DataFrame:
    """Read the frame, and tell the outcome how it goes."""
    plan = plan_histories(outcome.read, scan)
    outcome.scan, outcome.selection, outcome.entries = plan.scan, plan.scan.selection, plan.entries
    schema = bucket_schema(plan.schema, grid, scan.keys)
    work = BucketReader(outcome.client, plan.scan, plan.schema, grid, outcome.seen)
    assembly = Assembly()
    total, done, height = len(plan.entries), 0, 0
    outcome.runs = total
    with closing(work.read_all(plan.entries)) as results:
        for frames in results:
            done = max([done, *(ordinal + 1 for ordinal in frames)])
            height += sum(frame.height for frame in frames.values())
            assembly.add(frames, schema)
            outcome.tell(Progress(kind="histories", done=done, total=total, rows=height))
    tell_short(outcome.seen, plan.entries, plan.scan.on_incomplete)
    run_ids = {entry.ordinal: entry.run_id for entry in plan.entries}
    return assembly.whole(run_ids, schema, plan.beside)


def instead_of(scan: HistoryScan, grid: Grid) -> tuple[str, ...]:
    """Name what is not asked of the server, since rows are read in its place."""
    return (BUCKETS,) if takes_rows(scan, grid) else ()


@dataclass(frozen=True, slots=True)
class BucketReader:
    """Reads tasks from the server's buckets, or from its rows."""

    client: Client
    scan: HistoryScan
    schema: HistorySchema
    grid: Grid
    seen: TaskRows = field(default_factory=TaskRows)

    def read_all(self, entries: Iterable[RunEntry]) -> Generator[dict[int, pl.DataFrame]]:
        """Read the buckets of runs, and hand them out in order: ordinal -> those of one run."""
        keys = numeric_keys(self.schema)
        tasks = bucket_tasks(entries, keys, self.scan, self.grid)
        workers = self.client.concurrency
        with closing(side_by_side(workers, self._read_or_leave_out, tasks)) as results:
            if not self.grid.shared or self.grid.edges is not None:
                yield from results
                return
            # Where the grid ends is known when all rows have come.
            held = list(results)
        edges = shared_edges((rows for frames in held for rows in frames.values()), self.grid)
        for frames in held:
            yield {
                ordinal: cut_on_grid(rows, keys, self.grid, edges, closed=True)
                for ordinal, rows in frames.items()
            }

    def _read_or_leave_out(self, task: BucketTask) -> dict[int, pl.DataFrame]:
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
                self.seen.left_out.update((entry.ordinal, str(frames)) for entry, _ in runs)
        return found

    def read(self, task: BucketTask) -> dict[int, pl.DataFrame]:
        """Read the buckets of the runs of a task; of a grid whose end is not known, the rows to make them of."""
        # Up to wandb 0.31 no SDK asks for buckets, only the web app: other servers need not have them.
        rows = takes_rows(self.scan, self.grid) or task.respelled
        if BUCKETS not in self.client.refused and not rows:
            found = self._buckets(task)
            if found is not None:
                return found
        return {ordinal: self._cut(frame, keys) for ordinal, keys, frame in self._rows(task)}

    def _cut(self, rows: pl.DataFrame, keys: tuple[str, ...]) -> pl.DataFrame:
        """Make buckets of the rows of a run, as far as that can be done now."""
        grid = self.grid
        if not grid.is_one:
            return numbered(cut_into_buckets(rows, keys, grid.bins, grid.x_axis), grid)
        counted = counted_rows(rows, keys, grid.x_axis)
        if grid.edges is None:
            return counted
        return cut_on_grid(counted, keys, grid, grid.edges, closed=False)

    def _buckets(self, task: BucketTask) -> dict[int, pl.DataFrame] | None:
        """Ask for buckets, of fewer runs where it is too much; None where the server has none."""

        def ask(
            refused: frozenset[str], *, patient: bool = False
        ) -> dict[int, pl.DataFrame] | None:
            if BUCKETS in refused:
                return None
            parts = send_in_parts(
                self.client,
                task,
                BucketTask.halves,
                BucketTask.request,
                read_bucket_answer,
                patient=patient,
            )
            return {ordinal: frame for part in parts for ordinal, frame in part.items()}

        return optionally(self.client, [BUCKETS], ask, partial(ask, patient=True))

    def _rows(self, task: BucketTask) -> Generator[tuple[int, tuple[str, ...], pl.DataFrame]]:
        """Read the rows themselves, whole."""
        wanted = numeric_keys(self.schema)
        scan = replace(self.scan, keys=wanted, match="any", narrowed=False)
        keys = {entry.ordinal: each for entry, each in task.runs}
        frames: dict[int, pl.DataFrame] = {}
        tasks = history_tasks(scan, [entry for entry, _ in task.runs], self.schema)
        with closing(read_any_tasks(self.client, scan, tasks)) as results:
            for result in results:
                frames |= result.frames
                result.frames = {}
                merge_rows(self.seen, result)
        for ordinal, frame in frames.items():
            yield ordinal, keys[ordinal], frame
