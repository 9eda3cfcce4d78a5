"""What columns a runs frame has."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.decode.cells import UTC_TIME
from wbframe.core.protocol.runs import NodeFields
from wbframe.core.schema.types import Index, dtype_of
from wbframe.errors import ColumnError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        if not is_glob(name) or not _could_match(name):
            raise unknown_column(name, argument=argument)
    return tuple(dict.fromkeys(columns))


def unknown_column(name: str, *, argument: str) -> ColumnError:
    """Make the error for a name that no runs frame has, whatever its configs and summaries are."""
    hint = did_you_mean(name, RUN_COLUMNS)
    if not hint and not is_glob(name):
        hint = f" A config or summary key is 'config.{name}' or 'summary.{name}'."
    known = ", ".join(RUN_COLUMNS)
    return ColumnError(
        f"`{argument}`: no column {name!r} in a runs frame.{hint} It has {known}, config.*, summary.*"
    )


def is_glob(name: str) -> bool:
    """Tell whether a name is a glob."""
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
    is_open = columns is None or (index is None and any(is_glob(each) for each in columns))
    return RunsSchema(columns=found, open=is_open)


def _matches(name: str, known: Mapping[str, pl.DataType], unindexed: bool, where: str) -> list[str]:  # noqa: FBT001
    """Expand one name or glob; an exact name wins over a glob of the same spelling."""
    if name in known:
        return [name]
    if is_glob(name):
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
