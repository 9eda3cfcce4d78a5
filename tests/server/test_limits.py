"""What a request may cost the server, over HTTP and without: bodies, documents, filters, answers, patience."""

from __future__ import annotations

import base64
import contextlib
import gzip
import itertools
import json
import logging
import select
import socket
import subprocess
import sys
import threading
import zlib

import graphql
import pytest
import requests

from wbframe.server import API_KEY, Project, RunRecord, serve, synthetic
from wbframe.server.api import limits
from wbframe.server.api.limits import Effort, TooMuchError
from wbframe.server.api.matching import PatternError, searched
from wbframe.server.faults import Log
from wbframe.server.projects.cache import Kept
from wbframe.server.projects.rows import History

from .asking import answer, engine_of

VIEWER = "{ viewer { entity } }"


@pytest.fixture(scope="module")
def engine():
    runs = tuple(
        RunRecord(name=f"r{i}", display_name="a" * 5000 + "!", history=History([{"x": i}] * 3))
        for i in range(40)
    )
    return engine_of(Project(entity="wbframe", name="p", runs=runs))


def refused(engine, document, **variables):
    """Ask for what is refused, and give the status and the message, which is one line."""
    status, body = answer(engine, document, **variables)
    (error,) = body["errors"]
    assert "\n" not in error["message"]
    assert len(error["message"]) < 500
    return status, error["message"]


# ---------------------------------------------------------------- documents


def _fragments(count):
    """Give fragments that double with each: tiny as text, huge as what they stand for."""
    spread = " ".join(
        f'fragment F{i} on Project {{ a: run(name: "x") {{ project {{ ...F{i + 1} }} }} '
        f'b: run(name: "x") {{ project {{ ...F{i + 1} }} }} }}'
        for i in range(count)
    )
    return f'{{ project(name: "p") {{ ...F0 }} }} {spread} fragment F{count} on Project {{ id }}'


TOO_MUCH = {
    "characters": VIEWER + " " * (600 << 10),
    "tokens": "{ " + "viewer { id } " * 6000 + "}",
    "commas": "{ viewer { id } }" + "," * 600_000,
    "levels": '{ project(name: "p") ' + "{ user " * 3000 + "{ id }" + "}" * 3001,
    "levels of a literal": "{ project(name: " + "[" * 3000 + "]" * 3000 + ") { id } }",
    "open brackets": "{" * 100_000,
    "fields": "{ viewer { " + " ".join(f"a{i}: id" for i in range(9_000)) * 1 + " id " * 1_001 + " } }",
    "the same field": "{ viewer { " + "id " * 2_000 + "} }",
    "the same field inside": "{ " + "viewer { id name } " * 600 + "}",
    "doubling fragments": _fragments(20),
    "definitions": " ".join(f"query Q{i} {{ viewer {{ id }} }}" for i in range(200)),
    "fragments in fragments": "{ viewer { " + "... on User { " * 60 + "id" + " }" * 60 + " } }",
}  # fmt: skip


@pytest.mark.parametrize("document", TOO_MUCH.values(), ids=TOO_MUCH)
def test_a_document_is_bounded(engine, document):
    status, told = refused(engine, document)
    assert status in {400, 413}
    assert "too" in told or "more than" in told


@pytest.mark.parametrize(
    "document",
    [
        "{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...A id }",
        "{ viewer { ...A } } fragment A on User { ...A }",
        "{ viewer { ...Nothing } }",
        "{ a: viewer", '{ project(name: "', '{ project(name: """', "\x00", "\ud800", "", "#", "{ \ud800 }",
    ],
)  # fmt: skip
def test_a_document_that_is_wrong_is_refused(engine, document):
    body = json.dumps({"query": document}).encode()
    answered = engine.answer(engine.read(body))
    assert answered.status == 400
    assert json.loads(answered.body)["errors"]


def test_brackets_in_texts_and_comments_are_no_levels(engine):
    texts = '{ project(name: "' + "{([" * 100 + '") { id } } # ' + "{" * 100
    assert answer(engine, texts) == (200, {"data": {"project": None}})
    block = '{ project(name: """' + "{" * 100 + '\\""" {""" ) { id } }'
    assert answer(engine, block)[0] == 200


def test_what_readers_send_is_far_from_the_bounds():
    engine = engine_of(synthetic(runs=100, rows=3, keys=2))
    specs = json.dumps({"keys": ["_step", "k0"], "samples": 500})
    fields = "name historyKeys config summaryMetrics sampledHistory(specs: $specs)"
    runs = " ".join(f'r{i}: run(name: "x{i}") {{ {fields} }}' for i in range(500))
    document = f'query Q($specs: [JSONString!]!) {{ project(name: "synthetic") {{ {runs} }} }}'
    assert answer(engine, document, specs=[specs] * 100)[0] == 200


