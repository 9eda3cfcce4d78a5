"""Less where it was too much: requests that are too big in parts, and what cannot be read left out."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from wbframe.core.batches import halves_of
from wbframe.core.decode.taken import taken_in
from wbframe.core.hints import is_lasting, is_of_request, is_of_size
from wbframe.core.histories.rows import TaskRows, merge_rows
from wbframe.core.paths import run_of
from wbframe.core.protocol.answers import open_answer
from wbframe.core.protocol.request import refused_features
from wbframe.errors import (
    AccessError,
    AnswerError,
    IncompleteError,
    ProjectNotFoundError,
    QueryError,
    RequestError,
    RunNotFoundError,
    SweepNotFoundError,
    TimedOutError,
    WbframeError,
)
from wbframe.io.client.session import Turn
from wbframe.io.threads import apart, side_by_side
from wbframe.log import log_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from wbframe.core.histories.tasks import HistoryTask, RunRead
    from wbframe.core.model import OnError, RunPath
    from wbframe.core.protocol.request import Request
    from wbframe.io.client.client import Client

__all__ = [
    "ABSENT",
    "SKIPPED",
    "in_parts",
    "is_of_one",
    "optionally",
    "past_absent",
    "read_or_leave_out",
    "send_and_read",
    "send_in_parts",
    "send_page",
]

_Asked = TypeVar("_Asked")
_Item = TypeVar("_Item")
_Out = TypeVar("_Out")
# Of what uses features that the server may lack, before it is asked without them.
_HALVINGS = 2
SKIPPED = (RequestError, QueryError, AnswerError, IncompleteError, RunNotFoundError)
# What may be left out as long as others are read: a project or sweep that was deleted, or is not ours to see.
ABSENT = (ProjectNotFoundError, SweepNotFoundError, AccessError)
_log = log_of("read")


# ---------------------------------------------------------------- too big


def send_in_parts(
    client: Client,
    asked: _Asked,
    cut: Callable[[_Asked], Sequence[_Asked]],
    request_of: Callable[[_Asked], Request],
    read: Callable[[_Asked, bytes, Request], _Out],
    *,
    shrink: Callable[[_Asked], None] | None = None,
    patient: bool = False,
    halvings: int = _HALVINGS,
) -> Iterator[_Out]:
    """Ask for something in one request, or for parts of it where the server finds that too big.

    Parameters
    ----------
    client
        Who asks, and whose budget of cells shrinks and grows.
    asked
        What is asked for.
    cut
        Cuts it; gives nothing where it cannot be cut, and one thing where less of the same is asked for.
    request_of
        Makes the request for it, or for a part.
    read
        Reads an answer; it holds a turn to decode meanwhile.
    shrink
        Learns what was too big, in place of the budget of cells.
    patient
        Whether less is asked for whatever failed, though the request uses features that the server may lack.
    halvings
        How often it is cut where a server fails without a word, before it is asked without features.

    Yields
    ------
    _Out
        What was read of each part, in order.

    Raises
    ------
    WbframeError
        What `Client.send` raises, also of what cannot be cut any further.
    """
    parts, request = cut(asked), request_of(asked)

    def answered() -> _Out:
        with Turn(client.decoding) as turn:
            content = client.send(request, splittable=bool(parts), turn=turn)
            if content[:200].find(b'"errors"') >= 0:
                open_answer(content, request)
            if shrink is None:
                client.budget.grow()
            turn.take()
            with taken_in(request.asked):
                return read(asked, content, request)

    try:
        found = apart(answered)
    except WbframeError as error:
        # What uses features is asked without them first, unless its size is what the server speaks of.
        if request.features and not patient:
            less = is_of_size(error) or (halvings > 0 and not is_lasting(error))
        else:
            # A page is refused as its project is; of several runs one may be.
            less = is_of_request(error) and (shrink is None or not isinstance(error, AccessError))
        if not parts or not less:
            raise
    else:
        yield found
        return
    if shrink is not None:
        shrink(asked)
    elif len(parts) > 1:
        # For all further requests: what a server gave up on once, it gives up on again, after its whole time-out.
        client.budget.shrink()
    for part in parts:
        yield from send_in_parts(
            client,
            part,
            cut,
            request_of,
            read,
            shrink=shrink,
            patient=patient,
            halvings=halvings - 1,
        )


def send_and_read(
    client: Client,
    request: Request,
    read: Callable[[bytes, Request], _Out],
    *,
    splittable: bool = False,
) -> _Out:
    """Ask for something that is not cut, and read the answer."""
    content = client.send(request, splittable=splittable)
    with taken_in(request.asked):
        return read(content, request)


def send_page(
    client: Client,
    wanted: int,
    request_of: Callable[[int], Request],
    read: Callable[[int, bytes, Request], _Out],
    *,
    halvings: int = _HALVINGS,
) -> _Out:
    """Ask for a page of so many things, or for a smaller one where the server finds that too big."""
    [page] = send_in_parts(
        client,
        client.pages.at_most(wanted),
        lambda size: [size // 2] if size > 1 else [],
        request_of,
        read,
        shrink=client.pages.shrink,
        halvings=halvings,
    )
    # What was too much at a busy time need not be so later.
    client.pages.grow()
    return page


def optionally(
    client: Client,
    features: Sequence[str],
    ask: Callable[[frozenset[str]], _Out],
    patiently: Callable[[frozenset[str]], _Out] | None = None,
) -> _Out:
    """Ask with features that a server may not have; where that fails, without them, as the SDK asks.

    What failed decides, and not its words: each feature is dropped alone, then all, until the same question is
    answered; these are remembered for the host.

    Parameters
    ----------
    client
        Who asks.
    features
        Those of the question, likelier to be missing first.
    ask
        Asks without some features.
    patiently
        Asks with all of them for less at once, where nothing can be asked without the last.

    Raises
    ------
    WbframeError
        What `ask` raises, also without any feature.
    """
    left = [each for each in features if each not in client.refused]
    size = client.pages.limit
    try:
        return ask(client.refused)
    except WbframeError as error:
        if not left or not is_of_request(error):
            raise
        last = first = error
    shrunk = client.pages.limit
    named = refused_features(left, str(first))
    tries = [(each, ask) for each in ([named] if named else _fewer(left, first))]
    if patiently is not None and not named and not isinstance(first, TimedOutError):
        tries.insert(len(left) - 1, (frozenset(), patiently))
    for dropped, again in tries:
        try:
            found = again(client.refused | dropped)
        except WbframeError as error:
            if not is_of_request(error):
                raise
            last = error
        else:
            # Of what it has answered with before, one failure that says nothing is no sign that it lacks it.
            client.refuse(dropped, sure=is_lasting(first) or dropped.isdisjoint(client.proven))
            if client.pages.limit >= shrunk:
                # Without them no less had to be asked for, so that their failures say nothing of sizes.
                client.pages.restore(size)
            return found
    # What was asked last was tried as long as the policy has it.
    raise last if last.tries > first.tries else first


def _fewer(features: Sequence[str], error: WbframeError) -> list[frozenset[str]]:
    """Give what may be dropped of some features: each alone, then all; where access is refused, all at once."""
    every = frozenset(features)
    if isinstance(error, AccessError):
        return [every]
    alone = [frozenset({each}) for each in features]
    return [*alone, every] if len(alone) > 1 else alone


# ---------------------------------------------------------------- left out


def in_parts(
    read: Callable[[tuple[_Item, ...]], _Out], items: Sequence[_Item], on_error: OnError
) -> Iterator[tuple[tuple[_Item, ...], _Out | WbframeError]]:
    """Read things together; where some may be left out and cannot be read, the others without them.

    What the server said of one of them is found by halves. Where there is no server to be read from, each would
    say the same, so they are left out together.

    Parameters
    ----------
    read
        Reads several.
    items
        Which.
    on_error
        Whether any may be left out.

    Yields
    ------
    tuple
        Some of them, and what was read, or why it was not; in order.
    """
    part = tuple(items)
    try:
        found = read(part)
    except SKIPPED as error:
        if on_error == "raise":
            raise
        # One run that the server cannot read fails the answer for all: https://github.com/wandb/wandb/issues/6435
        halves = halves_of(part)
        if not halves or not is_of_one(error):
            yield part, error
            return
    else:
        yield part, found
        return
    for some in halves:
        yield from in_parts(read, some, on_error)


def is_of_one(error: WbframeError) -> bool:
    """Tell whether an error may be of one of several things; without a server each would say the same."""
    return not isinstance(error, RequestError) or error.too_big


def past_absent(
    client: Client, ask: Callable[[RunPath], _Out], paths: Iterable[RunPath], on_error: OnError
) -> list[_Out]:
    """Ask of each path; where some may be left out, of those that are there.

    The first finds out what a server lacks; the others are asked of side by side.

    Raises
    ------
    WbframeError
        What the first said, if none is there.
    """

    def tried(path: RunPath) -> _Out | WbframeError:
        try:
            return ask(path)
        except ABSENT as error:
            if on_error == "raise":
                raise
            return error

    asked = iter(paths)
    answers = [tried(each) for each in islice(asked, 1)]
    answers += side_by_side(client.concurrency, tried, asked)
    found = [each for each in answers if not isinstance(each, WbframeError)]
    absent = [each for each in answers if isinstance(each, WbframeError)]
    if absent and not found:
        raise absent[0]
    return found


def read_or_leave_out(read: Callable[[HistoryTask], TaskRows], task: HistoryTask) -> TaskRows:
    """Read a task; where it may, leave out the runs that cannot be read."""
    if task.on_error == "raise":
        return read(task)

    def some(runs: tuple[RunRead, ...]) -> TaskRows:
        return read(replace(task, runs=runs))

    found = TaskRows()
    for runs, rows in in_parts(some, task.runs, task.on_error):
        if isinstance(rows, TaskRows):
            merge_rows(found, rows)
            continue
        for run in runs:
            where = run_of(task.path, run.run_id)
            _log.warning(
                "%s is left out: %s", where, rows,
                extra={"wbframe_run": run.run_id, "wbframe_reason": str(rows)},
            )  # fmt: skip
            found.left_out[run.ordinal] = str(rows)
    return found
