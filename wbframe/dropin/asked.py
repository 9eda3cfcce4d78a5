"""Rows as the official SDK gives them: what to ask for many runs at once, and the rows as Python objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from operator import index
from typing import TYPE_CHECKING, Any, get_args

from wbframe.core.arguments import check_one_of
from wbframe.core.batches import batches, halves_of
from wbframe.core.decode.rows import join_texts
from wbframe.core.hints import whole
from wbframe.core.histories.tasks import RUNS_PER_REQUEST
from wbframe.core.model import STEP, Match, OnError
from wbframe.core.paths import name_of
from wbframe.core.protocol.rows import (
    FEWEST_SAMPLES,
    RowsOf,
    row_lists,
    rows_answer,
    rows_at_once,
    rows_request,
    spec,
    usual,
)
from wbframe.dropin.columns import Columns
from wbframe.dropin.values import RowShape, objects, side_by_side, united
from wbframe.errors import AnswerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from wbframe.core.model import RunPath, Stream
    from wbframe.core.protocol.request import Request
    from wbframe.dropin.values import Texts

__all__ = [
    "RowsAsked",
    "RowsTask",
    "StepWindows",
    "add_rows",
    "check_rows_options",
    "known_size",
    "open_rows",
    "rows_holding",
    "rows_tasks",
    "whole_number",
    "wrong_keys",
]

Row = dict[str, Any]
# Keys and rows of a run of which the server says nothing.
_KEYS = 20
_DEFAULT_SAMPLES = 500
_THINNED = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsAsked:
    """Which rows of each run.

    Attributes
    ----------
    samples
        Rows at the most, as the caller has it.
    keys
        The keys that rows hold besides `x_axis`; empty for whole rows.
    x_axis
        The first key of each spec.
    stream
        ``"default"``, or machine metrics.
    match
        ``"all"``: rows that hold every key, as the server gives them; ``"any"``: rows that hold one.
    """

    samples: int = _DEFAULT_SAMPLES
    keys: tuple[str, ...] = ()
    x_axis: str = STEP
    stream: Stream = "default"
    match: Match = "all"

    def of(self, run_id: str) -> RowsOf:
        """Give what is asked of one run."""
        if not self.keys:
            field = "history" if self.stream == "default" else "events"
            return RowsOf(run_id=run_id, field=field)
        specs = tuple(spec(keys, self.samples, None, None) for keys in self.spec_keys)
        return RowsOf(run_id=run_id, specs=specs)

    @property
    def spec_keys(self) -> list[tuple[str, ...]]:
        """The keys of each spec; none where whole rows are asked."""
        if not self.keys:
            return []
        if self.match == "all":
            # As the SDK, for want of an axis in specs; it too names a key twice where that is the axis.
            return [(self.x_axis, *self.keys)]
        lead = dict.fromkeys((STEP, self.x_axis))
        own = dict.fromkeys(key for key in self.keys if key not in lead)
        return [(*lead, key) for key in own or [STEP]]

    @property
    def unites(self) -> bool:
        """Whether the rows of several specs are united by step."""
        return bool(self.keys) and self.match == "any"

    def shapes(self) -> list[RowShape]:
        """Give the shape of each list of rows of a run."""
        return [RowShape(keys) for keys in self.spec_keys] or [RowShape()]

    def points(self, rows: int | None, keys: int | None) -> int:
        """Estimate the cells that come back from a run of so many rows and keys."""
        samples = self.samples or _DEFAULT_SAMPLES
        if self.stream != "default":
            return samples * _KEYS
        width = len(self.keys) + 1 if self.keys else keys or _KEYS
        return min(samples, samples if rows is None else rows) * width

    def owed(self, node: Mapping[str, Any]) -> int:
        """Give the rows that a run owes at the least, by its node; 0 where it does not tell."""
        if self.stream != "default":
            return 0
        samples = self.samples or _DEFAULT_SAMPLES
        known = max(rows_holding(keys, node)[0] for keys in self.spec_keys or [()])
        # What is thinned out to n rows may come back as a few less.
        return known if known <= samples else int(_THINNED * samples)

    def thins(self, node: Mapping[str, Any]) -> bool:
        """Tell whether a run has more of what is asked than comes back, as far as its node tells."""
        if self.stream != "default":
            return False
        most = self.samples or _DEFAULT_SAMPLES
        held = (rows_holding(keys, node) for keys in self.spec_keys or [()])
        return any(rows > most for rows, _ in held)

    def logged(self, node: Mapping[str, Any]) -> int | None:
        """Give the rows that a run has logged, as far as its node tells."""
        return known_size(node)[0] if self.stream == "default" else None

    def parse(self, lists: Sequence[Texts], *, where: str) -> list[Row]:
        """Read the rows of one run, a list a spec."""
        parts = [objects(part, where=where) for part in lists]
        return united(parts) if self.unites else parts[0]


def open_rows(
    content: bytes, request: Request, path: RunPath, asked: Sequence[RowsOf]
) -> Iterator[tuple[str, Sequence[Texts], str]]:
    """Open an answer to `rows_request`; no row is parsed.

    Yields
    ------
    tuple
        Of each run, in order, its id, its rows, a list a spec, and what it is called in messages.

    Raises
    ------
    QueryError, AnswerError, RunNotFoundError
        As the answer has it.
    """
    known = rows_at_once(content, request, asked)
    raws = [] if known else rows_answer(content, request, path, asked)
    for i, of in enumerate(asked):
        where = f"run {of.run_id!r} of {name_of(path)}"
        lists: Sequence[Texts]
        if known:
            texts = known[i].history if of.field == "history" else known[i].events
            lists = usual(known[i].sampled_history or []) if of.specs else [texts or []]
        else:
            lists = row_lists(raws[i]) if of.specs else [join_texts(raws[i], where=where)]
        if of.specs and len(lists) != len(of.specs):
            msg = f"{len(of.specs)} specs were asked and {len(lists)} answered"
            raise AnswerError(f"{where}: {msg}")
        yield of.run_id, lists, where


# ---------------------------------------------------------------- many runs a request


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsTask:
    """One request for the rows of several runs of one project."""

    path: RunPath
    runs: tuple[str, ...]
    asked: RowsAsked

    def request(self) -> Request:
        """Build the request."""
        return rows_request(self.path, self._rows_of(), samples=self.asked.samples)

    def halves(self) -> list[RowsTask]:
        """Cut the task in two; nothing if it is of one run."""
        return [replace(self, runs=tuple(runs)) for runs in halves_of(self.runs)]

    def rows(self, content: bytes, request: Request) -> list[tuple[str, list[Row]]]:
        """Read the answer: run id and rows of each run, in order.

        Raises
        ------
        QueryError, AnswerError, RunNotFoundError
            As the answer has it.
        """
        return [
            (run, self.asked.parse(lists, where=where))
            for run, lists, where in open_rows(content, request, self.path, self._rows_of())
        ]

    def columns(self, content: bytes, request: Request, shapes: Sequence[RowShape]) -> Columns:
        """Read the answer as columns, with the run ids as `run_id`; else as `rows`."""
        found = Columns()
        for run, lists, where in open_rows(content, request, self.path, self._rows_of()):
            add_rows(found, self.asked, shapes, lists, where=where, run_id=run)
        found.settle()
        return found

    def _rows_of(self) -> list[RowsOf]:
        return [self.asked.of(run) for run in self.runs]


def add_rows(
    found: Columns,
    asked: RowsAsked,
    shapes: Sequence[RowShape],
    lists: Sequence[Texts],
    *,
    where: str,
    **same: str,
) -> None:
    """Add the rows of one run, a list a spec, to columns; `same` are columns of one value."""
    parts = [shape.cells(each, where=where) for shape, each in zip(shapes, lists, strict=True)]
    cells = side_by_side(parts) if asked.unites else parts[0]
    if cells is None:
        found.add(asked.parse(lists, where=where), **same)
    else:
        found.add_cells(cells[1], cells[0], **same)


def whole_number(name: str, value: Any, *, least: int | None = None) -> int:
    """Check an argument that is a whole number, of whichever type; as the SDK, take 5.0 for 5.

    Raises
    ------
    UsageError
        If it is none, or less than `least`.

    Examples
    --------
    >>> import numpy as np
    >>> whole_number("samples", np.int32(5)), whole_number("samples", 5.0)
    (5, 5)
    """
    try:
        found = None if isinstance(value, bool) else index(value)
    except TypeError:
        fraction = isinstance(value, Real) and float(value).is_integer()
        found = int(value) if fraction else None
    if found is None or (least is not None and found < least):
        span = "" if least is None else f", at least {least}"
        raise UsageError(f"`{name}` must be a whole number{span}; got {value!r}")
    return found


def check_rows_options(match: str, on_error: str) -> None:
    """Check which rows are meant, and whether runs may be left out.

    Raises
    ------
    UsageError
        If it is none of the known words.
    """
    for name, value, known in (("match", match, Match), ("on_error", on_error, OnError)):
        check_one_of(name, value, get_args(known))


def wrong_keys(keys: object, stream: str) -> str | None:
    """Say in the SDK's words what is wrong with `keys`; None if nothing is."""
    if keys is not None and not isinstance(keys, list):
        return "keys must be specified in a list"
    if keys and not all(isinstance(key, str) for key in keys):
        return "keys argument must be a list of strings"
    if keys and stream != "default":
        return "stream must be default when specifying keys"
    return None


