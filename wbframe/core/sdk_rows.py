"""Rows as the official SDK gives them: what to ask for many runs at once, and the rows as Python objects."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.core.decode import array_of, join_texts
from wbframe.core.graphql import RowsOf, name_of, rows_answer, rows_at_once, rows_request, spec
from wbframe.core.histories import row_lists
from wbframe.core.plan import RUNS_PER_REQUEST
from wbframe.core.schema import STEP
from wbframe.core.sdk_frames import MISSING, Columns, keys_of, lacking
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from wbframe.core.graphql import RunRows
    from wbframe.core.model import Match, Request, RunPath, Stream

__all__ = [
    "RowShape",
    "RowsAsked",
    "RowsTask",
    "StepWindows",
    "from_json",
    "known_size",
    "objects",
    "rows_holding",
    "rows_of",
    "rows_tasks",
]

Row = dict[str, Any]
# An array of rows in JSON, or the JSON of each row.
Texts = bytes | msgspec.Raw | list[str]

_row = msgspec.json.Decoder(dict[str, Any])
_rows = msgspec.json.Decoder(list[dict[str, Any]])
# Keys and rows of a run of which the server says nothing.
_KEYS = 20
_DEFAULT_SAMPLES = 500
# A name that msgspec does not take as a field's, as it would have to be escaped in JSON.
_ODD_NAME = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')


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
        if self.match == "all":
            return RowsOf(run_id=run_id, specs=(self._spec(self.x_axis, *self.keys),))
        lead = dict.fromkeys((STEP, self.x_axis))
        own = dict.fromkeys(key for key in self.keys if key not in lead)
        return RowsOf(run_id=run_id, specs=tuple(self._spec(*lead, key) for key in own or [STEP]))

    @property
    def row_keys(self) -> tuple[str, ...]:
        """What the rows of a spec hold; empty if any key may be in them."""
        return (self.x_axis, *self.keys) if self.keys and self.match == "all" else ()

    def _spec(self, *keys: str) -> str:
        return spec(keys, self.samples, None, None)

    def points(self, rows: int | None, keys: int | None) -> int:
        """Estimate the cells that come back from a run of so many rows and keys."""
        samples = self.samples or _DEFAULT_SAMPLES
        if self.stream != "default":
            return samples * _KEYS
        width = len(self.keys) + 1 if self.keys else keys or _KEYS
        return min(samples, samples if rows is None else rows) * width

    def parse(self, lists: Sequence[Texts], *, where: str) -> list[Row]:
        """Read the rows of one run, a list a spec."""
        parts = [objects(part, where=where) for part in lists]
        return parts[0] if self.match == "all" or not self.keys else _joined(parts)


def _lists(rows: RunRows, field: str) -> Sequence[Texts]:
    """Give the rows of one run, a list a spec."""
    if field == "sampledHistory":
        return rows.sampled_history or []
    texts = rows.history if field == "history" else rows.events
    return [texts or []]


def rows_of(raw: msgspec.Raw, field: str, *, where: str) -> list[Row]:
    """Read the rows of one field of a run: the JSON texts of `history`, the one spec of `sampledHistory`.

    Raises
    ------
    AnswerError
        If they are no rows, or if `sampledHistory` does not answer just one spec.
    """
    if field != "sampledHistory":
        return objects(join_texts(raw, where=where), where=where)
    lists = row_lists(raw)
    if len(lists) != 1:
        raise AnswerError(f"{where}: one spec was asked and {len(lists)} answered")
    return objects(lists[0], where=where)


def _joined(parts: Iterable[list[Row]]) -> list[Row]:
    """Unite the rows of several specs by step, first with first where a step has several rows."""
    found: dict[tuple[Any, int], Row] = {}
    for rows in parts:
        seen: dict[Any, int] = {}
        for row in rows:
            step = row[STEP]
            seen[step] = seen.get(step, -1) + 1
            found.setdefault((step, seen[step]), {}).update(row)
    return [found[place] for place in sorted(found)]


def from_json(text: str | bytes | msgspec.Raw) -> Any:
    """Read JSON by the rules of Python's `json`: NaN is a float, integers have any size.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> from_json('{"a": [NaN, 1]}')
    {'a': [nan, 1]}
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return json.loads(text if isinstance(text, str) else bytes(text), strict=False)


