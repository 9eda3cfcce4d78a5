"""The Parquet files of exported rows, read back with pyarrow."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbframe.server import Exports, FileFormat, History, synthetic
from wbframe.server.files.columns import file_table, parquet, values
from wbframe.server.projects.wire import spelled

BINS = {"_type": "histogram", "bins": [0.0, 0.5, 1.0], "values": [1, 2]}


def read_back(history, rows=None, **options):
    rows = range(len(history)) if rows is None else rows
    return pq.read_table(pa.BufferReader(parquet(history, rows, FileFormat(**options))))


@pytest.mark.parametrize(
    ("step", "kind"), [("int64", pa.int64()), ("float64", pa.float64()), ("float32", pa.float32())]
)
@pytest.mark.parametrize("made", [True, False])
def test_steps_have_the_type_asked(step, kind, made):
    history = synthetic(runs=1, rows=5, keys=1).runs[0].history if made else History([{}] * 5)
    table = read_back(history, step=step)
    assert table.schema.field("_step").type == kind
    assert table["_step"].to_pylist() == [0, 1, 2, 3, 4]


def test_numbers_texts_and_flags():
    history = History(
        [
            {"i": 1, "f": 1, "b": True, "t": "x", "n": None, "big": 2**63},
            {"i": -(2**63), "f": math.nan, "b": False, "t": "y", "n": None},
            {"i": 2**53 + 1, "f": math.inf, "b": None, "t": "x"},
        ]
    )
    table = read_back(history)
    kinds = {field.name: field.type for field in table.schema}
    assert kinds == {
        "i": pa.int64(),
        "f": pa.float64(),
        "b": pa.bool_(),
        "t": pa.string(),
        "n": pa.null(),
        "big": pa.float64(),
        "_step": pa.int64(),
    }
    assert table["i"].to_pylist() == [1, -(2**63), 2**53 + 1]
    f = table["f"].to_pylist()
    assert (f[0], math.isnan(f[1]), f[2]) == (1.0, True, math.inf)
    assert table["b"].to_pylist() == [True, False, None]
    assert table["big"].to_pylist() == [2.0**63, None, None]
    floats = read_back(history, numbers="float64", texts="dictionary")
    assert floats.schema.field("i").type == pa.float64()
    assert pa.types.is_dictionary(floats.schema.field("t").type)
    assert floats["t"].to_pylist() == ["x", "y", "x"]


def test_values_of_several_kinds():
    mixed = [1, "NaN", True, None, [1], {"_type": "x"}, 2.5]
    history = History({"m": value} for value in mixed)
    union = read_back(history)["m"]
    members = {"_type_number", "_type_string", "_type_bool", "_type_list", "_type_map"}
    assert {member.name for member in union.type} == members
    found = union.to_pylist()
    assert found[3] is None
    held = [
        [value for value in each.values() if value is not None]
        for each in found
        if each is not None
    ]
    assert held == [[1.0], ["NaN"], [True], [[1]], [{"_type": "x"}], [2.5]]
    binary = read_back(history, mixed="binary")["m"]
    assert binary.type == pa.binary()
    assert [each and json.loads(each) for each in binary.to_pylist()] == mixed


def test_objects_are_structs_or_json():
    history = History(
        [
            {
                "h": BINS,
                "l": [1.5, math.nan],
                "x": [1, "a"],
                "e": {},
                "z": [],
                "deep": {"a": {"b": 1}},
            },
            {"h": {**BINS, "values": [3]}, "l": [], "x": [], "e": {}, "z": []},
            {"h": None},
        ]
    )
    table = read_back(history)
    assert pa.types.is_struct(table.schema.field("h").type)
    assert table["h"].to_pylist() == [BINS, {**BINS, "values": [3]}, None]
    assert table.schema.field("l").type.value_type == pa.float64()
    assert table["deep.a.b"].to_pylist() == [1, None, None]
    for name in ("x", "e", "z"):
        assert table.schema.field(name).type == pa.binary()
    assert table["x"].to_pylist() == [b'[1,"a"]', b"[]", None]
    plain = read_back(history, objects="binary")
    assert json.loads(plain["h"][0].as_py()) == BINS
    assert json.loads(plain["l"][0].as_py()) == [1.5, "NaN"]


@pytest.mark.parametrize("made", [True, False])
def test_a_file_has_its_own_keys_or_all(made):
    if made:
        history = synthetic(runs=1, rows=12, keys=2, cadence=(1, 6)).runs[0].history
        often, rare = "metric/00", "metric/01"
    else:
        often, rare = "a", "b"
        history = History({"a": i, **({"b": None} if i % 6 == 0 else {})} for i in range(12))
    without = read_back(history, range(1, 5))
    assert often in without.column_names
    assert rare not in without.column_names
    assert rare in read_back(history, range(1, 5), columns="all").column_names
    assert rare in read_back(history, (2, 6)).column_names
    assert read_back(history, (2, 6))["_step"].to_pylist() == [2, 6]


@pytest.mark.parametrize("compression", ["zstd", "snappy", "none"])
def test_row_groups_compression_and_statistics(compression):
    history = synthetic(runs=1, rows=1000, keys=1).runs[0].history
    expected = {"zstd": "ZSTD", "snappy": "SNAPPY", "none": "UNCOMPRESSED"}[compression]
    written = FileFormat(compression=compression, row_group_rows=300, page_index=True)
    file = pq.ParquetFile(pa.BufferReader(parquet(history, range(1000), written)))
    groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [300, 300, 300, 100]
    step = groups[1].column(0)
    assert (step.path_in_schema, step.compression) == ("_step", expected)
    assert (step.statistics.min, step.statistics.max) == (300, 599)
    assert step.has_offset_index
    bare = FileFormat(statistics=False)
    without = pq.ParquetFile(pa.BufferReader(parquet(history, range(1000), bare)))
    assert not without.metadata.row_group(0).column(0).is_stats_set


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=3)
    | st.lists(st.integers(0, 3), max_size=2)
)


@given(
    st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), min_size=1, max_size=8),
    st.integers(0, 10_000),
)
def test_every_split_of_any_rows_reads_back(rows, seed):
    history = History(rows)
    export = Exports.scattered(seed).plan(history.steps)
    how = {"mixed": "binary", "objects": "binary"}
    found = {}
    for file in export.files:
        table = read_back(history, file.rows, **how)
        assert table["_step"].to_pylist() == [history.steps[row] for row in file.rows]
        found.update({row["_step"]: row for row in table.to_pylist()})
    for step, row in found.items():
        for key in "abc":
            value, logged = row.get(key), rows[step].get(key)
            if isinstance(value, bytes):  # JSON has no infinities but as text
                assert json.loads(value) == spelled(logged)
            elif isinstance(value, float):  # integers among fractions are floats
                assert value == float(logged)
            else:
                assert value == logged


def test_the_same_rows_are_the_same_bytes():
    history = History({"a": i, "t": str(i % 3), "h": BINS} for i in range(50))
    first = parquet(history, range(50), FileFormat())
    assert first.equals(parquet(history, range(50), FileFormat()))


def test_values_of_a_few_keys():
    history = History([{"a": 1}, {"b": 2}, {"a": None}])
    assert values(history, (0, 1, 2), ["a", "c"]) == {"a": [1, None, None], "c": [None] * 3}
    made = synthetic(runs=1, rows=4, keys=1).runs[0].history
    assert values(made, range(1, 3), ["_step", "c"]) == {"_step": [1, 2], "c": [None, None]}
    assert file_table(made, (1, 3), FileFormat(numbers="float64"))["_step"].to_pylist() == [1, 3]
