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
`wbframe.core.decode.exact`.

One leniency does not show in what comes back, and to find it would cost as much as to read
everything again: of two values under one key in one object polars takes the first, and the exact
reading the last, as Python's `json` does. No encoder of maps or dicts writes such an object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from wbframe.core.decode.cells import INT_BOUNDS, NON_FINITE
from wbframe.core.decode.exact import fits_float, narrow, read_columns
from wbframe.core.decode.json import decode_any, told
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    _Literals = tuple[int, int]  # how often ``true`` and ``false`` stand in some bytes


__all__ = ["Decoded", "array_of", "decode_lists", "decode_rows", "infer_types", "join_texts"]

_FAST = frozenset({pl.Float64, pl.Float32, pl.Boolean, *INT_BOUNDS})
_NUMBER = pl.Float64()
_FLAG = pl.Boolean()
_NON_FINITE_CELLS = frozenset(f'"{name}"'.encode() for name in NON_FINITE)
_BY_FIRST_BYTE = {b'"': "string", b"t": "bool", b"f": "bool", b"n": "nil", b"[": "list"}

_row_dicts = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_one_text = msgspec.json.Decoder(str)
_text_list = msgspec.json.Decoder(list[str])
_raw_list = msgspec.json.Decoder(list[msgspec.Raw])
# Opening brackets that are safe, however they nest.
_SURELY_SHALLOW = 4_000
# From 2.0 on polars counts levels itself.
_OVERFLOWS = int(pl.__version__.partition(".")[0]) < 2  # noqa: PLR2004


