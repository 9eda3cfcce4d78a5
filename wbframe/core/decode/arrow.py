"""Columns of Arrow, whatever their types -> plain ones, or the JSON that they stand for.

Numbers, booleans, text, and lists of these are plain: polars holds them as they are. A value of any other type is
spelled as the JSON that a live row would have in its place: a decimal as a number with all its digits, a time as
ISO 8601 text, a struct or a map as an object, bytes as the JSON that they hold. What has no such spelling is an
error, and so are bytes that are neither JSON nor UTF-8: it never reaches polars, which panics at some types.
"""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from wbframe.core.decode.cells import LISTS, RAW, MisfitError
from wbframe.core.decode.json import decode_any, told
from wbframe.core.decode.spelling import one_spelling
from wbframe.core.decode.taken import told_of
from wbframe.errors import AnswerError, SchemaMismatchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["alternatives", "json_cells", "misfit", "one_column", "plain_column"]

_NULL = b"null"
# One value in one of several types: a member a type, or its value beside the name of its type.
_ALTERNATIVE = "_type_"
_VALUE = "_val"
_TAGGED = {"_type", _VALUE}
_UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 -- the zone is spelled behind it
_DAY = 86_400
_SHOWN = 40  # characters of a value in a message
# More digits than any decimal of Arrow has.
_DIGITS = Context(prec=100)
_spell = msgspec.json.Encoder().encode
_raw = msgspec.json.Decoder(msgspec.Raw)


def plain_column(name: str, column: pa.ChunkedArray, *, where: str) -> pa.ChunkedArray:
    """Give a column of a file as a plain one, or as JSON in binary.

    Parameters
    ----------
    name
        The key.
    column
        Its values, of any type.
    where
        The file, for messages.

    Raises
    ------
    SchemaMismatchError
        If values have no spelling in JSON, or are not what their type says.

    Examples
    --------
    >>> from datetime import date
    >>> days = pa.chunked_array([pa.array([date(2026, 1, 31), None])])
    >>> plain_column("day", days, where="").to_pylist()
    [b'"2026-01-31"', None]
    """
    try:
        column = _without_dictionary(_wide(column))
        if is_plain(column.type):
            if _holds_text(column.type):
                # Files promise UTF-8, and nothing that reads them holds them to it.
                column.validate(full=True)
            return column
        cells = [cell for chunk in column.chunks for cell in json_cells(chunk)]
    except MisfitError as error:
        raise misfit(name, str(error), where) from None
    except UnicodeDecodeError as error:
        raise misfit(name, f"text that is not UTF-8 ({error.reason})", where) from error
    except (ValueError, ArithmeticError, pa.ArrowException) as error:
        raise misfit(name, f"values that cannot be read ({told_of(error)})", where) from error
    return _binary(cells)


def one_column(name: str, columns: Sequence[pa.ChunkedArray], *, where: str) -> pa.ChunkedArray:
    """Make one plain column of all those that a file has for a key; usually there is one.

    Raises
    ------
    SchemaMismatchError
        As `plain_column`, and if two of them hold different values in one row.

    Examples
    --------
    >>> parts = [pa.chunked_array([pa.array(each)]) for each in ([1, None], [None, 2.5])]
    >>> one_column("x", parts, where="").to_pylist()
    [b'1', b'2.5']
    """
    first, *others = (plain_column(name, each, where=where) for each in columns)
    if not others:
        return first
    found = _of_chunks(first)
    for other in others:
        for row, cell in enumerate(_of_chunks(other)):
            if found[row] != _NULL != cell and not _equal(found[row], cell):
                raise misfit(name, f"two values in row {row}, in two columns of one name", where)
            if cell != _NULL:
                found[row] = cell
    return _binary(found)


def misfit(name: str, holds: str, where: str) -> SchemaMismatchError:
    """Make the error of a key for which a file holds what cannot be told."""
    error = SchemaMismatchError(
        told(where, f"key {name!r} holds {holds}; name the `keys` to read without it")
    )
    error.key = name
    return error


