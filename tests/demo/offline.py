"""A reader of the files that the SDK writes in offline mode (`run-<id>.wandb`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wandb.proto.wandb_internal_pb2 import Record

from tests.demo.frames import encoded_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["OfflineRun", "read_offline"]


@dataclass(slots=True)
class OfflineRun:
    """What one offline file holds.

    Attributes
    ----------
    config : dict
        The configuration, nested as it was given.
    versions : dict
        The versions of the SDK and of Python.
    history : list of dict
        One dict a logged row; nested dicts are flattened with dots, media objects stay whole.
    summary : dict
        The summary, nested, as it was at the end.
    events : list of dict
        One dict a sample of the machine, with `_timestamp` and keys that begin with `system.`.
    started : float
        Seconds since the epoch at which the run began.
    exit_code : int or None
        How it ended; None if it did not say.
    """

    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    started: float = 0.0
    exit_code: int | None = None


def read_offline(path: Path) -> OfflineRun:
    """Read one offline file.

    Parameters
    ----------
    path
        A file that ends in `.wandb`.

    Returns
    -------
    OfflineRun
        Everything of the file that the demo keeps.

    Raises
    ------
    ValueError
        The file is no offline file, or a checksum is wrong.
    """
    run = OfflineRun()
    for payload in encoded_records(path.read_bytes()):
        _apply(run, Record.FromString(payload))
    return run


def _apply(run: OfflineRun, record: Any) -> None:
    """Add one record to a run."""
    kind = record.WhichOneof("record_type")
    if kind == "run":
        run.started = _seconds(record.run.start_time)
        _update(run.config, record.run.config.update)
    elif kind == "config":
        _update(run.config, record.config.update)
    elif kind == "telemetry":
        run.versions["cli_version"] = record.telemetry.cli_version
        run.versions["python_version"] = record.telemetry.python_version
    elif kind == "history":
        row: dict[str, Any] = {}
        _update(row, record.history.item)
        run.history.append(dict(_flat(row)))
    elif kind == "summary":
        _update(run.summary, record.summary.update)
    elif kind == "stats":
        items = {f"system.{item.key}": json.loads(item.value_json) for item in record.stats.item}
        run.events.append({"_timestamp": _seconds(record.stats.timestamp), **items})
    elif kind == "exit":
        run.exit_code = record.exit.exit_code


def _seconds(stamp: Any) -> float:
    """Give a protobuf time as seconds since the epoch."""
    return float(stamp.seconds) + float(stamp.nanos) / 1e9


def _update(target: dict[str, Any], items: Iterable[Any]) -> None:
    """Set the values of some items, each at its own depth."""
    for item in items:
        *parents, name = item.nested_key or [item.key]
        inner = target
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = json.loads(item.value_json)


def _flat(nested: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values; a dict with a `_type` is a value."""
    for name, value in nested.items():
        if isinstance(value, dict) and "_type" not in value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
