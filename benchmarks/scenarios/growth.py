"""How the cost of a read grows with each thing that it may grow with, one at a time.

Beside each row stands the seconds for a unit of what grows (a run, a key, a step), and that divided by the
same of the row before: at most 1 is linear or better.
"""

from __future__ import annotations

from typing import Any

from benchmarks.hosting import Host
from benchmarks.measuring import OWN, Reader, Row, once, pairs
from benchmarks.options import Options, Scenario

# What grows -> (the sizes, what is fixed beside them, the job and its arguments)
_BASE = {"runs": 100, "rows": 100, "keys": 10}
_RUNS = (10, 100, 1000, 10_000)
_KEYS = (1, 10, 100, 1000)
_STEPS = (10, 100, 1000, 10_000, 100_000, 1_000_000)
_LATENCY = (0, 20, 100, 300)
_CADENCE = ((1,), (1, 10), (1, 3, 10, 50))


def _row(
    what: str, size: float, project: dict[str, Any], reader: Reader, repeats: int, **host: Any
) -> Row:
    """Measure one size."""
    latency = host.pop("latency", 0)
    with Host(**project, **host) as served:
        once(served, reader)
        served.latency(latency)
        [row] = pairs("growth", f"{what} {size:,}", served, [reader], repeats)
    row.extra = {"what": what, "size": size}
    return row


def _related(rows: list[Row]) -> list[Row]:
    """Add the cost of a unit, and how it changed from the row before."""
    before: float | None = None
    for row in rows:
        unit = row.seconds / max(row.extra["size"], 1)
        row.extra["microseconds_a_unit"] = unit * 1e6
        row.ratio = None if before is None else unit / before
        before = unit
    return rows


def run(options: Options) -> list[Row]:
    """Grow one thing after the other."""
    repeats = min(options.repeats, 3)
    sampled = Reader(name=OWN, job="histories", args={"keys": None, "samples": 500})
    named = {"keys": ["metric/*"], "samples": 500}
    whole = Reader(name=f"{OWN}, every row", job="histories", args={"keys": None, "samples": None})
    globbed = Reader(name=f"{OWN}, keys", job="histories", args=named)
    table = Reader(name=f"{OWN}, runs frame", job="runs", args={})
    found = []
    if options.smoke:
        return [_row("runs", 10, {**_BASE, "runs": 10}, globbed, 1)]
    for reader in (globbed, table):
        found += _related(
            [
                _row(f"runs ({reader.job})", size, {**_BASE, "rows": 20, "runs": size}, reader, repeats)
                for size in _RUNS
            ]
        )  # fmt: skip
    for reader in (globbed, sampled):
        what = "keys named" if reader is globbed else "keys, all"
        found += _related(
            [
                _row(what, size, {**_BASE, "runs": 20, "keys": size}, reader, repeats)
                for size in _KEYS
            ]
        )
    found += _related(
        [
            _row("steps (exported)", size, {"runs": 1, "rows": size, "keys": 10}, whole, repeats, exported=True)
            for size in _STEPS
        ]
    )  # fmt: skip
    found += _related(
        [
            _row("steps (live)", size, {"runs": 1, "rows": size, "keys": 10}, whole, repeats)
            for size in _STEPS[:5]
        ]
    )
    for latency in _LATENCY:
        found.append(
            _row("latency ms", latency, _BASE, globbed, repeats, latency=latency),
        )
    for cadence in _CADENCE:
        row = _row(
            "spread of cadences", max(cadence), {**_BASE, "cadence": cadence}, globbed, repeats
        )
        found.append(row)
    return found


SCENARIO = Scenario("growth", "how the cost grows with runs, keys, steps, latency, sparsity", run)
