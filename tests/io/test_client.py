"""The client: one pool of connections, plain retries, errors that say what to do, and no key anywhere."""

from __future__ import annotations

import json
import pickle
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
import requests

import wbframe
from tests.clocks import FakeClock
from wbframe.core.protocol.project import VIEWER, viewer_entity
from wbframe.core.protocol.request import Request
from wbframe.errors import (
    AccessError,
    AnswerError,
    ConnectionFailedError,
    CredentialsError,
    PlainHttpWarning,
    QueryError,
    RateLimitError,
    RefusedKeyError,
    StatusError,
    TimedOutError,
    UsageError,
    WbframeError,
)
from wbframe.io.client.client import client_or_default
from wbframe.io.client.retry import RetryPolicy
from wbframe.polars import read_runs
from wbframe.report import Traffic
from wbframe.server import Project, serve

QUICK = RetryPolicy(tries=3, first_wait=0.0)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def waits(clock):
    return clock.waits


@pytest.fixture
def client(server, clock):
    """A client whose waits are noted, and not waited for."""
    with wbframe.Client(server.url, server.api_key, retry=QUICK, timeout=5, clock=clock) as made:
        yield made


def told(error):
    """Check that an error is one line without a key, and give it."""
    text = str(error.value)
    assert "\n" not in text
    assert wbframe.server.API_KEY not in text
    return text


# ---------------------------------------------------------------- asking


def test_an_answer_comes_back_as_its_bytes(client, server):
    assert viewer_entity(client.send(VIEWER)) == "wbframe"
    [request] = server.requests
    assert request.user_agent == f"W&B Public Client (wbframe {wbframe.__version__})"
    assert request.variables == {}


def test_traffic_counts_requests_and_bytes(client, server):
    content = client.send(VIEWER)
    client.send(VIEWER)
    assert client.traffic == Traffic(requests=2, retries=0, bytes_received=2 * len(content))
    assert client.traffic - Traffic(1, 0, len(content)) == Traffic(1, 0, len(content))
    assert len(server.requests) == 2


def test_one_connection_is_kept_alive(server, monkeypatch):
    opened = []
    real = socket.create_connection
    monkeypatch.setattr(
        "urllib3.util.connection.create_connection",
        lambda *a, **k: opened.append(a) or real(a[0], a[1] if len(a) > 1 else None),
    )
    client = wbframe.Client(server.url, server.api_key)
    for _ in range(4):
        client.send(VIEWER)
    assert len(opened) == 1


def test_threads_share_a_client(client, server):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.send(VIEWER), range(40)))
    assert len(set(answers)) == 1
    assert client.traffic.requests == 40 == len(server.requests)


def test_a_closed_client_opens_again(client):
    client.send(VIEWER)
    client.close()
    client.close()
    assert client.send(VIEWER)


def test_redirects_are_not_followed(client, server):
    server.fail(status=302, headers={"Location": "https://elsewhere.example/graphql"}, body=b"")
    with pytest.raises(
        StatusError, match=r"redirects to 'elsewhere\.example'; set `base_url`"
    ) as error:
        client.send(VIEWER)
    told(error)
    assert len(server.requests) == 1


# ---------------------------------------------------------------- trying again


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
def test_what_may_pass_is_tried_again(status, client, server, waits):
    # Of a 500 that says what is wrong there is one more try, since it seldom passes.
    times = 1 if status == 500 else 2
    server.fail(status=status, times=times)
    assert client.send(VIEWER)
    assert len(server.requests) == times + 1
    assert client.traffic.retries == times
    # After a 429 all threads pause besides.
    assert waits == ([0.0, 2.0, 0.0, 8.0] if status == 429 else [0.0] * times)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 501])
def test_what_will_not_pass_is_not(status, client, server, waits):
    server.fail(status=status)
    with pytest.raises(WbframeError) as error:
        client.send(VIEWER)
    told(error)
    assert len(server.requests) == 1
    assert not waits


@pytest.mark.parametrize("how", [{"drop": True}, {"truncate": True}])
def test_connections_that_break_are_tried_again(how, client, server):
    server.fail(**how, times=2)
    assert client.send(VIEWER)
    assert client.traffic.retries == 2


