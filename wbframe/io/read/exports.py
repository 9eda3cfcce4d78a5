"""Exported files by ranges of bytes: no key goes to storage, and signed addresses stay out of messages."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from pyarrow import ArrowInvalid

from wbframe.core.batches import halves_of
from wbframe.core.decode.leaves import columns_of, leaf_columns, leaves, types_in
from wbframe.core.decode.parquet import TAIL_BYTES, groups_in_window, ranges_needed
from wbframe.core.decode.taken import taken_in, told_of
from wbframe.core.model import STEP
from wbframe.core.protocol.exports import Export, exports_answer, exports_request, file_of
from wbframe.core.protocol.request import EXPORTS, LIVE
from wbframe.errors import AnswerError, StatusError
from wbframe.io.client.failures import Failure, of_file
from wbframe.io.client.retry import Try
from wbframe.io.client.session import Session, as_it_is
from wbframe.io.read.columns import read_columns
from wbframe.io.read.parts import optionally, send_in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wbframe.core.model import RunPath
    from wbframe.io.client.client import Client

__all__ = [
    "CONCURRENCY",
    "ExpiredError",
    "Part",
    "SignedFile",
    "Storage",
    "read_exports",
    "read_file",
    "signed_file",
]

# More than the API is asked at once: storage counts no requests, and each range waits for a round trip.
CONCURRENCY = 16
# An address that expires is asked for anew, so many times for one range.
_MOST_RENEWALS = 3
# What storage answers to a range counted from the end where it does not know of such.
# Azure's is one that does not:
# https://learn.microsoft.com/rest/api/storageservices/specifying-the-range-header-for-blob-service-operations
_NO_SUFFIX = frozenset({400, 416, 501})


class ExpiredError(StatusError):
    """A signed address is no longer valid; it must be asked for anew. Never leaves the reader."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of a file, the size of all of it, and whether these are all of it."""

    content: bytes
    size: int
    whole: bool


class Storage:
    """Connections to wherever exported files are; made by a client, without its key."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._session = Session(4, CONCURRENCY)
        # A range of a file that is compressed on its way is a range of something else.
        self._session.headers["Accept-Encoding"] = "identity"

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

        def send() -> requests.Response:
            # The signature is all it takes.
            options = self._client.http_options()
            return self._session.get(url, headers=headers, auth=as_it_is, stream=True, **options)

        what = f"could not read the exported file {file_of(url)}"
        return self._client.read(Try(what=what, send=send, take=self._part))

    def _part(self, response: requests.Response, content: bytes) -> Part:
        """Read an answer; one with another status than 200 or 206 is a failure."""
        status = response.status_code
        if status in {requests.codes.ok, requests.codes.partial_content}:
            total = response.headers.get("Content-Range", "").rpartition("/")[2]
            # A server may ignore the range: https://www.rfc-editor.org/rfc/rfc9110#section-14.2
            whole = status == requests.codes.ok
            size = int(total) if not whole and total.isdigit() else len(content)
            return Part(content, size, whole=whole)
        if status == requests.codes.forbidden:
            # So S3 answers a signature that is too old: https://github.com/wandb/wandb/pull/11215
            raise Failure(ExpiredError, "HTTP 403", status=status)
        raise of_file(response)


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


@dataclass(slots=True)
class SignedFile:
    """An exported file, whose address is asked for anew when it expires.

    Attributes
    ----------
    storage, url
        Where the file is.
    renew
        Gives the address anew.
    types
        Its keys and their types, once its footer is read.
    """

    storage: Storage
    url: str
    renew: Callable[[str], str]
    types: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What may be said of the address."""
        return file_of(self.url)

    def get(self, byte_range: str | None) -> Part:
        """Get a range of the file, or the file.

        Raises
        ------
        ConnectionFailedError, StatusError
            After the retries, and if a fresh address is refused as well.
        """
        for _ in range(_MOST_RENEWALS):
            try:
                return self.storage.get(self.url, byte_range)
            except ExpiredError:
                self.url = self.renew(self.url)
        try:
            return self.storage.get(self.url, byte_range)
        except ExpiredError as error:
            msg = f"{error}, also after its address was asked for anew; check the clock, or read again"
            raise StatusError(msg, requests.codes.forbidden) from None

    def part(self, low: int, high: int) -> tuple[int, bytes]:
        """Read a half-open range: where it begins, and its bytes; storage that knows no ranges gives all."""
        part = self.get(f"{low}-{high - 1}")
        return (0 if part.whole else low), part.content

    def tail(self) -> tuple[int, tuple[int, bytes]]:
        """Read the end of the file: the file's size, where the end begins, and its bytes."""
        try:
            part = self.get(f"-{TAIL_BYTES}")
        except StatusError as error:
            if error.status not in _NO_SUFFIX:
                raise
            # Not every storage knows ranges that are counted from the end.
            # The answer to one byte tells the size; HEAD does not, since addresses are signed for GET alone.
            size = self.get("0-0").size
            return size, self.part(max(size - TAIL_BYTES, 0), size)
        return part.size, (part.size - len(part.content), part.content)


