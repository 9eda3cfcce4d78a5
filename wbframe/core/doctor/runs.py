"""What answers about runs mean: the schema, pages, the index of config and summary keys, one key alone."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeGuard

from wbframe.core.doctor.report import Finding, attempt
from wbframe.core.doctor.words import plain
from wbframe.core.schema.types import HIDDEN, index_of_fields

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from wbframe.core.doctor.report import State

__all__ = [
    "configs_of",
    "index_findings",
    "is_number",
    "leaves",
    "names_of",
    "nodes_of",
    "page_finding",
    "projection_finding",
    "run_of",
    "schema_finding",
    "some_key",
    "unpacked",
]

_MOST_WORDS = 6
_OPTIONAL = {
    "project.fields": ("Project", "fields", ""),
    "config(keys:)": ("Run", "config", "keys"),
    "runs.historyKeys": ("RunConnection", "historyKeys", ""),
    "run.parquetHistory": ("Run", "parquetHistory", ""),
    "liveData": ("ParquetHistory", "liveData", ""),
    "run.bucketedHistory": ("Run", "bucketedHistory", ""),
    "runs(filters:)": ("Project", "runs", "filters"),
}


def unpacked(value: Any) -> Any:
    """Open what may be JSON text, once or more often; what is no JSON stays as it is."""
    while isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    return value


def run_of(data: Any) -> dict[str, Any]:
    """Give the one run of an answer; nothing where it is not there."""
    run = attempt(lambda read: read["project"]["r0"], data)
    return run if isinstance(run, dict) else {}


# ---------------------------------------------------------------- schema and pages


def schema_finding(data: Any) -> Finding:
    """Say which of the optional fields and arguments the schema has."""
    fields = {
        (kind, field["name"]): {each["name"] for each in field["args"]}
        for kind, described in data.items()
        for field in (described or {}).get("fields") or ()
    }
    lacks = [
        name
        for name, (kind, field, argument) in _OPTIONAL.items()
        if (kind, field) not in fields or (argument and argument not in fields[kind, field])
    ]
    if not lacks:
        return Finding("schema", "ok", f"told; has all {len(_OPTIONAL)} optional fields")
    return Finding("schema", "differs", f"told; lacks {', '.join(lacks)}")


def nodes_of(connection: Any) -> list[dict[str, Any]]:
    """Give the runs of a page."""
    edges = (connection or {}).get("edges") or ()
    return [edge["node"] for edge in edges if edge and edge.get("node")]


def names_of(connection: Any) -> list[str]:
    """Give the names of the runs of a page."""
    return [node["name"] for node in nodes_of(connection)]


def page_finding(data: Any, *, asked: int) -> Finding:
    """Say how many runs a large page gave, and whether the server's count of them is right."""
    count, connection = data["project"].get("runCount"), data["project"]["runs"]
    came = len(names_of(connection))
    more = ((connection or {}).get("pageInfo") or {}).get("hasNextPage")
    text = (
        f"asked for {asked}, came {came}, counted {count}, {'more follow' if more else 'no more'}"
    )
    if not isinstance(count, int) or came > count or (came < count and came < asked):
        return Finding("pages of runs", "differs", text)
    if bool(more) != (came < count):
        return Finding("pages of runs", "differs", f"{text}, though the count says otherwise")
    return Finding("pages of runs", "ok", text)


# ---------------------------------------------------------------- configs


