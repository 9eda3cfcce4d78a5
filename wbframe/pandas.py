"""The pandas face: readers as functions, and the ``wandb`` accessor of frames."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from wbframe.arrow import METADATA_KEY, histories_reader, to_arrow
from wbframe.arrow import read_buckets as _read_buckets
from wbframe.core.arguments import call_with, history_scan, runs_scan
from wbframe.core.model import DEFAULT_BINS, DEFAULT_ORDER, DEFAULT_SAMPLES
from wbframe.core.paths import paths_of
from wbframe.docs import documented
from wbframe.errors import one_of
from wbframe.io.client.client import client_or_default
from wbframe.io.read.histories import read_histories as _read_histories
from wbframe.io.read.outcome import hook_of
from wbframe.io.read.runs import read_runs as _read_runs
from wbframe.report import ScanReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import polars as pl

    from wbframe.core.arguments import Filters, Overrides
    from wbframe.core.model import RunPath, RunPaths
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook

__all__ = ["iter_histories", "read_buckets", "read_histories", "read_runs"]

DtypeBackend = Literal["numpy", "numpy_nullable", "pyarrow"]

# Float64 holds every integer up to here.
_EXACT = 2**53


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
    dtype_backend: str = "numpy",
    client: Client | None = None,
    progress: bool | Hook | None = None,
) -> pd.DataFrame:
    """Read the runs of a project as one pandas frame; columns, rows and cost as `wbframe.polars.read_runs`.

    Also `pd.read_wandb_runs`.

    Parameters
    ----------
    {parameters}
    dtype_backend
        ``"numpy"``, ``"numpy_nullable"`` or ``"pyarrow"``, as pandas' own readers have it.

    Returns
    -------
    pandas.DataFrame
        With a fresh RangeIndex. ``frame.attrs["wbframe"]`` is the `ScanReport` as a dict.

    Raises
    ------
    {raises}
    """
    scan = call_with(runs_scan, locals())
    backend = check_backend(dtype_backend)
    return frame_of(*_read_runs(client_or_default(client), scan, hook_of(progress)), backend)


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
    dtype_backend: str = "numpy",
    client: Client | None = None,
    progress: bool | Hook | None = None,
) -> pd.DataFrame:
    """Read histories as one pandas frame; columns, rows and cost as `wbframe.polars.read_histories`.

    Also `pd.read_wandb_histories`.

    Parameters
    ----------
    {parameters}
    dtype_backend
        ``"numpy"``, ``"numpy_nullable"`` or ``"pyarrow"``, as pandas' own readers have it.

    Returns
    -------
    pandas.DataFrame
        With a fresh RangeIndex. ``frame.attrs["wbframe"]`` is the `ScanReport` as a dict.

    Raises
    ------
    {raises}
    """
    scan = call_with(history_scan, locals())
    backend = check_backend(dtype_backend)
    return frame_of(*_read_histories(client_or_default(client), scan, hook_of(progress)), backend)


@documented("histories")
def iter_histories(
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
    dtype_backend: str = "numpy",
    client: Client | None = None,
) -> Iterator[pd.DataFrame]:
    """Read histories frame by frame, in bounded memory, while later ones are on their way.

    Parameters
    ----------
    {parameters}
    batch_size
        Rows of a frame at the most; None for as many as a request gives.
    dtype_backend
        As of `read_histories`.

    Yields
    ------
    pandas.DataFrame
        The frame of `read_histories` in parts, each with a fresh RangeIndex and the same dtypes, as far as
        the backend can: numpy has no integer null.

    Raises
    ------
    {raises}
    """
    backend = check_backend(dtype_backend)
    reader = call_with(histories_reader, locals())
    return (to_pandas(pa.Table.from_batches([batch]), backend) for batch in reader)


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
    dtype_backend: str = "numpy",
    client: Client | None = None,
) -> pd.DataFrame:
    """Read buckets as one pandas frame; columns, rows and cost as `wbframe.buckets.read_buckets`.

    Also `pd.read_wandb_buckets`.

    Parameters
    ----------
    {parameters}
    dtype_backend
        As of `read_histories`.

    Returns
    -------
    pandas.DataFrame
        With a fresh RangeIndex; see `wbframe.buckets.read_buckets`. ``frame.attrs["wbframe"]`` is the
        `ScanReport` as a dict.

    Raises
    ------
    {raises}
    """
    backend = check_backend(dtype_backend)
    table = call_with(_read_buckets, locals())
    found = to_pandas(table, backend)
    found.attrs["wbframe"] = json.loads(table.schema.metadata[METADATA_KEY])
    return found


# ---------------------------------------------------------------- dtypes

_NULLABLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.int32(): pd.Int32Dtype(),
    pa.int16(): pd.Int16Dtype(),
    pa.int8(): pd.Int8Dtype(),
    pa.uint64(): pd.UInt64Dtype(),
    pa.uint32(): pd.UInt32Dtype(),
    pa.uint16(): pd.UInt16Dtype(),
    pa.uint8(): pd.UInt8Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.float32(): pd.Float32Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.large_string(): pd.StringDtype(),
}


def check_backend(dtype_backend: str) -> DtypeBackend:
    """Check the argument `dtype_backend`.

    Raises
    ------
    UsageError
        If pandas has no such backend.
    """
    if dtype_backend not in get_args(DtypeBackend):
        raise one_of("dtype_backend", dtype_backend, get_args(DtypeBackend))
    return dtype_backend  # type: ignore[return-value]


def to_pandas(table: pa.Table, dtype_backend: DtypeBackend) -> pd.DataFrame:
    """Turn a table into a frame of one of pandas' three families of dtypes."""
    mapper = {"pyarrow": pd.ArrowDtype, "numpy_nullable": _NULLABLE.get}.get(dtype_backend)
    frame: pd.DataFrame = table.to_pandas(types_mapper=mapper)
    if dtype_backend == "numpy_nullable":
        # pandas 3 would take NaN for null.
        # https://github.com/pandas-dev/pandas/issues/32265
        for i, column in enumerate(table.columns):
            if pa.types.is_floating(column.type) and pc.any(pc.is_nan(column)).as_py():
                values, mask = column.to_numpy(), column.is_null().to_numpy()
                frame.isetitem(i, pd.arrays.FloatingArray(values, mask))
    if mapper is not None:
        return frame
    # numpy has no integer null: such a column becomes float64, or Python ints where that would cost digits.
    for i, column in enumerate(table.columns):
        if pa.types.is_integer(column.type) and column.null_count and not _fits_float(column):
            frame.isetitem(i, pd.array(column.to_pylist(), dtype=object))
    return frame


