"""A fixed battery of reads, and what becomes of each on a server that differs.

Each read goes through a public face with a client of its own, and gives plain values that can be compared. Waits
are on a clock that jumps; a read that takes too long is left alone, and its server stopped.
"""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import graphql
import polars as pl
import pyarrow.parquet  # noqa: F401 - a first import takes longer than a read may

import wbframe
import wbframe.errors
from tests.clocks import FakeClock
from tests.differing.project import long, small
from tests.differing.reads import READS
from wbframe.errors import WbframeError, WbframeWarning
from wbframe.server import DIFFERENCES, serve
from wbframe.server.differing import Differing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wbframe.server import LoggedRequest
    from wbframe.server.http import Server

DEADLINE = (
    20.0  # real seconds for one read: one that is only slow, beside others, is none that hangs
)
MOST_WAITED = 30.0  # seconds on the clock that jumps; the policy allows two for each request
TIMEOUT = 0.8
RETRY = wbframe.RetryPolicy(tries=3, first_wait=0.01, seconds=2)


logging.getLogger("aiohttp.server").disabled = True  # it tells of clients that gave up

OURS = re.compile("|".join(each for each in dir(wbframe.errors) if each.endswith("Error")))


# ---------------------------------------------------------------- what came of it


@dataclass
class Outcome:
    """What became of one read.

    `kind` is ``ok``, ``warned`` (other values, and a warning), ``WRONG`` (other values in silence), ``error`` (one of
    ours), ``RAW`` (any other error), ``HANG``, ``WAITS``, or ``skipped`` behind two reads that hung.
    """

    kind: str
    detail: str = ""
    requests: int = 0
    seconds: float = 0.0
    value: Any = field(default=None, repr=False)
    warned: tuple[str, ...] = ()
    log: list[LoggedRequest] = field(default_factory=list, repr=False)
    files: bool = False


def comparable(value: Any) -> Any:
    """Give a value of any face as names and rows of plain values; NaN becomes text."""
    if isinstance(value, pl.DataFrame):
        schema = {name: str(dtype) for name, dtype in value.schema.items()}
        return schema, [_plain(row) for row in value.rows()]
    if hasattr(value, "to_dict") and hasattr(value, "dtypes"):
        schema = {name: str(dtype) for name, dtype in value.dtypes.items()}
        return schema, [_plain(row) for row in value.itertuples(index=False, name=None)]
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value
    if isinstance(value, str) and value.startswith("{"):
        # The order of the keys of an object is none of its value; files and rows differ in it.
        with suppress(ValueError):
            return json.dumps(json.loads(value), sort_keys=True)
    return value


@contextmanager
def served(differing: Mapping[str, Any] | None) -> Iterator[Server]:
    with serve([_small(), _long()], differing=differing) as server:
        yield server


@cache
def _small():
    return small()


@cache
def _long():
    return long()


def outcome(server: Server, name: str, timeout: float = TIMEOUT) -> Outcome:
    """Read once; values are not yet compared."""
    clock = FakeClock()
    server.clear()
    client = wbframe.Client(
        server.url, server.api_key, retry=RETRY, timeout=timeout, clock=clock, concurrency=2
    )
    box: list[Outcome] = []

    def work() -> None:
        try:
            box.append(Outcome("ok", value=READS[name](client)))
        except WbframeError as error:
            box.append(Outcome("error", _told(error)))
        except (pl.exceptions.ColumnNotFoundError, pl.exceptions.ComputeError) as error:
            # polars tells of an unknown column itself, and hands on our errors as text
            ours = isinstance(error, pl.exceptions.ColumnNotFoundError) or OURS.search(str(error))
            box.append(Outcome("error" if ours else "RAW", _told(error)))
        except Exception as error:  # noqa: BLE001 - told as what it is
            box.append(Outcome("RAW", _told(error)))

    started = time.monotonic()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(DEADLINE)
    found = box[0] if box else Outcome("HANG", f"not done after {DEADLINE:.0f} s")
    found.requests = len(server.requests) + len(server.storage_requests)
    found.log = server.requests
    found.files = bool(server.storage_requests)
    found.seconds = time.monotonic() - started
    found.warned = tuple(
        f"{each.category.__name__}: {each.message}"
        for each in caught
        if issubclass(each.category, WbframeWarning)
    )
    if box and sum(clock.waits) > MOST_WAITED:
        found.kind, found.detail = "WAITS", f"{sum(clock.waits):.0f} s; {found.detail}"
    client.close()
    return found


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def battery(
    differing: Mapping[str, Any] | None, reads: list[str] | None = None
) -> dict[str, Outcome]:
    """Do every read on a server that differs."""
    found: dict[str, Outcome] = {}
    left = list(READS if reads is None else reads)
    hung = 0
    hangs = "hangs" in (differing or {}).values()
    while left:
        with served(differing) as server:
            while left:
                name = left.pop(0)
                if hung >= 2:
                    found[name] = Outcome("skipped", "behind two reads that hung")
                    continue
                found[name] = outcome(server, name, TIMEOUT / 2 if hangs else TIMEOUT)
                if found[name].kind == "HANG":
                    hung += 1
                    break  # stops the server, and so what still asks it
    return found


