from __future__ import annotations

import json
import math
import re

import pytest

from tests.server.asking import answer, data, engine_of, names, project_data
from wbframe.errors import UsageError
from wbframe.server import Features, Project, RunRecord, Sweep, odd, synthetic
from wbframe.server.api.select import cursor

FULL_RUN = """
  id tags name displayName sweepName state config group jobType commit readOnly createdAt
  heartbeatAt description notes systemMetrics summaryMetrics historyLineCount
  user { name username } historyKeys
"""


@pytest.fixture(scope="module")
def engine(ragged_project):
    return engine_of(ragged_project, odd(), Project(entity="wbframe", name="empty"))


def run_data(engine, name, fields, **variables):
    return project_data(engine, "ragged", f'run(name: "{name}") {{ {fields} }}', **variables)["run"]


def sampled(engine, run, *specs):
    texts = [json.dumps(spec) for spec in specs]
    fields = "sampledHistory(specs: $specs)"
    answered = run_data(engine, run, fields, specs=("[JSONString!]!", texts))
    return answered["sampledHistory"]


def test_who_asks(engine):
    viewer = data(
        engine, "{ viewer { id entity username email flags teams { edges { node { name } } } } }"
    )["viewer"]
    assert viewer["entity"] == "wbframe"
    assert json.loads(viewer["flags"]) == {}
    assert viewer["teams"]["edges"] == [{"node": {"name": "wbframe"}}]


def test_what_answers(engine):
    info = data(
        engine,
        "{ serverInfo { cliVersionInfo latestLocalVersionInfo { outOfDate } "
        "features { name isEnabled } } }",
    )["serverInfo"]
    assert info["cliVersionInfo"]["max_cli_version"]
    assert info["latestLocalVersionInfo"] == {"outOfDate": False}
    assert info["features"] == []


def test_introspection_of_one_type(engine):
    document = 'query P { ProjectType: __type(name: "Project") { fields { name } } }'
    fields = {each["name"] for each in data(engine, document)["ProjectType"]["fields"]}
    assert {"runs", "internalId", "runCount", "fields"} <= fields


def test_a_page_of_runs(engine, ragged_project):
    fields = f"""
      internalId id name entityName runCount readOnly
      runs(first: 5, order: "+created_at") {{
        totalCount
        edges {{ cursor node {{ projectId {FULL_RUN} }} }}
        pageInfo {{ endCursor hasNextPage hasPreviousPage startCursor }}
      }}"""
    project = project_data(engine, "ragged", fields)
    assert project["runCount"] == len(ragged_project.runs)
    assert project["internalId"].isdigit()
    runs = project["runs"]
    assert [edge["cursor"] for edge in runs["edges"]] == [cursor(index) for index in range(5)]
    assert runs["pageInfo"] == {
        "endCursor": cursor(4),
        "hasNextPage": True,
        "hasPreviousPage": False,
        "startCursor": cursor(0),
    }
    first = runs["edges"][0]["node"]
    record = ragged_project.runs[0]
    assert first["name"] == record.name
    assert first["projectId"] == project["internalId"]
    assert first["user"] == {"name": "Ada Local", "username": "ada"}
    assert first["historyLineCount"] == len(record.history)
    assert first["tags"] == list(record.tags)
    stored = json.loads(first["config"])
    assert {
        key: value["value"] for key, value in stored.items() if key != "_wandb"
    } == record.config
    assert stored["_wandb"]["value"] == record.wandb_config
    summary = json.loads(first["summaryMetrics"])
    assert summary["train/loss"] == record.history.to_dicts()[-1]["train/loss"]
    assert summary["_wandb"] == {"runtime": 119}
    assert json.loads(first["systemMetrics"])["system.cpu"] == record.events.last["system.cpu"]


