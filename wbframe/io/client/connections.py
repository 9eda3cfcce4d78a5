"""Connections that can be cut from another thread, and by which an answer comes in time or not at all.

The time-out of a socket bounds one wait for bytes. Here each wait is cut to what is left of the whole exchange,
be it for a status, headers, bytes of a body, or what frames these; and so are their sizes.
"""

from __future__ import annotations

import http.client
import io
import math
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from urllib3 import ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from wbframe.io import threads
from wbframe.io.client.credentials import is_loopback
from wbframe.io.client.failures import AddressError, TooLargeError
from wbframe.io.client.proxies import ToProxies

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

__all__ = ["Adapter", "Exchange", "Near", "exchanging", "is_near", "latest", "longest"]

# An answer gets the time-out, and more while bytes come so fast: a line may be slow, and shared by six requests.
_SLOW = 8 << 10
# That is up to so many time-outs; what then still comes is a large answer, or one that is made to take long.
_MOST_TIMEOUTS = 5
_FAST = 1 << 20
# Bytes of a status, headers, and what may come before and between them.
_HEAD = 256 << 10
# Bytes on the line for each of a body: honest servers do not send it in chunks of a few bytes.
_FRAMES = 2


def longest(timeout: float, came: int) -> float:
    """Give the seconds that an answer may have taken of which so many bytes came.

    Examples
    --------
    >>> longest(60.0, 0), longest(60.0, 1_000_000) > 180, longest(60.0, 10**9) > 900
    (60.0, True, True)
    """
    return min(timeout + came / _SLOW, latest(timeout, came))


def latest(timeout: float, came: int) -> float:
    """Give the same, however steadily it came.

    Examples
    --------
    >>> latest(60.0, 1_000_000)
    300.0
    """
    return max(_MOST_TIMEOUTS * timeout, came / _FAST)


@dataclass(slots=True)
class Near:
    """Whether the server of a client is on this machine or its link, so that what it names may be there too."""

    allowed: bool


def is_near(host: str) -> bool:
    """Tell whether a host is this machine or on its link, where services trust whoever reaches them.

    Examples
    --------
    >>> [is_near(each) for each in ("localhost", "127.1", "::1", "169.254.169.254", "10.0.0.1")]
    [True, True, True, True, False]
    """
    if is_loopback(host) or host.endswith(".localhost"):
        return True
    try:
        address: Any = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return bool(address.is_loopback or address.is_link_local or address.is_unspecified)


