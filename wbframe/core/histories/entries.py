"""What the server knows of a run's rows before they are read: its keys, their types, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.core.hints import check_keys, whole
from wbframe.core.model import ENDED
from wbframe.core.paths import run_of
from wbframe.core.schema.types import SYSTEM_PREFIXES, merge_index, system_column, type_named

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from wbframe.core.model import RunPath
    from wbframe.core.protocol.runs import RunNode
    from wbframe.core.schema.types import Index, Types

__all__ = ["RunEntry", "index_of", "key_types", "parse_keys", "run_entry"]


class _TypeCount(msgspec.Struct, gc=False):
    type: str = ""
    count: int | float = 0


class _KeyInfo(msgspec.Struct, rename="camel", gc=False):
    # Absent for keys of which the server has but the value before.
    type_counts: list[_TypeCount] | None = None


class _HistoryKeys(msgspec.Struct, rename="camel", gc=False):
    """What historyKeys is by the protocol; anything else is read piece by piece."""

    keys: dict[str, _KeyInfo] | None = None
    last_step: int | float | None = None


# Text of JSON within text of JSON, so often at the most.
_MOST_WRAPPED = 3
_history_keys = msgspec.json.Decoder(_HistoryKeys)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """What the server knows of one run's rows.

    Attributes
    ----------
    ordinal
        Its place in the order of the scan.
    path
        Its project.
    run_id
        Its id.
    ended
        Whether it logs no more, so that counts are final.
    line_count
        Rows logged, or None.
    last_step
        The last step logged, or None.
    keys
        Logged key -> type -> rows that hold it, empty where it does not say how many; None if it does not say
        which keys there are.
    """

    ordinal: int
    path: RunPath
    run_id: str
    ended: bool = True
    line_count: int | None = None
    last_step: int | None = None
    keys: Mapping[str, Mapping[str, int]] | None = None

    def types(self, *, system: bool) -> dict[str, Types]:
        """Give the keys of one stream, as they stand in its rows, and their types."""
        return key_types(self.keys or {}, system=system)

    def count(self, key: str) -> int | None:
        """Give the number of rows that hold the key: 0 if it is not listed, None if that is not known."""
        if self.keys is None:
            return None
        types = self.keys.get(key)
        return 0 if types is None else sum(types.values()) or None

    @property
    def is_empty(self) -> bool:
        """Whether there are no rows by all that is known, its list of keys among it."""
        return self.keys == {} and not self.line_count and self.last_step is None


def run_entry(ordinal: int, path: RunPath, node: RunNode) -> RunEntry:
    """Read an entry off a run that was selected with historyKeys; what contradicts itself is unknown."""
    check_keys(node.history_keys, f"the keys of {run_of(path, node.name)}")
    keys, last_step = _keys_and_step(node.history_keys)
    count = whole(node.history_line_count)
    # A run that has a last step, or keys, has rows; and one that has rows has keys.
    if count == 0 and keys == {} and last_step == 0:
        last_step = None
    if count == 0 and (keys or last_step is not None):
        count = last_step = None
    if keys == {} and (count or last_step is not None):
        # By the list of keys there are no rows: that there are so many is as doubtful.
        keys, count = None, None if last_step is None else count
    return RunEntry(
        ordinal=ordinal,
        path=path,
        run_id=node.name,
        ended=node.state in ENDED,
        line_count=count,
        last_step=last_step,
        keys=keys,
    )


def _keys_and_step(
    history_keys: msgspec.Raw,
) -> tuple[dict[str, Mapping[str, int]] | None, int | None]:
    """Read historyKeys of a run at once, where it is as the protocol says; there may be thousands of keys."""
    try:
        read = _history_keys.decode(history_keys)
        # Else there are keys within keys, or a list of them.
        plain = bytes(history_keys).count(b'"keys"') <= 1 and (read.keys or {}).keys() != {"items"}
    except (msgspec.DecodeError, RecursionError):
        plain = False
    if not plain:
        found = _opened(history_keys)
        step = whole(found.get("lastStep")) if isinstance(found, dict) else None
        return _keys_in(found), step
    keys = None if read.keys is None else {intern(k): _types(info) for k, info in read.keys.items()}
    return keys, whole(read.last_step)


def parse_keys(history_keys: msgspec.Raw) -> dict[str, Mapping[str, int]] | None:
    """Read historyKeys: logged key -> type -> rows that hold it; None if the server does not say."""
    check_keys(history_keys, "the logged keys")
    return _keys_and_step(history_keys)[0]


def _opened(raw: msgspec.Raw) -> Any:
    """Open JSON that may be text of JSON, even twice; None for what is neither."""
    found: Any = bytes(raw)
    for _ in range(_MOST_WRAPPED):
        try:
            found = msgspec.json.decode(found)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        if not isinstance(found, str):
            return found
    return None


def _keys_in(found: Any) -> dict[str, Mapping[str, int]] | None:
    """Read keys in any form that lists them: an object, a list of names or of entries, as such or as text."""
    if isinstance(found, dict) and "keys" in found:
        found = found["keys"]
    if isinstance(found, str):
        found = _opened(msgspec.Raw(found.encode()))
    if isinstance(found, dict) and found.keys() == {"items"}:
        found = found["items"]
    if isinstance(found, list):
        found = {
            each.get("key", each.get("name")): each for each in found if isinstance(each, dict)
        } | {each: None for each in found if isinstance(each, str)}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        return None
    if not found.keys() - {"sets", "lastStep", "format"}:
        return None
    return {
        intern(name): _types(_info(info))
        for key, value in found.items()
        for name, info in _unnested(key, value)
    }


def _unnested(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Give a key, or those of the objects under it, by their dotted names."""
    counts = value.get("typeCounts") if isinstance(value, dict) else None
    listed = [each for each in counts if isinstance(each, dict)] if isinstance(counts, list) else []
    inner = [each["keys"] for each in listed if isinstance(each.get("keys"), dict)]
    for keys in inner:
        for name, info in keys.items():
            yield from _unnested(f"{key}.{name}", info)
    if len(inner) < max(len(listed), 1):
        yield key, value


