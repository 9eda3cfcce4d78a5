"""Columns: their names, dtypes and order, from indices and not from data."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.cells import UTC_TIME
from wbframe.core.graphql import NodeFields
from wbframe.errors import ColumnError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wbframe.core.model import HistoryScan

# Column of the runs frame -> (dtype, GraphQL fields to select for it), in the order of the frame.
RUN_COLUMNS: dict[str, tuple[pl.DataType, str]] = {
    "entity": (pl.String(), ""),
    "project": (pl.String(), ""),
    "run_id": (pl.String(), "name"),
    "name": (pl.String(), "displayName"),
    "state": (pl.String(), "state"),
    "created_at": (UTC_TIME, "createdAt"),
    "heartbeat_at": (UTC_TIME, "heartbeatAt"),
    "user": (pl.String(), "user { name username }"),
    "group": (pl.String(), "group"),
    "job_type": (pl.String(), "jobType"),
    "sweep": (pl.String(), "sweepName"),
    "tags": (pl.List(pl.String()), "tags"),
    "notes": (pl.String(), "notes"),
    "commit": (pl.String(), "commit"),
    "history_line_count": (pl.Int64(), "historyLineCount"),
}

# Logged keys that are metadata of the row rather than of the user, in historyKeys and in rows.
SYSTEM_PREFIXES = ("system/", "system.")
STEP = "_step"
# The columns of machine metrics that stand in place of `_step`.
SYSTEM_LEAD = ("_runtime", "_timestamp")

_NUMBER = frozenset({"number"})
_TEXT = frozenset({"string"})
_BOOL = frozenset({"bool"})
# Spellings of types in `project.fields` -> historyKeys' vocabulary.
_FIELD_TYPES = {
    "number": "number", "int": "number", "integer": "number", "float": "number", "int64": "number",
    "string": "string", "text": "string", "boolean": "bool", "bool": "bool", "null": "nil", "nil": "nil",
}  # fmt: skip

# What the SDK itself keeps among the keys.
HIDDEN = {"config": frozenset({"_wandb", "wandb_version"}), "summary": frozenset({"_wandb"})}

Types = frozenset[str]
Index = dict[str, Types]


def dtype_of(types: Types) -> pl.DataType:
    """Give the dtype of a key that was seen with these types.

    Examples
    --------
    >>> dtype_of(frozenset({"number", "nil"}))
    Float64
    >>> dtype_of(frozenset({"number", "string"}))
    String
    """
    kinds = types - {"nil"}
    if kinds == _NUMBER or not kinds:
        return pl.Float64()
    return pl.Boolean() if kinds == _BOOL else pl.String()


def is_mixed(types: Types) -> bool:
    """Tell whether text among numbers may be no more than spelled-out NaN and infinities."""
    return types - {"nil"} == _NUMBER | _TEXT


def merge_index(into: Index, more: Mapping[str, Iterable[str]]) -> None:
    """Add names and types to an index."""
    for name, types in more.items():
        into[name] = into.get(name, frozenset()) | frozenset(types)


# ---------------------------------------------------------------- the runs frame


def index_of_fields(pairs: Iterable[tuple[str, str | None]]) -> Index:
    """Turn `project.fields` into column names of the runs frame and their types.

    Examples
    --------
    >>> index_of_fields([("config.opt.value.name", "string")])
    {'config.opt.name': frozenset({'string'})}
    """
    found: Index = {}
    for path, kind in pairs:
        name = _column_of_field(path)
        if name is not None:
            merge_index(found, {name: (_FIELD_TYPES.get((kind or "").lower(), "json"),)})
    return found


def _column_of_field(path: str) -> str | None:
    """Give the column of one path of the index; None if it is no config or summary key."""
    head, dot, rest = path.partition(".")
    if not dot:
        return None
    if head == "config":
        nested = ".value." in rest
        rest = rest.replace(".value.", ".", 1) if nested else rest.removesuffix(".value")
    elif head in {"summary_metrics", "summaryMetrics", "summary"}:
        head = "summary"
    else:
        return None
    return None if rest.split(".")[0] in HIDDEN[head] else f"{head}.{rest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsSchema:
    """The promised columns of a runs frame.

    Attributes
    ----------
    columns
        Name -> dtype, in the order of the frame.
    open
        Whether keys that no index named are columns as well.
    """

    columns: Mapping[str, pl.DataType]
    open: bool = False

    def leaves(self) -> dict[str, pl.DataType]:
        """Give the config and summary columns."""
        return {name: dtype for name, dtype in self.columns.items() if name not in RUN_COLUMNS}

    def fields(self, *, extra: Sequence[str] = ()) -> NodeFields:
        """Give what must be selected of each run for these columns."""
        names = [*self.columns, *extra]
        plain = dict.fromkeys(
            ["name", *(RUN_COLUMNS[each][1] for each in names if each in RUN_COLUMNS)]
        )
        return NodeFields(
            plain=tuple(each for each in plain if each),
            config=None if self.open else _top_level(names, "config."),
            summary=None if self.open else _top_level(names, "summary."),
        )


def _top_level(names: Iterable[str], prefix: str) -> tuple[str, ...]:
    """Give every top-level key that may hold one of the columns; dots may nest or belong to the key."""
    found: dict[str, None] = {}
    for name in names:
        if name.startswith(prefix):
            parts = name.removeprefix(prefix).split(".")
            found.update(dict.fromkeys(".".join(parts[: i + 1]) for i in range(len(parts))))
    return tuple(found)


def needs_index(columns: Sequence[str] | None) -> bool:
    """Tell whether the index of fields is needed to know these columns."""
    return columns is None or any(name not in RUN_COLUMNS for name in columns)


def check_columns(
    columns: Sequence[str] | str | None, *, argument: str = "columns"
) -> tuple[str, ...] | None:
    """Check what can be known of the names before any request.

    Raises
    ------
    UsageError
        If they are no list of names.
    ColumnError
        If no runs frame can have such a column.
    """
    if columns is None:
        return None
    listed = isinstance(columns, Iterable) and not isinstance(columns, str)
    if not listed or not all(isinstance(each, str) for each in columns):
        raise UsageError(f"`{argument}` must be a list of column names or globs; got {columns!r}")
    if not columns and argument == "columns":
        raise UsageError("`columns` must name a column at the least, or be None for all; got []")
    for name in columns:
        if name in RUN_COLUMNS or name.startswith(("config.", "summary.")):
            continue
        if not _is_glob(name) or not _could_match(name):
            raise unknown_column(name, argument=argument)
    return tuple(dict.fromkeys(columns))


def unknown_column(name: str, *, argument: str) -> ColumnError:
    """Make the error for a name that no runs frame has, whatever its configs and summaries are."""
    hint = did_you_mean(name, RUN_COLUMNS)
    if not hint and not _is_glob(name):
        hint = f" A config or summary key is 'config.{name}' or 'summary.{name}'."
    known = ", ".join(RUN_COLUMNS)
    return ColumnError(
        f"`{argument}`: no column {name!r} in a runs frame.{hint} It has {known}, config.*, summary.*"
    )


def _is_glob(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _could_match(glob: str) -> bool:
    """Tell whether a glob can match a metadata, config or summary column."""
    if any(fnmatch.fnmatchcase(name, glob) for name in RUN_COLUMNS):
        return True
    literal = re.split(r"[*?\[]", glob, maxsplit=1)[0]
    return any(
        each.startswith(literal) or literal.startswith(each) for each in ("config.", "summary.")
    )


def runs_schema(
    columns: Sequence[str] | None,
    index: Index | None,
    overrides: Mapping[str, pl.DataType],
    *,
    where: str = "the project",
    complete: bool = True,
) -> RunsSchema:
    """Resolve names and globs against the index.

    Parameters
    ----------
    columns
        Names and globs in the order wanted; None for all.
    index
        The config and summary columns that exist; None if no index could be had,
        in which case columns come from the runs themselves.
    overrides
        Dtypes that win over the index.
    where
        The project, for messages.
    complete
        Whether a column outside the index is known to exist in no run.

    Raises
    ------
    ColumnError
        If a name, or every match of a glob, is in neither the metadata nor the index, or an override is not.
    """
    known = {**{name: dtype for name, (dtype, _) in RUN_COLUMNS.items()}}
    for name in _in_frame_order(index or {}):
        known[name] = dtype_of((index or {})[name])
    if columns is None:
        names: Iterable[str] = known
    else:
        names = dict.fromkeys(
            match
            for each in columns
            for match in _matches(each, known, index is None or not complete, where)
        )
    found = {name: overrides.get(name, known.get(name, pl.Float64())) for name in names}
    if complete and index:
        for name in overrides.keys() - known.keys():
            msg = f"`schema_overrides`: no column {name!r} in the runs of {where}.{did_you_mean(name, known)}"
            raise ColumnError(msg)
    # An index may lag behind the runs: whoever reads all columns gets also those that it does not name.
    is_open = columns is None or (index is None and any(_is_glob(each) for each in columns))
    return RunsSchema(columns=found, open=is_open)


def _matches(name: str, known: Mapping[str, pl.DataType], unindexed: bool, where: str) -> list[str]:  # noqa: FBT001
    """Expand one name or glob; an exact name wins over a glob of the same spelling."""
    if name in known:
        return [name]
    if _is_glob(name):
        found = [each for each in known if fnmatch.fnmatchcase(each, name)]
        if found or unindexed or name in {"config.*", "summary.*"}:
            return found
    elif unindexed:
        return [name]
    msg = f"no column {name!r} in the runs of {where}.{did_you_mean(name, known)}"
    raise ColumnError(msg)


def _in_frame_order(names: Iterable[str]) -> list[str]:
    """Sort config columns before summary columns, each by name."""
    return sorted(names, key=lambda name: (not name.startswith("config."), name))


# ---------------------------------------------------------------- the histories frame


@dataclass(frozen=True, slots=True, kw_only=True)
class HistorySchema:
    """The promised columns of a histories frame.

    Attributes
    ----------
    keys
        Logged key -> dtype, in the order of the frame (after `run_id` and `lead`).
    lead
        The columns between `run_id` and the keys: `_step`, or the clock of the system stream.
    run_columns
        Columns of the runs frame that are repeated beside each row.
    names
        Logged key -> its column, where another column has taken its name.
    """

    keys: Mapping[str, pl.DataType]
    lead: Mapping[str, pl.DataType]
    run_columns: Mapping[str, pl.DataType] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """Name -> dtype of the whole frame, in order."""
        keys = {self.names.get(key, key): dtype for key, dtype in self.keys.items()}
        return {"run_id": pl.String(), **self.lead, **keys, **self.run_columns}


def history_schema(
    scan: HistoryScan,
    index: Index,
    run_columns: Mapping[str, pl.DataType],
    *,
    where: str,
    complete: bool = True,
) -> HistorySchema:
    """Decide the columns of a histories frame.

    Parameters
    ----------
    scan
        What is asked.
    index
        The keys that the runs have logged, and their types.
    run_columns
        The columns to repeat beside each row.
    where
        The projects, for messages.
    complete
        Whether a key outside the index is known to be logged nowhere.

    Raises
    ------
    ColumnError
        If a key, or a name in the overrides, was logged by no run.
    """
    strict = complete and bool(index)
    system = scan.stream == "system"
    asked = scan.keys
    if asked is not None and system:
        asked = tuple(dict.fromkeys(system_spelling(key) for key in asked))
        asked = tuple(key for key in asked if key not in SYSTEM_LEAD)
    keys = choose_keys(asked, index, where=where, strict=strict)

    def dtype(key: str) -> pl.DataType:
        return scan.overrides.get(key, dtype_of(index.get(key, frozenset())))

    if system:
        lead = {name: dtype(name) for name in SYSTEM_LEAD}
    else:
        lead = {STEP: pl.Int64()}
        if scan.x_axis != STEP:
            choose_keys((scan.x_axis,), index, where=where, strict=strict)
            lead[scan.x_axis] = dtype(scan.x_axis)
    if strict:
        known = {*index, *lead, *run_columns}
        for name in scan.overrides:
            if name not in known and not name.startswith(("config.", "summary.")):
                msg = f"`schema_overrides`: no run of {where} has logged {name!r}.{did_you_mean(name, known)}"
                raise ColumnError(msg)
    typed = {key: dtype(key) for key in keys if key not in lead}
    taken = {"run_id", *lead, *run_columns}
    names: dict[str, str] = {}
    for key in typed:
        if key in taken:
            name = f"history.{key}"
            while name in typed or name in taken:
                name = f"history.{name}"
            names[key] = name
    return HistorySchema(keys=typed, lead=lead, run_columns=run_columns, names=names)


def system_column(key: str) -> str:
    """Spell a machine metric of historyKeys as it stands in the rows: ``system.<name>``.

    Examples
    --------
    >>> system_column("system/cpu"), system_column("system/system.load1")
    ('system.cpu', 'system.system.load1')
    """
    for prefix in SYSTEM_PREFIXES:
        if key.startswith(prefix):
            return f"system.{key.removeprefix(prefix)}"
    return key


def system_spelling(key: str) -> str:
    """Give the column (or glob) that a machine metric asked for in any spelling means.

    Examples
    --------
    >>> system_spelling("cpu"), system_spelling("system/gpu*")
    ('system.cpu', 'system.gpu*')
    """
    if key in SYSTEM_LEAD or key.startswith(SYSTEM_PREFIXES):
        return system_column(key)
    return f"system.{key}"


def choose_keys(
    keys: Sequence[str] | None, known: Iterable[str], *, where: str, strict: bool = True
) -> tuple[str, ...]:
    """Resolve the keys asked for, which may be globs, against those that the runs have logged.

    Raises
    ------
    ColumnError
        If none of the runs has logged a key, and `strict`.
    """
    names = sorted(set(known) - {STEP})
    if keys is None:
        return tuple(names)
    there = set(names)
    chosen: dict[str, None] = {}
    for key in keys:
        if key == STEP:
            continue
        matches = (
            [key]
            if key in there
            else [n for n in names if _is_glob(key) and fnmatch.fnmatchcase(n, key)]
        )
        if not matches and not strict and not _is_glob(key):
            matches = [key]
        if not matches and strict:
            msg = f"no run of {where} has logged the key {key!r}.{did_you_mean(key, names)}"
            raise ColumnError(msg)
        chosen.update(dict.fromkeys(matches))
    return tuple(chosen)
