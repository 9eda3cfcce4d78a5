"""What the server knows of a run's rows before they are read: its keys, their types, and how many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING

import msgspec

from wbframe.core.model import ENDED
from wbframe.core.paths import name_of
from wbframe.core.protocol.answers import json_object
from wbframe.core.schema.types import SYSTEM_PREFIXES, merge_index, system_column
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from wbframe.core.model import RunPath
    from wbframe.core.protocol.runs import RunNode
    from wbframe.core.schema.types import Index, Types

__all__ = ["RunEntry", "index_of", "key_types", "parse_keys", "parse_last_step", "run_entry"]


class _TypeCount(msgspec.Struct, gc=False):
    type: str = "json"
    count: int | float = 0


class _KeyInfo(msgspec.Struct, rename="camel", gc=False):
    type_counts: list[_TypeCount] | None = None


class _HistoryKeys(msgspec.Struct, rename="camel", gc=False):
    """What historyKeys is by the protocol; anything else is read piece by piece."""

    keys: dict[str, _KeyInfo] | None = None
    last_step: int | float | None = None


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
        Logged key -> type -> rows that hold it; None if the server does not say.
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

    def count(self, key: str) -> int:
        """Give the number of rows that hold the key."""
        return sum((self.keys or {}).get(key, {}).values())


def run_entry(ordinal: int, path: RunPath, node: RunNode) -> RunEntry:
    """Read an entry off a run that was selected with historyKeys."""
    keys, last_step = _keys_and_step(node, path)
    return RunEntry(
        ordinal=ordinal,
        path=path,
        run_id=node.name,
        ended=node.state in ENDED,
        line_count=_line_count(node, path),
        last_step=last_step,
        keys=keys,
    )


def _keys_and_step(
    node: RunNode, path: RunPath
) -> tuple[dict[str, Mapping[str, int]] | None, int | None]:
    """Read historyKeys of a run at once, where it is as the protocol says; there may be thousands of keys."""
    try:
        read = _history_keys.decode(node.history_keys)
    except (msgspec.DecodeError, RecursionError):
        keys = parse_keys(node.history_keys, where=f"run {node.name!r} of {name_of(path)}")
        return keys, parse_last_step(node.history_keys, where=f"run {node.name!r}")
    step = None if read.last_step is None or read.last_step < 0 else int(read.last_step)
    keys = None if read.keys is None else {intern(k): _types(info) for k, info in read.keys.items()}
    return keys, step


def _line_count(node: RunNode, path: RunPath) -> int | None:
    """Read the number of rows; a server may spell it as a float."""
    try:
        return None if node.history_line_count is None else int(node.history_line_count)
    except (OverflowError, ValueError) as error:
        msg = f"run {node.name!r} of {name_of(path)}: its historyLineCount is no number of rows"
        raise AnswerError(msg) from error


def parse_keys(history_keys: msgspec.Raw, *, where: str) -> dict[str, Mapping[str, int]] | None:
    """Read historyKeys: logged key -> type -> rows that hold it; None if the server does not say."""
    where = f"the history keys of {where}"
    raw = json_object(history_keys, where=where).get("keys")
    if raw is None:
        return None
    return {key: _counts(info, where) for key, info in json_object(raw, where=where).items()}


def parse_last_step(history_keys: msgspec.Raw, *, where: str) -> int | None:
    """Read the last step off historyKeys; None if the server does not say, or there is none."""
    raw = json_object(history_keys, where=f"the history keys of {where}").get("lastStep")
    try:
        step = None if raw is None else msgspec.json.decode(raw, type=int | float | None)
        return None if step is None or step < 0 else int(step)
    except (msgspec.ValidationError, OverflowError) as error:
        raise AnswerError(f"the history keys of {where}: the last step is no step") from error


def _counts(info: msgspec.Raw, where: str) -> Mapping[str, int]:
    """Read the type counts of one key."""
    try:
        return _types(msgspec.convert(msgspec.json.decode(info), _KeyInfo, strict=False))
    except (msgspec.DecodeError, OverflowError, RecursionError) as error:
        msg = f"{where}: the counts of a key are not what W&B's protocol says"
        raise AnswerError(msg) from error


def _types(info: _KeyInfo) -> Mapping[str, int]:
    """Give the rows that hold each type; a key without counts is of unknown type."""
    counts = info.type_counts or (_TypeCount(),)
    if len(counts) == 1:
        return _of_one_type(counts[0].type, int(counts[0].count))
    return {each.type: int(each.count) for each in counts}


@lru_cache(maxsize=1024)
def _of_one_type(kind: str, rows: int) -> Mapping[str, int]:
    """Give one object for all keys that were logged as often: there may be thousands in thousands of runs."""
    return {kind: rows}


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
