"""What one request may ask for: how large its document is, and what its answer may cost."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import graphql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "MOST_CHARACTERS",
    "MOST_TOKENS",
    "Effort",
    "TooMuchError",
    "check_document",
    "check_text",
    "fields_below",
]

MOST_CHARACTERS = 512 << 10
"""Of a document."""
MOST_TOKENS = 20_000
"""Of a document: names, marks and literals."""

_DEEPEST = 40
_MOST_DEFINITIONS = 50
_MOST_FIELDS = 10_000
# Fields of one name in one place are compared with each other, each pair, before a document is good.
_MOST_PAIRS = 100_000
# What is looked at for the depth of a document: no brackets of texts and comments.
_BESIDE = re.compile(r'"""(?:\\"""|[^"]|"(?!""))*"""|"(?:\\.|[^"\\\n])*"|#[^\n\r]*|[^{}()\[\]"#]+')
_MOST_RESOLVED = 1_000_000
_MOST_ROWS = 50_000_000
_MOST_BYTES = 512 << 20
_SECONDS = 60.0


class TooMuchError(Exception):
    """A request asks for more than is answered; the message says what."""


def check_text(text: str) -> None:
    """Refuse a document that is too long, or nests too deep to be parsed.

    Raises
    ------
    TooMuchError
        It is.
    """
    if len(text) > MOST_CHARACTERS:
        raise TooMuchError(
            f"the query is too large: a document has at most {MOST_CHARACTERS:,} characters"
        )
    depth = 0
    for bracket in _BESIDE.sub("", text):
        depth += (bracket in "{([") - (bracket in "})]")
        if depth > _DEEPEST:
            raise TooMuchError(_too_deep())


def _too_deep() -> str:
    """Say that a document nests too deep."""
    return f"the query is too complex: a document nests at most {_DEEPEST} levels deep"


class _Places:
    """The fields of a document as they come out: with what fragments stand for, in place of them."""

    def __init__(self, fragments: Mapping[str, graphql.FragmentDefinitionNode]) -> None:
        self._fragments = fragments
        self._open: set[str] = set()
        self.fields = 0
        self.pairs = 0

    def walk(self, sets: Iterable[graphql.SelectionSetNode | None], depth: int = 0) -> None:
        """Count the fields of one place: selections that come out as one, and what is below them."""
        if depth > _DEEPEST:
            raise TooMuchError(_too_deep())
        named: dict[str, list[graphql.SelectionSetNode | None]] = {}
        for each in sets:
            if each is not None:
                self._gather(each, named, depth)
        for inner in named.values():
            self.pairs += len(inner) * (len(inner) - 1) // 2
            if self.pairs > _MOST_PAIRS:
                raise TooMuchError("the query is too complex: too many fields of one name")
            self.walk(inner, depth + 1)

    def _gather(
        self,
        selections: graphql.SelectionSetNode,
        named: dict[str, list[graphql.SelectionSetNode | None]],
        depth: int,
    ) -> None:
        """List the fields of a selection by the names that they come out with."""
        if depth > _DEEPEST:
            raise TooMuchError(_too_deep())
        for each in selections.selections:
            self.fields += 1
            if self.fields > _MOST_FIELDS:
                raise TooMuchError(
                    f"the query is too complex: it has more than {_MOST_FIELDS:,} fields"
                )
            if isinstance(each, graphql.FieldNode):
                name = (each.alias or each.name).value
                named.setdefault(name, []).append(each.selection_set)
            elif isinstance(each, graphql.InlineFragmentNode):
                self._gather(each.selection_set, named, depth + 1)
            elif isinstance(each, graphql.FragmentSpreadNode):
                meant = self._fragments.get(each.name.value)
                if meant is not None and each.name.value not in self._open:
                    self._open.add(each.name.value)
                    self._gather(meant.selection_set, named, depth + 1)
                    self._open.discard(each.name.value)


def check_document(document: graphql.DocumentNode) -> None:
    """Refuse a document that is small as text, and huge as what it stands for, before it is validated.

    Raises
    ------
    TooMuchError
        It has too many definitions, levels or fields, or too many fields of one name in one place.
    """
    definitions = document.definitions
    if len(definitions) > _MOST_DEFINITIONS:
        raise TooMuchError(
            f"the query is too complex: a document has at most {_MOST_DEFINITIONS} definitions"
        )
    fragments = {
        each.name.value: each
        for each in definitions
        if isinstance(each, graphql.FragmentDefinitionNode)
    }
    places = _Places(fragments)
    for each in definitions:
        if isinstance(each, (graphql.OperationDefinitionNode, graphql.FragmentDefinitionNode)):
            places.walk([each.selection_set])


def fields_below(info: Any) -> int:
    """Count the fields that are asked for of each item below a field, which `check_document` has bounded."""
    places = _Places(info.fragments)
    places.walk([each.selection_set for each in info.field_nodes])
    return max(places.fields, 1)


class Effort:
    """What the answer to one request may still cost.

    Parameters
    ----------
    clock
        Tells the seconds.
    """

    __slots__ = ("_bytes", "_clock", "_resolved", "_rows", "_until")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._resolved = _MOST_RESOLVED
        self._rows = _MOST_ROWS
        self._bytes = _MOST_BYTES
        self._clock = clock
        self._until = clock() + _SECONDS

    def resolve(self, fields: int) -> None:
        """Take in that so many fields are looked up.

        Raises
        ------
        TooMuchError
            Of `resolve`, `look_at` and `give`: that is more than one request may cost.
        """
        self._resolved -= fields
        self._check(self._resolved, f"{_MOST_RESOLVED:,} fields")

    def look_at(self, rows: int) -> None:
        """Take in that so many rows, or tests of runs, are looked at."""
        self._rows -= rows
        self._check(self._rows, f"{_MOST_ROWS:,} rows or tests of runs")

    def give(self, size: int) -> None:
        """Take in that so many bytes are answered."""
        self._bytes -= size
        self._check(self._bytes, f"{_MOST_BYTES:,} bytes")

    def _check(self, left: int, most: str) -> None:
        """Stop where nothing is left, be it of the time."""
        if left < 0:
            raise TooMuchError(f"the query is too complex: its answer costs more than {most}")
        if self._clock() > self._until:
            raise TooMuchError(
                f"the query is too complex: its answer took more than {_SECONDS:g} s"
            )
