"""Decoding alone, in this process, on one thread of Python: bytes of rows to a frame.

Beside it on the same bytes: a bare simdjson parse where `pysimdjson` is installed, `msgspec` and `json`.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from benchmarks.measuring import Row
from benchmarks.options import Options, Scenario
from wbframe.core.decode import decode_rows, join_texts
from wbframe.server import synthetic

if TYPE_CHECKING:
    from collections.abc import Callable

_KEYS = 10


def _lists(runs: int, rows: int) -> dict[str, list[bytes]]:
    """Make the row lists of some runs: easy, and hard in the ways that histories are."""
    project = synthetic(runs=runs, rows=rows, keys=_KEYS)
    easy = [b"[" + b",".join(run.history.rows) + b"]" for run in project.runs]
    parsed = [json.loads(each) for each in easy]

    def with_each(change: Callable[[int, dict[str, Any]], None]) -> list[bytes]:
        for each in (copies := [[dict(row) for row in run] for run in parsed]):
            for at, row in enumerate(each):
                change(at, row)
        return [json.dumps(each, separators=(",", ":")).encode() for each in copies]

    def nan(at: int, row: dict[str, Any]) -> None:
        if at % 7 == 0:
            row["metric/03"] = "NaN"

    def long_integer(at: int, row: dict[str, Any]) -> None:
        row["metric/03"] = 2**60 + at

    def text(at: int, row: dict[str, Any]) -> None:
        row["metric/03"] = f"phase {at % 5}"

    return {
        "numbers": easy,
        "NaN in one key": with_each(nan),
        "integers of 61 bits": with_each(long_integer),
        "text in one key": with_each(text),
    }


def _seconds(work: Callable[[bytes], object], lists: list[bytes], repeats: int) -> list[float]:
    """Time the work on all lists."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        for each in lists:
            work(each)
        found.append(time.perf_counter() - started)
    return found


def _parsers() -> dict[str, Callable[[bytes], object]]:
    """Give what a bare parse is."""
    parsers: dict[str, Callable[[bytes], object]] = {}
    try:
        import simdjson

        parser = simdjson.Parser()
        parsers["simdjson, bare parse"] = parser.parse
    except ImportError:
        pass
    raw = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
    objects = msgspec.json.Decoder()
    return {
        **parsers,
        "msgspec, to Raw": raw.decode,
        "msgspec, to dicts": objects.decode,
        "json": json.loads,
    }


def run(options: Options) -> list[Row]:
    """Measure every kind of value."""
    lists = _lists(2, 20) if options.smoke else _lists(50, 500)
    repeats = 1 if options.smoke else max(options.repeats, 7)
    parsers = _parsers()
    found = []
    number = {f"metric/{each:02d}": pl.Float64() for each in range(_KEYS)}
    columns = {"_step": pl.Int64(), "_runtime": pl.Float64(), "_timestamp": pl.Float64(), **number}
    schemas = {
        "integers of 61 bits": {**columns, "metric/03": pl.Int64()},
        "text in one key": {**columns, "metric/03": pl.String()},
    }
    for case, raw in lists.items():
        schema = schemas.get(case, columns)
        size = sum(map(len, raw))
        texts = [json.dumps([json.dumps(row) for row in json.loads(each)]).encode() for each in raw]
        timed: dict[str, tuple[Callable[[bytes], object], list[bytes]]] = {
            "decode_rows": (lambda each, schema=schema: decode_rows(each, schema), raw),
            "join_texts and decode_rows": (
                lambda each, schema=schema: decode_rows(join_texts(each), schema),
                texts,
            ),
        }
        if case == "numbers":
            timed |= {name: (parse, raw) for name, parse in parsers.items()}
        elif "simdjson, bare parse" in parsers:
            timed["simdjson, bare parse"] = (parsers["simdjson, bare parse"], raw)
        measured: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(repeats):
            for name, (work, given) in timed.items():
                measured[name] += _seconds(work, given, 1)
        bare = measured.get("simdjson, bare parse")
        for name, seconds in measured.items():
            row = Row(
                scenario="decode",
                case=case,
                reader=name,
                seconds=statistics.median(seconds),
                all_seconds=seconds,
                bytes=size,
                rows=sum(each.count(b'"_step"') for each in raw),
            )
            row.ratio = row.seconds / statistics.median(bare) if bare else None
            row.extra["megabytes_a_second"] = round(size / row.seconds / 1e6)
            found.append(row)
    return found


SCENARIO = Scenario("decode", "bytes of rows to a frame (ratio: to a bare simdjson parse)", run)
