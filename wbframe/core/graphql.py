"""GraphQL documents, their variables, and the answers to them; nothing here sends anything."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.core.answers import (
    RAW_NULL,
    PageInfo,
    RunsData,
    answered,
    decode_answer,
    decoder_of,
    found_project,
    found_run,
    open_answer,
)
from wbframe.core.model import Request
from wbframe.core.paths import name_of
from wbframe.core.spelling import decode_any
from wbframe.errors import AnswerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wbframe.core.model import RunPath

_NO_ROWS = msgspec.Raw(b"[]")

FIELDS_PER_PAGE = 1000

# Feature -> what a server that does not have it says. Both quotes are in use.
FIELDS = "project.fields"
PROJECTION = "config(keys:)"
KEYS = "runs.historyKeys"
EXPORTS = "run.parquetHistory"
LIVE = "parquetHistory.liveData"
BUCKETS = "run.bucketedHistory"
_REFUSALS = {
    BUCKETS: re.compile(r"""[Cc]annot query field ["']bucketedHistory["']"""),
    EXPORTS: re.compile(r"""[Cc]annot query field ["']parquetHistory["']"""),
    LIVE: re.compile(r"""[Cc]annot query field ["']liveData["']"""),
    KEYS: re.compile(
        r"""[Cc]annot query field ["']historyKeys["'] on type ["']RunConnection["']"""
    ),
    FIELDS: re.compile(r"""[Cc]annot query field ["']fields["']"""),
    PROJECTION: re.compile(r"""[Uu]nknown argument ["']keys["']"""),
}


def refused_features(request: Request, message: str) -> frozenset[str]:
    """Tell which of the request's features the server's message refuses."""
    return frozenset(each for each in request.features if _REFUSALS[each].search(message))


# ---------------------------------------------------------------- what to select of a run


