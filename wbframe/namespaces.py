"""The ``wandb`` namespace of polars frames: from a frame to the runs and histories that its rows name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, overload

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
from wbframe.errors import UsageError
from wbframe.polars import read_histories, read_runs, report_of, scan_histories, scan_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from wbframe.core.arguments import Overrides
    from wbframe.core.model import Match, OnError, OnIncomplete, OnNewKey, Stream
    from wbframe.dropin.api import Api
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook
    from wbframe.pandas import FrameAccessor
    from wbframe.report import ScanReport

__all__ = ["FrameNamespace", "LazyFrameNamespace", "of", "register"]


class FrameNamespace:
    """From a frame to the runs and histories that its rows name."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self._frame = frame

    def __repr__(self) -> str:
        from wbframe.core.explain import describe_namespace

        named = self._named()
        return describe_namespace(type(self), named.height if "run_id" in named.columns else 0)

    def _named(self) -> pl.DataFrame:
        """Give the columns that name runs, each run once."""
        names = [each for each in ("entity", "project", "run_id") if each in self._frame.columns]
        # The order of the frame's rows is that of the runs: polars' `unique` keeps none unless asked to.
        return self._frame.select(names).unique(maintain_order=True)

    def _paths(self, path: str | None) -> RunPaths:
        named = self._named()
        return paths_of(named.to_dicts(), named.columns, path)

    @property
    def report(self) -> ScanReport | None:
        """How this frame was read; None if no reader returned it as it is."""
        return report_of(self._frame)

    def histories(
        self,
        *,
        path: str | None = None,
        keys: Sequence[str] | None = None,
        samples: int | None = DEFAULT_SAMPLES,
        x_axis: str = "_step",
        stream: Stream = "default",
        match: Match = "any",
        run_columns: Sequence[str] | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        schema_overrides: Overrides = None,
        on_incomplete: OnIncomplete = "raise",
        on_error: OnError = "raise",
        convert_integer: bool = False,
        client: Client | Api | None = None,
        progress: bool | Hook | None = None,
    ) -> pl.DataFrame:
        """Read the histories of exactly the runs in this frame, in its order.

        Needs the columns `entity`, `project` and `run_id`, as the runs readers give them; or `run_id` and
        `path`. Costs as `read_histories`.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        keys
            Logged keys (or globs), in the order wanted; None for all. For ``stream="system"`` any of the
            spellings ``"cpu"``, ``"system.cpu"``, ``"system/cpu"``.
        samples
            Rows of a run at the most. More are sampled down by the server, evenly: of named keys each group
            that is logged together by itself, of all keys whole rows, so that rare keys lose more. The
            frame's metadata says whether it happened. None for every logged row: from exported files, and
            live for what is not exported, checked to be complete.
        x_axis
            A key that stands beside `_step`; other than `_step`, only rows that hold it are read.
        stream
            ``"default"`` for what was logged, ``"system"`` for machine metrics.
        match
            ``"any"`` gives every row that holds one of the keys, ``"all"`` only rows that hold all of them.
        run_columns
            Columns of the runs frame to repeat beside each row.
        min_step, max_step
            Steps to read: `min_step` is inclusive, `max_step` exclusive.
        schema_overrides
            Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
            ``{"bins": pl.List(pl.Float64)}`` opens lists. Python's types (``int``, ``date``, ``list[float]``)
            and pandas' names (``"Int64"``, ``"datetime64[us, UTC]"``) say the same.
        on_incomplete
            With ``samples=None``, what to do when fewer rows of a run come than the server says it has:
            ``"raise"``, or ``"warn"``.
        on_error
            What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave
            them out, with a `LeftOutWarning` and a report that names each and says why. What it takes to know
            the columns is never left out.
        convert_integer
            True makes those Float64 columns Int64 that hold whole numbers alone, all below 2**53 so that they
            are exact; but not columns of `schema_overrides`. As ``convert_dtypes`` of pandas does it, without
            its other changes.
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it.
        progress
            True for a tqdm bar, or a function that gets a `Progress`.

        Returns
        -------
        polars.DataFrame
            The frame of `wbframe.polars.read_histories`.

        Raises
        ------
        UsageError
            An argument is wrong; found before any request where it can be known.
        CredentialsError, AccessError, NotFoundError
            No or a refused key; no permission; no such project or run.
        IncompleteHistoryError
            With ``samples=None``: fewer rows of a run came than the server says it has.
        RequestError, QueryError, AnswerError
            The server could not be reached, refused the query, or answered something else; after the retries.
            The error's `report` says what had been done until then.
        """
        return call_with(read_histories, locals(), path=self._paths(path))

    def runs(
        self,
        *,
        path: str | None = None,
        columns: Sequence[str] | None = None,
        schema_overrides: Overrides = None,
        on_error: OnError = "raise",
        convert_integer: bool = False,
        client: Client | Api | None = None,
        progress: bool | Hook | None = None,
    ) -> pl.DataFrame:
        """Read the runs frame of exactly the runs in this frame, each once, in the order of their first rows.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        columns
            Names and globs, in the order wanted: ``["name", "config.lr", "summary.*"]``; None for all. The
            server is asked for these alone.
        schema_overrides
            Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
            ``{"bins": pl.List(pl.Float64)}`` opens lists. Python's types (``int``, ``date``, ``list[float]``)
            and pandas' names (``"Int64"``, ``"datetime64[us, UTC]"``) say the same.
        on_error
            What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave
            them out, with a `LeftOutWarning` and a report that names each and says why. What it takes to know
            the columns is never left out.
        convert_integer
            True makes those Float64 columns Int64 that hold whole numbers alone, all below 2**53 so that they
            are exact; but not columns of `schema_overrides`. As ``convert_dtypes`` of pandas does it, without
            its other changes.
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it.
        progress
            True for a tqdm bar, or a function that gets a `Progress`.

        Returns
        -------
        polars.DataFrame
            The frame of `wbframe.polars.read_runs`.

        Raises
        ------
        UsageError
            An argument is wrong, or the frame does not say which runs; found before any request where it can be
            known.
        CredentialsError, AccessError, NotFoundError
            No or a refused key; no permission; no such project or run.
        IncompleteError
            Runs came and went each time that they were listed.
        RequestError, QueryError, AnswerError
            The server could not be reached, refused the query, or answered something else; after the retries.
            The error's `report` says what had been done until then.
        """
        return call_with(read_runs, locals(), path=self._paths(path))


