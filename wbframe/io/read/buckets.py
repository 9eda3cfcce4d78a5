"""Reading buckets: from the server, or summed up here where it has none."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from wbframe.core.histories.buckets import BucketTask, cut_into_buckets, read_bucket_answer
from wbframe.core.histories.rows import TaskRows, merge_rows
from wbframe.core.histories.tasks import history_tasks
from wbframe.core.protocol.request import BUCKETS
from wbframe.io.read.histories import read_any_tasks
from wbframe.io.read.parts import in_parts, optionally, send_in_parts

if TYPE_CHECKING:
    from collections.abc import Generator

    import polars as pl

    from wbframe.core.model import HistoryScan
    from wbframe.core.schema.histories import HistorySchema
    from wbframe.io.client.client import Client


@dataclass(frozen=True, slots=True)
class BucketReader:
    """Reads tasks from the server's buckets, or from its rows."""

    client: Client
    scan: HistoryScan
    schema: HistorySchema
    keys: tuple[str, ...]
    bins: int
    x_axis: str
    seen: TaskRows = field(default_factory=TaskRows)

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
                self.seen.left_out.update((entry.ordinal, str(frames)) for entry, _ in runs)
        return found

    def read(self, task: BucketTask) -> dict[int, pl.DataFrame]:
        """Read the buckets of the runs of a task."""
        # Up to wandb 0.31 no SDK asks for buckets, only the web app: other servers need not have them.
        if BUCKETS not in self.client.refused:
            found = self._buckets(task)
            if found is not None:
                return found
        return {
            ordinal: cut_into_buckets(frame, keys, self.bins, self.x_axis)
            for ordinal, keys, frame in self._rows(task)
        }

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
        scan = replace(self.scan, keys=(*self.keys,), match="any", narrowed=False)
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
