"""Random rows against a plain reference that is built on `json.loads`."""

from __future__ import annotations

import json
import math
import re
import struct
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.spelling import number
from wbframe.core.decode.rows import decode_rows, infer_types, join_texts
from wbframe.errors import AnswerError, SchemaMismatchError

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
NUMBERS = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


# -- the reference ---------------------------------------------------------------------------------


class Number(str):
    __slots__ = ()


class Pairs(list):
    pass


class MisfitError(Exception):
    pass


def whole(text):
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def loads(text):
    return json.loads(
        text,
        strict=False,
        parse_int=Number,
        parse_float=Number,
        parse_constant=str,
        object_pairs_hook=Pairs,
    )


def dumps(value):
    if isinstance(value, Number):
        return number(value)
    if isinstance(value, Pairs):
        members = sorted({whole(key): each for key, each in value}.items())
        return "{" + ",".join(f"{dumps(key)}:{dumps(each)}" for key, each in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    return json.dumps(whole(value) if isinstance(value, str) else value, ensure_ascii=False)


def is_text(value):
    return isinstance(value, str) and not isinstance(value, Number)


def ref_float(value, lost):
    if is_text(value) and value in SPECIAL:
        return SPECIAL[value]
    if not isinstance(value, Number):
        raise MisfitError
    if "." in value or "e" in value.lower():
        return float(value)
    exact = int(value)
    try:
        rounded = float(exact)
    except OverflowError:
        rounded = math.copysign(math.inf, exact)
    if math.isinf(rounded) or int(rounded) != exact:
        lost.append(value)
    return rounded


def ref_float32(value, lost):
    number = ref_float(value, [])
    if math.isfinite(number):
        try:
            return struct.unpack("<f", struct.pack("<f", number))[0]
        except OverflowError:
            raise MisfitError from None
    return number


def ref_int(bits, signed):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)

    def read(value, lost):
        if not isinstance(value, Number) or abs(Decimal(value)) > 10**40:
            raise MisfitError
        exact = Decimal(value)
        # Below 2**53 a number with a point is the float that it spells.
        if not value.lstrip("-").isdigit() and abs(float(value)) < 2**53:
            exact = Decimal(float(value))
        if exact != int(exact) or not low <= int(exact) <= high:
            raise MisfitError
        return int(exact)

    return read


def ref_bool(value, lost):
    if not isinstance(value, bool):
        raise MisfitError
    return value


def ref_text(value, lost):
    return whole(str(value)) if isinstance(value, str) else dumps(value)


def ref_time(value, lost):
    if not isinstance(value, Number):
        raise MisfitError  # texts are tried in the table of cases
    try:
        return EPOCH + timedelta(microseconds=round(Decimal(value) * 1_000_000))
    except OverflowError:
        raise MisfitError from None


def ref_opened(value, kind):
    if is_text(value):
        try:
            value = loads(whole(value))
        except (ValueError, RecursionError):
            raise MisfitError from None
    if value is not None and type(value) is not kind:
        raise MisfitError
    return value


def ref_list(inner):
    def read(value, lost):
        value = ref_opened(value, list)
        return None if value is None else [ref(each, inner, lost) for each in value]

    return read


def ref_struct(fields):
    def read(value, lost):
        value = ref_opened(value, Pairs)
        if value is None:
            return None
        found = {whole(key): each for key, each in value}
        return {key: ref(found.get(key), each, lost) for key, each in fields.items()}

    return read


FLAT = {
    pl.Float64(): ref_float,
    pl.Float32(): ref_float32,
    pl.Int64(): ref_int(64, signed=True),
    pl.Int8(): ref_int(8, signed=True),
    pl.Int32(): ref_int(32, signed=True),
    pl.UInt64(): ref_int(64, signed=False),
    pl.UInt16(): ref_int(16, signed=False),
    pl.Boolean(): ref_bool,
    pl.String(): ref_text,
    pl.Datetime("us", "UTC"): ref_time,
}


def ref(value, dtype, lost):
    if value is None:
        return None
    if isinstance(dtype, pl.List):
        return ref_list(dtype.inner)(value, lost)
    if isinstance(dtype, pl.Struct):
        return ref_struct({field.name: field.dtype for field in dtype.fields})(value, lost)
    return FLAT[dtype](value, lost)


def reference(text, columns):
    """Give the columns as lists, the imprecise keys, and the keys whose values do not fit."""
    rows = [{whole(key): each for key, each in row} for row in loads(text)]
    found, imprecise, wrong = {}, set(), set()
    for name, dtype in columns.items():
        lost = []
        try:
            found[name] = [ref(row.get(name), dtype, lost) for row in rows]
        except MisfitError:
            wrong.add(name)
        if lost:
            imprecise.add(name)
    return len(rows), found, imprecise, wrong


