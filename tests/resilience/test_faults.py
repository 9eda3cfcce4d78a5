"""Every fault at every endpoint, at the first, a middle and the last request: the same result, or one error."""

from __future__ import annotations

import polars as pl
import pytest

import wbframe
from tests.clocks import FakeClock
from wbframe.errors import (
    AccessError,
    AnswerError,
    QueryError,
    RefusedKeyError,
    StatusError,
    WbframeError,
)
from wbframe.server.faults import Fault


@pytest.fixture(autouse=True)
def few_runs_a_task(monkeypatch):
    monkeypatch.setattr("wbframe.core.histories.tasks.WHOLE_RUNS_PER_TASK", 3)


def small(client):
    """Let everything come in several requests."""
    client.budget._now = client.budget._most = 1
    client.pages.shrink(4)


def all_runs(client):
    return wbframe.polars.read_runs("e/p", client=client)


def run_ids(client):
    return wbframe.polars.read_runs("e/p", columns=["run_id", "state"], per_page=2, client=client)


def keys(client):
    schema = wbframe.arrow.histories_reader(["e/p", "e/x"], client=client).schema
    return pl.DataFrame({"name": schema.names})


def sampled(client):
    return wbframe.polars.read_histories("e/p", keys=["a", "b"], client=client)


def history(client):
    return wbframe.polars.read_histories("e/p", client=client)


def events(client):
    return wbframe.polars.read_histories("e/p", stream="system", client=client)


def whole(client):
    return wbframe.polars.read_histories("e/x", samples=None, client=client)


ENDPOINTS = {
    "fields": (all_runs, "query Fields", "api"),
    "runs": (run_ids, "query Runs", "api"),
    "keys": (keys, "query Keys", "api"),
    "sampled": (sampled, "sampledHistory", "api"),
    "history": (history, "history(", "api"),
    "events": (events, "events(", "api"),
    "parquet URL": (whole, "parquetHistory", "api"),
    "parquet bytes": (whole, "", "storage"),
}
TRANSIENT = {
    "408": Fault(status=408),
    "425": Fault(status=425),
    "429": Fault(status=429),
    "429 with seconds": Fault(status=429, headers={"Retry-After": "3"}),
    "429 with a date": Fault(status=429, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
    "500": Fault(status=500),
    "502": Fault(status=502, body=b"<html>bad gateway</html>"),
    "503": Fault(status=503, headers={"Retry-After": "2"}),
    "504": Fault(status=504),
    "reset": Fault(drop=True),
    "truncated": Fault(truncate=True),
}
TRANSIENT_200 = {
    "empty": Fault(body=b""),
    "html": Fault(body=b"<html>maintenance</html>"),
    "cut": Fault(body=b'{"data": {"project": {"ru'),
    "deadline": Fault(body=b'{"data": null, "errors": [{"message": "context deadline exceeded"}]}'),
    "internal": Fault(body=b'{"errors": [{"message": "Internal server error"}]}'),
    "partial": Fault(body=b'{"data": {"project": null}, "errors": ["internal"]}'),
}
LASTING = {
    "400": (Fault(status=400), QueryError),
    "401": (Fault(status=401), RefusedKeyError),
    "403": (Fault(status=403), AccessError),
    "404": (Fault(status=404), StatusError),
    "409": (Fault(status=409), StatusError),
    "422": (Fault(status=422), QueryError),
    "501": (Fault(status=501), StatusError),
    "redirect": (Fault(location="http://elsewhere.example"), StatusError),
    "wrong type": (Fault(body=b'{"data": 3}'), AnswerError),
    "no data": (Fault(body=b'{"data": null}'), AnswerError),
    "refused": (Fault(body=b'{"errors": [{"message": "no such field"}]}'), QueryError),
}
_clean: dict[str, tuple[pl.DataFrame, int]] = {}


def fault_free(name, server, nth):
    """Give the result without faults, and how many requests fit."""
    read, match, where = ENDPOINTS[name]
    if name not in _clean:
        counter = nth(None, 0, match, where)
        with wbframe.Client(server.url, server.api_key, concurrency=2) as client:
            small(client)
            frame = read(client)
        _clean[name] = frame, counter.seen
    return _clean[name]


def places(count):
    return sorted({1, (count + 1) // 2, count})


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (name, fault)
        for name, (_, _, where) in ENDPOINTS.items()
        # Files are not JSON: of those see below.
        for fault in [*TRANSIENT, *(TRANSIENT_200 if where == "api" else ())]
    ],
)
def test_what_passes_changes_nothing(name, fault, server, nth):
    read, match, where = ENDPOINTS[name]
    expected, count = fault_free(name, server, nth)
    assert count > 1
    for place in places(count):
        nth({**TRANSIENT, **TRANSIENT_200}[fault], place, match, where)
        with wbframe.Client(server.url, server.api_key, clock=FakeClock(), concurrency=2) as client:
            small(client)
            assert read(client).equals(expected), place
            # What was too big is asked for in parts, where it has parts, and that is no retry.
            assert client.traffic.retries == 1 or (
                fault in {"500", "504", "deadline"} and client.traffic.retries == 0
            )


@pytest.mark.parametrize("name", ENDPOINTS)
def test_an_answer_that_stalls_changes_nothing(name, server, nth):
    read, match, where = ENDPOINTS[name]
    expected, count = fault_free(name, server, nth)
    for place in places(count):
        counter = nth(Fault(delay=2.0), place, match, where)
        with wbframe.Client(
            server.url, server.api_key, clock=FakeClock(), concurrency=2, timeout=0.4
        ) as client:
            small(client)
            assert read(client).equals(expected), place
            assert counter.seen >= place


# What the SDK does not ask for, so that a read does without.
OPTIONAL = {
    "fields": "project.fields",
    "keys": "runs.historyKeys",
    "parquet URL": "run.parquetHistory",
}


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize(
    "name", [each for each in ENDPOINTS if each not in {*OPTIONAL, "parquet bytes"}]
)
def test_what_lasts_is_one_error_at_once(name, fault, server, nth):
    read, match, where = ENDPOINTS[name]
    _, count = fault_free(name, server, nth)
    wrong, kind = LASTING[fault]
    for place in places(count):
        nth(wrong, place, match, where, lasts=True)
        with wbframe.Client(server.url, server.api_key, clock=FakeClock(), concurrency=2) as client:
            small(client)
            with pytest.raises(kind) as error:
                read(client)
            assert "\n" not in str(error.value)
            assert client.traffic.retries == 0


@pytest.mark.parametrize("fault", [each for each in LASTING if each != "401"])
@pytest.mark.parametrize("name", OPTIONAL)
def test_what_lasts_costs_no_read_where_the_sdk_does_not_ask_for_it(name, fault, server, nth):
    read, match, where = ENDPOINTS[name]
    expected, count = fault_free(name, server, nth)
    for place in places(count):
        nth(LASTING[fault][0], place, match, where, lasts=True)
        with wbframe.Client(server.url, server.api_key, clock=FakeClock(), concurrency=2) as client:
            small(client)
            found = read(client)
            assert found.columns == expected.columns
            assert found.equals(expected), place
            assert OPTIONAL[name] in client.refused
            assert client.last_report is None or OPTIONAL[name] in client.last_report.replaced


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (Fault(status=404), StatusError),
        (Fault(status=200, body=b"<html>" * 10), AnswerError),
        (Fault(status=200, body=b""), AnswerError),
    ],
)
def test_files_that_are_none(wrong, kind, server, nth):
    expected, count = fault_free("parquet bytes", server, nth)
    for place in places(count):
        nth(wrong, place, "", "storage", lasts=True)
        with wbframe.Client(server.url, server.api_key, clock=FakeClock(), concurrency=2) as client:
            small(client)
            with pytest.raises(kind, match="exported file"):
                whole(client)
    nth(Fault(status=403), 2, "", "storage")
    with wbframe.Client(server.url, server.api_key, clock=FakeClock(), concurrency=2) as client:
        small(client)
        assert whole(client).equals(expected)


