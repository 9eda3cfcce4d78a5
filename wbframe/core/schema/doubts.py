"""What may be wrong with the server's filters, in words for where it refuses one, or no run passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wbframe.core.filters import FIELDS, OPERATORS, PREFIXES, Field
from wbframe.core.schema.order import column_of
from wbframe.errors import did_you_mean

if TYPE_CHECKING:
    from wbframe.core.filters import Filter

__all__ = ["column_filtered", "doubt_of", "doubts", "fields_of", "odd_operators"]

# What is said of other fields once no run has passed.
_DOUBTS: Final = {
    "name": "to the server `name` is a run's id, and what the frame calls name is `displayName`",
    "id": "the server calls a run's id `name`",
    "sweepName": "the server calls it `sweep`",
    "project": "a query reads one project, which the path names",
}


def fields_of(filter: Filter) -> tuple[str, ...]:  # noqa: A002 - the word of the protocol
    """Name the fields that a filter looks at, each once.

    Examples
    --------
    >>> from wbframe.core.filters import parse
    >>> fields_of(parse({"$or": [{"state": "a"}, {"config.lr": 1, "state": "b"}]}))
    ('state', 'config.lr')
    """
    if isinstance(filter, Field):
        return () if filter.name.startswith("$") else (filter.name,)
    return tuple(dict.fromkeys(name for each in filter.operands for name in fields_of(each)))


def odd_operators(filter: Filter) -> tuple[str, ...]:  # noqa: A002 - the word of the protocol
    """Name the operators of a filter that W&B does not document, each once.

    Examples
    --------
    >>> from wbframe.core.filters import parse
    >>> odd_operators(parse({"tags": {"$all": ["a"]}, "$not": {"state": "failed"}}))
    ('$all', '$not')
    """
    if not isinstance(filter, Field):
        return tuple(
            dict.fromkeys(name for each in filter.operands for name in odd_operators(each))
        )
    names = (filter.name, *(each.operator for each in filter.tests))
    return tuple(name for name in names if name.startswith("$") and name not in OPERATORS)


def doubts(filter: Filter) -> list[str]:  # noqa: A002 - the word of the protocol
    """Say of operators that are not known here what is known of them, for where a server refuses them."""
    listed = " ".join(OPERATORS)
    found = []
    for name in odd_operators(filter):
        if name == "$all":
            # https://github.com/wandb/wandb/issues/5967
            said = "W&B has been seen to refuse `$all`: join tests of one value each by `$and`"
        else:
            said = f"W&B does not document `{name}`, but {listed}.{did_you_mean(name, OPERATORS)}"
        found.append(said)
    return found


def doubt_of(field: str) -> str:
    """Say what may be wrong with a field where no run has passed; empty where nothing is known."""
    if field in _DOUBTS:
        return _DOUBTS[field]
    column = column_filtered(field)
    if column is None and field in FIELDS:
        return ""
    if column is not None:
        head, _, key = column.partition(".")
        if "." not in key:
            return ""
        # https://github.com/wandb/wandb/issues/3087
        nested = f"config.{key.replace('.', '.value.', 1)}"
        if field == nested:
            return ""
        spelled = f", and spells a nested one `{nested}`" if head == "config" else ""
        return (
            f"`{field}`: the server does not find keys that contain dots{spelled};"
            f" pl.col({column!r}) as an expression finds both"
        )
    return f"W&B does not document `{field}` as a field to filter by.{did_you_mean(field, FIELDS)}"


def column_filtered(field: str) -> str | None:
    """Give the column of the runs frame that a field stands for; None for one that is no key.

    Examples
    --------
    >>> column_filtered("config.opt.value.lr"), column_filtered("summary_metrics.a.b"), column_filtered("state")
    ('config.opt.lr', 'summary.a.b', None)
    """
    return column_of(field, ()) if field.startswith(PREFIXES) else None
