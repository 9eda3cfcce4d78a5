"""The polars face: readers and scans as functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wbframe.core.arguments import (
    INFER_SCHEMA_RUNS,
    call_with,
    check_scan_options,
    history_scan,
    runs_scan,
)
from wbframe.core.model import DEFAULT_ORDER, DEFAULT_SAMPLES
from wbframe.docs import documented
from wbframe.report import report_of, reported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from wbframe.core.arguments import Filters, Overrides
    from wbframe.core.model import RunPath
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook

__all__ = ["read_histories", "read_runs", "report_of", "scan_histories", "scan_runs"]


@documented("runs")
def read_runs(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    per_page: int | None = None,
    schema_overrides: Overrides = None,
    on_error: str = "raise",
    client: Client | None = None,
    progress: bool | Hook | None = None,
) -> pl.DataFrame:
    """Read the runs of a project as one typed frame.

    Also `pl.read_wandb_runs`. Costs a request a page, and one a thousand config and summary keys where such
    columns are read.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    polars.DataFrame
        One row a run, in the order asked for: ``entity, project, run_id, name, state, created_at,
        heartbeat_at, user, group, job_type, sweep, tags, notes, commit, history_line_count``, then
        ``config.*``, then ``summary.*``, each sorted; or `columns` as given. Nested dicts are flattened with
        dots. Times are Datetime(us, UTC), numbers Float64, `tags` a list of text; lists and media are JSON
        text, as is a key that is text in some runs and a number in others.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import polars as pl, wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     client = wbframe.Client(server.url, server.api_key)
    ...     runs = read_runs("wbframe/demo", columns=["run_id", "state"], client=client)
    >>> dict(runs.schema)
    {'run_id': String, 'state': String}
    """
    from wbframe.io.client.client import client_or_default
    from wbframe.io.read.outcome import hook_of
    from wbframe.io.read.runs import read_runs as read

    scan = call_with(runs_scan, locals())
    return reported(*read(client_or_default(client), scan, hook_of(progress)))


@documented("histories")
def read_histories(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    samples: int | None = DEFAULT_SAMPLES,
    x_axis: str = "_step",
    stream: str = "default",
    match: str = "any",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    schema_overrides: Overrides = None,
    on_incomplete: str = "raise",
    on_error: str = "raise",
    client: Client | None = None,
    progress: bool | Hook | None = None,
) -> pl.DataFrame:
    """Read what the runs of a project have logged as one typed frame, many runs a request.

    Also `pl.read_wandb_histories`. Costs a request a page of runs, then one for each 200,000 cells (or 100
    runs); one more where rows show that keys were not logged together. With ``samples=None`` one for each 16
    runs in place of these, one or a few for each exported file, and those for the rows that are not exported.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    polars.DataFrame
        `run_id`, `_step`, the keys (in the order asked, else sorted), `run_columns`. Runs in the order of
        the query, rows of a run by `_step`. Numbers are Float64 (also NaN and infinities), booleans
        Boolean, text String; lists, histograms and media are JSON text. A logged key whose name is taken by
        another column is called ``history.<key>``. Machine metrics have `_runtime` and `_timestamp` in
        place of `_step`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import polars as pl, wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     client = wbframe.Client(server.url, server.api_key)
    ...     rows = read_histories("wbframe/demo", keys=["train/loss"], limit=2, client=client)
    >>> dict(rows.schema)
    {'run_id': String, '_step': Int64, 'train/loss': Float64}
    """
    from wbframe.io.client.client import client_or_default
    from wbframe.io.read.histories import read_histories as read
    from wbframe.io.read.outcome import hook_of

    scan = call_with(history_scan, locals())
    return reported(*read(client_or_default(client), scan, hook_of(progress)))


# ---------------------------------------------------------------- scans


@documented("runs")
def scan_runs(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    per_page: int | None = None,
    schema_overrides: Overrides = None,
    on_error: str = "raise",
    infer_schema_runs: int = INFER_SCHEMA_RUNS,
    on_new_key: str = "ignore",
    client: Client | None = None,
) -> pl.LazyFrame:
    """Scan the runs of a project: nothing is read before the frame is collected, and then only what it takes.

    Also `pl.scan_wandb_runs`. The columns that a query selects are the fields that the server is asked for, its
    filter becomes the server's as far as that provably loses no row, ``head`` ends the paging, and
    ``select(pl.len())`` counts the names of a page (one request) where it holds all runs, else it is the
    server's own count where the filter is pushed exactly. A filter is tried on the first runs before it is
    believed, which costs one request more for each form of it and each client.

    `collect_schema` costs a request a thousand config and summary keys, however many runs there are, and one for
    the last 20 runs, which an index may lag behind: two for 300 keys of 5,000 runs. Only where a key has text
    among numbers, which may be spelled-out NaN, is that of all runs read for it, a request a thousand runs; where
    the index lacks what runs have, some more runs are looked at, and where there is none, the first
    `infer_schema_runs`.

    Parameters
    ----------
    {parameters}
    infer_schema_runs
        Runs that are looked at for the columns where a server has no index of them.
    on_new_key
        What to do, where all of them or a glob of them are read, with config and summary keys that the index
        does not name: ``"ignore"`` with a `NewKeyWarning`, or ``"raise"``. By name they can be read.

    Returns
    -------
    polars.LazyFrame
        The frame of `read_runs`, lazily. Works on both engines, pickles wherever polars can pickle plans, and
        holds no key: where it runs, it finds its own.

    Raises
    ------
    UsageError
        An argument is wrong; other errors come when it is collected.

    Examples
    --------
    >>> import polars as pl, wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     client = wbframe.Client(server.url, server.api_key)
    ...     lazy = scan_runs("wbframe/demo", client=client)
    ...     found = lazy.filter(pl.col("state") == "killed").select("run_id", "state").collect()
    >>> found["state"].to_list()
    ['killed']
    """
    from wbframe.scans.counting import counting
    from wbframe.scans.source import RunsSource, registered

    scan = call_with(runs_scan, locals())
    options = check_scan_options(infer_schema_runs=infer_schema_runs, on_new_key=on_new_key)
    source = RunsSource(scan, client, *options)
    return counting(registered(source), source)


@documented("histories")
def scan_histories(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    samples: int | None = DEFAULT_SAMPLES,
    x_axis: str = "_step",
    stream: str = "default",
    match: str = "any",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    schema_overrides: Overrides = None,
    on_incomplete: str = "raise",
    on_error: str = "raise",
    infer_schema_runs: int = INFER_SCHEMA_RUNS,
    on_new_key: str = "ignore",
    client: Client | None = None,
) -> pl.LazyFrame:
    """Scan what the runs of a project have logged: nothing is read before the frame is collected.

    Also `pl.scan_wandb_histories`. The keys that a query selects are what the server is asked for; a filter
    on `run_columns` or `run_id` becomes the server's filter of runs, one on `_step` the window that is read;
    ``head`` ends the reading. A window that is pushed is sampled by itself: where a run has more than `samples`
    rows, more of the window come than a filter after an eager read would leave.

    `collect_schema` costs a request a project, however many runs there are, one or two for the keys and some rows
    of the last 20 runs, and one a thousand config and summary keys if `run_columns` has such: three or four for
    300 keys of 5,000 runs. Only where runs are named or limited, or where a key has text among numbers, which may
    be spelled-out NaN, are all runs listed for it; and where a server does not unite their keys, the first
    `infer_schema_runs`.

    Parameters
    ----------
    {parameters}
    infer_schema_runs
        Runs that are looked at for the keys where a server cannot tell those of all runs.
    on_new_key
        What to do, where all keys or a glob of them are read, with those that were logged since: ``"ignore"``
        with a `NewKeyWarning`, or ``"raise"``. By name they can be read.

    Returns
    -------
    polars.LazyFrame
        The frame of `read_histories`, lazily. Works on both engines, pickles wherever polars can pickle plans,
        and holds no key: where it runs, it finds its own.

    Raises
    ------
    UsageError
        An argument is wrong; other errors come when it is collected.

    Examples
    --------
    >>> import polars as pl, wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     client = wbframe.Client(server.url, server.api_key)
    ...     lazy = scan_histories("wbframe/demo", run_columns=["state"], client=client)
    ...     rows = lazy.filter(pl.col("state") == "killed", pl.col("_step") < 3).select("_step").collect()
    >>> rows["_step"].to_list()
    [0, 1, 2]
    """
    from wbframe.scans.source import HistorySource, registered

    scan = call_with(history_scan, locals())
    options = check_scan_options(infer_schema_runs=infer_schema_runs, on_new_key=on_new_key)
    return registered(HistorySource(scan, client, *options))
