"""The drop-in `Runs`: the runs of a project, loaded page by page, and the histories of many in few requests."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal, overload

from wbframe.core.model import STEP, Match, OnError, RunPath, Stream
from wbframe.core.paths import name_of, run_of
from wbframe.dropin import reading
from wbframe.dropin.asked import RowsAsked, check_rows_options, whole_number, wrong_keys
from wbframe.dropin.columns import Columns
from wbframe.dropin.pages import UNORDERED, RunPages
from wbframe.dropin.pandas_frame import pandas_frame
from wbframe.dropin.polars_frame import polars_frame
from wbframe.dropin.run import AS_DICTS, say, size_of, tell_known, text_keys
from wbframe.dropin.sdk import as_sdk
from wbframe.errors import UsageError
from wbframe.io.read.outcome import Outcome, warn_imprecise
from wbframe.io.read.parts import SKIPPED
from wbframe.report import LeftOut

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    import polars as pl
    import pyarrow as pa


__all__ = ["Runs"]

Rows = list[dict[str, Any]]


class Runs(RunPages):
    """The runs of a project that fit filters, loaded page by page while they are looked at.

    Takes the place of ``wandb.apis.public.Runs``; nothing is asked before the first run is. Runs that come, go
    or change places while pages are loaded are noticed: each comes once, and what pages missed comes at the end.

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
        Whether the runs' sweeps are loaded as well, each once, rather than when they are looked at.
    lazy
        Whether config, summary, system metrics and history keys stay out of the pages; they are then
        asked for run by run when they are looked at, or all at once by `upgrade_to_full`.
    api_key
        The key to use in place of the client's.
    service_api
        What newer releases of the SDK call the client.

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
        on_error: OnError = ...,
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
        on_error: OnError = ...,
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
        on_error: OnError = ...,
    ) -> pl.DataFrame: ...

    @as_sdk
    def histories(
        self,
        samples: int = 500,
        keys: list[str] | None = None,
        x_axis: str = STEP,
        format: Literal["default", "pandas", "polars"] = "default",  # noqa: A002 -- the SDK's name
        stream: Stream = "default",
        *,
        match: Match = "all",
        on_error: OnError = "raise",
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
        on_error
            ``"skip"`` to leave out what cannot be read, with a `LeftOutWarning`: a run that was deleted since
            it was listed, one that the server fails at, or the pages behind one that cannot be listed.

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
            If `samples`, `format`, `match` or `on_error` is none of these; a ValueError.
        ProjectNotFoundError
            If there is no such project; a ValueError.
        RunNotFoundError
            If a run was deleted since it was listed, unless it may be left out; a ValueError.
        IncompleteError
            If runs move each time that they are listed.

        Examples
        --------
        >>> import wbframe.server
        >>> with wbframe.server.serve("ragged") as server:
        ...     runs = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "ragged", order="+created_at")
        ...     runs.histories(samples=2, keys=["eval/loss"], format="polars").columns
        ['_step', 'eval/loss', 'run_id']
        """
        if format not in {"default", "pandas", "polars"}:
            # The SDK's own words, which code may look for.
            raise UsageError(
                f"Invalid format: {format}. Must be one of 'default', 'pandas', 'polars'"
            )
        check_rows_options(match, on_error)
        if samples is not None:
            samples = whole_number("samples", samples, least=1)
        asked = None
        if (problem := wrong_keys(keys, stream)) is not None:
            say(problem)
        else:
            asked = RowsAsked(
                samples=samples, keys=tuple(keys or ()), x_axis=x_axis, stream=stream, match=match
            )
        if format == "default":
            return self._rows(asked, on_error)
        return self._frame(asked, format, on_error)

    def _rows(self, asked: RowsAsked | None, on_error: OnError) -> Rows:
        """Give all rows, each with its `run_id`; none if nothing is asked."""
        found: Rows = []
        if asked is None:
            return found
        path = self._path_known
        came: dict[str, int] = {}
        with Outcome.of_rows(self.client, path, asked.samples) as outcome:
            losses = None if on_error == "raise" else outcome.losses
            pages = self._sized(asked, losses)
            # In the order of the runs, as from wandb 0.19 on: https://github.com/wandb/wandb/issues/8969
            for run_id, rows in reading.read_rows(self.client, path, asked, pages, losses):
                for row in rows:
                    # Also over a metric of that name, as in the SDK.
                    row["run_id"] = run_id
                found += rows
                came[run_id] = len(rows)
                outcome.runs, outcome.rows = outcome.runs + 1, len(found)
            tell_known(outcome, self.objects, asked)
            self._warn_short(asked, came, outcome)
        return found

    def _frame(
        self, asked: RowsAsked | None, kind: str, on_error: OnError
    ) -> pd.DataFrame | pl.DataFrame:
        """Give all rows as a frame whose columns are sorted by name; none if nothing is asked."""
        columns = Columns()
        if asked is not None:
            path = self._path_known
            with Outcome.of_rows(self.client, path, asked.samples) as outcome:
                losses = None if on_error == "raise" else outcome.losses
                pages = self._sized(asked, losses)
                columns = reading.read_columns(self.client, path, asked, pages, losses)
                lost = {each.what for each in outcome.losses} - {name_of(path)}
                outcome.runs, outcome.rows = len(self.objects) - len(lost), columns.height
                tell_known(outcome, self.objects, asked)
                self._warn_short(asked, columns.count("run_id"), outcome)
        text = text_keys(self.objects)
        frame: pd.DataFrame | pl.DataFrame
        if kind == "pandas":
            frame, imprecise = pandas_frame(columns, text=text, by_name=True)
        else:
            # The SDK joins the runs' frames as they are, which from 0.19 on fails where columns or types differ.
            frame, imprecise = polars_frame(columns, text=text)
        warn_imprecise(imprecise, AS_DICTS)
        return frame

    def _warn_short(self, asked: RowsAsked, came: Mapping[str, int], outcome: Outcome) -> None:
        """Warn of runs of which fewer rows came than the server counts."""
        lost = {each.what for each in outcome.losses}
        read = (run for run in self.objects if run_of(self._path, run.id) not in lost)
        counts = ((run.load(), came.get(run.id, 0)) for run in read)
        reading.warn_short(self._path, asked, counts)

    @property
    def _path_known(self) -> RunPath:
        """The path with the default entity filled in."""
        if self.entity is None:
            self.entity = self.variables["entity"] = self.client.default_entity()
        return self._path

    def _sized(
        self, asked: RowsAsked, losses: list[LeftOut] | None
    ) -> Iterator[list[tuple[str, int]]]:
        """Give all runs, a page at a time, with the cells that each is estimated to give."""
        done = 0
        while True:
            try:
                if done >= len(self.objects) and not self._load_page(wide=True):
                    break
            except SKIPPED as error:
                if losses is None:
                    raise
                why = f"no runs behind the first {done}: {error}"
                losses.append(LeftOut(name_of(self._path), why))
                break
            page = self.objects[done:]
            done += len(page)
            yield [(run.id, size_of(run, asked)) for run in page]
        # Where the SDK's own loop over the runs ends.
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
        query = {"filters": self.filters, "order": self.order or UNORDERED, "client": self.client}
        reader = getattr(importlib.import_module(f"wbframe.{face}"), function)
        return reader(self._path, **{**query, **options})
