"""Reading whole histories: exported files by ranges of bytes, live rows by windows of steps."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.batches import batches
from wbframe.core.decode.parquet import promised_frame
from wbframe.core.decode.rows import decode_rows, infer_types, join_texts
from wbframe.core.histories.rows import TaskRows, new_keys
from wbframe.core.histories.whole import (
    PROFILE_STEPS,
    Answer,
    Ask,
    Profile,
    Wanted,
    every_row,
    live_rows,
    shortfall,
    united,
    windows_request,
)
from wbframe.core.histories.windows import ROWS_PER_WINDOW
from wbframe.core.model import STEP
from wbframe.core.paths import name_of
from wbframe.core.protocol.rows import RowsOf, row_lists, rows_answer, rows_request, spec
from wbframe.core.schema.types import merge_index
from wbframe.errors import IncompleteHistoryError, IncompleteHistoryWarning, WbframeError
from wbframe.io import threads
from wbframe.io.read.exports import CONCURRENCY, Storage, read_exports, read_file, signed_file
from wbframe.io.read.parts import SKIPPED, read_or_leave_out, send_in_parts
from wbframe.io.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence, Sized
    from concurrent.futures import Future

    import msgspec

    from wbframe.core.histories.tasks import HistoryTask, RunRead
    from wbframe.core.histories.windows import Window
    from wbframe.core.model import RunPath
    from wbframe.core.protocol.exports import Export
    from wbframe.core.protocol.request import Request
    from wbframe.core.schema.types import Index
    from wbframe.io.client.client import Client


def read_whole_tasks(
    client: Client, tasks: Iterable[HistoryTask], *, ahead: int | None = None
) -> Generator[TaskRows]:
    """Read tasks side by side, their files and windows besides, and hand out what they gave in their order."""
    storage = Storage(client)
    try:
        with (
            threads.pool(CONCURRENCY, "wbframe-files") as files,
            threads.pool(client.concurrency, "wbframe-windows") as windows,
        ):
            reader = WholeReader(client, storage, files, windows)

            def read(task: HistoryTask) -> TaskRows:
                return read_or_leave_out(reader.read, task)

            yield from side_by_side(client.concurrency, read, tasks, ahead=ahead)
    finally:
        storage.close()


@dataclass(frozen=True, slots=True)
class WholeReader:
    """Reads tasks with one client, one storage, one pool for files and one for what the server is asked."""

    client: Client
    storage: Storage
    files: threads.Threads
    windows: threads.Threads

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
        files = [exported.pop(run.ordinal) for run in task.runs]
        live = self._live(task, [exports[run.ordinal] for run in task.runs], files, columns, found)
        for i, run in enumerate(task.runs):
            whole = every_row(wanted_of(task, run), files[i], live[i])
            files[i], live[i] = [], []
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

    # ------------------------------------------------------------ exported rows

    def _exported(
        self, task: HistoryTask, columns: dict[str, pl.DataType], found: TaskRows
    ) -> tuple[dict[int, list[pl.DataFrame]], dict[int, Export]]:
        """Read the exported rows of all runs; where it is allowed, leave out runs whose files cannot be read."""
        run_ids = [run.run_id for run in task.runs]
        asked = self.windows.submit(read_exports, self.client, task.path, run_ids)
        exports = threads.result_of(asked)
        futures = [
            [self.files.submit(self._file, task, run, url, columns) for url in export.urls]
            for run, export in zip(task.runs, exports, strict=True)
        ]
        frames: dict[int, list[pl.DataFrame]] = {}
        for run, parts in zip(task.runs, futures, strict=True):
            try:
                frames[run.ordinal] = self._promised(task, run, parts, columns, found)
            except SKIPPED as error:
                if task.on_error == "raise":
                    raise
                found.left_out[run.ordinal] = str(error)
            parts.clear()
        return frames, {run.ordinal: each for run, each in zip(task.runs, exports, strict=True)}

    def _file(
        self, task: HistoryTask, run: RunRead, url: str, columns: dict[str, pl.DataType]
    ) -> pl.DataFrame:
        """Read one file."""
        file = signed_file(self.client, self.storage, task.path, run.run_id, url)
        table = read_file(file, list(columns), min_step=task.min_step, max_step=task.max_step)
        # Numbered, since polars gives a column without a name one of its own.
        numbered = table.rename_columns([str(i) for i in range(table.num_columns)])
        frame = pl.DataFrame(pl.from_arrow(numbered))
        frame.columns = table.column_names
        return frame

    def _promised(
        self,
        task: HistoryTask,
        run: RunRead,
        files: Iterable[Future[pl.DataFrame]],
        columns: dict[str, pl.DataType],
        found: TaskRows,
    ) -> list[pl.DataFrame]:
        """Give the files of a run the promised dtypes; there is always one, be it empty."""
        where = f"run {run.run_id!r} of {name_of(task.path)}"
        parts = [pl.DataFrame(schema=columns)]
        for file in files:
            part, imprecise = promised_frame(threads.result_of(file), columns, where=where)
            found.imprecise |= imprecise
            parts.append(in_window(task, part))
        return parts

    # ------------------------------------------------------------ live rows

    def _live(
        self,
        task: HistoryTask,
        exports: Sequence[Export],
        exported: Sequence[Sequence[pl.DataFrame]],
        columns: dict[str, pl.DataType],
        found: TaskRows,
    ) -> list[list[pl.DataFrame]]:
        """Read the live rows of all runs of a task, their questions put together in few requests."""
        readers = [
            live_rows(
                wanted_of(task, run, self.client.budget.points // (width_of(run, columns) + 1)),
                export,
                united([file.select(STEP) for file in files])[STEP],
            )
            for run, export, files in zip(task.runs, exports, exported, strict=True)
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
        return threads.result_of(self.windows.submit(self._steps, task.path, places, rows))

    def _steps(
        self, path: RunPath, places: Sequence[int], rows: Sequence[RowsOf]
    ) -> dict[int, Answer | None]:
        """Read which steps runs have, in one request, or in several where that is too big."""

        def of(part: Sequence[tuple[int, RowsOf]]) -> Request:
            return rows_request(path, [each for _, each in part], samples=PROFILE_STEPS)

        found: dict[int, Answer | None] = {}
        asked_of = list(zip(places, rows, strict=True))
        for part, content, request in send_in_parts(self.client, asked_of, of, self.client.send):
            answers = rows_answer(content, request, path, [each for _, each in part])
            for (place, _), raw in zip(part, answers, strict=True):
                [steps] = row_lists(raw)
                decoded = decode_rows(steps, {STEP: pl.Int64()}, where=request.asked)
                found[place] = decoded.frame[STEP].drop_nulls().to_list()
        return found

    def _windows(
        self,
        task: HistoryTask,
        asked: dict[int, Ask],
        columns: dict[str, pl.DataType],
        found: TaskRows,
    ) -> dict[int, Answer | None]:
        """Read the rows of windows, a few requests side by side."""
        waiting = [
            (place, window)
            for place, ask in asked.items()
            if not isinstance(ask, Profile)
            for window in ask
        ]
        width = max((width_of(task.runs[place], columns) for place, _ in waiting), default=0)
        most = self.client.budget.points // (width + 1)
        parts = [
            (batch, self.windows.submit(self._some_windows, task, batch, columns))
            for batch in batches(waiting, lambda each: each[1].rows, lambda: most)
        ]
        answers: dict[int, list[pl.DataFrame]] = defaultdict(list)
        for batch, part in parts:
            read = threads.result_of(part)
            for (place, _), rows in zip(batch, read, strict=True):
                answers[place].append(rows.frame)
                found.imprecise |= rows.imprecise
                if rows.new_keys:
                    merge_index(
                        found.new_keys.setdefault(task.runs[place].ordinal, {}), rows.new_keys
                    )
        return dict(answers)

    def _some_windows(
        self,
        task: HistoryTask,
        part: Sequence[tuple[int, Window]],
        columns: dict[str, pl.DataType],
    ) -> list[WindowRows]:
        """Read windows in one request, or in several where the server finds that too big."""
        request = windows_request(task.path, [(task.runs[i].run_id, window) for i, window in part])
        rows = [RowsOf(run_id=task.runs[i].run_id, field="history") for i, _ in part]
        halves = halved(part)
        try:
            content = self.client.send(request, splittable=bool(halves))
        except WbframeError as error:
            if not halves or not error.too_big:
                raise
            self.client.budget.shrink()
            found = [row for half in halves for row in self._some_windows(task, half, columns)]
            return found if len(part) > 1 else [WindowRows.of(found)]
        self.client.budget.grow()
        return [
            self._window(task, task.runs[place], raw, columns)
            for (place, _), raw in zip(
                part, rows_answer(content, request, task.path, rows), strict=True
            )
        ]

    def _window(
        self, task: HistoryTask, run: RunRead, raw: msgspec.Raw, columns: dict[str, pl.DataType]
    ) -> WindowRows:
        """Decode the rows of one window."""
        where = f"run {run.run_id!r} of {name_of(task.path)}"
        texts = join_texts(raw, where=where)
        new: Index = {}
        if task.row_keys is None and not task.narrowed and not run.ended:
            new = new_keys(infer_types(texts), columns, system=False)
        decoded = decode_rows(texts, columns, where=where)
        return WindowRows(decoded.frame, decoded.imprecise, new)

    # ------------------------------------------------------------ is that all?

    def _check(self, task: HistoryTask, run: RunRead, whole: pl.DataFrame) -> None:
        """Compare what came with what the server says there is."""
        missing = shortfall(wanted_of(task, run), whole[STEP])
        if missing is None:
            return
        msg = (
            f"run {run.run_id!r} of {name_of(task.path)} is incomplete: {missing};"
            " read again later, or set on_incomplete='warn'"
        )
        if task.on_incomplete == "raise":
            raise IncompleteHistoryError(msg)
        warnings.warn(msg, IncompleteHistoryWarning, stacklevel=2)


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The rows of a window, and what there is to say of them; see `TaskRows`."""

    frame: pl.DataFrame
    imprecise: frozenset[str]
    new_keys: Index

    @classmethod
    def of(cls, parts: Sequence[WindowRows]) -> WindowRows:
        """Put the parts of one window together."""
        new: Index = {}
        for part in parts:
            merge_index(new, part.new_keys)
        return cls(
            pl.concat([part.frame for part in parts]),
            frozenset().union(*(part.imprecise for part in parts)),
            new,
        )


