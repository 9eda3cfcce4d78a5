"""GraphQL documents, their variables, and the parsing of answers; nothing here sends anything."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.core import filters as flt
from wbframe.core.exact import decode_any
from wbframe.core.model import Request
from wbframe.errors import (
    AnswerError,
    ProjectNotFoundError,
    QueryError,
    RunNotFoundError,
    SweepNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from wbframe.core.filters import Filter
    from wbframe.core.model import RunPath

RAW_NULL = msgspec.Raw(b"null")
_NO_ROWS = msgspec.Raw(b"[]")

FIELDS_PER_PAGE = 1000

# Feature -> what a server that does not have it says. Both quotes are in use.
FIELDS = "project.fields"
PROJECTION = "config(keys:)"
_REFUSALS = {
    FIELDS: re.compile(r"""[Cc]annot query field ["']fields["']"""),
    PROJECTION: re.compile(r"""[Uu]nknown argument ["']keys["']"""),
}


# ---------------------------------------------------------------- what to select of a run


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


# ---------------------------------------------------------------- answers


class UserNode(msgspec.Struct, rename="camel"):
    """The user of a run."""

    name: str | None = None
    username: str | None = None


class RunNode(msgspec.Struct, rename="camel"):
    """One run, as far as it was selected."""

    name: str
    display_name: str | None = None
    state: str | None = None
    created_at: str | None = None
    heartbeat_at: str | None = None
    user: UserNode | None = None
    group: str | None = None
    job_type: str | None = None
    sweep_name: str | None = None
    tags: list[str] | None = None
    notes: str | None = None
    commit: str | None = None
    history_line_count: int | float | None = None
    history_keys: msgspec.Raw = RAW_NULL
    config: msgspec.Raw = RAW_NULL
    summary_metrics: msgspec.Raw = RAW_NULL


class _PageInfo(msgspec.Struct, rename="camel"):
    end_cursor: str | None = None
    has_next_page: bool = False


class _Edge(msgspec.Struct):
    node: RunNode | None = None
    cursor: str | None = None


class _Connection(msgspec.Struct, rename="camel"):
    edges: list[_Edge] = []
    page_info: _PageInfo = msgspec.field(default_factory=_PageInfo)


class _Project(msgspec.Struct, rename="camel"):
    runs: _Connection | None = None
    run_count: int | None = None
    sweep: dict[str, Any] | None = None


class _RunsData(msgspec.Struct):
    project: _Project | None = None


class _Field(msgspec.Struct):
    path: str
    type: str | None = None


class _FieldEdge(msgspec.Struct):
    node: _Field | None = None


class _Fields(msgspec.Struct, rename="camel"):
    edges: list[_FieldEdge] = []
    page_info: _PageInfo = msgspec.field(default_factory=_PageInfo)


class _FieldsProject(msgspec.Struct):
    fields: _Fields | None = None


class _FieldsData(msgspec.Struct):
    project: _FieldsProject | None = None


class _Named(msgspec.Struct):
    project: dict[str, RunNode | None] | None = None


class _RowsData(msgspec.Struct):
    project: dict[str, dict[str, msgspec.Raw] | None] | None = None


class _Envelope(msgspec.Struct):
    data: msgspec.Raw = RAW_NULL
    errors: list[Any] | None = None
    error: Any = None


def open_answer(content: bytes, request: Request) -> msgspec.Raw:
    """Give the `data` of an answer, or raise what it says instead.

    Raises
    ------
    QueryError
        If the answer has GraphQL errors.
    AnswerError
        If it is no GraphQL answer.
    """
    envelope: _Envelope = _decode(content, _Envelope, request)
    messages = error_messages(envelope.errors or ([envelope.error] if envelope.error else []))
    if messages:
        raise QueryError(f"could not read {request.asked}: the server answered: {'; '.join(messages)}")
    if envelope.data == RAW_NULL:
        raise AnswerError(f"could not read {request.asked}: the answer has neither data nor errors")
    return envelope.data


def error_messages(errors: Sequence[Any]) -> list[str]:
    """Take the messages out of GraphQL errors, which may be objects or plain strings."""
    found = [each.get("message") if isinstance(each, dict) else each for each in errors]
    return [" ".join(str(each).split())[:300] for each in found if each]


def refused_features(request: Request, message: str) -> frozenset[str]:
    """Tell which of the request's features the server's message refuses."""
    return frozenset(each for each in request.features if _REFUSALS[each].search(message))


def _decode(data: bytes | msgspec.Raw, kind: type[Any], request: Request) -> Any:
    """Decode JSON, be it strict or not, into the type that the protocol says."""
    try:
        return decode_any(_decoder(kind), bytes(data), where=request.asked)
    except msgspec.ValidationError as error:
        msg = f"could not read {request.asked}: the answer is not what W&B's protocol says: {error}"
        raise AnswerError(msg) from error


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    """Make the decoder of a type once."""
    return msgspec.json.Decoder(kind)  # type: ignore[call-overload, no-any-return]


