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
from wbframe.core.schema.types import Index, dtype_of, is_glob, is_own
from wbframe.errors import ColumnError, UsageError, did_you_mean
from wbframe.text import REPLACED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Column of the runs frame -> (dtype, GraphQL fields to select for it), in the order of the frame.
RUN_COLUMNS: dict[str, tuple[pl.DataType, str]] = {
    "entity": (pl.String(), ""),
    "project": (pl.String(), ""),
    "run_id": (pl.String(), "name"),
    "name": (pl.String(), "displayName"),
    # Made here, of the names before it and the address of the web app.
    "url": (pl.String(), ""),
    "state": (pl.String(), "state"),
    "created_at": (UTC_TIME, "createdAt"),
    "heartbeat_at": (UTC_TIME, "heartbeatAt"),
    # Both, since W&B's schema lets the user name be null.
    "user": (pl.String(), "user { name username }"),
    "group": (pl.String(), "group"),
    "job_type": (pl.String(), "jobType"),
    # As a filter the same is called `sweep`.
    "sweep": (pl.String(), "sweepName"),
    "tags": (pl.List(pl.String()), "tags"),
    "notes": (pl.String(), "notes"),
    "commit": (pl.String(), "commit"),
    "history_line_count": (pl.Int64(), "historyLineCount"),
}
# What the SDK, GraphQL and the web app call columns, in small letters alone.
_ALIASES = {
    "id": "run_id",
    "runname": "name",
    "displayname": "name",
    "status": "state",
    "created": "created_at",
    "createdat": "created_at",
    "starttime": "created_at",
    "updated": "heartbeat_at",
    "updatedat": "heartbeat_at",
    "heartbeatat": "heartbeat_at",
    "username": "user",
    "creator": "user",
    "jobtype": "job_type",
    "sweepname": "sweep",
    "sweepid": "sweep",
    "description": "notes",
    "gitcommit": "commit",
    "historylinecount": "history_line_count",
    "runtime": "summary._runtime",
    "duration": "summary._runtime",
    "config": "config.*",
    "summary": "summary.*",
    "summarymetrics": "summary.*",
}
_JSON = frozenset({"json"})
# What an index calls the items of a list.
_ITEMS = re.compile(r"(\.\d+)+$")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsSchema:
    """The promised columns of a runs frame.

    Attributes
    ----------
    columns
        Name -> dtype, in the order of the frame.
    open
        Names and globs that take keys as well that no index named: ``*`` for all.
    parents
        Columns of which the index knows nothing within: where a run has an object there, its JSON is the value.
    app
        The address of the web app, which `url` begins with.
    lenient
        Columns whose type is the caller's: numbers and booleans that are text in a run are read as such.
    """

    columns: Mapping[str, pl.DataType]
    open: tuple[str, ...] = ()
    parents: frozenset[str] = frozenset()
    app: str = ""
    lenient: frozenset[str] = frozenset()

    def takes(self, names: Iterable[str]) -> set[str]:
        """Give those of some names that are wanted, though they are no columns yet."""
        new = set(names) - self.columns.keys() if self.open else set()
        return {name for name in new if any(_globs(each, name) for each in self.open)}

    @property
    def shown(self) -> bool:
        """Whether what the SDK keeps among the keys is wanted."""
        return any(map(is_own, (*self.columns, *self.open)))

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
            config=_top_level(names, self.open, "config."),
            summary=_top_level(names, self.open, "summary."),
        )


def _globs(asked: str, name: str) -> bool:
    """Tell whether a name or a glob means a column; what is the SDK's own must be named."""
    return asked == name or (
        fnmatch.fnmatchcase(name, asked) and (is_own(asked) or not is_own(name))
    )


