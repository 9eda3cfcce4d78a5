"""The server's filter language for runs: a Mongo-like JSON document, as a small algebra.

`parse` turns a mapping into frozen values and finds mistakes before any request; `to_json` spells
them for the wire; `conjoin` joins them. The language is the server's: an operator or a field that is not
known here goes to it as it is.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, Final, TypeAlias

from wbframe.errors import FilterError, did_you_mean
from wbframe.text import is_utf8

__all__ = [
    "EMPTY",
    "FIELDS",
    "OPERATORS",
    "And",
    "Field",
    "Filter",
    "Given",
    "Literal",
    "Nor",
    "Or",
    "Test",
    "check_regex",
    "check_sendable",
    "conjoin",
    "parse",
    "server_name",
    "to_dict",
    "to_json",
]

Literal: TypeAlias = "bool | int | float | str | tuple[Any, ...] | Given | None"

JOINERS: Final = ("$and", "$or", "$nor")
# What W&B documents for runs: https://github.com/wandb/wandb/pull/9406
TESTS: Final = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$regex")
OPERATORS: Final = JOINERS + TESTS
"""Every operator that W&B documents for runs."""

# W&B's own examples use both `display_name` and `displayName`; others work in both spellings too.
FIELDS: Final[Mapping[str, str]] = {
    "name": "name",
    "displayName": "displayName",
    "display_name": "displayName",
    "state": "state",
    "createdAt": "createdAt",
    "created_at": "createdAt",
    "heartbeatAt": "heartbeatAt",
    "heartbeat_at": "heartbeatAt",
    "updatedAt": "updatedAt",
    "duration": "duration",
    "group": "group",
    "host": "host",
    "jobType": "jobType",
    "job_type": "jobType",
    "tags": "tags",
    "username": "username",
    "user": "username",
    "sweep": "sweep",
    "entity": "entity",
    "notes": "notes",
    "description": "description",
}
"""The fields that are not keys of the config or the summary: each spelling and its main one."""

PREFIXES: Final = ("config.", "summary_metrics.")
# Names of ours that no server has, and what is no field by itself.
_OURS: Final = {
    "run_id": " The server calls a run's id `name`.",
    "sweep_name": " The server calls it `sweep`.",
    "updated_at": " The server calls it `updatedAt`.",
    "config": " Name a key: `config.<key>`.",
    "summary": " Name a key: `summary_metrics.<key>`.",
    "summary_metrics": " Name a key: `summary_metrics.<key>`.",
    "url": " The server cannot filter by it; filter the frame.",
}
# As near as this to a name is a slip of the pen; operators are short.
_NEAR, _NEAR_OPERATOR = 0.85, 0.65
# Operators that a server may well have, since MongoDB has them.
# fmt: off
_MONGO: Final = frozenset({
    "$not", "$all", "$contains", "$options", "$size", "$elemMatch", "$type", "$mod", "$expr", "$text", "$where",
    "$comment", "$search", "$near", "$nearSphere", "$geoWithin", "$geoIntersects", "$jsonSchema", "$slice",
    "$meta", "$rand", "$bitsAllSet", "$bitsAnySet", "$bitsAllClear", "$bitsAnyClear",
})
# fmt: on
# Stored as lists, or possibly so; yet to a list for `tags` W&B has answered HTTP 500:
# https://github.com/wandb/wandb/issues/4068
_LISTS: Final = ("tags", *PREFIXES)
_DEEPEST: Final = 100


@dataclass(frozen=True, slots=True)
class Given:
    """What stands under an operator that is not known here, as JSON text; it goes to the server as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Test:
    """One operator and its literal, such as ``$gte 0.1``; lists are tuples."""

    __test__ = False  # not a test class for pytest

    operator: str
    literal: Literal


@dataclass(frozen=True, slots=True)
class Field:
    """One field and the tests that it must all pass; `bare` when written as ``{field: value}``."""

    name: str
    tests: tuple[Test, ...]
    bare: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """Every operand holds; `implicit` when written as several keys of one mapping."""

    operands: tuple[Filter, ...]
    implicit: bool = False


