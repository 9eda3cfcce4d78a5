"""Plans: which keys share a spec, which runs share a request, and what is looked at."""

from __future__ import annotations

import pickle

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbframe.core.filters import EMPTY
from wbframe.core.hints import MOST_LOOKED_AT
from wbframe.core.histories.entries import RunEntry, index_of
from wbframe.core.histories.tasks import (
    RUNS_PER_REQUEST,
    Group,
    RunRead,
    group_keys,
    history_tasks,
    run_read,
    runs_to_look_at,
    split_groups,
)
from wbframe.core.model import HistoryScan, RunPath, Selection
from wbframe.core.schema.histories import HistorySchema, history_schema

PATH = RunPath(entity="e", project="p")
OTHER = RunPath(entity="e", project="q")


def scan(**options):
    return HistoryScan(selection=Selection(paths=(PATH,), filters=EMPTY), **options)


def entry(counts, *, lines=100, ordinal=0, ended=True, path=PATH, kind="number"):
    keys = None if counts is None else {key: {kind: count} for key, count in counts.items()}
    return RunEntry(
        ordinal=ordinal, path=path, run_id=f"r{ordinal}", ended=ended, line_count=lines, keys=keys
    )


def groups(counts, keys, *, lines=100, ended=True, **options):
    made = group_keys(
        scan(keys=tuple(keys), **options), entry(counts, lines=lines, ended=ended), keys
    )
    return [(group.keys, group.proven) for group in made]


# ---------------------------------------------------------------- which keys share a spec


def test_keys_of_every_row_share_a_spec():
    made = groups({"a": 100, "b": 100, "c": 10}, ["a", "b", "c"])
    assert [keys for keys, _ in made] == [("a", "b"), ("c",)]


def test_equal_counts_share_a_spec_that_is_checked():
    assert (("a", "b"), False) in groups({"a": 10, "b": 10, "c": 7}, ["a", "b", "c"])
    assert (("c",), True) in groups({"a": 10, "b": 10, "c": 7}, ["a", "b", "c"])


@pytest.mark.parametrize(
    "options", [{"samples": 5}, {"min_step": 3}, {"max_step": 3}, {"ended": False}]
)
def test_what_could_not_be_checked_is_not_guessed(options):
    assert groups({"a": 10, "b": 10}, ["a", "b"], **options) == [(("a",), True), (("b",), True)]


def test_keys_that_the_run_never_logged_have_no_spec():
    assert groups({"a": 10}, ["a", "b"]) == [(("a",), True), (("b",), True)]  # lists may lack some
    assert groups({"a": 10}, ["b"]) == []
    assert groups({}, ["b"]) == []


def test_without_counts_every_key_has_its_own():
    assert groups(None, ["a", "b"]) == [(("a",), True), (("b",), True)]
    assert groups(None, ["a"], lines=0) == [(("a",), True)]  # a count alone is a hint


def test_all_keys_are_one_spec():
    assert groups({"a": 10, "b": 7}, ["a", "b"], match="all") == [(("a", "b"), True)]
    assert groups({"a": 10}, ["a", "b"], match="all") == []
    assert groups(None, ["a", "b"], match="all") == [(("a", "b"), True)]
    [group] = group_keys(scan(keys=("a", "b"), match="all"), entry({"a": 10, "b": 7}), ["a", "b"])
    assert group.known == 7


def test_steps_alone_are_a_spec_without_keys():
    assert groups({"a": 10}, [], x_axis="_step") == [((), True)]
    assert groups({}, [], lines=0) == []


def test_a_run_without_the_axis_holds_no_row():
    assert groups({"a": 10}, ["a"], x_axis="epoch") == []
    assert groups({"a": 10, "epoch": 10}, ["a"], x_axis="epoch") == [(("a",), True)]


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 6), max_size=6),
    st.integers(1, 8),
    st.integers(1, 8),
    st.booleans(),
)
def test_every_logged_key_is_in_just_one_group(counts, lines, samples, ended):
    made = group_keys(
        scan(keys=tuple("abcdef"), samples=samples),
        entry(counts, lines=lines, ended=ended),
        "abcdef",
    )
    found = [key for group in made for key in group.keys]
    # Also those that are not listed, of a run that is read: lists may lack some.
    assert sorted(found) == (list("abcdef") if counts else [])
    for group in made:
        # keys of one group were logged equally often
        assert len({counts.get(key, 0) for key in group.keys}) == 1
        first = group.keys[0]
        assert group.known == (counts[first] or None if first in counts else 0)


