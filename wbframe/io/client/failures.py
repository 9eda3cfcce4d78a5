"""Why a try at a request gave no answer, whether another may, and the error that it becomes once it counts.

=====================================================  ==========================================================
What went wrong                                        What is done
=====================================================  ==========================================================
no connection, connection reset, name not resolved     sent again
a certificate that is not trusted                      an error at once
no answer in time                                      halved; sent again once it is of one run and one key
the body breaks off, or is no JSON                     sent again
408, 425, 502, 503, and 5xx that are not named here    sent again; after `Retry-After` where the server says it
429                                                    sent again; all threads of the client pause, then slow down
413, 500, 504                                          halved; sent again once it is of one run and one key
                                                       (413 then is an error)
GraphQL errors: "deadline exceeded", "timed out"       as 504, also with status 200
GraphQL errors: "too large", "too complex"             as 413, also with status 200
GraphQL errors: "internal", "unavailable", "try again" sent again, also with status 200
other GraphQL errors                                   an error at once
400, 401, 403, 404, 409, 422, 501, other 4xx           an error at once
3xx                                                    an error at once; the key goes to no other host
an address that cannot be asked, or is of this machine an error at once
more than five redirects of a file                     an error at once
a body that is packed as nobody asked for              an error at once
a body above the client's `largest_answer`             halved; an error once it is of one run and one key
an answer that is JSON, and not what the protocol says an error at once
=====================================================  ==========================================================
"""

from __future__ import annotations

import email.utils
import http.client
import math
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import requests
import urllib3

from wbframe.core.protocol.answers import all_said, error_messages, messages_of
from wbframe.errors import (
    AccessError,
    AnswerError,
    ConnectionFailedError,
    QueryError,
    RateLimitError,
    RefusedKeyError,
    StatusError,
    TimedOutError,
    WbframeError,
)
from wbframe.io.client.secrets import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "REDIRECTS",
    "AddressError",
    "Failure",
    "PackedError",
    "TooLargeError",
    "is_no_answer",
    "is_retried",
    "of_file",
    "of_no_answer",
    "of_status",
    "on_answer",
    "on_file",
    "read_message",
    "retry_after_seconds",
    "said_in",
]

_MESSAGE = 500
_SINCE_1970 = 1e9
_ASK_LESS = "ask for fewer keys, runs or samples"
_LATER = "try again later, or wait longer with `retry=wbframe.RetryPolicy(...)`"
_NETWORK = "check the address and the network, or give a larger `timeout`"
# Too slow, too early, too many; besides these whatever the server or a proxy before it did wrong.
_RETRIED = frozenset({408, 425, 429})
_SERVER_ERROR, _NOT_IMPLEMENTED = 500, 501
# Said of a request that is too big; where it can be cut in two, that beats asking again. W&B answers 500 to
# queries that its database gives up on.
# https://github.com/wandb/server/issues/122
_TOO_BIG = frozenset({413, 500, 504})
# Tries of a request of which the server says what is wrong with it, be it with 500.
_TOLD = 2
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SLOW = re.compile(r"deadline exceeded|timed?[ -]?out", re.IGNORECASE)
_LARGE = re.compile(
    r"too (large|big|complex|many|deep|long)|exceed|cost limit|complexity|\b(max|maximum|at most)\b",
    re.IGNORECASE,
)
_RATE = re.compile(r"too many requests|rate limit", re.IGNORECASE)
_PASSING = re.compile(
    r"\binternal\b|unavailable|temporar|try again|connection (reset|refused)|too many requests|rate limit",
    re.IGNORECASE,
)


class TooLargeError(requests.RequestException):
    """A body is larger than a client takes."""


class PackedError(requests.RequestException):
    """A body is packed as nobody asked for."""


class AddressError(Exception):
    """An address that a server named is one of which nothing can ever come, or may not be asked."""


