"""Which runs, in which order, on which page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from wbframe.server.api.matching import MISSING
from wbframe.server.projects.wire import has_non_finite, spelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from wbframe.server.projects.store import Project, RunRecord

__all__ = ["MOST_ON_PAGE", "CursorError", "Slice", "cursor", "lookup", "ordered", "page"]

MOST_ON_PAGE = 1000
"""`first` is cut to this."""

_USUAL_ON_PAGE = 50
_CURSOR = "arrayconnection:"

Item = TypeVar("Item")

_PLAIN: dict[str, Callable[[RunRecord], Any]] = {
    "name": lambda run: run.name,
    "displayName": lambda run: run.display_name,
    "state": lambda run: run.state,
    "createdAt": lambda run: run.created_at,
    "heartbeatAt": lambda run: run.heartbeat_at,
    "updatedAt": lambda run: run.updated_at or run.heartbeat_at,
    "duration": lambda run: run.compute_seconds,
    "group": lambda run: run.group,
    "host": lambda run: run.host,
    "jobType": lambda run: run.job_type,
    "tags": lambda run: list(run.tags),
    "username": lambda run: None if run.user is None else run.user.get("username"),
    "user": lambda run: None if run.user is None else run.user.get("username"),
    "sweep": lambda run: run.sweep,
    "notes": lambda run: run.notes,
    "description": lambda run: run.description,
    "commit": lambda run: run.commit,
}
_SNAKE = {
    "display_name": "displayName",
    "created_at": "createdAt",
    "heartbeat_at": "heartbeatAt",
    "updated_at": "updatedAt",
    "job_type": "jobType",
}


class CursorError(ValueError):
    """A cursor is none of ours."""


@dataclass(frozen=True, slots=True)
class Slice(Generic[Item]):
    """One page of a list: the items, where it starts, and how many there are in all."""

    items: Sequence[Item]
    start: int
    total: int

    @property
    def stop(self) -> int:
        """The index behind the last item."""
        return self.start + len(self.items)


def cursor(index: int) -> str:
    """Spell the cursor of the item at `index`.

    Examples
    --------
    >>> cursor(199)
    'YXJyYXljb25uZWN0aW9uOjE5OQ=='
    """
    return base64.b64encode(f"{_CURSOR}{index}".encode()).decode()


def page(items: Sequence[Item], first: int | None, after: str | None) -> Slice[Item]:
    """Cut the page behind the cursor `after`; behind the end it is empty.

    Raises
    ------
    CursorError
        `after` is no cursor of this server, or `first` is negative.
    """
    size = _USUAL_ON_PAGE if first is None else min(first, MOST_ON_PAGE)
    if size < 0:
        raise CursorError(f"`first` must not be negative; got {first}")
    start = 0
    if after:
        try:
            text = base64.b64decode(after, validate=True).decode()
            if not text.startswith(_CURSOR):
                raise CursorError(f"no cursor of this server: {after!r}")
            start = int(text.removeprefix(_CURSOR)) + 1
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise CursorError(f"no cursor of this server: {after!r}") from None
    start = max(0, start)
    return Slice(items[start : start + size], start, len(items))


def lookup(project: Project, run: RunRecord, path: str) -> Any:
    """Give the value of a filter's or an order's field, or MISSING.

    Keys are walked through nested objects by dots, so a key with a dot in it is not found.
    """
    name = _SNAKE.get(path, path)
    if name in _PLAIN:
        return _PLAIN[name](run)
    if name == "entity":
        return project.entity
    root, *keys = name.split(".")
    if root == "config" and keys:
        # a key's value stands under `value` on the server; both spellings find it
        inner = keys[2:] if keys[1:2] == ["value"] else keys[1:]
        return _walk(run.config, [keys[0], *inner])
    if root == "summary_metrics" and keys:
        return _walk(run.summary_metrics, keys)
    if root == "runInfo" and keys:
        return _walk(run.run_info, keys)
    return MISSING


def _walk(value: Any, keys: list[str]) -> Any:
    """Follow keys into nested objects; non-finite numbers are text there."""
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return MISSING
        value = value[key]
    return spelled(value) if has_non_finite(value) else value


def _moment(text: str | None) -> str:
    """Make times of every spelling comparable as text."""
    return (text or "").removesuffix("Z")


def _rank(value: Any) -> tuple[int, Any]:
    """Put values of all types into one order: nothing, numbers, text, the rest."""
    if value is MISSING or value is None:
        return 0, 0
    if isinstance(value, (bool, int, float)):
        return 1, value
    if isinstance(value, str):
        return 2, value
    return 3, str(value)


def ordered(project: Project, order: str | None) -> list[RunRecord]:
    """Sort a project's runs.

    Parameters
    ----------
    project
        Whose runs.
    order
        A sign and a field, such as ``-created_at``, ``+config.lr.value`` or
        ``-summary_metrics.loss``; no sign is ``+``. None means newest first. Runs that lack the
        field come before all others; an unknown field leaves the runs in order of creation.
    """
    runs = sorted(project.runs, key=lambda run: _moment(run.created_at))
    text = order or "-createdAt"
    descending = text.startswith("-")
    name = text.lstrip("+-")
    name = _SNAKE.get(name, name)
    if name in ("createdAt", "heartbeatAt", "updatedAt"):
        return sorted(runs, key=lambda run: _moment(_PLAIN[name](run)), reverse=descending)
    values = [lookup(project, run, name) for run in runs]
    if all(value is MISSING for value in values):
        return runs
    ranks = [_rank(value) for value in values]
    indices = sorted(range(len(runs)), key=ranks.__getitem__, reverse=descending)
    return [runs[index] for index in indices]