def test_wrong_groups_are_split_and_others_kept():
    run = RunRead(
        ordinal=0,
        run_id="r",
        groups=(Group(keys=("a", "b"), known=4, proven=False), Group(keys=("c",), known=9)),
    )
    assert split_groups(run, [0]).groups == (
        Group(keys=("c",), known=9),
        Group(keys=("a",), known=4),
        Group(keys=("b",), known=4),
    )


# ---------------------------------------------------------------- which runs share a request


def tasks(entries, budget=120_000, **options):
    made = scan(**options)
    index = index_of(entries, system=made.stream == "system")
    schema = history_schema(made, index, {}, where="e/p")
    return list(history_tasks(made, entries, schema, lambda: budget))


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=40), st.integers(10, 400))
def test_tasks_hold_every_run_once_in_order_within_the_budget(runs, budget):
    entries = [
        entry({"a": count}, lines=count, ordinal=i, path=OTHER if other else PATH)
        for i, (count, other) in enumerate(runs)
    ]
    made = tasks(entries, budget, keys=("a",)) if any(count for count, _ in runs) else []
    seen = [run.ordinal for task in made for run in task.runs]
    assert seen == (list(range(len(runs))) if made else [])
    for task in made:
        assert sum(run.points for run in task.runs) <= budget or len(task.runs) == 1
        assert {entries[run.ordinal].path for run in task.runs} == {task.path}


def test_a_request_has_at_most_so_many_runs():
    made = tasks([entry({"a": 1}, lines=1, ordinal=i) for i in range(250)], keys=("a",))
    assert [len(task.runs) for task in made] == [RUNS_PER_REQUEST, RUNS_PER_REQUEST, 50]


def test_points_are_cells_that_may_come():
    [task] = tasks([entry({"a": 30, "b": 10}, lines=30)], keys=("a", "b"), samples=20)
    assert task.runs[0].points == 20 * 2 + 10 * 2
    [task] = tasks([entry({"a": 30, "b": 10}, lines=30)], samples=20)
    assert task.runs[0].points == 20 * 2
    assert task.runs[0].field == "history"


def test_runs_without_rows_are_not_asked():
    made = [
        entry({}, lines=0),
        entry(None, lines=0),
        entry({}, lines=None),
        entry({"a": 1}, lines=1, ordinal=3),
    ]
    # A count of no rows is not believed where the keys are not known.
    assert [run.run_id for task in tasks(made) for run in task.runs] == ["r0", "r3"]


def test_machine_metrics_are_events():
    made = scan(stream="system")
    schema = HistorySchema(keys={"system.cpu": pl.Float64()}, lead={})
    run = run_read(made, entry({"system/cpu": 40, "loss": 900}, lines=900), schema)
    assert (run.field, run.known) == ("events", 40)


def test_tasks_pickle_and_make_the_same_request():
    [task] = tasks([entry({"a": 3, "b": 2})], keys=("a", "b"), min_step=1, max_step=5)
    again = pickle.loads(pickle.dumps(task))
    assert again == task
    assert again.request() == task.request()
    assert task.request().variables == {
        "project": "p",
        "entity": "e",
        "r0": "r0",
        "s0": [
            '{"keys":["_step","a"],"samples":500,"minStep":0,"maxStep":5}',
            '{"keys":["_step","b"],"samples":500,"minStep":0,"maxStep":5}',
        ],
    }


def test_runs_with_the_same_specs_share_them_in_the_request():
    [task] = tasks([entry({"a": 3}, ordinal=i) for i in range(3)], keys=("a",))
    variables = task.request().variables
    assert [name for name in variables if name.startswith("s")] == ["s0"]
    assert task.request().document.count("specs: $s0") == 3


def test_what_is_looked_at():
    text = {"string": 2, "number": 3}
    known = [
        RunEntry(ordinal=i, path=PATH, run_id=f"r{i}", keys={"a": text, "b": {"number": 1}})
        for i in range(30)
    ]
    chosen = runs_to_look_at(known, ["a", "b"], ("a",))
    assert len(chosen) == MOST_LOOKED_AT
    assert [chosen[i][0].ordinal for i in (0, 1, -1)] == [0, 2, 29]
    assert {keys for _, keys in chosen} == {("a", "b")}
    unknown = [entry(None, lines=lines, ordinal=i) for i, lines in enumerate([0, None, 5])]
    assert [(found.ordinal, keys) for found, keys in runs_to_look_at(unknown, [], None)] == [
        (0, ()),
        (1, ()),
        (2, ()),
    ]
    many = [entry(None, lines=None, ordinal=i) for i in range(30)]
    assert len(runs_to_look_at(many, [], None)) == MOST_LOOKED_AT
    assert {keys for _, keys in runs_to_look_at(many, [], ("a",))} == {("a",)}
