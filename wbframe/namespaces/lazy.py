"""The namespace of lazy frames, which scans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wbframe.buckets import bucket_scan
from wbframe.core.arguments import (
    INFER_SCHEMA_RUNS,
    call_with,
    check_scan_options,
    history_scan,
    runs_scan,
)
from wbframe.core.model import DEFAULT_BINS, DEFAULT_SAMPLES, RunPaths

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from wbframe.core.arguments import Overrides
    from wbframe.core.model import GridOf, Match, OnError, OnIncomplete, OnNewKey, Stream
    from wbframe.dropin.api import Api
    from wbframe.io.client.client import Client

__all__ = ["LazyFrameNamespace"]


class LazyFrameNamespace:
    """From a lazy frame to the runs and histories of its rows, which are found when the result is collected."""

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
            Logged keys (or globs), in the order wanted; None for all; ``"scalars"`` for all that hold nothing
            but numbers, text and booleans: no media, histograms, tables, lists and objects. For
            ``stream="system"`` any of the spellings ``"cpu"``, ``"system.cpu"``, ``"system/cpu"``.
        samples
            Rows of a run at the most. More are sampled down by the server, evenly: of named keys each group
            that is logged together by itself, of all keys whole rows, so that rare keys lose more. The report
            says whether it happened, and a `SampledWarning` where no number was given. None for every logged
            row: from exported files, and live for what is not exported, checked to be complete.
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
            them out, with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and
            projects of a list that are not there, as long as one project is. What it takes to know the
            columns is never left out.
        infer_schema_runs
            Runs that are looked at for the keys where a server cannot tell those of all runs.
        on_new_key
            What to do, where all keys or a glob of them are read, with those that were logged since:
            ``"ignore"`` with a `NewKeyWarning`, or ``"raise"``. By name they can be read.
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default)
            says what the read did; of a scan, when it was collected.

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

    def buckets(
        self,
        *,
        path: str | None = None,
        keys: Sequence[str] | None = None,
        bins: int = DEFAULT_BINS,
        grid: GridOf = "run",
        edges: Iterable[float] | None = None,
        x_axis: str | None = None,
        stream: Stream = "default",
        run_columns: Sequence[str] | None = None,
        min_step: int | None = None,
        max_step: int | None = None,
        on_error: OnError = "raise",
        infer_schema_runs: int = INFER_SCHEMA_RUNS,
        on_new_key: OnNewKey = "ignore",
        client: Client | Api | None = None,
    ) -> pl.LazyFrame:
        """Scan the buckets of exactly the runs in this frame, in its order.

        Needs the columns `entity`, `project` and `run_id`, or `run_id` and `path`. Costs and returns as
        `scan_buckets`.

        Parameters
        ----------
        path
            ``"entity/project"`` for a frame that has `run_id` alone.
        keys
            Logged keys (or globs) that hold numbers, in the order wanted; None or ``"scalars"`` for all of these.
        bins
            Buckets a run at the most, of equal width.
        grid
            ``"run"``: the buckets of each run and key reach from its least to its greatest x. ``"shared"``: all
            runs and keys have the same, from the least to the greatest x of all, or along `_step` from `min_step`
            to `max_step` where both are given; so runs can be averaged by `bucket`. They are made of every row.
        edges
            The same for all runs, from edges of your own: ``[0, 10, 100]`` are two buckets, each with its first
            edge (inclusive) and without its second (exclusive); what lies beyond the edges is left out.
        x_axis
            The key along which they lie; None for `_step`, or `_timestamp` of machine metrics.
        stream
            ``"default"`` for what was logged, ``"system"`` for machine metrics.
        run_columns
            Columns of the runs frame to repeat beside each row.
        min_step, max_step
            Steps to sum up: `min_step` is inclusive, `max_step` exclusive. No server is known to cut buckets so:
            they are made of every row of these steps.
        on_error
            What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave
            them out, with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and
            projects of a list that are not there, as long as one project is. What it takes to know the
            columns is never left out.
        infer_schema_runs
            Runs that are looked at for the keys where a server cannot tell those of all runs.
        on_new_key
            What to do, where all keys or a glob of them are read, with those that were logged since: ``"ignore"``
            with a `NewKeyWarning`, or ``"raise"``. By name they can be read.
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default)
            says what the read did; of a scan, when it was collected.

        Returns
        -------
        polars.LazyFrame
            The frame of `wbframe.buckets.scan_buckets`.

        Raises
        ------
        UsageError
            An argument is wrong; other errors come when it is collected.
        """
        from wbframe.scans.buckets import BucketSource
        from wbframe.scans.source import LeftSource, registered

        scan, grid_of = bucket_scan({**locals(), "path": RunPaths()})
        options = check_scan_options(infer_schema_runs=infer_schema_runs, on_new_key=on_new_key)
        source = BucketSource(scan, grid_of, client, *options)
        return registered(LeftSource(self._frame, path, source))

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
            server is asked for these alone. ``"varying"`` reads all, and leaves out config and summary
            columns that are the same in all runs read (a key that some of them lack differs); ``"used"``
            those that are null in all. Scans and readers of batches, whose columns are known beforehand, take
            neither.
        schema_overrides
            Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
            ``{"bins": pl.List(pl.Float64)}`` opens lists. Python's types (``int``, ``date``, ``list[float]``)
            and pandas' names (``"Int64"``, ``"datetime64[us, UTC]"``) say the same.
        on_error
            What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave
            them out, with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and
            projects of a list that are not there, as long as one project is. What it takes to know the
            columns is never left out.
        infer_schema_runs
            Runs that are looked at for the columns where a server has no index of them.
        on_new_key
            What to do, where all of them or a glob of them are read, with config and summary keys that the
            index does not name: ``"ignore"`` with a `NewKeyWarning`, or ``"raise"``. By name they can be
            read.
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default)
            says what the read did; of a scan, when it was collected.

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
