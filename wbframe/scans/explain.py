"""Saying what a lazy query will do before it does it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core import filters as flt
from wbframe.core.explain import (
    ScanExplanation,
    count_requests,
    first_of,
    path_text,
    task_requests,
    tasks_until,
    with_exports,
)
from wbframe.core.histories.buckets import numeric_keys, runs_per_request, takes_rows
from wbframe.core.histories.tasks import history_tasks, rows_asked
from wbframe.core.protocol.request import BUCKETS, EXPORTS
from wbframe.core.protocol.runs import NodeFields
from wbframe.core.pushdown.reader import is_row_separable
from wbframe.core.runs.listing import page_size
from wbframe.errors import UsageError
from wbframe.io.client.secrets import without_locals
from wbframe.io.read.buckets import instead_of
from wbframe.io.read.exports import read_exports
from wbframe.io.read.histories import ENTRY_FIELDS
from wbframe.io.read.parts import ABSENT
from wbframe.io.read.project import count_runs, read_keys
from wbframe.scans.buckets import BucketSource
from wbframe.scans.probe import probe
from wbframe.scans.source import HistorySource, LeftSource, RunsSource
from wbframe.scans.stream import entries_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wbframe.core.histories.entries import RunEntry
    from wbframe.core.histories.tasks import HistoryTask
    from wbframe.core.model import HistoryScan, RunPath, Selection
    from wbframe.core.protocol.exports import Export
    from wbframe.core.pushdown.query import NarrowedHistories, Wanted
    from wbframe.io.client.client import Client
    from wbframe.scans.source import Source

__all__ = ["Explanation", "explain"]

_ENTRY = NodeFields(plain=ENTRY_FIELDS)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What each wbframe scan of a query does; prints as text.

    Attributes
    ----------
    scans
        One each, without those that polars finds it need not read.
    """

    scans: tuple[ScanExplanation, ...]

    def __repr__(self) -> str:
        return "\n\n".join(map(str, self.scans)) or "nothing is read"

    @property
    def requests(self) -> int:
        """About how many requests collecting the query takes."""
        return sum(scan.requests or 0 for scan in self.scans)


@without_locals
def explain(frame: pl.LazyFrame) -> Explanation:
    """Say what the wbframe scans of a query will do: what is pushed, what stays here and why, how many requests.

    A copy of the query is run in which these scans give no rows. It costs the requests for their schemas, and
    one or two a project to count its runs and rows, or three where every row is read: then it lists the first
    page of runs, and asks what is exported of the first of them. Sources of other kinds in the query are
    really read.

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
        If it is no lazy query, has no wbframe scan, or ends in a sink.

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
      columns known by: the server's index, and a look at 20 runs
      requests: about 1
    """
    if not isinstance(frame, pl.LazyFrame):
        raise UsageError(
            "`frame` must be a polars.LazyFrame made by pl.scan_wandb_runs or _histories, before it is"
            f" collected; got {type(frame).__name__}"
        )
    # Even a run that gives no rows makes the file.
    if frame.explain(optimized=False).startswith("SINK"):
        raise UsageError("a sink writes when its copy is run; explain the query without its sink")
    asked = probe(frame)
    if asked is None:
        raise UsageError(
            "the query has no scan of wbframe; make one by pl.scan_wandb_runs or _histories"
        )
    return Explanation(tuple(_explained(source, wanted) for source, wanted in asked))  # type: ignore[arg-type]


def _explained(given: Source[Any], wanted: Wanted) -> ScanExplanation:
    """Explain one scan."""
    source: Source[Any] = given.promise() if isinstance(given, LeftSource) else given
    if isinstance(source, HistorySource):
        return _histories(source, wanted)
    if isinstance(source, BucketSource):
        return _buckets(source, wanted)
    assert isinstance(source, RunsSource)
    client = source.connection()
    narrowed = source.narrowed(wanted)
    selection = narrowed.scan.selection
    counts = _count_runs(client, selection)
    plan = source.promise().plan.of(narrowed.scan)
    size = page_size(selection, plan.fields())
    return ScanExplanation(
        kind="runs",
        paths=tuple(map(path_text, selection.paths)),
        columns=tuple(narrowed.scan.columns or ()),
        filters=flt.to_json(selection.asked),
        conjuncts=narrowed.pushdown.conjuncts,
        n_rows=wanted.n_rows,
        requests=count_requests(counts, size),
        looked_at=source.promise().plan.looked_at,
        replaced=tuple(sorted(client.refused)),
    )