def read_file(
    file: SignedFile,
    columns: Sequence[str] | None,
    *,
    min_step: int | None = None,
    max_step: int | None = None,
) -> pa.Table:
    """Read some columns of an exported file, and of these the row groups that may hold a window of steps.

    A small file takes one request, others one for the footer and one for each range of columns that lie
    together, or one for the whole where most of it is needed.

    Parameters
    ----------
    file
        Which.
    columns
        Columns wanted besides `_step`, with dots where they nest; those that the file lacks are left out. None
        for all.
    min_step, max_step
        The window, half-open; rows outside of it may come too.

    Returns
    -------
    pyarrow.Table
        With `_step`; numbers, booleans, text and lists of these, and JSON in binary for all else.

    Raises
    ------
    AnswerError
        If it is no Parquet file, or one of rows without steps.
    SchemaMismatchError
        If a column cannot be read, or has several values for one key.
    """
    where = f"the exported file {file.name}"
    size, tail = file.tail()
    parts = [tail]
    with taken_in(where):
        metadata = _metadata(file, size, parts)
        schema = metadata.schema.to_arrow_schema()
        there = leaves(schema)
        file.types = types_in(schema)
        wanted = (STEP, *(there if columns is None else columns))
        names = columns_of(schema, wanted)
        if STEP not in there and metadata.num_rows:
            raise AnswerError(f"{where} has rows without {STEP!r}")
        groups = groups_in_window(metadata, min_step, max_step)
        start = parts[0][0]
        if start > 0:
            for low, high in ranges_needed(metadata, names, size, groups):
                if low < start:
                    parts.append(file.part(low, high))
        # Without `pre_buffer`, which joins ranges that are near: what lies between them may not be here.
        opened = pq.ParquetFile(_Sparse(size, parts), metadata=metadata, pre_buffer=False)
        table = read_columns(opened, groups, names, where=where)
        return leaf_columns(table, wanted, where=where)


def _metadata(file: SignedFile, size: int, parts: list[tuple[int, bytes]]) -> pq.FileMetaData:
    """Read the footer, which may be longer than the tail that was read."""
    start, content = parts[0]
    # The length of the footer stands before the last four bytes: https://parquet.apache.org/docs/file-format/
    footer = int.from_bytes(content[-8:-4], "little") + 8
    if footer > len(content) and start > 0:
        parts[0] = file.part(max(size - footer, 0), size)
    try:
        return pq.read_metadata(_Sparse(size, parts))
    except (ArrowInvalid, OSError) as error:
        msg = f"the exported file {file.name} is no Parquet file: {told_of(error)}"
        raise AnswerError(msg) from error


def read_exports(client: Client, path: RunPath, run_ids: Sequence[str]) -> list[Export]:
    """Ask where the exported files of runs are; nowhere, where a server has no exports."""

    def ask(refused: frozenset[str], *, patient: bool = False) -> list[Export]:
        if EXPORTS in refused:
            return [Export() for _ in run_ids]
        parts = send_in_parts(
            client,
            run_ids,
            halves_of,
            lambda names: exports_request(path, names, live=LIVE not in refused),
            lambda names, content, request: exports_answer(content, request, path, names),
            patient=patient,
        )
        return [export for part in parts for export in part]

    return optionally(client, [LIVE, EXPORTS], ask, partial(ask, patient=True))


def signed_file(
    client: Client, storage: Storage, path: RunPath, run_id: str, url: str
) -> SignedFile:
    """Give a file of a run, whose address is asked for anew when it expires."""

    def renew(old: str) -> str:
        [export] = read_exports(client, path, [run_id])
        # By its path, since signing anew changes the rest, and the order of addresses is not promised.
        return next((each for each in export.urls if file_of(each) == file_of(old)), old)

    return SignedFile(storage, url, renew)
