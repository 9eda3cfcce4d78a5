"""The frozen values that calls, plans and answers are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from wbframe.core.filters import EMPTY, conjoin

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from wbframe.core.filters import Filter

# What readers take one of: their signatures have these names, so that editors show the choices.
Stream = Literal["default", "system"]
Match = Literal["any", "all"]
OnNewKey = Literal["raise", "ignore"]
OnIncomplete = Literal["raise", "warn"]
OnError = Literal["raise", "skip"]
DtypeBackend = Literal["numpy", "numpy_nullable", "pyarrow"]
GridOf = Literal["run", "shared"]
# Words in place of names: columns of runs that differ between them, or that any has; keys that hold no more than
# a number, text or a flag.
ColumnsKept = Literal["varying", "used"]
KeysChosen = Literal["scalars"]

# Cursors are offsets: newest first, each run that begins while pages are read pushes another onto the next page.
# W&B's SDK went over to this order for it: https://github.com/wandb/wandb/pull/7675
DEFAULT_ORDER = "+created_at"


class Unsaid(int):
    """A number that stands where none was given; equal to one that was, and yet told apart."""


DEFAULT_SAMPLES: int = Unsaid(500)
# Rows that servers give at the most, whatever is asked for.
# Far larger numbers are answered by HTTP 500: https://github.com/wandb/wandb/issues/8291
MOST_SAMPLES = 10_000
DEFAULT_BINS = 500
STEP = "_step"
# What columns of the runs frame that are keys begin with.
KEY_PREFIXES = ("config.", "summary.")
# The column that numbers buckets.
BUCKET = "bucket"
# The states in which a run logs no more.
# Not `preempted`: such a run may be queued again, and then goes on under its id.
ENDED = frozenset({"finished", "crashed", "failed", "killed"})
# Above it Float64 skips whole numbers.
EXACT = 2**53
# Runs of a page where nothing else is asked for. With the run that two pages share a light one has 500, the
# most that W&B's own clients ask for.
PER_PAGE, LIGHT_PER_PAGE = 200, 499
# No largest page is documented; the web app shows so many runs: https://github.com/wandb/docs/pull/1400
MOST_PER_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPath:
    """What a path names: a project, or one sweep or run of it.

    Attributes
    ----------
    entity
        None for the default entity, which is found when it is read.
    project
        The project's name.
    sweep, run
        The id of one sweep or run; at most one of the two.
    host
        The host of the web address that the path was given as, or None.
    page
        The parts of that address, of which the first may say where the app lies.
    """

    entity: str | None = None
    project: str
    sweep: str | None = None
    run: str | None = None
    host: str | None = None
    page: tuple[str, ...] = ()


class RunPaths(tuple[RunPath, ...]):
    """Paths that come from the rows of a frame, of which there may be none."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which runs, in which order.

    Attributes
    ----------
    paths
        In the order in which their runs appear.
    filters
        What the server is asked to keep, as the caller spelled it.
    predicate
        What is kept here besides; an expression over the runs frame.
    pushed
        What the server is asked of expressions besides; it keeps every run that is wanted, and maybe more.
    claim
        What is true of wanted runs, over the runs frame, where `pushed` stands for it.
    order
        A sign and a field, as the server takes it; within each path.
    limit
        The most runs over all paths, after filters and predicate; None for all.
    per_page
        Runs a page; None for as many as what is read of them allows.
    on_error
        Whether what cannot be read ends the read, or is left out.
    """

    paths: tuple[RunPath, ...]
    filters: Filter
    predicate: pl.Expr | None = None
    order: str = DEFAULT_ORDER
    limit: int | None = None
    per_page: int | None = None
    on_error: OnError = "raise"
    pushed: Filter = EMPTY
    claim: pl.Expr | None = None

    @property
    def asked(self) -> Filter:
        """All that the server is asked to keep."""
        return conjoin(self.filters, self.pushed)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsScan:
    """A read of the runs frame: which runs, and which columns (None for all); `kept` says which of these stay."""

    selection: Selection
    columns: tuple[str, ...] | None = None
    kept: ColumnsKept | None = None
    overrides: Mapping[str, pl.DataType] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryScan:
    """A read of the histories frame; `min_step` is inclusive, `max_step` exclusive.

    `keys` make the rows; `narrowed` says that not all of their columns are wanted. `samples` is None for
    every row; `samples_given` tells whether the caller said so. `unlisted` are keys that no run lists, and rows
    hold. `scalars` says that of all keys those are wanted that hold no objects and no lists.
    """

    selection: Selection
    keys: tuple[str, ...] | None = None
    samples: int | None = DEFAULT_SAMPLES
    x_axis: str = "_step"
    stream: Stream = "default"
    match: Match = "any"
    run_columns: tuple[str, ...] = ()
    min_step: int | None = None
    max_step: int | None = None
    narrowed: bool = False
    on_incomplete: OnIncomplete = "raise"
    overrides: Mapping[str, pl.DataType] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()
    scalars: bool = False
    samples_given: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Where buckets lie along an axis.

    Attributes
    ----------
    bins, x_axis
        So many of equal width, along this key, from its least to its greatest value.
    shared
        Whether all runs and keys have the same buckets; else each run and key has its own.
    edges
        Where the buckets begin and end, in place of `bins`: each holds its first edge, and not its second.
    """

    bins: int = DEFAULT_BINS
    x_axis: str = STEP
    shared: bool = False
    edges: tuple[float, ...] | None = None

    @property
    def is_one(self) -> bool:
        """Whether all runs and keys have the same buckets."""
        return self.shared or self.edges is not None

    @property
    def axis(self) -> str:
        """The column of the axis."""
        return f"history.{BUCKET}" if self.x_axis == BUCKET else self.x_axis
