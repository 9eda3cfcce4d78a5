"""Reads with a wandb SDK; runs in its environment, the imports and the API object done when the clock starts."""

from __future__ import annotations

import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import polars as pl
import wandb


def histories(api: Any, args: dict[str, Any]) -> Any:
    """Read the rows of all runs as the SDK does."""
    found = api.runs(args["path"], per_page=args["per_page"])
    return found.histories(samples=args["samples"], keys=args["keys"], format=args["format"])


def threads(api: Any, args: dict[str, Any]) -> Any:
    """Read the rows of each run on one of 16 threads, which is what people who wait do."""

    def read(run: Any) -> pl.DataFrame:
        rows = run.history(samples=args["samples"], keys=args["keys"], pandas=False)
        return pl.from_records(rows).with_columns(pl.lit(run.id).alias("run_id"))

    with ThreadPoolExecutor(16) as pool:
        return pl.concat(pool.map(read, api.runs(args["path"], per_page=args["per_page"])))


def scanned(api: Any, args: dict[str, Any]) -> Any:
    """Read every row of every run by `scan_history`."""
    frames = []
    for run in api.runs(args["path"], per_page=args["per_page"]):
        rows = list(run.scan_history(keys=args["keys"], page_size=args["page_size"]))
        frames.append(pl.from_records(rows).with_columns(pl.lit(run.id).alias("run_id")))
    return pl.concat(frames)


def looped(api: Any, args: dict[str, Any]) -> Any:
    """Make a frame of runs by the loop that the SDK's documentation has."""
    lazy = {} if args.get("lazy") is None else {"lazy": args["lazy"]}
    summaries, configs, names = [], [], []
    for run in api.runs(args["path"], per_page=args["per_page"], **lazy):
        summaries.append(run.summary._json_dict)  # noqa: SLF001 - as the loop has it
        configs.append({k: v for k, v in run.config.items() if not k.startswith("_")})
        names.append(run.name)
    frame = pd.DataFrame({"summary": summaries, "config": configs, "name": names})
    return pd.concat(
        [frame["name"], pd.json_normalize(frame["config"]), pd.json_normalize(frame["summary"])],
        axis=1,
    )


JOBS = {each.__name__: each for each in (histories, threads, scanned, looped)}


def main(args: dict[str, Any]) -> dict[str, Any]:
    """Run the job that the arguments name; give what it took."""
    warnings.simplefilter("ignore")
    api = wandb.Api(timeout=300)
    started = time.perf_counter()
    found = JOBS[args["job"]](api, args)
    return {"seconds": time.perf_counter() - started, "rows": len(found)}
