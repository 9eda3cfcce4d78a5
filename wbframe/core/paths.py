"""Paths: which project, sweep or run a call is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

from wbframe.core.model import RunPath, RunPaths
from wbframe.errors import ColumnError, PathError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["FORMS", "describe", "name_of", "parse_path", "parse_paths", "paths_of", "run_of"]

FORMS = (
    "'entity/project'",
    "'project'",
    "'entity/project/sweeps/<id>'",
    "'entity/project/runs/<id>'",
    "'entity/project/<id>'",
    "the https:// address of any of these in the web app",
    "or a list of these",
)

# Tabs of the web app that may follow what an address is about.
_TABS = frozenset(
    {
        "workspace",
        "table",
        "overview",
        "charts",
        "logs",
        "files",
        "system",
        "artifacts",
        "code",
        "sweeps",
    }
)
# Since wandb 0.31 the SaaS has this second name, with its pages below a path.
_APP_PREFIXES = {"forge.coreweave.com": "/wandb"}
# Of polars and pandas; by name, since paths need neither.
_FRAMES = frozenset({"DataFrame", "LazyFrame"})
_LONGEST = 200  # characters of a path in a message
_BAD_PART = re.compile(r"[\x00-\x1f?#]")


def parse_paths(path: str | RunPath | Iterable[str | RunPath]) -> tuple[RunPath, ...]:
    """Parse one path or several.

    Parameters
    ----------
    path
        A path of one of the known forms, or an iterable of them.

    Returns
    -------
    tuple of RunPath
        In the order given, each once.

    Raises
    ------
    PathError
        If one has none of the known forms, or if there is none at all.

    Examples
    --------
    >>> parse_paths("ent/proj/sweeps/ab12")[0].sweep
    'ab12'
    """
    if isinstance(path, RunPaths):
        return tuple(dict.fromkeys(path))
    if isinstance(path, str | RunPath):
        return (parse_path(path),)
    if any(each.__name__ in _FRAMES for each in type(path).__mro__):
        raise PathError(
            "`path` is a frame; the runs that a frame names are read by"
            " `frame.wandb.histories(...)` and `frame.wandb.runs(...)`"
        )
    if isinstance(path, Mapping | bytes):
        raise _wrong(path)
    try:
        several = list(path)
    except TypeError:
        raise _wrong(path) from None
    if not several:
        msg = f"`path` is an empty list; give at least one of: {', '.join(FORMS)}"
        raise PathError(msg)
    return tuple(dict.fromkeys(parse_path(each) for each in several))


def parse_path(path: str | RunPath) -> RunPath:
    """Parse one path of any known form; see `parse_paths`."""
    if isinstance(path, RunPath):
        return path
    if not isinstance(path, str):
        raise _wrong(path)
    if "://" in path:
        return _parse_address(path)
    parts = path.strip().strip("/").split("/")
    found = None if any(_BAD_PART.search(part) for part in parts) else _from_parts(parts)
    if found is None:
        raise _wrong(path)
    return found


def _from_parts(parts: list[str], host: str | None = None) -> RunPath | None:
    """Match the parts of a path with the known forms."""
    if not all(part.strip() for part in parts):
        return None
    match parts:
        case [project]:
            return RunPath(project=project, host=host)
        case [entity, project]:
            return RunPath(entity=entity, project=project, host=host)
        case [entity, project, "runs", run] | [entity, project, run] if run not in {
            "runs",
            "sweeps",
        }:
            return RunPath(entity=entity, project=project, run=run, host=host)
        case [entity, project, "sweeps", sweep]:
            return RunPath(entity=entity, project=project, sweep=sweep, host=host)
    return None


def _parse_address(address: str) -> RunPath:
    """Parse the address of a page of the web app."""
    try:
        split = urlsplit(address.strip())
    except ValueError:
        raise _wrong(address) from None
    if split.scheme not in {"http", "https"} or not split.hostname:
        raise _wrong(address)
    prefix = _APP_PREFIXES.get(split.hostname, "")
    # The SDK spells a blank in an address `+` up to 0.19, and `%20` in 0.31.
    parts = [unquote_plus(part) for part in split.path.removeprefix(prefix).strip("/").split("/")]
    if len(parts) in {3, 5} and parts[-1] in _TABS:
        parts = parts[:-1]
    found = _from_parts(parts, split.netloc.rpartition("@")[2].lower()) if len(parts) > 1 else None
    if found is None:
        raise _wrong(address)
    return found


def _wrong(path: object) -> PathError:
    """Make the error that shows the forms."""
    shown = " ".join(repr(path if not isinstance(path, str) else path.split("?")[0]).split())
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
    return PathError(f"cannot read the path {shown}; a path is one of: {', '.join(FORMS)}")


def name_of(path: RunPath) -> str:
    """Give `entity/project`."""
    return f"{path.entity}/{path.project}"


def run_of(path: RunPath, run_id: str) -> str:
    """Name a run."""
    return f"{name_of(path)}/{run_id}"


def describe(paths: Iterable[RunPath]) -> str:
    """Name the projects of several paths."""
    return ", ".join(dict.fromkeys(name_of(path) for path in paths))


def projects_of(paths: Iterable[RunPath]) -> tuple[RunPath, ...]:
    """Give the whole projects of several paths, each once."""
    return tuple(dict.fromkeys(replace(each, run=None, sweep=None) for each in paths))


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