def test_every_other_field_of_a_run(engine):
    fields = """
      internalID eventsLineCount logLineCount historyTail eventsTail updatedAt computeSeconds host
      exitcode stopped fileCount files(names: [], first: 5) { edges { node { name } cursor }
      pageInfo { hasNextPage endCursor } } project { name } sweep { name runCount }
      runInfo { program args python git { remote commit } } wandbConfig(keys: ["t"])
      all: wandbConfig user { id email } """
    run = run_data(engine, "cadence1", fields)
    assert run["eventsLineCount"] == 1200
    assert [json.loads(each)["_step"] for each in json.loads(run["historyTail"])][-1] == 239
    assert len(json.loads(run["eventsTail"])) == 5
    assert run["files"] == {"edges": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}
    assert run["sweep"] == {"name": "swp1aaaa", "runCount": 2}
    assert run["project"] == {"name": "ragged"}
    assert run["runInfo"]["git"]["remote"] == "https://example.com/r.git"
    assert json.loads(run["wandbConfig"]) == {"t": {"1": [1, 5]}}
    assert set(json.loads(run["all"])) == {"t", "m", "cli_version"}
    assert (run["updatedAt"], run["computeSeconds"], run["exitcode"], run["stopped"]) == (
        "2026-01-05T08:02:00Z",
        120,
        0,
        False,
    )


def test_paging_gives_every_run_once(engine, ragged_project):
    seen, after = [], None
    while True:
        fields = (
            "runs(first: 4, after: $after) { edges { node { name } } "
            "pageInfo { endCursor hasNextPage } }"
        )
        runs = project_data(engine, "ragged", fields, after=("String", after))["runs"]
        seen += [edge["node"]["name"] for edge in runs["edges"]]
        after = runs["pageInfo"]["endCursor"]
        if not runs["pageInfo"]["hasNextPage"]:
            break
    assert seen == [run.name for run in reversed(ragged_project.runs)]


def test_counts_may_be_aliased(engine):
    counts = project_data(
        engine,
        "ragged",
        "all: runCount bad: runCount(filters: $bad)",
        bad=("JSONString", '{"state":{"$in":["crashed","failed"]}}'),
    )
    assert counts == {"all": 13, "bad": 3}


def test_nothing_is_null_not_an_error(engine):
    assert data(engine, '{ project(name: "no", entityName: "wbframe") { id } }') == {
        "project": None
    }
    assert run_data(engine, "no", "id") is None
    assert project_data(engine, "ragged", 'sweep(sweepName: "no") { id }') == {"sweep": None}
    assert project_data(engine, "empty", "runCount runs { edges { cursor } totalCount }") == {
        "runCount": 0,
        "runs": {"edges": [], "totalCount": 0},
    }


def test_default_entity(engine):
    assert data(engine, '{ project(name: "ragged") { entityName } }') == {
        "project": {"entityName": "wbframe"}
    }


def test_projects_of_an_entity(engine):
    document = (
        '{ models(entityName: "wbframe", first: 2) { edges { node { name isBenchmark access '
        "createdAt user { name } } } pageInfo { hasNextPage } } "
        'projects(entityName: "nobody") { totalCount } }'
    )
    answered = data(engine, document)
    assert [edge["node"]["name"] for edge in answered["models"]["edges"]] == ["ragged", "odd"]
    assert answered["models"]["pageInfo"] == {"hasNextPage": True}
    assert answered["projects"] == {"totalCount": 0}


def test_sweeps(engine):
    fields = """
      totalSweeps
      sweeps(first: 2) { edges { node { name state runCount runCountExpected bestLoss } } }
      sweep(sweepName: "swp1aaaa") {
        id name displayName state method description config createdAt updatedAt
        runs(first: 1, order: "+created_at") { edges { node { name } } totalCount }
      }"""
    project = project_data(engine, "ragged", fields)
    assert project["totalSweeps"] == 3
    assert [edge["node"]["runCount"] for edge in project["sweeps"]["edges"]] == [2, 2]
    assert project["sweep"]["runs"] == {"edges": [{"node": {"name": "cadence1"}}], "totalCount": 2}
    assert "goal: minimize" in project["sweep"]["config"]


