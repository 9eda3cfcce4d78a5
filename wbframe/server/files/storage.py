"""The storage host: exported files by signed address, whole or by ranges."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape

from wbframe.server.faults import Log, StorageRequest
from wbframe.server.files.links import Links, RefusedLinkError, Shelf
from wbframe.server.projects.wire import utf8
from wbframe.server.replies import Reply, injected, log_failure, send

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from aiohttp import web

    from wbframe.server.faults import Faults
    from wbframe.server.guard import Refusal

__all__ = ["Storage", "cut_out", "refused"]

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_XML = "application/xml"


def cut_out(asked: str | None, size: int) -> range | None:
    """Read a ``Range`` header.

    Parameters
    ----------
    asked
        The header, None if there is none.
    size
        Of the file.

    Returns
    -------
    range or None
        Which bytes are asked for, none of them if the range begins behind the end; None for the
        whole file, also where the header asks for several ranges or makes no sense.

    Examples
    --------
    >>> cut_out("bytes=2-", 10), cut_out("bytes=-3", 10), cut_out("bytes=20-", 10)
    (range(2, 10), range(7, 10), range(10, 10))
    """
    found = _RANGE.fullmatch(asked.strip()) if asked else None
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return range(max(0, size - int(found[2])), size)
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        return None
    stop = min(size, int(found[2]) + 1) if found[2] else size
    return range(min(start, size), stop)


class Storage:
    """Answers requests for exported files.

    Parameters
    ----------
    links
        Which addresses are good.
    shelf
        Where the files are.
    faults
        What goes wrong on purpose.
    latency
        Gives the seconds that each answer is held back.
    """

    def __init__(
        self, links: Links, shelf: Shelf, faults: Faults, latency: Callable[[], float]
    ) -> None:
        self._links = links
        self._shelf = shelf
        self._faults = faults
        self._latency = latency
        self.log = Log[StorageRequest]()

    async def answer(self, request: web.Request, pool: ThreadPoolExecutor) -> web.StreamResponse:
        """Answer one request, and log it."""
        started = time.perf_counter()
        fault = self._faults.take(request.path_qs, "storage")
        wait = self._latency() + (fault.delay if fault else 0.0)
        if wait > 0:
            await asyncio.sleep(wait)
        asked = request.headers.get("Range")
        path = _path(request.raw_path)
        if fault and fault.drop:
            reply = Reply(0, b"", {})
        elif fault and fault.replaces:
            reply = injected(fault, request.path_qs)
        elif request.method != "GET":
            # an address is signed for one method
            reply = _refusal(403, "SignatureDoesNotMatch", "the address is signed for GET")
        else:
            sig = request.query.get("sig", "")
            reply = await asyncio.get_running_loop().run_in_executor(
                pool, self._stored, path, sig, asked
            )
        logged = StorageRequest(
            method=request.method,
            path=path,
            range=asked,
            status=reply.status,
            bytes=0 if request.method == "HEAD" else len(reply.body),
            authorization_seen="Authorization" in request.headers,
            seconds=time.perf_counter() - started,
            started=started,
            user_agent=request.headers.get("User-Agent", ""),
            fault=fault is not None,
        )
        self.log.add(logged, len(request.raw_path))
        return await send(request, reply, fault)

    def _stored(self, path: str, sig: str, asked: str | None) -> Reply:
        """Make the real answer; runs on a thread of the pool."""
        try:
            stored = self._links.use(path, sig)
        except RefusedLinkError as refused:
            return _refusal(refused.status, refused.code, str(refused))
        try:
            body = memoryview(self._shelf.get(stored))
        except Exception:  # noqa: BLE001 - a server answers, whatever happens
            log_failure("an exported file cannot be made")
            return _refusal(500, "InternalError", "the server failed; its log says why")
        size = len(body)
        headers = {
            "Content-Type": "application/octet-stream",
            "Accept-Ranges": "bytes",
            "ETag": f'"{zlib.crc32(utf8(path)):08x}-{size:x}"',
        }
        part = cut_out(asked, size)
        if part is None:
            return Reply(200, body, headers)
        if not part:
            refusal = _refusal(416, "InvalidRange", "the range begins behind the end")
            return Reply(416, refusal.body, {**refusal.headers, "Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        return Reply(206, body[part.start : part.stop], headers)


def _path(target: str) -> str:
    """Give the path of a target as it was quoted: aiohttp's has lone surrogates still quoted."""
    path = unquote_to_bytes(target.partition("?")[0])
    try:
        return path.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return path.decode("utf-8", "replace")


def refused(refusal: Refusal) -> Reply:
    """Spell why a request is not heard, as object stores do."""
    return _refusal(refusal.status, "AccessDenied", refusal.message)


def _refusal(status: int, code: str, message: str) -> Reply:
    """Refuse as object stores do."""
    text = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()
    return Reply(status, body, {"Content-Type": _XML})
