"""The peak of a read's memory beside the size of its frame.

Above what the process takes once one run was read: the pages of the libraries' code are no part of a read.
"""

from __future__ import annotations

from benchmarks.hosting import Host
from benchmarks.measuring import OWN, Reader, Row, pairs, warm
from benchmarks.options import Options, Scenario


def run(options: Options) -> list[Row]:
    """Measure sampled and whole histories, and the runs frame."""
    small = options.smoke
    many = {"runs": 4 if small else 1000, "rows": 20 if small else 500, "keys": 10}
    long = {"runs": 2 if small else 20, "rows": 100 if small else 50_000, "keys": 10}
    short = {"runs": 50_000, "rows": 20, "keys": 10}
    wide = {"runs": 200, "rows": 100, "keys": 1000}
    table = {"rows": 1, "keys": 0, "config_keys": 40, "summary_keys": 40}

    def histories(keys: list[str] | None, samples: int | None) -> Reader:
        return Reader(
            name=OWN, job="histories", args={"keys": keys, "samples": samples, "warm": True}
        )

    runs = Reader(name=OWN, job="runs", args={"warm": True})
    cases = (
        ("sampled", many, False, histories(["metric/*"], 500)),
        ("sampled, whole rows", many, False, histories(None, 500)),
        ("sampled, short runs", short, False, histories(["metric/*"], 500)),
        ("sampled, 1000 keys", wide, False, histories(["metric/*"], 500)),
        ("exported", long, True, histories(None, None)),
        ("5000 runs", {**table, "runs": 5000}, False, runs),
        ("100,000 runs", {**table, "runs": 100_000}, False, runs),
    )
    found = []
    for case, project, exported, reader in cases[: 1 if small else None]:
        with Host(**project, exported=exported) as host:
            warm(host, [reader], options)
            rows = pairs("memory", case, host, [reader], min(options.repeats, 3))
        for row in rows:
            row.ratio = (row.peak_bytes or 0) / (row.frame_bytes or 1)
            row.requests = row.bytes = None  # which would count those of the first run too
        found += rows
    return found


SCENARIO = Scenario("memory", "peak memory of a read beside its frame (ratio: peak / frame)", run)
