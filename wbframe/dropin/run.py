"""The drop-in `Run`: one run with the attributes and the rows that the official SDK gives it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wbframe.core.model import ENDED, STEP, RunPath
from wbframe.core.paths import run_of
from wbframe.dropin import reading
from wbframe.dropin.asked import (
    RowsAsked,
    add_rows,
    check_rows_options,
    known_size,
    rows_holding,
    whole_number,
    wrong_keys,
)
from wbframe.dropin.clients import client_of
from wbframe.dropin.columns import Columns
from wbframe.dropin.documents import HEAVY_FIELDS
from wbframe.dropin.pandas_frame import pandas_frame
from wbframe.dropin.parts import (
    Node,
    Summary,
    Sweep,
    User,
    as_html,
    in_address,
    open_config,
    open_object,
)
from wbframe.dropin.scan import HistoryScan
from wbframe.dropin.sdk import as_sdk
from wbframe.dropin.values import RowShape
from wbframe.errors import UsageError, WbframeError
from wbframe.io.client.credentials import app_url
from wbframe.io.read.outcome import Outcome, warn_imprecise
from wbframe.io.read.parts import SKIPPED
from wbframe.report import LeftOut
from wbframe.text import one_line, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from wbframe.core.model import Match, OnError, Stream
    from wbframe.io.client.client import Client

__all__ = ["Run"]

# How the drop-in gives every digit.
AS_DICTS = "dicts (pandas=False, format='default') have them"
_TEXTS = ("state", "displayName", "sweepName")
_HEAVY = frozenset({*HEAVY_FIELDS, "system_metrics", "history_keys"})


class Run(Node):
    """One run of a project, with the attributes of the official SDK's `Run`.

    `Runs` makes them from its pages; made by hand, a run is asked for at once.

    Parameters
    ----------
    client
        As of `Runs`.
    entity, project, run_id
        Which run.
    attrs
        What the server told of it; None or empty to ask.
    include_sweeps
        Whether `sweep` is asked for together with the run, rather than when it is looked at.
    lazy
        Whether config, summary, system metrics and history keys wait until they are looked at.
    api_key, service_api
        As of `Runs`.

    Raises
    ------
    ProjectNotFoundError, RunNotFoundError
        If there is no such project or run; both are ValueErrors.
    """

    @as_sdk
    def __init__(
        self,
        client: Any = None,
        entity: str = "",
        project: str = "",
        run_id: str = "",
        attrs: Mapping[str, Any] | None = None,
        include_sweeps: bool = True,  # noqa: FBT001, FBT002 -- positional in the SDK
        lazy: bool = False,  # noqa: FBT001, FBT002
        api_key: str | None = None,
        *,
        service_api: Any = None,
    ) -> None:
        if not (entity and project and run_id):
            raise UsageError(
                f"a run has an entity, a project and an id; got {entity!r}, {project!r}, {run_id!r}"
            )
        self._attrs = {}
        self.client: Client = client_of(client, service_api=service_api, api_key=api_key)
        self.entity = entity
        self.project = project
        self._sweep: Sweep | None = None
        # By its name, which is None for a run of none: whether its sweep was asked for.
        self._sweep_of: str | None = None
        self._include_sweeps = include_sweeps
        self._lazy = lazy
        self._metadata: dict[str, Any] | None = None
        self._take({**(attrs or {}), "name": run_id})
        if not attrs:
            self.load(force=True)

    def __repr__(self) -> str:
        return shortened(f"<Run {'/'.join(self.path)} ({self.state})>")

    def __getattr__(self, name: str) -> Any:
        if name in _HEAVY:
            self._load_heavy()
        return super().__getattr__(name)

    def _repr_html_(self) -> str:
        return as_html(repr(self), self.url)

    def to_html(self, height: int = 420, hidden: bool = False) -> str:  # noqa: FBT001, FBT002 -- as in the SDK
        """Give the run's page of the web app as a frame in HTML."""
        style = f"border:none;width:100%;height:{int(height)}px;{'display:none;' if hidden else ''}"
        return f"<iframe src={f'{self.url}?jupyter=true'!r} style={style!r}></iframe>"

    def display(self, height: int = 420, hidden: bool = False) -> bool:  # noqa: FBT001, FBT002 -- as in the SDK
        """Show `to_html` in a notebook; False where there is none."""
        ipython = sys.modules.get("IPython")
        if ipython is None or not hasattr(ipython.get_ipython(), "kernel"):
            return False
        shown = importlib.import_module("IPython.display")
        shown.display(shown.HTML(self.to_html(height, hidden)))
        return True

    # ------------------------------------------------------------ what is known of it

    @property
    def id(self) -> str:
        """The run's id, the last part of its address."""
        return str(self._attrs["name"])

    @property
    def name(self) -> str | None:
        """The name that people gave it."""
        return self._attrs.get("displayName")

    @property
    def storage_id(self) -> str | None:
        """The id that the server keeps it under."""
        return self._attrs.get("id")

    @property
    def state(self) -> str:
        """Where it is: finished, running, crashed, failed, killed and others."""
        # The SDK's word for what it knows no state of.
        return self._attrs.get("state", "not found")  # type: ignore[no-any-return]

    @property
    def username(self) -> str:
        """The entity; what the SDK calls so and advises against."""
        return self.entity

    @property
    def config(self) -> dict[str, Any]:
        """The hyperparameters, out of their ``{"value": ...}``."""
        self._load_heavy()
        return self._attrs["config"]  # type: ignore[no-any-return]

    @property
    def rawconfig(self) -> dict[str, Any]:
        """The same with what W&B itself keeps there, under ``_wandb``."""
        self._load_heavy()
        return self._attrs["rawconfig"]  # type: ignore[no-any-return]

    @property
    def json_config(self) -> str:
        """The config as JSON text in the server's form, with what W&B keeps under ``_wandb``."""
        # Up to wandb 0.18 this was dropped here.
        kept = {key: value for key, value in self.rawconfig.items() if key == "_wandb"}
        return json.dumps(
            {key: {"value": value, "desc": None} for key, value in (kept | self.config).items()}
        )

    @property
    def summary_metrics(self) -> dict[str, Any]:
        """The last values as a plain dict."""
        self._load_heavy()
        return self._attrs["summaryMetrics"]  # type: ignore[no-any-return]

    @property
    def summary(self) -> Summary:
        """The last values as a read-only mapping."""
        return Summary(self.summary_metrics)

    @property
    def user(self) -> User | None:
        """Who made it; None where the server does not tell, which raises a TypeError in wandb 0.31."""
        told = self._attrs.get("user")
        return User(told) if isinstance(told, Mapping) else None

    @property
    def path(self) -> list[str]:
        """Entity, project and id, quoted for an address."""
        return in_address(self.entity, self.project, self.id)

    @property
    def url(self) -> str:
        """The run's page in the web app."""
        entity, project, run = self.path
        return f"{app_url(self.client.base_url)}/{entity}/{project}/runs/{run}"

    @property
    @as_sdk
    def sweep(self) -> Sweep | None:
        """The sweep that it is of, None for none; asked for, if it has not been."""
        name = self._attrs.get("sweepName")
        if name and self._sweep_of != name:
            attrs = reading.read_sweeps(self.client, self._run_path, [name])[name]
            self.take_sweep(
                None if attrs is None else Sweep(self.client, self.entity, self.project, attrs)
            )
        return self._sweep

    def take_sweep(self, sweep: Sweep | None) -> None:
        """Take over its sweep, None if it is gone or there is none."""
        self._sweep, self._sweep_of = sweep, self._attrs.get("sweepName")

    @property
    @as_sdk
    def lastHistoryStep(self) -> int:  # noqa: N802 -- the SDK's name
        """The last step logged, -1 for none; costs a request unless the run has ended and told its keys."""
        found = None
        # Of a run under way the step is asked anew, or a scan would end where the run was:
        # https://github.com/wandb/wandb/pull/720
        if self.state in ENDED and self._attrs.get("historyKeys") is not None:
            found = reading.last_step(self._attrs)
        if found is None:
            found = reading.read_last_step(self.client, self._run_path, self.id)
        if found is None:
            found = reading.find_last_step(self.client, self._run_path, self.id)
        return found

    @property
    @as_sdk
    def metadata(self) -> dict[str, Any] | None:
        """What the run noted of its machine and program (``wandb-metadata.json``); None if it noted nothing."""
        if self._metadata is None:
            content = reading.read_run_file(
                self.client, self._run_path, self.id, "wandb-metadata.json"
            )
            self._metadata = None if content is None else json.loads(content)
        return self._metadata

    # ------------------------------------------------------------ loading

    @property
    def _run_path(self) -> RunPath:
        return RunPath(entity=self.entity, project=self.project)

    @as_sdk
    def load(self, force: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 -- as in the SDK
        """Ask for the run, if nothing is known of it or by `force`; give what is known.

        Raises
        ------
        RunNotFoundError
            If there is no such run.
        """
        if force:
            self._take(reading.read_node(self.client, self._run_path, self.id, lazy=self._lazy))
            if self._include_sweeps:
                _ = self.sweep
        return self._attrs

    @as_sdk
    def load_full_data(self, force: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 -- as in the SDK
        """Ask for what a lazy run has left out; give what is known."""
        if force or any(name not in self._attrs for name in HEAVY_FIELDS):
            self._take(reading.read_node(self.client, self._run_path, self.id))
        return self._attrs

    def fill(self, attrs: Mapping[str, Any]) -> None:
        """Take over what the server told of a lazy run since."""
        self._lazy = False
        self._take(attrs)

    def _load_heavy(self) -> None:
        """Ask for what a lazy run has left out, when it is first looked at."""
        if self._lazy:
            self.load_full_data()

    def _take(self, attrs: Mapping[str, Any]) -> None:
        """Take over what the server told; texts of JSON are opened."""
        texts = {name: str(attrs[name]) for name in _TEXTS if attrs.get(name) is not None}
        self._attrs = {**self._attrs, **attrs, **texts}
        # A light page has none of these, which is not the same as having no config.
        if not self._lazy or "config" in attrs:
            own, internal = open_config(self._attrs.get("config"), self)
            self._attrs |= {"config": own, "rawconfig": {**internal, **own}}
        for name in ("summaryMetrics", "systemMetrics"):
            if not self._lazy or name in attrs:
                self._attrs[name] = open_object(self._attrs.get(name), name, self)

    # ------------------------------------------------------------ rows

    @as_sdk
    def history(
        self,
        samples: int = 500,
        keys: list[str] | None = None,
        x_axis: str = STEP,
        pandas: bool = True,  # noqa: FBT001, FBT002 -- positional in the SDK
        stream: Stream = "default",
        *,
        match: Match = "all",
        on_error: OnError = "raise",
    ) -> pd.DataFrame | list[dict[str, Any]]:
        """Read sampled rows of the run, in one request.

        Parameters
        ----------
        samples
            Rows at the most; None leaves it to the server.
        keys
            Only rows that hold all of these (and `x_axis`), and of them only these; None or empty for whole rows.
        x_axis
            The key beside them.
        pandas
            True for a pandas frame, False for a list of dicts.
        stream
            ``"default"`` for what was logged, ``"system"`` for machine metrics.
        match
            ``"any"`` for the rows that hold any of `keys`, with `_step`.
        on_error
            ``"skip"`` for no rows and a `LeftOutWarning` where the run cannot be read.

        Returns
        -------
        pandas.DataFrame or list of dict
            In the server's order. Wrong `keys` give an empty list and a message on stderr, as in the SDK.

        Raises
        ------
        UsageError
            If `samples`, `match` or `on_error` is none of these; a ValueError.
        """
        check_rows_options(match, on_error)
        if samples is not None:
            samples = whole_number("samples", samples, least=1)
        if (problem := wrong_keys(keys, stream)) is not None:
            say(problem)
            return []
        asked = RowsAsked(
            samples=samples, keys=tuple(keys or ()), x_axis=x_axis, stream=stream, match=match
        )
        columns, rows = Columns(), list[dict[str, Any]]()
        with Outcome.of_rows(self.client, self._run_path, samples) as outcome:
            outcome.runs = 1
            try:
                lists, where = reading.read_run(self.client, self._run_path, self.id, asked)
                if pandas:
                    # Columns in the order in which they come, as in the SDK.
                    add_rows(columns, asked, [RowShape() for _ in lists], lists, where=where)
                else:
                    rows = asked.parse(lists, where=where)
            except SKIPPED as error:
                if on_error == "raise":
                    raise
                outcome.runs = 0
                outcome.losses.append(LeftOut(run_of(self._run_path, self.id), str(error)))
            outcome.rows = columns.height + len(rows)
            tell_known(outcome, [self], asked)
            if outcome.runs:
                reading.warn_short(self._run_path, asked, [(self.load(), outcome.rows)])
        if not pandas:
            return rows
        frame, imprecise = pandas_frame(columns, text=text_keys([self]))
        warn_imprecise(imprecise, AS_DICTS)
        return frame

    @as_sdk
    def scan_history(
        self,
        keys: list[str] | None = None,
        page_size: int = 1000,
        min_step: int | None = None,
        max_step: int | None = None,
        use_cache: bool = True,  # noqa: ARG002, FBT001, FBT002 -- of wandb 0.31; nothing is kept here
        *,
        match: Match = "all",
        on_error: OnError = "raise",
    ) -> HistoryScan:
        """Give every row of the run, none sampled away, read while it is iterated over.

        Parameters
        ----------
        keys
            Only rows that hold all of these, and of them only these, with `_step`; None for whole rows.
        page_size
            Rows a request should give, up to 5000.
        min_step, max_step
            The first step, and the one after the last.
        use_cache
            Of the SDK, which keeps files of runs; here nothing is kept.
        match
            ``"any"`` for the rows that hold any of `keys`.
        on_error
            ``"skip"`` to end with a `LeftOutWarning` where the run, or the rest of it, cannot be read.

        Returns
        -------
        HistoryScan
            Rows as dicts, by step; can be iterated over again.

        Raises
        ------
        UsageError
            If an argument is none of these; a ValueError.
        IncompleteHistoryError
            At the end of the iteration, if the run has ended and the server has more rows than it gave.
        """
        check_rows_options(match, on_error)
        if (problem := wrong_keys(keys, "default")) is not None:
            raise UsageError(f"{problem}; got {keys!r}")
        named = keys or []
        page_size = whole_number("page_size", page_size, least=1)
        first = max(whole_number("min_step", min_step or 0), 0)
        stop = None if max_step is None else whole_number("max_step", max_step)
        lost: WbframeError | None = None
        try:
            end = self.lastHistoryStep + 1
        except SKIPPED as error:
            if on_error == "raise":
                raise
            end, lost = 0, error
        # Exclusive, as in the SDK, which also ends at the last step that it knows.
        last = end if stop is None else min(stop, end)
        scan = HistoryScan(self, named, page_size, first, last, match=match, on_error=on_error)
        scan.beyond, scan.lost = stop is None, lost
        if not first and last == end and self.state in ENDED and (match == "all" or not named):
            # Only then are the server's counts of this very window, and final.
            rows, exactly = rows_holding(named, self._attrs)
            scan.expect(rows, exactly=exactly)
        return scan

    beta_scan_history = scan_history


# ---------------------------------------------------------------- shared with `Runs`


def say(problem: str) -> None:
    """Tell of a problem on stderr, where the SDK does that, and reads nothing."""
    if sys.stderr is not None:
        sys.stderr.write(f"wbframe: ERROR {one_line(problem)}\n")


def tell_known(outcome: Outcome, runs: Iterable[Run], asked: RowsAsked) -> None:
    """Tell the outcome of a read of runs what they have logged, and which are thinned out."""
    lost = {each.what for each in outcome.losses}
    nodes = [run.load() for run in runs if "/".join(run.path) not in lost]
    outcome.logged = [asked.logged(node) for node in nodes]
    outcome.seen.sampled = {i for i, node in enumerate(nodes) if asked.thins(node)}


def size_of(run: Run, asked: RowsAsked) -> int:
    """Estimate the cells that a request for the run's rows will give."""
    return asked.points(*known_size(run.load()))


def text_keys(runs: list[Run]) -> frozenset[str]:
    """Give the keys under which runs have logged text and no number, so that "NaN" there is a word."""
    kinds: dict[str, set[str]] = {}
    for run in runs:
        info = run.load().get("historyKeys")
        keys = info.get("keys") if isinstance(info, dict) else None
        for key, each in keys.items() if isinstance(keys, dict) else ():
            counts = each.get("typeCounts") if isinstance(each, dict) else None
            kinds.setdefault(key, set()).update(
                one["type"] for one in counts or () if "type" in one
            )
    return frozenset(
        key for key, found in kinds.items() if "string" in found and "number" not in found
    )
