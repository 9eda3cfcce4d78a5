"""How the fields of a project and of a run may differ: counts, times, config, summary."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.server.differing.registry import Asked, plain, raw, wraps

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []

_TIMES = ("Run.createdAt", "Run.heartbeatAt", "Run.updatedAt")
_BLOBS = ("Run.config", "Run.summaryMetrics")


@wraps(
    "count",
    "`runCount` is one too high or low, zero, null, absent for filters, text or a float.",
    "Project.runCount",
    choices="one_high one_low double zero null text float unfiltered",
)
def _count(how: str, asked: Asked) -> Any:
    if how == "unfiltered":
        return asked.answer(filters=None)
    count = asked.answer()
    values = {
        "one_high": count + 1, "one_low": max(0, count - 1), "double": 2 * count, "zero": 0,
        "null": None, "text": str(count), "float": float(count),
    }  # fmt: skip
    return values[how]


@wraps(
    "count_lag",
    "`runCount` does not count so many of the newest runs yet.",
    "Project.runCount",
    kind=int,
)
def _count_lag(runs: int, asked: Asked) -> Any:
    return max(0, asked.answer() - runs)


@wraps(
    "line_count",
    "`historyLineCount` is zero, null, too high or low, text or a float.",
    "Run.historyLineCount",
    choices="zero null high low one text float",
)
def _line_count(how: str, asked: Asked) -> Any:
    count = asked.answer()
    if count is None:
        return None
    values = {
        "zero": 0, "null": None, "high": count * 2 + 3, "low": count // 2, "one": 1,
        "text": str(count), "float": float(count),
    }  # fmt: skip
    return values[how]


def _moment(text: str) -> datetime:
    """Read a time of ours, which is UTC."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


_SPELLINGS: dict[str, Callable[[datetime], Any]] = {
    "offset": lambda at: at.isoformat().replace("+00:00", "") + "+00:00",
    "short_offset": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S+0000"),
    "fraction": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    "nanoseconds": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S.%f000Z"),
    "bare": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S"),
    "space": lambda at: at.strftime("%Y-%m-%d %H:%M:%S"),
    "utc": lambda at: at.strftime("%Y-%m-%d %H:%M:%S UTC"),
    "epoch": lambda at: int(at.timestamp()),
    "epoch_float": lambda at: at.timestamp(),
    "epoch_ms": lambda at: int(at.timestamp() * 1000),
    "epoch_text": lambda at: str(int(at.timestamp())),
}


@wraps(
    "times",
    "Times have an offset or a fraction, no `Z`, a space, or are seconds since 1970.",
    *_TIMES,
    choices=" ".join(_SPELLINGS),
)
def _times(how: str, asked: Asked) -> Any:
    text = asked.answer()
    return None if text is None else _SPELLINGS[how](_moment(text))


@wraps("tags", "`tags` of a run is null, or JSON text.", "Run.tags", choices="null text")
def _tags(how: str, asked: Asked) -> Any:
    tags = list(asked.answer() or ())
    return msgspec.json.encode(tags).decode() if how == "text" else tags or None


@wraps("users", "`user` of a run is null.", "Run.user")
def _users(_on: bool, _asked: Asked) -> Any:  # noqa: FBT001 - its value
    return None


def _object(asked: Asked) -> Any:
    """Open a config or summary."""
    text = plain(asked.answer())
    return None if text is None else msgspec.json.decode(text)


@wraps(
    "blobs",
    "`config` and `summaryMetrics` are objects, not text; or empty ones are null, or empty text.",
    *_BLOBS,
    choices="object null_empty empty_text",
)
def _blobs(how: str, asked: Asked) -> Any:
    found = asked.answer()
    if found is None:
        return None
    if how == "object":
        return msgspec.Raw(plain(found).encode())
    empty = plain(found) == "{}"
    return (None if how == "null_empty" else "") if empty else found


@wraps(
    "config_wrapping",
    "The entries of `config` stand bare, without `value`, or with `value` alone.",
    "Run.config",
    choices="bare value_only",
)
def _wrapping(how: str, asked: Asked) -> Any:
    found = _object(asked)
    if not isinstance(found, dict):
        return asked.answer()
    values = {key: each.get("value") for key, each in found.items()}
    if how == "value_only":
        values = {key: {"value": value} for key, value in values.items()}
    return raw(msgspec.json.encode(values).decode())


@wraps(
    "blob_keys",
    "`config(keys:)` and `summaryMetrics(keys:)` give all keys, none, or do not know the first of them.",
    *_BLOBS,
    choices="all none not_first",
)
def _blob_keys(how: str, asked: Asked) -> Any:
    keys = asked.arguments.get("keys")
    if keys is None:
        return asked.answer()
    return asked.answer(keys={"all": None, "none": [], "not_first": keys[1:]}[how])


@wraps("blob_dots", "`summaryMetrics` and `config` hold nested keys flat, with dots.", *_BLOBS)
def _blob_dots(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    found = _object(asked)
    if not isinstance(found, dict):
        return asked.answer()
    if asked.name == "Run.config":
        flat = {
            path: {"value": value, "desc": None}
            for key, each in found.items()
            for path, value in _leaves(key, each.get("value"))
        }
    else:
        flat = {path: each for key, value in found.items() for path, each in _leaves(key, value)}
    return raw(msgspec.json.encode(flat).decode())


def _leaves(path: str, value: Any) -> list[tuple[str, Any]]:
    """List the leaves of an object."""
    if not isinstance(value, dict) or not value or "_type" in value or path == "_wandb":
        return [(path, value)]
    return [leaf for key, each in value.items() for leaf in _leaves(f"{path}.{key}", each)]


@wraps(
    "numbers",
    "Whole numbers in summaries and configs come as floats, `3.0`, or all in scientific spelling.",
    *_BLOBS,
    choices="float scientific",
)
def _numbers(how: str, asked: Asked) -> Any:
    text = plain(asked.answer())
    if not isinstance(text, str):
        return asked.answer()
    spelled = re.sub(
        r"(?<=[:\[,])-?\d{1,15}(?=[,\]}])",
        lambda found: f"{found[0]}.0" if how == "float" else f"{found[0]}e0",
        text,
    )
    return raw(spelled)


@wraps(
    "run_gone",
    "Each n-th run that is listed is gone when it is asked for by its name.",
    "Project.run",
    kind=int,
)
def _gone(every: int, asked: Asked) -> Any:
    names = list(asked.source.runs)
    gone = names[max(1, every) - 1 :: max(1, every)]
    return None if asked.arguments.get("name") in gone else asked.answer()


@wraps(
    "state_words",
    "`state` of a run is null where it has ended, or in capitals.",
    "Run.state",
    choices="null upper",
)
def _state(how: str, asked: Asked) -> Any:
    state = asked.answer()
    if how == "upper":
        return None if state is None else state.upper()
    return state if state == "running" else None
