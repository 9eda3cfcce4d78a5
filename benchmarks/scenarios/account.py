"""Where the seconds of a read of histories go: its answers are recorded, and each step is done again alone.

Every step is measured by itself, on one thread in this process; only what no step explains is a difference.
"""

from __future__ import annotations

import statistics
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import polars as pl

import wbframe
from benchmarks.hosting import PATH, Host
from benchmarks.measuring import OWN, Reader, Row, once, warm
from benchmarks.options import Options, Scenario
from wbframe.core.decode.rows import decode_lists
from wbframe.core.histories.frame import Assembly
from wbframe.core.histories.rows import TaskRows, read_answer
from wbframe.core.protocol.rows import rows_at_once
from wbframe.io.read import histories as reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import msgspec

    from wbframe.core.histories.tasks import HistoryTask
    from wbframe.core.protocol.request import Request

    Answer = tuple[HistoryTask, bytes, Request]

_GZIP = 31  # what zlib calls a gzip wrapper and the largest window


def _recorded(host: Host, args: dict[str, Any]) -> list[Answer]:
    """Read once, and keep the answers that were decoded, in their order."""
    answers: list[Answer] = []
    host.clear()

    def recording(task: HistoryTask, content: bytes, request: Request) -> TaskRows:
        answers.append((task, content, request))
        return read_answer(task, content, request)

    kept = reading.read_answer
    reading.read_answer = recording
    try:
        with wbframe.Client(host.url, host.api_key) as client:
            wbframe.polars.read_histories(PATH, client=client, **args)
    finally:
        reading.read_answer = kept
    return sorted(answers, key=lambda each: each[0].runs[0].ordinal)


def _opened(answers: Sequence[Answer]) -> list[list[msgspec.Raw]]:
    """Open answers: of each the row lists of all its runs, their bytes untouched."""
    found = []
    for task, content, request in answers:
        rows = rows_at_once(content, request, task.rows_of())
        assert rows is not None
        found.append([each for run in rows for each in run.sampled_history or []])
    return found


def _assembled(answers: Sequence[Answer], rows: Sequence[TaskRows]) -> pl.DataFrame:
    """Put the rows of all answers one below the other."""
    schema, assembly = answers[0][0].schema, Assembly()
    for each in rows:
        assembly.add(dict(each.frames), schema)
    run_ids = {run.ordinal: run.run_id for task, _, _ in answers for run in task.runs}
    return assembly.whole(run_ids, schema)


def _steps(host: Host, args: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """Name what is done again; each step has what it needs at hand."""
    answers = _recorded(host, args)
    packed: list[bytes] = []
    host.replay(packed)
    opened = _opened(answers)
    lists = [[bytes(raw) for raw in each] for each in opened]
    schema = answers[0][0].schema
    columns = {**schema.lead, **schema.keys}
    numbers = dict.fromkeys(columns, pl.Float64())
    zlib = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")
    steps: dict[str, Callable[[], object]] = {
        "taking the answers": host.replay,
        "inflate": lambda: [zlib.decompressobj(_GZIP).decompress(each) for each in packed],
        "open": lambda: _opened(answers),
        "pl.read_json": lambda: [pl.read_json(x, schema=numbers) for each in lists for x in each],
        "decode_lists": lambda: [decode_lists(each, columns) for each in lists],
        "read_answer": lambda: [read_answer(*each) for each in answers],
        "read_answer, Assembly": lambda: _assembled(answers, [read_answer(*x) for x in answers]),
    }
    if find_spec("simdjson"):
        parse = import_module("simdjson").Parser().parse
        steps["simdjson, bare parse"] = lambda: [parse(x) and None for each in lists for x in each]
    return steps


def _measured(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Give the seconds and the CPU seconds of some work, each the median."""
    wall, cpu = [], []
    for _ in range(repeats):
        started, worked = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - worked)
    return statistics.median(wall), statistics.median(cpu)


def run(options: Options) -> list[Row]:
    """Measure the whole read in processes of its own, then its steps."""
    runs, rows, keys = (4, 20, 3) if options.smoke else (200, 500, 10)
    args: dict[str, Any] = {
        "keys": [f"metric/{each:02d}" for each in range(keys)],
        "samples": rows,
    }
    own = Reader(name=OWN, job="histories", args=args)
    with Host(runs=runs, rows=rows, keys=keys) as host:
        warm(host, [own], options)
        wholes, served = [], []
        for _ in range(options.repeats):
            before = host.cpu_seconds()
            wholes.append(once(host, own))
            served.append(host.cpu_seconds() - before)
        steps = _steps(host, args)
        found = {name: _measured(work, options.repeats) for name, work in steps.items()}
    cpu = {name: each[1] for name, each in found.items()}
    whole, caller, wall = (
        statistics.median(each[name] for each in wholes)
        for name in ("cpu_seconds", "caller_cpu_seconds", "seconds")
    )
    server = statistics.median(served)
    parts = {
        "taking the answers off the wire, by http.client": cpu["taking the answers"],
        "inflate": cpu["inflate"],
        "opening the answers: msgspec, rows untouched": cpu["open"],
        "pl.read_json of the rows, alone": cpu["pl.read_json"],
        "guards and casts: decode_lists without pl.read_json": cpu["decode_lists"]
        - cpu["pl.read_json"],
        "by run: read_answer without decode_lists, and opening": cpu["read_answer"]
        - cpu["decode_lists"]
        - cpu["open"],
        "one frame of all runs": cpu["read_answer, Assembly"] - cpu["read_answer"],
    }
    parts["everything else: listing, requests, threads (difference)"] = whole - sum(parts.values())
    case = f"{runs} x {rows} x {keys}, 0 ms"
    shown = {
        "whole read, clock and CPU": (wall, whole),
        "of it on the caller's thread": (caller, caller),
        "beside it, the server's process": (server, server),
        **{name: (seconds, seconds) for name, seconds in parts.items()},
    }
    if "simdjson, bare parse" in cpu:
        bare = cpu["simdjson, bare parse"]
        shown["for comparison: bare simdjson parse of the rows"] = (bare, bare)
    return [
        Row(
            scenario="account",
            case=case,
            reader=name,
            seconds=clock,
            cpu_seconds=seconds,
            ratio=seconds / whole,
            rows=wholes[-1]["rows"],
        )
        for name, (clock, seconds) in shown.items()
    ]


SCENARIO = Scenario("account", "where the CPU time of a read goes (ratio: share of all of it)", run)
