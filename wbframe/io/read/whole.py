"""Reading whole histories: exported files by ranges of bytes, live rows by windows of steps."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.batches import batches
from wbframe.core.decode.nested import flat_rows
from wbframe.core.decode.parquet import promised_frame
from wbframe.core.decode.rows import decode_rows, infer_types, join_texts
from wbframe.core.decode.taken import taken_in
from wbframe.core.histories.live import (
    Answer,
    Ask,
    Profile,
    Steps,
    Told,
    WindowRows,
    fewer_rows,
    fewer_steps,
    live_rows,
    profiled_rows,
    profiles_request,
    windows_request,
)
from wbframe.core.histories.rows import TaskRows, in_window, must_have_steps, new_keys
from wbframe.core.histories.stretches import in_stretches, is_long
from wbframe.core.histories.whole import (
    end_wanted,
    every_row,
    expected_of,
    rows_wanted,
    shortfall,
    united,
)
from wbframe.core.histories.windows import SAMPLES_PER_WINDOW
from wbframe.core.model import STEP
from wbframe.core.protocol.rows import RowsOf, row_lists, rows_answer
from wbframe.core.schema.types import merge_index
from wbframe.errors import IncompleteHistoryError
from wbframe.io import forks, threads
from wbframe.io.read.exports import read_exports, signed_file
from wbframe.io.read.files import read_file, row_groups
from wbframe.io.read.parts import SKIPPED, read_or_leave_out, send_in_parts
from wbframe.io.read.storage import CONCURRENCY, Storage
from wbframe.io.threads import side_by_side

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    import msgspec
    import pyarrow as pa

    from wbframe.core.histories.live import Asked, Numbered
    from wbframe.core.histories.stretches import Span
    from wbframe.core.histories.tasks import HistoryTask, RunRead
    from wbframe.core.histories.windows import Window
    from wbframe.core.protocol.exports import Export, SignedUrl
    from wbframe.core.protocol.ranges import Part
    from wbframe.core.protocol.request import Request
    from wbframe.core.schema.types import Index
    from wbframe.io.client.client import Client


@dataclass(slots=True)
class _Long:
    """A run that is read in stretches: the task that was cut, its exports, and the ends and steps of its files.

    `left` counts the stretches that are still read, `rows` the rows of those that were; `is_cut` says whether
    there are several.
    """

    task: HistoryTask
    export: Export
    tails: dict[SignedUrl, Part | None]
    spans: dict[SignedUrl, list[Span | None]]
    is_cut: bool = False
    left: int = 1
    rows: int = 0

    def within(self, low: int | None, high: int | None) -> Export:
        """Give those of its files that have steps of a window."""
        urls = [
            url
            for url in self.export.urls
            if any(
                span is None
                or ((high is None or span[0] < high) and (low is None or span[1] >= low))
                for span in self.spans[url]
            )
        ]
        return replace(self.export, urls=tuple(urls))


@dataclass(frozen=True, slots=True)
class _Means:
    """What all tasks of a read share: a client, a storage, threads for files, their ranges, and live rows."""

    client: Client
    storage: Storage
    files: threads.Threads
    ranges: threads.Threads
    windows: threads.Threads
    long: dict[int, _Long] = field(default_factory=dict)


def read_whole_tasks(
    client: Client,
    tasks: Iterable[HistoryTask],
    *,
    ahead: int | None = None,
    streamed: bool = False,
) -> Generator[TaskRows]:
    """Read tasks side by side, their files and windows besides, and hand out what they gave in their order.

    Where they are `streamed`, long runs are read in stretches.
    """
    forks.check()
    storage = Storage(client)
    try:
        with (
            threads.pool(CONCURRENCY, "wbframe-files") as files,
            threads.pool(CONCURRENCY, "wbframe-ranges") as ranges,
            threads.pool(client.concurrency, "wbframe-windows") as windows,
        ):
            means = _Means(client, storage, files, ranges, windows)

            def read(task: HistoryTask) -> tuple[HistoryTask, TaskRows, Counter[int]]:
                rows: Counter[int] = Counter()
                found = read_or_leave_out(lambda part: _WholeRead(means, part, rows).read(), task)
                return task, found, rows

            cut = _in_stretches(means, tasks) if streamed else tasks
            for task, found, rows in side_by_side(client.concurrency, read, cut, ahead=ahead):
                for run in task.runs:
                    if long := means.long.get(run.ordinal):
                        _check_long(long, found, rows[run.ordinal])
                yield found
                # Or it would be in memory until the next one is there.
                del found
    finally:
        storage.close()


# ---------------------------------------------------------------- long runs


def _in_stretches(means: _Means, tasks: Iterable[HistoryTask]) -> Iterator[HistoryTask]:
    """Cut tasks of long runs by what the footers of their files say."""
    for task in tasks:
        if not is_long(task):
            yield task
            continue
        try:
            long = _looked_at(means, task)
        except SKIPPED:
            # Whatever it is, reading it all at once tells.
            yield task
            continue
        parts = in_stretches(task, chain.from_iterable(long.spans.values()))
        long.left, long.is_cut = len(parts), len(parts) > 1
        means.long[task.runs[0].ordinal] = long
        yield from parts


def _looked_at(means: _Means, task: HistoryTask) -> _Long:
    """Read the footers of the files of a run."""
    [run] = task.runs
    asked = means.windows.submit(read_exports, means.client, task.path, [run.run_id])
    [export] = threads.result_of(asked)

    def look(url: SignedUrl) -> tuple[list[Span | None], Part | None]:
        file = signed_file(means.client, means.storage, task.path, run.run_id, url)
        return row_groups(file), file.tail

    looks = {url: means.files.submit(look, url) for url in export.urls}
    found = {url: threads.result_of(each) for url, each in looks.items()}
    tails = {url: tail for url, (_, tail) in found.items()}
    return _Long(task, export, tails, {url: spans for url, (spans, _) in found.items()})


def _check_long(long: _Long, found: TaskRows, rows: int) -> None:
    """Take note of the rows of a stretch; after the last compare all with what the server says there is."""
    long.left -= 1
    long.rows += rows
    [run] = long.task.runs
    count = expected_of(long.task, run).countable
    if not long.is_cut or long.left or count is None or long.rows >= count:
        return
    _tell_missing(long.task, run, f"{count} rows expected, {long.rows} came", found)


def _tell_missing(task: HistoryTask, run: RunRead, missing: str, found: TaskRows) -> None:
    """Say that rows of a run are missing; told with all others, by the thread that reads."""
    if task.on_incomplete == "raise":
        raise IncompleteHistoryError(
            f"{task.where(run)} is incomplete: {missing};"
            " read again later, or set on_incomplete='warn'"
        )
    found.short[run.ordinal] = missing


@dataclass(slots=True)
class _WholeRead:
    """The read of the whole histories of the runs of one task, and what it has found."""

    means: _Means
    task: HistoryTask
    rows: Counter[int]
    found: TaskRows = field(default_factory=TaskRows)
    steps: dict[int, Steps] = field(default_factory=dict)

    def read(self) -> TaskRows:
        """Read the rows, and check that they are all.

        Raises
        ------
        IncompleteHistoryError
            If rows are missing, unless the task says to warn.
        """
        exported, exports = self._exported()
        task = self.task = replace(
            self.task, runs=tuple(run for run in self.task.runs if run.ordinal in exported)
        )
        files = [exported.pop(run.ordinal) for run in task.runs]
        live = self._live([exports[run.ordinal] for run in task.runs], files)
        for i, run in enumerate(task.runs):
            whole = every_row(expected_of(task, run), files[i], live[i])
            # The rows of a run are in memory twice while they are put together, but those of one run only.
            files[i], live[i] = [], []
            try:
                self._check(run, whole)
            except IncompleteHistoryError as error:
                if task.on_error == "raise":
                    raise
                self.found.left_out[run.ordinal] = str(error)
                continue
            self.rows[run.ordinal] = whole.height
            whole = rows_wanted(task, whole)
            if whole.height:
                self.found.frames[run.ordinal] = whole
        return self.found

    # ------------------------------------------------------------ exported rows

    def _exported(self) -> tuple[dict[int, list[pl.DataFrame]], dict[int, Export]]:
        """Read the exported rows of all runs; where it is allowed, leave out runs whose files cannot be read."""
        task, means = self.task, self.means
        long = means.long.get(task.runs[0].ordinal)
        if long is None:
            run_ids = [run.run_id for run in task.runs]
            asked = means.windows.submit(read_exports, means.client, task.path, run_ids)
            exports = threads.result_of(asked)
        else:
            exports = [long.within(task.min_step, task.max_step)]
        futures = [
            [
                means.files.submit(self._file, run, url, end_wanted(task, run, export))
                for url in export.urls
            ]
            for run, export in zip(task.runs, exports, strict=True)
        ]
        frames: dict[int, list[pl.DataFrame]] = {}
        for run, parts in zip(task.runs, futures, strict=True):
            try:
                frames[run.ordinal] = self._promised(run, parts)
            except SKIPPED as error:
                if task.on_error == "raise":
                    raise
                self.found.left_out[run.ordinal] = str(error)
            parts.clear()
        return frames, {run.ordinal: each for run, each in zip(task.runs, exports, strict=True)}

    def _file(self, run: RunRead, url: SignedUrl, end: int) -> tuple[pa.Table, Index, str]:
        """Read one file: its rows, the keys that nobody told of, and what it is called."""
        task, means = self.task, self.means
        file = signed_file(means.client, means.storage, task.path, run.run_id, url)
        if long := means.long.get(run.ordinal):
            file.tail, file.pinned = long.tails[url], long.is_cut
        columns = list(task.columns())
        table = read_file(
            file,
            columns,
            min_step=task.min_step,
            max_step=task.max_step,
            end=end,
            workers=means.ranges,
        )
        new: Index = {}
        if task.row_keys is None and not task.narrowed:
            there = {key: dict.fromkeys(types, 1) for key, types in file.types.items()}
            new = new_keys(there, task.columns(), system=False)
        return table, new, file.name

    def _promised(
        self, run: RunRead, files: Iterable[threads.Task[tuple[pa.Table, Index, str]]]
    ) -> list[pl.DataFrame]:
        """Give the files of a run the promised dtypes; there is always one, be it empty."""
        columns = self.task.columns()
        parts = [pl.DataFrame(schema=columns)]
        for file in files:
            table, new, name = threads.result_of(file)
            where = f"the exported file {name} of {self.task.where(run)}"
            with taken_in(where):
                part, imprecise = promised_frame(
                    table, columns, where=where, lenient=self.task.schema.lenient
                )
            must_have_steps(part, where)
            self.found.imprecise |= imprecise
            if new:
                merge_index(self.found.new_keys.setdefault(run.ordinal, {}), new)
            parts.append(in_window(part, self.task.min_step, self.task.max_step))
        return parts

    # ------------------------------------------------------------ live rows

    def _live(
        self, exports: Sequence[Export], exported: Sequence[Sequence[pl.DataFrame]]
    ) -> list[list[pl.DataFrame]]:
        """Read the live rows of all runs, their questions put together in few requests."""
        task, client = self.task, self.means.client
        readers = [
            live_rows(
                expected_of(
                    task,
                    run,
                    rows=client.rows.at_most(client.budget.now // (task.width(run) + 1)),
                    samples=client.samples.now,
                ),
                export,
                united([file.select(STEP) for file in files])[STEP],
                self.steps.setdefault(run.ordinal, Steps()),
            )
            for run, export, files in zip(task.runs, exports, exported, strict=True)
        ]
        done: dict[int, list[pl.DataFrame]] = {}
        answers: dict[int, Answer | None] = dict.fromkeys(range(len(readers)))
        while answers:
            asked: dict[int, Ask] = {}
            for place, answer in answers.items():
                try:
                    reader = readers[place]
                    asked[place] = next(reader) if answer is None else reader.send(answer)
                except StopIteration as stop:
                    done[place] = stop.value
                    if cap := self.steps[task.runs[place].ordinal].cap:
                        # What one list was cut at twice, others are.
                        client.rows.hold(cap // 2)
            answers = {**self._profiles(asked), **self._windows(asked)}
        return [done[place] for place in range(len(readers))]

    def _profiles(self, asked: dict[int, Ask]) -> dict[int, Answer | None]:
        """Ask which steps runs have."""
        runs = self.task.runs
        rows = [
            (place, runs[place].run_id, ask)
            for place, ask in asked.items()
            if isinstance(ask, Profile)
        ]
        return threads.result_of(self.means.windows.submit(self._steps, rows)) if rows else {}

    def _steps(self, asked: Sequence[Asked]) -> dict[int, Answer | None]:
        """Read which steps runs have, in one request, or in several where that is too big."""
        path, client = self.task.path, self.means.client

        def read(
            part: Sequence[Asked], content: bytes, request: Request
        ) -> dict[int, Answer | None]:
            answers = rows_answer(content, request, path, profiled_rows(part))
            found: dict[int, Answer | None] = {}
            for (place, _, ask), raw in zip(part, answers, strict=True):
                [steps] = row_lists(raw)
                decoded = decode_rows(
                    steps, {STEP: pl.Int64()}, where=request.asked, lenient=(STEP,)
                )
                must_have_steps(decoded.frame, request.asked)
                client.samples.hold(ask.samples)
                found[place] = Told(decoded.frame[STEP].drop_nulls().to_list(), ask.samples)
            return found

        parts = send_in_parts(
            client, asked, fewer_steps, lambda part: profiles_request(path, part), read
        )
        return {place: steps for part in parts for place, steps in part.items()}

    def _windows(self, asked: dict[int, Ask]) -> dict[int, Answer | None]:
        """Read the rows of windows, a few requests side by side."""
        waiting = [
            (place, window)
            for place, ask in asked.items()
            if not isinstance(ask, Profile)
            for window in ask
        ]
        width = max((self.task.width(self.task.runs[place]) for place, _ in waiting), default=0)
        most = self.means.client.budget.now // (width + 1)
        parts = [
            (batch, self.means.windows.submit(self._some_windows, batch))
            for batch in batches(waiting, lambda each: each[1].rows, lambda: most)
        ]
        answers: dict[int, list[WindowRows]] = defaultdict(list)
        for batch, part in parts:
            read = threads.result_of(part)
            for (place, _), rows in zip(batch, read, strict=True):
                answers[place].append(rows)
                self.found.imprecise |= rows.imprecise
                if rows.new_keys:
                    known = self.found.new_keys.setdefault(self.task.runs[place].ordinal, {})
                    merge_index(known, rows.new_keys)
        return dict(answers)

    def _some_windows(self, batch: Sequence[tuple[int, Window]]) -> list[WindowRows]:
        """Read windows in one request, or in several where the server finds that too big."""
        task, runs = self.task, self.task.runs

        def of(part: Sequence[Numbered]) -> Request:
            return windows_request(task.path, [(runs[at].run_id, window) for _, at, window in part])

        def read(
            part: Sequence[Numbered], content: bytes, request: Request
        ) -> list[tuple[int, WindowRows]]:
            asked = [RowsOf(run_id=runs[at].run_id, field="history") for _, at, _ in part]
            raws = rows_answer(content, request, task.path, asked)
            if (fewer := part[0][2].samples) < SAMPLES_PER_WINDOW:
                self.means.client.samples.hold(fewer)
            return [
                (number, self._window(runs[at], raw, window))
                for (number, at, window), raw in zip(part, raws, strict=True)
            ]

        found: list[list[WindowRows]] = [[] for _ in batch]
        numbered: Sequence[Numbered] = [
            (number, place, window) for number, (place, window) in enumerate(batch)
        ]
        for part in send_in_parts(self.means.client, numbered, fewer_rows, of, read):
            for number, rows in part:
                found[number].append(rows)
        return [WindowRows.of(parts) for parts in found]

    def _window(self, run: RunRead, raw: msgspec.Raw, window: Window) -> WindowRows:
        """Decode the rows of one window."""
        where, columns = self.task.where(run), self.task.columns()
        texts = flat_rows(join_texts(raw, where=where), where=where)
        new: Index = {}
        if self.task.row_keys is None and not self.task.narrowed:
            new = new_keys(infer_types(texts), columns, system=False)
        decoded = decode_rows(texts, columns, where=where, lenient=self.task.schema.lenient)
        must_have_steps(decoded.frame, where)
        frame = in_window(decoded.frame, window.min_step, window.max_step)
        return WindowRows(
            frame, decoded.frame.height, window.samples, frozenset(decoded.imprecise), new
        )

    # ------------------------------------------------------------ is that all?

    def _check(self, run: RunRead, whole: pl.DataFrame) -> None:
        """Compare what came with what the server says there is."""
        # The SDK takes what comes for all that there is: https://github.com/wandb/wandb/issues/12067
        known = self.steps[run.ordinal].known if run.ordinal in self.steps else set()
        missing = shortfall(expected_of(self.task, run), whole[STEP], known)
        if missing is None:
            return
        _tell_missing(self.task, run, missing, self.found)