class Exchange:
    """One request and its whole answer, redirects included: how long it may take, how large it may be.

    Parameters
    ----------
    most
        Bytes of a body at the most.
    near
        Whether it may go to this machine; it learns where the client's own server is. None for anywhere.
    now
        The clock.
    """

    def __init__(
        self,
        most: float = math.inf,
        near: Near | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._near, self._now = most, near, now
        self._timeout: float | None = None
        self._began = 0.0
        self._own = False
        self._came = 0
        self._limit: float = _HEAD

    def begin(self, timeout: object) -> None:
        """Begin to count the time."""
        self._timeout = timeout if isinstance(timeout, int | float) else None
        self._began, self._came = self._now(), 0

    def go(self, host: str, *, own: bool) -> None:
        """Be about to ask a host: the client's own, or one that it was told of.

        Raises
        ------
        AddressError
            If it may not be asked.
        """
        self._own = own
        self.expect_head()
        self._look(host)

    def met(self, peer: str) -> None:
        """Learn the number behind a host's name.

        Raises
        ------
        AddressError
            If it may not be asked.
        """
        if self._own and self._near is not None and is_near(peer):
            self._near.allowed = True
        self._look(peer)

    def _look(self, host: str) -> None:
        """Refuse what is near, unless the client's own server is."""
        if self._near is not None and not self._near.allowed and not self._own and is_near(host):
            raise AddressError(f"it is at {host}, on this machine or its link, and the API is not")

    def left(self) -> float | None:
        """Give the seconds for which bytes may be waited for now; None for ever.

        Raises
        ------
        TimeoutError
            If none are left.
        """
        if self._timeout is None:
            return None
        left = self._began + longest(self._timeout, self._came) - self._now()
        if left <= 0:
            raise TimeoutError("timed out")
        return min(left, self._timeout)

    def expect_head(self) -> None:
        """Take no more than a head from here on."""
        self._limit = self._came + _HEAD

    def expect_body(self) -> None:
        """Take no more than a body from here on, and what frames it."""
        self._limit = self._came + _FRAMES * self._most + _HEAD

    def take(self, size: int) -> None:
        """Count bytes that came.

        Raises
        ------
        TooLargeError
            If there are too many.
        """
        self._came += size
        if self._came > self._limit:
            raise TooLargeError("its head, or what frames its body, does not end")


_local = threading.local()


def _current() -> Exchange | None:
    """Give the exchange that this thread is at; None outside of any."""
    return getattr(_local, "exchange", None)


@contextmanager
def exchanging(made: Exchange | None = None) -> Iterator[Exchange]:
    """Let this thread be at an exchange: this one, else the one that it is at, else a new one."""
    before = _current()
    _local.exchange = now = made or before or Exchange()
    try:
        yield now
    finally:
        _local.exchange = before


class _Timed(io.RawIOBase):
    """What comes over a socket, as long as its exchange has time and room for it."""

    def __init__(self, raw: Any, sock: socket.socket, made: Exchange) -> None:
        self._raw, self._sock, self._exchange = raw, sock, made

    def readable(self) -> bool:
        return True

    def fileno(self) -> int:
        number: int = self._raw.fileno()
        return number

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.left())
        came: int | None = self._raw.readinto(buffer)
        self._exchange.take(came or 0)
        return came

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer that is read so."""

    def __init__(self, sock: socket.socket, *others: Any, **options: Any) -> None:
        super().__init__(sock, *others, **options)
        self._exchange = _current()
        if self._exchange is not None:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_Timed(raw, sock, self._exchange))

    def begin(self) -> None:
        """Read status and headers."""
        if self.headers is not None:
            return
        if self._exchange is not None:
            self._exchange.expect_head()
        super().begin()
        # Of lines that are no headers urllib3 would log the whole address, signature and all.
        self.headers.defects = []
        self.headers.set_payload("")
        if self._exchange is not None:
            self._exchange.expect_body()

    def _read_next_chunk_size(self) -> int:
        """Read how long the next chunk is; below 0 all that comes would be read at once."""
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]
        if size < 0:
            raise ValueError
        return size


class _Bounded(HTTPConnection):
    """A connection that the scope of its thread knows, for the exchange of its thread."""

    response_class = _Answer

    def _new_conn(self) -> socket.socket:
        made = _current()
        if made is None:
            return super()._new_conn()
        self.timeout = made.left()
        sock = super()._new_conn()
        try:
            if self.proxy is None:
                made.met(str(sock.getpeername()[0]))
            # What follows, greetings of proxies and of TLS, takes of the same time.
            sock.settimeout(made.left())
        except BaseException:
            sock.close()
            raise
        return sock

    def request(self, *args: Any, **options: Any) -> None:
        threads.use(self)
        if (made := _current()) is not None:
            self.timeout = made.left()
        super().request(*args, **options)


class _Secure(_Bounded, HTTPSConnection):
    """The same over TLS."""


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Bounded


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


_POOLS = {"http": _PlainPool, "https": _SecurePool}


class Adapter(ToProxies):
    """Sends by such connections."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Make those that lead to a proxy."""
        manager = super().proxy_manager_for(*args, **options)
        # One for SOCKS has connections of its own.
        if type(manager) is ProxyManager:
            manager.pool_classes_by_scheme = _POOLS
        return manager
