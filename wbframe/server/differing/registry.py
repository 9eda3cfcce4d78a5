"""What a difference is, and the list of all of them.

Each module beside this one adds its differences when it is imported.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from wbframe.errors import UsageError, one_of
from wbframe.server.projects.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wbframe.server.differing.exchange import Asking
    from wbframe.server.replies import Reply

__all__ = ["DIFFERENCES", "Asked", "Difference", "add", "add_plain", "plain", "raw", "wraps"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One field that is asked for: of what, with which arguments, and who would answer it.

    Attributes
    ----------
    name
        ``Type.field``.
    source, info
        As resolvers get them.
    arguments
        Those that the document gives.
    resolver
        Answers the field, with the differences before this one.
    """

    name: str
    source: Any
    info: Any
    arguments: Mapping[str, Any]
    resolver: Callable[..., Any]

    def answer(self, **instead: Any) -> Any:
        """Answer as without the difference, with some arguments in place of those given."""
        return self.resolver(self.source, self.info, **{**self.arguments, **instead})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One plausible way in which another server differs.

    Attributes
    ----------
    name
        For ``serve(differing={name: value})``.
    says
        What the server does then, in one line.
    kind
        The type of the value: bool, int or str.
    choices
        The values that it may have; empty for any of the type.
    fields
        Which ``Type.field`` are answered otherwise, by what: it gets the value and what is asked.
    before
        Answers a request in place of the server, or gives None.
    after
        Changes an answer before it is sent.
    """

    name: str
    says: str
    kind: type[bool | int | str] = bool
    choices: tuple[str | int, ...] = ()
    fields: Mapping[str, Callable[[Any, Asked], Any]] = field(default_factory=dict)
    before: Callable[[Any, Asking], Reply | None] | None = None
    after: Callable[[Any, Asking, Reply], Reply] | None = None

    def checked(self, value: object) -> bool | int | str:
        """Give the value if the difference may have it.

        Raises
        ------
        UsageError
            It may not.
        """
        if self.kind is str and self.choices:
            if value not in self.choices:
                raise one_of(self.name, value, [str(each) for each in self.choices])
            return str(value)
        if type(value) is not self.kind:
            raise UsageError(f"`{self.name}` takes {self.values}; got {value!r}")
        if self.choices and value not in self.choices:
            raise UsageError(f"`{self.name}` takes {self.values}; got {value!r}")
        if isinstance(value, int) and not self.choices and value < 0:
            raise UsageError(f"`{self.name}` takes a number from 0; got {value!r}")
        return value

    @property
    def values(self) -> str:
        """The values that it may have, in words."""
        if self.choices:
            return ", ".join(map(repr, self.choices))
        return {bool: "True or False", int: "a whole number", str: "a name"}[self.kind]

    @property
    def samples(self) -> tuple[bool | int | str, ...]:
        """Values to try it with: every choice, or one for a switch; empty for a free value."""
        return self.choices or ((True,) if self.kind is bool else ())


DIFFERENCES: dict[str, Difference] = {}
"""Every difference by its name. Of two that change one field, the later gets what the earlier gives."""


def add(difference: Difference) -> None:
    """Add a difference to the list."""
    if difference.name in DIFFERENCES:
        raise ValueError(f"two differences are named {difference.name!r}")
    DIFFERENCES[difference.name] = difference


def add_plain(name: str, says: str, kind: type[int | str], *choices: str | int) -> None:
    """Add a difference that does nothing itself: it says how others do."""
    add(Difference(name=name, says=says, kind=kind, choices=choices))


def wraps(
    name: str, says: str, *fields: str, kind: type[bool | int] = bool, choices: str = ""
) -> Callable[[Callable[[Any, Asked], Any]], Callable[[Any, Asked], Any]]:
    """Add a difference in how fields are answered; `choices` are names with spaces between."""
    names = tuple(choices.split())

    def register(answers: Callable[[Any, Asked], Any]) -> Callable[[Any, Asked], Any]:
        add(
            Difference(
                name=name,
                says=says,
                kind=str if names else kind,
                choices=names,
                fields=dict.fromkeys(fields, answers),
            )
        )
        return answers

    return register


def plain(answer: Any) -> Any:
    """Give an answer as plain JSON values, be it encoded or not."""
    return json.loads(bytes(answer)) if isinstance(answer, msgspec.Raw) else answer


def raw(value: Any) -> msgspec.Raw:
    """Encode a value; non-finite numbers become text."""
    return msgspec.Raw(encode(value))
