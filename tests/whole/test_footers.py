"""Files that are damaged, or made to hurt: one error that names the file, or right cells; no crash, no memory."""

from __future__ import annotations

import io
import math
import tracemalloc
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.lying import at_hand
from tests.scripts import run_script
from wbframe.core.decode.thrift import BINARY, I32, LIST, STRUCT, Fields
from wbframe.errors import AnswerError, SchemaMismatchError
from wbframe.io.read.files import read_file

NAME = "http://storage.example/r/0.parquet"


def written(rows=60, **options):
    """Give a file of columns of all kinds."""
    sink = io.BytesIO()
    numbers = range(rows)
    pq.write_table(
        pa.table(
            {
                "_step": numbers,
                "x": np.arange(rows) / 7,
                "t": [f"t{i % 7}" * (i % 5) for i in numbers],
                "l": [[i, i] for i in numbers],
                "o": [{"m": i, "n": str(i)} for i in numbers],
                "b": [i % 2 == 0 for i in numbers],
                "d": pa.array([str(i % 3) for i in numbers]).dictionary_encode(),
                "m": pa.array([[("a", i)] for i in numbers], pa.map_(pa.string(), pa.int64())),
                "w": [str(i).encode() for i in numbers],
            }
        ),
        sink,
        **options,
    )
    return sink.getvalue()


FILES = {
    "dictionaries": written(),
    "zstd, row groups, small pages": written(
        compression="zstd", row_group_size=20, data_page_size=64
    ),
    "plain, second version": written(
        compression="none", use_dictionary=False, data_page_version="2.0", write_page_index=True
    ),
    "prefixes": written(use_dictionary=False, column_encoding={"t": "DELTA_BYTE_ARRAY"}),
}


def read(content, columns=None, **window):
    return read_file(at_hand(content), columns, **window)


def told_or(content, columns=None, **window):
    """Read what is read, or must be an error that is told as it should be."""
    try:
        return read(content, columns, **window)
    except AnswerError as error:
        said = str(error)
    if NAME not in said or "\n" in said or "sig=" in said or len(said) > 500:
        raise AssertionError(said)
    return None


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_whole_are_read(name):
    table = read(FILES[name])
    assert table.num_rows == 60
    assert table["o.n"].to_pylist() == [str(i) for i in range(60)]


@pytest.mark.parametrize("groups", [0, 1])
def test_files_of_no_rows_are_read(groups):
    sink = io.BytesIO()
    batch = pa.record_batch([pa.array([], pa.int64()), pa.array([], pa.string())], ["_step", "x"])
    with pq.ParquetWriter(sink, batch.schema) as writer:
        for _ in range(groups):
            writer.write_batch(batch)
    assert read(sink.getvalue()).schema.names == ["_step", "x"]
    assert read(sink.getvalue(), [], min_step=3).num_rows == 0


# ---------------------------------------------------------------- bytes that are changed

changes = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from("=+-"), st.binary(min_size=1, max_size=8)
    ),
    min_size=1,
    max_size=4,
)


def changed(content, low, wanted):
    """Change, insert or take away bytes from some place on, but for the last eight."""
    content = bytearray(content)
    for where, how, new in wanted:
        end = len(content) - 8
        at = low + int(where * max(end - low, 0))
        until = {"=": at + len(new), "+": at, "-": at + len(new)}[how]
        content[at : min(until, end)] = b"" if how == "-" else new
    return bytes(content)


def with_length(content, start):
    """Tell the length of a footer that begins there."""
    return content[:-8] + (len(content) - 8 - start).to_bytes(4, "little") + b"PAR1"


