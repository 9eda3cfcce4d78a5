"""What a read did: its report, what it left out, and its traffic."""

from __future__ import annotations

import weakref
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from wbframe.text import counted, listed, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

_Frame = TypeVar("_Frame")


# Things of a kind that a text shows at the most.
_SHOWN = 5
_NOTABLE = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a read left out, since ``on_error="skip"`` allowed it.

    Attributes
    ----------
    what
        ``"entity/project/run"``; or ``"entity/project"`` where its further runs could not be listed.
    why
        The message of the error.
    """

    what: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanReport:
    """What a read did.

    Attributes
    ----------
    kind
        ``"runs"`` or ``"histories"``.
    projects
        As ``entity/project``.
    runs, rows
        How many came back.
    rows_known
        Rows that the server says exist for what was asked, or None where it does not say.
    samples
        Rows a run (and group of keys) asked for at the most, or None.
    sampled_runs
        Runs of which the server holds more rows than it was asked for.
    growing_runs
        Runs that were still running, so that there may be more rows by now.
    requests, retries
        HTTP requests sent, and how many of them were second tries.
    bytes_received
        Bytes of answers, after decompression.
    replaced
        Server features that were refused and replaced by older queries.
    seconds
        Wall time.
    waited
        Seconds that requests waited for their turn or to be sent again, added up over all threads.
    left_out
        The runs that could not be read, with ``on_error="skip"``.
    pushed, residual
        The conditions of a lazy query that the server filtered by, and those that were applied here.
    """

    kind: Literal["runs", "histories"]
    projects: tuple[str, ...]
    runs: int
    rows: int
    rows_known: int | None = None
    samples: int | None = None
    sampled_runs: int = 0
    growing_runs: int = 0
    requests: int = 0
    retries: int = 0
    bytes_received: int = 0
    replaced: tuple[str, ...] = ()
    seconds: float = 0.0
    waited: float = 0.0
    left_out: tuple[LeftOut, ...] = ()
    pushed: tuple[str, ...] = ()
    residual: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Tell it on one screen; `dataclasses.asdict` has all of it."""
        runs = f"{counted(self.runs, 'run')} of {listed(self.projects, 4)}"
        lines = [f"{counted(self.rows, 'row')} of {runs}" if self.kind != "runs" else runs]
        again = f" ({self.retries:,} of them second tries)" if self.retries else ""
        size = f"{self.bytes_received / 1e6:,.1f} MB"
        waited = f", {self.waited:.1f} s of waiting" if self.waited >= _NOTABLE else ""
        lines.append(
            f"{counted(self.requests, 'request')}{again}, {size}, {self.seconds:.1f} s{waited}"
        )
        if self.samples is not None:
            known = "" if self.rows_known is None else f" ({self.rows_known:,} rows in all)"
            more = f": {counted(self.sampled_runs, 'run')} had more{known}" if self.sampled else ""
            lines.append(f"asked for {self.samples:,} rows a run at the most{more}")
        if self.growing_runs:
            lines.append(f"still running: {counted(self.growing_runs, 'run')}")
        lines += [f"left out: {each.what}: {each.why}" for each in self.left_out[:_SHOWN]]
        if len(self.left_out) > _SHOWN:
            lines.append(f"left out: {len(self.left_out) - _SHOWN:,} more, see `left_out`")
        for told, each in (
            ("pushed to the server", self.pushed),
            ("filtered here", self.residual),
            ("not on this server", self.replaced),
        ):
            if each:
                lines.append(f"{told}: {listed(each, _SHOWN, '; ')}")
        return "\n  ".join(shortened(line) for line in lines)

    @property
    def sampled(self) -> bool:
        """Whether some run has more rows than came back."""
        return self.sampled_runs > 0

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values, as pandas and Arrow keep it."""
        return asdict(self)

    @classmethod
    def of_dict(cls, given: Mapping[str, Any]) -> ScanReport:
        """Make it of what `to_dict` gave, be it through JSON."""
        values: dict[str, Any] = {
            name: tuple(each) if isinstance(each, list) else each for name, each in given.items()
        }
        values["left_out"] = tuple(LeftOut(**each) for each in given["left_out"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has gone over the wire: requests sent, of which second tries, bytes of answers, seconds waited."""

    requests: int = 0
    retries: int = 0
    bytes_received: int = 0
    waited: float = 0.0

    def __add__(self, other: Traffic) -> Traffic:
        """Give both together."""
        return Traffic(
            self.requests + other.requests,
            self.retries + other.retries,
            self.bytes_received + other.bytes_received,
            self.waited + other.waited,
        )

    def __sub__(self, other: Traffic) -> Traffic:
        """Give what came in between."""
        return Traffic(
            self.requests - other.requests,
            self.retries - other.retries,
            self.bytes_received - other.bytes_received,
            self.waited - other.waited,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a read has come.

    Attributes
    ----------
    kind
        What is counted: ``"runs"`` listed, or runs whose ``"histories"`` have come.
    done, total
        Runs; `total` is None while it is unknown.
    rows
        Rows so far.
    bytes_received, waited
        What has come so far, and how long requests had to wait, as in the report.
    report
        The report of the whole read, with its last progress; None before.
    """

    kind: Literal["runs", "histories"]
    done: int
    total: int | None = None
    rows: int = 0
    bytes_received: int = 0
    waited: float = 0.0
    report: ScanReport | None = None


# polars frames carry no metadata of their own, so reports wait here while their frames live.
_reports: dict[int, ScanReport] = {}


def reported(frame: _Frame, report: ScanReport | None) -> _Frame:
    """Keep the report of a fresh frame."""
    if report is not None:
        _reports[id(frame)] = report
        # Or the next frame that gets this id would have this report.
        weakref.finalize(frame, _reports.pop, id(frame), None)
    return frame


def report_of(frame: object) -> ScanReport | None:
    """Say how a frame was read.

    Parameters
    ----------
    frame
        A frame of polars, as a reader returned it.

    Returns
    -------
    ScanReport or None
        None for a frame that no reader returned as it is.
    """
    return _reports.get(id(frame))