@pytest.mark.parametrize(
    "wrong", [Fault(status=503, times=99), Fault(drop=True, times=99), Fault(body=b"", times=99)]
)
def test_what_stays_wrong_says_how_long_it_was_tried(wrong, server, clock):
    policy = wbframe.RetryPolicy(tries=50, first_wait=4.0, longest_wait=20.0, seconds=100.0)
    client = wbframe.Client(server.url, server.api_key, clock=clock, retry=policy)
    server._faults.add(wrong)
    with pytest.raises(
        WbframeError, match=r"could not read the runs of e/p from .*gave up after \d+ tries in \d+"
    ) as error:
        run_ids(client)
    # Before, it was asked for with and without what the server may lack, twice each at the most.
    assert error.value.tries <= len(server.requests) <= error.value.tries + 10
    assert 80 <= error.value.seconds <= 100
    assert sum(clock.waits) <= error.value.seconds + 20
    report = error.value.report
    assert report is client.last_report
    assert report.requests == len(server.requests)
    assert report.waited == pytest.approx(sum(clock.waits))


def test_a_retry_after_beyond_the_time_that_is_left_is_not_waited_for(server, clock):
    client = wbframe.Client(server.url, server.api_key, clock=clock)
    server.fail(status=429, headers={"Retry-After": "3600"})
    with pytest.raises(wbframe.errors.RateLimitError, match="requests_per_minute"):
        run_ids(client)
    assert not clock.waits


def test_time_outs_from_the_environment(server, monkeypatch, clock):
    monkeypatch.setenv("WBFRAME_TIMEOUT", "7.5")
    monkeypatch.setenv("WBFRAME_RETRY_SECONDS", "1")
    monkeypatch.setenv("WBFRAME_REQUESTS_PER_MINUTE", "30")
    client = wbframe.Client(server.url, server.api_key, clock=clock)
    assert (client.timeout, client.retry.seconds, client.pace.gap) == (7.5, 1.0, 2.0)
    client.begin()
    assert client.pace.gap == 2.0
    monkeypatch.setenv("WBFRAME_TIMEOUT", "soon")
    with pytest.raises(
        wbframe.errors.UsageError, match="`WBFRAME_TIMEOUT` must be above 0 seconds; got 'soon'"
    ):
        wbframe.Client(server.url, server.api_key)


def test_retries_are_logged_with_their_reason(server, client, caplog):
    server.fail(status=502)
    with caplog.at_level("INFO", logger="wbframe"):
        run_ids(client)
    retry, done = caplog.records
    assert retry.name == "wbframe.client"
    assert retry.wbframe_reason == "HTTP 502: HTTP 502 on purpose, for a while: try again"
    assert (retry.wbframe_tries, retry.wbframe_wait) == (1, client.clock.waits[0])
    assert (done.wbframe_rows, done.wbframe_retries) == (9, 1)
