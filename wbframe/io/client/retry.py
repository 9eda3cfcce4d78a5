"""What is tried again, and after how long: a pure policy, driven by tenacity.

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
a body above the client's `largest_answer`             halved; an error once it is of one run and one key
an answer that is JSON, and not what the protocol says an error at once
=====================================================  ==========================================================

The wait before the n-th try is drawn evenly between 0 and ``first_wait * 2**n`` (full jitter), at most
`longest_wait`; what the server says in `Retry-After` (seconds or a date) is waited instead. Trying ends after
`tries` requests, or when the next one would begin later than `seconds` after the first. Each retry is logged with
its reason under ``wbframe.client``, at level INFO.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import tenacity
import tenacity.wait

from wbframe.errors import UsageError
from wbframe.io.client.failures import FailedError, TryAgainError

if TYPE_CHECKING:
    from collections.abc import Callable

    from wbframe.io.client.clock import Clock

_Got = TypeVar("_Got")
_log = logging.getLogger("wbframe.client")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently a failed request is sent again; the module has the table of what is.

    Attributes
    ----------
    tries
        Requests at the most, the first included; 1 for no retry.
    first_wait, longest_wait
        Seconds; the wait is drawn evenly between 0 and `first_wait` doubled with every try
        (full jitter), never above `longest_wait`. A `Retry-After` of the server wins.
    seconds
        From the first try to the beginning of the last, at the most. Default of a client without a
        policy: ``WBFRAME_RETRY_SECONDS``, else 300.

    Raises
    ------
    UsageError
        If one of them is out of bounds.
    """

    tries: int = 10
    first_wait: float = 0.5
    longest_wait: float = 60.0
    seconds: float = 300.0

    def __post_init__(self) -> None:
        if isinstance(self.tries, bool) or not isinstance(self.tries, int) or self.tries < 1:
            raise UsageError(f"`tries` must be a whole number, at least 1; got {self.tries!r}")
        for name in ("first_wait", "longest_wait", "seconds"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not value >= 0:
                raise UsageError(f"`{name}` must be in seconds, from 0; got {value!r}")


def persist(
    once: Callable[[bool], _Got],
    where: str,
    *,
    policy: RetryPolicy,
    clock: Clock,
    on_wait: Callable[[float], None],
) -> _Got:
    """Try until it works, or the policy says to give up.

    Parameters
    ----------
    once
        Sends a request; gets whether one was sent before, and raises `TryAgainError`, or `FailedError`.
    where
        What is tried, in words, for messages and the log.
    policy, clock
        How often, and how long.
    on_wait
        Is told the seconds of each wait before it begins.

    Raises
    ------
    WbframeError
        The last problem, with the number of tries and the time that they took.
    """
    started = clock.now()
    tries = 0

    def note(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        on_wait(state.upcoming_sleep)
        _log.info(
            "%s: %s; try %d follows in %.1f s",
            where,
            error,
            state.attempt_number + 1,
            state.upcoming_sleep,
            extra={
                "wbframe_tries": state.attempt_number,
                "wbframe_reason": str(error),
                "wbframe_wait": state.upcoming_sleep,
            },
        )

    try:
        for attempt in retrying(policy, clock, note):
            with attempt:
                tries = attempt.retry_state.attempt_number
                return once(tries > 1)
    except (TryAgainError, FailedError) as failure:
        problem = failure.problem
    error = problem.error(where, tries=tries, seconds=clock.now() - started)
    raise error from problem.cause


def retrying(
    policy: RetryPolicy,
    clock: Clock,
    before_sleep: Callable[[tenacity.RetryCallState], None] | None = None,
) -> tenacity.Retrying:
    """Give the loop that follows the policy."""
    backoff = tenacity.wait_random_exponential(
        multiplier=policy.first_wait, max=policy.longest_wait
    )
    started = clock.now()

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        told = error.retry_after if isinstance(error, TryAgainError) else None
        return backoff(state) if told is None else told

    def is_late(state: tenacity.RetryCallState) -> bool:
        return clock.now() + state.upcoming_sleep - started > policy.seconds

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TryAgainError),
        stop=lambda state: state.attempt_number >= policy.tries or is_late(state),
        wait=wait,
        sleep=clock.sleep,
        before_sleep=before_sleep,
        reraise=True,
    )
