"""What drives the plans: pages, refusals, look-ahead, and their ends."""

from __future__ import annotations

import json
import threading
from functools import partial

import polars as pl
import pytest

import wbframe
from tests.meeting import requests_meet
from wbframe.core.model import RunPath
from wbframe.core.protocol.request import FIELDS
from wbframe.errors import (
    ColumnError,
    PrecisionWarning,
    QueryError,
    RefusedKeyError,
    SchemaMismatchError,
)
from wbframe.io.read.parts import optionally
from wbframe.io.read.project import read_index
from wbframe.io.threads import side_by_side
from wbframe.polars import read_histories, read_runs
from wbframe.server import Features, History, Project, RunRecord, serve, synthetic

PATH = RunPath(entity="wbframe", project="ragged")


@pytest.fixture
def client(server):
    with wbframe.Client(server.url, server.api_key) as made:
        yield made


# ---------------------------------------------------------------- the index and refusals


def test_a_large_index_comes_page_by_page():
    summary = {f"key {i}": i for i in range(2300)}
    project = Project(entity="e", name="p", runs=(RunRecord(name="r", summary=summary),))
    with serve(project) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = read_runs("e/p", client=client)
        asked = sorted(request.operation for request in server.requests)
        assert asked == ["Fields", "Fields", "Fields", "Runs"]
    assert frame.select(pl.selectors.starts_with("summary.")).sum_horizontal().item() == sum(
        range(2300)
    )


def test_the_first_page_does_not_wait_for_the_index(client, server, monkeypatch):
    requests_meet(client, monkeypatch, 2)
    with pytest.warns(PrecisionWarning):
        assert read_runs("wbframe/ragged", client=client).height
    # The columns that have text among numbers are looked at in all runs, which that page holds.
    assert sorted(each.operation for each in server.requests) == ["Fields", "Runs"]


@pytest.mark.parametrize(
    "read",
    [
        partial(read_runs, columns=["run_id", "config.lr"]),
        partial(read_runs, columns=["run_id", "config.outer.inner.dotted"]),
        partial(read_runs, columns=["summary.new"], schema_overrides={"summary.new": pl.String}),
        partial(read_histories, keys=["train/loss"], run_columns=["config.lr", "state"]),
    ],
)
def test_named_columns_do_not_wait_for_the_index(client, server, monkeypatch, read):
    requests_meet(client, monkeypatch, 2)
    assert read("wbframe/ragged", limit=5, client=client).height
    assert {each.operation for each in server.requests} >= {"Fields", "Runs"}
    # The page that was asked for ahead is that of the read.
    pages = [each.variables for each in server.requests if each.operation == "Runs"]
    # Where no run has what is asked for, one is asked for all it has.
    named = [
        page for page in pages if page["first"] == 5 and {"configKeys", "summaryKeys"} & page.keys()
    ]
    assert len(named) == 1


def test_names_that_the_index_lacks_are_an_error_all_the_same(client, server):
    with pytest.raises(ColumnError, match=r"no column 'config\.ler'"):
        read_runs("wbframe/ragged", columns=["config.ler"], client=client)


def test_no_page_is_asked_for_where_no_run_is_wanted():
    with serve(synthetic(runs=3, rows=1, keys=1)) as plain:
        own = wbframe.Client(plain.url, plain.api_key)
        assert read_runs("wbframe/synthetic", limit=0, client=own).height == 0
        # Columns are those of the index, and of the last runs, which it may not have yet.
        assert sorted(each.operation for each in plain.requests) == ["Fields", "Runs"]


def test_the_indices_of_several_projects_are_united(client, server):
    index = read_index(client, [PATH, RunPath(entity="wbframe", project="odd"), PATH])
    assert len(server.requests) == 2
    assert "config.lr" in index
    assert "summary.loss" in index


REFUSAL = b'{"errors": [{"message": "Cannot query field \'fields\' on type \'Project\'."}]}'
OTHER = b'{"errors": [{"message": "out of cheese"}]}'


@pytest.mark.parametrize("body", [REFUSAL, OTHER])
@pytest.mark.parametrize("status", [200, 400, 403, 404, 422])
def test_a_refusal_is_remembered_whatever_its_status_and_words(status, body, client, server):
    server.fail(status=status, body=body, match="fields(", times=50)
    assert read_index(client, [PATH]) is None
    assert FIELDS in client.refused
    asked = len(server.requests)
    assert asked <= 3
    assert read_index(client, [PATH]) is None
    assert len(server.requests) == asked


def test_what_a_failing_server_lacks_is_believed_the_second_time(client, server):
    for refused in (set(), {FIELDS}):
        server.fail(status=503, match="fields(", times=50)
        assert read_index(client, [PATH]) is None
        assert refused <= client.refused
        server._faults.clear()


