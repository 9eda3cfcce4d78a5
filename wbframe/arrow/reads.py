"""Readers, which give tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wbframe.arrow.tables import table_of
from wbframe.buckets import bucket_scan
from wbframe.core.arguments import call_with, check_flag, history_scan, runs_scan
from wbframe.core.decode.integers import with_integers
from wbframe.core.model import DEFAULT_BINS, DEFAULT_ORDER, DEFAULT_SAMPLES
from wbframe.io.client.client import client_or_default
from wbframe.io.read.buckets import read_buckets as _read_buckets
from wbframe.io.read.histories import read_histories as _read_histories
from wbframe.io.read.outcome import hook_of
from wbframe.io.read.runs import read_runs as _read_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

    from wbframe.core.arguments import Filters, Overrides
    from wbframe.core.model import GridOf, Match, OnError, OnIncomplete, RunPath, Stream
    from wbframe.dropin.api import Api
    from wbframe.io.client.client import Client
    from wbframe.io.read.outcome import Hook

__all__ = ["read_buckets", "read_histories", "read_runs"]


def read_runs(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    per_page: int | None = None,
    schema_overrides: Overrides = None,
    on_error: OnError = "raise",
    convert_integer: bool = False,
    client: Client | Api | None = None,
    progress: bool | Hook | None = None,
) -> pa.Table:
    """Read the runs of a project as one Arrow table; columns, rows and cost as `wbframe.polars.read_runs`.

    Parameters
    ----------
    path
        Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
        ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
        the web app, or a list of any of these.
    columns
        Names and globs, in the order wanted: ``["name", "config.lr", "summary.*"]``; None for all. The server
        is asked for these alone. ``"varying"`` reads all, and leaves out config and summary columns that are
        the same in all runs read (a key that some of them lack differs); ``"used"`` those that are null in
        all. Scans and readers of batches, whose columns are known beforehand, take neither.
    filters
        Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt":
        0.01}}``), or an expression (or a list, all of which must hold) over the columns of the runs frame.
        The server filters as far as it provably can; an expression is applied here again, so it is exact.
    order
        A sign and a column: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.best.acc"``,
        ``"+config.opt.lr"``; runs without a value come last. Where the order of the server cannot be trusted,
        all runs are sorted here.
    limit
        The most runs; exact, and counted after `filters`. None for all.
    per_page
        Runs a request, 1 to 1000. Default: 200, or 499 where no more than ten config and summary keys are read.
    schema_overrides
        Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
        ``{"bins": pl.List(pl.Float64)}`` opens lists. Python's types (``int``, ``date``, ``list[float]``) and
        pandas' names (``"Int64"``, ``"datetime64[us, UTC]"``) say the same.
    on_error
        What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave them
        out, with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and projects
        of a list that are not there, as long as one project is. What it takes to know the columns is never
        left out.
    convert_integer
        True makes those Float64 columns Int64 that hold whole numbers alone, all below 2**53 so that they are
        exact; but not columns of `schema_overrides`. As ``convert_dtypes`` of pandas does it, without its
        other changes.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default) says what
        the read did; of a scan, when it was collected.
    progress
        True for a tqdm bar, or lines on stderr where that is no terminal; or a function that gets a
        `Progress`.

    Returns
    -------
    pyarrow.Table
        Text is ``large_string``. The schema's metadata has the `ScanReport` as JSON under ``wbframe``.

    Raises
    ------
    UsageError
        An argument is wrong; found before any request where it can be known.
    CredentialsError, AccessError, NotFoundError
        No or a refused key; no permission; no such project, run or sweep.
    IncompleteError
        Runs came and went each time that they were listed.
    RequestError, QueryError, AnswerError
        The server could not be reached, refused the query, or answered something else; after the retries. The
        error's `report` says what had been done until then.
    """
    scan = call_with(runs_scan, locals())
    check_flag("convert_integer", convert_integer)
    frame, report = _read_runs(client_or_default(client), scan, hook_of(progress))
    return table_of(with_integers(frame, but=scan.overrides) if convert_integer else frame, report)


def read_histories(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    samples: int | None = DEFAULT_SAMPLES,
    x_axis: str = "_step",
    stream: Stream = "default",
    match: Match = "any",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    schema_overrides: Overrides = None,
    on_incomplete: OnIncomplete = "raise",
    on_error: OnError = "raise",
    convert_integer: bool = False,
    client: Client | Api | None = None,
    progress: bool | Hook | None = None,
) -> pa.Table:
    """Read histories as one Arrow table; columns, rows and cost as `wbframe.polars.read_histories`.

    Parameters
    ----------
    path
        Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
        ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
        the web app, or a list of any of these.
    keys
        Logged keys (or globs), in the order wanted; None for all; ``"scalars"`` for all that hold nothing but
        numbers, text and booleans: no media, histograms, tables, lists and objects. For ``stream="system"``
        any of the spellings ``"cpu"``, ``"system.cpu"``, ``"system/cpu"``.
    samples
        Rows of a run at the most. More are sampled down by the server, evenly: of named keys each group that
        is logged together by itself, of all keys whole rows, so that rare keys lose more. The report says
        whether it happened, and a `SampledWarning` where no number was given. None for every logged row: from
        exported files, and live for what is not exported, checked to be complete.
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
    filters
        Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt":
        0.01}}``), or an expression (or a list, all of which must hold) over the columns of the runs frame.
        The server filters as far as it provably can; an expression is applied here again, so it is exact.
    order
        A sign and a column: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.best.acc"``,
        ``"+config.opt.lr"``; runs without a value come last. Where the order of the server cannot be trusted,
        all runs are sorted here.
    limit
        The most runs; exact, and counted after `filters`. None for all.
    schema_overrides
        Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
        ``{"bins": pl.List(pl.Float64)}`` opens lists. Python's types (``int``, ``date``, ``list[float]``) and
        pandas' names (``"Int64"``, ``"datetime64[us, UTC]"``) say the same.
    on_incomplete
        With ``samples=None``, what to do when fewer rows of a run come than the server says it has:
        ``"raise"``, or ``"warn"``.
    on_error
        What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave them
        out, with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and projects
        of a list that are not there, as long as one project is. What it takes to know the columns is never
        left out.
    convert_integer
        True makes those Float64 columns Int64 that hold whole numbers alone, all below 2**53 so that they are
        exact; but not columns of `schema_overrides`. As ``convert_dtypes`` of pandas does it, without its
        other changes.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default) says what
        the read did; of a scan, when it was collected.
    progress
        True for a tqdm bar, or lines on stderr where that is no terminal; or a function that gets a
        `Progress`.

    Returns
    -------
    pyarrow.Table
        Text is ``large_string``. The schema's metadata has the `ScanReport` as JSON under ``wbframe``.

    Raises
    ------
    UsageError
        An argument is wrong; found before any request where it can be known.
    CredentialsError, AccessError, NotFoundError
        No or a refused key; no permission; no such project, run or sweep.
    IncompleteError
        Runs came and went each time that they were listed; or `IncompleteHistoryError`, with
        ``samples=None``: rows of a run are missing.
    RequestError, QueryError, AnswerError
        The server could not be reached, refused the query, or answered something else; after the retries. The
        error's `report` says what had been done until then.
    """
    scan = call_with(history_scan, locals())
    check_flag("convert_integer", convert_integer)
    frame, report = _read_histories(client_or_default(client), scan, hook_of(progress))
    return table_of(with_integers(frame, but=scan.overrides) if convert_integer else frame, report)


def read_buckets(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | None = None,
    bins: int = DEFAULT_BINS,
    grid: GridOf = "run",
    edges: Iterable[float] | None = None,
    x_axis: str | None = None,
    stream: Stream = "default",
    run_columns: Sequence[str] | None = None,
    min_step: int | None = None,
    max_step: int | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    on_error: OnError = "raise",
    client: Client | Api | None = None,
    progress: bool | Hook | None = None,
) -> pa.Table:
    """Read buckets as one Arrow table; columns, rows and cost as `wbframe.buckets.read_buckets`.

    Parameters
    ----------
    path
        Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
        ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
        the web app, or a list of any of these.
    keys
        Logged keys (or globs) that hold numbers, in the order wanted; None or ``"scalars"`` for all of these.
    bins
        Buckets a run at the most, of equal width.
    grid
        ``"run"``: the buckets of each run and key reach from its least to its greatest x. ``"shared"``: all runs
        and keys have the same, from the least to the greatest x of all, or along `_step` from `min_step` to
        `max_step` where both are given; so runs can be averaged by `bucket`. They are made of every row.
    edges
        The same for all runs, from edges of your own: ``[0, 10, 100]`` are two buckets, each with its first edge
        (inclusive) and without its second (exclusive); what lies beyond the edges is left out.
    x_axis
        The key along which they lie; None for `_step`, or `_timestamp` of machine metrics.
    stream
        ``"default"`` for what was logged, ``"system"`` for machine metrics.
    run_columns
        Columns of the runs frame to repeat beside each row.
    min_step, max_step
        Steps to sum up: `min_step` is inclusive, `max_step` exclusive. No server is known to cut buckets so: they
        are made of every row of these steps.
    filters
        Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt": 0.01}}``),
        or an expression (or a list, all of which must hold) over the columns of the runs frame. The server
        filters as far as it provably can; an expression is applied here again, so it is exact.
    order
        A sign and a column: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.best.acc"``,
        ``"+config.opt.lr"``; runs without a value come last. Where the order of the server cannot be trusted,
        all runs are sorted here.
    limit
        The most runs; exact, and counted after `filters`. None for all.
    on_error
        What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave them
        out, with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and projects
        of a list that are not there, as long as one project is. What it takes to know the columns is never
        left out.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default) says what
        the read did; of a scan, when it was collected.
    progress
        True for a tqdm bar, or lines on stderr where that is no terminal; or a function that gets a `Progress`.

    Returns
    -------
    pyarrow.Table
        The schema's metadata has the `ScanReport` as JSON under ``wbframe``.

    Raises
    ------
    UsageError
        An argument is wrong; found before any request where it can be known.
    CredentialsError, AccessError, NotFoundError
        No or a refused key; no permission; no such project, run or sweep.
    IncompleteError
        Runs came and went each time that they were listed.
    RequestError, QueryError, AnswerError
        The server could not be reached, refused the query, or answered something else; after the retries. The
        error's `report` says what had been done until then.
    """
    scan, grid_of = bucket_scan(locals())
    frame, report = _read_buckets(client_or_default(client), scan, grid_of, hook_of(progress))
    return table_of(frame, report)
