"""A column of any type is read as a live row of the same values is, or is one error that names file and key."""

from __future__ import annotations

import datetime as dt
import json
import math
import warnings

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wbframe
from tests.whole import odd
from tests.whole.truth import PATH, project_of
from wbframe.core.decode.leaves import leaf_columns, leaves, types_in
from wbframe.core.decode.parquet import promised_column, promised_frame
from wbframe.core.decode.rows import decode_rows
from wbframe.errors import AnswerError, PrecisionWarning, SchemaMismatchError
from wbframe.server import Exports, Features, History, RunRecord

DTYPES = [
    pl.Float64(), pl.Float32(), pl.String(), pl.Int64(), pl.UInt64(), pl.Int8(), pl.Int128(), pl.Boolean(), pl.Date(),
    pl.Decimal(38, 2), pl.Datetime("us", "UTC"), pl.List(pl.Float64()), pl.List(pl.Int64()), pl.List(pl.String()),
    pl.Struct({"a": pl.Int64(), "b": pl.List(pl.Float64())}),
]  # fmt: skip


def came(read):
    """Give what came, in a form in which NaN equals NaN, or that it did not fit."""
    told = None
    try:
        frame, lost = read()
    except SchemaMismatchError as error:
        told = error
    if told is not None:
        return told.key, str(told).isprintable()
    return repr(frame["x"].to_list()), frame["x"].dtype, bool(lost)


def live(values, dtype, *, lenient=False):
    """Read values as rows of the API have them."""
    rows = json.dumps([{"x": value} for value in values]).encode()

    def read():
        names = ["x"] if lenient else []
        decoded = decode_rows(rows, {"x": dtype}, where="it", lenient=names)
        return decoded.frame, decoded.imprecise

    return came(read)


def exported(table, dtype, *, lenient=False):
    """Read the column of a file."""

    def read():
        names = ["x"] if lenient else []
        plain = leaf_columns(table, ["x"], where="it")
        return promised_frame(plain, {"x": dtype}, where="it", lenient=names)

    return came(read)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("name", odd.SAME)
def test_a_column_of_any_type_gives_what_live_rows_give(name, lenient):
    column, values = odd.SAME[name]
    for dtype in DTYPES:
        got = exported(pa.table({"x": column}), dtype, lenient=lenient)
        want = live(values, dtype, lenient=lenient)
        assert got == want, dtype


@pytest.mark.parametrize("name", odd.SAME)
def test_a_part_of_a_column_is_that_part(name):
    column, values = odd.SAME[name]
    chunks = pa.chunked_array([column.slice(1, 2), column.slice(0, 0), column.slice(0, 1)])
    got = exported(pa.table({"x": chunks}), pl.String())
    assert got == live([*values[1:], values[0]], pl.String())
    assert exported(pa.table({"x": column.slice(3)}), pl.String()) == ("[]", pl.String(), False)


@pytest.mark.parametrize("name", odd.WRONG)
def test_what_stands_for_nothing_is_told(name):
    column, word = odd.WRONG[name]
    with pytest.raises(SchemaMismatchError, match=word) as caught:
        leaf_columns(pa.table({"x": column}), ["x"], where="the file f")
    assert str(caught.value).startswith("the file f: key 'x' holds ")
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_a_type_that_json_has_no_spelling_for_is_told():
    column = pa.array([pa.MonthDayNano([1, 2, 3])])
    with pytest.raises(SchemaMismatchError, match="month_day_nano"):
        leaf_columns(pa.table({"x": column}), ["x"], where="f")
    union = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2])] * 2)
    with pytest.raises(SchemaMismatchError, match="union"):
        leaf_columns(pa.table({"x": union}), ["x"], where="f")


# ---------------------------------------------------------------- the same values in any spelling

wholes = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53, 2**53 + 1, -(2**63), 0])
texts = st.text(max_size=5) | st.sampled_from(["NaN", "1", "", "\x00", "[1]"])
maybe = lambda each: st.none() | each  # noqa: E731

