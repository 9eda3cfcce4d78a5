"""GraphQL documents of the drop-in classes; their variables are named as the official SDK names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wbframe.core.paths import name_of
from wbframe.core.protocol.request import Request, project_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wbframe.core.model import RunPath

HEAVY_FIELDS = ("config", "systemMetrics", "summaryMetrics", "historyKeys")
"""What a lazy listing leaves out."""

_LIGHT = (
    "id tags name displayName sweepName state group jobType commit readOnly createdAt heartbeatAt"
    " description notes historyLineCount user { name username }"
)
_FULL = f"{_LIGHT} {' '.join(HEAVY_FIELDS)}"
_SWEEP = "id name state runCountExpected bestLoss config"


def _runs(fields: str) -> str:
    """Write the document of a page of runs."""
    return (
        "query Runs($project: String!, $entity: String!, $cursor: String, $perPage: Int,"
        " $order: String, $filters: JSONString) { project(name: $project, entityName: $entity) {"
        " runCount(filters: $filters) readOnly"
        " runs(filters: $filters, after: $cursor, first: $perPage, order: $order) {"
        f" edges {{ node {{ {fields} }} cursor }} pageInfo {{ endCursor hasNextPage }} }} }} }}"
    )


RUNS = _runs(_FULL)
LIGHT_RUNS = _runs(_LIGHT)


def runs_page(document: str, variables: Mapping[str, Any], path: RunPath) -> Request:
    """Ask for a page of runs."""
    return Request(document=document, variables=variables, asked=f"the runs of {name_of(path)}")


def named_runs(path: RunPath, names: Sequence[str], *, lazy: bool = False) -> Request:
    """Ask for runs by their ids: aliases ``r0`` and so on."""
    fields = _LIGHT if lazy else _FULL
    return _named(path, "run", names, lambda i: f"r{i}: run(name: $n{i}) {{ {fields} }}")


def named_sweeps(path: RunPath, names: Sequence[str]) -> Request:
    """Ask for sweeps by their ids: aliases ``s0`` and so on."""
    return _named(path, "sweep", names, lambda i: f"s{i}: sweep(sweepName: $n{i}) {{ {_SWEEP} }}")


def _named(path: RunPath, what: str, names: Sequence[str], part: Callable[[int], str]) -> Request:
    """Ask for several things of one project by name."""
    declared = "".join(f", $n{i}: String!" for i in range(len(names)))
    document = (
        f"query {what.title()}($project: String!, $entity: String!{declared})"
        f" {{ project(name: $project, entityName: $entity) {{ {' '.join(map(part, range(len(names))))} }} }}"
    )
    asked = f"{what} {names[0]!r}" if len(names) == 1 else f"{len(names)} {what}s"
    return Request(
        document=document,
        variables={**project_variables(path), **{f"n{i}": name for i, name in enumerate(names)}},
        asked=f"{asked} of {name_of(path)}",
    )


def history_keys(path: RunPath, name: str) -> Request:
    """Ask how far a run's history goes."""
    document = (
        "query RunHistoryKeys($project: String!, $entity: String!, $name: String!)"
        " { project(name: $project, entityName: $entity)"
        " { run(name: $name) { historyKeys historyLineCount } } }"
    )
    return _of_run(path, name, document, "the history keys")


def run_file(path: RunPath, name: str, file: str) -> Request:
    """Ask where a file of a run lies."""
    document = (
        "query RunFile($project: String!, $entity: String!, $name: String!, $files: [String])"
        " { project(name: $project, entityName: $entity)"
        " { run(name: $name) { files(names: $files, first: 1) { edges { node { name url directUrl } } } } } }"
    )
    return _of_run(path, name, document, f"the file {file!r}", files=[file])


def _of_run(path: RunPath, name: str, document: str, what: str, **variables: Any) -> Request:
    """Ask for something of one run."""
    return Request(
        document=document,
        variables={**project_variables(path), "name": name, **variables},
        asked=f"{what} of run {name!r} of {name_of(path)}",
    )