def is_plain(kind: pa.DataType) -> bool:
    """Tell whether polars, and Python, hold the values of a type as they are."""
    if pat.is_list(kind) or pat.is_large_list(kind):
        return not pat.is_null(kind.value_type) and is_plain(kind.value_type)
    return any(
        is_kind(kind)
        for is_kind in (pat.is_integer, pat.is_float64, pat.is_boolean, pat.is_null, _is_text)
    )


def _is_text(kind: pa.DataType) -> bool:
    """Tell whether polars takes a type's values for text as they are."""
    return bool(pat.is_string(kind) or pat.is_large_string(kind))


def alternatives(names: Sequence[str]) -> list[str]:
    """Name the members of a struct that hold one value in one of several types; none for other structs.

    Examples
    --------
    >>> alternatives(["_type_number", "_type_string"]), alternatives(["_type", "_val"]), alternatives(["a"])
    (['_type_number', '_type_string'], ['_val'], [])
    """
    if set(names) == _TAGGED:
        return [_VALUE]
    return list(names) if all(name.startswith(_ALTERNATIVE) for name in names) else []


def _wide(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give short floats as Float64, which has each of them: spelled as they are, they would be other numbers."""
    short = pat.is_float16(column.type) or pat.is_float32(column.type)
    return column.cast(pa.float64()) if short else column


def _without_dictionary(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Look up what stands in dictionaries, if it is plain."""
    if pat.is_dictionary(column.type) and is_plain(column.type.value_type):
        return column.cast(column.type.value_type)
    return column


def _holds_text(kind: pa.DataType) -> bool:
    """Tell whether text is somewhere in a plain column."""
    if pat.is_list(kind) or pat.is_large_list(kind):
        return _holds_text(kind.value_type)
    return _is_text(kind)


def _binary(cells: Iterable[bytes]) -> pa.ChunkedArray:
    """Make a column of cells."""
    values = [None if cell == _NULL else cell for cell in cells]
    return pa.chunked_array([pa.array(values, pa.large_binary())])


def _of_chunks(column: pa.ChunkedArray) -> list[bytes]:
    return [cell for chunk in column.chunks for cell in json_cells(chunk)]


# ---------------------------------------------------------------- a spelling for each type


def json_cells(array: pa.Array) -> list[bytes]:
    """Spell each value as JSON by Python's measure; null for what is missing.

    Raises
    ------
    MisfitError
        If a value has no spelling.

    Examples
    --------
    >>> json_cells(pa.array([{"a": 1.5, "b": None}, None, {"a": float("nan"), "b": "x"}]))
    [b'{"a":1.5}', b'null', b'{"a":NaN,"b":"x"}']
    """
    for is_kind, spell in _SPELLINGS:
        if is_kind(array.type):
            return spell(array)
    raise MisfitError(f"values of Arrow's type {array.type}, which JSON has no spelling for")


def _each(spell: Callable[[Any], bytes]) -> Callable[[pa.Array], list[bytes]]:
    """Spell values one by one."""

    def cells(array: pa.Array) -> list[bytes]:
        return [_NULL if each is None else spell(each) for each in array.to_pylist()]

    return cells


def _float(value: float) -> bytes:
    """Spell a number, and what JSON has no number for as Python does: in quotes it would be text."""
    if math.isfinite(value):
        return repr(float(value)).encode()
    return b"NaN" if math.isnan(value) else b"Infinity" if value > 0 else b"-Infinity"


def _decimal(value: Decimal) -> bytes:
    """Spell a decimal as its number is written: without the zeros that its type adds."""
    if value == value.to_integral_value():
        return str(int(value)).encode()
    return format(value.normalize(_DIGITS), "f").encode()


def _extension(array: pa.Array) -> list[bytes]:
    """Spell what a type of somebody's is stored as; an identifier has a text of its own."""
    name = array.type.extension_name
    if name == "arrow.uuid":
        return [_NULL if each is None else _spell(str(each)) for each in array.to_pylist()]
    if name == "arrow.json":
        return _json(array.storage)
    return json_cells(array.storage.cast(pa.bool_()) if name == "arrow.bool8" else array.storage)


def _dictionary(array: pa.Array) -> list[bytes]:
    words = json_cells(array.dictionary)
    return [_NULL if at is None else words[at] for at in array.indices.to_pylist()]


def _list(array: pa.Array) -> list[bytes]:
    items = iter(json_cells(array.flatten()))
    return [
        _NULL if length is None else b"[%b]" % b",".join(islice(items, length))
        for length in pc.list_value_length(array).to_pylist()
    ]


def _struct(array: pa.Array) -> list[bytes]:
    """Spell structs as objects of the members that are there, or as the one value that they hold."""
    names = [member.name for member in array.type]
    columns = dict.fromkeys(names, ())
    parts = [json_cells(part) for part in array.flatten()]
    held = alternatives(names)
    if names and held:
        chosen = [part for name, part in zip(names, parts, strict=True) if name in held]
        return [_only(cells) for cells in zip(*chosen, strict=True)]
    quoted = [_spell(name) for name in columns]
    merged = [
        [_only(cells) for cells in zip(*alike, strict=True)]
        for alike in (
            [part for each, part in zip(names, parts, strict=True) if each == name]
            for name in columns
        )
    ]
    rows = zip(*merged, strict=True) if merged else ((),) * len(array)
    return [
        _object(zip(quoted, row, strict=True)) if there else _NULL
        for there, row in zip(array.is_valid().to_pylist(), rows, strict=True)
    ]


def _object(members: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Make an object, without the members that are null: a struct has one for each that some other row holds."""
    return b"{%b}" % b",".join(b"%b:%b" % each for each in members if each[1] != _NULL)


def _only(cells: Sequence[bytes]) -> bytes:
    """Give the one value of several places."""
    held = [cell for cell in cells if cell != _NULL]
    if len(held) > 1 and not all(_equal(held[0], cell) for cell in held[1:]):
        shown = " and ".join(cell.decode()[:_SHOWN] for cell in held[:2])
        raise MisfitError(f"two values where there should be one: {shown}")
    return held[0] if held else _NULL


def _equal(one: bytes, other: bytes) -> bool:
    """Tell whether two cells spell the same value."""
    return one == other or one_spelling(_strict(one)) == one_spelling(_strict(other))


def _strict(cell: bytes) -> bytes:
    """Give a cell as strict JSON, in a list."""
    return bytes(decode_any(_raw, b"[%b]" % cell, where=""))


def _map(array: pa.Array) -> list[bytes]:
    """Spell maps as objects, whose names are text."""
    keys = [key if key[:1] == b'"' else _spell(key.decode()) for key in json_cells(array.keys)]
    items = json_cells(array.items)
    offsets = array.offsets.to_pylist()
    found = []
    for at, there in enumerate(array.is_valid().to_pylist()):
        members: dict[bytes, bytes] = {}
        for i in range(offsets[at], offsets[at + 1]) if there else ():
            members[keys[i]] = _only((members.get(keys[i], _NULL), items[i]))
        # A null of a map was put there, while that of a struct may only be another row's.
        found.append(b"{%b}" % b",".join(b"%b:%b" % each for each in members.items()))
        if not there:
            found[-1] = _NULL
    return found


def _json(array: pa.Array) -> list[bytes]:
    """Give JSON that is kept in bytes or text, each cell a value of its own."""
    # Exports keep JSON in bytes where a column has no one type, and W&B's own readers take it so.
    values = array.to_pylist()
    cells = [
        _NULL if each is None else each.encode() if isinstance(each, str) else each
        for each in values
    ]
    try:
        found = list(map(bytes, LISTS[RAW].decode(b"[%b]" % b",".join(cells))))
    except (msgspec.DecodeError, RecursionError):
        found = []
    # Two broken ones might make up for one another.
    if found == cells:
        return cells
    for cell in set(cells):
        _check_json(cell)
    return [cell.strip() for cell in cells]


def _check_json(cell: bytes) -> None:
    """Read one cell by the rules of Python's `json`, as those of live rows are."""
    try:
        [_] = decode_any(LISTS[RAW], b"[%b]" % cell, where="")
    except (AnswerError, msgspec.ValidationError, ValueError):
        shown = cell if len(cell) <= _SHOWN else cell[:_SHOWN] + b"..."
        raise MisfitError(f"bytes that are no JSON, {shown!r}") from None


# ---------------------------------------------------------------- times


def _fraction(part: int, digits: int) -> str:
    return f".{part:0{digits}d}" if part else ""


def _moment(value: int, digits: int) -> tuple[datetime, str]:
    """Give the second that a count since 1970 lies in, and what is beyond it."""
    seconds, part = divmod(value, 10**digits)
    try:
        return _EPOCH + timedelta(seconds=seconds), _fraction(part, digits)
    except OverflowError:
        raise MisfitError("times beyond the years 1 to 9999") from None


def _counts(array: pa.Array) -> list[int | None]:
    """Give times as the counts that they are stored as."""
    wide = pa.int32() if array.type.bit_width == pa.int32().bit_width else pa.int64()
    found: list[int | None] = array.cast(wide).to_pylist()
    return found


def _timestamp(array: pa.Array) -> list[bytes]:
    digits = _UNITS[array.type.unit]
    # A time with a zone is kept as that of UTC: https://arrow.apache.org/docs/cpp/api/datatype.html
    zone = "" if array.type.tz is None else "+00:00"

    def spell(value: int) -> bytes:
        second, rest = _moment(value, digits)
        return _spell(f"{second.isoformat()}{rest}{zone}")

    return [_NULL if each is None else spell(each) for each in _counts(array)]


def _date(array: pa.Array) -> list[bytes]:
    days = array.cast(pa.date32()).cast(pa.int32()).to_pylist()
    try:
        return [
            _NULL if each is None else _spell((_EPOCH + timedelta(days=each)).date().isoformat())
            for each in days
        ]
    except OverflowError:
        raise MisfitError(f"days beyond {date.min} to {date.max}") from None


def _time(array: pa.Array) -> list[bytes]:
    digits = _UNITS[array.type.unit]

    def spell(value: int) -> bytes:
        if not 0 <= value < _DAY * 10**digits:
            raise MisfitError("times of day beyond 24 hours")
        second, rest = _moment(value, digits)
        return _spell(f"{second.time().isoformat()}{rest}")

    return [_NULL if each is None else spell(each) for each in _counts(array)]


def _duration(array: pa.Array) -> list[bytes]:
    digits = _UNITS[array.type.unit]

    def spell(value: int) -> bytes:
        seconds, part = divmod(abs(value), 10**digits)
        return _spell(f"{'-' if value < 0 else ''}PT{seconds}{_fraction(part, digits)}S")

    return [_NULL if each is None else spell(each) for each in _counts(array)]


def _is_any(*names: str) -> Callable[[pa.DataType], bool]:
    """Tell whether a type is one of some, of which an older Arrow may not know all."""
    tests = [test for name in names if (test := getattr(pat, f"is_{name}", None))]
    return lambda kind: any(test(kind) for test in tests)


def _nothing(array: pa.Array) -> list[bytes]:
    return [_NULL] * len(array)


_SPELLINGS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[pa.Array], list[bytes]]], ...] = (
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension),
    (pat.is_null, _nothing),
    (pat.is_boolean, _each(lambda value: b"true" if value else b"false")),
    (pat.is_integer, _each(lambda value: b"%d" % value)),
    (pat.is_floating, _each(_float)),
    (pat.is_decimal, _each(_decimal)),
    (_is_any("string", "large_string", "string_view"), _each(_spell)),
    (_is_any("binary", "large_binary", "binary_view", "fixed_size_binary"), _json),
    (pat.is_timestamp, _timestamp),
    (pat.is_date, _date),
    (pat.is_time, _time),
    (pat.is_duration, _duration),
    (pat.is_dictionary, _dictionary),
    (
        _is_any("run_end_encoded"),
        lambda array: json_cells(pc.run_end_decode(array)),
    ),
    (pat.is_map, _map),
    (_is_any("list", "large_list", "fixed_size_list", "list_view", "large_list_view"), _list),
    (pat.is_struct, _struct),
)
