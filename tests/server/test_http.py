from __future__ import annotations

import gzip
import json
import socket
import statistics
import subprocess
import sys
import threading
import time

import pytest
import requests

import wbframe.server
from wbframe.errors import UsageError
from wbframe.server import API_KEY, serve, serve_forever

VIEWER = "query Viewer { viewer { id entity } }"


@pytest.fixture
def session(server):
    with requests.Session() as session:
        session.auth = ("api", server.api_key)
        session.headers["User-Agent"] = "a test"
        yield session


def ask(session, server, document=VIEWER, variables=None, **options):
    url = f"{server.url}/graphql"
    return session.post(url, json={"query": document, "variables": variables}, **options)


def test_an_answer_and_its_log(server, session):
    answered = ask(session, server, variables={"unused": [1]})
    assert answered.status_code == 200
    assert answered.headers["Content-Type"] == "application/json"
    assert answered.json()["data"]["viewer"]["entity"] == "wbframe"
    (logged,) = server.requests
    assert (logged.operation, logged.document) == ("Viewer", VIEWER)
    assert logged.variables == {"unused": [1]}
    assert (logged.status, logged.fault, logged.user_agent) == (200, False, "a test")
    assert logged.request_bytes == len(answered.request.body)
    assert logged.response_bytes == len(answered.content)
    assert 0 < logged.seconds < 5
    assert logged.started <= time.perf_counter()
    server.clear()
    assert server.requests == []


def test_a_browser_is_told_what_this_is(server):
    answered = requests.get(server.url, timeout=5)
    assert "W&B-compatible" in answered.text
    assert requests.get(f"{server.url}/graphql", timeout=5).status_code == 405


@pytest.mark.parametrize("auth", [None, ("api", "wrong"), ("user", API_KEY), ("api", "\u00e9")])
def test_a_wrong_key_is_refused(server, auth):
    url = f"{server.url}/graphql"
    if auth == ("api", "\u00e9"):
        answered = requests.post(
            url, data=b"{}", headers={"Authorization": b"Basic \xe9"}, timeout=5
        )
    else:
        answered = requests.post(url, json={"query": VIEWER}, auth=auth, timeout=5)
    assert answered.status_code == 401
    assert answered.json() == {"errors": [{"message": "invalid API key"}]}
    assert server.requests[0].status == 401


def test_another_key(ragged_project):
    with serve(ragged_project, api_key="k" * 40) as server, requests.Session() as session:
        session.auth = ("api", "k" * 40)
        assert ask(session, server).status_code == 200
        session.auth = ("api", API_KEY)
        assert ask(session, server).status_code == 401


def test_statuses(server, session):
    forbidden = '{ project(name: "p", entityName: "forbidden") { id } }'
    assert ask(session, server, forbidden).status_code == 403
    assert ask(session, server, "{ nothing }").status_code == 400
    assert session.post(f"{server.url}/graphql", data=b"no json").status_code == 400
    assert [logged.status for logged in server.requests] == [403, 400, 400]
    assert server.requests[2].document == ""