def _histories(source: HistorySource, wanted: Wanted) -> ScanExplanation:
    """Explain a scan of histories."""
    client = source.connection()
    narrowed = source.narrowed(wanted)
    scan = narrowed.scan
    keys = tuple(narrowed.schema.keys)
    if narrowed.empty:
        requests = 0
    elif scan.samples is None:
        requests = _whole_requests(source, narrowed, wanted.n_rows)
    else:
        requests = _sampled_requests(client, scan, keys, wanted.n_rows)
    return _of_rows(
        source,
        narrowed,
        wanted,
        keys=keys if scan.narrowed or scan.keys is not None else None,
        requests=requests,
        looked_at=source.promise().looked_at,
    )


def _buckets(source: BucketSource, wanted: Wanted) -> ScanExplanation:
    """Explain a scan of buckets: the server's, or of whole histories."""
    client, base, narrowed = source.connection(), source.promise().base, source.narrowed(wanted)
    scan, keys = narrowed.scan, numeric_keys(base.schema)
    if BUCKETS in client.refused or takes_rows(scan, source.grid):
        rows = HistorySource(source.scan, client)
        rows._promise = base  # noqa: SLF001 -- that of the same scan
        requests = _whole_requests(rows, replace(narrowed, schema=base.schema), wanted.n_rows)
    else:
        counts = _count_runs(client, scan.selection)
        tasks = sum(math.ceil(runs / runs_per_request(source.grid, len(keys))) for runs in counts)
        requests = count_requests(counts, page_size(scan.selection, _ENTRY)) + tasks
    return _of_rows(
        source,
        narrowed,
        wanted,
        keys=keys,
        requests=requests,
        looked_at=base.looked_at,
        instead=instead_of(scan, source.grid),
    )


def _of_rows(
    source: HistorySource | BucketSource,
    narrowed: NarrowedHistories,
    wanted: Wanted,
    *,
    keys: tuple[str, ...] | None,
    requests: int,
    looked_at: int,
    instead: Iterable[str] = (),
) -> ScanExplanation:
    """Say what a scan of histories, or of what they sum up to, does."""
    scan = narrowed.scan
    return ScanExplanation(
        kind="histories",
        paths=tuple(map(path_text, scan.selection.paths)),
        columns=tuple(wanted.needed(list(source.schema()))),
        filters=flt.to_json(scan.selection.asked),
        conjuncts=narrowed.conjuncts,
        n_rows=wanted.n_rows,
        min_step=scan.min_step,
        max_step=scan.max_step,
        keys=keys,
        samples=scan.samples,
        stream=scan.stream,
        requests=requests,
        looked_at=looked_at,
        replaced=tuple(sorted({*source.connection().refused, *instead})),
    )


def _sampled_requests(
    client: Client, scan: HistoryScan, keys: tuple[str, ...], n_rows: int | None
) -> int:
    """Estimate the requests of a scan of sampled rows."""
    counts = _count_runs(client, scan.selection)
    cells = _count_cells(client, scan, keys, sum(counts))
    if n_rows is not None and cells:
        share = min(n_rows * (len(keys) + 1) / cells, 1.0)
        counts, cells = first_of(counts, math.ceil(share * sum(counts))), math.ceil(share * cells)
    return count_requests(counts, page_size(scan.selection, _ENTRY), cells)