def halved(part: Sequence[tuple[int, Window]]) -> list[Sequence[tuple[int, Window]]]:
    """Cut a request for windows in two; empty if it is for a single step."""
    if len(part) > 1:
        return [part[: len(part) // 2], part[len(part) // 2 :]]
    [(place, window)] = part
    halves = window.halves(())
    return [[(place, half)] for half in halves] if len(halves) > 1 else []


def columns_of(task: HistoryTask) -> dict[str, pl.DataType]:
    """Give the columns to read: those wanted, and those that make a row, whose types do not matter."""
    extra = dict.fromkeys(task.row_keys or (), pl.String())
    return {**task.schema.lead, **extra, **task.schema.keys}


def width_of(run: RunRead, columns: Sized) -> int:
    """Say how many cells a row of `history` has: it gives whole rows, whatever is wanted of them."""
    return run.width or len(columns)


def wanted_of(task: HistoryTask, run: RunRead, rows: int = ROWS_PER_WINDOW) -> Wanted:
    """Say what is wanted of one run, if a request may give so many rows."""
    return Wanted(
        line_count=run.known,
        last_step=run.last_step,
        ended=run.ended,
        min_step=task.min_step,
        max_step=task.max_step,
        rows_per_window=max(min(rows, ROWS_PER_WINDOW), 1),
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
