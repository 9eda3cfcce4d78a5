"""Decoding alone, in this process, on one thread of Python: bytes of rows to a frame.

Beside it on the same bytes: a bare simdjson parse where `pysimdjson` is installed, `msgspec` and `json`; and what
else makes columns of them, with none of the guards: the JSON readers of polars and Arrow, `msgspec`'s objects.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.json as pa_json

from benchmarks.measuring import Row
from benchmarks.options import Options, Scenario
from wbframe.core.decode.rows import decode_lists, decode_rows
from wbframe.server import synthetic

_KEYS = 10
BARE = "simdjson, bare parse"


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


Work = Callable[[list[bytes]], object]


def _each(work: Callable[[bytes], object]) -> Work:
    """Do the work on one array after the other, and keep nothing."""

    def every(arrays: list[bytes]) -> None:
        for each in arrays:
            work(each)

    return every


def _readers(schema: dict[str, pl.DataType]) -> dict[str, Work]:
    """Give wbframe's own ways: of one request's arrays together, as it reads, and one by one."""
    return {
        "decode_lists": lambda arrays: decode_lists(arrays, schema),
        "decode_rows": _each(lambda each: decode_rows(each, schema)),
    }


def _parsers() -> dict[str, Work]:
    """Give what a bare parse is."""
    parsers: dict[str, Work] = {}
    try:
        import simdjson

        parsers[BARE] = _each(simdjson.Parser().parse)
    except ImportError:
        pass
    raw = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
    return {
        **parsers,
        "msgspec, to Raw": _each(raw.decode),
        "msgspec, to dicts": _each(msgspec.json.Decoder().decode),
        "json": _each(json.loads),
    }


def _columns() -> dict[str, Work]:
    """Give other ways to columns; none of them looks whether a value was rounded, cut or taken for another."""
    names = ("_step", "_runtime", "_timestamp", *(f"metric/{each:02d}" for each in range(_KEYS)))
    schema = dict.fromkeys(names, pl.Float64())
    fields = [(f"c{at}", float, msgspec.field(name=name)) for at, name in enumerate(names)]
    structs = msgspec.json.Decoder(list[msgspec.defstruct("Row", fields, gc=False)])  # type: ignore[misc]
    parse = pa_json.ParseOptions(explicit_schema=pa.schema(dict.fromkeys(names, pa.float64())))
    alone = pa_json.ReadOptions(use_threads=False)

    def lines(arrays: list[bytes]) -> bytes:
        return b"\n".join(each[1:-1].replace(b"},{", b"}\n{") for each in arrays)

    def tuples(each: bytes) -> pl.DataFrame:
        rows = zip(*map(msgspec.structs.astuple, structs.decode(each)), strict=True)
        return pl.DataFrame(dict(zip(names, rows, strict=True)), schema=schema)

    return {
        "pl.read_json": _each(lambda each: pl.read_json(each, schema=schema)),
        "pl.read_ndjson, of lines": lambda arrays: pl.read_ndjson(lines(arrays), schema=schema),
        "pyarrow.json, of lines": lambda arrays: pa_json.read_json(
            pa.BufferReader(lines(arrays)), read_options=alone, parse_options=parse
        ),
        "msgspec, to structs to polars": _each(tuples),
    }


def run(options: Options) -> list[Row]:
    """Measure every kind of value."""
    lists = _lists(2, 20) if options.smoke else _lists(20, 500)
    repeats = 1 if options.smoke else 3 * options.repeats
    parsers = _parsers()
    found = []
    number = {f"metric/{each:02d}": pl.Float64() for each in range(_KEYS)}
    columns = {"_step": pl.Int64(), "_runtime": pl.Float64(), "_timestamp": pl.Float64(), **number}
    schemas = {
        "integers of 61 bits": {**columns, "metric/03": pl.Int64()},
        "text in one key": {**columns, "metric/03": pl.String()},
    }
    for case, arrays in lists.items():
        timed = _readers(schemas.get(case, columns))
        bare = {k: v for k, v in parsers.items() if k == BARE}
        timed |= {**parsers, **_columns()} if case == "numbers" else bare
        wall: dict[str, list[float]] = {name: [] for name in timed}
        cpu: dict[str, list[float]] = {name: [] for name in timed}
        for _ in range(repeats):
            for name, work in timed.items():
                started, worked = time.perf_counter(), time.process_time()
                work(arrays)
                wall[name].append(time.perf_counter() - started)
                cpu[name].append(time.process_time() - worked)
        size = sum(map(len, arrays))
        for name in timed:
            row = Row(
                scenario="decode", case=case, reader=name, seconds=statistics.median(wall[name])
            )
            row.all_seconds, row.cpu_seconds = wall[name], statistics.median(cpu[name])
            row.bytes, row.rows = size, sum(each.count(b'"_step"') for each in arrays)
            row.ratio = row.cpu_seconds / statistics.median(cpu[BARE]) if BARE in cpu else None
            row.extra["MB a CPU second"] = round(size / row.cpu_seconds / 1e6)
            found.append(row)
    return found


SCENARIO = Scenario(
    "decode", "bytes of rows to a frame (ratio: CPU time to that of a bare simdjson parse)", run
)
