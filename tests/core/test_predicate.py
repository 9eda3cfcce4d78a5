from __future__ import annotations

import datetime as dt
import functools
import json
import math
import operator
import re
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.io.plugins import register_io_source

from wbframe.core import nodes
from wbframe.core.expression import read
from wbframe.core.filters import MISSING, matches, parse, to_dict, to_json
from wbframe.core.predicate import HistoryPushdown, Pushdown, push_history, push_runs

UTC = dt.timezone.utc
EAST = dt.timezone(dt.timedelta(hours=2))
NAN = float("nan")
c = pl.col

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
    "user": (c("user") == "x", {"username": "x"}, "superset"),
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
}


@pytest.mark.parametrize(("expr", "value"), READ.values(), ids=READ)
def test_reads_constants(expr, value):
    assert read(expr) == nodes.Value(value)


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
        pl.element(),
    ],
    ids=str,
)
def test_what_it_does_not_know_is_unknown(expr):
    assert isinstance(read(expr), (nodes.Unknown, nodes.Cast))


@pytest.mark.parametrize("tree", [None, 1, [], {}, {"a": 1, "b": 2}, {"Column": 1}, {"BinaryExpr": 3},
    {"Function": {}}, {"Function": {"input": [], "function": {"Boolean": "IsNull"}}}, {"Literal": 1}, {"Cast": {}},
    {"Literal": {"Scalar": {"List": [1, 2]}}}, {"BinaryExpr": {"op": "And"}},
    {"Function": {"input": [{"Column": "a"}, {"Literal": {"Scalar": {"List": [1]}}}], "function": {"Boolean": {"IsIn": {"nulls_equal": 1}}}}}],
    ids=str)  # fmt: skip
def test_another_version_of_the_json_is_unknown(tree):
    class Meta:
        def serialize(self, *, format):
            assert format == "json"
            return json.dumps(tree)

    class Expr:
        meta = Meta()

    assert isinstance(read(Expr()), nodes.Unknown)


HISTORY = {
    "run_id": pl.String(),
    "_step": pl.Int64(),
    "_timestamp": pl.Float64(),
    "train/loss": pl.Float64(),
    "state": pl.String(),
    "config.f": pl.Float64(),
}
step, run_id = c("_step"), c("run_id")
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


# The oracle: whatever the predicate keeps of a frame, the server keeps of the runs, in both
# readings and however it indexes what is not a plain number.

patient = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
TOKEN = {"NaN": NAN, "Infinity": math.inf, "-Infinity": -math.inf}
plain_numbers = st.sampled_from(
    [0, 1, -1, 2, 3.0, 0.5, 0.1, -2.5, 1e-05, 1e-07, 123456789, 1e16, 1e22, 2**53, 2**53 + 1, -(2**53) - 1, 2**60 + 1, 2**63 - 1, 10**20]
)  # fmt: skip
whole_numbers = st.sampled_from([0, 1, -1, 2, 7, 2**53, 2**53 + 1, -(2**53) - 1, 2**60 + 1, 2**62])
token = st.sampled_from(list(TOKEN))
word = st.sampled_from(["", " ", "adam", "sgd", "1", "1.0", "0.5", "true", "null", "NaN", "[1]", "1e-05", "Adam"])  # fmt: skip
odd = st.sampled_from([[1, 2], ["adam"], {"a": 1}, [], True, False])
absent = st.sampled_from([MISSING, None])
KINDS = {
    "f": st.one_of(plain_numbers, plain_numbers, token, absent),
    "i": st.one_of(whole_numbers, whole_numbers, absent),
    "s": st.one_of(word, word, plain_numbers, token, odd, absent),
    "b": st.one_of(st.booleans(), absent),
}
META = {
    "run_id": st.sampled_from(["a1", "b2", "c3", "Ab", "a+b"]),
    "state": st.sampled_from(["finished", "running", "crashed", None]),
    "name": st.sampled_from(["x", "run-7", "a.b", "ab", "", None]),
    "group": st.sampled_from(["g", "G", "a.b", "run-7", "", None]),
    "created_at": st.sampled_from(
        [T0, T0 + dt.timedelta(seconds=1), T1, T1 - dt.timedelta(seconds=1)]
    ),
    "heartbeat_at": st.sampled_from([T0, T1, None]),
    "tags": st.sampled_from([["best"], ["best", "x"], [], None, [""]]),
}


