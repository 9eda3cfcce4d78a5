"""`Runs.histories` of the official SDK and of wbframe, side by side: seconds and requests.

Each reads the same made-up project from the local server, in a process of its own, with the imports and
the API object already there when the clock starts. The median of the repeats is shown.

    python -m benchmarks.histories_vs_sdk
    python -m benchmarks.histories_vs_sdk --latency 0 --latency 100 --format polars --sdk wandb==0.31.0
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers import CURRENT, OLDEST, run_peer
from wbframe.server import serve, synthetic

if TYPE_CHECKING:
    from wbframe.server import Project
    from wbframe.server.http import Server

PATH = "wbframe/synthetic"

# What both run; only the import differs, which is the point of a drop-in.
READ = """
def read(api, args):
    import time

    started = time.perf_counter()
    found = api.runs(args["path"], per_page=args["per_page"]).histories(
        samples=args["samples"], keys=args["keys"], format=args["format"]
    )
    return [time.perf_counter() - started, len(found)]
"""

THEIRS = f"""
import warnings
import pandas, polars, wandb
{READ}
def main(args):
    warnings.simplefilter("ignore")
    return read(wandb.Api(), args)
"""

OURS = f"""
import json, sys
import pandas, polars
import wbframe
{READ}
server, args = json.loads(sys.argv[1])
api = wbframe.Api({{"base_url": server[0]}}, api_key=server[1])
print(json.dumps(read(api, args)))
"""


def ours(server: Server, args: dict[str, Any]) -> list[float]:
    """Measure wbframe."""
    command = [sys.executable, "-c", OURS, json.dumps([[server.url, server.api_key], args])]
    root = Path(__file__).resolve().parents[1]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    return json.loads(ended.stdout)


def theirs(sdk: str, server: Server, args: dict[str, Any]) -> list[float]:
    """Measure an SDK."""
    env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.api_key}
    return run_peer(sdk, THEIRS, env, args)


def measure(name: str, server: Server, args: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Give the median of some repeats, the rows, and the requests of one."""
    seconds = []
    for _ in range(repeats):
        server.clear()
        took, rows = ours(server, args) if name == "wbframe" else theirs(name, server, args)
        seconds.append(took)
    documents = [logged.document for logged in server.requests]
    listing = sum("runCount" in document for document in documents)
    return {
        "name": name,
        "seconds": statistics.median(seconds),
        "rows": rows,
        "requests": len(documents),
        "pages": listing,
    }


def report(project: Project, args: dict[str, Any], options: argparse.Namespace) -> None:
    """Measure and print every combination."""
    print(f"{'latency':>8} {'reader':<16} {'seconds':>8} {'ratio':>7} {'requests':>9} {'rows':>8}")
    for latency in options.latency or [0, 20, 100]:
        with serve(project, latency=latency / 1000) as server:
            mine = measure("wbframe", server, args, options.repeats)
            found = [mine] + [
                measure(sdk, server, args, 1) for sdk in options.sdk or [CURRENT, OLDEST]
            ]
        for each in found:
            ratio = each["seconds"] / mine["seconds"]
            print(
                f"{latency:>5g} ms {each['name']:<16} {each['seconds']:>8.2f} {ratio:>6.1f}x"
                f" {each['requests']:>9} {each['rows']:>8}",
                flush=True,
            )
        if len({each["rows"] for each in found}) > 1:
            raise SystemExit("the readers gave different numbers of rows")


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--keys", type=int, default=10)
    parser.add_argument("--per-page", type=int, default=50)
    parser.add_argument("--format", default="pandas", choices=["default", "pandas", "polars"])
    parser.add_argument(
        "--projected", action="store_true", help="name the keys, rather than whole rows"
    )
    parser.add_argument(
        "--latency", type=float, action="append", help="milliseconds; 0, 20 and 100 unless told"
    )
    parser.add_argument("--sdk", action="append", help="such as wandb==0.31.0")
    parser.add_argument(
        "--repeats", type=int, default=3, help="of wbframe; an SDK is measured once"
    )
    options = parser.parse_args()
    project = synthetic(runs=options.runs, rows=options.rows, keys=options.keys)
    keys = [f"metric/{i:02d}" for i in range(options.keys)] if options.projected else None
    args = {
        "path": PATH,
        "per_page": options.per_page,
        "samples": max(options.rows, 1),
        "keys": keys,
        "format": options.format,
    }
    report(project, args, options)


if __name__ == "__main__":
    main()