def test_projection_takes_top_level_keys(engine):
    run = run_data(
        engine,
        "objects",
        'config(keys: ["lr", "optimizer", "inner", "_wandb"]) none: config(keys: []) '
        'summaryMetrics(keys: ["train/loss", "nested", "nested.b"])',
    )
    assert set(json.loads(run["config"])) == {"lr", "optimizer", "_wandb"}
    assert run["none"] == "{}"
    assert set(json.loads(run["summaryMetrics"])) == {"train/loss", "nested"}


def test_projection_may_be_null(engine):
    both = run_data(engine, "objects", "config some: config(keys: $k)", k=("[String!]", None))
    assert both["config"] == both["some"]


def test_history_keys_count_rows(engine, ragged_project):
    keys = run_data(engine, "cadence1", "historyKeys")["historyKeys"]
    assert keys["lastStep"] == 239
    assert keys["sets"] == []
    counts = {
        name: {each["type"]: each["count"] for each in entry["typeCounts"]}
        for name, entry in keys["keys"].items()
    }
    assert counts["_step"] == {"number": 240}
    assert counts["eval/loss"] == {"number": 24}
    assert counts["even only"] == counts["odd only"] == {"number": 60}
    assert counts["system/gpu.0.gpu"] == {"number": 600}
    mixed = run_data(engine, "mixed", "historyKeys")["historyKeys"]["keys"]
    types = {name: {each["type"] for each in entry["typeCounts"]} for name, entry in mixed.items()}
    assert types["text or number"] == {"string", "number"}
    assert types["flag or number"] == {"bool", "number"}
    assert types["always null"] == {"nil"}
    assert run_data(engine, "norows", "historyKeys") == {"historyKeys": None}


def test_history_without_keys(engine, ragged_project):
    rows = run_data(engine, "resumed", "history(samples: 5000)")["history"]
    assert [json.loads(row) for row in rows] == ragged_project.run("resumed").history.to_dicts()
    few = run_data(engine, "cadence1", "history(minStep: 10, maxStep: 200, samples: 5)")["history"]
    assert [json.loads(row)["_step"] for row in few] == [10, 57, 104, 151, 199]
    assert run_data(engine, "cadence1", "history(minStep: 500)") == {"history": []}


def test_history_texts_of_this_project_hold_bare_tokens(engine):
    rows = run_data(engine, "nonfinite", "history")["history"]
    assert '"train/loss":NaN' in rows[0]
    assert '"train/loss":-Infinity' in rows[3]
    summary = run_data(engine, "summary", "summaryMetrics")["summaryMetrics"]
    assert '"train/loss":NaN' in summary


def test_sampled_history_spells_non_finite_as_text(engine):
    (rows,) = sampled(engine, "nonfinite", {"keys": ["_step", "train/loss", "bins"]})
    assert [row["train/loss"] for row in rows[:4]] == ["NaN", 1.5, "Infinity", "-Infinity"]
    assert rows[0]["bins"] == ["NaN", 1.0, "Infinity"]


def test_sampled_history_spells_steps_of_this_project_as_floats(engine):
    (rows,) = sampled(engine, "resumed", {"keys": ["_step"], "samples": 3})
    assert [repr(row["_step"]) for row in rows] == ["5000.0", "5273.0", "20057.0"]


def test_sampled_history_wants_all_keys_of_a_spec(engine):
    together, apart, single = sampled(
        engine,
        "cadence1",
        {"keys": ["_step", "train/loss", "eval/loss"]},
        {"keys": ["even only", "odd only"]},
        {"keys": ["odd only", "_step", "odd only"], "minStep": 3, "maxStep": 7},
    )
    assert len(together) == 24
    assert set(together[0]) == {"_step", "train/loss", "eval/loss"}
    assert apart == []
    assert single == [{"odd only": 3, "_step": 3.0}, {"odd only": 7, "_step": 7.0}]


