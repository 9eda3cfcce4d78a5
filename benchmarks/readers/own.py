"""Reads with wbframe; a process runs one job, its imports done and nothing yet sent when the clock starts.

The modules that wbframe imports when it reads are imported here, as the SDKs import theirs at once; what they
cost is measured by the scenario `cold`.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl

import wbframe
import wbframe.dropin.api
import wbframe.io.client.client
import wbframe.io.read.whole
import wbframe.scans.stream

if TYPE_CHECKING:
    from collections.abc import Callable

    Job = Callable[[dict[str, Any]], Any]


def client_of(args: dict[str, Any]) -> wbframe.Client:
    """Give the client for a job."""
    return wbframe.Client(args["url"], args["api_key"], **args.get("client", {}))


def histories(args: dict[str, Any]) -> pl.DataFrame:
    """Read rows of all runs, or of so many; `samples` null means every row."""
    options = {"keys": args["keys"], "samples": args["samples"], "limit": args.get("limit")}
    return pl.read_wandb_histories(args["path"], client=client_of(args), **options)


def runs(args: dict[str, Any]) -> pl.DataFrame:
    """Read the runs frame."""
    return pl.read_wandb_runs(args["path"], limit=args.get("limit"), client=client_of(args))


def pandas_runs(args: dict[str, Any]) -> pd.DataFrame:
    """Read the runs frame for pandas."""
    return pd.read_wandb_runs(args["path"], client=client_of(args))


def drop_in(args: dict[str, Any]) -> Any:
    """Read as code that was written for the SDK does."""
    api = wbframe.Api({"base_url": args["url"]}, api_key=args["api_key"])
    found = api.runs(args["path"], per_page=args["per_page"])
    return found.histories(samples=args["samples"], keys=args["keys"], format=args["format"])


def scanned(args: dict[str, Any]) -> pl.DataFrame:
    """Read a few columns of a few runs and steps by a lazy query."""
    rows = pl.scan_wandb_histories(
        args["path"], samples=500, run_columns=["config.param_00"], client=client_of(args)
    )
    wanted = rows.filter(pl.col("config.param_00") > args["above"], pl.col("_step") < args["below"])
    return wanted.select("run_id", "_step", args["key"]).collect()


def read_and_filtered(args: dict[str, Any]) -> pl.DataFrame:
    """Read everything, and give the same as `scanned`."""
    rows = pl.read_wandb_histories(
        args["path"], samples=500, run_columns=["config.param_00"], client=client_of(args)
    )
    wanted = rows.filter(pl.col("config.param_00") > args["above"], pl.col("_step") < args["below"])
    return wanted.select("run_id", "_step", args["key"])


JOBS: dict[str, Job] = {
    each.__name__: each
    for each in (histories, runs, pandas_runs, drop_in, scanned, read_and_filtered)
}


def memory(name: str) -> int:
    """Give a line of the kernel's account of this process, in bytes; 0 where there is none."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def size_of(found: Any) -> int:
    """Give the bytes of what was read."""
    if isinstance(found, pl.DataFrame):
        return int(found.estimated_size())
    return int(found.memory_usage(deep=True).sum()) if isinstance(found, pd.DataFrame) else 0


def main() -> None:
    """Run the job that the arguments name; print what it took."""
    args = json.loads(sys.argv[1])
    job = JOBS[args["job"]]
    if args.get("warm"):  # so that code which is first used now counts to what was there before
        job({**args, "limit": 1})
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins here
    before = memory("VmRSS")
    started, worked, called = time.perf_counter(), time.process_time(), time.thread_time()
    found = job(args)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    caller = time.thread_time() - called
    peak = memory("VmHWM") - before
    measured = {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "caller_cpu_seconds": caller,
        "rows": len(found),
        "peak_bytes": peak,
        "frame_bytes": size_of(found),
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
