"""Every row of one run: what `scan_history` gives, read while it is iterated over."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from wbframe.core.hints import whole
from wbframe.core.model import STEP, RunPath
from wbframe.core.paths import run_of
from wbframe.dropin import reading
from wbframe.dropin.asked import StepWindows
from wbframe.dropin.sdk import as_sdk
from wbframe.errors import IncompleteHistoryError, IncompleteHistoryWarning, WbframeError
from wbframe.io.read.outcome import Outcome
from wbframe.io.read.parts import SKIPPED
from wbframe.io.threads import Items
from wbframe.report import LeftOut
from wbframe.warn import warn

if TYPE_CHECKING:
    from collections.abc import Generator

    from wbframe.core.model import Match, OnError

__all__ = ["HistoryScan"]


class HistoryScan(Iterator[dict[str, Any]]):
    """The rows of one run, read window by window of steps; `iter` begins anew.

    Attributes
    ----------
    run, keys, page_size, min_step, max_step, match, on_error
        As asked; `run` is the `Run` that made it, `max_step` the step after the last.
    beyond
        Whether to go on behind `max_step` until nothing comes, unless as many rows came as there are.
    lost
        Why nothing can be read of the run; None where something can.
    """

    beyond = False
    lost: WbframeError | None = None

    def __init__(
        self,
        run: Any,
        keys: list[str],
        page_size: int,
        min_step: int,
        max_step: int,
        *,
        match: Match = "all",
        on_error: OnError = "raise",
    ) -> None:
        self.run = run
        self.keys = keys
        self.page_size = page_size
        self.min_step = min_step
        self.max_step = max_step
        self.match = match
        self.on_error = on_error
        self._named = reading.with_step(keys)
        self._expected, self._exactly = 0, True
        self._came = 0
        self._ended_by: Exception | None = None
        self._rows = Items(self._read())

    def expect(self, rows: int, *, exactly: bool = True) -> None:
        """Tell of an end with fewer rows than so many: by an error if that is their number, else a warning."""
        self._expected, self._exactly = rows, exactly

    def __iter__(self) -> HistoryScan:
        self._rows, self._ended_by = Items(self._read()), None
        return self

    def __next__(self) -> dict[str, Any]:
        if self._ended_by is not None:
            # It did not come to its end, so that it may not look as if it had.
            raise self._ended_by
        try:
            return next(self._rows)
        except StopIteration:
            raise
        except Exception as error:
            self._ended_by = error
            with as_sdk:
                raise

    next = __next__

    def _read(self) -> Generator[dict[str, Any]]:
        with Outcome.of_rows(self.run.client, self._path, None) as outcome:
            outcome.runs, self._came = 1, 0
            try:
                if self.lost is not None:
                    raise self.lost
                for row in self._from_files(self._windows()):
                    outcome.rows += 1
                    self._came = outcome.rows
                    yield self._as_asked(row)
                self._check(outcome.rows)
            except SKIPPED as error:
                if self.on_error == "raise":
                    raise
                outcome.losses.append(LeftOut(run_of(self._path, self.run.id), str(error)))

    def _check(self, rows: int) -> None:
        """Tell of fewer rows than the server counts."""
        if rows >= self._expected:
            return
        least = "" if self._exactly else " at the least"
        msg = (
            f"{self.run}: {self._expected} rows expected{least}, {rows} came; the server gives the rest"
            " in exported files only: read them with wbframe.polars.read_histories(..., samples=None)"
        )
        if self._exactly:
            raise IncompleteHistoryError(msg)
        warn(msg, IncompleteHistoryWarning)

    def _as_asked(self, row: dict[str, Any]) -> dict[str, Any]:
        """Give of a row the keys that were asked for, behind its step as in wandb 0.31."""
        if not self.keys:
            return row
        found = {key: row[key] for key in self._named if key in row}
        if STEP not in self.keys and (step := whole(row.get(STEP))) is not None:
            found[STEP] = step
        return found

    def _windows(self) -> Iterator[dict[str, Any]]:
        """Read what the server gives of the rows."""
        windows = StepWindows(self.min_step, self.max_step, page=self.page_size)

        def has_all() -> bool:
            told = self._exactly and 0 < self._expected <= self._came
            return told or not self.beyond

        return reading.scan_rows(
            self.run.client, self._path, self.run.id, self.keys, windows, has_all, match=self.match
        )

    def _from_files(self, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Give the rows; from the exported files where the server keeps exported rows to itself.

        It does if files have a row from before the first one that came; they are looked at only if that is
        not the first step.
        """
        # Rows that are exported may be deleted elsewhere: https://github.com/wandb/server/issues/160
        first = next(rows, None)
        step = None if first is None else whole(first.get(STEP))
        begins = self.max_step if first is None else self.min_step if step is None else step
        came = rows if first is None else chain([first], rows)
        if begins <= self.min_step:
            return came
        from wbframe.dropin.exported import exported_rows, merged  # noqa: PLC0415 -- imports Parquet

        where = (self.run.client, self._path, self.run.id, self.keys)
        if not exported_rows(*where, self.min_step, begins, match=self.match):
            return came
        exported = exported_rows(*where, self.min_step, self.max_step, match=self.match)
        return iter(merged(exported, self._windows()))

    @property
    def _path(self) -> RunPath:
        return RunPath(entity=self.run.entity, project=self.run.project)