class LazyFrameNamespace:
    """The same from a lazy frame, staying lazy: its runs are found when the result is collected."""

    def __init__(self, frame: pl.LazyFrame) -> None:
        self._frame = frame

    def __repr__(self) -> str:
        from wbframe.core.explain import describe_namespace

        return describe_namespace(type(self), None)

    def histories(
        self,
        *,
        path: str | None = None,
        keys: Sequence[str] | None = None,
        samples: int | None = DEFAULT_SAMPLES,
        x_axis: str = "_step",
        stream: Stream = "default",
        match: Match = "any",
        run_columns: Sequence[str] | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        schema_overrides: Overrides = None,
        on_incomplete: OnIncomplete = "raise",
        on_error: OnError = "raise",
        infer_schema_runs: int = INFER_SCHEMA_RUNS,
        on_new_key: OnNewKey = "ignore",
        client: Client | Api | None = None,
    ) -> pl.LazyFrame:
        """Scan the histories of exactly the runs in this frame, in its order.

        Needs the columns `entity`, `project` and `run_id`, or `run_id` and `path`. This frame is collected
        as far as these columns when the result's schema or rows are asked for; its runs then are the run
        list of the scan.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        keys
            Logged keys (or globs), in the order wanted; None for all. For ``stream="system"`` any of the
            spellings ``"cpu"``, ``"system.cpu"``, ``"system/cpu"``.
        samples
            Rows of a run at the most. More are sampled down by the server, evenly: of named keys each group
            that is logged together by itself, of all keys whole rows, so that rare keys lose more. The
            frame's metadata says whether it happened. None for every logged row: from exported files, and
            live for what is not exported, checked to be complete.
        x_axis
            A key that stands beside `_step`; other than `_step`, only rows that hold it are read.
        stream
            ``"default"`` for what was logged, ``"system"`` for machine metrics.
        match
            ``"any"`` gives every row that holds one of the keys, ``"all"`` only rows that hold all of them.
        run_columns
            Columns of the runs frame to repeat beside each row.
        min_step, max_step
            Steps to read: `min_step` is inclusive, `max_step` exclusive.
        schema_overrides
            Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
            ``{"bins": pl.List(pl.Float64)}`` opens lists. Python's types (``int``, ``date``, ``list[float]``)
            and pandas' names (``"Int64"``, ``"datetime64[us, UTC]"``) say the same.
        on_incomplete
            With ``samples=None``, what to do when fewer rows of a run come than the server says it has:
            ``"raise"``, or ``"warn"``.
        on_error
            What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave
            them out, with a `LeftOutWarning` and a report that names each and says why. What it takes to know
            the columns is never left out.
        infer_schema_runs
            Runs that are looked at for the keys where a server cannot tell those of all runs.
        on_new_key
            What to do, where all keys or a glob of them are read, with those that were logged since:
            ``"ignore"`` with a `NewKeyWarning`, or ``"raise"``. By name they can be read.
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it.

        Returns
        -------
        polars.LazyFrame
            The frame of `wbframe.polars.scan_histories`.

        Raises
        ------
        UsageError
            An argument is wrong; other errors come when it is collected.
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
        on_error: OnError = "raise",
        infer_schema_runs: int = INFER_SCHEMA_RUNS,
        on_new_key: OnNewKey = "ignore",
        client: Client | Api | None = None,
    ) -> pl.LazyFrame:
        """Scan the runs frame of exactly the runs in this frame, each once, in the order of their first rows.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        columns
            Names and globs, in the order wanted: ``["name", "config.lr", "summary.*"]``; None for all. The
            server is asked for these alone.
        schema_overrides
            Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
            ``{"bins": pl.List(pl.Float64)}`` opens lists. Python's types (``int``, ``date``, ``list[float]``)
            and pandas' names (``"Int64"``, ``"datetime64[us, UTC]"``) say the same.
        on_error
            What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave
            them out, with a `LeftOutWarning` and a report that names each and says why. What it takes to know
            the columns is never left out.
        infer_schema_runs
            Runs that are looked at for the columns where a server has no index of them.
        on_new_key
            What to do, where all of them or a glob of them are read, with config and summary keys that the
            index does not name: ``"ignore"`` with a `NewKeyWarning`, or ``"raise"``. By name they can be
            read.
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it.

        Returns
        -------
        polars.LazyFrame
            The frame of `wbframe.polars.scan_runs`.

        Raises
        ------
        UsageError
            An argument is wrong; other errors come when it is collected.
        """
        from wbframe.scans.source import LeftSource, RunsSource, registered

        scan = call_with(runs_scan, locals(), path=RunPaths())
        options = check_scan_options(infer_schema_runs=infer_schema_runs, on_new_key=on_new_key)
        return registered(LeftSource(self._frame, path, RunsSource(scan, client, *options)))


@overload
def of(frame: pl.DataFrame) -> FrameNamespace: ...
@overload
def of(frame: pl.LazyFrame) -> LazyFrameNamespace: ...
@overload
def of(frame: pd.DataFrame) -> FrameAccessor: ...
def of(
    frame: pl.DataFrame | pl.LazyFrame | pd.DataFrame,
) -> FrameNamespace | LazyFrameNamespace | FrameAccessor:
    """Give what ``frame.wandb`` gives, with a type that editors and type checkers know.

    Parameters
    ----------
    frame
        A frame of runs, of polars or pandas.

    Returns
    -------
    FrameNamespace, LazyFrameNamespace or wbframe.pandas.FrameAccessor
        With the readers of exactly the runs in the frame; for a lazy frame its scans.

    Raises
    ------
    UsageError
        If it is no such frame.

    Examples
    --------
    >>> import polars as pl
    >>> of(pl.LazyFrame({"run_id": ["a"]})).histories(path="wbframe/demo")  # doctest: +ELLIPSIS
    <LazyFrame at 0x...>
    """
    if isinstance(frame, pl.DataFrame):
        return FrameNamespace(frame)
    if isinstance(frame, pl.LazyFrame):
        return LazyFrameNamespace(frame)
    # Who has a frame of pandas has imported it.
    if "pandas" in sys.modules and isinstance(frame, sys.modules["pandas"].DataFrame):
        from wbframe.pandas import FrameAccessor

        return FrameAccessor(frame)
    raise UsageError(
        f"`frame` must be a frame of polars or pandas, as the readers give them; got {type(frame).__name__}"
    )


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
