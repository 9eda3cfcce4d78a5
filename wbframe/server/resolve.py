"""What each field of the schema answers."""

from __future__ import annotations

import base64
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from wbframe.core import filters
from wbframe.errors import FilterError, UsageError
from wbframe.server import select
from wbframe.server.index import project_fields
from wbframe.server.rows import History, Spec, SpecError
from wbframe.server.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wbframe.server.store import Project, RunRecord, Sweep

__all__ = ["FORBIDDEN", "RESOLVERS", "Catalog", "ForbiddenError", "InputError"]

FORBIDDEN = "forbidden"
"""Projects of the entity of this name are answered with HTTP 403."""

_MOST_EVENTS = 999
_TAIL = 5
_ANSWERS_KEPT = 64


class ForbiddenError(Exception):
    """The project may not be read."""


class InputError(ValueError):
    """An argument cannot be used; becomes a GraphQL error."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """Everything that the server serves, as the resolvers see it."""

    projects: tuple[Project, ...]
    null_reading: Literal["mongo", "sql"] = "mongo"
    _selected: OrderedDict[tuple[str, str, str | None, str | None], list[RunView]] = field(
        default_factory=OrderedDict
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        paths = [project.path for project in self.projects]
        for path in paths:
            if paths.count(path) > 1:
                raise UsageError(f"two projects are named {path!r}")

    @property
    def entity(self) -> str:
        """The entity of the viewer."""
        return self.projects[0].entity if self.projects else "wbframe"

    @cached_property
    def views(self) -> dict[str, ProjectView]:
        """Every project by its path."""
        return {project.path: ProjectView(self, project) for project in self.projects}

    def select(
        self, view: ProjectView, text: str | None, order: str | None, sweep: str | None = None
    ) -> list[RunView]:
        """Give the runs that fit a filter, in order; kept for the next page."""
        name = (view.project.path, text or "", order, sweep)
        with self._lock:
            if name in self._selected:
                self._selected.move_to_end(name)
                return self._selected[name]
        fits = self._fits(view.project, text)
        chosen = [
            view.runs[run.name]
            for run in select.ordered(view.project, order)
            if (sweep is None or run.sweep == sweep) and fits(run)
        ]
        with self._lock:
            self._selected[name] = chosen
            if len(self._selected) > _ANSWERS_KEPT:
                self._selected.popitem(last=False)
        return chosen

    def _fits(self, project: Project, text: str | None) -> Callable[[RunRecord], bool]:
        """Read a filter from its JSON text."""
        if not text:
            return lambda _run: True
        try:
            parsed = filters.parse(msgspec.json.decode(text, type=dict[str, Any]))
        except msgspec.MsgspecError as error:
            raise InputError(f"`filters` is no JSON object: {error}") from None
        except FilterError as error:
            raise InputError(str(error)) from None
        return lambda run: filters.matches(
            parsed, lambda path: select.lookup(project, run, path), reading=self.null_reading
        )


class RunView:
    """One run of one project, its texts encoded once."""

    def __init__(self, view: ProjectView, run: RunRecord) -> None:
        self.view = view
        self.run = run
        self.bare = view.project.bare_tokens

    @cached_property
    def id(self) -> str:
        """The storage id."""
        project = self.view.project
        return _storage_id(f"Run:v1:{self.run.name}:{project.name}:{project.entity}")

    @cached_property
    def wrapped_config(self) -> Any:
        """The config as stored: each entry under ``value``, and ``_wandb``."""
        config = self.run.config
        if not isinstance(config, Mapping):
            return config
        wrapped = {key: {"value": value, "desc": None} for key, value in config.items()}
        if self.run.wandb_config is not None:
            wrapped["_wandb"] = {"value": dict(self.run.wandb_config), "desc": None}
        return wrapped

    @cached_property
    def config(self) -> msgspec.Raw | None:
        """The whole config as JSON text, ready for the answer."""
        return _text(self.wrapped_config, bare=self.bare)

    @cached_property
    def summary(self) -> msgspec.Raw | None:
        """The whole summary as JSON text, ready for the answer."""
        return _text(self.run.summary_metrics, bare=self.bare)

    @cached_property
    def history_keys(self) -> msgspec.Raw | None:
        """`historyKeys`, ready for the answer."""
        index = self.run.key_index
        return None if index is None else msgspec.Raw(encode(index))

    def projected(self, value: Any, keys: list[str]) -> msgspec.Raw | None:
        """Keep only top-level `keys` of an object."""
        if isinstance(value, Mapping):
            value = {key: value[key] for key in keys if key in value}
        return _text(value, bare=self.bare)


class ProjectView:
    """One project, with its runs and what was computed from them."""

    def __init__(self, catalog: Catalog, project: Project) -> None:
        self.catalog = catalog
        self.project = project
        self.runs = {run.name: RunView(self, run) for run in project.runs}
        self.sweeps = {sweep.name: SweepView(self, sweep) for sweep in project.sweeps}

    @cached_property
    def fields(self) -> list[tuple[str, str]]:
        """The path and type of every config and summary key."""
        return project_fields(self.project)


@dataclass(frozen=True, slots=True)
class SweepView:
    """One sweep of one project."""

    view: ProjectView
    sweep: Sweep


def _text(value: Any, *, bare: bool = False) -> msgspec.Raw | None:
    """Encode a value as JSON text inside JSON; null stays null."""
    if value is None:
        return None
    return msgspec.Raw(msgspec.json.encode(encode(value, bare=bare).decode()))


def _storage_id(text: str) -> str:
    """Make an opaque id."""
    return base64.b64encode(text.encode()).decode()


def _connection(items: Sequence[Any], first: int | None, after: str | None) -> dict[str, Any]:
    """Answer one page of a list the Relay way."""
    try:
        cut = select.page(items, first, after)
    except select.CursorError as error:
        raise InputError(str(error)) from None
    cursors = [select.cursor(index) for index in range(cut.start, cut.stop)]
    return {
        "totalCount": cut.total,
        "edges": [
            {"node": node, "cursor": each} for node, each in zip(cut.items, cursors, strict=True)
        ],
        "pageInfo": {
            "hasNextPage": cut.stop < cut.total,
            "hasPreviousPage": cut.start > 0,
            "startCursor": cursors[0] if cursors else None,
            "endCursor": cursors[-1] if cursors else None,
        },
    }


def _user(user: Mapping[str, Any] | None, entity: str) -> dict[str, Any] | None:
    """Fill up a user."""
    if user is None:
        return None
    name = str(user.get("username") or user.get("name") or entity)
    return {
        "id": _storage_id(f"User:{name}"),
        "username": name,
        "name": name,
        "email": f"{name}@localhost",
        "entity": entity,
        "flags": "{}",
        "admin": False,
        "teams": {"edges": [{"node": {"id": _storage_id(f"Team:{entity}"), "name": entity}}]},
        "apiKeys": {"edges": []},
        **user,
    }


def _viewer(_source: Any, info: Any) -> dict[str, Any] | None:
    """Tell who asks."""
    return _user({"name": "Ada Local", "username": "ada"}, info.context.entity)


def _server_info(_source: Any, _info: Any) -> dict[str, Any]:
    """Tell what this server is."""
    version = {
        "outOfDate": False,
        "latestVersionString": "0.82.0",
        "versionOnThisInstanceString": "0.82.0",
    }
    limits = {"max_cli_version": "0.99.0", "min_cli_version": "0.8.0"}
    return {"cliVersionInfo": limits, "latestLocalVersionInfo": version, "features": []}


def _project(
    _source: Any,
    info: Any,
    name: str | None = None,
    entityName: str | None = None,  # noqa: N803
) -> ProjectView | None:
    """Find a project."""
    if entityName == FORBIDDEN:
        raise ForbiddenError(f"permission denied to read {entityName}/{name}")
    catalog: Catalog = info.context
    return catalog.views.get(f"{entityName or catalog.entity}/{name}")


def _projects(
    _source: Any,
    info: Any,
    entityName: str | None = None,  # noqa: N803
    first: int | None = None,
    after: str | None = None,
    **_rest: Any,
) -> dict[str, Any]:
    """List the projects of an entity."""
    catalog: Catalog = info.context
    entity = entityName or catalog.entity
    mine = [view for view in catalog.views.values() if view.project.entity == entity]
    return _connection(mine, first, after)


def _runs(
    view: ProjectView,
    _info: Any,
    filters: str | None = None,
    order: str | None = None,
    first: int | None = None,
    after: str | None = None,
) -> dict[str, Any]:
    """List the runs of a project."""
    return _connection(view.catalog.select(view, filters, order), first, after)


def _sweep_runs(
    source: SweepView,
    _info: Any,
    filters: str | None = None,
    order: str | None = None,
    first: int | None = None,
    after: str | None = None,
) -> dict[str, Any]:
    """List the runs of a sweep."""
    view = source.view
    return _connection(view.catalog.select(view, filters, order, source.sweep.name), first, after)


def _fields(
    view: ProjectView,
    _info: Any,
    first: int | None = None,
    after: str | None = None,
    pattern: str | None = None,
) -> dict[str, Any]:
    """List the config and summary keys whose path fits a regular expression."""
    try:
        fits = re.compile(pattern or "").search
    except re.error as error:
        raise InputError(f"`pattern` is no regular expression: {error}") from None
    found = [{"path": path, "type": kind} for path, kind in view.fields if fits(path)]
    return _connection(found, first, after)


def _config(source: RunView, _info: Any, keys: list[str] | None = None) -> msgspec.Raw | None:
    """Give the config, or its top-level `keys`."""
    return source.config if keys is None else source.projected(source.wrapped_config, keys)


def _summary(source: RunView, _info: Any, keys: list[str] | None = None) -> msgspec.Raw | None:
    """Give the summary, or its top-level `keys`."""
    if keys is None:
        return source.summary
    return source.projected(source.run.summary_metrics, keys)


def _wandb_config(source: RunView, _info: Any, keys: list[str] | None = None) -> Any:
    """Give what stands under ``_wandb`` in the config."""
    stored = source.run.wandb_config
    return _text(stored) if keys is None else source.projected(stored, keys)


def _samples(samples: int | None) -> int:
    """Check a number of samples."""
    if samples is not None and samples < 1:
        raise InputError(f"`samples` must be at least 1; got {samples}")
    return 500 if samples is None else samples


def _history(
    source: RunView,
    _info: Any,
    minStep: int | None = None,  # noqa: N803
    maxStep: int | None = None,  # noqa: N803
    samples: int | None = None,
) -> list[str]:
    """Give whole rows."""
    return source.run.history.texts(
        min_step=minStep, max_step=maxStep, samples=_samples(samples), bare=source.bare
    )


def _events(source: RunView, _info: Any, samples: int | None = None) -> list[str]:
    """Give rows of machine metrics, always fewer than 1000."""
    return source.run.events.texts(samples=min(_samples(samples), _MOST_EVENTS), bare=source.bare)


def _sampled_history(source: RunView, _info: Any, specs: list[str]) -> list[msgspec.Raw]:
    """Give for each spec the rows that hold all of its keys."""
    float_step = source.view.project.float_steps
    history = source.run.history
    try:
        return [
            msgspec.Raw(history.sample(Spec.parse(spec), float_step=float_step)) for spec in specs
        ]
    except SpecError as error:
        raise InputError(str(error)) from None


def _tail(history: History, *, bare: bool) -> str:
    """Give the last rows as a JSON list of JSON texts."""
    rows = [history.text(index, bare=bare) for index in range(len(history))[-_TAIL:]]
    return msgspec.json.encode(rows).decode()


def _run_info(source: RunView, _info: Any) -> Mapping[str, Any] | None:
    """Give what is known of the machine and the program."""
    return source.run.run_info


def _no_rows(_source: Any, _info: Any, **_arguments: Any) -> dict[str, Any]:
    """Answer an empty list."""
    return _connection((), None, None)


def _plain(owner: str, *names: str) -> dict[str, Callable[..., Any]]:
    """Make resolvers that read attributes of `source.<owner>`: camelCase from snake_case."""

    def reader(attribute: str) -> Callable[..., Any]:
        return lambda source, _info: getattr(getattr(source, owner), attribute)

    return {re.sub(r"_(.)", lambda found: found[1].upper(), name): reader(name) for name in names}


RESOLVERS: dict[str, dict[str, Callable[..., Any]]] = {
    "Query": {
        "viewer": _viewer,
        "serverInfo": _server_info,
        "project": _project,
        "projects": _projects,
        "models": _projects,
    },
    "Project": {
        **_plain("project", "name", "internal_id", "description", "read_only"),
        "id": lambda view, _info: _storage_id(f"Project:v1:{view.project.path}"),
        "entityName": lambda view, _info: view.project.entity,
        "createdAt": lambda view, _info: min(
            (run.created_at for run in view.project.runs), default="2026-01-01T00:00:00Z"
        ),
        "isBenchmark": lambda _view, _info: False,
        "access": lambda _view, _info: "PRIVATE",
        "user": _viewer,
        "runCount": lambda view, _info, filters=None: len(view.catalog.select(view, filters, None)),
        "runs": _runs,
        "run": lambda view, _info, name: view.runs.get(name),
        "totalSweeps": lambda view, _info: len(view.sweeps),
        "sweeps": lambda view, _info, first=None, after=None, **_rest: _connection(
            list(view.sweeps.values()), first, after
        ),
        "sweep": lambda view, _info, sweepName: view.sweeps.get(sweepName),  # noqa: N803
        "fields": _fields,
    },
    "Sweep": {
        **_plain("sweep", "name", "display_name", "state", "method", "description", "config"),
        **_plain("sweep", "best_loss", "created_at", "updated_at", "run_count_expected"),
        "id": lambda source, _info: _storage_id(f"Sweep:v1:{source.sweep.name}"),
        "runCount": lambda source, _info: len(
            source.view.catalog.select(source.view, None, None, source.sweep.name)
        ),
        "runs": _sweep_runs,
    },
    "Run": {
        **_plain("run", "name", "display_name", "state", "created_at", "heartbeat_at", "tags"),
        **_plain("run", "compute_seconds", "group", "job_type", "commit", "description", "notes"),
        **_plain("run", "host", "read_only"),
        "id": lambda source, _info: source.id,
        "projectId": lambda source, _info: source.view.project.internal_id,
        "internalID": lambda source, _info: source.id,
        "config": _config,
        "summaryMetrics": _summary,
        "wandbConfig": _wandb_config,
        "systemMetrics": lambda source, _info: _text(source.run.last_system_metrics),
        "historyKeys": lambda source, _info: source.history_keys,
        "historyLineCount": lambda source, _info: source.run.line_count,
        "eventsLineCount": lambda source, _info: len(source.run.events),
        "logLineCount": lambda _source, _info: 0,
        "historyTail": lambda source, _info: _tail(source.run.history, bare=source.bare),
        "eventsTail": lambda source, _info: _tail(source.run.events, bare=source.bare),
        "updatedAt": lambda source, _info: source.run.updated_at or source.run.heartbeat_at,
        "sweepName": lambda source, _info: source.run.sweep,
        "sweep": lambda source, _info: source.view.sweeps.get(source.run.sweep),
        "exitcode": lambda source, _info: source.run.exit_code,
        "stopped": lambda source, _info: source.run.state == "killed",
        "user": lambda source, _info: _user(source.run.user, source.view.project.entity),
        "project": lambda source, _info: source.view,
        "runInfo": _run_info,
        "fileCount": lambda _source, _info: 0,
        "files": _no_rows,
        "history": _history,
        "events": _events,
        "sampledHistory": _sampled_history,
        "parquetHistory": lambda _source, _info, liveKeys: {"parquetUrls": [], "liveData": []},  # noqa: ARG005, N803
    },
}
