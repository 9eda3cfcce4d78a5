"""What the server serves, as the resolvers see it: selected, and encoded once."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from wbframe.core import filters
from wbframe.errors import FilterError, UsageError
from wbframe.server.api import select
from wbframe.server.api.index import project_fields
from wbframe.server.api.limits import Effort
from wbframe.server.api.matching import (
    PatternError,
    check_length,
    check_patterns,
    matches,
    size,
    unknown_operators,
)
from wbframe.server.files.links import StoredFile
from wbframe.server.projects.cache import Kept
from wbframe.server.projects.wire import JSONTextError, decode, encode, utf8

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wbframe.server.projects.exports import Export
    from wbframe.server.projects.rows import History
    from wbframe.server.projects.store import Project, RunRecord, Sweep

__all__ = [
    "Catalog",
    "InputError",
    "ProjectView",
    "RunView",
    "SweepView",
    "json_text",
    "storage_id",
]

_SELECTIONS_KEPT = 64
_MOST_KEYS = 10_000


class InputError(ValueError):
    """An argument cannot be used; becomes a GraphQL error."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """Everything that the server serves, as the resolvers see it."""

    projects: tuple[Project, ...]
    null_reading: Literal["mongo", "sql"] = "mongo"
    _selected: Kept[list[RunView]] = field(default_factory=lambda: Kept(_SELECTIONS_KEPT))

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
        """Every project by its path, as it is now."""
        return {project.path: ProjectView(self, project) for project in self.projects}

    def select(
        self,
        view: ProjectView,
        text: str | None,
        order: str | None,
        sweep: str | None = None,
        *,
        effort: Effort | None = None,
    ) -> list[RunView]:
        """Give the runs that fit a filter, in order; kept for the next page."""
        effort = effort or Effort()
        if text is not None and not isinstance(text, str):
            raise InputError(f"`filters` is JSON text, not {type(text).__name__}")
        name = (view.generation, view.project.path, text or "", order, sweep)
        return self._selected.get(name, lambda: self._select(view, text, order, sweep, effort))

    def advance(
        self,
        path: str,
        rows: int | Iterable[Mapping[str, Any]] = 0,
        *,
        state: str | None = None,
    ) -> RunRecord:
        """Let a run log more rows; what was selected before still shows the old ones.

        Parameters
        ----------
        path
            ``entity/project/run``.
        rows
            How many of the rows that are to come, or rows.
        state
            Its new state; the old one stays unless told.

        Raises
        ------
        UsageError
            There is no such run, or fewer rows are to come.
        """
        project_path, _, name = path.rpartition("/")
        view = self.views.get(project_path)
        if view is None or name not in view.runs:
            raise UsageError(f"no run {path!r} is served; a run's path is entity/project/run")
        run = view.runs[name].run
        coming = run.coming
        if isinstance(rows, int):
            if not 0 <= rows <= len(coming):
                raise UsageError(f"{len(coming)} rows of {path!r} are to come; asked for {rows}")
            logged, coming = coming[:rows], coming[rows:]
        else:
            logged = tuple(rows)
        grown = replace(
            run, history=run.history.extended(logged), coming=coming, state=state or run.state
        )
        runs = tuple(grown if each.name == name else each for each in view.project.runs)
        self.views[project_path] = view.next(replace(view.project, runs=runs))
        return grown

    def _select(
        self,
        view: ProjectView,
        text: str | None,
        order: str | None,
        sweep: str | None,
        effort: Effort,
    ) -> list[RunView]:
        """Select afresh."""
        fits = self._fits(view.project, text, effort)
        return [
            view.runs[run.name]
            for run in select.ordered(view.project, order)
            if (sweep is None or run.sweep == sweep) and fits(run)
        ]

    def _fits(
        self, project: Project, text: str | None, effort: Effort
    ) -> Callable[[RunRecord], bool]:
        """Read a filter from its JSON text."""
        if not text:
            return lambda _run: True
        try:
            parsed = filters.parse(_filter_of(text))
            unknown = unknown_operators(parsed)
            check_patterns(parsed)
        except JSONTextError as error:
            raise InputError(f"`filters` is no JSON object: {error}") from None
        except (FilterError, PatternError) as error:
            raise InputError(str(error)) from None
        if unknown:
            raise InputError(f"the filter language has no operator `{unknown[0]}`")
        tests = size(parsed)

        def fits(run: RunRecord) -> bool:
            effort.look_at(tests)
            return matches(
                parsed, lambda path: select.lookup(project, run, path), reading=self.null_reading
            )

        return fits


def _filter_of(text: str) -> dict[str, Any]:
    """Read a filter's JSON text; one that takes long to be understood is none."""
    read = decode(text)
    if not isinstance(read, dict):
        raise JSONTextError("it is another value")
    keys = 0
    pending: list[Any] = [read]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            keys += len(each)
            if keys > _MOST_KEYS:
                raise InputError(f"`filters` is too complex: it has more than {_MOST_KEYS:,} keys")
            pattern = each.get("$regex")
            if isinstance(pattern, str):
                check_length(pattern)
            pending += [inner for inner in each.values() if isinstance(inner, (dict, list))]
        else:
            pending += [inner for inner in each if isinstance(inner, (dict, list))]
    return read


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
        return storage_id(f"Run:v1:{self.run.name}:{project.name}:{project.entity}")

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
        return json_text(self.wrapped_config, bare=self.bare)

    @cached_property
    def summary(self) -> msgspec.Raw | None:
        """The whole summary as JSON text, ready for the answer."""
        return json_text(self.run.summary_metrics, bare=self.bare)

    @cached_property
    def history_keys(self) -> msgspec.Raw | None:
        """`historyKeys`, ready for the answer."""
        index = self.run.key_index
        return None if index is None else msgspec.Raw(encode(index))

    @cached_property
    def export(self) -> Export:
        """How the rows are exported."""
        return self.run.export(self.view.project.exports)

    @cached_property
    def unexported(self) -> History:
        """The rows that are not only in exported files."""
        history = self.run.history
        return history.chosen(self.export.unexported(len(history)))

    @cached_property
    def files(self) -> list[StoredFile]:
        """The exported files; a file's path changes with the rows of the run."""
        history, export = self.run.history, self.export
        folder = f"/exports/{self.view.project.path}/{self.run.name}/{len(history)}"
        return [
            StoredFile(f"{folder}/{index}.parquet", history, file, export.format)
            for index, file in enumerate(export.files)
        ]

    def projected(self, value: Any, keys: list[str]) -> msgspec.Raw | None:
        """Keep only top-level `keys` of an object."""
        if isinstance(value, Mapping):
            value = {key: value[key] for key in keys if key in value}
        return json_text(value, bare=self.bare)


class ProjectView:
    """One project, with its runs and what was computed from them."""

    def __init__(self, catalog: Catalog, project: Project, generation: int = 0) -> None:
        self.catalog = catalog
        self.project = project
        self.generation = generation
        self.runs = {run.name: RunView(self, run) for run in project.runs}
        self.sweeps = {sweep.name: SweepView(self, sweep) for sweep in project.sweeps}

    def next(self, project: Project) -> ProjectView:
        """Give the view of the project as it is after a change."""
        return ProjectView(self.catalog, project, self.generation + 1)

    @cached_property
    def fields(self) -> list[tuple[str, str]]:
        """The path and type of every config and summary key."""
        return project_fields(self.project)


@dataclass(frozen=True, slots=True)
class SweepView:
    """One sweep of one project."""

    view: ProjectView
    sweep: Sweep


def json_text(value: Any, *, bare: bool = False) -> msgspec.Raw | None:
    """Encode a value as JSON text inside JSON; null stays null."""
    if value is None:
        return None
    return msgspec.Raw(msgspec.json.encode(encode(value, bare=bare).decode()))


def storage_id(text: str) -> str:
    """Make an opaque id."""
    return base64.b64encode(utf8(text)).decode()
