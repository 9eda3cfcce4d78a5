from __future__ import annotations

import datetime as dt
import functools
import json
import operator
import re
from decimal import Decimal

import polars as pl
import pytest
from polars.io.plugins import register_io_source

from wbframe.core.filters import parse, to_dict, to_json
from wbframe.core.pushdown import tree
from wbframe.core.pushdown.conjuncts import HistoryPushdown, Pushdown, push_history, push_runs
from wbframe.core.pushdown.reader import read, without_dynamic

UTC = dt.timezone.utc
EAST = dt.timezone(dt.timedelta(hours=2))
NAN = float("nan")
c = pl.col
run_id = c("run_id")

SCHEMA = {
    "entity": pl.String(),
    "run_id": pl.String(),
    "name": pl.String(),
    "state": pl.String(),
    "created_at": pl.Datetime("us", "UTC"),
    "heartbeat_at": pl.Datetime("us", "UTC"),
    "user": pl.String(),
    "group": pl.String(),
    "job_type": pl.Categorical(),
    "sweep": pl.String(),
    "tags": pl.List(pl.String),
    "notes": pl.String(),
    "history_line_count": pl.Int64(),
    "config.f": pl.Float64(),
    "config.f32": pl.Float32(),
    "config.i": pl.Int64(),
    "config.s": pl.String(),
    "config.b": pl.Boolean(),
    "config.l": pl.List(pl.Int64),
    "config.day": pl.Date(),
    "config.opt.lr": pl.Float64(),
    "config.it's": pl.Float64(),
    "config.": pl.Float64(),
    "summary.f": pl.Float64(),
    "summary.i": pl.Int64(),
    "summary.s": pl.String(),
    "summary.b": pl.Boolean(),
    "summary.train/loss": pl.Float64(),
}


def optimized(expr, schema=SCHEMA):
    """The predicate as the optimizer of polars hands it to a source; None if it vanished."""
    seen = []

    def source(columns, predicate, n_rows, batch_size):
        seen.append(predicate)
        frame = pl.DataFrame(schema=schema)
        yield frame if columns is None else frame.select(columns)

    register_io_source(source, schema=schema).filter(expr).collect()
    return seen[0] if seen else None


def above(field, op, value, *, metric=False):
    tokens = ["NaN", "Infinity"] if op.startswith("$gt") else ["-Infinity"]
    parts = [{field: {op: value}}, {field: {"$in": tokens}}]
    if metric:
        parts += [{field: {"$exists": False}}, {field: None}]
    return {"$or": parts}


