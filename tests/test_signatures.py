"""What the readers take is spelled out at each, so that editors show it; here all are held to one list of each kind.

The lists are those of the functions that check the arguments. Readers hand on by name, so one list also means
that nothing is taken and then forgotten.
"""

from __future__ import annotations

import functools
import inspect
import re
from inspect import Parameter

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import wbframe.arrow
import wbframe.buckets
import wbframe.namespaces
import wbframe.pandas
import wbframe.polars
from wbframe.core.arguments import INFER_SCHEMA_RUNS, call_with, history_scan, runs_scan
from wbframe.core.model import DEFAULT_BINS
from wbframe.errors import UsageError

PLACES = {
    "polars": wbframe.polars,
    "buckets": wbframe.buckets,
    "arrow": wbframe.arrow,
    "pandas": wbframe.pandas,
    "FrameNamespace": wbframe.namespaces.FrameNamespace,
    "LazyFrameNamespace": wbframe.namespaces.LazyFrameNamespace,
    "pandas.FrameAccessor": wbframe.pandas.FrameAccessor,
}


def parameters(function):
    """Give what a function takes, by name; annotations are the text in its source."""
    found = dict(inspect.signature(function).parameters)
    found.pop("self", None)
    return found


def option(name, annotation, default=None):
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def fit(given, *, without="", **instead):
    """Give a list without some of its names, and with others in their places."""
    kept = {name: each for name, each in given.items() if name not in without.split()}
    return {each.name: each for name in kept for each in instead.get(name, [kept[name]])}


# ---------------------------------------------------------------- the lists

KEYS = option("keys", "Sequence[str] | None")
RUNS = parameters(runs_scan)
# The check also takes one text, to say what is wrong with it.
HISTORIES = fit(parameters(history_scan), keys=[KEYS])
BUCKETS = fit(
    HISTORIES,
    without="samples match schema_overrides on_incomplete",
    keys=[
        KEYS,
        option("bins", "int", DEFAULT_BINS),
        option("grid", "GridOf", "run"),
        option("edges", "Iterable[float] | None"),
    ],
    x_axis=[option("x_axis", "str | None")],
)
# The frame says which runs.
OF_FRAME = [option("path", "str | None")]
RUNS_OF_FRAME = fit(RUNS, without="filters order limit per_page", path=OF_FRAME)
ROWS_OF_FRAME = fit(HISTORIES, without="filters order limit", path=OF_FRAME)
BUCKETS_OF_FRAME = fit(BUCKETS, without="filters order limit", path=OF_FRAME)

# What comes after the lists, in this order: how the result is handed out.
BESIDE = {
    each.name: each
    for each in (
        option("infer_schema_runs", "int", INFER_SCHEMA_RUNS),
        option("on_new_key", "OnNewKey", "ignore"),
        option("batch_size", "int | None"),
        option("convert_integer", "bool", False),
        option("dtype_backend", "DtypeBackend", "numpy"),
        option("client", "Client | Api | None"),
        option("progress", "bool | Hook | None"),
    )
}

READERS = {
    "polars.read_runs": (RUNS, "convert_integer client progress"),
    "polars.scan_runs": (RUNS, "infer_schema_runs on_new_key client"),
    "arrow.read_runs": (RUNS, "convert_integer client progress"),
    "arrow.runs_reader": (RUNS, "client"),
    "pandas.read_runs": (RUNS, "convert_integer dtype_backend client progress"),
    "polars.read_histories": (HISTORIES, "convert_integer client progress"),
    "polars.scan_histories": (HISTORIES, "infer_schema_runs on_new_key client"),
    "arrow.read_histories": (HISTORIES, "convert_integer client progress"),
    "arrow.histories_reader": (HISTORIES, "batch_size client"),
    "pandas.read_histories": (HISTORIES, "convert_integer dtype_backend client progress"),
    "pandas.iter_histories": (HISTORIES, "batch_size dtype_backend client"),
    "buckets.read_buckets": (BUCKETS, "client progress"),
    "buckets.scan_buckets": (BUCKETS, "infer_schema_runs on_new_key client"),
    "arrow.read_buckets": (BUCKETS, "client progress"),
    "arrow.buckets_reader": (BUCKETS, "batch_size client"),
    "pandas.read_buckets": (BUCKETS, "dtype_backend client progress"),
    "pandas.iter_buckets": (BUCKETS, "batch_size dtype_backend client"),
    "FrameNamespace.buckets": (BUCKETS_OF_FRAME, "client progress"),
    "LazyFrameNamespace.buckets": (BUCKETS_OF_FRAME, "infer_schema_runs on_new_key client"),
    "pandas.FrameAccessor.buckets": (BUCKETS_OF_FRAME, "dtype_backend client progress"),
    "FrameNamespace.runs": (RUNS_OF_FRAME, "convert_integer client progress"),
    "LazyFrameNamespace.runs": (RUNS_OF_FRAME, "infer_schema_runs on_new_key client"),
    "pandas.FrameAccessor.runs": (RUNS_OF_FRAME, "convert_integer dtype_backend client progress"),
    "FrameNamespace.histories": (ROWS_OF_FRAME, "convert_integer client progress"),
    "LazyFrameNamespace.histories": (ROWS_OF_FRAME, "infer_schema_runs on_new_key client"),
    "pandas.FrameAccessor.histories": (
        ROWS_OF_FRAME,
        "convert_integer dtype_backend client progress",
    ),
}
READER = pytest.mark.parametrize("name", READERS)


