"""Documents, their variables, and what is taken from the answers to them."""

from __future__ import annotations

import json

import graphql
import pytest

from wbframe.core.filters import EMPTY, parse
from wbframe.core.histories.live import windows_request
from wbframe.core.histories.windows import Window
from wbframe.core.model import RunPath
from wbframe.core.protocol.exports import exports_request
from wbframe.core.protocol.project import (
    VIEWER,
    count_answer,
    count_request,
    fields_page,
    fields_request,
    keys_request,
    viewer_entity,
)
from wbframe.core.protocol.request import COUNT, FIELDS, PROJECTION, Request, refused_features
from wbframe.core.protocol.rows import RowsOf, rows_answer, rows_request, spec
from wbframe.core.protocol.runs import NamedListing, NodeFields, ProjectListing
from wbframe.dropin import documents
from wbframe.errors import AnswerError, ProjectNotFoundError
from wbframe.server.api.schema import Features, sdl

PATH = RunPath(entity="e", project="p")
ASKED = Request(document="query Q { viewer { id } }", variables={}, asked="something")
FULL = NodeFields(
    plain=("name", "state", "user { name username }"), config=("lr",), summary=("loss", "a.b")
)


def listing(fields, sweep=None):
    path = RunPath(entity="e", project="p", sweep=sweep)
    return ProjectListing(
        path=path,
        filters=parse({"state": "failed"}),
        order="+created_at",
        fields=fields,
        per_page=50,
    )


DROP_IN = dict.fromkeys(("project", "entity", "cursor", "perPage", "order", "filters"))
REQUESTS = {
    "page": listing(FULL).request("cursor"),
    "page of a sweep": listing(FULL, "s").request(),
    "page with all of config": listing(NodeFields(config=None, summary=None)).request(),
    "named": NamedListing(path=PATH, names=("a", "b"), fields=FULL, per_page=5).request(),
    "fields": fields_request(PATH, "cursor"),
    "count": count_request(PATH, "{}"),
    "rows": rows_request(
        PATH,
        [
            RowsOf(run_id="a", specs=("{}",)),
            RowsOf(run_id="b", specs=("{}", "x")),
            RowsOf(run_id="c", specs=("{}",)),
        ],
        samples=5,
    ),
    "whole rows": rows_request(
        PATH, [RowsOf(run_id="a", field="history")], samples=5, min_step=1, max_step=9
    ),
    "events": rows_request(
        PATH,
        [RowsOf(run_id="a", field="events"), RowsOf(run_id="b", field="events")],
        samples=5,
    ),
    "both": rows_request(
        PATH,
        [RowsOf(run_id="a", field="history"), RowsOf(run_id="b", specs=("{}",))],
        samples=5,
    ),
    "viewer": VIEWER,
    "keys": keys_request(PATH, "{}"),
    "exports": exports_request(PATH, ["a", "b"]),
    "exports without live rows": exports_request(PATH, ["a"], live=False),
    "windows": windows_request(
        PATH, [("a", Window(0, 5, 5)), ("a", Window(5, 9, 4)), ("b", Window(0, 5, 5))]
    ),
    "buckets": rows_request(
        PATH, [RowsOf(run_id="a", field="bucketedHistory", specs=("{}",))], samples=5
    ),
    "a page of the drop-in": documents.runs_page(documents.RUNS, DROP_IN, PATH),
    "a light page of the drop-in": documents.runs_page(documents.LIGHT_RUNS, DROP_IN, PATH),
    "runs of the drop-in": documents.named_runs(PATH, ["a", "b"]),
    "sweeps of the drop-in": documents.named_sweeps(PATH, ["a", "b"]),
    "the last step": documents.history_keys(PATH, "a"),
    "a file": documents.run_file(PATH, "a", "output.log"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_documents_suit_the_schema_and_their_variables(request_):
    document = graphql.parse(request_.document)
    schema = graphql.build_schema(sdl(Features()))
    assert not graphql.validate(schema, document)
    [operation] = document.definitions
    assert {
        each.variable.name.value for each in operation.variable_definitions or ()
    } == request_.variables.keys()
    json.dumps(dict(request_.variables))


def test_values_never_stand_in_a_document():
    for request in REQUESTS.values():
        for value in ("failed", "lr", '"p"', '"e"', "+created_at"):
            assert value not in request.document


def test_features_are_those_that_are_used():
    assert REQUESTS["page"].features == {PROJECTION, COUNT}
    assert REQUESTS["page with all of config"].features == {COUNT}
    assert REQUESTS["fields"].features == {FIELDS}


def test_without_a_feature_more_is_selected():
    assert FULL.without(frozenset()) is FULL
    old = FULL.without(frozenset({PROJECTION}))
    assert (old.config, old.summary, old.variables()) == (None, None, {})
    none = NodeFields(config=(), summary=("a",)).without(frozenset({PROJECTION}))
    assert (none.config, none.summary) == ((), None)


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("Cannot query field 'fields' on type 'Project'.", {FIELDS}),
        ('Cannot query field "fields" on type "Project".', {FIELDS}),
        ("Unknown argument 'keys' on field 'Run.config'.", {PROJECTION}),
        ("Cannot query field 'other' on type 'Project'.", set()),
        ("rate limit", set()),
    ],
)
def test_what_a_server_refuses(message, refused):
    request = Request(
        document="", variables={}, asked="x", features=frozenset({FIELDS, PROJECTION})
    )
    assert refused_features(request.features, message) == refused
    assert refused_features(ASKED.features, message) == set()


