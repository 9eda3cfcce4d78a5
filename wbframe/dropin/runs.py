"""The drop-in `Runs`: the runs of a project, loaded page by page, and the histories of many in few requests."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from wbframe.core.model import STEP, Match, RunPath, Stream
from wbframe.core.paths import name_of
from wbframe.dropin import reading
from wbframe.dropin.asked import RowsAsked
from wbframe.dropin.clients import client_of
from wbframe.dropin.columns import Columns
from wbframe.dropin.documents import LIGHT_RUNS, RUNS, runs_page
from wbframe.dropin.pandas_frame import pandas_frame
from wbframe.dropin.parts import Sweep
from wbframe.dropin.polars_frame import polars_frame
from wbframe.dropin.run import AS_DICTS, Run, check_keys, size_of, text_keys
from wbframe.errors import (
    AnswerError,
    ProjectNotFoundError,
    UsageError,
    one_of,
)
from wbframe.io.read.outcome import Outcome, warn_imprecise
from wbframe.io.read.parts import send_in_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from wbframe.core.protocol.request import Request
    from wbframe.io.client.client import Client

__all__ = ["Runs"]

_PER_PAGE = 50
# What `histories`, which needs every page, makes of it.
_WIDE = 200
# Full runs that one request asks for when a lazy collection is upgraded.
_UPGRADED_AT_ONCE = 50
# What servers do without an order.
_UNORDERED = "-created_at"

Rows = list[dict[str, Any]]


class Runs(Iterator[Run]):
    """The runs of a project that fit filters, loaded page by page while they are looked at.

    Takes the place of ``wandb.apis.public.Runs``; nothing is asked before the first run is.

    Parameters
    ----------
    client
        A `Client`, a `wbframe.Api`, a ``wandb.Api()`` or the client of one; None for the environment's.
    entity, project
        Whose runs; None as the entity for the default one.
    filters
        The server's filter language, such as ``{"state": "finished", "config.lr.value": {"$gt": 0.1}}``.
    order
        A sign and a field, such as ``"-summary_metrics.loss"``; None leaves it to the server, newest first.
    per_page
        Runs a request; from 50 on, `histories` loads up to 200 at once.
    include_sweeps
        Whether the runs' sweeps are loaded as well, each once.
    lazy
        Whether config, summary, system metrics and history keys stay out of the pages; they are then
        asked for run by run when they are looked at, or all at once by `upgrade_to_full`.

    Attributes
    ----------
    QUERY : str
        The GraphQL document of a page.
    client, entity, project, filters, order, per_page
        As given, defaults filled in.
    variables : dict
        Those of the last request.
    objects : list of Run
        The runs loaded so far.
    index : int
        Where the iteration is; -1 at the beginning.
    last_response : dict or None
        The last page as the server gave it.

    Examples
    --------
    >>> import wbframe.server
    >>> with wbframe.server.serve("ragged") as server:
    ...     runs = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "ragged", order="+created_at")
    ...     len(runs), runs[0].id, runs[0].config["lr"]
    (13, 'cadence1', 0.1)
    """

    QUERY: str = RUNS

    def __init__(
        self,
        client: Any = None,
        entity: str | None = None,
        project: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str | None = None,
        per_page: int = _PER_PAGE,
        include_sweeps: bool = True,  # noqa: FBT001, FBT002 -- positional in the SDK
        lazy: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        if not project:
            raise UsageError(f"`project` must be the name of a project; got {project!r}")
        self.client: Client = client_of(client)
        self.entity = entity
        self.project = project
        self.filters = dict(filters or {})
        self.order = order
        self.per_page = _PER_PAGE if per_page is None else per_page
        self.variables: dict[str, Any] = {
            "project": project,
            "entity": entity,
            "order": order,
            "filters": json.dumps(self.filters),
        }
        self.objects: list[Run] = []
        self.index = -1
        self.last_response: dict[str, Any] | None = None
        # Who asks for small pages has a reason.
        self._narrow = self.per_page < _PER_PAGE
        self._include_sweeps = include_sweeps
        self._sweeps: dict[str, Sweep | None] = {}
        self._lazy = lazy
        if lazy:
            self.QUERY = LIGHT_RUNS

    def __repr__(self) -> str:
        return f"<Runs {self.entity}/{self.project}>"

    # ------------------------------------------------------------ pages

    @property
    def length(self) -> int | None:
        """How many runs fit, by the last page; None before the first."""
        project = self._last_project()
        return None if project is None else project["runCount"]

    @property
    def more(self) -> bool:
        """Whether there are runs beyond those loaded."""
        project = self._last_project()
        if project is None:
            return True
        runs = project.get("runs") or {}
        return bool(runs.get("edges")) and bool((runs.get("pageInfo") or {}).get("hasNextPage"))

    @property
    def cursor(self) -> str | None:
        """The cursor of the last run loaded; None before the first page and after an empty one."""
        edges = ((self._last_project() or {}).get("runs") or {}).get("edges")
        return edges[-1]["cursor"] if edges else None

    def _last_project(self) -> dict[str, Any] | None:
        return (self.last_response or {}).get("project")

    def update_variables(self) -> None:
        """Set the variables for the page after `cursor`."""
        self.variables.update({"perPage": self.per_page, "cursor": self.cursor})

    def convert_objects(self) -> list[Run]:
        """Make the runs of the last page; asks for those of their sweeps that are not loaded yet.

        Raises
        ------
        ProjectNotFoundError
            If there is no such project: a ValueError, "Could not find project ...".
        """
        project = self._last_project()
        if project is None:
            msg = (
                f"Could not find project {self.project}: {self.entity}/{self.project} does not exist,"
                " or the API key may not see it"
            )
            raise ProjectNotFoundError(msg)
        edges = (project.get("runs") or {}).get("edges") or []
        found = [self._run(edge["node"]) for edge in edges]
        if self._include_sweeps:
            self._attach_sweeps(found)
        return found

    def _run(self, node: Mapping[str, Any]) -> Run:
        """Make a run of what a page told of it."""
        return Run(
            self.client,
            str(self.entity),
            self.project,
            node["name"],
            node,
            include_sweeps=self._include_sweeps,
            lazy=self._lazy,
        )

    def _attach_sweeps(self, runs: list[Run]) -> None:
        """Give runs their sweeps, each loaded once."""
        names = [name for run in runs if (name := run.load().get("sweepName"))]
        new = [name for name in dict.fromkeys(names) if name not in self._sweeps]
        if new:
            for name, attrs in reading.read_sweeps(self.client, self._path, new).items():
                self._sweeps[name] = (
                    None
                    if attrs is None
                    else Sweep(self.client, str(self.entity), self.project, attrs)
                )
        for run in runs:
            run.sweep = self._sweeps.get(run.load().get("sweepName", ""))

    @property
    def _path(self) -> RunPath:
        return RunPath(entity=self.entity, project=self.project)

    def _load_page(self, *, wide: bool = False) -> bool:
        """Load the next page, by wish a wide one; False if there is none."""
        if not self.more:
            return False
        if self.entity is None:
            self.entity = self.variables["entity"] = self.client.default_entity()
        self.update_variables()
        before = self.cursor
        most = max(self.per_page, _WIDE) if wide and not self._narrow else self.per_page
        [self.last_response] = send_in_parts(
            self.client,
            most,
            lambda size: [self.per_page] if size > self.per_page else [],
            lambda size: runs_page(self.QUERY, {**self.variables, "perPage": size}, self._path),
            self._read_page,
            shrink=self._shrink,
        )
        self.objects.extend(self.convert_objects())
        if self.more and self.cursor == before:
            raise AnswerError(
                f"could not read the runs of {name_of(self._path)}: the server repeats the cursor of a page;"
                " try again"
            )
        return True

    def _read_page(self, size: int, content: bytes, request: Request) -> dict[str, Any]:
        """Read a page of so many runs."""
        self.variables["perPage"] = size
        return reading.data_of(content, request)

    def _shrink(self, _: int) -> None:
        """Learn that wide pages are too much for the server."""
        self._narrow = True

    # ------------------------------------------------------------ as a sequence, as an iterator

    def __len__(self) -> int:
        if self.length is None:
            self._load_page()
        return self.length or 0

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> list[Run]: ...

    def __getitem__(self, index: int | slice) -> Run | list[Run]:
        if isinstance(index, slice):
            ends = [end for end in (index.start, index.stop) if end is not None]
            whole = index.stop is None or any(end < 0 for end in ends)
            while (whole or max(ends) > len(self.objects)) and self._load_page():
                pass
        else:
            while index >= len(self.objects) and self._load_page():
                pass
        return self.objects[index]

    def __iter__(self) -> Runs:
        self.index = -1
        return self

    def __next__(self) -> Run:
        self.index += 1
        if len(self.objects) <= self.index:
            self._load_page()
        if len(self.objects) <= self.index:
            raise StopIteration
        return self.objects[self.index]

    next = __next__

    def upgrade_to_full(self) -> None:
        """Load what a lazy collection left out: of the runs loaded so far many a request, later pages whole."""
        if not self._lazy:
            return
        self._lazy = False
        self.QUERY = RUNS
        for start in range(0, len(self.objects), _UPGRADED_AT_ONCE):
            runs = self.objects[start : start + _UPGRADED_AT_ONCE]
            nodes = reading.read_nodes(self.client, self._path, [run.id for run in runs])
            for run, node in zip(runs, nodes, strict=True):
                run.fill(node)

    # ------------------------------------------------------------ rows

    @overload
    def histories(
        self,
        samples: int = ...,
        keys: list[str] | None = ...,
        x_axis: str = ...,
        format: Literal["default"] = ...,
        stream: Stream = ...,
        *,
        match: Match = ...,
    ) -> Rows: ...

    @overload
    def histories(
        self,
        samples: int = ...,
        keys: list[str] | None = ...,
        x_axis: str = ...,
        *,
        format: Literal["pandas"],
        stream: Stream = ...,
        match: Match = ...,
    ) -> pd.DataFrame: ...

    @overload
    def histories(
        self,
        samples: int = ...,
        keys: list[str] | None = ...,
        x_axis: str = ...,
        *,
        format: Literal["polars"],
        stream: Stream = ...,
        match: Match = ...,
    ) -> pl.DataFrame: ...

    def histories(
        self,
        samples: int = 500,
        keys: list[str] | None = None,
        x_axis: str = STEP,
        format: Literal["default", "pandas", "polars"] = "default",  # noqa: A002 -- the SDK's name
        stream: Stream = "default",
        *,
        match: Match = "all",
    ) -> Rows | pd.DataFrame | pl.DataFrame:
        """Read sampled rows of all runs, many runs a request; loads every page of runs.

        Parameters
        ----------
        samples
            Rows a run at the most.
        keys
            Only rows that hold all of these (and `x_axis`), and of them only these; None or empty for whole rows.
        x_axis
            The key beside them.
        format
            ``"default"`` for a list of dicts, ``"pandas"`` or ``"polars"`` for a frame.
        stream
            ``"default"`` for what was logged, ``"system"`` for machine metrics.
        match
            ``"any"`` for the rows that hold any of `keys`, with `_step`.

        Returns
        -------
        list of dict, pandas.DataFrame or polars.DataFrame
            Each row with its `run_id`; runs in their order, rows as the server gives them, columns sorted by
            name. Values of dicts are as they came; columns of frames are of the narrowest type that
            holds every value. Nothing found gives an empty list or a frame of no column. Wrong `keys`
            give the same and a message on stderr, as in the SDK.

        Raises
        ------
        UsageError
            If `format` or `match` is none of these; a ValueError.
        ProjectNotFoundError
            If there is no such project; a ValueError.

        Examples
        --------
        >>> import wbframe.server
        >>> with wbframe.server.serve("ragged") as server:
        ...     runs = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "ragged", order="+created_at")
        ...     runs.histories(samples=2, keys=["eval/loss"], format="polars").columns
        ['_step', 'eval/loss', 'run_id']
        """
        if format not in {"default", "pandas", "polars"}:
            raise UsageError(
                f"Invalid format: {format}. Must be one of 'default', 'pandas', 'polars'"
            )
        if match not in {"all", "any"}:
            raise one_of("match", match, ("all", "any"))
        asked = None
        if check_keys(keys, stream):
            asked = RowsAsked(
                samples=samples, keys=tuple(keys or ()), x_axis=x_axis, stream=stream, match=match
            )
        return self._rows(asked) if format == "default" else self._frame(asked, format)

    def _rows(self, asked: RowsAsked | None) -> Rows:
        """Give all rows, each with its `run_id`; none if nothing is asked."""
        found: Rows = []
        if asked is None:
            return found
        path = self._path_known
        with Outcome.of_rows(self.client, path, asked.samples) as outcome:
            for run_id, rows in reading.read_rows(self.client, path, asked, self._sized(asked)):
                for row in rows:
                    row["run_id"] = run_id
                found += rows
            outcome.runs, outcome.rows = len(self.objects), len(found)
        return found

    def _frame(self, asked: RowsAsked | None, kind: str) -> pd.DataFrame | pl.DataFrame:
        """Give all rows as a frame whose columns are sorted by name; none if nothing is asked."""
        columns = Columns()
        if asked is not None:
            path = self._path_known
            with Outcome.of_rows(self.client, path, asked.samples) as outcome:
                columns = reading.read_columns(self.client, path, asked, self._sized(asked))
                outcome.runs, outcome.rows = len(self.objects), columns.height
        text = text_keys(self.objects)
        frame: pd.DataFrame | pl.DataFrame
        if kind == "pandas":
            frame, imprecise = pandas_frame(columns, text=text, by_name=True)
        else:
            frame, imprecise = polars_frame(columns, text=text)
        warn_imprecise(imprecise, AS_DICTS)
        return frame

    @property
    def _path_known(self) -> RunPath:
        """The path with the default entity filled in."""
        if self.entity is None:
            self.entity = self.variables["entity"] = self.client.default_entity()
        return self._path

    def _sized(self, asked: RowsAsked) -> Iterator[list[tuple[str, int]]]:
        """Give all runs, a page at a time, with the cells that each is estimated to give."""
        done = 0
        while done < len(self.objects) or self._load_page(wide=True):
            page = self.objects[done:]
            done += len(page)
            yield [(run.id, size_of(run, asked)) for run in page]
        self.index = done

    # ------------------------------------------------------------ to frames of runs

    def to_polars(self, **options: Any) -> pl.DataFrame:
        """Read the runs frame of this query: `wbframe.polars.read_runs` with its further options."""
        found: pl.DataFrame = self._read("polars", "read_runs", options)
        return found

    def to_pandas(self, **options: Any) -> pd.DataFrame:
        """Read the runs frame of this query: `wbframe.pandas.read_runs` with its further options."""
        found: pd.DataFrame = self._read("pandas", "read_runs", options)
        return found

    def to_arrow(self, **options: Any) -> pa.Table:
        """Read the runs frame of this query: `wbframe.arrow.read_runs` with its further options."""
        return self._read("arrow", "read_runs", options)

    def scan_histories(self, **options: Any) -> pl.LazyFrame:
        """Give the histories of this query lazily: `wbframe.polars.scan_histories` with its further options."""
        found: pl.LazyFrame = self._read("polars", "scan_histories", options)
        return found

    def _read(self, face: str, function: str, options: dict[str, Any]) -> Any:
        """Call a function of a face with this query."""
        query = {"filters": self.filters, "order": self.order or _UNORDERED, "client": self.client}
        reader = getattr(importlib.import_module(f"wbframe.{face}"), function)
        return reader(self._path, **{**query, **options})
