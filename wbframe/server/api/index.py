"""The index of a project's keys that `project.fields` answers from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wbframe.server.projects.rows import KeyStats

if TYPE_CHECKING:
    from wbframe.server.projects.store import Project

__all__ = ["project_fields", "united_keys"]


def project_fields(project: Project) -> list[tuple[str, str]]:
    """List the path and type of every config and summary key of a project.

    Returns
    -------
    list of (path, type)
        First ``config.<key>.value``, nested keys behind it with dots, then
        ``summary_metrics.<key>``, then ``aggregations_min.<key>`` and ``aggregations_max.<key>`` of
        the metrics; each sorted. The types are those of `historyKeys`. A key of several types is
        there once for each; one that is always null has the type ``nil``.
    """
    config: dict[str, KeyStats] = {}
    summary: dict[str, KeyStats] = {}
    metrics: set[str] = set()
    for run in project.runs:
        if isinstance(run.config, Mapping):
            for key, value in run.config.items():
                _index(f"config.{key}.value", value, config)
        for key, value in (run.summary_metrics or {}).items():
            if key != "_wandb":
                _index(f"summary_metrics.{key}", value, summary)
        metrics.update(
            key
            for key, stats in run.history.keys.items()
            if "number" in stats.counts and not key.startswith("_")
        )
    found = [*_typed(config), *_typed(summary)]
    for key in sorted(metrics):
        found += [(f"aggregations_min.{key}", "number"), (f"aggregations_max.{key}", "number")]
    return found


def united_keys(indices: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Unite the `historyKeys` of several runs: counts are added up, the last step is the largest.

    Returns
    -------
    dict
        Of the form of one run's `historyKeys`.
    """
    counts: dict[str, dict[str, int]] = {}
    last = -1
    for index in indices:
        if index is None:
            continue
        last = max(last, index.get("lastStep", -1))
        for key, info in index["keys"].items():
            into = counts.setdefault(key, {})
            for each in info["typeCounts"]:
                into[each["type"]] = into.get(each["type"], 0) + each["count"]
    keys = {
        key: {"typeCounts": [{"type": kind, "count": count} for kind, count in found.items()]}
        for key, found in sorted(counts.items())
    }
    return {"sets": [], "lastStep": last, "keys": keys}


def _index(path: str, value: Any, into: dict[str, KeyStats]) -> None:
    """Count a value, or the leaves of a nested object."""
    if isinstance(value, Mapping) and value and "_type" not in value:
        for key, inner in value.items():
            _index(f"{path}.{key}", inner, into)
    else:
        into.setdefault(path, KeyStats()).add(value)


def _typed(index: dict[str, KeyStats]) -> list[tuple[str, str]]:
    """List each path with its types; null beside another type says nothing."""
    return [
        (path, kind)
        for path in sorted(index)
        for kind in sorted(index[path].counts)
        if kind != "nil" or len(index[path].counts) == 1
    ]