def test_documents_that_are_kept_weigh_little():
    kept = Kept[int](100, weight=10)
    for each in range(20):
        kept.get(each, lambda each=each: each, weight=4)
    assert len(kept) == 2
    assert kept.get("heavy", lambda: 7, weight=50) == 7
    assert (len(kept), kept.get("heavy", lambda: 8, weight=50)) == (1, 7)
    kept.get("heavy", lambda: 9, weight=50)
    assert kept.get("light", lambda: 1, weight=1) == 1
    assert len(kept) == 1


# ---------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"3", b'"x"', b"{", b"\xff\xfe", b"\x00", b'{"query": 3}', b'{"query": null}',
        b"[" * 200_000, b'{"query": "{ viewer { id } }", "variables": ' + b"[" * 200_000,
        b'{"query": "{ viewer { id } }", "variables": {"a": ' + b"[" * 500 + b"]" * 500 + b"}}",
        b'{"query": "{ viewer { id } }", "variables": {"a": 1e9999}}',
        b'{"query": "{ viewer { id } }", "variables": {"a": ' + b"9" * 5000 + b"}}",
        b'{"query": "{ viewer { id } }", "variables": []}', b'{"query": "{ viewer { id } }", "variables": "x"}',
        '{"query": "{ viewer { id } }"}'.encode("utf-16"), b'{"query": "\xed\xa0\x80"}',
    ],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(engine, body):
    question = engine.read(body)
    assert question is None
    assert engine.answer(question).status == 400


def post(server, body, *, timeout=60, **headers):
    token = base64.b64encode(f"api:{server.api_key}".encode()).decode()
    given = {"Authorization": f"Basic {token}", "Content-Type": "application/json", **headers}
    return requests.post(f"{server.url}/graphql", data=body, headers=given, timeout=timeout)


def test_a_body_is_as_large_as_it_may_be(server):
    big = json.dumps({"query": VIEWER, "variables": {"x": "y" * (17 << 20)}})
    whole = post(server, big)
    assert (whole.status_code, "16,777,216 bytes" in whole.json()["errors"][0]["message"]) == (
        413,
        True,
    )
    chunked = post(server, (each for each in itertools.repeat(b" " * 65536, 400)))
    assert chunked.status_code == 413
    assert post(server, json.dumps({"query": VIEWER})).status_code == 200
    assert [each.status for each in server.requests] == [413, 413, 200]


