"""What a predicate may ask of the server: every form here may only widen.

The server answers for the stored value, the predicate for the column of the frame, and neither
the meaning of a missing key nor the comparison of unlike types is documented. So each form below
is one that keeps every row which the predicate keeps, whatever of the following holds:

- a missing key or a null equals None only (``$ne`` holds), or makes a comparison unknown;
- NaN and infinities of a summary are indexed as text, as null or not at all (those of a config
  are text or, as the SDK uploads them, null in the answer too);
- a text column holds numbers, booleans, lists and dicts in their JSON spelling;
- an integer above 2**53 is compared exactly or as a double, and the frame has it rounded;
- a number stored in scientific notation is not found by equality;
- text is compared by bytes or by a collation that ignores case;
- a time is answered in whole seconds and compared with its fraction;
- ``$regex`` searches, and may not know anchors.

It rests on two things that do not vary: a config key is stored under ``value``, as every SDK
writes it, and decoding is strict: a Float64 column holds JSON numbers and the texts ``NaN``,
``Infinity`` and ``-Infinity``, a Boolean column booleans, and anything else is an error.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from wbframe.core.filters import Field, Filter, Or, Test, conjoin
from wbframe.core.model import EXACT
from wbframe.core.pushdown import tree as ex

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

__all__ = ["Local", "Pushed", "translate"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """A server filter that keeps every row of the predicate; `reason` says why it keeps more."""

    filter: Filter
    exact: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Local:
    """The predicate, or a part of it, is not for the server."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a column is stored: the server's field, its sort, and whether it is a whole number."""

    field: str
    sort: str  # id, state, text, user, time, tags, or for keys: number, bool, words
    metric: bool = False  # a key of the summary, whose non-finite numbers may be indexed as null
    whole: bool = False


# The names that W&B documents for filters, of which `name` is the run's id:
# https://github.com/wandb/wandb/pull/9406
_META: Final = {
    "run_id": ("name", "id"),
    "name": ("displayName", "text"),
    "state": ("state", "state"),
    "created_at": ("createdAt", "time"),
    "heartbeat_at": ("heartbeatAt", "time"),
    "user": ("username", "user"),
    "group": ("group", "text"),
    "job_type": ("jobType", "text"),
    "sweep": ("sweep", "text"),
    "tags": ("tags", "tags"),
}
_ODD_KEY: Final = re.compile(r"[.\"'`\\$*\[\]{}\x00-\x1f\x7f]")
# https://github.com/wandb/wandb/issues/2947
_PLAIN: Final = (1e-4, 1e16)  # Python spells numbers outside in scientific notation
# How long a pattern may be is not documented.
_LONGEST_PATTERN: Final = 1000
_SECOND: Final = timedelta(seconds=1)
# As text they are what servers make of numbers: https://github.com/wandb/sweeps/pull/32
_TOKENS: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_ABOVE: Final = ("NaN", "Infinity")  # polars: NaN is the greatest number
_BELOW: Final = ("-Infinity",)
# Patterns that Rust's regex and RE2 read alike, with or without regard to case: ASCII literals,
# dots, groups, alternatives, plain classes and single quantifiers.
# https://docs.rs/regex/latest/regex/#syntax, https://github.com/google/re2/wiki/Syntax
_ALIKE: Final = re.compile(
    r"(?:[(|]|(?:[\w \-/@:=,%#!~'\"<>&;)]|\\[.+*?()|\[\]{}^$/-]|\.|"
    r"\[(?:[A-Za-z]-[A-Za-z]|\d-\d|[\w ./])+\])(?:[*+?]\??)?)+",
    re.ASCII,
)
_SPECIAL: Final = re.compile(r"([\\.+*?()|\[\]{}^$])")


def translate(node: ex.Node, schema: Mapping[str, pl.DataType]) -> Pushed | Local:
    """Turn a tree, its negations at the leaves, into a server filter that may only widen.

    Parameters
    ----------
    node
        A tree of `nodes.negations_to_leaves`.
    schema
        The columns of the runs frame and their types.

    Returns
    -------
    Pushed | Local
        The filter, or why there is none.
    """
    if isinstance(node, ex.And):
        return _conjunction([translate(each, schema) for each in node.operands])
    if isinstance(node, ex.Or):
        return _disjunction([translate(each, schema) for each in node.operands])
    negated = isinstance(node, ex.Not)
    leaf = node.operand if isinstance(node, ex.Not) else node
    if isinstance(leaf, ex.Column):
        return _compare(leaf, "==", not negated, schema)
    if isinstance(leaf, ex.IsNull):
        return _null_test(leaf.operand, schema) if negated else Local(_NULLS)
    if isinstance(leaf, ex.IsIn):
        return _is_in(leaf, schema, negated=negated)
    # W&B does not list `$not` for runs, and `$nor` may keep or drop what lacks the key.
    if negated:
        return Local("the negation of this is not known to keep every row")
    if isinstance(leaf, ex.Compare):
        parts = ex.compared(leaf)
        if parts is None:
            return Local("it compares with something other than a plain constant")
        return _compare(*parts, schema)
    if isinstance(leaf, ex.IsBetween):
        return _conjunction([translate(each, schema) for each in ex.comparisons(leaf)])
    if isinstance(leaf, ex.TextMatch):
        return _text_match(leaf, schema)
    if isinstance(leaf, ex.ListContains):
        return _list_contains(leaf, schema)
    return Local("the server has no such test")