def fields_answer(fields):
    return json.dumps({"data": {"project": {"fields": fields}}}).encode()


def test_the_index_page_by_page():
    edges = [
        {"node": {"path": "config.a.value", "type": "number"}},
        {"node": None},
        {"node": {"path": "x"}},
    ]
    answer = fields_answer({"edges": edges, "pageInfo": {"endCursor": "c", "hasNextPage": True}})
    assert fields_page(answer, ASKED, PATH) == ([("config.a.value", "number"), ("x", None)], "c")
    assert fields_page(fields_answer(None), ASKED, PATH) == ([], None)
    assert fields_page(
        fields_answer({"edges": [], "pageInfo": {"hasNextPage": True, "endCursor": "c"}}),
        ASKED,
        PATH,
    ) == ([], None)
    with pytest.raises(ProjectNotFoundError):
        fields_page(b'{"data": {"project": null}}', ASKED, PATH)


def test_counts():
    assert count_answer(b'{"data": {"project": {"runCount": 7}}}', ASKED, PATH) == 7
    with pytest.raises(AnswerError, match="no runCount"):
        count_answer(b'{"data": {"project": {}}}', ASKED, PATH)


def test_rows_of_each_run_in_order():
    runs = [RowsOf(run_id="a", specs=("{}",)), RowsOf(run_id="b", field="history")]
    answer = b'{"data": {"project": {"r1": {"history": null}, "r0": {"sampledHistory": [[{"_step": 0}]]}}}}'
    rows = rows_answer(answer, ASKED, PATH, runs)
    assert [bytes(each) for each in rows] == [b'[[{"_step": 0}]]', b"[]"]


def test_the_last_step_of_a_spec_is_inclusive_on_the_wire():
    assert json.loads(spec(["_step", "\u00e9"], 5, 0, 10)) == {
        "keys": ["_step", "\u00e9"],
        "samples": 5,
        "minStep": 0,
        "maxStep": 9,
    }
    assert json.loads(spec(["a"], 5, None, None)) == {"keys": ["a"], "samples": 5}


@pytest.mark.parametrize(("content", "entity"), [(b'{"data": {"viewer": {"entity": "me"}}}', "me"), (b'{"data": {"viewer": null}}', None), (b'{"data": {"viewer": {}}}', None)])  # fmt: skip
def test_the_viewer(content, entity):
    assert viewer_entity(content) == entity


def test_filters_are_sent_as_text():
    assert json.loads(REQUESTS["page"].variables["filters"]) == {"state": "failed"}
    assert json.loads(REQUESTS["page of a sweep"].variables["filters"]) == {
        "$and": [{"sweep": "s"}, {"state": "failed"}]
    }
    bare = ProjectListing(path=PATH, filters=EMPTY, order="+name", fields=FULL, per_page=5)
    assert bare.request().variables["filters"] == "{}"
