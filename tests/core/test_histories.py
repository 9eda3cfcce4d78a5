"""Answers to history tasks: joining specs, checking guesses, putting runs together."""

from __future__ import annotations

import json

import msgspec
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbframe.core.histories.rows import (
    TaskRows,
    by_step,
    merge_rows,
    merge_runs,
    merge_specs,
    read_answer,
)
from wbframe.core.histories.tasks import Group, HistoryTask, RunRead
from wbframe.core.model import RunPath
from wbframe.core.protocol.rows import row_lists
from wbframe.core.schema.histories import HistorySchema
from wbframe.errors import AnswerError, RunNotFoundError

PATH = RunPath(entity="e", project="p")
KEYS = {"a": pl.Float64(), "b": pl.Float64()}
SCHEMA = HistorySchema(keys=KEYS, lead={"_step": pl.Int64()})


def frame(rows, *keys):
    return pl.DataFrame(
        rows, schema={"_step": pl.Int64, **dict.fromkeys(keys, pl.Float64)}, orient="row"
    )


# ---------------------------------------------------------------- joining specs


@st.composite
def rows_and_split(draw):
    """Rows at distinct steps, each with some keys, and a split of the keys into specs."""
    steps = draw(st.lists(st.integers(0, 60), unique=True, max_size=20))
    keys = ["a", "b", "c", "d"]
    rows = []
    for step in steps:
        held = draw(st.sets(st.sampled_from(keys)))
        rows.append(
            {
                "_step": step,
                **{key: draw(st.one_of(st.none(), st.floats(-9, 9))) for key in sorted(held)},
            }
        )
    shuffled = draw(st.permutations(keys))
    cuts = sorted(draw(st.sets(st.integers(1, 3))))
    split = [shuffled[i:j] for i, j in zip([0, *cuts], [*cuts, 4], strict=True)]
    return rows, split


@given(rows_and_split())
def test_the_union_of_any_split_of_rows_gives_the_rows_back(case):
    rows, split = case
    # A key of a group that a row lacks would keep the row from coming, so groups here are of single keys
    # or of keys that are null where the row lacks them.
    frames = []
    for group in split:
        held = [row for row in rows if any(key in row for key in group)]
        frames.append(
            frame([[row["_step"], *(row.get(key) for key in group)] for row in held], *group)
        )
    merged = merge_specs(frames)
    expected = sorted((row for row in rows if len(row) > 1), key=lambda row: row["_step"])
    got = merged.select("_step", "a", "b", "c", "d").to_dicts()
    assert got == [
        {"_step": row["_step"], **{key: row.get(key) for key in "abcd"}} for row in expected
    ]


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(-9, 9))))
def test_one_spec_is_itself_in_step_order_with_ties_as_they_came(rows):
    merged = merge_specs([frame(rows, "a")])
    assert merged.rows() == sorted(rows, key=lambda row: row[0])


def test_further_lead_columns_coalesce():
    left = pl.DataFrame({"_step": [0, 1], "x": [10, 11], "a": [1.0, 2.0]})
    right = pl.DataFrame({"_step": [1, 2], "x": [11, 12], "b": [3.0, 4.0]})
    assert merge_specs([left, right], ("_step", "x")).rows() == [
        (0, 10, 1.0, None),
        (1, 11, 2.0, 3.0),
        (2, 12, None, 4.0),
    ]


def test_rows_without_steps_stay_as_they_are():
    metrics = pl.DataFrame({"_runtime": [3.0, 1.0]})
    assert by_step(metrics) is metrics


# ---------------------------------------------------------------- answers


def task(*groups, **options):
    runs = (RunRead(ordinal=0, run_id="r0", groups=groups),)
    return HistoryTask(
        path=PATH, runs=runs, schema=SCHEMA, samples=options.pop("samples", 500), **options
    )


def answer(*lists, **runs):
    data = {"r0": {"sampledHistory": list(lists)}, **runs}
    return json.dumps({"data": {"project": data}}).encode()


def read(made, content):
    return read_answer(made, content, made.request())


def test_specs_are_joined():
    made = task(Group(keys=("a",), known=2), Group(keys=("b",), known=1))
    found = read(
        made, answer([{"_step": 0, "a": 1}, {"_step": 2.0, "a": "NaN"}], [{"_step": 1, "b": 5}])
    )
    assert str(found.frames[0].rows()) == "[(0, 1.0, None), (1, None, 5.0), (2, nan, None)]"
    assert (found.again, found.sampled) == (None, set())


def test_a_wrong_guess_is_asked_again_key_by_key():
    made = task(Group(keys=("a", "b"), known=4, proven=False))
    found = read(made, answer([{"_step": 0, "a": 1, "b": 1}]))
    assert not found.frames
    assert not found.sampled
    assert [group.keys for group in found.again.runs[0].groups] == [("a",), ("b",)]
    assert all(group.proven for group in found.again.runs[0].groups)


def test_a_right_guess_is_not():
    made = task(Group(keys=("a", "b"), known=1, proven=False))
    found = read(made, answer([{"_step": 0, "a": 1, "b": 1}]))
    assert found.again is None
    assert found.frames[0].height == 1