# A strategy of values, and the types of Arrow that hold all of them.
KINDS = [
    (maybe(st.integers(-128, 127)), [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.decimal128(5, 2)]),
    (maybe(st.integers(0, 2**64 - 1)), [pa.uint64(), pa.decimal128(38, 0), pa.decimal256(60, 3)]),
    (maybe(wholes), [pa.int64(), pa.decimal128(30, 0), pa.decimal256(40, 1)]),
    (maybe(st.booleans()), [pa.bool_()]),
    (maybe(st.floats(width=16)), [pa.float32(), pa.float64()]),
    (maybe(texts), [pa.string(), pa.large_string(), pa.string_view()]),
    (maybe(st.lists(maybe(st.integers(0, 255)), max_size=3)), [pa.list_(pa.uint8()), pa.large_list(pa.int64())]),
    (maybe(st.dictionaries(texts, st.booleans(), max_size=2)), [pa.map_(pa.string(), pa.bool_())]),
]  # fmt: skip


@st.composite
def spelled(draw):
    """Some values, and a column of them in a type that holds them all, as it is or coded in some way."""
    values, types = draw(st.sampled_from(KINDS))
    listed = draw(st.lists(values, max_size=6))
    kind = draw(st.sampled_from(types))
    rows = [list(each.items()) if isinstance(each, dict) else each for each in listed]
    column = pa.array(rows, kind)
    way = draw(st.sampled_from(["plain", "json", "alternatives", "dictionary", "chunks"]))
    if way == "json":
        cells = [None if each is None else json.dumps(each).encode() for each in listed]
        column = pa.array(cells, draw(st.sampled_from([pa.binary(), pa.large_binary()])))
    elif way == "alternatives":
        members = [column, pa.nulls(len(column), pa.string())]
        column = pa.StructArray.from_arrays(members, ["_type_one", "_type_other"])
    elif way == "dictionary" and not pa.types.is_nested(kind) and kind != pa.string_view():
        column = column.dictionary_encode()
    elif way == "chunks":
        at = draw(st.integers(0, len(column)))
        column = pa.chunked_array([column.slice(0, at), column.slice(at)])
    return listed, column


@given(spelled(), st.sampled_from(DTYPES), st.booleans())
@settings(max_examples=400, deadline=None)
def test_equal_values_are_read_alike_in_any_spelling(both, dtype, lenient):
    values, column = both
    got = exported(pa.table({"x": column}), dtype, lenient=lenient)
    assert got == live(values, dtype, lenient=lenient)


# ---------------------------------------------------------------- several columns for one key


def table_of(columns):
    return pa.Table.from_arrays(
        [pa.array(each) for _, each in columns], names=[name for name, _ in columns]
    )


def test_columns_of_one_name_are_put_together_where_they_agree():
    table = table_of([("x", [1, None, 3, None]), ("y", [0] * 4), ("x", [1.0, 2.5, None, None])])
    assert leaves(table.schema) == {"x": ((0,), (2,)), "y": ((1,),)}
    got, _ = promised_frame(
        leaf_columns(table, ["x"], where=""), {"x": pl.Float64()}, where="", lenient=()
    )
    assert got["x"].to_list() == [1.0, 2.5, 3.0, None]


def test_nested_columns_of_one_name_are_put_together_where_they_agree():
    table = table_of([("a.b", [1, None]), ("a", [{"b": None}, {"b": 2}])])
    got = leaf_columns(table, ["a.b"], where="")
    assert got["a.b"].to_pylist() == [b"1", b"2"]
    inner = pa.StructArray.from_arrays([pa.array([1, None]), pa.array([None, 2])], ["b", "b"])
    assert leaf_columns(pa.table({"a": inner}), ["a.b"], where="")["a.b"].to_pylist() == [
        b"1",
        b"2",
    ]
    media = pa.StructArray.from_arrays(
        [pa.array(["t", "t"]), pa.array([1, None]), pa.array([None, 2])], ["_type", "b", "b"]
    )
    [first, second] = leaf_columns(pa.table({"m": media}), ["m"], where="")["m"].to_pylist()
    assert json.loads(first) == {"_type": "t", "b": 1}
    assert json.loads(second) == {"_type": "t", "b": 2}


