"""What answers about logged keys mean: their form, and how far their counts are those of rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from wbframe.core.doctor.report import Finding
from wbframe.core.doctor.runs import unpacked
from wbframe.core.doctor.words import plain
from wbframe.core.model import STEP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wbframe.core.doctor.report import State

__all__ = [
    "Rows",
    "count_findings",
    "count_of",
    "form_finding",
    "keys_in",
    "largest_key",
    "row_counts",
    "rows_in",
    "united_finding",
]

Rows = list[dict[str, Any]]
_TYPES = frozenset({"number", "string", "bool", "nil", "map", "list"})


def keys_in(history_keys: Any) -> dict[str, Any] | None:
    """Give the keys of `historyKeys` and what is said of each, in whatever form; None where it names none."""
    read = unpacked(history_keys)
    if isinstance(read, dict):
        read = unpacked(read.get("keys"))
    if isinstance(read, list):
        entries = [each if isinstance(each, dict) else {"key": each} for each in read]
        named = {each.get("key", each.get("name")): each for each in entries}
        read = {name: each for name, each in named.items() if isinstance(name, str)}
    return read if isinstance(read, dict) and read else None


def form_finding(runs: Sequence[Mapping[str, Any]]) -> Finding:
    """Say in which form the logged keys of runs come, and whether they have counts."""
    topic = "historyKeys"
    # A run without rows has no keys.
    forms = Counter(
        _form(run.get("historyKeys"))
        for run in runs
        if run.get("historyKeys") is not None or run.get("historyLineCount") != 0
    )
    infos = [info for run in runs for info in (keys_in(run.get("historyKeys")) or {}).values()]
    counted = sum(_count(info) is not None for info in infos)
    kinds = Counter(
        each["type"] for info in infos for each in _type_counts(info) if isinstance(each.get("type"), str)
    )  # fmt: skip
    form = ", ".join(each for each, _ in forms.most_common())
    text = f"{form}; {counted} of {len(infos)} keys have counts"
    text += f"; {plain(', '.join(kind for kind, _ in kinds.most_common(6)), ' '.join(_TYPES))}"
    fine = set(forms) <= {"object"} and counted == len(infos)
    return Finding(topic, "ok" if fine else "differs", text.removesuffix("; "))


def _form(history_keys: Any) -> str:
    """Name a form."""
    if history_keys is None:
        return "null"
    if isinstance(history_keys, str):
        opened = unpacked(history_keys)
        return "text that is no JSON" if isinstance(opened, str) else f"text of {_form(opened)}"
    if isinstance(history_keys, list):
        return "list"
    if not isinstance(history_keys, dict) or "keys" not in history_keys:
        return "without keys"
    keys = history_keys["keys"]
    if isinstance(keys, dict):
        return "object" if keys else "empty"
    if isinstance(keys, list | str):
        return "list in keys" if isinstance(keys, list) else "text in keys"
    return "null in keys"


def _type_counts(info: Any) -> list[dict[str, Any]]:
    """Give the counts of each type of a key; none where there are none."""
    counts = info.get("typeCounts") if isinstance(info, dict) else None
    return [each for each in counts if isinstance(each, dict)] if isinstance(counts, list) else []


def _count(info: Any) -> int | None:
    """Give the rows that hold a key, as the server counts them; None where it does not, or not by numbers."""
    counts = [each.get("count") for each in _type_counts(info)]
    whole = [each for each in counts if isinstance(each, int) and not isinstance(each, bool)]
    return sum(whole) if counts and len(whole) == len(counts) and sum(whole) else None


def rows_in(history: Any) -> Rows:
    """Give rows, which may be objects or texts, or all of them one text."""
    rows = [unpacked(each) for each in unpacked(history) or ()]
    return [each for each in rows if isinstance(each, dict)]


def row_counts(rows: Rows) -> Counter[str]:
    """Count the rows that hold each key; nested keys have dots."""
    found: Counter[str] = Counter()

    def names(value: Any, name: str) -> set[str]:
        if isinstance(value, dict) and "_type" not in value:
            below = (names(each, f"{name}.{key}" if name else key) for key, each in value.items())
            return {name}.union(*below)
        return {name}

    for row in rows:
        found.update(names(row, ""))
    return found


def count_findings(run: Mapping[str, Any], *, rows: Rows) -> list[Finding]:
    """Compare what the server says of a run's rows with the rows of it, all of which came."""
    said = {key: _count(info) for key, info in (keys_in(run.get("historyKeys")) or {}).items()}
    held = row_counts(rows)
    counted = {
        key: count
        for key, count in said.items()
        if count is not None and not key.startswith("system")
    }
    wrong = {key: count - held[key] for key, count in counted.items() if count != held[key]}
    parents = {key[:i] for key in held for i, each in enumerate(key) if each == "."} | {""}
    unnamed = {key for key in held if not key.startswith("_")} - parents - said.keys()
    text = f"{len(counted) - len(wrong)} of {len(counted)} counts are those of {len(rows)} rows"
    if wrong:
        high = sum(each > 0 for each in wrong.values())
        text += f", {high} too high, {len(wrong) - high} too low"
    if unnamed:
        text += f"; {len(unnamed)} keys of rows are not named"
    state: State = "differs" if wrong or unnamed or not counted else "ok"
    return [Finding("counts of keys", state, text), _ends(run, rows)]