def test_connections_that_always_break_are_an_error(client, server):
    server.fail(drop=True, times=9)
    with pytest.raises(
        ConnectionFailedError, match=r"could not read the default entity from http://127\.0\.0\.1"
    ) as error:
        client.send(VIEWER)
    told(error)
    assert len(server.requests) == 3
    assert isinstance(error.value.__cause__, requests.RequestException)


def test_retry_after_is_respected(client, server, waits):
    server.fail(status=429, headers={"Retry-After": "7"})
    server.fail(status=503, headers={"Retry-After": "1.5"})
    client.send(VIEWER)
    assert waits == [7.0, 1.5]


def test_a_retry_after_that_says_nothing_leaves_the_wait_to_the_policy(client, server, waits):
    server.fail(status=429, headers={"Retry-After": "nan"})
    server.fail(status=429, headers={"Retry-After": "soon"})
    client.send(VIEWER)
    # What is waited for is the pause that every 429 makes, longer where it was in vain.
    assert [wait for wait in waits if wait] == [2.0, 8.0]


def test_waits_grow_with_jitter_up_to_the_longest(server):
    clock = FakeClock()
    seen = clock.waits
    policy = RetryPolicy(tries=8, first_wait=1.0, longest_wait=5.0)
    client = wbframe.Client(server.url, server.api_key, retry=policy, clock=clock)
    server.fail(status=502, times=7)
    client.send(VIEWER)
    assert len(seen) == 7
    assert all(0 <= wait <= min(2.0**i, 5.0) for i, wait in enumerate(seen))
    assert len(set(seen)) > 1


def test_a_rate_limit_that_stays_says_what_to_do(client, server):
    server.fail(status=429, times=9)
    with pytest.raises(
        RateLimitError,
        match=r"too many requests \(HTTP 429\); gave up after 3 tries in 10\.0 s; lower `concurrency`",
    ) as error:
        client.send(VIEWER)
    assert error.value.status == 429
    told(error)


def test_a_server_error_that_stays_has_its_status_and_words(client, server):
    server.fail(status=500, body=b'{"errors":[{"message":"out of\\n cheese"}]}', times=9)
    with pytest.raises(
        StatusError, match=r"HTTP 500: out of cheese; gave up after 2 tries"
    ) as error:
        client.send(VIEWER)
    assert error.value.status == 500
    told(error)
    server.clear()
    server.fail(status=502, body=b"<html>bad gateway</html>", times=9)
    with pytest.raises(StatusError, match=r"HTTP 502; gave up after 3 tries in 0\.0 s"):
        client.send(VIEWER)
    server.clear()
    for body in (b'{"error": "told plainly"}', b'{"errors": "told plainly"}'):
        server.fail(status=404, body=body)
        with pytest.raises(StatusError, match="HTTP 404: told plainly"):
            client.send(VIEWER)
    server.fail(status=404, body=b"[]")
    with pytest.raises(StatusError, match=r"HTTP 404; check that `base_url`"):
        client.send(VIEWER)


@pytest.mark.parametrize("status", [413, 500, 504])
def test_too_big_is_told_at_once_to_whom_can_cut(status, client, server):
    server.fail(status=status, times=1)
    with pytest.raises(StatusError) as error:
        client.send(VIEWER, splittable=True)
    assert error.value.status == status
    assert len(server.requests) == 1
    server.fail(status=503)
    assert client.send(VIEWER, splittable=True)


def test_no_answer_in_time(server):
    client = wbframe.Client(server.url, server.api_key, retry=RetryPolicy(tries=1), timeout=0.05)
    server.fail(delay=0.6)
    with pytest.raises(TimedOutError, match=r"no answer within 0\.05 s.*larger `timeout`") as error:
        client.send(VIEWER)
    told(error)
    server.fail(delay=0.6)
    with pytest.raises(TimedOutError):
        client.send(VIEWER, splittable=True)
    assert client.traffic.requests == 2


def test_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    client = wbframe.Client(f"http://127.0.0.1:{port}", "k" * 40, retry=RetryPolicy(tries=1))
    with pytest.raises(
        ConnectionFailedError, match=r"no connection \(.*refused.*\); check the address"
    ) as error:
        client.send(VIEWER)
    assert "k" * 40 not in str(error.value)
    assert "object at 0x" not in str(error.value)


