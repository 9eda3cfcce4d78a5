"""The conditions of a predicate as a small tree of our own, apart from any version of polars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Final, TypeAlias

__all__ = [
    "And",
    "Cast",
    "Column",
    "Compare",
    "IsBetween",
    "IsIn",
    "IsNull",
    "ListContains",
    "Node",
    "Not",
    "Or",
    "TextMatch",
    "Unknown",
    "Value",
    "children",
    "compared",
    "comparisons",
    "count_values",
    "join",
    "negations_to_leaves",
    "render",
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the frame."""

    name: str


@dataclass(frozen=True, slots=True)
class Value:
    """A constant: None, bool, int, a finite float, str or datetime (naive, or in UTC)."""

    value: Any


@dataclass(frozen=True, slots=True)
class Cast:
    """A change of type; `dtype` is polars' name, such as ``Float64``, or empty if not simple."""

    operand: Node
    dtype: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A comparison; `operator` is one of ``== != < <= > >= eq_missing ne_missing``."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class IsIn:
    """Membership in constants; a float that is not finite, or an odd type, makes it Unknown."""

    operand: Node
    values: tuple[Any, ...]
    nulls_equal: bool


@dataclass(frozen=True, slots=True)
class IsBetween:
    """A range; `closed` is one of ``both left right none``."""

    operand: Node
    low: Node
    high: Node
    closed: str


@dataclass(frozen=True, slots=True)
class IsNull:
    """A null test."""

    operand: Node


@dataclass(frozen=True, slots=True)
class TextMatch:
    """A search in text; `how` is one of ``contains regex starts_with ends_with``."""

    operand: Node
    how: str
    pattern: str


@dataclass(frozen=True, slots=True)
class ListContains:
    """A list column has a constant among its elements."""

    operand: Node
    value: Any


