"""Every exception and warning of wbframe.

::

    WbframeError
    ├── UsageError (ValueError)          the call is wrong; found before any request where it can be
    │   ├── PathError                    a path of no known form
    │   ├── FilterError                  an operator, field or literal the filter language does not have
    │   ├── ColumnError (LookupError)    a column or key that the project does not have
    │   └── ReadOnlyError                something would be written (AttributeError, TypeError)
    ├── CredentialsError                 who you are
    │   ├── MissingKeyError              no API key was found
    │   └── RefusedKeyError              the server does not know the key (401)
    ├── AccessError                      the key may not read this (403)
    ├── NotFoundError (ValueError, LookupError)
    │   ├── ProjectNotFoundError
    │   ├── RunNotFoundError
    │   └── SweepNotFoundError
    ├── RequestError                     the request did not come through
    │   ├── ConnectionFailedError        no answer: refused, reset, a name that does not resolve
    │   │   └── TimedOutError            no answer within the time-out
    │   ├── StatusError                  an HTTP status that is none of the above
    │   └── RateLimitError               429, also after the retries
    ├── QueryError                       the server answered with GraphQL errors
    ├── AnswerError                      the answer is not what the protocol says
    │   └── SchemaMismatchError          a value does not fit the promised column
    ├── IncompleteError                  fewer rows or runs came than the server says exist
    │   └── IncompleteHistoryError       of one run's history
    └── ForkedError (RuntimeError)       a forked process has not the threads that would read

    WbframeWarning (UserWarning)
    ├── CountWarning                     the server counts more runs than it gives in any listing
    ├── FilterWarning                    the server's filter may not mean what it says
    ├── LeftOutWarning                   runs were left out, as ``on_error="skip"`` asks
    ├── NoKeyWarning                     there is no API key, so that only what is public is found
    ├── OrderWarning                     the server gives runs in another order than was asked for
    ├── SampledWarning                   runs were thinned out, and nobody had asked for a sample
    ├── PlainHttpWarning                 the key goes over the network unencrypted
    ├── PrecisionWarning                 Float64 cannot hold every digit of a key
    ├── NewKeyWarning                    keys were left out that the schema did not promise
    ├── CollisionWarning                 two values of a run have one column
    └── IncompleteHistoryWarning         fewer rows of a run came than the server says exist

Messages are one line: what was asked, what went wrong, how often it was tried, what to do next. They have at most
2,000 characters, none of which a terminal obeys, whatever a server or a name has in it; and never a key or a
signed URL. An error that ends a read has the `ScanReport` so far as `report`.

A scan raises the same. Only where polars runs it by a function of its own (`pl.collect_all`, `pl.concat`, a
``group_by``) it may raise a `polars.exceptions.ComputeError` in its place: that says which error it was, and
`unwrap` gives it.
"""

from __future__ import annotations

import copy
import difflib
from collections import deque
from typing import TYPE_CHECKING

from wbframe.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from wbframe.report import ScanReport

__all__ = [
    "AccessError",
    "AnswerError",
    "CollisionWarning",
    "ColumnError",
    "ConnectionFailedError",
    "CountWarning",
    "CredentialsError",
    "FilterError",
    "FilterWarning",
    "ForkedError",
    "IncompleteError",
    "IncompleteHistoryError",
    "IncompleteHistoryWarning",
    "LeftOutWarning",
    "MissingKeyError",
    "NewKeyWarning",
    "NoKeyWarning",
    "NotFoundError",
    "OrderWarning",
    "PathError",
    "PlainHttpWarning",
    "PrecisionWarning",
    "ProjectNotFoundError",
    "QueryError",
    "RateLimitError",
    "ReadOnlyError",
    "RefusedKeyError",
    "RequestError",
    "RunNotFoundError",
    "SampledWarning",
    "SchemaMismatchError",
    "StatusError",
    "SweepNotFoundError",
    "TimedOutError",
    "UsageError",
    "WbframeError",
    "WbframeWarning",
    "did_you_mean",
    "one_of",
    "unwrap",
]


