"""Reading what the drop-in classes are made of: answers and rows as Python objects."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar

from wbframe.core.decode.taken import taken_in
from wbframe.core.hints import is_of_request, whole, widened
from wbframe.core.model import STEP
from wbframe.core.paths import name_of, run_of
from wbframe.core.protocol.answers import found_runs, open_answer
from wbframe.core.protocol.exports import SignedUrl
from wbframe.core.protocol.request import RUN_KEYS
from wbframe.core.protocol.rows import RowsOf, rows_request, spec
from wbframe.dropin import documents
from wbframe.dropin.asked import RowsAsked, RowsTask, StepWindows, open_rows, rows_tasks
from wbframe.dropin.columns import Columns
from wbframe.dropin.values import from_json, objects, united
from wbframe.errors import AnswerError, IncompleteHistoryWarning, WbframeError
from wbframe.io import threads
from wbframe.io.read.parts import in_parts, optionally, send_and_read, send_in_parts
from wbframe.io.threads import side_by_side
from wbframe.report import LeftOut
from wbframe.text import listed
from wbframe.warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from wbframe.core.model import Match, RunPath
    from wbframe.core.protocol.request import Request
    from wbframe.dropin.values import Texts
    from wbframe.io.client.client import Client

__all__ = [
    "Row",
    "ask",
    "find_last_step",
    "last_step",
    "read_columns",
    "read_last_step",
    "read_node",
    "read_nodes",
    "read_rows",
    "read_run",
    "read_run_file",
    "read_sweeps",
    "scan_rows",
    "warn_short",
    "with_step",
]

Row = dict[str, Any]
_Read = TypeVar("_Read")
_SHOWN = 3
# What the documents of the SDK are built of; aliases of several runs, or sweeps, are among it.
_BUILT = re.compile(r"project|runs?|files|pageInfo|edges|node|[rs]\d+")


def ask(client: Client, request: Request) -> dict[str, Any]:
    """Send a request and give the `data` of its answer as Python objects.

    Raises
    ------
    WbframeError
        As `Client.send`, and if the answer has errors or no data.
    """
    return send_and_read(client, request, data_of)


def data_of(content: bytes, request: Request) -> dict[str, Any]:
    """Give the `data` of an answer as Python objects.

    Raises
    ------
    QueryError, AnswerError
        If it has errors or no data, or is not built as it was asked for.
    """
    data = from_json(open_answer(content, request))
    if data is None:
        raise AnswerError(f"could not read {request.asked}: the answer has no data")
    _check_built("data", data, request)
    found: dict[str, Any] = data
    return found


def _check_built(name: str, value: Any, request: Request) -> None:
    """Check what an answer is built of: objects within objects, lists of them, and nodes that have names."""
    if value is None:
        return
    if name == "edges":
        if not isinstance(value, list):
            raise _built_otherwise(request, name, "list")
        for each in value:
            _check_built("data", each, request)
        return
    if not isinstance(value, dict):
        raise _built_otherwise(request, name, "object")
    if name == "node" and not isinstance(value.get("name"), str):
        raise _built_otherwise(request, "name", "text")
    for inner, each in value.items():
        if _BUILT.fullmatch(inner):
            _check_built(inner, each, request)


def _built_otherwise(request: Request, name: str, kind: str) -> AnswerError:
    """Make the error of an answer of another build."""
    return AnswerError(f"could not read {request.asked}: `{name}` of the answer is no {kind}")


def read_rows(
    client: Client,
    path: RunPath,
    asked: RowsAsked,
    pages: Iterable[Sequence[tuple[str, int]]],
    losses: list[LeftOut] | None = None,
) -> Iterator[tuple[str, list[Row]]]:
    """Read the rows of pages of runs, many runs a request, while the next page is on its way.

    Where `losses` are taken, they are of the runs that cannot be read.

    Yields
    ------
    tuple
        Run id and rows, runs in order.
    """
    for result in _read_tasks(client, path, asked, pages, RowsTask.rows, losses):
        yield from result


def read_run(
    client: Client, path: RunPath, name: str, asked: RowsAsked
) -> tuple[Sequence[Texts], str]:
    """Ask for the rows of one run: its rows, a list a spec, none of them parsed, and what it is called."""
    task = RowsTask(path=path, runs=(name,), asked=asked)
    request = task.request()
    [(_, lists, where)] = send_and_read(
        client, request, lambda content, of: list(open_rows(content, of, path, [asked.of(name)]))
    )
    return lists, where


def read_columns(
    client: Client,
    path: RunPath,
    asked: RowsAsked,
    pages: Iterable[Sequence[tuple[str, int]]],
    losses: list[LeftOut] | None = None,
) -> Columns:
    """Do `read_rows`, and give the rows as columns."""
    shapes = asked.shapes()

    def read(task: RowsTask, content: bytes, request: Request) -> Columns:
        return task.columns(content, request, shapes)

    found = Columns()
    for part in _read_tasks(client, path, asked, pages, read, losses):
        found.extend(part)
    return found


def _read_tasks(
    client: Client,
    path: RunPath,
    asked: RowsAsked,
    pages: Iterable[Sequence[tuple[str, int]]],
    read: Callable[[RowsTask, bytes, Request], _Read],
    losses: list[LeftOut] | None,
) -> Iterator[_Read]:
    """Ask for the rows of pages of runs, read the answers, and give them in order.

    One thread reads, since reading makes Python objects and two would wait for each other: those that send are
    free to send again at once.
    """
    tasks = rows_tasks(path, asked, pages, lambda: client.budget.now)
    ahead = client.concurrency + 2  # so many answers are in memory at the most
    # Python objects are made under the interpreter's lock, so that further threads would only take turns.
    with threads.pool(1, "wbframe-rows") as reading:

        def take(part: RowsTask, content: bytes, request: Request) -> _Read:
            with taken_in(request.asked):
                return read(part, content, request)

        def begin(part: RowsTask, content: bytes, request: Request) -> threads.Task[_Read]:
            return reading.submit(take, part, content, request)

        def send(task: RowsTask) -> list[threads.Task[_Read]]:
            return list(send_in_parts(client, task, RowsTask.halves, RowsTask.request, begin))

        def work(task: RowsTask) -> list[threads.Task[_Read] | LeftOut]:
            return [*send(task)] if losses is None else _or_left_out(task, send)

        with closing(side_by_side(client.concurrency, work, tasks, ahead=ahead)) as results:
            for result in results:
                for each in result:
                    if not isinstance(each, LeftOut):
                        yield threads.result_of(each)
                    elif losses is not None:
                        losses.append(each)


def _or_left_out(
    task: RowsTask, send: Callable[[RowsTask], list[threads.Task[_Read]]]
) -> list[threads.Task[_Read] | LeftOut]:
    """Ask for the rows of a task's runs, and read them; of one that cannot be read, say why."""

    def some(runs: tuple[str, ...]) -> list[threads.Task[_Read]]:
        found = send(replace(task, runs=runs))
        for each in found:
            threads.result_of(each)
        return found

    done: list[threads.Task[_Read] | LeftOut] = []
    for runs, found in in_parts(some, task.runs, "skip"):
        if isinstance(found, list):
            done += found
        else:
            done += [LeftOut(run_of(task.path, run), str(found)) for run in runs]
    return done


