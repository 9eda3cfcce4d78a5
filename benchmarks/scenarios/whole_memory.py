"""Whole histories batch by batch: peak memory at 1, 4 and 16 times the size; and how far from Parquet itself."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

import wbframe
from benchmarks.hosting import PATH, ROOT, Host
from benchmarks.measuring import Row
from benchmarks.options import Options, Scenario
from benchmarks.readers.own import client_of, memory
from wbframe.core.paths import parse_path
from wbframe.core.protocol.exports import exports_answer, exports_request
from wbframe.io.read.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

_ROWS, _KEYS = 20_000, 10


def streamed(args: dict[str, Any]) -> Callable[[], int]:
    """Prepare to read every batch, and to keep none."""
    client = client_of(args)
    reader = wbframe.arrow.histories_reader(PATH, samples=None, client=client)
    return lambda: sum(batch.num_rows for batch in reader)


def whole(args: dict[str, Any]) -> Callable[[], int]:
    """Prepare to read one frame."""
    import polars as pl

    client = client_of(args)
    list_runs(client)
    read: Callable[..., pl.DataFrame] = pl.read_wandb_histories
    return lambda: read(PATH, samples=None, client=client).height


def list_runs(client: wbframe.Client) -> list[str]:
    """Name the runs; opens the connection."""
    import polars as pl

    return pl.read_wandb_runs(PATH, columns=["run_id"], client=client)["run_id"].to_list()


def from_memory(args: dict[str, Any]) -> Callable[[], int]:
    """Prepare to parse the same files with pyarrow: their bytes are in memory before the clock starts."""
    client = client_of(args)
    path = parse_path(PATH)
    run_ids = list_runs(client)
    storage = Storage(client)
    request = exports_request(path, run_ids)
    exports = exports_answer(client.send(request), request, path, run_ids)
    files = [storage.get(url, None).content for each in exports for url in each.urls]
    return lambda: pa.concat_tables(pq.read_table(pa.BufferReader(each)) for each in files).num_rows


_JOBS = {each.__name__: each for each in (streamed, whole, from_memory)}


def main() -> None:
    """Run the job that the arguments name; print what it took."""
    args = json.loads(sys.argv[1])
    job = _JOBS[args["job"]](args)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins here
    before = memory("VmRSS")
    started = time.perf_counter()
    rows = job()
    seconds = time.perf_counter() - started
    peak = memory("VmHWM") - before
    print(json.dumps({"seconds": seconds, "rows": rows, "peak_bytes": peak}), flush=True)
    os._exit(0)  # Arrow's own threads do not always let a process end in peace


def _measured(host: Host, job: str) -> dict[str, Any]:
    """Run a job in a fresh process."""
    args = {"url": host.url, "api_key": host.api_key, "job": job}
    command = [sys.executable, "-m", "benchmarks.scenarios.whole_memory", json.dumps(args)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if ended.returncode:
        raise RuntimeError(f"{job} failed:\n{ended.stderr[-4000:]}")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def _best(host: Host, job: str, case: str, repeats: int) -> Row:
    """Run a job several times; the quickest counts, after one that lets the host make its files."""
    found = min((_measured(host, job) for _ in range(repeats)), key=lambda each: each["seconds"])
    return Row(scenario="whole_memory", case=case, reader=job, **found)


def run(options: Options) -> list[Row]:
    """Measure memory by size, then time beside the limit."""
    rows, keys = (200, 3) if options.smoke else (_ROWS, _KEYS)
    sizes = (1, 2) if options.smoke else (1, 4, 16)
    found = []
    for size in sizes:
        with Host(runs=16 * size, rows=rows, keys=keys, exported=True) as host:
            case = f"{size}x: {16 * size * rows * (keys + 3) / 1e6:.1f} million cells"
            row = _best(host, "streamed", case, 1)
            row.ratio = (row.peak_bytes or 0) / (found[0].peak_bytes or 1) if found else 1.0
            found.append(row)
    few = 2 if options.smoke else 8  # as many files as the host keeps ready
    with Host(runs=few, rows=rows, keys=keys, exported=True) as host:
        _measured(host, "whole")
        case = f"limit: {few} files of {rows} rows"
        repeats = 1 if options.smoke else max(options.repeats, 3)
        pair = [_best(host, job, case, repeats) for job in ("from_memory", "whole")]
    for row in pair:
        row.ratio = row.seconds / pair[0].seconds
    return found + pair


SCENARIO = Scenario(
    "whole_memory", "peak memory of whole histories in batches, as a project grows", run
)


if __name__ == "__main__":
    main()