def footer_of(content):
    """Give where a footer begins."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    changes,
    st.sampled_from([None, ["x"], ["t", "l"], ["o.m", "d"]]),
    st.sampled_from([{}, {"min_step": 10, "max_step": 15}]),
)
def test_footers_with_bytes_changed(name, wanted, columns, window):
    content = FILES[name]
    start = footer_of(content)
    told_or(with_length(changed(content, start, wanted), start), columns, **window)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FILES)), changes)
def test_files_with_bytes_changed(name, wanted):
    content = FILES[name]
    told_or(changed(content, 0, wanted))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(FILES)), st.floats(0, 1), st.floats(0, 1))
def test_files_that_are_cut(name, start, end):
    content = FILES[name]
    size = len(content)
    assume((start, end) != (0, 1))
    told_or(content[int(start * size) : int(end * size)])


@given(st.binary(max_size=60), st.integers(0, 2**32 - 1))
@example(b"", 0)
def test_any_bytes_as_a_footer(footer, length):
    told_or(footer)
    told_or(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    told_or(b"PAR1" + footer + length.to_bytes(4, "little") + b"PAR1")


# ---------------------------------------------------------------- what a footer says that is not so


def taken(content, start=0):
    """Read a struct as a list of (number, type, value)."""
    fields = Fields(content, start)

    def value(kind):
        if kind == STRUCT:
            return [(number, inner, value(inner)) for number, inner in fields.struct()]
        if kind == LIST:
            length, inner = fields.list()
            return inner, [value(inner) for _ in range(length)]
        if kind == BINARY:
            return fields.binary()
        if kind in {1, 2}:
            return None
        return fields.integer()

    return value(STRUCT)


def varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def zigzag(number):
    return varint((number << 1) if number >= 0 else (-number << 1) - 1)


def listed(kind, length):
    return bytes([0xF0 | kind]) + varint(length)


def spelled(kind, value):
    """Write a value."""
    if kind == STRUCT:
        return (
            b"".join(bytes([kind]) + zigzag(n) + spelled(kind, each) for n, kind, each in value)
            + b"\0"
        )
    if kind == LIST:
        inner, items = value
        return listed(inner, len(items)) + b"".join(spelled(inner, each) for each in items)
    if kind == BINARY:
        return varint(len(value)) + value
    return b"" if kind in {1, 2} else zigzag(value)


def filed(footer, before=b"PAR1" + b"\0" * 100):
    """Give a file with this footer."""
    return before + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def put(struct, *path, to):
    """Change a value below a struct: a number of a field, or the place of an item, at each step."""
    number, *rest = path
    if isinstance(struct, tuple):
        kind, items = struct
        items[number] = put(items[number], *rest, to=to) if rest else to(items[number])
        return kind, items
    return [
        (n, kind, (put(value, *rest, to=to) if rest else to(value)) if n == number else value)
        for n, kind, value in struct
    ]


def saying(*path, to, name="zstd, row groups, small pages"):
    """Give a file whose footer says something else."""
    content = FILES[name]
    start = footer_of(content)
    footer = put(taken(content, start), *path, to=to)
    return filed(spelled(STRUCT, footer), content[:start])


# Fields of a footer: https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
SCHEMA, ROWS, GROUPS = 2, 3, 4
COLUMNS, GROUP_ROWS, CHUNK = 1, 3, 3
VALUES, UNPACKED, PACKED, PLACE, DICTIONARY, STATISTICS = 5, 6, 7, 9, 11, 12
FIRST = (GROUPS, 0, COLUMNS, 0, CHUNK)
NUMBERS = [-1, 0, 1, 7, 19, 21, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63)]


def test_the_tools_of_these_tests_are_true():
    content = saying(ROWS, to=lambda rows: rows)
    assert read(content).equals(read(FILES["zstd, row groups, small pages"]))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("field", [VALUES, UNPACKED, PACKED, PLACE, DICTIONARY, 4, 1])
@pytest.mark.parametrize("leaf", [0, 2, 3])
def test_wrong_numbers_of_a_column_are_an_error_or_do_not_matter(leaf, field, number):
    right = read(FILES["zstd, row groups, small pages"])
    content = saying(GROUPS, 0, COLUMNS, leaf, CHUNK, field, to=lambda _: number)
    table = told_or(content)
    assert table is None or table.equals(right)


@pytest.mark.parametrize("number", [*NUMBERS, 60, 59, 61])
def test_rows_that_are_counted_wrongly_are_an_error(number):
    if number != 60:
        assert told_or(saying(ROWS, to=lambda _: number)) is None
    assert told_or(saying(GROUPS, 1, GROUP_ROWS, to=lambda _: number)) is None


@pytest.mark.parametrize("by", [-40, 40, 2**40])
def test_rows_that_both_counts_agree_on_are_still_counted(by):
    footer = taken(FILES["plain, second version"], footer_of(FILES["plain, second version"]))
    footer = put(footer, ROWS, to=lambda rows: rows + by)
    footer = put(footer, GROUPS, 0, GROUP_ROWS, to=lambda rows: rows + by)
    content = FILES["plain, second version"]
    assert told_or(filed(spelled(STRUCT, footer), content[: footer_of(content)])) is None


@pytest.mark.parametrize("ends", [(b"", b""), (b"\xff", b"\0" * 9), (b"\xff" * 8, b"\x7f" * 8)])
def test_statistics_that_are_none_cut_no_rows(ends):
    def other(statistics):
        return [
            (n, kind, ends[n % 2] if kind == BINARY else value) for n, kind, value in statistics
        ]

    content = FILES["zstd, row groups, small pages"]
    footer = taken(content, footer_of(content))
    for group in range(3):
        footer = put(footer, GROUPS, group, COLUMNS, 0, CHUNK, STATISTICS, to=other)
    content = filed(spelled(STRUCT, footer), content[: footer_of(content)])
    assert read(content, ["x"], min_step=25, max_step=26)["_step"].to_pylist()[20:40] == list(
        range(20, 40)
    )


KINDS = {
    pa.int8(): 100, pa.uint8(): 128, pa.int16(): 20_000, pa.uint16(): 2**15, pa.int32(): 2**30, pa.uint32(): 2**31,
    pa.int64(): 2**62, pa.uint64(): 2**63, pa.float32(): 0, pa.float64(): 0, pa.decimal128(12, 2): 0,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_window_has_its_rows_whatever_steps_are_made_of(kind):
    """Of which the sign, or the point, may stand elsewhere in what is stored."""
    steps = [KINDS[kind] - 20 + i for i in range(40)]
    values = list(map(Decimal, steps)) if pa.types.is_decimal(kind) else steps
    sink = io.BytesIO()
    pq.write_table(pa.table({"_step": pa.array(values, kind)}), sink, row_group_size=10)
    low, high = steps[18], steps[22]
    got = read(sink.getvalue(), [], min_step=low, max_step=high)["_step"].to_pylist()
    assert set(range(low, high)) <= {int(each) for each in got}
    if kind in {pa.int8(), pa.int64(), pa.float64()}:
        assert len(got) == 20


def test_a_part_with_fewer_columns_is_an_error():
    assert told_or(saying(GROUPS, 0, COLUMNS, to=lambda each: (each[0], each[1][:-1]))) is None
    assert told_or(saying(GROUPS, 0, COLUMNS, to=lambda each: (each[0], []))) is None
    twice = saying(GROUPS, 0, COLUMNS, to=lambda each: (each[0], each[1] * 2))
    assert told_or(twice) is None


def test_two_columns_of_one_name_are_an_error_that_names_it():
    sink = io.BytesIO()
    table = pa.Table.from_arrays(
        [pa.array([1]), pa.array([1.0]), pa.array([2.0])], ["_step", "x", "x"]
    )
    pq.write_table(table, sink)
    with pytest.raises(
        SchemaMismatchError, match="key 'x' holds two values in row 0, in two columns of one name"
    ) as caught:
        read(sink.getvalue())
    assert caught.value.key == "x"
    assert read(sink.getvalue(), []).to_pydict() == {"_step": [1]}


def test_a_column_whose_name_is_no_text_is_an_error():
    assert told_or(saying(SCHEMA, 2, 4, to=lambda _: b"\xff\xfe")) is None


# ---------------------------------------------------------------- footers that are made to hurt


def element(name, *, children=None, kind=None):
    """Spell an element of a schema."""
    told = [(1, I32, kind), (3, I32, 0), (4, BINARY, name), (5, I32, children)]
    return spelled(STRUCT, [each for each in told if each[2] is not None])


HEAD = b"\x15\x02"  # the version
LEAF = element(b"x", kind=1)
ROOT = b"\x19\x1c" + element(b"r", children=0)
NO_GROUPS = b"\x16\x00\x19\x0c\x00"
HURTING = {
    "a deep schema": HEAD
    + b"\x19"
    + listed(STRUCT, 100_002)
    + element(b"r", children=1) * 100_001
    + LEAF
    + NO_GROUPS,
    "a deep schema, the second one": HEAD
    + ROOT
    + bytes([LIST])
    + zigzag(2)
    + listed(STRUCT, 50_002)
    + element(b"r", children=1) * 50_001
    + LEAF
    + NO_GROUPS,
    "a deep value": HEAD + b"\x1c" * 100_000,
    "deep lists": HEAD + b"\x19" + b"\x19" * 100_000,
    "a long schema": HEAD + b"\x19" + listed(STRUCT, 999_999),
    "long parts": HEAD + ROOT + b"\x16\x00\x19" + listed(STRUCT, 999_999),
    "long columns": HEAD + ROOT + b"\x16\x00\x19\x1c\x19" + listed(STRUCT, 999_999),
    "a list of more than there are": HEAD + b"\x19" + listed(STRUCT, 2**62),
    "a text of more than there is": HEAD + ROOT + b"\x16\x00\x19\x0c\x28" + varint(2**62),
    "a long number": HEAD + b"\x16" + b"\xff" * 100_000,
    "a list of booleans": HEAD + b"\x19" + listed(1, 999_999),
}


def test_footers_that_are_made_to_hurt_take_little_memory():
    """In a process of its own, which they might end."""
    ended = run_script("""