def test_sampled_history_keeps_every_digit(engine):
    (rows,) = sampled(engine, "huge", {"keys": ["big", "edge"]})
    assert [row["big"] for row in rows] == [2**53 + 1, 2**60, -(2**63), 2**63 - 1, 0, -1]
    assert rows[1]["edge"] == 5e-324
    assert math.copysign(1, rows[4]["edge"]) == -1


def test_sampled_history_of_odd_names(engine):
    keys = ["$dollar%r{}", "", "line\nbreak", 'quo"te', "\U0001f680", "a.dotted.key", "text"]
    (rows,) = sampled(engine, "named", {"keys": keys})
    assert len(rows) == 6
    assert list(rows[4]) == keys
    assert rows[4]["text"] == "\x01\x1f\x7f"


def test_nested_dicts_are_flattened(engine):
    (rows,) = sampled(engine, "objects", {"keys": ["nested.deep.er", "gradients/w1"]})
    assert rows[2] == {
        "nested.deep.er": 2,
        "gradients/w1": {"_type": "histogram", "bins": [0.0, 0.5, 1.0], "values": [2, 3]},
    }


def test_machine_metrics_are_capped(engine):
    events = run_data(engine, "cadence1", "events(samples: 100000) few: events(samples: 2)")
    assert len(events["events"]) == 999
    assert [json.loads(row)["_runtime"] for row in events["few"]] == [0.0, 15.0 * 1199]
    assert run_data(engine, "whole", "events") == {"events": []}


def test_nothing_is_exported_unless_told(engine):
    fields = 'parquetHistory(liveKeys: ["_step"]) { parquetUrls liveData }'
    assert run_data(engine, "cadence1", fields) == {
        "parquetHistory": {"parquetUrls": [], "liveData": []}
    }


def test_many_histories_in_one_request(engine):
    spec = json.dumps({"keys": ["_step", "train/loss"], "samples": 2})
    field = "sampledHistory(specs: [$spec])"
    document = f"""
      query Many($spec: JSONString!) {{
        project(name: "ragged", entityName: "wbframe") {{
          r0: run(name: "cadence1") {{ {field} }}
          r1: run(name: "gone") {{ {field} }}
          runs(first: 2, order: "+created_at") {{ edges {{ node {{ ...Rows }} }} }}
          sweep(sweepName: "swp2bbbb") {{ runs {{ edges {{ node {{ ...Rows }} }} }} }}
        }}
      }}
      fragment Rows on Run {{ name {field} history(samples: 1) historyKeys }}"""
    project = data(engine, document, spec=spec)["project"]
    assert [row["_step"] for row in project["r0"]["sampledHistory"][0]] == [0, 239]
    assert project["r1"] is None
    nodes = [edge["node"] for edge in project["runs"]["edges"]]
    assert [len(node["sampledHistory"][0]) for node in nodes] == [2, 2]
    swept = [edge["node"] for edge in project["sweep"]["runs"]["edges"]]
    assert [(node["name"], len(node["history"])) for node in swept] == [("norows", 0), ("whole", 1)]


def test_the_index_of_keys(engine):
    fields = "fields(first: 1000) { edges { node { path type } cursor } pageInfo { hasNextPage } }"
    found = project_data(engine, "ragged", fields)["fields"]
    paths = [(edge["node"]["path"], edge["node"]["type"]) for edge in found["edges"]]
    assert ("config.optimizer.value.name", "string") in paths
    assert ("config.lr.value", "number") in paths
    assert ("config.lr.value", "string") in paths
    assert ("config.outer.value.inner.dotted", "number") in paths
    assert ("config.clip.value", "nil") in paths
    assert ("config.model.value", "nil") not in paths
    assert ("summary_metrics.nested.deep.er", "number") in paths
    assert ("summary_metrics.gradients/w1", "histogram") in paths
    assert ("aggregations_min.train/loss", "number") in paths
    assert not any(
        path.startswith(("config._wandb", "summary_metrics._wandb")) for path, _ in paths
    )
    assert len(set(paths)) == len(paths)


