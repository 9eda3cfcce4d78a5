"""Pages of runs -> frames: which runs are kept, and that the cut into pages does not show."""

from __future__ import annotations

import json

import msgspec
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from wbframe.core.filters import EMPTY
from wbframe.core.model import RunPath, RunsScan, Selection
from wbframe.core.protocol.runs import RunNode
from wbframe.core.runs.frame import RunsBuffer, leaf_types, runs_frame
from wbframe.core.runs.listing import RunsTaken, rows_where
from wbframe.core.runs.pages import GrowingPages, PromisedPages, RunsPage
from wbframe.core.runs.plan import RunsPlan
from wbframe.core.schema.types import merge_index
from wbframe.errors import ColumnError, FilterError, SchemaMismatchError

PATH = RunPath(entity="e", project="p")


def node(name, summary=None, state="finished"):
    text = json.dumps(json.dumps(summary or {}))
    return RunNode(name=name, state=state, summary_metrics=msgspec.Raw(text.encode()))


def nodes(*names, state="finished"):
    return [node(name, state=state) for name in names]


def plan_of(columns=None, index=None, overrides=None):
    scan = RunsScan(
        selection=Selection(paths=(PATH,), filters=EMPTY),
        columns=columns,
        overrides=overrides or {},
    )
    return RunsPlan(scan=scan, columns=columns, index=index)


# ---------------------------------------------------------------- which are kept


def taken(predicate=None, limit=None):
    made = RunsTaken(predicate, limit)
    pages = GrowingPages(plan_of(("run_id", "state"), {}), {})

    def take(path, nodes):
        page = pages.decode(path, made.fresh(path, nodes))
        places = made.take(page.nodes, page.frame)
        page = page if places is None else page.only(places)
        names = [node.name for node in page.nodes]
        assert page.frame["run_id"].to_list() == names
        return names

    return made, take


def test_each_run_once_up_to_the_limit():
    made, take = taken(limit=3)
    assert take(PATH, nodes("a", "b", "a")) == ["a", "b"]
    assert not made.full
    assert take(PATH, nodes("b", "c", "d")) == ["c"]
    assert made.full
    assert take(PATH, nodes("e")) == []


def test_the_same_name_in_another_project_is_another_run():
    made, take = taken()
    assert take(PATH, nodes("a"))
    assert take(RunPath(entity="e", project="q"), nodes("a"))
    assert not made.full


def test_the_limit_counts_what_the_predicate_keeps():
    made, take = taken(pl.col("state") == "failed", limit=2)
    assert take(PATH, nodes("a", "b")) == []
    assert take(PATH, nodes("c", "d", "e", state="failed")) == ["c", "d"]
    assert made.full
    assert take(PATH, []) == []


def test_rows_of_a_predicate():
    frame = pl.DataFrame({"a": [3, 1, 2], "b": ["x", None, "z"]})
    assert rows_where(frame, pl.col("a") > 1) == [0, 2]
    assert rows_where(frame, pl.col("b") == "x") == [0]
    with pytest.raises(ColumnError, match=r"no column \['aa'\]"):
        rows_where(frame, pl.col("aa") > 1)
    for wrong in (pl.col("a"), pl.col("b") > 1, pl.col("a").cast(pl.Boolean).sum()):
        with pytest.raises(FilterError, match="cannot be applied to the runs frame"):
            rows_where(frame, wrong)


# ---------------------------------------------------------------- eager: types may be wrong, or not known

VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([0.5, 1e-5, 2.0, 1e300]),
    st.sampled_from(["", "x", "1", "NaN", "true"]),
    st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 2), max_size=2),
)
SUMMARY = st.dictionaries(st.sampled_from(["a", "b", "c", "a.b"]), VALUE, max_size=4)
PAGES = st.lists(st.lists(SUMMARY, max_size=3), max_size=4)
INDEX = st.none() | st.dictionaries(
    st.sampled_from(["summary.a", "summary.b", "summary.c", "summary.d"]),
    st.sets(st.sampled_from(["number", "string", "bool", "nil", "map"]), min_size=1, max_size=2).map(frozenset),
)  # fmt: skip


def decoded(plan, pages):
    """Read pages until their types are known; give the frame, and how often it took."""
    index = plan.index
    for times in range(1, 6):
        growing = GrowingPages(plan, index)
        for summaries in pages:
            page = growing.decode(PATH, [node(name, summary) for name, summary in summaries])
            growing.add(page)
        frame, index = growing.joined(), growing.index
        if frame is not None:
            assert [found.name for _, found in growing.runs] == frame["run_id"].to_list()
            return frame, times
    raise AssertionError("types never stand")


