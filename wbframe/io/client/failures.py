"""What went wrong with one request, and the error that it becomes once it counts."""

from __future__ import annotations

import email.utils
import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import requests

from wbframe.core.protocol.answers import error_messages, messages_of
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
from wbframe.io.client.session import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "TOO_BIG",
    "FailedError",
    "Problem",
    "TryAgainError",
    "is_retried",
    "is_too_big",
    "of_failure",
    "of_file",
    "of_messages",
    "of_no_json",
    "of_status",
    "on_answer",
    "on_failure",
    "on_file",
    "on_status",
    "read_message",
    "retry_after",
    "retry_after_seconds",
    "said_in",
]

_MESSAGE = 500
_ASK_LESS = "ask for fewer keys, runs or samples"
_LATER = "try again later, or wait longer with `retry=wbframe.RetryPolicy(...)`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A failed request.

    Attributes
    ----------
    kind
        The class of its error; a `StatusError` takes `status`.
    said
        What went wrong.
    advice
        What to do.
    status
        The HTTP status, or None without an answer.
    too_big
        Whether it may have been asked for too much.
    lasting
        Whether it stays so, however often it is tried.
    cause
        The exception behind it.
    """

    kind: Callable[..., WbframeError]
    said: str
    advice: str = ""
    status: int | None = None
    too_big: bool = False
    lasting: bool = False
    cause: BaseException | None = None

    def error(self, where: str, *, tries: int = 1, seconds: float = 0.0) -> WbframeError:
        """Make the error: what was asked, what went wrong, how often it was tried, what to do."""
        tried = f"; gave up after {tries} tries in {seconds:.1f} s" if tries > 1 else ""
        advice = f"; {self.advice}" if self.advice else ""
        text = f"{where}: {self.said}{tried}{advice}"
        status_kind = isinstance(self.kind, type) and issubclass(self.kind, StatusError)
        error = self.kind(text, self.status) if status_kind else self.kind(text)
        error.tries, error.seconds, error.too_big = tries, seconds, self.too_big
        error.__cause__ = self.cause
        return error


def of_failure(error: requests.RequestException, timeout: float) -> Problem:
    """Describe a request that got no whole answer."""
    cause = _without_request(error)
    if isinstance(error, TooLargeError):
        said = f"the answer is larger than `largest_answer`: {error}"
        return Problem(kind=AnswerError, said=said, too_big=True, lasting=True, cause=cause)
    if isinstance(error, requests.exceptions.SSLError) and "certificate" in str(error).lower():
        return Problem(
            kind=ConnectionFailedError,
            said=_reason(error),
            advice="name the file of its authority by `verify=` or REQUESTS_CA_BUNDLE",
            lasting=True,
            cause=cause,
        )
    if isinstance(error, requests.Timeout):
        return Problem(
            kind=TimedOutError,
            said=f"no answer within {timeout:g} s",
            advice="check the address and the network, or give a larger `timeout`",
            too_big=not isinstance(error, requests.ConnectTimeout),
            cause=cause,
        )
    return Problem(
        kind=ConnectionFailedError,
        said=_reason(error),
        advice="check the address and the network, or give a larger `timeout`",
        cause=cause,
    )


def of_status(status: int, headers: Any, content: bytes) -> Problem:
    """Describe an answer with an HTTP status that is not 200."""
    said = said_in(content)
    tail = f": {said}" if said else ""
    if status == requests.codes.unauthorized:
        return Problem(
            kind=RefusedKeyError,
            said="the API key was refused (HTTP 401)",
            advice="run `wandb login` or set WANDB_API_KEY",
            status=status,
        )
    if status == requests.codes.forbidden:
        return Problem(
            kind=AccessError,
            said=f"the API key may not read it (HTTP 403){tail}",
            advice="ask its owner for access",
            status=status,
        )
    if status == requests.codes.too_many_requests:
        return Problem(
            kind=RateLimitError,
            said="too many requests (HTTP 429)",
            advice="lower `concurrency`, set `requests_per_minute`, or wait",
            status=status,
        )
    if status in {301, 302, 303, 307, 308}:
        target = urlsplit(headers.get("Location", "")).hostname
        return Problem(
            kind=StatusError,
            said=f"the server redirects to {target!r}",
            advice="set `base_url` to the API's address",
            status=status,
        )
    if status in {400, 422} and said:
        return Problem(kind=QueryError, said=f"the server answered: {said}", status=status)
    gone = "check that `base_url` is the API's address"
    return Problem(
        kind=StatusError, said=f"HTTP {status}{tail}", advice=_advice(status, gone), status=status
    )


def of_file(status: int) -> Problem:
    """Describe the answer of a storage that does not give a file."""
    advice = _advice(status, "the file is not there any more: read again")
    return Problem(kind=StatusError, said=f"HTTP {status}", advice=advice, status=status)


def _advice(status: int, gone: str) -> str:
    """Say what to do about an HTTP status."""
    if status in {404, 410}:
        return gone
    if status == requests.codes.request_entity_too_large:
        return _ASK_LESS
    passes = status >= requests.codes.internal_server_error or status in {408, 425, 429}
    return _LATER if passes else ""


def of_messages(messages: list[str], status: int, *, too_big: bool) -> Problem:
    """Describe an answer that has GraphQL errors."""
    return Problem(
        kind=QueryError,
        said=f"the server answered: {'; '.join(messages)}",
        advice=_ASK_LESS if too_big else _LATER,
        status=status,
        too_big=too_big,
    )


def of_no_json(content: bytes, status: int) -> Problem:
    """Describe an answer that is no JSON."""
    begins = " ".join(content[:40].decode("utf-8", "replace").split())
    return Problem(
        kind=AnswerError,
        said=f"the answer is not JSON: it begins with {begins!r}"
        if begins
        else "the answer is empty, not JSON",
        advice="check that `base_url` is the API's address",
        status=status,
    )


def said_in(content: bytes) -> str:
    """Give what an error's body says, on one line; empty if it is no JSON."""
    try:
        body = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    if not isinstance(body, dict):
        return ""
    errors = body.get("errors") or ([body["error"]] if body.get("error") else [])
    said = "; ".join(error_messages(errors if isinstance(errors, list) else [errors]))
    return said[:_MESSAGE]