def test_the_index_is_paged_and_searched(engine):
    fields = 'fields(first: 2, pattern: "^config.*lr") { edges { node { path } } pageInfo { hasNextPage } }'
    found = project_data(engine, "ragged", fields)["fields"]
    assert {edge["node"]["path"] for edge in found["edges"]} == {"config.lr.value"}
    assert found["pageInfo"] == {"hasNextPage": False}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ('runs(filters: "{") { totalCount }', "`filters` is no JSON object"),
        ('runs(filters: "[]") { totalCount }', "`filters` is no JSON object"),
        ('runs(filters: "{\\"state\\": {\\"$all\\": []}}") { totalCount }', r"\$all"),
        ('runs(after: "x") { totalCount }', "no cursor"),
        ("runs(first: -1) { totalCount }", "must not be negative"),
        ('fields(pattern: "(") { edges { cursor } }', "no regular expression"),
        ('run(name: "cadence1") { history(samples: 0) }', "`samples` must be at least 1"),
        ('run(name: "cadence1") { events(samples: -1) }', "`samples` must be at least 1"),
        ('run(name: "cadence1") { sampledHistory(specs: ["{}"]) }', "needs `keys`"),
    ],
)
def test_bad_arguments_are_graphql_errors(engine, fields, message):
    status, body = answer(
        engine, f'{{ project(name: "ragged", entityName: "wbframe") {{ {fields} }} }}'
    )
    assert status == 200
    assert len(body["errors"]) == 1
    assert re.search(message, body["errors"][0]["message"])
    assert body["errors"][0]["path"][0] == "project"
    assert "data" in body


@pytest.mark.parametrize(
    "document",
    [
        "{ viewer {",
        "{ nothing }",
        "{ viewer { nothing } }",
        "query Q($x: Int!) { viewer { teams(first: $x) { edges { node { name } } } } }",
        "fragment F on User { id }",
        "",
    ],
)
def test_bad_documents_are_refused(engine, document):
    status, body = answer(engine, document)
    assert status == 400
    assert body["errors"][0]["message"]
    assert "data" not in body


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"query": 1}', b'{"query": "{x}", "variables": []}']
)
def test_bad_bodies_are_refused(engine, body):
    assert engine.read(body) is None
    answered = engine.answer(None)
    assert answered.status == 400
    assert b"no GraphQL request" in answered.body


def test_the_name_of_the_operation_is_read(engine):
    assert engine.read(b'{"query": "query Named { viewer { id } }"}').operation == "Named"
    assert engine.read(b'{"query": "{ viewer { id } }", "operationName": ""}').operation == ""
    assert engine.read(b'{"query": "{"}').operation == ""


def test_forbidden_entity(engine):
    status, body = answer(engine, '{ project(name: "x", entityName: "forbidden") { id } }')
    assert status == 403
    assert "permission denied" in body["errors"][0]["message"]


def test_int64_arguments_are_plain_numbers(engine):
    fields = "history(minStep: $low, maxStep: $high)"
    rows = run_data(engine, "resumed", fields, low=("Int64!", 2**40), high=("Int64!", 2**62))[
        "history"
    ]
    assert rows == []


def test_directives_and_comments(engine):
    document = """#graphql
      query Q($yes: Boolean!, $no: Boolean!) {
        viewer { entity @include(if: $yes) username @skip(if: $yes) email @include(if: $no) } }"""
    assert data(engine, document, yes=True, no=False) == {"viewer": {"entity": "wbframe"}}


