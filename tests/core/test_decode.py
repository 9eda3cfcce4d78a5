"""Named hard cases of history rows."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import msgspec
import polars as pl
import pytest

from wbframe.core.decode.exact import fits_float, narrow, read_columns
from wbframe.core.decode.rows import Decoded, decode_rows, infer_types, join_texts
from wbframe.errors import AnswerError, SchemaMismatchError, UsageError

F64, I64, TEXT, BOOL = pl.Float64(), pl.Int64(), pl.String(), pl.Boolean()
TIME = pl.Datetime("us", "UTC")


def utc(*parts):
    return datetime(*parts, tzinfo=timezone.utc)


def one(value, dtype):
    """Decode rows of one key beside a column that always reads fast."""
    raw = b'[{"k":%b,"n":2.5},{"n":3.5}]' % value
    decoded = decode_rows(raw, {"k": dtype, "n": F64}, where="e/p/r")
    assert decoded.frame.schema == {"k": dtype, "n": F64}
    assert decoded.frame["n"].to_list() == [2.5, 3.5]
    found, missing = decoded.frame["k"].to_list()
    assert missing is None
    return found


FITS = [
    ("integer", b"7", F64, 7.0),
    ("long integer", b"123456789012345678901234567890", F64, 123456789012345678901234567890.0),
    ("400 digits", b"9" * 400, F64, math.inf),
    ("too large", b"1e400", F64, math.inf),
    ("too small", b"-1e400", F64, -math.inf),
    ("quoted infinity", b'"Infinity"', F64, math.inf),
    ("bare infinity", b"-Infinity", F64, -math.inf),
    ("escaped infinity", rb'"\u0049nfinity"', F64, math.inf),
    ("zero", b"0", F64, 0.0),
    ("null", b"null", F64, None),
    ("rounded", b"0.1", pl.Float32(), 0.10000000149011612),
    ("infinite single", b'"Infinity"', pl.Float32(), math.inf),
    ("integral float", b"12.0", I64, 12),
    ("exponent", b"1e3", I64, 1000),
    ("largest", b"9223372036854775807", I64, 2**63 - 1),
    ("smallest", b"-9223372036854775808", I64, -(2**63)),
    ("long with point", b"9007199254740993.0", I64, 2**53 + 1),
    ("long with exponent", b"9.223372036854775807e18", I64, 2**63 - 1),
    ("unsigned", b"18446744073709551615", pl.UInt64(), 2**64 - 1),
    ("byte", b"-128", pl.Int8(), -128),
    ("yes", b"true", BOOL, True),
    ("no", b"false", BOOL, False),
    ("spelling with point", b"1.0", TEXT, "1.0"),
    ("spelling with exponent", b"1e5", TEXT, "1e5"),
    (
        "spelling of a long one",
        b"123456789012345678901234567890",
        TEXT,
        "123456789012345678901234567890",
    ),
    ("spelling of a huge one", b"1e400", TEXT, "1e400"),
    ("spelling of negative zero", b"-0", TEXT, "-0"),
    ("boolean as text", b"true", TEXT, "true"),
    ("null as text", b"null", TEXT, None),
    ("the word null", b'"null"', TEXT, "null"),
    ("quoted NaN as text", b'"NaN"', TEXT, "NaN"),
    ("bare NaN as text", b"NaN", TEXT, "NaN"),
    ("newline in text", b'"a\nb"', TEXT, "a\nb"),
    ("escaped backslash, newline", b'"a\\\\\nb"', TEXT, "a\\\nb"),
    ("bare token in text", b'"loss: NaN, or -Infinity]"', TEXT, "loss: NaN, or -Infinity]"),
    ("bare token in text and after a newline", b'"\nNaN,"', TEXT, "\nNaN,"),
    ("lone surrogate", rb'"\ud800"', TEXT, "\ufffd"),
    ("lone low surrogate", rb'"x\udfffy"', TEXT, "x\ufffdy"),
    ("escaped backslash before u", rb'"\\ud800"', TEXT, r"\ud800"),
    ("surrogate pair", rb'"\ud83d\ude00"', TEXT, "😀"),
    ("NUL", rb'"\u0000"', TEXT, "\0"),
    ("list as text", b"[ 1.0 , 1e5 ]", TEXT, "[1,100000]"),
    ("object as text", rb'{ "b" : "x y\n\u00e9" , "a" : [ ] }', TEXT, r'{"a":[],"b":"x y\né"}'),
    ("quote in object", rb'{"a\"":"\\"}', TEXT, r'{"a\"":"\\"}'),
    ("bare NaN in a list", b"[NaN, 1]", TEXT, '["NaN",1]'),
    ("epoch", b"1700000000.123456", TIME, utc(2023, 11, 14, 22, 13, 20, 123456)),
    ("epoch before", b"-0.5", TIME, utc(1969, 12, 31, 23, 59, 59, 500000)),
    ("epoch in full", b"1.7e9", TIME, utc(2023, 11, 14, 22, 13, 20)),
    ("zulu", b'"2026-08-20T10:15:30Z"', TIME, utc(2026, 8, 20, 10, 15, 30)),
    ("no zone", b'"2026-08-20T10:15:30"', TIME, utc(2026, 8, 20, 10, 15, 30)),
    ("a fraction", b'"2026-08-20 10:15:30.1234567Z"', TIME, utc(2026, 8, 20, 10, 15, 30, 123457)),
    ("east", b'"2026-08-20T10:15:30+02:00"', TIME, utc(2026, 8, 20, 8, 15, 30)),
    ("west", b'"2026-08-20T10:15-0230"', TIME, utc(2026, 8, 20, 12, 45)),
    ("a day", b'"2026-08-20"', TIME, utc(2026, 8, 20)),
    ("list", b"[1, null, 2.5]", pl.List(F64), [1.0, None, 2.5]),
    ("list with names", b'["-Infinity", 1]', pl.List(F64), [-math.inf, 1.0]),
    ("list as JSON text", b'"[1, 2]"', pl.List(I64), [1, 2]),
    ("null as JSON text", b'"null"', pl.List(I64), None),
    ("null as JSON text of an object", b'"null"', pl.Struct({"a": I64}), None),
    ("bare NaN in JSON text", rb'"[\"a\", -Infinity]"', pl.List(TEXT), ["a", "-Infinity"]),
    ("integral floats in a list", b"[1.0, 2e0]", pl.List(pl.Int8()), [1, 2]),
    ("list of lists", b"[[1],[],null]", pl.List(pl.List(pl.Float32())), [[1.0], [], None]),
    (
        "texts in a list",
        b'["a", 1.0, {"b": 1}, null]',
        pl.List(TEXT),
        ["a", "1.0", '{"b":1}', None],
    ),
    ("flags in a list", b"[true, false, null]", pl.List(BOOL), [True, False, None]),
    ("far exponents", b"0e99999999999999999999", I64, 0),
    ("times in a list", b"[0]", pl.List(TIME), [utc(1970, 1, 1)]),
    ("struct", b'{"b": 2, "c": 3}', pl.Struct({"a": F64, "b": I64}), {"a": None, "b": 2}),
    ("struct from JSON text", rb'"{\"a\": 1}"', pl.Struct({"a": F64}), {"a": 1.0}),
]


@pytest.mark.parametrize(
    ("value", "dtype", "expected"), [pytest.param(*c[1:], id=c[0]) for c in FITS]
)
def test_value(value, dtype, expected):
    found = one(value, dtype)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("value", [b"NaN", b'"NaN"', rb'"Na\u004e"'])
def test_nan(value):
    assert math.isnan(one(value, F64))
    assert math.isnan(one(value, pl.Float32()))


@pytest.mark.parametrize(("value", "negative"), [(b"-0", False), (b"-0.0", True), (b"-0e0", True)])
@pytest.mark.parametrize("other", [b"1.5", b"1e400", b"9007199254740993"])
def test_an_integer_zero_has_no_sign_however_it_is_read(value, negative, other):
    raw = b'[{"a":%b},{"a":%b}]' % (value, other)
    found = decode_rows(raw, {"a": F64}).frame["a"][0]
    assert math.copysign(1, found) == (-1 if negative else 1)


MISFITS = [
    ("text", b'"high"', F64, '"high"', "String"),
    ("numeric text", b'"1.5"', F64, '"1.5"', "String"),
    ("other spelling of NaN", b'"nan"', F64, '"nan"', "String"),
    ("true", b"true", F64, "true", "String"),
    ("false", b"false", F64, "false", "String"),
    ("true for an integer", b"true", I64, "true", "String"),
    ("list", b"[1]", F64, "[1]", "String"),
    ("object", b'{"a":1}', pl.Float32(), '{"a":1}', "String"),
    ("too large a single", b"1e39", pl.Float32(), "1e39", "String"),
    ("fraction", b"1.5", I64, "1.5", "Float64"),
    ("one over", b"9223372036854775808", I64, "9223372036854775808", "Float64"),
    ("long fraction", b"9007199254740992.5", I64, "9007199254740992.5", "Float64"),
    ("not finite", b"1e400", I64, "1e400", "Float64"),
    ("NaN for an integer", b"NaN", I64, '"NaN"', "String"),
    ("negative", b"-1", pl.UInt8(), "-1", "Float64"),
    ("5000 digits", b"1" * 5000, I64, "1" * 57 + "...", "Float64"),
    ("number for a boolean", b"1", BOOL, "1", "String"),
    ("text for a boolean", b'"true"', BOOL, '"true"', "String"),
    ("no time", b'"soon"', TIME, '"soon"', "String"),
    ("no such day", b'"2026-02-30"', TIME, '"2026-02-30"', "String"),
    ("no number of seconds", b"0e99999999999999999999", TIME, "0e99999999999999999999", "String"),
    ("NaN for a time", b'"NaN"', TIME, '"NaN"', "String"),
    ("infinite time", b"1e400", TIME, "1e400", "String"),
    ("far time", b"1e18", TIME, "1e18", "String"),
    ("true for a time", b"true", TIME, "true", "String"),
    ("number for a list", b"1", pl.List(F64), "1", "String"),
    ("text for a list", b'"x"', pl.List(F64), '"x"', "String"),
    ("object for a list", b'{"a":1}', pl.List(F64), '{"a":1}', "String"),
    ("text in a list", b'[1,"x"]', pl.List(F64), '[1,"x"]', "String"),
    ("list for a struct", b"[1]", pl.Struct({"a": F64}), "[1]", "String"),
    ("text in a struct", b'{"a":"x"}', pl.Struct({"a": F64}), '{"a":"x"}', "String"),
    ("newline", b'"a\nb"', F64, r'"a\u000ab"', "String"),
    ("line separator", '"a\u2028b"'.encode(), F64, r'"a\u2028b"', "String"),
]


@pytest.mark.parametrize(
    ("value", "dtype", "shown", "override"), [pytest.param(*c[1:], id=c[0]) for c in MISFITS]
)
def test_value_that_does_not_fit(value, dtype, shown, override):
    with pytest.raises(SchemaMismatchError) as caught:
        one(value, dtype)
    assert str(caught.value) == (
        f"e/p/r: key 'k' holds {shown}, which is no {dtype};"
        f" `schema_overrides={{'k': pl.{override}}}` takes it"
    )


@pytest.mark.parametrize(
    ("value", "lost"),
    [
        (b"9007199254740992", False),
        (b"9007199254740993", True),
        (b"-9007199254740993", True),
        (b"9007199254740994", False),
        (b"100000000000000000000000", True),
        (b"18446744073709551616", False),
        (b"1e23", False),
        (b"9007199254740993.0", False),
        (b"9" * 400, True),
    ],
)
def test_lost_digits_are_told(value, lost):
    raw = b'[{"a":%b,"b":1.5,"c":[%b]}]' % (value, value)
    decoded = decode_rows(raw, {"a": F64, "b": F64, "c": pl.List(F64)})
    assert decoded.imprecise == ({"a", "c"} if lost else set())
    assert decoded.frame["a"][0] == float(value)
    assert decode_rows(raw, {"b": F64}).imprecise == frozenset()
    assert decode_rows(raw, {"a": TEXT}).imprecise == frozenset()


NOT_ROWS = [
    b"",
    b" ",
    b"null",
    b'{"a":1}',
    b"[null]",
    b'[{"a":1},null]',
    b"[1]",
    b"[[]]",
    b'["{}"]',
    b'[{"a":1}',
    b'[{"a":1},]',
    b'[{"a":1}]x',
    b'[{"a":tru}]',
    b'[{"a":01}]',
    b'[{"z":+1}]',
    b"[{a:1}]",
    b"[{NaN:1}]",
    b"[{NaN :1}]",
    b'[{"a":-NaN}]',
    b'[{"a":"x}]',
    b'[{"a":"\\x"}]',
    b'[{"a":"\\\n"}]',
    b'[{"a":"\\NaN,"}]',
    b'[{"a":"\xff"}]',
    b'[{"z":"\xff"}]',
    b'\xef\xbb\xbf[{"a":1}]',
    b'[{"a":1,"z":' + b"[" * 5000 + b"]" * 5000 + b"}]",
]


@pytest.mark.parametrize("raw", NOT_ROWS, ids=lambda raw: repr(raw[:20]))
@pytest.mark.parametrize("dtype", [F64, TEXT, pl.List(F64)], ids=str)
def test_what_is_no_list_of_rows(raw, dtype):
    for read in (
        lambda: decode_rows(raw, {"a": dtype}, where="e/p/r"),
        lambda: decode_rows(raw, {}, where="e/p/r"),
    ):
        if len(raw) > 5000 and dtype == F64:
            continue  # polars may read the column and skip the depth
        with pytest.raises(AnswerError, match=r"^e/p/r: the (rows|answer) ") as caught:
            read()
        assert not isinstance(caught.value, SchemaMismatchError)
        assert "\n" not in str(caught.value)


def test_message_without_a_place():
    with pytest.raises(AnswerError, match=r"^the answer is not JSON"):
        decode_rows(b"", {"a": F64})
    with pytest.raises(SchemaMismatchError, match=r"^key 'a' holds"):
        decode_rows(b'[{"a":"x"}]', {"a": F64})


@pytest.mark.parametrize(
    "dtype",
    [
        pl.Duration(),
        pl.Datetime("ms"),
        pl.List(pl.Time()),
        pl.Struct({"a": pl.Binary()}),
    ],
)
def test_dtype_that_no_history_column_has(dtype):
    with pytest.raises(UsageError, match="key 'a' cannot be read as"):
        decode_rows(b"[]", {"a": dtype})


def test_dtypes_may_be_classes():
    frame = decode_rows(
        b'[{"a":1,"b":"x","c":[1]}]', {"a": pl.Int8, "b": pl.String, "c": pl.List(pl.Int8)}
    ).frame
    assert frame.schema == {"a": pl.Int8(), "b": TEXT, "c": pl.List(pl.Int8())}
    assert frame.rows() == [(1, "x", [1])]


KEYS = [
    "",
    " ",
    "a.b",
    "a/b",
    "é",
    "😀",
    'q"k',
    "b\\k",
    "t\tk",
    "\0",
    "\ufffd",
    "\x7f",
    "true",
    "_type",
]


@pytest.mark.parametrize("key", KEYS, ids=ascii)
@pytest.mark.parametrize("dtype", [F64, I64, TEXT], ids=str)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_odd_keys(key, dtype, ascii_only):
    raw = json.dumps([{key: 5, "z": 1}, {}], ensure_ascii=ascii_only).encode()
    expected = "5" if dtype == TEXT else 5
    frame = decode_rows(raw, {key: dtype, "z": F64}).frame
    assert frame.columns == [key, "z"]
    assert frame.rows() == [(expected, 1.0), (None, None)]


def test_escaped_key():
    raw = rb'[{"lo\u0073s":1},{"loss":"NaN"}]'
    assert str(decode_rows(raw, {"loss": F64}).frame["loss"].to_list()) == "[1.0, nan]"
    assert decode_rows(raw, {"loss": TEXT}).frame["loss"].to_list() == ["1", "NaN"]


def test_a_lone_surrogate_in_a_key():
    raw = rb'[{"\ud800":1,"\u0000":2}]'
    assert decode_rows(raw, {"\ufffd": F64, "\0": F64}).frame.rows() == [(1.0, 2.0)]
    assert decode_rows(rb'[{"\ud800":1}]', {"\0": F64}).frame.rows() == [(None,)]


def test_of_two_values_under_a_key_the_exact_reading_takes_the_last():
    raw = b'[{"a":1.5,"a":2.5,"b":true,"b":false}]'
    columns = {"a": F64, "b": BOOL}
    exact = read_columns(raw, columns, where="")
    assert [series[0] for series in exact.series.values()] == [2.5, False]
    assert decode_rows(raw, {"a": TEXT, "b": TEXT}).frame.rows() == [("2.5", "false")]
    assert decode_rows(raw, columns).frame.rows() == [(1.5, True)]  # polars: the first


@pytest.mark.parametrize(
    ("raw", "height"), [(b"[]", 0), (b" [ ] \n", 0), (b"[{}]", 1), (b'[{},{"z":1}]', 2)]
)
@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"a": F64},
        {"a": I64, "b": BOOL},
        {"a": TEXT},
        {"a": pl.List(F64), "b": F64},
        {"a": TIME, "": pl.Int8()},
    ],
    ids=str,
)
def test_rows_without_the_keys(raw, height, columns):
    decoded = decode_rows(raw, columns)
    assert decoded.frame.schema == columns
    assert decoded.frame.height == height
    assert decoded.frame.null_count().row(0) == (height,) * len(columns) or not columns
    assert decoded.imprecise == frozenset()


def test_columns_come_in_the_order_asked_and_others_are_ignored():
    raw = b'[{"d":{"x":[1]},"c":"x","b":1,"a":"NaN","e":1e400}]'
    columns = {"b": I64, "c": TEXT, "a": F64, "_step": I64}
    frame = decode_rows(raw, columns).frame
    assert frame.columns == list(columns)
    assert str(frame.rows()) == "[(1, 'x', nan, None)]"


def test_a_hard_column_does_not_keep_polars_from_the_others(monkeypatch):
    read = []
    exact = read_columns
    monkeypatch.setattr(
        "wbframe.core.decode.rows.read_columns",
        lambda raw, columns, **rest: read.append(list(columns)) or exact(raw, columns, **rest),
    )
    raw = b'[{"_step":5,"loss":0.5,"h":{"_type":"histogram","bins":[0,1]},"ok":true,"big":9007199254740993,"acc":1.0}]'
    columns = {"_step": I64, "loss": F64, "h": TEXT, "ok": BOOL, "big": I64, "acc": F64}
    row = (5, 0.5, '{"_type":"histogram","bins":[0,1]}', True, 2**53 + 1, 1.0)
    assert decode_rows(raw, columns).frame.rows() == [row]
    assert read == [["h", "big"]]
    read.clear()
    # a boolean that no column of booleans accounts for may stand anywhere
    decode_rows(raw, {name: dtype for name, dtype in columns.items() if name != "ok"})
    assert read == [["h", "big", "acc"]]
    read.clear()
    decode_rows(raw, {"_step": I64, "loss": F64, "ok": BOOL})
    assert read == []


@pytest.mark.parametrize("kind", [bytes, memoryview, msgspec.Raw, bytearray])
def test_kinds_of_bytes(kind):
    raw = kind(b'[{"a":1},{"a":"Infinity"}]')
    assert decode_rows(raw, {"a": F64}).frame["a"].to_list() == [1.0, math.inf]
    assert infer_types(raw) == {"a": {"number": 2}}
    assert join_texts(kind(b'["{}"]')) == b"[{}]"


def test_a_slice_of_an_answer():
    answer = b'{"data":{"r0":{"sampledHistory":[[{"a":1}],[{"a":2}]]}}}'
    lists = msgspec.json.decode(answer, type=dict[str, dict[str, dict[str, list[msgspec.Raw]]]])
    slices = lists["data"]["r0"]["sampledHistory"]
    assert [decode_rows(each, {"a": F64}).frame["a"][0] for each in slices] == [1.0, 2.0]


def test_from_many_threads():
    raws = [
        json.dumps([{"a": n, "b": "NaN" if n % 3 else n, "c": f"t{n}"}] * 50).encode()
        for n in range(64)
    ]
    columns = {"a": I64, "b": F64, "c": TEXT}
    with ThreadPoolExecutor(8) as pool:
        frames = list(pool.map(lambda raw: decode_rows(raw, columns).frame, raws))
    for n, frame in enumerate(frames):
        assert frame["a"].to_list() == [n] * 50
        assert frame["b"].is_nan().all() == bool(n % 3)
        assert frame["c"].to_list() == [f"t{n}"] * 50


def test_a_row_of_many_keys():
    row = {f"k{n}": n + 0.5 for n in range(3000)}
    raw = json.dumps([row, {"k7": "NaN"}]).encode()
    frame = decode_rows(raw, dict.fromkeys(row, F64)).frame
    assert frame.row(0) == tuple(row.values())
    assert frame.row(1)[:7] == (None,) * 7
    assert math.isnan(frame["k7"][1])


def test_the_value_is_frozen():
    decoded = decode_rows(b"[]", {"a": F64})
    assert isinstance(decoded, Decoded)
    with pytest.raises(AttributeError):
        decoded.imprecise = frozenset({"a"})


# -- texts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "joined"),
    [
        (b"[]", b"[]"),
        (b' [ "{}" , "{}" ] ', b"[{},{}]"),
        (rb'["{\"a\": \"\\u00e9\"}"]', rb'[{"a": "\u00e9"}]'),
        (rb'["{\"a\": \"\u00e9\"}"]', '[{"a": "é"}]'.encode()),
        (rb'["{\"a\": NaN}"]', b'[{"a": NaN}]'),
        (b'["{\\"a\\": 1,\n\\"b\\": 2}"]', b'[{"a": 1,\n"b": 2}]'),
    ],
)
def test_joined_texts(raw, joined):
    assert join_texts(raw) == joined


@pytest.mark.parametrize(
    "raw",
    [b'["{\\"a\\": 1}"]', b'[{"a": 1}]', b'"[{\\"a\\": 1}]"', b' [ {"a": 1}]'],
    ids=["texts", "objects", "one text", "blanks"],
)
def test_rows_in_any_form(raw):
    assert decode_rows(join_texts(raw), {"a": pl.Float64()}).frame["a"].to_list() == [1.0]
    assert join_texts(b"null") == b"[]"


@pytest.mark.parametrize(
    "raw", [b"", b"[1]", b"[null]", b'["{}",{}]', b'["{}"', b'[""]', b'["{}"," "]']
)
def test_what_is_no_list_of_texts(raw):
    with pytest.raises(AnswerError, match=r"^e/p/r: "):
        join_texts(raw, where="e/p/r")
    with pytest.raises(AnswerError, match=r"^(the rows|the answer|a row)"):
        join_texts(raw)


def test_rows_of_joined_texts():
    texts = ['{"a": NaN, "t": "x\ny"}', '{"a": 1e400, "t": "\\ud800"}', '{"a": 3, "z": [1]}']
    frame = decode_rows(join_texts(json.dumps(texts).encode()), {"a": F64, "t": TEXT}).frame
    assert str(frame["a"].to_list()) == "[nan, inf, 3.0]"
    assert frame["t"].to_list() == ["x\ny", "\ufffd", None]


# -- types -----------------------------------------------------------------------------------------


def test_types():
    rows = b"""[
        {"n": 1, "s": "x", "b": true, "z": null, "l": [1], "m": {"a": 1}, "h": {"_type": "histogram"}},
        {"n": "NaN", "s": "nan", "b": false, "z": 1, "l": [], "m": {"_type": 5}, "h": {"_type": "table-file"}},
        {"n": -Infinity, "s": "a\\u0062", "h": {"x": {"_type": "no"}}, "n2": "-Infinity"}
    ]"""
    assert infer_types(rows) == {
        "n": {"number": 3},
        "s": {"string": 3},
        "b": {"bool": 2},
        "z": {"nil": 1, "number": 1},
        "l": {"list": 2},
        "m": {"map": 2},
        "h": {"histogram": 1, "table-file": 1, "map": 1},
        "n2": {"number": 1},
    }
    assert infer_types(b"[]") == {}


@pytest.mark.parametrize("raw", [b"", b"null", b"{}", b"[null]", b'[{"a":1}', b"[1]"])
def test_types_of_what_is_no_list_of_rows(raw):
    with pytest.raises(AnswerError, match=r"^e/p/r: the (rows|answer) "):
        infer_types(raw, where="e/p/r")


# -- the parts -------------------------------------------------------------------------------------


def test_fits_float():
    assert fits_float(pl.Series([], dtype=F64))
    assert fits_float(pl.Series([None], dtype=F64))
    assert fits_float(pl.Series([math.nan, math.inf, -math.inf, 1.0]))
    assert not fits_float(pl.Series([math.inf, math.nan, -(2.0**53)]))
    assert not fits_float(pl.Series([math.nan, 2.0**53]))
    assert not fits_float(pl.Series([-(2.0**53), math.nan]))


def test_narrow():
    assert narrow(pl.Series([1.0, None, -0.0]), pl.Int16()).to_list() == [1, None, 0]
    assert narrow(pl.Series([math.nan]), I64) is None
    assert narrow(pl.Series([200.0]), pl.Int8()) is None
    assert narrow(pl.Series([math.inf, 1e30]), pl.Float32()).is_infinite().to_list() == [
        True,
        False,
    ]
    assert narrow(pl.Series([1e39]), pl.Float32()) is None
