"""What a scan does, in words and as data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wbframe.core import filters as flt
from wbframe.core.model import HistoryScan

if TYPE_CHECKING:
    from wbframe.core.model import RunPath, RunsScan
    from wbframe.core.predicate import Conjunct


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanExplanation:
    """What one scan of a query does.

    Attributes
    ----------
    kind
        ``"runs"`` or ``"histories"``.
    paths
        The projects, sweeps and runs that it reads.
    columns
        The columns that it gives.
    filters
        What the server is asked to keep, as JSON.
    conjuncts
        The conditions of the query's predicate: which are pushed exactly, which as a superset, which stay
        local, and why.
    n_rows
        The limit that the query hands over; it comes before the predicate.
    min_step, max_step
        The window of steps that is read, half-open.
    keys, samples, stream
        The logged keys that are read (None for all), rows of a run at the most, and of which stream.
    requests
        About how many requests collecting it takes, besides those for its schema. It counts the runs that
        the server's filter keeps and the rows that they have logged, so that a window of steps, or a page
        that ends early, may make it less. Where every row is read, it is made from the first page of each
        project's runs and from what is exported of the first of them: exact where the others are alike, no
        file is larger than 128 KiB, and no run logs on meanwhile.
    replaced
        Server features that were refused and are replaced by older queries.
    """

    kind: Literal["runs", "histories"]
    paths: tuple[str, ...]
    columns: tuple[str, ...]
    filters: str
    conjuncts: tuple[Conjunct, ...] = ()
    n_rows: int | None = None
    min_step: int | None = None
    max_step: int | None = None
    keys: tuple[str, ...] | None = None
    samples: int | None = None
    stream: str | None = None
    requests: int | None = None
    replaced: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.kind} of {', '.join(self.paths)}"]
        lines.append(f"  columns: {_some(self.columns)}")
        lines.append(f"  server filter: {self.filters}")
        if self.kind == "histories":
            keys = "all" if self.keys is None else _some(self.keys)
            lines.append(f"  keys: {keys}; stream: {self.stream}")
            low = "start" if self.min_step is None else self.min_step
            high = "end" if self.max_step is None else self.max_step
            rows = "every row" if self.samples is None else f"at most {self.samples} rows a run"
            lines.append(f"  steps: {low} to {high} (exclusive); {rows}")
        if self.n_rows is not None:
            lines.append(f"  limit: {self.n_rows} rows, taken before the predicate")
        for each in self.conjuncts:
            reason = f" ({each.reason})" if each.reason else ""
            pushed = f" as {_json(each.pushed)}" if each.pushed else ""
            lines.append(f"  {_STATUS[each.status]}: {each.text}{pushed}{reason}")
        if self.requests is not None:
            lines.append(f"  requests: about {self.requests}")
        lines.extend(f"  not on this server: {each}, replaced" for each in self.replaced)
        return "\n".join(lines)


_STATUS = {"exact": "pushed exactly", "superset": "pushed as a superset", "local": "stays local"}
_SHOWN = 12


def _json(value: object) -> str:
    """Spell what is pushed."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _some(names: tuple[str, ...]) -> str:
    """List names, not more than fit a line or two."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def path_text(path: RunPath) -> str:
    """Spell a path as a user would."""
    base = path.project if path.entity is None else f"{path.entity}/{path.project}"
    if path.sweep:
        return f"{base}/sweeps/{path.sweep}"
    return f"{base}/runs/{path.run}" if path.run else base


def describe_scan(scan: RunsScan | HistoryScan) -> str:
    """Describe a scan on one line, as it was made: what a query adds, the plan shows beside it."""
    selection = scan.selection
    parts = [_some(tuple(map(path_text, selection.paths)))]
    if selection.filters != flt.EMPTY:
        parts.append(f"server filter {flt.to_json(selection.filters)}")
    if selection.predicate is not None:
        parts.append(f"filter {selection.predicate}")
    parts.append(f"order {selection.order}")
    if selection.limit is not None:
        parts.append(f"limit {selection.limit} runs")
    if isinstance(scan, HistoryScan):
        parts.append(f"keys {_some(scan.keys) if scan.keys else 'all'} ({scan.match})")
        if scan.stream != "default":
            parts.append(f"stream {scan.stream}")
        if scan.min_step is not None or scan.max_step is not None:
            parts.append(f"steps [{scan.min_step or 0}, {scan.max_step or 'end'})")
        parts.append("every row" if scan.samples is None else f"at most {scan.samples} rows a run")
    return "; ".join(parts)
