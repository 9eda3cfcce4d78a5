"""The polars face: readers as functions, and the ``wandb`` namespace of frames."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.core.arguments import history_scan, runs_scan
from wbframe.core.frames import paths_of
from wbframe.core.model import DEFAULT_ORDER, DEFAULT_PER_PAGE, DEFAULT_SAMPLES
from wbframe.docs import documented

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wbframe.core.arguments import Filters, Overrides
    from wbframe.core.model import RunPath, RunPaths, ScanReport
    from wbframe.io.client import Client
    from wbframe.io.progress import Hook
    from wbframe.io.read_runs import Read

__all__ = ["read_histories", "read_runs", "report_of"]


@documented("runs")
def read_runs(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    per_page: int = DEFAULT_PER_PAGE,
    schema_overrides: Overrides = None,
    client: Client | None = None,
    progress: bool | Hook | None = None,
) -> pl.DataFrame:
    """Read the runs of a project as one typed frame.

    Also `pl.read_wandb_runs`. Costs a request a page, and one a thousand config and summary keys where such
    columns are read.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    polars.DataFrame
        One row a run, in the order asked for: ``entity, project, run_id, name, state, created_at,
        heartbeat_at, user, group, job_type, sweep, tags, notes, commit, history_line_count``, then
        ``config.*``, then ``summary.*``, each sorted; or `columns` as given. Nested dicts are flattened with
        dots. Times are Datetime(us, UTC), numbers Float64, `tags` a list of text; lists and media are JSON
        text, as is a key that is text in some runs and a number in others.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     runs = read_runs("wbframe/demo", columns=["run_id", "state"], client=server.client())
    >>> runs.schema
    Schema({'run_id': String, 'state': String})
    """
    from wbframe.io.client import client_or_default
    from wbframe.io.progress import hook_of
    from wbframe.io.read_runs import read_runs as read

    scan = runs_scan(
        path,
        columns=columns,
        filters=filters,
        order=order,
        limit=limit,
        per_page=per_page,
        schema_overrides=schema_overrides,
    )
    return _reported(read(client_or_default(client), scan, hook_of(progress)))


@documented("histories")
def read_histories(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    samples: int = DEFAULT_SAMPLES,
    x_axis: str = "_step",
    stream: str = "default",
    match: str = "any",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    schema_overrides: Overrides = None,
    client: Client | None = None,
    progress: bool | Hook | None = None,
) -> pl.DataFrame:
    """Read what the runs of a project have logged as one typed frame, many runs a request.

    Also `pl.read_wandb_histories`. Costs a request a page of runs, then one for each 120,000 cells (or 100
    runs); one more where rows show that keys were not logged together.

    Parameters
    ----------
    {parameters}

    Returns
    -------
    polars.DataFrame
        `run_id`, `_step`, the keys (in the order asked, else sorted), `run_columns`. Runs in the order of
        the query, rows of a run by `_step`. Numbers are Float64 (also NaN and infinities), booleans
        Boolean, text String; lists, histograms and media are JSON text. A logged key whose name is taken by
        another column is called ``history.<key>``. Machine metrics have `_runtime` and `_timestamp` in
        place of `_step`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     rows = read_histories("wbframe/demo", keys=["train/loss"], limit=2, client=server.client())
    >>> rows.schema
    Schema({'run_id': String, '_step': Int64, 'train/loss': Float64})
    """
    from wbframe.io.client import client_or_default
    from wbframe.io.progress import hook_of
    from wbframe.io.read_histories import read_histories as read

    scan = history_scan(
        path,
        keys=keys,
        samples=samples,
        x_axis=x_axis,
        stream=stream,
        match=match,
        run_columns=run_columns,
        min_step=min_step,
        max_step=max_step,
        filters=filters,
        order=order,
        limit=limit,
        schema_overrides=schema_overrides,
    )
    return _reported(read(client_or_default(client), scan, hook_of(progress)))


# ---------------------------------------------------------------- metadata

# polars frames carry no metadata of their own, so reports wait here while their frames live.
_reports: dict[int, ScanReport] = {}


def _reported(read: Read) -> pl.DataFrame:
    """Keep the report of a fresh frame."""
    frame = read.frame
    _reports[id(frame)] = read.report
    weakref.finalize(frame, _reports.pop, id(frame), None)
    return frame


def report_of(frame: pl.DataFrame) -> ScanReport | None:
    """Say how a frame was read; None for a frame that no reader returned as it is."""
    return _reports.get(id(frame))


# ---------------------------------------------------------------- the namespaces


class _FrameNamespace:
    """From a frame to the runs and histories that its rows name."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def _paths(self, path: str | None) -> RunPaths:
        names = [each for each in ("entity", "project", "run_id") if each in self._frame.columns]
        return paths_of(
            self._frame.select(names).unique(maintain_order=True).to_dicts(), names, path
        )

    @property
    def report(self) -> ScanReport | None:
        """How this frame was read; None if no reader returned it as it is."""
        return report_of(self._frame)

    @documented("rows")
    def histories(
        self,
        *,
        path: str | None = None,
        keys: Sequence[str] | None = None,
        samples: int = DEFAULT_SAMPLES,
        x_axis: str = "_step",
        stream: str = "default",
        match: str = "any",
        run_columns: Sequence[str] | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        schema_overrides: Overrides = None,
        client: Client | None = None,
        progress: bool | Hook | None = None,
    ) -> pl.DataFrame:
        """Read the histories of exactly the runs in this frame, in its order.

        Needs the columns `entity`, `project` and `run_id`, as the runs readers give them; or `run_id` and
        `path`. Costs and returns as `read_histories`.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        {parameters}

        Raises
        ------
        {raises}
        """
        return read_histories(
            self._paths(path),
            keys=keys,
            samples=samples,
            x_axis=x_axis,
            stream=stream,
            match=match,
            run_columns=run_columns,
            min_step=min_step,
            max_step=max_step,
            schema_overrides=schema_overrides,
            client=client,
            progress=progress,
        )

    def runs(
        self,
        *,
        path: str | None = None,
        columns: Sequence[str] | None = None,
        schema_overrides: Overrides = None,
        client: Client | None = None,
        progress: bool | Hook | None = None,
    ) -> pl.DataFrame:
        """Read the runs frame of exactly the runs in this frame, each once, in the order of their first rows.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        columns, schema_overrides, client, progress
            As of `read_runs`, which says what comes back and what is raised.
        """
        return read_runs(
            self._paths(path),
            columns=columns,
            schema_overrides=schema_overrides,
            client=client,
            progress=progress,
        )