def _top_level(names: Iterable[str], globs: Iterable[str], prefix: str) -> tuple[str, ...] | None:
    """Give every top-level key that may hold one of the columns, None for all.

    Dots may nest or belong to the key; a glob tells its key if that stands before the first sign.
    """
    found: dict[str, None] = {}
    names = [*names, *(each for each in globs if not is_glob(each))]
    begins = [re.split(r"[*?\[]", each, maxsplit=1)[0] for each in globs if is_glob(each)]
    if any(
        prefix.startswith(each) or (each.startswith(prefix) and each.count(".") == 1)
        for each in begins
    ):
        return None
    for name in [*names, *(each.rpartition(".")[0] for each in begins)]:
        if name.startswith(prefix):
            parts = name.removeprefix(prefix).split(".")
            found.update(dict.fromkeys(".".join(parts[: i + 1]) for i in range(len(parts))))
    # The server may know it by another name, which cannot be sent.
    return None if any(REPLACED in name for name in found) else tuple(found)


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
        words = ", or 'varying' or 'used'" if argument == "columns" else ""
        raise UsageError(
            f"`{argument}` must be a list of column names or globs{words}; got {columns!r}"
        )
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
    meant = _ALIASES.get(re.sub(r"[\W_]", "", name).lower())
    key = re.match(r"(config|summary_?metrics)[./](.+)", name, re.IGNORECASE)
    if key is not None:
        meant = f"{'config' if key[1].lower() == 'config' else 'summary'}.{key[2]}"
    hint = f" Did you mean {meant!r}?" if meant else did_you_mean(name, RUN_COLUMNS)
    if not hint and not is_glob(name):
        hint = f" A config or summary key is 'config.{name}' or 'summary.{name}'."
    known = ", ".join(RUN_COLUMNS)
    return ColumnError(
        f"`{argument}`: no column {name!r} in a runs frame.{hint} It has {known}, config.*, summary.*"
    )


def _could_match(glob: str) -> bool:
    """Tell whether a glob can match a metadata, config or summary column."""
    if any(fnmatch.fnmatchcase(name, glob) for name in RUN_COLUMNS):
        return True
    literal = re.split(r"[*?\[]", glob, maxsplit=1)[0]
    return any(
        each.startswith(literal) or literal.startswith(each) for each in ("config.", "summary.")
    )


def weighed(index: Index, columns: Sequence[str] | None) -> tuple[Index, tuple[str, ...], bool]:
    """Give what can be believed of an index of fields, what it leaves open, and whether no more is wanted of it.

    Left open are keys without a type that is known, which may hold others, and lists of which items are named.
    An index that names no key of the config, or of the summary, may not list them at all.

    Examples
    --------
    >>> number = frozenset({"number"})
    >>> weighed({"config.a": number, "config.b": frozenset(), "summary.c.0": number}, None)
    ({'config.a': frozenset({'number'})}, ('config.b', 'summary.c'), False)
    """
    sure = {
        name: types
        for name, types in index.items()
        if types and not name.rpartition(".")[2].isdecimal()
    }
    within = _parents(sure)
    # A map by another name.
    sure = {name: types for name, types in sure.items() if name not in within or types != _JSON}
    unsure = {
        _ITEMS.sub("", name): None
        for name in index
        if name not in sure
        and name not in within
        and (columns is None or any(_wants(each, name) for each in columns))
    }
    named = [each for each in columns or () if each not in RUN_COLUMNS and not is_glob(each)]
    globs = ("config.*", "summary.*") if columns is None else filter(_is_open, columns)
    complete = all(name in sure for name in named) and all(
        any(_wants(glob, name) for name in sure) for glob in globs
    )
    return sure, tuple(each for each in unsure if each not in sure), complete and not unsure


def settled(unsure: Iterable[str], index: Index) -> Index:
    """Give types to what an index left open, now that runs have told the rest: text, unless others lie within."""
    within = _parents(index)
    return {name: _JSON for name in unsure if name not in within and name not in index}


def _parents(names: Iterable[str]) -> set[str]:
    """Give the names that others lie within."""
    return {name[:at] for name in names for at in range(len(name)) if name[at] == "."}