def reader(name):
    place, _, function = name.rpartition(".")
    return getattr(PLACES[place], function)


def wanted(name):
    given, beside = READERS[name]
    return given | {each: BESIDE[each] for each in beside.split()}


def differences(wanted, got):
    """Say how one list of parameters differs from that which it should be."""
    told = [f"lacks `{wanted[name]}`" for name in wanted.keys() - got.keys()]
    told += [f"alone takes `{got[name]}`" for name in got.keys() - wanted.keys()]
    told += [
        f"has `{got[name]}` for `{wanted[name]}`"
        for name in wanted.keys() & got.keys()
        if wanted[name] != got[name]
    ]
    if not told and list(wanted) != list(got):
        told.append(f"has the order {', '.join(got)} for {', '.join(wanted)}")
    return sorted(told)


# ---------------------------------------------------------------- all are held to them


@READER
def test_a_reader_takes_what_the_others_of_its_kind_take(name):
    told = differences(wanted(name), parameters(reader(name)))
    assert not told, f"wbframe.{name} {'; '.join(told)}"


def test_no_reader_is_left_out():
    found = {
        f"{place}.{name}"
        for place, holder in PLACES.items()
        for name in getattr(holder, "__all__", vars(holder))
        if not name.startswith("_") and inspect.isfunction(getattr(holder, name))
    }
    assert found - {"polars.report_of", "buckets.bucket_scan"} == READERS.keys()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (fit(RUNS, without="limit"), r"lacks `limit: 'int \| None' = None`"),
        (RUNS | {"bins": option("bins", "int", 3)}, "alone takes `bins: 'int' = 3`"),
        (fit(RUNS, limit=[option("limit", "int", 3)]), r"has `limit: 'int' = 3` for `limit: 'int \| None' = None`"),
        (fit(RUNS, path=[RUNS["path"].replace(kind=Parameter.POSITIONAL_ONLY)]), "has `path: .*` for `path: .*`"),
        (dict(reversed(RUNS.items())), "has the order on_error, .*, path for path, .*, on_error"),
    ],
)  # fmt: skip
def test_each_difference_is_told(changed, told):
    (found,) = differences(RUNS, changed)
    assert re.fullmatch(told, found)


# ---------------------------------------------------------------- and hand it on

WRONG = {
    "columns": 3,
    "keys": 3,
    "samples": 0,
    "bins": 0,
    "grid": "x",
    "edges": [1],
    "x_axis": 3,
    "stream": "x",
    "match": "x",
    "run_columns": 3,
    "min_step": -1,
    "max_step": -1,
    "filters": 3,
    "order": "",
    "limit": -1,
    "per_page": 0,
    "schema_overrides": 3,
    "on_incomplete": "x",
    "on_error": "x",
    "infer_schema_runs": 0,
    "on_new_key": "x",
    "batch_size": 0,
    "convert_integer": "x",
    "dtype_backend": "x",
    "client": "x",
    "progress": "x",
}


def called(name):
    """Give a reader of a path or of a frame, ready to be called with options."""
    run = {"entity": ["e"], "project": ["p"], "run_id": ["r"]}
    place, _, function = name.rpartition(".")
    frames = {
        "FrameNamespace": pl.DataFrame(run),
        "LazyFrameNamespace": pl.LazyFrame(run),
        "pandas.FrameAccessor": pd.DataFrame(run),
    }
    if place in frames:
        return getattr(frames[place].wandb, function)
    return functools.partial(reader(name), "e/p")


def rows_of(found):
    """Give what a reader gave as a polars frame."""
    if isinstance(found, pl.LazyFrame):
        return found.collect()
    if hasattr(found, "read_all"):
        found = found.read_all()
    if not isinstance(found, pl.DataFrame | pa.Table | pd.DataFrame):
        (found,) = found
    return found if isinstance(found, pl.DataFrame) else pl.DataFrame(found)


@READER
def test_a_reader_hands_on_all_that_it_takes(name):
    # No request of which can succeed.
    client = wbframe.Client("http://127.0.0.1:9", "k" * 40, retry=wbframe.RetryPolicy(tries=1))
    for each in wanted(name).keys() - {"path"}:
        with pytest.raises(UsageError, match=f"`{each}` must"):
            called(name)(**{"client": client, each: WRONG[each]})


def test_a_call_with_the_arguments_of_another_function():
    def inner(path, *, keys=None, limit=7):
        return path, keys, limit

    def outer(path, keys=None, *, client=None):
        return call_with(inner, locals()), call_with(inner, locals(), path=client, limit=3)

    assert outer("e/p", ["a"], client="c") == (("e/p", ["a"], 7), ("c", ["a"], 3))
    with pytest.raises(TypeError, match="'path'"):
        call_with(inner, {"keys": None})
    with pytest.raises(TypeError, match="'lmit'"):
        call_with(inner, {}, path="e/p", lmit=3)
