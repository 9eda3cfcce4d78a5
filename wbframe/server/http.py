"""HTTP around the engine: who may ask, what is logged, what goes wrong on purpose.

The exported files are served on a port of their own, as by a storage host.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import hmac
import itertools
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

from wbframe.server import listening
from wbframe.server.api.engine import Answer, Engine, Question
from wbframe.server.faults import Fault, Faults, Log, LoggedRequest, StorageRequest
from wbframe.server.files.links import Shelf
from wbframe.server.files.storage import Storage, refused
from wbframe.server.guard import Guard, Refusal
from wbframe.server.replies import Reply, errors_body, injected, log_failure, send
from wbframe.server.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from socket import socket
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Server"]

_SMALLEST_GZIP = 1024
_THREADS = 4
_JSON = {"Content-Type": "application/json"}
# What a page of another site can send without being asked (text, forms) is none of these.
_KINDS = frozenset({"application/json", "application/graphql+json"})


class Server:
    """A running server; `wbframe.server.serve` starts one.

    Attributes
    ----------
    url : str
        Such as ``http://127.0.0.1:43211``; for ``WANDB_BASE_URL``.
    api_key : str
        For ``WANDB_API_KEY``.
    host, port : str, int
        Where it listens.
    storage_port : int
        Where the exported files are.
    latency : float
        Seconds that every answer is held back.
    public : bool
        Whether who shows no key is answered too, as of public projects; not unless told.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        host: str,
        port: int,
        api_key: str,
        latency: float = 0.0,
        compress: bool = True,
        hosts: Iterable[str] = (),
    ) -> None:
        self._guard = Guard.of(host, hosts)
        self.engine = engine
        self.host = host
        self.api_key = api_key
        self.latency = latency
        self.public = False
        self._tokens = Tokens()
        self._compress = compress
        self._authorization = b"Basic " + base64.b64encode(f"api:{api_key}".encode())
        self._faults = Faults()
        self._log = Log[LoggedRequest]()
        self._serial = itertools.count()
        self._failed: BaseException | None = None
        self._socket = listening.listening(host, port)
        self._storage_socket = listening.listening(host, 0)
        self.port: int = self._socket.getsockname()[1]
        self.storage_port: int = self._storage_socket.getsockname()[1]
        engine.links.base = self.storage_url
        self._storage = Storage(engine.links, Shelf(), self._faults, lambda: self.latency)
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="wbframe-server", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failed is not None:
            raise self._failed

    def __repr__(self) -> str:
        state = "at" if self._thread.is_alive() else "stopped, was at"
        return f"<Server {state} {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return f"http://{self._netloc}:{self.port}"

    @property
    def storage_url(self) -> str:
        """Where exported files are, without a slash at its end."""
        return f"http://{self._netloc}:{self.storage_port}"

    @property
    def _netloc(self) -> str:
        """The host as it stands in an address."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests so far, in the order in which they were answered, as a copy.

        All of them, but of more than 100,000, or of more than 64 MiB, the latest; what was refused
        unread, for its host or its origin, is not among them.
        """
        return self._log.entries()

    @property
    def storage_requests(self) -> list[StorageRequest]:
        """The requests for exported files so far, as they were answered, as a copy; as many as of `requests`."""
        return self._storage.log.entries()

    @property
    def pending_faults(self) -> int:
        """How many answers are still to go wrong."""
        return len(self._faults)

    def clear(self) -> None:
        """Forget the logged requests and the queued faults, and count requests anew."""
        self._serial = itertools.count()
        self._log.clear()
        self._storage.log.clear()
        self._faults.clear()

    def fail(
        self,
        *,
        status: int | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        drop: bool = False,
        truncate: bool = False,
        delay: float = 0.0,
        match: str | None = None,
        times: int = 1,
        where: Literal["api", "storage"] = "api",
    ) -> None:
        """Let the next requests go wrong; calls queue up.

        Parameters
        ----------
        status, body, headers
            Answer this instead. Without a status it is 200 beside a body, else 500; without a body
            it is a JSON object with ``error`` (429) or ``errors``.
        drop
            Cut the connection without an answer.
        truncate
            Announce the whole answer, send half of it, and cut the connection.
        delay
            Seconds to wait first; alone, the real answer follows.
        match
            Only requests whose document, or whose path and query at the storage host, hold this
            text.
        times
            For how many requests.
        where
            Whether requests to the API go wrong, or those for exported files.

        Raises
        ------
        UsageError
            `times` is below 1, `where` is neither, or `drop` is combined with an answer.

        Examples
        --------
        >>> from wbframe.server import serve
        >>> with serve("empty") as server:
        ...     server.fail(status=429, headers={"Retry-After": "0"}, times=2)
        ...     server.pending_faults
        2
        """
        self._faults.add(
            Fault(
                status=status,
                body=body,
                headers=dict(headers or {}),
                drop=drop,
                truncate=truncate,
                delay=delay,
                match=match,
                times=times,
                where=where,
            )
        )

    def redirect(
        self,
        to: str,
        *,
        where: Literal["api", "storage"] = "api",
        status: int = 302,
        match: str | None = None,
        times: int = 1,
    ) -> None:
        """Let the next requests be sent elsewhere: the same path and query at another host.

        Parameters
        ----------
        to
            Such as ``http://localhost:8080``, without a slash at its end.
        where, match, times
            As of `fail`.
        status
            Of the answer, such as 302 or 307.

        Raises
        ------
        UsageError
            As of `fail`.
        """
        self._faults.add(Fault(status=status, location=to, match=match, times=times, where=where))

    def trust(self, identity_token: str, *, seconds: float = 3600.0) -> None:
        """Exchange an identity token for access tokens, each of which lives so many seconds.

        Examples
        --------
        >>> from wbframe.server import serve
        >>> with serve("empty") as server:
        ...     server.trust("header.payload.signature", seconds=600)
        """
        self._tokens.trusted[identity_token] = seconds

    def revoke(self) -> None:
        """Refuse the access tokens that were given so far."""
        self._tokens.given.clear()

    def expire_urls(self) -> None:
        """Let the URLs of exported files that were given out so far expire."""
        self.engine.links.expire()

    def advance(
        self,
        run: str,
        rows: int | Iterable[Mapping[str, Any]] = 0,
        *,
        state: str | None = None,
    ) -> None:
        """Let a run log more rows, as a running one does between two requests.

        Parameters
        ----------
        run
            Its path, ``entity/project/run``.
        rows
            The rows, or how many of those that are to come (`RunRecord.coming`). A row without
            ``_step`` gets the one behind the last.
        state
            The new state of the run, such as ``"finished"``; the old one stays unless told.

        Raises
        ------
        UsageError
            There is no such run, or fewer rows are to come.

        Examples
        --------
        >>> from wbframe.server import serve
        >>> with serve("growing") as server:
        ...     server.advance("wbframe/growing/live", 10)
        ...     len(server.engine.catalog.views["wbframe/growing"].runs["live"].run.history)
        260
        """
        self.engine.catalog.advance(run, rows, state=state)

    def stop(self) -> None:
        """Stop listening, cut what is open, and wait for the thread; once is enough."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def wait(self, seconds: float | None = None) -> None:
        """Block until the server is stopped, or some seconds at most."""
        end = math.inf if seconds is None else time.monotonic() + seconds
        # In pieces: polars handles SIGINT so that a wait begins anew, and Ctrl-C is heard when it has ended.
        while self._thread.is_alive() and (left := end - time.monotonic()) > 0:
            self._thread.join(min(left, 0.1))

    def _run(self) -> None:
        """Run the event loop; the thread's whole life."""
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits
            self._failed = error
        finally:
            self._loop.close()
            self._socket.close()
            self._storage_socket.close()
            self._ready.set()

    async def _serve(self) -> None:
        """Listen until told to stop."""
        ports = (
            self._port(
                self._socket,
                [
                    web.post("/graphql", self._graphql),
                    web.post("/oidc/token", self._exchange),
                    web.get("/", self._hello),
                ],
                _refused,
            ),
            self._port(self._storage_socket, [web.route("*", "/{path:.*}", self._stored)], refused),
        )
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="wbframe-resolve") as self._pool:
            for each in ports:
                await each.start()
            self._ready.set()
            await self._stopping.wait()
            # asyncio forgets, and leaves open, a connection that it accepts while it closes: accept
            # no more, and let those just accepted become known, before closing cuts them all
            for each in ports:
                each.accept_no_more()
            await asyncio.sleep(0.01)
            for each in ports:
                await each.stop()
            # and answers that are still held back, for clients that have gone
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    def _port(
        self,
        taken: socket,
        routes: Iterable[web.AbstractRouteDef],
        refuse: Callable[[Refusal], Reply],
    ) -> listening.Port:
        """Put an app on a socket, behind the guard."""
        app = web.Application(client_max_size=listening.LARGEST_BODY)
        app.router.add_routes(routes)
        port = listening.Port(app, taken)
        app.middlewares.append(listening.guarded(self._guard, refuse, port.hear))
        return port

    async def _hello(self, _request: web.Request) -> web.Response:
        """Tell a browser what this is."""
        return web.Response(text="wbframe's local W&B-compatible server; POST /graphql\n")

    async def _stored(self, request: web.Request) -> web.StreamResponse:
        """Answer one request for an exported file."""
        return await self._storage.answer(request, self._pool)

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        """Answer one GraphQL request."""
        started = time.perf_counter()
        body = await listening.body_of(request, kinds=_KINDS)
        if isinstance(body, Refusal):
            return await self._sent(request, None, b"", _refused(body), None, started)
        loop = asyncio.get_running_loop()
        known = self._authorized(request.headers)
        question = await loop.run_in_executor(self._pool, self._question, body, known)
        fault = self._faults.take(question.document if question else "")
        wait = self.latency + (fault.delay if fault else 0.0)
        if wait > 0:
            await asyncio.sleep(wait)
        if fault and fault.drop:
            reply = Reply(0, b"", {})
        elif fault and fault.replaces:
            reply = injected(fault, request.path_qs)
        elif not known:
            reply = Reply(401, errors_body("invalid API key"), _JSON)
        else:
            reply = await loop.run_in_executor(
                self._pool, self._reply, question, body, request.headers
            )
            if reply.delay:
                await asyncio.sleep(reply.delay)
        return await self._sent(request, question, body, reply, fault, started)

    async def _exchange(self, request: web.Request) -> web.StreamResponse:
        """Exchange one identity token."""
        started = time.perf_counter()
        body = await listening.body_of(request)
        if isinstance(body, Refusal):
            return await self._sent(request, None, b"", _refused(body), None, started)
        fault = self._faults.take(request.path)
        if fault and fault.replaces:
            reply = injected(fault, request.path_qs)
        else:
            reply = Reply(0, b"", {}) if fault and fault.drop else self._tokens.exchange(body)
        return await self._sent(request, None, body, reply, fault, started)

    async def _sent(
        self,
        request: web.Request,
        question: Question | None,
        body: bytes,
        reply: Reply,
        fault: Fault | None,
        started: float,
    ) -> web.StreamResponse:
        """Note a request, and send its reply."""
        path = "" if request.path == "/graphql" else request.path
        logged = LoggedRequest(
            operation=question.operation if question else "",
            document=question.document if question else path,
            variables=question.variables if question else {},
            status=reply.status,
            request_bytes=len(body),
            response_bytes=len(reply.body),
            seconds=time.perf_counter() - started,
            started=started,
            user_agent=request.headers.get("User-Agent", ""),
            fault=fault is not None,
        )
        self._log.add(logged, len(body))
        return await send(request, reply, fault)

    def _authorized(self, headers: Mapping[str, str]) -> bool:
        """Compare the key, or the token."""
        shown = headers.get("Authorization", "")
        given = shown.encode("utf-8", "surrogateescape")
        own = hmac.compare_digest(given, self._authorization)
        return own or self._tokens.knows(shown) or (self.public and not shown)

    def _question(self, body: bytes, known: bool) -> Question | None:  # noqa: FBT001 - of an executor
        """Read a body, its document only of those who may ask; runs on a thread of the pool."""
        try:
            return self.engine.read(body, prepare=known)
        except Exception:  # noqa: BLE001 - a server answers, whatever happens
            log_failure("a request cannot be read")
            return None

    def _reply(self, question: Question | None, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Make the real answer, or that of a server that differs; runs on a thread of the pool."""
        differing = self.engine.differing
        if differing is None:
            return self._packed(self._answered(question), headers)
        asking = differing.asking(self.engine.document(question), body, headers, next(self._serial))
        reply = differing.before(asking) or self._answered(question)
        return self._packed(differing.after(asking, reply), headers)

    def _answered(self, question: Question | None) -> Reply:
        """Answer from the projects."""
        try:
            answer = self.engine.answer(question)
        except Exception:  # noqa: BLE001 - a server answers, whatever happens
            log_failure("a request failed")
            answer = Answer(500, errors_body("the server failed; its log says why"))
        return Reply(answer.status, answer.body, _JSON)

    def _packed(self, reply: Reply, headers: Mapping[str, str]) -> Reply:
        """Compress a reply if that pays and the client takes it."""
        taken = self._compress and "gzip" in headers.get("Accept-Encoding", "")
        if not taken or len(reply.body) <= _SMALLEST_GZIP:
            return reply
        packed = {**reply.headers, "Content-Encoding": "gzip"}
        return replace(reply, body=gzip.compress(reply.body, 1), headers=packed)


def _refused(refusal: Refusal) -> Reply:
    """Spell a refusal as the API does."""
    return Reply(refusal.status, errors_body(refusal.message), _JSON)