class Failure(Exception):  # noqa: N818 -- no error before the policy has had its say
    """A try that gave no answer; never leaves the client, which raises its `error` in the end.

    Parameters
    ----------
    kind
        The class of the error; a `StatusError` takes `status`.
    said
        What went wrong.
    advice
        What to do.
    status
        The HTTP status, or None without an answer.
    again
        Whether the same request may be answered later.
    most
        Tries after which it is told all the same, whatever the policy says; None for as many as that allows.
    too_big
        Whether it may have asked for too much at once, so that a part of it may be answered.
    retry_after
        Seconds for which the server asks to be left alone, or None.
    cause
        The exception behind it.
    """

    def __init__(
        self,
        kind: type[WbframeError],
        said: str,
        advice: str = "",
        *,
        status: int | None = None,
        again: bool = False,
        most: int | None = None,
        too_big: bool = False,
        retry_after: float | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(said)
        self.kind = kind
        self.said = said
        self.advice = advice
        self.status = status
        self.again = again
        self.most = most
        self.too_big = too_big
        self.retry_after = retry_after
        self.cause = cause

    def error(self, where: str, *, tries: int = 1, seconds: float = 0.0) -> WbframeError:
        """Make the error: what was asked, what went wrong, how often it was tried, what to do."""
        tried = f"; gave up after {tries} tries in {seconds:.1f} s" if tries > 1 else ""
        advice = f"; {self.advice}" if self.advice else ""
        told: list[Any] = [f"{where}: {self.said}{tried}{advice}"]
        if issubclass(self.kind, StatusError):
            told.append(self.status)
        error = self.kind(*told)
        error.tries, error.seconds, error.too_big = tries, seconds, self.too_big
        error.__cause__ = self.cause
        return error


# ---------------------------------------------------------------- what came of one try


def on_answer(
    response: requests.Response, content: bytes, out_of: Callable[[str], str] = str
) -> bytes:
    """Give an answer of the API that is JSON, and without GraphQL errors that may pass.

    Parameters
    ----------
    response, content
        The answer, and its body.
    out_of
        Takes what must not be shown out of messages.

    Raises
    ------
    Failure
        If it is none.
    """
    if response.status_code != requests.codes.ok:
        raise of_status(response.status_code, response.headers, content)
    # A byte order mark, which JSON has none of, and some proxies put there.
    content = content.removeprefix(b"\xef\xbb\xbf")
    ends = content[:64].lstrip()[:1] + content[-64:].rstrip()[-1:]
    if ends not in {b"{}", b"[]"}:
        raise _of_no_json(content)
    messages = messages_of(content)
    if messages:
        passing, too_big = read_message("; ".join(messages))
        if passing or too_big:
            raise Failure(
                QueryError,
                f"the server answered: {all_said(messages)}",
                _ASK_LESS if too_big else _LATER,
                status=response.status_code,
                again=passing,
                too_big=too_big,
            )
        if [out_of(each) for each in messages] != messages:
            content = out_of(content.decode("utf-8", "replace")).encode()
    return content


def on_file(response: requests.Response, content: bytes) -> bytes:
    """Give a file.

    Raises
    ------
    Failure
        If it is not there.
    """
    if response.status_code != requests.codes.ok:
        raise of_file(response)
    return content


# ---------------------------------------------------------------- descriptions


# What libraries raise of an answer that is none: of addresses, lengths, chunks, names, and connections.
_RAW = (OSError, ValueError, http.client.HTTPException, urllib3.exceptions.HTTPError, AddressError)


def is_no_answer(error: Exception) -> bool:
    """Tell whether an error says that a request got no whole answer, be it in another library's words."""
    return isinstance(error, _RAW) and not isinstance(error, WbframeError)


# What an address, or the way that an answer is packed, says again the next time.
_LASTING = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
    urllib3.exceptions.LocationValueError,
    PackedError,
    requests.TooManyRedirects,
    AddressError,
)


def of_no_answer(error: Exception, timeout: float) -> Failure:
    """Describe a request that got no whole answer, whatever was raised."""
    if isinstance(error, _LASTING):
        return _of_no_use(error)
    if not isinstance(error, requests.RequestException):
        error = requests.ConnectionError(error)
    reason, error = _reason(error), _stripped(error)
    if isinstance(error, TooLargeError):
        said = f"the answer is larger than `largest_answer`: {error}"
        return Failure(AnswerError, said, too_big=True, cause=error)
    if isinstance(error, requests.exceptions.SSLError) and "certificate" in str(error).lower():
        advice = "name the file of its authority by `verify=` or REQUESTS_CA_BUNDLE"
        return Failure(ConnectionFailedError, reason, advice, cause=error)
    if isinstance(error, requests.Timeout):
        said = f"no answer within {timeout:g} s"
        # Who cannot be reached was not asked for too much.
        asked = not isinstance(error, requests.ConnectTimeout)
        return Failure(TimedOutError, said, _NETWORK, again=True, too_big=asked, cause=error)
    return Failure(ConnectionFailedError, reason, _NETWORK, again=True, cause=error)


def _of_no_use(error: Exception) -> Failure:
    """Describe what a server says that can be of no use, however often it is asked."""
    said = without_secrets(str(error))
    kind: type[WbframeError] = AnswerError
    advice = "read again, and if it stays so tell who runs the server"
    if isinstance(error, requests.exceptions.InvalidProxyURL):
        kind, advice = ConnectionFailedError, "check `proxies` and the environment"
    elif isinstance(error, PackedError):
        said = f"the answer cannot be unpacked: {said}"
    elif not isinstance(error, requests.TooManyRedirects):
        said = f"the address cannot be asked: {said}"
    if isinstance(error, requests.RequestException):
        error = _stripped(error)
    return Failure(kind, said, advice, cause=error)