def test_what_passes_without_a_feature_alone_blames_it_and_no_other(client):
    asked = []

    def ask(refused):
        asked.append(refused)
        if "b" not in refused:
            raise QueryError("no")
        return sorted(refused)

    assert optionally(client, ["a", "b", "c"], ask) == ["b"]
    assert client.refused == {"b"}
    assert asked == [frozenset(), {"a"}, {"b"}]
    assert optionally(client, ["a", "b", "c"], ask) == ["b"]
    assert len(asked) == 4


def test_what_no_other_question_answers_is_the_error_of_the_first(client):
    def ask(refused):
        raise QueryError(f"without {len(refused)}")

    with pytest.raises(QueryError, match="without 0"):
        optionally(client, ["a", "b"], ask)
    assert client.refused == set()


def test_a_key_that_is_refused_is_no_missing_feature(client):
    def ask(_):
        raise RefusedKeyError("no")

    with pytest.raises(RefusedKeyError):
        optionally(client, ["a", "b"], ask)


def test_a_refusal_of_one_client_is_not_anothers():
    with serve("ragged", features=Features(fields=False)) as old, serve("ragged") as new:
        first = wbframe.Client(old.url, old.api_key)
        second = wbframe.Client(new.url, new.api_key)
        assert read_index(first, [PATH]) is None
        assert read_index(second, [PATH])
        assert (first.refused, second.refused) == ({FIELDS}, frozenset())


# ---------------------------------------------------------------- side by side


def test_results_come_in_order_whatever_ends_first():
    client = wbframe.Client("http://127.0.0.1:9", "k" * 40, concurrency=3)
    second = threading.Event()

    def work(item):
        if item == 0:
            assert second.wait(10)
        if item == 1:
            second.set()
        return item * 10

    assert list(side_by_side(client.concurrency, work, range(9))) == [
        item * 10 for item in range(9)
    ]


def test_items_are_taken_only_so_far_ahead():
    client = wbframe.Client("http://127.0.0.1:9", "k" * 40, concurrency=2)
    taken = []

    def items():
        for item in range(100):
            taken.append(item)
            yield item

    results = side_by_side(client.concurrency, lambda item: item, items(), ahead=3)
    assert next(results) == 0
    assert len(taken) <= 4
    results.close()
    assert len(taken) <= 4


def test_the_first_error_in_order_is_raised_and_the_rest_is_not_begun():
    client = wbframe.Client("http://127.0.0.1:9", "k" * 40, concurrency=1)
    done = []

    def work(item):
        done.append(item)
        if item == 1:
            raise ValueError(item)
        return item

    results = side_by_side(client.concurrency, work, range(50), ahead=4)
    assert next(results) == 0
    with pytest.raises(ValueError, match="1"):
        list(results)
    assert len(done) < 10


def test_threads_end_with_the_iterator():
    client = wbframe.Client("http://127.0.0.1:9", "k" * 40, concurrency=4)
    before = threading.active_count()
    results = side_by_side(client.concurrency, lambda item: item, range(20))
    next(results)
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before


# ---------------------------------------------------------------- keys that come while one reads


def running(*keys):
    counts = {key: {"typeCounts": [{"type": "number", "count": 1}]} for key in keys}
    row = dict.fromkeys(["a", "b", "c", "d", "e", "f"], 1)
    return RunRecord(
        name="r",
        state="running",
        history=History([row]),
        history_keys={"lastStep": 0, "keys": counts},
    )


def test_keys_that_come_faster_than_one_reads_are_an_error():
    with serve(Project(entity="e", name="p", runs=(running("a"),))) as server:
        client = wbframe.Client(server.url, server.api_key)
        for i in range(10):
            rows = [json.dumps({"_step": 0, "a": 1, f"new {i}": 1})]
            server.fail(
                body=json.dumps({"data": {"project": {"r0": {"history": rows}}}}).encode(),
                match="history(",
            )
        with pytest.raises(
            SchemaMismatchError,
            match=r"log new keys faster than they are read: \['new 7'\]; name the `keys`",
        ):
            read_histories("e/p", client=client)


def test_all_keys_that_came_are_read_in_one_more_pass():
    with serve(Project(entity="e", name="p", runs=(running("a"),))) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = read_histories("e/p", client=client)
        assert frame.columns == ["run_id", "_step", "a", "b", "c", "d", "e", "f"]
        assert [request.operation for request in server.requests] == ["Runs", "Rows", "Rows"]


def test_keys_that_no_list_names_are_found_in_rows_before_a_scan_promises_its_columns():
    with serve(Project(entity="e", name="p", runs=(running("a", "_step"),))) as server:
        client = wbframe.Client(server.url, server.api_key)
        frame = wbframe.polars.scan_histories("e/p", client=client).collect()
    assert frame.columns == ["run_id", "_step", "a", "b", "c", "d", "e", "f"]
