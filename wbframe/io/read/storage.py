"""Where exported files are: connections without a key, ranges that are those that were asked, of one version."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import requests

from wbframe.core.decode.footer import SHORT_BYTES
from wbframe.core.protocol.exports import file_of
from wbframe.core.protocol.ranges import ByteRange, Part, read_head
from wbframe.core.protocol.spans import LEAST_TAIL
from wbframe.errors import AnswerError, StatusError
from wbframe.io.client.failures import Failure, of_file
from wbframe.io.client.retry import Try
from wbframe.io.client.session import Session, as_it_is
from wbframe.io.threads import PIECE, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wbframe.core.protocol.ranges import Head, Version
    from wbframe.io.client.client import Client

__all__ = ["CONCURRENCY", "ExpiredError", "ReplacedError", "SignedFile", "Storage"]

# More than the API is asked at once: storage counts no requests, and each range waits for a round trip.
CONCURRENCY = 32
# An address that expires is asked for anew, so many times for one range.
_MOST_RENEWALS = 3
# What storage answers to a range counted from the end where it does not know of such.
# Azure's is one that does not:
# https://learn.microsoft.com/rest/api/storageservices/specifying-the-range-header-for-blob-service-operations
_NO_SUFFIX = frozenset({400, 416, 501})
# A range that is answered by another one is asked for so many times, whatever the policy says.
_TOLD = 2
_GIVEN = frozenset({200, 206})
_WRONG_RANGE = "the storage, or a proxy before it, answers ranges wrongly: read again later"


class ExpiredError(StatusError):
    """A signed address is no longer valid; it must be asked for anew. Never leaves the reader."""


class ReplacedError(AnswerError):
    """A file is another one than when it was begun; it must be read anew. Never leaves the reader."""


class Storage:
    """Connections to wherever exported files are; made by a client, without its key."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._session = Session(4, CONCURRENCY)
        self._turns = threading.BoundedSemaphore(CONCURRENCY)
        # A range of a file that is compressed on its way is a range of something else.
        self._session.headers["Accept-Encoding"] = "identity"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def get(self, url: str, asked: ByteRange | None, *, match: str | None = None) -> Part:
        """Get a range of a file, or the file.

        Parameters
        ----------
        url
            Its signed address.
        asked
            The range; None for the file.
        match
            The ETag that the file must still have.

        Raises
        ------
        ExpiredError
            If the signature is no longer valid (403).
        ReplacedError
            If the file has another ETag (412).
        AnswerError
            If what comes is not the range that was asked, also when it is asked again.
        ConnectionFailedError, StatusError
            After the retries.
        """
        headers = {} if asked is None else {"Range": asked.header}
        if match is not None:
            # Signatures are of the host, and of headers that only stores themselves make up:
            # https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
            headers["If-Match"] = match
        told: list[Head] = []

        def send() -> requests.Response:
            # The signature is all it takes.
            options = self.client.http_options()
            response = self._session.get(
                url, headers=headers, auth=as_it_is, stream=True, **options
            )
            try:
                told[:] = self._heads(response, asked)
            except Failure:
                # Of what was not asked for, no body is read.
                response.close()
                self.client.count()
                raise
            return response

        def take(response: requests.Response, content: bytes) -> Part:
            if not told:
                raise _of_refusal(response)
            try:
                return told[0].part(content)
            except AnswerError as error:
                raise _of_wrong_range(error) from None

        what = f"could not read the exported file {file_of(url)}"
        with self._turn():
            return self.client.read(Try(what=what, send=send, take=take))

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until there is a connection for one more."""
        while not self._turns.acquire(timeout=PIECE):
            check()
        try:
            yield
        finally:
            self._turns.release()

    def _heads(self, response: requests.Response, asked: ByteRange | None) -> list[Head]:
        """Read the head of an answer that gives a file or a part of it; of others there is none."""
        if response.status_code not in _GIVEN:
            return []
        try:
            return [read_head(asked, response.status_code, response.headers)]
        except AnswerError as error:
            raise _of_wrong_range(error) from None


def _of_wrong_range(error: AnswerError) -> Failure:
    """Describe an answer that is not what was asked for."""
    return Failure(AnswerError, str(error), _WRONG_RANGE, again=True, most=_TOLD)


def _of_refusal(response: requests.Response) -> Failure:
    """Describe an answer with another status than 200 or 206."""
    status = response.status_code
    if status == requests.codes.forbidden:
        # So S3 answers a signature that is too old: https://github.com/wandb/wandb/pull/11215
        return Failure(ExpiredError, "HTTP 403", status=status)
    if status == requests.codes.precondition_failed:
        return Failure(ReplacedError, "HTTP 412", status=status)
    return of_file(response)


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
    tail
        Its end, where that was read before.
    pinned
        Whether it must stay the version that this is of.
    """

    storage: Storage
    url: str
    renew: Callable[[str], str]
    types: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tail: Part | None = None
    pinned: bool = False
    _renewing: threading.Lock = field(default_factory=threading.Lock)
    _begun: Version | None = None
    _matched: bool = True

    @property
    def name(self) -> str:
        """What may be said of the address."""
        return file_of(self.url)

    def begin_anew(self) -> None:
        """Forget which version was begun, after it was replaced.

        Raises
        ------
        AnswerError
            If it must be that one.
        """
        if self.pinned:
            raise AnswerError(
                f"the exported file {self.name} was replaced while it was read; read again"
            )
        self._begun = self.tail = None
        # Not every host may know the condition; that versions are the same is looked at in any case.
        self._matched = False

    def get(self, asked: ByteRange | None) -> Part:
        """Get a range of the file, or the file, of the version that was begun.

        Raises
        ------
        ReplacedError
            If it is another one now.
        AnswerError, ConnectionFailedError, StatusError
            After the retries, and if a fresh address is refused as well.
        """
        begun = self._begun
        match = begun.strong if begun is not None and self._matched else None
        try:
            part = self._get(asked, match)
        except StatusError as error:
            if begun is not None and error.status == requests.codes.requested_range_not_satisfiable:
                # What is asked for lies within the file that was begun.
                raise ReplacedError(str(error)) from None
            raise
        if begun is None:
            self._begun = part.version
        elif not begun.same(part.version):
            raise ReplacedError(f"{self.name} is another file than when it was begun")
        return part

    def _get(self, asked: ByteRange | None, match: str | None) -> Part:
        """Get it, by an address that is asked for anew where it has expired."""
        url, renewals = self.url, 0
        while True:
            try:
                return self.storage.get(url, asked, match=match)
            except ExpiredError as error:
                if renewals == _MOST_RENEWALS:
                    msg = f"{error}, also after its address was asked for anew; check the clock, or read again"
                    raise StatusError(msg, requests.codes.forbidden) from None
            # One for all ranges that are read side by side, and where that is spent one for this alone.
            url = self._renewed(url) if renewals == 0 else self.renew(url)
            renewals += 1

    def _renewed(self, url: str) -> str:
        """Ask for an address anew, unless another thread just has."""
        with self._renewing:
            if self.url == url:
                self.url = self.renew(url)
            return self.url

    def end(self, length: int = LEAST_TAIL) -> Part:
        """Get the end of the file, where its footer is; all of it where nothing tells its versions apart.

        Parameters
        ----------
        length
            How much of it, if it has as much; never less than Arrow looks for a footer in.

        Raises
        ------
        AnswerError
            If it has no bytes.
        ConnectionFailedError, StatusError
            As of `get`.
        """
        if self.tail is not None:
            self._begun = self.tail.version
            return self.tail
        part = self._tail(max(min(length, self.storage.client.largest_answer), SHORT_BYTES))
        if part.start > 0 and not part.version.is_told:
            # Two ranges might be of two versions, and so all is read at once.
            self._begun = None
            part = self.get(None)
        return part

    def _tail(self, length: int) -> Part:
        """Get the end of the file."""
        try:
            return self.get(ByteRange(-length))
        except StatusError as error:
            if error.status not in _NO_SUFFIX:
                raise
        # Not every storage knows ranges that are counted from the end.
        # The answer to one byte tells the size; HEAD does not, since addresses are signed for GET alone.
        try:
            first = self.get(ByteRange(0, 1))
        except StatusError as error:
            if error.status == requests.codes.requested_range_not_satisfiable:
                raise AnswerError(
                    f"the exported file {self.name} is no Parquet file: it is empty"
                ) from None
            raise
        size = first.version.size
        return first if first.whole else self.get(ByteRange(max(size - length, 0), size))
