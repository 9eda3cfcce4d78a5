"""The footers of exported files: whether they can be believed, which rows and bytes are needed, and how many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wbframe.core.decode.thrift import I32, LIST, STRUCT, DamagedError, Fields
from wbframe.core.model import STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow.parquet as pq

__all__ = [
    "EMPTY_BYTES",
    "MAGIC_BYTES",
    "NEAR_BYTES",
    "TAIL_BYTES",
    "WHOLE_SHARE",
    "Chunk",
    "check_nesting",
    "chunks_needed",
    "footer_bytes",
    "groups_in_window",
    "memory_of_footer",
    "ranges_needed",
    "rows_of",
]

# Read at once from the end of a file: its footer, and all of it if it is small.
TAIL_BYTES = 128 * 1024
# Chunks of columns nearer than this are read as one range: a request costs more than so many bytes.
NEAR_BYTES = 64 * 1024
# A share of the file from which on it is read whole, in one request.
WHOLE_SHARE = 0.6
# The length of the footer stands before the last four bytes: https://parquet.apache.org/docs/file-format/
_MAGIC, MAGIC_BYTES = b"PAR1", 8
_SHORTEST = 12
# Bytes that Arrow takes for the largest struct of a footer, and for each byte besides (an empty text in a list).
_STRUCT_BYTES, EMPTY_BYTES = 700, 32
# As pyarrow has it, in releases that have one; others end the process at some ten thousand.
_MOST_DEPTH = 100
_SCHEMA, _CHILDREN = 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The values of one leaf in one row group.

    Attributes
    ----------
    leaf
        Which, counted as in the schema.
    start, end
        Where they are in the file, half-open.
    values
        How many there are, nulls among them.
    width
        Bytes of a value, where all have as many; 0 for texts and bytes.
    codec
        How its pages are packed.
    """

    leaf: int
    start: int
    end: int
    values: int
    width: int
    codec: str


# ---------------------------------------------------------------- the bytes of it


def footer_bytes(tail: bytes, size: int) -> int:
    """Give the length of the footer and what stands behind it, told by the last bytes of a file of some size.

    Raises
    ------
    DamagedError
        If that cannot be.
    """
    if len(tail) < _SHORTEST:
        raise DamagedError(f"it has {len(tail)} bytes")
    if tail[-4:] != _MAGIC:
        raise DamagedError(f"it ends in {tail[-4:]!r}, not in {_MAGIC!r}")
    length = int.from_bytes(tail[-MAGIC_BYTES:-4], "little") + MAGIC_BYTES
    if length + len(_MAGIC) > size:
        raise DamagedError(f"its footer has {length:,} bytes, the file {size:,}")
    return length


def memory_of_footer(footer: bytes) -> int:
    """Give the bytes of memory that a footer takes at the most once it is read, without reading it."""
    # Every struct ends with a zero.
    return footer.count(b"\0") * _STRUCT_BYTES + len(footer) * EMPTY_BYTES


def check_nesting(footer: bytes) -> None:
    """Refuse a schema that is nested so deeply that reading it may end the process.

    Raises
    ------
    DamagedError
        If it is, or if the footer is none.
    """
    fields = Fields(memoryview(footer))
    for number, kind in fields.struct():
        if number != _SCHEMA or kind != LIST:
            fields.skip(kind)
            continue
        length, inner = fields.list()
        open_: list[int] = []
        for _ in range(length):
            children = _children(fields, inner)
            while open_ and open_[-1] == 0:
                open_.pop()
            if open_:
                open_[-1] -= 1
            if children > 0:
                open_.append(children)
            if len(open_) > _MOST_DEPTH:
                raise DamagedError("its schema is nested too deeply")


def _children(fields: Fields, kind: int) -> int:
    """Read an element of a schema, and give the number of its children."""
    if kind != STRUCT:
        fields.skip(kind)
        return 0
    found = 0
    for number, inner in fields.struct():
        if number == _CHILDREN and inner == I32:
            found = fields.integer()
        else:
            fields.skip(inner)
    return found


# ---------------------------------------------------------------- which rows


def groups_in_window(
    metadata: pq.FileMetaData, min_step: int | None, max_step: int | None
) -> list[int]:
    """Choose the row groups that may hold steps of a half-open window; all where statistics do not say."""
    leaf = next((i for i, path in enumerate(_leaves(metadata)) if path == STEP), None)
    chosen = []
    for group in range(metadata.num_row_groups):
        span = None if leaf is None else _step_span(metadata.row_group(group), leaf)
        if span is None or (
            (max_step is None or span[0] < max_step) and (min_step is None or span[1] >= min_step)
        ):
            chosen.append(group)
    return chosen


