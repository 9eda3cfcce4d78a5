"""Pages of runs as they come -> frames: each run once, decoded once, and kept where a predicate is true."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import polars as pl

from wbframe.core.paths import describe
from wbframe.core.runs.frame import RunsBuffer, leaf_types, runs_frame
from wbframe.core.schema.runs import RUN_COLUMNS, RunsSchema, settled
from wbframe.core.schema.types import merge_index
from wbframe.errors import SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from wbframe.core.model import OnNewKey, RunPath
    from wbframe.core.protocol.runs import RunNode
    from wbframe.core.runs.plan import RunsPlan
    from wbframe.core.schema.types import Index

# Columns of few rows take up to twice the memory of their values, and each page would be a chunk to walk through.
_PAGES_A_CHUNK = 10
_ID = {"run_id": RUN_COLUMNS["run_id"][0]}


@dataclass(frozen=True, slots=True)
class RunsPage:
    """A page of a selection: its project, its runs, and the frame of their columns."""

    path: RunPath
    buffer: RunsBuffer
    frame: pl.DataFrame

    @property
    def nodes(self) -> list[RunNode]:
        """The runs as the server gave them, without config and summary."""
        return self.buffer.nodes

    def only(self, places: Sequence[int]) -> RunsPage:
        """Give some of its runs."""
        if len(places) == len(self.nodes):
            return self
        return RunsPage(self.path, self.buffer.only(places), self.frame[places])


@dataclass(frozen=True, slots=True)
class ListedRuns:
    """Runs of a selection, or of a page of it.

    Attributes
    ----------
    runs
        The project of each, and what the server gave of it; empty if that was not wanted.
    frame
        The columns that are wanted of them.
    index
        What is known of config and summary columns now.
    """

    runs: list[tuple[RunPath, RunNode]]
    frame: pl.DataFrame
    index: Index | None


def as_promised(
    plan: RunsPlan, whole: ListedRuns, on_new_key: OnNewKey
) -> tuple[ListedRuns, set[str]]:
    """Give a plan that was read whole the columns promised; and the keys that were not, and are left out.

    Raises
    ------
    SchemaMismatchError
        If a column has not the type promised, or a key was not and none may be left out.
    """
    promised = plan.resolve(plan.scan.columns, plan.index).columns
    found = whole.frame.schema
    new = found.keys() - promised.keys()
    if any(found[name] != dtype for name, dtype in promised.items()) or (
        new and on_new_key == "raise"
    ):
        where = describe(plan.scan.selection.paths)
        named = f"; new are {sorted(new)}" if new else ""
        raise SchemaMismatchError(
            f"the index of {where} does not name every key, or not its type{named}"
        )
    return replace(whole, frame=whole.frame.select(list(promised))), new


@dataclass(slots=True)
class PromisedPages:
    """Decodes pages into columns that are promised: what contradicts them is an error.

    `imprecise`, `collided` and `new` tell what to warn of; the last are keys left out, and of how many pages.
    """

    plan: RunsPlan
    on_new_key: OnNewKey = "ignore"
    imprecise: set[str] = field(default_factory=set)
    collided: set[str] = field(default_factory=set)
    new: Counter[str] = field(default_factory=Counter)
    schema: RunsSchema = field(init=False)

    def __post_init__(self) -> None:
        self.schema = self.plan.resolve(self.plan.columns, self.plan.index)

    def decode(self, path: RunPath, nodes: Iterable[RunNode]) -> RunsPage:
        """Decode a page.

        Raises
        ------
        SchemaMismatchError
            If a value has not the type that the index names.
        """
        buffer = RunsBuffer(self.schema.parents, self.schema.shown)
        buffer.add(path, nodes)
        frame, imprecise = runs_frame(buffer, self.schema)
        self.imprecise |= imprecise
        return RunsPage(path, buffer, frame)

    def add(self, page: RunsPage) -> None:
        """Take note of what is wanted of a page that has been taken, and that no column was promised for.

        Raises
        ------
        SchemaMismatchError
            If there is any, and none may be left out.
        """
        new = _unnamed(self.schema, page.buffer)
        if new and self.on_new_key == "raise":
            msg = (
                f"the index of {describe([page.path])} does not name {sorted(new)};"
                " scan again, read them by name, or set on_new_key='ignore'"
            )
            raise SchemaMismatchError(msg)
        self.new.update(new.keys())
        self.collided.update(*page.buffer.collided.values())


@dataclass(slots=True)
class GrowingPages:
    """Decodes pages by the types that are known when they come, and joins them by those known at the end.

    A project's index may lag behind its runs: keys that it does not name become columns, and types that runs
    contradict are widened. Without an index all pages wait, as JSON, until the last has told the types.

    Attributes
    ----------
    plan, index
        What is read, and the columns known so far; None if only runs can tell.
    keep
        Whether `runs` shall be held beside their columns.
    imprecise, collided
        Columns to warn of.
    schema
        The columns that `index` means.
    """

    plan: RunsPlan
    index: Index | None
    keep: bool = True
    imprecise: set[str] = field(default_factory=set)
    collided: set[str] = field(default_factory=set)
    runs: list[tuple[RunPath, RunNode]] = field(default_factory=list)
    _frames: list[pl.DataFrame] = field(default_factory=list)
    _packed: int = 0
    _waiting: RunsBuffer = field(default_factory=RunsBuffer)
    schema: RunsSchema = field(init=False)

    def __post_init__(self) -> None:
        self._resolve()

    def _resolve(self) -> None:
        """Find the columns; one at least that every run has, which tells how many runs a page has."""
        schema = self.plan.resolve(self.plan.columns, self.index)
        if schema.columns.keys().isdisjoint(RUN_COLUMNS):
            schema = replace(schema, columns={**schema.columns, **_ID})
        self.schema = schema

    def decode(self, path: RunPath, nodes: Iterable[RunNode]) -> RunsPage:
        """Decode a page, if types are known.

        Raises
        ------
        SchemaMismatchError
            If a value does not fit an override.
        """
        # What is within others is a column of its own, if it may be one.
        parents = {each for each in self.schema.parents if not self.schema.takes([f"{each}._"])}
        buffer = RunsBuffer(frozenset(parents), self.schema.shown)
        buffer.add(path, nodes)
        if self.index is None:
            return RunsPage(path, buffer, pl.DataFrame())
        return RunsPage(path, buffer, self._decoded(buffer))

    def _decoded(self, buffer: RunsBuffer) -> pl.DataFrame:
        """Decode runs, by wider types where the known ones do not fit."""
        try:
            frame, imprecise = runs_frame(buffer, self.schema)
        # The index has one type for all runs of a project, and may lag behind those that are just being logged.
        except SchemaMismatchError:
            before = self.schema
            self._learn(leaf_types(buffer))
            if self.schema == before:
                raise
            frame, imprecise = runs_frame(buffer, self.schema)
        self.imprecise |= imprecise
        return frame

    def _learn(self, types: Mapping[str, Iterable[str]]) -> None:
        """Add to the index."""
        self.index = dict(self.index or {})
        merge_index(self.index, types)
        self._resolve()
        self._packed = len(self._frames)

    def add(self, page: RunsPage) -> None:
        """Take a page; keys that are wanted, and that no column is known for, become columns."""
        self.collided.update(*page.buffer.collided.values())
        if self.keep:
            self.runs += [(page.path, node) for node in page.nodes]
        if self.index is None:
            self._waiting.extend(page.buffer)
            return
        frame = page.frame
        if self.schema.open and (new := _unnamed(self.schema, page.buffer)):
            self._learn(new)
            added = {name: self.schema.columns[name] for name in new}
            more, imprecise = runs_frame(page.buffer, RunsSchema(columns=added))
            self.imprecise |= imprecise
            frame = frame.hstack(more).select(list(self.schema.columns))
        self._frames.append(frame)
        if len(self._frames) - self._packed >= _PAGES_A_CHUNK:
            self._pack()

    @property
    def size(self) -> tuple[int, int]:
        """The rows and columns of the frame of all pages so far."""
        if self.index is None:
            return len(self._waiting), len(self._waiting.names)
        return sum(frame.height for frame in self._frames), len(self.schema.columns)

    def _pack(self) -> None:
        """Make one frame of the last pages, which have the same columns."""
        if last := self._frames[self._packed :]:
            self._frames[self._packed :] = [pl.concat(last, rechunk=True)]
            self._packed += 1

    def _settle(self) -> None:
        """Take what the index leaves open, and no run has anything within, for a column."""
        if left := settled(self.plan.unsure, self.index or {}):
            self._learn(left)

    def joined(self) -> pl.DataFrame | None:
        """Give the frame of all pages; None if they must be read again, by the index that is known now.

        Numbers of pages before the one that made a text column of theirs have lost their spelling.
        """
        if self.index is None:
            self._learn(leaf_types(self._waiting))
            frame, imprecise = runs_frame(self._waiting, self.schema)
            self.imprecise |= imprecise
            return frame
        self._pack()
        self._settle()
        columns = self.schema.columns
        aligned = [_aligned(frame, columns) for frame in self._frames]
        found = [frame for frame in aligned if frame is not None]
        if len(found) < len(aligned):
            return None
        return pl.concat(found) if found else runs_frame(RunsBuffer(), self.schema)[0]


def _unnamed(schema: RunsSchema, buffer: RunsBuffer) -> dict[str, frozenset[str]]:
    """Give those keys of runs, and their types, that are wanted and have no column."""
    unnamed = schema.takes(buffer.names)
    if not unnamed:
        return {}
    return {name: types for name, types in leaf_types(buffer).items() if name in unnamed}


def _aligned(frame: pl.DataFrame, columns: Mapping[str, pl.DataType]) -> pl.DataFrame | None:
    """Bring a page into the columns of all pages; None where that would change a value."""
    if frame.schema == columns and frame.columns == list(columns):
        return frame
    found = []
    for name, dtype in columns.items():
        if name not in frame.columns:
            found.append(pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height))
            continue
        column = frame[name]
        # Of a number in Float64 it is lost how it was spelled, so that it cannot become text any more.
        lossless = column.dtype == pl.Boolean or column.null_count() == frame.height
        if column.dtype != dtype and not lossless:
            return None
        found.append(column.cast(dtype))
    return pl.DataFrame(found)
