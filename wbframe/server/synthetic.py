"""Projects of any size for benchmarks and scale tests, the same on every call."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from wbframe.errors import UsageError
from wbframe.server.rows import History, KeyStats
from wbframe.server.store import Project, RunRecord
from wbframe.server.wire import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["synthetic"]

_START = datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)
_STATES = ("finished", "finished", "finished", "crashed", "failed")
_MODELS = ("mlp", "cnn", "vit", "gru")


def synthetic(
    runs: int = 200,
    rows: int = 500,
    keys: int = 10,
    *,
    config_keys: int = 8,
    summary_keys: int | None = None,
    cadence: Sequence[int] = (1,),
    seed: int = 0,
    entity: str = "wbframe",
    name: str = "synthetic",
) -> Project:
    """Make a project of many alike runs.

    Parameters
    ----------
    runs, rows, keys
        How many runs, rows a run, and metrics (``metric/00`` ...) beside ``_step``, ``_runtime``
        and ``_timestamp``.
    config_keys, summary_keys
        How many entries each config and each summary has; a summary has one for each metric unless
        told.
    cadence
        Metric *i* is logged every ``cadence[i % len(cadence)]`` steps.
    seed
        The same arguments and seed give the same project, byte for byte.
    entity, name
        The project's path.

    Returns
    -------
    Project
        Runs ``run-00000`` ... in order of creation, a minute apart.

    Raises
    ------
    UsageError
        A count is negative or a cadence below 1.

    Examples
    --------
    >>> project = synthetic(runs=2, rows=3, keys=1)
    >>> [len(run.history) for run in project.runs]
    [3, 3]
    """
    counts = {"runs": runs, "rows": rows, "keys": keys, "config_keys": config_keys}
    for argument, value in counts.items():
        if value < 0:
            raise UsageError(f"`{argument}` must not be negative; got {value}")
    if not cadence or min(cadence) < 1:
        raise UsageError(f"`cadence` must be whole numbers from 1; got {tuple(cadence)!r}")
    names = [f"metric/{index:02d}" for index in range(keys)]
    every = [cadence[index % len(cadence)] for index in range(keys)]
    source = random.Random(seed)  # noqa: S311 - data, not secrets
    made = tuple(
        _run(source, index, _history(source, index, rows, names, every), config_keys, summary_keys)
        for index in range(runs)
    )
    return Project(entity=entity, name=name, runs=made, description="Made, not measured.")


def _started(index: int) -> datetime:
    """Give the time at which a run began."""
    return _START + timedelta(minutes=index)


def _run(
    source: random.Random,
    index: int,
    history: History,
    config_keys: int,
    summary_keys: int | None,
) -> RunRecord:
    """Make one run around its history."""
    config: dict[str, Any] = {
        f"param_{each:02d}": source.choice(_MODELS) if each % 4 == 3 else source.random()  # noqa: PLR2004
        for each in range(config_keys)
    }
    summary = dict(history.last)
    if summary_keys is not None:
        summary = {f"metric/{each:02d}": source.random() for each in range(summary_keys)}
    created = _started(index)
    return RunRecord(
        name=f"run-{index:05d}",
        display_name=f"brisk-pine-{index + 1}",
        state=_STATES[index % len(_STATES)],
        config=config,
        summary=summary,
        history=history,
        created_at=f"{created:%Y-%m-%dT%H:%M:%SZ}",
        heartbeat_at=f"{created + timedelta(seconds=30):%Y-%m-%dT%H:%M:%SZ}",
        tags=("even",) if index % 2 == 0 else ("odd", "baseline"),
        group=f"group-{index % 7}",
        job_type="train",
        compute_seconds=30,
    )


def _history(
    source: random.Random, index: int, rows: int, names: list[str], every: list[int]
) -> History:
    """Write the rows of one run straight as JSON."""
    begun = _started(index).timestamp()
    base = ("_step", "_runtime", "_timestamp")
    longest = max(every, default=1)
    templates: dict[tuple[bool, ...], tuple[str, list[str]]] = {}
    stats = {key: KeyStats({"number": rows}, monotonic=True) for key in base if rows}
    last: dict[str, Any] = {}
    encoded: list[bytes] = []
    for step in range(rows):
        present = tuple([step % gap == 0 for gap in every])
        if present not in templates:
            here = [name for name, is_here in zip(names, present, strict=True) if is_here]
            cells = ",".join([f"{encode(key).decode()}:%r" for key in (*base, *here)])
            templates[present] = (f"{{{cells}}}", here)
        template, here = templates[present]
        values = [source.random() for _ in here]
        head = (step, step * 0.25, begun + step * 0.25)
        encoded.append((template % (*head, *values)).encode())
        if step >= rows - longest:
            last.update(zip((*base, *here), (*head, *values), strict=True))
    for name, gap in zip(names, every, strict=True):
        if rows:
            count = -(-rows // gap)
            stats[name] = KeyStats({"number": count}, monotonic=count == 1)
    for key, each in stats.items():
        each.previous = last[key]
    return History.encoded(encoded, list(range(rows)), stats, last)
