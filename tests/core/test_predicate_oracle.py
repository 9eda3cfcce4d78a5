"""Whatever a predicate keeps of a frame, the pushed form keeps of what the server stores."""

from __future__ import annotations

import datetime as dt
import json
import math
import operator

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.test_history_predicate import HISTORY, step
from tests.core.test_predicate import NAN, SCHEMA, T0, T1, c, optimized, run_id
from wbframe.core.filters import parse, to_json
from wbframe.core.pushdown.conjuncts import push_history, push_runs
from wbframe.server.api.matching import MISSING, matches

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
    "user": st.sampled_from(["x", "ab", "Jo Doe", None]),
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
        run["username"] = draw(st.sampled_from([run["user"], "", None, MISSING]))
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
    "username": "username",
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
patterns = st.sampled_from(["a", "a.b", "run-7", "[a-c]1", "x|g", "a+b", "(ab)?", "^a", r"\d", ""])
keys = st.sampled_from(["config", "summary"])


@st.composite
def leaves(draw):
    kind = draw(st.sampled_from(["f", "f", "i", "s", "b", "text", "text", "time", "tags"]))
    if kind == "tags":
        return draw(
            st.sampled_from(
                [c("tags").list.contains("best"), c("tags").list.contains(""), c("tags").is_null()]
            )
        )
    columns = {
        "text": ["run_id", "state", "name", "group", "user"],
        "time": ["created_at", "heartbeat_at"],
    }
    name = draw(st.sampled_from(columns.get(kind, [f"config.{kind}", f"summary.{kind}"])))
    column = c(name)
    values = {
        "f": plain_numbers.map(float),
        "i": whole_numbers,
        "b": st.booleans(),
        "time": moments,
    }
    values = values.get(kind, word)
    if kind == "text":
        values = META[name].filter(bool)
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
        ),
    ]
    if kind == "b":
        forms = [st.just(column), *forms[2:3], st.sampled_from([column == True, column != True])]  # noqa: E712
    if kind in ("f", "i", "time"):
        forms.append(
            st.builds(
                column.is_between,
                values,
                values,
                st.sampled_from(["both", "left", "right", "none"]),
            )
        )
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
