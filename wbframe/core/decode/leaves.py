"""The keys of an exported file: where each lies among its columns, and of which type it is.

A file may have several columns for one key: two of one name, or ``a.b`` beside a member `b` of `a`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from wbframe.core.decode.arrow import alternatives
from wbframe.core.decode.plain import misfit, one_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Path = tuple[int, ...]  # the place of a column, then those of members within

__all__ = ["columns_of", "leaf_columns", "leaves", "types_in"]


def leaves(schema: pa.Schema) -> dict[str, tuple[Path, ...]]:
    """Give the keys of a file, and where each lies: of a struct of keys they are its members, with dots.

    Media, and structs of one value in several types, are values.

    Examples
    --------
    >>> import pyarrow as pa
    >>> leaves(pa.schema([("a", pa.int64()), ("opt", pa.struct([("m", pa.int64())]))]))
    {'a': ((0,),), 'opt.m': ((1, 0),)}
    """
    found: dict[str, tuple[Path, ...]] = {}
    for place, field in enumerate(schema):
        for name, path in _paths(field.name, field.type):
            found[name] = (*found.get(name, ()), (place, *path))
    return found


def _paths(name: str, kind: pa.DataType) -> Iterator[tuple[str, Path]]:
    """Give the keys below a column, and the ways to their values."""
    members = [member.name for member in kind] if pat.is_struct(kind) else []
    if not members or alternatives(members) or "_type" in members:
        yield name, ()
        return
    for place, member in enumerate(kind):
        for inner, path in _paths(f"{name}.{member.name}", member.type):
            yield inner, (place, *path)


def columns_of(schema: pa.Schema, keys: Iterable[str]) -> list[str]:
    """Name the columns of a file that some of its keys lie in."""
    there = leaves(schema)
    places = [path[0] for key in keys for path in there.get(key, ())]
    return list(dict.fromkeys(schema.field(place).name for place in places))


def leaf_columns(table: pa.Table, keys: Iterable[str], *, where: str) -> pa.Table:
    """Take the keys of a file out of its columns, each as a plain column or as JSON in binary.

    Parameters
    ----------
    table
        What was read of the file.
    keys
        Which; those that are not there are left out.
    where
        The file, for messages.

    Raises
    ------
    SchemaMismatchError
        If a key has values that cannot be told, or several.

    Examples
    --------
    >>> import pyarrow as pa
    >>> leaf_columns(pa.table({"opt": [{"m": 1}, None]}), ["opt.m"], where="").to_pydict()
    {'opt.m': [1, None]}
    """
    there = leaves(table.schema)
    found = {}
    for key in dict.fromkeys(keys):
        if key in there:
            columns = [_at(table, path) for path in there[key]]
            for each in columns:
                if len(each) != table.num_rows:
                    holds = f"{len(each)} values for {table.num_rows} rows"
                    raise misfit(key, holds, where)
            found[key] = one_column(key, columns, where=where)
    return pa.table(list(found.values()), names=list(found))


def _at(table: pa.Table, path: Path) -> pa.ChunkedArray:
    """Take one column, or what lies within."""
    column = table.column(path[0])
    return pc.struct_field(column, list(path[1:])) if path[1:] else column


def types_in(schema: pa.Schema) -> Mapping[str, frozenset[str]]:
    """Give the types of a file's keys, in the vocabulary of ``historyKeys``.

    Examples
    --------
    >>> import pyarrow as pa
    >>> types_in(pa.schema([("a", pa.int64()), ("b", pa.dictionary(pa.int32(), pa.string()))]))
    {'a': frozenset({'number'}), 'b': frozenset({'string'})}
    """
    found = {}
    for key, paths in leaves(schema).items():
        kinds = []
        for path in paths:
            kind = schema.field(path[0]).type
            for place in path[1:]:
                kind = kind.field(place).type
            kinds.append(_type_of(kind))
        found[key] = frozenset(kinds)
    return found


def _type_of(kind: pa.DataType) -> str:
    """Name the type of a column."""
    if pat.is_dictionary(kind):
        kind = kind.value_type
    if pat.is_integer(kind) or pat.is_floating(kind) or pat.is_decimal(kind):
        return "number"
    if pat.is_boolean(kind):
        return "bool"
    if pat.is_null(kind):
        return "nil"
    return "string" if pat.is_string(kind) or pat.is_large_string(kind) else "json"
