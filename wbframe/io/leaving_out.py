"""What ``on_error="skip"`` leaves out: single runs where it can be told which, else what was asked at once."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from wbframe.core.histories import TaskRows, merge_rows
from wbframe.core.model import LeftOut
from wbframe.core.paths import name_of
from wbframe.core.runs_frame import run_leaves
from wbframe.errors import (
    AnswerError,
    IncompleteError,
    LeftOutWarning,
    QueryError,
    RequestError,
    RunNotFoundError,
    WbframeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from wbframe.core.answers import RunNode
    from wbframe.core.model import OnError, RunPath
    from wbframe.core.plan import HistoryTask, RunRead

__all__ = ["SKIPPED", "in_parts", "read_or_leave_out", "readable", "run_of", "warn_left_out"]

_Item = TypeVar("_Item")
_Out = TypeVar("_Out")
SKIPPED = (RequestError, QueryError, AnswerError, IncompleteError, RunNotFoundError)
_SHOWN = 3
_log = logging.getLogger("wbframe.read")


def in_parts(
    read: Callable[[tuple[_Item, ...]], _Out], items: Sequence[_Item], on_error: OnError
) -> Iterator[tuple[tuple[_Item, ...], _Out | WbframeError]]:
    """Read things together; where some may be left out and cannot be read, the others without them.

    What the server said of one of them is found by halves. Where there is no server to be read from, each would
    say the same, so they are left out together.

    Parameters
    ----------
    read
        Reads several.
    items
        Which.
    on_error
        Whether any may be left out.

    Yields
    ------
    tuple
        Some of them, and what was read, or why it was not; in order.
    """
    part = tuple(items)
    try:
        found = read(part)
    except SKIPPED as error:
        if on_error == "raise":
            raise
        if len(part) == 1 or (isinstance(error, RequestError) and not error.too_big):
            yield part, error
            return
    else:
        yield part, found
        return
    half = len(part) // 2
    for some in (part[:half], part[half:]):
        yield from in_parts(read, some, on_error)


def read_or_leave_out(read: Callable[[HistoryTask], TaskRows], task: HistoryTask) -> TaskRows:
    """Read a task; where it may, leave out the runs that cannot be read."""
    if task.on_error == "raise":
        return read(task)

    def some(runs: tuple[RunRead, ...]) -> TaskRows:
        return read(replace(task, runs=runs))

    found = TaskRows()
    for runs, rows in in_parts(some, task.runs, task.on_error):
        if isinstance(rows, TaskRows):
            merge_rows(found, rows)
            continue
        for run in runs:
            _log.warning(
                "%s/%s is left out: %s", name_of(task.path), run.run_id, rows,
                extra={"wbframe_run": run.run_id, "wbframe_reason": str(rows)},
            )  # fmt: skip
            found.left_out[run.ordinal] = str(rows)
    return found


def readable(path: RunPath, nodes: Iterable[RunNode], losses: list[LeftOut]) -> list[RunNode]:
    """Give the runs whose config and summary can be read; the others are losses."""
    found = []
    for node in nodes:
        try:
            run_leaves(node, where=run_of(path, node.name))
        except AnswerError as error:
            losses.append(LeftOut(run_of(path, node.name), str(error)))
        else:
            found.append(node)
    return found


def run_of(path: RunPath, run_id: str) -> str:
    """Name a run."""
    return f"{name_of(path)}/{run_id}"


def warn_left_out(left_out: Sequence[LeftOut]) -> None:
    """Warn of what was left out."""
    if left_out:
        shown = "; ".join(f"{each.what}: {each.why}" for each in left_out[:_SHOWN])
        more = f"; and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        msg = f"left out {len(left_out)}, which `left_out` of the report names: {shown}{more}"
        warnings.warn(msg, LeftOutWarning, stacklevel=2)
