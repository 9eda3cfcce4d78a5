"""The footers of exported files: whether they can be believed, which rows and bytes are needed, and how many."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wbframe.core.decode.plain import misfit
from wbframe.core.decode.thrift import (
    BINARY,
    I32,
    I64,
    LIST,
    STRUCT,
    DamagedError,
    Fields,
)
from wbframe.core.model import STEP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow.parquet as pq

__all__ = [
    "EMPTY_BYTES",
    "MAGIC_BYTES",
    "SHORT_BYTES",
    "Chunk",
    "Footer",
    "Group",
    "chunks_needed",
    "footer_bytes",
    "groups_in_window",
    "memory_of_footer",
    "read_footer",
    "step_spans",
]

# A footer so short does no harm, whatever is in it.
SHORT_BYTES = 128 * 1024
# The length of the footer stands before the last four bytes: https://parquet.apache.org/docs/file-format/
_MAGIC, MAGIC_BYTES = b"PAR1", 8
_SHORTEST = 12
# Bytes that Arrow takes for the largest struct of a footer, and for each byte besides (an empty text in a list).
_STRUCT_BYTES, EMPTY_BYTES = 700, 32
# As pyarrow has it, in releases that have one; others end the process at some ten thousand.
_MOST_DEPTH = 100
# The fields of a footer, of an element of its schema, of a row group, and of what is said of a chunk:
# https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
_SCHEMA, _ROWS, _GROUPS, _CHILDREN, _GROUP_COLUMNS, _GROUP_ROWS, _CHUNK = 2, 3, 4, 5, 1, 3, 3
_CODEC, _VALUES, _PACKED, _DATA_AT, _DICTIONARY_AT, _STATISTICS = 4, 5, 7, 9, 11, 12
# As Arrow names them; of others it is not known how they are unpacked.
_CODECS = {0: "none", 1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
# As Arrow holds them: a timestamp of 96 bits in 64, a decimal in 128.
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}
_FIXED = "FIXED_LEN_BYTE_ARRAY"
_FORMS = {"INT32": "<i", "INT64": "<q", "FLOAT": "<f", "DOUBLE": "<d"}


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
        How its pages are packed; empty where that is not known here.
    """

    leaf: int
    start: int
    end: int
    values: int
    width: int
    codec: str


@dataclass(frozen=True, slots=True)
class Group:
    """A row group: how many rows it has, and where in the footer its columns are described."""

    rows: int
    columns: list[int]


@dataclass(frozen=True, slots=True)
class Footer:
    """What is needed of a footer, which Arrow reads too, and then columns by it.

    Arrow itself is not asked where these are: where a footer is damaged that ends the process.

    Attributes
    ----------
    content
        Its bytes.
    rows
        How many there are in all.
    groups
        The row groups.
    """

    content: bytes
    rows: int
    groups: list[Group]


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


def read_footer(content: bytes) -> Footer:
    """Find the row groups of a footer.

    Raises
    ------
    DamagedError
        If it is none, if its schema is nested so deeply that reading it may end the process, or if it counts its
        rows in two ways.
    """
    fields = Fields(content)
    seen: set[int] = set()
    rows = 0
    groups: list[Group] = []
    for number, kind in fields.struct():
        if number in seen:
            raise DamagedError(f"its footer has the field {number} twice")
        seen.add(number)
        if (number, kind) == (_SCHEMA, LIST):
            _check_nesting(fields)
        elif (number, kind) == (_ROWS, I64):
            rows = fields.integer()
        elif (number, kind) == (_GROUPS, LIST):
            length, inner = fields.list()
            groups += [_group(fields, inner) for _ in range(length)]
        else:
            fields.skip(kind)
    counts = [group.rows for group in groups]
    if min(counts, default=0) < 0 or sum(counts) != rows:
        raise DamagedError(f"its footer counts {rows:,} rows, and {sum(counts):,} in its parts")
    return Footer(content, rows, groups)