def warn_short(path: RunPath, asked: RowsAsked, runs: Iterable[tuple[Row, int]]) -> None:
    """Warn of runs, by their nodes, of which fewer rows came than the server counts."""
    short = [
        f"run {node['name']!r}: {owed} rows expected, {came} came"
        for node, came in runs
        if came < (owed := asked.owed(node))
    ]
    if short:
        shown = listed(short, _SHOWN, "; ")
        what = f"{len(short)} runs of {name_of(path)} are incomplete: {shown}"
        msg = f"{what}; the server gives fewer rows than it counts: read them with `scan_history`"
        warn(msg, IncompleteHistoryWarning)


# ---------------------------------------------------------------- one run


def read_node(client: Client, path: RunPath, name: str, *, lazy: bool = False) -> dict[str, Any]:
    """Read what the server knows of one run.

    Raises
    ------
    ProjectNotFoundError, RunNotFoundError
        If there is none.
    """
    return read_nodes(client, path, [name], lazy=lazy)[0]


def read_nodes(
    client: Client, path: RunPath, names: Sequence[str], *, lazy: bool = False
) -> list[dict[str, Any]]:
    """Read what the server knows of several runs, in one request; their keys, where it has these."""

    def read(refused: frozenset[str]) -> list[dict[str, Any]]:
        request = documents.named_runs(path, names, lazy=lazy, keys=RUN_KEYS not in refused)
        return found_runs(ask(client, request).get("project"), names, path)

    return read(frozenset()) if lazy else optionally(client, [RUN_KEYS], read)


def read_sweeps(client: Client, path: RunPath, names: Sequence[str]) -> dict[str, Row | None]:
    """Read several sweeps in one request; None for one that is not there."""
    project = ask(client, documents.named_sweeps(path, names)).get("project") or {}
    return {name: project.get(f"s{i}") for i, name in enumerate(names)}


