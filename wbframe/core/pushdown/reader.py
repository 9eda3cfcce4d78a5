"""The one reader of polars expressions: `pl.Expr` -> the tree of `tree`.

Polars has no public way to walk an expression, so this module reads the JSON form of
``Expr.meta.serialize``, which polars 1.39 and 2.1 spell alike for every node below. What it
does not know becomes `Unknown`, never an exception: an unknown part is just not pushed down.
"""

from __future__ import annotations

import io
import json
import operator
import warnings
from datetime import datetime, timedelta, timezone
from functools import reduce
from typing import Any, Final

import polars as pl

from wbframe.core.pushdown.tree import (
    And,
    Cast,
    Column,
    Compare,
    IsBetween,
    IsIn,
    IsNull,
    ListContains,
    Node,
    Not,
    Or,
    TextMatch,
    Unknown,
    Value,
    children,
    join,
    render,
)

__all__ = ["is_row_separable", "read", "without_dynamic"]

_DEEPEST: Final = 90
_ODD: Final = (
    AttributeError,
    IndexError,
    KeyError,
    OSError,  # bytes that are no Arrow stream
    TypeError,
    ValueError,
    pl.exceptions.PolarsError,
)
_DYNAMIC: Final = "dynamic_pred"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_COMPARISONS: Final = {
    "Eq": "==",
    "NotEq": "!=",
    "Lt": "<",
    "LtEq": "<=",
    "Gt": ">",
    "GtEq": ">=",
    "EqValidity": "eq_missing",
    "NotEqValidity": "ne_missing",
}
_JOINS: Final[dict[str, type[And | Or]]] = {
    "And": And,
    "LogicalAnd": And,
    "Or": Or,
    "LogicalOr": Or,
    "AllHorizontal": And,
    "AnyHorizontal": Or,
}
_TEXT: Final = {"StartsWith": "starts_with", "EndsWith": "ends_with"}
_FAMILIES: Final = frozenset({"Boolean", "StringExpr", "ListExpr", "TemporalExpr"})
_TESTS: Final = frozenset(
    {"IsNull", "IsNotNull", "IsFinite", "IsInfinite", "IsNan", "IsNotNan", "IsBetween", "IsIn"}
    | {"IsClose", "Not"}
)
_FUNCTIONS: Final = frozenset(
    {"Abs", "Negate", "FillNull", "Coalesce", "Round", "Floor", "Ceil", "Clip"}
)
_CONSTANT: Final = Unknown("a constant", ())
_ARITHMETIC: Final = frozenset({"Plus", "Minus", "Multiply", "Divide", "TrueDivide", "FloorDivide"})


def read(expr: pl.Expr) -> Node:
    """Read an expression.

    Parameters
    ----------
    expr
        Any expression, as a user writes it or as the optimizer of polars hands it to a source.

    Returns
    -------
    Node
        The tree; parts that cannot be read are `Unknown`.

    Examples
    --------
    >>> read(pl.col("state") == "finished")
    Compare(operator='==', left=Column(name='state'), right=Value(value='finished'))
    """
    try:
        return _read(json.loads(serialized(expr)), 0)
    except RecursionError:
        return Unknown(f"an expression nested more than {_DEEPEST} levels deep")
    # A panic of polars' Rust is no `Exception`, but a BaseException.
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - a Python function
        return Unknown(f"an expression that polars cannot spell ({type(error).__name__})")


