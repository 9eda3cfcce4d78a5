"""From frames to tables and batches of the types that every Arrow reader knows."""

from __future__ import annotations

import json
from dataclasses import asdict
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
    # The newest has views of strings, which older readers do not know:
    # https://docs.pola.rs/api/python/stable/reference/dataframe/api/polars.DataFrame.to_arrow.html
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def table_of(frame: pl.DataFrame, report: ScanReport) -> pa.Table:
    """Turn a frame into a table that says how it was read."""
    table = to_arrow(frame)
    metadata = {
        **(table.schema.metadata or {}),
        METADATA_KEY: json.dumps(asdict(report)).encode(),
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
