"""The client: one server, one key, one pool of connections."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import requests

from wbframe._version import __version__
from wbframe.core.protocol.project import VIEWER, viewer_entity
from wbframe.errors import CredentialsError, UsageError
from wbframe.io import forks, threads
from wbframe.io.client.connections import Exchange, Near, exchanging, is_near
from wbframe.io.client.credentials import (
    above_0,
    check_whole,
    find_base_url,
    find_default,
    named_by_folder,
)
from wbframe.io.client.failures import is_no_answer, of_no_answer, on_file, retry_after_seconds
from wbframe.io.client.learned import Learned
from wbframe.io.client.login import Login
from wbframe.io.client.pace import Pace, read_quota
from wbframe.io.client.redirects import host_of
from wbframe.io.client.reports import Reports
from wbframe.io.client.retry import Clock, RetryPolicy, Try, persist
from wbframe.io.client.secrets import Proxies, Secret, without_locals
from wbframe.io.client.session import Session, as_it_is, read_answer
from wbframe.report import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from gql.transport.requests import RequestsHTTPTransport
    from typing_extensions import Self

    from wbframe.core.protocol.request import Request
    from wbframe.io.client.session import Turn
    from wbframe.report import ScanReport

_Got = TypeVar("_Got")
_Made = TypeVar("_Made", bound="Client")
_POOL = 32
_TIMEOUT = 60.0
_RETRY_SECONDS = 300.0
_LARGEST_ANSWER = 1 << 30
# A frame takes about a third of the text that it is made of.
_ANSWERS_A_READ = 16
_LARGEST_ROWS = 50_000_000
# Each has a default client of its own.
_NAMES = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_ENTITY", "WANDB_PROJECT")
# As the SDK calls itself, which some hosts ask for.
_AGENT = f"W&B Public Client (wbframe {__version__})"


class Client(Learned):
    """A connection to a W&B server, found and authorised as the official SDK does it.

    Safe to share between threads; a forked process begins anew with it, though polars may not (`ForkedError`).
    Making one sends nothing; the key is looked up at the first request.

    Parameters
    ----------
    base_url
        The API's address. Default: ``WANDB_BASE_URL``, the SDK's settings files, ``https://api.wandb.ai``.
    api_key
        Default: ``WANDB_API_KEY``, ``WANDB_IDENTITY_TOKEN_FILE``, netrc, the SDK's settings files; without any,
        what is public is read. For a server that the working folder alone names: netrc, or the same file.
    entity, project
        Defaults for paths that lack them. Default: ``WANDB_ENTITY`` and ``WANDB_PROJECT``, the settings files;
        for the entity then the viewer's own.
    timeout
        Seconds that one request may wait for its whole answer, redirects included. While at least 8 KiB a second
        come it may take up to five times as long, and longer while it is 1 MiB a second. Default:
        ``WBFRAME_TIMEOUT``, else 60.
    concurrency
        Requests under way at once, at the most: fewer while the server asks for patience.
    retry
        How often and how long failed requests are sent again; see `RetryPolicy`.
    requests_per_minute
        Requests a minute at the most, over all threads and reads. Default:
        ``WBFRAME_REQUESTS_PER_MINUTE``, else as many as the server takes.
    largest_answer
        Bytes of one answer at the most, decompressed; what is larger is an error, and is not held in memory.
        Of an exported file it is the columns that are read of it, as they are in memory.
    largest_read
        Bytes of all answers to one read that gives a frame, decompressed, and of the cells of that frame. What
        streams is bounded by what it holds. Default: 16 times `largest_answer`.
    largest_rows
        Rows that are read of one exported file at the most; more are an error before they are decoded.
    verify
        Whether TLS certificates are checked, or the path of a CA bundle.
    proxies
        As `requests` takes them; default: the environment's.
    transport
        A ``gql.transport.requests.RequestsHTTPTransport`` through which documents go out, in place of `base_url`,
        `api_key`, `verify` and `proxies`: its address, key, headers, cookies and options. Such a client does not
        pickle. Default: none, and gql is not even imported.
    clock
        What tells the time and waits between tries; for tests.

    Attributes
    ----------
    last_report : ScanReport or None
        What the last read through this client did, also one that failed, and of scans too.
    last_reports : dict
        The reports of all scans of the last query (of one `collect_all`) by what they read, the latest last.

    Raises
    ------
    UsageError
        If an argument, or an environment variable in place of one, is wrong.

    Warns
    -----
    PlainHttpWarning
        At the first request, if the key would go unencrypted to another machine, or to a proxy.
    NoKeyWarning
        At the first answer, without a key.

    Examples
    --------
    >>> client = Client("http://127.0.0.1:8080", api_key="k" * 40)
    >>> client
    <Client http://127.0.0.1:8080>
    """

    @without_locals
    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        *,
        entity: str | None = None,
        project: str | None = None,
        timeout: float | None = None,
        concurrency: int = 6,
        retry: RetryPolicy | None = None,
        requests_per_minute: float | None = None,
        largest_answer: int = _LARGEST_ANSWER,
        largest_read: int | None = None,
        largest_rows: int = _LARGEST_ROWS,
        verify: bool | str = True,
        proxies: Mapping[str, str] | None = None,
        transport: RequestsHTTPTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        timeout = above_0("timeout", timeout, "WBFRAME_TIMEOUT") or _TIMEOUT
        rate = above_0("requests_per_minute", requests_per_minute, "WBFRAME_REQUESTS_PER_MINUTE")
        patience = above_0("seconds", None, "WBFRAME_RETRY_SECONDS") or _RETRY_SECONDS
        sizes = {"largest_answer": largest_answer, "largest_rows": largest_rows}
        read = {} if largest_read is None else {"largest_read": largest_read}
        check_whole(concurrency=concurrency, **sizes, **read)
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise UsageError(
                f"`retry` must be a wbframe.RetryPolicy, as in RetryPolicy(tries=5); got {retry!r}"
            )
        if transport is not None:
            from wbframe.io.client.transport import only_address  # noqa: PLC0415 -- imports gql

            base_url = only_address(transport, base_url, api_key)
        self.base_url = find_base_url(base_url)
        shown = None if transport is None else transport.auth or as_it_is
        self._proxies = None if proxies is None else Proxies.checked(proxies)
        self._login = Login(self.base_url, base_url, api_key, self._proxies, shown)
        self.timeout = timeout
        self.concurrency = concurrency
        self.retry = retry or RetryPolicy(seconds=patience)
        self.clock = clock or Clock()
        self.largest_answer = largest_answer
        self._largest_read = largest_read
        self.largest_rows = largest_rows
        self.reports = Reports()
        self._near = Near(is_near(host_of(self.base_url)))
        self._entity = entity
        self._project = project
        self._verify = verify
        self._rate = rate
        self._session: Session | None = None
        super().__init__()
        self.begin()
        self._traffic = Traffic()
        self._transport = None if transport is None else Secret(transport)
        forks.begins_anew(self)

    def __repr__(self) -> str:
        return f"<Client {self.base_url}{self._login.words}>"

    def __copy__(self) -> Self:
        return self.like(type(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.like(type(self))

    def __reduce__(self) -> tuple[Callable[..., Client], tuple[Any, ...]]:
        # The key stays here: a client that is pickled looks for its own where it is unpickled.
        if self._transport is not None:
            raise UsageError(
                "a client with a `transport` holds a key, so it cannot be pickled; make it anew there"
            )
        return _restore, (self._options(), self._login.left_behind())

    def _options(self) -> dict[str, Any]:
        """Give what a client of the same server is made of; no key among it."""
        return {
            "base_url": self.base_url,
            "entity": self._entity,
            "project": self._project,
            "timeout": self.timeout,
            "concurrency": self.concurrency,
            "retry": self.retry,
            "requests_per_minute": self._rate,
            "largest_answer": self.largest_answer,
            "largest_read": self._largest_read,
            "largest_rows": self.largest_rows,
            "verify": self._verify,
            "proxies": self._proxies,
        }

    def like(self, kind: type[_Made], **instead: Any) -> _Made:
        """Make a client of another kind, or with other options, for the same server and key."""
        options = {**self._options(), "clock": self.clock, **instead}
        if self._transport is not None:
            return kind(**{**options, "base_url": None, "transport": self._transport.reveal()})
        made = kind(**options)
        made._login = self._login  # noqa: SLF001 -- its own kind
        return made

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
            session, self._session = self._session, None
        if session is not None:
            session.close()

    @property
    def largest_read(self) -> int:
        """Bytes of one read at the most."""
        return self._largest_read or _ANSWERS_A_READ * self.largest_answer

    @property
    def last_report(self) -> ScanReport | None:
        """What the last read did."""
        return self.reports.last

    @property
    def last_reports(self) -> dict[str, ScanReport]:
        """What the last reads of scans did."""
        return self.reports.of_scans()

    @property
    def traffic(self) -> Traffic:
        """What has gone over the wire since the client was made."""
        # Waits for a turn, and waits to send again.
        return self._traffic + Traffic(waited=self.pace.waited)

    def count(self, *, bytes_received: int = 0, retried: bool = False) -> None:
        """Count a request that was sent."""
        with self._lock:
            self._traffic += Traffic(1, int(retried), bytes_received)

    def count_wait(self, seconds: float) -> None:
        """Count a wait before a request."""
        with self._lock:
            self._traffic += Traffic(waited=seconds)

    def http_options(self) -> dict[str, Any]:
        """Give the options that requests to other hosts share with those to the server; no key among them."""
        return {"timeout": self.timeout, "verify": self._verify, "proxies": self._proxies}

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

    @without_locals
    def send(
        self, request: Request, *, splittable: bool = False, turn: Turn | None = None
    ) -> bytes:
        """Send a request and give the body of its answer.

        Parameters
        ----------
        request
            What to ask.
        splittable
            Whether the caller would rather cut the request in two than have it sent again
            when the server finds it too big (413, 500, 504, a time-out).
        turn
            Taken before an answer is unpacked, and given back if it is none.

        Raises
        ------
        MissingKeyError, RefusedKeyError, AccessError, QueryError
            Never sent again.
        ConnectionFailedError, RateLimitError, StatusError
            After the retries.
        """
        session = self._connected()
        content = self.read(
            Try(
                what=f"could not read {request.asked} from {self.base_url}",
                send=lambda: self._post(session, request),
                take=self._login.on_answer,
                paced=True,
                splittable=splittable,
                optional=bool(request.features),
                turn=turn,
            )
        )
        self.prove(request.features)
        return content

    @without_locals
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
            If it does not come, also after the retries.
        """
        session = self._connected()
        own = address.startswith((f"{self.base_url}/", "/"))
        target = f"{self.base_url}{address}" if address.startswith("/") else address
        # Without an `auth` of its own, requests would look one up in netrc.

        def send() -> requests.Response:
            options = self.http_options()
            auth = self._login.auth(self.read, session, options) if own else as_it_is
            return session.get(target, auth=auth, stream=True, **options)

        return self.read(
            Try(what=f"could not read {asked} from {self.base_url}", send=send, take=on_file)
        )

    def read(self, tried: Try[_Got]) -> _Got:
        """Try until it is answered, or the policy of this client says to give up; counts every try and wait.

        Raises
        ------
        WbframeError
            What the last failure was.
        """
        # A thread that waits in a socket hears no Ctrl-C, and one that hears it may change no pace.
        return threads.apart(
            lambda: persist(
                self._once, tried, policy=self.retry, clock=self.clock, on_wait=self.count_wait
            )
        )

    def _once(self, tried: Try[_Got]) -> _Got:
        """Do one try; raises `Failure` if it is not answered."""
        try:
            with self.pace.turn() if tried.paced else nullcontext():
                response, content = self._exchange(tried)
                if tried.paced:
                    self._learn(response)
                return tried.take(response, content)
        except BaseException:
            if tried.turn is not None:
                tried.turn.give_back()
            raise

    def _exchange(self, tried: Try[Any]) -> tuple[requests.Response, bytes]:
        """Send, read the whole answer, and count both."""
        threads.check()
        content = b""
        try:
            with exchanging(Exchange(self.largest_answer, self._near)):
                response = tried.send()
            most, now, turn = self.largest_answer, self.clock.now, tried.turn
            content = read_answer(response, most=most, seconds=self.timeout, now=now, turn=turn)
        except Exception as error:
            # A connection that was cut may break in any way.
            threads.check()
            if not is_no_answer(error):
                raise
            self.count(retried=tried.again)
            raise of_no_answer(error, self.timeout) from None
        finally:
            threads.use(None)
        self.count(bytes_received=len(content), retried=tried.again)
        return response, content

    def _learn(self, response: requests.Response) -> None:
        """Tell the pace what the server said of it."""
        quota = read_quota(response.headers)
        if response.status_code == requests.codes.too_many_requests:
            said = response.headers.get("Retry-After")
            self.pace.refused(retry_after_seconds(said, now=time.time()), quota)
        else:
            self.pace.took(quota)

    def _post(self, session: Session, request: Request) -> requests.Response:
        """Send a document as it was written; redirects are not followed, since the key goes to one host only."""
        body = request.body()
        options: dict[str, Any] = {"allow_redirects": False, "stream": True}
        if self._transport is not None:
            from wbframe.io.client.transport import post  # noqa: PLC0415 -- imports gql

            return post(
                self._transport.reveal(), session, body, {**options, "timeout": self.timeout}
            )
        headers = {"Content-Type": "application/json", "User-Agent": _AGENT}
        shared = self.http_options()
        options |= {"auth": self._login.auth(self.read, session, shared), "headers": headers}
        options |= shared
        return session.post(f"{self.base_url}/graphql", data=json.dumps(body).encode(), **options)

    def _connected(self) -> Session:
        """Find the key and open the session, once."""
        with self._lock:
            if self._session is None:
                self._login.find()
                self._session = Session(2, max(_POOL, self.concurrency), self.base_url)
            return self._session

    def begin(self) -> None:
        """Begin anew, without what a forked process must not share: connections, and locks that may be held."""
        self._lock = threading.Lock()
        self._session = None
        self.pace = Pace(self.concurrency, self.clock, self._rate, self.retry.seconds)
        self.learn_anew()
        # How many threads decode at once: more take memory and save no time.
        self.decoding = threading.BoundedSemaphore(max(os.cpu_count() or 1, 2))


@without_locals
def client_or_default(given: object) -> Client:
    """Give the client, also that of an `Api`; for None that of the environment, which keeps its connections."""
    if given is not None:
        if isinstance(client := getattr(given, "client", given), Client):
            return client
        raise UsageError(f"`client` must be a wbframe.Client or Api; got {type(given).__name__}")
    base_url = find_base_url(None)
    at = (base_url, named_by_folder(None), *(Secret(os.environ.get(name)) for name in _NAMES))
    with _defaults_guard.lock:
        if at not in _defaults:
            _defaults[at] = Client()
        return _defaults[at]


_defaults: dict[tuple[object, ...], Client] = {}
_defaults_guard = forks.Guard()


def _restore(options: dict[str, Any], login: tuple[Any, ...]) -> Client:
    """Make a pickled client anew."""
    client = Client(**options)
    client._login.copied(*login)  # noqa: SLF001 -- of the same module
    return client
