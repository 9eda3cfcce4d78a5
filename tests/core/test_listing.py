"""Listings: which requests give the runs of a selection."""

from __future__ import annotations

import json

import pytest

from wbframe.core.filters import EMPTY, parse
from wbframe.core.model import RunPath, Selection
from wbframe.core.paths import describe
from wbframe.core.protocol.runs import NamedListing, NodeFields, ProjectListing
from wbframe.core.runs.listing import listings
from wbframe.errors import ProjectNotFoundError, RunNotFoundError, SweepNotFoundError

PATH = RunPath(entity="e", project="p")
FIELDS = NodeFields(plain=("name", "state"))


def run(name, project="p"):
    return RunPath(entity="e", project=project, run=name)


def cut(*paths, filters=EMPTY, per_page=200):
    return list(listings(Selection(paths=paths, filters=filters, per_page=per_page), FIELDS))


def test_a_project_a_sweep_and_runs_by_name():
    sweep = RunPath(entity="e", project="p", sweep="s")
    first, second, third, fourth = cut(PATH, sweep, run("a"), run("b"), run("c", "q"))
    assert (type(first), first.path) == (ProjectListing, PATH)
    assert second.path == sweep
    assert json.loads(second.request().variables["filters"]) == {"sweep": "s"}
    assert (type(third), third.names, third.path) == (NamedListing, ("a", "b"), PATH)
    assert (fourth.names, fourth.path.project) == (("c",), "q")
    assert [each.asked for each in (first, second, third, fourth)] == [
        "the runs of e/p",
        "the runs of sweep 's' of e/p",
        "2 runs of e/p",
        "run 'c' of e/q",
    ]


def test_runs_by_name_with_a_filter_are_listed():
    filters = parse({"state": "failed"})
    names = [run(f"r{i}") for i in range(600)]
    first, second = cut(*names, filters=filters)
    sent = json.loads(first.request().variables["filters"])
    assert sent["$and"][0]["name"]["$in"] == [f"r{i}" for i in range(500)]
    assert sent["$and"][1] == {"state": "failed"}
    assert len(json.loads(second.request().variables["filters"])["$and"][0]["name"]["$in"]) == 100


def test_runs_by_name_come_page_by_page():
    [listing] = cut(*(run(f"r{i}") for i in range(5)), per_page=2)
    assert listing.request("4").variables == {"project": "p", "entity": "e", "r0": "r4"}
    request = listing.request("2")
    assert request.document.count("run(name:") == 2
    answer = {"data": {"project": {"r0": {"name": "r2"}, "r1": {"name": "r3", "state": "failed"}}}}
    page = listing.page(json.dumps(answer).encode(), request)
    assert [node.name for node in page.nodes] == ["r2", "r3"]
    assert page.cursor == "4"
    last = listing.page(b'{"data": {"project": {"r0": {"name": "r4"}}}}', listing.request("4"))
    assert last.cursor is None
    with pytest.raises(RunNotFoundError, match="'r4'"):
        listing.page(b'{"data": {"project": {"r0": null}}}', listing.request("4"))


def page_of(listing, project):
    return listing.page(json.dumps({"data": {"project": project}}).encode(), listing.request())


def test_a_page_and_its_cursor():
    [listing] = cut(PATH)
    edges = [{"node": {"name": "a"}, "cursor": "1"}, {"node": None, "cursor": "2"}]
    info = {"endCursor": "end", "hasNextPage": True}
    page = page_of(listing, {"runCount": 7, "runs": {"edges": edges, "pageInfo": info}})
    assert ([node.name for node in page.nodes], page.cursor, page.run_count) == (["a"], "end", 7)
    info["endCursor"] = None
    assert page_of(listing, {"runs": {"edges": edges, "pageInfo": info}}).cursor == "2"
    assert page_of(listing, {"runs": {"edges": [], "pageInfo": info}}).cursor is None
    info["hasNextPage"] = False
    assert page_of(listing, {"runs": {"edges": edges, "pageInfo": info}}).cursor is None


def test_what_is_not_there():
    [listing] = cut(PATH)
    with pytest.raises(ProjectNotFoundError, match="Could not find project e/p"):
        page_of(listing, None)
    [listing] = cut(RunPath(entity="e", project="p", sweep="s"))
    with pytest.raises(SweepNotFoundError, match="no sweep 's' in e/p"):
        page_of(listing, {"sweep": None, "runs": {"edges": []}})


def test_projects_are_named_once():
    assert describe([run("a"), run("b"), run("c", "q")]) == "e/p, e/q"
