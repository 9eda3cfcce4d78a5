"""Asking a server how it answers: few bounded questions in order, and a few reads whose time is taken."""

from __future__ import annotations

import platform
import threading
import time
import warnings
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from wbframe._version import __version__
from wbframe.core.arguments import history_scan, runs_scan
from wbframe.core.doctor import keys as logged
from wbframe.core.doctor import questions as ask
from wbframe.core.doctor import rows as rowed
from wbframe.core.doctor import runs as listed
from wbframe.core.doctor.report import (
    ODD,
    REPLACED_BY,
    DoctorReport,
    Failed,
    Finding,
    hidden,
    judged,
)
from wbframe.core.paths import name_of, parse_path
from wbframe.core.protocol.answers import found_project
from wbframe.core.protocol.exports import exports_request
from wbframe.core.protocol.project import fields_page, fields_request
from wbframe.core.protocol.request import BUCKETS, EXPORTS, FIELDS, KEYS, LIVE, PROJECTION
from wbframe.errors import (
    ConnectionFailedError,
    CredentialsError,
    TimedOutError,
    WbframeError,
    WbframeWarning,
)
from wbframe.io.client.client import Client, client_or_default
from wbframe.io.client.retry import RetryPolicy, Try
from wbframe.io.read.exports import Storage
from wbframe.io.read.histories import read_histories
from wbframe.io.read.outcome import silent
from wbframe.io.read.paging import resolved
from wbframe.io.read.runs import read_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import requests

    from wbframe.core.model import RunPath
    from wbframe.core.protocol.request import Request
    from wbframe.report import ScanReport

__all__ = ["doctor"]

_Got = TypeVar("_Got")
# Requests in all, and those that questions may take, so that the reads behind them have some left.
_MOST, _MOST_QUESTIONS = 40, 29
_INDEX_PAGES = 3
# Seconds that one answer may take, and all of them.
_TIMEOUT, _LONGEST = 30.0, 180.0
_TRIES, _PATIENCE = 2, 30.0
# Keys and runs of a typical read.
_READ_KEYS, _READ_RUNS = 3, 20


class _SpentError(WbframeError):
    """There are no more requests to send, or no more time; never leaves this module."""


