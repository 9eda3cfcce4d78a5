"""The drop-in `Run`: one run with the attributes and the rows that the official SDK gives it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from wbframe.core.model import ENDED, STEP, RunPath
from wbframe.dropin import reading
from wbframe.dropin.asked import RowsAsked, StepWindows, known_size, rows_holding
from wbframe.dropin.clients import client_of
from wbframe.dropin.columns import Columns
from wbframe.dropin.documents import HEAVY_FIELDS
from wbframe.dropin.pandas_frame import pandas_frame
from wbframe.dropin.parts import Node, Summary, Sweep, User
from wbframe.dropin.values import RowShape, from_json, objects
from wbframe.errors import AnswerError, IncompleteHistoryError
from wbframe.io.client.credentials import app_url
from wbframe.io.read.outcome import Outcome, warn_imprecise

if TYPE_CHECKING:
    import pandas as pd

    from wbframe.core.model import Stream
    from wbframe.io.client.client import Client

__all__ = ["HistoryScan", "Run"]

_INTERNAL = frozenset({"_wandb", "wandb_version"})
# How the drop-in gives every digit.
AS_DICTS = "dicts (pandas=False, format='default') have them"
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
        Whether `sweep` is asked for too.
    lazy
        Whether config, summary, system metrics and history keys wait until they are looked at.

    Raises
    ------
    ProjectNotFoundError, RunNotFoundError
        If there is no such project or run; both are ValueErrors.
    """

    def __init__(
        self,
        client: Any,
        entity: str,
        project: str,
        run_id: str,
        attrs: Mapping[str, Any] | None = None,
        include_sweeps: bool = True,  # noqa: FBT001, FBT002 -- positional in the SDK
        lazy: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        self._attrs = {}
        self.client: Client = client_of(client)
        self.entity = entity
        self.project = project
        self.sweep: Sweep | None = None
        self.user: User | None = None
        self._include_sweeps = include_sweeps
        self._lazy = lazy
        self._metadata: dict[str, Any] | None = None
        self._take({**(attrs or {}), "name": run_id})
        if not attrs:
            self.load(force=True)

    def __repr__(self) -> str:
        return f"<Run {'/'.join(self.path)} ({self.state})>"

    def __getattr__(self, name: str) -> Any:
        if name in _HEAVY:
            self._load_heavy()
        return super().__getattr__(name)

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
    def path(self) -> list[str]:
        """Entity, project and id, quoted for an address."""
        # As up to wandb 0.19; 0.31 spells a blank `%20`.
        return [quote_plus(str(part)) for part in (self.entity, self.project, self.id)]

    @property
    def url(self) -> str:
        """The run's page in the web app."""
        entity, project, run = self.path
        return f"{app_url(self.client.base_url)}/{entity}/{project}/runs/{run}"

    @property
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

    def load(self, force: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 -- as in the SDK
        """Ask for the run, if nothing is known of it or by `force`; give what is known.

        Raises
        ------
        RunNotFoundError
            If there is no such run.
        """
        if force:
            self._take(reading.read_node(self.client, self._run_path, self.id, lazy=self._lazy))
            name = self._attrs.get("sweepName")
            if self._include_sweeps and name and self.sweep is None:
                attrs = reading.read_sweeps(self.client, self._run_path, [name])[name]
                self.sweep = (
                    None if attrs is None else Sweep(self.client, self.entity, self.project, attrs)
                )
        return self._attrs

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
        self._attrs = {**self._attrs, **attrs}
        # A light page has none of these, which is not the same as having no config.
        if not self._lazy or "config" in attrs:
            own, internal = _open_config(self._attrs.get("config"), self)
            self._attrs |= {"config": own, "rawconfig": {**internal, **own}}
        for name in ("summaryMetrics", "systemMetrics"):
            if not self._lazy or name in attrs:
                self._attrs[name] = _open_object(self._attrs.get(name), name, self)
        user = self._attrs.get("user")
        # wandb 0.31 raises a TypeError where the server gives no user.
        self.user = User(user) if isinstance(user, Mapping) else None

    # ------------------------------------------------------------ rows

    def history(
        self,
        samples: int = 500,
        keys: list[str] | None = None,
        x_axis: str = STEP,
        pandas: bool = True,  # noqa: FBT001, FBT002 -- positional in the SDK
        stream: Stream = "default",
    ) -> pd.DataFrame | list[dict[str, Any]]:
        """Read sampled rows of the run, in one request.

        Parameters
        ----------
        samples
            Rows at the most.
        keys
            Only rows that hold all of these (and `x_axis`), and of them only these; None or empty for whole rows.
        x_axis
            The key beside them.
        pandas
            True for a pandas frame, False for a list of dicts.
        stream
            ``"default"`` for what was logged, ``"system"`` for machine metrics.

        Returns
        -------
        pandas.DataFrame or list of dict
            In the server's order. Wrong `keys` give an empty list and a message on stderr, as in the SDK.
        """
        if not check_keys(keys, stream):
            return []
        asked = RowsAsked(samples=samples, keys=tuple(keys or ()), x_axis=x_axis, stream=stream)
        with Outcome.of_rows(self.client, self._run_path, samples) as outcome:
            [texts], where = reading.read_run(self.client, self._run_path, self.id, asked)
            if not pandas:
                rows = objects(texts, where=where)
                outcome.runs, outcome.rows = 1, len(rows)
                return rows
            count, cells = RowShape().cells(texts, where=where)
            outcome.runs, outcome.rows = 1, count
        columns = Columns()
        columns.add_cells(cells, count)
        frame, imprecise = pandas_frame(columns, text=text_keys([self]))
        warn_imprecise(imprecise, AS_DICTS)
        return frame

    def scan_history(
        self,
        keys: list[str] | None = None,
        page_size: int = 1000,
        min_step: int | None = None,
        max_step: int | None = None,
    ) -> HistoryScan | list[dict[str, Any]]:
        """Give every row of the run, none sampled away, read while it is iterated over.

        Parameters
        ----------
        keys
            Only rows that hold all of these, and of them only these; None for whole rows.
        page_size
            Rows a request should give, up to 5000.
        min_step, max_step
            The first step, and the one after the last.

        Returns
        -------
        HistoryScan
            Rows as dicts, by step; can be iterated over again. Wrong `keys` give an empty list and a
            message on stderr, as in the SDK.

        Raises
        ------
        IncompleteHistoryError
            At the end of the iteration, if the run has ended and the server has more rows than it gave.
        """
        if not check_keys(keys, "default"):
            return []
        end = self.lastHistoryStep + 1
        # Exclusive, as in the SDK, which also ends at the last step that it knows.
        stop = end if max_step is None else min(max_step, end)
        scan = HistoryScan(self, keys or [], page_size, min_step or 0, stop)
        scan.beyond = max_step is None
        if not min_step and stop == end and self.state in ENDED:
            # Only then are the server's counts of this very window, and final.
            scan.expect(rows_holding(keys or [], self._attrs))
        return scan


class HistoryScan(Iterator[dict[str, Any]]):
    """The rows of one run, read window by window of steps; `iter` begins anew.

    Attributes
    ----------
    run, keys, page_size, min_step, max_step
        As asked; `max_step` is the one after the last.
    beyond
        Whether to go on behind `max_step` until nothing comes, unless as many rows came as there are.
    """

    beyond = False

    def __init__(
        self, run: Run, keys: list[str], page_size: int, min_step: int, max_step: int
    ) -> None:
        self.run = run
        self.keys = keys
        self.page_size = page_size
        self.min_step = min_step
        self.max_step = max_step
        self._expected: int | None = None
        self._came = 0
        self._rows = self._read()

    def expect(self, rows: int | None) -> None:
        """Make it an error to end with fewer rows than so many."""
        self._expected = rows

    def __iter__(self) -> HistoryScan:
        self._rows = self._read()
        return self

    def __next__(self) -> dict[str, Any]:
        return next(self._rows)

    next = __next__

    def _read(self) -> Iterator[dict[str, Any]]:
        with Outcome.of_rows(self.run.client, self._path, None) as outcome:
            outcome.runs, self._came = 1, 0
            for row in self._from_files(self._windows(self.keys)):
                outcome.rows += 1
                self._came = outcome.rows
                yield row
            if self._expected is not None and outcome.rows < self._expected:
                msg = (
                    f"{self.run}: {self._expected} rows expected, {outcome.rows} came; the server gives the rest"
                    " in exported files only: read them with wbframe.polars.read_histories(..., samples=None)"
                )
                raise IncompleteHistoryError(msg)

    def _windows(self, keys: list[str]) -> Iterator[dict[str, Any]]:
        """Read what the server gives of the rows."""
        windows = StepWindows(self.min_step, self.max_step, page=self.page_size)

        def has_all() -> bool:
            told = bool(self._expected) and self._came >= (self._expected or 0)
            return told or not self.beyond

        return reading.scan_rows(self.run.client, self._path, self.run.id, keys, windows, has_all)

    def _from_files(self, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Give the rows; from the exported files where the server keeps exported rows to itself.

        It does if files have a row from before the first one that came; they are looked at only if that is
        not the first step.
        """
        # Rows that are exported may be deleted elsewhere: https://github.com/wandb/server/issues/160
        first = next(rows, None)
        begins = self.max_step if first is None else int(first.get(STEP, self.min_step))
        came = rows if first is None else chain([first], rows)
        if begins <= self.min_step:
            return came
        from wbframe.dropin.exported import exported_rows, merged  # noqa: PLC0415 -- imports Parquet

        where = (self.run.client, self._path, self.run.id, self.keys)
        if not exported_rows(*where, self.min_step, begins):
            return came
        exported = exported_rows(*where, self.min_step, self.max_step)
        keys = list(dict.fromkeys([*self.keys, STEP])) if self.keys else []
        found = merged(exported, self._windows(keys))
        if not self.keys:
            return iter(found)
        return ({key: row[key] for key in self.keys} for row in found)

    @property
    def _path(self) -> RunPath:
        return RunPath(entity=self.run.entity, project=self.run.project)


# ---------------------------------------------------------------- shared with `Runs`


def check_keys(keys: object, stream: str) -> bool:
    """Check `keys` as the SDK does: what is wrong is told on stderr, and nothing is read."""
    problem = None
    if keys is not None and not isinstance(keys, list):
        problem = "keys must be specified in a list"
    elif keys and not isinstance(keys[0], str):
        problem = "keys argument must be a list of strings"
    elif keys and stream != "default":
        problem = "stream must be default when specifying keys"
    if problem is not None:
        sys.stderr.write(f"wbframe: ERROR {problem}\n")
    return problem is None


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


def _open_object(value: object, name: str, run: Run) -> dict[str, Any]:
    """Open an object that came as such or as JSON text; {} for anything else."""
    if isinstance(value, str) and value.strip():
        try:
            value = from_json(value)
        except ValueError as error:
            raise AnswerError(f"the {name} of {run} is no JSON: {error}") from error
    return value if isinstance(value, dict) else {}


def _open_config(value: object, run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Open a config: the user's entries and W&B's own, each out of its ``{"value": ...}``."""
    own: dict[str, Any] = {}
    internal: dict[str, Any] = {}
    for key, each in _open_object(value, "config", run).items():
        into = internal if key in _INTERNAL else own
        into[key] = each["value"] if isinstance(each, dict) and "value" in each else each
    return own, internal
