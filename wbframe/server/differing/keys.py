"""How `historyKeys`, of a run and of all runs, may differ."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from wbframe.server.differing.registry import Asked, plain, raw, wraps

__all__: list[str] = []

_RUN, _UNITED = "Run.historyKeys", "RunConnection.historyKeys"
_BOTH = (_RUN, _UNITED)
_COUNTS: dict[str, Callable[[int], Any]] = {
    "high": lambda count: count * 2 + 7,
    "one_more": lambda count: count + 1,
    "low": lambda count: count // 2,
    "one": lambda _count: 1,
    "zero": lambda _count: 0,
    "nulls": lambda _count: None,
    "text": str,
    "float": float,
}


def _answer(asked: Asked) -> Any:
    """Give the keys as plain values; None where the server has none."""
    return plain(asked.answer())


def _infos(asked: Asked, change: Callable[[str, dict[str, Any]], Any]) -> Any:
    """Change what is said of each key; a key of which None is said is left out."""
    found = _answer(asked)
    if not isinstance(found, Mapping) or not isinstance(found.get("keys"), Mapping):
        return found if found is None else raw(found)
    said = {key: change(key, dict(info)) for key, info in found["keys"].items()}
    return raw({**found, "keys": {key: info for key, info in said.items() if info is not None}})


@wraps("keys_missing", "`historyKeys`, of a run or united, lacks each n-th key.", *_BOTH, kind=int)
def _missing(every: int, asked: Asked) -> Any:
    found = _answer(asked)
    if not isinstance(found, Mapping):
        return None if found is None else raw(found)
    keys = found["keys"]
    lost = set(
        sorted(key for key in keys if not key.startswith("_"))[max(1, every) - 1 :: max(1, every)]
    )
    return raw({**found, "keys": {key: info for key, info in keys.items() if key not in lost}})


@wraps(
    "keys_sparse_missing",
    "`historyKeys`, of a run or united, lacks the keys logged in fewer rows than the most.",
    *_BOTH,
)
def _sparse_missing(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    found = _answer(asked)
    if not isinstance(found, Mapping):
        return None if found is None else raw(found)
    rows = {
        key: sum(each["count"] for each in info["typeCounts"])
        for key, info in found["keys"].items()
    }
    most = max(rows.values(), default=0)
    return raw(
        {**found, "keys": {key: info for key, info in found["keys"].items() if rows[key] == most}}
    )


@wraps(
    "key_types",
    "`historyKeys` names types in other words: `double`, upper case, unknown, or null.",
    *_BOTH,
    choices="double upper unknown null",
)
def _types(how: str, asked: Asked) -> Any:
    words: dict[str, Callable[[str], Any]] = {
        "double": lambda kind: {"number": "double", "bool": "boolean", "nil": "null"}.get(
            kind, kind
        ),
        "upper": str.upper,
        "unknown": lambda _kind: "unknown",
        "null": lambda _kind: None,
    }

    def change(_key: str, info: dict[str, Any]) -> dict[str, Any]:
        counts = [{**each, "type": words[how](each["type"])} for each in info["typeCounts"]]
        return {**info, "typeCounts": counts}

    return _infos(asked, change)


@wraps(
    "keys_without_steps",
    "`historyKeys` does not list `_step`, `_timestamp` and `_runtime`.",
    *_BOTH,
)
def _without_steps(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    return _infos(asked, lambda key, info: None if key.startswith("_") else info)


@wraps("keys_gone", "`historyKeys` lists a key of which no row is left.", *_BOTH)
def _gone(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    found = _answer(asked)
    if not isinstance(found, Mapping):
        return None if found is None else raw(found)
    gone = {"typeCounts": [{"type": "number", "count": 5}], "monotonic": False, "previousValue": 1}
    return raw({**found, "keys": {**found["keys"], "gone": gone}})


def _of_runs(asked: Asked, runs: list[Any]) -> Any:
    """Unite the keys of some runs: their counts, as far as these runs have them."""
    held = {key for each in runs for key in ((each.run.key_index or {}).get("keys") or {})}
    found = _answer(asked)
    keys = {key: info for key, info in found["keys"].items() if key in held}
    return raw({**found, "keys": keys})


@wraps(
    "united_of",
    "`runs.historyKeys` has the keys of so many runs alone, the first of the order.",
    _UNITED,
    kind=int,
)
def _united_of(most: int, asked: Asked) -> Any:
    return _of_runs(asked, asked.source["everyone"][: max(1, most)])


@wraps(
    "united_lag",
    "`runs.historyKeys` does not know yet what so many of the newest runs alone have logged.",
    _UNITED,
    kind=int,
)
def _united_lag(runs: int, asked: Asked) -> Any:
    every = sorted(asked.source["everyone"], key=lambda each: str(each.run.created_at))
    return _of_runs(asked, every[: max(0, len(every) - runs)])


@wraps(
    "united_most",
    "`runs.historyKeys` ends after so many keys without a word of more.",
    _UNITED,
    kind=int,
)
def _united_most(most: int, asked: Asked) -> Any:
    found = _answer(asked)
    return raw({**found, "keys": dict(list(found["keys"].items())[:most])})


@wraps(
    "last_step",
    "`lastStep` of `historyKeys` is one too high or low, far off, absent, null, text or a float.",
    *_BOTH,
    choices="one_high one_low half zero far absent null text float minus_one",
)
def _last_step(how: str, asked: Asked) -> Any:
    found = _answer(asked)
    if not isinstance(found, Mapping):
        return None if found is None else raw(found)
    if how == "absent":
        return raw({key: value for key, value in found.items() if key != "lastStep"})
    last = found.get("lastStep", -1)
    values = {
        "one_high": last + 1, "one_low": max(-1, last - 1), "half": last // 2, "zero": 0,
        "far": last + 100_000, "null": None, "text": str(last), "float": float(last), "minus_one": -1,
    }  # fmt: skip
    return raw({**found, "lastStep": values[how]})


def _counts(how: str, asked: Asked) -> Any:
    """Count otherwise."""

    def change(_key: str, info: dict[str, Any]) -> dict[str, Any]:
        counts = info.get("typeCounts")
        if how == "absent":
            return {key: value for key, value in info.items() if key != "typeCounts"}
        if how == "null":
            return {**info, "typeCounts": None}
        if how == "empty" or not isinstance(counts, list):
            return {**info, "typeCounts": []}
        if how == "no_types":
            return {**info, "typeCounts": [{"count": each["count"]} for each in counts]}
        changed = [{**each, "count": _COUNTS[how](each["count"])} for each in counts]
        return {**info, "typeCounts": changed}

    return _infos(asked, change)


_HOW_COUNTS = f"absent null empty no_types {' '.join(_COUNTS)}"
wraps(
    "key_counts",
    "`run.historyKeys` says of each key no counts, or wrong ones, or as text or float.",
    _RUN,
    choices=_HOW_COUNTS,
)(_counts)
wraps(
    "united_counts",
    "`runs.historyKeys` says of each key no counts, or wrong ones, or as text or float.",
    _UNITED,
    choices=_HOW_COUNTS,
)(_counts)


def _nested(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Put dotted keys into `keys` of their parents."""
    tree: dict[str, Any] = {}
    for key, info in keys.items():
        parent, _, child = key.partition(".")
        if child and not key.startswith(("_", "system")):
            into = tree.setdefault(
                parent, {"typeCounts": [{"type": "map", "count": 1, "keys": {}}]}
            )
            into["typeCounts"][-1].setdefault("keys", {})[child] = info
        else:
            tree.setdefault(key, info)
    return tree