F, S = "config.f.value", "config.s.value"
T0, T1 = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), dt.datetime(2026, 2, 1, tzinfo=UTC)
PUSHED = {
    # metadata
    "state": (c("state") == "finished", {"state": "finished"}, "exact"),
    "flipped": (pl.lit("finished") == c("state"), {"state": "finished"}, "exact"),
    "state in": (c("state").is_in(["a", "b"]), {"state": {"$in": ["a", "b"]}}, "exact"),
    "state in, null ignored": (c("state").is_in(["a", None]), {"state": "a"}, "exact"),
    "state not": (c("state") != "running", {"state": {"$ne": "running"}}, "superset"),
    "not state": (~(c("state") == "running"), {"state": {"$ne": "running"}}, "superset"),
    "state not in": (~c("state").is_in(["a", "b"]), {"state": {"$nin": ["a", "b"]}}, "superset"),
    "run_id": (c("run_id") == "a1", {"name": "a1"}, "exact"),
    "run_id in": (c("run_id").is_in(("a1", "b2")), {"name": {"$in": ["a1", "b2"]}}, "exact"),
    "run_id in series": (
        c("run_id").is_in(pl.Series(["a1", "b2"])),
        {"name": {"$in": ["a1", "b2"]}},
        "exact",
    ),
    "eq_missing": (c("run_id").eq_missing("a1"), {"name": "a1"}, "exact"),
    "name": (c("name") == "x", {"displayName": "x"}, "superset"),
    "user": (
        c("user") == "x",
        {
            "$or": [
                {"username": "x"},
                {"username": ""},
                {"username": {"$exists": False}},
                {"username": None},
            ]
        },
        "superset",
    ),
    "categorical": (c("job_type") == "x", {"jobType": "x"}, "superset"),
    "categorical in": (
        c("job_type").is_in(["x", "y"]),
        {"jobType": {"$in": ["x", "y"]}},
        "superset",
    ),
    "cast to text": (c("job_type").cast(pl.String) == "x", {"jobType": "x"}, "superset"),
    "sweep": (c("sweep") == "x", {"sweep": "x"}, "superset"),
    "tags": (c("tags").list.contains("best"), {"tags": {"$in": ["best"]}}, "superset"),
    "contains": (
        c("group").str.contains("a.b", literal=True),
        {"group": {"$regex": r"a\.b"}},
        "superset",
    ),
    "starts": (c("name").str.starts_with("a("), {"displayName": {"$regex": r"a\("}}, "superset"),
    "ends": (c("name").str.ends_with("é"), {"displayName": {"$regex": "é"}}, "superset"),
    "regex": (
        c("name").str.contains(r"run-[0-9a-f]+|x\.y?"),
        {"displayName": {"$regex": r"run-[0-9a-f]+|x\.y?"}},
        "superset",
    ),
    # times
    "time above": (
        c("created_at") > T0,
        {"createdAt": {"$gte": "2026-01-02T03:04:04Z"}},
        "superset",
    ),
    "time below": (
        c("created_at") < T0,
        {"createdAt": {"$lte": "2026-01-02T03:04:07Z"}},
        "superset",
    ),
    "time at": (
        c("heartbeat_at") == T0,
        {"heartbeatAt": {"$gte": "2026-01-02T03:04:04Z", "$lte": "2026-01-02T03:04:07Z"}},
        "superset",
    ),
    "zone": (
        c("created_at") >= dt.datetime(2026, 1, 1, 2, tzinfo=EAST),
        {"createdAt": {"$gte": "2025-12-31T23:59:59Z"}},
        "superset",
    ),
    "date": (
        c("created_at") >= dt.date(2026, 1, 1),
        {"createdAt": {"$gte": "2025-12-31T23:59:59Z"}},
        "superset",
    ),
    "pl.datetime": (
        c("created_at") >= pl.datetime(2026, 1, 1, time_zone="UTC"),
        {"createdAt": {"$gte": "2025-12-31T23:59:59Z"}},
        "superset",
    ),
    "parsed time": (
        c("created_at") >= pl.lit("2026-01-01").str.to_datetime(time_zone="UTC"),
        {"createdAt": {"$gte": "2025-12-31T23:59:59Z"}},
        "superset",
    ),
    # numbers
    "number": (c("config.f") == 3, {F: 3}, "superset"),
    "fraction": (c("config.f") == 0.25, {F: 0.25}, "superset"),
    "number in": (c("config.f").is_in([1.0, 2.5]), {F: {"$in": [1, 2.5]}}, "superset"),
    "above": (c("config.f") > 1, above(F, "$gt", 1), "superset"),
    "at least": (c("config.f") >= 0.5, above(F, "$gte", 0.5), "superset"),
    "below": (c("config.f") < 1, above(F, "$lt", 1), "superset"),
    "flipped order": (pl.lit(1) >= c("config.f"), above(F, "$lte", 1), "superset"),
    "not above": (~(c("config.f") > 1), above(F, "$lte", 1), "superset"),
    "tiny": (c("config.f") > 1e-7, above(F, "$gt", 1e-7), "superset"),
    "folded": (c("config.f") < pl.lit(1) / 4, above(F, "$lt", 0.25), "superset"),
    "cast constant": (c("config.f") < pl.lit(1).cast(pl.Float64), above(F, "$lt", 1), "superset"),
    "beyond doubles": (c("config.f") >= 2.0**53, above(F, "$gte", 2.0**53 - 1), "superset"),
    "whole": (c("config.i") > 1, {"config.i.value": {"$gt": 1}}, "superset"),
    "whole at most": (c("config.i") <= -1, {"config.i.value": {"$lte": -1}}, "superset"),
    "whole, fraction": (c("config.i") > 1.5, {"config.i.value": {"$gt": 1.5}}, "superset"),
    "whole, large": (
        c("config.i") < 2**60,
        {"config.i.value": {"$lte": 2.0**60 + 256}},
        "superset",
    ),
    "whole in": (c("config.i").is_in([1, 2]), {"config.i.value": {"$in": [1, 2]}}, "superset"),
    "whole in small series": (
        c("config.i").is_in(pl.Series([1], dtype=pl.UInt8)),
        {"config.i.value": 1},
        "superset",
    ),
    "summary": (c("summary.f") < 1, above("summary_metrics.f", "$lt", 1, metric=True), "superset"),
    "summary slash": (c("summary.train/loss") == 2, {"summary_metrics.train/loss": 2}, "superset"),
    "between": (
        c("config.i").is_between(1, 5, closed="left"),
        {"$and": [{"config.i.value": {"$gte": 1}}, {"config.i.value": {"$lt": 5}}]},
        "superset",
    ),
    "between, open": (
        c("config.i").is_between(1, 5, closed="none"),
        {"$and": [{"config.i.value": {"$gt": 1}}, {"config.i.value": {"$lt": 5}}]},
        "superset",
    ),
    "not between": (
        ~c("config.i").is_between(1, 5, closed="right"),
        {"$or": [{"config.i.value": {"$lte": 1}}, {"config.i.value": {"$gt": 5}}]},
        "superset",
    ),
    # text, booleans, nulls of keys
    "words": (c("config.s") == "adam", {S: "adam"}, "superset"),
    "a number's text": (c("config.s") == "1", {S: {"$in": ["1", 1]}}, "superset"),
    "a fraction's text": (c("config.s") == "0.50", {S: {"$in": ["0.50", 0.5]}}, "superset"),
    "a boolean's text": (c("config.s") == "true", {S: {"$in": ["true", True]}}, "superset"),
    "words in": (c("config.s").is_in(["sgd", "2"]), {S: {"$in": ["sgd", "2", 2]}}, "superset"),
    "boolean": (c("config.b"), {"config.b.value": True}, "superset"),
    "boolean in": (c("config.b").is_in([True]), {"config.b.value": True}, "superset"),
    "aliased": (c("config.b").alias("x"), {"config.b.value": True}, "superset"),
    "not boolean": (~c("config.b"), {"config.b.value": False}, "superset"),
    "boolean compared": (c("config.b") == False, {"config.b.value": False}, "superset"),  # noqa: E712
    "boolean unequal": (c("summary.b") != False, {"summary_metrics.b": True}, "superset"),  # noqa: E712
    "not null": (c("config.s").is_not_null(), {S: {"$exists": True}}, "superset"),
    "ne_missing null": (c("config.f").ne_missing(None), {F: {"$exists": True}}, "superset"),
    # joined
    "or": (
        (c("state") == "a") | (c("run_id") == "b") | c("state").is_in(["c", "d"]),
        {"$or": [{"state": "a"}, {"name": "b"}, {"state": {"$in": ["c", "d"]}}]},
        "exact",
    ),
    "any_horizontal": (
        pl.any_horizontal(c("state") == "a", c("group") == "b"),
        {"$or": [{"state": "a"}, {"group": "b"}]},
        "superset",
    ),
    "or of ands": (
        ((c("state") == "a") & (c("notes") == "x")) | (c("state") == "b"),
        {"$or": [{"state": "a"}, {"state": "b"}]},
        "superset",
    ),
    "de morgan": (
        ~((c("state") != "a") & (c("run_id").is_in(["x"]) | c("config.b")).not_()),
        {"$or": [{"state": "a"}, {"name": "x"}, {"config.b.value": True}]},
        "superset",
    ),
}


