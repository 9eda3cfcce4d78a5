"""The report: findings as values, as one screen of text, and as JSON; hashes in place of what is private."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from wbframe.core.doctor.words import plain
from wbframe.core.protocol.request import BUCKETS, EXPORTS, FIELDS, KEYS, LIVE, PROJECTION
from wbframe.errors import WbframeError
from wbframe.text import legible

if TYPE_CHECKING:
    from collections.abc import Callable

    from wbframe.core.protocol.request import Request

__all__ = [
    "ODD",
    "REPLACED_BY",
    "DoctorReport",
    "Failed",
    "Finding",
    "SpentError",
    "State",
    "attempt",
    "judged",
]

_Got = TypeVar("_Got")
State = Literal["ok", "differs", "absent", "unknown"]
_WIDTH, _TOPIC, _STATE = 100, 19, 8
ODD = "the answer has a form of its own"

REPLACED_BY = {
    FIELDS: "columns are those of runs that are looked at",
    PROJECTION: "whole configs and summaries are read",
    KEYS: "the keys of each run are read",
    EXPORTS: "whole rows are read window by window",
    LIVE: "rows behind the exported files are read by windows",
    BUCKETS: "buckets are made of whole histories",
}
"""What is done where a server does not have a feature."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    topic
        What.
    state
        ``"ok"``: as wbframe would have it. ``"differs"``: otherwise than it would have it. ``"absent"``: not
        there, or refused. ``"unknown"``: the project has nothing to tell it by.
    detail
        What was seen, in words and numbers.
    """

    topic: str
    state: State
    detail: str


class SpentError(WbframeError):
    """There are no more requests to send, or no more time; never leaves the visit."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A question without an answer.

    Attributes
    ----------
    question
        The name of the query.
    kind
        The class of the error.
    said
        What the server said, without what is private in it.
    """

    question: str
    kind: str
    said: str

    @classmethod
    def of(cls, request: Request, error: Exception) -> Failed:
        """Make it of an error; what wbframe itself says of it names the project, and is left out."""
        if isinstance(error, SpentError):
            return cls(question_of(request), "", "not asked, no more requests or time were left")
        status = getattr(error, "status", None)
        _, answered, said = str(error).partition("the server answered: ")
        said = plain(said.partition("; gave up")[0], request.document)[:300] if answered else ""
        if status is not None:
            said = f"HTTP {status} {said}".strip()
        return cls(question_of(request), type(error).__name__, said)

    def __str__(self) -> str:
        return self.said or self.kind


def question_of(request: Request) -> str:
    """Give the name of a query."""
    return request.document.partition(" ")[2].partition("(")[0].partition("{")[0].strip()


def judged(topic: str, answer: Any, judge: Callable[[Any], Finding]) -> Finding:
    """Give what a judge finds in an answer; a failure, and an answer of unknown shape, are findings too."""
    if isinstance(answer, Failed):
        return Finding(topic, "absent", f"no answer: {answer}")
    return attempt(judge, answer) or Finding(topic, "differs", ODD)


def attempt(read: Callable[[Any], _Got], answer: Any) -> _Got | None:
    """Read something off an answer; None where there is none, or it has a shape that nobody knows."""
    if isinstance(answer, Failed):
        return None
    try:
        return read(answer)
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        # Whatever a server says, the next question is asked.
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport:
    """How a server answers, as `wbframe.doctor` has found it; ``str`` is one screen of text.

    Attributes
    ----------
    project, server
        Hashes of the project's name and of the server's address.
    versions
        Of wbframe, polars and Python, by name.
    findings
        What was looked at, in order.
    failures
        Questions without an answer.
    uses, replaced
        The features that wbframe will use there, and those that it does without.
    requests
        HTTP requests that were sent, of at most 40.
    seconds
        What all of it took.
    """

    project: str
    server: str
    versions: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    failures: tuple[Failed, ...] = ()
    uses: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    requests: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        versions = ", ".join(f"{name} {version}" for name, version in self.versions)
        lines = [f"project {self.project} on server {self.server}, {versions}"]
        lines += [
            f"{each.topic:<{_TOPIC}} {each.state:<{_STATE}} {each.detail}" for each in self.findings
        ]
        lines += textwrap.wrap(f"will use: {', '.join(self.uses) or 'none of these'}", _WIDTH)
        lines += [f"does without {each}: {REPLACED_BY[each]}" for each in self.replaced]
        lines.append(f"{self.requests} requests, {self.seconds:.1f} s; nothing was changed")
        return "\n".join(_cut(line) for line in lines)

    def state_of(self, topic: str) -> State | None:
        """Give the state of one topic; None where it was not looked at."""
        return next((each.state for each in self.findings if each.topic == topic), None)

    def to_json(self) -> str:
        """Give all of it as JSON text, to be attached to a report of a fault; nothing private is in it."""
        content = {"format": 1, **asdict(self), "versions": dict(self.versions)}
        return json.dumps(content, indent=1) + "\n"


def _cut(line: str) -> str:
    """Keep a line within the screen."""
    line = legible(line)
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."
