"""Paths: which project, sweep or run a call is about."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, unquote_plus, urlsplit

from wbframe.core.model import RunPath, RunPaths
from wbframe.errors import ColumnError, PathError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "FORMS",
    "describe",
    "name_of",
    "parse_path",
    "parse_paths",
    "path_at",
    "paths_of",
    "run_of",
]

FORMS = (
    "'entity/project'",
    "'project'",
    "'entity/project/sweeps/<id>'",
    "'entity/project/runs/<id>'",
    "'entity/project/<id>'",
    "the https:// address of any of these in the web app",
    "or a list of these",
)

# Pages of a project in the web app; those of runs and sweeps may have any below them.
_PAGES = frozenset(
    {
        "artifacts",
        "automations",
        "charts",
        "code",
        "files",
        "groups",
        "jobs",
        "launch",
        "logs",
        "overview",
        "reports",
        "runs",
        "settings",
        "sweeps",
        "system",
        "table",
        "workspace",
    }
)
# Pages that are about something else than runs; what to read in its place.
_OTHERS = {
    "groups": "a group of runs: read {project!r} with filters={{'group': {name!r}}}",
    "reports": "a report: read its project {project!r}, or the runs that it shows by their own addresses",
    "artifacts": "an artifact: read its project {project!r}, or the run that logged it by its own address",
    "weave": "a page of Weave, which has no runs: those of the project are read by {project!r}",
    "models": "a model: read its project {project!r}, or the run that logged it by its own address",
}
# Since wandb 0.31 the SaaS has this second name, with its pages below a path.
_APP_PREFIXES = {"forge.coreweave.com": "/wandb"}
_SERVICE = frozenset({"wandb.ai", "www.wandb.ai", *_APP_PREFIXES})
# Of polars and pandas; by name, since paths need neither.
_FRAMES = frozenset({"DataFrame", "LazyFrame"})
_LONGEST = 200  # characters of a path in a message
# Halves of surrogate pairs too, which nobody can send: a shell gives them for bytes that are no UTF-8.
_BAD_PART = re.compile(r"[\x00-\x1f?#\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x1f\ud800-\udfff]")
# `.`, `~`, a drive, a backslash, or a folder that the SDK has named.
_FOLDER = re.compile(
    r"\.{1,2}([/\\]|$)|~|[A-Za-z]:[/\\]|file:|.*\\|(.*/)?(offline-)?run-\d{8}_\d{6}-|(.*/)?run-[^/]*\.wandb$"
)
# What an address begins with that lacks its `https://`: entities have neither dots nor colons.
_HOST = re.compile(
    rf"({'|'.join(map(re.escape, sorted(_SERVICE)))}|localhost|[^/@]+:\d+)/[^/]+/[^/]"
)


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
    if hasattr(path, "__fspath__"):
        raise _folder(path)
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
    if hasattr(path, "__fspath__") or (isinstance(path, str) and _FOLDER.match(path.strip())):
        raise _folder(path)
    if not isinstance(path, str):
        raise _wrong(path)
    if "://" in path:
        return _parse_address(path)
    if _HOST.match(path.strip()):
        raise PathError(
            f"{_shown(path)} is an address without its https://, or http://; write it whole"
        )
    parts = path.strip().strip("/").split("/")
    if any(_BAD_PART.search(part) for part in parts):
        raise _wrong(path)
    # A name holds no `%`, so this one was copied from an address.
    found = _from_parts([unquote(part) for part in parts], path)
    if found is None:
        raise _folder(path) if path.strip().startswith("/") and any(parts) else _wrong(path)
    return found


def _from_parts(parts: list[str], path: str, host: str | None = None) -> RunPath | None:
    """Match the parts of a path with the known forms; None if it has none.

    Raises
    ------
    PathError
        If it is the address of something else.
    """
    if not all(part.strip() and not _CONTROL.search(part) for part in parts):
        return None
    match parts:
        case [project] if host is None:
            return RunPath(project=project)
        case [entity, "projects", *_] if host is not None:
            raise PathError(
                f"{_shown(path)} is the page of {entity!r}, not of a project: name one, as '{entity}/<project>'"
            )
        case ["links", _, _] if host is not None:
            raise PathError(
                f"{_shown(path)} is a link to a report: read its project, as 'entity/project'"
            )
        case [entity, project]:
            return RunPath(entity=entity, project=project, host=host)
        case [entity, project, "runs"]:
            return RunPath(entity=entity, project=project, host=host)
        case [entity, project, "runs", run, *_]:
            return RunPath(entity=entity, project=project, run=run, host=host)
        case [entity, project, "sweeps", sweep, *_]:
            return RunPath(entity=entity, project=project, sweep=sweep, host=host)
        case [entity, project, kind, name, *_] if kind in _OTHERS:
            said = _OTHERS[kind].format(project=f"{entity}/{project}", name=name)
            raise PathError(f"{_shown(path)} is that of {said}")
        case [entity, project, page, *_] if host is not None and page in _PAGES:
            return RunPath(entity=entity, project=project, host=host)
        case [entity, project, "weave"] if host is not None:
            said = _OTHERS["weave"].format(project=f"{entity}/{project}")
            raise PathError(f"{_shown(path)} is that of {said}")
        case [entity, project, run] if run != "sweeps":
            return RunPath(entity=entity, project=project, run=run, host=host)
        case [entity, project, run, page, *_] if host is None and page in _PAGES:
            return RunPath(entity=entity, project=project, run=run)
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
    page = tuple(
        unquote_plus(part) for part in split.path.removeprefix(prefix).strip("/").split("/")
    )
    host = split.netloc.rpartition("@")[2].lower()
    # The app may lie below a path, as only the client knows; that of the service does not.
    starts = range(1 if split.hostname in _SERVICE else len(page))
    tried = (_from_parts([*page[start:]], address, host) for start in starts)
    found = next((each for each in tried if each is not None), None)
    if found is None:
        raise _wrong(address)
    return replace(found, page=page)


def path_at(path: RunPath, prefix: str) -> RunPath:
    """Read an address anew, of an app that lies below a path of its host.

    Raises
    ------
    PathError
        If it has none of the known forms.

    Examples
    --------
    >>> path = parse_path("https://host.example/wandb/ent/proj")
    >>> path_at(path, "/wandb").project, path.project
    ('proj', 'ent')
    """
    below = tuple(unquote_plus(part) for part in prefix.strip("/").split("/") if part)
    page = path.page
    address = f"https://{path.host}/{'/'.join(page)}"
    if below and page[: len(below)] == below:
        page = page[len(below) :]
    found = _from_parts([*page], address, path.host)
    if found is None:
        raise _wrong(address)
    return replace(found, page=path.page)


def _folder(path: object) -> PathError:
    """Make the error for a path of the file system."""
    return PathError(
        f"{_shown(path)} is the path of a folder; offline folders are not read yet: `wandb sync` uploads"
        " them, and then their project is read, as 'entity/project'"
    )


def _wrong(path: object) -> PathError:
    """Make the error that shows the forms."""
    return PathError(f"cannot read the path {_shown(path)}; a path is one of: {', '.join(FORMS)}")


def _shown(path: object) -> str:
    """Show a path: on one line, not too long, without what an address may hold of users, keys and signatures."""
    if isinstance(path, str):
        path = re.sub(r"(?<=//)[^/]*@", "", path.split("?")[0])
    shown = " ".join(repr(path).split())
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."


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
