"""The client: one server, one key, one pool of connections."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
import urllib3
from gql import GraphQLRequest
from gql.transport.requests import RequestsHTTPTransport
from requests.adapters import HTTPAdapter

from wbframe._version import __version__
from wbframe.core.graphql import VIEWER, error_messages, viewer_entity
from wbframe.errors import (
    AccessError,
    ConnectionFailedError,
    CredentialsError,
    QueryError,
    RateLimitError,
    RefusedKeyError,
    StatusError,
    TimedOutError,
    UsageError,
    WbframeError,
)
from wbframe.io.budget import PointBudget
from wbframe.io.credentials import find_base_url, find_default, find_key
from wbframe.io.retry import (
    TOO_BIG,
    RetryPolicy,
    TryAgainError,
    is_retried,
    retry_after_seconds,
    retrying,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from wbframe.core.model import Request, ScanReport

_POOL = 32
# A third of the time of reading rows is spent here, and the extra `fast` takes less than half of it.
_zlib: Any = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")
_GZIP = 31  # what zlib calls a gzip wrapper and the largest window


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has gone over the wire: requests sent, of which second tries, and bytes of answers."""

    requests: int = 0
    retries: int = 0
    bytes_received: int = 0

    def __sub__(self, other: Traffic) -> Traffic:
        """Give what came in between."""
        return Traffic(
            self.requests - other.requests,
            self.retries - other.retries,
            self.bytes_received - other.bytes_received,
        )


class _Asked(GraphQLRequest):
    """A request whose document is parsed once for all that share it: that takes longer than to send it."""

    def __init__(self, request: Request) -> None:
        with _documents_lock:  # else all threads would parse the first one at the same time
            self._parsed = _parsed(request.document)
        super().__init__(self._parsed, variable_values=dict(request.variables))

    @property
    def payload(self) -> dict[str, Any]:
        """What is sent."""
        return {"query": self._parsed.query, "variables": self.variable_values}


_documents_lock = threading.Lock()


class _Parsed(GraphQLRequest):
    """A document that was parsed, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__(document)
        self.query: str = super().payload["query"]


_parsed = lru_cache(maxsize=64)(_Parsed)


class _Transport(RequestsHTTPTransport):
    """gql's transport, handing out the response itself: rows must not be parsed to Python objects."""

    def post(self, request: GraphQLRequest, *, timeout: float) -> tuple[requests.Response, bytes]:
        """Send one request; redirects are not followed, since the key goes to one host only."""
        arguments = self._prepare_request(
            request, extra_args={"allow_redirects": False, "timeout": timeout, "stream": True}
        )
        session: requests.Session = self.session  # type: ignore[assignment]
        response = session.request(self.method, self.url, **arguments)
        try:
            return response, _body(response)
        except urllib3.exceptions.HTTPError as error:
            response.close()
            raise requests.ConnectionError(error) from error


