"""The runs frame: 5000 runs with 40 config and 40 summary keys each."""

from __future__ import annotations

from benchmarks.hosting import Host
from benchmarks.measuring import OWN, Reader, Row, pairs, server_share, warm
from benchmarks.options import Options, Scenario
from benchmarks.peers import CURRENT

# One request a run, and more than once: where it is lazy, at these latencies alone.
_LAZY_LATENCY = 0.0


def _readers(options: Options, latency: float) -> list[Reader]:
    """Name who reads: wbframe, and the loop of the documentation with each SDK."""
    readers = [
        Reader(name=OWN, job="runs", args={}),
        Reader(name=f"{OWN}, pandas", job="pandas_runs", args={}),
    ]
    for peer in options.peers:
        full = {"per_page": 50, "lazy": False} if peer == CURRENT else {"per_page": 50}
        name = f"{peer} loop" + (", lazy=False" if peer == CURRENT else "")
        readers.append(Reader(name=name, job="looped", args=full, peer=peer, slow=5))
        if peer == CURRENT and latency == _LAZY_LATENCY:
            args = {"per_page": 50}
            readers.append(
                Reader(name=f"{peer} loop", job="looped", args=args, peer=peer, slow=100)
            )
    return readers


def run(options: Options) -> list[Row]:
    """Measure each latency."""
    runs, keys = (60, 5) if options.smoke else (5000, 40)
    found = []
    with Host(runs=runs, rows=1, keys=0, config_keys=keys, summary_keys=keys) as host:
        warm(host, _readers(options, -1.0), options)
        for latency in options.latency:
            host.latency(latency)
            case = f"{runs} runs, {keys} + {keys} keys, {latency:g} ms"
            readers = _readers(options, latency)
            measured = pairs("runs", case, host, readers, options.repeats)
            measured[0].extra = server_share(host, readers[0])
            found += measured
    return found


SCENARIO = Scenario("runs", "the runs frame, beside the loop of the SDK's documentation", run)
