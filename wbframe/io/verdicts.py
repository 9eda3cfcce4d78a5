"""What came of one try at a request: an answer, a reason to try again, or one to give up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import requests

from wbframe.core.answers import messages_of
from wbframe.io import problems
from wbframe.io.retry import (
    TOO_BIG,
    FailedError,
    TryAgainError,
    is_retried,
    read_message,
    retry_after_seconds,
)

__all__ = ["on_answer", "on_failure", "on_file", "on_status", "retry_after"]

if TYPE_CHECKING:
    from wbframe.io.problems import Problem


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
    problem = problems.of_status(status, response.headers, content)
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
    raise on_status(problems.of_file(response.status_code), response)


def on_status(problem: Problem, response: requests.Response) -> TryAgainError | FailedError:
    """Say whether a status may pass."""
    if is_retried(response.status_code):
        return TryAgainError(problem, retry_after(response))
    return FailedError(problem)


def on_failure(
    error: requests.RequestException, timeout: float, *, splittable: bool
) -> TryAgainError | FailedError:
    """Say what it means that no answer came."""
    problem = problems.of_failure(error, timeout)
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
        raise TryAgainError(problems.of_no_json(content, 200))
    messages = messages_of(content)
    if messages:
        passing, too_big = read_message("; ".join(messages))
        problem = problems.of_messages(messages, 200, too_big=too_big)
        if too_big and (splittable or not passing):
            raise FailedError(problem)
        if passing:
            raise TryAgainError(problem)
    return content