def configs_of(nodes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Give the config of each run, its entries unwrapped."""
    found = {}
    for node in nodes:
        config = unpacked(node.get("config"))
        found[node["name"]] = {
            name: entry["value"] if isinstance(entry, dict) and "value" in entry else entry
            for name, entry in (config if isinstance(config, dict) else {}).items()
            if name not in HIDDEN["config"]
        }
    return found


def is_number(value: Any) -> TypeGuard[float]:
    """Tell whether a value is a number, and finite or not, but no Boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def leaves(value: Any, names: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give the leaves of nested objects, each with its names."""
    if isinstance(value, dict) and value and "_type" not in value:
        for name, each in value.items():
            yield from leaves(each, (*names, name))
    elif names:
        yield names, value


def some_key(configs: Mapping[str, Mapping[str, Any]], kinds: tuple[type, ...]) -> str | None:
    """Give the name of a config entry of some kind that most runs have; None where none has one."""
    counts = Counter(
        name
        for config in configs.values()
        for name, value in config.items()
        if isinstance(value, kinds) and not isinstance(value, bool) and "." not in name
    )
    return max(sorted(counts), key=counts.__getitem__) if counts else None


def projection_finding(data: Any, *, key: str) -> Finding:
    """Say whether one key of a config comes alone."""
    topic = "config(keys:)"
    came = [unpacked(node.get("config")) or {} for node in nodes_of(data["project"]["runs"])]
    alone = sum(set(each) == {key} for each in came)
    more = sum(len(each) > 1 for each in came)
    if more:
        return Finding(topic, "differs", f"other keys come too, in {more} of {len(came)} runs")
    if not alone:
        return Finding(topic, "differs", "the key that was asked for does not come")
    return Finding(topic, "ok", f"one key comes alone, in {alone} of {len(came)} runs")


# ---------------------------------------------------------------- the index


def index_findings(
    pairs: Sequence[tuple[str, Any]],
    *,
    pages: int,
    nodes: Sequence[Mapping[str, Any]],
    whole: bool,
) -> list[Finding]:
    """Compare the index of config and summary keys with what a few runs have."""
    index = index_of_fields([(path, str(kind)) for path, kind in pairs if isinstance(path, str)])
    told = f"{len(pairs)} paths on {pages} page{'s' if pages != 1 else ''}"
    if not pairs:
        return [Finding("index", "absent", "there is one, but it names nothing")]
    held = [leaf for config in configs_of(nodes).values() for leaf in leaves(config)]
    names = {each for each, _ in held}
    missing = {each for each in names if _column("config", each) not in index}
    if whole and missing:
        told += f"; {len(missing)} of {len(names)} config leaves of the runs looked at are missing"
    elif whole:
        told += f"; names all {len(names)} config leaves of the runs looked at"
    else:
        told += ", and more that were not read"
    found = [Finding("index", "differs" if whole and missing else "ok", told)]
    if whole:
        found += [_depth(names, missing, index), _summary(nodes, index)]
    return [*found, _words(pairs, held, index)]


def _column(head: str, names: tuple[str, ...]) -> str:
    return f"{head}.{'.'.join(names)}"


def _depth(
    names: set[tuple[str, ...]], missing: set[tuple[str, ...]], index: Collection[str]
) -> Finding:
    """Say how deep the index goes."""
    topic = "index depth"
    deepest = max(map(len, names), default=0)
    reached = max(map(len, names - missing), default=0)
    cut = [
        each
        for each in missing
        if any(_column("config", each[:i]) in index for i in range(1, len(each)))
    ]
    text = f"{reached} of {deepest} names of a config key"
    if deepest <= 1:
        return Finding(topic, "unknown", "no run looked at has a nested config")
    if cut:
        return Finding(topic, "differs", f"{text}; {len(cut)} keys stop at a parent")
    return Finding(topic, "ok" if reached == deepest else "differs", text)


def _summary(nodes: Sequence[Mapping[str, Any]], index: Collection[str]) -> Finding:
    """Say whether the index names what is in summaries."""
    topic = "index of summaries"
    summaries = [unpacked(node.get("summaryMetrics")) for node in nodes]
    keys = {
        key for each in summaries if isinstance(each, dict) for key, value in each.items()
        if key not in HIDDEN["summary"] and value is not None
    }  # fmt: skip
    told = {
        key for key in keys
        if f"summary.{key}" in index or any(each.startswith(f"summary.{key}.") for each in index)
    }  # fmt: skip
    if not keys:
        return Finding(topic, "unknown", "no run looked at has a summary")
    state: State = "ok" if told == keys else "differs"
    return Finding(topic, state, f"names {len(told)} of {len(keys)} keys of the runs looked at")


_PLAIN_TYPES = frozenset({"number", "string", "bool", "list", "map", "nil", "histogram"})


def _words(
    pairs: Sequence[tuple[str, Any]], held: Sequence[tuple[Any, Any]], index: Collection[str]
) -> Finding:
    """Say in which words the index names types, and whether it goes into lists."""
    words = Counter(kind if isinstance(kind, str) else type(kind).__name__ for _, kind in pairs)
    lists = {_column("config", names) for names, value in held if isinstance(value, list) and value}
    opened = sum(f"{each}.0" in index for each in lists)
    # Those that are not expected first.
    named = sorted(words, key=lambda word: (word in _PLAIN_TYPES, -words[word], word))[:_MOST_WORDS]
    text = plain(", ".join(named), " ".join(_PLAIN_TYPES))
    text += f"; lists are {'opened item by item' if opened else 'one path'}" if lists else ""
    state: State = "differs" if opened or not _PLAIN_TYPES.issuperset(words) else "ok"
    return Finding("index types", state, text)