def _form(how: str, asked: Asked) -> Any:
    """Answer in another form."""
    found = _answer(asked)
    if found is None or how == "null":
        return None
    keys = found.get("keys") or {}
    bits = base64.b64encode(json.dumps(sorted(keys)).encode()[::-1]).decode()
    forms: dict[str, Any] = {
        "list": {**found, "keys": sorted(keys)},
        "bare_list": sorted(keys),
        "entries": {**found, "keys": [{"key": key, **info} for key, info in keys.items()]},
        "text": json.dumps(found),
        "twice_text": json.dumps(json.dumps(found)),
        "keys_text": {**found, "keys": json.dumps(keys)},
        "bitmap": bits,
        "keys_bitmap": {**found, "keys": bits},
        "nested": {**found, "keys": _nested(keys)},
        "names": {**found, "keys": dict.fromkeys(keys, True)},
        "null_infos": {**found, "keys": dict.fromkeys(keys)},
        "no_keys": {key: value for key, value in found.items() if key != "keys"},
        "null_keys": {**found, "keys": None},
        "empty_keys": {**found, "keys": {}},
        "empty": {},
        "empty_text": "{}",
    }
    return raw(forms[how])


_FORMS = (
    "list bare_list entries text twice_text keys_text bitmap keys_bitmap nested names null_infos"
    " no_keys null_keys empty_keys empty empty_text null"
)
wraps(
    "key_form",
    "`run.historyKeys` is JSON text, a list, a bitmap, nested, empty, without `keys`, or null.",
    _RUN,
    choices=_FORMS,
)(_form)
wraps(
    "united_form",
    "`runs.historyKeys` is JSON text, a list, a bitmap, nested, empty, without `keys`, or null.",
    _UNITED,
    choices=_FORMS,
)(_form)