# ---------------------------------------------------------------- who may


def once(server, *, plainly=False):
    """Nothing was sent again, unless plainly: the index and the first page are asked for beside each other."""
    asked = [each.operation for each in server.requests]
    assert len(asked) <= len(set(asked)) + plainly


def test_a_key_that_the_server_does_not_know(server):
    client = wbframe.Client(server.url, "x" * 40, retry=QUICK)
    with pytest.raises(
        RefusedKeyError,
        match=r"the API key was refused \(HTTP 401\); run `wandb login` or set WANDB_API_KEY",
    ) as error:
        read_runs("wbframe/ragged", client=client)
    assert "x" * 40 not in str(error.value)
    assert isinstance(error.value, CredentialsError)
    once(server)


def test_a_project_that_the_key_may_not_read(client, server):
    with pytest.raises(AccessError, match=r"HTTP 403\): permission denied.*ask its owner") as error:
        read_runs("forbidden/secret", client=client)
    told(error)
    once(server, plainly=True)


def test_a_query_that_the_server_does_not_take(client):
    request = Request(document="query Q { nothing }", variables={}, asked="nothing")
    with pytest.raises(
        QueryError,
        match=r"could not read nothing from .*: the server answered: Cannot query field 'nothing'",
    ) as error:
        client.send(request)
    told(error)


def test_no_default_entity(client, server):
    server.fail(body=b'{"data": {"viewer": null}}')
    with pytest.raises(
        CredentialsError, match="write the path as 'entity/project', or set WANDB_ENTITY"
    ):
        read_runs("ragged", client=client)
    assert client.default_entity() == "wbframe"


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        (b"", AnswerError, "JSON"),
        (b"<html></html>", AnswerError, "JSON"),
        (b"[]", AnswerError, "protocol"),
        (b"{}", AnswerError, "neither data nor errors"),
        (b'{"data": null}', AnswerError, "neither data nor errors"),
        (b'{"data": 3}', AnswerError, "protocol"),
        (b'{"data": {"project": {"runs": {"edges": 3}}}}', AnswerError, "protocol"),
        (b'{"data": {"project": {}}}', AnswerError, "the answer has no runs"),
        (
            b'{"errors": [{"message": "first"}, "second"], "data": null}',
            QueryError,
            "the server answered: first; second",
        ),
        (b'{"error": "plain"}', QueryError, "the server answered: plain"),
        (b'{"data": {"project": {"runs": {"edges": [{"node": {}}]}}}}', AnswerError, "name"),
    ],
)
def test_answers_that_are_not_what_the_protocol_says(body, error, message, client, server):
    server.fail(body=body, times=20)
    with pytest.raises(error, match=message) as caught:
        read_runs("wbframe/ragged", columns=["run_id"], client=client)
    assert "the runs of wbframe/ragged" in told(caught)


def test_a_page_whose_cursor_repeats_is_an_error_and_not_a_loop(client, server):
    info = {"endCursor": "same", "hasNextPage": True}
    edges = [{"node": {"name": "r"}, "cursor": "same"}]
    project = {"runCount": 2, "runs": {"edges": edges, "pageInfo": info}}
    server.fail(body=json.dumps({"data": {"project": project}}).encode(), times=5)
    with pytest.raises(AnswerError, match="repeats the cursor"):
        read_runs("wbframe/ragged", columns=["run_id"], client=client)
    assert len(server.requests) == 2


# ---------------------------------------------------------------- the value


def test_a_client_pickles_without_its_key(server):
    client = wbframe.Client(
        server.url,
        server.api_key,
        entity="e",
        project="p",
        timeout=7,
        concurrency=2,
        retry=QUICK,
        verify=False,
        proxies={"http": "x"},
    )
    stored = pickle.dumps(client)
    assert server.api_key.encode() not in stored
    again = pickle.loads(stored)
    assert (again.base_url, again.timeout, again.concurrency, again.retry) == (
        server.url,
        7,
        2,
        QUICK,
    )
    assert (again.default_entity(), again.default_project()) == ("e", "p")
    assert repr(again) == f"<Client {server.url}, a copy without the key that it was given>"


