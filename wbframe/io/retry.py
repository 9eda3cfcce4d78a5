"""What is tried again, and after how long: a pure policy, driven by tenacity."""

from __future__ import annotations

import email.utils
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tenacity
import tenacity.wait

from wbframe.errors import StatusError, TimedOutError, WbframeError

if TYPE_CHECKING:
    from collections.abc import Callable

# Too slow, too early, too many; besides these whatever the server or a proxy before it did wrong.
_RETRIED = frozenset({408, 425, 429})
_SERVER_ERROR, _NOT_IMPLEMENTED = 500, 501
# Said of a request that is too big; where it can be cut in two, that beats asking again.
TOO_BIG = frozenset({413, 500, 504})


def is_retried(status: int) -> bool:
    """Tell whether a request that got this HTTP status is sent again."""
    return status in _RETRIED or (status >= _SERVER_ERROR and status != _NOT_IMPLEMENTED)


def is_too_big(error: WbframeError) -> bool:
    """Tell whether an error may mean that the request asked for too much at once."""
    return isinstance(error, TimedOutError) or (
        isinstance(error, StatusError) and error.status in TOO_BIG
    )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a failed request is sent again.

    Attributes
    ----------
    tries
        Requests at the most, the first included; 1 for no retry.
    first_wait, longest_wait
        Seconds; the wait is drawn evenly between 0 and `first_wait` doubled with every try
        (full jitter), never above `longest_wait`. A `Retry-After` of the server wins.
    """

    tries: int = 6
    first_wait: float = 0.5
    longest_wait: float = 60.0


class TryAgainError(WbframeError):
    """A failure that may pass; never leaves the client, which raises `error` in the end."""

    def __init__(self, error: WbframeError, retry_after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


def retrying(policy: RetryPolicy, sleep: Callable[[float], None]) -> tenacity.Retrying:
    """Give the loop that follows the policy."""
    backoff = tenacity.wait_random_exponential(
        multiplier=policy.first_wait, max=policy.longest_wait
    )

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        told = error.retry_after if isinstance(error, TryAgainError) else None
        return backoff(state) if told is None else told

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TryAgainError),
        stop=tenacity.stop_after_attempt(policy.tries),
        wait=wait,
        sleep=sleep,
        reraise=True,
    )


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
    except (TypeError, ValueError):
        return None
