"""Files that expand are refused before memory is taken, by limits that the caller can raise."""

from __future__ import annotations

import copy
import io
import json
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import wbframe
from tests.lying import at_hand
from tests.scripts import run_script
from wbframe.errors import AnswerError
from wbframe.io.read.files import read_file

MEGA = 1 << 20


def written(*tables, **options):
    """Give a file of a row group for each table."""
    sink = io.BytesIO()
    options = {"compression": "zstd", **options}
    with pq.ParquetWriter(sink, tables[0].schema, **options) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=1 << 30)
    return sink.getvalue()


def steps(rows):
    return np.arange(rows)


def same(rows, text):
    """Give a column of one text, that is stored once."""
    return pa.DictionaryArray.from_arrays(np.zeros(rows, "int32"), pa.array([text])).cast(
        pa.dictionary(pa.int32(), pa.string())
    )


def prefixed(rows, size):
    """Give texts of which each begins as the one before it."""
    return pa.array([f"{'x' * size}{i}" for i in range(rows)])


def zeros(rows):
    return np.zeros(rows, "int64")


LIMIT = 32 * MEGA
# Each would take more than its limit many times over, most of them more than this machine has.
BOMBS = {
    "rows of one step": lambda: written(*[pa.table({"_step": zeros(MEGA)})] * 60),
    "columns of one number": lambda: written(
        pa.table({"_step": zeros(MEGA), **{f"m{i}": zeros(MEGA) for i in range(140)}})
    ),
    "packed texts": lambda: written(
        *[pa.table({"_step": [0], "t": [" " * (2 * LIMIT)]})] * 4, use_dictionary=False
    ),
    "small packed texts": lambda: written(
        *[pa.table({"_step": [0] * 8, "t": [" " * MEGA] * 8})] * 20, use_dictionary=False
    ),
    "texts of a dictionary": lambda: written(
        pa.table({"_step": steps(MEGA), "t": same(MEGA, "x" * 100_000)})
    ),
    "one text too long for a dictionary": lambda: written(
        pa.table({"_step": steps(500), "t": same(500, "x" * LIMIT)})
    ),
    "lists of one number": lambda: written(
        pa.table({"_step": [0], "l": pa.ListArray.from_arrays([0, LIMIT], zeros(LIMIT))})
    ),
}
BY_DEFAULT = {"rows of one step", "columns of one number"}
# Only decoding tells how often a text is repeated, up to the limit.
DECODED = {"texts of a dictionary"}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_takes_little_memory(name, tmp_path):
    content = BOMBS[name]()
    assert len(content) < 4 * MEGA
    path = tmp_path / "bomb.parquet"
    path.write_bytes(content)
    options = {} if name in BY_DEFAULT else {"largest_answer": LIMIT}
    ended = run_script(f"""
import json, resource
import polars
from tests.lying import at_hand
from wbframe.io.read.files import read_file
from wbframe.errors import AnswerError
file = at_hand(open({str(path)!r}, "rb").read(), **{options})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_file(file, None)
    said = ""
except AnswerError as error:
    said = str(error)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([said, (after - before) * 1024]))
""")
    assert ended.returncode == 0, ended.stderr
    said, taken = json.loads(ended.stdout)
    assert "`largest_rows`" in said or "`largest_answer`" in said
    # Besides, modules are imported.
    assert taken < 48 * MEGA + (2 * LIMIT if name in DECODED else 0)


# ---------------------------------------------------------------- limits that are lower, and raised

