"""A project whose runs log rows while they are read."""

from __future__ import annotations

from typing import Any

from wbframe.server.projects.exports import Exports
from wbframe.server.projects.rows import History
from wbframe.server.projects.store import Project, RunRecord

__all__ = ["growing"]

_BEGUN = 1767600000.0
_LOGGED, _COMING = 250, 2000
_BLOCK, _OVERLAP = 100, 10


def _row(step: int) -> dict[str, Any]:
    """Log a loss each step, an accuracy every ten, and a key that appears only after a while."""
    row: dict[str, Any] = {
        "_step": step,
        "_runtime": step * 0.5,
        "_timestamp": _BEGUN + step * 0.5,
        "train/loss": 2.0 / (step + 1.5),
    }
    if step % 10 == 0:
        row["eval/accuracy"] = 1.0 - 1.0 / (step + 2.0)
    if step >= _LOGGED + _BLOCK:
        row["late"] = step / 4
    return row


def _run(name: str, minute: int, exports: Exports | None, logged: int = _LOGGED) -> RunRecord:
    """Make a running run."""
    rows = [_row(step) for step in range(logged + _COMING)]
    return RunRecord(
        name=name,
        display_name=name,
        state="running",
        config={"lr": 0.1, "epochs": 30},
        history=History(rows[:logged]),
        coming=tuple(rows[logged:]),
        exports=exports,
        created_at=f"2026-01-05T08:{minute:02d}:00Z",
        heartbeat_at=f"2026-01-05T08:{minute:02d}:30Z",
    )


def growing() -> Project:
    """Make a project of runs that are still running; `Server.advance` lets them log rows.

    Returns
    -------
    Project
        ``wbframe/growing``. ``live``: 250 rows, no exports yet. ``tail``: each full 100 rows are an
        exported file, the rest is live. ``overlap``: as ``tail``, and the last ten exported rows
        are live as well. ``fresh``: no row yet. Each has 2000 rows to come. ``ended``: finished
        after 250 rows and exported whole.
    """
    ended = _run("ended", 40, None)
    return Project(
        entity="wbframe",
        name="growing",
        runs=(
            _run("live", 0, None),
            _run("tail", 10, Exports.blocks(_BLOCK)),
            _run("overlap", 20, Exports.blocks(_BLOCK, _OVERLAP)),
            _run("fresh", 30, Exports.blocks(_BLOCK), 0),
            RunRecord(
                name="ended",
                display_name="ended",
                config=ended.config,
                history=ended.history,
                created_at=ended.created_at,
                heartbeat_at=ended.heartbeat_at,
            ),
        ),
        exports=Exports.all(),
    )
