"""What answers with rows mean: specs, dotted keys, windows, caps, exported files, buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wbframe.core.doctor.keys import Rows, row_counts, rows_in
from wbframe.core.doctor.report import Finding, attempt
from wbframe.core.doctor.runs import is_number, run_of, unpacked
from wbframe.core.model import STEP

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wbframe.core.doctor.report import State

__all__ = [
    "Keys",
    "bucket_finding",
    "cap_finding",
    "choose_keys",
    "choose_runs",
    "export_finding",
    "few_finding",
    "file_finding",
    "files_of",
    "rows_finding",
    "rows_of",
    "spec_finding",
    "specs_of",
    "window_finding",
    "window_of",
]

_PARQUET = b"PAR1"
_STEPS_OF_WINDOW = 6


# ---------------------------------------------------------------- which runs and keys


def choose_runs(nodes: Sequence[Mapping[str, Any]], most: int) -> tuple[str, str]:
    """Give the name of a run whose rows may all be read, and that of the longest."""
    lines = {each["name"]: _lines(each) for each in nodes}
    whole = [name for name, count in lines.items() if 0 < count <= most]
    some = [name for name, count in lines.items() if count > 0]
    longest = max(lines, key=lines.__getitem__)
    if whole:
        return max(whole, key=lines.__getitem__), longest
    return (min(some, key=lines.__getitem__) if some else longest), longest


def _lines(node: Mapping[str, Any]) -> float:
    lines = node.get("historyLineCount")
    return lines if isinstance(lines, int | float) else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Keys of one run to ask for, None where it has no such, and how many rows hold each.

    Attributes
    ----------
    main, second
        Two that hold numbers, each in rows of its own if possible.
    dotted
        One with a dot in its name, or inside of another.
    media
        One that holds an object or list where `main` stands beside it.
    counts
        The rows that hold a key.
    """

    main: str | None
    second: str | None
    dotted: str | None
    media: str | None
    counts: Mapping[str, int]


def choose_keys(rows: Rows) -> Keys:
    """Choose keys of a run by its rows."""
    counts = row_counts(rows)
    scalars = [
        key
        for key in sorted(counts, key=lambda each: (-counts[each], each))
        if key and not key.startswith("_") and any(is_number(row.get(key)) for row in rows)
    ]
    main = next(iter(scalars), None)
    other = [key for key in scalars if key != main]
    second = next((key for key in other if main and counts[key] != counts[main]), None)
    media = {
        key
        for row in rows
        if main in row
        for key, value in row.items()
        if isinstance(value, dict | list) and not key.startswith("_") and _is_media(value)
    }
    dotted = sorted(key for key in counts if "." in key and not key.startswith(("_", "system")))
    return Keys(
        main=main,
        second=second or next(iter(other), None),
        dotted=next(iter(dotted), None),
        media=min(media, default=None),
        counts=counts,
    )


def _is_media(value: Any) -> bool:
    return isinstance(value, list) or "_type" in value


def specs_of(data: Any) -> list[Rows]:
    """Give the rows of each spec of the run of an answer."""
    return [rows_in(each) for each in unpacked(run_of(data).get("sampledHistory")) or ()]


def rows_of(data: Any, field: str) -> Rows:
    """Give the rows of a field of the run of an answer, of its first spec."""
    if field == "history":
        return rows_in(run_of(data).get(field))
    return next(iter(specs_of(data)), [])


def steps_of(rows: Rows) -> list[int]:
    """Give the steps of rows, in order; a step may be text."""
    return sorted(int(row[STEP]) for row in rows if row.get(STEP) is not None)


# ---------------------------------------------------------------- rows and specs


def rows_finding(data: Any, *, most: int) -> Finding:
    """Say in which form whole rows come."""
    history = run_of(data).get("history")
    rows = rows_in(history)
    if not rows:
        return Finding("whole rows", "unknown", "the run that was asked for gives no row")
    form = "one text" if isinstance(history, str) else "texts"
    if isinstance(history, list) and history and not isinstance(history[0], str):
        form = "objects"
    steps = [row.get(STEP) for row in rows]
    values = [value for row in rows for value in row.values() if isinstance(value, dict)]
    nested = any(value and "_type" not in value for value in values)
    whole = all(type(each) is int for each in steps)
    ordered = whole and steps == sorted(set(steps), key=lambda each: each or 0)
    text = f"{len(rows)} as {form}"
    text += "" if len(rows) < most else ", as many as were asked for"
    text += ", nested keys as objects" if nested else ""
    text += ", in step order" if ordered else ", in another order" if whole else ", odd steps"
    fine = form == "texts" and ordered and not nested
    return Finding("whole rows", "ok" if fine else "differs", text)


