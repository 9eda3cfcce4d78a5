"""The text that the docstrings of the readers share, said once."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_Function = TypeVar("_Function", bound="Callable[..., Any]")

_RUNS_WHICH = """
path
    Which runs: ``"entity/project"``, ``"project"`` (default entity), ``"entity/project/sweeps/<id>"``,
    ``"entity/project/runs/<id>"`` or ``"entity/project/<id>"``, the ``https://`` address of any of these in
    the web app, or a list of any of these.
"""

_WHICH = """
filters
    Which of these runs: the server's Mongo-like dict (``{"state": "finished", "config.lr": {"$gt": 0.01}}``),
    or an expression (or a list, all of which must hold) over the columns of the runs frame. The server
    filters as far as it provably can; an expression is applied here again, so it is exact.
order
    A sign and a field: ``"+created_at"``, ``"-heartbeat_at"``, ``"-summary.loss"``, ``"+config.lr"``.
limit
    The most runs; exact, and counted after `filters`. None for all.
"""

_ON_ERROR = """
on_error
    What to do with runs that cannot be read, after all retries: ``"raise"``, or ``"skip"`` to leave them out,
    with a `LeftOutWarning` and a report that names each and says why: also runs, sweeps and projects of a list
    that are not there, as long as one project is. What it takes to know the columns is never left out.
"""

_HOW = """
schema_overrides
    Column to dtype, where the default does not suit: ``{"tokens": pl.Int64}`` keeps every digit,
    ``{"bins": pl.List(pl.Float64)}`` opens lists.
client
    The connection; default: one for the environment's server and key, found as the official SDK does it. Its
    `last_report` (`wbframe.last_report` of the default) says what the read did; of a scan, when it was collected.
progress
    True for a tqdm bar, or a function that gets a `Progress`.
"""

_COLUMNS = """
columns
    Names and globs, in the order wanted: ``["name", "config.lr", "summary.*"]``; None for all. The server
    is asked for these alone.
"""

_PER_PAGE = """
per_page
    Runs a request, 1 to 1000. Default: 200, or 499 where no more than ten config and summary keys are read.
"""

_ROWS = """
keys
    Logged keys (or globs), in the order wanted; None for all. For ``stream="system"`` any of the spellings
    ``"cpu"``, ``"system.cpu"``, ``"system/cpu"``.
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
on_incomplete
    With ``samples=None``, what to do when fewer rows of a run come than the server says it has:
    ``"raise"``, or ``"warn"``.
"""

_BUCKETS = """
keys
    Logged keys (or globs) that hold numbers, in the order wanted; None for all of these.
bins
    Buckets a run and key at the most.
x_axis
    The key along which they lie; None for `_step`, or `_timestamp` of machine metrics.
stream
    ``"default"`` for what was logged, ``"system"`` for machine metrics.
run_columns
    Columns of the runs frame to repeat beside each row.
"""

_CLIENT = """
client
    The connection; default: one for the environment's server and key, found as the official SDK does it. Its
    `last_report` (`wbframe.last_report` of the default) says what the read did; of a scan, when it was collected.
"""

PARAMETERS = {
    "runs": _RUNS_WHICH + _COLUMNS + _WHICH + _PER_PAGE + _ON_ERROR + _HOW,
    "histories": _RUNS_WHICH + _ROWS + _WHICH + _ON_ERROR + _HOW,
    "rows": _ROWS + _ON_ERROR + _HOW,
    "buckets": _RUNS_WHICH + _BUCKETS + _WHICH + _ON_ERROR + _CLIENT,
}

_RAISES = """
UsageError
    An argument is wrong; found before any request where it can be known.
CredentialsError, AccessError, NotFoundError
    No or a refused key; no permission; no such project, run or sweep.
IncompleteError
    The server counts more runs than it gives; `IncompleteHistoryError`, with ``samples=None``: rows of a run
    are missing.
RequestError, QueryError, AnswerError
    The server could not be reached, refused the query, or answered something else; after the retries. The
    error's `report` says what had been done until then.
"""


def documented(kind: str) -> Callable[[_Function], _Function]:
    """Fill ``{parameters}`` and ``{raises}`` in a docstring."""

    def fill(function: _Function) -> _Function:
        text = inspect.cleandoc(function.__doc__ or "")
        for mark, block in (("{parameters}", PARAMETERS[kind]), ("{raises}", _RAISES)):
            text = text.replace(mark, "\n".join(line for line in block.splitlines() if line))
        function.__doc__ = text
        return function

    return fill