def objects(raw: Texts, *, where: str = "") -> list[Row]:
    """Read objects, a JSON array of them or one text each, by the rules of Python's `json`.

    Raises
    ------
    AnswerError
        If it is no such array.

    Examples
    --------
    >>> objects(b'[{"a": NaN, "b": 1}]')
    [{'a': nan, 'b': 1}]
    """
    try:
        return list(map(_row.decode, raw)) if isinstance(raw, list) else _rows.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        array = array_of(raw, where=where) if isinstance(raw, list) else bytes(raw)
        return _objects_slowly(array, where)


def _objects_slowly(raw: bytes, where: str) -> list[Row]:
    """Read what is JSON by Python's measure only."""
    at = f"{where}: " if where else ""
    try:
        found = json.loads(raw, strict=False)
    except (ValueError, RecursionError) as error:
        raise AnswerError(f"{at}the rows are not JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise AnswerError(f"{at}the rows must be a list of objects")
    return found


class RowShape:
    """What keys the rows of a project's runs hold, learned from the first of them.

    Rows that hold no other key are then read into columns with no dict a row. Threads may share one.

    Parameters
    ----------
    keys
        What the rows are expected to hold.

    Examples
    --------
    >>> RowShape().cells(b'[{"a": 1, "b": 2}, {"a": 3, "b": 4}]')
    (2, {'a': [1, 3], 'b': [2, 4]})
    """

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = tuple(dict.fromkeys(keys))

    def cells(self, raw: Texts, *, where: str = "") -> tuple[int, dict[str, Sequence[Any]]]:
        """Read rows: how many there are, and key -> one value a row, `MISSING` where it is not.

        Raises
        ------
        AnswerError
            As `objects`.
        """
        keys = self._keys
        if keys:
            try:
                one, many = _shaped(keys)
                rows = list(map(one.decode, raw)) if isinstance(raw, list) else many.decode(raw)
            except (msgspec.DecodeError, RecursionError):
                pass
            else:
                columns = zip(*map(msgspec.structs.astuple, rows), strict=True)
                found = zip(keys, columns, strict=bool(rows))
                return len(rows), {key: cells for key, cells in found if not lacking(cells)}
        found_rows = objects(raw, where=where)
        own = keys_of(found_rows)
        self._learn(own)
        return len(found_rows), {key: [row.get(key, MISSING) for row in found_rows] for key in own}

    def _learn(self, own: list[str]) -> None:
        """Expect the keys of these rows too; only them, if they are few beside those of other rows."""
        if any(map(_ODD_NAME.search, own)):
            return
        both = tuple(dict.fromkeys([*self._keys, *own]))
        self._keys = both if len(both) <= 2 * len(own) else tuple(own)


@lru_cache(maxsize=32)
def _shaped(
    keys: tuple[str, ...],
) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[list[Any]]]:
    """Make the decoders of a row that holds these keys and no other, and of an array of such."""
    fields = [
        (f"c{at}", Any, msgspec.field(name=key, default=MISSING)) for at, key in enumerate(keys)
    ]
    row = msgspec.defstruct("Row", fields, gc=False, forbid_unknown_fields=True)
    return msgspec.json.Decoder(row), msgspec.json.Decoder(list[row])  # type: ignore[valid-type]


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

    def rows(self, content: bytes, request: Request) -> list[tuple[str, list[Row]]]:
        """Read the answer: run id and rows of each run, in order.

        Raises
        ------
        QueryError, AnswerError, RunNotFoundError
            As the answer has it.
        """
        return [
            (run, self.asked.parse(lists, where=where))
            for run, lists, where in self._open(content, request)
        ]

    def columns(self, content: bytes, request: Request, shape: RowShape) -> Columns:
        """Read the answer as columns, with the run ids as `run_id`; else as `rows`."""
        found = Columns()
        for run, lists, where in self._open(content, request):
            if len(lists) == 1:
                count, cells = shape.cells(lists[0], where=where)
                found.add_cells(cells, count, run_id=run)
            else:
                found.add(self.asked.parse(lists, where=where), run_id=run)
        found.settle()
        return found

    def _open(self, content: bytes, request: Request) -> Iterator[tuple[str, Sequence[Texts], str]]:
        """Open the answer: of each run its id, its rows, a list a spec, and what it is called."""
        asked = self._rows_of()
        known = rows_at_once(content, request, asked)
        raws = [] if known else rows_answer(content, request, self.path, asked)
        for i, (run, of) in enumerate(zip(self.runs, asked, strict=True)):
            where = f"run {run!r} of {name_of(self.path)}"
            lists: Sequence[Texts]
            if known:
                lists = _lists(known[i], of.field)
            elif of.field == "sampledHistory":
                lists = row_lists(raws[i])
            else:
                lists = [join_texts(raws[i], where=where)]
            if of.field == "sampledHistory" and len(lists) != len(of.specs):
                msg = f"{len(of.specs)} specs were asked and {len(lists)} answered"
                raise AnswerError(f"{where}: {msg}")
            yield run, lists, where

    def _rows_of(self) -> list[RowsOf]:
        return [self.asked.of(run) for run in self.runs]


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
        batch: list[str] = []
        points = 0
        for run_id, size in page:
            if batch and (points + size > budget() or len(batch) >= RUNS_PER_REQUEST):
                yield RowsTask(path=path, runs=tuple(batch), asked=asked)
                batch, points = [], 0
            batch.append(run_id)
            points += size
        if batch:
            yield RowsTask(path=path, runs=tuple(batch), asked=asked)