def rows_tasks(
    path: RunPath,
    asked: RowsAsked,
    pages: Iterable[Sequence[tuple[str, int]]],
    budget: Callable[[], int],
) -> Iterator[RowsTask]:
    """Cut pages of runs into tasks, in order.

    Parameters
    ----------
    path, asked
        Which project, and what of each run.
    pages
        Run ids with the cells that each is estimated to give; no task waits for a later page.
    budget
        Gives the cells that the next task may ask for; a single run may be above it.
    """
    for page in pages:
        for batch in batches(page, lambda each: each[1], budget, count=RUNS_PER_REQUEST):
            yield RowsTask(path=path, runs=tuple(run_id for run_id, _ in batch), asked=asked)


def known_size(node: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Give the rows and the number of keys of a run, as far as its node tells."""
    rows = node.get("historyLineCount")
    info = node.get("historyKeys")
    keys = info.get("keys") if isinstance(info, Mapping) else None
    return (
        whole(rows),
        len(keys) if isinstance(keys, Mapping) else None,
    )


def rows_holding(keys: Sequence[str], node: Mapping[str, Any]) -> tuple[int, bool]:
    """Give the rows of a run that hold all keys, at the least, by its node, and whether these are all.

    Rows that hold each of several keys: what is left over when as few rows as can be lack one of them.

    Examples
    --------
    >>> loss = {"typeCounts": [{"type": "number", "count": 9}, {"type": "nil", "count": 1}]}
    >>> keys = {"loss": loss, "f1": {"typeCounts": [{"type": "number", "count": 7}]}}
    >>> node = {"historyLineCount": 12, "historyKeys": {"keys": keys}}
    >>> rows_holding([], node), rows_holding(["_step", "loss"], node), rows_holding(["loss", "f1"], node)
    ((12, True), (10, True), (5, False))
    >>> rows_holding(["loss", "accuracy"], node)
    (0, False)
    """
    own = [key for key in dict.fromkeys(keys) if key != STEP]
    rows = known_size(node)[0]
    if not own:
        return rows or 0, rows is not None
    info = node.get("historyKeys")
    known = info.get("keys") if isinstance(info, Mapping) else None
    counts = [_count(known.get(key)) if isinstance(known, Mapping) else None for key in own]
    told = [count for count in counts if count is not None]
    if len(told) < len(counts):
        return 0, False
    if len(own) == 1:
        return told[0], True
    # A count of all rows that is below that of some is of another time.
    if rows is None or rows < max(told):
        return 0, False
    least = max(0, sum(told) - (len(own) - 1) * rows)
    return least, least == rows


def _count(key: Any) -> int | None:
    """Give the rows that hold a key, by its entry in the index; None if it does not tell."""
    counts = key.get("typeCounts") if isinstance(key, Mapping) else None
    told = (
        [each for each in counts if isinstance(each, Mapping)] if isinstance(counts, list) else []
    )
    found = [whole(each.get("count", 0)) for each in told]
    return None if not found or None in found else sum(filter(None, found))


# ---------------------------------------------------------------- all rows of one run


class StepWindows:
    """Half-open windows of steps over a run, sized by what comes back.

    A window begins `page` steps wide. Where steps are sparse it widens until about `page` rows come back;
    where so many come that the server may have thinned them out, the same steps are asked again in
    narrower windows.

    Parameters
    ----------
    start, stop
        The first step, and the one after the last.
    page
        Rows that a window should give.

    Examples
    --------
    >>> windows = StepWindows(0, 5000, page=1000)
    >>> windows.window
    (0, 1000)
    >>> windows.took(3), windows.window
    (True, (1000, 5000))
    """

    # The server gives so many rows of one window at the most, whatever is asked.
    # https://github.com/wandb/wandb/issues/12067
    MOST_SAMPLES = 10_000
    _WIDER = 8

    def __init__(self, start: int, stop: int, *, page: int) -> None:
        self.at = start
        self.stop = stop
        self.page = min(max(page, 1), self.MOST_SAMPLES // 2)
        self.width = self.page
        self.wide = True

    @property
    def samples(self) -> int:
        """Rows to ask for: twice as many as should come, for steps that stand in several rows."""
        return 2 * (self.page + 1) if self.wide else self.MOST_SAMPLES

    @property
    def window(self) -> tuple[int, int] | None:
        """The next window, or None at the end."""
        if self.at >= self.stop:
            return None
        return self.at, min(self.at + self.width, self.stop)

    def go_on(self, stop: int) -> None:
        """Have the steps up to another stop behind the last one."""
        self.stop, self.width = stop, self.page

    @property
    def can_shrink(self) -> bool:
        """Whether fewer rows of a window may be asked for."""
        return self.wide and self.page >= 2 * FEWEST_SAMPLES

    def shrink(self) -> None:
        """Ask for half as many rows from here on."""
        self.page //= 2
        self.width = max(min(self.width, self.page), 1)

    def took(self, rows: int) -> bool:
        """Tell whether the window's rows, so many, are surely all; go on, or make the window narrower."""
        # What is thinned out to n rows may come back as a few less.
        if rows > 0.9 * self.samples and (self.width > 1 or self.wide):
            # Of one step alone, all that the server gives.
            self.wide = self.width > 1
            self.width = max(min(self.width, self.stop - self.at) // 2, 1)
            return False
        self.at = min(self.at + self.width, self.stop)
        self.wide = True
        if self._WIDER * rows <= self.page:
            self.width *= self._WIDER
        elif 2 * rows <= self.page:
            self.width *= 2
        return True
