"""Code that was written for the SDK, with the import changed: whole sampled rows, no keys named."""

from __future__ import annotations

from benchmarks.hosting import Host
from benchmarks.measuring import OWN, Reader, Row, pairs, warm
from benchmarks.options import Options, Scenario


def run(options: Options) -> list[Row]:
    """Measure each latency and form."""
    runs, rows, keys = (4, 20, 3) if options.smoke else (200, 500, 10)
    found = []
    with Host(runs=runs, rows=rows, keys=keys) as host:
        for form in ("pandas",) if options.smoke else ("pandas", "polars"):
            args = {"keys": None, "samples": rows, "per_page": 50, "format": form}
            readers = [Reader(name=OWN, job="drop_in", args=args)]
            readers += [
                Reader(name=peer, job="histories", args=args, peer=peer, slow=3)
                for peer in options.peers
            ]
            warm(host, readers, options)
            for latency in options.latency:
                host.latency(latency)
                case = f"{form}, {runs} x {rows} x {keys}, {latency:g} ms"
                found += pairs("drop-in", case, host, readers, options.repeats)
            host.latency(0)
    return found


SCENARIO = Scenario("drop-in", "wbframe.Api and Runs in the place of the SDK's", run)
