"""How a read went: the report that the client keeps, an error carries, and the progress hook and the log get."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from wbframe.core.filters import EMPTY
from wbframe.core.histories.rows import TaskRows
from wbframe.core.model import MOST_SAMPLES, OnIncomplete, Selection
from wbframe.core.paths import name_of, run_of
from wbframe.errors import (
    AnswerError,
    CollisionWarning,
    IncompleteHistoryError,
    IncompleteHistoryWarning,
    LeftOutWarning,
    NewKeyWarning,
    PrecisionWarning,
    SampledWarning,
    WbframeError,
)
from wbframe.io.client.secrets import forget
from wbframe.io.read.progress import Hook, ended, hook_of, silent
from wbframe.log import log_of
from wbframe.report import LeftOut, Progress, ScanReport
from wbframe.text import counted, listed, shortened
from wbframe.warn import warn

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from wbframe.core.histories.entries import RunEntry
    from wbframe.core.model import HistoryScan, RunPath
    from wbframe.core.pushdown.conjuncts import Conjunct
    from wbframe.io.client.client import Client
    from wbframe.io.client.reports import ScanName
    from wbframe.report import Traffic


__all__ = [
    "Hook",
    "Outcome",
    "Read",
    "hook_of",
    "silent",
    "warn_collided",
    "warn_imprecise",
    "warn_left_out",
    "warn_new_keys",
]


_log = log_of("read")
# Bytes of a value in a frame.
_CELL = 8
_FEWER = "read fewer keys or runs, stream them by a scan, or give `Client` a larger one"


@dataclass(frozen=True, slots=True)
class Read:
    """What the steps of one read share.

    Attributes
    ----------
    client
        Who asks.
    progress
        Who is told how far it has come.
    losses
        Takes what is left out, where the selection allows it; None where nothing may be.
    looks
        Whether it only looks for columns: what is to be told, the read that follows tells.
    """

    client: Client
    progress: Hook = silent
    losses: list[LeftOut] | None = None
    looks: bool = False

    def lose(self, names: Iterable[str], why: object) -> None:
        """Take note of what is left out; what only looks for columns leaves that to the read that follows."""
        if self.losses is not None:
            self.losses.extend(LeftOut(name, str(why)) for name in names)

    def hold(self, rows: int, columns: int) -> None:
        """Be about to hold a frame of so many cells.

        Raises
        ------
        AnswerError
            If that is more than the client takes.
        """
        most = self.client.largest_read
        if rows * columns * _CELL > most:
            raise AnswerError(
                f"{rows:,} rows of {columns:,} columns are larger than `largest_read` ({most:,} bytes); {_FEWER}"
            )


@dataclass(slots=True)
class Outcome:
    """What a read has done so far; as a context manager it reports when the read ends, however it ends.

    Attributes
    ----------
    client, selection, kind, progress
        What is read, and who is told.
    losses
        What could not be listed.
    runs, rows
        How many came back.
    scan, entries, seen
        Of histories: the scan, what the server knows of its runs, and what its tasks gave.
    conjuncts
        The conditions of a lazy query.
    samples
        Of histories without a scan: rows a run at the most, None for all.
    instead
        Server features that could not give what was asked for, and were not used.
    new
        Keys that the schema does not promise, and the runs that have them.
    name
        Which lazy scan it is a read of.
    logged
        Of histories without a scan: rows that each run has logged, as far as that is known.
    holds
        Whether all that comes is held until the read ends, rather than handed on.
    """

    client: Client
    selection: Selection
    kind: Literal["runs", "histories"]
    progress: Hook = silent
    losses: list[LeftOut] = field(default_factory=list)
    runs: int = 0
    rows: int = 0
    scan: HistoryScan | None = None
    entries: Sequence[RunEntry] = ()
    seen: TaskRows = field(default_factory=TaskRows)
    conjuncts: Sequence[Conjunct] = ()
    samples: int | None = None
    instead: Sequence[str] = ()
    new: Mapping[str, Collection[int]] = field(default_factory=dict)
    name: ScanName | None = None
    logged: Sequence[int | None] | None = None
    holds: bool = False
    _started: float = 0.0
    _before: Traffic | None = None
    _done: ScanReport | None = None

    @classmethod
    def of_rows(cls, client: Client, path: RunPath, samples: int | None) -> Self:
        """Begin a read of rows of runs that are known already."""
        return cls(client, Selection(paths=(path,), filters=EMPTY), "histories", samples=samples)

    @property
    def read(self) -> Read:
        """What the steps of this read share."""
        return Read(self.client, self.tell, self.losses)

    def tell(self, progress: Progress) -> None:
        """Tell how far this read has come, with what went over the wire for it.

        Raises
        ------
        AnswerError
            If that is more than the client takes of one read.
        """
        most = self.client.largest_read
        if self.holds and self._traffic().bytes_received > most:
            what = ", ".join(f"{each.entity}/{each.project}" for each in self.selection.paths)
            raise AnswerError(
                f"could not read the {self.kind} of {what}: the answers are larger than `largest_read`"
                f" ({most:,} bytes); {_FEWER}"
            )
        if self.progress is not silent:
            traffic = self._traffic()
            self.progress(
                replace(progress, bytes_received=traffic.bytes_received, waited=traffic.waited)
            )

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        self._before = self.client.traffic
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        report = self._done = self._report()
        self.client.reports.add(report, self.name)
        facts = {
            f"wbframe_{name}": getattr(report, name)
            for name in ("runs", "rows", "requests", "retries", "bytes_received", "seconds")
        }
        what = ", ".join(report.projects)
        if error is not None:
            # What was read, and the addresses that it was read from.
            forget(error)
            ended(self.progress)
        if isinstance(error, WbframeError):
            error.report = report
            _log.info("read of the %s of %s failed: %s", self.kind, what, error, extra=facts)
        if error is None:
            _log.info(
                "read the %s of %s: %d rows of %d runs in %d requests",
                self.kind, what, report.rows, report.runs, report.requests, extra=facts,
            )  # fmt: skip
            if self.progress is not silent:
                total = self.runs + len(report.left_out) if report.left_out else self.runs
                last = Progress(
                    kind=self.kind, done=total, total=total, rows=self.rows, report=report
                )
                self.tell(last)
        # Who has enough rows ends a scan; what it gave until then may be less all the same.
        if error is None or isinstance(error, GeneratorExit):
            self._warn(report)

    def _warn(self, report: ScanReport) -> None:
        """Give a word for everything that is less than asked."""
        warn_left_out(report.left_out)
        if self.scan is not None:
            warn_imprecise(self.seen.imprecise)
            warn_new_keys({key: len(runs) for key, runs in self.new.items()}, "runs")
            if not self.scan.samples_given:
                _warn_sampled(report, self.scan)

    def report(self) -> ScanReport:
        """Give the report of a read that has ended."""
        assert self._done is not None
        return self._done

    def _traffic(self) -> Traffic:
        """Give what went over the wire since the read began."""
        assert self._before is not None
        return self.client.traffic - self._before

    def _report(self) -> ScanReport:
        """Say what was done until now."""
        traffic = self._traffic()
        entries = {entry.ordinal: entry for entry in self.entries}
        unread = [
            LeftOut(run_of(entries[i].path, entries[i].run_id), why)
            for i, why in sorted(self.seen.left_out.items())
            if i in entries
        ]
        return ScanReport(
            kind=self.kind,
            projects=tuple(
                dict.fromkeys(f"{each.entity}/{each.project}" for each in self.selection.paths)
            ),
            runs=self.runs if self.scan is None else len(entries) - len(unread),
            rows=self.rows,
            rows_known=_sum(self.logged)
            if self.scan is None
            else _rows_known(self.scan, self.entries),
            samples=self.samples if self.scan is None else self.scan.samples,
            sampled_runs=len(self.seen.sampled),
            growing_runs=sum(not entry.ended for entry in self.entries),
            requests=traffic.requests,
            retries=traffic.retries,
            bytes_received=traffic.bytes_received,
            replaced=tuple(sorted({*self.client.refused, *self.instead})),
            seconds=time.perf_counter() - self._started,
            waited=traffic.waited,
            # Runs that are listed twice, since a filter was not believed, are lost twice.
            left_out=tuple(dict.fromkeys((*self.losses, *unread))),
            pushed=tuple(each.text for each in self.conjuncts if each.status != "local"),
            residual=tuple(each.text for each in self.conjuncts if each.status != "exact"),
        )


def _rows_known(scan: HistoryScan, entries: Sequence[RunEntry]) -> int | None:
    """Count the rows that the server says the runs have logged; None where it does not say."""
    return None if scan.stream == "system" else _sum([entry.line_count for entry in entries])


def _sum(counts: Sequence[int | None] | None) -> int | None:
    """Add up counts; None where one is not known."""
    return None if counts is None or None in counts else sum(filter(None, counts))


# ---------------------------------------------------------------- warnings

# Things that a warning names at the most, warnings of one kind that a read gives, and characters of why.
_SHOWN, _NAMED, _EACH, _WHY = 3, 20, 20, 300


def warn_left_out(left_out: Sequence[LeftOut]) -> None:
    """Warn of what was left out."""
    if left_out:
        told = [f"{each.what}: {shortened(each.why, _WHY)}" for each in left_out]
        shown = listed(told, _SHOWN, "; ")
        msg = f"left out {len(left_out)}, which `left_out` of the report names: {shown}"
        warn(msg, LeftOutWarning)


def _warn_sampled(report: ScanReport, scan: HistoryScan) -> None:
    """Warn of runs that were thinned out, where nobody asked for it."""
    if not report.sampled:
        return
    shown = listed(report.projects, _SHOWN)
    what = f"{report.sampled_runs} of {report.runs} runs of {shown} were thinned out"
    if scan.samples == MOST_SAMPLES:
        how = "the server gives machine metrics of long runs in no other way"
    else:
        most = "as many rows as the server gives" if scan.stream == "system" else "every row"
        how = f"samples=None reads {most}, and samples={scan.samples} says that a sample is wanted"
    warn(f"{what}; {how}", SampledWarning)


def warn_collided(names: set[str]) -> None:
    """Warn of columns that two values of one run would stand in."""
    if names:
        shown = listed(list(map(repr, sorted(names))), _NAMED)
        msg = (
            f"keys with dots stand in the columns of nested ones: {shown}; rename one of each pair"
        )
        warn(msg, CollisionWarning)


def warn_imprecise(names: Iterable[str], exactly: str = "") -> None:
    """Warn of columns whose digits Float64 cannot hold, and say how to have them `exactly`."""
    found = sorted(names)
    for name in found[:_EACH]:
        how = exactly or f"read it exactly with schema_overrides={{{name!r}: pl.Int64}}"
        wide = (
            ""
            if exactly
            else " (beyond 64 bits pl.Int128 does, unless an exported file has rounded it)"
        )
        msg = f"Float64 cannot hold every digit of {name!r}{wide}; {how}"
        warn(msg, PrecisionWarning)
    if rest := found[_EACH:]:
        shown = listed(list(map(repr, rest)), _NAMED)
        how = exactly or "read them with `schema_overrides` too"
        msg = f"nor can it hold those of {counted(len(rest), 'other key')}: {shown}; {how}"
        warn(msg, PrecisionWarning)


def warn_new_keys(new: Mapping[str, int], where: str) -> None:
    """Warn of keys that were left out because no column was promised for them."""
    if new:
        told = [f"{key!r} ({where}: {count})" for key, count in sorted(new.items())]
        msg = f"left out {len(new)} keys that the schema does not name: {listed(told, _NAMED)}"
        msg += "; ask for them by name, or scan again"
        warn(msg, NewKeyWarning)


def tell_short(seen: TaskRows, entries: Sequence[RunEntry], on_incomplete: OnIncomplete) -> None:
    """Tell of runs of which fewer rows came than the server counts, by their names.

    Raises
    ------
    IncompleteHistoryError
        Of the first, where that is an error.
    """
    short = [entry for entry in entries if entry.ordinal in seen.short]
    for entry in short[:_EACH]:
        msg = (
            f"run {entry.run_id!r} of {name_of(entry.path)} is incomplete: {seen.short[entry.ordinal]};"
            " read again later, or set on_incomplete='warn'"
        )
        if on_incomplete == "raise":
            raise IncompleteHistoryError(msg)
        warn(msg, IncompleteHistoryWarning)
    if rest := [run_of(entry.path, entry.run_id) for entry in short[_EACH:]]:
        msg = f"{counted(len(rest), 'other run')} came incomplete too: {listed(rest, _NAMED)}"
        warn(msg, IncompleteHistoryWarning)