@pytest.mark.parametrize(("expr", "wanted", "status"), PUSHED.values(), ids=PUSHED)
def test_is_pushed(expr, wanted, status):
    for each in (expr, optimized(expr)):
        pushdown = push_runs(each, SCHEMA)
        assert to_dict(pushdown.filter) == wanted
        assert pushdown.exact is (status == "exact")
        if len(pushdown.conjuncts) == 1:
            conjunct = pushdown.conjuncts[0]
            assert (conjunct.status, conjunct.pushed) == (status, wanted)
            assert bool(conjunct.reason) is (status == "superset")
        assert parse(json.loads(to_json(pushdown.filter))) == parse(wanted)


def test_a_range_is_split_when_the_optimizer_splits_it():
    pushdown = push_runs(c("config.i").is_between(1, 2), SCHEMA)
    assert [each.text for each in pushdown.conjuncts] == ["config.i in [1, 2]"]


LOCAL = {
    "unknown column": (c("nope") == 1, "no column"),
    "entity": (c("entity") == "a", "does not filter by `entity`"),
    "notes": (c("notes") == "a", "does not filter by `notes`"),
    "line count": (c("history_line_count") > 1, "does not filter by"),
    "nested or dotted": (c("config.opt.lr") > 1, "contain dots"),
    "no key": (c("config.") > 1, "contain dots"),
    "quoted key": (c("config.it's") > 1, "characters"),
    "other type": (c("config.l").is_not_null(), "does not compare List"),
    "date key": (c("config.day") > dt.date(2026, 1, 1), "does not compare Date"),
    "narrow": (c("config.f32") > 1, "does not compare Float32"),
    "is null": (c("group").is_null(), "null"),
    "is not null of metadata": (c("group").is_not_null(), "null"),
    "is not null of summary": (c("summary.f").is_not_null(), "null"),
    "null": (c("config.f").eq_missing(None), "null"),
    "ne_missing": (c("state").ne_missing("a"), "null"),
    "null in": (c("state").is_in(["a", None], nulls_equal=True), "null"),
    "not in, null unequal": (~c("state").is_in(["a"], nulls_equal=True), "null"),
    "not in null": (~c("state").is_in(["a", None]), "null"),
    "unequal": (c("group") != "a", "collation"),
    "unequal id": (c("run_id") != "a", "collation"),
    "not in id": (~c("run_id").is_in(["a"]), "collation"),
    "unequal number": (c("config.f") != 1, "unequal"),
    "not in numbers": (~c("config.f").is_in([1.0]), "unequal"),
    "unequal time": (c("created_at") != T0, "unequal"),
    "text order": (c("config.s") > "a", "order of text"),
    "id order": (c("run_id") >= "a", "order of text"),
    "empty text": (c("group") == "", "empty text"),
    "blank key text": (c("config.s") == " ", "something else"),
    "NaN text": (c("config.s") == "NaN", "something else"),
    "list text": (c("config.s") == "[1]", "something else|another type"),
    "deep list text": (c("config.s") == "[" * 100_000, "list or a dict|something else"),
    "scientific text": (c("config.s") == "1e-05", "something else"),
    "scientific": (c("config.f") == 1e-5, "scientific"),
    "large equal": (c("config.f") == 1e17, "skips whole numbers"),
    "large text": (c("config.s") == "9007199254740993", "something else"),
    "beyond": (c("config.f") < 1.7976931348623157e308, "beyond"),
    "NaN": (c("config.f") > NAN, "plain constant"),
    "NaN in": (c("config.f").is_in([1.0, NAN]), "no such test"),
    "is_nan": (c("config.f").is_nan(), "no such test"),
    "search in keys": (c("config.s").str.contains("adam"), "spell numbers"),
    "not contains": (~c("name").str.contains("x"), "negation"),
    "not tag": (~c("tags").list.contains("x"), "negation"),
    "empty pattern": (c("name").str.contains(""), "empty text"),
    "anchor": (c("name").str.contains("^a"), "otherwise"),
    "class": (c("name").str.contains(r"\d"), "otherwise"),
    "negated class": (c("name").str.contains("[^a]"), "otherwise"),
    "double quantifier": (c("name").str.contains("a**"), "otherwise"),
    "search in user": (c("user").str.contains("x"), "full name|no text"),
    "half a group": (c("name").str.contains("a(b"), "no regular expression"),
    "long pattern": (c("name").str.contains("a" * 1001), "longer than 1,000"),
    "case flag": (c("name").str.contains("(?i)a"), "otherwise"),
    "pattern of a column": (c("name").str.contains(c("group")), "no such test"),
    "null tag": (c("tags").list.contains(None), "tags"),
    "list key": (c("config.l").list.contains(1), "does not compare List"),
    "contains_any": (c("name").str.contains_any(["a"]), "no such test"),
    "naive time": (c("created_at") > dt.datetime(2026, 1, 1), "no time zone"),  # noqa: DTZ001
    "end of calendar": (c("created_at") > dt.datetime(1, 1, 1, tzinfo=UTC), "end of the calendar"),
    "times in": (c("created_at").is_in([T0]), "another type"),
    "columns": (c("config.f") > c("summary.f"), "plain constant"),
    "arithmetic": (c("config.f") * 2 > 1, "computes"),
    "function": (c("config.f").abs() > 1, "computes"),
    "fill_null": (c("config.f").fill_null(0) > 1, "computes"),
    "cast": (c("config.f").cast(pl.Int64) > 1, "changes the type"),
    "cast to odd type": (c("created_at").cast(pl.Datetime("ms")) > T0, "changes the type"),
    "boolean as number": (c("config.b").cast(pl.Int32) > 0, "changes the type"),
    "boolean order": (c("config.b") > False, "for equality"),
    "xor": ((c("state") == "a") ^ c("config.b"), "no such test"),
    "when": (pl.when(c("config.b")).then(True).otherwise(False), "no such test"),
    "one alternative": ((c("state") == "a") | (c("notes") == "x"), "one alternative"),
    "false": (pl.lit(False), "no such test"),
    "in a column": (c("state").is_in(c("tags")), "no such test"),
    "none": (c("run_id").is_in([None], nulls_equal=False), "no constant"),
    "many": (c("run_id").is_in([str(each) for each in range(1001)]), "at most 1,000"),
    "decimal": (c("config.f") > Decimal("1.5"), "plain constant|other type|no such"),
    "duration": (c("config.f") > dt.timedelta(1), "plain constant"),
    "wrong kinds": (c("config.f") == "a", "another type"),
    "wrong kind order": (c("config.f") > "a", "another type"),
    "number of words": (c("config.s") == 1, "another type"),
    "number in words": (c("config.s").is_in([1]), "another type"),
    "number of state": (~c("state").is_in([1]), "unequal"),
    "time of number": (c("created_at") > 5, "no time"),
    "text search in numbers": (c("config.f").str.contains("a"), "no text"),
}


