"""Buckets of histories as polars frames: minimum, maximum, mean and last value along an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wbframe.core.arguments import call_with, check_bins, history_scan
from wbframe.core.model import DEFAULT_BINS, DEFAULT_ORDER
from wbframe.docs import documented
from wbframe.report import reported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from wbframe.core.arguments import Filters
    from wbframe.core.model import RunPath
    from wbframe.io.client.client import Client
    from wbframe.scans.buckets import BucketSource

__all__ = ["read_buckets", "scan_buckets"]


@documented("buckets")
def scan_buckets(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    bins: int = DEFAULT_BINS,
    x_axis: str | None = None,
    stream: str = "default",
    run_columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    on_error: str = "raise",
    client: Client | None = None,
) -> pl.LazyFrame:
    """Scan buckets lazily: the frame of `read_buckets`, read when it is collected.

    Also `pl.scan_wandb_buckets`. Filters on `run_id` and `run_columns` become the server's.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    polars.LazyFrame
        See `read_buckets`.

    Raises
    ------
    {raises}
    """
    from wbframe.scans.source import registered

    return registered(_source(locals()))


@documented("buckets")
def read_buckets(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    bins: int = DEFAULT_BINS,
    x_axis: str | None = None,
    stream: str = "default",
    run_columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    on_error: str = "raise",
    client: Client | None = None,
) -> pl.DataFrame:
    """Read what every value of a key comes to in each of some buckets along an axis: plots that hide no peak.

    Also `pl.read_wandb_buckets`. Costs a request for the keys, one a page of runs, and one for each 60,000
    numbers; where a server has no buckets, rows are read whole and summed up here.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    polars.DataFrame
        `run_id`, the axis (the mean of it in the bucket, Float64), then ``<key>.min``, ``<key>.max``,
        ``<key>.mean`` and ``<key>.last`` for each key (in the order asked, else sorted), then `run_columns`;
        all Float64. Runs in the order of the query, buckets along the axis; empty ones are left out. Keys
        that were not logged together have their buckets in rows of their own.

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
    (['run_id', '_step', 'train/loss.min', 'train/loss.max', 'train/loss.mean', 'train/loss.last'], 3)
    """
    import polars as pl

    source = _source(locals())
    # Not by way of polars, whose errors would stand before ours.
    frame = pl.concat([pl.DataFrame(schema=source.schema()), *source(None, None, None, None)])
    return reported(frame, source.report)


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
