"""The values that the server serves: projects, their runs and sweeps."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from wbframe.errors import UsageError
from wbframe.server.projects.exports import Export, Exports
from wbframe.server.projects.rows import History
from wbframe.server.projects.wire import utf8

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMPUTED", "Project", "RunRecord", "Sweep"]


class _Computed:
    """The type of `COMPUTED`."""

    def __repr__(self) -> str:
        return "COMPUTED"


COMPUTED: Any = _Computed()
"""Stands for "compute this from the history"; None stands for the wire's null."""


def _somebody() -> dict[str, str]:
    """Give the user of a run of which nothing else is said."""
    return {"name": "Ada Local", "username": "ada"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One sweep; its runs are those whose `RunRecord.sweep` is its name."""

    name: str
    display_name: str | None = None
    state: str = "FINISHED"
    method: str = "random"
    description: str | None = None
    config: str = ""
    """The sweep's definition as YAML text."""
    best_loss: float | None = None
    run_count_expected: int | None = None
    created_at: str = "2026-01-01T00:00:00Z"
    updated_at: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class RunRecord:
    """One run: what its page, its config, its summary and its rows say.

    Times are the wire's own text: UTC, with or without ``Z`` and fractions.
    """

    name: str
    """The run id, as in its path."""
    display_name: str | None = None
    state: str | None = "finished"
    config: Any = field(default_factory=dict)
    """Unwrapped: ``{"lr": 0.1}``. None is a null config; anything else is sent as it is."""
    wandb_config: Mapping[str, Any] | None = None
    """What stands under ``_wandb`` in the config."""
    summary: Mapping[str, Any] | None = COMPUTED
    system_metrics: Mapping[str, Any] | None = COMPUTED
    history: History = field(default_factory=History)
    events: History = field(default_factory=lambda: History(stepped=False))
    history_keys: Mapping[str, Any] | None = COMPUTED
    history_line_count: int | None = COMPUTED
    created_at: str = "2026-01-01T00:00:00Z"
    heartbeat_at: str | None = None
    updated_at: str | None = None
    tags: tuple[str, ...] = ()
    group: str | None = None
    job_type: str | None = None
    sweep: str | None = None
    """The name of the run's sweep."""
    commit: str | None = None
    description: str | None = None
    notes: str | None = None
    host: str | None = None
    user: Mapping[str, Any] | None = field(default_factory=_somebody)
    run_info: Mapping[str, Any] | None = None
    compute_seconds: int = 0
    exit_code: int | None = None
    read_only: bool = False
    exports: Exports | Export | None = None
    """How its rows are exported; as its project says unless told."""
    coming: tuple[Mapping[str, Any], ...] = ()
    """Rows that are not logged yet; `Server.advance` logs them."""

    @cached_property
    def summary_metrics(self) -> Mapping[str, Any] | None:
        """The summary: as given, else the last value of each key, nested dicts as logged."""
        if self.summary is not COMPUTED:
            return self.summary
        last = dict(self.history.last)
        runtime = last.get("_runtime")
        return last if runtime is None else {**last, "_wandb": {"runtime": int(runtime)}}

    @cached_property
    def last_system_metrics(self) -> Mapping[str, Any] | None:
        """The machine metrics: as given, else the last of each in the events."""
        if self.system_metrics is not COMPUTED:
            return self.system_metrics
        return {key: value for key, value in self.events.last.items() if key.startswith("system.")}

    @cached_property
    def key_index(self) -> Mapping[str, Any] | None:
        """`historyKeys`: as given, else counted from the rows and the machine metrics."""
        if self.history_keys is not COMPUTED:
            return self.history_keys
        keys = {key: stats.to_json() for key, stats in self.history.keys.items()}
        for key, stats in self.events.keys.items():
            if key.startswith("system."):
                keys[f"system/{key.removeprefix('system.')}"] = stats.to_json()
        last_step = self.history.steps[-1] if len(self.history) else -1
        return {"sets": [], "lastStep": last_step, "keys": keys}

    @property
    def line_count(self) -> int | None:
        """`historyLineCount`: as given, else the number of rows."""
        given = self.history_line_count
        return len(self.history) if given is COMPUTED else given

    def export(self, rule: Exports) -> Export:
        """Say how the rows are exported: as the run itself says, else by a rule."""
        rule_or_plan = rule if self.exports is None else self.exports
        if isinstance(rule_or_plan, Export):
            return rule_or_plan
        return rule_or_plan.of(self.state, self.history.steps)


@dataclass(frozen=True, kw_only=True, eq=False)
class Project:
    """One project in memory.

    Raises
    ------
    UsageError
        Two runs, or two sweeps, have the same name.
    """

    entity: str
    name: str
    runs: tuple[RunRecord, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    description: str = ""
    read_only: bool = False
    bare_tokens: bool = False
    """Whether `history` texts and summaries hold bare ``NaN`` tokens instead of text."""
    float_steps: bool = False
    """Whether `sampledHistory` spells ``_step`` as ``12.0``."""
    exports: Exports = field(default_factory=Exports.none)
    """How the rows of its runs are exported, where a run does not say so itself."""

    def __post_init__(self) -> None:
        for kind, names in (
            ("runs", [run.name for run in self.runs]),
            ("sweeps", [sweep.name for sweep in self.sweeps]),
        ):
            if len(set(names)) < len(names):
                twice = sorted({name for name in names if names.count(name) > 1})
                raise UsageError(f"project {self.path!r} has two {kind} named {twice[0]!r}")

    def __repr__(self) -> str:
        return f"<Project {self.path}: {len(self.runs)} runs>"

    @property
    def path(self) -> str:
        """``entity/name``."""
        return f"{self.entity}/{self.name}"

    @property
    def internal_id(self) -> str:
        """A decimal number, the same on every start."""
        return str(zlib.crc32(utf8(self.path)))

    def run(self, name: str) -> RunRecord:
        """Give the run of a name.

        Raises
        ------
        KeyError
            There is none.
        """
        return self._runs_by_name[name]

    @cached_property
    def _runs_by_name(self) -> dict[str, RunRecord]:
        """Index the runs."""
        return {run.name: run for run in self.runs}
