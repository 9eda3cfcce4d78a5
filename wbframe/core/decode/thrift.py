"""As much of Thrift's compact protocol as is needed to look into a Parquet file before it is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["I32", "LIST", "STRUCT", "DamagedError", "Fields"]

# https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
_STOP, _TRUE, _FALSE, _BYTE = 0, 1, 2, 3
I32, LIST, STRUCT = 5, 9, 12
_DOUBLE, _BINARY, _SET, _MAP, _UUID = 7, 8, 10, 11, 13
_VARINTS = frozenset({4, I32, 6})
_FIXED = {_BYTE: 1, _DOUBLE: 8, _UUID: 16}
_MOST_DEPTH = 40
_MOST_BITS = 63


class DamagedError(ValueError):
    """Bytes that are not what Parquet says. Never leaves the readers, which name the file."""


class Fields:
    """Reads the fields of structs, one value after the other.

    Parameters
    ----------
    content
        The bytes.
    at
        Where to begin.

    Attributes
    ----------
    at
        Where the next value begins.

    Examples
    --------
    >>> fields = Fields(memoryview(bytes([0x15, 0x02, 0x15, 0x04, 0x00])))
    >>> [(name, fields.integer()) for name, kind in fields.struct()], fields.at
    ([(1, 1), (2, 2)], 5)
    """

    def __init__(self, content: memoryview, at: int = 0) -> None:
        self._content = content
        self.at = at

    def struct(self) -> Iterator[tuple[int, int]]:
        """Give the number and the type of each field; its value must be read, or skipped, before the next."""
        number = 0
        while True:
            head = self._byte()
            kind = head & 15
            if kind == _STOP:
                return
            number = number + (head >> 4) if head >> 4 else self.integer()
            yield number, kind

    def list(self) -> tuple[int, int]:
        """Give the length of a list, and the type of its items."""
        head = self._byte()
        length = head >> 4
        if length == 15:  # noqa: PLR2004 -- longer lists have a number of their own
            length = self._varint()
        if length > len(self._content) - self.at:
            raise DamagedError("it is cut off in a list")
        return length, head & 15

    def integer(self) -> int:
        """Read a number."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def skip(self, kind: int, depth: int = 0) -> None:
        """Leave out a value."""
        if kind in _VARINTS:
            self._varint()
        elif kind == _BINARY:
            self._leap(self._varint())
        elif kind in _FIXED:
            self._leap(_FIXED[kind])
        elif kind in {_TRUE, _FALSE}:
            pass
        elif depth > _MOST_DEPTH:
            raise DamagedError("it is nested too deeply")
        elif kind == STRUCT:
            for _, inner in self.struct():
                self.skip(inner, depth + 1)
        elif kind in {LIST, _SET}:
            length, inner = self.list()
            for _ in range(length):
                # Alone in a list, a boolean takes a byte.
                self.skip(_BYTE if inner in {_TRUE, _FALSE} else inner, depth + 1)
        else:
            # Parquet has no maps.
            raise DamagedError(f"it holds a value of the unknown type {kind}")

    def _byte(self) -> int:
        if self.at >= len(self._content):
            raise DamagedError("it is cut off")
        value = self._content[self.at]
        self.at += 1
        return value

    def _varint(self) -> int:
        value = self._byte()
        if value < 128:  # noqa: PLR2004 -- most are
            return value
        value &= 127
        shift = 7
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:  # noqa: PLR2004
                return value
            shift += 7
            if shift > _MOST_BITS:
                raise DamagedError("it holds a number that is too long")

    def _leap(self, length: int) -> None:
        self.at += length
        if self.at > len(self._content):
            raise DamagedError("it is cut off")
