"""`python -m benchmarks`: runs scenarios, prints tables. See README.md beside this file."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.options import Options
from benchmarks.peers import CURRENT, OLDEST
from benchmarks.report import machine, table, write_chart, write_json
from benchmarks.scenarios import (
    account,
    cold,
    decode,
    drop_in,
    growth,
    histories,
    memory,
    pushdown,
    runs,
    whole,
    whole_memory,
)

if TYPE_CHECKING:
    from benchmarks.measuring import Row

SCENARIOS = {
    each.SCENARIO.name: each.SCENARIO
    for each in (
        histories,
        runs,
        whole,
        drop_in,
        pushdown,
        decode,
        account,
        growth,
        memory,
        whole_memory,
        cold,
    )
}


def _latencies(text: str) -> tuple[float, ...]:
    """Read a list of milliseconds."""
    return tuple(float(each) for each in text.split(","))


def _arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="scenario", help="all unless named")
    parser.add_argument("--list", action="store_true", help="name the scenarios, and stop")
    parser.add_argument(
        "--smoke", action="store_true", help="tiny sizes, once, without peers: does it run?"
    )
    parser.add_argument(
        "--peer", action="append", help=f"such as {CURRENT}; {CURRENT} and {OLDEST} unless told"
    )
    parser.add_argument("--no-peers", action="store_true", help="wbframe alone")
    parser.add_argument(
        "--latency", type=_latencies, default=(0.0, 20.0, 100.0), help="ms: 0,20,100"
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each reader, in turn")
    parser.add_argument("--json", type=Path, help="write all that was measured")
    parser.add_argument("--chart", type=Path, help="draw it: a .png or .svg; needs matplotlib")
    given = parser.parse_args()
    unknown = [each for each in given.scenarios if each not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    if given.repeats < 1:
        parser.error("--repeats is at least 1")
    return given


def main() -> None:
    """Run what the command line names."""
    given = _arguments()
    if given.list:
        for each in SCENARIOS.values():
            print(f"{each.name:<12}{each.what}")
        return
    peers = () if given.smoke or given.no_peers else tuple(given.peer or (CURRENT, OLDEST))
    options = Options(
        peers=peers,
        latency=(0.0,) if given.smoke else given.latency,
        repeats=1 if given.smoke else given.repeats,
        smoke=given.smoke,
    )
    described = machine()
    print(f"{described['cpu']}, {described['cores']} cores, {described['system']}, Python", end=" ")
    print(f"{described['python']}; {described['packages']}; load {described['load']}\n")
    rows: list[Row] = []
    for name in given.scenarios or SCENARIOS:
        started = time.perf_counter()
        found = SCENARIOS[name].run(options)
        rows += found
        print(f"{table(found)}\n", flush=True)
        print(f"({name} took {time.perf_counter() - started:.0f} s)\n", file=sys.stderr, flush=True)
        if given.json:
            write_json(rows, given.json)
    if given.chart:
        write_chart(rows, given.chart)


if __name__ == "__main__":
    main()