def _check_nesting(fields: Fields) -> None:
    """Read a schema, and refuse one that is nested too deeply."""
    length, inner = fields.list()
    left: list[int] = []  # children of each struct that is open
    for _ in range(length):
        if inner != STRUCT:
            raise DamagedError("its schema is none")
        children = 0
        for number, kind in fields.struct():
            if (number, kind) == (_CHILDREN, I32):
                children = fields.integer()
            else:
                fields.skip(kind)
        while left and left[-1] == 0:
            left.pop()
        if left:
            left[-1] -= 1
        if children > 0:
            left.append(children)
        if len(left) > _MOST_DEPTH:
            raise DamagedError("its schema is nested too deeply")


def _group(fields: Fields, kind: int) -> Group:
    """Read a row group as far as to know where its columns are."""
    if kind != STRUCT:
        raise DamagedError("its row groups are none")
    columns: list[int] = []
    rows = 0
    for number, inner in fields.struct():
        if (number, inner) == (_GROUP_COLUMNS, LIST):
            length, item = fields.list()
            columns = []
            for _ in range(length):
                columns.append(fields.at)
                fields.skip(item)
        elif (number, inner) == (_GROUP_ROWS, I64):
            rows = fields.integer()
        else:
            fields.skip(inner)
    return Group(rows, columns)


# ---------------------------------------------------------------- which rows


def groups_in_window(
    footer: Footer, schema: pq.ParquetSchema, min_step: int | None, max_step: int | None
) -> list[int]:
    """Choose the row groups that may hold steps of a half-open window; all where statistics do not say."""
    spans = None if min_step is None and max_step is None else step_spans(footer, schema)
    return [
        i
        for i in range(len(footer.groups))
        if spans is None
        or (span := spans[i]) is None
        or ((max_step is None or span[0] < max_step) and (min_step is None or span[1] >= min_step))
    ]


def step_spans(footer: Footer, schema: pq.ParquetSchema) -> list[tuple[float, float] | None] | None:
    """Give the least and the greatest step of each row group, where its statistics say; None where none do."""
    leaf = next((i for i, path in enumerate(_leaves(schema)) if path == STEP), None)
    form = None if leaf is None else _form_of(schema.column(leaf))
    if leaf is None or form is None:
        return None
    return [_step_span(footer, group, leaf, form) for group in footer.groups]


def _form_of(column: pq.ColumnSchema) -> str | None:
    """Say how statistics spell the numbers of a column; None for what stands for other numbers than it stores."""
    meant = column.logical_type.type
    plain = meant in {"NONE", "INT"} and not column.converted_type.startswith("UINT")
    return _FORMS.get(column.physical_type) if plain else None


def _step_span(footer: Footer, group: Group, leaf: int, form: str) -> tuple[float, float] | None:
    """Give the least and the greatest step of a row group, if its statistics have them."""
    # Statistics are optional in Parquet, and what W&B's exporter writes is not documented.
    if leaf >= len(group.columns):
        return None
    statistics: dict[int, bytes] = _told(footer, group.columns[leaf]).get(_STATISTICS, {})
    # The first two of what it has are from before their order was said.
    ends: list[bytes] = [
        statistics.get(new, statistics.get(old, b"")) for new, old in ((6, 2), (5, 1))
    ]
    try:
        low, high = (struct.unpack(form, each)[0] for each in ends)
    except struct.error:
        return None
    return (low, high) if low <= high else None


# ---------------------------------------------------------------- which bytes


