"""Arguments of the readers -> frozen scans; everything that can be wrong is found here, before any request."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import reduce
from itertools import pairwise
from operator import and_, index
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import polars as pl

from wbframe.core import filters as flt
from wbframe.core.histories.cutting import even_edges
from wbframe.core.model import (
    DEFAULT_BINS,
    DEFAULT_ORDER,
    DEFAULT_SAMPLES,
    MOST_PER_PAGE,
    MOST_SAMPLES,
    STEP,
    ColumnsKept,
    Grid,
    GridOf,
    HistoryScan,
    KeysChosen,
    Match,
    OnError,
    OnIncomplete,
    OnNewKey,
    RunsScan,
    Selection,
    Stream,
    Unsaid,
)
from wbframe.core.paths import parse_paths
from wbframe.core.schema.dtypes import dtype_named
from wbframe.core.schema.order import check_order
from wbframe.core.schema.runs import RUN_COLUMNS, check_columns, unknown_column
from wbframe.errors import ColumnError, UsageError, one_of
from wbframe.text import is_utf8

if TYPE_CHECKING:
    from wbframe.core.model import RunPath

Filters = Mapping[str, Any] | pl.Expr | Sequence[pl.Expr] | None
Overrides = Mapping[str, Any] | None
Paths = "str | RunPath | Iterable[str | RunPath]"


def runs_scan(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    columns: Sequence[str] | None = None,
    filters: Filters = None,
    order: str = DEFAULT_ORDER,
    limit: int | None = None,
    per_page: int | None = None,
    schema_overrides: Overrides = None,
    on_error: OnError = "raise",
) -> RunsScan:
    """Check the arguments of the runs readers.

    Raises
    ------
    UsageError
        If one of them is wrong: `PathError`, `FilterError` and `ColumnError` where it is of that kind.
    """
    _check_sendable(columns=columns, schema_overrides=schema_overrides)
    kept = _word(columns, ColumnsKept)
    checked = None if kept else check_columns(columns)
    return RunsScan(
        selection=selection(
            path,
            filters=filters,
            order=order,
            limit=limit,
            per_page=per_page,
            on_error=on_error,
        ),
        columns=checked,
        kept=kept,  # type: ignore[arg-type]
        overrides=overrides(schema_overrides, runs=True),
    )


def history_scan(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    keys: Sequence[str] | str | None = None,
    samples: int | None = DEFAULT_SAMPLES,
    x_axis: str = STEP,
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
) -> HistoryScan:
    """Check the arguments of the histories readers; raises as `runs_scan` does."""
    _check_sendable(
        keys=keys, x_axis=x_axis, run_columns=run_columns, schema_overrides=schema_overrides
    )
    check_one_of("stream", stream, get_args(Stream))
    check_one_of("match", match, get_args(Match))
    scalars = _word(keys, KeysChosen) is not None
    asked = None if scalars else _keys(keys)
    if match == "all" and asked is None:
        raise UsageError("`match='all'` asks for rows that hold all `keys`; name the keys")
    check_one_of("on_incomplete", on_incomplete, get_args(OnIncomplete))
    given = not isinstance(samples, Unsaid)
    if samples is not None:
        samples = _whole_number("samples", samples, least=1)
    elif stream == "system":
        # Machine metrics are only to be had thinned out; a warning says whether they were.
        samples, given = MOST_SAMPLES, False
    min_step, max_step = _window(min_step, max_step)
    if not isinstance(x_axis, str) or not x_axis:
        raise UsageError(f"`x_axis` must be the name of a key; got {x_axis!r}")
    if stream == "system" and (x_axis != STEP or min_step is not None or max_step is not None):
        raise UsageError(
            "machine metrics have no steps: `x_axis`, `min_step` and `max_step` go with stream='default'"
        )
    checked: tuple[str, ...] = ()
    if run_columns is not None and run_columns != []:
        checked = check_columns(run_columns, argument="run_columns") or ()
    return HistoryScan(
        selection=selection(
            path,
            filters=filters,
            order=order,
            limit=limit,
            per_page=None,
            on_error=on_error,
        ),
        keys=asked,
        scalars=scalars,
        samples=samples,
        samples_given=given,
        x_axis=x_axis,
        stream=stream,
        match=match,
        run_columns=tuple(name for name in checked if name != "run_id"),
        min_step=min_step,
        max_step=max_step,
        on_incomplete=on_incomplete,
        overrides=overrides(schema_overrides, runs=False),
    )


def _check_sendable(**given: object) -> None:
    """Refuse names that no server and no frame can hold."""
    for argument, value in given.items():
        names = [value] if isinstance(value, str) else value
        # What is no collection of names is told where it is read.
        for name in names if isinstance(names, Collection) else ():
            if isinstance(name, str) and not is_utf8(name):
                raise UsageError(
                    f"`{argument}`: {name!r} holds half of a surrogate pair, which no column of a frame can;"
                    " there U+FFFD stands in its place"
                )


_Result = TypeVar("_Result")
# Runs that are looked at where a server cannot tell the columns of all of them.
INFER_SCHEMA_RUNS = 100


def check_scan_options(*, infer_schema_runs: int, on_new_key: OnNewKey) -> tuple[OnNewKey, int]:
    """Check the arguments that only scans have.

    Raises
    ------
    UsageError
        If one of them is wrong.
    """
    infer_schema_runs = _whole_number("infer_schema_runs", infer_schema_runs, least=1)
    check_one_of("on_new_key", on_new_key, get_args(OnNewKey))
    return on_new_key, infer_schema_runs


def check_batch_size(batch_size: int | None) -> int | None:
    """Check the number of rows of a batch."""
    return None if batch_size is None else _whole_number("batch_size", batch_size, least=1)


def check_one_of(name: str, value: object, words: tuple[str, ...]) -> None:
    """Check an argument that is one of a few words."""
    if value not in words:
        raise one_of(name, value, words)


def check_flag(name: str, value: bool) -> bool:  # noqa: FBT001
    """Check an option that is on or off."""
    if not isinstance(value, bool):
        raise UsageError(f"`{name}` must be True or False; got {value!r}")
    return value


def check_grid(
    *,
    bins: int = DEFAULT_BINS,
    grid: str = "run",
    edges: Iterable[float] | None = None,
    x_axis: str = STEP,
    min_step: int | None = None,
    max_step: int | None = None,
) -> Grid:
    """Check where buckets shall lie.

    Raises
    ------
    UsageError
        If one of the arguments is wrong, or two say different things.
    """
    check_one_of("grid", grid, get_args(GridOf))
    bins = _whole_number("bins", bins, least=1, most=MOST_SAMPLES)
    if edges is None:
        if x_axis == STEP and grid == "shared" and min_step is not None and max_step is not None:
            # Known beforehand, so that runs are cut as they come.
            return Grid(bins=bins, edges=even_edges(min_step, max_step, bins))
        return Grid(bins=bins, x_axis=x_axis, shared=grid == "shared")
    found = _edges(edges)
    if bins not in {DEFAULT_BINS, len(found) - 1}:
        raise UsageError(
            f"`bins` and `edges` say different things: {bins} and {len(found) - 1} buckets"
        )
    return Grid(bins=len(found) - 1, x_axis=x_axis, edges=found)


def _edges(edges: Iterable[float]) -> tuple[float, ...]:
    """Check the edges of buckets."""
    told = f"`edges` must be two numbers or more, each above the one before it; got {edges!r:.200}"
    try:
        found = tuple(map(float, edges)) if not isinstance(edges, str) else ()
    except (TypeError, ValueError):
        raise UsageError(told) from None
    rising = all(low < high for low, high in pairwise(found))
    if len(found) < 2 or not rising or not all(map(math.isfinite, found)):  # noqa: PLR2004
        raise UsageError(told)
    return found


def selection(
    path: str | RunPath | Iterable[str | RunPath],
    *,
    filters: Filters,
    order: str,
    limit: int | None,
    per_page: int | None,
    on_error: OnError = "raise",
) -> Selection:
    """Check the arguments that say which runs."""
    check_one_of("on_error", on_error, get_args(OnError))
    _check_sendable(order=order)
    if limit is not None:
        limit = _whole_number("limit", limit, least=0)
    if per_page is not None:
        per_page = _whole_number("per_page", per_page, least=1, most=MOST_PER_PAGE)
    pushed, predicate = _filters(filters)
    return Selection(
        paths=parse_paths(path),
        filters=pushed,
        predicate=predicate,
        order=check_order(order),
        limit=limit,
        per_page=per_page,
        on_error=on_error,
    )


def _filters(filters: Filters) -> tuple[flt.Filter, pl.Expr | None]:
    """Tell the server's filters from expressions."""
    if filters is None:
        return flt.EMPTY, None
    if isinstance(filters, pl.Expr):
        return flt.EMPTY, _over_runs(filters)
    if isinstance(filters, Mapping):
        asked = flt.parse(filters)
        flt.check_sendable(asked)
        return asked, None
    if isinstance(filters, Sequence) and not isinstance(filters, str):
        if all(isinstance(each, pl.Expr) for each in filters):
            return flt.EMPTY, reduce(and_, map(_over_runs, filters)) if filters else None
        if any(isinstance(each, Mapping) for each in filters):
            raise UsageError("`filters`: a list holds expressions; join dicts as {'$and': [...]}")
        kinds = ", ".join(sorted({type(each).__name__ for each in filters}))
        raise UsageError(
            f"`filters` must be a dict, a polars expression or a list of expressions; got a list of {kinds}"
        )
    raise UsageError(
        f"`filters` must be a dict, a polars expression or a list of expressions; got {type(filters).__name__}"
    )


