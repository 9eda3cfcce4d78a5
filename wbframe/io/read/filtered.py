"""What is said of the server's filters: where no run has passed them, and where the server refuses them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wbframe.core.filters import EMPTY
from wbframe.core.model import DEFAULT_ORDER, RunsScan
from wbframe.core.paths import describe
from wbframe.core.protocol.runs import NodeFields
from wbframe.core.schema.doubts import column_filtered, doubt_of, fields_of
from wbframe.errors import ColumnError, FilterWarning
from wbframe.io.read.outcome import Read
from wbframe.io.read.paging import list_runs
from wbframe.warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from wbframe.core.model import Selection
    from wbframe.io.client.client import Client

    Plan = Callable[[Client, RunsScan], object]

__all__ = ["missing_column", "tell_of_filters"]


def tell_of_filters(read: Read, selection: Selection, plan: Plan) -> None:
    """Warn of what is odd about filters that no run has passed: names that no run has, or that mean others.

    Costs what it costs `plan` to know a column: a request for the index, and where that lacks it, looks at
    runs; and one for a run, where expressions may have left out those that passed.
    """
    if selection.limit == 0 or read.looks:
        return
    told = []
    for field in fields_of(selection.filters):
        column, said = column_filtered(field), ""
        if column is not None:
            said = missing_column(read.client, selection, column, plan)
        told.append(said or doubt_of(field))
    if any(told) and not _passes_any(read.client, selection):
        for said in filter(None, told):
            msg = f"no run of {describe(selection.paths)} passes `filters`: {said}"
            warn(msg, FilterWarning)


def _passes_any(client: Client, selection: Selection) -> bool:
    """Tell whether runs pass the filters, and only expressions leave them out."""
    if selection.predicate is None and selection.pushed == EMPTY:
        return False
    plain = replace(selection, predicate=None, pushed=EMPTY, claim=None, limit=1)
    return any(True for _ in list_runs(Read(client, looks=True), plain, NodeFields()))


def missing_column(client: Client, selection: Selection, column: str, plan: Plan) -> str:
    """Say that no run of some projects has a column, decided as for one that is asked for; empty if one may."""
    paths = tuple(dict.fromkeys(replace(path, run=None, sweep=None) for path in selection.paths))
    few = replace(
        selection,
        paths=paths,
        filters=EMPTY,
        pushed=EMPTY,
        predicate=None,
        claim=None,
        limit=1,
        order=DEFAULT_ORDER,
    )
    try:
        plan(client, RunsScan(selection=few, columns=(column,)))
    except ColumnError as error:
        return str(error)
    return ""
