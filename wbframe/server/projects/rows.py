"""The rows of one run: encoded once, then sampled, cut and picked without decoding a cell."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa

from wbframe.errors import UsageError
from wbframe.server.projects.cache import Kept
from wbframe.server.projects.wire import (
    JSONTextError,
    cells,
    decode,
    encode,
    has_non_finite,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["MOST_SAMPLED", "History", "KeyStats", "Picked", "Spec", "SpecError", "even", "flatten"]

MOST_SAMPLED = 10_000
"""No spec of `sampledHistory` is answered with more rows, whatever its ``samples`` says."""

_DEFAULT_SAMPLES = 500
_PICKS_KEPT = 16
_NO_NUMBER = -1.7976931348623157e308


class SpecError(ValueError):
    """A spec of `sampledHistory` cannot be read."""


def even(count: int, samples: int) -> Sequence[int]:
    """Choose `samples` of `count` rows, evenly; the first and the last are always among them.

    Examples
    --------
    >>> list(even(10, 4)), list(even(3, 500))
    ([0, 3, 6, 9], [0, 1, 2])
    """
    if samples >= count:
        return range(count)
    if samples < 2:  # noqa: PLR2004 - one row has no gaps to spread over
        return range(max(samples, 0))
    return [index * (count - 1) // (samples - 1) for index in range(samples)]


def flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    """Turn nested dicts into dotted keys, as the backend does; media and empty dicts stay.

    Examples
    --------
    >>> flatten({"a": {"b": 1, "c": {"d": 2}}, "h": {"_type": "histogram"}})
    {'a.b': 1, 'a.c.d': 2, 'h': {'_type': 'histogram'}}
    """
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Mapping) and value and "_type" not in value:
            flat.update({f"{key}.{inner}": each for inner, each in flatten(value).items()})
        else:
            flat[key] = value
    return flat


def _kind(value: Any) -> str:
    """Name the type of a logged value as `historyKeys` does."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return str(value.get("_type", "map"))
    return "list"


