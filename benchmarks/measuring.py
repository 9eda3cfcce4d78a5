"""One measurement: a job in a fresh process against a host. And pairs of them, in turn."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.hosting import PATH, ROOT, Host
from benchmarks.peers import run_peer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.options import Options

OWN = "wbframe"
_SDK_JOBS = Path(__file__).parent / "readers" / "sdk.py"
_SECONDS_AT_MOST = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads, and how.

    Attributes
    ----------
    name
        For tables.
    job, args
        A function of `readers.own` or `readers.sdk`, and what it gets beside the server.
    peer
        The requirement of the SDK; None for wbframe.
    slow
        How long it may take: it is measured so many times less often (at least once).
    """

    name: str
    job: str
    args: dict[str, Any]
    peer: str | None = None
    slow: int = 1


@dataclass(slots=True, kw_only=True)
class Row:
    """What one reader took in one case; all numbers are medians of its `repeats`."""

    scenario: str
    case: str
    reader: str
    seconds: float
    all_seconds: list[float] = field(default_factory=list)
    ratio: float | None = None
    cpu_seconds: float | None = None
    rows: int = 0
    requests: int | None = None
    bytes: int | None = None
    peak_bytes: int | None = None
    frame_bytes: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def once(host: Host, reader: Reader) -> dict[str, Any]:
    """Run a job in a fresh process; give what it printed, and what the host sent for it."""
    host.clear()
    args = {
        "path": PATH,
        "url": host.url,
        "api_key": host.api_key,
        "job": reader.job,
        **reader.args,
    }
    if reader.peer is None:
        command = [sys.executable, "-m", "benchmarks.readers.own", json.dumps(args)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if ended.returncode:
            said = ended.stderr[-4000:]
            raise RuntimeError(f"{reader.name} failed ({ended.returncode}):\n{said}")
        found = json.loads(ended.stdout)
    else:
        env = {"WANDB_BASE_URL": host.url, "WANDB_API_KEY": host.api_key}
        script = _SDK_JOBS.read_text(encoding="utf-8")
        found = run_peer(reader.peer, script, env, args, timeout=_SECONDS_AT_MOST)
    sent = host.sent()
    return {**found, "requests": sent.requests, "bytes": sent.bytes}


def warm(host: Host, readers: Iterable[Reader], options: Options) -> None:
    """Read once unmeasured, so that the host has its answers ready."""
    if not options.smoke:
        for reader in readers:
            once(host, reader)


def server_share(host: Host, reader: Reader) -> dict[str, float]:
    """Tell what of a reader's seconds is the server and the wire: those of a client that drops the answers."""
    once(host, reader)
    return {"server and wire": host.replay()}


def pairs(
    scenario: str,
    case: str,
    host: Host,
    readers: Iterable[Reader],
    repeats: int,
    *,
    check_rows: bool = True,
) -> list[Row]:
    """Measure readers in turn (A B A B), and compare each with the first.

    Raises
    ------
    RuntimeError
        They did not read the same number of rows.
    """
    readers = list(readers)
    found: dict[str, list[dict[str, Any]]] = {each.name: [] for each in readers}
    for turn in range(repeats):
        for reader in readers:
            if turn < max(1, repeats // reader.slow):
                found[reader.name].append(once(host, reader))
    rows = [_row(scenario, case, reader.name, found[reader.name]) for reader in readers]
    for row in rows:
        row.ratio = row.seconds / rows[0].seconds
        if check_rows and row.rows != rows[0].rows:
            raise RuntimeError(
                f"{row.reader} read {row.rows} rows, {rows[0].reader} {rows[0].rows}"
            )
    return rows


def _row(scenario: str, case: str, reader: str, found: list[dict[str, Any]]) -> Row:
    """Unite the repeats of one reader."""
    seconds = [each["seconds"] for each in found]
    peaks = [each["peak_bytes"] for each in found if each.get("peak_bytes")]
    cpu = [each["cpu_seconds"] for each in found if "cpu_seconds" in each]
    last = found[-1]
    return Row(
        scenario=scenario,
        case=case,
        reader=reader,
        seconds=statistics.median(seconds),
        all_seconds=seconds,
        cpu_seconds=statistics.median(cpu) if cpu else None,
        rows=last["rows"],
        requests=last["requests"],
        bytes=last["bytes"],
        peak_bytes=int(statistics.median(peaks)) if peaks else None,
        frame_bytes=last.get("frame_bytes"),
    )
