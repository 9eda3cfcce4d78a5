"""How the rows of a run are split into exported files and a live tail."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, get_args

from wbframe.errors import UsageError, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Export", "ExportFile", "Exports", "FileFormat"]

_Steps = Literal["int64", "float64", "float32"]
_Numbers = Literal["exact", "float64"]
_Mixed = Literal["alternatives", "binary"]
_Objects = Literal["struct", "binary"]
_Texts = Literal["string", "dictionary"]
_Columns = Literal["own", "all"]
_Nested = Literal["dotted", "struct"]
_Compression = Literal["zstd", "snappy", "none"]
_CHOICES = {
    "step": _Steps,
    "numbers": _Numbers,
    "mixed": _Mixed,
    "objects": _Objects,
    "texts": _Texts,
    "columns": _Columns,
    "compression": _Compression,
    "nested": _Nested,
}
_NOT_ENDED = frozenset({None, "running", "pending", "preempting"})
_MOST_RANDOM_FILES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """How exported files spell the rows; what a real server does of this is not public.

    Attributes
    ----------
    step
        The type of ``_step``.
    numbers
        ``"exact"``: a key with nothing but integers is Int64. ``"float64"``: every number is Float64.
    mixed
        A key with values of several kinds is a struct with one member a kind (``_type_number``,
        ``_type_string``, ``_type_bool``, ``_type_list``, ``_type_map``), or JSON in binary, where
        non-finite numbers are text.
    objects
        Lists, histograms and media are lists and structs where Arrow can tell one type for all of
        them, or JSON in binary.
    texts
        Plain text columns or dictionaries.
    columns
        ``"own"``: a file has the keys that its rows hold. ``"all"``: every key of the run.
    compression
        Of the column chunks.
    nested
        Nested keys are columns of their own with dots in their names, or one struct for each top key.
    row_group_rows
        Rows in a row group, at least 1.
    statistics, page_index
        Whether the least and the greatest value of each chunk, and of each page, are written.

    Raises
    ------
    UsageError
        A choice does not exist, or `row_group_rows` is below 1.
    """

    step: _Steps = "int64"
    numbers: _Numbers = "exact"
    mixed: _Mixed = "alternatives"
    objects: _Objects = "struct"
    texts: _Texts = "string"
    columns: _Columns = "own"
    compression: _Compression = "zstd"
    nested: _Nested = "dotted"
    row_group_rows: int = 50_000
    statistics: bool = True
    page_index: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise one_of(name, getattr(self, name), get_args(choices))
        if self.row_group_rows < 1:
            raise UsageError(f"`row_group_rows` must be at least 1; got {self.row_group_rows}")


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One exported file.

    Attributes
    ----------
    rows
        Which rows of the run are in it: their positions in step order, increasing.

    Raises
    ------
    UsageError
        The positions do not increase.
    """

    rows: Sequence[int]

    def __post_init__(self) -> None:
        rows = self.rows
        if isinstance(rows, range) and rows.step > 0:
            return
        if any(before >= after for before, after in pairwise(rows)):
            raise UsageError("the rows of an exported file must be in increasing order")


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What is exported of one run, and what is live.

    Rows may be in both, and a row may be in neither, as on a server that has lost it.

    Attributes
    ----------
    files
        The exported files; their URLs are given in this order unless they are shuffled.
    live
        The rows that `parquetHistory` gives as ``liveData``.
    format
        How the files are written.

    Examples
    --------
    >>> export = Exports.split(files=2, live=0.25, overlap=1).plan(range(8))
    >>> [list(file.rows) for file in export.files], list(export.live), export.live_from
    ([[0, 1, 2], [3, 4, 5]], [5, 6, 7], 5)
    """

    files: tuple[ExportFile, ...] = ()
    live: Sequence[int] = ()
    format: FileFormat = field(default_factory=FileFormat)

    @property
    def exported(self) -> set[int]:
        """The rows that are in some file."""
        return {row for file in self.files for row in file.rows}

    @property
    def live_from(self) -> int | None:
        """The first live row; None if there is none."""
        return min(self.live) if self.live else None

    @property
    def overlap(self) -> int:
        """How many rows are live and in a file."""
        return len(self.exported.intersection(self.live)) if self.live else 0

    def unexported(self, count: int) -> Sequence[int]:
        """Give the rows that a server has which serves an exported row from its file alone.

        Parameters
        ----------
        count
            How many rows the run has.
        """
        if not self.files:
            return range(count)
        exported, live = self.exported, set(self.live)
        return [row for row in range(count) if row in live or row not in exported]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """A rule by which the rows of any run are split; the same rows are always split alike.

    Make one with `none`, `all`, `split`, `blocks` or `scattered`.

    Attributes
    ----------
    files
        How many files, of about as many rows each; fewer where there are too few rows.
    live
        The share of the rows, the latest, that are not exported: from 0 to 1.
    overlap
        How many of the latest exported rows are live as well.
    block
        A file for each so many rows, and the rest live, in place of `files` and `live`.
    seed
        Split at random, in place of all of those.
    running
        Whether runs that have not ended are exported too.
    whole_steps
        Whether rows of one step stay together.
    format
        How the files are written.

    Raises
    ------
    UsageError
        A number is out of its bounds.
    """

    files: int = 1
    live: float = 0.0
    overlap: int = 0
    block: int | None = None
    seed: int | None = None
    running: bool = False
    whole_steps: bool = True
    format: FileFormat = field(default_factory=FileFormat)

    def __post_init__(self) -> None:
        if self.files < 0 or self.overlap < 0:
            raise UsageError("`files` and `overlap` must not be negative")
        if not 0 <= self.live <= 1:
            raise UsageError(f"`live` is a share from 0 to 1; got {self.live}")
        if self.block is not None and self.block < 1:
            raise UsageError(f"`block` must be at least 1; got {self.block}")

    @classmethod
    def none(cls) -> Exports:
        """Export nothing: neither URLs nor live data, as for a run that is not exported yet."""
        return cls(files=0)

    @classmethod
    def all(
        cls,
        files: int = 1,
        *,
        running: bool = False,
        format: FileFormat | None = None,  # noqa: A002
    ) -> Exports:
        """Export every row."""
        return cls(files=files, running=running, format=format or FileFormat())

    @classmethod
    def split(
        cls,
        files: int = 1,
        live: float = 0.2,
        overlap: int = 0,
        *,
        running: bool = True,
        format: FileFormat | None = None,  # noqa: A002
    ) -> Exports:
        """Export all but the latest rows; `overlap` of the exported ones are live as well."""
        return cls(
            files=files, live=live, overlap=overlap, running=running, format=format or FileFormat()
        )

    @classmethod
    def blocks(
        cls,
        rows: int,
        overlap: int = 0,
        *,
        format: FileFormat | None = None,  # noqa: A002
    ) -> Exports:
        """Export a file for each so many rows, and leave the rest live; also of running runs."""
        return cls(block=rows, overlap=overlap, running=True, format=format or FileFormat())

    @classmethod
    def scattered(cls, seed: int, *, format: FileFormat | None = None) -> Exports:  # noqa: A002
        """Put each row into some file, or leave it live, or both, at random."""
        return cls(seed=seed, running=True, format=format or FileFormat())

    def of(self, state: str | None, steps: Sequence[int]) -> Export:
        """Split the rows of a run in some state."""
        if state in _NOT_ENDED and not self.running:
            return Export(format=self.format)
        return self.plan(steps)

    def plan(self, steps: Sequence[int]) -> Export:
        """Split rows, whatever the state of their run.

        Parameters
        ----------
        steps
            The ``_step`` of each row, increasing.
        """
        if self.seed is not None:
            return replace(_scattered(steps, self.seed, self._bounds(steps)), format=self.format)
        if not self.files and self.block is None:
            return Export(format=self.format)
        count = len(steps)
        if self.block is None:
            exported = self._cut(steps, count - round(count * self.live))
            targets = [exported * each // self.files for each in range(self.files + 1)]
        else:
            targets = list(range(0, count + 1, self.block))
        cuts = [self._cut(steps, target) for target in targets]
        files = tuple(ExportFile(range(a, b)) for a, b in pairwise(cuts) if a < b)
        end = cuts[-1]
        live = range(self._cut(steps, max(0, end - self.overlap)), count)
        return Export(files=files, live=live, format=self.format)

    def _cut(self, steps: Sequence[int], target: int) -> int:
        """Move a cut behind the rows of the same step."""
        while self.whole_steps and 0 < target < len(steps) and steps[target] == steps[target - 1]:
            target += 1
        return target

    def _bounds(self, steps: Sequence[int]) -> list[range]:
        """List the runs of rows that stay together."""
        cuts = sorted({self._cut(steps, target) for target in range(len(steps) + 1)})
        return [range(a, b) for a, b in pairwise(cuts)]


def _scattered(steps: Sequence[int], seed: int, groups: list[range]) -> Export:
    """Deal groups of rows out at random."""
    source = random.Random(f"{seed}:{len(steps)}:{steps[-1] if steps else 0}")  # noqa: S311 - no secret
    count = source.randint(0, _MOST_RANDOM_FILES)
    files: list[list[int]] = [[] for _ in range(count)]
    live: list[int] = []
    last = count - 1 if count and source.choice((True, False)) else count
    places = [source.randint(0, last) for _ in groups]
    if source.choice((True, False)):
        places.sort()  # files of ranges, not of chosen rows
    twice = source.choice((0.0, 0.1, 1.0))
    for group, place in zip(groups, places, strict=True):
        if place < count:
            files[place] += group
        if place == count or source.random() < twice:
            live += group
    source.shuffle(files)
    return Export(files=tuple(ExportFile(tuple(rows)) for rows in files if rows), live=tuple(live))