class WbframeError(Exception):
    """The base of every exception that wbframe raises on purpose.

    Attributes
    ----------
    report : ScanReport or None
        What the read that it ended had done until then; None if it ended none.
    tries, seconds : int, float
        Requests that were sent for it, and the time from the first to the end of the last.
    too_big : bool
        Whether the server may have been asked for too much at once.
    """

    report: ScanReport | None = None
    tries: int = 1
    seconds: float = 0.0
    too_big: bool = False

    def __init__(self, *told: object) -> None:
        super().__init__(*_fit(told))

    def __str__(self) -> str:
        # What is added to `args` on the way up is shown too.
        return one_line(super().__str__())


def _fit(told: Iterable[object]) -> Iterator[object]:
    """Make the texts of a message fit for a terminal and for one line of a log."""
    return (one_line(each) if isinstance(each, str) else each for each in told)


class UsageError(WbframeError, ValueError):
    """An argument is wrong; raised before any request where that can be known."""


class PathError(UsageError):
    """A path has none of the forms that wbframe reads."""


class FilterError(UsageError):
    """A filter uses an operator, a field or a literal that the filter language does not have."""


class ColumnError(UsageError, LookupError):
    """A column or key was asked for that the project does not have."""


class ReadOnlyError(UsageError, AttributeError, TypeError):
    """Something would be written, which is the wandb package's to do."""


class CredentialsError(WbframeError):
    """The server cannot tell who is asking."""


class MissingKeyError(CredentialsError):
    """No API key was found in any of the places where the official SDK keeps it."""


class RefusedKeyError(CredentialsError):
    """The server refused the API key (HTTP 401)."""


class AccessError(WbframeError):
    """The API key may not read what was asked (HTTP 403)."""


class NotFoundError(WbframeError, ValueError, LookupError):
    """A project, run or sweep does not exist, or the key may not see it."""


class ProjectNotFoundError(NotFoundError):
    """The project does not exist, or the key may not see it."""


class RunNotFoundError(NotFoundError):
    """The run does not exist in its project."""


class SweepNotFoundError(NotFoundError):
    """The sweep does not exist in its project."""


class RequestError(WbframeError):
    """A request did not come through."""


class ConnectionFailedError(RequestError):
    """No answer came: connection refused or reset, a name that does not resolve."""


class TimedOutError(ConnectionFailedError):
    """No answer came within the time-out."""


class StatusError(RequestError):
    """The server answered with an HTTP status that has no error of its own.

    Attributes
    ----------
    status : int
        The HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    def __reduce__(self) -> tuple[type[StatusError], tuple[str, int], dict[str, object]]:
        return type(self), (str(self), self.status), vars(self)


class RateLimitError(StatusError):
    """The server still answered 429 after the retries."""


class QueryError(WbframeError):
    """The server answered with GraphQL errors instead of data."""


class AnswerError(WbframeError):
    """An answer is not what the protocol says."""


class SchemaMismatchError(AnswerError):
    """A value does not fit the column that was promised for it.

    Attributes
    ----------
    key : str or None
        The key that holds it, where that can be told.
    """

    key: str | None = None


class IncompleteError(WbframeError):
    """Fewer runs or rows came than the server says exist."""


class IncompleteHistoryError(IncompleteError):
    """Fewer rows of a run came than the server says it has."""


class ForkedError(WbframeError, RuntimeError):
    """A forked process would read, and the threads that it needs are in the one before it."""


class WbframeWarning(UserWarning):
    """The base of every warning that wbframe gives."""

    def __init__(self, *told: object) -> None:
        super().__init__(*_fit(told))


class CountWarning(WbframeWarning):
    """The server counts more runs than it gives in any listing."""


class FilterWarning(WbframeWarning):
    """No run passed a filter of the server's, and it names what no run has, or what is called otherwise there."""


class LeftOutWarning(WbframeWarning):
    """Runs were left out, as ``on_error="skip"`` asks; the report names them all, and says why."""


class NoKeyWarning(WbframeWarning):
    """No API key was found, and the server answers without one: what is not public is not found."""