MANY = 0.8
FEW_THAT_HANG = 4
FEW = [
    "runs_all", "runs_named", "runs_parent", "scan_all", "scan_filter", "scan_len", "rows_keys", "rows_all",
    "rows_whole_keys", "scan_rows_head", "long_whole_window", "dropin_runs", "dropin_scan", "pandas_rows",
]  # fmt: skip


@cache
def truth() -> dict[str, Outcome]:
    """Give what every read gives on a server that does not differ."""
    battery(None)  # once for what is made at first
    return battery(None)


def touched(differing: Mapping[str, Any]) -> list[str]:
    """Name the reads that ask for something that a server answers otherwise.

    A read to which every request is answered as before gives what it gave before, so it is not done again. Where
    nearly every read is touched, as by a byte order mark, a few stand for all.
    """
    differs = Differing.of(differing)
    found = [name for name, each in truth().items() if _touches(differs, each)]
    if "hangs" in differing.values():
        return [name for name in found if name in FEW][:FEW_THAT_HANG]
    return FEW if len(found) > MANY * len(READS) else found


_TYPES = {
    "project": "Project",
    "run": "Run",
    "node": "Run",
    "runs": "RunConnection",
    "sweep": "Sweep",
}


def _touches(differs: Differing, true: Outcome) -> bool:
    chosen = [DIFFERENCES[name] for name, _ in differs.chosen]
    filters = all(each.name.startswith("filter_") for each in chosen)
    windows = all(
        each.name.endswith(("_exclusive", "_inclusive", "_empty")) or each.name == "bounds_ignored"
        for each in chosen
    )
    if any(each.after for each in chosen) or (true.files and "file_nested" in dict(differs.chosen)):
        return True
    for serial, request in enumerate(true.log):
        body = json.dumps(
            {"query": request.document, "variables": dict(request.variables)}
        ).encode()
        asking = differs.asking(graphql.parse(request.document), body, {}, serial)
        if differs.before(asking) is not None:
            return True
        if filters and request.variables.get("filters") in (None, "{}"):
            continue
        if windows and b"Step" not in body.partition(b"variables")[2]:
            continue
        paths = [each.path.split(".") for each in asking.selected]
        if differs.fields & {
            f"{_TYPES.get(path[-2])}.{path[-1]}" for path in paths if len(path) > 1
        }:
            return True
    return False


def judged(
    differing: Mapping[str, Any],
    reads: list[str] | None = None,
    *,
    ignored: frozenset[str] = frozenset(),
    unordered: bool = False,
    more: str = "",
) -> dict[str, Outcome]:
    """Do every read, and compare its values with the truth."""
    found = battery(differing, touched(differing) if reads is None else reads)
    for name, each in found.items():
        true = truth()[name]
        if each.kind != "ok":
            continue
        what = difference(true.value, each.value, ignored=ignored, unordered=unordered, more=more)
        if what:
            each.kind = "warned" if each.warned else "WRONG"
            each.detail = what
    return found


def difference(
    true: Any, got: Any, *, ignored: frozenset[str], unordered: bool, more: str = ""
) -> str:
    """Say in what a value differs from the true one; empty where it does not.

    `more` says what columns there may be besides: ``"nulls"`` alone, ``"any"``, or none.
    """
    left, right = comparable(true), comparable(got)
    if left == right:
        return ""
    if not (isinstance(left, tuple) and isinstance(right, tuple)):
        if isinstance(left, list) and isinstance(right, list):
            if unordered and sorted(map(repr, left)) == sorted(map(repr, right)):
                return ""
            return _rows_differ(left, right)
        return f"{_short(right)} in place of {_short(left)}"
    return _frames_differ(left, right, ignored=ignored, unordered=unordered, allowed=more)


def _frames_differ(left, right, *, ignored, unordered, allowed) -> str:
    lost = [name for name in left[0] if name not in right[0] and name not in ignored]
    more = [
        name
        for i, name in enumerate(right[0])
        if name not in left[0]
        and not (
            allowed == "any"
            or (allowed == "nulls" and all(row[i] in (None, "NaN") for row in right[1]))
        )
    ]
    if lost or more:
        parts = [f"columns lost {lost}"] * bool(lost) + [f"columns more {more}"] * bool(more)
        return "; ".join(parts)
    types = {
        n: (left[0][n], right[0][n])
        for n in left[0]
        if n not in ignored and left[0][n] != right[0][n]
    }
    if types:
        return "types " + ", ".join(f"{n}: {b} for {a}" for n, (a, b) in list(types.items())[:4])
    kept = [n for n in left[0] if n not in ignored]
    one, other = (
        [[row[list(schema).index(n)] for n in kept] for row in rows]
        for schema, rows in (left, right)
    )
    if unordered:
        one, other = sorted(one, key=repr), sorted(other, key=repr)
    return "" if one == other else _rows_differ(one, other, kept)


def _rows_differ(one: list, other: list, names: list[str] | None = None) -> str:
    if len(one) != len(other):
        return f"{len(other)} rows in place of {len(one)}"
    at = next(i for i, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)
    many = sum(a != b for a, b in zip(one, other, strict=True))
    if names:
        cells = [
            f"{n}={_short(b)} for {_short(a)}"
            for n, a, b in zip(names, one[at], other[at], strict=True)
            if a != b
        ]
        return f"{many} rows differ, first row {at}: {', '.join(cells[:3])}"
    return f"{many} rows differ, first row {at}: {_short(other[at])} for {_short(one[at])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."