def _over_runs(expr: pl.Expr) -> pl.Expr:
    """Check that an expression is over columns that a runs frame may have."""
    for name in expr.meta.root_names():
        if name not in RUN_COLUMNS and not name.startswith(("config.", "summary.", "^")):
            raise unknown_column(name, argument="filters")
    return expr


def _window(min_step: int | None, max_step: int | None) -> tuple[int | None, int | None]:
    """Check the half-open window of steps."""
    if min_step is not None:
        min_step = _whole_number("min_step", min_step, least=0)
    if max_step is not None:
        max_step = _whole_number("max_step", max_step, least=0)
    if min_step is not None and max_step is not None and min_step >= max_step:
        raise UsageError(
            f"`min_step` is inclusive and `max_step` exclusive: {min_step} to {max_step} holds no step"
        )
    return min_step, max_step


def _word(given: object, words: Any) -> str | None:
    """Give the word that stands in place of names, if it is one."""
    return given if isinstance(given, str) and given in get_args(words) else None


def check_promised(scan: RunsScan) -> RunsScan:
    """Refuse a scan whose columns cannot be promised before its rows.

    Raises
    ------
    UsageError
        If only the values of all runs tell the columns.
    """
    if scan.kept is not None:
        raise UsageError(
            f"`columns={scan.kept!r}` is told by the values of all runs, and a scan promises its columns"
            " before it reads them: read the runs whole, or scan with the `columns` of a frame that was read so"
        )
    return scan


