"""What a server's filters mean: missing keys, nulls, numbers, mixed types, nested keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wbframe.core.doctor.report import Finding
from wbframe.core.doctor.runs import is_number, leaves, names_of, some_key

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Tested", "filter_findings", "filter_tests"]

_ABSENT_KEY = "config.wbframe_doctor_no_such_key.value"
_NESTED = 2


@dataclass(frozen=True, slots=True)
class Tested:
    """A filter, and the runs of those looked at that pass it where it is read as MongoDB does.

    Attributes
    ----------
    topic, what
        What is found out by it, and how it is called there.
    test
        As the server takes it.
    passing
        The names of these runs.
    """

    topic: str
    what: str
    test: Mapping[str, Any]
    passing: frozenset[str]


def filter_tests(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Tested]:
    """Give the filters to try on the runs that were looked at, by the alias in the document."""
    every = frozenset(configs)
    tests = {
        "names": Tested("names", "name", {}, every),
        "missing": Tested("missing keys", "$ne", {_ABSENT_KEY: {"$ne": 1}}, every),
        "nulls": Tested("missing keys", "null", {_ABSENT_KEY: None}, every),
    }
    key = some_key(configs, (int, float))
    if key is None:
        return tests | _nested_test(configs)
    field = f"config.{key}.value"
    values = {name: config.get(key) for name, config in configs.items()}
    numbers: dict[str, float] = {name: each for name, each in values.items() if is_number(each)}
    middle = sorted(numbers.values())[len(numbers) // 2]
    equal = frozenset(name for name, each in numbers.items() if each == middle)
    above = frozenset(name for name, each in numbers.items() if each >= middle)
    texts = frozenset(name for name, each in values.items() if isinstance(each, str))
    tests["equal"] = Tested("numbers", "equal", {field: middle}, equal)
    tests["above"] = Tested("numbers", "$gte", {field: {"$gte": middle}}, above)
    tests["beyond"] = Tested("numbers", "$gt", {field: {"$gt": middle}}, above - equal)
    tests["types"] = Tested("mixed types", "$gte text", {field: {"$gte": ""}}, texts)
    return tests | _nested_test(configs)


def _nested_test(configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Tested]:
    """Give a filter on a nested key, where one holds text or a number."""
    for config in configs.values():
        for names, value in leaves(config):
            if len(names) != _NESTED or not (is_number(value) or isinstance(value, str)):
                continue
            outer, inner = names
            if "." in outer or "." in inner:
                continue
            passing = frozenset(
                name
                for name, each in configs.items()
                if isinstance(each.get(outer), dict) and each[outer].get(inner) == value
            )
            test = {f"config.{outer}.value.{inner}": value}
            return {"nested": Tested("nested keys", "equal", test, passing)}
    return {}


def filter_findings(answers: Mapping[str, Any], *, tests: Mapping[str, Tested]) -> list[Finding]:
    """Compare the runs that passed with those that should have; an answer may be missing."""
    told: dict[str, list[str]] = {}
    wrong: set[str] = set()
    for alias, test in tests.items():
        if alias not in answers:
            continue
        came = names_of(answers[alias])
        right = sorted(came) == sorted(test.passing)
        wrong |= set() if right else {test.topic}
        said = f"{test.what}: {len(came)}" + ("" if right else f" for {len(test.passing)}")
        told.setdefault(test.topic, []).append(said)
    return [
        Finding(
            f"filter {topic}",
            "differs" if topic in wrong else "ok",
            f"runs that pass by {', '.join(parts)}",
        )
        for topic, parts in told.items()
    ]
