"""What columns a histories frame has."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.model import STEP
from wbframe.core.schema.types import (
    SYSTEM_LEAD,
    Index,
    dtype_of,
    is_glob,
    is_mixed,
    is_scalar,
    system_spelling,
)
from wbframe.errors import ColumnError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wbframe.core.model import HistoryScan


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
    lenient
        `_step`, and keys whose type is the caller's: numbers and booleans that came as text are read as such.
    """

    keys: Mapping[str, pl.DataType]
    lead: Mapping[str, pl.DataType]
    run_columns: Mapping[str, pl.DataType] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    lenient: frozenset[str] = frozenset()

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
    if scan.scalars:
        keys = tuple(key for key in keys if is_scalar(index.get(key, frozenset())))

    def dtype(key: str) -> pl.DataType:
        return scan.overrides.get(key, dtype_of(index.get(key, frozenset())))

    if system:
        lead = {name: dtype(name) for name in SYSTEM_LEAD}
    else:
        # Also where exports and live rows spell steps as floats.
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
    # W&B reserves few names, so that people may have logged a `run_id` or a key named like a run column.
    names: dict[str, str] = {}
    for key in typed:
        if key in taken:
            name = f"history.{key}"
            while name in typed or name in taken:
                name = f"history.{name}"
            names[key] = name
    return HistorySchema(
        keys=typed,
        lead=lead,
        run_columns=run_columns,
        names=names,
        lenient=frozenset({STEP, *scan.overrides}),
    )


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
            else [n for n in names if is_glob(key) and fnmatch.fnmatchcase(n, key)]
        )
        if not matches and not strict and not is_glob(key):
            matches = [key]
        if not matches and strict:
            msg = f"no run of {where} has logged the key {key!r}.{did_you_mean(key, names)}"
            raise ColumnError(msg)
        chosen.update(dict.fromkeys(matches))
    return tuple(chosen)


def names_of(scan: HistoryScan) -> tuple[str, ...] | None:
    """Give the keys that are asked for by their names; None where keys are asked for by globs, or all."""
    if scan.keys is None or scan.stream == "system" or any(is_glob(key) for key in scan.keys):
        return None
    return tuple(key for key in (*scan.keys, scan.x_axis) if key != STEP)


def unlisted_of(scan: HistoryScan, index: Index) -> tuple[str, ...]:
    """Give the keys that are asked for by name, and that no run lists."""
    asked = scan.keys or () if scan.stream == "default" else ()
    return tuple(key for key in asked if key not in index and key != STEP and not is_glob(key))


def unsure_of(scan: HistoryScan, index: Index) -> list[str]:
    """Give the keys of the index whose type is not said, or that have text among numbers."""
    asked = (
        choose_keys(scan.keys, index, where="", strict=False) if scan.stream == "default" else index
    )
    return [
        key
        for key in asked
        if key in index and key not in scan.overrides and (not index[key] or is_mixed(index[key]))
    ]