@st.composite
def projects(draw):
    """Runs as the server stores them."""
    runs = []
    for _ in range(draw(st.integers(1, 6))):
        run = {name: draw(values) for name, values in META.items()}
        run["config"] = {key: draw(values) for key, values in KINDS.items()}
        run["summary"] = {key: draw(values) for key, values in KINDS.items()}
        run["micros"] = draw(st.sampled_from([0, 1, 500_000, 999_999]))
        run["non_finite"] = draw(st.sampled_from(["text", None, MISSING]))
        run["doubles"] = draw(st.booleans())
        runs.append(run)
    return runs


def spelled(value):
    """What a column shows of a value of mixed types."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def frame_of(runs):
    """The runs frame of those runs."""
    columns = {name: [run[name] for run in runs] for name in META}
    for part in ("config", "summary"):
        for key in KINDS:
            values = [run[part][key] for run in runs]
            values = [None if each is MISSING else each for each in values]
            if key == "f":
                values = [TOKEN.get(each, each) for each in values]
                values = [None if each is None else float(each) for each in values]
            columns[f"{part}.{key}"] = [spelled(e) for e in values] if key == "s" else values
    return pl.DataFrame(columns, schema={name: SCHEMA[name] for name in columns})


PATHS = {
    "name": "run_id",
    "displayName": "name",
    "state": "state",
    "group": "group",
    "tags": "tags",
}


def stored(run):
    """The lookup of one run, as a server might index it."""

    def lookup(path):
        if path in PATHS:
            return run[PATHS[path]]
        if path in ("createdAt", "heartbeatAt"):
            moment = run["created_at" if path == "createdAt" else "heartbeat_at"]
            return moment and (moment + dt.timedelta(microseconds=run["micros"])).isoformat()
        prefix, key, *rest = path.split(".")
        assert rest == (["value"] if prefix == "config" else [])
        value = run["config" if prefix == "config" else "summary"][key]
        if run["doubles"] and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if prefix == "summary_metrics" and isinstance(value, str) and value in TOKEN:
            value = value if run["non_finite"] == "text" else run["non_finite"]
        return value

    return lookup


ORDERS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
moments = st.sampled_from([T0, T1, T0 + dt.timedelta(microseconds=5), T1 - dt.timedelta(seconds=1)])
texts = st.one_of(word, st.sampled_from(["finished", "running", "x", "g", "ab", "a1", "a+b"]))
patterns = st.sampled_from(["a", "a.b", "run-7", "[a-c]1", "x|g", "a+b", "(ab)?", "^a", r"\d", ""])
keys = st.sampled_from(["config", "summary"])


@st.composite
def leaves(draw):
    kind = draw(st.sampled_from(["f", "f", "i", "s", "b", "text", "time", "tags"]))
    if kind == "tags":
        return draw(
            st.sampled_from(
                [c("tags").list.contains("best"), c("tags").list.contains(""), c("tags").is_null()]
            )
        )
    columns = {"text": ["run_id", "state", "name", "group"], "time": ["created_at", "heartbeat_at"]}
    column = c(draw(st.sampled_from(columns.get(kind, [f"config.{kind}", f"summary.{kind}"]))))
    values = {
        "f": plain_numbers.map(float),
        "i": whole_numbers,
        "b": st.booleans(),
        "time": moments,
    }
    values = values.get(kind, texts)
    compared = st.builds(
        lambda op, value, flip: op(pl.lit(value), column) if flip else op(column, value),
        st.sampled_from(ORDERS), values, st.booleans(),
    )  # fmt: skip
    forms = [
        compared,
        compared,
        st.just(column.is_null()),
        values.map(column.eq_missing),
        values.map(column.ne_missing),
        st.builds(
            lambda chosen, nulls: (
                column.is_in(
                    pl.Series(chosen, dtype=None if chosen else pl.Null), nulls_equal=nulls
                )
                if chosen
                else column.is_null()
            ),
            st.lists(values, max_size=3),
            st.booleans(),
        ),  # fmt: skip
    ]
    if kind == "b":
        forms = [st.just(column), *forms[2:3], st.sampled_from([column == True, column != True])]  # noqa: E712
    if kind in ("f", "i", "time"):
        forms.append(
            st.builds(lambda low, high, closed: column.is_between(low, high, closed),
                      values, values, st.sampled_from(["both", "left", "right", "none"]))
        )  # fmt: skip
    if kind in ("s", "text"):
        forms += [
            values.map(column.str.starts_with),
            values.map(column.str.ends_with),
            st.builds(column.str.contains, values, literal=st.just(True)),
            patterns.map(column.str.contains),
        ]
    return draw(st.one_of(forms))


expressions = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(operator.and_, inner, inner),
        st.builds(operator.or_, inner, inner),
        inner.map(operator.invert),
    ),
    max_leaves=5,
)


@patient
@given(projects(), expressions)
def test_the_server_keeps_every_run_that_the_predicate_keeps(runs, expr):
    frame = frame_of(runs)
    kept = frame.select(expr.fill_null(False)).to_series().to_list()
    for each in (expr, optimized(expr, frame.schema)):
        pushdown = push_runs(each, frame.schema)
        if pushdown.filter is None:
            continue
        for run, wanted in zip(runs, kept, strict=True):
            for reading in ("mongo", "sql"):
                fits = matches(pushdown.filter, stored(run), reading=reading)
                assert fits or not wanted
                assert fits is wanted or not pushdown.exact
        assert pushdown.filter == parse(json.loads(to_json(pushdown.filter)))


rows = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]), st.integers(-3, 12), st.sampled_from([0.0, 5.5, 7.0])
    ),
    min_size=1,
    max_size=8,
)
history_leaves = st.one_of(
    st.builds(lambda op, value: op(step, value), st.sampled_from(ORDERS), st.one_of(st.integers(-3, 12), st.sampled_from([2.5, 2.0**60]))),
    st.builds(lambda op, value: op(c("_timestamp"), value), st.sampled_from(ORDERS), st.sampled_from([0.0, 5.5, 6.0])),
    st.builds(lambda op, value: op(run_id, value), st.sampled_from(ORDERS), st.sampled_from("abc")),
    st.lists(st.integers(-3, 12), min_size=1, max_size=3).map(step.is_in),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=2).map(run_id.is_in),
    st.builds(step.is_between, st.integers(-3, 5), st.integers(3, 12), st.sampled_from(["both", "left", "right", "none"])),
)  # fmt: skip
history_expressions = st.recursive(
    history_leaves,
    lambda inner: st.one_of(
        st.builds(operator.and_, inner, inner),
        st.builds(operator.or_, inner, inner),
        inner.map(operator.invert),
    ),
    max_leaves=6,
)


@patient
@given(rows, history_expressions)
def test_the_windows_hold_every_row_that_the_predicate_keeps(rows, expr):
    schema = {name: HISTORY[name] for name in ("run_id", "_step", "_timestamp")}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    kept = frame.select(expr).to_series().to_list()
    for each in (expr, optimized(expr, schema)):
        pushdown = push_history(each, schema)
        for (name, at, now), wanted in zip(rows, kept, strict=True):
            inside = (
                (pushdown.run_ids is None or name in pushdown.run_ids)
                and (pushdown.min_step is None or pushdown.min_step <= at)
                and (pushdown.max_step is None or at < pushdown.max_step)
                and (pushdown.min_timestamp is None or pushdown.min_timestamp <= now)
                and (pushdown.max_timestamp is None or now <= pushdown.max_timestamp)
                and (
                    pushdown.run.filter is None
                    or matches(pushdown.run.filter, {"name": name}.get, reading="sql")
                )
            )
            assert inside or not wanted
            assert inside is wanted or not pushdown.exact
