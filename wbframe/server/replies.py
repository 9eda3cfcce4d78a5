"""What goes out over HTTP, be it the real answer or one that is wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.log import log_of
from wbframe.server.projects.wire import encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from wbframe.server.faults import Fault

__all__ = ["Reply", "errors_body", "injected", "log_failure", "send"]

_CHUNK = 1 << 18
_log = log_of("server")


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out: a status, a body as it stands on the wire, headers, and seconds to hold it back."""

    status: int
    body: bytes | memoryview
    headers: Mapping[str, str]
    delay: float = 0.0


def errors_body(message: str) -> bytes:
    """Write a body that holds one error."""
    return encode({"errors": [{"message": message}]})


def log_failure(what: str) -> None:
    """Log an exception that is being handled."""
    _log.error(what, exc_info=True)


def injected(fault: Fault, target: str) -> Reply:
    """Make the answer that a fault asks for; `target` is the path and query that were asked."""
    headers = {"Content-Type": "application/json", **fault.headers}
    if fault.location is not None:
        return Reply(fault.status or 302, b"", {**headers, "Location": fault.location + target})
    status = fault.status if fault.status is not None else 500 if fault.body is None else 200
    body = fault.body
    if body is None and status == 429:  # noqa: PLR2004 - too many requests
        body = msgspec.json.encode({"error": "rate limit exceeded"})
    elif body is None:
        body = errors_body(f"HTTP {status} on purpose, for a while: try again")
    return Reply(status, body, headers)


async def send(request: web.Request, reply: Reply, fault: Fault | None) -> web.StreamResponse:
    """Send a reply, or cut the connection as a fault says: at once, or behind half of the body."""
    from aiohttp import web  # noqa: PLC0415 - an extra, which who only makes replies needs not

    cut = bool(fault and fault.truncate)
    if isinstance(reply.body, bytes) and reply.status and not cut:
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers)
    response = web.StreamResponse(status=reply.status or 500, headers=dict(reply.headers))
    if fault and fault.drop:
        transport: Any = request.transport
        if transport is not None:
            transport.abort()
        return response
    response.content_length = len(reply.body)
    await response.prepare(request)
    body = memoryview(reply.body)
    end = len(body) // 2 if cut else len(body)
    for start in range(0, end, _CHUNK):
        await response.write(body[start : min(end, start + _CHUNK)])
    if not cut:
        await response.write_eof()
        return response
    transport = request.transport
    if transport is not None:
        transport.close()  # flushes the half that was promised
    return response