def _without_request(error: requests.RequestException) -> requests.RequestException:
    """Take the request off an exception: its headers hold the key."""
    error.request = error.response = None
    return error


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
    return f"no connection ({text})"


# Too slow, too early, too many; besides these whatever the server or a proxy before it did wrong.
_RETRIED = frozenset({408, 425, 429})
_SERVER_ERROR, _NOT_IMPLEMENTED = 500, 501
# Said of a request that is too big; where it can be cut in two, that beats asking again.
TOO_BIG = frozenset({413, 500, 504})
_SLOW = re.compile(r"deadline exceeded|timed?[ -]?out", re.IGNORECASE)
_LARGE = re.compile(
    r"too large|too big|too complex|exceeds? the (maximum )?(size|complexity)", re.IGNORECASE
)
_PASSING = re.compile(
    r"\binternal\b|unavailable|temporar|try again|connection (reset|refused)|too many requests|rate limit",
    re.IGNORECASE,
)


def is_retried(status: int) -> bool:
    """Tell whether a request that got this HTTP status is sent again."""
    return status in _RETRIED or (status >= _SERVER_ERROR and status != _NOT_IMPLEMENTED)


def is_too_big(error: WbframeError) -> bool:
    """Tell whether an error may mean that the request asked for too much at once."""
    return (
        isinstance(error, TimedOutError)
        or error.too_big
        or (isinstance(error, StatusError) and error.status in TOO_BIG)
    )


def read_message(message: str) -> tuple[bool, bool]:
    """Tell from the message of a GraphQL error whether it may pass, and whether too much was asked.

    Examples
    --------
    >>> read_message("context deadline exceeded"), read_message("Cannot query field 'x'")
    ((True, True), (False, False))
    """
    slow = bool(_SLOW.search(message))
    return slow or bool(_PASSING.search(message)), slow or bool(_LARGE.search(message))


class TryAgainError(Exception):
    """A failure that may pass; never leaves the client, which raises the problem's error in the end."""

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(problem.said)
        self.problem = problem
        self.retry_after = retry_after


class FailedError(Exception):
    """A failure that will not pass; never leaves the client either."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.said)
        self.problem = problem


def retry_after_seconds(header: str | None, *, now: float) -> float | None:
    """Read `Retry-After`: seconds, or an HTTP date; None if it is absent or neither.

    Examples
    --------
    >>> retry_after_seconds("1.5", now=0.0)
    1.5
    >>> retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", now=50.0)
    10.0
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        pass
    else:
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - now, 0.0)
    except (TypeError, ValueError, OverflowError):
        return None


def on_answer(response: requests.Response, content: bytes, *, splittable: bool) -> bytes:
    """Give an answer of the API that is JSON, and without GraphQL errors that may pass.

    Raises
    ------
    TryAgainError
        If it is none, and the next one may be.
    FailedError
        If it is none, and sending the same again is of no use: a part of it may be, where `splittable`.
    """
    status = response.status_code
    if status == requests.codes.ok:
        return _checked(content, splittable=splittable)
    problem = of_status(status, response.headers, content)
    if splittable and (status in TOO_BIG or problem.too_big):
        raise FailedError(problem)
    raise on_status(problem, response)


def on_file(response: requests.Response, content: bytes) -> bytes:
    """Give a file.

    Raises
    ------
    TryAgainError, FailedError
        If it is not there.
    """
    if response.status_code == requests.codes.ok:
        return content
    raise on_status(of_file(response.status_code), response)


def on_status(problem: Problem, response: requests.Response) -> TryAgainError | FailedError:
    """Say whether a status may pass."""
    if is_retried(response.status_code):
        return TryAgainError(problem, retry_after(response))
    return FailedError(problem)


def on_failure(
    error: requests.RequestException, timeout: float, *, splittable: bool
) -> TryAgainError | FailedError:
    """Say what it means that no answer came."""
    problem = of_failure(error, timeout)
    if problem.lasting or (problem.too_big and splittable):
        return FailedError(problem)
    return TryAgainError(problem)


def retry_after(response: requests.Response) -> float | None:
    """Read how long the server asks to be left alone."""
    return retry_after_seconds(response.headers.get("Retry-After"), now=time.time())


def _checked(content: bytes, *, splittable: bool) -> bytes:
    """Look at an answer with status 200."""
    ends = content[:64].lstrip()[:1] + content[-64:].rstrip()[-1:]
    if ends not in {b"{}", b"[]"}:
        raise TryAgainError(of_no_json(content, 200))
    messages = messages_of(content)
    if messages:
        passing, too_big = read_message("; ".join(messages))
        problem = of_messages(messages, 200, too_big=too_big)
        if too_big and (splittable or not passing):
            raise FailedError(problem)
        if passing:
            raise TryAgainError(problem)
    return content
