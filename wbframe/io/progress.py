"""Telling how far a read has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from wbframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wbframe.core.model import ScanReport

    Hook = Callable[["Progress"], object]


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
    report
        The report of the whole read, with its last progress; None before.
    """

    kind: Literal["runs", "histories"]
    done: int
    total: int | None = None
    rows: int = 0
    report: ScanReport | None = None


def silent(_: Progress) -> None:
    """Say nothing."""


def hook_of(progress: bool | Hook | None) -> Hook:  # noqa: FBT001 -- the value of the argument `progress`
    """Turn the argument `progress` into a function: True is a tqdm bar, False and None are silence.

    Raises
    ------
    UsageError
        If it is True and tqdm is not installed, or something else that cannot be called.
    """
    if progress is None or progress is False:
        return silent
    if progress is True:
        return _bar()
    if not callable(progress):
        raise UsageError(f"`progress` must be True, False or a function; got {progress!r}")
    return progress


def _bar() -> Hook:
    """Draw a bar for each kind of progress."""
    try:
        from tqdm.auto import tqdm  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("progress=True needs tqdm: pip install 'wbframe[progress]'") from error
    bars: dict[str, Any] = {}

    def show(progress: Progress) -> None:
        if progress.kind not in bars:
            bars[progress.kind] = tqdm(desc=progress.kind, unit="run", total=progress.total)
        bar = bars[progress.kind]
        bar.update(progress.done - bar.n)
        if progress.done == progress.total:
            bar.close()

    return show
