"""What a server says of its data is a hint; here hints are weighed.

An index, a count, a last step, a bound, or the words of a refusal may be absent, stale, wrong, or in another
form. What is absent or cannot be read is unknown, never none. A hint may cost requests; it never costs a row, a
column, a value, or the read: what came is compared with what was owed, and what is optional is replaced.

Nor is there an end to what a server may make up. What is more than anyone has is an error, before it takes memory
or time without end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

from wbframe.errors import (
    AccessError,
    AnswerError,
    ConnectionFailedError,
    QueryError,
    RateLimitError,
    RequestError,
    SchemaMismatchError,
    TimedOutError,
    WbframeError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import msgspec

__all__ = [
    "MOST_FILES",
    "MOST_FRUITLESS",
    "MOST_KEYS",
    "MOST_LOOKED_AT",
    "MOST_PAGES",
    "check_keys",
    "is_cap",
    "is_lasting",
    "is_of_request",
    "is_of_size",
    "more_than",
    "spread",
    "whole",
    "widened",
]

_Item = TypeVar("_Item")
# Runs that are looked at where no hint says enough.
MOST_LOOKED_AT = 20
# Keys of one run, or of all runs of a read.
MOST_KEYS = 1_000_000
# Exported files of one run: W&B writes one for some thousands of rows.
MOST_FILES = 10_000
# Pages of one list, and those in a row that bring nothing new though there should be more.
MOST_PAGES = 100_000
MOST_FRUITLESS = 3
# JSON of keys and their counts has ten quotes for each; with so many a key it is not even read.
_QUOTES_A_KEY = 12
# Servers were seen to end, or to thin out, lists of rows at 500, 1000 and 2000.
_ROUND = 500
# Statuses from here on say that the server failed, rather than that it refuses.
_FAILS, _NOT_BUILT = 500, 501


def whole(value: object) -> int | None:
    """Read a whole number from 0 on, which may be spelled as a fraction or as text; None for anything else.

    Examples
    --------
    >>> [whole(each) for each in (3, "3", 3.0, "3.0", -1, None, "many", True)]
    [3, 3, 3, 3, None, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
        found = int(value) if isinstance(value, int) else int(number)
    except (ValueError, OverflowError):
        return None
    return found if number >= 0 and math.isfinite(number) else None


def spread(items: Sequence[_Item], most: int = MOST_LOOKED_AT) -> list[_Item]:
    """Choose the first, the last, and some between, evenly.

    Examples
    --------
    >>> spread(range(100), 5)
    [0, 25, 50, 74, 99]
    >>> spread("ab", 5)
    ['a', 'b']
    """
    if len(items) <= most:
        return list(items)
    step = (len(items) - 1) / (most - 1)
    return [items[round(i * step)] for i in range(most)]


def widened(min_step: int | None, max_step: int | None) -> tuple[int | None, int | None]:
    """Give the window to ask for, a step wider on each side; what is not wanted is cut where it is read.

    Either bound is inclusive of some hosts and exclusive of others, and windows of one step have come back empty.

    Examples
    --------
    >>> widened(5, 6), widened(0, None)
    ((4, 7), (None, None))
    """
    low = min_step - 1 if min_step else None
    return low, None if max_step is None else max_step + 1


def is_cap(rows: int) -> bool:
    """Tell whether so many rows may be as many as a server gives at the most: caps are round numbers.

    Examples
    --------
    >>> [is_cap(rows) for rows in (0, 499, 500, 2000)]
    [False, False, True, True]
    """
    return rows > 0 and rows % _ROUND == 0


def is_of_size(error: WbframeError) -> bool:
    """Tell whether the server says that too much was asked, rather than failing with no word of it."""
    status = getattr(error, "status", None)
    vague = isinstance(error, TimedOutError | RateLimitError) or status in {500, 504}
    return error.too_big and not vague


def is_lasting(error: WbframeError) -> bool:
    """Tell whether the same request would fail so again; of a server that fails or is slow, nobody knows."""
    status = getattr(error, "status", None) or 0
    return not isinstance(error, TimedOutError) and (status < _FAILS or status == _NOT_BUILT)


def is_of_request(error: WbframeError) -> bool:
    """Tell whether an error may be of what was asked, so that less, or the same in other words, may be answered.

    The words of refusals differ from host to host, so all count, but those of the key, of the rate, and of the
    network: what is asked makes no difference to these.
    """
    if isinstance(error, TimedOutError):
        return True
    if isinstance(error, RateLimitError | ConnectionFailedError | SchemaMismatchError):
        return False
    return isinstance(error, QueryError | AnswerError | RequestError | AccessError)


# ---------------------------------------------------------------- more than anyone has


def more_than(most: int, what: str, *, asked: str, advice: str) -> AnswerError:
    """Make the error of a server that gives more than anyone has.

    Examples
    --------
    >>> str(more_than(1_000_000, "keys", asked="the fields", advice="name the columns to read"))
    'could not read the fields: the server gives more than 1,000,000 keys; name the columns to read'
    """
    return AnswerError(
        f"could not read {asked}: the server gives more than {most:,} {what}; {advice}"
    )


def check_keys(raw: bytes | msgspec.Raw, asked: str) -> None:
    """Check that JSON does not hold more keys than a run can have: read, they take many times its size.

    Raises
    ------
    AnswerError
        If it does.

    Examples
    --------
    >>> check_keys(b'{"loss": 0.5}', "the summary of run 'r'")
    """
    # This is of every run, and quotes are not counted at once.
    most = _QUOTES_A_KEY * MOST_KEYS
    if len(memoryview(raw)) > most and bytes(raw).count(b'"') > most:
        raise more_than(MOST_KEYS, "keys", asked=asked, advice="leave this run out by a filter")
