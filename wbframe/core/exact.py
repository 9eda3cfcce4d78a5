"""History rows read value by value, by the spelling of each.

This is the reading that decides what a value is. `wbframe.core.decode` goes through polars where
that gives the same, and comes here with the columns for which it may not. Two steps:

*typed*
    one decoding of the rows into a struct that has a field a column. A value of a kind that the
    column cannot take, or a number that `float` cannot hold to the digit, sends on to
*cell by cell*
    each value as the bytes it was spelled with, read by a function made for the column's dtype.

Bytes that are JSON only by Python's measure (bare ``NaN`` tokens, control characters and lone
surrogates in strings) are respelled as strict JSON, once the strict reading has failed.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import polars as pl

from wbframe.errors import AnswerError, SchemaMismatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from polars._typing import PolarsDataType

    Reader = Callable[[bytes], Any]
    Table = tuple[int, dict[str, Sequence[Any]]]  # the height, and the columns

__all__ = [
    "INT_BOUNDS",
    "NON_FINITE",
    "Columns",
    "decode_any",
    "fits_float",
    "narrow",
    "read_columns",
]

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SIZES = ((pl.Int8, pl.UInt8), (pl.Int16, pl.UInt16), (pl.Int32, pl.UInt32), (pl.Int64, pl.UInt64))
INT_BOUNDS: dict[Any, tuple[int, int]] = {}
for _bits, (_signed, _unsigned) in zip((8, 16, 32, 64), _SIZES, strict=True):
    INT_BOUNDS[_signed] = (-(2 ** (_bits - 1)), 2 ** (_bits - 1) - 1)
    INT_BOUNDS[_unsigned] = (0, 2**_bits - 1)
UTC_TIME = pl.Datetime("us", "UTC")

_LIMIT = 2.0**53  # below it no two integers share a Float64
_LONGEST_INT = 20  # characters of -2**63, and of 2**64 - 1
_SHOWN = 60  # characters of a value in a message
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NULL = msgspec.Raw(b"null")
_RAW = "raw"
_TYPES: dict[str, Any] = {
    "float": float | str | None,
    "int": int | float | None,
    "bool": bool | None,
    "text": str | None,
    _RAW: msgspec.Raw,
}
_T = TypeVar("_T")

# A name that msgspec does not take as a field's, as it would have to be escaped in JSON.
_ODD_NAME = re.compile(r'["\\\x00-\x1f\ud800-\udfff]')
# Not behind a backslash, which would take the added quote or backslash for its own.
_BARE = {
    b"NaN": re.compile(rb"NaN(?<!\\NaN)(?=\s*[,\]}])"),
    b"-Infinity": re.compile(rb"-Infinity(?<!\\-Infinity)(?=\s*[,\]}])"),
    b"Infinity": re.compile(rb"Infinity(?<![\\-]Infinity)(?=\s*[,\]}])"),
}
_CONTROLS = bytes(range(0x20))
_CONTROL = re.compile(rb"[\x00-\x1f](?<!\\[\x00-\x1f])")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|(?:NaN|-?Infinity)(?=\s*[,\]}])', re.DOTALL)
_TROUBLE = re.compile(rb"[\x00-\x1f]|\\u[dD][89a-fA-F]")
_PIECE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a proper pair stays
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."  # also what is no escape at all, for the decoder to refuse
    rb"|(?P<control>[\x00-\x1f])",
    re.DOTALL,
)
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?"
    r"\s*(?:[Zz]|([+-])(\d\d):?(\d\d))?",
    re.ASCII,
)

_lists: dict[str, msgspec.json.Decoder[Any]] = {}
for _name, _type in _TYPES.items():
    _lists[_name] = msgspec.json.Decoder(list[_type])  # type: ignore[valid-type]
_text = msgspec.json.Decoder(str).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_dict_rows = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


class _MisfitError(Exception):
    """A value does not fit; the error for the caller is made where the key is known."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Some columns of a list of rows.

    Attributes
    ----------
    series
        The columns by name, in the order asked.
    imprecise
        The names of those in which an integer has more digits than its Float64 holds.
    height
        How many rows there are.
    """

    series: dict[str, pl.Series]
    imprecise: frozenset[str]
    height: int


def read_columns(raw: bytes, columns: Mapping[str, pl.DataType], *, where: str) -> Columns:
    """Read columns out of a JSON array of row objects, exactly.

    Parameters
    ----------
    raw
        The array. Python's extensions to JSON are understood: bare ``NaN``, ``Infinity`` and
        ``-Infinity``, control characters in strings, lone surrogates (read as U+FFFD).
    columns
        Key as it stands in the rows, and the dtype it shall have.
    where
        What is read, for the messages of errors.

    Returns
    -------
    Columns
        One series a key, each with one value a row; null where the row lacks the key.

    Raises
    ------
    AnswerError
        `raw` is no JSON array of objects.
    SchemaMismatchError
        A value does not fit its dtype.
    UsageError
        A dtype is none of those a history column can have.

    Examples
    --------
    >>> rows = b'[{"a": 1e400}, {"a": "NaN"}]'
    >>> read_columns(rows, {"a": pl.Float64()}, where="").series["a"].to_list()
    [inf, nan]
    """
    lost: dict[str, list[bytes]] = {name: [] for name in columns}
    readers = {name: _reader(name, dtype, lost[name]) for name, dtype in columns.items()}
    kinds = {name: _kind(dtype) for name, dtype in columns.items()}
    if any(map(_ODD_NAME.search, columns)):
        kinds = dict.fromkeys(columns, _RAW)
    # Not as text: the first list or object under such a key would end the typed step for all.
    kinds = {name: _RAW if kind == "text" else kind for name, kind in kinds.items()}
    try:
        height, values = _by_column(raw, kinds, where)
    except msgspec.ValidationError:
        kinds = dict.fromkeys(columns, _RAW)
        height, values = _cells(raw, kinds, where)
    settled = {
        name: _settle(values[name], dtype) for name, dtype in columns.items() if kinds[name] != _RAW
    }
    again = [name for name, series in settled.items() if series is None]
    if again:
        values.update(_cells(raw, dict.fromkeys(again, _RAW), where)[1])
    series = {}
    for name, dtype in columns.items():
        done = settled.get(name)
        if done is None:
            done = _from_cells(name, values[name], dtype, readers[name], where)
        series[name] = done.alias(name)
    return Columns(series, frozenset(name for name, cells in lost.items() if cells), height)


def decode_any(decoder: msgspec.json.Decoder[_T], raw: bytes, *, where: str) -> _T:
    """Decode JSON by the rules of Python's `json` with ``strict=False``.

    Parameters
    ----------
    decoder
        What decodes the strict spelling. Bare ``NaN``, ``Infinity`` and ``-Infinity`` reach it
        as strings.
    raw
        The bytes.
    where
        What is read, for the messages of errors.

    Raises
    ------
    AnswerError
        `raw` is not JSON, is not UTF-8, or is nested too deeply.
    msgspec.ValidationError
        It is JSON, and not of the decoder's type.
    """
    if not raw.isascii():
        try:
            raw.decode()
        except UnicodeDecodeError as error:
            raise AnswerError(f"{_at(where)}the answer is not UTF-8: {error.reason}") from error
    problem: Exception
    for spelled in _spellings(raw):
        try:
            return decoder.decode(spelled)
        except (msgspec.DecodeError, RecursionError) as error:
            if isinstance(error, msgspec.ValidationError):
                raise
            problem = error
    raise AnswerError(f"{_at(where)}the answer is not JSON: {problem}") from problem


def fits_float(series: pl.Series) -> bool:
    """Say whether every integer that reads as a finite value of this Float64 series is exact in it.

    Examples
    --------
    >>> fits_float(pl.Series([1.5, None, 2.0**52])), fits_float(pl.Series([2.0**53]))
    (True, False)
    """
    finite = series if math.isfinite(_peak(series)) else series.filter(series.is_finite())
    return _peak(finite) < _LIMIT


def narrow(series: pl.Series, dtype: pl.DataType) -> pl.Series | None:
    """Cast a Float64 series that `fits_float` to another numeric dtype.

    Gives None if a value would change. To Float32 values are rounded, as was asked for; a finite
    one that would become infinite counts as changed.

    Examples
    --------
    >>> narrow(pl.Series([1.0, None]), pl.Int8()).to_list(), narrow(pl.Series([1.5]), pl.Int8())
    ([1, None], None)
    """
    if dtype == pl.Float64:
        return series
    cast = series.cast(dtype, strict=False)
    if dtype == pl.Float32:
        return None if (cast.is_infinite() & series.is_finite()).any() else cast
    same = cast.null_count() == series.null_count() and (cast.cast(pl.Float64) == series).all()
    return cast if same else None


# -- rows ------------------------------------------------------------------------------------------


def _kind(dtype: PolarsDataType) -> str:
    """Name the type of JSON value that a dtype is mostly made from."""
    if dtype.is_float():
        return "float"
    if dtype.is_integer():
        return "int"
    if dtype == pl.String:
        return "text"
    return "bool" if dtype == pl.Boolean else _RAW


@lru_cache(maxsize=128)
def _row_decoder(fields: tuple[tuple[str, str], ...]) -> msgspec.json.Decoder[list[Any]]:
    """Make the decoder of rows that keeps these fields and skips the rest."""
    defaults = {_RAW: _NULL}
    row = msgspec.defstruct(
        "Row",
        [
            (f"c{at}", _TYPES[kind], msgspec.field(name=name, default=defaults.get(kind)))
            for at, (name, kind) in enumerate(fields)
        ],
        gc=False,
    )
    return msgspec.json.Decoder(list[row])  # type: ignore[valid-type]


def _by_column(raw: bytes, kinds: Mapping[str, str], where: str) -> Table:
    """Decode rows, and turn them into columns of Python values."""
    if any(map(_ODD_NAME.search, kinds)):
        found = decode_any(_dict_rows, raw, where=where)
        return len(found), {name: [row.get(name, _NULL) for row in found] for name in kinds}
    rows = decode_any(_row_decoder(tuple(kinds.items())), raw, where=where)
    values = zip(*map(msgspec.structs.astuple, rows), strict=True) if rows else ((),) * len(kinds)
    return len(rows), dict(zip(kinds, values, strict=False))


def _cells(raw: bytes, kinds: Mapping[str, str], where: str) -> Table:
    """Do `_by_column` for columns of raw cells, for which only the rows themselves can be wrong."""
    try:
        return _by_column(raw, kinds, where)
    except msgspec.ValidationError as error:
        raise AnswerError(f"{_at(where)}the rows must be a list of objects: {error}") from error


def _spellings(raw: bytes) -> Iterator[bytes]:
    """Give the bytes as they are, then as strict JSON: by a quick way, then by a sure one.

    The quick way does not look where strings begin and end. Where it is wrong, its result is no
    JSON: a quote added inside a string ends it before an N, I or -, and a backslash outside is no
    token.
    """
    yield raw
    quick = raw
    for token, bare in _BARE.items():
        if token in quick:
            quick = bare.sub(rb'"\g<0>"', quick)
    if len(quick.translate(None, _CONTROLS)) < len(quick):
        quick = _CONTROL.sub(lambda match: rb"\u%04x" % match[0][0], quick)
    yield quick
    seen: dict[bytes, bytes] = {}

    def strict(match: re.Match[bytes]) -> bytes:
        token = match[0]
        if token not in seen:
            seen[token] = _strict(token)
        return seen[token]

    yield _TOKEN.sub(strict, raw)


def _strict(token: bytes) -> bytes:
    """Respell a string, or a bare non-finite token, as strict JSON."""
    if token[:1] != b'"':
        return b'"%b"' % token
    if _TROUBLE.search(token) is None:
        return token

    def piece(match: re.Match[bytes]) -> bytes:
        if match["lone"]:
            return rb"\ufffd"
        return rb"\u%04x" % match["control"][0] if match["control"] else match[0]

    return _PIECE.sub(piece, token)


# -- columns ---------------------------------------------------------------------------------------


def _peak(series: pl.Series) -> float:
    """Give the largest magnitude in a Float64 series; 0.0 where it has no value."""
    low, high = series.min(), series.max()
    if not isinstance(low, float) or not isinstance(high, float):
        return 0.0
    return max(-low, high)


def _settle(values: Sequence[Any], dtype: pl.DataType) -> pl.Series | None:
    """Make the column from values of its kind, or None if they leave a doubt."""
    if dtype.is_integer():
        if float in set(map(type, values)):
            return None
        try:
            return pl.Series(values, dtype=dtype)
        except (TypeError, OverflowError):
            return None
    if not dtype.is_float():
        return pl.Series(values, dtype=dtype)
    try:
        series = pl.Series(values, dtype=pl.Float64)
    except TypeError:
        if any(type(value) is str and value not in NON_FINITE for value in values):
            return None
        numbers = [NON_FINITE[value] if type(value) is str else value for value in values]
        series = pl.Series(numbers, dtype=pl.Float64)
    return narrow(series, dtype) if fits_float(series) else None


def _from_cells(
    name: str, cells: Sequence[msgspec.Raw], dtype: pl.DataType, read: Reader, where: str
) -> pl.Series:
    """Make a column from its cells, all at once where they are of one kind, else one by one."""
    joined = b",".join(cells)
    kind = _kind(dtype)
    if kind != _RAW:
        try:
            settled = _settle(_lists[kind].decode(b"[%b]" % joined), dtype)
        except msgspec.ValidationError:
            settled = None
        if settled is not None:
            return settled
    if kind == "text" and not any(mark in joined for mark in (b'"', b"[", b"{")):
        spelled = joined.decode().split(",")
        return pl.Series([None if each == "null" else each for each in spelled], dtype=dtype)
    values: list[Any] = []
    try:
        for cell in cells:
            values.append(read(bytes(cell)))  # noqa: PERF401 - the length tells which one was wrong
    except _MisfitError:
        raise _mismatch(name, bytes(cells[len(values)]), dtype, where) from None
    return pl.Series(values, dtype=dtype)


def _mismatch(name: str, cell: bytes, dtype: pl.DataType, where: str) -> SchemaMismatchError:
    """Make the error for a value that does not fit."""
    text = cell.decode()
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    shown = shown.encode("unicode_escape").decode() if not shown.isprintable() else shown
    number = dtype.is_integer() and cell[:1] in b"-0123456789"
    return SchemaMismatchError(
        f"{_at(where)}key {name!r} holds {shown}, which is no {dtype};"
        f" `schema_overrides={{{name!r}: pl.{'Float64' if number else 'String'}}}` takes it"
    )


def _at(where: str) -> str:
    """Begin a message with what was read, if that is known."""
    return f"{where}: " if where else ""


# -- cells -----------------------------------------------------------------------------------------


def _reader(name: str, dtype: PolarsDataType, lost: list[bytes]) -> Reader:
    """Make the function from a cell to a dtype's value; cells that lose digits go to `lost`."""
    inner: Reader
    if dtype == pl.Float64:

        def inner(cell: bytes) -> float:
            value = _float(cell)
            integer = abs(value) >= _LIMIT and cell.lstrip(b"-").isdigit()
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
    elif dtype == UTC_TIME:
        inner = _time
    elif isinstance(dtype, pl.List):
        inner = _list_reader(_reader(name, dtype.inner, lost), dtype.inner)
    elif isinstance(dtype, pl.Struct):
        inner = _struct_reader(
            {each.name: _reader(name, each.dtype, lost) for each in dtype.fields}
        )
    else:
        raise UsageError(
            f"key {name!r} cannot be read as {dtype}: the dtypes of history columns are the"
            " integers of up to 64 bits, Float32, Float64, Boolean, String, Datetime('us', 'UTC'),"
            " and List and Struct of these"
        )
    return lambda cell: None if cell == b"null" else inner(cell)