def without_dynamic(expr: pl.Expr) -> pl.Expr | None:
    """Drop what only the engine of polars can evaluate from a predicate handed to a source.

    Polars 1.39 to 1.43 add such a condition for a top-k, and panic when a source applies it. It
    says nothing that polars does not check itself.

    Parameters
    ----------
    expr
        The predicate as handed to a source.

    Returns
    -------
    polars.Expr or None
        The predicate to apply; None when nothing is left.

    Examples
    --------
    >>> print(without_dynamic(pl.col("a") > 1))
    [(col("a")) > (dyn int: 1)]
    """
    try:
        text = serialized(expr)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):  # a Python function
        text = str(expr)
    # A pruning hint that a top-k adds; evaluating it panics up to the release that strips it:
    # https://github.com/pola-rs/polars/issues/28629, https://github.com/pola-rs/polars/pull/28643
    if _DYNAMIC not in text:
        return expr
    ((kind, body),) = json.loads(text).items()
    if kind == "Display":
        return None
    # Below a NOT or an OR dropping the hint could narrow, so that the predicate stays as it is.
    if kind != "BinaryExpr" or _JOINS.get(body["op"]) is not And:
        return expr
    parts = [each for each in map(without_dynamic, expr.meta.pop()) if each is not None]
    return reduce(operator.and_, parts) if parts else None


def serialized(expr: pl.Expr) -> str:
    """Give the JSON form of an expression."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the JSON form is marked as unstable
        return expr.meta.serialize(format="json")


def _read(tree: Any, depth: int) -> Node:
    """Read one node; what has another shape than expected is Unknown."""
    if depth > _DEEPEST:
        raise RecursionError
    try:
        return _read_known(tree, depth) or Unknown(_describe(tree))
    except _ODD:
        return Unknown("an expression of an unknown form")


def _read_known(tree: Any, depth: int) -> Node | None:
    """Read one node of a known kind."""
    ((kind, body),) = tree.items()
    if kind == "Column":
        return Column(body) if isinstance(body, str) else None
    if kind == "Alias":
        return _read(body[0], depth + 1)
    if kind == "BinaryExpr":
        return _read_binary(tree, body, depth)
    if kind == "Function":
        return _read_function(tree, body, depth)
    if kind == "Cast":
        constant = _fold(tree)
        if constant is not None:
            return _value_of(constant)
        dtype = body["dtype"].get("Literal")
        if dtype == {"Unknown": "Float"}:  # how polars 1.39 spells a supertype
            dtype = "Float64"
        return Cast(_read(body["expr"], depth + 1), dtype if isinstance(dtype, str) else "")
    if kind == "Display" and _DYNAMIC in body["fmt_str"]:
        return Value(value=True)  # polars checks it itself
    if kind == "Ternary":
        return _by_row(tree, [body["predicate"], body["truthy"], body["falsy"]], depth)
    if kind == "Selector":
        return Unknown(_describe(tree), ())
    return _read_literal(tree) if kind == "Literal" else None


def _by_row(tree: Any, inputs: list[Any], depth: int) -> Unknown:
    """Read what looks at one row at a time, of which no more is known."""
    try:
        operands = tuple(_read(each, depth + 1) for each in inputs)
    except RecursionError:  # what lies beside it may still be read
        return Unknown(_describe(tree))
    return Unknown(_describe(tree), operands)


def _read_binary(tree: Any, body: Any, depth: int) -> Node | None:
    """Read a comparison or a chain of one logical operator."""
    symbol = body["op"]
    if symbol in _JOINS:
        kind = _JOINS[symbol]
        operands: list[Node] = []
        pending = [tree]
        while pending:  # a long chain leans to one side: walk it without recursion
            each = pending.pop()
            inner = each.get("BinaryExpr") if isinstance(each, dict) else None
            if inner and _JOINS.get(inner["op"]) is kind:
                pending += [inner["right"], inner["left"]]
            else:
                operands.append(_read(each, depth + 1))
        return join(kind, operands)
    if symbol in _COMPARISONS:
        left, right = _read(body["left"], depth + 1), _read(body["right"], depth + 1)
        return Compare(_COMPARISONS[symbol], left, right)
    constant = _fold(tree)
    if constant is not None:
        return _value_of(constant)
    return _by_row(tree, [body["left"], body["right"]], depth)


def _read_function(tree: Any, body: Any, depth: int) -> Node | None:
    """Read a function call."""
    first, *others = body["input"]
    family, name, options = _parts(body["function"])
    if family == "TemporalExpr" or name == "Strptime":
        constant = _fold(tree)
        if constant is not None:
            return _value_of(constant)
    if family == "Boolean" and name in _JOINS:
        return join(_JOINS[name], [_read(each, depth + 1) for each in (first, *others)])
    if not _is_by_row(family, name):
        return None
    values = None
    if name == "IsIn":  # in constants, which may be many, or in what each row has
        values = _values(others[0])
        others = [each for each in others if "Literal" not in each]
    found = _by_row(tree, [first, *others], depth)
    if found.operands is None:
        return found
    operand, *arguments = found.operands
    if values is not None:
        return IsIn(operand, values, bool(options["nulls_equal"]))
    if family == "Boolean":
        return _read_test(operand, name, options, arguments) or found
    return _read_search(operand, (family, name), options, arguments) or found


def _parts(function: Any) -> tuple[str, str, Any]:
    """Take apart ``"Abs"``, ``{"Boolean": "IsNull"}``, ``{"Boolean": {"IsIn": ...}}`` or ``{"Clip": ...}``."""
    if isinstance(function, str):
        return function, "", {}
    ((family, name),) = function.items()
    if isinstance(name, dict) and len(name) == 1:
        ((name, options),) = name.items()
        return family, name, options
    return family, name if isinstance(name, str) else "", {}


def _is_by_row(family: str, name: str) -> bool:
    """Tell whether a function looks at one row at a time."""
    if family == "Boolean":
        return name in _TESTS
    return name != "ConcatVertical" if family in _FAMILIES else family in _FUNCTIONS


def _read_test(operand: Node, name: str, options: Any, arguments: list[Node]) -> Node | None:
    """Read a function of polars' Boolean family."""
    if name == "Not":
        return Not(operand)
    if name == "IsNull":
        return IsNull(operand)
    if name == "IsNotNull":
        return Not(IsNull(operand))
    if name == "IsBetween":
        low, high = arguments
        return IsBetween(operand, low, high, options["closed"].lower())
    return None