class _Counting(Client):
    """A client that sends so many requests and no more, and takes note of what their answers say of limits."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.most = _MOST
        self.sent = 0
        self.statuses: list[int] = []
        self.limits: dict[str, str] = {}
        self._ends = self.clock.now() + _LONGEST
        self._counting = threading.Lock()

    def read(self, tried: Try[_Got]) -> _Got:
        """Try as any client does, as long as requests are left."""

        def send() -> requests.Response:
            with self._counting:
                if self.sent >= self.most or self.clock.now() > self._ends:
                    raise _SpentError("no more requests")
                self.sent += 1
            response = tried.send()
            self.statuses.append(response.status_code)
            self.limits |= {
                name.lower(): value
                for name, value in response.headers.items()
                if "ratelimit" in name.lower() or name.lower() == "retry-after"
            }
            return response

        return super().read(replace(tried, send=send))


def doctor(path: str | RunPath, *, client: Client | None = None) -> DoctorReport:
    """Ask a server how it answers what wbframe asks: at most 40 requests, none of which changes anything.

    Says which of the optional fields there are, how far the index of keys and the counts can be trusted, how
    bounds, caps and filters are meant, whether exported files come, what wbframe will use, and how long
    typical reads take. Also ``wbframe doctor entity/project`` in a shell.

    Parameters
    ----------
    path
        A project that the key may read, as the readers take it; of a sweep or run, its project. The more it has
        logged, the more can be told.
    client
        The connection; default: one for the environment's server and key, found as the official SDK does it.

    Returns
    -------
    DoctorReport
        ``str`` gives one screen of text, `to_json` a text for a report of a fault. In place of names, values,
        keys and hosts both have hashes.

    Raises
    ------
    PathError
        The path has none of the known forms.
    ProjectNotFoundError
        There is no such project, or the key may not see it.
    CredentialsError, AccessError, ConnectionFailedError
        The server cannot be asked. What it answers otherwise is a finding.

    Examples
    --------
    >>> import wbframe, wbframe.server
    >>> with wbframe.server.serve(project="demo") as server:
    ...     client = wbframe.Client(server.url, server.api_key)
    ...     report = wbframe.doctor("wbframe/demo", client=client)
    >>> report.state_of("index"), report.requests <= 40
    ('ok', True)
    """
    given = client_or_default(client)
    [found] = resolved(given, [replace(parse_path(path), run=None, sweep=None)])
    started = time.monotonic()
    policy = RetryPolicy(
        tries=min(given.retry.tries, _TRIES), seconds=min(given.retry.seconds, _PATIENCE)
    )
    asking = given.like(_Counting, retry=policy, timeout=min(given.timeout, _TIMEOUT))
    with asking:
        visit = _Visit(asking, found)
        visit.look()
    return DoctorReport(
        project=hidden(name_of(found)),
        server=hidden(given.base_url),
        versions=(
            ("wbframe", __version__),
            ("polars", pl.__version__),
            ("Python", platform.python_version()),
        ),
        findings=tuple(visit.findings),
        failures=tuple(visit.failures),
        uses=tuple(sorted(visit.has - visit.lacks)),
        replaced=tuple(sorted(visit.lacks)),
        requests=asking.sent,
        seconds=round(time.monotonic() - started, 3),
    )


@dataclass(slots=True)
class _Visit:
    """One look at a server: what was found, and what later questions need of earlier answers."""

    client: _Counting
    path: RunPath
    findings: list[Finding] = field(default_factory=list)
    failures: list[Failed] = field(default_factory=list)
    has: set[str] = field(default_factory=set)
    lacks: set[str] = field(default_factory=set)
    typical: tuple[str, rowed.Keys | None] = ("", None)

    def look(self) -> None:
        """Ask all questions."""
        self.client.most = _MOST_QUESTIONS
        request = ask.project(self.path)
        content = self.client.send(request)
        found_project(ask.read_answer(content, request).get("project"), self.path)
        schema = self._ask(ask.SCHEMA)
        self._find("schema", schema, lambda: listed.schema_finding(schema))
        nodes = self._runs()
        if not nodes:
            self.findings.append(Finding("runs", "unknown", "none is there, so little can be told"))
        else:
            self._look_at_runs(nodes)
            self._look_at_rows(nodes)
            self.client.most = _MOST
            self._typical()
        self._limits()

    # ------------------------------------------------------------ asking

    def _ask(self, request: Request, feature: str | None = None) -> Any:
        """Send a question, and give the data of its answer, or why there are none."""
        return self._try(request, lambda: ask.read_answer(self.client.send(request), request), feature)

    def _try(self, request: Request, read: Callable[[], Any], feature: str | None = None) -> Any:
        """Give what is read, or why it is not; what ends the visit is raised."""
        features = set() if feature is None else {feature}
        try:
            found = read()
        except WbframeError as error:
            _raise_if_fatal(error)
            failed = Failed.of(request, error)
            self.failures.append(failed)
            self.lacks |= features
            return failed
        self.has |= features
        return found

    def _find(self, topic: str, answer: Any, judge: Callable[[], Finding]) -> bool:
        """Judge an answer; tell whether it is as it should be."""
        self.findings.append(judged(topic, answer, judge))
        return self.findings[-1].state == "ok"

    # ------------------------------------------------------------ runs

    def _runs(self) -> list[dict[str, Any]]:
        """Ask for a large page of runs, then for a small one where that is refused."""
        for first in (ask.MOST_RUNS, ask.LOOKED_AT):
            data = self._ask(ask.listed(self.path, first))
            self._find("pages of runs", data, lambda: listed.page_finding(data, first))  # noqa: B023
            if not isinstance(data, Failed):
                nodes = _guarded(lambda: listed.nodes_of(data["project"]["runs"]))  # noqa: B023
                return [each for each in nodes or () if isinstance(each.get("name"), str)]
        return []

    def _look_at_runs(self, nodes: list[dict[str, Any]]) -> None:
        """Ask about config, summary, filters and the index."""
        names = [each["name"] for each in nodes[: ask.LOOKED_AT]]
        data = self._ask(ask.looked_at(self.path, names))
        some = _guarded(lambda: listed.nodes_of(data["project"]["runs"])) or []
        configs = _guarded(lambda: listed.configs_of(some)) or {}
        self._index(some)
        key = listed.some_key(configs, (int, float, str))
        if key is not None:
            one = self._ask(ask.projected(self.path, names, key), PROJECTION)
            self._find("config(keys:)", one, lambda: listed.projection_finding(one, key))
        if configs:
            self._filters(names, configs)
        else:
            self._find("filters", data, lambda: Finding("filters", "differs", "runs by name: none passes"))

    def _index(self, some: list[dict[str, Any]]) -> None:
        """Read the index of config and summary keys, a few pages of it."""
        pairs: list[tuple[str, Any]] = []
        cursor, pages = None, 0
        while pages == 0 or (cursor is not None and pages < _INDEX_PAGES):
            request = fields_request(self.path, cursor)

            def read(request: Request = request) -> Any:
                return fields_page(self.client.send(request), request, self.path)

            page = self._try(request, read, FIELDS)
            if isinstance(page, Failed):
                self.findings.append(judged("index", page, list))
                return
            more, cursor = page
            pages += 1
            pairs += more
        whole = cursor is None
        found = _guarded(lambda: listed.index_findings(pairs, pages, some, whole=whole))
        self.findings += found or [Finding("index", "differs", ODD)]
        if not pairs:
            self.lacks.add(FIELDS)

    def _filters(self, names: list[str], configs: Mapping[str, Mapping[str, Any]]) -> None:
        """Ask which runs pass filters: all in one request, or one by one where that fails."""
        tests = listed.filter_tests(configs)
        data = self._ask(ask.filtered(self.path, names, {k: each.test for k, each in tests.items()}))
        answers: dict[str, Any] = {}
        if not isinstance(data, Failed):
            answers = _guarded(lambda: dict(data["project"])) or {}
        else:
            for alias, each in tests.items():
                one = self._ask(ask.filtered(self.path, names, {alias: each.test}))
                answers |= _guarded(lambda: dict(one["project"])) or {}  # noqa: B023
        found = _guarded(lambda: listed.filter_findings(answers, tests))
        refused = Finding("filters", "absent", f"no answer: {data}")
        self.findings += found or [refused if isinstance(data, Failed) else Finding("filters", "differs", ODD)]

    # ------------------------------------------------------------ rows

    def _look_at_rows(self, nodes: list[dict[str, Any]]) -> None:
        """Ask about logged keys, rows, windows, caps and exports."""
        name, longest = rowed.choose_runs(nodes, ask.WHOLE - 1)
        names = list(dict.fromkeys([name, longest, *(each["name"] for each in nodes)]))
        runs = self._keys(names[: ask.WITH_KEYS])
        whole = self._ask(ask.whole_rows(self.path, name))
        history = _run_of(whole).get("history")
        rows = _guarded(lambda: logged.rows_in(history)) or []
        self._find("whole rows", whole, lambda: rowed.rows_finding(history, ask.WHOLE))
        run = next((each for each in runs if each.get("name") == name), None)
        if rows and run and len(rows) < ask.WHOLE:
            found = _guarded(lambda: logged.count_findings(run, rows))
            self.findings += found or [Finding("counts of keys", "differs", ODD)]
        keys = _guarded(lambda: rowed.choose_keys(rows))
        if keys is not None and keys.main is not None:
            self._specs(name, keys)
            self._windows(name, keys.main, rows)
            self._buckets(name, keys.main)
            lines = next((each.get("historyLineCount") for each in nodes if each["name"] == longest), 0)
            self._caps(longest, keys.main, lines if isinstance(lines, int) else 0, runs)
        self._exports(names[: ask.WITH_KEYS])
        self.typical = (name, keys)

    def _keys(self, names: list[str]) -> list[dict[str, Any]]:
        """Ask for the logged keys of some runs, each by its own name and united."""
        data = self._ask(ask.run_keys(self.path, names))
        if isinstance(data, Failed) and len(names) > 1:
            self.findings.append(judged("runs a request", data, list))
            names = names[:1]
            data = self._ask(ask.run_keys(self.path, names))
        else:
            detail = f"{len(names)} runs by name in one request"
            self._find("runs a request", data, lambda: Finding("runs a request", "ok", detail))
        runs = _guarded(lambda: [each for each in data["project"].values() if each]) or []
        self._find("historyKeys", data, lambda: logged.form_finding(runs))
        united = self._ask(ask.united_keys(self.path, names), KEYS)
        self._find(
            "united keys",
            united,
            lambda: logged.united_finding(united["project"]["runs"]["historyKeys"], runs),
        )
        return runs

    def _specs(self, name: str, keys: rowed.Keys) -> None:
        """Ask for several specs, a dotted key, and a scalar beside media."""
        wanted = [key for key in (keys.main, keys.second) if key]
        asked: dict[str, list[list[str]]] = {"specs a request": [[key] for key in wanted]}
        if keys.dotted:
            asked["dotted keys"] = [[keys.dotted]]
        if keys.media:
            asked["media with scalars"] = [[wanted[0], keys.media]]
        for topic, specs in asked.items():
            spelled = [{"keys": each, "samples": ask.WHOLE} for each in specs]
            data = self._ask(ask.sampled(self.path, name, *spelled))
            counts = [keys.counts[each[-1]] for each in specs]
            self._find(
                topic,
                data,
                lambda: rowed.spec_finding(topic, rowed.specs_of(_run_of(data)), counts),  # noqa: B023
            )
        for topic in ("dotted keys", "media with scalars"):
            if topic not in asked:
                self.findings.append(Finding(topic, "unknown", "the run looked at has none"))

    def _windows(self, name: str, key: str, rows: logged.Rows) -> None:
        """Ask for a window of several steps, and for one of one step."""
        bounds = rowed.window_of(rows, key)
        if bounds is None:
            self.findings.append(Finding("windows", "unknown", "no run looked at is long enough"))
            return
        low, high = bounds
        several = self._ask(ask.windowed(self.path, name, key, low, high, high))
        one = self._ask(ask.windowed(self.path, name, key, low, low + 1, low))

        def rows_of(field: str, data: Any) -> logged.Rows:
            run = _run_of(data)
            if field == "history":
                return logged.rows_in(run.get(field))
            return [row for spec in rowed.specs_of(run) for row in spec] if run else []

        for field_name, short in (("history", "rows"), ("sampledHistory", "samples")):
            self._find(
                f"windows: {short}",
                several,
                lambda: rowed.window_finding(  # noqa: B023
                    short, rows_of(field_name, several), rows_of(field_name, one), bounds  # noqa: B023
                ),
            )

    def _caps(self, name: str, key: str, lines: int, runs: list[dict[str, Any]]) -> None:
        """Ask for more rows than there may be to have, and for few."""
        known = next((each for each in runs if each.get("name") == name), {})
        named = _guarded(lambda: logged.largest_key(known)) or key
        many = self._ask(
            ask.sampled(self.path, name, {"keys": [named], "samples": ask.MANY_SAMPLES})
        )
        there = _guarded(lambda: len(rowed.specs_of(_run_of(many))[0])) or 0
        self._find(
            "samples: many", many,
            lambda: rowed.cap_finding("samples: many", there, ask.MANY_SAMPLES, logged.count_of(known, named) or 0),
        )  # fmt: skip
        if there > ask.FEW_SAMPLES:
            few = self._ask(
                ask.sampled(self.path, name, {"keys": [named], "samples": ask.FEW_SAMPLES})
            )
            self._find(
                "samples: few", few,
                lambda: rowed.few_finding(len(rowed.specs_of(_run_of(few))[0]), ask.FEW_SAMPLES, there),
            )  # fmt: skip
        if lines >= ask.WHOLE:
            data = self._ask(ask.whole_rows(self.path, name, ask.LONG_WINDOW))
            self._find(
                "rows a window", data,
                lambda: rowed.cap_finding(
                    "rows a window", len(logged.rows_in(_run_of(data).get("history"))), ask.LONG_WINDOW, lines
                ),
            )  # fmt: skip

    def _buckets(self, name: str, key: str) -> None:
        """Ask for buckets."""
        data = self._ask(ask.buckets(self.path, name, key), BUCKETS)
        self._find("buckets", data, lambda: rowed.bucket_finding(_run_of(data)))

    def _exports(self, names: list[str]) -> None:
        """Ask for exported files, and for a few bytes of one."""
        data = self._ask(exports_request(self.path, names), LIVE)
        if not isinstance(data, Failed):
            self.has.add(EXPORTS)
        else:
            data = self._ask(exports_request(self.path, names, live=False), EXPORTS)
        runs = _guarded(lambda: [each for each in data["project"].values() if each]) or []
        self._find("exports", data, lambda: rowed.export_finding(runs))
        urls = _guarded(
            lambda: [url for run in runs for url in run["parquetHistory"]["parquetUrls"]]
        )
        if not urls:
            self.findings.append(Finding("exported files", "unknown", "none is named"))
            return
        request = replace(exports_request(self.path, names), document="query File {")

        def read() -> Any:
            with closing(Storage(self.client)) as storage:
                return storage.get(urls[0], "0-3")

        part = self._try(request, read)
        self._find(
            "exported files", part, lambda: rowed.file_finding(part.content, whole=part.whole)
        )

    # ------------------------------------------------------------ reads

    def _typical(self) -> None:
        """Read as a user would, and say how long it takes."""
        name, keys = self.typical
        path = replace(self.path, run=name)
        some = [] if keys is None else [key for key in (keys.main, keys.second, keys.dotted) if key]
        wanted = list(dict.fromkeys(some))[:_READ_KEYS]
        self._time("read: runs", lambda: read_runs(self.client, runs_scan(self.path, limit=_READ_RUNS), silent))
        if wanted:
            scan = history_scan(self.path, keys=wanted, limit=_READ_RUNS)
            self._time("read: sampled", lambda: read_histories(self.client, scan, silent))
        whole = history_scan(path, samples=None)
        self._time("read: whole run", lambda: read_histories(self.client, whole, silent))
        self.lacks |= self.client.refused & REPLACED_BY.keys()

    def _time(self, topic: str, read: Callable[[], tuple[pl.DataFrame, ScanReport]]) -> None:
        """Do a read, and take its time; what it names in a warning is private."""
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", WbframeWarning)
            try:
                frame, report = read()
            except WbframeError as error:
                _raise_if_fatal(error)
                kind = "more requests than are left" if isinstance(error, _SpentError) else type(error).__name__
                self.findings.append(Finding(topic, "differs", f"failed: {kind}"))
                return
        kinds = ", ".join(sorted({each.category.__name__ for each in warned}))
        text = f"{frame.height} rows of {report.runs} runs, {frame.width} columns in {report.seconds:.2f} s"
        text += f", {report.requests} requests" + (f"; {kinds}" if kinds else "")
        self.findings.append(Finding(topic, "ok", text))

    def _limits(self) -> None:
        """Say what answers told of limits."""
        statuses, limits = self.client.statuses, self.client.limits
        refused = sum(each == 429 for each in statuses)  # noqa: PLR2004
        failed = sum(each >= 500 for each in statuses)  # noqa: PLR2004
        told = ", ".join(f"{name} {value}" for name, value in sorted(limits.items()) if value.isdigit())
        text = f"{told or 'no header tells one'}; of {len(statuses)} answers {refused} were 429, {failed} 5xx"
        self.findings.append(Finding("rate limits", "differs" if refused else "ok", text))


def _raise_if_fatal(error: WbframeError) -> None:
    """Raise what ends the visit: a key that is refused, a server that cannot be reached."""
    gone = isinstance(error, ConnectionFailedError) and not isinstance(error, TimedOutError)
    if gone or isinstance(error, CredentialsError):
        raise error


def _guarded(read: Callable[[], _Got]) -> _Got | None:
    """Read something of an answer; None where that has another form."""
    try:
        return read()
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        return None


def _run_of(data: Any) -> dict[str, Any]:
    """Give the one run of an answer; nothing where it is not there."""
    run = _guarded(lambda: data["project"]["r0"])
    return run if isinstance(run, dict) else {}