def _float(cell: bytes) -> float:
    """Read a number or the name of a non-finite one."""
    if cell[:1] == b'"':
        value = NON_FINITE.get(_text(cell))
        if value is None:
            raise _MisfitError
        return value
    return float(_number(cell)) if cell != b"-0" else 0.0  # an integer has no negative zero


def _number(cell: bytes) -> bytes:
    """Insist on a number."""
    if cell[:1] not in b"-0123456789":
        raise _MisfitError
    return cell


def _float32(cell: bytes) -> float:
    """Read a number that Float32 can hold after rounding."""
    value = _float(cell)
    try:
        struct.pack("<f", value)
    except OverflowError:
        raise _MisfitError from None
    return value


def _int(cell: bytes, low: int, high: int) -> int:
    """Read an integer, however it is spelled."""
    if _number(cell).lstrip(b"-").isdigit():
        if len(cell) > _LONGEST_INT:
            raise _MisfitError
        value = int(cell)
    else:
        near = float(cell)
        if not math.isfinite(near):
            raise _MisfitError
        exact = Decimal(cell.decode()) if abs(near) >= _LIMIT else near
        value = int(exact)
        if value != exact:
            raise _MisfitError
    if low <= value <= high:
        return value
    raise _MisfitError


def _bool(cell: bytes) -> bool:
    """Read true or false."""
    if cell in (b"true", b"false"):
        return cell == b"true"
    raise _MisfitError