def _is_open(glob: str) -> bool:
    """Tell whether a glob is of config or summary keys, or of all columns."""
    return glob == "*" or (is_glob(glob) and glob.startswith(("config.", "summary.")))


def _wants(asked: str, name: str) -> bool:
    """Tell whether a name or glob asks for a column, or for what lies below it."""
    return asked == name or asked.startswith(f"{name}.") or fnmatch.fnmatchcase(name, asked)


def runs_schema(
    columns: Sequence[str] | None,
    index: Index | None,
    overrides: Mapping[str, pl.DataType],
    *,
    where: str = "the project",
    complete: bool = True,
    taken: bool = False,
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
    taken
        Whether names that nothing vouches for are columns all the same.

    Raises
    ------
    ColumnError
        If a name, or every match of a glob, is in neither the metadata nor the index, or an override is not.
    """
    known = {**{name: dtype for name, (dtype, _) in RUN_COLUMNS.items()}}
    for name in _in_frame_order(index or {}):
        known[name] = dtype_of((index or {})[name])
    if columns is None:
        names: Iterable[str] = [name for name in known if not is_own(name)]
        if index is not None and not complete:
            # What is named by an override is vouched for by the caller.
            leaves = {name for name in index if not is_own(name)}
            leaves.update(name for name in overrides if name not in RUN_COLUMNS)
            names = [*RUN_COLUMNS, *_in_frame_order(leaves)]
    else:
        names = dict.fromkeys(
            match for each in columns for match in _matches(each, known, not complete, where)
        )
    found = {
        name: overrides.get(name, known.get(name, pl.Float64()))
        for name in names
        if taken or name in known or name in overrides
    }
    if complete and index:
        for name in overrides.keys() - known.keys():
            raise _no_such_override(name, known, where)
    # An index may lag behind the runs: whoever reads all columns gets also those that it does not name.
    wanted = ("*",) if columns is None else columns
    is_open = tuple(
        each for each in wanted if each not in found and (_is_open(each) or not is_glob(each))
    )
    parents = frozenset(found.keys() - _parents({*(index or {}), *found}))
    return RunsSchema(columns=found, open=is_open, parents=parents, lenient=frozenset(overrides))


def _matches(name: str, known: Mapping[str, pl.DataType], unindexed: bool, where: str) -> list[str]:  # noqa: FBT001
    """Expand one name or glob; an exact name wins over a glob of the same spelling."""
    if name in known:
        return [name]
    if is_glob(name):
        found = [each for each in known if _globs(name, each)]
        if found or unindexed or name in {"config.*", "summary.*"}:
            return found
    elif unindexed:
        return [name]
    msg = f"no column {name!r} in the runs of {where}.{did_you_mean(name, known)}"
    raise ColumnError(msg)


def check_matched(
    columns: Sequence[str] | None, overrides: Iterable[str], index: Index, *, where: str
) -> None:
    """Refuse names and globs that no column matches, where not only the index, but all runs have been asked.

    Raises
    ------
    ColumnError
        If there is one.
    """
    known = (*RUN_COLUMNS, *index)
    free = {"config.*", "summary.*", *known, *overrides}
    for each in columns or ():
        if each not in free and not any(fnmatch.fnmatchcase(name, each) for name in known):
            msg = f"no column {each!r} in the runs of {where}.{did_you_mean(each, known)}"
            raise ColumnError(msg)
    for name in overrides:
        if name not in known and name not in (columns or ()):
            raise _no_such_override(name, known, where)


def _no_such_override(name: str, known: Iterable[str], where: str) -> ColumnError:
    """Make the error for an override of what is not there."""
    return ColumnError(
        f"`schema_overrides`: no column {name!r} in the runs of {where}.{did_you_mean(name, known)}"
    )


def _in_frame_order(names: Iterable[str]) -> list[str]:
    """Sort config columns before summary columns, each by name."""
    return sorted(names, key=lambda name: (not name.startswith("config."), name))
