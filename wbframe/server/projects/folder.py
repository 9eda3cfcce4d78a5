"""Projects from folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from wbframe.errors import UsageError, did_you_mean
from wbframe.server.projects.rows import History
from wbframe.server.projects.store import COMPUTED, Project, RunRecord, Sweep
from wbframe.server.projects.taken import Folder, Taken
from wbframe.server.projects.wire import whole
from wbframe.text import legible

if TYPE_CHECKING:
    import os

__all__ = ["load_project"]

_LONGEST_NAME = 200
_MOST_CELLS, _LARGEST_UNPACKED = 100_000_000, 4 << 30

# What stands under a name: in words, and how it is told.
_Kind: TypeAlias = "tuple[str, Callable[[Any], bool]]"


def _or_null(kind: _Kind) -> _Kind:
    """Let it be null, too."""
    says, fits = kind
    return f"{says} or null", lambda value: value is None or fits(value)


def _is_index(value: Any) -> bool:
    """Tell whether a value has the form of `historyKeys`, so far as it is looked into."""
    if not isinstance(value, dict) or not isinstance(value.get("keys"), dict):
        return False
    if whole(value.get("lastStep", -1)) is None:
        return False
    infos = value["keys"].values()
    return all(isinstance(info, dict) and _are_counts(info.get("typeCounts")) for info in infos)


def _are_counts(value: Any) -> bool:
    """Tell whether a value lists types and counts."""
    return isinstance(value, list) and all(
        isinstance(each, dict)
        and isinstance(each.get("type"), str)
        and whole(each.get("count")) is not None
        for each in value
    )


def _is_count(value: Any) -> bool:
    """Tell whether a value is a whole number that GraphQL has."""
    return isinstance(value, int) and not isinstance(value, bool) and -(2**31) <= value < 2**31


def _is_user(value: Any) -> bool:
    """Tell whether a value is an object that names somebody."""
    return isinstance(value, dict) and all(
        isinstance(value.get(name), (str, type(None))) for name in ("name", "username")
    )


# Of a name is checked more than this, see `_check_name`.
_ANY: Final[_Kind] = ("anything", lambda _value: True)
_TEXT: Final[_Kind] = ("a text", lambda value: isinstance(value, str))
_YES_OR_NO: Final[_Kind] = ("true or false", lambda value: isinstance(value, bool))
_LIST: Final[_Kind] = ("a list", lambda value: isinstance(value, list))
_COUNT: Final[_Kind] = ("a whole number of 32 bits", _is_count)
_NO_COUNT, _NO_TEXT = _or_null(_COUNT), _or_null(_TEXT)
_NO_NUMBER: Final = _or_null(
    ("a number", lambda value: isinstance(value, (int, float)) and not isinstance(value, bool))
)
_NO_OBJECT: Final = _or_null(("an object", lambda value: isinstance(value, dict)))
_NO_TEXTS: Final = _or_null(
    (
        "a list of texts",
        lambda value: isinstance(value, list) and all(isinstance(each, str) for each in value),
    )
)
_INDEX: Final = _or_null(("an index of keys with their `typeCounts`", _is_index))
_USER: Final = _or_null(("an object with `name` and `username`", _is_user))

_RUN: Final = {
    "name": ("name", _ANY),
    "displayName": ("display_name", _NO_TEXT),
    "state": ("state", _NO_TEXT),
    "config": ("config", _ANY),
    "wandbConfig": ("wandb_config", _NO_OBJECT),
    "summaryMetrics": ("summary", _NO_OBJECT),
    "systemMetrics": ("system_metrics", _NO_OBJECT),
    "historyKeys": ("history_keys", _INDEX),
    "historyLineCount": ("history_line_count", _NO_COUNT),
    "createdAt": ("created_at", _TEXT),
    "heartbeatAt": ("heartbeat_at", _NO_TEXT),
    "updatedAt": ("updated_at", _NO_TEXT),
    "tags": ("tags", _NO_TEXTS),
    "group": ("group", _NO_TEXT),
    "jobType": ("job_type", _NO_TEXT),
    "sweepName": ("sweep", _NO_TEXT),
    "commit": ("commit", _NO_TEXT),
    "description": ("description", _NO_TEXT),
    "notes": ("notes", _NO_TEXT),
    "host": ("host", _NO_TEXT),
    "user": ("user", _USER),
    "runInfo": ("run_info", _NO_OBJECT),
    "computeSeconds": ("compute_seconds", _COUNT),
    "exitcode": ("exit_code", _NO_COUNT),
    "readOnly": ("read_only", _YES_OR_NO),
}
_SWEEP: Final = {
    "name": ("name", _ANY),
    "displayName": ("display_name", _NO_TEXT),
    "state": ("state", _TEXT),
    "method": ("method", _TEXT),
    "description": ("description", _NO_TEXT),
    "config": ("config", _TEXT),
    "bestLoss": ("best_loss", _NO_NUMBER),
    "runCountExpected": ("run_count_expected", _NO_COUNT),
    "createdAt": ("created_at", _TEXT),
    "updatedAt": ("updated_at", _NO_TEXT),
}
_PROJECT: Final = {
    "entity": ("entity", _ANY),
    "name": ("name", _ANY),
    "sweeps": ("sweeps", _LIST),
    "description": ("description", _TEXT),
    "readOnly": ("read_only", _YES_OR_NO),
    "bareTokens": ("bare_tokens", _YES_OR_NO),
    "floatSteps": ("float_steps", _YES_OR_NO),
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
        A file is missing, cannot be read or lies elsewhere by a link, or an object has a name or a
        value that it cannot have; it names the file and the place.
    """
    folder = Folder(path)
    file = folder.file("project.json")
    fields = _renamed(file.json(dict), _PROJECT, f"{file}")
    for name in ("entity", "name"):
        _check_name(fields.get(name), f"{file} needs {name!r}, a text")
    sweeps = []
    for number, each in enumerate(fields.get("sweeps", ())):
        about = _renamed(each, _SWEEP, f"{file}, sweep {number},")
        _check_name(about.get("name"), f"{file}, sweep {number}, is without a usable 'name'")
        sweeps.append(Sweep(**about))
    file = folder.file("runs.json")
    runs = [_run(each, folder, f"{file}, run {i},") for i, each in enumerate(file.json(list))]
    try:
        return Project(**{**fields, "sweeps": tuple(sweeps), "runs": tuple(runs)})
    except UsageError as error:
        raise UsageError(f"{folder}: {error}") from None