@dataclass(frozen=True, slots=True)
class And:
    """Every operand holds."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one operand holds."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The operand does not hold."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Unknown:
    """What this reader does not know; `text` names it.

    `operands` are what a function of one row at a time is made from; None where it may look at other rows.
    """

    text: str
    operands: tuple[Node, ...] | None = None


Node: TypeAlias = (
    "Column | Value | Cast | Compare | IsIn | IsBetween | IsNull | TextMatch | ListContains"
    " | And | Or | Not | Unknown"
)

# True of NaN too, which to polars is the greatest number, unlike IEEE 754:
# https://docs.pola.rs/user-guide/concepts/data-types-and-structures/#floating-point-numbers
_NEGATED: Final = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "eq_missing": "ne_missing",
    "ne_missing": "eq_missing",
}
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_SHOWN: Final = 6  # constants of a list
_LONGEST: Final = 200  # characters of a constant


def children(node: Node) -> tuple[Node, ...] | None:
    """Give what a node is made from; None if it may look at more than one row.

    Examples
    --------
    >>> children(Compare("<", Column("a"), Value(1)))
    (Column(name='a'), Value(value=1))
    """
    if isinstance(node, (And, Or, Unknown)):
        return node.operands
    if isinstance(node, Compare):
        return node.left, node.right
    if isinstance(node, IsBetween):
        return node.operand, node.low, node.high
    return () if isinstance(node, (Column, Value)) else (node.operand,)


def join(kind: type[And | Or], operands: list[Node]) -> Node:
    """Join operands by And or Or; an operand of the same kind is unfolded."""
    flat: list[Node] = []
    # polars builds a chain of `&` as nested pairs, of which each part is pushed or kept by itself.
    for each in operands:
        flat.extend(each.operands if isinstance(each, kind) else (each,))
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def negations_to_leaves(node: Node, *, negated: bool = False) -> Node:
    """Move every `Not` inwards until it stands before a leaf or vanishes.

    Polars' order is total (NaN equals itself and is the greatest), so ``not (a < b)`` keeps
    the same rows as ``a >= b``; null stays null under both.

    Parameters
    ----------
    node
        Any tree.
    negated
        Give the tree of the negation.

    Examples
    --------
    >>> less = Compare("<", Column("a"), Value(1))
    >>> render(negations_to_leaves(Not(And((less, IsNull(Column("b")))))))
    '(a >= 1) or (b is not null)'
    """
    if isinstance(node, Not):
        return negations_to_leaves(node.operand, negated=not negated)
    if isinstance(node, (And, Or)):
        kind: type[And | Or] = And if isinstance(node, And) is not negated else Or
        return join(kind, [negations_to_leaves(each, negated=negated) for each in node.operands])
    if not negated:
        return node
    if isinstance(node, Compare):
        return Compare(_NEGATED[node.operator], node.left, node.right)
    if isinstance(node, IsBetween):
        inside = And(comparisons(node))
        return negations_to_leaves(inside, negated=True)
    return Not(node)


def compared(node: Compare) -> tuple[Node, str, Any] | None:
    """Give a comparison with a constant as (what is compared, operator, constant).

    Examples
    --------
    >>> compared(Compare("<", Value(1), Column("a")))
    (Column(name='a'), '>', 1)
    """
    if isinstance(node.right, Value):
        return node.left, node.operator, node.right.value
    if isinstance(node.left, Value):
        return node.right, _FLIPPED.get(node.operator, node.operator), node.left.value
    return None


def comparisons(node: IsBetween) -> tuple[Compare, Compare]:
    """Give the two comparisons that a range stands for."""
    above = ">=" if node.closed in ("both", "left") else ">"
    below = "<=" if node.closed in ("both", "right") else "<"
    return Compare(above, node.operand, node.low), Compare(below, node.operand, node.high)


def count_values(node: Node) -> int:
    """Count the constants of a tree."""
    if isinstance(node, IsIn):
        return len(node.values)
    if isinstance(node, (And, Or)):
        return sum(map(count_values, node.operands))
    if isinstance(node, Not):
        return count_values(node.operand)
    return 2 if isinstance(node, IsBetween) else 1


def render(node: Node) -> str:
    """Spell a tree for people.

    Examples
    --------
    >>> render(IsIn(Column("state"), ("finished", "crashed"), nulls_equal=False))
    "state in ['finished', 'crashed']"
    """
    if isinstance(node, (And, Or)):
        word = " and " if isinstance(node, And) else " or "
        return word.join(f"({render(each)})" for each in node.operands)
    if isinstance(node, Not):
        if isinstance(node.operand, IsNull):
            return f"{render(node.operand.operand)} is not null"
        return f"not ({render(node.operand)})"
    if isinstance(node, Compare):
        return f"{render(node.left)} {node.operator} {render(node.right)}"
    if isinstance(node, IsBetween):
        low, high, closed = render(node.low), render(node.high), node.closed
        start = "[" if closed in ("both", "left") else "("
        end = "]" if closed in ("both", "right") else ")"
        return f"{render(node.operand)} in {start}{low}, {high}{end}"
    if isinstance(node, IsIn):
        shown = [_spell(each) for each in node.values[:_SHOWN]]
        if len(node.values) > _SHOWN:
            shown.append(f"... {len(node.values):,} values")
        return f"{render(node.operand)} in [{', '.join(shown)}]"
    if isinstance(node, IsNull):
        return f"{render(node.operand)} is null"
    if isinstance(node, TextMatch):
        return f"{render(node.operand)} {node.how} {_spell(node.pattern)}"
    if isinstance(node, ListContains):
        return f"{render(node.operand)} has {_spell(node.value)}"
    if isinstance(node, Cast):
        return f"{render(node.operand)} as {node.dtype or 'another type'}"
    if isinstance(node, Column):
        return node.name
    return _spell(node.value) if isinstance(node, Value) else node.text


def _spell(value: Any) -> str:
    """Spell a constant for people."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, date):
        return value.isoformat().replace("+00:00", "Z")
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
