"""One value of a row, as the bytes it was spelled with -> the value of a column's dtype."""

from __future__ import annotations

import math
import re
import struct
from datetime import date, datetime, time, timedelta, timezone
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from wbframe.core.decode.json import decode_any
from wbframe.core.decode.spelling import one_spelling
from wbframe.errors import AnswerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from polars._typing import PolarsDataType

    Reader = Callable[[bytes], Any]


__all__ = [
    "INT_BOUNDS",
    "LIMIT",
    "LISTS",
    "NON_FINITE",
    "RAW",
    "TYPES",
    "UTC_TIME",
    "MisfitError",
    "kind_of",
    "reader_of",
]

# JSON has no such numbers, so servers spell them as text: https://www.rfc-editor.org/rfc/rfc8259#section-6
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SIZES = {
    8: (pl.Int8, pl.UInt8),
    16: (pl.Int16, pl.UInt16),
    32: (pl.Int32, pl.UInt32),
    64: (pl.Int64, pl.UInt64),
    128: (pl.Int128, pl.UInt128),
}
INT_BOUNDS: dict[Any, tuple[int, int]] = {}
for _bits, (_signed, _unsigned) in _SIZES.items():
    INT_BOUNDS[_signed] = (-(2 ** (_bits - 1)), 2 ** (_bits - 1) - 1)
    INT_BOUNDS[_unsigned] = (0, 2**_bits - 1)
UTC_TIME = pl.Datetime("us", "UTC")


# https://www.rfc-editor.org/rfc/rfc8259#section-6 promises no more digits of an integer than these.
LIMIT = 2.0**53  # below it no two integers share a Float64
_LONGEST_INT = 40  # characters of -2**127; 2**128 - 1 has one less
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NULL = msgspec.Raw(b"null")
RAW = "raw"
TYPES: dict[str, Any] = {
    "float": float | str | None,
    "int": int | float | None,
    "bool": bool | None,
    "text": str | None,
    RAW: msgspec.Raw,
}
# How languages spell numbers in text, besides the names that JSON has none for.
_NUMERAL = re.compile(r"\+?(-?)(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SPELLED = {
    "true": b"true",
    "false": b"false",
    "nan": b'"NaN"',
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), b'"Infinity"'),
    **dict.fromkeys(("-inf", "-infinity"), b'"-Infinity"'),
}
# More digits than any Decimal has, so that whatever is cut off is noticed.
_DIGITS = Context(prec=80, traps=[Inexact, InvalidOperation])
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
# Servers differ by version: with `Z`, without, with fractions of a second.
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?"
    r"\s*(?:[Zz]|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)


LISTS: dict[str, msgspec.json.Decoder[Any]] = {}
for _name, _type in TYPES.items():
    LISTS[_name] = msgspec.json.Decoder(list[_type])  # type: ignore[valid-type]
_text = msgspec.json.Decoder(str).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class MisfitError(Exception):
    """A value does not fit; the error for the caller is made where the key is known."""


def kind_of(dtype: PolarsDataType) -> str:
    """Name the type of JSON value that a dtype is mostly made from."""
    if dtype.is_float():
        return "float"
    if dtype.is_integer():
        return "int"
    if dtype == pl.String:
        return "text"
    return "bool" if dtype == pl.Boolean else RAW


def reader_of(
    name: str, dtype: PolarsDataType, lost: list[bytes], *, lenient: bool = False
) -> Reader:
    """Make the function from a cell to a dtype's value; cells that lose digits go to `lost`.

    A `lenient` one takes numbers and booleans that are spelled out in text.
    """
    inner: Reader
    if dtype == pl.Float64:

        def inner(cell: bytes) -> float:
            value = _float(cell)
            integer = abs(value) >= LIMIT and cell.lstrip(b"-").isdigit()
            if integer and (math.isinf(value) or int(cell) != int(value)):
                lost.append(cell)
            return value

    elif dtype == pl.Float32:
        inner = _float32
    elif dtype in INT_BOUNDS:
        low, high = INT_BOUNDS[dtype.base_type()]

        def inner(cell: bytes) -> int:
            return _int(cell, low, high)

    elif dtype == pl.Boolean:
        inner = _bool
    elif dtype == pl.String:
        inner = _string
    elif dtype == pl.Date:
        inner = _date
    elif dtype == UTC_TIME:
        inner = _time
    elif isinstance(dtype, pl.Decimal):
        inner = _decimal_reader(dtype)
    elif isinstance(dtype, pl.List):
        inner = _list_reader(reader_of(name, dtype.inner, lost, lenient=lenient), dtype.inner)
    elif isinstance(dtype, pl.Struct):
        inner = _struct_reader(
            {each.name: reader_of(name, each.dtype, lost, lenient=lenient) for each in dtype.fields}
        )
    else:
        raise UsageError(
            f"key {name!r} cannot be read as {dtype}: the dtypes of history columns are the"
            " integers, Decimal, Float32, Float64, Boolean, String, Datetime('us', 'UTC'),"
            " Date, and List and Struct of these"
        )
    if lenient and (dtype.is_numeric() or dtype == pl.Boolean):
        return lambda cell: None if cell == b"null" else inner(_unspelled(cell))
    return lambda cell: None if cell == b"null" else inner(cell)


def _unspelled(cell: bytes) -> bytes:
    """Give the number or the boolean that a text spells, as JSON would; other cells as they are."""
    if cell[:1] != b'"':
        return cell
    text = _text(cell).strip()
    if text.lower() in _SPELLED:
        return _SPELLED[text.lower()]
    match = _NUMERAL.fullmatch(text)
    if match is None:
        return cell
    sign, digits, exponent = match.groups(default="")
    return f"{sign}{'0' if digits[0] == '.' else ''}{digits.removesuffix('.')}{exponent}".encode()


