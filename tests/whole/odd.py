"""Columns in every type that Arrow has, each beside the JSON of the same values; and files that are damaged."""

from __future__ import annotations

import datetime as dt
import io
import uuid
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

DAY = dt.date(2024, 2, 29)
AT = 1_709_210_096  # 2024-02-29T12:34:56
BIG = 2**63 + 1
NAN = float("nan")


def text_of(content, kind=None):
    """Make text of bytes that nobody has looked at."""
    data = b"".join(content)
    ends = [sum(map(len, content[:i])) for i in range(len(content) + 1)]
    offsets = b"".join(each.to_bytes(4, "little") for each in ends)
    return pa.Array.from_buffers(
        kind or pa.string(), len(content), [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )


def extension(name, storage):
    """Make a column of one of Arrow's own extension types, or None where this Arrow has it not."""
    make = getattr(pa, name, None)
    return None if make is None else pa.ExtensionArray.from_storage(make(), storage)


class Odd(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.int64(), "tests.odd")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        return cls()


STRUCT = pa.struct([("_type", pa.string()), ("a", pa.int64()), ("b", pa.list_(pa.float32()))])
MIXED = pa.struct(
    [("_type_number", pa.float64()), ("_type_string", pa.string()), ("_type_list", pa.binary())]
)

# Name -> the column, and what a live row has in the place of each of its values.
SAME = {
    **{
        f"int{bits}": (pa.array([1, None, -5], getattr(pa, f"int{bits}")()), [1, None, -5])
        for bits in (8, 16, 32, 64)
    },
    **{
        f"uint{bits}": (
            pa.array([1, None, 2**bits - 1], getattr(pa, f"uint{bits}")()),
            [1, None, 2**bits - 1],
        )
        for bits in (8, 16, 32, 64)
    },
    "int64 at its ends": (
        pa.array([2**63 - 1, -(2**63), 2**53 + 1]),
        [2**63 - 1, -(2**63), 2**53 + 1],
    ),
    "one int64 beyond": (pa.array([1, 2, 2**63 - 1]), [1, 2, 2**63 - 1]),
    "uint64 that fit": (pa.array([2**63, 1, 2], pa.uint64()), [2**63, 1, 2]),
    "float16": (pa.array([1.5, None, NAN], pa.float32()).cast(pa.float16()), [1.5, None, NAN]),
    "float32": (pa.array([0.1, None, 2.5], pa.float32()), [0.10000000149011612, None, 2.5]),
    "float64": (pa.array([0.1, None, float("-inf")]), [0.1, None, float("-inf")]),
    "decimal128": (pa.array([Decimal("1.50"), None, Decimal("-0.25")]), [1.5, None, -0.25]),
    "decimal of integers": (
        pa.array([Decimal(BIG), None, Decimal(2**100)], pa.decimal128(38, 2)),
        [BIG, None, 2**100],
    ),
    "decimal256": (
        pa.array([Decimal(BIG), None, Decimal(2**200)], pa.decimal256(76, 0)),
        [BIG, None, 2**200],
    ),
    "bool": (pa.array([True, None, False]), [True, None, False]),
    "null": (pa.nulls(3), [None] * 3),
    "text": (pa.array(["a", None, "NaN"]), ["a", None, "NaN"]),
    "large text": (
        pa.array(["\x00", "", "\U0001f600"], pa.large_string()),
        ["\x00", "", "\U0001f600"],
    ),
    "text view": (pa.array(["a", None, "b" * 20], pa.string_view()), ["a", None, "b" * 20]),
    "JSON in bytes": (
        pa.array([b'{"b":1,"a":[1e5]}', None, b"NaN"], pa.binary()),
        [{"a": [1e5], "b": 1}, None, NAN],
    ),
    "JSON in large bytes": (pa.array([b" 1 ", None, b"null"], pa.large_binary()), [1, None, None]),
    "JSON in byte views": (pa.array([b'"a"', None, b"1.5"], pa.binary_view()), ["a", None, 1.5]),
    "JSON in equal bytes": (pa.array([b"[1]", None, b"123"], pa.binary(3)), [[1], None, 123]),
    "date32": (pa.array([DAY, None, DAY], pa.date32()), ["2024-02-29", None, "2024-02-29"]),
    "date64": (pa.array([DAY, None, DAY], pa.date64()), ["2024-02-29", None, "2024-02-29"]),
    "time32": (pa.array([3661, None, 0], pa.time32("s")), ["01:01:01", None, "00:00:00"]),
    "time64": (
        pa.array([1, None, 0], pa.time64("ns")),
        ["00:00:00.000000001", None, "00:00:00"],
    ),
    "seconds": (
        pa.array([AT, None, -1], pa.timestamp("s")),
        ["2024-02-29T12:34:56", None, "1969-12-31T23:59:59"],
    ),
    "milliseconds with a zone": (
        pa.array([AT * 10**3 + 7, None, 0], pa.timestamp("ms", "Asia/Tokyo")),
        ["2024-02-29T12:34:56.007+00:00", None, "1970-01-01T00:00:00+00:00"],
    ),
    "microseconds": (
        pa.array([AT * 10**6 + 7, None, 0], pa.timestamp("us", "UTC")),
        ["2024-02-29T12:34:56.000007+00:00", None, "1970-01-01T00:00:00+00:00"],
    ),
    "nanoseconds": (
        pa.array([AT * 10**9 + 7, None, 0], pa.timestamp("ns")),
        ["2024-02-29T12:34:56.000000007", None, "1970-01-01T00:00:00"],
    ),
    "duration": (pa.array([1500, None, -1], pa.duration("ms")), ["PT1.500S", None, "-PT0.001S"]),
    "list": (pa.array([[1, None], None, []]), [[1, None], None, []]),
    "list of text": (pa.array([["a"], None, ["\n"]]), [["a"], None, ["\n"]]),
    "large list": (pa.array([[0.5], None, []], pa.large_list(pa.float64())), [[0.5], None, []]),
    "equal lists": (
        pa.array([[0.5, NAN], None, [1.5, 2.5]], pa.list_(pa.float64(), 2)),
        [[0.5, NAN], None, [1.5, 2.5]],
    ),
    "list of lists": (pa.array([[[1], []], None, [None]]), [[[1], []], None, [None]]),
    "list of times": (
        pa.array([[AT, None], None, []], pa.list_(pa.timestamp("s"))),
        [["2024-02-29T12:34:56", None], None, []],
    ),
    "list of decimals": (pa.array([[Decimal("1.5")], None, []]), [[1.5], None, []]),
    "list of uint64": (pa.array([[BIG], None, []], pa.list_(pa.uint64())), [[BIG], None, []]),
    "list of float32": (
        pa.array([[0.1], None, []], pa.list_(pa.float32())),
        [[0.10000000149011612], None, []],
    ),
    "list of JSON": (pa.array([[b"1", b'"a"'], None, []]), [[1, "a"], None, []]),
    "list of null": (pa.array([[None], None, []], pa.list_(pa.null())), [[None], None, []]),
    "list of words": (
        pa.array([["a", "b"], None, ["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        [["a", "b"], None, ["a"]],
    ),
    "object": (
        pa.array([{"_type": "t", "a": BIG - 2, "b": [0.5]}, None, {"_type": "t"}], STRUCT),
        [{"_type": "t", "a": BIG - 2, "b": [0.5]}, None, {"_type": "t"}],
    ),
    "one of several": (
        pa.array([{"_type_number": 1.5}, {"_type_string": "a"}, {"_type_list": b"[1]"}], MIXED),
        [1.5, "a", [1]],
    ),
    "value beside its type": (
        pa.array([{"_type": "number", "_val": 2.5}, None, {"_type": "number", "_val": None}]),
        [2.5, None, None],
    ),
    "map": (
        pa.array([[("b", 1.5), ("a", None)], None, []], pa.map_(pa.string(), pa.float64())),
        [{"a": None, "b": 1.5}, None, {}],
    ),
    "map of numbers": (
        pa.array([[(1, "x")], None, []], pa.map_(pa.int64(), pa.string())),
        [{"1": "x"}, None, {}],
    ),
    "map of equal values": (
        pa.array([[("a", 1), ("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
        [{"a": 1}, None, {}],
    ),
    "list of maps": (
        pa.array([[[("a", 1)]], None, []], pa.list_(pa.map_(pa.string(), pa.int64()))),
        [[{"a": 1}], None, []],
    ),
    "words": (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    "words of numbers": (pa.array([BIG, None, 1], pa.uint64()).dictionary_encode(), [BIG, None, 1]),
    "words of times": (
        pa.array([AT, None, AT], pa.timestamp("s")).dictionary_encode(),
        ["2024-02-29T12:34:56", None, "2024-02-29T12:34:56"],
    ),
    "runs of a value": (pa.RunEndEncodedArray.from_arrays([2, 3], [1.5, None]), [1.5, 1.5, None]),
    "JSON": (
        extension("json_", pa.array(['{"a": 1}', None, '"x"'])),
        [{"a": 1}, None, "x"],
    ),
    "identifier": (
        extension("uuid", pa.array([uuid.UUID(int=7).bytes, None, None], pa.binary(16))),
        [str(uuid.UUID(int=7)), None, None],
    ),
    "bool8": (extension("bool8", pa.array([1, None, 0], pa.int8())), [True, None, False]),
    "somebody's type": (
        pa.ExtensionArray.from_storage(Odd(), pa.array([1, None, 3])),
        [1, None, 3],
    ),
}  # fmt: skip
SAME = {name: each for name, each in SAME.items() if each[0] is not None}

# Name -> a column that stands for nothing, and a word of what is said of it.
WRONG = {
    "text that is no UTF-8": (text_of([b"a", b"\xff", b"b"]), "UTF"),
    "text with a surrogate": (text_of([b"a", b"\xed\xa0\x80", b"b"]), "UTF"),
    "bytes of text": (pa.array([b"hello", None, b"1"], pa.binary()), "hello"),
    "bytes that are no UTF-8": (pa.array([b"\xff\xfe", None, b"1"], pa.binary()), "xff"),
    "empty bytes": (pa.array([b"", None, b"1"], pa.binary()), "no JSON"),
    "JSON without an end": (pa.array([b"[1", b"2]", b"3"], pa.binary()), "no JSON"),
    "two JSON in one": (pa.array([b"1,2", b"[3", b"4]"], pa.binary()), "no JSON"),
    "rows in a cell": (pa.array([b'1},{"x":2', None, b"3"], pa.binary()), "no JSON"),
    "JSON without end": (pa.array([b"[" * 100_000, None, b"3"], pa.binary()), "no JSON"),
    "deep JSON": (pa.array([b"[" * 100_000 + b"]" * 100_000, None, b"3"]), "no JSON"),
    "bytes of a number": (pa.array([b"ab", None, b"cd"], pa.binary(2)), "no JSON"),
    "a year beyond": (pa.array([2**62, None, 0], pa.timestamp("us")), "years"),
    "a day beyond": (pa.array([2**31 - 1, None, 0], pa.int32()).cast(pa.date32()), "days"),
    "a time beyond": (pa.array([10**8, None, 0], pa.int32()).view(pa.time32("s")), "24 hours"),
    "two values at once": (
        pa.array([{"_type_number": 1.5, "_type_string": "a"}, None, None], MIXED),
        "two values",
    ),
    "a map of two": (
        pa.array([[("a", 1), ("a", 2)], None, []], pa.map_(pa.string(), pa.int64())),
        "two values",
    ),
    "a list of text that is no UTF-8": (
        pa.ListArray.from_arrays([0, 1, 2, 3], text_of([b"a", b"\xff", b"b"])),
        "UTF",
    ),
    "words that are no UTF-8": (
        pa.DictionaryArray.from_arrays(pa.array([0, 1, 0], pa.int8()), text_of([b"a", b"\xff"])),
        "UTF",
    ),
}


def file_of(table, **options):
    """Write a file."""
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def beside_steps(column, steps=None):
    """Make a table of a column."""
    steps = pa.array(range(len(column))) if steps is None else steps
    return pa.Table.from_arrays([steps, column], names=["_step", "x"])


ROWS = 20_000


def _varint(number):
    """Spell a number as Thrift's compact protocol does."""
    left, found = number << 1, b""
    while left > 0x7F:
        found += bytes([left & 0x7F | 0x80])
        left >>= 7
    return found + bytes([left])


def of_other_height(place, rows):
    """Write a file of 20,000 rows in which one number of rows says another.

    Its places, as they stand in the file: pages of `_step` and of `x` (two each), then the footer.
    """
    table = pa.table({"_step": range(ROWS), "x": [float(i) for i in range(ROWS)]})
    content = bytearray(
        file_of(table, compression="none", use_dictionary=False, write_statistics=False)
    )
    mark, other = _varint(ROWS), _varint(rows)
    places = [i for i in range(len(content)) if content[i : i + len(mark)] == mark]
    assert len(places) == 10
    assert len(mark) == len(other)
    content[places[place] : places[place] + len(mark)] = other
    return bytes(content)