_FEW_KEYS = 10
_HEAVY = frozenset({"historyKeys", "systemMetrics"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFields:
    """What is selected of each run.

    Attributes
    ----------
    plain
        GraphQL fields without arguments, as they stand in the document.
    config, summary
        Top-level keys to ask for; None for all, empty for none of it.
    """

    plain: tuple[str, ...] = ("name",)
    config: tuple[str, ...] | None = ()
    summary: tuple[str, ...] | None = ()

    @property
    def light(self) -> bool:
        """Whether what is selected takes few bytes a run."""
        keys = None if self.config is None or self.summary is None else self.config + self.summary
        return keys is not None and len(keys) <= _FEW_KEYS and _HEAVY.isdisjoint(self.plain)

    def features(self) -> frozenset[str]:
        """Tell which features of newer servers the selection uses."""
        return frozenset({PROJECTION} if self.config or self.summary else ())

    def without(self, features: frozenset[str]) -> NodeFields:
        """Select the same (or more) without `features`."""
        if PROJECTION not in features:
            return self
        return replace(
            self,
            config=None if self.config else self.config,
            summary=None if self.summary else self.summary,
        )

    def text(self) -> str:
        """Spell the selection as it stands in a document."""
        parts = list(self.plain)
        parts += _blob("config", "configKeys", self.config)
        parts += _blob("summaryMetrics", "summaryKeys", self.summary)
        return " ".join(parts)

    def variables(self) -> dict[str, tuple[str, Any]]:
        """Give the variables that `text` uses: name -> (type, value)."""
        found: dict[str, tuple[str, Any]] = {}
        if self.config:
            found["configKeys"] = ("[String!]", list(self.config))
        if self.summary:
            found["summaryKeys"] = ("[String!]", list(self.summary))
        return found


def _blob(name: str, variable: str, keys: tuple[str, ...] | None) -> list[str]:
    """Spell the selection of one of the two JSON blobs."""
    if keys is None:
        return [name]
    return [f"{name}(keys: ${variable})"] if keys else []


class _Field(msgspec.Struct):
    path: str
    type: str | None = None


class _FieldEdge(msgspec.Struct):
    node: _Field | None = None


class _Fields(msgspec.Struct, rename="camel"):
    edges: list[_FieldEdge | None] = []
    page_info: PageInfo = msgspec.field(default_factory=PageInfo)


class _FieldsProject(msgspec.Struct):
    fields: _Fields | None = None


@answered
class _FieldsData(msgspec.Struct):
    project: _FieldsProject | None = None


class _KeysConnection(msgspec.Struct, rename="camel"):
    history_keys: msgspec.Raw = RAW_NULL


class _KeysProject(msgspec.Struct):
    runs: _KeysConnection | None = None


@answered
class _KeysData(msgspec.Struct):
    project: _KeysProject | None = None


@answered
class _RowsData(msgspec.Struct):
    project: dict[str, dict[str, msgspec.Raw] | None] | None = None


class RunRows(msgspec.Struct, rename="camel", gc=False):
    """The rows of a run as the protocol has them: a list of row objects a spec, or JSON texts."""

    sampled_history: list[msgspec.Raw] | None = None
    history: list[str] | None = None
    events: list[str] | None = None


class _RunsOfRows(msgspec.Struct):
    project: dict[str, RunRows | None] | None = None


@answered
class _RowsEnvelope(msgspec.Struct):
    data: _RunsOfRows | None = None
    errors: list[Any] | None = None
    error: Any = None


# ---------------------------------------------------------------- the index of fields


def fields_request(
    path: RunPath, cursor: str | None = None, first: int = FIELDS_PER_PAGE
) -> Request:
    """Ask for a page of the project's index of config and summary keys."""
    document = (
        "query Fields($project: String!, $entity: String!, $first: Int!, $after: String)"
        " { project(name: $project, entityName: $entity) { fields(first: $first, after: $after)"
        " { edges { node { path type } } pageInfo { endCursor hasNextPage } } } }"
    )
    return Request(
        document=document,
        variables={**project_variables(path), "first": first, "after": cursor},
        asked=f"the fields of {name_of(path)}",
        features=frozenset({FIELDS}),
    )


def fields_page(
    content: bytes, request: Request, path: RunPath
) -> tuple[list[tuple[str, str | None]], str | None]:
    """Parse a page of the index: (path, type) pairs, and the next cursor or None."""
    data: _FieldsData = decode_answer(open_answer(content, request), _FieldsData, request)
    fields = found_project(data.project, path).fields or _Fields()
    pairs = [(edge.node.path, edge.node.type) for edge in fields.edges if edge and edge.node]
    more = fields.page_info.has_next_page and bool(fields.edges)
    return pairs, fields.page_info.end_cursor if more else None


def keys_request(path: RunPath, filters: str) -> Request:
    """Ask for the logged keys of all runs that pass the filters, at once."""
    document = (
        "query Keys($project: String!, $entity: String!, $filters: JSONString)"
        " { project(name: $project, entityName: $entity) { runs(filters: $filters, first: 1)"
        " { historyKeys } } }"
    )
    return Request(
        document=document,
        variables={**project_variables(path), "filters": filters},
        asked=f"the logged keys of {name_of(path)}",
        features=frozenset({KEYS}),
    )


def keys_answer(content: bytes, request: Request, path: RunPath) -> msgspec.Raw:
    """Parse the answer to `keys_request`: the bytes of the united historyKeys."""
    data: _KeysData = decode_answer(open_answer(content, request), _KeysData, request)
    runs = found_project(data.project, path).runs
    return RAW_NULL if runs is None else runs.history_keys


def count_request(path: RunPath, filters: str) -> Request:
    """Ask how many runs pass the filters."""
    document = (
        "query Count($project: String!, $entity: String!, $filters: JSONString)"
        " { project(name: $project, entityName: $entity) { runCount(filters: $filters) } }"
    )
    return Request(
        document=document,
        variables={**project_variables(path), "filters": filters},
        asked=f"the number of runs of {name_of(path)}",
    )


def count_answer(content: bytes, request: Request, path: RunPath) -> int:
    """Parse the answer to `count_request`.

    Raises
    ------
    ProjectNotFoundError
        If there is no such project.
    AnswerError
        If the answer has no count.
    """
    data: RunsData = decode_answer(open_answer(content, request), RunsData, request)
    count: int | None = found_project(data.project, path).run_count
    if count is None:
        raise AnswerError(f"could not read {request.asked}: the answer has no runCount")
    return count


# ---------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsOf:
    """What rows are asked of one run: specs of sampledHistory, or all keys by history or events."""

    run_id: str
    field: str = "sampledHistory"
    specs: tuple[str, ...] = ()


_ROW_VARIABLES = {
    "history": {"samples": "Int", "minStep": "Int64", "maxStep": "Int64"},
    "events": {"samples": "Int"},
}


def rows_request(
    path: RunPath,
    runs: Sequence[RowsOf],
    *,
    samples: int,
    min_step: int | None = None,
    max_step: int | None = None,
) -> Request:
    """Ask for the rows of several runs; the window is half-open, and goes with `history`."""
    given = {"samples": samples, "minStep": min_step, "maxStep": max_step}
    declared: dict[str, str] = {}
    variables = project_variables(path)
    selections = []
    shared: dict[tuple[str, ...], str] = {}
    for i, run in enumerate(runs):
        declared[f"r{i}"] = "String!"
        variables[f"r{i}"] = run.run_id
        if run.field in {"sampledHistory", "bucketedHistory"}:
            name = shared.setdefault(run.specs, f"s{len(shared)}")
            declared[name] = "[JSONString!]!"
            variables[name] = list(run.specs)
            arguments = f"specs: ${name}"
        else:
            declared |= _ROW_VARIABLES[run.field]
            variables |= {name: given[name] for name in _ROW_VARIABLES[run.field]}
            arguments = ", ".join(f"{name}: ${name}" for name in _ROW_VARIABLES[run.field])
        selections.append(f"r{i}: run(name: $r{i}) {{ {run.field}({arguments}) }}")
    extra = "".join(f", ${name}: {kind}" for name, kind in declared.items())
    document = (
        f"query Rows($project: String!, $entity: String!{extra})"
        f" {{ project(name: $project, entityName: $entity) {{ {' '.join(selections)} }} }}"
    )
    what = f"run {runs[0].run_id!r}" if len(runs) == 1 else f"{len(runs)} runs"
    asked = f"the {runs[0].field} of {what} of {name_of(path)}"
    features = {BUCKETS} if any(run.field == "bucketedHistory" for run in runs) else ()
    return Request(
        document=document, variables=variables, asked=asked, features=frozenset(features)
    )


def rows_answer(
    content: bytes, request: Request, path: RunPath, runs: Sequence[RowsOf]
) -> list[msgspec.Raw]:
    """Parse the answer to `rows_request`: the bytes of each run's rows, in order."""
    data: _RowsData = decode_answer(open_answer(content, request), _RowsData, request)
    project = found_project(data.project, path)
    found = [found_run(project.get(f"r{i}"), run.run_id, path) for i, run in enumerate(runs)]
    rows = [each.get(run.field, RAW_NULL) for each, run in zip(found, runs, strict=True)]
    return [_NO_ROWS if raw == RAW_NULL else raw for raw in rows]


def rows_at_once(content: bytes, request: Request, runs: Sequence[RowsOf]) -> list[RunRows] | None:
    """Parse the answer to `rows_request` in one pass over its bytes.

    Returns
    -------
    list of RunRows or None
        In the order of the runs; None for an answer that is not as it should be, which `rows_answer` reads
        or refuses step by step.
    """
    try:
        answer: _RowsEnvelope = decode_any(decoder_of(_RowsEnvelope), content, where=request.asked)
    except msgspec.ValidationError:
        return None
    if answer.errors or answer.error or answer.data is None or answer.data.project is None:
        return None
    project = answer.data.project
    found = [project.get(f"r{i}") for i in range(len(runs))]
    whole = [each for each in found if each is not None]
    return whole if len(whole) == len(runs) else None


def spec(keys: Sequence[str], samples: int, min_step: int | None, max_step: int | None) -> str:
    """Spell one spec of sampledHistory; `max_step` is exclusive here and inclusive on the wire."""
    content: dict[str, Any] = {"keys": list(keys), "samples": samples}
    if min_step is not None:
        content["minStep"] = min_step
    if max_step is not None:
        content["maxStep"] = max_step - 1
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)


VIEWER = Request(
    document="query Viewer { viewer { id entity username } }",
    variables={},
    asked="the default entity",
)


class _Viewer(msgspec.Struct):
    entity: str | None = None


@answered
class _ViewerData(msgspec.Struct):
    viewer: _Viewer | None = None


def viewer_entity(content: bytes) -> str | None:
    """Parse the answer to `VIEWER`."""
    data: _ViewerData = decode_answer(open_answer(content, VIEWER), _ViewerData, VIEWER)
    return None if data.viewer is None else data.viewer.entity


# ---------------------------------------------------------------- names


def project_variables(path: RunPath) -> dict[str, Any]:
    """Give the two variables that every document has."""
    return {"project": path.project, "entity": path.entity}
