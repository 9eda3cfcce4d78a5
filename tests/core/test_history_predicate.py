from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from tests.core.test_predicate import T0, F, above, c, optimized, run_id
from wbframe.core.filters import to_dict
from wbframe.core.pushdown.conjuncts import Pushdown, push_history

HISTORY = {
    "run_id": pl.String(),
    "_step": pl.Int64(),
    "_timestamp": pl.Float64(),
    "train/loss": pl.Float64(),
    "state": pl.String(),
    "config.f": pl.Float64(),
}
step = c("_step")
STEPS = {
    "below": (step < 1000, (None, 1000), "exact"),
    "at most": (step <= 1000, (None, 1001), "exact"),
    "above": (step > 10, (11, None), "exact"),
    "at least": (step >= 10, (10, None), "exact"),
    "at": (step == 10, (10, 11), "exact"),
    "flipped": (pl.lit(10) <= step, (10, None), "exact"),
    "fraction below": (step < 10.5, (None, 11), "exact"),
    "fraction above": (step > 10.5, (11, None), "exact"),
    "fraction at least": (step >= 10.5, (11, None), "exact"),
    "fraction at most": (step <= 10.5, (None, 11), "exact"),
    "between": (step.is_between(10, 20), (10, 21), "exact"),
    "in": (step.is_in([3, 1, 2]), (1, 4), "exact"),
    "in, with holes": (step.is_in([1, 9]), (1, 10), "superset"),
    "not below": (~(step < 5), (5, None), "exact"),
    "or": ((step < 5) | (step.is_between(7, 9, closed="none")), (None, 9), "superset"),
    "or with ands": (
        ((step > 5) & (step < 8) & (c("train/loss") > 1)) | (step == 20),
        (6, 21),
        "superset",
    ),
}


@pytest.mark.parametrize(("expr", "wanted", "status"), STEPS.values(), ids=STEPS)
def test_steps_become_a_window(expr, wanted, status):
    for each in (expr, optimized(expr, HISTORY)):
        pushdown = push_history(each, HISTORY)
        assert (pushdown.min_step, pushdown.max_step) == wanted
        assert {conjunct.status for conjunct in pushdown.conjuncts} == {status}
        assert pushdown.exact is (status == "exact")
        assert pushdown.run == Pushdown()


NO_STEPS = {
    "unequal": step != 5,
    "not in": ~step.is_in([5]),
    "null": step.is_null(),
    "null in": step.is_in([1, None], nulls_equal=True),
    "nothing in": step.is_in([]),
    "half an or": (step < 5) | (c("train/loss") > 1),
    "huge": step < 2**60,
    "cast": step.cast(pl.Int32) < 5,
    "computed": step % 2 == 0,
    "half a range": step.is_between(1, c("train/loss")),
    "another column": c("train/loss") > 5,
    "two columns": step > c("train/loss"),
    "text": step == "5",
    "texts": step.is_in(["5"]),
    "logged key named like a run column": c("state") == "finished",
    "empty constant": pl.lit(None) == run_id,
    "unequal run": run_id != "a",
    "null run": run_id.is_in(["a", None], nulls_equal=True),
    "search in run": run_id.str.starts_with("a") | (step < 5),
}


@pytest.mark.parametrize("expr", NO_STEPS.values(), ids=NO_STEPS)
def test_no_window(expr):
    pushdown = push_history(expr, HISTORY)
    assert (pushdown.min_step, pushdown.max_step, pushdown.run_ids) == (None, None, None)
    assert (pushdown.min_timestamp, pushdown.max_timestamp) == (None, None)
    assert [each.status for each in pushdown.conjuncts] == ["local"]


def test_run_ids():
    pushdown = push_history(run_id.is_in(["a", "b", None]) & (run_id != "c"), HISTORY)
    assert pushdown.run_ids == {"a", "b"}
    assert [each.status for each in pushdown.conjuncts] == ["exact", "local"]
    assert to_dict(pushdown.run.filter) == {"name": {"$in": ["a", "b"]}}
    assert pushdown.run.exact
    either = push_history((run_id == "a") | (run_id.cast(pl.String) == "b"), HISTORY)
    assert (either.run_ids, either.exact) == ({"a", "b"}, True)
    both = push_history(run_id.is_in(["a", "b"]) & run_id.is_in(["b", "c"]) & (step > 1), HISTORY)
    assert both.run_ids == {"b"}
    mixed = push_history(((run_id == "a") & (step < 5)) | ((run_id == "b") & (step < 9)), HISTORY)
    assert (mixed.run_ids, mixed.max_step) == ({"a", "b"}, 9)
    assert mixed.conjuncts[0].status == "superset"
    assert mixed.conjuncts[0].pushed == {"$or": [{"name": "a"}, {"name": "b"}], "_step": {"$lt": 9}}
    nested = push_history(((run_id == "a") & (run_id != "b")) | (run_id == "c"), HISTORY)
    assert nested.run_ids == {"a", "c"}
    crossed = push_history(
        ((run_id.is_in(["a", "b"]) & (run_id == "b")) | (run_id == "c")) & (step > 0), HISTORY
    )
    assert crossed.run_ids == {"b", "c"}


def test_many_run_ids_are_kept_though_no_filter_holds_them():
    ids = [str(each) for each in range(3000)]
    pushdown = push_history(run_id.is_in(ids), HISTORY)
    assert pushdown.run_ids == set(ids)
    assert pushdown.run.filter is None
    assert pushdown.conjuncts[0].status == "exact"
    assert pushdown.conjuncts[0].pushed == {"run_id": {"$in": sorted(ids)}}


def test_run_columns():
    expr = (c("config.f") < 1) & (step < 10) & (c("state") == "finished") & (c("train/loss") > 1)
    pushdown = push_history(expr, HISTORY, run_columns=["state", "config.f"])
    assert [(each.text, each.status) for each in pushdown.conjuncts] == [
        ("config.f < 1", "superset"),
        ("_step < 10", "exact"),
        ("state == 'finished'", "exact"),
        ("train/loss > 1", "local"),
    ]
    assert [each.text for each in pushdown.run.conjuncts] == ["config.f < 1", "state == 'finished'"]
    assert not pushdown.run.exact
    assert to_dict(pushdown.run.filter) == {"$and": [above(F, "$lt", 1), {"state": "finished"}]}
    assert push_history(c("state") == "finished", HISTORY).run.filter is None


def test_times_become_a_window():
    now = c("_timestamp")
    pushdown = push_history((now >= 1_700_000_000.5) & (now < 1_800_000_000), HISTORY)
    assert (pushdown.min_timestamp, pushdown.max_timestamp) == (1_700_000_000.5, 1_800_000_000.0)
    assert {each.status for each in pushdown.conjuncts} == {"superset"}
    assert pushdown.conjuncts[0].pushed == {"_timestamp": {"$gte": 1_700_000_000.5}}
    at = push_history(now.is_in([5.0, 7.0]) & (now == 6), HISTORY)
    assert (at.min_timestamp, at.max_timestamp) == (6.0, 6.0)
    timed = push_history(now > T0, HISTORY | {"_timestamp": pl.Datetime("us", "UTC")})
    assert timed.min_timestamp == pytest.approx(T0.timestamp(), abs=2e-6)
    assert timed.min_timestamp < T0.timestamp()
    for expr in (now > dt.datetime(2026, 1, 1), now > True, now != 5):  # noqa: DTZ001
        assert push_history(expr, HISTORY).min_timestamp is None
