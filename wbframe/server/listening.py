"""The ports of a server: sockets, how many connections may be there, how slow and how large their words."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import traceback
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from wbframe.errors import UsageError
from wbframe.server.guard import Refusal
from wbframe.server.projects.wire import shown

if TYPE_CHECKING:
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
            f"cannot listen on {shown(host)}:{port}: {why}; port=0 takes any free one"
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


class _Full(asyncio.Protocol):
    """What a connection gets that is one too many: its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Cut it."""
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


def _cut(connection: RequestHandler) -> None:
    """End a connection, whatever it is at."""
    if connection.transport is not None:
        connection.transport.abort()


class _OfOurs(logging.Filter):
    """Lets through what went wrong here, as text that does nothing to a terminal; not what clients do wrong."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged, and spell it."""
        wrong = record.exc_info[1] if record.exc_info else None
        if isinstance(wrong, (HttpProcessingError, ConnectionError, asyncio.TimeoutError)):
            return False
        told = record.getMessage()
        if wrong is not None:
            told += "\n" + "".join(traceback.format_exception(wrong))
        record.msg, record.args, record.exc_info = "\n".join(map(shown, told.split("\n"))), (), None
        return True


_log = logging.getLogger("wbframe.server.connections")
_log.addFilter(_OfOurs())


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
        self._waiting: dict[RequestHandler, tuple[float, int]] = {}
        self._heard: set[RequestHandler] = set()

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

    def hear(self, connection: RequestHandler) -> None:
        """Note that a connection has sent a whole head."""
        self._heard.add(connection)

    def _connected(self) -> asyncio.Protocol:
        """Give a new connection what answers it."""
        server = self._runner.server
        assert server is not None
        return _Full() if len(server.connections) >= _CONNECTIONS else server()

    async def _sweep(self) -> None:
        """Cut the connections that have neither said nor taken anything for too long."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(PATIENCE / _SWEEPS)
            server = self._runner.server
            there = set(server.connections if server is not None else ())
            self._heard &= there
            waiting = {}
            # Of those that came all at once, more than may stay: they were not yet there to be counted.
            for each in list(there - self._heard)[: max(len(there) - _CONNECTIONS, 0)]:
                _cut(each)
            for each in there:
                held_back = each.transport.get_write_buffer_size() if each.transport else 0
                if held_back or each not in self._heard:
                    since, before = self._waiting.get(each, (now(), held_back))
                    waiting[each] = (since if before == held_back else now(), held_back)
                    if now() - waiting[each][0] > PATIENCE:
                        _cut(each)
            self._waiting = waiting
