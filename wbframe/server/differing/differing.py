"""The differences of one server, ready to be asked for at the few places where they bite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

from wbframe.errors import UsageError, did_you_mean
from wbframe.server.differing.exchange import Asking
from wbframe.server.differing.registry import DIFFERENCES, Asked, add_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    import graphql

    from wbframe.server.projects.store import Project
    from wbframe.server.replies import Reply

__all__ = ["Differing"]

add_plain(
    "file_nested",
    "Exported files hold nested keys as columns of structs, not with dots.",
    str,
    "struct",
)

# What a differing server may give is wider than what the schema promises: null, text, floats.
_LOOSER = (
    (r"(runCount\(filters: JSONString\)): Int!", r"\1: JSON"),
    (r"historyLineCount: Int", "historyLineCount: JSON"),
    (r"ProjectFieldConnection!", "ProjectFieldConnection"),
    (r"path: String! type: String!", "path: String! type: JSON"),
    (r"edges: \[(\w+)Edge!\]! pageInfo: PageInfo!", r"edges: [\1Edge] pageInfo: PageInfo"),
    (r"node: (\w+)! cursor: String!", r"node: \1 cursor: String"),
    (r"hasNextPage: Boolean!", "hasNextPage: Boolean"),
    (r"createdAt: DateTime!", "createdAt: JSON"),
    (r"(heartbeatAt|updatedAt): DateTime", r"\1: JSON"),
    (r"(history\([^)]*\)): JSONLines!", r"\1: JSON"),
    (r"(sampledHistory\([^)]*\)): \[JSON\]!", r"\1: JSON"),
    (r": ParquetHistory!", ": ParquetHistory"),
    (r"parquetUrls: \[String!\]!", "parquetUrls: JSON"),
    (r"liveData: \[JSON!\]!?", "liveData: JSON"),
    (r"tags: \[String!\]", "tags: JSON"),
)


@dataclass(frozen=True, slots=True)
class Differing:
    """Some differences, each with its value.

    Attributes
    ----------
    chosen
        (name, value) pairs, in the order of the list of differences.

    Examples
    --------
    >>> Differing.of({"index_depth": 2, "ties": False})
    Differing(chosen=(('index_depth', 2),))
    """

    chosen: tuple[tuple[str, bool | int | str], ...] = ()

    @classmethod
    def of(cls, asked: Mapping[str, object] | Differing | None) -> Differing | None:
        """Read what `serve` was given; None where nothing differs.

        Raises
        ------
        UsageError
            There is no difference of a name, or it has no such value.
        """
        if asked is None or isinstance(asked, Differing):
            return asked
        if not isinstance(asked, Mapping):
            raise UsageError(
                f"`differing` is a dict of differences and their values; got {asked!r}"
            )
        for name in asked:
            if name not in DIFFERENCES:
                meant = did_you_mean(str(name), DIFFERENCES)
                raise UsageError(f"no difference is named {name!r}.{meant}")
        values = {
            name: difference.checked(asked[name])
            for name, difference in DIFFERENCES.items()
            if name in asked
        }
        chosen = tuple((name, value) for name, value in values.items() if value is not False)
        return cls(chosen) if chosen else None

    def schema(self, sdl: str) -> str:
        """Loosen the types of a schema so that every difference can be told in it."""
        return reduce(lambda text, pair: re.sub(pair[0], pair[1], text), _LOOSER, sdl)

    def resolver(self, name: str, resolver: Callable[..., Any]) -> Callable[..., Any]:
        """Give the resolver of a field, ``Type.field``, as it is on this server."""
        for each, value in self.chosen:
            answers = DIFFERENCES[each].fields.get(name)
            if answers is not None:
                resolver = _wrapped(name, resolver, answers, value)
        return resolver

    @property
    def fields(self) -> set[str]:
        """The name of every ``Type.field`` that is answered otherwise."""
        return {name for each, _ in self.chosen for name in DIFFERENCES[each].fields}

    def project(self, project: Project) -> Project:
        """Give a project with its files in another form."""
        if dict(self.chosen).get("file_nested") is None:
            return project

        def nested(rule: Any) -> Any:
            return (
                None
                if rule is None
                else replace(rule, format=replace(rule.format, nested="struct"))
            )

        runs = tuple(replace(run, exports=nested(run.exports)) for run in project.runs)
        return replace(project, runs=runs, exports=nested(project.exports))

    def asking(
        self,
        document: graphql.DocumentNode | None,
        body: bytes,
        headers: Mapping[str, str],
        serial: int,
    ) -> Asking:
        """Put together what `before` and `after` look at."""
        lowered = {name.lower(): value for name, value in headers.items()}
        return Asking(document, body, lowered, serial, dict(self.chosen))

    def before(self, asking: Asking) -> Reply | None:
        """Answer a request in place of the server; None lets the server answer."""
        for name, value in self.chosen:
            before = DIFFERENCES[name].before
            reply = None if before is None else before(value, asking)
            if reply is not None:
                return reply
        return None

    def after(self, asking: Asking, reply: Reply) -> Reply:
        """Change an answer before it is sent."""
        for name, value in self.chosen:
            after = DIFFERENCES[name].after
            if after is not None:
                reply = after(value, asking, reply)
        return reply


def _wrapped(
    name: str, resolver: Callable[..., Any], answers: Callable[[Any, Asked], Any], value: Any
) -> Callable[..., Any]:
    """Let a difference answer a field, with what answered before at hand."""

    def resolve(source: Any, info: Any, **arguments: Any) -> Any:
        return answers(value, Asked(name, source, info, arguments, resolver))

    return resolve
