"""As much of Thrift's compact protocol as is needed to look into a Parquet file before it is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BINARY", "I32", "I64", "LIST", "STRUCT", "DamagedError", "Fields"]

# https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
_STOP, _TRUE, _FALSE, _BYTE, _I16, _DOUBLE, _SET, _UUID = 0, 1, 2, 3, 4, 7, 10, 13
I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
_NUMBERS, _BOOLEANS = frozenset({_I16, I32, I64}), frozenset({_TRUE, _FALSE})
_FIXED = {_BYTE: 1, _DOUBLE: 8, _UUID: 16}
_MOST_DEPTH = 40
# Bits of the longest number.
_LONGEST = 63
# A byte from here on is not the last one of a number.
_MORE = 128
# Of a list this long or longer, the length has bytes of its own.
_LONG = 15


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
    >>> fields = Fields(bytes([0x15, 0x02, 0x15, 0x04, 0x00]))
    >>> [(name, fields.integer()) for name, kind in fields.struct()], fields.at
    ([(1, 1), (2, 2)], 5)
    """

    def __init__(self, content: bytes | memoryview, at: int = 0) -> None:
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
        if length == _LONG:
            length = self._varint()
        if length > len(self._content) - self.at:
            raise DamagedError("it is cut off in a list")
        return length, head & 15

    def integer(self) -> int:
        """Read a number."""
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def binary(self) -> bytes:
        """Read bytes."""
        length = self._varint()
        start = self.at
        self._leap(length)
        return bytes(self._content[start : self.at])

    def skip(self, kind: int) -> None:
        """Leave out a value."""
        try:
            self.at = _skipped(self._content, self.at, kind, 0)
        except IndexError:
            raise DamagedError("it is cut off") from None
        self._leap(0)

    def _byte(self) -> int:
        try:
            value = self._content[self.at]
        except IndexError:
            raise DamagedError("it is cut off") from None
        self.at += 1
        return value

    def _varint(self) -> int:
        value = self._byte()
        if value < _MORE:
            return value
        try:
            value, self.at = _long(self._content, self.at - 1)
        except IndexError:
            raise DamagedError("it is cut off") from None
        return value

    def _leap(self, length: int) -> None:
        self.at += length
        if self.at > len(self._content):
            raise DamagedError("it is cut off")


# A footer has a struct for each column of each row group, most of which nobody asked for: these two are written
# to be quick, and raise an IndexError where the bytes end.


def _skipped(content: bytes | memoryview, at: int, kind: int, depth: int) -> int:
    """Give where a value ends."""
    if kind in _NUMBERS:
        while content[at] >= _MORE:
            at += 1
        return at + 1
    if kind == STRUCT:
        return _skipped_struct(content, at, depth)
    if kind == BINARY:
        length = content[at]
        at += 1
        if length >= _MORE:
            length, at = _long(content, at - 1)
        return at + length
    if kind in {LIST, _SET}:
        head = content[at]
        at += 1
        length, inner = head >> 4, head & 15
        if length == _LONG:
            length, at = _long(content, at)
        if inner in _BOOLEANS:
            # Alone in a list, a boolean takes a byte.
            return at + length
        if inner in _NUMBERS:
            for _ in range(length):
                while content[at] >= _MORE:
                    at += 1
                at += 1
            return at
        for _ in range(length):
            at = _skipped(content, at, inner, depth + 1)
        return at
    if kind in _BOOLEANS:
        return at
    if kind in _FIXED:
        return at + _FIXED[kind]
    # Parquet has no maps.
    raise DamagedError(f"it holds a value of the unknown type {kind}")


def _skipped_struct(content: bytes | memoryview, at: int, depth: int) -> int:
    """Give where a struct ends."""
    if depth > _MOST_DEPTH:
        raise DamagedError("it is nested too deeply")
    while True:
        head = content[at]
        at += 1
        kind = head & 15
        if kind == _STOP:
            return at
        if head <= _LONG:
            # The number of the field stands for itself.
            while content[at] >= _MORE:
                at += 1
            at += 1
        if kind in _NUMBERS:
            while content[at] >= _MORE:
                at += 1
            at += 1
        elif kind == BINARY and content[at] < _MORE:
            at += 1 + content[at]
        elif kind == STRUCT:
            at = _skipped_struct(content, at, depth + 1)
        elif kind not in _BOOLEANS:
            at = _skipped(content, at, kind, depth + 1)


def _long(content: bytes | memoryview, at: int) -> tuple[int, int]:
    """Give a length of several bytes, and where what it is of begins."""
    value = shift = 0
    while shift <= _LONGEST:
        byte = content[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < _MORE:
            return value, at
        shift += 7
    raise DamagedError("it holds a number that is too long")
