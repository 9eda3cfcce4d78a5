"""Connections that can be cut from another thread, bodies of bounded size, redirects that carry no key."""

from __future__ import annotations

import time
from collections import deque
from http.cookiejar import DefaultCookiePolicy
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3
from urllib3 import ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from wbframe.io import threads
from wbframe.io.client.failures import TooLargeError
from wbframe.io.client.proxies import Proxied, ToProxies
from wbframe.io.client.secrets import Hidden

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

__all__ = ["Session", "Turn", "as_it_is", "read_body"]

# Large, since threads take turns at each piece.
_CHUNK = 1 << 18
# A third of the time of reading rows is spent here, and the extra `fast` takes less than half of it.
_zlib: Any = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")
_GZIP = 31  # what zlib calls a gzip wrapper and the largest window
# A body may come slowly, but not for ever: so many times the time-out between two pieces of it.
_SLOWEST = 5


class _Plain(HTTPConnection):
    """A connection that the scope of its thread knows."""

    def request(self, *args: Any, **options: Any) -> None:
        threads.use(self)
        super().request(*args, **options)


class _Secure(HTTPSConnection):
    """The same over TLS."""

    def request(self, *args: Any, **options: Any) -> None:
        threads.use(self)
        super().request(*args, **options)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}


class _Adapter(ToProxies):
    """Makes such connections."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        manager = super().proxy_manager_for(*args, **options)
        # One for SOCKS has connections of its own.
        if type(manager) is ProxyManager:
            manager.pool_classes_by_scheme = _POOLS
        return manager


def _origin(address: str) -> tuple[str, str]:
    """Give what two addresses of one server have in common."""
    split = urlsplit(address)
    return split.scheme, split.netloc.lower()


class _OneOrigin(DefaultCookiePolicy):
    """Takes the cookies of one server."""

    def __init__(self, origin: tuple[str, str] | None) -> None:
        super().__init__()
        self._origin = origin

    def set_ok(self, cookie: Any, request: Any) -> bool:
        cookie.value = cookie.value and Hidden(cookie.value)
        return _origin(request.get_full_url()) == self._origin and super().set_ok(cookie, request)


class Session(Proxied):
    """A session that shows a key to the host it was meant for, and to no other.

    Parameters
    ----------
    pools, connections
        Hosts, and connections to each, that are kept open.
    origin
        The address of the server that may set cookies, and gets them back; None for none.
    """

    def __init__(self, pools: int, connections: int, origin: str | None = None) -> None:
        super().__init__()
        self._origin = None if origin is None else _origin(origin)
        self.cookies.set_policy(_OneOrigin(self._origin))
        adapter = _Adapter(pool_connections=pools, pool_maxsize=connections)
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send cookies to the server alone: they know no ports, and so would go to others on its host."""
        if _origin(request.url or "") != self._origin:
            request.headers.pop("Cookie", None)
        return super().send(request, **options)

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Take the key off a request that was redirected elsewhere; netrc is not asked for another."""
        if _origin(response.request.url or "") != _origin(prepared_request.url or ""):
            # requests itself would keep the key from http to https of one host.
            prepared_request.headers.pop("Authorization", None)


def as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no credentials to a request: without an `auth`, requests would look one up in netrc."""
    return request


class Turn:
    """A turn to unpack and decode one answer; a context manager that gives it back.

    Answers wait packed: unpacked, those of all threads would be as large as a frame.
    """

    def __init__(self, turns: threading.BoundedSemaphore) -> None:
        self._turns = turns
        self._taken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def take(self) -> None:
        """Wait for a turn, unless it has come."""
        if not self._taken:
            self._turns.acquire()
            self._taken = True

    def give_back(self) -> None:
        """Let others take theirs."""
        if self._taken:
            self._taken = False
            self._turns.release()


def read_body(
    response: requests.Response,
    *,
    most: int,
    seconds: float,
    now: Callable[[], float] = time.monotonic,
    turn: Turn | None = None,
) -> bytes:
    """Read the body of a streamed answer, decompressed.

    Parameters
    ----------
    response
        Of a request that was sent with ``stream=True``; it is closed here.
    most
        Bytes at the most.
    seconds
        The time-out between two pieces of the body; all of it may take five times as long.
    now
        The clock.
    turn
        Taken when all of the body is there, before it is unpacked.

    Raises
    ------
    TooLargeError
        If there is more.
    requests.Timeout
        If it drips.
    requests.RequestException
        If it breaks off.
    """
    end = now() + _SLOWEST * seconds
    parts: list[bytes] = []
    size = 0
    try:
        for part in _parts(response, most, turn):
            parts.append(part)
            size += len(part)
            if size > most:
                raise TooLargeError(f"more than {most:,} bytes")
            if now() > end:
                raise requests.Timeout(f"the answer had not ended after {_SLOWEST * seconds:g} s")
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(error) from error
    finally:
        response.close()
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _parts(response: requests.Response, most: int, turn: Turn | None) -> Iterator[bytes]:
    """Read a body in pieces, decompressed; one piece may be a byte above the most."""
    if response.headers.get("Content-Encoding") == "gzip":
        pieces = _pieces(response, decode=False)
        yield from _unpacked(pieces if turn is None else _held(pieces, most, turn), most)
    else:
        yield from _pieces(response, decode=True)


def _held(pieces: Iterator[bytes], most: int, turn: Turn) -> Iterator[bytes]:
    """Wait for the turn with all pieces at hand, and let go of each that is taken."""
    held: deque[bytes] = deque()
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > most:
            raise TooLargeError(f"more than {most:,} bytes")
    turn.take()
    while held:
        yield held.popleft()


def _pieces(response: requests.Response, *, decode: bool) -> Iterator[bytes]:
    """Read a body in pieces as they were sent, or by urllib3's decoders."""
    size = 0
    while piece := response.raw.read(_CHUNK, decode_content=decode):
        size += len(piece)
        yield piece
    told = response.headers.get("Content-Length", "")
    as_sent = not (decode and response.headers.get("Content-Encoding"))
    # Older releases of urllib3 take what is cut for what was sent.
    # https://github.com/urllib3/urllib3/pull/2514
    if as_sent and told.isdigit() and size < int(told):
        raise requests.ConnectionError(f"the answer broke off after {size} of {told} bytes")


def _unpacked(pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    """Unpack gzip, whose members may follow one another, as far as the most allows and a byte further."""
    member: Any = None
    left = most + 1
    for packed in pieces:
        piece = packed
        while piece and left > 0:
            if member is None:
                member = _zlib.decompressobj(_GZIP)
            try:
                part = member.decompress(piece, left)
            except _zlib.error as error:
                raise requests.ConnectionError(f"the body is no gzip: {error}") from error
            left -= len(part)
            yield part
            piece = b""
            if member.eof:
                # Members may follow one another: https://www.rfc-editor.org/rfc/rfc1952#section-2.2
                piece, member = member.unused_data.lstrip(b"\0"), None
    if member is not None:
        raise requests.ConnectionError("the body ends too early")