def at_once(plan, pages):
    """Read the same as one page, by all that its values tell where the index is wrong."""
    buffer = RunsBuffer()
    buffer.add(PATH, [node(name, summary) for page in pages for name, summary in page])
    types = leaf_types(buffer)
    new = {name: types[name] for name in types if name not in (plan.index or {})}
    index = {**(plan.index or {}), **new}
    try:
        return runs_frame(buffer, plan.resolve(plan.columns, index or plan.index))[0]
    except SchemaMismatchError:
        merge_index(index, types)
        return runs_frame(buffer, plan.resolve(plan.columns, index))[0]


@given(PAGES, INDEX)
@example([[{"a": 1e-5}], [{"a": "x"}]], {"summary.a": frozenset({"number"})})
@example([[{"a": 1}], [{"b": 1}], [{"b": True}]], {})
@example([[{"a": True}], [{"a": 2}]], {"summary.a": frozenset({"bool"})})
@example([[{"a": None}], [{"a": True}], [{"a": "x"}]], {})
@example([[{"a": 1}], [{}]], None)
def test_the_cut_into_pages_does_not_show(pages, index):
    named = [[(f"r{i}{j}", each) for j, each in enumerate(page)] for i, page in enumerate(pages)]
    plan = plan_of(index=index)
    frame, _ = decoded(plan, named)
    assert_frame_equal(frame, at_once(plan, named))


def test_pages_are_read_again_only_where_numbers_have_lost_their_spelling():
    number = {"summary.a": frozenset({"number"})}
    small, text = [("r", {"a": 1e-5})], [("s", {"a": "x"})]
    frame, times = decoded(plan_of(index=number), [small, text])
    assert (frame["summary.a"].to_list(), times) == (["1e-05", "x"], 2)
    frame, times = decoded(plan_of(index=number), [text, small])
    assert (frame["summary.a"].to_list(), times) == (["x", "1e-05"], 1)
    flag, nothing = [("t", {"a": True})], [("u", {"a": None})]
    frame, times = decoded(plan_of(index={}), [nothing, flag, text])
    assert (frame["summary.a"].to_list(), times) == ([None, "true", "x"], 1)


def test_columns_that_are_named_are_the_only_ones():
    plan = plan_of(("run_id", "summary.a"), {"summary.a": frozenset({"number"})})
    frame, _ = decoded(plan, [[("r", {"a": 1, "b": 2})], [("s", {})]])
    assert frame.columns == ["run_id", "summary.a"]


def test_an_override_stands_whatever_comes():
    number = {"summary.a": frozenset({"number"})}
    plan = plan_of(index=number, overrides={"summary.a": pl.Int64()})
    with pytest.raises(SchemaMismatchError, match=r"summary\.a"):
        decoded(plan, [[("r", {"a": 1})], [("s", {"a": "x"})]])


def test_runs_need_not_be_held():
    growing = GrowingPages(plan_of(index={}), {}, keep=False)
    growing.add(growing.decode(PATH, nodes("a")))
    assert growing.runs == []
    assert growing.joined()["run_id"].to_list() == ["a"]


# ---------------------------------------------------------------- lazy: types are promised


def test_new_keys_count_only_where_their_runs_are_kept():
    plan = plan_of(index={"summary.a": frozenset({"number"})})
    pages = PromisedPages(plan, "ignore")
    page = pages.decode(PATH, [node("r", {"a": 1}), node("s", {"a": 2, "b": 3})])
    pages.add(page.only([0]))
    assert not pages.new
    pages.add(page)
    assert pages.new == {"summary.b": 1}
    with pytest.raises(SchemaMismatchError, match=r"does not name \['summary\.b'\]"):
        PromisedPages(plan, "raise").add(page)


def test_columns_with_two_values_are_told_of_the_runs_that_are_kept():
    plan = plan_of(index={"summary.a.b": frozenset({"number"})})
    twice = {"a": {"b": 1}, "a.b": 2}
    for pages in (PromisedPages(plan), GrowingPages(plan, plan.index)):
        page = pages.decode(PATH, [node("r", twice), node("s")])
        assert isinstance(page, RunsPage)
        pages.add(page.only([1]))
        assert not pages.collided
        pages.add(page)
        assert pages.collided == {"summary.a.b"}
