"""Where code of the official SDK meets what is not here: attributes, writing, and the errors that it catches."""

from __future__ import annotations

import sys
from contextlib import ContextDecorator
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from wbframe.errors import (
    CredentialsError,
    MissingKeyError,
    ReadOnlyError,
    RunNotFoundError,
    WbframeError,
    did_you_mean,
)
from wbframe.io.client.secrets import without_locals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

__all__ = ["WRITTEN", "absent", "as_sdk", "read_only"]

_Callable = TypeVar("_Callable", bound="Callable[..., Any]")
_REST = "wbframe reads runs and histories only, the rest is in wandb.Api() of the wandb package"
_WRITING = frozenset(
    {
        "create", "delete", "save", "update", "update_state", "stop", "upload_file", "log_artifact",
        "use_artifact", "enqueue_run", "sync_tensorboard", "link_artifact",
    }
)  # fmt: skip
_WRITING_BEGINS = ("create_", "delete_", "update_", "upsert_")
# What else the SDK's classes have, so that typing errors of it are known too.
_ELSEWHERE = frozenset(
    {
        "file", "files", "console_logs", "logged_artifacts", "used_artifacts", "download_history_exports",
        "wait_until_finished", "artifact", "artifacts", "artifact_type", "artifact_types",
        "artifact_versions", "artifact_collection", "artifact_collections", "project", "projects",
        "report", "reports", "sweep", "job", "user", "users", "team", "viewer", "queued_run", "run_queue",
        "registry", "registries", "organization", "agent", "agents", "best_run", "api_key",
    }
)  # fmt: skip
# What the drop-in's classes have for each other.
_INSIDE = frozenset({"fill", "take_sweep"})
WRITTEN = frozenset(
    {"tags", "notes", "description", "group", "job_type", "display_name", "config", "summary"}
)
"""What is written by setting it on a run of the SDK."""


def absent(thing: object, name: str, more: Iterable[str] = ()) -> AttributeError:
    """Make the error for an attribute that is not there: what is the matter with it, and what is near.

    Parameters
    ----------
    thing
        What was asked for it.
    name
        The attribute.
    more
        Attributes besides those of its class.

    Examples
    --------
    >>> str(absent(object(), "upload_file")).partition("; ")[0]
    "'object' object has no attribute 'upload_file': wbframe reads only"
    """
    missing = f"{type(thing).__name__!r} object has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(missing)
    if name in _WRITING or name.startswith(_WRITING_BEGINS):
        return ReadOnlyError(
            f"{missing}: wbframe reads only; write with wandb.Api() of the wandb package"
        )
    here = {each for each in (*dir(type(thing)), *more) if not each.startswith("_")} - _INSIDE
    hint = "" if name in _ELSEWHERE else did_you_mean(name, here | _ELSEWHERE)
    if hint and not any(repr(each) in hint for each in _ELSEWHERE - here):
        return AttributeError(f"{missing}.{hint}")
    return AttributeError(f"{missing}.{hint} {_REST}" if hint else f"{missing}; {_REST}")


def read_only(what: str) -> ReadOnlyError:
    """Make the error for something that would be written."""
    return ReadOnlyError(
        f"cannot set {what}: wbframe reads only; write with wandb.Api() of the wandb package"
    )


# ---------------------------------------------------------------- errors


class _AsSdk(ContextDecorator):
    """Has what is raised caught by ``except wandb.errors.CommError`` too, where wandb is imported."""

    def __call__(self, function: _Callable) -> _Callable:
        # Arguments may be keys.
        return cast("_Callable", without_locals(super().__call__(function)))

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Python asks for the class of an error itself, and for no `__subclasscheck__`, so it is changed: to one
        # that is both. Who has not imported wandb cannot name its errors.
        if isinstance(error, WbframeError) and "wandb.errors" in sys.modules:
            theirs = _kinds(error)
            if theirs and not isinstance(error, theirs):
                own: Any = type(error)
                error.__class__ = _both(own, theirs)


as_sdk = _AsSdk()
"""Decorates what code of the SDK calls."""


def _kinds(error: WbframeError) -> tuple[type, ...]:
    """Give the SDK's classes for an error."""
    errors, runs = sys.modules["wandb.errors"], sys.modules.get("wandb.apis.public.runs")
    named: list[Any] = []
    if isinstance(error, MissingKeyError):
        named.append(getattr(errors, "UsageError", None))
    if isinstance(error, CredentialsError):
        named.append(getattr(errors, "AuthenticationError", None))
    if isinstance(error, RunNotFoundError):
        # From wandb 0.31 on.
        named.append(getattr(runs, "RunNotFoundError", None))
    named.append(getattr(errors, "CommError", None))
    found: list[type] = []
    for each in named:
        if isinstance(each, type) and not any(issubclass(kind, each) for kind in found):
            found.append(each)
    return tuple(found)


@cache
def _both(own: type[WbframeError], theirs: tuple[type, ...]) -> type[WbframeError]:
    """Make a class that is ours and theirs, with the attributes that theirs has."""

    def reduced(self: WbframeError) -> Any:
        # Where it is unpickled there may be no wandb.
        found: Any = own.__reduce__(self)
        return (own, *found[1:])

    names = {
        "__module__": own.__module__,
        "__qualname__": own.__qualname__,
        "__doc__": own.__doc__,
        "__reduce__": reduced,
        "message": property(str),
        "exc": property(lambda self: self.__cause__),
        "context": property(lambda _: {}),
    }
    return type(own.__name__, (own, *theirs), names)