def _read_search(
    operand: Node, function: tuple[str, str], options: Any, arguments: list[Node]
) -> Node | None:
    """Read a search for a constant in text or in lists."""
    if len(arguments) != 1 or not isinstance(arguments[0], Value):
        return None
    wanted = arguments[0].value
    if function == ("ListExpr", "Contains"):
        return ListContains(operand, wanted)
    if function[0] != "StringExpr" or not isinstance(wanted, str):
        return None
    if function[1] == "Contains":
        return TextMatch(operand, "contains" if options["literal"] else "regex", wanted)
    how = _TEXT.get(function[1])
    return None if how is None else TextMatch(operand, how, wanted)


def _read_literal(tree: Any) -> Node | None:
    """Read a constant; the common kinds from the JSON itself, the rest by asking polars."""
    ((family, body),) = tree["Literal"].items()
    if family in ("Scalar", "Dyn") and isinstance(body, dict):
        ((kind, value),) = body.items()
        if kind == "Null":
            return Value(None)
        plain = kind in ("Boolean", "String", "Str", "Float64", "Float") or kind.startswith("Int")
        if plain and isinstance(value, (bool, int, float, str)):
            return Value(value)
        if plain or value is None:  # NaN and both infinities look alike in JSON
            return _CONSTANT
    constant = _fold(tree)
    known = None if constant is None else _value_of(constant)
    return known or (_CONSTANT if family in ("Scalar", "Dyn") else None)


def _values(tree: Any) -> tuple[Any, ...] | None:
    """Read the constants of an `is_in`."""
    while isinstance(tree, dict) and "Alias" in tree:
        tree = tree["Alias"][0]
    literal = tree.get("Literal", {})
    # Constants of a list stand in the JSON as the bytes of an Arrow stream.
    stored = literal.get("Series") or literal.get("Scalar", {}).get("List")
    series = _fold(tree) if stored is None else _stream(stored)
    if series is None:
        return None
    if isinstance(series.dtype, pl.List) and len(series) == 1:
        series = series[0]
    return _plain(series)


def _stream(stored: list[int]) -> pl.Series:
    """Read the bytes of an Arrow stream of one column."""
    return pl.read_ipc_stream(io.BytesIO(bytes(stored))).to_series()