ROWS = 3000
SMALL = {
    "numbers": (written(pa.table({"_step": steps(ROWS), "x": zeros(ROWS)})), 8 * 2 * ROWS),
    "texts": (
        written(pa.table({"_step": steps(ROWS), "x": ["ab" * 500] * ROWS}), use_dictionary=False),
        1000 * ROWS,
    ),
    "texts of a dictionary": (
        written(pa.table({"_step": steps(ROWS), "x": ["ab" * 500] * ROWS})),
        1000 * ROWS,
    ),
    "texts of several dictionaries": (
        written(*[pa.table({"_step": steps(300), "x": ["ab" * 500] * 300})] * 10),
        1000 * ROWS,
    ),
    "dictionaries": (
        written(pa.table({"_step": steps(ROWS), "x": same(ROWS, "ab" * 500)})),
        1000 * ROWS,
    ),
    "texts that share their beginnings": (
        written(
            pa.table({"_step": steps(ROWS), "x": prefixed(ROWS, 1000)}),
            use_dictionary=False,
            column_encoding={"x": "DELTA_BYTE_ARRAY"},
        ),
        1000 * ROWS,
    ),
    "lists of texts": (
        written(pa.table({"_step": steps(ROWS), "x": [["ab" * 500]] * ROWS})),
        1000 * ROWS,
    ),
    "objects": (
        written(pa.table({"_step": steps(ROWS), "x": [{"_type": "a", "b": "ab" * 500}] * ROWS})),
        1000 * ROWS,
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_the_caller_can_raise_the_limit(name):
    content, size = SMALL[name]
    with pytest.raises(
        AnswerError, match=r"r/0\.parquet is larger than `largest_answer`"
    ) as caught:
        read_file(at_hand(content, largest_answer=size // 2), None)
    said = str(caught.value)
    assert "pass wbframe.Client(largest_answer=...)" in said
    assert "sig=" not in said
    table = read_file(at_hand(content, largest_answer=size * 2), None)
    assert table.num_rows == ROWS
    whole = read_file(at_hand(content), None)
    assert table.to_pylist() == whole.to_pylist()
    truth = pq.read_table(io.BytesIO(content)).to_pydict()
    assert {name: list(map(opened, whole[name].to_pylist())) for name in truth} == truth


def opened(value):
    """Objects come as JSON."""
    return json.loads(value) if isinstance(value, bytes) else value


def test_one_long_text_among_many_short_ones_is_no_bomb():
    """What texts of a dictionary take is counted as they are decoded, where the longest of each would be too much."""
    texts = [f"t{i % 7}" for i in range(ROWS)]
    texts[77] = "x" * 20_000
    content = written(pa.table({"_step": steps(ROWS), "x": texts}))
    table = read_file(at_hand(content, largest_answer=3_000_000), None)
    assert table["x"].to_pylist() == texts
    assert table["_step"].to_pylist() == list(range(ROWS))


def test_keys_that_are_not_read_do_not_count():
    content = SMALL["texts"][0]
    assert read_file(at_hand(content, largest_answer=1000 * ROWS), []).num_columns == 1


def test_rows_are_counted_before_they_are_decoded():
    content = written(
        *[pa.table({"_step": steps(100) + 100 * i, "x": zeros(100)}) for i in range(5)]
    )
    with pytest.raises(
        AnswerError,
        match=r"has 500 rows to read, more than `largest_rows` \(499\): .*wbframe.Client\(largest_rows=500\)",
    ):
        read_file(at_hand(content, largest_rows=499), None)
    assert read_file(at_hand(content, largest_rows=500), None).num_rows == 500
    window = read_file(at_hand(content, largest_rows=100), None, min_step=150, max_step=160)
    assert window["_step"].to_pylist() == list(range(100, 200))


def test_a_client_that_is_copied_or_pickled_has_the_same_limits():
    client = wbframe.Client("http://127.0.0.1:1", largest_rows=7)
    assert pickle.loads(pickle.dumps(client)).largest_rows == 7
    assert copy.copy(client).largest_rows == 7


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "many", None])
def test_a_limit_of_no_rows_is_a_usage_error(wrong):
    with pytest.raises(wbframe.errors.UsageError, match="`largest_rows` must be a whole number"):
        wbframe.Client("http://127.0.0.1:1", largest_rows=wrong)