@pytest.mark.parametrize(("expr", "reason"), LOCAL.values(), ids=LOCAL)
def test_stays_local(expr, reason):
    pushdown = push_runs(expr, SCHEMA)
    assert pushdown.filter is None
    assert not pushdown.exact
    (conjunct,) = pushdown.conjuncts
    assert (conjunct.status, conjunct.pushed) == ("local", None)
    assert re.search(reason, conjunct.reason), conjunct


def test_a_python_function_stays_local():
    expr = c("config.f").map_elements(lambda each: bool(hash(each) % 2), return_dtype=pl.Boolean)
    (conjunct,) = push_runs(expr, SCHEMA).conjuncts
    assert conjunct.status == "local"


def test_no_predicate():
    assert push_runs(None, SCHEMA) == Pushdown(filter=None, exact=True, conjuncts=())
    assert push_runs(pl.lit(True), SCHEMA).exact
    assert push_history(None, SCHEMA) == HistoryPushdown(run=Pushdown())
    assert push_history(None, SCHEMA).exact


def test_conjuncts_are_split_and_joined():
    pushdown = push_runs(
        (c("state") == "a")
        & pl.all_horizontal(c("config.f").abs() > 1, c("group") == "g")
        & ~((c("run_id") != "x") | c("notes").is_null()),
        SCHEMA,
    )
    assert [(each.text, each.status) for each in pushdown.conjuncts] == [
        ("state == 'a'", "exact"),
        ("abs(config.f) > 1", "local"),
        ("group == 'g'", "superset"),
        ("run_id == 'x'", "exact"),
        ("notes is not null", "local"),
    ]
    assert to_dict(pushdown.filter) == {"$and": [{"state": "a"}, {"group": "g"}, {"name": "x"}]}
    assert not pushdown.exact


