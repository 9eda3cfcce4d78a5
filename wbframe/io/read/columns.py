"""Columns out of an exported file whose bytes are here; what they cannot give is told of one of them."""

from __future__ import annotations

import io
from bisect import bisect_right
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

import pyarrow as pa

from wbframe.core.decode.plain import misfit
from wbframe.core.decode.taken import told_of
from wbframe.core.decode.thrift import DamagedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow.parquet as pq

    from wbframe.core.protocol.ranges import Part

__all__ = ["Sparse", "read_columns"]

_START = attrgetter("start")
# Of the end of a file, whose footer Arrow looks for.
_LOOKED_AT = 64 << 10


@dataclass(slots=True)
class Sparse(io.RawIOBase):
    """A file of which only some parts are here.

    Attributes
    ----------
    size
        Its bytes.
    parts
        What is here, in order.
    at
        Where the next byte is read.
    """

    size: int
    parts: list[Part]
    at: int = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read from anywhere."""
        return True

    def tell(self) -> int:
        """Give where the next byte is read."""
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Choose where the next byte is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        self.at = base + offset
        return self.at

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes; below 0 all."""
        end = self.size if size < 0 else min(self.at + size, self.size)
        found = bytes(self.view(self.at, end))
        self.at = end
        return found

    def view(self, start: int, end: int) -> memoryview:
        """Give the bytes of a range, which may lie in several parts."""
        found = []
        while start < end:
            place = bisect_right(self.parts, start, key=_START) - 1
            part = self.parts[max(place, 0)]
            until = min(end, part.start + len(part.content))
            if not part.start <= start < until:
                raise DamagedError(f"bytes {start} to {end} are needed and were not read")
            found.append(memoryview(part.content)[start - part.start : until - part.start])
            start = until
        return found[0] if len(found) == 1 else memoryview(b"".join(found))

    def end(self, length: int) -> Part:
        """Give the end of the file, as long as a footer of some length needs, in one part."""
        start = max(self.size - max(length, _LOOKED_AT), 0)
        content = bytes(self.view(start, self.size))
        whole = start == 0
        return replace(self.parts[-1], content=content, start=start, whole=whole)

    def add(self, parts: Sequence[Part]) -> None:
        """Take more of the file, of which nothing is here yet; all of it, where that came in place of a part."""
        whole = [part for part in parts if part.whole]
        self.parts = whole[:1] or sorted([*self.parts, *parts], key=_START)


def read_columns(
    opened: pq.ParquetFile, groups: Sequence[int], names: Sequence[str], rows: int, *, where: str
) -> pa.Table:
    """Read columns of some row groups.

    Parameters
    ----------
    opened
        The file.
    groups, names
        Which; all that a column of several has within.
    rows
        How many these groups have.
    where
        The file, for messages.

    Raises
    ------
    SchemaMismatchError
        If a column cannot be read, or has another number of values than there are rows.
    """
    try:
        table = opened.read_row_groups(groups, columns=names, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise misfit(*_unread(opened, groups, names, rows, error), where) from error
    if table.num_rows != rows:
        raise misfit(names[0], f"{table.num_rows} values for {rows} rows", where)
    return table


def _unread(
    opened: pq.ParquetFile, groups: Sequence[int], names: Sequence[str], rows: int, error: Exception
) -> tuple[str, str]:
    """Find the column that cannot be read with the others, and say why."""
    for name in names:
        try:
            came = opened.read_row_groups(groups, columns=[name], use_threads=False).num_rows
        except (pa.ArrowException, OSError) as own:
            return name, f"values that cannot be read ({told_of(own)})"
        if came != rows:
            return name, f"{came} values for {rows} rows"
    return names[0], f"values that cannot be read ({told_of(error)})"