# ---------------------------------------------------------------- pages of runs


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of runs; `cursor` is None when there is no further one."""

    nodes: tuple[RunNode, ...]
    cursor: str | None
    run_count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectListing:
    """The runs of a project or sweep, page by page."""

    path: RunPath
    filters: Filter
    order: str
    fields: NodeFields
    per_page: int

    @property
    def asked(self) -> str:
        """What is read, in words."""
        sweep = f"sweep {self.path.sweep!r} of " if self.path.sweep else ""
        return f"the runs of {sweep}{name_of(self.path)}"

    def request(self, cursor: str | None = None) -> Request:
        """Ask for the page after `cursor`."""
        filters = self.filters
        extra = self.fields.variables()
        select = ""
        if self.path.sweep:
            filters = flt.conjoin(flt.parse({"sweep": self.path.sweep}), filters)
            extra["sweep"] = ("String!", self.path.sweep)
            select = "sweep(sweepName: $sweep) { name } "
        declared = "".join(f", ${name}: {kind}" for name, (kind, _) in extra.items())
        document = (
            "query Runs($project: String!, $entity: String!, $filters: JSONString, $order: String,"
            f" $first: Int!, $after: String{declared}) {{ project(name: $project, entityName: $entity) {{"
            f" {select}runCount(filters: $filters)"
            " runs(filters: $filters, order: $order, first: $first, after: $after) {"
            f" edges {{ node {{ {self.fields.text()} }} cursor }}"
            " pageInfo { endCursor hasNextPage } } } }"
        )
        variables = {
            **_project_variables(self.path),
            "filters": flt.to_json(filters),
            "order": self.order,
            "first": self.per_page,
            "after": cursor,
            **{name: value for name, (_, value) in extra.items()},
        }
        return Request(
            document=document, variables=variables, asked=self.asked, features=self.fields.features()
        )

    def page(self, content: bytes, request: Request) -> Page:
        """Parse the answer to `request`."""
        data: _RunsData = _decode(open_answer(content, request), _RunsData, request)
        project = _found(data.project, self.path)
        if self.path.sweep and project.sweep is None:
            msg = f"no sweep {self.path.sweep!r} in {name_of(self.path)}; its id is the last part of its address"
            raise SweepNotFoundError(msg)
        if project.runs is None:
            raise AnswerError(f"could not read {self.asked}: the answer has no runs")
        edges = project.runs.edges
        info = project.runs.page_info
        cursor = info.end_cursor or (edges[-1].cursor if edges else None)
        return Page(
            nodes=tuple(edge.node for edge in edges if edge.node is not None),
            cursor=cursor if info.has_next_page and edges else None,
            run_count=project.run_count,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedListing:
    """Runs by their ids, `per_page` of them in one request."""

    path: RunPath
    names: tuple[str, ...]
    fields: NodeFields
    per_page: int

    @property
    def asked(self) -> str:
        """What is read, in words."""
        runs = f"run {self.names[0]!r}" if len(self.names) == 1 else f"{len(self.names)} runs"
        return f"{runs} of {name_of(self.path)}"

    def request(self, cursor: str | None = None) -> Request:
        """Ask for the page that starts at index `cursor`."""
        start = int(cursor or 0)
        names = self.names[start : start + self.per_page]
        extra = self.fields.variables()
        declared = "".join(f", $r{i}: String!" for i in range(len(names)))
        declared += "".join(f", ${name}: {kind}" for name, (kind, _) in extra.items())
        runs = " ".join(f"r{i}: run(name: $r{i}) {{ {self.fields.text()} }}" for i in range(len(names)))
        document = (
            f"query NamedRuns($project: String!, $entity: String!{declared})"
            f" {{ project(name: $project, entityName: $entity) {{ {runs} }} }}"
        )
        variables = {
            **_project_variables(self.path),
            **{f"r{i}": name for i, name in enumerate(names)},
            **{name: value for name, (_, value) in extra.items()},
        }
        return Request(
            document=document, variables=variables, asked=self.asked, features=self.fields.features()
        )

    def page(self, content: bytes, request: Request) -> Page:
        """Parse the answer to `request`."""
        data: _Named = _decode(open_answer(content, request), _Named, request)
        project = _found(data.project, self.path)
        names = [value for name, value in request.variables.items() if re.fullmatch(r"r\d+", name)]
        nodes = [_found_run(project.get(f"r{i}"), name, self.path) for i, name in enumerate(names)]
        end = self.names.index(names[-1]) + 1
        return Page(nodes=tuple(nodes), cursor=str(end) if end < len(self.names) else None)


Listing = ProjectListing | NamedListing


# ---------------------------------------------------------------- the index of fields


def fields_request(path: RunPath, cursor: str | None = None) -> Request:
    """Ask for a page of the project's index of config and summary keys."""
    document = (
        "query Fields($project: String!, $entity: String!, $first: Int!, $after: String)"
        " { project(name: $project, entityName: $entity) { fields(first: $first, after: $after)"
        " { edges { node { path type } } pageInfo { endCursor hasNextPage } } } }"
    )
    return Request(
        document=document,
        variables={**_project_variables(path), "first": FIELDS_PER_PAGE, "after": cursor},
        asked=f"the fields of {name_of(path)}",
        features=frozenset({FIELDS}),
    )


