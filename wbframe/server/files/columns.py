"""From the rows of a run to the columns of an exported file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from wbframe.server.projects.wire import encode
from wbframe.text import as_utf8

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wbframe.server.projects.exports import FileFormat
    from wbframe.server.projects.rows import History

__all__ = ["file_table", "parquet", "values"]

_WHOLE = range(-(2**63), 2**63)
_MEMBERS = ("number", "string", "bool", "list", "map")


def values(history: History, rows: Sequence[int], keys: Sequence[str]) -> dict[str, list[Any]]:
    """Give columns as lists: None where a key was not logged, or logged as null.

    Parameters
    ----------
    history
        Of a run.
    rows
        Which of its rows.
    keys
        Which columns.
    """
    made = history.table()
    if made is not None:
        return {
            key: _taken(made[key], rows).to_pylist()
            if key in made.column_names
            else [None] * len(rows)
            for key in keys
        }
    stored = history.rows
    decoded = [json.loads(stored[row]) for row in rows]
    return {key: [row.get(key) for row in decoded] for key in keys}


def file_table(history: History, rows: Sequence[int], spelled: FileFormat) -> pa.Table:
    """Give the columns of an exported file, in the order in which their keys were logged first.

    Parameters
    ----------
    history
        Of the run.
    rows
        Which of its rows, in increasing order.
    spelled
        How values become columns.
    """
    made = history.table()
    if made is not None:
        arrays = {key: _taken(made[key], rows) for key in made.column_names}
        if spelled.numbers == "float64":
            arrays = {key: array.cast(pa.float64()) for key, array in arrays.items()}
    else:
        listed = values(history, rows, list(history.keys))
        arrays = {as_utf8(key): _array(each, spelled) for key, each in listed.items()}
    if spelled.columns == "own":
        held = _held(history, rows) if made is None else None
        arrays = {
            key: array
            for key, array in arrays.items()
            if (array.null_count < len(array) if held is None else key in held)
        }
    if "_step" in arrays:
        arrays["_step"] = arrays["_step"].cast(spelled.step, safe=False)
    return pa.table(arrays if spelled.nested == "dotted" else _folded(arrays, len(rows)))


def parquet(history: History, rows: Sequence[int], spelled: FileFormat) -> pa.Buffer:
    """Write an exported file; the same rows give the same bytes."""
    table = file_table(history, rows, spelled)
    texts = [each.name for each in table.schema if pa.types.is_string(each.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        compression=spelled.compression,
        row_group_size=spelled.row_group_rows,
        write_statistics=spelled.statistics,
        write_page_index=spelled.page_index,
        # numbers hardly repeat: looking them up in a dictionary costs more than it saves
        use_dictionary=texts or spelled.texts == "dictionary",
    )
    return sink.getvalue()


def _folded(arrays: dict[str, Any], rows: int) -> dict[str, Any]:
    """Put the columns of nested keys into one struct for each top key; null where all are."""
    inner: dict[str, dict[str, Any]] = {}
    for key, array in arrays.items():
        top, dot, rest = key.partition(".")
        if dot and top not in arrays and not pa.types.is_null(array.type):
            inner.setdefault(top, {})[rest] = array
    folded: dict[str, Any] = {}
    for key, array in arrays.items():
        top = key.partition(".")[0]
        if top not in inner or key == top:
            folded[key] = array
        elif top not in folded:
            children = _folded(inner[top], rows)
            empty = [
                all(not child[row].is_valid for child in children.values()) for row in range(rows)
            ]
            folded[top] = pa.StructArray.from_arrays(
                [
                    child.combine_chunks() if isinstance(child, pa.ChunkedArray) else child
                    for child in children.values()
                ],
                list(children),
                mask=pa.array(empty, pa.bool_()),
            )
    return folded


def _taken(column: pa.ChunkedArray, rows: Sequence[int]) -> pa.ChunkedArray:
    """Take rows of a column."""
    if isinstance(rows, range) and rows.step == 1:
        return column.slice(rows.start, len(rows))
    return column.take(pa.array(rows, pa.int64()))


def _held(history: History, rows: Sequence[int]) -> set[str]:
    """Name the keys that some of the rows hold, be it as null."""
    stored = history.rows
    return {as_utf8(key) for row in rows for key in json.loads(stored[row])}


def _family(value: Any) -> str:
    """Name the kind of a value that is not null."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "map" if isinstance(value, Mapping) else "list"


def _array(column: list[Any], spelled: FileFormat) -> pa.Array:
    """Turn a column of JSON values into an array of the type that a format gives them."""
    families = {_family(value) for value in column if value is not None}
    if not families:
        return pa.nulls(len(column))
    if len(families) > 1:
        return _mixed(column, families, spelled)
    if families == {"bool"}:
        return pa.array(column, pa.bool_())
    if families == {"number"}:
        return _numbers(column, spelled)
    if families == {"string"}:
        spelt = [None if value is None else as_utf8(value) for value in column]
        texts = pa.array(spelt, pa.string())
        return texts.dictionary_encode() if spelled.texts == "dictionary" else texts
    return _objects(column, spelled)


def _numbers(column: list[Any], spelled: FileFormat) -> pa.Array:
    """Turn numbers and nulls into integers where all of them are, else into floats."""
    exact = spelled.numbers == "exact"
    if exact and all(value is None or _is_int64(value) for value in column):
        return pa.array(column, pa.int64())
    try:
        doubles = [None if value is None else float(value) for value in column]
    except OverflowError:  # a whole number that no double is near
        return _json(column)
    return pa.array(doubles, pa.float64())


def _is_int64(value: Any) -> bool:
    """Tell whether Int64 holds a value that was logged as an integer."""
    return isinstance(value, int) and value in _WHOLE


def _mixed(column: list[Any], families: set[str], spelled: FileFormat) -> pa.Array:
    """Turn values of several kinds into a struct with a member for each, or into JSON."""
    if spelled.mixed == "binary":
        return _json(column)
    names = [name for name in _MEMBERS if name in families]
    members = [
        _array(
            [value if value is not None and _family(value) == name else None for value in column],
            spelled,
        )
        for name in names
    ]
    mask = pa.array([value is None for value in column])
    return pa.StructArray.from_arrays(members, [f"_type_{name}" for name in names], mask=mask)


def _objects(column: list[Any], spelled: FileFormat) -> pa.Array:
    """Turn lists or objects into lists or structs where one type fits all, else into JSON."""
    if spelled.objects == "struct":
        try:
            made = pa.array(column)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
            return _json(column)
        if _is_whole(made.type):
            return made
    return _json(column)


def _is_whole(kind: pa.DataType) -> bool:
    """Tell whether Parquet can hold a type: a struct without members or a type of null it cannot."""
    if pa.types.is_struct(kind):
        return kind.num_fields > 0 and all(_is_whole(member.type) for member in kind)
    if pa.types.is_list(kind):
        return _is_whole(kind.value_type)
    return not pa.types.is_null(kind)


def _json(column: list[Any]) -> pa.Array:
    """Turn values into JSON in binary."""
    return pa.array([None if value is None else encode(value) for value in column], pa.binary())
