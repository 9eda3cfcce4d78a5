"""Saying what a lazy query will do before it does it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from wbframe.core import filters as flt
from wbframe.core import graphql
from wbframe.core.explain import ScanExplanation, count_requests, first_of, path_text
from wbframe.core.listing import server_filters
from wbframe.core.plan import WHOLE_RUNS_PER_TASK, parse_keys, rows_asked
from wbframe.errors import UsageError
from wbframe.io.paging import send_or_refuse
from wbframe.io.probe import probe
from wbframe.io.source import HistorySource, LeftSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from wbframe.core.model import HistoryScan, RunPath, Selection
    from wbframe.core.narrow import Wanted
    from wbframe.io.client import Client
    from wbframe.io.source import RunsSource

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each wbframe scan of a query does; prints as text."""

    scans: tuple[ScanExplanation, ...]

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.scans))

    @property
    def requests(self) -> int:
        """About how many requests collecting the query takes."""
        return sum(scan.requests or 0 for scan in self.scans)


def explain(frame: pl.LazyFrame) -> Explanation:
    """Say what the wbframe scans of a query will do: what is pushed, what stays here and why, how many requests.

    A copy of the query is run in which these scans give no rows. It costs the requests for their schemas, and
    one or two a project to count its runs and rows; sources of other kinds in the query are really read.

    Parameters
    ----------
    frame
        The query.

    Returns
    -------
    Explanation
        One `ScanExplanation` a scan, in the order in which polars asks for them; ``str`` gives the text.

    Raises
    ------
    UsageError
        If the query has no wbframe scan, or ends in a sink.

    Examples
    --------
    >>> import polars as pl, wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     client = wbframe.Client(server.url, server.api_key)
    ...     lazy = pl.scan_wandb_runs("wbframe/demo", client=client)
    ...     print(explain(lazy.filter(pl.col("state") == "killed").select("run_id", "state")))
    runs of wbframe/demo
      columns: run_id, state
      server filter: {"state":"killed"}
      pushed exactly: state == 'killed' as {"state":"killed"}
      requests: about 1
    """
    if frame.explain(optimized=False).startswith("SINK"):
        raise UsageError("a sink writes when its copy is run; explain the query without its sink")
    asked = probe(frame)
    if not asked:
        raise UsageError(
            "the query has no scan of wbframe; make one by pl.scan_wandb_runs or _histories"
        )
    return Explanation(tuple(_explained(source, wanted) for source, wanted in asked))  # type: ignore[arg-type]


def _explained(source: RunsSource | HistorySource | LeftSource, wanted: Wanted) -> ScanExplanation:
    """Explain one scan."""
    if isinstance(source, LeftSource):
        source = source.promise()
    if isinstance(source, HistorySource):
        return _histories(source, wanted)
    client = source.connection()
    narrowed = source.narrowed(wanted)
    selection = narrowed.scan.selection
    counts = _count_runs(client, selection)
    return ScanExplanation(
        kind="runs",
        paths=tuple(map(path_text, selection.paths)),
        columns=tuple(narrowed.scan.columns or ()),
        filters=flt.to_json(selection.filters),
        conjuncts=narrowed.pushdown.conjuncts,
        n_rows=wanted.n_rows,
        requests=count_requests(counts, selection.per_page),
        replaced=tuple(sorted(client.refused)),
    )


def _histories(source: HistorySource, wanted: Wanted) -> ScanExplanation:
    """Explain a scan of histories."""
    client = source.connection()
    narrowed = source.narrowed(wanted)
    scan = narrowed.scan
    counts = _count_runs(client, scan.selection)
    keys = tuple(narrowed.schema.keys)
    cells = _count_cells(client, scan, keys, sum(counts))
    if wanted.n_rows is not None and cells:
        share = min(wanted.n_rows * (len(keys) + 1) / cells, 1.0)
        counts, cells = first_of(counts, math.ceil(share * sum(counts))), math.ceil(share * cells)
    return ScanExplanation(
        kind="histories",
        paths=tuple(map(path_text, scan.selection.paths)),
        columns=tuple(wanted.needed(list(source.schema()))),
        filters=flt.to_json(scan.selection.filters),
        conjuncts=narrowed.conjuncts,
        n_rows=wanted.n_rows,
        min_step=scan.min_step,
        max_step=scan.max_step,
        keys=keys if scan.narrowed or scan.keys is not None else None,
        samples=scan.samples,
        stream=scan.stream,
        requests=0 if narrowed.empty else _requests(scan, counts, cells),
        replaced=tuple(sorted(client.refused)),
    )


def _requests(scan: HistoryScan, counts: Sequence[int], cells: int) -> int:
    """Estimate requests; of whole histories one a run for its files, and two a task for where these are."""
    if scan.samples is None:
        pages, runs = count_requests(counts, scan.selection.per_page), sum(counts)
        return pages + runs + 2 * math.ceil(runs / WHOLE_RUNS_PER_TASK)
    return count_requests(counts, scan.selection.per_page, cells)


def _count_runs(client: Client, selection: Selection) -> tuple[int, ...]:
    """Count the runs that will be listed, of each project."""
    counts = []
    for (path, is_named), group in groupby(selection.paths, key=_project_of):
        if is_named:
            counts.append(sum(1 for _ in group))
            continue
        request = graphql.count_request(path, flt.to_json(server_filters(selection.filters, path)))
        counts.append(graphql.count_answer(client.send(request), request, path))
    return first_of(counts, selection.limit)


def _project_of(path: RunPath) -> tuple[RunPath, bool]:
    """Give the project or sweep of a path, and whether the path names one run of it."""
    return replace(path, run=None), path.run is not None


def _count_cells(client: Client, scan: HistoryScan, keys: tuple[str, ...], runs: int) -> int:
    """Count the cells that the runs hold, as far as the server says, and no more than are asked for."""
    most = rows_asked(scan.samples) * (len(keys) + 1) * runs
    if any(path.run is not None for path in scan.selection.paths) or graphql.KEYS in client.refused:
        return most
    cells = 0
    for path in scan.selection.paths:
        request = graphql.keys_request(
            path, flt.to_json(server_filters(scan.selection.filters, path))
        )
        content = send_or_refuse(client, request)
        if content is None:
            return most
        found = parse_keys(graphql.keys_answer(content, request, path), where=request.asked)
        if found is None:
            return most
        held = [sum(found.get(key, {}).values()) for key in keys]
        # All keys of a stream come row by row; chosen keys come each with its own rows.
        whole = scan.keys is None and not scan.narrowed
        cells += max(held, default=0) * len(keys) if whole else 2 * sum(held)
    return min(cells, most)