class OrderWarning(WbframeWarning):
    """The server gives the drop-in's runs in another order than was asked for; the readers sort such runs."""


class SampledWarning(WbframeWarning):
    """The server thinned runs out, though no number of `samples` was asked for."""


class PlainHttpWarning(WbframeWarning):
    """The key goes over the network unencrypted, to a host that is not this one."""


class PrecisionWarning(WbframeWarning):
    """Float64 cannot hold every digit of a key; `schema_overrides` with Int64, Int128 or Decimal can."""


class NewKeyWarning(WbframeWarning):
    """Keys were left out, as asked, because the schema did not promise them."""


class CollisionWarning(WbframeWarning):
    """A run has a key ``a.b`` and a key ``b`` inside ``a``: one column, in which the former stands."""


class IncompleteHistoryWarning(WbframeWarning):
    """Fewer rows of a run came than the server says it has, and ``on_incomplete="warn"`` was asked for."""


# Characters of a name that may be meant: to compare longer ones takes time, and nobody has typed them.
_LONGEST_NAME = 200


def did_you_mean(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """Give `` Did you mean 'a', 'b'?`` for the near names, or an empty string.

    Parameters
    ----------
    name
        What was asked for.
    known
        The names that exist.
    most
        How many near names to give at the most.

    Examples
    --------
    >>> did_you_mean("config.lrr", ["config.lr", "state"])
    " Did you mean 'config.lr'?"
    """
    if len(name) > _LONGEST_NAME:
        return ""
    candidates = sorted({each for each in known if len(each) <= _LONGEST_NAME})
    lowered = {each.lower(): each for each in reversed(candidates)}
    close = difflib.get_close_matches(name.lower(), list(lowered), n=most, cutoff=0.6)
    if not close:
        return ""
    return f" Did you mean {', '.join(repr(lowered[each]) for each in close)}?"


def one_of(argument: str, value: object, allowed: Iterable[str]) -> UsageError:
    """Make the error for an argument that must be one of a few values.

    Parameters
    ----------
    argument
        Its name.
    value
        What was given.
    allowed
        What may be given.

    Examples
    --------
    >>> str(one_of("stream", "sistem", ["default", "system"]))
    "`stream` must be one of 'default', 'system'; got 'sistem'. Did you mean 'system'?"
    """
    names = list(allowed)
    listed = ", ".join(repr(each) for each in names)
    return UsageError(
        f"`{argument}` must be one of {listed}; got {value!r}.{did_you_mean(str(value), names)}"
    )


# What was raised where another library may make its own error of it; a traceback would hold what was read.
_remembered: deque[WbframeError | WbframeWarning] = deque(maxlen=8)


def remember(error: WbframeError | WbframeWarning) -> None:
    """Keep what is about to be raised into another library, for `unwrap`."""
    kept = copy.copy(error)
    kept.__cause__ = error.__cause__
    _remembered.append(kept)


def unwrap(error: BaseException) -> WbframeError | WbframeWarning | None:
    """Give the error of wbframe that an error of polars stands for.

    Parameters
    ----------
    error
        What was raised.

    Returns
    -------
    WbframeError, WbframeWarning or None
        The error itself if it is one, its cause or context if that is one, or the one that its message repeats,
        of the last few of this process; a warning where filters made an error of it. None if there is none.

    Examples
    --------
    >>> import polars as pl, wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     client = wbframe.Client(server.url, server.api_key)
    ...     lazy = pl.scan_wandb_runs("wbframe/no-such", client=client)
    ...     try:
    ...         pl.collect_all([lazy])
    ...     except pl.exceptions.ComputeError as error:
    ...         print(type(unwrap(error)).__name__)
    ProjectNotFoundError
    """
    met: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in met:
        if isinstance(link, WbframeError | WbframeWarning):
            return link
        met.add(id(link))
        link = link.__cause__ or link.__context__
    said = str(error)
    for each in reversed(_remembered):
        if f"{type(each).__name__}: {each}" in said:
            return each
    return None