def _keys(keys: Sequence[str] | str | None) -> tuple[str, ...] | None:
    """Check the keys."""
    if keys is None:
        return None
    if isinstance(keys, str):
        raise UsageError(
            f"`keys` must be a list of names, or 'scalars'; got the text {keys!r}: write keys=[{keys!r}]"
        )
    found = tuple(dict.fromkeys(keys)) if isinstance(keys, Iterable) else ()
    if not found or not all(isinstance(key, str) and key for key in found):
        raise UsageError(f"`keys` must be a list of names, or None for all; got {keys!r}")
    return found


def overrides(given: Overrides, *, runs: bool) -> dict[str, pl.DataType]:
    """Check `schema_overrides`: names of columns, and dtypes or what names them.

    Raises
    ------
    UsageError
        If it is no such mapping, or the dtype of a column is fixed.
    ColumnError
        If no runs frame can have such a column.
    """
    found: dict[str, pl.DataType] = {}
    if given is not None and not isinstance(given, Mapping):
        raise UsageError(
            "`schema_overrides` must map names to dtypes, as {'tokens': pl.Int64};"
            f" got {type(given).__name__}"
        )
    for name, dtype in (given or {}).items():
        if not isinstance(name, str):
            raise UsageError(f"`schema_overrides` must map names to dtypes; got the name {name!r}")
        fixed = name in RUN_COLUMNS if runs else name in {"run_id", STEP}
        if fixed:
            raise UsageError(
                f"`schema_overrides`: the dtype of {name!r} is fixed, so that frames can be joined"
            )
        if runs and not name.startswith(("config.", "summary.")):
            msg = (
                f"`schema_overrides`: no column {name!r} in a runs frame;"
                f" a key is 'config.{name}' or 'summary.{name}'"
            )
            raise ColumnError(msg)
        found[name] = dtype_named(dtype, column=name)
    return found


def _whole_number(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    """Check a count; those of numpy are whole numbers too, as the greatest step of a pandas frame is."""
    try:
        whole = None if isinstance(value, bool) else index(value)
    except TypeError:
        whole = None
    if whole is None or whole < least or (most is not None and whole > most):
        span = f"at least {least}" if most is None else f"from {least} to {most}"
        time = isinstance(value, date) and name.endswith("_step")
        hint = "; for a span of time read the key '_timestamp' and filter by it" if time else ""
        raise UsageError(f"`{name}` must be a whole number, {span}; got {value!r}{hint}")
    return whole


def call_with(
    function: Callable[..., _Result], arguments: Mapping[str, Any], /, **instead: Any
) -> _Result:
    """Call a function with those of a reader's arguments that it takes, by their names.

    Readers spell out what they take, since of packed parameters some editors show no defaults, and live sessions
    nothing; they hand it on as their ``locals()``.

    Parameters
    ----------
    function
        What to call: its parameters have the names of the reader's, and mean the same.
    arguments
        The arguments of the reader; what else there is by then is left alone.
    instead
        Arguments to put in their place, or beside them.
    """
    taken = inspect.signature(function).parameters
    return function(**{name: arguments[name] for name in taken if name in arguments} | instead)