# Keys that are null have been found by no filter at all: https://github.com/wandb/wandb/issues/1107
_NULLS: Final = "a missing key and a null are not told apart by every server"


def _conjunction(parts: list[Pushed | Local]) -> Pushed | Local:
    """Join by AND: a part that cannot be pushed is left out, which only widens."""
    pushed = [each for each in parts if isinstance(each, Pushed)]
    if not pushed:
        return parts[0]
    exact = all(isinstance(each, Pushed) and each.exact for each in parts)
    reason = next((each.reason for each in parts if each.reason), "")
    return Pushed(conjoin(*(each.filter for each in pushed)), exact, reason)


def _disjunction(parts: list[Pushed | Local]) -> Pushed | Local:
    """Join by OR: every part must be pushed."""
    pushed = []
    for each in parts:
        if isinstance(each, Local):
            return Local(f"one alternative stays here: {each.reason}")
        pushed.append(each)
    exact = all(each.exact for each in pushed)
    reason = next((each.reason for each in pushed if each.reason), "")
    return Pushed(_any_of(each.filter for each in pushed), exact, reason)


def _any_of(filters: Iterable[Filter]) -> Filter:
    """Join by OR, flat."""
    flat: list[Filter] = []
    for each in filters:
        flat.extend(each.operands if isinstance(each, Or) else (each,))
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def _is(field: str, operator: str, literal: Any) -> Field:
    """Make one test of one field; equality is spelled bare."""
    return Field(field, (Test(operator, literal),), bare=operator == "$eq")


def _target(node: ex.Node, schema: Mapping[str, pl.DataType]) -> _Target | Local:
    """Find where a column is stored."""
    column = node.operand if isinstance(node, ex.Cast) else node
    if not isinstance(column, ex.Column):
        return Local("it computes with a column")
    dtype = schema.get(column.name)
    if dtype is None:
        return Local(f"the runs have no column `{column.name}`")
    name = dtype.base_type().__name__
    text = name in ("String", "Categorical", "Enum")
    harmless = (name, "String" if text else name, "Float64" if dtype.is_integer() else name)
    if isinstance(node, ex.Cast) and node.dtype not in harmless:
        return Local(f"it changes the type of `{column.name}`")
    if column.name in _META:
        field, sort = _META[column.name]
        fits = {"time": name == "Datetime", "tags": name == "List"}.get(sort, text)
        return _Target(field, sort) if fits else Local(f"`{column.name}` is of an unusual type")
    return _key_target(column.name, dtype, name)


def _key_target(column: str, dtype: pl.DataType, name: str) -> _Target | Local:
    """Find where a key of the config or the summary is stored."""
    prefix, dot, key = column.partition(".")
    if not dot or prefix not in ("config", "summary"):
        return Local(f"the server does not filter by `{column}`")
    if not key or "." in key:
        # https://github.com/wandb/wandb/issues/3087
        return Local("the server does not find keys that contain dots, and a nested key looks so")
    if _ODD_KEY.search(key):
        return Local("the key has characters that a path may read otherwise")
    metric = prefix == "summary"
    # Keys of a config lie under `value`, those of a summary do not: https://github.com/wandb/wandb/pull/9406
    field = f"summary_metrics.{key}" if metric else f"config.{key}.value"
    if name == "Float64" or dtype.is_integer():
        return _Target(field, "number", metric, whole=name != "Float64")
    if name == "Boolean":
        return _Target(field, "bool", metric)
    if name in ("String", "Categorical", "Enum"):
        return _Target(field, "words", metric)
    if name == "Unknown":
        return Local(f"`{column}` has the type that was asked for, and runs may hold it in others")
    return Local(f"the server does not compare {name}")


