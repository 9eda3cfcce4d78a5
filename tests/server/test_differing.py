"""Each difference is told, takes its own values alone, and really changes an answer."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import re
from functools import cache

import graphql
import pytest

from tests.differing.project import long, small
from tests.differing.variants import EXAMPLES
from wbframe.errors import UsageError
from wbframe.server import API_KEY, DIFFERENCES, History, Project, RunRecord, serve
from wbframe.server.api.catalog import Catalog
from wbframe.server.api.engine import Engine
from wbframe.server.differing import Differing, table
from wbframe.server.replies import Reply

PAGE = "pageInfo { endCursor hasNextPage } edges { cursor node { %s } }"
NODE = (
    "name state tags createdAt heartbeatAt historyLineCount user { username } config summaryMetrics"
    ' historyKeys few: config(keys: ["lr"]) some: summaryMetrics(keys: ["loss"])'
)
SPECS = [
    {"keys": ["_step", "loss", "hist"], "samples": 500},
    {"keys": ["_step", "loss", "text"], "samples": 1000, "minStep": 2, "maxStep": 8},
    {"keys": ["_step", "apart"], "samples": 500, "minStep": 25, "maxStep": 25},
    {"keys": ["_step", "opt.m", "acc"], "samples": 500},
    {"keys": ["_step", "odd"]},
]
LONG = {"keys": ["_step", "x"], "samples": 1200}


def _document(selected, **arguments):
    given = ", ".join(f"{name}: {json.dumps(value)}" for name, value in arguments.items())
    return f"{selected}({given})" if given else selected


def _in_project(fields, name="small"):
    return f'{{ project(name: "{name}", entityName: "wbframe") {{ {fields} }} }}'


def _runs(fields="name", **arguments):
    return _in_project(f"{_document('runs', **arguments)} {{ historyKeys {PAGE % fields} }}")


def _rows(name, fields, project="small"):
    return _in_project(f'run(name: "{name}") {{ {fields} }}', project)


def _filter(**tests):
    return json.dumps(tests)


def _after(index):
    return base64.b64encode(f"arrayconnection:{index}".encode()).decode()


BIG = "a_run_of_several"
HEAVY = (
    'config(keys: ["a", "b", "c"]) name state displayName'
    f" sampledHistory(specs: {json.dumps([json.dumps({'keys': ['x'], 'samples': 1000})])})"
)
SPECS_TEXT = json.dumps([json.dumps(spec) for spec in SPECS])
LONG_TEXT = json.dumps([json.dumps(LONG)])
EVERY_FIELD = _in_project(f"fields(first: 1000) {{ {PAGE % 'path type'} }}")
QUESTIONS = [
    EVERY_FIELD,
    _in_project(f"fields(first: 9) {{ {PAGE % 'path type'} }}"),
    _in_project(f'fields(first: 1000, after: "45") {{ {PAGE % "path type"} }}'),
    _in_project("runCount"),
    _runs(NODE, first=10, order="+created_at"),
    _runs(first=9, after=_after(8), order="+created_at"),
    _runs(first=2, after=_after(21), order="-config.lr.value"),
    _runs(first=200),
    *(
        _in_project(f"{_document('runCount', filters=text)} {_document('runs', filters=text, first=50)} {{ {PAGE % 'name'} }}")
        for text in (
            _filter(**{"config.lr.value": {"$gt": 0.75, "$lt": 1.85}}),
            _filter(**{"config.lr.value": {"$gte": 0.85, "$lte": 1.05}}),
            _filter(**{"config.seed.value": {"$in": [3, 4]}}),
            _filter(**{"config.seed": {"$nin": [3, 4]}, "state": {"$ne": "running"}}),
            _filter(**{"config.newest": {"$exists": True}}),
            _filter(**{"config.optimizer.value.sched.warm": 2}),
            _filter(**{"summary_metrics.loss": {"$gt": 0.03}}),
            _filter(display_name={"$regex": "1"}),
        )
    ),
    _rows("run09", f"historyKeys history(samples: 500) sampledHistory(specs: {SPECS_TEXT})"),
    _rows("run09", "history(minStep: 3, maxStep: 9) one: history(minStep: 7, maxStep: 8)"),
    _rows("run22", f"history(samples: 5) sampledHistory(specs: {SPECS_TEXT}) config summaryMetrics"),
    _rows("run09", 'parquetHistory(liveKeys: ["_step"]) { parquetUrls liveData }'),
    _rows("live", 'parquetHistory(liveKeys: ["_step"]) { parquetUrls liveData }', "long"),
    _rows("exported", f"history(samples: 2000) sampledHistory(specs: {LONG_TEXT})", "long"),
    _in_project('a: run(name: "run01") { name } b: run(name: "run10") { name } c: run(name: "gone") { name }'),
    _in_project("runs(first: 3) { edges { node { sampledHistory(specs: []) } } }"),
    _rows("run10", f"sampledHistory(specs: {SPECS_TEXT})"),
    _in_project(" ".join(f'{BIG}{i}: run(name: "run{i:02}") {{ {HEAVY} }}' for i in range(12))),
    "{ __schema { queryType { name } } }",
    "{ no_such_field }",
    '{ project(name: "x", entityName: "forbidden") { name } }',
]  # fmt: skip


@pytest.fixture(scope="module")
def projects():
    return [small(), long(), Project(entity="wbframe", name="lists", runs=(RunRecord(name="a", history=History([{"x": 1}])),))]  # fmt: skip


HEADERS = {"Content-Type": "application/json", "User-Agent": "mine"}


def _body(question):
    return json.dumps({"query": question, "variables": {}}).encode()


def _answered(engine, questions=QUESTIONS):
    """Ask an engine; addresses are signed anew each time."""
    found = {}
    for question in questions:
        answer = engine.answer(engine.read(_body(question)))
        found[question] = answer.status, re.sub(rb"(sig=|invalid:)\w+", b"", answer.body)
    return found


def _exchanged(engine, differing):
    """Ask an engine with what differs around it, as the server does."""
    differs = Differing.of(differing) or Differing()
    found = []
    for serial, question in enumerate(QUESTIONS):
        asked = engine.read(_body(question))
        asking = differs.asking(engine.document(asked), _body(question), HEADERS, serial)
        reply = differs.before(asking)
        if reply is None:
            answer = engine.answer(asked)
            reply = Reply(answer.status, re.sub(rb"sig=\w+", b"", answer.body), {})
        found.append(differs.after(asking, reply))
    return found


@pytest.fixture(scope="module")
def plain(projects):
    return Engine(Catalog(tuple(projects)))


@cache
def values_of(name):
    return DIFFERENCES[name].samples or EXAMPLES[name]


# They change no answer by themselves, or none that can be told apart here.
BESIDE = {"limit_words": {"most_aliases": 1}, "limit_status": {"most_aliases": 1}}
SAME = {("limit_words", "aliases"), ("limit_status", 400)}
TRIED = [
    pytest.param(name, value, id=f"{name}={value}")
    for name in DIFFERENCES
    for value in values_of(name)
    if value != "hangs"
    and (name, value) not in SAME
    and name not in {"slow", "file_nested", "most_variables"}
]


FIELDS = [each for each in TRIED if DIFFERENCES[each.values[0]].fields]
OTHERS = [each for each in TRIED if not DIFFERENCES[each.values[0]].fields]


@pytest.mark.parametrize(("name", "value"), FIELDS)
def test_each_changes_what_a_field_says(name, value, projects, plain):
    fields = "|".join(each.partition(".")[2] for each in DIFFERENCES[name].fields)
    questions = [each for each in QUESTIONS if re.search(rf"\b({fields})\b", each)]
    expected = _answered(plain, questions)
    found = _answered(
        Engine(Catalog(tuple(projects)), None, Differing.of({name: value})), questions
    )
    assert found != expected
    for question, (_, body) in found.items():
        assert b'"errors"' not in body or b'"errors"' in expected[question][1]


@pytest.mark.parametrize(("name", "value"), OTHERS)
def test_each_changes_an_answer(name, value, plain):
    beside = BESIDE.get(name, {})
    assert _exchanged(plain, {**beside, name: value}) != _exchanged(plain, beside)


def _post(server, question, **headers):
    token = base64.b64encode(f"api:{API_KEY}".encode()).decode()
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    body = question if isinstance(question, bytes) else _body(question)
    connection.request(
        "POST", "/graphql", body, {**HEADERS, "Authorization": f"Basic {token}", **headers}
    )
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def test_over_http(projects):
    differing = {"slow": 30, "body": "bom", "user_agent": True, "retry_after": "hour"}
    with serve(projects, differing=differing, api_key=API_KEY) as server:
        viewer = "{ viewer { entity } }"
        assert _post(server, viewer)[0] == 403
        status, _, headers = _post(server, viewer, **{"User-Agent": "W&B Public Client 0.31.0"})
        assert (status, headers["Retry-After"]) == (429, "3600")
        status, body, _ = _post(server, viewer, **{"User-Agent": "wandb-core"})
        assert (status, body[:3]) == (200, b"\xef\xbb\xbf")
        packed = _post(
            server, EVERY_FIELD, **{"User-Agent": "wandb-core", "Accept-Encoding": "gzip"}
        )
        assert gzip.decompress(packed[1])[:3] == b"\xef\xbb\xbf"
        server.clear()
        assert [_post(server, viewer)[0], _post(server, viewer, **{"User-Agent": "wandb-core"})[0]] == [403, 429]  # fmt: skip
        assert min(each.seconds for each in server.requests) >= 0.03


def test_what_hangs_is_held_back_and_ends_with_the_server(projects):
    reply = DIFFERENCES["refuse_fields"].before(
        "hangs", Differing().asking(graphql.parse(EVERY_FIELD), b"{}", {}, 0)
    )
    assert reply.delay >= 30
    with serve(projects, differing={"refuse_fields": "hangs"}, api_key=API_KEY) as server:
        token = base64.b64encode(f"api:{API_KEY}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=0.2)
        headers = {"Authorization": f"Basic {token}"}
        connection.request("POST", "/graphql", _body(EVERY_FIELD), headers)
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()


def test_many_variables_are_refused(projects):
    names = [f"v{i}" for i in range(9)]
    declared = ", ".join(f"${name}: Int" for name in names)
    used = " ".join(
        f"{name}: fields(first: ${name}) {{ pageInfo {{ endCursor }} }}" for name in names
    )
    body = json.dumps({
        "query": f'query Q({declared}) {{ project(name: "small", entityName: "wbframe") {{ {used} }} }}',
        "variables": dict.fromkeys(names, 1),
    })  # fmt: skip
    with serve(projects, differing={"most_variables": 8}, api_key=API_KEY) as server:
        status, told, _ = _post(server, body.encode())
    assert (status, b"too many variables" in told) == (400, True)


def test_nested_keys_of_files_are_structs(projects):
    import pyarrow as pa

    from wbframe.server.files.columns import file_table

    with serve(projects, differing={"file_nested": "struct"}) as server:
        stored = server.engine.catalog.views["wbframe/small"].runs["run02"].files[0]
        table = file_table(stored.history, stored.file.rows, stored.format)
    assert "opt.m" not in table.column_names
    assert pa.types.is_struct(table["opt"].type)
    assert table["opt"].to_pylist()[4] == {"m": 4, "v": {"w": 2.0}}
    assert table["opt"].to_pylist()[5] is None


def test_nothing_differs_unless_asked():
    with serve("empty", differing={"ties": False}) as server:
        assert server.engine.differing is None


def test_runs_of_one_second_are_lost_and_doubled(projects):
    def pages(order):
        with serve(projects, differing={"ties": True}) as server:
            names = []
            for start in range(-1, 23, 6):
                asking = server.engine.read(
                    json.dumps({"query": _runs(first=6, after=_after(start), order=order)}).encode()
                )
                data = json.loads(server.engine.answer(asking).body)["data"]
                names += [edge["node"]["name"] for edge in data["project"]["runs"]["edges"]]
            return names

    assert len(set(pages("+created_at"))) < len(pages("+created_at")) == 24
    assert len(set(pages("+name"))) == 24


def test_every_difference_is_told_in_one_line():
    assert len(DIFFERENCES) >= 90
    told = table()
    for name, each in DIFFERENCES.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert each.name == name
        assert "\n" not in each.says
        assert each.says.endswith(".")
        assert f"{name}: {each.values}\n    {each.says}" in told
        assert each.samples or name in EXAMPLES
    assert len({each.says for each in DIFFERENCES.values()}) == len(DIFFERENCES)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"index_dept": 1}, "no difference is named 'index_dept'. Did you mean 'index_depth'"),
        ({"index_depth": "2"}, "`index_depth` takes a whole number; got '2'"),
        ({"index_depth": True}, "`index_depth` takes a whole number; got True"),
        ({"index_depth": -1}, "`index_depth` takes a number from 0; got -1"),
        ({"ties": 1}, "`ties` takes True or False; got 1"),
        ({"count": "nul"}, "Did you mean 'null'"),
        ({"count": None}, "`count` must be one of"),
        ({"bad_run": 3}, "`bad_run` takes a name; got 3"),
        ({"limit_status": 401}, "`limit_status` takes 400, 413"),
        (["ties"], "`differing` is a dict"),
    ],
)  # fmt: skip
def test_what_is_no_difference_is_refused(asked, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        serve("empty", differing=asked)


def test_values_are_kept_in_one_order():
    one = Differing.of({"ties": True, "index_depth": 2, "users": False})
    assert one == Differing.of({"index_depth": 2, "ties": True})
    assert Differing.of({"users": False}) is None
    assert Differing.of(one) is one
