"""Sessions, redirects that carry no key, and bodies of bounded size, unpacked as far as that."""

from __future__ import annotations

import re
import time
from collections import deque
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import requests
import urllib3

from wbframe.io.client.connections import Adapter, exchanging, latest
from wbframe.io.client.failures import REDIRECTS, PackedError, TooLargeError
from wbframe.io.client.proxies import Proxied
from wbframe.io.client.redirects import (
    MOST_REDIRECTS,
    following,
    host_of,
    is_redirect,
    opened,
    origin_of,
)
from wbframe.io.client.secrets import Hidden

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from typing_extensions import Self

    from wbframe.io.client.connections import Exchange

__all__ = ["Session", "Turn", "as_it_is", "read_answer", "read_body"]

# Large, since threads take turns at each piece.
_CHUNK = 1 << 18
# A third of the time of reading rows is spent here, and the extra `fast` takes less than half of it.
_zlib: Any = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")
# What zlib calls a wrapper and the largest window. Others are not asked for: not every release of what unpacks
# them can be told where to stop.
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_BARE, _DEFLATED = -15, 8
# How often one body is packed, at the most.
_LAYERS = 2
# What is unpacked at once; and from where on it must be in some proportion to what came: rows that are alike are
# packed to a fiftieth, what is made to be large to a thousandth.
_PIECE = 8 << 20
_ANY_RATIO, _RATIO = 32 << 20, 250
# What `int` reads at once: it stumbles over other digits, and over thousands of them.
_LENGTH = re.compile(r"[0-9]{1,18}")
# What is read of a body that says why there is no answer.
_WORDS = 16 << 10
# The hundreds of statuses that come with what was asked.
_FINE = 2


class _OneOrigin(DefaultCookiePolicy):
    """Takes the cookies of one server."""

    def __init__(self, origin: tuple[str, str] | None) -> None:
        super().__init__()
        self._origin = origin

    def set_ok(self, cookie: Any, request: Any) -> bool:
        cookie.value = cookie.value and Hidden(cookie.value)
        return origin_of(request.get_full_url()) == self._origin and super().set_ok(cookie, request)


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
        self._origin = None if origin is None else origin_of(origin)
        self.headers["Accept-Encoding"] = "gzip, deflate"
        self.cookies.set_policy(_OneOrigin(self._origin))
        adapter = Adapter(pool_connections=pools, pool_maxsize=connections)
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        """Ask an address.

        Raises
        ------
        AddressError
            If nothing can ever come of it.
        """
        opened(str(url))
        return super().request(method, url, *args, **options)

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        """Send a request, and a few more where it is redirected; no body is read yet.

        Raises
        ------
        AddressError
            If nothing can come of where it is redirected to.
        requests.TooManyRedirects
            If that does not end.
        """
        follows = options.pop("allow_redirects", True)
        passed: list[requests.Response] = []
        with exchanging() as exchange:
            exchange.begin(options.get("timeout"))
            while True:
                response = self._sent(request, exchange, options)
                if not (follows and is_redirect(response)):
                    response.history = passed
                    return response
                # Unread: it may be of any size.
                response.close()
                passed.append(response)
                after = following(response)
                if len(passed) > MOST_REDIRECTS:
                    raise requests.TooManyRedirects(f"more than {MOST_REDIRECTS} redirects")
                self.rebuild_auth(after, response)
                after.prepare_cookies(self.cookies)
                proxies: Any = self.rebuild_proxies
                options["proxies"] = proxies(after, options.get("proxies"))
                request = after

    def _sent(
        self, request: requests.PreparedRequest, exchange: Exchange, options: dict[str, Any]
    ) -> requests.Response:
        """Send it; cookies to the server alone: they know no ports, and so would go to others on its host."""
        address = request.url or ""
        own = origin_of(address) == self._origin
        exchange.go(host_of(address), own=own)
        if not own:
            request.headers.pop("Cookie", None)
        return super().send(request, **{**options, "allow_redirects": False, "stream": True})

    def resolve_redirects(self, *_: Any, **__: Any) -> Iterator[Any]:
        """Give none: requests would read the whole body of each, even where it may not follow."""
        return iter(())

    def rebuild_auth(
        self, prepared_request: requests.PreparedRequest, response: requests.Response
    ) -> None:
        """Take the key off a request that was redirected elsewhere; netrc is not asked for another."""
        if origin_of(response.request.url or "") != origin_of(prepared_request.url or ""):
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


# ---------------------------------------------------------------- bodies


def read_body(
    response: requests.Response,
    *,
    most: int,
    seconds: float,
    now: Callable[[], float] = time.monotonic,
    turn: Turn | None = None,
) -> bytes:
    """Read the body of a streamed answer, unpacked.

    Parameters
    ----------
    response
        Of a request that was sent by a `Session`; it is closed here.
    most
        Bytes at the most.
    seconds
        The time-out; all of it may take five times as long, or longer where it comes fast.
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
        If it breaks off, or is packed as nobody asked for.
    """
    parts = list(_timely(response, _parts(response, most, turn), most, seconds, now))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_answer(response: requests.Response, *, seconds: float, **options: Any) -> bytes:
    """Do `read_body`; of an answer that is none read what it says, as far as a few KB, of a redirect nothing.

    Raises
    ------
    requests.RequestException
        As `read_body` does.
    """
    if response.status_code // 100 == _FINE:
        return read_body(response, seconds=seconds, **options)
    if response.status_code in REDIRECTS:
        response.close()
        return b""
    return _words(response, seconds, options["now"])