def _info(value: Any) -> _KeyInfo:
    """Read what is said of one key, as far as it says something."""
    counts = value.get("typeCounts") if isinstance(value, dict) else None
    found = [each for each in counts if isinstance(each, dict)] if isinstance(counts, list) else []
    return _KeyInfo(
        [_TypeCount(str(each.get("type") or ""), whole(each.get("count")) or 0) for each in found]
    )


def _types(info: _KeyInfo) -> Mapping[str, int]:
    """Give the rows that hold each type; a key without counts, or of types that nobody knows, is unknown."""
    counts = info.type_counts or ()
    if len(counts) == 1:
        return _of_one_type(counts[0].type, int(counts[0].count))
    found = {_type_named(each.type): int(each.count) for each in counts}
    return {} if "" in found or not any(found.values()) else found


def _type_named(word: str) -> str:
    """Give the type that a word means; an object that was logged as such is JSON."""
    return type_named(word).replace("map", "json")


@lru_cache(maxsize=1024)
def _of_one_type(kind: str, rows: int) -> Mapping[str, int]:
    """Give one object for all keys that were logged as often: there may be thousands in thousands of runs."""
    name = _type_named(kind)
    return {name: rows} if name and rows > 0 else {}


def key_types(keys: Mapping[str, Mapping[str, int]], *, system: bool) -> dict[str, Types]:
    """Give the keys of one stream, as they stand in its rows, and their types."""
    return {
        system_column(key) if system else key: frozenset(counts)
        for key, counts in keys.items()
        if key.startswith(SYSTEM_PREFIXES) == system
    }


def index_of(entries: Iterable[RunEntry], *, system: bool) -> Index:
    """Unite the keys of several runs."""
    found: Index = {}
    for entry in entries:
        merge_index(found, entry.types(system=system))
    return found
