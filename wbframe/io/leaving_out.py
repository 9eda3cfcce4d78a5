"""What ``on_error="skip"`` leaves out: single runs where it can be told which, else what was asked at once."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from wbframe.core.graphql import name_of
from wbframe.core.histories import TaskRows, merge_rows
from wbframe.core.model import LeftOut
from wbframe.core.runs_frame import run_leaves
from wbframe.errors import (
    AnswerError,
    IncompleteError,
    LeftOutWarning,
    QueryError,
    RequestError,
    RunNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wbframe.core.graphql import RunNode
    from wbframe.core.model import RunPath
    from wbframe.core.plan import HistoryTask

__all__ = ["SKIPPED", "read_or_leave_out", "readable", "run_of", "warn_left_out"]

SKIPPED = (RequestError, QueryError, AnswerError, IncompleteError, RunNotFoundError)
_SHOWN = 3
_log = logging.getLogger("wbframe.read")


def read_or_leave_out(read: Callable[[HistoryTask], TaskRows], task: HistoryTask) -> TaskRows:
    """Read a task; where it may, leave out the runs that cannot be read.

    What the server said of the rows of one run is found by halves. Where there is no server to be read from,
    each run would say the same, so they are left out together.
    """
    if task.on_error == "raise":
        return read(task)
    try:
        return read(task)
    except SKIPPED as error:
        if len(task.runs) == 1 or (isinstance(error, RequestError) and not error.too_big):
            for run in task.runs:
                _log.warning(
                    "%s/%s is left out: %s", name_of(task.path), run.run_id, error,
                    extra={"wbframe_run": run.run_id, "wbframe_reason": str(error)},
                )  # fmt: skip
            return TaskRows(left_out={run.ordinal: str(error) for run in task.runs})
    half = len(task.runs) // 2
    found = TaskRows()
    for runs in (task.runs[:half], task.runs[half:]):
        merge_rows(found, read_or_leave_out(read, replace(task, runs=runs)))
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