def of_status(status: int, headers: Mapping[str, str], content: bytes) -> Failure:
    """Describe an answer of the API with an HTTP status that is not 200."""
    said = said_in(content)
    tail = f": {said}" if said else ""
    kind: type[WbframeError] = StatusError
    text, advice = f"HTTP {status}{tail}", _advice(status)
    if status == requests.codes.unauthorized:
        kind, text = RefusedKeyError, "the API key was refused (HTTP 401)"
        advice = "run `wandb login` or set WANDB_API_KEY"
    elif status == requests.codes.forbidden:
        kind, text = AccessError, f"the API key may not read it (HTTP 403){tail}"
        advice = "ask its owner for access"
    elif status == requests.codes.too_many_requests:
        kind, text = RateLimitError, "too many requests (HTTP 429)"
        advice = "lower `concurrency`, set `requests_per_minute`, or wait"
    elif status in REDIRECTS:
        target = urlsplit(headers.get("Location", "")).hostname
        text, advice = f"the server redirects to {target!r}", "set `base_url` to the API's address"
    # W&B answers what it cannot validate by 400, older servers by 200: https://github.com/wandb/wandb/pull/1230
    elif status in {400, 422} and said:
        kind, text, advice = QueryError, f"the server answered: {said}", ""
    return Failure(
        kind,
        text,
        advice,
        status=status,
        again=is_retried(status),
        most=_TOLD if status == _SERVER_ERROR and said and not read_message(said)[0] else None,
        too_big=kind is not RateLimitError and (status in _TOO_BIG or read_message(said)[1]),
        retry_after=retry_after_seconds(headers.get("Retry-After"), now=time.time()),
    )


def of_file(response: requests.Response) -> Failure:
    """Describe the answer of a storage that does not give a file."""
    status = response.status_code
    return Failure(
        StatusError,
        f"HTTP {status}",
        _advice(status, gone="the file is not there any more: read again"),
        status=status,
        again=is_retried(status),
        retry_after=retry_after_seconds(response.headers.get("Retry-After"), now=time.time()),
    )


def _of_no_json(content: bytes) -> Failure:
    """Describe an answer that is no JSON."""
    begins = " ".join(content[:40].decode("utf-8", "replace").split())
    said = f"not JSON: it begins with {begins!r}" if begins else "empty, not JSON"
    advice = "check that `base_url` is the API's address"
    return Failure(AnswerError, f"the answer is {said}", advice, status=200, again=True)


def _advice(status: int, gone: str = "check that `base_url` is the API's address") -> str:
    """Say what to do about an HTTP status."""
    if status in {404, 410}:
        return gone
    if status == requests.codes.request_entity_too_large:
        return _ASK_LESS
    return _LATER if status >= _SERVER_ERROR or status in _RETRIED else ""


def _reason(error: BaseException) -> str:
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
    return f"no connection ({without_secrets(text)})"


def _stripped(error: requests.RequestException) -> requests.RequestException:
    """Give an exception that can be kept as a cause: headers hold the key, addresses are signed.

    What is on its way up stays behind as a context, so it is stripped too: of the request, of frames whose locals
    hold headers, and of what it was made of.
    """
    kept = type(error)(without_secrets(str(error)))
    kept.request = kept.response = error.request = error.response = None
    error.args, error.__traceback__ = kept.args, None
    error.__cause__ = error.__context__ = None
    return kept


# ---------------------------------------------------------------- what statuses, texts and headers mean


def is_retried(status: int) -> bool:
    """Tell whether a request that got this HTTP status is sent again."""
    return status in _RETRIED or (status >= _SERVER_ERROR and status != _NOT_IMPLEMENTED)


def read_message(message: str) -> tuple[bool, bool]:
    """Tell from the message of a GraphQL error whether it may pass, and whether too much was asked.

    Examples
    --------
    >>> read_message("context deadline exceeded"), read_message("Cannot query field 'x'")
    ((True, True), (False, False))
    """
    slow = bool(_SLOW.search(message))
    large = _LARGE.search(message) and not _RATE.search(message)
    return slow or bool(_PASSING.search(message)), slow or bool(large)


# A message in what is cut: of refusals no more is read than the first few KB.
_WORD = re.compile(rb'"(?:message|error|detail)"\s*:\s*("(?:[^"\\]|\\.)*")')


def said_in(content: bytes) -> str:
    """Give what an error's body says, on one line; empty if it is no JSON.

    Examples
    --------
    >>> said_in(b'{"errors": [{"message": "no field a"}, {"message": "no fi')
    'no field a'
    """
    body: Any
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = _words_of(content)
    if isinstance(body, dict):
        body = body.get("errors") or body.get("error") or body.get("detail") or body.get("message")
    return all_said(error_messages(body or []))[:_MESSAGE]


def _words_of(content: bytes) -> list[str]:
    """Give the messages in JSON that is cut."""
    found = []
    for each in _WORD.findall(content) if content.lstrip()[:1] in {b"{", b"["} else ():
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            found.append(msgspec.json.decode(each, type=str))
    return found


def retry_after_seconds(header: str | None, *, now: float) -> float | None:
    """Read `Retry-After`: seconds, or an HTTP date, or a moment; None if it is absent or neither.

    Examples
    --------
    >>> retry_after_seconds("1.5", now=0.0)
    1.5
    >>> retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", now=50.0)
    10.0
    """
    # https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        pass
    else:
        # Nobody waits for decades: so many are those since 1970.
        waits = seconds - now if seconds > _SINCE_1970 else seconds
        return max(waits, 0.0) if math.isfinite(seconds) else None
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - now, 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