def _step_span(row_group: pq.RowGroupMetaData, leaf: int) -> tuple[float, float] | None:
    """Give the least and the greatest step of a row group, if its statistics have them."""
    if leaf >= row_group.num_columns:
        return None
    # Statistics are optional in Parquet, and what W&B's exporter writes is not documented.
    stats = row_group.column(leaf).statistics
    if stats is None or not stats.has_min_max:
        return None
    span = stats.min, stats.max
    told = all(isinstance(each, int | float) and not math.isnan(each) for each in span)
    return span if told else None


def rows_of(metadata: pq.FileMetaData, groups: Iterable[int]) -> int:
    """Count the rows of some row groups.

    Raises
    ------
    DamagedError
        If the footer counts them in two ways.
    """
    counts = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    if min(counts, default=0) < 0 or sum(counts) != metadata.num_rows:
        raise DamagedError(
            f"its footer counts {metadata.num_rows:,} rows, and {sum(counts):,} in its parts"
        )
    return sum(counts[group] for group in groups)


# ---------------------------------------------------------------- which bytes


def chunks_needed(
    metadata: pq.FileMetaData, columns: Iterable[str], size: int, groups: Sequence[int]
) -> list[Chunk]:
    """Find the chunks of some columns in some row groups.

    Parameters
    ----------
    metadata
        The file's footer.
    columns
        Top-level columns; all leaves of a nested one are needed.
    size
        The file's size.
    groups
        Row groups to read.

    Raises
    ------
    DamagedError
        If one lies outside of the file, or if it cannot have the values that it is said to have.
    """
    wanted = set(columns)
    paths = _leaves(metadata)
    schema = metadata.schema
    leaves = [(i, schema.column(i)) for i, path in enumerate(paths) if _root(path, wanted)]
    found = []
    for group in groups:
        row_group = metadata.row_group(group)
        if row_group.num_columns != len(paths):
            raise DamagedError(
                f"its part {group} has {row_group.num_columns} columns of {len(paths)}"
            )
        rows = row_group.num_rows
        for i, column in leaves:
            chunk = _chunk(i, row_group.column(i), column)
            flat = column.max_repetition_level == 0
            if chunk.values < 0 or (flat and chunk.values != rows):
                raise DamagedError(
                    f"{chunk.values:,} values of {paths[i]!r} stand in {rows:,} rows"
                )
            if not 0 <= chunk.start <= chunk.end <= size:
                raise DamagedError(
                    f"{paths[i]!r} is said to lie at {chunk.start:,} to {chunk.end:,} of {size:,} bytes"
                )
            found.append(chunk)
    return found


def _chunk(leaf: int, told: pq.ColumnChunkMetaData, column: pq.ColumnSchema) -> Chunk:
    """Read what a footer says of a chunk."""
    # A dictionary comes before the data pages, and is part of the chunk's size:
    # https://github.com/apache/parquet-format
    start = told.data_page_offset
    if told.has_dictionary_page and (dictionary := told.dictionary_page_offset) is not None:
        start = min(start, dictionary) if dictionary > 0 else start
    kind = told.physical_type
    return Chunk(
        leaf=leaf,
        start=start,
        end=start + told.total_compressed_size,
        values=told.num_values,
        width=_WIDTHS.get(kind) or (max(column.length, 16) if kind == _FIXED else 0),
        codec=told.compression,
    )


# As Arrow holds them: a timestamp of 96 bits in 64, a decimal in 128.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
_FIXED = "FIXED_LEN_BYTE_ARRAY"


def _leaves(metadata: pq.FileMetaData) -> list[str]:
    """Name the leaves of a file, by their paths."""
    schema = metadata.schema
    return [schema.column(i).path for i in range(len(schema))]


def _root(path: str, wanted: set[str]) -> bool:
    """Tell whether a leaf belongs to a wanted column; names may hold dots themselves."""
    if path in wanted:
        return True
    parts = path.split(".")
    return any(".".join(parts[:i]) in wanted for i in range(1, len(parts)))


def ranges_needed(chunks: Iterable[Chunk], size: int) -> list[tuple[int, int]]:
    """Choose the ranges of bytes that hold some chunks of a file of this size.

    Returns
    -------
    list of (start, end)
        Half-open, in order; near ones are joined, and if most of the file is needed it is one range.
    """
    joined: list[tuple[int, int]] = []
    for start, end in sorted((chunk.start, chunk.end) for chunk in chunks):
        if joined and start - joined[-1][1] <= NEAR_BYTES:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    if sum(end - start for start, end in joined) >= WHOLE_SHARE * size:
        return [(0, size)]
    return joined
