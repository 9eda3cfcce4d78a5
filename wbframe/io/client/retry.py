"""When a request is tried again, and after how long: a pure policy, driven by tenacity.

What is tried again stands in `failures`. The wait before the n-th try is drawn evenly between 0 and
``first_wait * 2**n`` (full jitter), at most `longest_wait`; what the server says in `Retry-After` (seconds or a
date) is waited instead. Trying ends after `tries` requests, or when the next one would begin later than `seconds`
after the first. Each retry is logged with its reason under ``wbframe.client``, at level INFO.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

from wbframe.errors import ConnectionFailedError, RateLimitError, TimedOutError, UsageError
from wbframe.io import threads
from wbframe.io.client.failures import Failure
from wbframe.log import log_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests
    import tenacity

    from wbframe.io.client.session import Turn

__all__ = ["Clock", "RetryPolicy", "Try", "persist", "retrying"]

_Got = TypeVar("_Got")
# What says nothing of the request: it is sent again as long as the policy has it.
_PATIENT = frozenset({RateLimitError, ConnectionFailedError})
_FEW_TRIES = 2
_log = log_of("client")


class Clock:
    """Tells the time, and waits; subclass it to decide both.

    Examples
    --------
    >>> class Patient(Clock):
    ...     waits = []
    ...     def sleep(self, seconds):
    ...         self.waits.append(seconds)
    >>> Patient().sleep(30.0)
    >>> Patient.waits
    [30.0]
    """

    def now(self) -> float:
        """Give seconds since some moment; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; ends at once where the read that waits is stopped."""
        threads.wait(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try(Generic[_Got]):
    """A request that is tried until it is answered.

    Attributes
    ----------
    what
        What is tried, in words, for messages and the log.
    send
        Sends it, and gives the answer's head.
    take
        Gives what the whole answer holds, or raises `Failure`.
    paced
        Whether it counts for the server's rate limit, and so waits for its turn to begin.
    splittable
        Whether the caller would rather cut it in two than have it sent again when it is too big.
    optional
        Whether the caller can do without what is asked, or some of it.
    turn
        Taken before an answer is unpacked, and given back if it is none.
    again
        Whether it was sent before.
    """

    what: str
    send: Callable[[], requests.Response]
    take: Callable[[requests.Response, bytes], _Got]
    paced: bool = False
    splittable: bool = False
    optional: bool = False
    turn: Turn | None = None
    again: bool = False


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
    once: Callable[[Try[_Got]], _Got],
    tried: Try[_Got],
    *,
    policy: RetryPolicy,
    clock: Clock,
    on_wait: Callable[[float], None],
) -> _Got:
    """Try until it works, or the policy says to give up.

    Parameters
    ----------
    once
        Does one try; raises `Failure` if that gives no answer.
    tried
        What.
    policy, clock
        How often, and how long.
    on_wait
        Is told the seconds of each wait before it begins.

    Raises
    ------
    WbframeError
        The last failure, with the number of tries and the time that they took.
    """
    started = clock.now()
    try:
        return once(tried)
    except Failure as failure:
        first: Failure | None = failure
    tries = 1

    def note(state: tenacity.RetryCallState) -> None:
        reason, wait = str(state.outcome and state.outcome.exception()), state.upcoming_sleep
        on_wait(wait)
        _log.info(
            "%s: %s; try %d follows in %.1f s", tried.what, reason, state.attempt_number + 1, wait,
            extra={"wbframe_tries": tries, "wbframe_reason": reason, "wbframe_wait": wait},
        )  # fmt: skip

    def may_pass(error: BaseException) -> bool:
        if not isinstance(error, Failure) or not error.again:
            return False
        if error.kind in _PATIENT:
            return True
        # Asked for less, or without what it need not have, it may be answered at once.
        most = _FEW_TRIES if tried.splittable or tried.optional else policy.tries
        hasty = (error.too_big and tried.splittable) or (
            error.kind is TimedOutError and tried.optional
        )
        return not hasty and tries < min(most, error.most or most)

    try:
        for attempt in retrying(policy, clock, may_pass, note):
            with attempt:
                tries = attempt.retry_state.attempt_number
                if first is not None:
                    # The loop begins with what the first try came to: until then it is not even imported.
                    failed, first = first, None
                    raise failed
                return once(replace(tried, again=True))
    except Failure as failure:
        error = failure.error(tried.what, tries=tries, seconds=clock.now() - started)
    raise error from error.__cause__


def retrying(
    policy: RetryPolicy,
    clock: Clock,
    may_pass: Callable[[BaseException], bool],
    before_sleep: Callable[[tenacity.RetryCallState], None] | None = None,
) -> tenacity.Retrying:
    """Give the loop that follows the policy for what `may_pass`."""
    import tenacity  # noqa: PLC0415 -- imports asyncio, which a read without failures does not need

    # At random, or clients that were refused together would come back together:
    # https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    backoff = tenacity.wait_random_exponential(
        multiplier=policy.first_wait, max=policy.longest_wait
    )
    started = clock.now()

    def wait(state: tenacity.RetryCallState) -> float:
        told = getattr(state.outcome and state.outcome.exception(), "retry_after", None)
        # As in the Go core of W&B's SDK; up to 0.19 its Python part heeds no `Retry-After`.
        return backoff(state) if told is None else told

    def is_late(state: tenacity.RetryCallState) -> bool:
        return clock.now() + state.upcoming_sleep - started > policy.seconds

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_pass),
        stop=lambda state: state.attempt_number >= policy.tries or is_late(state),
        wait=wait,
        sleep=clock.sleep,
        before_sleep=before_sleep,
        reraise=True,
    )
