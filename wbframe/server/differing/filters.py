"""How filters of runs may differ: what they find, and what they do not know."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wbframe.server.differing.registry import Asked, wraps

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []

_COUNTED = ("Project.runs", "Sweep.runs", "Project.runCount")
_NESTED = 3


def _rewritten(asked: Asked, change: Callable[[str, Any], Any]) -> Any:
    """Answer for other filters: `change` gets a field and its test, and gives the test or None."""
    text = asked.arguments.get("filters")
    if not text or text == "{}":
        return asked.answer()
    return asked.answer(filters=json.dumps(_changed(json.loads(text), change)))


def _changed(found: Any, change: Callable[[str, Any], Any]) -> Any:
    """Change the test of each field; one that becomes None is dropped."""
    if not isinstance(found, Mapping):
        return found
    changed: dict[str, Any] = {}
    for name, test in found.items():
        if name in ("$and", "$or", "$nor"):
            changed[name] = [_changed(each, change) for each in test]
        elif (other := change(name, test)) is not None:
            changed[name] = other
    return changed


def _operators(test: Any, change: Callable[[str, Any], Any]) -> Any:
    """Change the literal of each operator of a test; those that become None are dropped."""
    given = test if isinstance(test, Mapping) else {"$eq": test}
    return {
        name: each for name, value in given.items() if (each := change(name, value)) is not None
    } or None


@wraps(
    "filter_result",
    "Every filter of runs gives no run, or all runs.",
    *_COUNTED,
    choices="none all",
)
def _result(how: str, asked: Asked) -> Any:
    text = asked.arguments.get("filters")
    if not text or text == "{}":
        return asked.answer()
    return asked.answer(filters=None if how == "all" else '{"name": {"$in": []}}')


@wraps(
    "filter_ignores",
    "A filter's tests with this operator, or of the config, or of the summary, are ignored.",
    *_COUNTED,
    choices="$ne $nin $in $exists $regex $gt $gte $lt $lte config summary",
)
def _ignores(what: str, asked: Asked) -> Any:
    def change(name: str, test: Any) -> Any:
        if what == "config":
            return None if name.startswith("config.") else test
        if what == "summary":
            return None if name.startswith("summary") else test
        return _operators(test, lambda operator, value: None if operator == what else value)

    return _rewritten(asked, change)


@wraps(
    "filter_numbers",
    "Numbers in filters are compared as text, so none is equal, or all that are not whole are cut.",
    *_COUNTED,
    choices="as_text cut",
)
def _filter_numbers(how: str, asked: Asked) -> Any:
    def other(_operator: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return value
        return str(value) if how == "as_text" else int(value)

    return _rewritten(asked, lambda _name, test: _operators(test, other))


@wraps(
    "filter_bounds",
    "`$gte` and `$lte` of filters do not hold for equal values, or `$gt` and `$lt` do.",
    *_COUNTED,
    choices="exclusive inclusive",
)
def _bounds(how: str, asked: Asked) -> Any:
    words = {"$gte": "$gt", "$lte": "$lt"} if how == "exclusive" else {"$gt": "$gte", "$lt": "$lte"}

    def change(_name: str, test: Any) -> Any:
        if not isinstance(test, Mapping):
            return test
        return {words.get(operator, operator): value for operator, value in test.items()}

    return _rewritten(asked, change)


@wraps(
    "filter_paths",
    "Filters do not find `config.a.value`, nested keys, or fields in snake case: no run has them.",
    *_COUNTED,
    choices="no_value no_nested no_snake",
)
def _paths(how: str, asked: Asked) -> Any:
    def known(name: str) -> bool:
        names = name.split(".")
        if how == "no_value":
            return not (names[0] == "config" and names[2:3] == ["value"])
        if how == "no_nested":
            return len([each for each in names if each != "value"]) < _NESTED
        return names[0] == "summary_metrics" or "_" not in names[0]

    return _renamed(asked, lambda name: name if known(name) else f"config.no_such_key.{name}")


def _renamed(asked: Asked, rename: Callable[[str], str]) -> Any:
    """Answer for a filter with other names."""
    text = asked.arguments.get("filters")
    if not text or text == "{}":
        return asked.answer()

    def walk(found: Any) -> Any:
        if not isinstance(found, Mapping):
            return found
        return {
            name if name.startswith("$") else rename(name): [walk(each) for each in test]
            if name in ("$and", "$or", "$nor")
            else test
            for name, test in found.items()
        }

    return asked.answer(filters=json.dumps(walk(json.loads(text))))
