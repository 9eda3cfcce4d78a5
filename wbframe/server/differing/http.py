"""How the HTTP around answers may differ: who may ask, how often, and how bodies are wrapped."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import msgspec

from wbframe.server.differing.exchange import JSON, Asking, errors
from wbframe.server.differing.registry import Difference, add
from wbframe.server.replies import Reply

__all__: list[str] = []

_ERROR = 400


def _user_agent(_on: Any, asking: Asking) -> Reply | None:
    """Refuse clients that do not look like the SDK."""
    agent = asking.headers.get("user-agent", "").lower()
    if "w&b" in agent or "wandb-core" in agent:
        return None
    return errors(403, "unsupported client")


def _limited(headers: dict[str, str]) -> Reply:
    """Refuse one request too many."""
    return Reply(429, b'{"error":"rate limit exceeded"}', {**JSON, **headers})


def _refuse_every(every: Any, asking: Asking) -> Reply | None:
    """Refuse each n-th request."""
    return _limited({}) if asking.serial % max(2, every) == max(2, every) - 1 else None


def _wait(name: str, how: str) -> dict[str, str]:
    """Say how long to wait."""
    now = time.time()
    values = {
        "now": "0", "hour": "3600", "epoch": str(int(now) + 1), "epoch_ms": str(int(now * 1000)),
        "negative": "-5", "words": "soon", "empty": "", "float": "0.01", "huge": "1e12",
        "date_past": formatdate(now - 60, usegmt=True), "date_far": formatdate(now + 86_400, usegmt=True),
    }  # fmt: skip
    return {name: values[how]}


_WAITS = "now hour epoch epoch_ms negative words empty float huge date_past date_far"


def _retry_after(how: Any, asking: Asking) -> Reply | None:
    """Refuse one request, and say when to come again."""
    return _limited(_wait("Retry-After", how)) if asking.serial == 1 else None


def _reset(how: Any, asking: Asking) -> Reply | None:
    """Refuse one request, and say when the limit is lifted."""
    if asking.serial != 1:
        return None
    return _limited({"RateLimit-Remaining": "0", **_wait("RateLimit-Reset", how)})


def _hints(how: Any, _asking: Asking, reply: Reply) -> Reply:
    """Say with each answer what is left of the limit."""
    remaining = {"low": "1", "none": "0", "negative": "-3", "words": "many"}[how]
    told = {"RateLimit-Limit": "1000", "RateLimit-Remaining": remaining, "RateLimit-Reset": "30"}
    return replace(reply, headers={**reply.headers, **told})


def _flaky(every: Any, asking: Asking) -> Reply | None:
    """Fail now and then."""
    if asking.serial % max(2, every) != max(2, every) - 1:
        return None
    return Reply(502, b"<html>502 Bad Gateway</html>", {"Content-Type": "text/html"})


def _slow(milliseconds: Any, _asking: Asking, reply: Reply) -> Reply:
    """Answer late."""
    return replace(reply, delay=reply.delay + milliseconds / 1000)


def _body(how: Any, _asking: Asking, reply: Reply) -> Reply:
    """Wrap a body that is right."""
    if reply.status >= _ERROR:
        return reply
    if how == "bom":
        return replace(reply, body=b"\xef\xbb\xbf" + bytes(reply.body))
    if how == "spaces":
        return replace(reply, body=b"\r\n \t" + bytes(reply.body) + b"\r\n")
    if how == "latin":
        return replace(
            reply, headers={**reply.headers, "Content-Type": "text/html; charset=latin-1"}
        )
    found = msgspec.json.decode(reply.body, type=dict[str, msgspec.Raw])
    more: dict[str, dict[str, Any]] = {
        "extensions": {"extensions": {"cost": {"requestedQueryCost": 12}}},
        "null_errors": {"errors": None},
        "empty_errors": {"errors": []},
        "warning": {"errors": [{"message": "deprecated field", "severity": "warning"}]},
    }
    return replace(reply, body=msgspec.json.encode({**found, **more[how]}))


def _errors(how: Any, _asking: Asking, reply: Reply) -> Reply:
    """Give errors another shape."""
    try:
        found = json.loads(bytes(reply.body))
    except ValueError:
        return reply
    if not isinstance(found, dict) or not found.get("errors"):
        return reply
    first = found["errors"][0]
    message = str(first.get("message") if isinstance(first, dict) else first)
    if how == "html":
        return replace(
            reply, body=f"<html>{message}</html>".encode(), headers={"Content-Type": "text/html"}
        )
    if how == "nothing":
        return replace(reply, body=b"")
    shapes: dict[str, Any] = {
        "text": message,
        "list": [message],
        "texts": {"errors": [message]},
        "one": {"errors": message},
        "object": {"errors": {"message": message}},
        "error": {"error": message},
        "error_object": {"error": {"message": message, "code": 17}},
        "detail": {"detail": message},
        "null_message": {"errors": [{"message": None, "code": 7}]},
        "nulls": {"errors": [None]},
        "number": 17,
    }
    return replace(reply, body=json.dumps(shapes[how]).encode())


_SHAPES = (
    "text list texts one object error error_object detail null_message nulls number html nothing"
)


def _status(status: Any, _asking: Asking, reply: Reply) -> Reply:
    """Tell faults of a document with another status."""
    return replace(reply, status=status) if reply.status == _ERROR else reply


def _null_project(_on: Any, _asking: Asking, reply: Reply) -> Reply:
    """Say of a project that is refused that it is not there."""
    return Reply(200, b'{"data":{"project":null}}', JSON) if reply.status == 403 else reply  # noqa: PLR2004


add(
    Difference(
        name="user_agent",
        says="A client whose `User-Agent` is none of the SDK's is refused with 403.",
        before=_user_agent,
    )
)
add(
    Difference(
        name="refuse_every",
        says="Each n-th request is refused with 429, without a word of when to come again.",
        kind=int,
        before=_refuse_every,
    )
)
add(
    Difference(
        name="retry_after",
        says="The second request is refused once with `Retry-After` of an hour, an epoch, below 0 or no number.",
        kind=str,
        choices=tuple(_WAITS.split()),
        before=_retry_after,
    )
)
add(
    Difference(
        name="rate_limit_reset",
        says="The second request is refused, with `RateLimit-Reset` an hour, an epoch, negative or no number.",
        kind=str,
        choices=tuple(_WAITS.split()),
        before=_reset,
    )
)
add(
    Difference(
        name="rate_limit_hints",
        says="Each answer says that nothing, or little, or no number is left of the rate limit.",
        kind=str,
        choices=("low", "none", "negative", "words"),
        after=_hints,
    )
)
add(
    Difference(
        name="flaky", says="Each n-th request is answered by a proxy, 502.", kind=int, before=_flaky
    )
)
add(
    Difference(
        name="slow", says="Each answer is held back so many milliseconds.", kind=int, after=_slow
    )
)
add(
    Difference(
        name="body",
        says="Answers begin with a byte order mark or spaces, have `extensions`, null or harmless errors.",
        kind=str,
        choices=("bom", "spaces", "latin", "extensions", "null_errors", "empty_errors", "warning"),
        after=_body,
    )
)
add(
    Difference(
        name="validation_status",
        says="Faults of a document are told with another status than 400.",
        kind=int,
        choices=(200, 422, 500),
        after=_status,
    )
)
add(
    Difference(
        name="hidden_projects",
        says="A project that may not be read is null, as one that is not there.",
        after=_null_project,
    )
)
add(
    Difference(
        name="error_form",
        says="Errors are text, a list, an object, HTML, or nothing.",
        kind=str,
        choices=tuple(_SHAPES.split()),
        after=_errors,
    )
)