@pytest.mark.parametrize(
    "columns",
    [
        [("x", [1, 2]), ("x", [1, 3])],
        [("x", ["1", None]), ("x", [1, None])],
        [("x.y", [1, 2]), ("x", [{"y": 1}, {"y": 3}])],
    ],
)
def test_columns_of_one_name_that_differ_are_told(columns):
    key = columns[0][0]
    with pytest.raises(SchemaMismatchError, match=r"two values in row \d, in two columns") as told:
        leaf_columns(table_of(columns), [key], where="f")
    assert told.value.key == key


def test_names_that_differ_in_case_are_two():
    table = table_of([("x", [1]), ("X", [2])])
    assert leaf_columns(table, ["x", "X"], where="").to_pydict() == {"x": [1], "X": [2]}


def test_types_are_those_of_the_values():
    table = pa.table({name: column for name, (column, _) in odd.SAME.items()})
    found = types_in(table.schema)
    assert found["uint64"] == found["decimal256"] == found["words of numbers"] == {"number"}
    assert found["words"] == found["large text"] == {"string"}
    assert found["bool"] == {"bool"}
    assert found["null"] == {"nil"}
    assert found["seconds"] == {"json"}


# ---------------------------------------------------------------- through a server


def serve_file(serving, content, values=(1.0,) * 3, features=None):
    """Serve a file in the place of that of a run, which has logged other values."""
    history = History([{"x": value} for value in values])
    run = RunRecord(name="r", history=history, exports=Exports.all())
    options = {} if features is None else {"features": features}
    server, client = serving(project_of(run), **options)
    server.fail(where="storage", status=200, body=content, times=9)
    return client


