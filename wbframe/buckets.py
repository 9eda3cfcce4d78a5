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
from wbframe.docs import documented
from wbframe.report import reported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from wbframe.core.arguments import Filters
    from wbframe.core.model import Grid, HistoryScan, RunPath
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook

__all__ = ["read_buckets", "scan_buckets"]


@documented("buckets")
def scan_buckets(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    bins: int = DEFAULT_BINS,
    grid: str = "run",
    edges: Iterable[float] | None = None,
    x_axis: str | None = None,
    stream: str = "default",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    on_error: str = "raise",
    infer_schema_runs: int = INFER_SCHEMA_RUNS,
    on_new_key: str = "ignore",
    client: Client | None = None,
) -> pl.LazyFrame:
    """Scan buckets lazily: the frame of `read_buckets`, read when it is collected.

    Also `pl.scan_wandb_buckets`. Filters on `run_id` and `run_columns` become the server's, but where all runs
    make one grid (``grid="shared"`` without both `min_step` and `max_step`): there all runs are read.

    Parameters
    ----------
    {parameters}
    infer_schema_runs, on_new_key
        As of `scan_histories`.

    Returns
    -------
    polars.LazyFrame
        See `read_buckets`.

    Raises
    ------
    {raises}
    """
    from wbframe.scans.buckets import BucketSource
    from wbframe.scans.source import registered

    options = check_scan_options(infer_schema_runs=infer_schema_runs, on_new_key=on_new_key)
    return registered(BucketSource(*bucket_scan(locals()), client, *options))


@documented("buckets")
def read_buckets(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    bins: int = DEFAULT_BINS,
    grid: str = "run",
    edges: Iterable[float] | None = None,
    x_axis: str | None = None,
    stream: str = "default",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    on_error: str = "raise",
    client: Client | None = None,
    progress: bool | Hook | None = None,
) -> pl.DataFrame:
    """Read what every value of a key comes to in each of some buckets along an axis: plots that hide no peak.

    Also `pl.read_wandb_buckets`. Costs a request a page of runs, and one for each 60,000 numbers. Where a server
    has no buckets, and with `grid`, `edges`, `min_step` or `max_step`, rows are read whole and summed up here, as
    with ``samples=None``; `replaced` of the report says so. A server's buckets come without the number of values
    in each, so that they are not put together to larger ones: means would be wrong. Rows of machine metrics come
    thinned out where there are many; `sampled_runs` of the report says of how many runs.

    Parameters
    ----------
    {parameters}

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
    {raises}

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
