"""How the index of config and summary keys, ``project.fields``, may differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wbframe.server.differing.registry import Asked, wraps

__all__: list[str] = []

_FIELDS = "Project.fields"
_GONE = (("config.gone.value", "string"), ("summary_metrics.gone", "number"))
_TYPES: dict[str, Callable[[str], Any]] = {
    "double": lambda kind: {"number": "double", "bool": "boolean"}.get(kind, kind),
    "python": lambda kind: {"number": "float", "string": "str", "nil": "NoneType"}.get(kind, kind),
    "union": lambda kind: f"int|{kind}" if kind != "number" else "int|double",
    "list": lambda kind: [kind],
    "upper": str.upper,
    "map": lambda _kind: "map",
    "unknown": lambda _kind: "unknown",
    "null": lambda _kind: None,
}

Pair = tuple[str, Any]


def _every(asked: Asked) -> list[Pair]:
    """Give the whole index, whatever page of it is asked for."""
    found: list[Pair] = []
    after = None
    while True:
        page = asked.answer(first=1000, after=after)
        found += [(edge["node"]["path"], edge["node"]["type"]) for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return found


def _page(pairs: list[Pair], asked: Asked) -> dict[str, Any]:
    """Give the page that is asked for of another index; cursors are plain numbers here."""
    pairs = list(dict.fromkeys(pairs)) if all(isinstance(kind, str) for _, kind in pairs) else pairs
    after = asked.arguments.get("after")
    start = 0 if not after else int(after)
    stop = min(len(pairs), start + (asked.arguments.get("first") or 50))
    return {
        "edges": [
            {"node": {"path": path, "type": kind}, "cursor": str(start + number + 1)}
            for number, (path, kind) in enumerate(pairs[start:stop])
        ],
        "pageInfo": {
            "hasNextPage": stop < len(pairs),
            "hasPreviousPage": start > 0,
            "startCursor": str(start + 1),
            "endCursor": str(stop) if stop > start else None,
        },
    }


def _names(path: str) -> tuple[str, list[str]]:
    """Part a path into what comes before the key, and the names of the key."""
    root, _, rest = path.partition(".")
    names = rest.split(".")
    if root == "config" and names[1:2] == ["value"]:
        return "config", [names[0], *names[2:]]
    return root, names


def _spelled(root: str, names: list[str]) -> str:
    """Put a path together."""
    if root == "config":
        return ".".join([root, names[0], "value", *names[1:]])
    return ".".join([root, *names])


@wraps(
    "index_depth",
    "`fields` stops at so many names of a key; what lies deeper is one path of type `map`.",
    _FIELDS,
    kind=int,
)
def _depth(most: int, asked: Asked) -> Any:
    pairs = []
    for path, kind in _every(asked):
        root, names = _names(path)
        deeper = len(names) > max(1, most)
        pairs.append((_spelled(root, names[: max(1, most)]), "map") if deeper else (path, kind))
    return _page(pairs, asked)


@wraps(
    "index_lists",
    "`fields` lists the items of lists: `path.0`, `path.1`, in place of the list.",
    _FIELDS,
)
def _lists(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    pairs: list[Pair] = []
    for path, kind in _every(asked):
        pairs += [(f"{path}.{i}", "number") for i in range(2)] if kind == "list" else [(path, kind)]
    return _page(pairs, asked)


@wraps(
    "index_dots",
    "`fields` writes the dots between names otherwise: folded to `_`, escaped, or as `/`.",
    _FIELDS,
    choices="fold escape slash",
)
def _dots(how: str, asked: Asked) -> Any:
    between = {"fold": "_", "escape": "\\.", "slash": "/"}[how]
    pairs = []
    for path, kind in _every(asked):
        root, names = _names(path)
        key = between.join(names)
        pairs.append((f"config.{key}.value" if root == "config" else f"{root}.{key}", kind))
    return _page(pairs, asked)


@wraps(
    "index_lacks",
    "`fields` lists no key of the config, of the summary, or no nested one.",
    _FIELDS,
    choices="config summary nested",
)
def _lacks(what: str, asked: Asked) -> Any:
    root = {"config": "config", "summary": "summary_metrics"}.get(what)
    pairs = [
        (path, kind)
        for path, kind in _every(asked)
        if _names(path)[0] != root and (what != "nested" or len(_names(path)[1]) == 1)
    ]
    return _page(pairs, asked)


@wraps(
    "index_types",
    "`fields` names types in other words: `double`, `int|string`, a list of types, null.",
    _FIELDS,
    choices=" ".join(_TYPES),
)
def _types(how: str, asked: Asked) -> Any:
    return _page([(path, _TYPES[how](kind)) for path, kind in _every(asked)], asked)


@wraps(
    "index_deleted",
    "`fields` keeps keys, or types of keys, of runs that were deleted.",
    _FIELDS,
    choices="keys types both",
)
def _deleted(what: str, asked: Asked) -> Any:
    pairs = _every(asked)
    if what != "keys":
        other = [(path, "string") for path, kind in pairs if kind == "number"]
        pairs = sorted(pairs + other)
    return _page(pairs + (list(_GONE) if what != "types" else []), asked)


@wraps(
    "index_lag",
    "`fields` does not know yet what so many of the newest runs alone have.",
    _FIELDS,
    kind=int,
)
def _lag(runs: int, asked: Asked) -> Any:
    view = asked.source
    newest = view.catalog.select(view, None, "-createdAt")
    known: set[str] = set()
    for each in newest[runs:]:
        known |= _paths("config", each.run.config, ".value")
        known |= _paths("summary_metrics", each.run.summary_metrics, "")
    pairs = [(path, kind) for path, kind in _every(asked) if path in known]
    return _page(pairs, asked)


def _paths(root: str, values: Any, behind: str) -> set[str]:
    """Spell the path of every leaf of a config or summary."""
    found: set[str] = set()

    def walk(path: str, value: Any) -> None:
        if isinstance(value, Mapping) and value and "_type" not in value:
            for key, inner in value.items():
                walk(f"{path}.{key}", inner)
        else:
            found.add(path)

    for key, value in values.items() if isinstance(values, Mapping) else ():
        walk(f"{root}.{key}{behind}", value)
    return found


@wraps("index_most", "`fields` ends after so many keys without a word of more.", _FIELDS, kind=int)
def _most(most: int, asked: Asked) -> Any:
    return _page(_every(asked)[:most], asked)


@wraps(
    "index_spelling",
    "`fields` spells config paths without `.value`, or summary paths as `summary.` or bare.",
    _FIELDS,
    choices="no_value summary bare",
)
def _spelling(how: str, asked: Asked) -> Any:
    pairs = []
    for path, kind in _every(asked):
        root, names = _names(path)
        key = ".".join(names)
        if how == "no_value" and root == "config":
            pairs.append((f"config.{key}", kind))
        elif how != "no_value" and root == "summary_metrics":
            pairs.append((f"summary.{key}" if how == "summary" else key, kind))
        else:
            pairs.append((path, kind))
    return _page(pairs, asked)


@wraps(
    "index_shuffled",
    "`fields` lists its paths in no order, children apart from each other.",
    _FIELDS,
)
def _shuffled(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    return _page(sorted(_every(asked), key=lambda pair: pair[0][::-1]), asked)


@wraps(
    "index_parents",
    "`fields` lists nested keys and, as type `map`, every parent of theirs.",
    _FIELDS,
)
def _parents(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    pairs: list[Pair] = []
    for path, kind in _every(asked):
        root, names = _names(path)
        pairs += [(_spelled(root, names[:end]), "map") for end in range(1, len(names))]
        pairs.append((path, kind))
    return _page(pairs, asked)


@wraps(
    "index_answer",
    "`fields` is null, has no keys, null edges, null nodes, or edges that are null.",
    _FIELDS,
    choices="null empty null_edges null_nodes null_list",
)
def _answer(what: str, asked: Asked) -> Any:
    page = _page([] if what == "empty" else _every(asked), asked)
    edges = page["edges"]
    lists = {
        "null_edges": [None for _ in edges],
        "null_nodes": [{**edge, "node": None} for edge in edges],
        "null_list": None,
    }
    return None if what == "null" else {**page, "edges": lists.get(what, edges)}


@wraps(
    "index_endless",
    "`fields` says of its last page that more follows, and gives that page again.",
    _FIELDS,
)
def _endless(_on: bool, asked: Asked) -> Any:  # noqa: FBT001 - its value
    first = asked.arguments.get("first") or 50
    pairs = _every(asked)
    after = asked.arguments.get("after")
    last = {"after": str(max(0, len(pairs) - first))} if after and int(after) >= len(pairs) else {}
    page = _page(
        pairs,
        Asked(asked.name, asked.source, asked.info, {**asked.arguments, **last}, asked.resolver),
    )
    return {**page, "pageInfo": {**page["pageInfo"], "hasNextPage": True}}