def _fits_float(column: pa.ChunkedArray) -> bool:
    """Tell whether Float64 holds each integer of a column."""
    span = pc.min_max(column).as_py()
    return max(-(span["min"] or 0), span["max"] or 0) <= _EXACT


def frame_of(frame: pl.DataFrame, report: ScanReport, dtype_backend: DtypeBackend) -> pd.DataFrame:
    """Turn a frame into one of pandas that says how it was read."""
    found = to_pandas(to_arrow(frame), dtype_backend)
    # A dict rather than the report, since pandas copies and compares `attrs`, which it calls experimental:
    # https://pandas.pydata.org/docs/reference/api/pandas.DataFrame.attrs.html
    found.attrs["wbframe"] = report.to_dict()
    return found


# ---------------------------------------------------------------- the accessor


class _Accessor:
    """From a frame to the runs and histories that its rows name."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def _paths(self, path: str | None) -> RunPaths:
        names = [each for each in ("entity", "project", "run_id") if each in self._frame.columns]
        rows = self._frame[names].drop_duplicates().astype(object)
        # NaN, NA and None all stand for a missing id, depending on the dtype.
        plain = [
            dict(zip(names, row, strict=True)) for row in rows.where(rows.notna(), None).to_numpy()
        ]
        return paths_of(plain, names, path)

    @property
    def report(self) -> ScanReport | None:
        """How this frame was read, or the frame that it was made of as far as pandas keeps `attrs`; else None."""
        kept = self._frame.attrs.get("wbframe")
        return None if kept is None else ScanReport.of_dict(kept)

    @documented("rows")
    def histories(
        self,
        *,
        path: str | None = None,
        keys: Sequence[str] | None = None,
        samples: int | None = DEFAULT_SAMPLES,
        x_axis: str = "_step",
        stream: str = "default",
        match: str = "any",
        run_columns: Sequence[str] | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        schema_overrides: Overrides = None,
        on_incomplete: str = "raise",
        on_error: str = "raise",
        dtype_backend: str = "numpy",
        client: Client | None = None,
        progress: bool | Hook | None = None,
    ) -> pd.DataFrame:
        """Read the histories of exactly the runs in this frame, in its order.

        Needs the columns `entity`, `project` and `run_id`, as the runs readers give them; or `run_id` and
        `path`. Costs and returns as `read_histories`.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        {parameters}
        dtype_backend
            As of `read_histories`.

        Raises
        ------
        {raises}
        """
        return call_with(read_histories, locals(), path=self._paths(path))

    def runs(
        self,
        *,
        path: str | None = None,
        columns: Sequence[str] | None = None,
        schema_overrides: Overrides = None,
        on_error: str = "raise",
        dtype_backend: str = "numpy",
        client: Client | None = None,
        progress: bool | Hook | None = None,
    ) -> pd.DataFrame:
        """Read the runs frame of exactly the runs in this frame, each once, in the order of their first rows.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        columns, schema_overrides, on_error, dtype_backend, client, progress
            As of `read_runs`, which says what comes back and what is raised.
        """
        return call_with(read_runs, locals(), path=self._paths(path))


def register() -> None:
    """Set the readers on the pandas module, and the ``wandb`` accessor on its frames."""
    pd.read_wandb_runs = read_runs  # type: ignore[attr-defined]
    pd.read_wandb_histories = read_histories  # type: ignore[attr-defined]
    pd.read_wandb_buckets = read_buckets  # type: ignore[attr-defined]
    # Importing anew (a notebook's reload) must not warn that the accessor is taken.
    if not hasattr(pd.DataFrame, "wandb"):
        pd.api.extensions.register_dataframe_accessor("wandb")(_Accessor)


register()
