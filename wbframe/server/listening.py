"""The ports of a server: sockets, how many connections may be there, how slow and how large their words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from wbframe.errors import UsageError
from wbframe.log import log_of
from wbframe.server.guard import Refusal
from wbframe.text import legible

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Container

    from aiohttp.typedefs import Handler, Middleware
    from aiohttp.web_protocol import RequestHandler

    from wbframe.server.guard import Guard
    from wbframe.server.replies import Reply

__all__ = ["LARGEST_BODY", "PATIENCE", "Port", "body_of", "guarded", "listening"]

PATIENCE = 60.0
"""Seconds in which a request must have come, and in which some of an answer must be taken."""
LARGEST_BODY = 16 << 20
"""Bytes of a request."""

_CONNECTIONS = 512
# Bytes before a first head has come, with what comes right behind it; then with a body, be it read or not.
_LARGEST_HEAD, _LARGEST_BETWEEN = 1 << 20, 64 << 20
_SWEEPS = 10  # within the patience
_KEPT_ALIVE = 75.0


def listening(host: str, port: int) -> socket.socket:
    """Open a socket.

    Raises
    ------
    UsageError
        The address is none of this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.getaddrinfo(
            host, port, family
        )  # `create_server` leaves a socket open where this fails
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, ValueError, TypeError) as error:
        why = getattr(error, "strerror", None) or "that is no address"
        raise UsageError(
            f"cannot listen on {legible(host)}:{port}: {why}; port=0 takes any free one"
        ) from error


def guarded(
    guard: Guard, refuse: Callable[[Refusal], Reply], heard: Callable[[RequestHandler], object]
) -> Middleware:
    """Let the requests through that a guard lets through; the rest are refused, unread.

    Parameters
    ----------
    guard
        Says which.
    refuse
        Spells a refusal.
    heard
        Is told of each connection that has sent a whole head.
    """

    @web.middleware
    async def through(request: web.Request, handler: Handler) -> web.StreamResponse:
        heard(request.protocol)
        refusal = guard.refusal(request.raw_path, request.headers)
        if refusal is None:
            return await handler(request)
        reply = refuse(refusal)
        response = web.Response(status=reply.status, body=reply.body, headers=reply.headers)
        response.force_close()
        return response

    return through


async def body_of(request: web.Request, kinds: Container[str] | None = None) -> bytes | Refusal:
    """Read a body of one of some types, or say why it is not read."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        return Refusal(415, "a body is not packed (`Content-Encoding`)")
    kind = request.content_type if "Content-Type" in request.headers else None
    if kinds is not None and kind is not None and kind not in kinds:
        return Refusal(415, "a GraphQL request is JSON (`Content-Type: application/json`)")
    too_large = Refusal(413, f"a body has at most {LARGEST_BODY:,} bytes")
    if (request.content_length or 0) > LARGEST_BODY:
        return too_large
    try:
        return await asyncio.wait_for(request.read(), PATIENCE)
    except web.HTTPRequestEntityTooLarge:
        return too_large
    except asyncio.TimeoutError:  # of Python 3.10 another than TimeoutError
        return Refusal(408, f"the body did not come within {PATIENCE:g} s")


class _Connection(asyncio.Protocol):
    """Stands before what answers a connection: counts what comes, and cuts it where that is too much."""

    def __init__(self, handler: RequestHandler, there: dict[RequestHandler, _Connection]) -> None:
        self._handler = handler
        self._there = there
        self._left = _LARGEST_HEAD
        self.transport: asyncio.Transport | None = None
        self.heard = False
        self.waiting: tuple[float, int] | None = None
        """Since when so many bytes wait to be taken, or a head to come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless it is one too many."""
        assert isinstance(transport, asyncio.Transport)
        if len(self._there) >= _CONNECTIONS:
            transport.abort()
            return
        self.transport = transport
        self._there[self._handler] = self
        self._handler.connection_made(transport)

    def hear(self) -> None:
        """Note that a whole head has come: behind it comes a body, and another head."""
        self.heard = True
        self._left = _LARGEST_BETWEEN

    def data_received(self, data: bytes) -> None:
        """Hand bytes on; a head that has no end is cut."""
        self._left -= len(data)
        if self._left < 0 and self.transport is not None:
            self.transport.abort()
        elif self.transport is not None:
            self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on that nothing more comes."""
        self._handler.eof_received()
        return None

    def pause_writing(self) -> None:
        """Hand on that what was sent is not taken."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Hand on that it is."""
        self._handler.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        if self._there.pop(self._handler, None) is not None:
            self._handler.connection_lost(error)

    def check(self, now: float) -> None:
        """Cut it where it has neither said nor taken anything for too long."""
        if self.transport is None:
            return
        held_back = self.transport.get_write_buffer_size()
        if self.heard and not held_back:
            self.waiting = None
        elif self.waiting is None or self.waiting[1] != held_back:
            self.waiting = (now, held_back)
        elif now - self.waiting[0] > PATIENCE:
            self.transport.abort()


def _is_ours(record: logging.LogRecord) -> bool:
    """Tell whether what went wrong did so here; what clients do wrong is not logged."""
    wrong = record.exc_info[1] if record.exc_info else None
    return not isinstance(wrong, (HttpProcessingError, ConnectionError, asyncio.TimeoutError))


_log = log_of("server.connections")
_log.addFilter(_is_ours)


class Port:
    """An app on a socket; a connection that says nothing, or takes nothing, is cut in the end.

    Parameters
    ----------
    app
        What answers; its first middleware tells `hear` of connections.
    taken
        The socket.
    """

    def __init__(self, app: web.Application, taken: socket.socket) -> None:
        self._socket = taken
        # Packed bodies are refused, and not unpacked before that is known.
        self._runner = web.AppRunner(
            app,
            access_log=None,
            logger=_log,
            shutdown_timeout=0.1,
            auto_decompress=False,
            keepalive_timeout=_KEPT_ALIVE,
        )
        self._there: dict[RequestHandler, _Connection] = {}

    async def start(self) -> None:
        """Answer from now on."""
        loop = asyncio.get_running_loop()
        await self._runner.setup()
        self._server = await loop.create_server(self._connected, sock=self._socket, backlog=256)
        self._sweeping = loop.create_task(self._sweep())

    def accept_no_more(self) -> None:
        """Leave those that knock from now on alone."""
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().remove_reader(self._socket.fileno())

    async def stop(self) -> None:
        """Cut every connection."""
        self._sweeping.cancel()
        self._server.close()
        await self._runner.cleanup()

    def hear(self, handler: RequestHandler) -> None:
        """Note that a connection has sent a whole head."""
        connection = self._there.get(handler)
        if connection is not None:
            connection.hear()

    def _connected(self) -> asyncio.Protocol:
        """Give a new connection what answers it."""
        server = self._runner.server
        assert server is not None
        return _Connection(server(), self._there)

    async def _sweep(self) -> None:
        """Cut the connections that have neither said nor taken anything for too long."""
        while True:
            await asyncio.sleep(PATIENCE / _SWEEPS)
            for each in list(self._there.values()):
                each.check(asyncio.get_running_loop().time())
