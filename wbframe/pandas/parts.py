"""Readers of frames in parts, the first of which come while later ones are on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from wbframe.arrow import buckets_reader, histories_reader
from wbframe.core.arguments import call_with
from wbframe.core.model import DEFAULT_BINS, DEFAULT_ORDER, DEFAULT_SAMPLES
from wbframe.io.threads import Items
from wbframe.pandas.frames import check_backend, to_pandas

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pandas as pd

    from wbframe.core.arguments import Filters, Overrides
    from wbframe.core.model import (
        DtypeBackend,
        GridOf,
        Match,
        OnError,
        OnIncomplete,
        RunPath,
        Stream,
    )
    from wbframe.dropin.api import Api
    from wbframe.io.client.client import Client

__all__ = ["iter_buckets", "iter_histories"]


def iter_histories(
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
    batch_size: int | None = None,
    dtype_backend: DtypeBackend = "numpy",
    client: Client | Api | None = None,
) -> Iterator[pd.DataFrame]:
    """Read histories frame by frame, in bounded memory, while later ones are on their way.

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
    batch_size
        Rows that come at once, at the most; None for as many as a request gives.
    dtype_backend
        ``"numpy"``, ``"numpy_nullable"`` or ``"pyarrow"``, as pandas' own readers have it.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default) says what
        the read did; of a scan, when it was collected.

    Yields
    ------
    pandas.DataFrame
        The frame of `read_histories` in parts, each with a fresh RangeIndex and the same dtypes, as far as
        the backend can: numpy has no integer null.

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
    backend = check_backend(dtype_backend)
    reader = call_with(histories_reader, locals())
    return Items(to_pandas(pa.Table.from_batches([batch]), backend) for batch in reader)


def iter_buckets(
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
    batch_size: int | None = None,
    dtype_backend: DtypeBackend = "numpy",
    client: Client | Api | None = None,
) -> Iterator[pd.DataFrame]:
    """Read buckets frame by frame, in bounded memory, while later ones are on their way.

    With ``grid="shared"`` the first comes when all rows have, unless `min_step` and `max_step` tell the grid.

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
    batch_size
        Rows that come at once, at the most; None for as many as a request gives.
    dtype_backend
        ``"numpy"``, ``"numpy_nullable"`` or ``"pyarrow"``, as pandas' own readers have it.
    client
        The connection, a `Client` or the drop-in's `Api`; default: one for the environment's server and key,
        found as the official SDK does it. Its `last_report` (`wbframe.last_report` of the default) says what
        the read did; of a scan, when it was collected.

    Yields
    ------
    pandas.DataFrame
        The frame of `read_buckets` in parts, each with a fresh RangeIndex.

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
    backend = check_backend(dtype_backend)
    reader = call_with(buckets_reader, locals())
    return Items(to_pandas(pa.Table.from_batches([batch]), backend) for batch in reader)