def _null_test(operand: ex.Node, schema: Mapping[str, pl.DataType]) -> Pushed | Local:
    """Push `is_not_null`."""
    target = _target(operand, schema)
    if isinstance(target, Local):
        return target
    if target.sort not in ("number", "bool", "words") or target.metric:
        return Local(_NULLS)
    return Pushed(_is(target.field, "$exists", True), exact=False, reason="a null may exist")  # noqa: FBT003


def _compare(
    operand: ex.Node, operator: str, value: Any, schema: Mapping[str, pl.DataType]
) -> Pushed | Local:
    """Push a comparison of a column with a constant."""
    if operator == "ne_missing" and value is None:
        return _null_test(operand, schema)
    if value is None or operator == "ne_missing":
        return Local(_NULLS)
    if operator == "eq_missing":
        operator = "=="
    target = _target(operand, schema)
    if isinstance(target, Local):
        return target
    if target.sort == "number":
        return _compare_number(target, operator, value)
    if target.sort == "time":
        return _compare_time(target.field, operator, value)
    if target.sort == "bool":
        if not isinstance(value, bool) or operator not in ("==", "!="):
            return Local("booleans are only compared with booleans, for equality")
        wanted = value is (operator == "==")
        return Pushed(_is(target.field, "$eq", wanted), exact=False, reason=_TYPES)
    if operator == "==":
        return _among(target, (value,))
    if operator == "!=" and target.sort == "state" and isinstance(value, str):
        return Pushed(_is("state", "$ne", value), exact=False, reason=_NULLS)
    # Self-managed servers keep runs in MySQL, whose default collation does not tell case:
    # https://dev.mysql.com/doc/refman/8.4/en/case-sensitivity.html
    return Local("the order of text, and what is unequal, depend on the server's collation")


_TYPES: Final = "the key may hold other types in other runs"


def _is_in(node: ex.IsIn, schema: Mapping[str, pl.DataType], *, negated: bool) -> Pushed | Local:
    """Push membership in constants."""
    target = _target(node.operand, schema)
    if isinstance(target, Local):
        return target
    if None in node.values and (negated or node.nulls_equal):
        return Local(_NULLS)
    values = tuple(each for each in node.values if each is not None)
    if not negated:
        return _among(target, values)
    if node.nulls_equal:  # null is then unequal to all of them
        return Local(_NULLS)
    if target.sort == "state" and all(isinstance(each, str) for each in values):
        return Pushed(_is("state", "$nin", values), exact=False, reason=_NULLS)
    return Local("what is unequal depends on nulls and on the server's collation")


def _among(target: _Target, values: tuple[Any, ...]) -> Pushed | Local:
    """Push that a column equals one of some constants."""
    wanted: list[Any] = []
    for each in values:
        candidates = _candidates(target, each)
        if isinstance(candidates, Local):
            return candidates
        wanted.extend(candidates)
    if not wanted:
        return Local("no constant is left, and an empty list is not sure to be understood")
    exact = target.sort in ("id", "state")
    reason = "" if exact else "text may be compared without regard to case"
    if target.sort in ("number", "bool", "words"):
        reason = _TYPES
    test = _is(target.field, "$in", tuple(wanted))
    # A bare value rather than a list of one: the form in all of W&B's examples.
    if len(wanted) == 1:
        test = _is(target.field, "$eq", wanted[0])
    if target.sort == "user":
        reason = "a user without a user name shows as the full name"
        unnamed = (_is(target.field, "$eq", ""), *_absent(target.field))
        return Pushed(Or((test, *unnamed)), exact, reason)
    return Pushed(test, exact, reason)


def _absent(field: str) -> tuple[Field, Field]:
    """Give the two tests of which one holds for a missing key and for a null on every server."""
    return _is(field, "$exists", False), _is(field, "$eq", None)  # noqa: FBT003


def _candidates(target: _Target, value: Any) -> tuple[Any, ...] | Local:
    """Give every stored value that the column may show as `value`."""
    if target.sort == "number":
        return _number_candidates(value)
    if target.sort == "bool" and isinstance(value, bool):
        return (value,)
    if target.sort in ("time", "tags", "bool") or not isinstance(value, str):
        return Local("the constant is of another type than the column")
    if target.sort != "words":
        return (value,) if value else Local("empty text and null may be stored alike")
    return _word_candidates(value)


