"""The container of the SDK's offline files: a log of records in blocks of 32 KiB.

A record that does not fit its block is cut into chunks. Each chunk has a header of 7 bytes: the
CRC-32 of its kind and its payload, the length of the payload, and the kind, which tells a whole
record from the first, a middle or the last piece of one. The end of a block that is too short for
a header is filled with zeros.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["encoded_records"]

_MAGIC: Final = b":W&B\xe1\xbe\x00"
_BLOCK: Final = 32_768
_HEADER: Final = struct.Struct("<IHB")
_WHOLE, _FIRST, _LAST = 1, 2, 4


def encoded_records(data: bytes) -> Iterator[bytes]:
    """Yield the records of an offline file, still encoded.

    Parameters
    ----------
    data
        The whole file. A last record that is cut off, as after a crash, is left out.

    Yields
    ------
    bytes
        One encoded `wandb_internal.Record`.

    Raises
    ------
    ValueError
        The file does not begin as it must, or a checksum is wrong.
    """
    if not data.startswith(_MAGIC):
        raise ValueError("this is no offline file of the SDK: it does not begin with ':W&B'")
    at, record = len(_MAGIC), b""
    while at + _HEADER.size <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER.size:
            at += left
            continue
        checksum, length, kind = _HEADER.unpack_from(data, at)
        start, end = at + _HEADER.size, at + _HEADER.size + length
        if end > len(data):
            return
        if zlib.crc32(data[start:end], zlib.crc32(bytes([kind]))) != checksum:
            raise ValueError(f"the chunk at byte {at} does not have the checksum that it states")
        record = data[start:end] if kind in (_WHOLE, _FIRST) else record + data[start:end]
        if kind in (_WHOLE, _LAST):
            yield record
        at = end
