"""A writer of the folder that the local server reads as a project.

`project.json` and `runs.json` hold JSON; `history/<run id>.parquet` and `events/<run id>.parquet`
hold one wide, typed table a run, in which null is "not logged in this row".
"""

from __future__ import annotations

import json
from datetime import timedelta
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from tests.demo.offline import OfflineRun
    from tests.demo.plan import Plan

__all__ = ["describe_run", "table", "write_folder"]

_HOST = "demo-host"
_STOPPED_BY_HAND = 255
_FIRST_COLUMNS = ("_step", "_runtime", "_timestamp")
_HISTOGRAM = pl.Struct(
    {"_type": pl.String, "bins": pl.List(pl.Float64), "values": pl.List(pl.Int64)}
)


def write_folder(
    out: Path, project: dict[str, Any], runs: Sequence[tuple[Plan, OfflineRun, str | None]]
) -> None:
    """Write a whole project, in the place of the one that was there.

    Parameters
    ----------
    out
        The folder; it is made if it is not there.
    project
        What `project.json` holds.
    runs
        For each run its plan, what the SDK wrote, and the commit it is said to be of.
    """
    for name in ("history", "events"):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.parquet"):
            old.unlink()
    described = []
    for plan, offline, commit in runs:
        _shift(offline, plan.created_at)
        described.append(describe_run(plan, offline, commit))
        for name, rows in (("history", offline.history), ("events", offline.events)):
            path = out / name / f"{plan.run_id}.parquet"
            table(rows).write_parquet(path, compression="zstd", compression_level=19)
    (out / "project.json").write_text(json.dumps(project, indent=2) + "\n", encoding="utf-8")
    lines = ",\n".join(json.dumps(run, allow_nan=False) for run in described)
    (out / "runs.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def describe_run(plan: Plan, offline: OfflineRun, commit: str | None) -> dict[str, Any]:
    """Give one run as `runs.json` holds it, under the names that the wire uses.

    Parameters
    ----------
    plan
        What the run was to be.
    offline
        What the SDK wrote, its times already moved to the plan's.
    commit
        Forty hexadecimal digits, or None.

    Returns
    -------
    dict
        Plain JSON; numbers that are not finite are the strings that W&B uses for them.
    """
    config = {name: value for name, value in offline.config.items() if name != "_wandb"}
    ran = timedelta(seconds=round(max(row["_runtime"] for row in offline.history)))
    return {
        "name": plan.run_id,
        "displayName": plan.name,
        "state": _state(offline.exit_code),
        "exitcode": offline.exit_code,
        "config": config,
        "wandbConfig": offline.versions,
        "summaryMetrics": _json(offline.summary),
        "tags": list(plan.tags),
        "group": plan.group,
        "jobType": plan.job_type,
        "sweepName": plan.sweep,
        "notes": plan.notes,
        "description": None,
        "commit": commit,
        "createdAt": _time(plan.created_at),
        "heartbeatAt": _time(plan.created_at + ran),
        "user": plan.user,
        "host": _HOST,
    }


def table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Turn logged rows into one typed frame.

    Parameters
    ----------
    rows
        One dict a row, each with its own keys.

    Returns
    -------
    polars.DataFrame
        `_step` (if any), `_runtime`, `_timestamp`, then the other keys sorted. A column of numbers
        is Float64; a key that is not in a row is null there.

    Raises
    ------
    TypeError
        A key holds values of two kinds.

    Examples
    --------
    >>> table([{"_step": 0, "loss": 1}, {"_step": 1, "note": "x"}]).rows()
    [(0, 1.0, None), (1, None, 'x')]
    """
    known = {name for row in rows for name in row}
    names = [name for name in _FIRST_COLUMNS if name in known]
    names += sorted(known.difference(names))
    columns = []
    for name in names:
        values = [row.get(name) for row in rows]
        dtype = pl.Int64() if name == "_step" else _dtype(name, values)
        columns.append(pl.Series(name, [_exact(each, dtype) for each in values], dtype=dtype))
    return pl.DataFrame(columns)


def _dtype(name: str, values: list[Any]) -> pl.DataType:
    """Give the one dtype of all values of a key."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return pl.Float64()
    if kinds == {bool}:
        return pl.Boolean()
    if kinds == {str}:
        return pl.String()
    if kinds == {list}:
        return pl.List(pl.Float64())
    if kinds == {dict}:
        return _HISTOGRAM
    raise TypeError(f"{name!r} holds values of more than one kind: {kinds}")


def _exact(value: Any, dtype: pl.DataType) -> Any:
    """Give one value in the Python type of its column; JSON spells 1.0 as 1."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, list):
        return [float(each) for each in value]
    if isinstance(value, dict):
        return {**value, "bins": [float(each) for each in value["bins"]]}
    return value if dtype == pl.Int64 else float(value)


def _shift(offline: OfflineRun, created_at: datetime) -> None:
    """Move the times of a run so that it begins when it is said to, and date its events."""
    later = created_at.timestamp() - offline.started
    for event in offline.events:
        event["_runtime"] = event["_timestamp"] - offline.started
    for row in (*offline.history, *offline.events, offline.summary):
        row["_timestamp"] += later


def _state(exit_code: int | None) -> str:
    """Give the state that W&B shows after an exit code."""
    if exit_code is None:
        return "crashed"
    if exit_code == _STOPPED_BY_HAND:
        return "killed"
    return "failed" if exit_code else "finished"


def _json(value: Any) -> Any:
    """Replace every number that is not finite by the string that W&B uses for it."""
    if isinstance(value, dict):
        return {name: _json(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_json(each) for each in value]
    if isinstance(value, float) and not isfinite(value):
        if isnan(value):
            return "NaN"
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _time(moment: datetime) -> str:
    """Spell a time as the wire does."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
