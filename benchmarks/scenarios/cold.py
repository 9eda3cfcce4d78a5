"""What a fresh process pays before it reads: imports and the first request."""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.hosting import PATH, ROOT, Host
from benchmarks.measuring import Row
from benchmarks.options import Options, Scenario
from benchmarks.peers import python_of

_TIMED = """
import json, sys, time
started = time.perf_counter()
{code}
print(json.dumps(time.perf_counter() - started))
"""
_REQUESTS = """
import wbframe
client = wbframe.Client({url!r}, {api_key!r})
def read(client):
    return wbframe.polars.read_runs({path!r}, columns=["name"], limit=1, client=client)
{before}
started = time.perf_counter()
read(client)
"""


def _timed(python: str, code: str, repeats: int) -> list[float]:
    """Run code in fresh processes; give the seconds that each took by its own clock."""
    found = []
    for _ in range(repeats):
        command = [python, "-c", _TIMED.format(code=code)]
        ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        found.append(float(ended.stdout))
    return found


def run(options: Options) -> list[Row]:
    """Measure imports, and the first and second request."""
    with Host(runs=1, rows=1, keys=1) as host:
        first = _REQUESTS.format(url=host.url, api_key=host.api_key, path=PATH, before="")
        second = _REQUESTS.format(
            url=host.url, api_key=host.api_key, path=PATH, before="read(client)"
        )
        cases = [
            ("import", "polars", sys.executable, "import polars"),
            ("import", "wbframe", sys.executable, "import wbframe"),
            ("import", "polars, gql, requests", sys.executable, "import polars, gql.transport.requests"),
            ("import", "wbframe.io.client.client", sys.executable, "import wbframe.io.client.client"),
            ("first request", "wbframe", sys.executable, first),
            ("second request", "wbframe", sys.executable, second),
            *(("import", peer, str(python_of(peer)), "import wandb; wandb.Api") for peer in options.peers),
        ]  # fmt: skip
        rows = []
        for case, reader, python, code in cases:
            seconds = _timed(python, code, options.repeats)
            rows.append(
                Row(
                    scenario="cold",
                    case=case,
                    reader=reader,
                    seconds=statistics.median(seconds),
                    all_seconds=seconds,
                )
            )
    return rows


SCENARIO = Scenario("cold", "imports, and the first request", run)
