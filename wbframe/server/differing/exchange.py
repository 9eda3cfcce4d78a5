"""A request as differences see it before it is answered, and what goes back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import graphql
import msgspec

from wbframe.server.replies import Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["JSON", "Asking", "Selected", "errors"]

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Selected:
    """One field of a document: where it stands, and what it is given.

    Attributes
    ----------
    path
        The names of the fields around it and its own, with dots between: ``project.runs.edges``.
    arguments
        Their values, variables filled in.
    """

    path: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Asking:
    """A whole request.

    Attributes
    ----------
    document
        As parsed; None where it cannot be.
    body
        As it came.
    headers
        Of the request, names in lower case.
    serial
        How many requests came before it.
    chosen
        Every difference of the server with its value.
    """

    document: graphql.DocumentNode | None
    body: bytes
    headers: Mapping[str, str]
    serial: int
    chosen: Mapping[str, Any]

    @cached_property
    def request(self) -> Mapping[str, Any]:
        """The body as JSON, empty where it is none."""
        try:
            read = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return read if isinstance(read, dict) else {}

    @property
    def variables(self) -> Mapping[str, Any]:
        """The variables of the request."""
        return self.request.get("variables") or {}

    @cached_property
    def selected(self) -> list[Selected]:
        """Every field that is asked for."""
        if self.document is None:
            return []
        fragments = {
            each.name.value: each
            for each in self.document.definitions
            if isinstance(each, graphql.FragmentDefinitionNode)
        }
        return [
            found
            for each in self.document.definitions
            if isinstance(each, graphql.OperationDefinitionNode)
            for found in self._walk(each, "", fragments)
        ]

    def _walk(self, node: Any, path: str, fragments: Mapping[str, Any]) -> Iterator[Selected]:
        """List the fields below a node."""
        for each in node.selection_set.selections if node.selection_set else ():
            if isinstance(each, graphql.FragmentSpreadNode):
                if each.name.value in fragments:
                    yield from self._walk(fragments[each.name.value], path, fragments)
            elif isinstance(each, graphql.InlineFragmentNode):
                yield from self._walk(each, path, fragments)
            else:
                own = f"{path}.{each.name.value}" if path else each.name.value
                values = {arg.name.value: self._value(arg.value) for arg in each.arguments or ()}
                yield Selected(own, values)
                yield from self._walk(each, own, fragments)

    def _value(self, node: Any) -> Any:
        """Give the value of an argument."""
        return graphql.value_from_ast_untyped(node, dict(self.variables))

    def asked(self, *ends: str) -> list[Selected]:
        """Give the fields whose path ends so."""
        return [each for each in self.selected if f".{each.path}".endswith(tuple(ends))]

    @property
    def aliases(self) -> int:
        """How many times the field is asked for that is asked for most often on one level."""
        counts: dict[str, int] = {}
        for each in self.selected:
            if each.path.count(".") == 1:
                counts[each.path] = counts.get(each.path, 0) + 1
        return max(counts.values(), default=0)

    @property
    def specs(self) -> int:
        """How many specs are in the field that has the most of them."""
        return max((len(each.arguments.get("specs") or ()) for each in self.selected), default=0)

    @property
    def cost(self) -> int:
        """Rows that are asked for at the most, of all runs and specs."""
        total = 0
        for each in self.asked(".sampledHistory", ".bucketedHistory"):
            for spec in each.arguments.get("specs") or ():
                total += int(msgspec.json.decode(spec).get("samples") or 500)
        for each in self.asked(".history", ".events"):
            total += int(each.arguments.get("samples") or 500)
        return total


def errors(status: int, message: str, *, delay: float = 0.0, **more: Any) -> Reply:
    """Answer with one GraphQL error."""
    body = msgspec.json.encode({"errors": [{"message": message, **more}], "data": None})
    return Reply(status, body, JSON, delay)