def test_a_step_twice_in_several_specs_reads_whole_rows():
    made = task(Group(keys=("a",), known=2), Group(keys=("b",), known=1), row_keys=("a", "b"))
    found = read(made, answer([{"_step": 0, "a": 1}, {"_step": 0, "a": 2}], [{"_step": 0, "b": 1}]))
    [again] = found.again.runs
    assert (again.field, again.groups) == ("history", ())
    assert "history(samples: $samples" in found.again.request().document
    rows = [
        json.dumps(row)
        for row in ({"_step": 0, "a": 1}, {"_step": 0, "x": 1}, {"_step": 0, "b": None})
    ]
    content = json.dumps({"data": {"project": {"r0": {"history": rows}}}}).encode()
    assert read(found.again, content).frames[0].select("_step", "a", "b").rows() == [
        (0, 1.0, None),
        (0, None, None),
    ]


def test_rows_with_all_keys_of_those_that_were_read_whole():
    runs = (RunRead(ordinal=0, run_id="r0", field="history"),)
    made = HistoryTask(
        path=PATH, runs=runs, schema=SCHEMA, samples=9, match_all=True, row_keys=("a", "b")
    )
    rows = [json.dumps(row) for row in ({"_step": 0, "a": 1}, {"_step": 1, "a": 1, "b": None})]
    content = json.dumps({"data": {"project": {"r0": {"history": rows}}}}).encode()
    assert read(made, content).frames[0].select("_step", "a", "b").rows() == [(1, 1.0, None)]


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (answer([]), AnswerError, r"run 'r0' of e/p: 2 specs were asked and 1 answered"),
        (answer(3, 4), AnswerError, "r0"),
        (
            b'{"data": {"project": {"r0": {"sampledHistory": 5}}}}',
            AnswerError,
            "sampledHistory is not a list",
        ),
        (
            b'{"data": {"project": {"r0": null}}}',
            RunNotFoundError,
            "Could not find run 'r0' in e/p",
        ),
        (b'{"data": {"project": {}}}', RunNotFoundError, "r0"),
    ],
)
def test_answers_that_are_wrong(content, error, message):
    with pytest.raises(error, match=message):
        read(task(Group(keys=("a",)), Group(keys=("b",))), content)


def test_a_null_answer_is_no_rows():
    assert row_lists(msgspec.Raw(b"null")) == []


def test_digits_that_are_lost_are_named():
    found = read(task(Group(keys=("a",))), answer([{"_step": 0, "a": 2**53 + 1}]))
    assert found.imprecise == {"a"}


# ---------------------------------------------------------------- sampled or not


@pytest.mark.parametrize(
    ("known", "came", "options", "sampled"),
    [
        (10, 10, {}, False),
        (9, 10, {}, False),
        (11, 10, {}, True),
        (None, 499, {}, False),
        (None, 500, {}, True),
        (None, 9_950, {"samples": 20_000}, True),
        (1000, 499, {"min_step": 5}, False),
        (1000, 500, {"max_step": 5}, True),
        (1000, 100, {"match_all": True}, False),
        (1000, 500, {"match_all": True}, True),
        (500, 500, {"match_all": True}, False),
    ],
)
def test_when_a_spec_may_have_been_sampled(known, came, options, sampled):
    assert task(**options).is_sampled("sampledHistory", known, came) is sampled


def test_when_machine_metrics_may_have_been_sampled():
    made = task(samples=5000)
    assert made.is_sampled("events", 1200, 999)
    assert made.is_sampled("events", None, 999)
    assert not made.is_sampled("events", 900, 900)
    assert not made.is_sampled("events", None, 10)


# ---------------------------------------------------------------- putting together


def test_the_later_reading_of_a_run_counts():
    old = TaskRows(
        frames={0: frame([(0, 1.0)], "a"), 1: frame([(0, 2.0)], "a")}, imprecise={"a"}, sampled={0}
    )
    new = TaskRows(
        frames={1: frame([(0, 3.0)], "a")},
        imprecise={"b"},
        new_keys={1: {"c": frozenset({"number"})}},
    )
    merged = merge_rows(old, new)
    assert merged is old
    assert merged.frames[1]["a"].to_list() == [3.0]
    assert (merged.imprecise, merged.sampled, list(merged.new_keys)) == ({"a", "b"}, {0}, [1])


@given(
    st.dictionaries(
        st.integers(0, 9),
        st.lists(
            st.dictionaries(st.integers(0, 6), st.floats(-1, 1), max_size=4), min_size=1, max_size=3
        ),
        max_size=5,
    )
)
def test_runs_are_joined_at_once_as_they_are_one_by_one(runs):
    """Runs of one, two or three specs, the second of which holds the axis of the first."""
    specs = {
        ordinal: [
            pl.DataFrame(
                {"_step": list(rows), "x": [step / 2 for step in rows], f"k{i}": [*rows.values()]},
                schema={"_step": pl.Int64, "x": pl.Float64, f"k{i}": pl.Float64},
            )
            for i, rows in enumerate(parts)
        ]
        for ordinal, parts in runs.items()
    }
    lead = ("_step", "x")
    one_by_one = {ordinal: merge_specs(frames, lead) for ordinal, frames in specs.items()}
    wanted = {ordinal: frame for ordinal, frame in one_by_one.items() if frame.height}
    found = merge_runs(specs, lead)
    assert found.keys() == wanted.keys()
    assert all(found[ordinal].equals(frame) for ordinal, frame in wanted.items())