@dataclass(slots=True)
class KeyStats:
    """What `historyKeys` says of one key."""

    counts: dict[str, int] = field(default_factory=dict)
    monotonic: bool = True
    previous: float = _NO_NUMBER

    def add(self, value: Any) -> None:
        """Count one logged value."""
        kind = _kind(value)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind == "number" and not has_non_finite(value):
            self.monotonic = self.monotonic and value >= self.previous
            self.previous = value

    def copied(self) -> KeyStats:
        """Give a copy that can be counted on."""
        return KeyStats(dict(self.counts), self.monotonic, self.previous)

    def to_json(self) -> dict[str, Any]:
        """Give the entry of `historyKeys.keys`."""
        return {
            "typeCounts": [{"type": kind, "count": count} for kind, count in self.counts.items()],
            "monotonic": self.monotonic and "number" in self.counts,
            "previousValue": self.previous,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One spec of `sampledHistory`: the keys that a row must have, and which rows."""

    keys: tuple[str, ...]
    samples: int = _DEFAULT_SAMPLES
    min_step: int | None = None
    max_step: int | None = None

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read a spec from its JSON text.

        Raises
        ------
        SpecError
            The text is no JSON object, has no ``keys``, or a number in it is none.
        """
        try:
            fields = decode(text)
        except JSONTextError as error:
            raise SpecError(f"a spec must be JSON text: {error}; got {text!r:.200}") from None
        keys = fields.get("keys") if isinstance(fields, dict) else None
        if not isinstance(keys, list) or not keys or not all(isinstance(key, str) for key in keys):
            raise SpecError(f"a spec needs `keys`, a list of names; got {text!r:.200}")
        samples = cls._whole(fields, "samples")
        if samples is not None and samples < 1:
            raise SpecError(f"`samples` of a spec must be at least 1; got {samples}")
        return cls(
            keys=tuple(dict.fromkeys(keys)),
            samples=_DEFAULT_SAMPLES if samples is None else samples,
            min_step=cls._whole(fields, "minStep"),
            max_step=cls._whole(fields, "maxStep"),
        )

    @staticmethod
    def _whole(fields: Mapping[str, Any], name: str) -> int | None:
        """Read an optional whole number of a spec."""
        value = fields.get(name)
        if value is None:
            return None
        number = whole(value)
        if number is None:
            raise SpecError(f"`{name}` of a spec must be a whole number; got {value!r:.80}")
        return number


@dataclass(frozen=True, slots=True)
class Picked:
    """The rows that hold every one of a few keys, each encoded with only those keys."""

    steps: Sequence[int]
    rows: Sequence[bytes]


class History:
    """The rows of a run in step order, each encoded once.

    Parameters
    ----------
    rows
        Row objects as logged: nested dicts are flattened to dotted keys here, a row without
        ``_step`` gets the next one, and rows are ordered by ``_step`` (ties keep their order).
    stepped
        False for machine metrics, whose rows have no ``_step``.

    Attributes
    ----------
    rows : sequence of bytes
        Each row's JSON, non-finite numbers as bare tokens.
    steps : sequence of int
        The ``_step`` of each row; its position where rows have none.
    keys : dict of str to KeyStats
        What was logged under each (flattened) key.
    last : dict
        The last value under each top-level key, nested dicts as logged.

    Examples
    --------
    >>> history = History([{"loss": 1.0}, {"loss": float("nan"), "acc": 0.5}])
    >>> history.pick(("_step", "acc")).rows
    [b'{"_step":1,"acc":0.5}']
    """

    __slots__ = ("_odd", "_picks", "_table", "keys", "last", "rows", "steps")
    rows: Sequence[bytes]
    _table: Callable[[], pa.Table] | None
    steps: Sequence[int]

    def __init__(self, rows: Iterable[Mapping[str, Any]] = (), *, stepped: bool = True) -> None:
        logged: list[Mapping[str, Any]] = []
        steps: list[int] = []
        for row in rows:
            if stepped:
                step = row.get("_step")
                step = (steps[-1] + 1 if steps else 0) if step is None else whole(step)
                if step is None:
                    raise UsageError(
                        f"row {len(steps)} has the `_step` {row['_step']!r:.80}; it is a whole number"
                    )
                logged.append({**row, "_step": step})
                steps.append(step)
            else:
                steps.append(len(steps))
                logged.append(row)
        order = sorted(range(len(steps)), key=steps.__getitem__)
        keys: dict[str, KeyStats] = {}
        last: dict[str, Any] = {}
        odd: set[int] = set()
        encoded: list[bytes] = []
        for index in order:
            row = flatten(logged[index])
            for key, value in row.items():
                keys.setdefault(key, KeyStats()).add(value)
            if has_non_finite(row):
                odd.add(len(encoded))
            encoded.append(encode(row, bare=True))
            last.update(logged[index])
        self._fill(encoded, [steps[index] for index in order], keys, last, odd)

    @classmethod
    def encoded(
        cls,
        rows: Sequence[bytes],
        steps: Sequence[int],
        keys: dict[str, KeyStats],
        last: dict[str, Any],
        *,
        table: Callable[[], pa.Table] | None = None,
    ) -> History:
        """Make a history of rows that are already encoded, flat, finite and in step order.

        Parameters
        ----------
        rows, steps, keys, last
            As the attributes.
        table
            Makes the same rows as a table, null where a key was not logged.
        """
        history = cls.__new__(cls)
        history._fill(rows, steps, keys, last, set())  # noqa: SLF001 - its own class
        history._table = table  # noqa: SLF001 - its own class
        return history

    def _fill(
        self,
        rows: Sequence[bytes],
        steps: Sequence[int],
        keys: dict[str, KeyStats],
        last: dict[str, Any],
        odd: set[int],
    ) -> None:
        """Set every attribute."""
        self.rows = rows
        self._table = None
        self.steps = steps
        self.keys = keys
        self.last = last
        self._odd = odd
        self._picks: Kept[Picked] = Kept(_PICKS_KEPT)

    def table(self) -> pa.Table | None:
        """Give the rows as a table where that is quicker than to decode them."""
        return None if self._table is None else self._table()

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        return f"<History of {len(self)} rows, {len(self.keys)} keys>"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Decode every row; non-finite numbers are floats."""
        return [json.loads(row) for row in self.rows]

    def text(self, index: int, *, bare: bool = False) -> str:
        """Give one row as JSON text, its non-finite numbers as text unless `bare`."""
        row = self.rows[index]
        if bare or index not in self._odd:
            return row.decode()
        return encode(json.loads(row)).decode()

    def texts(
        self,
        *,
        min_step: int | None = None,
        max_step: int | None = None,
        samples: int = _DEFAULT_SAMPLES,
        bare: bool = False,
    ) -> list[str]:
        """Give whole rows as JSON texts: `min_step` inclusive, `max_step` exclusive, sampled."""
        start, stop = window(self.steps, min_step, max_step, closed="left")
        return [self.text(start + each, bare=bare) for each in even(stop - start, samples)]

    def sample(self, spec: Spec, *, float_step: bool = False) -> bytes:
        """Answer one spec of `sampledHistory`: a JSON list of row objects.

        A row is in it if it holds every key of the spec (a logged null is held) and its step lies
        between ``min_step`` and ``max_step``, both inclusive. More rows than ``samples`` (or than
        `MOST_SAMPLED`) are thinned out evenly.
        """
        picked = self.pick(spec.keys, float_step=float_step)
        start, stop = window(picked.steps, spec.min_step, spec.max_step, closed="both")
        chosen = even(stop - start, min(spec.samples, MOST_SAMPLED))
        return b"[%b]" % b",".join([picked.rows[start + each] for each in chosen])

    def pick(self, keys: tuple[str, ...], *, float_step: bool = False) -> Picked:
        """Give the rows that hold all of `keys`, with only those; kept for the next request."""
        return self._picks.get((keys, float_step), lambda: self._pick(keys, float_step=float_step))

    def between(self, min_step: int | None, max_step: int | None) -> range:
        """Give the positions of the rows of a range of steps, both bounds inclusive."""
        return range(*window(self.steps, min_step, max_step, closed="both"))

    def chosen(self, rows: Sequence[int]) -> History:
        """Give a history of some of the rows; `keys` and `last` stay those of all."""
        if len(rows) == len(self):
            return self
        stored = self.rows
        history = History.__new__(History)
        odd = {index for index, row in enumerate(rows) if row in self._odd}
        steps = [self.steps[row] for row in rows]
        history._fill([stored[row] for row in rows], steps, self.keys, self.last, odd)  # noqa: SLF001
        return history

    def extended(self, rows: Iterable[Mapping[str, Any]]) -> History:
        """Give a history with more rows: a row without ``_step`` gets the one behind the last."""
        first = self.steps[-1] + 1 if len(self) else 0
        more = History(
            row if index or row.get("_step") is not None else {**row, "_step": first}
            for index, row in enumerate(rows)
        )
        steps = [*self.steps, *more.steps]
        stored = [*self.rows, *more.rows]
        odd = self._odd | {index + len(self) for index in more._odd}
        order = sorted(range(len(steps)), key=steps.__getitem__)
        history = History.__new__(History)
        history._fill(  # noqa: SLF001 - its own class
            [stored[row] for row in order],
            [steps[row] for row in order],
            {key: stats.copied() for key, stats in self.keys.items()},
            {**self.last, **more.last},
            {index for index, row in enumerate(order) if row in odd},
        )
        for row in more.to_dicts():
            for key, value in row.items():
                history.keys.setdefault(key, KeyStats()).add(value)
        return history

    def objects(self, rows: Sequence[int], keys: Iterable[str]) -> list[bytes]:
        """Give some rows with those of a few keys that each holds, ``_step`` spelled as float.

        A row that holds none of them is left out.
        """
        names = [(key, encode(key)) for key in dict.fromkeys(keys)]
        found = []
        table = self.table() if len(rows) else None
        if table is not None:
            return self._objects_of_table(table, rows, [key for key, _ in names])
        stored = self.rows
        for index in rows:
            row = stored[index] if index not in self._odd else self.text(index).encode()
            there = cells(row)
            held = [
                b"%b:%b%b" % (name, there[key], b".0" if key == "_step" else b"")
                for key, name in names
                if key in there
            ]
            if held:
                found.append(b"{%b}" % b",".join(held))
        return found

    @staticmethod
    def _objects_of_table(table: pa.Table, rows: Sequence[int], keys: list[str]) -> list[bytes]:
        """Give the same as `objects`, of a table of numbers."""
        held = [key for key in keys if key in table.column_names]
        if not held:
            return []
        chosen = table.select(held).take(pa.array(rows, pa.int64()))
        columns = [
            chosen[key].cast(pa.float64()) if key == "_step" else chosen[key] for key in held
        ]
        listed = zip(*(column.to_pylist() for column in columns), strict=True)
        objects = [
            {key: value for key, value in zip(held, row, strict=True) if value is not None}
            for row in listed
        ]
        return [msgspec.json.encode(row) for row in objects if row]

    def _pick(self, keys: tuple[str, ...], *, float_step: bool) -> Picked:
        """Pick afresh."""
        steps: list[int] = []
        rows: list[bytes] = []
        if any(key not in self.keys for key in keys):
            return Picked(steps, rows)
        template = b"{%b}" % b",".join(
            encode(key).replace(b"%", b"%%")
            + (b":%b.0" if float_step and key == "_step" else b":%b")
            for key in keys
        )
        stored = self.rows
        for index, step in enumerate(self.steps):
            row = stored[index] if index not in self._odd else self.text(index).encode()
            there = cells(row)
            try:
                rows.append(template % tuple([bytes(there[key]) for key in keys]))
            except KeyError:
                continue
            steps.append(step)
        return Picked(steps, rows)


def window(
    steps: Sequence[int],
    min_step: int | None,
    max_step: int | None,
    *,
    closed: Literal["left", "both"],
) -> tuple[int, int]:
    """Find the rows of a step range: ``rows[start:stop]``; an empty one has ``start == stop``."""
    start = 0 if min_step is None else bisect_left(steps, min_step)
    side = bisect_left if closed == "left" else bisect_right
    stop = len(steps) if max_step is None else side(steps, max_step)
    return start, max(start, stop)