def test_constants_are_counted_over_all_conjuncts():
    ids = [str(each) for each in range(600)]
    pushdown = push_runs(
        c("run_id").is_in(ids) & c("name").is_in(ids) & (c("state") == "a"), SCHEMA
    )
    assert [each.status for each in pushdown.conjuncts] == ["exact", "local", "exact"]


@pytest.mark.parametrize("count", [95, 300, 5000])
def test_long_chains_never_raise(count):
    chain = functools.reduce(operator.or_, [c("run_id") == str(each) for each in range(count)])
    pushdown = push_runs(chain, SCHEMA)
    if count < 300:
        assert len(pushdown.filter.operands) == count
    assert len(pushdown.conjuncts) == 1


def test_deep_nesting_stays_local():
    expr = c("state") == "a"
    for each in range(120):
        expr = (expr | (c("run_id") == str(each))) & (c("group") == "x")
    pushdown = push_runs(expr, SCHEMA)
    assert pushdown.filter is None
    assert pushdown.conjuncts[0].text == "an expression nested more than 90 levels deep"


TEXTS = {
    "state == 'a'": c("state") == "a",
    "config.f == null": c("config.f") == pl.lit(None),
    "config.b == true": c("config.b") == True,  # noqa: E712
    "created_at > 2026-01-02T03:04:05Z": c("created_at") > T0,
    "state in ['a', 'b', 'c', 'd', 'e', 'f', ... 7 values]": c("state").is_in(list("abcdefg")),
    "not (state in ['a'])": ~c("state").is_in(["a"]),
    "config.f in (1, 2]": c("config.f").is_between(1, 2, closed="right"),
    "config.f in [1, 2)": c("config.f").is_between(1, 2, closed="left"),
    "(a > 1) or (b is null)": (c("a") > 1) | c("b").is_null(),
    "((a > 1) and (b)) or (c)": ((c("a") > 1) & c("b")) | c("c"),
    "a starts_with 'x'": c("a").str.starts_with("x"),
    "not (a regex 'x')": ~c("a").str.contains("x"),
    "tags has 'x'": c("tags").list.contains("x"),
    "a as Int64 > 1": c("a").cast(pl.Int64) > 1,
    "a as another type is not null": c("a").cast(pl.List(pl.Int64)).is_not_null(),
    "(a Plus 1) > 2": c("a") + 1 > 2,
    "lowercase(a) == 'x'": c("a").str.to_lowercase() == "x",
    "fillnull(a, 0) > 1": c("a").fill_null(0) > 1,
    "isnan(a)": c("a").is_nan(),
    "isin(a, b)": c("a").is_in(c("b")),
    "year(a) == 2026": c("a").dt.year() == 2026,
    "a == b": c("a") == c("b"),
    "a > a constant": c("a") > NAN,
    "agg > 1": c("a").sum() > 1,
}


