"""Scans, which give lazy frames."""

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

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from wbframe.core.arguments import Filters, Overrides
    from wbframe.core.model import Match, OnError, OnIncomplete, OnNewKey, RunPath, Stream
    from wbframe.dropin.api import Api
    from wbframe.io.client.client import Client

__all__ = ["scan_histories", "scan_runs"]


def scan_runs(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    per_page: int | None = None,
    schema_overrides: Overrides = None,
    on_error: OnError = "raise",
    infer_schema_runs: int = INFER_SCHEMA_RUNS,
    on_new_key: OnNewKey = "ignore",
    client: Client | Api | None = None,
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
    path
        Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
        ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
        the web app, or a list of any of these.
    columns
        Names and globs, in the order wanted: ``["name", "config.lr", "summary.*"]``; None for all. The server
        is asked for these alone. ``"varying"`` reads all, and leaves out config and summary columns that are
        the same in all runs read (a key that some of them lack differs); ``"used"`` those that are null in
        all. Scans and readers of batches, whose columns are known beforehand, take neither.
    filters
        Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt":
        0.01}}``), or an expression (or a list, all of which must hold) over the columns of the runs frame.
        The server filters as far as it provably can; an expression is applied here again, so it is exact.
    order
        A sign and a column: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.best.acc"``,
        ``"+config.opt.lr"``; runs without a value come last. Where the order of the server cannot be trusted,
        all runs are sorted here.
    limit
        The most runs; exact, and counted after `filters`. None for all.
    per_page
        Runs a request, 1 to 1000. Default: 200, or 499 where no more than ten config and summary keys are read.
    schema_overrides
        Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
        ``{"bins": pl.List(pl.Float64)}`` opens lists. Python's types (``int``, ``date``, ``list[float]``) and
        pandas' names (``"Int64"``, ``"datetime64[us, UTC]"``) say the same.
    on_error
        What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave them
        out, with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and projects
        of a list that are not there, as long as one project is. What it takes to know the columns is never
        left out.
    infer_schema_runs
        Runs that are looked at for the columns where a server has no index of them.
    on_new_key
        What to do, where all of them or a glob of them are read, with config and summary keys that the index
        does not name: ``"ignore"`` with a `NewKeyWarning`, or ``"raise"``. By name they can be read.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default) says what
        the read did; of a scan, when it was collected.

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


def scan_histories(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    samples: int | None = DEFAULT_SAMPLES,
    x_axis: str = "_step",
    stream: Stream = "default",
    match: Match = "any",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    schema_overrides: Overrides = None,
    on_incomplete: OnIncomplete = "raise",
    on_error: OnError = "raise",
    infer_schema_runs: int = INFER_SCHEMA_RUNS,
    on_new_key: OnNewKey = "ignore",
    client: Client | Api | None = None,
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
    path
        Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
        ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
        the web app, or a list of any of these.
    keys
        Logged keys (or globs), in the order wanted; None for all; ``"scalars"`` for all that hold nothing but
        numbers, text and booleans: no media, histograms, tables, lists and objects. For ``stream="system"``
        any of the spellings ``"cpu"``, ``"system.cpu"``, ``"system/cpu"``.
    samples
        Rows of a run at the most. More are sampled down by the server, evenly: of named keys each group that
        is logged together by itself, of all keys whole rows, so that rare keys lose more. The report says
        whether it happened, and a `SampledWarning` where no number was given. None for every logged row: from
        exported files, and live for what is not exported, checked to be complete.
    x_axis
        A key that stands beside `_step`; other than `_step`, only rows that hold it are read.
    stream
        ``"default"`` for what was logged, ``"system"`` for machine metrics.
    match
        ``"any"`` gives every row that holds one of the keys, ``"all"`` only rows that hold all of them.
    run_columns
        Columns of the runs frame to repeat beside each row.
    min_step, max_step
        Steps to read: `min_step` is inclusive, `max_step` exclusive.
    filters
        Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt":
        0.01}}``), or an expression (or a list, all of which must hold) over the columns of the runs frame.
        The server filters as far as it provably can; an expression is applied here again, so it is exact.
    order
        A sign and a column: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.best.acc"``,
        ``"+config.opt.lr"``; runs without a value come last. Where the order of the server cannot be trusted,
        all runs are sorted here.
    limit
        The most runs; exact, and counted after `filters`. None for all.
    schema_overrides
        Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
        ``{"bins": pl.List(pl.Float64)}`` opens lists. Python's types (``int``, ``date``, ``list[float]``) and
        pandas' names (``"Int64"``, ``"datetime64[us, UTC]"``) say the same.
    on_incomplete
        With ``samples=None``, what to do when fewer rows of a run come than the server says it has:
        ``"raise"``, or ``"warn"``.
    on_error
        What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave them
        out, with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and projects
        of a list that are not there, as long as one project is. What it takes to know the columns is never
        left out.
    infer_schema_runs
        Runs that are looked at for the keys where a server cannot tell those of all runs.
    on_new_key
        What to do, where all keys or a glob of them are read, with those that were logged since: ``"ignore"``
        with a `NewKeyWarning`, or ``"raise"``. By name they can be read.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default) says what
        the read did; of a scan, when it was collected.

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
