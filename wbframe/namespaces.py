"""The ``wandb`` namespace of polars frames: from a frame to the runs and histories that its rows name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from wbframe.buckets import read_buckets, scan_buckets
from wbframe.core.arguments import (
    INFER_SCHEMA_RUNS,
    call_with,
    check_scan_options,
    history_scan,
    runs_scan,
)
from wbframe.core.model import DEFAULT_SAMPLES, RunPaths
from wbframe.core.paths import paths_of
from wbframe.docs import documented
from wbframe.polars import read_histories, read_runs, report_of, scan_histories, scan_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wbframe.core.arguments import Overrides
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook
    from wbframe.report import ScanReport


class FrameNamespace:
    """From a frame to the runs and histories that its rows name."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def _paths(self, path: str | None) -> RunPaths:
        names = [each for each in ("entity", "project", "run_id") if each in self._frame.columns]
        # The order of the frame's rows is that of the runs: polars' `unique` keeps none unless asked to.
        return paths_of(
            self._frame.select(names).unique(maintain_order=True).to_dicts(), names, path
        )

    @property
    def report(self) -> ScanReport | None:
        """How this frame was read; None if no reader returned it as it is: see a client's `last_report`."""
        return report_of(self._frame)

    @documented("rows")
    def histories(
        self,
        *,
        path: str | None = None,
        keys: Sequence[str] | None = None,
        samples: int | None = DEFAULT_SAMPLES,
        x_axis: str = "_step",
        stream: str = "default",
        match: str = "any",
        run_columns: Sequence[str] | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        schema_overrides: Overrides = None,
        on_incomplete: str = "raise",
        on_error: str = "raise",
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
        return call_with(read_histories, locals(), path=self._paths(path))

    def runs(
        self,
        *,
        path: str | None = None,
        columns: Sequence[str] | None = None,
        schema_overrides: Overrides = None,
        on_error: str = "raise",
        client: Client | None = None,
        progress: bool | Hook | None = None,
    ) -> pl.DataFrame:
        """Read the runs frame of exactly the runs in this frame, each once, in the order of their first rows.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        columns, schema_overrides, on_error, client, progress
            As of `read_runs`, which says what comes back and what is raised.
        """
        return call_with(read_runs, locals(), path=self._paths(path))


class LazyFrameNamespace:
    """The same from a lazy frame, staying lazy: its runs are found when the result is collected."""

    def __init__(self, frame: pl.LazyFrame) -> None:
        self._frame = frame

    @documented("rows")
    def histories(
        self,
        *,
        path: str | None = None,
        keys: Sequence[str] | None = None,
        samples: int | None = DEFAULT_SAMPLES,
        x_axis: str = "_step",
        stream: str = "default",
        match: str = "any",
        run_columns: Sequence[str] | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        schema_overrides: Overrides = None,
        on_incomplete: str = "raise",
        on_error: str = "raise",
        infer_schema_runs: int = INFER_SCHEMA_RUNS,
        on_new_key: str = "ignore",
        client: Client | None = None,
    ) -> pl.LazyFrame:
        """Scan the histories of exactly the runs in this frame, in its order.

        Needs the columns `entity`, `project` and `run_id`, or `run_id` and `path`. This frame is collected
        as far as these columns when the result's schema or rows are asked for; its runs then are the run
        list of the scan.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        {parameters}
        infer_schema_runs, on_new_key
            As of `scan_histories`.

        Raises
        ------
        {raises}
        """
        from wbframe.scans.source import HistorySource, LeftSource, registered

        scan = call_with(history_scan, locals(), path=RunPaths())
        options = check_scan_options(infer_schema_runs=infer_schema_runs, on_new_key=on_new_key)
        return registered(LeftSource(self._frame, path, HistorySource(scan, client, *options)))

    def runs(
        self,
        *,
        path: str | None = None,
        columns: Sequence[str] | None = None,
        schema_overrides: Overrides = None,
        on_error: str = "raise",
        infer_schema_runs: int = INFER_SCHEMA_RUNS,
        on_new_key: str = "ignore",
        client: Client | None = None,
    ) -> pl.LazyFrame:
        """Scan the runs frame of exactly the runs in this frame, each once, in the order of their first rows.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        columns, schema_overrides, on_error, infer_schema_runs, on_new_key, client
            As of `scan_runs`, which says what comes back and what is raised.
        """
        from wbframe.scans.source import LeftSource, RunsSource, registered

        scan = call_with(runs_scan, locals(), path=RunPaths())
        options = check_scan_options(infer_schema_runs=infer_schema_runs, on_new_key=on_new_key)
        return registered(LeftSource(self._frame, path, RunsSource(scan, client, *options)))


def register() -> None:
    """Set the readers and scans on the polars module, and the ``wandb`` namespace on its frames."""
    for name, function in (
        ("read_wandb_runs", read_runs),
        ("read_wandb_histories", read_histories),
        ("scan_wandb_runs", scan_runs),
        ("scan_wandb_histories", scan_histories),
        ("read_wandb_buckets", read_buckets),
        ("scan_wandb_buckets", scan_buckets),
    ):
        setattr(pl, name, function)
    # Importing anew (a notebook's reload) must not warn that the namespace is taken.
    if not hasattr(pl.DataFrame, "wandb"):
        pl.api.register_dataframe_namespace("wandb")(FrameNamespace)
        pl.api.register_lazyframe_namespace("wandb")(LazyFrameNamespace)
