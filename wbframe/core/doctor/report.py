"""The report: findings as values, as one screen of text, and as JSON; hashes in place of what is private."""

from __future__ import annotations

import hashlib
import json
import re
import textwrap
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from wbframe.core.protocol.request import BUCKETS, EXPORTS, FIELDS, KEYS, LIVE, PROJECTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from wbframe.core.protocol.request import Request

__all__ = [
    "ODD",
    "REPLACED_BY",
    "DoctorReport",
    "Failed",
    "Finding",
    "State",
    "hidden",
    "judged",
    "plain",
]

State = Literal["ok", "differs", "absent", "unknown"]
_WIDTH, _TOPIC, _STATE = 100, 19, 8
ODD = "the answer has a form of its own"
_SALT = b"wbframe doctor\0"
_DIGITS = 8

REPLACED_BY = {
    FIELDS: "columns are those of runs that are looked at",
    PROJECTION: "whole configs and summaries are read",
    KEYS: "the keys of each run are read",
    EXPORTS: "whole rows are read window by window",
    LIVE: "rows behind the exported files are read by windows",
    BUCKETS: "buckets are made of whole histories",
}
"""What is done where a server does not have a feature."""


def hidden(text: str) -> str:
    """Give a short hash of what is private: the same each time, so that two reports can be compared.

    Examples
    --------
    >>> hidden("entity/project") == hidden("entity/project") != hidden("entity/other")
    True
    >>> len(hidden("entity/project"))
    9
    """
    digest = hashlib.sha256(_SALT + text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"#{digest[:_DIGITS]}"


# Words in which servers refuse; names of the schema come from the document that was refused.
_WORDS = frozenset(
    """
    a access aggregate alias aliases allowed already an and any answer are argument arguments as at available bad be
    body bool boolean but by can cannot complex complexity contact context cost could database deadline denied
    deprecated depth did directive does document empty error exceeded exceeds execute executing exist expected failed
    field fields filter filters float forbidden found for from gateway gone graphql has have html http id in
    input int integer internal invalid is it its json large larger limit list long many map maximum may mean
    message missing more most must name names nil no not null number object occurred of on one operation operator or
    out panic parse permission please points query rate reached refused request requests required result
    row rows schema selection server service so string subselections such support supported syntax than that the
    there this time timed timeout to too try type types unauthorized unavailable unexpected unknown unsupported
    value variable variables was while with you your
    400 401 403 404 413 422 429 500 501 502 503 504
    audio file files histogram html image media molecule table tables video boolean integer int64
    double python text upper nan inf dict array union timestamp unset none bytes
    """.split()
)
_WORD = re.compile(r"[\w$]+", re.UNICODE)


def plain(text: str, known: str = "") -> str:
    """Keep the known words of a text, and put hashes in place of all others.

    Parameters
    ----------
    text
        What a server said.
    known
        A document, whose words are known too: it holds no value.

    Examples
    --------
    >>> plain("Cannot query field 'fields' on type 'Mine'") == f"Cannot query field 'fields' on type '{hidden('Mine')}'"
    True
    """
    words = _WORDS | set(_WORD.findall(known))

    def word(found: re.Match[str]) -> str:
        return found[0] if found[0] in words or found[0].lower() in _WORDS else hidden(found[0])

    return _WORD.sub(word, " ".join(text.split()))


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
        question = request.document.partition(" ")[2].partition("(")[0].partition("{")[0].strip()
        status = getattr(error, "status", None)
        _, answered, said = str(error).partition("the server answered: ")
        said = plain(said.partition("; gave up")[0], request.document)[:300] if answered else ""
        if status is not None:
            said = f"HTTP {status} {said}".strip()
        return cls(question or "query", type(error).__name__, said)

    def __str__(self) -> str:
        return self.said or self.kind


def judged(topic: str, answer: Any, judge: Callable[[], Finding]) -> Finding:
    """Give what a judge finds in an answer; a failure, and an answer of unknown shape, are findings too."""
    if isinstance(answer, Failed):
        return Finding(topic, "absent", f"no answer: {answer}")
    try:
        return judge()
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        # Whatever a server says, the next question is asked.
        return Finding(topic, "differs", ODD)


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
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."