@dataclass(frozen=True, slots=True)
class Or:
    """At least one operand holds."""

    operands: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Nor:
    """No operand holds."""

    operands: tuple[Filter, ...]


Filter: TypeAlias = "And | Or | Nor | Field"

EMPTY: Final = And((), implicit=True)
"""The filter that every run fits, ``{}``."""

_JOINS: Final[Mapping[str, type[And | Or | Nor]]] = {"$and": And, "$or": Or, "$nor": Nor}
_SPELLED: Final[Mapping[type, str]] = {And: "$and", Or: "$or", Nor: "$nor"}


def parse(filters: Mapping[str, Any]) -> Filter:
    """Read a filter document and check it.

    Parameters
    ----------
    filters
        The document, as the official SDK takes it. A bare value means ``$eq``, several keys are
        ANDed, and a mapping of operators gives several tests of one field. Literals are JSON
        values; a `datetime` becomes ISO text in UTC (a naive one is taken to be UTC), a `date`
        becomes ISO text.

    Returns
    -------
    Filter
        The same filter as frozen, hashable values, which keep the spelling and the order given.

    Raises
    ------
    FilterError
        A literal that JSON does not have, an operand of the wrong shape, more than 100 levels of
        nesting, or a name that is surely none of the server's: a column of the runs frame that is
        called otherwise there, or a slip of the pen in a field or an operator.

    Examples
    --------
    >>> to_json(parse({"state": "finished", "config.lr": {"$gte": 1e-05}}))
    '{"state":"finished","config.lr":{"$gte":0.00001}}'
    """
    return _parse(filters, 0)


def _parse(filters: object, depth: int) -> Filter:
    """Read one document, which may stand inside another."""
    if not isinstance(filters, dict) and not hasattr(filters, "items"):
        raise FilterError(f"A filter is a mapping of fields and operators; got {filters!r:.80}.")
    if depth > _DEEPEST:
        raise FilterError(f"The filter nests more than {_DEEPEST} levels deep; flatten it.")
    operands = [_entry(name, value, depth) for name, value in filters.items()]
    if len(operands) == 1:
        return operands[0]
    return And(tuple(operands), implicit=True)


def _entry(name: object, value: object, depth: int) -> Filter:
    """Read one key of a document and what stands under it."""
    if not isinstance(name, str):
        raise FilterError(f"The keys of a filter are text; got {name!r}.")
    if name in JOINERS:
        if not isinstance(value, (list, tuple)):  # an empty one goes as it is, too
            raise FilterError(f"`{name}` takes a list of one or more filters; got {value!r:.80}.")
        return _JOINS[name](tuple(_parse(each, depth + 1) for each in value))
    if name in TESTS:
        raise FilterError(f"`{name}` belongs under a field, as in {{'state': {{'{name}': ...}}}}.")
    if name.startswith("$"):
        _check_operator(name)
        return Field(name, (Test("$eq", _given(name, value, depth)),), bare=True)
    _check_field(name)
    if not hasattr(value, "items"):
        return Field(name, (_test(name, "$eq", value, bare=True),), bare=True)
    if not value:
        raise FilterError(f"`{name}` has no operator; give a value or {{'$eq': value}}.")
    return Field(name, tuple(_test(name, key, each, depth) for key, each in value.items()))


def _check_operator(name: str) -> None:
    """Refuse a slip of the pen; who knows what other operators the server has."""
    if name not in _MONGO and difflib.get_close_matches(name, OPERATORS, cutoff=_NEAR_OPERATOR):
        raise FilterError(
            f"The filter language has no operator `{name}`; it has {' '.join(OPERATORS)}."
            f"{did_you_mean(name, OPERATORS)}"
        )


def _given(field: str, value: object, depth: int) -> Given:
    """Keep what stands under an operator that is not known here."""
    return Given(_spell(_json(field, value, depth)))


