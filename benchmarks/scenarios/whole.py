"""Whole histories, exported as files: 10 runs of 20,000 rows, 10 keys."""

from __future__ import annotations

from benchmarks.hosting import Host
from benchmarks.measuring import OWN, Reader, Row, pairs, warm
from benchmarks.options import Options, Scenario


def run(options: Options) -> list[Row]:
    """Measure each latency."""
    runs, rows, keys = (2, 300, 3) if options.smoke else (10, 20_000, 10)
    names = [f"metric/{each:02d}" for each in range(keys)]
    found = []
    readers = [Reader(name=OWN, job="histories", args={"keys": names, "samples": None})]
    for peer in options.peers:
        args = {"keys": ["_step", *names], "per_page": 50, "page_size": 1000}
        readers.append(
            Reader(name=f"{peer} scan_history", job="scanned", args=args, peer=peer, slow=3)
        )
    with Host(runs=runs, rows=rows, keys=keys, exported=True) as host:
        warm(host, readers, options)
        for latency in options.latency:
            host.latency(latency)
            case = f"{runs} x {rows} x {keys}, {latency:g} ms"
            found += pairs("whole", case, host, readers, options.repeats)
    return found


SCENARIO = Scenario("whole", "every row, from exported files, beside scan_history", run)
