"""Projects of any size for benchmarks and scale tests, the same on every call."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import pyarrow as pa

from wbframe.errors import UsageError
from wbframe.server.projects.cache import Kept
from wbframe.server.projects.exports import Exports
from wbframe.server.projects.rows import History, KeyStats
from wbframe.server.projects.store import Project, RunRecord
from wbframe.server.projects.wire import encode

if TYPE_CHECKING:
    import numpy.typing as npt

    Steps: TypeAlias = npt.NDArray[np.int64]

    Floats: TypeAlias = npt.NDArray[np.float64]


__all__ = ["synthetic"]

_START = datetime(2026, 1, 5, 8, 0, tzinfo=timezone.utc)
_STATES = ("finished", "finished", "finished", "crashed", "failed")
_MODELS = ("mlp", "cnn", "vit", "gru")
_BASE = ("_step", "_runtime", "_timestamp")
_ROWS_APART = np.uint64(1 << 32)
_BLOCK = 4096
_BLOCKS_KEPT = 32
_TABLES_KEPT = 1


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
    exports: Exports | None = None,
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
    exports
        How the runs are exported. With it, rows are made when they are asked for, and only a few
        are kept, so that the project may be larger than memory.

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
    names = tuple([f"metric/{index:02d}" for index in range(keys)])
    every = tuple([cadence[index % len(cadence)] for index in range(keys)])
    kept = (
        None if exports is None else (Kept[list[bytes]](_BLOCKS_KEPT), Kept[pa.Table](_TABLES_KEPT))
    )
    source = random.Random(seed)  # noqa: S311 - data, not secrets
    made = tuple(
        _run(
            source,
            index,
            _history(
                _Rows(seed * 100_003 + index, _started(index).timestamp(), rows, names, every), kept
            ),
            config_keys,
            summary_keys,
        )
        for index in range(runs)
    )
    return Project(
        entity=entity,
        name=name,
        runs=made,
        description="Made, not measured.",
        exports=exports or Exports.none(),
    )


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


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the rows of one run are made from: any cell of them, at any time, without the others."""

    stream: int
    begun: float
    count: int
    names: tuple[str, ...]
    every: tuple[int, ...]

    def metric(self, index: int, steps: Steps) -> Floats:
        """Give the values of a metric at some steps: from 0 to 1, evenly spread."""
        # the finalizer of SplitMix64, on the number of the cell
        cells = steps.astype(np.uint64) + np.uint64(self.stream * 4096 + index) * _ROWS_APART
        cells *= np.uint64(0x9E3779B97F4A7C15)
        cells ^= cells >> np.uint64(30)
        cells *= np.uint64(0xBF58476D1CE4E5B9)
        cells ^= cells >> np.uint64(27)
        cells *= np.uint64(0x94D049BB133111EB)
        cells ^= cells >> np.uint64(31)
        return (cells >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def base(self, steps: Steps) -> dict[str, Any]:
        """Give what every row has."""
        seconds = steps * 0.25
        return {"_step": steps, "_runtime": seconds, "_timestamp": self.begun + seconds}

    def table(self) -> pa.Table:
        """Make the rows as a table."""
        steps = np.arange(self.count)
        columns: dict[str, pa.Array] = {
            key: pa.array(each) for key, each in self.base(steps).items()
        }
        for index, (name, gap) in enumerate(zip(self.names, self.every, strict=True)):
            absent = None if gap == 1 else steps % gap != 0
            columns[name] = pa.array(self.metric(index, steps), mask=absent)
        return pa.table(columns)

    def encoded(self, start: int, stop: int) -> list[bytes]:
        """Make some of the rows as JSON."""
        steps = np.arange(start, stop)
        columns = [each.tolist() for each in self.base(steps).values()]
        columns += [self.metric(index, steps).tolist() for index in range(len(self.names))]
        rows = zip(*columns, strict=True)
        heads = [encode(key).decode() + ":%r" for key in (*_BASE, *self.names)]
        if set(self.every) <= {1}:
            template = f"{{{','.join(heads)}}}"
            return [(template % row).encode() for row in rows]
        gaps = (1, 1, 1, *self.every)
        encoded = []
        for step, row in enumerate(rows, start):
            cells = zip(heads, row, gaps, strict=True)
            here = [head % cell for head, cell, gap in cells if not step % gap]
            encoded.append(f"{{{','.join(here)}}}".encode())
        return encoded

    def last(self) -> dict[str, Any]:
        """Give the last value of each key."""
        if not self.count:
            return {}
        found = {key: each.item() for key, each in self.base(np.array([self.count - 1])).items()}
        for index, (name, gap) in enumerate(zip(self.names, self.every, strict=True)):
            step = (self.count - 1) // gap * gap
            found[name] = self.metric(index, np.array([step])).item()
        return found

    def stats(self, last: dict[str, Any]) -> dict[str, KeyStats]:
        """Count what was logged under each key."""
        if not self.count:
            return {}
        gaps = dict.fromkeys(_BASE, 1) | dict(zip(self.names, self.every, strict=True))
        return {
            key: KeyStats(
                {"number": -(-self.count // gap)},
                monotonic=key in _BASE or self.count <= gap,
                previous=last[key],
            )
            for key, gap in gaps.items()
        }


class _Blocks(Sequence[bytes]):
    """Rows as JSON that are made when they are asked for, some thousands at once."""

    def __init__(self, rows: _Rows, kept: Kept[list[bytes]]) -> None:
        self._rows = rows
        self._kept = kept
        self._latest: tuple[int, list[bytes]] = (-1, [])

    def __len__(self) -> int:
        return self._rows.count

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        number, offset = divmod(range(len(self))[index], _BLOCK)
        latest, rows = self._latest
        if number != latest:
            rows = self._kept.get((self._rows.stream, number), lambda: self._block(number))
            self._latest = (number, rows)
        return rows[offset]

    def _block(self, number: int) -> list[bytes]:
        """Make one block."""
        return self._rows.encoded(number * _BLOCK, min((number + 1) * _BLOCK, len(self)))


def _history(rows: _Rows, kept: tuple[Kept[list[bytes]], Kept[pa.Table]] | None) -> History:
    """Give the rows of a run: made now, or when they are asked for."""
    last = rows.last()
    stats = rows.stats(last)
    if kept is None:
        encoded = rows.encoded(0, rows.count)
        return History.encoded(encoded, range(rows.count), stats, last, table=rows.table)
    blocks, tables = kept
    return History.encoded(
        _Blocks(rows, blocks),
        range(rows.count),
        stats,
        last,
        table=lambda: tables.get(rows.stream, rows.table),
    )