def _ends(run: Mapping[str, Any], rows: Rows) -> Finding:
    """Compare the last step and the number of rows that the server tells with the rows."""
    read = unpacked(run.get("historyKeys"))
    last = read.get("lastStep") if isinstance(read, dict) else None
    steps = [row[STEP] for row in rows if isinstance(row.get(STEP), int | float)]
    there = max(steps, default=None)
    lines = run.get("historyLineCount")
    texts = [
        f"lastStep {_beside(last, there)}",
        f"historyLineCount {_beside(lines, len(rows))}",
    ]
    fine = last == there and lines == len(rows) and isinstance(last, int) and isinstance(lines, int)
    return Finding("ends of runs", "ok" if fine else "differs", ", ".join(texts))


def _beside(said: Any, there: float | None) -> str:
    """Say how a number that was told lies to the one that is there."""
    if isinstance(said, bool) or not isinstance(said, int | float):
        return f"is {'null' if said is None else type(said).__name__}"
    if there is None or said == there:
        return "is right" if isinstance(said, int) else "is right, and a float"
    return f"is {abs(said - there):g} too {'high' if said > there else 'low'}"


def united_finding(data: Any, *, runs: Sequence[Mapping[str, Any]]) -> Finding:
    """Compare the united keys of some runs with the union of their keys."""
    topic, united = "united keys", data["project"]["runs"]["historyKeys"]
    there: set[str] = set().union(*(keys_in(run.get("historyKeys")) or () for run in runs))
    told = set(keys_in(united) or ())
    missing, more = len(there - told), len(told - there)
    if not there:
        return Finding(topic, "unknown", "no key is named of the runs looked at")
    text = f"{_form(united)} of {len(told)} keys, {len(runs)} runs name {len(there)}"
    if missing or more:
        text += f": {missing} missing, {more} more"
    fine = not missing and not more and _form(united) == "object"
    return Finding(topic, "ok" if fine else "differs", text)


def count_of(run: Mapping[str, Any], key: str) -> int | None:
    """Give the rows that hold a key of a run, as the server counts them."""
    return _count((keys_in(run.get("historyKeys")) or {}).get(key))


def largest_key(run: Mapping[str, Any]) -> str | None:
    """Give the key of numbers that most rows of a run hold, by the server's counts."""
    counts = {
        key: count_of(run, key) or 0
        for key, info in (keys_in(run.get("historyKeys")) or {}).items()
        if not key.startswith(("_", "system"))
        and {each.get("type") for each in _type_counts(info)} == {"number"}
    }
    return max(sorted(counts), key=counts.__getitem__) if counts else None
