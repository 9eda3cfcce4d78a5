"""Filters in the server's language: they go as they are, and what is odd about them is said."""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager

import polars as pl
import pytest

import wbframe.pandas
from wbframe import arrow
from wbframe.buckets import read_buckets, scan_buckets
from wbframe.errors import FilterError, FilterWarning, QueryError
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.server import Features, History, Project, RunRecord, serve

RUNS = tuple(
    RunRecord(
        name=f"r{i}",
        display_name=f"seed-{i}",
        config={"lr": 0.1 * i, "opt": {"name": "adam"}, "a.b": i},
        summary={"best": {"acc": i}},
        tags=("a", "b") if i else ("a",),
        commit=f"c{i}",
        run_info={"program": f"train{i}.py"},
        history=History([{"x": i}]),
        created_at=f"2026-01-0{i + 1}T00:00:00Z",
    )
    for i in range(3)
)
PROJECT = Project(entity="e", name="p", runs=RUNS)


@contextmanager
def served(**options):
    with serve(PROJECT, **options) as server, wbframe.Client(server.url, server.api_key) as client:
        yield server, client


def sent(server):
    """Give the filters of all lists of runs, but those of looks at any runs."""
    found = [each.variables.get("filters", "{}") for each in server.requests]
    return [json.loads(each) for each in dict.fromkeys(found) if each != "{}"]


FITS = [
    ({"commit": "c1"}, ["r1"]),
    ({"runInfo.program": "train2.py"}, ["r2"]),
    ({"config.lr": {"$not": {"$gt": 0.15}}}, ["r0", "r1"]),
    ({"$not": {"name": "r0"}}, ["r1", "r2"]),
    ({"displayName": {"$contains": "seed-1"}}, ["r1"]),
    ({"tags": {"$contains": "b"}}, ["r1", "r2"]),
    ({"$and": []}, ["r0", "r1", "r2"]),
    ({"$and": [{"name": "r1"}]}, ["r1"]),
    ({"config.opt.value.name": "adam"}, ["r0", "r1", "r2"]),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("filters", "wanted"), FITS, ids=str)
def test_a_document_goes_as_it_is(filters, wanted):
    with served() as (server, client):
        for read in (
            lambda: read_runs("e/p", columns=["run_id"], filters=filters, client=client),
            lambda: scan_runs("e/p", filters=filters, client=client).collect(),
            lambda: read_histories("e/p", filters=filters, client=client),
            lambda: scan_histories("e/p", filters=filters, client=client).collect(),
            lambda: wbframe.pandas.read_runs("e/p", filters=filters, client=client),
        ):
            server.clear()
            assert list(read()["run_id"]) == wanted
            assert sent(server) == [filters]
        assert (
            arrow.read_runs("e/p", filters=filters, client=client)["run_id"].to_pylist() == wanted
        )
        runs = wbframe.Api(client=client).runs("e/p", filters=filters)
        assert sorted(run.id for run in runs) == wanted


def test_a_refusal_says_what_is_known_of_the_operator():
    filters = {"tags": {"$all": ["a", "b"]}}
    with served() as (server, client):
        with pytest.raises(QueryError, match=r"W&B has been seen to refuse `\$all`.*`\$and`"):
            read_runs("e/p", filters=filters, client=client)
        assert sent(server) == [filters]


def test_an_operator_that_nobody_knows_is_the_servers_to_refuse():
    filters = {"state": {"$fancy": "failed"}}
    with served() as (server, client):
        with pytest.raises(QueryError, match=r"`\$fancy`.*W&B does not document `\$fancy`"):
            read_runs("e/p", filters=filters, client=client)
        assert sent(server) == [filters]


ODD = {
    "no such key": ({"config.lrr": 1}, r"no column 'config\.lrr'.*Did you mean 'config\.lr'"),
    "in a list": ({"$or": [{"state": "failed"}, {"summary_metrics.acc": 1}]}, r"'summary\.acc'"),
    "the server's spelling": ({"config.lrr.value": 1}, r"no column 'config\.lrr'"),
    "nested": ({"config.opt.value.nam": 1}, r"Did you mean 'config\.opt\.name'"),
    "an object": ({"config.opt": "adam"}, r"Did you mean 'config\.opt\.name'"),
    "a key with a dot": ({"config.a.b": 1}, r"does not find keys that contain dots.*pl\.col\('config\.a\.b'\)"),
    "a nested key": ({"config.opt.name": "sgd"}, r"spells a nested one `config\.opt\.value\.name`"),
    "a name": ({"name": "seed-1"}, "frame calls name is `displayName`"),
    "an id": ({"id": "r1"}, "calls a run's id `name`"),
    "a field": ({"runInfo.prog": "x"}, "does not document `runInfo.prog`"),
}  # fmt: skip


