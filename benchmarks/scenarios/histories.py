"""Sampled histories of many runs: 200 runs, 500 rows each, 10 keys by name."""

from __future__ import annotations

from benchmarks.hosting import Host
from benchmarks.measuring import OWN, Reader, Row, pairs, server_share, warm
from benchmarks.options import Options, Scenario
from benchmarks.peers import CURRENT


def _readers(options: Options, args: dict[str, object]) -> list[Reader]:
    """Name who reads: wbframe, the SDKs, and 16 threads over the current one."""
    theirs = {**args, "per_page": 50, "format": "polars"}
    readers = [Reader(name=OWN, job="histories", args=dict(args))]
    for peer in options.peers:
        readers.append(
            Reader(name=f"{peer} histories", job="histories", args=theirs, peer=peer, slow=3)
        )
        if peer == CURRENT or len(options.peers) == 1:
            readers.append(
                Reader(name=f"{peer} 16 threads", job="threads", args=theirs, peer=peer, slow=3)
            )
    return readers


def run(options: Options) -> list[Row]:
    """Measure each latency."""
    runs, rows, keys = (4, 20, 3) if options.smoke else (200, 500, 10)
    args = {"keys": [f"metric/{each:02d}" for each in range(keys)], "samples": rows}
    found = []
    with Host(runs=runs, rows=rows, keys=keys) as host:
        readers = _readers(options, args)
        warm(host, readers, options)
        for latency in options.latency:
            host.latency(latency)
            case = f"{runs} x {rows} x {keys}, {latency:g} ms"
            measured = pairs("histories", case, host, readers, options.repeats)
            measured[0].extra = server_share(host, readers[0])
            found += measured
    return found


SCENARIO = Scenario("histories", "sampled histories of many runs, beside Runs.histories", run)