def _whole_requests(source: HistorySource, narrowed: NarrowedHistories, n_rows: int | None) -> int:
    """Estimate the requests of a scan of every row, project by project."""
    client, scan, schema = source.connection(), narrowed.scan, narrowed.schema
    columns = len({*schema.keys, *(scan.keys or ())}) + len(schema.lead) - 1
    counts = _count_runs(client, scan.selection)
    found = 0
    for paths, runs in zip(_paths_by_project(scan.selection), counts, strict=False):
        if n_rows is not None and n_rows <= 0:
            break
        part = replace(scan, selection=replace(scan.selection, paths=paths), run_columns=())
        entries = _first_page(source, part, runs)
        tasks = list(tasks_until(history_tasks(part, entries, schema), n_rows))
        exports = _first_exports(client, tasks)
        refused = EXPORTS in client.refused
        requests = sum(
            task_requests(task, these, columns, client.budget.now, refused=refused)
            for task, these in with_exports(tasks, exports)
        )
        rows = sum(run.known or 0 for task in tasks for run in task.runs)
        more = runs / _listed(part.selection, runs, len(entries)) if entries else 1.0
        if n_rows is not None:
            more = min(more, max(n_rows / rows, 1.0) if rows else more)
            n_rows -= math.ceil(rows * more)
        listed = math.ceil(len(entries) * more) if n_rows is not None else runs
        found += count_requests([listed], page_size(scan.selection, _ENTRY)) + math.ceil(
            requests * more
        )
    return found


def _first_page(source: HistorySource, scan: HistoryScan, runs: int) -> list[RunEntry]:
    """List the first page of the runs of one project."""
    if not runs:
        return []
    listing = entries_of(source.connection(), source.promise(), scan, "ignore")
    entries = iter(listing)
    found = list(islice(entries, 1))
    page = listing.frames[0].height if found else 0
    return found + list(islice(entries, min(page, runs) - 1)) if page > 1 else found


def _listed(selection: Selection, runs: int, kept: int) -> int:
    """Tell of how many runs the first page is, of which so many were kept."""
    if selection.predicate is None:
        return kept
    return (
        min(page_size(selection, _ENTRY), runs) if is_row_separable(selection.predicate) else runs
    )


def _first_exports(client: Client, tasks: Sequence[HistoryTask]) -> dict[str, Export]:
    """Ask what is exported of the runs of the first task; nothing where a server has no exports."""
    if not tasks:
        return {}
    run_ids = [run.run_id for run in tasks[0].runs]
    exports = read_exports(client, tasks[0].path, run_ids)
    return {} if EXPORTS in client.refused else dict(zip(run_ids, exports, strict=True))


def _paths_by_project(selection: Selection) -> list[tuple[RunPath, ...]]:
    """Put paths together that name runs of one project."""
    found: list[tuple[RunPath, ...]] = []
    for (_, is_named), group in groupby(selection.paths, key=_project_of):
        paths = tuple(group)
        found += [paths] if is_named else [(path,) for path in paths]
    return found


def _count_runs(client: Client, selection: Selection) -> tuple[int, ...]:
    """Count the runs that will be listed, of each project."""
    counts = []
    for paths in _paths_by_project(selection):
        path, is_named = _project_of(paths[0])
        if is_named:
            counts.append(len(paths))
            continue
        try:
            counts.append(count_runs(client, path, selection.asked) or 0)
        except ABSENT:
            if selection.on_error == "raise":
                raise
            counts.append(0)
    return first_of(counts, selection.limit)


def _project_of(path: RunPath) -> tuple[RunPath, bool]:
    """Give the project or sweep of a path, and whether the path names one run of it."""
    return replace(path, run=None), path.run is not None


def _count_cells(client: Client, scan: HistoryScan, keys: tuple[str, ...], runs: int) -> int:
    """Count the cells that the runs hold, as far as the server says, and no more than are asked for."""
    most = rows_asked(scan.samples) * (len(keys) + 1) * runs
    if any(path.run is not None for path in scan.selection.paths):
        return most
    cells = 0
    for path in scan.selection.paths:
        try:
            found = read_keys(client, path, scan.selection.asked)
        except ABSENT:
            if scan.selection.on_error == "raise":
                raise
            continue
        if found is None:
            return most
        held = [sum(found.get(key, {}).values()) for key in keys]
        # All keys of a stream come row by row; chosen keys come each with its own rows.
        whole = scan.keys is None and not scan.narrowed
        cells += max(held, default=0) * len(keys) if whole else 2 * sum(held)
    return min(cells, most)
