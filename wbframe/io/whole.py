"""Reading whole histories: exported files by ranges of bytes, live rows by windows of steps."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core import graphql
from wbframe.core.decode import decode_rows, infer_types, join_texts
from wbframe.core.exports import Export, exports_answer, exports_request, file_of
from wbframe.core.graphql import RowsOf, name_of, rows_answer, rows_request, spec
from wbframe.core.histories import TaskRows, new_keys, row_lists
from wbframe.core.promised import promised_frame
from wbframe.core.schema import STEP
from wbframe.core.whole import (
    PROFILE_STEPS,
    Answer,
    Ask,
    Profile,
    Wanted,
    combined,
    live_rows,
    shortfall,
    windows_request,
)
from wbframe.errors import IncompleteHistoryError, IncompleteHistoryWarning
from wbframe.io import stopping
from wbframe.io.leaving_out import SKIPPED, read_or_leave_out
from wbframe.io.reader import send_or_refuse, side_by_side
from wbframe.io.splitting import send_in_parts
from wbframe.io.storage import CONCURRENCY, ExpiredError, Storage, read_file

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from concurrent.futures import ThreadPoolExecutor

    from wbframe.core.model import Request
    from wbframe.core.plan import HistoryTask, RunRead
    from wbframe.core.windows import Window
    from wbframe.io.client import Client

# An address that expires while its file is read is asked for anew, so often.
_MOST_RENEWALS = 3


def read_whole_tasks(
    client: Client, tasks: Iterable[HistoryTask], *, ahead: int | None = None
) -> Generator[TaskRows]:
    """Read tasks side by side, files besides, and hand out what they gave in their order."""
    storage = Storage(client)
    try:
        with stopping.pool(CONCURRENCY, "wbframe-files") as (files, scope):
            reader = WholeReader(client, storage, files, scope)

            def read(task: HistoryTask) -> TaskRows:
                return read_or_leave_out(reader.read, task)

            yield from side_by_side(client, read, tasks, ahead=ahead)
    finally:
        storage.close()


@dataclass(frozen=True, slots=True)
class WholeReader:
    """Reads tasks with one client, one storage and one pool for files."""

    client: Client
    storage: Storage
    files: ThreadPoolExecutor
    scope: stopping.Scope

    def read(self, task: HistoryTask) -> TaskRows:
        """Read the whole histories of the runs of a task.

        Raises
        ------
        IncompleteHistoryError
            If rows are missing, unless the task says to warn.
        """
        columns = columns_of(task)
        found = TaskRows()
        exported, exports = self._exported(task, columns, found)
        task = replace(task, runs=tuple(run for run in task.runs if run.ordinal in exported))
        frames = [exported[run.ordinal] for run in task.runs]
        live = self._live(task, [exports[run.ordinal] for run in task.runs], frames, columns, found)
        for run, frame, fresh in zip(task.runs, frames, live, strict=True):
            whole = combined(frame, fresh)
            try:
                self._check(task, run, whole)
            except IncompleteHistoryError as error:
                if task.on_error == "raise":
                    raise
                found.left_out[run.ordinal] = str(error)
                continue
            whole = rows_wanted(task, whole)
            if whole.height:
                found.frames[run.ordinal] = whole
        return found

    def _exported(
        self, task: HistoryTask, columns: dict[str, pl.DataType], found: TaskRows
    ) -> tuple[dict[int, pl.DataFrame], dict[int, Export]]:
        """Read the exported rows of all runs; where it is allowed, leave out runs whose files cannot be read."""
        exports = self._exports(task, [run.run_id for run in task.runs])
        work = self.scope.bound(
            lambda asked: self._file(task, asked[0], asked[1], columns)  # type: ignore[index]
        )
        futures = [
            [self.files.submit(work, (run, url)) for url in export.urls]
            for run, export in zip(task.runs, exports, strict=True)
        ]
        frames: dict[int, pl.DataFrame] = {}
        for run, parts in zip(task.runs, futures, strict=True):
            try:
                read = [stopping.result_of(part) for part in parts]
                frames[run.ordinal] = self._promised(task, run, read, columns, found)
            except SKIPPED as error:
                if task.on_error == "raise":
                    raise
                found.left_out[run.ordinal] = str(error)
        return frames, {run.ordinal: each for run, each in zip(task.runs, exports, strict=True)}

    # ------------------------------------------------------------ exported rows

    def _exports(self, task: HistoryTask, run_ids: Sequence[str]) -> list[Export]:
        """Ask where the exported files are; nowhere, where a server has no exports."""
        if graphql.EXPORTS in self.client.refused:
            return [Export() for _ in run_ids]

        def of(names: Sequence[str]) -> Request:
            return exports_request(task.path, names)

        def send(request: Request, splittable: bool) -> bytes | None:  # noqa: FBT001 -- as it is called
            return send_or_refuse(self.client, request, splittable=splittable)

        found: list[Export] = []
        for names, content, request in send_in_parts(self.client, run_ids, of, send):
            found += (
                [Export() for _ in names]
                if content is None
                else exports_answer(content, request, task.path, names)
            )
        return found

    def _file(
        self, task: HistoryTask, run: RunRead, url: str, columns: dict[str, pl.DataType]
    ) -> pl.DataFrame:
        """Read one file; ask for its address anew when it expires meanwhile."""
        for renewal in range(_MOST_RENEWALS + 1):
            try:
                table = read_file(
                    self.storage, url, list(columns), min_step=task.min_step, max_step=task.max_step
                )
            except ExpiredError:
                if renewal == _MOST_RENEWALS:
                    raise
                [export] = self._exports(task, [run.run_id])
                url = next((each for each in export.urls if file_of(each) == file_of(url)), url)
            else:
                return pl.DataFrame(pl.from_arrow(table))
        raise AssertionError("the loop ends by returning or raising")

    def _promised(
        self,
        task: HistoryTask,
        run: RunRead,
        frames: Sequence[pl.DataFrame],
        columns: dict[str, pl.DataType],
        found: TaskRows,
    ) -> pl.DataFrame:
        """Put the files of a run together, in the promised dtypes."""
        where = f"run {run.run_id!r} of {name_of(task.path)}"
        parts = [pl.DataFrame(schema=columns)]
        for frame in frames:
            part, imprecise = promised_frame(frame, columns, where=where)
            found.imprecise |= imprecise
            parts.append(part)
        return in_window(task, pl.concat(parts))

    # ------------------------------------------------------------ live rows

    def _live(
        self,
        task: HistoryTask,
        exports: Sequence[Export],
        exported: Sequence[pl.DataFrame],
        columns: dict[str, pl.DataType],
        found: TaskRows,
    ) -> list[list[pl.DataFrame]]:
        """Read the live rows of all runs of a task, their questions put together in few requests."""
        readers = [
            live_rows(wanted_of(task, run), export, frame[STEP])
            for run, export, frame in zip(task.runs, exports, exported, strict=True)
        ]
        done: dict[int, list[pl.DataFrame]] = {}
        asked: dict[int, Ask] = {}
        answers: dict[int, Answer | None] = dict.fromkeys(range(len(readers)))
        while answers:
            asked = {}
            for place, answer in answers.items():
                try:
                    reader = readers[place]
                    asked[place] = next(reader) if answer is None else reader.send(answer)
                except StopIteration as stop:
                    done[place] = stop.value
            answers = {**self._profiles(task, asked), **self._windows(task, asked, columns, found)}
        return [done[place] for place in range(len(readers))]

    def _profiles(self, task: HistoryTask, asked: dict[int, Ask]) -> dict[int, Answer | None]:
        """Ask which steps runs have."""
        places = [place for place, ask in asked.items() if isinstance(ask, Profile)]
        if not places:
            return {}
        rows = []
        for place in places:
            ask = asked[place]
            assert isinstance(ask, Profile)
            text = spec((STEP,), PROFILE_STEPS, ask.min_step, ask.max_step)
            rows.append(RowsOf(run_id=task.runs[place].run_id, specs=(text,)))

        def of(part: Sequence[tuple[int, RowsOf]]) -> Request:
            return rows_request(task.path, [each for _, each in part], samples=PROFILE_STEPS)

        found: dict[int, Answer | None] = {}
        asked_of = list(zip(places, rows, strict=True))
        for part, content, request in send_in_parts(self.client, asked_of, of, self._send):
            answers = rows_answer(content, request, task.path, [each for _, each in part])
            for (place, _), raw in zip(part, answers, strict=True):
                [steps] = row_lists(raw)
                decoded = decode_rows(steps, {STEP: pl.Int64()}, where=request.asked)
                found[place] = decoded.frame[STEP].drop_nulls().to_list()
        return found

    def _send(self, request: Request, splittable: bool) -> bytes:  # noqa: FBT001 -- as `send_in_parts` calls it
        """Send a request that may be cut in two."""
        return self.client.send(request, splittable=splittable)

    def _windows(
        self,
        task: HistoryTask,
        asked: dict[int, Ask],
        columns: dict[str, pl.DataType],
        found: TaskRows,
    ) -> dict[int, Answer | None]:
        """Read the rows of windows."""
        waiting = [
            (place, window)
            for place, ask in asked.items()
            if not isinstance(ask, Profile)
            for window in ask
        ]
        answers: dict[int, list[pl.DataFrame]] = defaultdict(list)
        most = self.client.budget.points // (len(columns) + 1)
        for part in in_batches(waiting, most):
            for place, frame in self._some_windows(task, part, columns, found):
                answers[place].append(frame)
        return dict(answers)

    def _some_windows(
        self,
        task: HistoryTask,
        part: Sequence[tuple[int, Window]],
        columns: dict[str, pl.DataType],
        found: TaskRows,
    ) -> Generator[tuple[int, pl.DataFrame]]:
        """Read windows in one request, or in several where they are too big."""

        def of(some: Sequence[tuple[int, Window]]) -> Request:
            return windows_request(task.path, [(task.runs[i].run_id, each) for i, each in some])

        for some, content, request in send_in_parts(self.client, part, of, self._send):
            yield from self._decoded(task, some, content, request, columns, found)

    def _decoded(
        self,
        task: HistoryTask,
        part: Sequence[tuple[int, Window]],
        content: bytes,
        request: Request,
        columns: dict[str, pl.DataType],
        found: TaskRows,
    ) -> Generator[tuple[int, pl.DataFrame]]:
        """Decode the rows of windows."""
        rows = [RowsOf(run_id=task.runs[i].run_id, field="history") for i, _ in part]
        for (place, _), raw in zip(
            part, rows_answer(content, request, task.path, rows), strict=True
        ):
            run = task.runs[place]
            where = f"run {run.run_id!r} of {name_of(task.path)}"
            texts = join_texts(raw, where=where)
            if task.row_keys is None and not task.narrowed and not run.ended:
                new = new_keys(infer_types(texts), columns, system=False)
                if new:
                    found.new_keys.setdefault(run.ordinal, {}).update(new)
            decoded = decode_rows(texts, columns, where=where)
            found.imprecise |= decoded.imprecise
            yield place, decoded.frame

    # ------------------------------------------------------------ is that all?

    def _check(self, task: HistoryTask, run: RunRead, whole: pl.DataFrame) -> None:
        """Compare what came with what the server says there is."""
        last = whole[STEP].max()
        missing = shortfall(
            wanted_of(task, run), whole.height, last if isinstance(last, int) else None
        )
        if missing is None:
            return
        msg = (
            f"run {run.run_id!r} of {name_of(task.path)} is incomplete: {missing};"
            " read again later, or set on_incomplete='warn'"
        )
        if task.on_incomplete == "raise":
            raise IncompleteHistoryError(msg)
        warnings.warn(msg, IncompleteHistoryWarning, stacklevel=2)


def in_batches(
    windows: Iterable[tuple[int, Window]], most: int
) -> Generator[list[tuple[int, Window]]]:
    """Cut windows into batches of so many rows; a single one may be above it."""
    batch: list[tuple[int, Window]] = []
    rows = 0
    for each in windows:
        if batch and rows + each[1].rows > most:
            yield batch
            batch, rows = [], 0
        batch.append(each)
        rows += each[1].rows
    if batch:
        yield batch


def columns_of(task: HistoryTask) -> dict[str, pl.DataType]:
    """Give the columns to read: those wanted, and those that make a row, whose types do not matter."""
    extra = dict.fromkeys(task.row_keys or (), pl.String())
    return {**task.schema.lead, **extra, **task.schema.keys}


def wanted_of(task: HistoryTask, run: RunRead) -> Wanted:
    """Say what is wanted of one run."""
    return Wanted(
        line_count=run.known,
        last_step=run.last_step,
        ended=run.ended,
        min_step=task.min_step,
        max_step=task.max_step,
    )


def in_window(task: HistoryTask, frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows of the task's window: row groups hold others too."""
    if task.min_step is not None:
        frame = frame.filter(pl.col(STEP) >= task.min_step)
    return frame if task.max_step is None else frame.filter(pl.col(STEP) < task.max_step)


def rows_wanted(task: HistoryTask, frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows that hold the axis and what makes a row."""
    axes = [axis for axis in task.schema.lead if axis != STEP]
    frame = frame.drop_nulls(axes) if axes else frame
    if not task.row_keys:
        return frame
    held = pl.col(list(task.row_keys)).is_not_null()
    return frame.filter(pl.all_horizontal(held) if task.match_all else pl.any_horizontal(held))
