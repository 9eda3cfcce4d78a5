"""Buckets of histories as polars frames: minimum, maximum, mean and last value along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wbframe.core.arguments import (
    INFER_SCHEMA_RUNS,
    call_with,
    check_grid,
    check_scan_options,
    history_scan,
)
from wbframe.core.model import DEFAULT_BINS, DEFAULT_ORDER
from wbframe.report import reported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from wbframe.core.arguments import Filters
    from wbframe.core.model import (
        Grid,
        GridOf,
        HistoryScan,
        OnError,
        OnNewKey,
        RunPath,
        Stream,
    )
    from wbframe.dropin.api import Api
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook

__all__ = ["read_buckets", "scan_buckets"]


def scan_buckets(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    bins: int = DEFAULT_BINS,
    grid: GridOf = "run",
    edges: Iterable[float] | None = None,
    x_axis: str | None = None,
    stream: Stream = "default",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    on_error: OnError = "raise",
    infer_schema_runs: int = INFER_SCHEMA_RUNS,
    on_new_key: OnNewKey = "ignore",
    client: Client | Api | None = None,
) -> pl.LazyFrame:
    """Scan buckets lazily: the frame of `read_buckets`, read when it is collected.

    Also `pl.scan_wandb_buckets`. Filters on `run_id` and `run_columns` become the server's, but where all
    runs make one grid (``grid="shared"`` without both `min_step` and `max_step`): there all runs are read.

    Parameters
    ----------
    path
        Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
        ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
        the web app, or a list of any of these.
    keys
        Logged keys (or globs) that hold numbers, in the order wanted; None or ``"scalars"`` for all of these.
    bins
        Buckets a run at the most, of equal width.
    grid
        ``"run"``: the buckets of each run and key reach from its least to its greatest x. ``"shared"``: all runs
        and keys have the same, from the least to the greatest x of all, or along `_step` from `min_step` to
        `max_step` where both are given; so runs can be averaged by `bucket`. They are made of every row.
    edges
        The same for all runs, from edges of your own: ``[0, 10, 100]`` are two buckets, each with its first edge
        (inclusive) and without its second (exclusive); what lies beyond the edges is left out.
    x_axis
        The key along which they lie; None for `_step`, or `_timestamp` of machine metrics.
    stream
        ``"default"`` for what was logged, ``"system"`` for machine metrics.
    run_columns
        Columns of the runs frame to repeat beside each row.
    min_step, max_step
        Steps to sum up: `min_step` is inclusive, `max_step` exclusive. No server is known to cut buckets so: they
        are made of every row of these steps.
    filters
        Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt": 0.01}}``),
        or an expression (or a list, all of which must hold) over the columns of the runs frame. The server
        filters as far as it provably can; an expression is applied here again, so it is exact.
    order
        A sign and a column: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.best.acc"``,
        ``"+config.opt.lr"``; runs without a value come last. Where the order of the server cannot be trusted,
        all runs are sorted here.
    limit
        The most runs; exact, and counted after `filters`. None for all.
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
        See `read_buckets`.

    Raises
    ------
    UsageError
        An argument is wrong; other errors come when it is collected.
    """
    from wbframe.scans.buckets import BucketSource
    from wbframe.scans.source import registered

    options = check_scan_options(infer_schema_runs=infer_schema_runs, on_new_key=on_new_key)
    return registered(BucketSource(*bucket_scan(locals()), client, *options))


def read_buckets(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    bins: int = DEFAULT_BINS,
    grid: GridOf = "run",
    edges: Iterable[float] | None = None,
    x_axis: str | None = None,
    stream: Stream = "default",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    on_error: OnError = "raise",
    client: Client | Api | None = None,
    progress: bool | Hook | None = None,
) -> pl.DataFrame:
    """Read what every value of a key comes to in each of some buckets along an axis: plots that hide no peak.

    Also `pl.read_wandb_buckets`. Costs a request a page of runs, and one for each 60,000 numbers. Where a
    server has no buckets, and with `grid`, `edges`, `min_step` or `max_step`, rows are read whole and summed
    up here, as with ``samples=None``; `replaced` of the report says so. A server's buckets come without the
    number of values in each, so that they are not put together to larger ones: means would be wrong. Rows of
    machine metrics come thinned out where there are many; `sampled_runs` of the report says of how many runs.

    Parameters
    ----------
    path
        Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
        ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
        the web app, or a list of any of these.
    keys
        Logged keys (or globs) that hold numbers, in the order wanted; None or ``"scalars"`` for all of these.
    bins
        Buckets a run at the most, of equal width.
    grid
        ``"run"``: the buckets of each run and key reach from its least to its greatest x. ``"shared"``: all runs
        and keys have the same, from the least to the greatest x of all, or along `_step` from `min_step` to
        `max_step` where both are given; so runs can be averaged by `bucket`. They are made of every row.
    edges
        The same for all runs, from edges of your own: ``[0, 10, 100]`` are two buckets, each with its first edge
        (inclusive) and without its second (exclusive); what lies beyond the edges is left out.
    x_axis
        The key along which they lie; None for `_step`, or `_timestamp` of machine metrics.
    stream
        ``"default"`` for what was logged, ``"system"`` for machine metrics.
    run_columns
        Columns of the runs frame to repeat beside each row.
    min_step, max_step
        Steps to sum up: `min_step` is inclusive, `max_step` exclusive. No server is known to cut buckets so: they
        are made of every row of these steps.
    filters
        Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt": 0.01}}``),
        or an expression (or a list, all of which must hold) over the columns of the runs frame. The server
        filters as far as it provably can; an expression is applied here again, so it is exact.
    order
        A sign and a column: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.best.acc"``,
        ``"+config.opt.lr"``; runs without a value come last. Where the order of the server cannot be trusted,
        all runs are sorted here.
    limit
        The most runs; exact, and counted after `filters`. None for all.
    on_error
        What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave them
        out, with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and projects
        of a list that are not there, as long as one project is. What it takes to know the columns is never
        left out.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default) says what
        the read did; of a scan, when it was collected.
    progress
        True for a tqdm bar, or lines on stderr where that is no terminal; or a function that gets a `Progress`.

    Returns
    -------
    polars.DataFrame
        `run_id`, `bucket` (Int64), the axis (the mean of it in the bucket, Float64), then ``<key>.min``,
        ``<key>.max``, ``<key>.mean`` and ``<key>.last`` for each key (in the order asked, else sorted; Float64),
        then `run_columns`. Runs in the order of the query, buckets along the axis; empty ones are left out.
        `bucket` counts from 0: on a grid that runs share it is the number of the grid's bucket, the same in all
        runs; else that of the run's row, and keys that were not logged together have rows of their own. Values
        that are not finite do not count.

    Raises
    ------
    UsageError
        An argument is wrong; found before any request where it can be known.
    CredentialsError, AccessError, NotFoundError
        No or a refused key; no permission; no such project, run or sweep.
    IncompleteError
        Runs came and went each time that they were listed.
    RequestError, QueryError, AnswerError
        The server could not be reached, refused the query, or answered something else; after the retries. The
        error's `report` says what had been done until then.

    Examples
    --------
    >>> import wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     client = wbframe.Client(server.url, server.api_key)
    ...     rows = read_buckets("wbframe/demo", keys=["train/loss"], bins=3, limit=1, client=client)
    >>> rows.columns, rows.height
    (['run_id', 'bucket', '_step', 'train/loss.min', 'train/loss.max', 'train/loss.mean', 'train/loss.last'], 3)
    """
    from wbframe.io.client.client import client_or_default
    from wbframe.io.read.buckets import read_buckets as read
    from wbframe.io.read.outcome import hook_of

    scan, grid_of = bucket_scan(locals())
    return reported(*read(client_or_default(client), scan, grid_of, hook_of(progress)))


def bucket_scan(given: dict[str, Any]) -> tuple[HistoryScan, Grid]:
    """Check the arguments of a reader of buckets, which may leave out those that it does not take."""
    system = given["stream"] == "system"
    axis = given["x_axis"] or ("_timestamp" if system else "_step")
    scan = call_with(
        history_scan,
        given,
        # Where a server has no buckets, they are made of every row: a sample would hide the peaks.
        samples=None,
        x_axis="_step" if system else axis,
        on_incomplete="warn",
    )
    return scan, call_with(check_grid, given, x_axis=axis)
