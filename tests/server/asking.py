"""Ask an engine or a server, and read the answer."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from wbframe.server.api.catalog import Catalog
from wbframe.server.api.engine import Engine


def engine_of(*projects, features=None, null_reading="mongo") -> Engine:
    return Engine(Catalog(projects, null_reading), features)


def answer(engine: Engine, document: str, **variables: Any) -> tuple[int, Any]:
    """Give the status and the decoded body."""
    body = msgspec.json.encode({"query": document, "variables": variables})
    answered = engine.answer(engine.read(body))
    return answered.status, json.loads(answered.body)


def data(engine: Engine, document: str, **variables: Any) -> Any:
    """Give the data of an answer that must have no errors."""
    status, body = answer(engine, document, **variables)
    assert status == 200, body
    assert "errors" not in body, body
    return body["data"]


def project_data(engine: Engine, name: str, fields: str, **variables: Any) -> Any:
    """Ask fields of one of our projects."""
    declared = "".join(f"${each}: {kind} " for each, (kind, _) in variables.items())
    head = f"query Q({declared})" if declared else "query Q"
    values = {each: value for each, (_, value) in variables.items()}
    document = f'{head} {{ project(name: "{name}", entityName: "wbframe") {{ {fields} }} }}'
    return data(engine, document, **values)["project"]


def names(engine: Engine, project: str, **arguments: Any) -> list[str]:
    """List the names of the runs that a query gives."""
    kinds = {"filters": "JSONString", "order": "String", "first": "Int", "after": "String"}
    variables = {
        each: (kinds[each], json.dumps(value) if each == "filters" else value)
        for each, value in arguments.items()
    }
    given = ", ".join(f"{each}: ${each}" for each in arguments)
    fields = f"runs{f'({given})' if given else ''} {{ edges {{ node {{ name }} }} }}"
    found = project_data(engine, project, fields, **variables)
    return [edge["node"]["name"] for edge in found["runs"]["edges"]]
