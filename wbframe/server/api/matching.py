"""Whether a run fits a filter, in three-valued logic.

What the official backend does with missing keys is documented nowhere, so `matches` has two readings:
``"mongo"``, where a missing key is a value that differs from every other, and ``"sql"``, where a comparison with
it is unknown.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from wbframe.core.filters import (
    OPERATORS,
    And,
    Field,
    Filter,
    Given,
    Or,
    parse,
    server_name,
)
from wbframe.server.projects.wire import decode
from wbframe.text import as_utf8, legible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "MISSING",
    "PatternError",
    "Reading",
    "Truth",
    "all_of",
    "check_length",
    "check_patterns",
    "decide",
    "matches",
    "negate",
    "searched",
    "size",
    "time_key",
    "unknown_operators",
]

Reading: TypeAlias = Literal["mongo", "sql"]
Truth: TypeAlias = "bool | None"  # None is unknown


class Missing(Enum):
    """The type of `MISSING`, so that it stays one object across pickling."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING
"""What a lookup gives for a key that a run does not have."""

_LONGEST_PATTERN: Final = 10_000
_TIMES: Final = frozenset({"createdAt", "heartbeatAt", "updatedAt"})
_TIME: Final = re.compile(
    r"(\d{4})-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:\.(\d+))?)?)?)?)?"
    r"(?:Z|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)


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
    if isinstance(literal, Given):
        return _extra(field, value, operator, literal, reading)
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
        return any(isinstance(each, str) and _found(literal, each) for each in candidates)
    return any(_ordered(field, each, operator, literal) for each in candidates)


def _extra(field: str, value: Any, operator: str, literal: Given, reading: Reading) -> Truth:
    """Say whether a stored value passes a test that W&B does not document."""
    if operator == "$not":
        return negate(
            all_of(
                decide(field, value, each.operator, each.literal, reading)
                for each in _inner(field, literal).tests
            )
        )
    given = _value(literal)
    if value is MISSING or value is None:
        return None if reading == "sql" else False
    if isinstance(value, str) and isinstance(given, str):
        return given in value
    return isinstance(value, (list, tuple)) and _equals(field, value, given)


# W&B has answered `$all` by HTTP 500: https://github.com/wandb/wandb/issues/5967
_EXTRA: Final = ("$not", "$contains")


@lru_cache(maxsize=64)
def _value(literal: Given) -> Any:
    """Read what was given."""
    return decode(literal.text)


@lru_cache(maxsize=64)
def _inner(field: str, literal: Given) -> Field:
    """Give the tests of a field that stand under ``$not``."""
    inner = parse({field: _value(literal)})
    assert isinstance(inner, Field)
    return inner


class PatternError(ValueError):
    """A text is no regular expression of RE2."""


def check_length(pattern: str) -> None:
    """Refuse a regular expression that is too long.

    Raises
    ------
    PatternError
        It is.
    """
    if len(pattern) > _LONGEST_PATTERN:
        raise PatternError(f"a regular expression has at most {_LONGEST_PATTERN:,} characters")


def searched(pattern: str, texts: Sequence[str]) -> list[bool]:
    """Say in which texts a regular expression is found, as RE2 reads it: in a time that texts and it bound.

    Raises
    ------
    PatternError
        It looks around or refers back, is too long, or is none.

    Examples
    --------
    >>> searched("^(a+)+$", ["aaa", "a" * 5000 + "!"])
    [True, False]
    """
    check_length(pattern)
    # An empty text behind the others, since nothing is checked where nothing is searched.
    asked = pa.array([as_utf8(each) for each in (*texts, "")], pa.string())
    try:
        found = pc.match_substring_regex(asked, as_utf8(pattern))
    except pa.ArrowInvalid as error:
        raise PatternError(
            legible(str(error).removeprefix("Invalid regular expression: "))
        ) from None
    return found.to_pylist()[:-1]  # type: ignore[no-any-return]


@lru_cache(maxsize=1 << 15)
def _found(pattern: str, text: str) -> bool:
    """Search one text."""
    return searched(pattern, [text])[0]


def _tests(filter: Filter) -> Iterator[tuple[str, str, Any]]:  # noqa: A002 - the word of the protocol
    """Give each test of a filter, those under ``$not`` too: the field, the operator and the literal."""
    if not isinstance(filter, Field):
        for each in filter.operands:
            yield from _tests(each)
    elif filter.name == "$not":
        yield from _tests(_negated(filter.tests[0].literal))
    else:
        for test in filter.tests:
            if test.operator == "$not" and isinstance(test.literal, Given):
                yield from _tests(_inner(filter.name, test.literal))
            else:
                yield filter.name, test.operator, test.literal


def check_patterns(filter: Filter) -> None:  # noqa: A002 - as above
    """Refuse a filter that has a regular expression which RE2 does not read.

    Raises
    ------
    PatternError
        It has one.
    """
    for field, operator, literal in _tests(filter):
        if operator == "$regex":
            try:
                searched(literal, [])
            except PatternError as error:
                raise PatternError(
                    f"`$regex` on `{field}` is no regular expression: {error} in {literal!r:.80}."
                ) from None


def size(filter: Filter) -> int:  # noqa: A002 - as above
    """Count what a run is compared with at the most."""
    return sum(len(each) if isinstance(each, tuple) else 1 for _, _, each in _tests(filter)) or 1


def unknown_operators(filter: Filter) -> list[str]:  # noqa: A002 - the word of the protocol
    """Name the operators of a filter that this server does not have."""
    if not isinstance(filter, Field):
        return [name for each in filter.operands for name in unknown_operators(each)]
    known = (*OPERATORS, *_EXTRA)
    names = [each.operator for each in filter.tests if each.operator not in known]
    if filter.name == "$not":
        return [*names, *unknown_operators(_negated(filter.tests[0].literal))]
    return [filter.name, *names] if filter.name.startswith("$") else names


@lru_cache(maxsize=64)
def _negated(literal: Any) -> Filter:
    """Give the filter that stands under ``$not``."""
    return parse(_value(literal) if isinstance(literal, Given) else {})


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


def matches(
    filter: Filter,  # noqa: A002 - the word of the protocol
    lookup: Callable[[str], Any],
    *,
    reading: Reading = "mongo",
) -> bool:
    """Say whether one run fits a filter.

    Parameters
    ----------
    filter
        What the run must fit.
    lookup
        Gives the stored value of a field, or `MISSING`. It is asked for the main spelling
        (``displayName``, never ``display_name``) and for keys of the config and the summary as
        the filter spells them (``config.lr`` or ``config.lr.value``).
    reading
        What a missing key or a null means. ``"mongo"``: it equals None only, so ``$ne`` and
        ``$nin`` hold. ``"sql"``: every comparison with it is unknown, so is the negation of an
        unknown, and a run fits only what is known to hold.

    Returns
    -------
    bool
        True when the run fits.

    Notes
    -----
    A list fits a test when one of its elements does, or when it equals a literal list. Values
    compare with literals of their own kind only: numbers, text, booleans. Times compare as
    times, whether or not they are spelled with a ``Z`` or a fraction; a time cut short, such as
    ``2022-03-09T10``, means its beginning. Non-finite numbers are stored as the texts ``NaN``,
    ``Infinity`` and ``-Infinity``.

    Examples
    --------
    >>> from wbframe.core.filters import parse
    >>> run = {"state": "finished"}
    >>> matches(parse({"group": {"$ne": "a"}}), lambda field: run.get(field, MISSING))
    True
    >>> matches(
    ...     parse({"group": {"$ne": "a"}}), lambda field: run.get(field, MISSING), reading="sql"
    ... )
    False
    """
    return _truth(filter, lookup, reading) is True


def _truth(
    filter: Filter,  # noqa: A002 - the word of the protocol
    lookup: Callable[[str], Any],
    reading: Reading,
) -> Truth:
    """Evaluate a filter; None is unknown."""
    if isinstance(filter, Field) and filter.name == "$not":
        return negate(_truth(_negated(filter.tests[0].literal), lookup, reading))
    if isinstance(filter, Field):
        field = server_name(filter.name)
        value = lookup(field)
        return all_of(decide(field, value, t.operator, t.literal, reading) for t in filter.tests)
    truths = [_truth(each, lookup, reading) for each in filter.operands]
    if isinstance(filter, And):
        return all_of(truths)
    holds = negate(all_of(negate(each) for each in truths))
    return holds if isinstance(filter, Or) else negate(holds)