def known_size(node: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Give the rows and the number of keys of a run, as far as its node tells."""
    rows = node.get("historyLineCount")
    info = node.get("historyKeys")
    keys = info.get("keys") if isinstance(info, Mapping) else None
    return (
        int(rows) if isinstance(rows, int | float) else None,
        len(keys) if isinstance(keys, Mapping) else None,
    )


def rows_holding(keys: Sequence[str], node: Mapping[str, Any]) -> int | None:
    """Give the rows of a run that hold all of the keys, by its node; None if it does not tell.

    Examples
    --------
    >>> counts = {"loss": {"typeCounts": [{"type": "number", "count": 9}, {"type": "nil", "count": 1}]}}
    >>> node = {"historyLineCount": 12, "historyKeys": {"keys": counts}}
    >>> rows_holding([], node), rows_holding(["_step", "loss"], node), rows_holding(["loss", "f1"], node)
    (12, 10, None)
    """
    own = [key for key in dict.fromkeys(keys) if key != STEP]
    if not own:
        return known_size(node)[0]
    info = node.get("historyKeys")
    known = info.get("keys") if isinstance(info, Mapping) else None
    found = known.get(own[0]) if len(own) == 1 and isinstance(known, Mapping) else None
    counts = found.get("typeCounts") if isinstance(found, Mapping) else None
    return sum(int(each.get("count", 0)) for each in counts) if counts else None


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
    MOST_SAMPLES = 10_000
    _WIDER = 8

    def __init__(self, start: int, stop: int, *, page: int) -> None:
        self.at = start
        self.stop = stop
        self.page = min(max(page, 1), self.MOST_SAMPLES // 2)
        self.width = self.page

    @property
    def samples(self) -> int:
        """Rows to ask for: twice as many as should come, for steps that stand in several rows."""
        return 2 * self.page

    @property
    def window(self) -> tuple[int, int] | None:
        """The next window, or None at the end."""
        if self.at >= self.stop:
            return None
        return self.at, min(self.at + self.width, self.stop)

    def took(self, rows: int) -> bool:
        """Tell whether the window's rows, so many, are surely all; go on, or make the window narrower."""
        # What is thinned out to n rows may come back as a few less.
        if rows > 0.9 * self.samples and self.width > 1:
            self.width = max(min(self.width, self.stop - self.at) // 2, 1)
            return False
        self.at += self.width
        if self._WIDER * rows <= self.page:
            self.width *= self._WIDER
        elif 2 * rows <= self.page:
            self.width *= 2
        return True
