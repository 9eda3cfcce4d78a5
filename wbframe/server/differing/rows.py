"""How rows may differ: which come for a window or a spec, how many, and in which form."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wbframe.server.differing.registry import Asked, plain, raw, wraps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__: list[str] = []

_HISTORY, _SAMPLED, _EXPORTS = "Run.history", "Run.sampledHistory", "Run.parquetHistory"
_BOTH = (_HISTORY, _SAMPLED)
_FAR = 1 << 53


def _specs(asked: Asked, change: Callable[[dict[str, Any]], dict[str, Any]]) -> list[list[Any]]:
    """Answer other specs, as plain rows."""
    specs = [json.dumps(change(json.loads(spec))) for spec in asked.arguments.get("specs") or ()]
    return [plain(rows) for rows in asked.answer(specs=specs)]


def _sampled(asked: Asked, change: Callable[[dict[str, Any]], dict[str, Any]]) -> list[Any]:
    """Answer other specs, encoded."""
    return [raw(rows) for rows in _specs(asked, change)]


def _each(asked: Asked, change: Callable[[list[Any]], Any]) -> Any:
    """Change the rows of each spec; those of `history` are opened and closed again."""
    if asked.name == _SAMPLED:
        return [raw(change(plain(rows))) for rows in asked.answer()]
    rows = [json.loads(text) for text in asked.answer()]
    changed = change(rows)
    return changed if changed is None else [json.dumps(row) for row in changed]


# ---------------------------------------------------------------- windows


def _window(asked: Asked, low: int, high: int) -> Any:
    """Answer for a window whose bounds are moved."""
    if asked.name == _HISTORY:
        bounds = {"minStep": low, "maxStep": high}
        moved = {
            name: asked.arguments[name] + by
            for name, by in bounds.items()
            if asked.arguments.get(name) is not None
        }
        return asked.answer(**moved)

    def change(spec: dict[str, Any]) -> dict[str, Any]:
        for name, by in (("minStep", low), ("maxStep", high)):
            if spec.get(name) is not None:
                spec[name] += by
        return spec

    return _sampled(asked, change)


@wraps(
    "min_step_exclusive",
    "`minStep` of windows is exclusive, of `history` and of `sampledHistory`.",
    *_BOTH,
)
def _min_step(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    return _window(asked, 1, 0)


@wraps("history_max_step_inclusive", "`maxStep` of `history` is inclusive.", _HISTORY)
def _history_max(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    return _window(asked, 0, 1)


@wraps("sampled_max_step_exclusive", "`maxStep` of `sampledHistory` is exclusive.", _SAMPLED)
def _sampled_max(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    return _window(asked, 0, -1)


@wraps("one_step_windows_empty", "A window of one step has no rows.", *_BOTH)
def _one_step(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    if asked.name == _HISTORY:
        low, high = asked.arguments.get("minStep"), asked.arguments.get("maxStep")
        return [] if low is not None and high is not None and high - low <= 1 else asked.answer()
    narrow = [
        spec.get("maxStep") is not None and spec["maxStep"] - spec.get("minStep", 0) < 1
        for spec in map(json.loads, asked.arguments.get("specs") or ())
    ]
    return [raw([]) if each else rows for each, rows in zip(narrow, asked.answer(), strict=True)]


@wraps(
    "bounds_ignored", "`minStep`, `maxStep`, or both are ignored.", *_BOTH, choices="both min max"
)
def _bounds_ignored(which: str, asked: Asked) -> Any:
    gone = {"both": ("minStep", "maxStep"), "min": ("minStep",), "max": ("maxStep",)}[which]
    if asked.name == _HISTORY:
        return asked.answer(**dict.fromkeys(gone))
    return _sampled(
        asked, lambda spec: {key: value for key, value in spec.items() if key not in gone}
    )


# ---------------------------------------------------------------- how many


@wraps(
    "sampled_most",
    "A spec of `sampledHistory` gives so many rows at the most, thinned evenly.",
    _SAMPLED,
    kind=int,
)
def _sampled_most(most: int, asked: Asked) -> Any:
    return _sampled(
        asked, lambda spec: {**spec, "samples": max(1, min(spec.get("samples") or 500, most))}
    )


@wraps(
    "history_most", "`history` gives so many rows at the most, thinned evenly.", _HISTORY, kind=int
)
def _history_most(most: int, asked: Asked) -> Any:
    return asked.answer(samples=max(1, min(asked.arguments.get("samples") or 500, most)))


@wraps(
    "rows_cut",
    "`history` and each spec stop after so many rows: the later ones do not come.",
    *_BOTH,
    kind=int,
)
def _cut(most: int, asked: Asked) -> Any:
    return _each(asked, lambda rows: rows[:most])


@wraps(
    "thinned",
    "Rows are thinned to this percentage of what was asked for, however few there are.",
    *_BOTH,
    kind=int,
)
def _thinned(percent: int, asked: Asked) -> Any:
    if asked.name == _HISTORY:
        return asked.answer(
            samples=max(1, (asked.arguments.get("samples") or 500) * percent // 100)
        )
    return _sampled(
        asked,
        lambda spec: {**spec, "samples": max(1, (spec.get("samples") or 500) * percent // 100)},
    )


@wraps("rows_lost", "Each n-th row of an answer is lost.", *_BOTH, kind=int)
def _lost(every: int, asked: Asked) -> Any:
    return _each(asked, lambda rows: [row for i, row in enumerate(rows, 1) if i % max(2, every)])


@wraps("samples_ignored", "`samples` is ignored: all rows come.", *_BOTH)
def _all(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    if asked.name == _HISTORY:
        return asked.answer(samples=_FAR)
    return _sampled(asked, lambda spec: {**spec, "samples": _FAR})


@wraps("objects_apart", "A spec with scalars and histograms, media or text has no rows.", _SAMPLED)
def _apart(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    stats = asked.source.run.history.keys

    def mixed(spec: Mapping[str, Any]) -> bool:
        kinds = [
            set(stats[key].counts)
            for key in spec["keys"]
            if key in stats and not key.startswith("_")
        ]
        scalar = [kind <= {"number", "bool", "nil"} for kind in kinds]
        return any(scalar) and not all(scalar)

    apart = [mixed(json.loads(spec)) for spec in asked.arguments.get("specs") or ()]
    return [raw([]) if each else rows for each, rows in zip(apart, asked.answer(), strict=True)]


@wraps("specs_first_only", "Of several specs the first alone has rows.", _SAMPLED)
def _first_only(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    return [raw([]) if i else rows for i, rows in enumerate(asked.answer())]


# ---------------------------------------------------------------- form


@wraps(
    "steps",
    "`_step` of rows is a float, text, or absent from `sampledHistory`.",
    *_BOTH,
    choices="float text absent",
)
def _steps(how: str, asked: Asked) -> Any:
    def spell(row: dict[str, Any]) -> dict[str, Any]:
        if "_step" not in row or (how == "absent" and asked.name == _HISTORY):
            return row
        if how == "absent":
            return {key: value for key, value in row.items() if key != "_step"}
        return {**row, "_step": float(row["_step"]) if how == "float" else str(row["_step"])}

    return _each(asked, lambda rows: [spell(row) for row in rows])


@wraps(
    "row_nulls",
    "Rows hold null for every key of the spec, or of the run, that was not logged in them.",
    *_BOTH,
)
def _row_nulls(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    if asked.name == _HISTORY:
        names = dict.fromkeys(asked.source.run.history.keys)
        return _each(asked, lambda rows: [{**names, **row} for row in rows])
    answers = []
    for spec in map(json.loads, asked.arguments.get("specs") or ()):
        found: dict[Any, dict[str, Any]] = {}
        for key in dict.fromkeys(spec["keys"]):
            one = json.dumps({**spec, "keys": ["_step", key]})
            for row in plain(asked.answer(specs=[one])[0]):
                found.setdefault(row["_step"], dict.fromkeys(spec["keys"])).update(row)
        answers.append(raw([found[step] for step in sorted(found)]))
    return answers


@wraps(
    "rows_order", "Rows come latest first, or in no order.", *_BOTH, choices="latest_first shuffled"
)
def _order(how: str, asked: Asked) -> Any:
    if how == "latest_first":
        return _each(asked, lambda rows: rows[::-1])
    return _each(asked, lambda rows: rows[1::2] + rows[::2])


@wraps("rows_twice", "The last row of an answer comes twice.", *_BOTH)
def _twice(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    return _each(asked, lambda rows: rows + rows[-1:])


@wraps(
    "non_finite",
    "NaN and infinities come as null, or as `nan` and `inf` in small letters.",
    *_BOTH,
    choices="null small",
)
def _non_finite(how: str, asked: Asked) -> Any:
    words = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}

    def spell(value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            return value
        return None if how == "null" else words[value]

    return _each(
        asked, lambda rows: [{key: spell(value) for key, value in row.items()} for row in rows]
    )


# ---------------------------------------------------------------- exports


def _exports(asked: Asked, change: Callable[[list[Any]], Any]) -> Any:
    """Change the live rows."""
    found = asked.answer()
    live = found["liveData"]
    return {**found, "liveData": None if live is None else change([plain(row) for row in live])}


@wraps("live_most", "`liveData` has so many rows at the most.", _EXPORTS, kind=int)
def _live_most(most: int, asked: Asked) -> Any:
    return _exports(asked, lambda rows: raw(rows[:most]))


@wraps(
    "live_form",
    "`liveData` is sampled, null, empty, JSON text, texts, has `_step` as text, or lacks it.",
    _EXPORTS,
    choices="sampled null empty text row_texts step_text no_step",
)
def _live_form(how: str, asked: Asked) -> Any:
    def change(rows: list[Any]) -> Any:
        forms: dict[str, Any] = {
            "sampled": rows[::2],
            "null": None,
            "empty": [],
            "text": json.dumps(rows),
            "row_texts": [json.dumps(row) for row in rows],
            "step_text": [{**row, "_step": str(row.get("_step"))} for row in rows],
            "no_step": [
                {key: value for key, value in row.items() if key != "_step"} for row in rows
            ],
        }
        return raw(forms[how])

    return _exports(asked, change)


@wraps(
    "export_urls",
    "`parquetUrls` is null, or empty, or the same file is listed twice, or the last is missing.",
    _EXPORTS,
    choices="null empty twice last_missing",
)
def _urls(how: str, asked: Asked) -> Any:
    found = asked.answer()
    urls = list(found["parquetUrls"])
    values = {"null": None, "empty": [], "twice": urls + urls[:1], "last_missing": urls[:-1]}
    return {**found, "parquetUrls": values[how]}


@wraps("export_null", "`parquetHistory` is null.", _EXPORTS)
def _export_null(_on: bool, _asked: Asked) -> Any:  # noqa: FBT001 - its value
    return None


@wraps("nested_rows", "Rows hold nested keys as objects, not with dots.", *_BOTH)
def _nested(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    def nest(row: dict[str, Any]) -> dict[str, Any]:
        nested: dict[str, Any] = {}
        for key, value in row.items():
            *parents, last = key.split(".")
            into = nested
            for parent in parents:
                into = into.setdefault(parent, {})
                if not isinstance(into, dict):
                    return row
            into[last] = value
        return nested

    return _each(asked, lambda rows: [nest(row) for row in rows])


@wraps(
    "history_form",
    "Rows of `history` are objects, or one JSON text, or null where there are none.",
    _HISTORY,
    choices="objects one_text null_empty",
)
def _history_form(how: str, asked: Asked) -> Any:
    texts = asked.answer()
    if how == "null_empty":
        return texts or None
    rows = [json.loads(text) for text in texts]
    return raw(rows) if how == "objects" else json.dumps(rows)


@wraps(
    "specs_form",
    "Rows of a spec are JSON text; those of none are null; or rows are texts, or all of it is one text.",
    _SAMPLED,
    choices="text null_empty row_texts one_text",
)
def _specs_form(how: str, asked: Asked) -> Any:
    rows = [plain(each) for each in asked.answer()]
    if how == "one_text":
        return json.dumps(rows)
    if how == "null_empty":
        return [raw(each) if each else None for each in rows]
    if how == "text":
        return [json.dumps(each) for each in rows]
    return [[json.dumps(row) for row in each] for each in rows]