# The SDK marks what is no plain value, such as media, tables and histograms, by `_type`.
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
    raw: bytes | memoryview | msgspec.Raw,
    columns: Mapping[str, pl.DataType],
    *,
    where: str = "",
    lenient: Collection[str] = (),
) -> Decoded:
    """Decode a JSON array of row objects into a frame of the promised schema.

    Safe to call from several threads at once.

    Parameters
    ----------
    raw
        The array: one list of ``sampledHistory``, or what `join_texts` gives.
    columns
        Each key as it stands in the rows, and the dtype promised for it: Float64, Float32, an
        integer of up to 128 bits, Decimal, Boolean, String, ``Datetime("us", "UTC")``, or List and
        Struct of these. Keys of the rows that are not named here are ignored.
    where
        What is read, for the messages of errors, such as ``"ent/proj/run1"``.
    lenient
        Columns that take numbers and booleans spelled out in text too, such as ``"1e-5"``.

    Returns
    -------
    Decoded
        The frame, and the keys that Float64 could not hold to the digit. A key that a row lacks,
        and one that is null in it, is null in the frame.

        Floats take numbers, and ``NaN``, ``Infinity`` and ``-Infinity`` in quotes or bare.
        Integers take any spelling of an integer within the bounds of the dtype (``12``, ``12.0``,
        ``1.2e1``); below 2**53, a number with a point or an exponent is the Float64 nearest to it.
        String takes everything: text as it is, a number in its own spelling, a list or an object
        as compact JSON with sorted keys, in which bare ``NaN`` is quoted, and equal values are
        spelled alike. Datetime takes seconds since 1970, and
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
    return decode_lists([raw], columns, where=[where], lenient=lenient)[0]


def decode_lists(
    lists: Sequence[bytes | memoryview | msgspec.Raw],
    columns: Mapping[str, pl.DataType],
    *,
    where: Sequence[str] = (),
    lenient: Collection[str] = (),
) -> list[Decoded]:
    """Decode several arrays of row objects into frames of one schema.

    What `decode_rows` gives for each, at a lower cost: where all of them are easy, one look at all
    their values shows it.

    Parameters
    ----------
    lists, columns, lenient
        As of `decode_rows`.
    where
        What each array is, for the messages of errors.

    Examples
    --------
    >>> [each.frame["a"].to_list() for each in decode_lists([b'[{"a":1}]', b'[{"a":2}]'], {"a": pl.Int64()})]
    [[1], [2]]
    """
    promised = {
        name: dtype() if isinstance(dtype, type) else dtype for name, dtype in columns.items()
    }
    schema = _fast_schema(promised)
    parsed: dict[int, pl.DataFrame] = {}
    literals: dict[int, _Literals] = {}
    for at, given in enumerate(lists):
        raw = _bytes_of(given)  # one at a time: together they are as large as the answer
        frame = _parsed(raw, schema)
        if frame is not None:
            parsed[at], literals[at] = frame, _literals(raw)
    found: dict[int, Decoded] = {}
    if len(parsed) > 1 and len(schema) == len(promised):
        joined = pl.concat(parsed.values(), rechunk=False)
        trues, falses = zip(*literals.values(), strict=True)
        series = _trusted(joined, (sum(trues), sum(falses)), promised)
        if len(series) == len(promised):
            together = pl.DataFrame({name: series[name] for name in promised})
            start = 0
            for at, frame in parsed.items():
                found[at] = Decoded(together.slice(start, frame.height), frozenset())
                start += frame.height
    for at, given in enumerate(lists):
        if at not in found:
            series = _trusted(parsed[at], literals[at], promised) if at in parsed else {}
            told_of = where[at] if where else ""
            found[at] = _rest(given, promised, series, told_of, lenient)
    return [found[at] for at in range(len(lists))]


def _rest(
    raw: bytes | memoryview | msgspec.Raw,
    promised: Mapping[str, pl.DataType],
    series: dict[str, pl.Series],
    where: str,
    lenient: Collection[str],
) -> Decoded:
    """Make the frame of one array: the columns that are there, and the rest read exactly."""
    left = {name: dtype for name, dtype in promised.items() if name not in series}
    imprecise: frozenset[str] = frozenset()
    if left or not series:
        exact = read_columns(_bytes_of(raw), left, where=where, lenient=lenient)
        series = {**series, **exact.series}
        imprecise = exact.imprecise
        if not promised:
            return Decoded(pl.DataFrame(height=exact.height), imprecise)
    return Decoded(pl.DataFrame({name: series[name] for name in promised}), imprecise)


def _bytes_of(raw: bytes | memoryview | msgspec.Raw) -> bytes:
    """Give the bytes themselves."""
    return raw if isinstance(raw, bytes) else bytes(raw)


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
        other = rows_in(raw, where=where)
        if other is None:
            raise AnswerError(
                told(where, f"the rows must be a list of JSON texts: {error}")
            ) from error
        return other
    return array_of(texts, where=where)


def rows_in(
    raw: bytes | memoryview | msgspec.Raw, depth: int = 0, *, where: str = ""
) -> bytes | None:
    r"""Give a JSON array of rows that came in another form: null, text of JSON, or a list of objects or of texts.

    Examples
    --------
    >>> rows_in(b"null"), rows_in(b'"[{}]"'), rows_in(rb'["{\"a\": 1}"]'), rows_in(b"[3]")
    (b'[]', b'[{}]', b'[{"a": 1}]', None)
    """
    text = bytes(raw).strip()
    if text == b"null" or not text:
        return b"[]"
    if text[:1] == b"[":
        first = text[1:].lstrip()[:1]
        if first in {b"{", b"]"}:
            return text
        if first != b'"':
            return None
        try:
            texts: list[str] = decode_any(_text_list, text, where=where)
        except msgspec.ValidationError:
            return None
        return array_of(texts, where=where)
    if text[:1] != b'"' or depth > 1:
        return None
    return rows_in(decode_any(_one_text, text, where=where).encode(), depth + 1, where=where)


def array_of(texts: Sequence[str], *, where: str = "") -> bytes:
    """Join JSON texts, one a row, into one JSON array; see `join_texts`.

    Raises
    ------
    AnswerError
        One of them is blank.

    Examples
    --------
    >>> array_of(['{"_step": 0}', '{"_step": 1}'])
    b'[{"_step": 0},{"_step": 1}]'
    """
    if not all(map(str.strip, texts)):
        raise AnswerError(told(where, "a row is an empty text"))
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
        raise AnswerError(told(where, f"the rows must be a list of objects: {error}")) from error
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        for key, cell in row.items():
            counts = found.setdefault(key, {})
            kind = _type_of(bytes(cell))
            counts[kind] = counts.get(kind, 0) + 1
    return found


def _fast_schema(columns: Mapping[str, pl.DataType]) -> dict[str, pl.DataType]:
    """Say as what polars shall read the columns that it may read."""
    # polars casts numbers and booleans into one another: https://github.com/pola-rs/polars/issues/28553
    return {
        name: _FLAG if type(dtype) is pl.Boolean else _NUMBER
        for name, dtype in columns.items()
        if type(dtype) in _FAST and _plain(name)
    }


def _parsed(raw: bytes, schema: dict[str, pl.DataType]) -> pl.DataFrame | None:
    """Read columns with polars, if it takes them."""
    if not schema or raw.lstrip()[:1] != b"[":  # a lone object would pass for a list of one
        return None
    if _OVERFLOWS and not is_shallow(raw):
        return None
    try:
        return pl.read_json(raw, schema=schema)
    except pl.exceptions.PolarsError:
        return None


def _trusted(
    frame: pl.DataFrame, literals: _Literals, columns: Mapping[str, pl.DataType]
) -> dict[str, pl.Series]:
    """Give those columns, of one or several arrays, that polars cannot have got wrong."""
    flags: list[pl.Series] = []
    numbers: list[pl.Series] = []
    for name, column in zip(frame.columns, frame.get_columns(), strict=True):
        (flags if type(columns[name]) is pl.Boolean else numbers).append(column)
    trusted = {column.name: column for column in flags}
    for column in _sure_numbers(literals, numbers, flags):
        name = column.name
        dtype = columns[name]
        narrowed = column if type(dtype) is pl.Float64 else narrow(column, dtype)
        if narrowed is not None:
            trusted[name] = narrowed
    return trusted


def is_shallow(raw: bytes) -> bool:
    """Say whether polars can read these bytes: before 2.0 it overflows its stack some ten thousand levels down.

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


