"""Pages of runs side by side: the same requests as one after the other, only sooner."""

from __future__ import annotations

import json
from base64 import b64encode

import polars as pl
import pytest

import wbframe
from wbframe.core.filters import EMPTY
from wbframe.core.model import RunPath, Selection
from wbframe.core.protocol.runs import (
    NamedListing,
    NodeFields,
    Page,
    ProjectListing,
    RunNode,
    cursors_ahead,
)
from wbframe.core.runs.listing import listings, page_size
from wbframe.errors import StatusError
from wbframe.io.client.retry import RetryPolicy
from wbframe.server import serve, synthetic

PROJECT = RunPath(entity="e", project="p")
ALL = [f"run-{index:05d}" for index in range(23)]


@pytest.fixture(scope="module")
def many():
    with serve(synthetic(runs=23, rows=1, keys=1)) as server:
        yield server


@pytest.fixture
def reader(many):
    many.clear()
    with wbframe.Client(many.url, many.api_key, retry=RetryPolicy(tries=1)) as client:
        yield client


def read(client, **options):
    frame = pl.read_wandb_runs(
        "wbframe/synthetic", columns=["run_id"], per_page=5, client=client, **options
    )
    return frame["run_id"].to_list()


def asked(server):
    return [request.variables["after"] for request in server.requests]


def cursor(offset):
    return b64encode(f"arrayconnection:{offset}".encode()).decode()


def test_the_requests_are_those_of_reading_one_after_the_other(many, reader):
    assert read(reader) == ALL
    # each from the last run of the one before on, to see that it is still that one
    assert sorted(asked(many), key=str) == sorted(
        [None, cursor(3), cursor(8), cursor(13), cursor(18)], key=str
    )
    assert {request.variables["first"] for request in many.requests[1:]} == {6}


@pytest.mark.parametrize("limit", [1, 5, 6, 10, 11, 20, 23, 24, 100])
def test_a_limit_reads_no_page_too_many(many, reader, limit):
    assert read(reader, limit=limit) == ALL[:limit]
    assert len(many.requests) == -(-min(limit, 23) // 5)


def test_where_rows_are_chosen_here_pages_come_one_after_the_other(many, reader):
    # the server has no test for a part of a text, so that any run may be one of the two
    kept = read(reader, filters=pl.col("run_id").str.slice(-1) == "1", limit=2)
    assert kept == ["run-00001", "run-00011"]
    assert len(many.requests) == 3


def test_an_error_on_a_page_that_was_read_ahead(many, reader):
    many.fail(delay=0.001, match="Runs(")  # the first page comes
    many.fail(status=501, match="Runs(", times=40)
    with pytest.raises(StatusError, match="501"):
        read(reader)
    assert many.requests[0].status == 200
    assert {request.status for request in many.requests[1:]} == {501}
    many.clear()


class Elsewhere:
    """A transport of answers whose second page is shorter than the first foretold, as some servers' are."""

    def __init__(self, client, monkeypatch):
        self.sent = []
        send = client.send

        def shorter(request, **options):
            self.sent.append(request.variables["after"])
            if request.variables["after"] != cursor(3):
                return send(request, **options)
            answer = json.loads(send(request, **options))
            runs = answer["data"]["project"]["runs"]
            runs["edges"] = runs["edges"][:4]
            runs["pageInfo"]["endCursor"] = runs["edges"][-1]["cursor"]
            return json.dumps(answer).encode()

        monkeypatch.setattr(client, "send", shorter)


def test_pages_that_do_not_meet_are_read_again_from_where_the_last_ended(reader, monkeypatch):
    elsewhere = Elsewhere(reader, monkeypatch)
    assert read(reader) == ALL
    assert cursor(6) in elsewhere.sent  # a run before where the short page ended
    assert cursor(16) in elsewhere.sent


def page(cursor_text, size=5, run_count=23):
    nodes = tuple(RunNode(name=f"r{index}") for index in range(size))
    return Page(nodes=nodes, cursor=cursor_text, run_count=run_count)


LISTED = ProjectListing(
    path=PROJECT, filters=EMPTY, order="+created_at", fields=NodeFields(), per_page=5
)


@pytest.mark.parametrize(
    ("first", "most", "foretold"),
    [
        (page(cursor(4)), None, [4, 9, 14, 19]),
        (page(cursor(5)), None, [5, 10, 15, 20]),  # counted from one
        (page(cursor(4)), 11, [4, 9]),
        (page(cursor(4)), 5, []),
        (page(cursor(4), run_count=None), None, []),
        (page(cursor(99)), None, []),  # not the place of the last run
        (page("YXJyYXk"), None, []),
        (page("opaque"), None, []),
        (page("ü"), None, []),
        (page(None), None, []),
    ],
)
def test_cursors_are_foretold_only_from_plain_offsets(first, most, foretold):
    assert cursors_ahead(LISTED, first, most) == [cursor(each) for each in foretold]


def test_pages_of_named_runs_are_known():
    named = NamedListing(path=PROJECT, names=tuple("abcdefgh"), fields=NodeFields(), per_page=3)
    first = page("3", size=3, run_count=None)
    assert cursors_ahead(named, first, None) == ["3", "6"]
    assert cursors_ahead(named, first, 4) == ["3"]


HEAVY = NodeFields(plain=("name", "historyKeys"))
KEYED = NodeFields(config=("a", "b"), summary=("c",))


@pytest.mark.parametrize(
    ("fields", "options", "size"),
    [
        (NodeFields(), {}, 499),
        (KEYED, {}, 499),
        (NodeFields(config=tuple(map(str, range(6))), summary=tuple(map(str, range(5)))), {}, 200),
        (NodeFields(config=None), {}, 200),
        (NodeFields(summary=None), {}, 200),
        (HEAVY, {}, 200),
        (HEAVY, {"per_page": 1000}, 1000),
        (NodeFields(), {"per_page": 7}, 7),
        (NodeFields(), {"limit": 30}, 30),
        (NodeFields(), {"limit": 30, "per_page": 20}, 20),
        (NodeFields(), {"limit": 0}, 1),
        (NodeFields(), {"limit": 30, "predicate": pl.col("state") == "failed"}, 499),
    ],
)
def test_pages_are_large_where_runs_are_light(fields, options, size):
    assert page_size(Selection(paths=(PROJECT,), filters=EMPTY, **options), fields) == size
    [listing] = listings(Selection(paths=(PROJECT,), filters=EMPTY, **options), fields)
    assert listing.per_page == size