def test_gzip_only_when_asked_and_worth_it(server, session):
    big = '{ project(name: "ragged") { run(name: "cadence1") { history } } }'
    zipped = ask(session, server, big, stream=True)
    raw = zipped.raw.read(decode_content=False)
    assert zipped.headers["Content-Encoding"] == "gzip"
    plain = ask(session, server, big, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content
    assert "Content-Encoding" not in ask(session, server).headers
    sizes = [logged.response_bytes for logged in server.requests[:2]]
    assert sizes == [len(raw), len(plain.content)]


def test_gzip_can_be_switched_off(ragged_project):
    with serve(ragged_project, compress=False) as server, requests.Session() as session:
        session.auth = ("api", server.api_key)
        big = '{ project(name: "ragged") { run(name: "cadence1") { history } } }'
        assert "Content-Encoding" not in ask(session, server, big).headers


def test_keep_alive_requests_are_quick(server, session):
    ask(session, server)
    seconds = []
    for _ in range(20):
        begun = time.perf_counter()
        ask(session, server)
        seconds.append(time.perf_counter() - begun)
    assert statistics.median(seconds) < 0.03  # delayed acknowledgements would cost 0.04


def test_one_connection_serves_many_requests(server):
    body = json.dumps({"query": VIEWER}).encode()
    head = (
        f"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection((server.host, server.port), timeout=5) as connection:
        for _ in range(3):
            connection.sendall(head + body)
            got = b""
            while not got.endswith(b"}"):
                got += connection.recv(4096)
            assert got.startswith(b"HTTP/1.1 401")
    assert len(server.requests) == 3


def test_latency_is_waited_at_once_for_all(ragged_project):
    with serve(ragged_project, latency=0.2) as server:
        begun = time.perf_counter()
        threads = [
            threading.Thread(
                target=lambda: requests.post(
                    f"{server.url}/graphql",
                    json={"query": VIEWER},
                    auth=("api", server.api_key),
                    timeout=5,
                )
            )
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = time.perf_counter() - begun
        assert all(logged.seconds >= 0.2 for logged in server.requests)
        assert len(server.requests) == 5
        assert 0.2 <= taken < 0.95


def test_faults_queue_up_and_match(server, session):
    server.fail(status=429, headers={"Retry-After": "0"}, times=2, match="Second")
    server.fail(status=503)
    assert server.pending_faults == 3
    second = "query Second { viewer { id } }"
    first = ask(session, server)
    assert (first.status_code, first.json()) == (
        503,
        {"errors": [{"message": "HTTP 503 on purpose, for a while: try again"}]},
    )
    for _ in range(2):
        limited = ask(session, server, second)
        assert limited.status_code == 429
        assert limited.headers["Retry-After"] == "0"
        assert limited.json() == {"error": "rate limit exceeded"}
    assert ask(session, server, second).status_code == 200
    assert [logged.fault for logged in server.requests] == [True, True, True, False]
    assert [logged.status for logged in server.requests] == [503, 429, 429, 200]
    assert server.requests[1].operation == "Second"


def test_a_page_instead_of_json(server, session):
    server.fail(body=b"<html>", headers={"Content-Type": "text/html"})
    answered = ask(session, server)
    assert (answered.status_code, answered.content) == (200, b"<html>")
    assert answered.headers["Content-Type"] == "text/html"


def test_a_bare_fault_is_a_500(server, session):
    server.fail()
    assert ask(session, server).status_code == 500


def test_a_dropped_connection(server, session):
    server.fail(drop=True)
    with pytest.raises(requests.ConnectionError):
        ask(session, server)
    assert [(logged.status, logged.response_bytes) for logged in server.requests] == [(0, 0)]
    assert ask(session, server).status_code == 200


@pytest.mark.parametrize("status", [None, 502])
def test_a_truncated_answer(server, session, status):
    server.fail(truncate=True, status=status)
    with pytest.raises(requests.RequestException):
        ask(session, server)
    assert server.requests[0].status == (status or 200)
    assert server.requests[0].fault
    assert ask(session, server).status_code == 200


def test_a_delay_alone_holds_back_the_real_answer(server, session):
    server.fail(delay=0.15)
    assert ask(session, server).json()["data"]["viewer"]["entity"] == "wbframe"
    assert server.requests[0].seconds >= 0.15
    server.fail(delay=0.01, status=504)
    assert ask(session, server).status_code == 504


@pytest.mark.parametrize("drop", [False, True])
def test_a_client_that_leaves_early_does_no_harm(server, session, drop):
    server.fail(delay=0.2, drop=drop)
    with pytest.raises(requests.Timeout):
        ask(session, server, timeout=0.05)
    server.fail(delay=0.3)
    assert ask(session, server).status_code == 200
    assert [logged.status for logged in server.requests] == [0 if drop else 200, 200]


def test_clearing_forgets_faults(server, session):
    server.fail(times=5)
    server.clear()
    assert server.pending_faults == 0
    assert ask(session, server).status_code == 200


@pytest.mark.parametrize("fault", [{"times": 0}, {"drop": True, "status": 500}])
def test_senseless_faults_are_refused(server, fault):
    with pytest.raises(UsageError):
        server.fail(**fault)


def test_a_failing_resolver_is_a_500_and_logged(server, session, monkeypatch, caplog):
    def broken(_question):
        raise RuntimeError("a bug")

    monkeypatch.setattr(server.engine, "answer", broken)
    assert ask(session, server).status_code == 500
    assert "a bug" in caplog.text


def test_stopping_frees_the_port_and_is_idempotent(ragged_project):
    server = serve(ragged_project)
    assert repr(server).startswith("<Server at http://127.0.0.1:")
    server.stop()
    server.stop()
    assert "stopped" in repr(server)
    with pytest.raises(requests.ConnectionError):
        requests.post(f"{server.url}/graphql", timeout=5)
    with serve(ragged_project, port=server.port) as again:
        assert again.port == server.port


def test_stopping_cuts_slow_answers(ragged_project):
    server = serve(ragged_project, latency=30)
    failed = []

    def slow():
        try:
            requests.post(f"{server.url}/graphql", json={"query": VIEWER}, timeout=20)
        except requests.ConnectionError as error:
            failed.append(error)

    with socket.create_connection((server.host, server.port), timeout=5):
        thread = threading.Thread(target=slow)
        thread.start()
        begun = time.perf_counter()
        server.stop()
        thread.join()
    assert time.perf_counter() - begun < 10
    assert len(failed) == 1


def test_a_taken_port(server):
    with pytest.raises(UsageError, match=r"cannot listen on 127\.0\.0\.1:"):
        serve("empty", port=server.port)


def test_a_server_that_cannot_start_says_so(monkeypatch, ragged_project):
    from wbframe.server import http

    def broken(*_arguments, **_options):
        raise RuntimeError("no runner")

    monkeypatch.setattr(http.web, "AppRunner", broken)
    with pytest.raises(RuntimeError, match="no runner"):
        serve(ragged_project)


def test_serving_forever_until_stopped(ragged_project):
    seen = []

    def ready(server):
        seen.append(requests.get(server.url, timeout=5).status_code)
        threading.Timer(0.05, server.stop).start()

    serve_forever(ragged_project, ready=ready)
    assert seen == [200]


def test_serving_forever_until_interrupted(ragged_project, monkeypatch):
    from wbframe.server.http import Server

    stopped = []

    def interrupted(self, _seconds=None):
        stopped.append(self)
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "wait", interrupted)
    serve_forever(ragged_project)
    assert "stopped" in repr(stopped[0])


def test_aiohttp_is_an_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "wbframe.server.http")
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(UsageError, match=r"pip install 'wbframe\[server\]'"):
        serve("empty")


def test_another_missing_module_is_not_blamed_on_aiohttp(monkeypatch):
    monkeypatch.setitem(sys.modules, "wbframe.server.http", None)
    with pytest.raises(ModuleNotFoundError):
        serve("empty")


def test_values_are_imported_without_aiohttp():
    script = "import sys, wbframe.server; print('aiohttp' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "False"


def test_the_public_names_are_there():
    assert all(hasattr(wbframe.server, name) for name in wbframe.server.__all__)
    assert len(API_KEY) == 40
