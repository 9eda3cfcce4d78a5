"""Values of Arrow, of any type -> the JSON that a live row would have in their place.

A decimal is a number with all its digits, a time ISO 8601 text, a struct or a map an object, bytes are the
JSON that they hold. What has no such spelling does not fit.
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
from wbframe.core.decode.json import decode_any
from wbframe.core.decode.spelling import one_spelling
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["NULL", "alternatives", "equal", "json_cells"]

NULL = b"null"
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
        return [NULL if each is None else spell(each) for each in array.to_pylist()]

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
        return [NULL if each is None else _spell(str(each)) for each in array.to_pylist()]
    if name == "arrow.json":
        return _json(array.storage)
    return json_cells(array.storage.cast(pa.bool_()) if name == "arrow.bool8" else array.storage)


def _dictionary(array: pa.Array) -> list[bytes]:
    words = json_cells(array.dictionary)
    return [NULL if at is None else words[at] for at in array.indices.to_pylist()]


def _list(array: pa.Array) -> list[bytes]:
    items = iter(json_cells(array.flatten()))
    return [
        NULL if length is None else b"[%b]" % b",".join(islice(items, length))
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
        _object(zip(quoted, row, strict=True)) if there else NULL
        for there, row in zip(array.is_valid().to_pylist(), rows, strict=True)
    ]


def _object(members: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Make an object, without the members that are null: a struct has one for each that some other row holds."""
    return b"{%b}" % b",".join(b"%b:%b" % each for each in members if each[1] != NULL)


def _only(cells: Sequence[bytes]) -> bytes:
    """Give the one value of several places."""
    held = [cell for cell in cells if cell != NULL]
    if len(held) > 1 and not all(equal(held[0], cell) for cell in held[1:]):
        shown = " and ".join(cell.decode()[:_SHOWN] for cell in held[:2])
        raise MisfitError(f"two values where there should be one: {shown}")
    return held[0] if held else NULL


def equal(one: bytes, other: bytes) -> bool:
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
            members[keys[i]] = _only((members.get(keys[i], NULL), items[i]))
        # A null of a map was put there, while that of a struct may only be another row's.
        found.append(b"{%b}" % b",".join(b"%b:%b" % each for each in members.items()))
        if not there:
            found[-1] = NULL
    return found


def _json(array: pa.Array) -> list[bytes]:
    """Give JSON that is kept in bytes or text, each cell a value of its own."""
    # Exports keep JSON in bytes where a column has no one type, and W&B's own readers take it so.
    values = array.to_pylist()
    cells = [
        NULL if each is None else each.encode() if isinstance(each, str) else each
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

    return [NULL if each is None else spell(each) for each in _counts(array)]


def _date(array: pa.Array) -> list[bytes]:
    days = array.cast(pa.date32()).cast(pa.int32()).to_pylist()
    try:
        return [
            NULL if each is None else _spell((_EPOCH + timedelta(days=each)).date().isoformat())
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

    return [NULL if each is None else spell(each) for each in _counts(array)]


def _duration(array: pa.Array) -> list[bytes]:
    digits = _UNITS[array.type.unit]

    def spell(value: int) -> bytes:
        seconds, part = divmod(abs(value), 10**digits)
        return _spell(f"{'-' if value < 0 else ''}PT{seconds}{_fraction(part, digits)}S")

    return [NULL if each is None else spell(each) for each in _counts(array)]


def _is_any(*names: str) -> Callable[[pa.DataType], bool]:
    """Tell whether a type is one of some, of which an older Arrow may not know all."""
    tests = [test for name in names if (test := getattr(pat, f"is_{name}", None))]
    return lambda kind: any(test(kind) for test in tests)


def _nothing(array: pa.Array) -> list[bytes]:
    return [NULL] * len(array)


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