def _words(response: requests.Response, seconds: float, now: Callable[[], float]) -> bytes:
    """Read what a refusal says, as far as it comes."""
    words: list[bytes] = []
    # Its status says enough.
    with suppress(requests.RequestException):
        for part in _timely(
            response, _parts(response, _WORDS, None, words=True), _WORDS, seconds, now
        ):
            words.append(part)  # noqa: PERF402 -- what came before it broke off stays
    return b"".join(words)[:_WORDS]


def _timely(
    response: requests.Response,
    parts: Iterator[bytes],
    most: int,
    seconds: float,
    now: Callable[[], float],
) -> Iterator[bytes]:
    """Hand on the parts of a body, as long as they are not too many and do not take too long."""
    began, size = now(), 0
    try:
        for part in parts:
            yield part
            size += len(part)
            if size > most:
                raise TooLargeError(f"more than {most:,} bytes")
            if now() - began > latest(seconds, size):
                raise requests.Timeout(f"the answer had not ended after {now() - began:.0f} s")
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except urllib3.exceptions.HTTPError as error:
        if isinstance(error.args[-1], TooLargeError):
            raise error.args[-1] from None
        raise requests.ConnectionError(error) from error
    finally:
        response.close()


def _parts(
    response: requests.Response, most: int, turn: Turn | None, *, words: bool = False
) -> Iterator[bytes]:
    """Read a body in pieces, unpacked; one piece may be above the most."""
    told = response.headers.get("Content-Encoding", "").lower().split(",")
    packings = [each for name in told if (each := name.strip()) not in {"", "identity"}]
    unknown = [each for each in packings if each not in _WINDOWS]
    if unknown or len(packings) > _LAYERS:
        shown = ", ".join(packings[: _LAYERS + 1])[:60]
        raise PackedError(f"it is packed as {shown!r}")
    pieces = _pieces(response, most, plain=not packings, at_once=words)
    if packings and turn is not None:
        pieces = _held(pieces, turn)
    for packing in reversed(packings):
        pieces = _unpacked(pieces, most, packing)
    yield from pieces


def _held(pieces: Iterator[bytes], turn: Turn) -> Iterator[bytes]:
    """Wait for the turn with all pieces at hand, and let go of each that is taken."""
    held = deque(pieces)
    turn.take()
    while held:
        yield held.popleft()


def _pieces(
    response: requests.Response, most: int, *, plain: bool, at_once: bool
) -> Iterator[bytes]:
    """Read a body in pieces as they were sent, large or as soon as they come; one may be above the most."""
    size = 0
    read = response.raw.read1 if at_once else response.raw.read
    while piece := read(min(_CHUNK, most + 1), decode_content=plain):
        size += len(piece)
        yield piece
        if size > most:
            raise TooLargeError(f"more than {most:,} bytes")
    told = response.headers.get("Content-Length", "")
    # Older releases of urllib3 take what is cut for what was sent.
    # https://github.com/urllib3/urllib3/pull/2514
    if _LENGTH.fullmatch(told) and size < int(told):
        raise requests.ConnectionError(f"the answer broke off after {size} of {told} bytes")


def _unpacked(pieces: Iterator[bytes], most: int, packing: str) -> Iterator[bytes]:
    """Unpack what may have several members, one after the other, as far as the most allows and a byte further."""
    member: Any = None
    came, left = 0, most + 1
    for packed in _begun(pieces, packing):
        came += len(packed)
        piece, full = packed, False
        while (piece or full) and left > 0:
            if member is None:
                member = _zlib.decompressobj(_window(packing, piece))
            part, wanted = _next(member, piece, left)
            full = len(part) == wanted
            left -= len(part)
            if (out := most + 1 - left) > _ANY_RATIO and out > _RATIO * came:
                raise TooLargeError(f"more than {_RATIO} times the {came:,} bytes that came")
            yield part
            piece = member.unconsumed_tail
            if member.eof:
                # Members may follow one another: https://www.rfc-editor.org/rfc/rfc1952#section-2.2
                piece, member, full = member.unused_data.lstrip(b"\0"), None, False
    if member is not None:
        raise requests.ConnectionError("the body ends too early")


def _next(member: Any, piece: bytes, left: int) -> tuple[bytes, int]:
    """Unpack some of a member, and give how much it may have been at the most."""
    wanted = min(left, _PIECE)
    try:
        return member.decompress(piece, wanted), wanted
    except _zlib.error as error:
        raise requests.ConnectionError(f"the body is not packed as it says: {error}") from error


def _begun(pieces: Iterator[bytes], packing: str) -> Iterator[bytes]:
    """Let the first piece be of two bytes at least where these tell what follows."""
    first = b""
    for piece in pieces:
        first += piece
        if len(first) > 1 or packing != "deflate":
            break
    if first:
        yield first
    yield from pieces


def _window(packing: str, begins: bytes) -> int:
    """Tell how a member is wrapped: what is called deflate should be in zlib's format, and often is bare."""
    # https://www.rfc-editor.org/rfc/rfc1950#section-2.2
    wrapped = (
        begins[:1] and begins[0] & 15 == _DEFLATED and int.from_bytes(begins[:2], "big") % 31 == 0
    )
    return _WINDOWS[packing] if packing != "deflate" or wrapped else _BARE