@pytest.mark.parametrize(("text", "expr"), TEXTS.items(), ids=TEXTS)
def test_conjuncts_are_readable(text, expr):
    assert push_runs(expr, {}).conjuncts[0].text == text


def test_long_constants_are_cut_in_texts():
    (conjunct,) = push_runs(c("state") == "x" * 5000, SCHEMA).conjuncts
    assert len(conjunct.text) < 300


READ = {
    "dyn int": (pl.lit(1), 1),
    "int": (pl.lit(1, dtype=pl.UInt8), 1),
    "large": (pl.lit(2**64 - 1, dtype=pl.UInt64), 2**64 - 1),
    "float32": (pl.lit(0.1, dtype=pl.Float32), 0.10000000149011612),
    "text": (pl.lit("x"), "x"),
    "categorical": (pl.lit("x", dtype=pl.Categorical), "x"),
    "enum": (pl.lit("x", dtype=pl.Enum(["x"])), "x"),
    "boolean": (pl.lit(True), True),
    "null": (pl.lit(None), None),
    "date": (pl.lit(dt.date(2026, 1, 1)), dt.datetime(2026, 1, 1, tzinfo=UTC)),
    "milliseconds": (pl.lit(T0, dtype=pl.Datetime("ms", "UTC")), T0),
    "zone": (pl.lit(T0).dt.convert_time_zone("Europe/Berlin"), T0),
    "alias": (pl.lit(1).alias("x"), 1),
    "cast": (pl.lit("7").cast(pl.Int64), 7),
    "arithmetic": (pl.lit(2) * 3 + 1, 7),
    "inner alias": (pl.lit("7").alias("x").cast(pl.Int64), 7),
}


@pytest.mark.parametrize(("expr", "value"), READ.values(), ids=READ)
def test_reads_constants(expr, value):
    assert read(expr) == tree.Value(value)


@pytest.mark.parametrize(
    "expr",
    [
        pl.lit(NAN),
        pl.lit(float("inf")),
        pl.lit(b"x"),
        pl.lit(dt.time(1)),
        pl.lit(pl.Series([1, 2])),
        pl.lit(T0, dtype=pl.Datetime("ns", "UTC")),
        pl.lit("x").cast(pl.Int64),
        pl.lit([1]),
        pl.col("a", "b"),
        pl.len(),
        c("a").over("b"),
        c("a").sort_by("b"),
        c("a").list.contains(c("b")),
        c("a").str.strip_chars("b"),
        c("a").str.count_matches("b"),
        c("a").is_close(1),
        c("a").list.get(0),
        c("a").is_in(pl.lit([1, 2]).list.sort()),
        (c("a") + 1 + 1 + 1 + 1 + 1 + 1) * c("b"),
        pl.element(),
    ],
    ids=str,
)
def test_what_it_does_not_know_is_unknown(expr):
    assert isinstance(read(expr), (tree.Unknown, tree.Cast))


