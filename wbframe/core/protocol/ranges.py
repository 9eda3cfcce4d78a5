"""Ranges of a file's bytes over HTTP: what is asked, whether what came is that, and of which version of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ByteRange", "Head", "Part", "Version", "read_content_range", "read_head"]

# https://www.rfc-editor.org/rfc/rfc9110#section-14.4; of what is not told (`*`) nothing can be checked.
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII | re.IGNORECASE)
# As far as files are counted.
_MOST_BYTES = 2**63 - 1
# What may be sent back in `If-Match`: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
_STRONG = re.compile(r'"[\x21\x23-\x7e]{1,1000}"')
_OK, _PARTIAL = 200, 206


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A half-open range of a file's bytes.

    Attributes
    ----------
    start
        Where it begins; below 0 it is so many bytes from the end.
    end
        Where it ends; None for the end of the file.

    Examples
    --------
    >>> ByteRange(2, 5).header, ByteRange(-8).header
    ('bytes=2-4', 'bytes=-8')
    >>> ByteRange(2, 5).of(4), ByteRange(-8).of(5)
    ((2, 4), (0, 5))
    """

    start: int
    end: int | None = None

    @property
    def header(self) -> str:
        """The range as HTTP spells it."""
        if self.start < 0:
            return f"bytes={self.start}"
        return f"bytes={self.start}-{'' if self.end is None else self.end - 1}"

    def of(self, size: int) -> tuple[int, int]:
        """Give where it begins and ends in a file of this size."""
        if self.start < 0:
            return max(size + self.start, 0), size
        return self.start, size if self.end is None else min(self.end, size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What tells one version of a file from another.

    Attributes
    ----------
    size
        Bytes of the whole file.
    etag, modified
        Its ``ETag`` and ``Last-Modified``, as they came; None without.
    settled
        Whether that was long enough ago for a later change to be of another second.
    """

    size: int
    etag: str | None = None
    modified: str | None = None
    settled: bool = False

    @property
    def strong(self) -> str | None:
        """The ETag, if it is one that stays the same only while every byte does."""
        return self.etag if self.etag is not None and _STRONG.fullmatch(self.etag) else None

    @property
    def is_told(self) -> bool:
        """Whether another version would be told by something else than its size."""
        return self.strong is not None or self.settled

    def same(self, other: Version) -> bool:
        """Tell whether both are one version; not where one says less than the other.

        Examples
        --------
        >>> Version(size=9, etag='"a"').same(Version(size=9, etag='"b"'))
        False
        """
        if self.size != other.size:
            return False
        if self.strong and other.strong:
            return self.etag == other.etag
        return (self.etag, self.modified) == (other.etag, other.modified)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bytes of a file, where they begin, of which version they are, and whether they are all of it."""

    content: bytes
    start: int
    version: Version
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What the head of an answer says of the body: where that begins, its length, and what tells its version.

    Attributes
    ----------
    start
        Where the body begins in the file.
    length, size
        Of the body and of the file; None for a whole file, which is as long as it turns out to be.
    etag, modified, settled
        As of a `Version`.
    """

    start: int
    length: int | None = None
    size: int | None = None
    etag: str | None = None
    modified: str | None = None
    settled: bool = False

    def part(self, content: bytes) -> Part:
        """Give the part of the file that a body is.

        Raises
        ------
        AnswerError
            If it has another length than the head says.
        """
        if self.length is not None and len(content) != self.length:
            raise AnswerError(f"{len(content):,} bytes came of a range of {self.length:,}")
        size = len(content) if self.size is None else self.size
        version = Version(size=size, etag=self.etag, modified=self.modified, settled=self.settled)
        return Part(content=content, start=self.start, version=version, whole=self.size is None)


def read_content_range(told: str) -> tuple[int, int, int] | None:
    """Read a ``Content-Range``: where it begins and ends, half-open, and the file's size; None if it is none.

    Examples
    --------
    >>> read_content_range("bytes 2-4/10"), read_content_range("bytes 2-4/*"), read_content_range("rows 2-4/10")
    ((2, 5, 10), None, None)
    """
    found = _CONTENT_RANGE.fullmatch(told.strip())
    if found is None:
        return None
    first, last, size = map(int, found.groups())
    return (first, last + 1, size) if first <= last < size <= _MOST_BYTES else None


def read_head(asked: ByteRange | None, status: int, headers: Mapping[str, str]) -> Head:
    """Read the head of an answer with status 200 or 206, before its body.

    Parameters
    ----------
    asked
        The range asked for; None for the whole file.
    status, headers
        Of the answer. Names of headers in any case.

    Raises
    ------
    AnswerError
        If it is not what was asked for: another range, in another unit, packed, or of a file of no told size.
    """
    etag, modified = headers.get("ETag"), headers.get("Last-Modified")
    whole = Head(start=0, etag=etag, modified=modified, settled=_is_settled(headers))
    if status == _OK:
        # A server may ignore the range: https://www.rfc-editor.org/rfc/rfc9110#section-14.2
        return whole
    if status != _PARTIAL:
        raise AnswerError(f"HTTP {status} gives no part of a file")
    if asked is None:
        raise AnswerError("a part came, and no range was asked for")
    # A range of what is packed on its way is a range of something else.
    packed = headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in {"", "identity"}:
        raise AnswerError(f"the range {asked.header} came packed ({packed[:20]!r})")
    told = headers.get("Content-Range", "")
    found = read_content_range(told)
    if found is None:
        raise AnswerError(f"the range {asked.header} came with the Content-Range {told[:60]!r}")
    start, end, size = found
    if (start, end) != asked.of(size):
        raise AnswerError(f"the range {asked.header} was answered by {told[:60]!r}")
    length = headers.get("Content-Length", "").strip()
    if length and length != str(end - start):
        raise AnswerError(f"a range of {end - start:,} bytes came with {length[:20]!r} bytes")
    return replace(whole, start=start, length=end - start, size=size)


def _is_settled(headers: Mapping[str, str]) -> bool:
    """Tell whether the last change was a second or more before the answer."""
    # https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2
    try:
        changed, now = (
            parsedate_to_datetime(headers[name]).timestamp() for name in ("Last-Modified", "Date")
        )
    except (KeyError, TypeError, ValueError, OverflowError):
        return False
    return now - changed >= 1
