"""A lazy query for a part, beside reading everything and filtering here."""

from __future__ import annotations

from benchmarks.hosting import Host
from benchmarks.measuring import Reader, Row, pairs, warm
from benchmarks.options import Options, Scenario


def run(options: Options) -> list[Row]:
    """Measure each latency."""
    runs, rows, keys = (10, 40, 3) if options.smoke else (200, 500, 10)
    args = {"above": 0.9, "below": rows // 10, "key": "metric/00"}
    readers = [
        Reader(name="scan", job="scanned", args=args),
        Reader(name="read, then filter", job="read_and_filtered", args=args),
    ]
    found = []
    with Host(runs=runs, rows=rows, keys=keys) as host:
        warm(host, readers, options)
        for latency in options.latency:
            host.latency(latency)
            case = f"1 key of {keys}, a tenth of the runs and steps, {latency:g} ms"
            found += pairs("pushdown", case, host, readers, options.repeats)
    return found


SCENARIO = Scenario("pushdown", "a lazy query for a part, beside reading everything", run)