def bits(value):
    """Make floats comparable to the bit, and every NaN alike."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, list):
        return [bits(each) for each in value]
    if isinstance(value, dict):
        return {key: bits(each) for key, each in value.items()}
    return value


def check(text, columns):
    raw = text.encode()
    height, found, imprecise, wrong = reference(text, columns)
    if wrong:
        with pytest.raises(SchemaMismatchError) as caught:
            decode_rows(raw, columns, where="e/p/r")
        message = str(caught.value)
        assert message.startswith("e/p/r: ")
        assert "\n" not in message
        assert any(f"schema_overrides={{{name!r}: pl." in message for name in wrong)
        return
    decoded = decode_rows(raw, columns, where="e/p/r")
    assert decoded.frame.height == height
    assert dict(decoded.frame.schema) == dict(columns)
    assert list(decoded.frame.columns) == list(columns)
    for name, expected in found.items():
        assert bits(decoded.frame[name].to_list()) == bits(expected), name
    assert decoded.imprecise == imprecise


# -- random rows -----------------------------------------------------------------------------------

KEYS = [
    "loss",
    "_step",
    "a.b",
    "a b",
    "é/😀",
    "",
    'q"k',
    "b\\k",
    "t\tk",
    "\ufffd",
    "\0",
    "true",
    "NaN",
]
integers = st.one_of(
    st.integers(-3, 3),
    st.integers(-130, 70_000),
    st.integers(-(2**70), 2**70),
    st.sampled_from(
        [s * (2**p + d) for p in (7, 8, 15, 31, 53, 63, 64) for d in (-1, 0, 1) for s in (1, -1)]
    ),
).map(str)
floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-300, 300).map(lambda n: f"{n}.0"),
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(["-0", "-0.0", "1e3", "12.50", "1e400", "-1E+400", "5e-324", "1e-400"]),
    st.sampled_from(["9007199254740993", "9007199254740993.0", "9007199254740992.5", "1.0e0"]),
    st.sampled_from(["1e18", "9223372036854775807.0", "9.3e18", "3.5e38", "1700000000.1234565"]),
)
numbers = st.one_of(integers, floats)
special = st.sampled_from(["NaN", "Infinity", "-Infinity"])
pieces = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters='"\\'), max_size=6),
    st.sampled_from([r"\n", r"\"", r"\\", r"\/", r"\u0041", r"é", r"\u0000", r"\ud83d\ude00"]),
    st.sampled_from([r"\ud800", r"\udc00", r"\ud800\ud800\udc00", "\n", "\x00", "\x1f", "\x7f"]),
    st.sampled_from(
        ["NaN, ", " NaN}", "[-Infinity,", ": true", "{}", "1.0", "null", r"\\NaN,", "\\\\\n"]
    ),
)
strings = st.one_of(
    st.lists(pieces, max_size=4).map("".join), st.sampled_from(["true", "1.5", "[1,2]", "nan", ""])
).map(lambda text: f'"{text}"')
quoted = special.map(lambda name: f'"{name}"')
scalars = st.one_of(numbers, special, quoted, strings, st.sampled_from(["true", "false", "null"]))
space = st.sampled_from(["", "", "", " ", "\n", " \t\r\n"])


@st.composite
def spelled_key(draw, key):
    """Spell a key as JSON does, with some of its letters escaped."""
    out = ""
    for letter in key:
        plain = json.dumps(letter, ensure_ascii=False)[1:-1]
        if ord(letter) < 0x10000 and draw(st.integers(0, 9)) == 0:
            plain = f"\\u{ord(letter):04x}"
        out += plain
    return f'"{out}"'


@st.composite
def objects(draw, values, keys):
    chosen = draw(st.lists(st.sampled_from(keys), unique=True, max_size=5))
    gap = draw(space)
    members = [f"{draw(spelled_key(key))}{gap}:{gap}{draw(values)}{gap}" for key in chosen]
    return "{" + gap + f",{gap}".join(members) + "}"


@st.composite
def lists(draw, values):
    gap = draw(space)
    return "[" + gap + f",{gap}".join(draw(st.lists(values, max_size=4))) + gap + "]"


nested = st.recursive(
    scalars,
    lambda inner: st.one_of(lists(inner), objects(inner, ["x", "y", "é", "_type"])),
    max_leaves=6,
)
as_text = st.one_of(lists(numbers), objects(numbers, ["x", "y"])).map(json.dumps)
DTYPES = [
    *FLAT,
    pl.List(pl.Float64()),
    pl.List(pl.Int64()),
    pl.List(pl.String()),
    pl.List(pl.List(pl.Float32())),
    pl.Struct({"x": pl.Float64(), "y": pl.List(pl.Datetime("us", "UTC"))}),
    pl.List(pl.Struct({"x": pl.Boolean(), "é": pl.String()})),
]
FITTING = {
    pl.Float64(): st.one_of(numbers, special, quoted),
    pl.Float32(): st.one_of(numbers, special, quoted),
    pl.Boolean(): st.sampled_from(["true", "false"]),
    pl.String(): st.one_of(scalars, nested),
    pl.Datetime("us", "UTC"): st.integers(-(10**9), 4 * 10**9).map(str),
    **{each: st.integers(0, 127).map(str) for each in FLAT if each.is_integer()},
}


def fitting(dtype):
    """Give values of which most fit, so that whole frames come about."""
    if isinstance(dtype, pl.List):
        return st.one_of(lists(fitting(dtype.inner)), as_text)
    if isinstance(dtype, pl.Struct):
        return objects(numbers, ["x", "z"])
    return FITTING[dtype]


@st.composite
def documents(draw, keys=KEYS, dtypes=tuple(DTYPES), any_value=True):
    columns = draw(st.dictionaries(st.sampled_from(keys), st.sampled_from(dtypes), max_size=4))
    values = {
        key: draw(
            st.sampled_from(
                [fitting(dtype), st.one_of(fitting(dtype), st.just("null"))]
                + [st.one_of(nested, as_text)] * any_value
            )
        )
        for key, dtype in columns.items()
    }
    rows = []
    for _ in range(draw(st.integers(0, 5))):
        gap = draw(space)
        members = [
            f"{draw(spelled_key(key))}{gap}:{gap}{draw(value)}{gap}"
            for key, value in draw(st.permutations(list(values.items())))
            if draw(st.integers(0, 7))
        ]
        if draw(st.integers(0, 3)) == 0:
            members.append(f'"ignored":{draw(nested)}')
        rows.append("{" + gap + ",".join(members) + "}")
    gap = draw(space)
    return gap + "[" + gap + f",{gap}".join(rows) + gap + "]" + gap, columns


SLOW = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
F64 = pl.Float64()


@given(documents())
@SLOW
def test_rows_are_what_the_reference_says(document):
    check(*document)


@given(
    documents(
        keys=["a", "b", "c", "d"],
        dtypes=[each for each in FLAT if each.is_numeric() or each == pl.Boolean],
        any_value=False,
    )
)
@example(('[{"a":true,"b":1},{"a":1.0}]', {"a": F64, "b": F64}))
@example(('[{"a":false,"b":1},{"a":0.5}]', {"a": F64, "b": F64}))
@example(('[{"a":1.5,"b":1}]', {"a": pl.Int64(), "b": F64}))
@example(('[{"a":9223372036854775808}]', {"a": pl.Int64()}))
@example(('[{"a":9007199254740993,"b":0}]', {"a": F64, "b": F64}))
@SLOW
def test_columns_of_numbers_are_what_the_reference_says(document):
    check(*document)


@given(documents(any_value=False), st.data())
@SLOW
def test_damaged_bytes_raise_or_read_as_python_reads_them(document, data):
    text, columns = document
    place = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 2))
    text = (
        text[:place]
        + data.draw(st.sampled_from(['"', "\\", "{", "]", ",", ":", "0", "N", ""]))
        + text[place + cut :]
    )
    try:
        rows = loads(text)
    except ValueError:
        rows = None
    if type(rows) is list and all(type(row) is Pairs for row in rows):
        if all(len({whole(key) for key, _ in row}) == len(row) for row in rows):
            check(text, columns)
        return
    with pytest.raises(AnswerError) as caught:
        decode_rows(text.encode(), columns, where="e/p/r")
    assert str(caught.value).startswith("e/p/r: ")


@given(documents())
@example(('[{"a":{"_type":1e400}}]', {}))
@SLOW
def test_types_are_counted_as_the_reference_counts_them(document):
    text, _ = document

    def kind(value):
        if isinstance(value, Pairs):
            types = [each for key, each in value if key == "_type"]
            return whole(types[-1]) if types and is_text(types[-1]) else "map"
        if isinstance(value, Number) or (is_text(value) and value in SPECIAL):
            return "number"
        names = {str: "string", bool: "bool", type(None): "nil", list: "list"}
        return names[type(value)]

    expected = {}
    for row in loads(text):
        for key, value in {whole(key): each for key, each in row}.items():
            counts = expected.setdefault(key, {})
            counts[kind(value)] = counts.get(kind(value), 0) + 1
    assert infer_types(text.encode()) == expected


@given(documents(), st.booleans())
@SLOW
def test_joined_texts_are_the_rows(document, ascii_only):
    text, columns = document
    rows = [dumps(row) for row in loads(text)]
    joined = join_texts(json.dumps(rows, ensure_ascii=ascii_only).encode())
    check(joined.decode(), columns)
