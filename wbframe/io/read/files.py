"""Columns of exported files, by ranges of bytes: none is decoded before it is known what that takes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from wbframe.core.decode.footer import (
    EMPTY_BYTES,
    MAGIC_BYTES,
    SHORT_BYTES,
    chunks_needed,
    footer_bytes,
    groups_in_window,
    memory_of_footer,
    read_footer,
    step_spans,
)
from wbframe.core.decode.leaves import columns_of, leaf_columns, leaves, types_in
from wbframe.core.decode.pages import sizes_of
from wbframe.core.decode.thrift import DamagedError
from wbframe.core.model import STEP
from wbframe.core.protocol.ranges import ByteRange
from wbframe.core.protocol.spans import LEAST_TAIL, ranges_needed
from wbframe.errors import AnswerError, WbframeError
from wbframe.io.read.columns import Sparse, read_columns
from wbframe.io.read.storage import CONCURRENCY, ReplacedError
from wbframe.io.threads import together
from wbframe.text import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wbframe.core.decode.footer import Chunk, Footer
    from wbframe.core.decode.pages import Sizes
    from wbframe.core.histories.stretches import Span
    from wbframe.io.read.storage import SignedFile
    from wbframe.io.threads import Threads

__all__ = ["read_file", "row_groups"]

# A file that is replaced while it is read is read anew, so many times in all.
_MOST_READS = 3
# Where it cannot be told what rows take: so many at once at the most, of as much as a share of what may be taken;
# and not where these are so few that it would take for ever.
_BATCH_ROWS, _SHARE, _FEWEST_ROWS = 65_536, 8, 16
_LESS = "read fewer keys or a window of steps"
# What a file that is no Parquet file, or one made to hurt, makes Arrow and its Python side raise.
_DAMAGE = (
    DamagedError,
    pa.ArrowException,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    NotImplementedError,
    RecursionError,
)


def read_file(
    file: SignedFile,
    columns: Sequence[str] | None,
    *,
    min_step: int | None = None,
    max_step: int | None = None,
    end: int = LEAST_TAIL,
    workers: Threads | None = None,
) -> pa.Table:
    """Read some columns of an exported file, and of these the row groups that may hold a window of steps.

    A small file takes one request, others one for the footer and one for each range of columns that lie
    together, side by side, or one for the whole where most of it is needed. All are of one version of the file.

    Parameters
    ----------
    file
        Which.
    columns
        Columns wanted besides `_step`, with dots where they nest; those that the file lacks are left out. None
        for all.
    min_step, max_step
        The window, half-open; rows outside of it may come too.
    end
        How much to read at first of its end; a guess at how long it is, where all of it is as well read at once.
    workers
        Threads on which ranges are read besides this one, and nothing else; None for this one alone.

    Returns
    -------
    pyarrow.Table
        With `_step`; numbers, booleans, text and lists of these, and JSON in binary for all else.

    Raises
    ------
    AnswerError
        If it is no Parquet file, or one of rows without steps; if it holds more than the client takes; if it is
        replaced each time that it is read.
    SchemaMismatchError
        If a column cannot be read, or has several values for one key.
    """
    for _ in range(_MOST_READS):
        try:
            with _told(file):
                return _Reading.begun(file, end, workers).columns(columns, min_step, max_step)
        except ReplacedError:
            file.begin_anew()
    msg = f"the exported file {file.name} was replaced while it was read, {_MOST_READS} times; read again later"
    raise AnswerError(msg)


def row_groups(file: SignedFile) -> list[Span | None]:
    """Read which steps the row groups of a file have, and how many rows; None for one that does not say.

    The file then has its `tail`, and what is read of it later is of the same version.

    Parameters
    ----------
    file
        Which.

    Raises
    ------
    AnswerError
        If it is no Parquet file.
    """
    with _told(file):
        reading = _Reading.begun(file, LEAST_TAIL, None)
        groups = reading.footer.groups
        spans = step_spans(reading.footer, reading.parquet.schema) or [None] * len(groups)
        file.tail = reading.source.end(len(reading.footer.content) + MAGIC_BYTES)
        return [span and (*span, group.rows) for span, group in zip(spans, groups, strict=True)]


@contextmanager
def _told(file: SignedFile) -> Iterator[None]:
    """Tell of a file that cannot be read."""
    try:
        yield
    except (ReplacedError, WbframeError):
        raise
    except MemoryError as error:
        raise AnswerError(
            f"the exported file {file.name} is too large for memory: {_LESS}"
        ) from error
    except _DAMAGE as error:
        said = shortened(str(error)) or type(error).__name__
        raise AnswerError(f"the exported file {file.name} is no Parquet file: {said}") from error


@dataclass(slots=True)
class _Reading:
    """The read of one version of a file."""

    file: SignedFile
    source: Sparse
    footer: Footer
    parquet: pq.ParquetFile
    workers: Threads | None

    @classmethod
    def begun(cls, file: SignedFile, end: int, workers: Threads | None) -> _Reading:
        """Read the footer."""
        part = file.end(end)
        size = part.version.size
        length = footer_bytes(part.content, size)
        source = Sparse(size, [part])
        if length > len(part.content):
            _check_footer(file, length, b"")
            source.add([file.get(ByteRange(size - length, part.start))])
        footer = bytes(source.view(size - length, size - MAGIC_BYTES))
        _check_footer(file, length, footer)
        read = read_footer(footer)
        # Lists are made room for by their told length, before what is in them is read.
        longest = max(min(len(footer), 1_000_000), 1)
        # Without `pre_buffer`, which joins ranges that are near: what lies between them may not be here.
        opened = pq.ParquetFile(source, pre_buffer=False, thrift_container_size_limit=longest)
        return cls(file, source, read, opened, workers)

    def columns(
        self, columns: Sequence[str] | None, min_step: int | None, max_step: int | None
    ) -> pa.Table:
        """Read columns of the row groups that may hold a window."""
        footer, schema = self.footer, self.parquet.schema_arrow
        there = leaves(schema)
        wanted = (STEP, *(there if columns is None else columns))
        names = columns_of(schema, wanted)
        self.file.types = types_in(schema)
        if STEP not in there and footer.rows:
            raise AnswerError(f"{self.where} has rows without {STEP!r}")
        spelled = self.parquet.schema
        groups = groups_in_window(footer, spelled, min_step, max_step)
        rows = sum(footer.groups[i].rows for i in groups)
        self._check_rows(rows)
        chunks = chunks_needed(footer, spelled, names, self.source.size, groups, self.where)
        self._fetch(chunks)
        sizes = sizes_of((chunk, self.source.view(chunk.start, chunk.end)) for chunk in chunks)
        if self._is_safe(sizes):
            table = read_columns(self.parquet, groups, names, rows, where=self.where)
            return leaf_columns(table, wanted, where=self.where)
        return self._in_batches(groups, names, wanted, sizes)

    @property
    def where(self) -> str:
        """The file, for messages."""
        return f"the exported file {self.file.name}"

    def _fetch(self, chunks: Sequence[Chunk]) -> None:
        """Get the ranges of chunks that are not here."""
        here = self.source.parts[0].start
        needed = [(each.start, min(each.end, here)) for each in chunks if each.start < here]
        at_once = 1 if self.workers is None else CONCURRENCY
        ranges = ranges_needed(needed, here, at_once=at_once) if needed else []
        asked = [ByteRange(*each) for each in ranges]
        self.source.add(together(self.workers, self.file.get, asked))

    # ------------------------------------------------------------ how much it is

    def _check_rows(self, rows: int) -> None:
        """Refuse more rows than the client takes."""
        most = self.file.storage.client.largest_rows
        if rows > most:
            raise AnswerError(
                f"the exported file {self.file.name} has {rows:,} rows to read, more than `largest_rows`"
                f" ({most:,}): read a window of steps, or pass wbframe.Client(largest_rows={rows})"
            )

    def _is_safe(self, sizes: Sizes) -> bool:
        """Tell whether decoding surely takes no more than the client does; refuse what surely takes more."""
        most = self.file.storage.client.largest_answer
        if sizes.most <= most:
            return True
        sizes.look_closer()
        if sizes.least > most:
            raise _too_large(self.file, f"its columns take {sizes.least:,} bytes")
        if sizes.most > most and sizes.longest_row * _SHARE * _FEWEST_ROWS > most:
            raise _too_large(self.file, f"its columns may take {sizes.most:,} bytes")
        return sizes.most <= most

    def _in_batches(
        self,
        groups: list[int],
        names: list[str],
        wanted: Sequence[str],
        sizes: Sizes,
    ) -> pa.Table:
        """Decode so few rows at once that these take no more than the client does, and stop where all do."""
        most = self.file.storage.client.largest_answer
        rows = min(most // _SHARE // max(sizes.longest_row, 1), _BATCH_ROWS)
        found = []
        taken = 0
        for batch in self.parquet.iter_batches(
            batch_size=rows, row_groups=groups, columns=names, use_threads=False
        ):
            table = pa.Table.from_batches([batch])
            found.append(leaf_columns(table, wanted, where=self.where))
            taken += found[-1].nbytes
            if taken > most:
                raise _too_large(self.file, f"some of its rows take {taken:,} bytes")
        return pa.concat_tables(found)


def _check_footer(file: SignedFile, length: int, footer: bytes) -> None:
    """Refuse a long footer that may take more memory than the client allows."""
    least = max(length * EMPTY_BYTES, memory_of_footer(footer))
    if length > SHORT_BYTES and least > file.storage.client.largest_answer:
        raise _too_large(file, f"its footer alone may take {least:,} bytes")


def _too_large(file: SignedFile, said: str) -> AnswerError:
    """Say that something of a file takes more memory than the client allows."""
    most = file.storage.client.largest_answer
    return AnswerError(
        f"the exported file {file.name} is larger than `largest_answer` ({most:,} bytes): {said} in memory;"
        f" {_LESS}, or pass wbframe.Client(largest_answer=...)"
    )