def _check_name(name: Any, says: str) -> None:
    """Refuse what cannot be a part of a path and of a file's name."""
    usable = isinstance(name, str) and 0 < len(name.encode("utf-8", "replace")) <= _LONGEST_NAME
    if not usable or "/" in name or "\\" in name or not name.isprintable() or name in {".", ".."}:
        raise UsageError(f"{says}: {name!r:.80}")


def _run(about: Any, folder: Folder, where: str) -> RunRecord:
    """Read one run and its files."""
    fields = _renamed(about, _RUN, where)
    name = fields.get("name")
    _check_name(name, f"{where} is without a usable 'name'")
    fields["tags"] = tuple(fields.get("tags") or ())
    fields.setdefault("history_keys", COMPUTED)
    return RunRecord(
        **fields,
        history=_history(folder, "history", str(name)),
        events=_history(folder, "events", str(name), stepped=False),
    )


def _renamed(about: Any, names: Mapping[str, tuple[str, _Kind]], where: str) -> dict[str, Any]:
    """Translate the wire's names to ours, and check what stands under them."""
    if not isinstance(about, dict):
        raise UsageError(f"{where} holds {about!r:.60} where an object must be")
    for name, value in about.items():
        if name not in names:
            raise UsageError(
                f"{where} has an unknown name {name!r:.80}.{did_you_mean(name[:80], names)}"
            )
        says, fits = names[name][1]
        if not fits(value):
            raise UsageError(f"{where} has {value!r:.60} as {name!r}; it is {says}")
    return {names[name][0]: value for name, value in about.items()}


def _history(folder: Folder, kind: str, name: str, *, stepped: bool = True) -> History:
    """Read the rows of a run from whichever file there is."""
    typed, loose = (folder.file(kind, f"{name}.{ending}") for ending in ("parquet", "json"))
    try:
        if typed.exists:
            return History(map(_without_nulls, _typed_rows(typed)), stepped=stepped)
        if loose.exists:
            rows = loose.json(list)
            return History(_objects(rows), stepped=stepped)
    except UsageError as error:
        file = typed if typed.exists else loose
        raise UsageError(str(error) if str(file) in str(error) else f"{file}: {error}") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"{typed} has a value that JSON has not: {legible(str(error))}") from None
    return History(stepped=stepped)


def _objects(rows: list[Any]) -> list[dict[str, Any]]:
    """Check rows of a JSON file."""
    if not all(isinstance(row, dict) for row in rows):
        raise UsageError("it must hold a list of row objects")
    return rows


def _typed_rows(file: Taken) -> list[dict[str, Any]]:
    """Read rows of a parquet file, where they are so many that this can be done."""
    content = file.read()
    try:
        about = pq.read_metadata(pa.BufferReader(content))
        size = sum(about.row_group(group).total_byte_size for group in range(about.num_row_groups))
        cells = about.num_rows * max(about.num_columns, 1)
        if cells <= _MOST_CELLS and size <= _LARGEST_UNPACKED:
            return pl.read_parquet(BytesIO(content)).to_dicts()
    except (
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
        pa.ArrowException,
        OSError,
        ValueError,
    ) as error:
        raise UsageError(f"{file} is no parquet file: {legible(str(error))[:300]}") from None
    raise UsageError(
        f"{file} has {about.num_rows:,} rows of {about.num_columns:,} columns, {size:,} bytes;"
        f" {_MOST_CELLS:,} cells and {_LARGEST_UNPACKED:,} bytes are read at most"
    )


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    """Drop what is null in a typed row, also inside structs."""
    return {
        key: _without_nulls(value) if isinstance(value, Mapping) else value
        for key, value in row.items()
        if value is not None
    }
