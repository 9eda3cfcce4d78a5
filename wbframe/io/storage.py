"""Exported files by ranges of bytes: no key goes to storage, and signed addresses stay out of messages."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import requests
from pyarrow import ArrowInvalid

from wbframe.core.exports import TAIL_BYTES, file_of, groups_in_window, ranges_needed
from wbframe.core.schema import STEP
from wbframe.errors import AnswerError, StatusError
from wbframe.io.client import FailedError
from wbframe.io.http import Session
from wbframe.io.problems import Problem
from wbframe.io.retry import TryAgainError, is_retried, retry_after_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from wbframe.io.client import Client

CONCURRENCY = 16


class ExpiredError(StatusError):
    """A signed address is no longer valid; it must be asked for anew."""


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep netrc's entries for the storage host out of requests: the signature is all it takes."""
    return request


class Storage:
    """Connections to wherever exported files are; made by a client, without its key."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._session = Session(4, CONCURRENCY)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, url: str, byte_range: str | None) -> Part:
        """Get a range of a file, or the file.

        Raises
        ------
        ExpiredError
            If the signature is no longer valid (403).
        ConnectionFailedError, StatusError
            After the retries.
        """
        headers = {} if byte_range is None else {"Range": f"bytes={byte_range}"}

        def once(again: bool) -> Part:  # noqa: FBT001 -- called in one place
            response, content = self._client.exchange(
                lambda: self._session.get(
                    url, headers=headers, auth=_no_auth, stream=True, **self._client.http_options()
                ),
                again=again,
            )
            return self._part(response, content)

        return self._client.persist(once, f"could not read the exported file {file_of(url)}")

    def _part(self, response: requests.Response, content: bytes) -> Part:
        """Read an answer; one with another status than 200 or 206 is a failure."""
        status = response.status_code
        if status in {requests.codes.ok, requests.codes.partial_content}:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            whole = status == requests.codes.ok
            size = int(total) if not whole and total.isdigit() else len(content)
            return Part(content, size, whole=whole)
        if status == requests.codes.forbidden:
            raise FailedError(Problem(kind=ExpiredError, said="HTTP 403", status=status))
        problem = Problem(kind=StatusError, said=f"HTTP {status}", status=status)
        if is_retried(status):
            header = response.headers.get("Retry-After")
            raise TryAgainError(problem, retry_after_seconds(header, now=time.time()))
        raise FailedError(problem)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file, the size of all of it, and whether these are all of it."""

    content: bytes
    size: int
    whole: bool


@dataclass(slots=True)
class _Sparse(io.RawIOBase):
    """A file of which only some ranges are here."""

    size: int
    parts: list[tuple[int, bytes]]
    at: int = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        self.at = base + offset
        return self.at

    def read(self, size: int = -1) -> bytes:
        end = self.size if size < 0 else min(self.at + size, self.size)
        for start, content in self.parts:
            if start <= self.at and end <= start + len(content):
                found = content[self.at - start : end - start]
                self.at = end
                return found
        raise AnswerError(
            f"bytes {self.at} to {end} of an exported file are needed and were not read"
        )


def read_file(
    storage: Storage,
    url: str,
    columns: Sequence[str],
    *,
    min_step: int | None = None,
    max_step: int | None = None,
) -> pa.Table:
    """Read some columns of an exported file, and of these the row groups that may hold a window of steps.

    A small file takes one request, others one for the footer and one for each range of columns that lie
    together, or one for the whole where most of it is needed.

    Parameters
    ----------
    storage, url
        Where the file is.
    columns
        Columns wanted besides `_step`; those that the file lacks are left out.
    min_step, max_step
        The window, half-open; rows outside of it may come too.

    Raises
    ------
    AnswerError
        If it is no Parquet file.
    """
    tail = storage.get(url, f"-{TAIL_BYTES}")
    size = tail.size
    start = size - len(tail.content)
    parts = [(start, tail.content)]
    try:
        metadata = _metadata(storage, url, size, parts)
        names = [
            name
            for name in dict.fromkeys((STEP, *columns))
            if name in metadata.schema.to_arrow_schema().names
        ]
        groups = groups_in_window(metadata, min_step, max_step)
        if parts[0][0] > 0:
            for low, high in ranges_needed(metadata, names, size, groups):
                if low < parts[0][0]:
                    parts.append(_part(storage, url, low, high))
        file = pq.ParquetFile(_Sparse(size, parts), metadata=metadata, pre_buffer=False)
        return file.read_row_groups(groups, columns=names, use_threads=False)
    except ArrowInvalid as error:
        raise AnswerError(
            f"the exported file {file_of(url)} is no Parquet file: {error}"
        ) from error


def _part(storage: Storage, url: str, low: int, high: int) -> tuple[int, bytes]:
    """Read a half-open range; storage that knows no ranges gives the whole file."""
    part = storage.get(url, f"{low}-{high - 1}")
    return (0 if part.whole else low), part.content


def _metadata(
    storage: Storage, url: str, size: int, parts: list[tuple[int, bytes]]
) -> pq.FileMetaData:
    """Read the footer, which may be longer than the tail that was read."""
    start, content = parts[0]
    footer = int.from_bytes(content[-8:-4], "little") + 8
    if footer > len(content) and start > 0:
        parts[0] = _part(storage, url, max(size - footer, 0), size)
    return pq.read_metadata(_Sparse(size, parts))
