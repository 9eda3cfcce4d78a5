"""The JSON of answers: what it is decoded into, what it says instead, and what a project or run must have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from wbframe.core.decode.json import decode_any
from wbframe.core.paths import name_of
from wbframe.errors import AnswerError, ProjectNotFoundError, QueryError, RunNotFoundError
from wbframe.text import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wbframe.core.model import RunPath
    from wbframe.core.protocol.request import Request

RAW_NULL = msgspec.Raw(b"null")

_Type = TypeVar("_Type", bound=type[msgspec.Struct])
_text = msgspec.json.Decoder(str)
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[Any]] = {}


def answered(kind: _Type) -> _Type:
    """Make the decoder of an answer when its type is defined; decorates the type.

    Not when it is first needed: msgspec then prepares the type, and two threads that do so at once crash.
    """
    _decoders[kind] = msgspec.json.Decoder(kind)
    return kind


def read_json(kind: type[Any], content: bytes, *, where: str) -> Any:
    """Decode JSON, be it strict or not, into a type that is `answered`.

    Raises
    ------
    AnswerError
        If it is no JSON.
    msgspec.ValidationError
        If it is of another shape.
    """
    return decode_any(_decoders[kind], content, where=where)


class PageInfo(msgspec.Struct, rename="camel"):
    """Whether a page has a successor, and where that begins."""

    # Null for a page without edges: https://relay.dev/graphql/connections.htm
    end_cursor: str | None = None
    has_next_page: bool | None = None


@answered
class _Envelope(msgspec.Struct):
    data: msgspec.Raw = RAW_NULL
    errors: Any = None
    error: Any = None

    @property
    def messages(self) -> list[str]:
        """What the server says instead of data, or beside it."""
        return error_messages(self.errors or self.error or [], beside=self.data != RAW_NULL)


def open_answer(content: bytes, request: Request) -> msgspec.Raw:
    """Give the `data` of an answer, or raise what it says instead.

    Raises
    ------
    QueryError
        If the answer has GraphQL errors.
    AnswerError
        If it is no GraphQL answer.
    """
    envelope: _Envelope = decode_answer(content, _Envelope, request)
    messages = envelope.messages
    # Also where data came beside them: what failed is null there, which would pass for a value that is missing.
    # https://spec.graphql.org/October2021/#sec-Errors
    if messages:
        raise QueryError(
            f"could not read {request.asked}: the server answered: {all_said(messages)}"
        )
    if envelope.data == RAW_NULL:
        raise AnswerError(f"could not read {request.asked}: the answer has neither data nor errors")
    return envelope.data


def error_messages(errors: Any, *, beside: bool = False) -> list[str]:
    """Take the messages out of GraphQL errors, which may be objects or plain strings, one or a list of them.

    Warnings do not count `beside` data.
    """
    listed = errors if isinstance(errors, list) else [errors]
    told = [each for each in listed if not (beside and _is_warning(each))]
    found = [each.get("message", each) if isinstance(each, dict) else each for each in told]
    return [" ".join(str(each).split())[:300] for each in found if each]


def all_said(messages: Sequence[str]) -> str:
    """Say what a server has said, as far as anybody reads it."""
    return listed(messages, _SAID, "; ")


def _is_warning(error: Any) -> bool:
    """Tell whether an error calls itself no more than a warning."""
    return isinstance(error, dict) and error.get("severity") in {"warning", "info"}


# Messages of one answer that are shown.
_SAID = 5
_HEAD, _TAIL = 256, 16_384


def messages_of(content: bytes) -> list[str]:
    """Give the messages of an answer's errors; none also where it is no GraphQL answer."""
    # Only where they may stand, before or behind the data: to search all of it takes longer than to read it.
    ends = content[:_HEAD] + content[-_TAIL:]
    if b'"errors"' not in ends and b'"error"' not in ends:
        return []
    try:
        envelope: _Envelope = read_json(_Envelope, content, where="")
    except (msgspec.ValidationError, AnswerError):
        return []
    return envelope.messages


def decode_answer(data: bytes | msgspec.Raw, kind: type[Any], request: Request) -> Any:
    """Decode JSON, be it strict or not, into the type that the protocol says: one that is `answered`.

    Raises
    ------
    AnswerError
        If it is no JSON, or of another shape.
    """
    try:
        return read_json(kind, bytes(data), where=request.asked)
    except msgspec.ValidationError as error:
        msg = f"could not read {request.asked}: the answer is not what W&B's protocol says: {error}"
        raise AnswerError(msg) from error


def found_project(project: Any, path: RunPath) -> Any:
    """Give the project.

    Raises
    ------
    ProjectNotFoundError
        If there is none.
    """
    # The answer is null, with status 200, for both.
    if project is None:
        msg = (
            f"Could not find project {name_of(path)}: it does not exist, or the API key may not see it;"
            " check the spelling of both parts, or set WANDB_API_KEY to a key that may"
        )
        raise ProjectNotFoundError(msg)
    return project


def found_run(run: Any, name: str, path: RunPath) -> Any:
    """Give the run.

    Raises
    ------
    RunNotFoundError
        If there is none.
    """
    if run is None:
        raise run_not_found(name, path)
    return run


def run_not_found(name: str, path: RunPath) -> RunNotFoundError:
    """Make the error of a run that is not there."""
    return RunNotFoundError(
        f"Could not find run {name!r} in {name_of(path)}; its id is the last part of its address"
    )


def found_runs(project: Any, run_ids: Sequence[str], path: RunPath) -> list[Any]:
    """Give what a project answers to `by_run`, in the order of the runs.

    Raises
    ------
    ProjectNotFoundError, RunNotFoundError
        If there is none.
    """
    # A run may be asked for several times.
    there = present_runs(project, run_ids, path)
    return [found_run(run, name, path) for name, run in zip(run_ids, there, strict=True)]


def present_runs(project: Any, run_ids: Sequence[str], path: RunPath) -> list[Any]:
    """Give what a project answers to `by_run`, in the order of the runs; None for one that is not there.

    Raises
    ------
    ProjectNotFoundError
        If the project is not there.
    """
    there = found_project(project, path)
    return [there.get(f"r{i}") for i in range(len(run_ids))]


def json_texts(value: msgspec.Raw, *, where: str) -> bytes:
    """Open JSON that may come as such or as a JSON string."""
    inner = bytes(value).strip()
    if inner[:1] != b'"':
        return inner
    text: str = decode_any(_text, inner, where=where)
    return text.encode()


def json_object(value: msgspec.Raw, *, where: str) -> Mapping[str, msgspec.Raw]:
    """Open a JSON object that may come as such or as a JSON string; {} for anything else.

    Raises
    ------
    AnswerError
        If it is no JSON at all.
    """
    # In W&B's schema `config` is JSON in a string and `historyKeys` an object; some servers give text for both.
    inner = bytes(value).strip()
    if inner[:1] == b'"':
        text: str = decode_any(_text, inner, where=where)
        inner = text.strip().encode()
    if inner[:1] != b"{":
        return {}
    found: dict[str, msgspec.Raw] = decode_any(_object, inner, where=where)
    return found