def _float(cell: bytes) -> float:
    """Read a number or the name of a non-finite one."""
    if cell[:1] == b'"':
        value = NON_FINITE.get(_text(cell))
        if value is None:
            raise MisfitError
        return value
    return float(_number(cell)) if cell != b"-0" else 0.0  # an integer has no negative zero


def _number(cell: bytes) -> bytes:
    """Insist on a number."""
    if cell[:1] not in b"-0123456789":
        raise MisfitError
    return cell


def _float32(cell: bytes) -> float:
    """Read a number that Float32 can hold after rounding."""
    value = _float(cell)
    try:
        struct.pack("<f", value)
    except OverflowError:
        raise MisfitError from None
    return value


def _int(cell: bytes, low: int, high: int) -> int:
    """Read an integer, however it is spelled."""
    if _number(cell).lstrip(b"-").isdigit():
        if len(cell) > _LONGEST_INT:
            raise MisfitError
        value = int(cell)
    else:
        near = float(cell)
        if not math.isfinite(near):
            raise MisfitError
        exact = Decimal(cell.decode()) if abs(near) >= LIMIT else near
        value = int(exact)
        if value != exact:
            raise MisfitError
    if low <= value <= high:
        return value
    raise MisfitError


def _decimal_reader(dtype: pl.Decimal) -> Reader:
    """Make the reader of numbers of which no digit may be lost."""
    whole_digits = (dtype.precision or 38) - dtype.scale
    unit = Decimal(1).scaleb(-dtype.scale)

    def read_decimal(cell: bytes) -> Decimal:
        number = _number(cell).decode()
        try:
            value = Decimal(number)
            if value and value.adjusted() >= whole_digits:
                raise MisfitError
            return value.quantize(unit, context=_DIGITS)
        except ArithmeticError:  # also an exponent that no Decimal has
            raise MisfitError from None

    return read_decimal


def _bool(cell: bytes) -> bool:
    """Read true or false."""
    if cell in (b"true", b"false"):
        return cell == b"true"
    raise MisfitError


def _string(cell: bytes) -> str:
    """Read text as it is, a list or an object as JSON in one spelling, anything else in its own."""
    if cell[:1] == b'"':
        return _text(cell)
    return one_spelling(cell) if cell[:1] in b"{[" else cell.decode()


def _time(cell: bytes) -> datetime:
    """Read epoch seconds, or ISO 8601 text, which is UTC where it does not say."""
    base, seconds = _EPOCH, ""
    match = _ISO.fullmatch(_text(cell).strip()) if cell[:1] == b'"' else None
    try:
        if match is None:
            seconds = _number(cell).decode()
            offset = 0
        else:
            *parts, seconds, sign, hours, minutes = match.groups(default="0")
            base = datetime(*map(int, parts), tzinfo=timezone.utc)  # type: ignore[misc,arg-type]
            offset = (int(hours) * 60 + int(minutes)) * (-60 if sign == "-" else 60)
        if not math.isfinite(float(seconds)):
            raise MisfitError
        micros = round((Decimal(seconds) - offset) * 1_000_000)
        return base + timedelta(microseconds=micros)
    except (ValueError, ArithmeticError):  # no such day, or beyond the years 1 to 9999
        raise MisfitError from None


def _date(cell: bytes) -> date:
    """Read a day; what has a time of day besides is none."""
    moment = _time(cell)
    if moment.time() != time.min:
        raise MisfitError
    return moment.date()


def _list_reader(read: Reader, dtype: PolarsDataType) -> Reader:
    """Make the reader of lists from that of items, which plain numbers need not."""

    def read_list(cell: bytes) -> list[Any] | None:
        cell = _unquoted(cell, b"[")
        if cell == b"null":
            return None
        items = _plain_numbers(cell, dtype)
        return [read(bytes(each)) for each in LISTS[RAW].decode(cell)] if items is None else items

    return read_list


def _plain_numbers(cell: bytes, dtype: PolarsDataType) -> list[Any] | None:
    """Decode a list at once, or give None if an item is more than a number that surely fits."""
    low, high = INT_BOUNDS.get(dtype.base_type(), (1 - LIMIT, LIMIT - 1))
    wanted = int if dtype.is_integer() else float
    if dtype not in INT_BOUNDS and dtype != pl.Float64:
        return None
    try:
        items = LISTS[kind_of(dtype)].decode(cell)
    except msgspec.ValidationError:
        return None
    plain = all(item is None or (type(item) is wanted and low <= item <= high) for item in items)
    return items if plain else None


def _struct_reader(readers: Mapping[str, Reader]) -> Reader:
    """Make the reader of objects from those of members; members outside are ignored."""

    def read_struct(cell: bytes) -> dict[str, Any] | None:
        cell = _unquoted(cell, b"{")
        if cell == b"null":
            return None
        found = _members.decode(cell)
        return {key: read(bytes(found.get(key, _NULL))) for key, read in readers.items()}

    return read_struct


def _unquoted(cell: bytes, opening: bytes) -> bytes:
    """Give the bytes of a list or object, also of one that was logged as JSON text."""
    if cell[:1] == b'"':
        try:
            inner = decode_any(msgspec.json.Decoder(msgspec.Raw), _text(cell).encode(), where="")
        except AnswerError:
            raise MisfitError from None
        cell = bytes(inner)
    if cell[:1] != opening and cell != b"null":
        raise MisfitError
    return cell
