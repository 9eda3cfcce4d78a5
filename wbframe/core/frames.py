"""From the rows of a frame to the runs that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wbframe.core.model import RunPath, RunPaths
from wbframe.core.paths import parse_path
from wbframe.errors import ColumnError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def paths_of(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[str], path: str | None
) -> RunPaths:
    """Give the paths of the runs that rows name.

    Parameters
    ----------
    rows
        Each with `run_id`, and with `entity` and `project` unless `path` is given.
    columns
        The names that the rows have.
    path
        ``"entity/project"`` for rows without these columns.

    Raises
    ------
    ColumnError
        If a column is missing.
    UsageError
        If a run id, or the name of its project, is null or no text.
    """
    if "run_id" not in columns:
        raise ColumnError(
            "the frame has no column 'run_id', which names the runs; keep it when you select columns"
        )
    base = None if path is None else parse_path(path)
    if base is not None and (base.run or base.sweep):
        raise UsageError(
            f"`path` must be 'entity/project' here: the frame names the runs; got {path!r}"
        )
    needed = ["run_id"] if base is not None else ["entity", "project", "run_id"]
    missing = " and ".join(repr(name) for name in needed if name not in columns)
    if missing:
        raise ColumnError(f"the frame lacks {missing}; pass path='entity/project'")
    found = []
    for row in rows:
        for name in needed:
            _check_text(name, row[name])
        entity = row["entity"] if base is None else base.entity
        project = row["project"] if base is None else base.project
        found.append(RunPath(entity=entity, project=project, run=row["run_id"]))
    return RunPaths(found)


def _check_text(name: str, value: object) -> None:
    """Refuse what cannot name a run."""
    if value is None:
        raise UsageError(f"the frame has a row whose {name!r} is null; drop it first")
    if not isinstance(value, str):
        kind = type(value).__name__
        raise UsageError(f"the frame's {name!r} must be text; got {value!r} of {kind}")
