"""Documents, their variables, and what is taken from the answers to them."""

from __future__ import annotations

import json

import graphql
import pytest

from wbframe.core import graphql as gq
from wbframe.core.filters import EMPTY, parse
from wbframe.core.listing import NamedListing, ProjectListing
from wbframe.core.model import Request, RunPath
from wbframe.errors import AnswerError, ProjectNotFoundError
from wbframe.server.schema import Features, sdl

PATH = RunPath(entity="e", project="p")
ASKED = Request(document="query Q { viewer { id } }", variables={}, asked="something")
FULL = gq.NodeFields(
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


REQUESTS = {
    "page": listing(FULL).request("cursor"),
    "page of a sweep": listing(FULL, "s").request(),
    "page with all of config": listing(gq.NodeFields(config=None, summary=None)).request(),
    "named": NamedListing(path=PATH, names=("a", "b"), fields=FULL, per_page=5).request(),
    "fields": gq.fields_request(PATH, "cursor"),
    "count": gq.count_request(PATH, "{}"),
    "rows": gq.rows_request(
        PATH,
        [
            gq.RowsOf(run_id="a", specs=("{}",)),
            gq.RowsOf(run_id="b", specs=("{}", "x")),
            gq.RowsOf(run_id="c", specs=("{}",)),
        ],
        samples=5,
    ),
    "whole rows": gq.rows_request(
        PATH, [gq.RowsOf(run_id="a", field="history")], samples=5, min_step=1, max_step=9
    ),
    "events": gq.rows_request(
        PATH,
        [gq.RowsOf(run_id="a", field="events"), gq.RowsOf(run_id="b", field="events")],
        samples=5,
    ),
    "both": gq.rows_request(
        PATH,
        [gq.RowsOf(run_id="a", field="history"), gq.RowsOf(run_id="b", specs=("{}",))],
        samples=5,
    ),
    "viewer": gq.VIEWER,
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
    assert REQUESTS["page"].features == {gq.PROJECTION}
    assert REQUESTS["page with all of config"].features == frozenset()
    assert REQUESTS["fields"].features == {gq.FIELDS}


def test_without_a_feature_more_is_selected():
    assert FULL.without(frozenset()) is FULL
    old = FULL.without(frozenset({gq.PROJECTION}))
    assert (old.config, old.summary, old.variables()) == (None, None, {})
    none = gq.NodeFields(config=(), summary=("a",)).without(frozenset({gq.PROJECTION}))
    assert (none.config, none.summary) == ((), None)


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        ("Cannot query field 'fields' on type 'Project'.", {gq.FIELDS}),
        ('Cannot query field "fields" on type "Project".', {gq.FIELDS}),
        ("Unknown argument 'keys' on field 'Run.config'.", {gq.PROJECTION}),
        ("Cannot query field 'other' on type 'Project'.", set()),
        ("rate limit", set()),
    ],
)
def test_what_a_server_refuses(message, refused):
    request = Request(
        document="", variables={}, asked="x", features=frozenset({gq.FIELDS, gq.PROJECTION})
    )
    assert gq.refused_features(request, message) == refused
    assert gq.refused_features(ASKED, message) == set()


def fields_answer(fields):
    return json.dumps({"data": {"project": {"fields": fields}}}).encode()


def test_the_index_page_by_page():
    edges = [
        {"node": {"path": "config.a.value", "type": "number"}},
        {"node": None},
        {"node": {"path": "x"}},
    ]
    answer = fields_answer({"edges": edges, "pageInfo": {"endCursor": "c", "hasNextPage": True}})
    assert gq.fields_page(answer, ASKED, PATH) == ([("config.a.value", "number"), ("x", None)], "c")
    assert gq.fields_page(fields_answer(None), ASKED, PATH) == ([], None)
    assert gq.fields_page(
        fields_answer({"edges": [], "pageInfo": {"hasNextPage": True, "endCursor": "c"}}),
        ASKED,
        PATH,
    ) == ([], None)
    with pytest.raises(ProjectNotFoundError):
        gq.fields_page(b'{"data": {"project": null}}', ASKED, PATH)


def test_counts():
    assert gq.count_answer(b'{"data": {"project": {"runCount": 7}}}', ASKED, PATH) == 7
    with pytest.raises(AnswerError, match="no runCount"):
        gq.count_answer(b'{"data": {"project": {}}}', ASKED, PATH)


def test_rows_of_each_run_in_order():
    runs = [gq.RowsOf(run_id="a", specs=("{}",)), gq.RowsOf(run_id="b", field="history")]
    answer = b'{"data": {"project": {"r1": {"history": null}, "r0": {"sampledHistory": [[{"_step": 0}]]}}}}'
    rows = gq.rows_answer(answer, ASKED, PATH, runs)
    assert [bytes(each) for each in rows] == [b'[[{"_step": 0}]]', b"[]"]


def test_max_step_is_exclusive_here_and_inclusive_on_the_wire():
    assert json.loads(gq.spec(["_step", "\u00e9"], 5, 0, 10)) == {
        "keys": ["_step", "\u00e9"],
        "samples": 5,
        "minStep": 0,
        "maxStep": 9,
    }
    assert json.loads(gq.spec(["a"], 5, None, None)) == {"keys": ["a"], "samples": 5}


@pytest.mark.parametrize(("content", "entity"), [(b'{"data": {"viewer": {"entity": "me"}}}', "me"), (b'{"data": {"viewer": null}}', None), (b'{"data": {"viewer": {}}}', None)])  # fmt: skip
def test_the_viewer(content, entity):
    assert gq.viewer_entity(content) == entity


def test_filters_are_sent_as_text():
    assert json.loads(REQUESTS["page"].variables["filters"]) == {"state": "failed"}
    assert json.loads(REQUESTS["page of a sweep"].variables["filters"]) == {
        "$and": [{"sweep": "s"}, {"state": "failed"}]
    }
    bare = ProjectListing(path=PATH, filters=EMPTY, order="+name", fields=FULL, per_page=5)
    assert bare.request().variables["filters"] == "{}"