def chunks_needed(
    footer: Footer,
    schema: pq.ParquetSchema,
    columns: Iterable[str],
    size: int,
    groups: Sequence[int],
    where: str = "",
) -> list[Chunk]:
    """Find the chunks of some columns in some row groups.

    Parameters
    ----------
    footer, schema
        Of the file.
    columns
        Top-level columns; all leaves of a nested one are needed.
    size
        The file's size.
    groups
        Row groups to read.
    where
        The file, for messages.

    Raises
    ------
    DamagedError
        If one lies outside of the file, or if it cannot have the values that it is said to have.
    SchemaMismatchError
        If Arrow would read a column without a word, and not as it is: of more values than a row group has rows it
        cuts off the rest; times of 96 bits it counts in nanoseconds, of which 64 bits hold 584 years, and gives
        others for those beyond.
    """
    wanted = set(columns)
    paths = _leaves(schema)
    leaves = [(i, schema.column(i)) for i, path in enumerate(paths) if _root(path, wanted)]
    for i, column in leaves:
        if column.physical_type == "INT96":
            raise misfit(paths[i], "times as INT96, which Parquet has given up", where)
    found = []
    for number in groups:
        group = footer.groups[number]
        if len(group.columns) != len(paths):
            raise DamagedError(
                f"its part {number} has {len(group.columns)} columns of {len(paths)}"
            )
        for i, column in leaves:
            chunk = _chunk(i, _told(footer, group.columns[i]), column)
            flat = column.max_repetition_level == 0
            if chunk.values < 0:
                raise DamagedError(f"{paths[i]!r} is said to have {chunk.values:,} values")
            if flat and chunk.values != group.rows:
                raise misfit(paths[i], f"{chunk.values:,} values for {group.rows:,} rows", where)
            if not 0 <= chunk.start <= chunk.end <= size:
                raise DamagedError(
                    f"{paths[i]!r} is said to lie at {chunk.start:,} to {chunk.end:,} of {size:,} bytes"
                )
            found.append(chunk)
    return found


def _told(footer: Footer, at: int) -> dict[int, Any]:
    """Read what a footer says of a chunk: the numbers, and its statistics."""
    fields = Fields(footer.content, at)
    found: dict[int, Any] = {}
    for number, kind in fields.struct():
        if (number, kind) == (_CHUNK, STRUCT):
            for inner, inner_kind in fields.struct():
                if inner_kind in {I32, I64}:
                    found[inner] = fields.integer()
                elif (inner, inner_kind) == (_STATISTICS, STRUCT):
                    found[inner] = _statistics(fields)
                else:
                    fields.skip(inner_kind)
        else:
            fields.skip(kind)
    return found


def _statistics(fields: Fields) -> dict[int, bytes]:
    """Read the bytes that statistics hold."""
    found = {}
    for number, kind in fields.struct():
        if kind == BINARY:
            found[number] = fields.binary()
        else:
            fields.skip(kind)
    return found


def _chunk(leaf: int, told: Mapping[int, Any], column: pq.ColumnSchema) -> Chunk:
    """Read what a footer says of a chunk."""
    if not told.keys() >= {_CODEC, _VALUES, _PACKED, _DATA_AT}:
        raise DamagedError("a column does not say where it lies")
    start = told[_DATA_AT]
    # A dictionary comes before the data pages, and is part of the chunk's size:
    # https://github.com/apache/parquet-format
    if (dictionary := told.get(_DICTIONARY_AT, 0)) > 0:
        start = min(start, dictionary)
    kind = column.physical_type
    return Chunk(
        leaf=leaf,
        start=start,
        end=start + told[_PACKED],
        values=told[_VALUES],
        width=_WIDTHS.get(kind) or (max(column.length, 16) if kind == _FIXED else 0),
        codec=_CODECS.get(told[_CODEC], ""),
    )


def _leaves(schema: pq.ParquetSchema) -> list[str]:
    """Name the leaves of a file, by their paths."""
    return [schema.column(i).path for i in range(len(schema))]


def _root(path: str, wanted: set[str]) -> bool:
    """Tell whether a leaf belongs to a wanted column; names may hold dots themselves."""
    if path in wanted:
        return True
    parts = path.split(".")
    return any(".".join(parts[:i]) in wanted for i in range(1, len(parts)))
