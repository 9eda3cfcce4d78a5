"""From tables to frames of one of pandas' three families of dtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from wbframe.arrow.tables import to_arrow
from wbframe.core.arguments import check_one_of
from wbframe.core.decode.integers import with_integers
from wbframe.core.model import EXACT, DtypeBackend

if TYPE_CHECKING:
    from collections.abc import Collection

    import polars as pl

    from wbframe.report import ScanReport

__all__ = ["check_backend", "frame_of", "to_pandas"]

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


def check_backend(dtype_backend: DtypeBackend) -> DtypeBackend:
    """Check the argument `dtype_backend`.

    Raises
    ------
    UsageError
        If pandas has no such backend.
    """
    check_one_of("dtype_backend", dtype_backend, get_args(DtypeBackend))
    return dtype_backend


def to_pandas(
    table: pa.Table, dtype_backend: DtypeBackend, *, nullable: Collection[str] = ()
) -> pd.DataFrame:
    """Turn a table into a frame of a family of pandas' dtypes; some integers are nullable in each of them."""
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
        if not pa.types.is_integer(column.type) or not column.null_count:
            continue
        if table.column_names[i] in nullable:
            values, mask = pc.fill_null(column, 0).to_numpy(), column.is_null().to_numpy()
            frame.isetitem(i, pd.arrays.IntegerArray(values, mask))
        elif not _fits_float(column):
            frame.isetitem(i, pd.array(column.to_pylist(), dtype=object))
    return frame


def _fits_float(column: pa.ChunkedArray) -> bool:
    """Tell whether Float64 holds each integer of a column."""
    span = pc.min_max(column).as_py()
    return max(-(span["min"] or 0), span["max"] or 0) <= EXACT


def frame_of(
    frame: pl.DataFrame,
    report: ScanReport,
    dtype_backend: DtypeBackend,
    *,
    integers_but: Collection[str] | None = None,
) -> pd.DataFrame:
    """Turn a frame into one of pandas that says how it was read; whole numbers into integers, if all but some."""
    whole = frame if integers_but is None else with_integers(frame, but=integers_but)
    made = [name for name, dtype in frame.schema.items() if whole.schema[name] != dtype]
    found = to_pandas(to_arrow(whole), dtype_backend, nullable=made)
    # A dict rather than the report, since pandas copies and compares `attrs`, which it calls experimental:
    # https://pandas.pydata.org/docs/reference/api/pandas.DataFrame.attrs.html
    found.attrs["wbframe"] = report.to_dict()
    return found