def fields_page(
    content: bytes, request: Request, path: RunPath
) -> tuple[list[tuple[str, str | None]], str | None]:
    """Parse a page of the index: (path, type) pairs, and the next cursor or None."""
    data: _FieldsData = _decode(open_answer(content, request), _FieldsData, request)
    fields = _found(data.project, path).fields or _Fields()
    pairs = [(edge.node.path, edge.node.type) for edge in fields.edges if edge.node is not None]
    more = fields.page_info.has_next_page and bool(fields.edges)
    return pairs, fields.page_info.end_cursor if more else None


# ---------------------------------------------------------------- rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsOf:
    """What rows are asked of one run: specs of sampledHistory, or all keys of a stream."""

    run_id: str
    specs: tuple[str, ...] = ()


def rows_request(
    path: RunPath,
    runs: Sequence[RowsOf],
    *,
    field: str,
    samples: int,
    min_step: int | None = None,
    max_step: int | None = None,
) -> Request:
    """Ask for the rows of several runs: `field` is sampledHistory, history or events."""
    declared, variables, selections = [], _project_variables(path), []
    shared: dict[tuple[str, ...], str] = {}
    for i, run in enumerate(runs):
        declared.append(f"$r{i}: String!")
        variables[f"r{i}"] = run.run_id
        if field == "sampledHistory":
            name = shared.get(run.specs)
            if name is None:
                name = shared[run.specs] = f"s{len(shared)}"
                declared.append(f"${name}: [JSONString!]!")
                variables[name] = list(run.specs)
            arguments = f"specs: ${name}"
        elif field == "history":
            arguments = "samples: $samples, minStep: $minStep, maxStep: $maxStep"
        else:
            arguments = "samples: $samples"
        selections.append(f"r{i}: run(name: $r{i}) {{ {field}({arguments}) }}")
    if field != "sampledHistory":
        declared.append("$samples: Int")
        variables["samples"] = samples
    if field == "history":
        declared += ["$minStep: Int64", "$maxStep: Int64"]
        variables |= {"minStep": min_step, "maxStep": max_step}
    document = (
        f"query Rows($project: String!, $entity: String!, {', '.join(declared)})"
        f" {{ project(name: $project, entityName: $entity) {{ {' '.join(selections)} }} }}"
    )
    what = f"run {runs[0].run_id!r}" if len(runs) == 1 else f"{len(runs)} runs"
    return Request(
        document=document, variables=variables, asked=f"the {field} of {what} of {name_of(path)}"
    )


def rows_answer(
    content: bytes, request: Request, path: RunPath, runs: Sequence[RowsOf], *, field: str
) -> list[msgspec.Raw]:
    """Parse the answer to `rows_request`: the field's bytes for each run, in order."""
    data: _RowsData = _decode(open_answer(content, request), _RowsData, request)
    project = _found(data.project, path)
    found = [_found_run(project.get(f"r{i}"), run.run_id, path) for i, run in enumerate(runs)]
    rows = [each.get(field, RAW_NULL) for each in found]
    return [_NO_ROWS if raw == RAW_NULL else raw for raw in rows]


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


def viewer_entity(content: bytes) -> str | None:
    """Parse the answer to `VIEWER`."""
    viewer = msgspec.json.decode(open_answer(content, VIEWER)).get("viewer")
    return viewer.get("entity") if isinstance(viewer, dict) else None


# ---------------------------------------------------------------- names


def name_of(path: RunPath) -> str:
    """Give `entity/project`."""
    return f"{path.entity}/{path.project}"


def _project_variables(path: RunPath) -> dict[str, Any]:
    """Give the two variables that every document has."""
    return {"project": path.project, "entity": path.entity}


def _found(project: Any, path: RunPath) -> Any:
    """Give the project, or raise that there is none."""
    if project is None:
        msg = (
            f"Could not find project {name_of(path)}: it does not exist, or the API key may not see it;"
            " check the spelling of both parts, or set WANDB_API_KEY to a key that may"
        )
        raise ProjectNotFoundError(msg)
    return project


def _found_run(run: Any, name: str, path: RunPath) -> Any:
    """Give the run, or raise that there is none."""
    if run is None:
        msg = f"Could not find run {name!r} in {name_of(path)}; its id is the last part of its address"
        raise RunNotFoundError(msg)
    return run


def json_object(value: msgspec.Raw, *, where: str) -> Mapping[str, msgspec.Raw]:
    """Open a JSON object that may come as such or as a JSON string; {} for anything else.

    Raises
    ------
    AnswerError
        If it is no JSON at all.
    """
    inner = bytes(value).strip()
    if inner[:1] == b'"':
        text: str = decode_any(_decoder(str), inner, where=where)
        inner = text.strip().encode()
    if inner[:1] != b"{":
        return {}
    found: dict[str, msgspec.Raw] = decode_any(_decoder(dict[str, msgspec.Raw]), inner, where=where)
    return found