@pytest.mark.parametrize("serialized", [None, 1, [], {}, {"a": 1, "b": 2}, {"Column": 1}, {"BinaryExpr": 3},
    {"Function": {}}, {"Function": {"input": [], "function": {"Boolean": "IsNull"}}}, {"Literal": 1}, {"Cast": {}},
    {"Literal": {"Scalar": {"List": [1, 2]}}}, {"BinaryExpr": {"op": "And"}},
    {"Function": {"input": [{"Column": "a"}, {"Literal": {"Scalar": {"List": [1]}}}], "function": {"Boolean": {"IsIn": {"nulls_equal": 1}}}}}],
    ids=str)  # fmt: skip
def test_another_version_of_the_json_is_unknown(serialized):
    class Meta:
        def serialize(self, **options):
            assert options == {"format": "json"}
            return json.dumps(serialized)

    class Expr:
        meta = Meta()

    assert isinstance(read(Expr()), tree.Unknown)


def test_what_lies_beside_a_deep_expression_is_read():
    deep = c("a")
    for _ in range(150):
        deep = deep.abs()
    assert isinstance(read(deep), tree.Unknown)
    for each in (read((c("b") == 1) & (deep > 1)), read((deep + 1 > 1) & (c("b") == 1))):
        assert tree.Compare("==", tree.Column("b"), tree.Value(1)) in each.operands


def test_reading_what_it_does_not_know_takes_no_longer_the_deeper_it_lies():
    deep = c("a")
    for _ in range(40):  # each level read twice would be 2 ** 40 readings
        deep = deep.is_nan()
    assert tree.render(read(deep)).startswith("isnan(isnan(")


def test_reads_the_lists_of_is_in():
    cast = c("a").is_in(pl.lit([1, 2], dtype=pl.List(pl.Int64)).cast(pl.List(pl.Int32)))
    assert read(cast) == tree.IsIn(tree.Column("a"), (1, 2), nulls_equal=False)


def test_enums_are_text():
    schema = {"run_id": pl.Enum(["a1", "b2"]), "group": pl.Enum(["x"])}
    expr = c("run_id").is_in(["a1"]) & (c("group") == "x") & (c("group") < "x")
    for each in (expr, optimized(expr, schema)):
        pushed = [conjunct.pushed for conjunct in push_runs(each, schema).conjuncts]
        assert sorted(pushed, key=lambda found: str(found or "")) == [
            None,
            {"group": "x"},
            {"name": "a1"},
        ]


def handed(query, schema):
    """Collect a query over a source and give the predicate that the source got."""
    seen = []

    def source(columns, predicate, n_rows, batch_size):
        seen.append(predicate)
        frame = pl.DataFrame(schema=schema)
        if predicate is not None and (applied := without_dynamic(predicate)) is not None:
            frame = frame.filter(applied)
        yield frame if columns is None else frame.select(columns)

    query(register_io_source(source, schema=schema)).collect()
    return seen[0]


def test_the_condition_of_a_top_k_is_dropped():
    schema = {"run_id": pl.String(), "config.f": pl.Float64()}
    alone = handed(lambda frame: frame.sort("config.f").head(1), schema)
    assert push_runs(alone, schema) == Pushdown()
    assert alone is None or without_dynamic(alone) is None
    joined = handed(
        lambda frame: frame.filter(run_id == "a", c("config.f") < NAN).sort("config.f").head(1),
        schema,
    )
    assert to_dict(push_runs(joined, schema).filter) == {"name": "a"}
    frame = pl.DataFrame({"run_id": ["a", "b"], "config.f": [0.5, 0.5]})
    assert frame.filter(without_dynamic(joined)).rows() == [("a", 0.5)]


def test_other_predicates_are_left_alone():
    function = c("a").map_elements(lambda each: bool(hash(each) % 2), return_dtype=pl.Boolean)
    named = c("dynamic_pred") > 1
    for expr in (c("a") > 1, function, named, named | c("b")):
        assert without_dynamic(expr) is expr
