"""How much memory the columns of an exported file take once they are decoded, told before they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from wbframe.core.decode.thrift import I32, STRUCT, DamagedError, Fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wbframe.core.decode.footer import Chunk

__all__ = ["Sizes", "sizes_of"]

# https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_BY_DICTIONARY, _BY_PREFIX = frozenset({2, 8}), 7
_HEADS = {5: _DATA, 7: _DICTIONARY, 8: _DATA_V2}
# Of what these say of their values: how many there are, and how they are encoded.
_COUNTED = {_DATA: (1, 2), _DICTIONARY: (1, 2), _DATA_V2: (1, 4)}
# Where a text begins in the memory of all, for each.
_OFFSET = 8
# A file of more is not worth the time of looking at each.
_MOST_PAGES = 1_000_000
# A dictionary that is unpacked to see how long its longest text is; writers begin another encoding at 1 MiB.
_DICTIONARY_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class _Page:
    """The head of a page, and where its packed bytes begin."""

    kind: int
    unpacked: int
    packed: int
    values: int
    encoding: int
    at: int


@dataclass(slots=True)
class _Texts:
    """Texts of a chunk that are stored once and repeated."""

    leaf: int
    count: int
    longest: int
    dictionary: tuple[_Page, memoryview, str] | None


@dataclass(slots=True)
class Sizes:
    """Bytes that decoding takes.

    Attributes
    ----------
    sure
        Of what is as large as it is said to be: numbers, and texts that are spelled out.
    unpacked
        Of all pages, unpacked and not yet decoded.
    """

    sure: int = 0
    unpacked: int = 0
    _texts: list[_Texts] = field(default_factory=list)
    _pages: int = 0

    @property
    def least(self) -> int:
        """Bytes that are taken in any case."""
        return max(self.sure, self.unpacked)

    @property
    def most(self) -> int:
        """Bytes that may be taken, if every text that is repeated is the longest."""
        return self.least + sum(each.count * each.longest for each in self._texts)

    @property
    def longest_row(self) -> int:
        """Bytes that the repeated texts of one row may take."""
        longest: dict[int, int] = {}
        for each in self._texts:
            longest[each.leaf] = max(longest.get(each.leaf, 0), each.longest)
        return sum(longest.values())

    def look_closer(self) -> None:
        """Find out how long the longest texts of dictionaries are, which has these unpacked."""
        for each in self._texts:
            if each.dictionary is not None:
                each.longest = _longest(*each.dictionary)
                each.dictionary = None

    def add(self, chunk: Chunk, content: memoryview) -> None:
        """Add a chunk, by the heads of its pages.

        Raises
        ------
        DamagedError
            If they are none.
        """
        values = repeated = by_prefix = unpacked = 0
        dictionary: _Page | None = None
        for page in _pages(content, chunk.values):
            self._pages += 1
            unpacked += page.unpacked
            if page.kind == _DICTIONARY:
                if dictionary is not None:
                    raise DamagedError("a column has several dictionaries")
                dictionary = page
                continue
            values += page.values
            if page.encoding in _BY_DICTIONARY:
                repeated += page.values
            elif page.encoding == _BY_PREFIX:
                # Each text may begin as the one before it, which stands there once.
                repeated, by_prefix = repeated + page.values, max(by_prefix, page.unpacked)
        if self._pages > _MOST_PAGES:
            raise DamagedError(f"it is cut into more than {_MOST_PAGES:,} pages")
        self.unpacked += unpacked
        self.sure += max(values, chunk.values) * (chunk.width or _OFFSET)
        if chunk.width:
            return
        self.sure += unpacked
        if repeated:
            known = dictionary and not by_prefix and (dictionary, content, chunk.codec)
            longest = max(by_prefix, dictionary.unpacked if dictionary else 0)
            self._texts.append(_Texts(chunk.leaf, repeated, longest, known or None))


def sizes_of(chunks: Iterable[tuple[Chunk, memoryview]]) -> Sizes:
    """Tell what it takes to decode chunks, of which the bytes are given.

    Raises
    ------
    DamagedError
        If these are no pages.
    """
    sizes = Sizes()
    for chunk, content in chunks:
        sizes.add(chunk, content)
    return sizes


def _pages(content: memoryview, values: int) -> Iterator[_Page]:
    """Give the heads of the pages of a chunk, as far as these are read for so many values."""
    at, seen = 0, 0
    while at < len(content) and seen < values:
        page = _page(content, at)
        if min(page.unpacked, page.packed, page.values) < 0:
            raise DamagedError("a page has less than no bytes or values")
        at = page.at + page.packed
        if at > len(content):
            raise DamagedError(f"a page of {page.packed:,} bytes ends behind its column")
        yield page
        if page.kind != _DICTIONARY:
            seen += page.values


def _page(content: memoryview, at: int) -> _Page:
    """Read the head of a page."""
    fields = Fields(content, at)
    told: dict[int, int] = {}
    values = encoding = 0
    for number, kind in fields.struct():
        if kind == I32:
            told[number] = fields.integer()
        elif kind == STRUCT and number in _HEADS:
            count, coded = _COUNTED[_HEADS[number]]
            for inner, inner_kind in fields.struct():
                if inner_kind != I32:
                    fields.skip(inner_kind)
                elif inner == count:
                    values = fields.integer()
                elif inner == coded:
                    encoding = fields.integer()
                else:
                    fields.integer()
        else:
            fields.skip(kind)
    if not told.keys() >= {1, 2, 3}:
        raise DamagedError("a page does not say how long it is")
    return _Page(told[1], told[2], told[3], values, encoding, fields.at)


def _longest(page: _Page, content: memoryview, codec: str) -> int:
    """Give the bytes of the longest text of a dictionary; those of all of it where that cannot be told."""
    if page.unpacked > _DICTIONARY_BYTES:
        return page.unpacked
    unpacked = content[page.at : page.at + page.packed]
    if codec != "none":
        packed = pa.py_buffer(unpacked)
        try:
            unpacked = memoryview(pa.Codec(codec).decompress(packed, page.unpacked))
        except (pa.ArrowException, OSError, ValueError):
            return page.unpacked
    at = longest = 0
    for _ in range(page.values):
        if at + 4 > len(unpacked):
            return page.unpacked
        length = int.from_bytes(unpacked[at : at + 4], "little")
        longest = max(longest, length)
        at += 4 + length
    # One that is cut off is no text of this dictionary, and decoding it will say so.
    return min(longest, page.unpacked)
