"""From frames to tables and batches of the types that every Arrow reader knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wbframe.report import ScanReport

__all__ = ["reader_of", "table_of", "to_arrow"]

# Under this key of the schema's metadata: the `ScanReport` as JSON.
METADATA_KEY = b"wbframe"


def to_arrow(frame: pl.DataFrame) -> pa.Table:
    """Turn a frame into a table of the types that every Arrow reader knows."""
    # Arrow has no integers of 128 bits.
    wide = [name for name, dtype in frame.schema.items() if dtype in (pl.Int128, pl.UInt128)]
    plain = frame.with_columns(pl.lit(None, dtype=pl.Null).alias(name) for name in wide)
    # The newest has views of strings, which older readers do not know:
    # https://docs.pola.rs/api/python/stable/reference/dataframe/api/polars.DataFrame.to_arrow.html
    numbered = pl.DataFrame([each.alias(str(i)) for i, each in enumerate(plain)])
    # Numbered on the way, where names end at a NUL.
    table = numbered.to_arrow(compat_level=pl.CompatLevel.oldest()).rename_columns(plain.columns)
    for name in wide:
        digits = pa.array(frame[name].to_list(), pa.decimal256(39, 0))
        table = table.set_column(table.column_names.index(name), name, digits)
    return table


def table_of(frame: pl.DataFrame, report: ScanReport) -> pa.Table:
    """Turn a frame into a table that says how it was read."""
    table = to_arrow(frame)
    metadata = {
        **(table.schema.metadata or {}),
        METADATA_KEY: json.dumps(report.to_dict()).encode(),
    }
    return table.replace_schema_metadata(metadata)


def reader_of(
    columns: Mapping[str, pl.DataType], frames: Iterator[pl.DataFrame]
) -> pa.RecordBatchReader:
    """Hand frames out as record batches of one schema."""
    # By way of a frame, so that schema and batches have gone through the same conversion.
    schema = to_arrow(pl.DataFrame(schema=dict(columns))).schema
    batches = (batch for frame in frames for batch in to_arrow(frame).to_batches())
    return pa.RecordBatchReader.from_batches(schema, batches)