import resource
import polars
from tests.lying import at_hand
from tests.whole.test_footers import HURTING, filed
from wbframe.io.read.files import read_file
from wbframe.errors import AnswerError
for name, footer in HURTING.items():
    content = filed(footer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read_file(at_hand(content), None)
    except AnswerError as error:
        megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        print(name, megabytes, error, sep="|", flush=True)
""")
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    told = [line.split("|") for line in ended.stdout.splitlines()]
    assert [name for name, *_ in told] == list(HURTING)
    assert all(NAME in said for *_, said in told)
    assert [name for name, megabytes, _ in told if int(megabytes) > 100] == []


def test_a_footer_that_would_take_more_than_the_limit_is_not_read():
    many = b"\x26\x00\x00" * 300_000
    columns = b"\x19" + listed(STRUCT, 300_000) + many
    footer = HEAD + ROOT + b"\x16\x00\x19\x1c" + columns + b"\x16\x00\x16\x00\x00\x00"
    file = at_hand(filed(footer), largest_answer=100_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(
            AnswerError, match=r"larger than `largest_answer`.*its footer alone may take"
        ):
            read_file(file, None)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_footer_that_is_said_to_be_long_is_not_even_asked_for():
    file = at_hand(
        b"\0" * 5_000_000 + (4_900_000).to_bytes(4, "little") + b"PAR1", largest_answer=10_000_000
    )
    with pytest.raises(AnswerError, match="its footer alone may take"):
        read_file(file, None)


# ---------------------------------------------------------------- pages


def pages_of(content, leaf=0):
    """Give where the pages of a column of the first row group begin."""
    footer = {n: value for n, _, value in taken(content, footer_of(content))}
    group = {n: value for n, _, value in footer[GROUPS][1][0]}
    column = {n: value for n, _, value in group[COLUMNS][1][leaf]}
    told = {n: value for n, _, value in column[CHUNK]}
    return min(told[PLACE], told.get(DICTIONARY, math.inf))


@pytest.mark.parametrize("field", [1, 2, 3])
@pytest.mark.parametrize("number", [-1, 0, 1, 2**20, 2**31 - 1])
@pytest.mark.parametrize("name", sorted(FILES))
def test_a_page_that_lies_of_its_size_is_an_error_or_does_not_matter(name, field, number):
    content = FILES[name]
    at = pages_of(content, 2)
    fields = Fields(content, at)
    fields.skip(STRUCT)
    head = spelled(STRUCT, put(taken(content, at), field, to=lambda _: number))
    # What follows moves, so that only this column is there; the rest is not asked for.
    moved = len(head) - (fields.at - at)
    file = content[:at] + head + content[fields.at :]
    start = footer_of(content) + moved
    footer = put(
        taken(content, footer_of(content)),
        GROUPS,
        0,
        COLUMNS,
        2,
        CHUNK,
        PACKED,
        to=lambda n: n + moved,
    )
    table = told_or(filed(spelled(STRUCT, footer), file[:start]), ["t"])
    assert table is None or table["t"].to_pylist() == read(content)["t"].to_pylist()
