"""The types of logged, config and summary keys as a server names them, and the dtypes that they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.hints import MOST_KEYS, more_than

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


# Logged keys that are metadata of the row rather than of the user, in historyKeys and in rows.
# The former in historyKeys, the latter in the rows of `events` and in the run's last values.
SYSTEM_PREFIXES = ("system/", "system.")
# The columns of machine metrics that stand in place of `_step`.
SYSTEM_LEAD = ("_runtime", "_timestamp")

_NUMBER = frozenset({"number"})
_TEXT = frozenset({"string"})
_BOOL = frozenset({"bool"})
# Spellings of types in `project.fields` -> historyKeys' vocabulary.
# The words that hosts have for types. Of others, media among them, see `type_named`.
_WORDS = {
    **dict.fromkeys(("number", "int", "integer", "int64", "long"), "number"),
    **dict.fromkeys(("float", "float64", "double", "decimal"), "number"),
    **dict.fromkeys(("string", "str", "text"), "string"),
    **dict.fromkeys(("bool", "boolean"), "bool"),
    **dict.fromkeys(("nil", "null", "none", "nonetype"), "nil"),
    **dict.fromkeys(("json", "list", "array", "histogram", "media", "table"), "json"),
    **dict.fromkeys(("map", "dict", "object"), "map"),
}  # fmt: skip

# What the SDK itself keeps among the keys.
# Telemetry and definitions of metrics; `wandb_version` is from older versions of it.
HIDDEN = {"config": frozenset({"_wandb", "wandb_version"}), "summary": frozenset({"_wandb"})}


def is_own(column: str) -> bool:
    """Tell whether a column, or a glob, is of what the SDK keeps among the keys: it is read where it is named.

    Examples
    --------
    >>> is_own("config._wandb.cli_version"), is_own("config._wandb.*"), is_own("config.*")
    (True, True, False)
    """
    head, _, key = column.partition(".")
    return key.partition(".")[0] in HIDDEN.get(head, ())


Types = frozenset[str]
Index = dict[str, Types]


def is_glob(name: str) -> bool:
    """Tell whether a name is a glob."""
    return any(sign in name for sign in "*?[")


def type_named(word: object) -> str:
    """Give the type that a server's word means; empty for a word that nobody knows.

    Examples
    --------
    >>> [type_named(each) for each in ("number", "Double", "image-file", "int|string", None)]
    ['number', 'number', 'json', '', '']
    """
    if not isinstance(word, str):
        return ""
    # Media are named by their `_type`: image-file, images/separated, partitioned-table.
    return _WORDS.get(word.lower(), "json" if "-" in word or "/" in word else "")


def dtype_of(types: Types) -> pl.DataType:
    """Give the dtype of a key that was seen with these types.

    Examples
    --------
    >>> dtype_of(frozenset({"number", "nil"}))
    Float64
    >>> dtype_of(frozenset({"number", "string"}))
    String
    """
    kinds = types - {"nil"}
    if kinds == _NUMBER or not kinds:
        return pl.Float64()
    return pl.Boolean() if kinds == _BOOL else pl.String()


def is_mixed(types: Types) -> bool:
    """Tell whether text among numbers may be no more than spelled-out NaN and infinities."""
    return types - {"nil"} == _NUMBER | _TEXT


def is_scalar(types: Types) -> bool:
    """Tell whether a key was seen with nothing but numbers, text and booleans, as far as its types are known."""
    return types <= _NUMBER | _TEXT | _BOOL | {"nil"}


def merge_index(into: Index, more: Mapping[str, Iterable[str]]) -> None:
    """Add names and types to an index.

    Raises
    ------
    AnswerError
        If it comes to more than anyone has.
    """
    for name, types in more.items():
        into[name] = into.get(name, frozenset()) | frozenset(types)
    if len(into) > MOST_KEYS:
        raise more_than(MOST_KEYS, "keys", asked="the columns", advice="name those to read")


# ---------------------------------------------------------------- the runs frame


def index_of_fields(pairs: Iterable[tuple[str, Any]]) -> Index:
    """Turn `project.fields` into column names of the runs frame and their types.

    Examples
    --------
    >>> index_of_fields([("config.opt.value.name", "string")])
    {'config.opt.name': frozenset({'string'})}
    """
    found: Index = {}
    for path, kind in pairs:
        name = _column_of_field(path)
        if name is not None:
            # Where nested keys are listed as one, it has no type of its own.
            named = type_named(kind)
            merge_index(found, {name: () if named in {"", "map"} else (named,)})
    return found


def _column_of_field(path: str) -> str | None:
    """Give the column of one path of the index; None if it is no config or summary key."""
    head, dot, rest = path.partition(".")
    if not dot:
        return None
    if head == "config":
        # A config's keys are stored as `{"value": ..., "desc": ...}`, a summary's are not:
        # https://github.com/wandb/wandb-workspaces/issues/34
        nested = ".value." in rest
        rest = rest.replace(".value.", ".", 1) if nested else rest.removesuffix(".value")
    elif head in {"summary_metrics", "summaryMetrics", "summary"}:
        head = "summary"
    else:
        return None
    return None if rest.split(".")[0] in HIDDEN[head] else f"{head}.{rest}"


def system_column(key: str) -> str:
    """Spell a machine metric of historyKeys as it stands in the rows: ``system.<name>``.

    Examples
    --------
    >>> system_column("system/cpu"), system_column("system/system.load1")
    ('system.cpu', 'system.system.load1')
    """
    for prefix in SYSTEM_PREFIXES:
        if key.startswith(prefix):
            return f"system.{key.removeprefix(prefix)}"
    return key


def system_spelling(key: str) -> str:
    """Give the column (or glob) that a machine metric asked for in any spelling means.

    Examples
    --------
    >>> system_spelling("cpu"), system_spelling("system/gpu*")
    ('system.cpu', 'system.gpu*')
    """
    if key in SYSTEM_LEAD or key.startswith(SYSTEM_PREFIXES):
        return system_column(key)
    return f"system.{key}"