@pytest.mark.parametrize(
    ("feature", "fields"),
    [
        ("fields", "fields { edges { cursor } }"),
        ("projection", 'run(name: "whole") { config(keys: ["lr"]) }'),
        ("projection", 'run(name: "whole") { summaryMetrics(keys: ["lr"]) }'),
        ("nested_histories", "runs { edges { node { history } } }"),
        ("nested_histories", "runs { edges { node { ... on Run { events } } } }"),
        (
            "nested_histories",
            'sweep(sweepName: "swp1aaaa") { runs { edges { node { ...F } } } }',
        ),
        ("history_keys", 'run(name: "whole") { historyKeys }'),
        ("internal_ids", "internalId"),
        ("internal_ids", 'run(name: "whole") { projectId }'),
        ("parquet_history", 'run(name: "whole") { parquetHistory(liveKeys: []) { parquetUrls } }'),
    ],
)
def test_a_server_without_a_feature_refuses_its_fields(ragged_project, engine, feature, fields):
    fragment = "fragment F on Run { sampledHistory(specs: []) }" if "...F" in fields else ""
    document = f'{{ project(name: "ragged", entityName: "wbframe") {{ {fields} }} }} {fragment}'
    data(engine, document)
    status, body = answer(
        engine_of(ragged_project, features=Features(**{feature: False})), document
    )
    assert status == 400
    assert body["errors"]
    assert "data" not in body


def test_an_old_server_still_answers_the_rest(ragged_project):
    old = Features(
        fields=False,
        projection=False,
        nested_histories=False,
        history_keys=False,
        internal_ids=False,
        parquet_history=False,
    )
    engine = engine_of(ragged_project, features=old)
    fields = 'runs(first: 1) { edges { node { name config } } } run(name: "whole") { history(samples: 1) }'
    project = project_data(engine, "ragged", fields)
    assert project["runs"]["edges"][0]["node"]["name"] == "summary"
    assert len(project["run"]["history"]) == 1


def test_documents_are_parsed_once(engine):
    document = "query Once { viewer { id } }"
    assert engine._prepare(document) is engine._prepare(document)
    for number in range(300):
        engine._prepare(f"query Q{number} {{ viewer {{ id }} }}")
    assert len(engine._prepared) == 256


def test_selections_are_kept_and_bounded(ragged_project):
    engine = engine_of(ragged_project)
    view = engine.catalog.views["wbframe/ragged"]
    first = engine.catalog.select(view, None, "+name")
    assert engine.catalog.select(view, None, "+name") is first
    for number in range(80):
        engine.catalog.select(view, json.dumps({"name": str(number)}), None)
    assert engine.catalog.select(view, None, "+name") is not first
    assert len(engine.catalog._selected) == 64


def test_odd_answers_are_null():
    engine = engine_of(odd())
    fields = f'runs(order: "+name") {{ edges {{ node {{ {FULL_RUN} wandbConfig }} }} }}'
    listed, nobody, nothing = [
        edge["node"] for edge in project_data(engine, "odd", fields)["runs"]["edges"]
    ]
    assert json.loads(listed["config"]) == ["no", "object"]
    assert nobody["user"] is None
    assert nobody["state"] is None
    assert json.loads(nothing["config"]) == "text"
    assert (
        nothing["summaryMetrics"] is nothing["historyKeys"] is nothing["historyLineCount"] is None
    )
    assert project_data(engine, "odd", 'run(name: "listed") { config(keys: ["a"]) }')["run"] == {
        "config": '["no","object"]'
    }


def test_a_catalog_has_no_project_twice():
    with pytest.raises(UsageError, match="two projects are named 'wbframe/odd'"):
        engine_of(odd(), odd())
    assert data(engine_of(), "{ viewer { entity } }") == {"viewer": {"entity": "wbframe"}}


def test_a_project_has_no_run_and_no_sweep_twice():
    with pytest.raises(UsageError, match="two runs named 'a'"):
        Project(entity="e", name="p", runs=(RunRecord(name="a"), RunRecord(name="a")))
    with pytest.raises(UsageError, match="two sweeps named 's'"):
        Project(entity="e", name="p", sweeps=(Sweep(name="s"), Sweep(name="s")))


def test_a_page_holds_at_most_1000_runs():
    engine = engine_of(synthetic(runs=1100, rows=0, keys=0, config_keys=0))
    assert len(names(engine, "synthetic", first=5000)) == 1000
    assert len(names(engine, "synthetic", first=5000, after=cursor(999))) == 100
    assert len(names(engine, "synthetic")) == 50