class Client:
    """A connection to a W&B server, found and authorised as the official SDK does it.

    Safe to share between threads. Making one sends nothing; the key is looked up at the first request.

    Parameters
    ----------
    base_url
        The API's address. Default: ``WANDB_BASE_URL``, the SDK's settings files, ``https://api.wandb.ai``.
    api_key
        Default: ``WANDB_API_KEY``, netrc, the SDK's settings files.
    entity, project
        Defaults for paths that lack them. Default: ``WANDB_ENTITY`` and ``WANDB_PROJECT``, the settings files;
        for the entity then the viewer's own.
    timeout
        Seconds that one request may wait for the server.
    concurrency
        Requests under way at once.
    retry
        How often failed requests are sent again; see `RetryPolicy`.
    verify
        Whether TLS certificates are checked, or the path of a CA bundle.
    proxies
        As `requests` takes them; default: the environment's.

    Attributes
    ----------
    last_report : ScanReport or None
        What the last read through this client did.

    Examples
    --------
    >>> client = Client("http://127.0.0.1:8080", api_key="k" * 40)
    >>> client
    <Client http://127.0.0.1:8080>
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        entity: str | None = None,
        project: str | None = None,
        timeout: float = 60.0,
        concurrency: int = 6,
        retry: RetryPolicy | None = None,
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(timeout, int | float) or not timeout > 0:
            raise UsageError(f"`timeout` must be above 0 seconds; got {timeout!r}")
        if not isinstance(concurrency, int) or concurrency < 1:
            raise UsageError(
                f"`concurrency` must be a whole number, at least 1; got {concurrency!r}"
            )
        self.base_url = find_base_url(base_url)
        self.timeout = timeout
        self.concurrency = concurrency
        self.retry = retry or RetryPolicy()
        self.last_report: ScanReport | None = None
        # Features that this server has refused; each is tried once.
        self.refused: frozenset[str] = frozenset()
        self._api_key = api_key
        self._entity = entity
        self._project = project
        self._verify = verify
        self._proxies = dict(proxies) if proxies is not None else None
        self.budget = PointBudget()
        # More decoding at once takes memory and saves no time.
        self.decoding = threading.BoundedSemaphore(max(os.cpu_count() or 1, 2))
        self._traffic = Traffic()
        self._transport: _Transport | None = None
        self._lock = threading.Lock()
        self._sleep: Callable[[float], None] = time.sleep

    def __repr__(self) -> str:
        return f"<Client {self.base_url}>"

    def __reduce__(self) -> tuple[Callable[..., Client], tuple[dict[str, Any]]]:
        # The key stays here: a client that is pickled looks for its own where it is unpickled.
        options = {
            "base_url": self.base_url,
            "entity": self._entity,
            "project": self._project,
            "timeout": self.timeout,
            "concurrency": self.concurrency,
            "retry": self.retry,
            "verify": self._verify,
            "proxies": self._proxies,
        }
        return _restore, (options,)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()  # type: ignore[no-untyped-call]

    @property
    def traffic(self) -> Traffic:
        """What has gone over the wire since the client was made."""
        return self._traffic

    def count(self, *, bytes_received: int = 0, retried: bool = False) -> None:
        """Count a request that was sent."""
        with self._lock:
            old = self._traffic
            self._traffic = Traffic(
                old.requests + 1, old.retries + retried, old.bytes_received + bytes_received
            )

    def http_options(self) -> dict[str, Any]:
        """Give the options that requests to other hosts share with those to the server; no key among them."""
        return {"timeout": self.timeout, "verify": self._verify, "proxies": self._proxies}

    def sleep(self, seconds: float) -> None:
        """Wait between tries."""
        self._sleep(seconds)

    def refuse(self, features: frozenset[str]) -> None:
        """Remember that the server does not have these features."""
        with self._lock:
            self.refused |= features

    def default_entity(self) -> str:
        """Find the entity for paths without one; asks the server at most once.

        Raises
        ------
        CredentialsError
            If neither the settings nor the viewer name one.
        """
        if self._entity is None:
            found = find_default("entity") or viewer_entity(self.send(VIEWER))
            if not found:
                msg = "no default entity: write the path as 'entity/project', or set WANDB_ENTITY"
                raise CredentialsError(msg)
            self._entity = found
        return self._entity

    def default_project(self) -> str | None:
        """Find the project for calls without one: argument, ``WANDB_PROJECT``, settings files."""
        return find_default("project", given=self._project)

    def send(self, request: Request, *, splittable: bool = False) -> bytes:
        """Send a request and give the body of its answer.

        Parameters
        ----------
        request
            What to ask.
        splittable
            Whether the caller would rather cut the request in two than have it sent again
            when the server finds it too big (413, 500, 504, a time-out).

        Raises
        ------
        MissingKeyError, RefusedKeyError, AccessError, QueryError
            Never sent again.
        ConnectionFailedError, RateLimitError, StatusError
            After the retries.
        """
        prepared = _Asked(request)
        transport = self._connected()
        try:
            for attempt in retrying(self.retry, self._sleep):
                with attempt:
                    again = attempt.retry_state.attempt_number > 1
                    return self._once(
                        transport, prepared, request, splittable=splittable, again=again
                    )
        except TryAgainError as failure:
            raise failure.error from failure.error.__cause__
        raise AssertionError("the retry loop ends by returning or raising")

    def download(self, address: str, *, asked: str) -> bytes:
        """Give what lies at an address that the server named; the key is shown to the server itself only.

        Parameters
        ----------
        address
            Absolute, or a path on the server.
        asked
            What is read, in words, for messages: a signed address is never told.

        Raises
        ------
        ConnectionFailedError, StatusError
            If it does not come.
        """
        transport = self._connected()
        own = address.startswith((f"{self.base_url}/", "/"))
        session: requests.Session = transport.session  # type: ignore[assignment]
        try:
            answer = session.get(
                f"{self.base_url}{address}" if address.startswith("/") else address,
                # Without an `auth` of its own, requests would look one up in netrc.
                auth=transport.auth if own else _as_it_is,
                timeout=self.timeout,
                verify=self._verify,
                proxies=self._proxies,
            )
        except requests.RequestException as error:
            msg = f"could not read {asked} from {self.base_url}: {_reason(error)}"
            raise ConnectionFailedError(msg) from None
        if answer.status_code != requests.codes.ok:
            msg = f"could not read {asked} from {self.base_url}: HTTP {answer.status_code}"
            raise StatusError(msg, answer.status_code)
        return answer.content

    def _once(
        self,
        transport: _Transport,
        prepared: GraphQLRequest,
        request: Request,
        *,
        splittable: bool,
        again: bool,
    ) -> bytes:
        """Send once; what may pass is raised as TryAgainError."""
        content, response, failure = b"", None, None
        try:
            response, content = transport.post(prepared, timeout=self.timeout)
        except requests.RequestException as error:
            failure = error
        self.count(bytes_received=len(content), retried=again)
        if failure is not None or response is None:
            timed_out = isinstance(failure, requests.Timeout)
            kind = f"no answer within {self.timeout:g} s" if timed_out else _reason(failure)
            lost = (TimedOutError if timed_out else ConnectionFailedError)(
                f"could not read {request.asked} from {self.base_url}: {kind}; check the address and the"
                " network, or give a larger `timeout`"
            )
            lost.__cause__ = failure
            raise lost if timed_out and splittable else TryAgainError(lost)
        if response.status_code == requests.codes.ok:
            return content
        problem = self._status_error(response, content, request)
        if is_retried(response.status_code) and not (
            splittable and response.status_code in TOO_BIG
        ):
            raise TryAgainError(
                problem, retry_after_seconds(response.headers.get("Retry-After"), now=time.time())
            )
        raise problem

    def _connected(self) -> _Transport:
        """Open the transport once."""
        with self._lock:
            if self._transport is None:
                transport = _Transport(
                    f"{self.base_url}/graphql",
                    auth=requests.auth.HTTPBasicAuth("api", find_key(self.base_url, self._api_key)),
                    headers={"User-Agent": f"wbframe/{__version__}"},
                    verify=self._verify,
                    proxies=self._proxies,
                )
                transport.connect()  # type: ignore[no-untyped-call]
                adapter = HTTPAdapter(pool_connections=2, pool_maxsize=max(_POOL, self.concurrency))
                for scheme in ("http://", "https://"):
                    transport.session.mount(scheme, adapter)  # type: ignore[union-attr]
                self._transport = transport
            return self._transport

    def _status_error(
        self, response: requests.Response, content: bytes, request: Request
    ) -> WbframeError:
        """Make the error for an HTTP status."""
        status = response.status_code
        said = _said(content)
        tail = f": {said}" if said else ""
        where = f"could not read {request.asked} from {self.base_url}"
        if status == requests.codes.unauthorized:
            return RefusedKeyError(
                f"{where}: the API key was refused (HTTP 401); run `wandb login` or set WANDB_API_KEY"
            )
        if status == requests.codes.forbidden:
            return AccessError(
                f"{where}: the API key may not read it (HTTP 403){tail}; ask its owner for access"
            )
        if status == requests.codes.too_many_requests:
            return RateLimitError(
                f"{where}: too many requests (HTTP 429), also after {self.retry.tries} tries;"
                " lower `concurrency`, or wait",
                status,
            )
        if response.is_redirect:
            target = urlsplit(response.headers.get("Location", "")).hostname
            return StatusError(
                f"{where}: the server redirects to {target!r}; set `base_url` to the API's address",
                status,
            )
        if status in {400, 422} and said:
            return QueryError(f"{where}: the server answered: {said}")
        return StatusError(f"{where}: HTTP {status}{tail}", status)


def _body(response: requests.Response) -> bytes:
    """Read a body in one piece: `content` comes in pieces of 10 kB, and threads take turns at each."""
    if response.headers.get("Content-Encoding") != "gzip":
        return bytes(response.raw.read(decode_content=True))
    packed: bytes = response.raw.read(decode_content=False)
    members = []
    try:
        while packed:
            member = _zlib.decompressobj(_GZIP)
            members.append(member.decompress(packed))
            if not member.eof:
                raise urllib3.exceptions.DecodeError("the body ends too early")
            packed = member.unused_data.lstrip(b"\0")
    except _zlib.error as error:
        raise urllib3.exceptions.DecodeError(f"the body is no gzip: {error}") from error
    return members[0] if len(members) == 1 else b"".join(members)


_defaults: dict[tuple[str | None, ...], Client] = {}
_defaults_lock = threading.Lock()


def client_or_default(client: Client | None) -> Client:
    """Give the client, or the one for the environment as it is now; it keeps its connections between calls."""
    if client is not None:
        if not isinstance(client, Client):
            raise UsageError(f"`client` must be a wbframe.Client; got {type(client).__name__}")
        return client
    base_url = find_base_url(None)
    named = (os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"))
    at = (base_url, *named)
    with _defaults_lock:
        if at not in _defaults:
            _defaults[at] = Client(base_url)
        return _defaults[at]


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Add no credentials to a request."""
    return request


def _restore(options: dict[str, Any]) -> Client:
    """Make a pickled client anew."""
    return Client(**options)


def _reason(error: BaseException | None) -> str:
    """Give the innermost reason of a connection error, which names neither key nor query."""
    reason: Any = error
    while reason is not None:
        inner = getattr(reason, "reason", None) or (
            reason.args[0] if getattr(reason, "args", None) else None
        )
        if not isinstance(inner, BaseException):
            break
        reason = inner
    text = str(reason).rpartition(": ")[2] or type(reason).__name__
    return f"no connection ({text})"


def _said(content: bytes) -> str:
    """Give what an error's body says, on one line; empty if it is no JSON."""
    try:
        body = json.loads(content)
    except ValueError:
        return ""
    if not isinstance(body, dict):
        return ""
    errors = body.get("errors") or ([body["error"]] if body.get("error") else [])
    return "; ".join(error_messages(errors if isinstance(errors, list) else [errors]))
