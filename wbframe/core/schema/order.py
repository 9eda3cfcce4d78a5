"""What runs are ordered by: the caller's words, the server's, and the column of the frame that both mean."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from wbframe.core.model import DEFAULT_ORDER
from wbframe.errors import ColumnError, UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import polars as pl

    from wbframe.core.schema.types import Index

__all__ = [
    "Sort",
    "check_order",
    "column_of",
    "is_ordered",
    "needs_sort",
    "no_such_order",
    "sent_order",
    "sort_of",
]

# What the server orders by, and how columns of the runs frame are called there.
_ORDERS: Final = (
    "created_at", "createdAt", "heartbeat_at", "heartbeatAt", "updated_at", "updatedAt", "display_name",
    "displayName", "name", "state", "username", "group", "job_type", "jobType", "sweep", "duration",
)  # fmt: skip
_ORDER_OF_COLUMN: Final = {"name": "display_name", "run_id": "name", "user": "username"}
# Columns that it is not known to order by, so that it is done here.
_HERE: Final = ("notes", "commit", "history_line_count")
_KEYS: Final = ("config.", "summary_metrics.")
# Names of which there is no doubt how a server reads them in a path. Keys with dots it does not find, and nested
# ones look so: https://github.com/wandb/wandb/issues/3087
_PLAIN: Final = re.compile(r"[\w/ -]+")
_ONE_KIND: Final = ({"number"}, {"string"}, {"bool"})


@dataclass(frozen=True, slots=True)
class Sort:
    """An order by a column that runs hold.

    Attributes
    ----------
    column, descending
        The column of the runs frame.
    sent
        What the server is asked.
    trusted
        Whether the server's order is believed, as far as what comes agrees; else all runs are sorted here.
    """

    column: str
    descending: bool
    sent: str
    trusted: bool


def check_order(order: str) -> str:
    """Check an order, and spell it as the server does, with the sign without which servers disagree.

    Raises
    ------
    UsageError
        If it is no sign and field; `ColumnError` if runs have no such field.

    Examples
    --------
    >>> check_order("-summary.loss"), check_order("name"), check_order("+run_id")
    ('-summary_metrics.loss', '+display_name', '+name')
    """
    if not isinstance(order, str) or not order.strip("+-"):
        raise UsageError(
            f"`order` must be a sign and a field like '-created_at' or '+config.lr.value'; got {order!r}"
        )
    # W&B has documented both directions for a field without a sign: https://github.com/wandb/wandb/pull/8063
    if order[0] not in "+-":
        order = f"+{order}"
    sign, name = order[0], order[1:]
    if name.startswith("summary."):
        name = f"summary_metrics.{name.removeprefix('summary.')}"
    name = _ORDER_OF_COLUMN.get(name, name)
    # Of what it does not know a server makes some order, without a word:
    # https://github.com/wandb/wandb/issues/8924
    key = any(name.startswith(each) and name != each for each in _KEYS)
    if not key and name not in (*_ORDERS, *_HERE):
        hint = did_you_mean(name, (*_ORDERS, *_HERE))
        known = ", ".join((*_ORDERS, *_HERE))
        raise ColumnError(
            f"`order`: runs have no order by {name!r}.{hint} Known: {known}, config.<key>, summary.<key>"
        )
    return sign + name


def sent_order(order: str) -> str:
    """Give an order as it is, unless its name is one of the runs frame that no server knows.

    Raises
    ------
    ColumnError
        If runs have no such field; a `UsageError` if it is no order at all.

    Examples
    --------
    >>> sent_order("-summary.loss"), sent_order("name"), sent_order("run_id")
    ('-summary_metrics.loss', 'name', '+name')
    """
    checked, name = check_order(order), order.lstrip("+-")
    return order if name in _ORDERS or name.startswith(_KEYS) else checked


def is_ordered(values: Sequence[object], *, descending: bool) -> bool:
    """Tell whether values may be in order: numbers, which all servers compare alike, must be.

    Examples
    --------
    >>> is_ordered([1, 2.5], descending=False), is_ordered([1, 2], descending=True)
    (True, False)
    """
    # NaN and the infinities have a place of their own at each.
    numbers: list[Any] = [
        each for each in values if type(each) is int or (type(each) is float and isfinite(each))
    ]
    return len(numbers) < len(values) or numbers == sorted(numbers, reverse=descending)


def needs_sort(order: str) -> bool:
    """Tell whether a checked order is by what runs hold, rather than by a field that servers order by."""
    return order[1:] in _HERE or order[1:].startswith(_KEYS)


def sort_of(order: str, index: Index | None, overrides: Mapping[str, pl.DataType]) -> Sort | None:
    """Say how runs are brought into a checked order; None where that is a field that servers order by.

    Parameters
    ----------
    order
        As of `check_order`.
    index
        The config and summary columns that are known; None where nothing is.
    overrides
        The columns whose type is the caller's, by which the server does not compare them.

    Examples
    --------
    >>> sort_of("-config.opt.lr", {"config.opt.lr": frozenset({"number"})}, {}).sent
    '-config.opt.value.lr'
    """
    if not needs_sort(order):
        return None
    sign, name = order[0], order[1:]
    descending = sign == "-"
    if name in _HERE:
        return Sort(name, descending, DEFAULT_ORDER, trusted=False)
    column = column_of(name, {*(index or {}), *overrides})
    key = column.partition(".")[2]
    types = (index or {}).get(column, frozenset()) - {"nil"}
    plain = _PLAIN.fullmatch(key) is not None
    trusted = plain and column not in overrides and types in _ONE_KIND
    if not plain and name == column and "." in key:
        name = name.replace(".", ".value.", 2).replace(".value.", ".", 1)
    sent = sign + name if _PLAIN.fullmatch(key.replace(".", "")) else DEFAULT_ORDER
    return Sort(column, descending, sent, trusted)


def no_such_order(name: str, known: Iterable[str], where: str) -> ColumnError:
    """Make the error for an order by what no run has."""
    hint = did_you_mean(name, known)
    return ColumnError(f"`order`: no column {name!r} in the runs of {where}.{hint}")


def column_of(name: str, known: Collection[str]) -> str:
    """Give the column that a path of the server means; the name of a column means itself.

    Examples
    --------
    >>> column_of("config.opt.value.lr", ()), column_of("config.lr.value", {"config.lr.value"})
    ('config.opt.lr', 'config.lr.value')
    """
    if name.startswith("summary_metrics."):
        return f"summary.{name.removeprefix('summary_metrics.')}"
    top, dot, rest = name.removeprefix("config.").partition(".value")
    if name in known or not dot or (rest and not rest.startswith(".")):
        return name
    return f"config.{top}{rest}"