def _json(field: str, value: object, depth: int) -> Any:
    """Turn a value, which may nest, into what JSON has."""
    if depth > _DEEPEST:
        raise FilterError(f"The filter nests more than {_DEEPEST} levels deep; flatten it.")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise FilterError(f"The keys of a filter are text; got {value!r:.80}.")
        return {key: _json(field, each, depth + 1) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        listed = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return [_json(field, each, depth + 1) for each in listed]
    return _literal(field, value)


def _check_field(name: str) -> None:
    """Refuse a field that is surely none of the server's; who knows what others it has."""
    if name in FIELDS or any(name.startswith(each) and name != each for each in PREFIXES):
        return
    hint = _OURS.get(name)
    if hint is None and name.startswith("summary."):
        hint = f" The server calls it `summary_metrics.{name.removeprefix('summary.')}`."
    if hint is None and name in PREFIXES:
        hint = f" Name a key: `{name}<key>`."
    if (
        hint is None
        and "." not in name
        and difflib.get_close_matches(name.lower(), [each.lower() for each in FIELDS], cutoff=_NEAR)
    ):
        hint = did_you_mean(name, FIELDS)
        hint += " A key of the config is `config.<key>`, of the summary `summary_metrics.<key>`."
    if hint is not None:
        raise FilterError(f"Runs have no field `{name}` to filter by.{hint}")


def _test(
    field: str, operator: object, value: object, depth: int = 0, *, bare: bool = False
) -> Test:
    """Read one operator and its literal."""
    if not isinstance(operator, str) or not operator.startswith("$"):
        raise FilterError(
            f"`{field}` mixes values and operators: {operator!r} is no operator. "
            f"Reach into nested keys with dots, as in `{field}.{operator}`."
        )
    if operator in JOINERS:
        raise FilterError(f"`{operator}` takes filters, so that it belongs outside of `{field}`.")
    if operator not in TESTS:
        _check_operator(operator)
        return Test(operator, _given(field, value, depth + 1))
    if operator in ("$in", "$nin"):
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise FilterError(f"`{operator}` on `{field}` takes a list; got {value!r:.80}.")
        listed = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return Test(operator, tuple(_literal(field, each) for each in listed))
    if operator == "$exists":
        if not isinstance(value, bool):
            raise FilterError(f"`$exists` on `{field}` takes True or False; got {value!r:.80}.")
        return Test(operator, value)
    if operator == "$regex":
        if not isinstance(value, str):
            raise FilterError(f"`$regex` on `{field}` takes text; got {value!r:.80}.")
        check_regex(field, value)
        return Test(operator, value)
    return Test(operator, _operand(field, operator, value, bare=bare))


def _operand(field: str, operator: str, value: object, *, bare: bool) -> Literal:
    """Read the literal of an equality or an order."""
    if isinstance(value, (list, tuple, set, frozenset)):
        if operator not in ("$eq", "$ne") or not field.startswith(_LISTS):
            wanted = "{'$in': [...]}" if operator == "$eq" else "one value"
            raise FilterError(f"`{field}` is compared with a list; give {wanted}.")
        if bare and isinstance(value, (set, frozenset)):
            raise FilterError(f"`{field}` is compared with a set; give {{'$in': [...]}}.")
        return tuple(_literal(field, each) for each in value)
    literal = _literal(field, value)
    if literal is None and operator not in ("$eq", "$ne"):
        raise FilterError(f"`{operator}` on `{field}` takes a number or text; got None.")
    return literal


def _literal(field: str, value: object) -> Literal:
    """Turn one value into a JSON value."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(timezone.utc)
        return value.replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        if math.isfinite(number):
            return number
        raise FilterError(f"`{field}` is compared with {number}, which JSON cannot spell.")
    raise FilterError(
        f"`{field}` is compared with a value of type {type(value).__name__}; "
        "a literal is text, a number, True, False, None or a datetime."
    )


def server_name(field: str) -> str:
    """Give the main spelling of a field, such as ``displayName`` for ``display_name``.

    Keys of the config and the summary are given back unchanged.

    Examples
    --------
    >>> server_name("job_type"), server_name("config.lr")
    ('jobType', 'config.lr')
    """
    return FIELDS.get(field, field)


def conjoin(*filters: Filter) -> Filter:
    """Join filters so that a run must fit them all.

    Empty ones vanish, and ``$and`` inside ``$and`` becomes one list.

    Examples
    --------
    >>> to_json(conjoin(parse({"state": "finished"}), EMPTY, parse({"group": "a"})))
    '{"$and":[{"state":"finished"},{"group":"a"}]}'
    """
    asked = [each for each in filters if each != EMPTY]
    if len(asked) < 2:  # noqa: PLR2004 - as it is
        return asked[0] if asked else EMPTY
    flat: list[Filter] = []
    for each in asked:
        joined = isinstance(each, And) and not each.implicit and each.operands
        flat.extend(each.operands if isinstance(each, And) and joined else (each,))
    return And(tuple(flat))


def check_sendable(filter: Filter) -> None:  # noqa: A002 - the word of the protocol
    """Refuse a filter of text that no run is found by: halves of surrogate pairs.

    Raises
    ------
    FilterError
        If it holds one.
    """
    for text in _texts(to_dict(filter)):
        if not is_utf8(text):
            raise FilterError(
                f"A filter cannot hold half of a surrogate pair, as {text!r:.80} does."
            )


def _texts(value: Any) -> Iterator[str]:
    """Give every text within a JSON value, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def to_dict(filter: Filter) -> dict[str, Any]:  # noqa: A002 - the word of the protocol
    """Give the document of a filter: plain dicts, lists and literals.

    Examples
    --------
    >>> to_dict(parse({"config.lr": {"$in": (1, 2)}}))
    {'config.lr': {'$in': [1, 2]}}
    """
    if isinstance(filter, Field):
        tests = {each.operator: _plain(each.literal) for each in filter.tests}
        return {filter.name: tests["$eq"] if filter.bare else tests}
    if isinstance(filter, And) and filter.implicit:
        merged: dict[str, Any] = {}
        for each in filter.operands:
            merged.update(to_dict(each))
        return merged
    return {_SPELLED[type(filter)]: [to_dict(each) for each in filter.operands]}


def _plain(literal: Literal) -> Any:
    """Turn tuples back into lists, and what was given into what it is."""
    if isinstance(literal, Given):
        return json.loads(literal.text)
    return [_plain(each) for each in literal] if isinstance(literal, tuple) else literal


def to_json(filter: Filter) -> str:  # noqa: A002 - the word of the protocol
    """Spell a filter as the compact JSON text that goes over the wire.

    Numbers are spelled in plain decimal, because the server does not find floats by their
    scientific notation.

    Examples
    --------
    >>> to_json(parse({"config.lr": 1e-07}))
    '{"config.lr":0.0000001}'
    """
    return _spell(to_dict(filter))


def _spell(value: Any) -> str:
    """Spell one JSON value without blanks and without exponents."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{_spell(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spell, value)) + "]"
    if isinstance(value, float):
        # Numbers in scientific notation have not been found: https://github.com/wandb/wandb/issues/2947
        plain = format(Decimal(repr(value)), "f")
        return plain if "." in plain else f"{plain}.0"  # read as whole it would be another number
    return json.dumps(value)


# Python's `re` knows more than RE2: back-references, look-around, atomic and conditional groups,
# comments, flags, possessive quantifiers and `\Z`.
# https://github.com/google/re2/wiki/Syntax
_FOREIGN: Final = re.compile(
    r"\\[1-9Z]|\(\?P=|\(\?=|\(\?!|\(\?<[=!]|\(\?>|\(\?\(|\(\?#|\(\?[a-zA-Z]*[aLux]|[*+?}]\+"
)
# A class that is not closed ends with the pattern, lest each of its brackets is searched for the end anew.
_ATOM: Final = re.compile(r"\\(.)|\[\^?\]?(?:\\.|[^\]\\])*(?:\]|\\?\Z)", re.DOTALL)


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
        compiled(pattern)
    except (re.error, ValueError, OverflowError, RecursionError) as error:
        raise FilterError(
            f"`$regex` on `{field}` is no regular expression: {error} in {pattern!r:.80}."
        ) from None


@lru_cache(maxsize=256)
def compiled(pattern: str) -> re.Pattern[str]:
    """Compile as RE2 reads it: the digit and word classes are ASCII."""
    return re.compile(pattern, re.ASCII)
