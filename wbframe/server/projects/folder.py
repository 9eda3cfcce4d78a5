"""Projects from folders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.errors import UsageError, did_you_mean
from wbframe.server.projects.rows import History
from wbframe.server.projects.store import COMPUTED, Project, RunRecord, Sweep

if TYPE_CHECKING:
    import os

__all__ = ["load_project"]

_RUN = {
    "name": "name",
    "displayName": "display_name",
    "state": "state",
    "config": "config",
    "wandbConfig": "wandb_config",
    "summaryMetrics": "summary",
    "systemMetrics": "system_metrics",
    "historyKeys": "history_keys",
    "historyLineCount": "history_line_count",
    "createdAt": "created_at",
    "heartbeatAt": "heartbeat_at",
    "updatedAt": "updated_at",
    "tags": "tags",
    "group": "group",
    "jobType": "job_type",
    "sweepName": "sweep",
    "commit": "commit",
    "description": "description",
    "notes": "notes",
    "host": "host",
    "user": "user",
    "runInfo": "run_info",
    "computeSeconds": "compute_seconds",
    "exitcode": "exit_code",
    "readOnly": "read_only",
}
_SWEEP = {
    "name": "name",
    "displayName": "display_name",
    "state": "state",
    "method": "method",
    "description": "description",
    "config": "config",
    "bestLoss": "best_loss",
    "runCountExpected": "run_count_expected",
    "createdAt": "created_at",
    "updatedAt": "updated_at",
}
_PROJECT = {
    "entity": "entity",
    "name": "name",
    "sweeps": "sweeps",
    "description": "description",
    "readOnly": "read_only",
    "bareTokens": "bare_tokens",
    "floatSteps": "float_steps",
}


def load_project(path: str | os.PathLike[str]) -> Project:
    """Read a project from a folder.

    ::

        project.json              {"entity", "name", "sweeps": [...], "description", "readOnly",
                                   "bareTokens", "floatSteps"}; the last five may be left out
        runs.json                 a list of runs
        history/<run id>.parquet  or .json: the rows of a run; a run without a file has none
        events/<run id>.parquet   or .json: its machine metrics

    A run has the wire's names: ``name`` (the run id; the only one that must be there),
    ``displayName``, ``state``, ``config`` (a plain object without ``{"value": ...}``),
    ``wandbConfig``, ``summaryMetrics``, ``systemMetrics``, ``historyKeys``, ``historyLineCount``,
    ``createdAt``, ``heartbeatAt``, ``updatedAt``, ``tags``, ``group``, ``jobType``, ``sweepName``,
    ``commit``, ``description``, ``notes``, ``host``, ``user`` (``{"name", "username"}``),
    ``runInfo``, ``computeSeconds``, ``exitcode``, ``readOnly``. A sweep has ``name``,
    ``displayName``, ``state``, ``method``, ``description``, ``config`` (YAML text), ``bestLoss``,
    ``runCountExpected``, ``createdAt``, ``updatedAt``. Summary, machine metrics, key index and line
    count are computed from the rows where they are left out.

    A parquet file is wide and typed: a null is a key that was not logged in that row, structs and
    lists become JSON, a struct's null fields are dropped. A JSON file is a list of row objects; it
    may hold ``NaN`` tokens, and a null in it was logged.

    Parameters
    ----------
    path
        The folder.

    Raises
    ------
    UsageError
        A file is missing or cannot be read, or an object has a name that it cannot have.
    """
    folder = Path(path)
    about = _read_json(folder / "project.json", dict)
    fields = _renamed(about, _PROJECT, folder / "project.json")
    for name in ("entity", "name"):
        if not isinstance(fields.get(name), str):
            raise UsageError(f"{folder / 'project.json'} needs {name!r}, a text")
    sweeps = (
        tuple(Sweep(**_renamed(each, _SWEEP, folder / "project.json")) for each in fields["sweeps"])
        if "sweeps" in fields
        else ()
    )
    runs = tuple(_run(each, folder) for each in _read_json(folder / "runs.json", list))
    return Project(**{**fields, "sweeps": sweeps, "runs": runs})


def _run(about: Any, folder: Path) -> RunRecord:
    """Read one run and its files."""
    fields = _renamed(about, _RUN, folder / "runs.json")
    name = fields.get("name")
    if not isinstance(name, str) or not name or "/" in name:
        raise UsageError(f"{folder / 'runs.json'} has a run without a usable 'name': {name!r}")
    fields["tags"] = tuple(fields.get("tags") or ())
    fields.setdefault("history_keys", COMPUTED)
    return RunRecord(
        **fields,
        history=History(_rows(folder / "history", name)),
        events=History(_rows(folder / "events", name), stepped=False),
    )


def _renamed(about: Any, names: Mapping[str, str], where: Path) -> dict[str, Any]:
    """Translate the wire's names to ours."""
    if not isinstance(about, dict):
        raise UsageError(f"{where} holds {about!r:.60} where an object must be")
    for name in about:
        if name not in names:
            raise UsageError(f"{where} has an unknown name {name!r}.{did_you_mean(name, names)}")
    return {names[name]: value for name, value in about.items()}


def _read_json(path: Path, kind: type) -> Any:
    """Read a JSON file that holds an object or a list; bare NaN tokens are fine."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise UsageError(f"no file {path}; a project folder has it") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
    if not isinstance(value, kind):
        raise UsageError(f"{path} must hold a JSON {'object' if kind is dict else 'list'}")
    return value


def _rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Read the rows of a run from whichever file there is."""
    typed, loose = folder / f"{name}.parquet", folder / f"{name}.json"
    if typed.exists():
        try:
            rows = pl.read_parquet(typed).to_dicts()
        except pl.exceptions.PolarsError as error:
            raise UsageError(f"{typed} is no parquet file: {error}") from None
        return [_without_nulls(row) for row in rows]
    if loose.exists():
        rows = list(_read_json(loose, list))
        if not all(isinstance(row, dict) for row in rows):
            raise UsageError(f"{loose} must hold a list of row objects")
        return rows
    return []


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what is null in a typed row, also inside structs."""
    return {
        key: _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in row.items()
        if value is not None
    }
