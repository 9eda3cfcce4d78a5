"""From the JSON bytes of history rows to a polars frame of exactly the promised schema.

Numbers and booleans go through polars' own JSON reader, which makes no Python object a value and
lets other threads run. It is lenient where the promise is strict, so what it gives is trusted only
where it cannot have been lenient:

- it reads ``true`` as 1.0 and ``false`` as 0.0: a column with such a value is trusted only where
  the bytes hold no ``true`` or ``false``;
- it cuts 1.5 to 1 and 2**63 to null under an integer dtype: integers are read as Float64, and
  cast here;
- it rounds long integers in silence: a column that reaches 2**53 is not trusted;
- it refuses the whole list for one ``"NaN"``, 1e400 or text: then there is nothing to trust.

Columns that are not trusted, and those of text and of nested values, are read by
`wbframe.core.exact`.

One leniency does not show in what comes back, and to find it would cost as much as to read
everything again: of two values under one key in one object polars takes the first, and the exact
reading the last, as Python's `json` does. No encoder of maps or dicts writes such an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from wbframe.core.exact import INT_BOUNDS, NON_FINITE, decode_any, fits_float, narrow, read_columns
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Decoded", "decode_rows", "infer_types", "join_texts"]

_FAST = frozenset({pl.Float64, pl.Float32, pl.Boolean, *INT_BOUNDS})
_NUMBER = pl.Float64()
_FLAG = pl.Boolean()
_NON_FINITE_CELLS = frozenset(f'"{name}"'.encode() for name in NON_FINITE)
_BY_FIRST_BYTE = {b'"': "string", b"t": "bool", b"f": "bool", b"n": "nil", b"[": "list"}

_row_dicts = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_text_list = msgspec.json.Decoder(list[str])
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
# Opening brackets that are safe, however they nest.
_SURELY_SHALLOW = 4_000
# From 2.0 on polars counts levels itself.
_OVERFLOWS = int(pl.__version__.partition(".")[0]) < 2  # noqa: PLR2004


class _Typed(msgspec.Struct):
    kind: msgspec.Raw = msgspec.field(name="_type", default=msgspec.Raw(b"null"))


_typed = msgspec.json.Decoder(_Typed)


@dataclass(frozen=True, slots=True)
class Decoded:
    """History rows as a frame.

    Attributes
    ----------
    frame
        Exactly the columns asked for, in that order and of those dtypes; one row for each object.
    imprecise
        The keys of columns in which an integer has more digits than its Float64 holds, and was
        rounded.
    """

    frame: pl.DataFrame
    imprecise: frozenset[str]


def decode_rows(
    raw: bytes | memoryview | msgspec.Raw, columns: Mapping[str, pl.DataType], *, where: str = ""
) -> Decoded:
    """Decode a JSON array of row objects into a frame of the promised schema.

    Safe to call from several threads at once.

    Parameters
    ----------
    raw
        The array: one list of ``sampledHistory``, or what `join_texts` gives.
    columns
        Each key as it stands in the rows, and the dtype promised for it: Float64, Float32, an
        integer of up to 64 bits, Boolean, String, ``Datetime("us", "UTC")``, or List and Struct of
        these. Keys of the rows that are not named here are ignored.
    where
        What is read, for the messages of errors, such as ``"ent/proj/run1"``.

    Returns
    -------
    Decoded
        The frame, and the keys that Float64 could not hold to the digit. A key that a row lacks,
        and one that is null in it, is null in the frame.

        Floats take numbers, and ``NaN``, ``Infinity`` and ``-Infinity`` in quotes or bare.
        Integers take any spelling of an integer within the bounds of the dtype (``12``, ``12.0``,
        ``1.2e1``); below 2**53, a number with a point or an exponent is the Float64 nearest to it.
        String takes everything: text as it is, a number in its own spelling, a list or an object
        as compact JSON, in which bare ``NaN`` is quoted. Datetime takes seconds since 1970, and
        ISO 8601 text, each rounded to the microsecond. List and Struct also take JSON text.
        A lone surrogate in text becomes U+FFFD.

    Raises
    ------
    AnswerError
        `raw` is no JSON array of objects.
    SchemaMismatchError
        A value does not fit its column; the message names the override that would take it.
    UsageError
        A dtype is none of those above.

    Examples
    --------
    >>> rows = b'[{"_step": 0, "loss": 1}, {"_step": 1, "loss": "NaN"}]'
    >>> decode_rows(rows, {"_step": pl.Int64(), "loss": pl.Float64()}).frame.rows()
    [(0, 1.0), (1, nan)]
    """
    data = raw if isinstance(raw, bytes) else bytes(raw)
    promised = {
        name: dtype() if isinstance(dtype, type) else dtype for name, dtype in columns.items()
    }
    series = _read_fast(data, promised)
    left = {name: dtype for name, dtype in promised.items() if name not in series}
    imprecise: frozenset[str] = frozenset()
    if left or not series:
        exact = read_columns(data, left, where=where)
        series.update(exact.series)
        imprecise = exact.imprecise
        if not promised:
            return Decoded(pl.DataFrame(height=exact.height), imprecise)
    return Decoded(pl.DataFrame({name: series[name] for name in promised}), imprecise)


def join_texts(raw: bytes | memoryview | msgspec.Raw, *, where: str = "") -> bytes:
    r"""Turn a JSON array of JSON texts into one JSON array of what the texts hold.

    ``history`` and ``events`` answer with one JSON text a row. The texts are not parsed here.

    Parameters
    ----------
    raw
        The array of texts.
    where
        What is read, for the messages of errors.

    Returns
    -------
    bytes
        What `decode_rows` and `infer_types` take.

    Raises
    ------
    AnswerError
        `raw` is no JSON array of texts, or one of them is blank.

    Examples
    --------
    >>> join_texts(rb'["{\"_step\": 0}", "{\"_step\": 1}"]')
    b'[{"_step": 0},{"_step": 1}]'
    """
    try:
        texts = decode_any(_text_list, bytes(raw), where=where)
    except msgspec.ValidationError as error:
        raise AnswerError(
            _told(where, f"the rows must be a list of JSON texts: {error}")
        ) from error
    if not all(map(str.strip, texts)):
        raise AnswerError(_told(where, "a row is an empty text"))
    return b"[%b]" % ",".join(texts).encode()


def infer_types(
    raw: bytes | memoryview | msgspec.Raw, *, where: str = ""
) -> dict[str, dict[str, int]]:
    """Count the types of the values under each key, in the vocabulary of ``historyKeys``.

    For servers that give no ``historyKeys``.

    Parameters
    ----------
    raw
        A JSON array of row objects.
    where
        What is read, for the messages of errors.

    Returns
    -------
    dict
        Key to type to count of rows, keys in the order in which they first come. The types are
        ``number`` (also for the names of non-finite numbers, in quotes or bare), ``string``,
        ``bool``, ``nil``, ``list``, ``map``, and for an object with a text under ``_type``, that
        text.

    Raises
    ------
    AnswerError
        `raw` is no JSON array of objects.

    Examples
    --------
    >>> infer_types(b'[{"a": 1}, {"a": "NaN", "b": {"_type": "histogram"}}]')
    {'a': {'number': 2}, 'b': {'histogram': 1}}
    """
    try:
        rows = decode_any(_row_dicts, bytes(raw), where=where)
    except msgspec.ValidationError as error:
        raise AnswerError(_told(where, f"the rows must be a list of objects: {error}")) from error
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        for key, cell in row.items():
            counts = found.setdefault(key, {})
            kind = _type_of(bytes(cell))
            counts[kind] = counts.get(kind, 0) + 1
    return found


def _read_fast(raw: bytes, columns: Mapping[str, pl.DataType]) -> dict[str, pl.Series]:
    """Read columns with polars, and give those that it cannot have got wrong."""
    kinds = {name: type(dtype) for name, dtype in columns.items()}
    schema: dict[str, pl.DataType] = {
        name: _FLAG if kind is pl.Boolean else _NUMBER
        for name, kind in kinds.items()
        if kind in _FAST and _plain(name)
    }
    if not schema or raw.lstrip()[:1] != b"[":  # a lone object would pass for a list of one
        return {}
    if _OVERFLOWS and not is_shallow(raw):
        return {}
    try:
        frame = pl.read_json(raw, schema=schema)
    except pl.exceptions.PolarsError:
        return {}
    trusted = {}
    numbers = []
    for column in frame.get_columns():
        if kinds[column.name] is pl.Boolean:
            trusted[column.name] = column
        else:
            numbers.append(column)
    for column in _sure_numbers(raw, numbers):
        kind = kinds[column.name]
        narrowed = column if kind is pl.Float64 else narrow(column, columns[column.name])
        if narrowed is not None:
            trusted[column.name] = narrowed
    return trusted


def is_shallow(raw: bytes) -> bool:
    """Say whether polars can read these bytes: 1.39 overflows its stack some ten thousand levels down.

    Few opening brackets cannot nest deeply; where there are many, msgspec, which counts levels, skims through.
    """
    if raw.count(b"[") + raw.count(b"{") <= _SURELY_SHALLOW:
        return True
    try:
        _raw_list.decode(raw)
    except RecursionError:
        return False
    except msgspec.DecodeError:
        return False
    return True


def _sure_numbers(raw: bytes, numbers: list[pl.Series]) -> list[pl.Series]:
    """Leave out the columns in which a boolean or a longer integer may hide."""
    if not numbers:
        return numbers
    values = pl.concat(numbers, rechunk=False)  # one look at all of them, for most need no more
    if not fits_float(values):
        numbers = [column for column in numbers if fits_float(column)]
    for value, literal in ((1.0, b"true"), (0.0, b"false")):
        if (values == value).any() and literal in raw:
            numbers = [column for column in numbers if not (column == value).any()]
    return numbers


def _plain(name: str) -> bool:
    """Say whether no other key can pass for this one: polars reads a lone surrogate as U+0000."""
    return "\0" not in name and "\ufffd" not in name


def _type_of(cell: bytes) -> str:
    """Name the type of a value as ``historyKeys`` does."""
    first = cell[:1]
    if first == b"{":
        kind = bytes(_typed.decode(cell).kind)
        return msgspec.json.decode(kind, type=str) if kind[:1] == b'"' else "map"
    if cell in _NON_FINITE_CELLS:
        return "number"
    return _BY_FIRST_BYTE.get(first, "number")


def _told(where: str, message: str) -> str:
    """Begin a message with what was read, if that is known."""
    return f"{where}: {message}" if where else message