@pytest.mark.parametrize(("filters", "said"), ODD.values(), ids=ODD)
def test_no_run_at_all_is_not_silent_where_a_filter_names_what_no_run_has(filters, said):
    with served() as (_, client):
        for read in (
            lambda: read_runs("e/p", columns=["run_id"], filters=filters, client=client),
            lambda: read_runs("e/p", filters=filters, client=client),
            lambda: scan_runs("e/p", filters=filters, client=client).collect(),
            lambda: read_histories("e/p", keys=["x"], filters=filters, client=client),
            lambda: scan_histories("e/p", keys=["x"], filters=filters, client=client).collect(),
            lambda: read_buckets("e/p", keys=["x"], filters=filters, client=client),
            lambda: scan_buckets("e/p", keys=["x"], filters=filters, client=client).collect(),
            lambda: wbframe.Api(client=client).runs("e/p", filters).to_polars(),
            lambda: wbframe.Api(client=client).runs("e/p", filters).histories(format="polars"),
        ):
            with pytest.warns(FilterWarning, match=said) as warned:
                assert read().height == 0
            assert {each.filename for each in warned} == {__file__}
        for take in (list, len):
            with pytest.warns(FilterWarning, match=said):
                assert not take(wbframe.Api(client=client).runs("e/p", filters))


def test_the_drop_in_asks_as_the_sdk_does_and_tells_of_names_that_are_surely_none():
    filters = {"jobtype": "train"}
    none = {"runCount": 0, "runs": {"edges": [], "pageInfo": {"hasNextPage": False}}}
    with served() as (server, client):
        # A server that takes any name.
        server.fail(status=200, body=json.dumps({"data": {"project": none}}).encode())
        with pytest.warns(FilterWarning, match="Did you mean 'jobType'"):
            assert list(wbframe.Api(client=client).runs("e/p", filters)) == []
        assert sent(server) == [filters]


@pytest.mark.filterwarnings("error")
def test_runs_that_an_expression_leaves_out_have_passed_the_filters():
    here, none = {"name": "r0"}, pl.col("config.lr") > 1e6
    with served() as (_, client):
        lazy = scan_runs("e/p", filters=here, client=client)
        assert lazy.collect().height == 1
        assert lazy.filter(none).collect().height == 0
        rows = {"keys": ["x"], "run_columns": ["config.lr"], "samples": 5, "client": client}
        assert scan_histories("e/p", filters=here, **rows).filter(none).collect().height == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "filters",
    [
        {"state": "failed"},
        {"config.lr": {"$gt": 5}},
        {"config.lr.value": 7},
        {"group": "none"},
        {"config.opt.value.name": "sgd"},
    ],
    ids=str,
)
def test_no_run_is_no_news_where_all_names_are_there(filters):
    for features in (None, Features(fields=False)):
        with served(features=features) as (_, client):
            assert read_runs("e/p", filters=filters, client=client).height == 0
            assert scan_runs("e/p", filters=filters, client=client).collect().height == 0


def test_a_filter_that_runs_pass_costs_no_more():
    with served() as (server, client):
        found = read_runs("e/p", columns=["run_id"], filters={"config.lr": 0.1}, client=client)
        assert found.height == 1
        assert len(server.requests) == 1


def test_a_key_that_the_index_lacks_is_looked_for_in_runs():
    with served(differing={"index_lacks": "config"}) as (_, client), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_runs("e/p", filters={"config.lr": 9}, client=client).height == 0


def test_names_of_ours_are_told_in_the_servers_words_before_any_request():
    with served() as (server, client):
        for filters, said in [
            ({"run_id": "r1"}, "calls a run's id `name`"),
            ({"summary.best.acc": 1}, r"`summary_metrics\.best\.acc`"),
            ({"stat": "finished"}, "Did you mean 'state'"),
            ({"state": {"$neq": "failed"}}, r"Did you mean '\$ne'"),
        ]:
            with pytest.raises(FilterError, match=said):
                read_runs("e/p", filters=filters, client=client)
        assert not server.requests


def test_an_expression_is_not_a_filter_of_the_server():
    with served() as (_, client), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_runs("e/p", filters=pl.col("name") == "nobody", client=client).height == 0