def spec_finding(data: Any, *, topic: str, wanted: Sequence[int]) -> Finding:
    """Compare the rows of specs with the number that whole rows have."""
    came = [len(each) for each in specs_of(data)]
    text = f"came {', '.join(map(str, came)) or 'none'} of {', '.join(map(str, wanted))} rows"
    return Finding(topic, "ok" if came == list(wanted) else "differs", text)


# ---------------------------------------------------------------- windows


def window_of(rows: Rows, key: str) -> tuple[int, int] | None:
    """Give the bounds of a window whose neighbours hold the key too; None for a run of few rows."""
    steps = steps_of([row for row in rows if row.get(key) is not None])
    if len(set(steps)) < _STEPS_OF_WINDOW:
        return None
    middle = len(steps) // 2
    return steps[middle - 2], steps[middle + 1]


def window_finding(
    data: Any, *, field: str, topic: str, one: Any, bounds: tuple[int, int]
) -> Finding:
    """Say how a field reads bounds, from a window of several steps and from one of one step.

    That of one step ends at its own step where the end is inclusive, else at the next.
    """
    low, high = bounds
    rows = rows_of(data, field)
    inclusive = field == "sampledHistory"
    steps = set(steps_of(rows))
    if not steps:
        return Finding(topic, "differs", "a window of several steps is empty")
    if min(steps) < low or max(steps) > high:
        return Finding(topic, "differs", "bounds are ignored")
    first, last = low in steps, high in steps
    single = set(steps_of(attempt(lambda read: rows_of(read, field), one) or [])) == {low}
    texts = [
        f"minStep is {'inclusive' if first else 'exclusive'}",
        f"maxStep is {'inclusive' if last else 'exclusive'}",
        f"one step {'comes' if single else 'is not given alone'}",
    ]
    fine = first and last == inclusive and single
    return Finding(topic, "ok" if fine else "differs", ", ".join(texts))


# ---------------------------------------------------------------- caps


def cap_finding(data: Any, *, field: str, topic: str, asked: int, lines: int) -> Finding:
    """Say how many rows come at the most; `lines` is what the run has, as far as it is known."""
    came = len(rows_of(data, field))
    text = f"asked for {asked}, came {came} of {lines}"
    if not lines:
        return Finding(topic, "unknown", f"asked for {asked}, came {came}")
    return Finding(topic, "ok" if came >= min(asked, lines) else "differs", text)


def few_finding(data: Any, *, asked: int, there: int) -> Finding:
    """Say whether samples are as many as were asked for, where there are more rows."""
    topic, came = "samples: few", len(rows_of(data, "sampledHistory"))
    text = f"asked for {asked} of {there} rows, came {came}"
    return Finding(topic, "ok" if came == asked else "differs", text)


# ---------------------------------------------------------------- files and buckets


def export_finding(data: Any) -> Finding:
    """Say what of the runs is exported, and whether rows that are not come beside."""
    runs = [each for each in data["project"].values() if each]
    histories = [run.get("parquetHistory") or {} for run in runs]
    files = sum(len(each.get("parquetUrls") or ()) for each in histories)
    live = [each.get("liveData") for each in histories]
    told = all(isinstance(each, list) for each in live)
    rows = sum(len(each) for each in live if isinstance(each, list))
    text = f"{files} files of {len(runs)} runs; liveData "
    text += f"has {rows} rows" if told else "is no list of rows"
    if any(each.get("parquetUrls") is None for each in histories):
        return Finding("exports", "differs", f"parquetUrls is null; {text}")
    return Finding("exports", "ok" if told else "differs", text)


def files_of(data: Any) -> list[str]:
    """Give the addresses of the exported files."""
    runs = [each for each in data["project"].values() if each]
    return [url for each in runs for url in each["parquetHistory"]["parquetUrls"] or ()]


def file_finding(content: bytes, *, whole: bool) -> Finding:
    """Say whether a range of a file comes, and whether it is Parquet."""
    if not content.startswith(_PARQUET):
        return Finding("exported files", "differs", "the file does not begin as Parquet does")
    if whole:
        return Finding("exported files", "differs", "a range was asked for, the whole file came")
    return Finding("exported files", "ok", "a range of bytes comes, and is Parquet")


def bucket_finding(data: Any) -> Finding:
    """Say whether buckets come."""
    answer = unpacked(run_of(data)["bucketedHistory"])
    rows = rows_in(answer[0]) if answer else []
    state: State = "ok" if rows else "differs"
    return Finding("buckets", state, f"{len(rows)} buckets of 10 that were asked for")
