"""What a fresh process pays before it has its first rows: imports, the first request, the first read."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from benchmarks.hosting import PATH, ROOT, Host
from benchmarks.measuring import OWN, Row
from benchmarks.options import Options, Scenario
from benchmarks.peers import python_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIMED = """
import json, sys, time
{before}
started, cpu = time.perf_counter(), time.process_time()
{code}
print(json.dumps([time.perf_counter() - started, time.process_time() - cpu]))
"""
_CLIENT = """
import wbframe
client = wbframe.Client()
def read(client):
    return wbframe.polars.read_runs({path!r}, columns=["name"], limit=1, client=client)
"""
_OWN_READ = """
import polars, wbframe
frame = polars.read_wandb_histories({path!r}, keys=["metric/00"])
assert frame.height == {rows}
"""
_SDK_READ = """
import wandb
frame = wandb.Api().runs({path!r}).histories(keys=["metric/00"], format="polars")
assert len(frame) == {rows}
"""
_RUNS, _ROWS = 3, 100


def _timed(
    cases: Sequence[tuple[str, str, str, str]], host: Host, repeats: int
) -> list[list[list[float]]]:
    """Run code in fresh processes, case by case in turn; give the seconds and the CPU seconds of each."""
    found: list[list[list[float]]] = [[] for _ in cases]
    with tempfile.TemporaryDirectory(prefix="wbframe-cold-") as home:
        # As after an install: there, bytecode lies beside the source.
        kept = {
            name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
        }
        given = {"HOME": home, "WANDB_BASE_URL": host.url, "WANDB_API_KEY": host.api_key}
        # Once unmeasured, which makes it.
        for turn in range(1 + repeats):
            for i, (_, _, python, code) in enumerate(cases):
                before, _, timed = code.rpartition("# timed\n")
                command = [python, "-c", _TIMED.format(before=before, code=timed)]
                ended = subprocess.run(
                    command, capture_output=True, text=True, check=True, cwd=ROOT,
                    env={**kept, **given, "WANDB_SILENT": "true"},
                )  # fmt: skip
                if turn:
                    found[i].append(json.loads(ended.stdout))
    return found


def run(options: Options) -> list[Row]:
    """Measure imports, the first and the second request, and the whole first read beside the SDK's."""
    client = _CLIENT.format(path=PATH)
    rows = _RUNS * _ROWS
    base = "import polars, polars.io.plugins, requests\n# timed\n"
    own = _OWN_READ.format(path=PATH, rows=rows)
    cases = [
        ("import", "polars", sys.executable, "import polars"),
        ("import", OWN, sys.executable, "import wbframe"),
        ("first request", OWN, sys.executable, f"{client}# timed\nread(client)"),
        ("second request", OWN, sys.executable, f"{client}read(client)\n# timed\nread(client)"),
        ("first read above polars and requests", OWN, sys.executable, base + own),
        ("first read, imports and all", OWN, sys.executable, own),
    ]
    for peer in options.peers:
        read = _SDK_READ.format(path=PATH, rows=rows)
        cases.append(("import", peer, str(python_of(peer)), "import wandb; wandb.Api"))
        cases.append(("first read, imports and all", peer, str(python_of(peer)), read))
    with Host(runs=_RUNS, rows=_ROWS, keys=2) as host:
        found = _timed(cases, host, options.repeats)
    firsts: dict[str, float] = {}
    made = []
    for (case, reader, _, _), taken in zip(cases, found, strict=True):
        seconds = [each[0] for each in taken]
        median = statistics.median(seconds)
        made.append(
            Row(
                scenario="cold",
                case=case,
                reader=reader,
                seconds=median,
                all_seconds=seconds,
                ratio=median / firsts.setdefault(case, median),
                cpu_seconds=statistics.median(each[1] for each in taken),
            )
        )
    return made


SCENARIO = Scenario("cold", "imports, the first request, the first read", run)