def _number_candidates(value: Any) -> tuple[Any, ...] | Local:
    """Give the number to ask for, unless its stored spelling may hide it from the server."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Local("the constant is of another type than the column")
    if abs(value) >= EXACT:
        return Local("Float64 skips whole numbers of this size")
    if value and not _PLAIN[0] <= abs(value) < _PLAIN[1]:
        return Local("the server does not find numbers stored in scientific notation")
    return (int(value) if value == int(value) else value,)


def _word_candidates(value: str) -> tuple[Any, ...] | Local:
    """Give the text, and the number or boolean that is spelled so."""
    if value in _TOKENS or not value.strip():
        return Local("this text may be stored as something else")
    try:
        parsed = json.loads(value)
    except ValueError:
        return (value,)
    except RecursionError:
        return Local("this text may be stored as a list or a dict")
    if isinstance(parsed, bool):
        return (value, parsed)
    numbers = _number_candidates(parsed)
    if isinstance(numbers, Local):
        return Local("this text may be stored as something else")
    return (value, *numbers)


def _compare_number(target: _Target, operator: str, value: Any) -> Pushed | Local:
    """Push a comparison of numbers."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return Local("the constant is of another type than the column")
    if operator == "==":
        return _among(target, (value,))
    if operator == "!=":
        return Local("a missing key, a null and a NaN may all count as unequal")
    lower = operator in (">", ">=")
    if abs(value) >= EXACT:  # step aside by one double: the server may round, the frame does
        bound: Any = math.nextafter(float(value), -math.inf if lower else math.inf)
        if not math.isfinite(bound):
            return Local("the number is beyond every double")
        test = _is(target.field, "$gte" if lower else "$lte", bound)
    else:
        names = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
        bound = int(value) if value == int(value) else value
        test = _is(target.field, names[operator], bound)
    if target.whole:
        return Pushed(test, exact=False, reason=_TYPES)
    alternatives = [test, _is(target.field, "$in", _ABOVE if lower else _BELOW)]
    if target.metric:
        alternatives += _absent(target.field)
    return Pushed(Or(tuple(alternatives)), exact=False, reason=_NON_FINITE)


_NON_FINITE: Final = "numbers that are not finite are stored as text or null"


def _compare_time(field: str, operator: str, value: Any) -> Pushed | Local:
    """Push a comparison of times, with a second to spare on each side."""
    if not isinstance(value, datetime):
        return Local("the constant is no time")
    if value.tzinfo is None:
        return Local("the constant has no time zone")
    if operator == "!=":
        return Local("a null may count as unequal")
    try:
        second = value.astimezone(timezone.utc).replace(microsecond=0, tzinfo=None)
        # What is answered as 10:15:30 may be stored as 10:15:30.9 and compared as such.
        low, high = second - _SECOND, second + 2 * _SECOND
    except OverflowError:
        return Local("the time is at the end of the calendar")
    tests = []
    if operator in (">", ">=", "=="):
        tests.append(Test("$gte", f"{low.isoformat()}Z"))
    if operator in ("<", "<=", "=="):
        tests.append(Test("$lte", f"{high.isoformat()}Z"))
    reason = "times are answered in whole seconds and may be stored with more digits"
    return Pushed(Field(field, tuple(tests)), exact=False, reason=reason)


def _text_match(node: ex.TextMatch, schema: Mapping[str, pl.DataType]) -> Pushed | Local:
    """Push a search in text."""
    target = _target(node.operand, schema)
    if isinstance(target, Local):
        return target
    if target.sort == "words":
        return Local(
            "the column may spell numbers, lists or dicts, which the server does not search"
        )
    if target.sort not in ("id", "state", "text"):
        return Local("the column is no text")
    pattern = node.pattern
    if not pattern:
        return Local("it looks for the empty text")
    # No anchors, also where text must begin so: up to wandb 0.18 W&B said that it does not support them.
    if node.how != "regex":
        pattern = _SPECIAL.sub(r"\\\1", pattern)
    elif not _ALIKE.fullmatch(pattern):
        return Local("the server's regular expressions may read this pattern otherwise")
    if len(pattern) > _LONGEST_PATTERN:
        return Local(f"the pattern is longer than {_LONGEST_PATTERN:,} characters")
    if node.how == "regex":
        try:
            re.compile(pattern)
        except re.error:
            return Local("the pattern is no regular expression")
    reason = "the server searches anywhere, and may do so without regard to case"
    return Pushed(_is(target.field, "$regex", pattern), exact=False, reason=reason)


def _list_contains(node: ex.ListContains, schema: Mapping[str, pl.DataType]) -> Pushed | Local:
    """Push that the tags have an element."""
    target = _target(node.operand, schema)
    if isinstance(target, Local):
        return target
    if target.sort != "tags" or not isinstance(node.value, str) or not node.value:
        return Local("only the tags are a list to the server, and only of text")
    # `$in` is W&B's advice, and equality with a list was answered by HTTP 500:
    # https://github.com/wandb/wandb/issues/2699, https://github.com/wandb/wandb/issues/4068
    reason = "text may be compared without regard to case"
    return Pushed(_is("tags", "$in", (node.value,)), exact=False, reason=reason)
