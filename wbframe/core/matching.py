"""One test of the filter language against one stored value, in three-valued logic."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from wbframe.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MISSING", "Reading", "Truth", "all_of", "check_regex", "decide", "negate", "time_key"]

Reading: TypeAlias = Literal["mongo", "sql"]
Truth: TypeAlias = "bool | None"  # None is unknown


class Missing(Enum):
    """The type of `MISSING`, so that it stays one object across pickling."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING
"""What a lookup gives for a key that a run does not have."""

_TIMES: Final = frozenset({"createdAt", "heartbeatAt", "updatedAt"})
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?)?)?"
    r"(?:Z|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)
# Python's `re` knows more than RE2: back-references, look-around, atomic and conditional groups,
# comments, flags, possessive quantifiers and `\Z`.
_FOREIGN: Final = re.compile(
    r"\\[1-9Z]|\(\?P=|\(\?=|\(\?!|\(\?<[=!]|\(\?>|\(\?\(|\(\?#|\(\?[a-zA-Z]*[aLux]|[*+?}]\+"
)
_ATOM: Final = re.compile(r"\\(.)|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def negate(truth: Truth) -> Truth:
    """Negate; the negation of unknown is unknown."""
    return None if truth is None else not truth


def all_of(truths: Iterable[Truth]) -> Truth:
    """Conjoin: False if one is False, else unknown if one is unknown."""
    unknown = False
    for each in truths:
        if each is False:
            return False
        unknown = unknown or each is None
    return None if unknown else True


def decide(field: str, value: Any, operator: str, literal: Any, reading: Reading) -> Truth:
    """Say whether a stored value passes one test; None is unknown.

    Parameters
    ----------
    field
        The main spelling of the field; times compare as times.
    value
        What is stored, or `MISSING`.
    operator, literal
        The test; lists are tuples.
    reading
        What a missing key or a null means.
    """
    if operator == "$exists":
        absent = value is MISSING or (reading == "sql" and value is None)
        return absent is not literal
    if operator in ("$ne", "$nin"):
        positive = "$eq" if operator == "$ne" else "$in"
        return negate(decide(field, value, positive, literal, reading))
    if value is MISSING:
        value = None
    wanted = literal if operator == "$in" else (literal,)
    if reading == "sql" and value is None:
        return None
    if operator in ("$eq", "$in"):
        found = any(_equals(field, value, each) for each in wanted)
        return None if not found and reading == "sql" and None in wanted else found
    candidates = value if isinstance(value, (list, tuple)) else (value,)
    if operator == "$regex":
        pattern = _compiled(literal)
        return any(isinstance(each, str) and bool(pattern.search(each)) for each in candidates)
    return any(_ordered(field, each, operator, literal) for each in candidates)


def _equals(field: str, value: Any, literal: Any) -> bool:
    """Compare a stored value with a literal: itself, or one of its elements."""
    if isinstance(value, (list, tuple)):
        if isinstance(literal, tuple):
            return len(value) == len(literal) and all(
                _equals(field, each, other) for each, other in zip(value, literal, strict=True)
            )
        return any(_equals(field, each, literal) for each in value)
    kind, stored = _kind(field, value)
    return (kind, stored) == _kind(field, literal) and kind != "other"


def _ordered(field: str, value: Any, operator: str, literal: Any) -> bool:
    """Order a stored value and a literal of the same kind."""
    kind, stored = _kind(field, value)
    other, bound = _kind(field, literal)
    if kind != other or kind in ("null", "other"):
        return False
    if operator == "$gt":
        return bool(stored > bound)
    if operator == "$gte":
        return bool(stored >= bound)
    return bool(stored < bound) if operator == "$lt" else bool(stored <= bound)


def _kind(field: str, value: Any) -> tuple[str, Any]:
    """Give the kind of a value and what to compare of it."""
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, float) and not math.isfinite(value):
        return "text", "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, (int, float)):
        return "number", value
    if isinstance(value, str):
        return "text", time_key(value) if field in _TIMES else value
    return "other", None


@lru_cache(maxsize=4096)
def time_key(text: str) -> str:
    """Spell a time so that text order is time order; other text is given back.

    Examples
    --------
    >>> time_key("2022-03-09 10:15:30.500+02:00"), time_key("2022-03-09T10")
    ('2022-03-09T08:15:30.5', '2022-03-09T10:00:00')
    """
    found = _TIME.fullmatch(text)
    if found is None:
        return text
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = found.groups()
    numbers = (int(each) if each else least for each, least in zip(
        (year, month, day, hour, minute, second), (1, 1, 1, 0, 0, 0), strict=True))  # fmt: skip
    try:
        moment = datetime(*numbers, tzinfo=timezone.utc)  # type: ignore[arg-type,misc]
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            moment = moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError):  # the 30th of February, or before the year 1
        return text
    rest = (fraction or "").rstrip("0")
    return moment.replace(tzinfo=None).isoformat() + (f".{rest}" if rest else "")


def check_regex(field: str, pattern: str) -> None:
    """Refuse a pattern that the server's RE2 cannot read.

    Raises
    ------
    FilterError
        The pattern looks around, refers back, or is no regular expression.
    """
    outside = _ATOM.sub(lambda atom: atom[0] if atom[1] in tuple("123456789Z") else "_", pattern)
    found = _FOREIGN.search(outside)
    if found:
        raise FilterError(
            f"`$regex` on `{field}` uses `{found[0]}`, which RE2 does not have: "
            "no look-around, back-reference, atomic group or possessive quantifier."
        )
    try:
        _compiled(pattern)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise FilterError(
            f"`$regex` on `{field}` is no regular expression: {error} in {pattern!r:.80}."
        ) from None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile as RE2 reads it: the digit and word classes are ASCII."""
    return re.compile(pattern, re.ASCII)
