"""Whether an expression says the same of a row whatever other rows there are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from wbframe.core.expression import serialized

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["is_row_separable"]

_FAMILIES: Final = frozenset({"StringExpr", "TemporalExpr", "ListExpr"})
_TESTS: Final = frozenset(
    {"IsNull", "IsNotNull", "IsFinite", "IsInfinite", "IsNan", "IsNotNan", "IsBetween", "IsIn"}
    | {"IsClose", "AllHorizontal", "AnyHorizontal", "Not"}
)
_FUNCTIONS: Final = frozenset(
    {"Abs", "Negate", "FillNull", "Coalesce", "Round", "Floor", "Ceil", "Clip"}
)
_DEEPEST: Final = 100


def is_row_separable(expr: pl.Expr) -> bool:
    """Tell whether pages of rows may be filtered one by one instead of all rows at once.

    Parameters
    ----------
    expr
        A predicate.

    Returns
    -------
    bool
        False also where that is not known: of Python functions, and of whatever polars may yet invent.

    Examples
    --------
    >>> is_row_separable(pl.col("config.lr") > 0.1)
    True
    >>> is_row_separable(pl.col("created_at") == pl.col("created_at").max())
    False
    """
    try:
        return _is_separable(json.loads(serialized(expr)), 0)
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 -- a Python function, or an unknown form
        return False


def _is_separable(tree: Any, depth: int) -> bool:
    """Tell it of one node and all below it."""
    if depth > _DEEPEST or not isinstance(tree, dict):
        return False
    ((kind, body),) = tree.items()
    if kind in {"Column", "Selector"}:
        return True
    if kind == "Literal":
        return "Scalar" in body or "Dyn" in body
    inner: Iterable[Any]
    if kind == "Alias":
        inner = [body[0]]
    elif kind == "BinaryExpr":
        inner = [body["left"], body["right"]]
    elif kind == "Ternary":
        inner = [body["predicate"], body["truthy"], body["falsy"]]
    elif kind == "Cast":
        inner = [body["expr"]]
    elif kind == "Function" and _is_by_row(body["function"]):
        first, *others = body["input"]
        # What a value is searched in is a list of constants, which one literal may hold.
        several = _name(_name_and_body(body["function"])[1]) == "IsIn"
        inner = [first, *(each for each in others if not (several and "Literal" in each))]
    else:
        return False
    return all(_is_separable(each, depth + 1) for each in inner)


def _is_by_row(function: Any) -> bool:
    """Tell whether a function looks at one row at a time."""
    name, body = _name_and_body(function)
    if name == "Boolean":
        return _name(body) in _TESTS
    if name in _FAMILIES:
        return _name(body) != "ConcatVertical"
    return name in _FUNCTIONS


def _name_and_body(function: Any) -> tuple[str, Any]:
    """Take apart ``"Abs"``, ``{"Boolean": "IsNull"}`` or ``{"Clip": {...}}``."""
    if isinstance(function, str):
        return function, None
    ((name, body),) = function.items()
    return name, body


def _name(function: Any) -> str:
    """Give the name of a function with or without options."""
    return "" if function is None else _name_and_body(function)[0]
