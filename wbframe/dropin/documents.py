"""GraphQL documents of the drop-in classes; their variables are named as the official SDK names them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wbframe.core.paths import name_of
from wbframe.core.protocol.request import RUN_KEYS, Request, by_run, of_project

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wbframe.core.model import RunPath

# The SDK's light fragment is without these too.
HEAVY_FIELDS = ("config", "systemMetrics", "summaryMetrics", "historyKeys")
"""What a lazy listing leaves out."""

_LIGHT = (
    "id tags name displayName sweepName state group jobType commit readOnly createdAt heartbeatAt"
    " description notes historyLineCount user { name username }"
)
_FULL = f"{_LIGHT} {' '.join(HEAVY_FIELDS)}"
_COUNT = " runCount(filters: $filters)"
_SWEEP = "id name state runCountExpected bestLoss config"


def _runs(fields: str) -> str:
    """Write the document of a page of runs."""
    return (
        "query Runs($project: String!, $entity: String!, $cursor: String, $perPage: Int,"
        " $order: String, $filters: JSONString) { project(name: $project, entityName: $entity) {"
        f"{_COUNT} readOnly"
        " runs(filters: $filters, after: $cursor, first: $perPage, order: $order) {"
        f" edges {{ node {{ {fields} }} cursor }} pageInfo {{ endCursor hasNextPage }} }} }} }}"
    )


RUNS = _runs(_FULL)
LIGHT_RUNS = _runs(_LIGHT)


def without_count(document: str) -> str:
    """Take the number of runs out of a document."""
    return document.replace(_COUNT, "")


def runs_page(document: str, variables: Mapping[str, Any], path: RunPath) -> Request:
    """Ask for a page of runs."""
    return Request(document=document, variables=variables, asked=f"the runs of {name_of(path)}")


def named_runs(
    path: RunPath, names: Sequence[str], *, lazy: bool = False, keys: bool = True
) -> Request:
    """Ask for runs by their ids: aliases ``r0`` and so on; without their keys where the server has none."""
    fields = _LIGHT if lazy else _FULL if keys else _FULL.replace(" historyKeys", "")
    return by_run("Run", path, names, lambda _: fields)


def named_sweeps(path: RunPath, names: Sequence[str]) -> Request:
    """Ask for sweeps by their ids: aliases ``s0`` and so on."""
    parts = [f"s{i}: sweep(sweepName: $n{i}) {{ {_SWEEP} }}" for i in range(len(names))]
    return of_project(
        "Sweep",
        path,
        " ".join(parts),
        asked=f"sweep {names[0]!r}" if len(names) == 1 else f"{len(names)} sweeps",
        variables={f"n{i}": ("String!", name) for i, name in enumerate(names)},
    )


def history_keys(path: RunPath, name: str) -> Request:
    """Ask how far a run's history goes."""
    select = "historyKeys historyLineCount"
    return by_run(
        "RunHistoryKeys",
        path,
        [name],
        lambda _: select,
        asked="the history keys of ",
        features={RUN_KEYS},
    )


def run_file(path: RunPath, name: str, file: str) -> Request:
    """Ask where a file of a run lies."""
    return by_run(
        "RunFile",
        path,
        [name],
        lambda _: "files(names: $files, first: 1) { edges { node { name url directUrl } } }",
        asked=f"the file {file!r} of ",
        variables={"files": ("[String]", [file])},
    )