def _sure_numbers(
    literals: _Literals, numbers: list[pl.Series], flags: Sequence[pl.Series]
) -> list[pl.Series]:
    """Leave out the columns in which a boolean or a longer integer may hide."""
    if not numbers:
        return numbers
    values = pl.concat(numbers, rechunk=False)  # one look at all of them, for most need no more
    if not fits_float(values):
        numbers = [column for column in numbers if fits_float(column)]
    for value, there in zip((1.0, 0.0), literals, strict=True):
        # None hides where the columns of booleans have them all.
        if there != sum(int((column == (value > 0)).sum()) for column in flags):
            numbers = [column for column in numbers if not (column == value).any()]
    return numbers


def _literals(raw: bytes) -> _Literals:
    """Count ``true`` and ``false``; where one of their letters is not, quicker than by a search."""
    trues, falses = (
        raw.count(literal) if all(letter in raw for letter in literal) else 0
        for literal in (b"true", b"false")
    )
    return trues, falses


def _plain(name: str) -> bool:
    """Say whether no other key can pass for this one: polars reads a lone surrogate as U+0000."""
    return "\0" not in name and "\ufffd" not in name


def _type_of(cell: bytes) -> str:
    """Name the type of a value as ``historyKeys`` does."""
    first = cell[:1]
    if first == b"{":
        kind = bytes(_typed.decode(cell).kind)
        return msgspec.json.decode(kind, type=str) if kind[:1] == b'"' else "map"
    # W&B answers NaN as text: https://github.com/wandb/sweeps/pull/32
    if cell in _NON_FINITE_CELLS:
        return "number"
    return _BY_FIRST_BYTE.get(first, "number")