def read_last_step(client: Client, path: RunPath, name: str) -> int | None:
    """Ask for the last step of a run's history: -1 without rows, None where the server does not say."""

    def read(refused: frozenset[str]) -> int | None:
        if RUN_KEYS in refused:
            return None
        request = documents.history_keys(path, name)
        [run] = found_runs(ask(client, request).get("project"), [name], path)
        return last_step(run)

    return optionally(client, [RUN_KEYS], read)


def last_step(node: Row) -> int | None:
    """Read the last step off a node; None where it does not say."""
    info = node.get("historyKeys")
    found = info.get("lastStep", -1) if isinstance(info, dict) else None
    # wandb takes a missing index for a run without rows, which a line count may contradict.
    if found is None:
        return None if node.get("historyLineCount") else -1
    return found if type(found) is int else whole(found)


def find_last_step(client: Client, path: RunPath, name: str) -> int:
    """Find the last step of a run in its rows, for servers that have no index of keys."""
    [texts], where = read_run(client, path, name, RowsAsked())
    rows = objects(texts, where=where)
    return max((_step(row, -1) for row in rows), default=-1)


def scan_rows(
    client: Client,
    path: RunPath,
    name: str,
    keys: Sequence[str],
    windows: StepWindows,
    has_all: Callable[[], bool],
    *,
    match: Match = "all",
) -> Iterator[Row]:
    """Read every row of one run, window by window; with keys, these and `_step` of the rows that hold them.

    What the server knows of the last step may be old: behind it, it is asked until nothing comes, or `has_all`.
    """
    together = [keys] if match == "all" else [[key] for key in keys if key != STEP] or [[STEP]]

    def ask_for(low: int, high: int | None) -> list[list[Row]]:
        bounds = widened(low, high) if windows.wide else (low, high)
        if keys:
            named = [tuple(with_step(each)) for each in together]
            specs = tuple(spec(each, windows.samples, *bounds) for each in named)
            asked = RowsOf(run_id=name, specs=specs)
        else:
            asked = RowsOf(run_id=name, field="history")
        request = rows_request(
            path, [asked], samples=windows.samples, min_step=bounds[0], max_step=bounds[1]
        )

        def read(content: bytes, request: Request) -> list[list[Row]]:
            [(_, lists, where)] = open_rows(content, request, path, [asked])
            return [objects(texts, where=where) for texts in lists]

        return send_and_read(client, request, read, splittable=windows.can_shrink)

    while True:
        while (window := windows.window) is not None:
            low, high = window
            try:
                parts = ask_for(low, high)
            except WbframeError as error:
                if not (windows.can_shrink and is_of_request(error)):
                    raise
                windows.shrink()
                continue
            # Of the rows of one key there are the most.
            if windows.took(max(map(len, parts))):
                for row in parts[0] if len(parts) == 1 else united(parts):
                    if low <= _step(row, low) < high:
                        yield row
        if has_all():
            return
        behind = chain.from_iterable(ask_for(windows.at, None))
        last = max((_step(row, -1) for row in behind), default=-1)
        if last < windows.at:
            return
        windows.go_on(last + 1)


def with_step(keys: Sequence[str]) -> list[str]:
    """Give keys as they are asked for, each once and `_step` among them: in front, unless it has its place."""
    return list(dict.fromkeys(keys if STEP in keys else (STEP, *keys)))


def _step(row: Row, default: int) -> int:
    """Give the step of a row, which may be spelled as text."""
    found = whole(row.get(STEP))
    return default if found is None else found


def read_run_file(client: Client, path: RunPath, name: str, file: str) -> bytes | None:
    """Read a small file of a run; None if the run has no such file.

    Raises
    ------
    ConnectionFailedError, StatusError
        If the file is listed and does not come.
    """
    request = documents.run_file(path, name, file)
    address = _address(client, request, path, name, file)
    return None if address is None else client.download(address, asked=request.asked)


def _address(
    client: Client, request: Request, path: RunPath, name: str, file: str
) -> SignedUrl | None:
    """Ask where a file of a run is."""
    [run] = found_runs(ask(client, request).get("project"), [name], path)
    nodes = [edge["node"] for edge in (run.get("files") or {}).get("edges") or []]
    # The direct one is signed and lies in a storage; the other is the server's own.
    addresses = [node.get("directUrl") or node.get("url") for node in nodes if node["name"] == file]
    return SignedUrl(addresses[0]) if addresses and addresses[0] else None