def fits(name):
    """Tell whether Parquet has a column's type."""
    try:
        odd.file_of(odd.beside_steps(odd.SAME[name][0]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


WRITTEN = [name for name in odd.SAME if fits(name)]


# An object without a `_type` is keys, with dots, in live rows and in structs.
ONE_KEY = [
    name
    for name in WRITTEN
    if all("_type" in each for each in odd.SAME[name][1] if isinstance(each, dict))
]


@pytest.mark.parametrize("name", ONE_KEY)
def test_whole_histories_of_any_column_are_those_of_live_rows(serving, name):
    column, values = odd.SAME[name]
    run = RunRecord(name="r", history=History([{"x": each} for each in values]))
    _, of_rows = serving(project_of(run))
    of_file = serve_file(serving, odd.file_of(odd.beside_steps(column)), values)
    frames, told = [], []
    for client in (of_rows, of_file):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            got = pl.read_wandb_histories(PATH, samples=None, keys=["x"], client=client)
        frames.append(got)
        told.append([each.category for each in caught])
    assert frames[0].dtypes == frames[1].dtypes
    assert repr(frames[0].rows()) == repr(frames[1].rows())
    assert told[0] == told[1]


def test_an_integer_beyond_int64_is_exact_by_override_and_told_else(serving):
    values = [2**63 + 1, 2**64 - 1, 3]
    content = odd.file_of(odd.beside_steps(pa.array(values, pa.uint64())))
    for dtype in (pl.UInt64, pl.Int128):
        client = serve_file(serving, content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = pl.read_wandb_histories(
                PATH, samples=None, schema_overrides={"x": dtype}, client=client
            )
        assert got["x"].to_list() == values
        lazy = pl.scan_wandb_histories(
            PATH, samples=None, schema_overrides={"x": dtype}, client=serve_file(serving, content)
        )
        assert lazy.collect()["x"].to_list() == values
    with pytest.warns(PrecisionWarning, match="'x'"):
        got = pl.read_wandb_histories(PATH, samples=None, client=serve_file(serving, content))
    assert got["x"].to_list() == [float(each) for each in values]
    table = wbframe.arrow.read_histories(
        PATH, samples=None, schema_overrides={"x": pl.Int128}, client=serve_file(serving, content)
    )
    assert [int(each) for each in table["x"].to_pylist()] == values


@pytest.mark.parametrize("name", odd.WRONG)
def test_a_column_that_cannot_be_told_names_file_and_key(serving, name):
    content = odd.file_of(odd.beside_steps(odd.WRONG[name][0]), store_schema=True)
    client = serve_file(serving, content)
    for read in (
        lambda: pl.read_wandb_histories(PATH, samples=None, client=client),
        lambda: pl.scan_wandb_histories(PATH, samples=None, client=client).collect(),
        lambda: wbframe.pandas.read_histories(PATH, samples=None, client=client),
    ):
        with pytest.raises(SchemaMismatchError, match=r"/0\.parquet.*'x'") as told:
            read()
        assert told.value.key == "x"
        assert "?" not in str(told.value)
        assert "\n" not in str(told.value)


def test_one_bad_column_does_not_keep_others_from_being_read(serving):
    table = odd.beside_steps(odd.WRONG["text that is no UTF-8"][0]).append_column(
        "y", pa.array([1.0, 2.0, 3.0])
    )
    run = RunRecord(name="r", history=History([{"x": "a", "y": 1.0}] * 3), exports=Exports.all())
    server, client = serving(project_of(run))
    server.fail(where="storage", status=200, body=odd.file_of(table), times=9)
    got = pl.read_wandb_histories(PATH, samples=None, keys=["y"], client=client)
    assert got["y"].to_list() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("place", range(10))
@pytest.mark.parametrize("rows", [odd.ROWS - 1, odd.ROWS + 1])
def test_columns_of_other_heights_are_whole_or_told(serving, place, rows):
    client = serve_file(serving, odd.of_other_height(place, rows), [1.0] * odd.ROWS)
    told = None
    try:
        got = pl.read_wandb_histories(PATH, samples=None, client=client)
    except AnswerError as error:
        told = error
    if told is None:
        assert got["x"].to_list() == [float(i) for i in range(odd.ROWS)]
        return
    assert "0.parquet" in str(told)
    assert getattr(told, "key", "x") in {"x", "_step"}


def test_times_of_96_bits_are_told_rather_than_turned_around(serving):
    column = pa.array([dt.datetime(3000, 1, 1)] * 3, pa.timestamp("us"))  # noqa: DTZ001
    content = odd.file_of(odd.beside_steps(column), use_deprecated_int96_timestamps=True)
    with pytest.raises(SchemaMismatchError, match="INT96"):
        pl.read_wandb_histories(PATH, samples=None, client=serve_file(serving, content))


def test_a_key_of_two_types_in_two_files_is_text_in_both(serving):
    rows = [{"x": step} for step in range(4)]
    run = RunRecord(name="r", history=History(rows), exports=Exports.all(2))
    server, client = serving(project_of(run))
    steps = pa.array([2, 3])
    other = odd.file_of(odd.beside_steps(pa.array(["a", "b"]), steps))
    server.fail(where="storage", status=200, body=other, match="1.parquet", times=2)
    got = pl.read_wandb_histories(PATH, samples=None, client=client)
    assert got["x"].to_list() == ["0", "1", "a", "b"]
    assert got["_step"].to_list() == [0, 1, 2, 3]


def test_a_key_that_the_second_file_lacks_is_null_there(serving):
    rows = [{"x": step} for step in range(4)]
    run = RunRecord(name="r", history=History(rows), exports=Exports.all(2))
    server, client = serving(project_of(run))
    other = odd.file_of(pa.table({"_step": [2, 3]}))
    server.fail(where="storage", status=200, body=other, match="1.parquet", times=2)
    got = pl.read_wandb_histories(PATH, samples=None, client=client)
    assert got["x"].to_list() == [0.0, 1.0, None, None]


STEPS = {
    "float64": pa.array([0.0, 1.0, 2.0]),
    "int32": pa.array([0, 1, 2], pa.int32()),
    "uint64": pa.array([0, 1, 2], pa.uint64()),
    "text": pa.array(["0", "1", "2"]),
    "words": pa.array([0, 1, 2]).dictionary_encode(),
    "decimals": pa.array([0, 1, 2], pa.decimal128(5, 2)),
    "JSON": pa.array([b"0", b"1.0", b"2"]),
}


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_any_type_are_steps(serving, name):
    content = odd.file_of(odd.beside_steps(pa.array([1.0, 2.0, 3.0]), STEPS[name]))
    client = serve_file(serving, content)
    got = pl.read_wandb_histories(PATH, samples=None, client=client)
    assert got["_step"].to_list() == [0, 1, 2]
    got = pl.read_wandb_histories(PATH, samples=None, min_step=1, max_step=2, client=client)
    assert got["x"].to_list() == [2.0]


@pytest.mark.parametrize(
    "steps",
    [
        pa.array([0.0, math.nan, 2.0]),
        pa.array([0.0, 0.5, 2.0]),
        pa.array([0, 1, 2**63], pa.uint64()),
        pa.array([0, 1, 2], pa.timestamp("ms")),
        pa.array(["a", "b", "c"]),
        pa.array([[0], [1], [2]]),
        pa.nulls(3),
        pa.nulls(3, pa.int64()),
    ],
    ids=str,
)
def test_what_is_no_step_is_told(serving, steps):
    content = odd.file_of(odd.beside_steps(pa.array([1.0, 2.0, 3.0]), steps))
    for bounds in ({}, {"min_step": 0, "max_step": 9}):
        client = serve_file(serving, content)
        with pytest.raises(AnswerError, match="_step") as told:
            pl.read_wandb_histories(PATH, samples=None, client=client, **bounds)
        assert "0.parquet" in str(told.value)
        assert "\n" not in str(told.value)


def test_two_columns_of_steps_are_one_where_they_agree(serving):
    x, steps = pa.array([1.0, 2.0, 3.0]), pa.array([0, 1, 2])
    names = ["_step", "_step", "x"]
    same = pa.Table.from_arrays([steps, steps, x], names=names)
    client = serve_file(serving, odd.file_of(same))
    got = pl.read_wandb_histories(PATH, samples=None, min_step=1, client=client)
    assert got["_step"].to_list() == [1, 2]
    other = pa.Table.from_arrays([steps, pa.array([5, 6, 7]), x], names=names)
    with pytest.raises(SchemaMismatchError, match="two values") as told:
        pl.read_wandb_histories(PATH, samples=None, client=serve_file(serving, odd.file_of(other)))
    assert told.value.key == "_step"


# ---------------------------------------------------------------- the drop-in

SILENT = Features(history_serves_exported=False)


@pytest.mark.parametrize("name", WRITTEN)
def test_the_drop_in_gives_the_values_of_any_column(serving, name):
    column, values = odd.SAME[name]
    content = odd.file_of(odd.beside_steps(column, pa.array([0, 1, 2])))
    client = serve_file(serving, content, features=SILENT)
    for ask in ("scan_history", "beta_scan_history"):
        rows = list(getattr(wbframe.Runs(client, "wbframe", "p")[0], ask)())
        assert [row["_step"] for row in rows] == [0, 1, 2]
        want = [each for each in values if each is not None]
        got = [row["x"] for row in rows if "x" in row]
        assert json.dumps(got, sort_keys=True) == json.dumps(want, sort_keys=True)


@pytest.mark.parametrize("name", odd.WRONG)
def test_the_drop_in_names_the_file_and_the_key_of_a_column_that_cannot_be_told(serving, name):
    content = odd.file_of(odd.beside_steps(odd.WRONG[name][0], pa.array([0, 1, 2])))
    client = serve_file(serving, content, features=SILENT)
    with pytest.raises(SchemaMismatchError, match=r"/0\.parquet.*'x'"):
        list(wbframe.Runs(client, "wbframe", "p")[0].scan_history())


def test_the_drop_in_tells_of_rows_without_a_step(serving):
    steps = pa.array([0, None, 2])
    content = odd.file_of(odd.beside_steps(pa.array([1.0, 2.0, 3.0]), steps))
    client = serve_file(serving, content, features=SILENT)
    with pytest.raises(SchemaMismatchError, match="'_step' holds None"):
        list(wbframe.Runs(client, "wbframe", "p")[0].scan_history())


# ---------------------------------------------------------------- what polars hands over


def test_a_series_of_polars_is_read_as_the_column_that_it_came_from():
    words = pl.Series("x", ["a", None], dtype=pl.Categorical())
    assert promised_column(words, pl.String(), where="")[0].to_list() == ["a", None]
    inner = pl.Series("x", [{"a": 1, "b": None}, None])
    assert promised_column(inner, pl.String(), where="")[0].to_list() == ['{"a":1}', None]
    fixed = pl.Series("x", [[1.0, 2.0]], dtype=pl.Array(pl.Float64, 2))
    assert promised_column(fixed, pl.List(pl.Int64()), where="")[0].to_list() == [[1, 2]]
