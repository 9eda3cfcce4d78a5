"""What a shell is told: the exit code of each kind of error."""

from __future__ import annotations

from wbframe.errors import (
    AccessError,
    CredentialsError,
    IncompleteError,
    NotFoundError,
    RequestError,
    UsageError,
)

__all__ = ["EXIT_CODES", "INTERRUPTED", "code_of"]

# What a shell sees of a program that SIGINT ended.
INTERRUPTED = 130

EXIT_CODES = {
    0: "all that was asked for; with --on-error skip, some of it",
    1: "anything else: a query or an answer that is not understood, a file that cannot be written",
    2: "a wrong call",
    3: "credentials or access",
    4: "no such project, run or sweep",
    5: "a rate limit, or a server that fails or cannot be reached, after the retries",
    6: "incomplete: fewer runs or rows than the server counts; with --on-error skip, nothing",
    INTERRUPTED: "Ctrl-C",
}
"""What each exit code means, as `--help` lists it."""

_KINDS: dict[type[Exception], int] = {
    UsageError: 2,
    CredentialsError: 3,
    AccessError: 3,
    NotFoundError: 4,
    RequestError: 5,
    IncompleteError: 6,
}


def code_of(error: Exception) -> int:
    """Give the exit code of an error.

    Examples
    --------
    >>> from wbframe.errors import RateLimitError, QueryError
    >>> code_of(RateLimitError("too many", 429)), code_of(QueryError("no"))
    (5, 1)
    """
    return next((code for kind, code in _KINDS.items() if isinstance(error, kind)), 1)
