"""The Arrow face: tables, and readers that hand out batches while later ones are on their way."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from wbframe.buckets import read_buckets as _read_buckets
from wbframe.core.arguments import call_with, check_batch_size, history_scan, runs_scan
from wbframe.core.model import DEFAULT_BINS, DEFAULT_ORDER, DEFAULT_SAMPLES
from wbframe.docs import documented
from wbframe.io.client.client import client_or_default
from wbframe.io.read.histories import read_histories as _read_histories
from wbframe.io.read.outcome import hook_of
from wbframe.io.read.runs import read_runs as _read_runs
from wbframe.report import report_of
from wbframe.scans.source import HistorySource, RunsSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from wbframe.core.arguments import Filters, Overrides
    from wbframe.core.model import RunPath
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook
    from wbframe.report import ScanReport

__all__ = ["histories_reader", "read_buckets", "read_histories", "read_runs", "runs_reader"]

# Under this key of the schema's metadata: the `ScanReport` as JSON.
METADATA_KEY = b"wbframe"


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
) -> pa.Table:
    """Read the runs of a project as one Arrow table; columns, rows and cost as `wbframe.polars.read_runs`.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    pyarrow.Table
        Text is ``large_string``. The schema's metadata has the `ScanReport` as JSON under ``wbframe``.

    Raises
    ------
    {raises}
    """
    scan = call_with(runs_scan, locals())
    return table_of(*_read_runs(client_or_default(client), scan, hook_of(progress)))


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
) -> pa.Table:
    """Read histories as one Arrow table; columns, rows and cost as `wbframe.polars.read_histories`.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    pyarrow.Table
        Text is ``large_string``. The schema's metadata has the `ScanReport` as JSON under ``wbframe``.

    Raises
    ------
    {raises}
    """
    scan = call_with(history_scan, locals())
    return table_of(*_read_histories(client_or_default(client), scan, hook_of(progress)))


@documented("runs")
def runs_reader(
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
) -> pa.RecordBatchReader:
    """Read the runs frame batch by batch, a page each; the schema is known before the first page is read.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    pyarrow.RecordBatchReader
        For DuckDB and everything else that takes the Arrow C stream. Errors of later pages are raised while
        it is read.

    Raises
    ------
    {raises}
    """
    scan = call_with(runs_scan, locals())
    source = RunsSource(scan, client_or_default(client))
    # Not by way of polars, under which errors lose their class in some releases.
    return _reader(source.schema(), source(None, None, None, None))


@documented("histories")
def histories_reader(
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
    batch_size: int | None = None,
    client: Client | None = None,
) -> pa.RecordBatchReader:
    """Read histories batch by batch, a batch a request, while later ones are on their way.

    The schema is known before this returns.

    Parameters
    ----------
    {parameters}
    batch_size
        Rows of a batch at the most; None for as many as a request gives.

    Returns
    -------
    pyarrow.RecordBatchReader
        For DuckDB and everything else that takes the Arrow C stream. Errors of later requests are raised
        while it is read.

    Raises
    ------
    {raises}
    """
    scan = call_with(history_scan, locals())
    size = check_batch_size(batch_size)
    source = HistorySource(scan, client_or_default(client))
    return _reader(source.schema(), source(None, None, None, size))


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
) -> pa.Table:
    """Read buckets as one Arrow table; columns, rows and cost as `wbframe.buckets.read_buckets`.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    pyarrow.Table
        See `wbframe.buckets.read_buckets`. The schema's metadata has the `ScanReport` as JSON under
        ``wbframe``.

    Raises
    ------
    {raises}
    """
    frame = call_with(_read_buckets, locals())
    return table_of(frame, report_of(frame))


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """Turn a frame into a table of the types that every Arrow reader knows."""
    # The newest has views of strings, which older readers do not know:
    # https://docs.pola.rs/api/python/stable/reference/dataframe/api/polars.DataFrame.to_arrow.html
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def table_of(frame: pl.DataFrame, report: ScanReport | None) -> pa.Table:
    """Turn a frame into a table that says how it was read."""
    table = to_arrow(frame)
    if report is None:
        return table
    metadata = {
        **(table.schema.metadata or {}),
        METADATA_KEY: json.dumps(report.to_dict()).encode(),
    }
    return table.replace_schema_metadata(metadata)


def _reader(
    columns: Mapping[str, pl.DataType], frames: Iterator[pl.DataFrame]
) -> pa.RecordBatchReader:
    """Hand frames out as record batches of one schema."""
    # By way of a frame, so that schema and batches have gone through the same conversion.
    schema = to_arrow(pl.DataFrame(schema=dict(columns))).schema
    batches = (batch for frame in frames for batch in to_arrow(frame).to_batches())
    return pa.RecordBatchReader.from_batches(schema, batches)
