"""Buckets of histories as polars frames: minimum, maximum, mean and last value along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wbframe.core.arguments import call_with, check_bins, history_scan
from wbframe.core.model import DEFAULT_BINS, DEFAULT_ORDER

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from wbframe.core.arguments import Filters
    from wbframe.core.model import OnError, RunPath, Stream
    from wbframe.dropin.api import Api
    from wbframe.io.client.client import Client
    from wbframe.scans.buckets import BucketSource

__all__ = ["read_buckets", "scan_buckets"]


def scan_buckets(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    bins: int = DEFAULT_BINS,
    x_axis: str | None = None,
    stream: Stream = "default",
    run_columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    on_error: OnError = "raise",
    client: Client | Api | None = None,
) -> pl.LazyFrame:
    """Scan buckets lazily: the frame of `read_buckets`, read when it is collected.

    Also `pl.scan_wandb_buckets`. Filters on `run_id` and `run_columns` become the server's.

    Parameters
    ----------
    path
        Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
        ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
        the web app, or a list of any of these.
    keys
        Logged keys (or globs) that hold numbers, in the order wanted; None for all of these.
    bins
        Buckets a run and key at the most.
    x_axis
        The key along which they lie; None for `_step`, or `_timestamp` of machine metrics.
    stream
        ``"default"`` for what was logged, ``"system"`` for machine metrics.
    run_columns
        Columns of the runs frame to repeat beside each row.
    filters
        Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt":
        0.01}}``), or an expression (or a list, all of which must hold) over the columns of the runs frame.
        The server filters as far as it provably can; an expression is applied here again, so it is exact.
    order
        A sign and a field: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.loss"``, ``"+config.lr"``.
    limit
        The most runs; exact, and counted after `filters`. None for all.
    on_error
        What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave them
        out, with a `LeftOutWarning` and a report that names each and says why. What it takes to know the
        columns is never left out.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it.

    Returns
    -------
    polars.LazyFrame
        See `read_buckets`.

    Raises
    ------
    UsageError
        An argument is wrong; other errors come when it is collected.
    """
    from wbframe.scans.source import registered

    return registered(_source(locals()))


def read_buckets(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    bins: int = DEFAULT_BINS,
    x_axis: str | None = None,
    stream: Stream = "default",
    run_columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    on_error: OnError = "raise",
    client: Client | Api | None = None,
) -> pl.DataFrame:
    """Read what every value of a key comes to in each of some buckets along an axis: plots that hide no peak.

    Also `pl.read_wandb_buckets`. Costs a request for the keys, one a page of runs, and one for each 60,000
    numbers; where a server has no buckets, rows are read whole and summed up here.

    Parameters
    ----------
    path
        Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
        ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
        the web app, or a list of any of these.
    keys
        Logged keys (or globs) that hold numbers, in the order wanted; None for all of these.
    bins
        Buckets a run and key at the most.
    x_axis
        The key along which they lie; None for `_step`, or `_timestamp` of machine metrics.
    stream
        ``"default"`` for what was logged, ``"system"`` for machine metrics.
    run_columns
        Columns of the runs frame to repeat beside each row.
    filters
        Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt":
        0.01}}``), or an expression (or a list, all of which must hold) over the columns of the runs frame.
        The server filters as far as it provably can; an expression is applied here again, so it is exact.
    order
        A sign and a field: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.loss"``, ``"+config.lr"``.
    limit
        The most runs; exact, and counted after `filters`. None for all.
    on_error
        What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave them
        out, with a `LeftOutWarning` and a report that names each and says why. What it takes to know the
        columns is never left out.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it.

    Returns
    -------
    polars.DataFrame
        `run_id`, the axis (the mean of it in the bucket, Float64), then ``<key>.min``, ``<key>.max``,
        ``<key>.mean`` and ``<key>.last`` for each key (in the order asked, else sorted), then `run_columns`;
        all Float64. Runs in the order of the query, buckets along the axis; empty ones are left out. Keys
        that were not logged together have their buckets in rows of their own.

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
    (['run_id', '_step', 'train/loss.min', 'train/loss.max', 'train/loss.mean', 'train/loss.last'], 3)
    """
    import polars as pl

    source = _source(locals())
    # Not by way of polars, whose errors would stand before ours.
    return pl.concat([pl.DataFrame(schema=source.schema()), *source(None, None, None, None)])


def _source(given: dict[str, Any]) -> BucketSource:
    """Make what reads buckets."""
    from wbframe.scans.buckets import BucketSource

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
    return BucketSource(scan, check_bins(given["bins"]), axis, given["client"])
