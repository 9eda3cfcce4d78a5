"""What each field of the schema answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.server.api import select
from wbframe.server.api.buckets import BucketSpec, bucketed_events, bucketed_rows
from wbframe.server.api.catalog import InputError, json_text, storage_id
from wbframe.server.api.index import united_keys
from wbframe.server.api.limits import fields_below
from wbframe.server.api.matching import PatternError, searched
from wbframe.server.projects.rows import Spec, SpecError
from wbframe.server.projects.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wbframe.server.api.catalog import Catalog, ProjectView, RunView, SweepView
    from wbframe.server.api.limits import Effort
    from wbframe.server.api.schema import Features
    from wbframe.server.files.links import Links
    from wbframe.server.projects.rows import History

__all__ = ["FORBIDDEN", "RESOLVERS", "Context", "ForbiddenError"]

FORBIDDEN = "forbidden"
"""Projects of the entity of this name are answered with HTTP 403."""

_MOST_EVENTS = 999
_TAIL = 5


class ForbiddenError(Exception):
    """The project may not be read."""


@dataclass(frozen=True, slots=True)
class Context:
    """What every resolver gets."""

    catalog: Catalog
    features: Features
    links: Links
    effort: Effort


def _connection(
    items: Sequence[Any], first: int | None, after: str | None, info: Any
) -> dict[str, Any]:
    """Answer one page of a list the Relay way."""
    try:
        cut = select.page(items, first, after)
    except select.CursorError as error:
        raise InputError(str(error)) from None
    info.context.effort.resolve(len(cut.items) * fields_below(info))
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
        "id": storage_id(f"User:{name}"),
        "username": name,
        "name": name,
        "email": f"{name}@localhost",
        "entity": entity,
        "flags": "{}",
        "admin": False,
        "teams": {"edges": [{"node": {"id": storage_id(f"Team:{entity}"), "name": entity}}]},
        "apiKeys": {"edges": []},
        **user,
    }


def _viewer(_source: Any, info: Any) -> dict[str, Any] | None:
    """Tell who asks."""
    return _user({"name": "Ada Local", "username": "ada"}, info.context.catalog.entity)


def _server_info(_source: Any, _info: Any) -> dict[str, Any]:
    """Tell what this server is."""
    version = {
        "outOfDate": False,
        "latestVersionString": "0.82.0",
        "versionOnThisInstanceString": "0.82.0",
    }
    limits = {"max_cli_version": "0.99.0", "min_cli_version": "0.8.0"}
    return {"cliVersionInfo": limits, "latestLocalVersionInfo": version, "features": []}


def _run_connection(
    runs: Sequence[RunView], first: int | None, after: str | None, info: Any
) -> dict[str, Any]:
    """Answer one page of runs, and the keys of all of them if it is asked for."""

    def history_keys(info: Any) -> dict[str, Any]:
        info.context.effort.look_at(sum(len(each.run.history.keys) for each in runs))
        return united_keys(each.run.key_index for each in runs)

    return {**_connection(runs, first, after, info), "historyKeys": history_keys, "everyone": runs}


def _project(
    _source: Any,
    info: Any,
    name: str | None = None,
    entityName: str | None = None,  # noqa: N803
) -> ProjectView | None:
    """Find a project."""
    if entityName == FORBIDDEN:
        raise ForbiddenError(f"permission denied to read {entityName}/{name}")
    catalog: Catalog = info.context.catalog
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
    catalog: Catalog = info.context.catalog
    entity = entityName or catalog.entity
    mine = [view for view in catalog.views.values() if view.project.entity == entity]
    return _connection(mine, first, after, info)


def _runs(
    view: ProjectView,
    info: Any,
    filters: str | None = None,
    order: str | None = None,
    first: int | None = None,
    after: str | None = None,
) -> dict[str, Any]:
    """List the runs of a project."""
    runs = view.catalog.select(view, filters, order, effort=info.context.effort)
    return _run_connection(runs, first, after, info)


def _sweep_runs(
    source: SweepView,
    info: Any,
    filters: str | None = None,
    order: str | None = None,
    first: int | None = None,
    after: str | None = None,
) -> dict[str, Any]:
    """List the runs of a sweep."""
    view = source.view
    runs = view.catalog.select(view, filters, order, source.sweep.name, effort=info.context.effort)
    return _run_connection(runs, first, after, info)


def _fields(
    view: ProjectView,
    info: Any,
    first: int | None = None,
    after: str | None = None,
    pattern: str | None = None,
) -> dict[str, Any]:
    """List the config and summary keys whose path fits a regular expression."""
    fields = view.fields
    if pattern:
        try:
            fits = searched(pattern, [path for path, _ in fields])
        except PatternError as error:
            raise InputError(f"`pattern` is no regular expression: {error}") from None
        fields = [field for field, each in zip(fields, fits, strict=True) if each]
    found = [{"path": path, "type": kind} for path, kind in fields]
    return _connection(found, first, after, info)


def _given(info: Any, text: msgspec.Raw | None) -> msgspec.Raw | None:
    """Take in what a text costs that is given."""
    if text is not None:
        info.context.effort.give(len(memoryview(text)))
    return text


def _config(source: RunView, info: Any, keys: list[str] | None = None) -> msgspec.Raw | None:
    """Give the config, or its top-level `keys`."""
    return _given(
        info, source.config if keys is None else source.projected(source.wrapped_config, keys)
    )


def _summary(source: RunView, info: Any, keys: list[str] | None = None) -> msgspec.Raw | None:
    """Give the summary, or its top-level `keys`."""
    if keys is None:
        return _given(info, source.summary)
    return _given(info, source.projected(source.run.summary_metrics, keys))


def _wandb_config(source: RunView, info: Any, keys: list[str] | None = None) -> Any:
    """Give what stands under ``_wandb`` in the config."""
    stored = source.run.wandb_config
    return _given(info, json_text(stored) if keys is None else source.projected(stored, keys))


def _samples(samples: int | None) -> int:
    """Check a number of samples."""
    if samples is not None and samples < 1:
        raise InputError(f"`samples` must be at least 1; got {samples}")
    return 500 if samples is None else samples


def _rows(source: RunView, info: Any) -> History:
    """Give the rows that are not only in files."""
    context: Context = info.context
    whole = context.features.history_serves_exported
    return source.run.history if whole else source.unexported


def _history(
    source: RunView,
    info: Any,
    minStep: int | None = None,  # noqa: N803
    maxStep: int | None = None,  # noqa: N803
    samples: int | None = None,
) -> list[str]:
    """Give whole rows."""
    rows = _rows(source, info)
    texts = rows.texts(
        min_step=minStep, max_step=maxStep, samples=_samples(samples), bare=source.bare
    )
    return _given_rows(info, texts)


def _events(source: RunView, info: Any, samples: int | None = None) -> list[str]:
    """Give rows of machine metrics, always fewer than 1000."""
    most = min(_samples(samples), _MOST_EVENTS)
    return _given_rows(info, source.run.events.texts(samples=most, bare=source.bare))


def _given_rows(info: Any, texts: list[str]) -> list[str]:
    """Take in what the texts of rows cost."""
    effort: Effort = info.context.effort
    effort.look_at(len(texts))
    effort.give(sum(map(len, texts)))
    return texts


def _sampled_history(source: RunView, info: Any, specs: list[str]) -> list[msgspec.Raw]:
    """Give for each spec the rows that hold all of its keys."""
    float_step = source.view.project.float_steps
    history = _rows(source, info)
    effort: Effort = info.context.effort
    answers = []
    try:
        for spec in specs:
            effort.look_at(len(history))
            answers.append(msgspec.Raw(history.sample(Spec.parse(spec), float_step=float_step)))
            effort.give(len(memoryview(answers[-1])))
    except SpecError as error:
        raise InputError(str(error)) from None
    return answers


def _parquet_history(source: RunView, info: Any, liveKeys: list[str]) -> dict[str, Any]:  # noqa: N803
    """Give fresh addresses of the exported files, and the rows that are live."""
    context: Context = info.context
    context.effort.look_at(len(source.export.live))
    context.effort.resolve(len(source.files))
    rows = source.run.history.objects(source.export.live, liveKeys)
    context.effort.give(sum(map(len, rows)))
    live = None if context.features.live_data == "null" else [msgspec.Raw(row) for row in rows]
    return {"parquetUrls": context.links.sign(source.files), "liveData": live}


def _bucketed_history(source: RunView, info: Any, specs: list[str]) -> list[Any]:
    """Sum up for each spec the values of its key, exported or not."""
    run = source.run
    answers: list[Any] = []
    for text in specs:
        try:
            spec = BucketSpec.parse(text)
        except SpecError as error:
            raise InputError(str(error)) from None
        info.context.effort.look_at(len(run.events if spec.is_system else run.history))
        found = (
            bucketed_events(run.events, spec)
            if spec.is_system
            else bucketed_rows(run.history, spec)
        )
        answer = encode(found)
        info.context.effort.give(len(answer))
        as_text = info.context.features.buckets_as_text
        answers.append(answer.decode() if as_text else msgspec.Raw(answer))
    return answers


def _tail(history: History, info: Any, *, bare: bool) -> str:
    """Give the last rows as a JSON list of JSON texts."""
    rows = [history.text(index, bare=bare) for index in range(len(history))[-_TAIL:]]
    return msgspec.json.encode(_given_rows(info, rows)).decode()


def _run_info(source: RunView, _info: Any) -> Mapping[str, Any] | None:
    """Give what is known of the machine and the program."""
    return source.run.run_info


def _no_rows(_source: Any, info: Any, **_arguments: Any) -> dict[str, Any]:
    """Answer an empty list."""
    return _connection((), None, None, info)


def _run_count(view: ProjectView, info: Any, filters: str | None = None) -> int:
    """Count the runs that fit a filter."""
    return len(view.catalog.select(view, filters, None, effort=info.context.effort))


def _sweep_run_count(source: SweepView, info: Any) -> int:
    """Count the runs of a sweep."""
    view = source.view
    return len(view.catalog.select(view, None, None, source.sweep.name, effort=info.context.effort))


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
        "id": lambda view, _info: storage_id(f"Project:v1:{view.project.path}"),
        "entityName": lambda view, _info: view.project.entity,
        "createdAt": lambda view, _info: min(
            (run.created_at for run in view.project.runs), default="2026-01-01T00:00:00Z"
        ),
        "isBenchmark": lambda _view, _info: False,
        "access": lambda _view, _info: "PRIVATE",
        "user": _viewer,
        "runCount": _run_count,
        "runs": _runs,
        "run": lambda view, _info, name: view.runs.get(name),
        "totalSweeps": lambda view, _info: len(view.sweeps),
        "sweeps": lambda view, info, first=None, after=None, **_rest: _connection(
            list(view.sweeps.values()), first, after, info
        ),
        "sweep": lambda view, _info, sweepName: view.sweeps.get(sweepName),  # noqa: N803
        "fields": _fields,
    },
    "Sweep": {
        **_plain("sweep", "name", "display_name", "state", "method", "description", "config"),
        **_plain("sweep", "best_loss", "created_at", "updated_at", "run_count_expected"),
        "id": lambda source, _info: storage_id(f"Sweep:v1:{source.sweep.name}"),
        "runCount": _sweep_run_count,
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
        "systemMetrics": lambda source, info: _given(
            info, json_text(source.run.last_system_metrics)
        ),
        "historyKeys": lambda source, info: _given(info, source.history_keys),
        "historyLineCount": lambda source, _info: source.run.line_count,
        "eventsLineCount": lambda source, _info: len(source.run.events),
        "logLineCount": lambda _source, _info: 0,
        "historyTail": lambda source, info: _tail(source.run.history, info, bare=source.bare),
        "eventsTail": lambda source, info: _tail(source.run.events, info, bare=source.bare),
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
        "bucketedHistory": _bucketed_history,
        "parquetHistory": _parquet_history,
    },
}