def test_neither_repr_nor_vars_tell_the_key(client, server):
    assert client.send(VIEWER)
    seen = [client, *vars(client).values(), *vars(client._login).values()]
    assert server.api_key not in repr(seen)
    assert repr(client) == f"<Client {client.base_url}>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "`timeout` must be above 0"),
        ({"timeout": "5"}, "`timeout` must be above 0"),
        ({"timeout": True}, "`timeout` must be above 0"),
        ({"requests_per_minute": 0}, "`requests_per_minute` must be above 0; got 0"),
        ({"largest_answer": 0}, "`largest_answer` must be a whole number of bytes"),
        ({"timeout": float("nan")}, "`timeout` must be above 0"),
        ({"concurrency": 0}, "`concurrency` must be a whole number from 1 on"),
        ({"concurrency": "3"}, "`concurrency` must be a whole number"),
        ({"retry": 3}, "`retry` must be a wbframe.RetryPolicy"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(UsageError, match=message):
        wbframe.Client("http://127.0.0.1:9", "k" * 40, **options)


def test_the_client_of_the_environment(nobody, server, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", server.api_key)
    assert read_runs("wbframe/ragged", columns=["run_id"]).height == 13
    first = client_or_default(None)
    assert client_or_default(None) is first
    assert client_or_default(first) is first
    assert read_runs("ragged", columns=["run_id"]).height == 13
    monkeypatch.setenv("WANDB_ENTITY", "somebody")
    with pytest.raises(wbframe.errors.ProjectNotFoundError, match="somebody/ragged"):
        read_runs("ragged", columns=["run_id"])
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    with pytest.raises(RefusedKeyError):
        read_runs("wbframe/ragged", columns=["run_id"])


def test_a_proxy_is_used(server):
    client = wbframe.Client(
        "http://api.example", "k" * 40, proxies={"http": server.url}, retry=RetryPolicy(tries=1)
    )
    with (
        pytest.warns(PlainHttpWarning, match="api.example unencrypted"),
        pytest.raises(WbframeError),
    ):
        client.send(VIEWER)
    # the server was asked, as a proxy, for the path of another host
    assert client.traffic.requests == 1
    assert client.traffic.bytes_received > 0


def test_concurrency_is_how_many_requests_are_under_way():
    now, most, lock = Counter(), Counter(), threading.Lock()
    project = wbframe.server.synthetic(runs=40, rows=5, keys=1)
    with serve(project) as server:
        for wanted in (1, 3):
            client = wbframe.Client(server.url, server.api_key, concurrency=wanted)
            client.budget._now = client.budget._most = 10
            real = client.send

            def send(request, real=real, wanted=wanted, **options):
                with lock:
                    now[wanted] += 1
                    most[wanted] = max(most[wanted], now[wanted])
                try:
                    return real(request, **options)
                finally:
                    with lock:
                        now[wanted] -= 1

            client.send = send
            frame = wbframe.polars.read_histories(project.path, keys=["metric/00"], client=client)
            assert frame["run_id"].is_sorted()
            assert frame.height == 200
    assert most[1] == 1
    assert 1 < most[3] <= 3


def test_an_error_among_many_requests_comes_out_and_stops_the_rest():
    project = wbframe.server.synthetic(runs=60, rows=5, keys=1)
    with serve(project) as server:
        client = wbframe.Client(
            server.url, server.api_key, concurrency=2, retry=RetryPolicy(tries=1)
        )
        client.budget._now = client.budget._most = 10
        server.fail(status=502, match="sampledHistory")
        with pytest.raises(StatusError, match="HTTP 502"):
            wbframe.polars.read_histories(project.path, keys=["metric/00"], client=client)
        assert len(server.requests) < 30


@pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")
def test_gzip_is_undone_and_counted_after(server):
    client = wbframe.Client(server.url, server.api_key)
    read_runs("wbframe/ragged", columns=["config.*"], filters=pl.lit(value=True), client=client)
    assert client.traffic.bytes_received > sum(
        request.response_bytes for request in server.requests
    )


def test_an_empty_project_of_another_entity(client):
    with serve(Project(entity="team", name="p")) as other:
        own = wbframe.Client(other.url, other.api_key, entity="team")
        assert read_runs("p", columns=["run_id"], client=own).height == 0