def _string(cell: bytes) -> str:
    """Read text as it is, a list or an object as compact JSON, anything else in its spelling."""
    if cell[:1] == b'"':
        return _text(cell)
    if cell[:1] not in b"{[":
        return cell.decode()
    compact = msgspec.json.format(cell, indent=-1).decode()
    if "\\" not in compact:
        return compact
    return _TEXT.sub(lambda match: msgspec.json.encode(_text(match[0])).decode(), compact)


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
            raise _MisfitError
        micros = round((Decimal(seconds) - offset) * 1_000_000)
        return base + timedelta(microseconds=micros)
    except (ValueError, ArithmeticError):  # no such day, or beyond the years 1 to 9999
        raise _MisfitError from None


def _list_reader(read: Reader, dtype: PolarsDataType) -> Reader:
    """Make the reader of lists from that of items, which plain numbers need not."""

    def read_list(cell: bytes) -> list[Any] | None:
        cell = _unquoted(cell, b"[")
        if cell == b"null":
            return None
        items = _plain_numbers(cell, dtype)
        return [read(bytes(each)) for each in _lists[_RAW].decode(cell)] if items is None else items

    return read_list


def _plain_numbers(cell: bytes, dtype: PolarsDataType) -> list[Any] | None:
    """Decode a list at once, or give None if an item is more than a number that surely fits."""
    low, high = INT_BOUNDS.get(dtype.base_type(), (1 - _LIMIT, _LIMIT - 1))
    wanted = int if dtype.is_integer() else float
    if dtype not in INT_BOUNDS and dtype != pl.Float64:
        return None
    try:
        items = _lists[_kind(dtype)].decode(cell)
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
            raise _MisfitError from None
        cell = bytes(inner)
    if cell[:1] != opening and cell != b"null":
        raise _MisfitError
    return cell