@pytest.mark.parametrize("how", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP"])
def test_packed_bodies_are_not_unpacked(server, how):
    bomb = gzip.compress(b" " * (64 << 20)) if "gzip" in how.lower() else zlib.compress(b" " * 1000)
    refusal = post(server, bomb, **{"Content-Encoding": how})
    assert (refusal.status_code, len(refusal.json()["errors"])) == (415, 1)


def test_a_bomb_takes_no_memory():
    program = """
import gzip, resource, requests
from wbframe.server import serve
bomb = gzip.compress(b"0" * (1 << 28))
with serve("empty") as server:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in ("/graphql", "/oidc/token"):
        answer = requests.post(server.url + path, data=bomb, auth=("api", server.api_key), timeout=60,
                               headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})
        assert answer.status_code == 415, answer
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


@pytest.mark.parametrize(
    "head", [b"X: " + b"a" * 100_000, b"\r\n".join(b"X%d: a" % i for i in range(400_000))]
)
def test_heads_are_bounded(server, head, caplog):
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n")
            said = connection.recv(4096)
        except OSError:
            said = b""
    assert said == b"" or said.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4"))
    assert post(server, json.dumps({"query": VIEWER})).status_code == 200


# ---------------------------------------------------------------- regular expressions

SLOW = [
    r"^(a+)+$",
    r"(a|aa)+$",
    r"(a|a)*b$",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(.*a){30}$",
    r"(a?){40}a{40}b",
]


def test_slow_patterns_are_quick():
    """With Python's own `re` the first of these takes for ever, and holds every thread."""
    program = f"""
from wbframe.server.api.matching import searched
for pattern in {SLOW!r}:
    assert searched(pattern, ["a" * 50_000 + "!"]) == [False]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_slow_pattern_does_not_stop_the_server(engine):
    runs = engine.catalog.projects[0].runs
    with serve(Project(entity="wbframe", name="p", runs=runs)) as server:
        document = 'query Q($f: JSONString) { project(name: "p") { runCount(filters: $f) fields(pattern: "(a+)+$") { totalCount: pageInfo { hasNextPage } } } }'  # fmt: skip
        done = []

        def ask(pattern):
            filters = json.dumps({"displayName": {"$regex": pattern}})
            body = json.dumps({"query": document, "variables": {"f": filters}})
            done.append(post(server, body, timeout=120).json()["data"]["project"]["runCount"])

        threads = [threading.Thread(target=ask, args=(each,)) for each in SLOW]
        for each in threads:
            each.start()
        assert post(server, json.dumps({"query": VIEWER}), timeout=60).status_code == 200
        for each in threads:
            each.join()
        assert done == [0] * len(SLOW)


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "(a{1000}){1000}", "(?<!a)b", "a**", "[b-a]", "(" * 3000, "a" * 20_000, "[a" * 4_500, "\ud800("])  # fmt: skip
def test_patterns_that_are_none_are_refused(engine, pattern):
    filters = json.dumps({"displayName": {"$regex": pattern}})
    document = 'query Q($f: JSONString) { project(name: "p") { runCount(filters: $f) } }'
    status, body = answer(engine, document, f=filters)
    assert (status, "regular expression" in body["errors"][0]["message"] or "RE2" in body["errors"][0]["message"]) == (200, True)  # fmt: skip
    with pytest.raises(PatternError):
        searched(pattern, ["a"])
    nested = json.dumps({"displayName": {"$not": {"$regex": pattern}}})
    assert answer(engine, document, f=nested)[1]["errors"]


def test_patterns_mean_what_they_mean_on_the_server():
    assert searched("^a$", ["a", "a\n", "b\na"]) == [True, False, False]
    assert searched(r"\w\d", ["a1", "é1", "a\u0661"]) == [True, False, False]
    assert searched("\ufffd", ["\ud800", "x"]) == [True, False]
    assert searched("(?i)É", ["é"]) == [True]
    assert searched("", []) == []


# ---------------------------------------------------------------- filters


def _nots(levels):
    read = {"state": "finished"}
    for _ in range(levels):
        read = {"$not": read}
    return json.dumps(read)


FILTERS = {
    "deep": '{"$and":[' * 50_000,
    "deep and whole": '{"$and":[' * 5_000 + "{}" + "]}" * 5_000,
    "deep nots": _nots(300),
    "a deep literal": '{"config.a": {"$all": ' + "[" * 900 + "]" * 900 + "}}",
    "many keys": json.dumps({f"stat{i}": i for i in range(20_000)}),
    "a list": "[]",
    "a number": "3",
    "null": "null",
    "no JSON": "{state: 1}",
    "beyond doubles": '{"config.a": {"$gt": 1e9999}}',
    "many digits": '{"config.a": ' + "9" * 5000 + "}",
    "NaN": '{"config.a": NaN}',
}


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
def test_a_filter_that_is_none_or_too_much_is_refused(engine, filters):
    document = 'query Q($f: JSONString) { project(name: "p") { runCount(filters: $f) } }'
    _, told = refused(engine, document, f=filters)
    assert "ilter" in told or "compared" in told
    assert "recursion" not in told


@pytest.mark.parametrize("filters", [{"a": 1}, 3, ["{}"], True])
def test_a_filter_is_json_text(engine, filters):
    document = 'query Q($f: JSONString) { project(name: "p") { runCount(filters: $f) } }'
    _, told = refused(engine, document, f=filters)
    assert "JSON text" in told


def test_nots_within_the_bounds_are_answered(engine):
    document = 'query Q($f: JSONString) { project(name: "p") { runCount(filters: $f) } }'
    assert answer(engine, document, f=_nots(90)) == (200, {"data": {"project": {"runCount": 40}}})
    long = json.dumps({"name": {"$in": [f"r{i}" for i in range(50_000)]}})
    assert answer(engine, document, f=long)[1]["data"]["project"]["runCount"] == 40


# ---------------------------------------------------------------- the cost of an answer


def test_an_effort_ends():
    for spend, most in (
        (Effort.resolve, limits._MOST_RESOLVED),
        (Effort.look_at, limits._MOST_ROWS),
        (Effort.give, limits._MOST_BYTES),
    ):
        effort = Effort()
        spend(effort, most)
        with pytest.raises(TooMuchError, match="costs more than"):
            spend(effort, 1)
    times = iter([0.0, 59.0, 61.0])
    effort = Effort(lambda: next(times))
    effort.look_at(1)
    with pytest.raises(TooMuchError, match="took more than 60 s"):
        effort.look_at(1)


NESTED = "{ edges { node { project { runs { edges { node { %s } } } } } } }"
INSIDE = NESTED % ("project { runs %s }" % (NESTED % "id"))
FORTY = " ".join(f"b{j}: id" for j in range(40))
ALIASES = " ".join(f"a{i}: runs {{ edges {{ node {{ {FORTY} }} }} }}" for i in range(120))
COSTLY = {
    "lists in lists": f'{{ project(name: "p") {{ runs {INSIDE} }} }}',
    "aliases": f'{{ project(name: "p") {{ {ALIASES} }} }}',
}


@pytest.mark.parametrize("document", COSTLY.values(), ids=COSTLY)
def test_fields_times_items_are_bounded(engine, document, monkeypatch):
    monkeypatch.setattr(limits, "_MOST_RESOLVED", 100_000)
    status, told = refused(engine, document)
    assert (status, "too complex" in told) == (413, True)


def test_rows_times_specs_and_bytes_are_bounded(engine, monkeypatch):
    spec = json.dumps({"keys": ["x"], "samples": 10_000})
    document = 'query Q($s: [JSONString!]!) { project(name: "p") { run(name: "r1") { sampledHistory(specs: $s) bucketedHistory(specs: $s) } } }'  # fmt: skip
    assert answer(engine, document, s=[spec] * 100)[0] == 200
    for name in ("_MOST_ROWS", "_MOST_BYTES"):
        with monkeypatch.context() as smaller:
            smaller.setattr(limits, name, 50)
            status, told = refused(engine, document, s=[spec] * 100)
            assert (status, "too complex" in told) == (413, True)
    texts = 'query Q { project(name: "p") { runs { edges { node { config history } } } } }'
    monkeypatch.setattr(limits, "_MOST_BYTES", 500)
    assert refused(engine, texts)[0] == 413


def test_a_filter_is_paid_for_by_runs_and_literals(engine, monkeypatch):
    monkeypatch.setattr(limits, "_MOST_ROWS", 1000)
    document = 'query Q($f: JSONString) { project(name: "p") { runCount(filters: $f) } }'
    many = json.dumps({"state": {"$in": list(range(100))}})
    assert refused(engine, document, f=many)[0] == 413
    assert refused(engine, document, f=json.dumps({"state": {"$not": json.loads(many)["state"]}}))[0] == 413  # fmt: skip


SPECS = [
    "[" * 100_000, "{}", "3", "null", "x", '{"keys": []}', '{"keys": [3]}', '{"keys": ["x"], "samples": 1e9999}',
    '{"keys": ["x"], "samples": Infinity}', '{"keys": ["x"], "minStep": NaN}', '{"keys": ["x"], "maxStep": 1e300}',
    '{"keys": ["x"], "samples": ' + "9" * 5000 + "}", '{"keys": ["x"], "minStep": "1"}', '{"keys": ["x"], "samples": true}',
]  # fmt: skip


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("field", ["sampledHistory", "bucketedHistory"])
def test_specs_that_are_none_are_refused(engine, spec, field):
    document = f'query Q($s: [JSONString!]!) {{ project(name: "p") {{ run(name: "r1") {{ {field}(specs: $s) }} }} }}'
    _, told = refused(engine, document, s=[spec])
    assert "spec" in told


@pytest.mark.parametrize("bins", [0, -1, 10**400, 10**9, 1.5, "3", True])
def test_bins_are_bounded(engine, bins):
    document = 'query Q($s: [JSONString!]!) { project(name: "p") { run(name: "r1") { bucketedHistory(specs: $s) } } }'
    _, told = refused(engine, document, s=[json.dumps({"keys": ["x"], "bins": bins})])
    assert "bins" in told


# ---------------------------------------------------------------- connections and logs


@pytest.fixture
def impatient(monkeypatch):
    """A server with little patience."""
    monkeypatch.setattr("wbframe.server.listening.PATIENCE", 0.3)
    with serve("empty") as started:
        yield started


@pytest.mark.parametrize("said", [b"", b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_a_connection_that_asks_nothing_is_cut(impatient, said):
    for port in (impatient.port, impatient.storage_port):
        with socket.create_connection((impatient.host, port), timeout=60) as connection:
            connection.sendall(said)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_a_body_that_does_not_come_is_given_up(impatient):
    head = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"
    with socket.create_connection((impatient.host, impatient.port), timeout=60) as connection:
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")
    assert impatient.requests[0].status == 408


@pytest.mark.skipif(not hasattr(select, "poll"), reason="no poll here")
def test_an_answer_that_is_not_taken_is_given_up(monkeypatch):
    monkeypatch.setattr("wbframe.server.listening.PATIENCE", 0.3)
    project = synthetic(runs=20, rows=5000, keys=10)
    with serve(project, api_key=API_KEY, compress=False) as server:
        rows = " ".join(f"a{i}: history(samples: 5000)" for i in range(3))
        document = (
            f'{{ project(name: "{project.name}") {{ runs {{ edges {{ node {{ {rows} }} }} }} }} }}'
        )
        body = json.dumps({"query": document}).encode()
        token = base64.b64encode(f"api:{API_KEY}".encode())
        head = b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic " + token
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(60)
            connection.connect((server.host, server.port))
            connection.sendall(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            # Nothing is read here: that the server has cut it shows as an error once more is sent.
            ends = select.poll()
            ends.register(connection, 0)
            with contextlib.suppress(OSError):
                for _ in range(600):
                    connection.sendall(b"\r\n")
                    if ends.poll(100):
                        break
                else:
                    pytest.fail("the answer is still held for who does not take it")


def test_connections_are_bounded(monkeypatch):
    monkeypatch.setattr("wbframe.server.listening._CONNECTIONS", 5)
    hello = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with serve("empty") as server, contextlib.ExitStack() as opened:

        def connected():
            made = socket.create_connection((server.host, server.port), timeout=60)
            return opened.enter_context(made)

        def greeted(each):
            each.sendall(hello)
            got = b""
            while not got.endswith(b"/graphql\n"):
                more = each.recv(4096)
                assert more
                got += more

        there = [connected() for _ in range(5)]
        for each in there:
            greeted(each)
        for each in [connected() for _ in range(10)]:
            with contextlib.suppress(ConnectionResetError):
                assert each.recv(1) == b""
        for each in there:
            greeted(each)


def test_a_log_has_the_latest():
    log = Log[int](3, most_bytes=100)
    for each in range(5):
        log.add(each, 10)
    assert (log.entries(), log.gone) == ([2, 3, 4], 2)
    log.add(5, 95)
    assert (log.entries(), log.gone) == ([5], 5)
    log.add(6, 200)
    assert log.entries() == []
    log.clear()
    assert (log.entries(), log.gone) == ([], 0)


def test_the_log_of_a_server_is_bounded(monkeypatch):
    monkeypatch.setattr(Log.__init__, "__kwdefaults__", {"most_bytes": 5000})
    with serve("empty") as server:
        for i in range(10):
            body = json.dumps({"query": "{ viewer { id } } #" + "x" * 1000 + str(i)})
            assert post(server, body).status_code == 200
        assert [each.document[-1] for each in server.requests] == ["6", "7", "8", "9"]


def test_what_is_logged_of_a_failure_does_nothing_to_a_terminal(server, monkeypatch, caplog):
    def broken(_question):
        raise RuntimeError("a bug \x1b[2J\x07\u202e\ud800")

    monkeypatch.setattr(server.engine, "answer", broken)
    with caplog.at_level(logging.DEBUG):
        assert post(server, json.dumps({"query": VIEWER})).status_code == 500
    assert "a bug \\x1b[2J\\x07\\u202e\\ud800" in caplog.text
    assert not {"\x1b", "\x07", "\u202e"} & set(caplog.text)
    assert server.api_key not in caplog.text


def test_a_request_that_is_no_http_is_refused_quietly(server, caplog):
    for said in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"\x1b[2J / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):  # fmt: skip
        with socket.create_connection((server.host, server.port), timeout=60) as connection:
            connection.sendall(said)
            connection.shutdown(socket.SHUT_WR)
            got = connection.recv(4096)
            assert got == b"" or got.startswith(b"HTTP/1.")
            assert b"Traceback" not in got
    assert not {"\x1b", "\x07"} & set(caplog.text)
    assert "Traceback" not in caplog.text


def test_the_largest_document_is_parsed_within_its_bounds(engine):
    """What passes the bounds is parsed and validated: a parser that needs no other ones."""
    document = "{ " + " ".join(f"a{i}: viewer {{ id }}" for i in range(3000)) + " }"
    limits.check_text(document)
    limits.check_document(graphql.parse(document))
    assert answer(engine, document)[0] == 200
