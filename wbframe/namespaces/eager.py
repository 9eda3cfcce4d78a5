"""The namespace of data frames, which reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wbframe.buckets import read_buckets
from wbframe.core.arguments import call_with
from wbframe.core.model import DEFAULT_BINS, DEFAULT_SAMPLES, GridOf
from wbframe.core.paths import paths_of
from wbframe.polars import read_histories, read_runs, report_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from wbframe.core.arguments import Overrides
    from wbframe.core.model import Match, OnError, OnIncomplete, RunPaths, Stream
    from wbframe.dropin.api import Api
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook
    from wbframe.report import ScanReport

__all__ = ["FrameNamespace"]


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
        """How this frame was read; None if no reader returned it as it is: see a client's `last_report`."""
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
        convert_integer
            True makes those Float64 columns Int64 that hold whole numbers alone, all below 2**53 so that they
            are exact; but not columns of `schema_overrides`. As ``convert_dtypes`` of pandas does it, without
            its other changes.
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default)
            says what the read did; of a scan, when it was collected.
        progress
            True for a tqdm bar, or lines on stderr where that is no terminal; or a function that gets a
            `Progress`.

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
        client: Client | Api | None = None,
        progress: bool | Hook | None = None,
    ) -> pl.DataFrame:
        """Read the buckets of exactly the runs in this frame, in its order.

        Needs the columns `entity`, `project` and `run_id`, or `run_id` and `path`. Costs and returns as
        `read_buckets`.

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
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default)
            says what the read did; of a scan, when it was collected.
        progress
            True for a tqdm bar, or lines on stderr where that is no terminal; or a function that gets a
            `Progress`.

        Returns
        -------
        polars.DataFrame
            The frame of `wbframe.buckets.read_buckets`.

        Raises
        ------
        UsageError
            An argument is wrong; found before any request where it can be known.
        CredentialsError, AccessError, NotFoundError
            No or a refused key; no permission; no such project or run.
        RequestError, QueryError, AnswerError
            The server could not be reached, refused the query, or answered something else; after the retries. The
            error's `report` says what had been done until then.
        """
        return call_with(read_buckets, locals(), path=self._paths(path))

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
        convert_integer
            True makes those Float64 columns Int64 that hold whole numbers alone, all below 2**53 so that they
            are exact; but not columns of `schema_overrides`. As ``convert_dtypes`` of pandas does it, without
            its other changes.
        client
            The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and
            key, found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default)
            says what the read did; of a scan, when it was collected.
        progress
            True for a tqdm bar, or lines on stderr where that is no terminal; or a function that gets a
            `Progress`.

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