class _LazyNamespace:
    """The same from a lazy frame, which is collected as far as its run ids."""

    def __init__(self, frame: pl.LazyFrame) -> None:
        self._frame = frame

    def _eager(self) -> _FrameNamespace:
        there = self._frame.collect_schema().names()
        names = [each for each in ("entity", "project", "run_id") if each in there]
        return _FrameNamespace(self._frame.select(names).unique(maintain_order=True).collect())

    def histories(self, **options: Any) -> pl.LazyFrame:
        """Read the histories of the runs in this frame; options as of the eager namespace."""
        return self._eager().histories(**options).lazy()

    def runs(self, **options: Any) -> pl.LazyFrame:
        """Read the runs frame of the runs in this frame; options as of the eager namespace."""
        return self._eager().runs(**options).lazy()


def register() -> None:
    """Set the readers on the polars module, and the ``wandb`` namespace on its frames."""
    pl.read_wandb_runs = read_runs  # type: ignore[attr-defined]
    pl.read_wandb_histories = read_histories  # type: ignore[attr-defined]
    # Importing anew (a notebook's reload) must not warn that the namespace is taken.
    if not hasattr(pl.DataFrame, "wandb"):
        pl.api.register_dataframe_namespace("wandb")(_FrameNamespace)
        pl.api.register_lazyframe_namespace("wandb")(_LazyNamespace)