def _value_of(series: pl.Series) -> Value | None:
    """Read one constant out of a series of one."""
    plain = _plain(series)
    return Value(plain[0]) if plain is not None and len(plain) == 1 else None


def _plain(series: pl.Series) -> tuple[Any, ...] | None:
    """Give the values of a series as Python values, or None if they are of no plain kind."""
    dtype = series.dtype
    if isinstance(dtype, (pl.Date, pl.Datetime)):
        aware = isinstance(dtype, pl.Date) or dtype.time_zone is not None
        counts = series.cast(pl.Datetime("us")).cast(pl.Int64)
        if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
            return None  # may hold more digits than a Python time
        zone = timezone.utc if aware else None
        return tuple(
            None if each is None else (_EPOCH + timedelta(microseconds=each)).replace(tzinfo=zone)
            for each in counts.to_list()
        )
    if isinstance(dtype, (pl.Categorical, pl.Enum)):
        series = series.cast(pl.String)
    elif dtype.is_float():
        if not series.drop_nulls().is_finite().all():
            return None
    elif not (dtype.is_integer() or isinstance(dtype, (pl.String, pl.Boolean, pl.Null))):
        return None
    return tuple(series.to_list())


def _is_constant(tree: Any, depth: int = 0) -> bool:
    """Say whether a tree is made of literals, casts, arithmetic and times alone."""
    if depth > _DEEPEST or not isinstance(tree, dict) or len(tree) != 1:
        return False
    ((kind, body),) = tree.items()
    if kind == "Literal":
        return True
    if kind == "Alias":
        return _is_constant(body[0], depth + 1)
    if kind == "Cast":
        return _is_constant(body["expr"], depth + 1)
    if kind == "BinaryExpr":
        parts = (body["left"], body["right"])
        return body["op"] in _ARITHMETIC and all(_is_constant(each, depth + 1) for each in parts)
    if kind == "Function" and isinstance(body["function"], dict):
        ((family, name),) = body["function"].items()
        known = family == "TemporalExpr" or (isinstance(name, dict) and "Strptime" in name)
        return known and all(_is_constant(each, depth + 1) for each in body["input"])
    return False


def _fold(tree: Any) -> pl.Series | None:
    """Evaluate a constant tree by polars itself; None if it is not constant or fails."""
    if not _is_constant(tree):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the JSON form is marked as unstable
            expr = pl.Expr.deserialize(io.StringIO(json.dumps(tree)), format="json")
            return pl.select(expr).to_series()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError):
        return None


def _describe(tree: Any, depth: int = 0) -> str:
    """Spell a node that the reader does not know, in short."""
    if depth > 4:  # noqa: PLR2004 - enough to recognise it
        return "..."
    if not isinstance(tree, dict) or len(tree) != 1:
        return str(tree)[:40]
    ((kind, body),) = tree.items()
    if kind == "Column":
        return str(body)
    if kind == "Literal":
        known = _read_literal(tree)
        return "a constant" if known is None else render(known)
    if kind == "BinaryExpr" and isinstance(body, dict):
        left, right = (_describe(body.get(each), depth + 1) for each in ("left", "right"))
        symbol = str(body.get("op"))
        return f"({left} {_COMPARISONS.get(symbol, symbol)} {right})"
    if kind == "Function" and isinstance(body, dict):
        name: Any = body.get("function")
        for _ in range(2):  # the family, then the function, then its options
            if isinstance(name, dict) and len(name) == 1:
                ((family, inner),) = name.items()
                name = inner if family in _FAMILIES else family
        inputs = ", ".join(_describe(each, depth + 1) for each in body.get("input", ()))
        return f"{str(name).lower()}({inputs})"
    return str(kind).lower()


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
    >>> import polars as pl
    >>> is_row_separable(pl.col("config.lr") > 0.1)
    True
    >>> is_row_separable(pl.col("created_at") == pl.col("created_at").max())
    False
    """
    pending = [read(expr)]
    while pending:
        inner = children(pending.pop())
        if inner is None:
            return False
        pending += inner
    return True
