"""Asking a server how it answers: few bounded questions in order, and a few reads whose time is taken."""

from __future__ import annotations

import platform
import time
import warnings
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import requests

from wbframe._version import __version__
from wbframe.core.arguments import history_scan, runs_scan
from wbframe.core.doctor import keys as logged
from wbframe.core.doctor import questions as ask
from wbframe.core.doctor import rows as rowed
from wbframe.core.doctor import runs as listed
from wbframe.core.doctor.filters import filter_findings, filter_tests
from wbframe.core.doctor.report import (
    ODD,
    REPLACED_BY,
    DoctorReport,
    Failed,
    Finding,
    SpentError,
    attempt,
    judged,
)
from wbframe.core.doctor.words import hidden
from wbframe.core.paths import name_of, parse_path
from wbframe.core.protocol.answers import found_project
from wbframe.core.protocol.exports import exports_request
from wbframe.core.protocol.project import FIELDS_PER_PAGE, fields_page, fields_request
from wbframe.core.protocol.ranges import ByteRange
from wbframe.core.protocol.request import (
    BUCKETS,
    EXPORTS,
    FIELDS,
    KEYS,
    LIVE,
    PROJECTION,
    Request,
)
from wbframe.errors import (
    AccessError,
    ConnectionFailedError,
    CredentialsError,
    ProjectNotFoundError,
    TimedOutError,
    WbframeError,
    WbframeWarning,
)
from wbframe.io.client.client import Client, client_or_default
from wbframe.io.client.retry import RetryPolicy
from wbframe.io.client.secrets import without_locals
from wbframe.io.doctor.counting import MOST_REQUESTS, Counting
from wbframe.io.read.histories import read_histories
from wbframe.io.read.outcome import silent
from wbframe.io.read.paging import resolved
from wbframe.io.read.runs import read_runs
from wbframe.io.read.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wbframe.core.model import RunPath
    from wbframe.report import ScanReport

__all__ = ["doctor"]

# Of all requests those that questions may take, so that the reads behind them have some left.
_MOST_QUESTIONS = 31
_INDEX_PAGES, _FEW_FIELDS = 3, 100
# Seconds that one answer may take.
_TIMEOUT = 30.0
_TRIES, _PATIENCE = 2, 30.0
# Runs of a typical read.
_READ_RUNS = 20
_FILE = Request(document="query File {}", variables={}, asked="an exported file")
_FIRST_BYTES = ByteRange(0, 4)
# A run of so many rows can be read whole in one answer.
_FEW_ROWS = ask.WHOLE - 1


@without_locals
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
    asking = given.like(Counting, retry=policy, timeout=min(given.timeout, _TIMEOUT))
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

    client: Counting
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
        there = self._ask(request)
        if isinstance(there, Failed):
            self._find("project", there, lambda _: Finding("project", "ok", ""))
        else:
            found_project(attempt(lambda data: data["project"], there), self.path)
        self._find("schema", self._ask(ask.SCHEMA), listed.schema_finding)
        nodes = self._runs()
        if not nodes:
            self.findings.append(Finding("runs", "unknown", "none comes, so little can be told"))
        else:
            self._look_at_runs()
            self._look_at_rows(nodes)
            self.client.most = MOST_REQUESTS
            self._typical()
        self._limits()

    # ------------------------------------------------------------ asking

    def _ask(self, request: Request, feature: str | None = None) -> Any:
        """Send a question, and give the data of its answer, or why there are none."""
        return self._try(
            request, lambda: ask.read_answer(self.client.send(request), request), feature
        )

    def _try(self, request: Request, read: Callable[[], Any], feature: str | None = None) -> Any:
        """Give what is read, or why it is not; what ends the visit is raised."""
        features = set() if feature is None else {feature}
        try:
            found = read()
        except WbframeError as error:
            self._raise_if_fatal(error)
            failed = Failed.of(request, error)
            self.failures.append(failed)
            self.lacks |= set() if isinstance(error, SpentError) else features
            return failed
        self.has |= features
        return found

    def _raise_if_fatal(self, error: WbframeError) -> None:
        """Raise what ends the visit: a key that is refused, a server that cannot be reached."""
        gone = isinstance(error, ConnectionFailedError) and not isinstance(error, TimedOutError)
        refused = isinstance(error, AccessError) and not self.findings
        if gone or refused or isinstance(error, CredentialsError | ProjectNotFoundError):
            raise error

    def _find(self, topic: str, answer: Any, judge: Callable[[Any], Finding]) -> None:
        """Judge an answer."""
        self.findings.append(judged(topic, answer, judge))

    # ------------------------------------------------------------ runs

    def _runs(self) -> list[dict[str, Any]]:
        """Ask for a large page of runs, then for a small one where that is refused."""
        for first in (ask.MOST_RUNS, ask.LOOKED_AT):
            data = self._ask(ask.listed(self.path, first))
            self._find("pages of runs", data, partial(listed.page_finding, asked=first))
            if not isinstance(data, Failed):
                break
        return [each for each in _nodes_of(data) if isinstance(each.get("name"), str)]

    def _look_at_runs(self) -> None:
        """Ask about config, summary, filters and the index."""
        data = self._ask(ask.looked_at(self.path))
        some = _nodes_of(data)
        configs = attempt(listed.configs_of, some) or {}
        self._index(some)
        key = listed.some_key(configs, (int, float, str))
        if key is not None:
            one = self._ask(ask.projected(self.path, key), PROJECTION)
            self._find("config(keys:)", one, partial(listed.projection_finding, key=key))
        if configs:
            self._filters(configs)

    def _index(self, some: list[dict[str, Any]]) -> None:
        """Read the index of config and summary keys, a few pages of it; smaller ones where one is refused."""
        pairs: list[tuple[str, Any]] = []
        cursor, pages = None, 0
        first = FIELDS_PER_PAGE
        while pages == 0 or (cursor is not None and pages < _INDEX_PAGES):
            request = fields_request(self.path, cursor, first)
            page = self._try(request, partial(self._fields, request), FIELDS)
            if isinstance(page, Failed) and first == FIELDS_PER_PAGE and FIELDS not in self.has:
                first = _FEW_FIELDS
                continue
            if isinstance(page, Failed):
                self.findings.append(judged("index", page, listed.schema_finding))
                return
            more, cursor = page
            pages += 1
            pairs += more
        self.lacks -= {FIELDS} if pairs else set()
        judge = partial(listed.index_findings, pages=pages, nodes=some, whole=cursor is None)
        self.findings += attempt(judge, pairs) or [Finding("index", "differs", ODD)]

    def _fields(self, request: Request) -> Any:
        """Read a page of the index."""
        return fields_page(self.client.send(request), request, self.path)

    def _filters(self, configs: Mapping[str, Mapping[str, Any]]) -> None:
        """Ask which runs pass filters: all in one request, or one by one where that fails."""
        names, tests = list(configs), filter_tests(configs)
        asked = {alias: each.test for alias, each in tests.items()}
        data = self._ask(ask.filtered(self.path, names, asked))
        answers = attempt(_aliases_of, data) or {}
        if isinstance(data, Failed):
            for alias, test in asked.items():
                one = self._ask(ask.filtered(self.path, names, {alias: test}))
                answers |= attempt(_aliases_of, one) or {}
        if isinstance(data, Failed) and not answers:
            self._find("filters", data, lambda _: Finding("filters", "ok", ""))
            return
        found = attempt(partial(filter_findings, tests=tests), answers)
        self.findings += found or [Finding("filters", "differs", ODD)]

    # ------------------------------------------------------------ rows

    def _look_at_rows(self, nodes: list[dict[str, Any]]) -> None:
        """Ask about logged keys, rows, windows, caps and exports."""
        name, longest = rowed.choose_runs(nodes, _FEW_ROWS)
        names = list(dict.fromkeys([name, longest, *(each["name"] for each in nodes)]))
        names, runs = self._keys(names[: ask.WITH_KEYS])
        if runs and name not in {each.get("name") for each in runs}:
            # It is listed, and yet gone.
            name, longest = attempt(lambda there: rowed.choose_runs(there, _FEW_ROWS), runs) or (
                name,
                longest,
            )
        whole = self._ask(ask.whole_rows(self.path, name))
        self._find("whole rows", whole, partial(rowed.rows_finding, most=ask.WHOLE))
        rows = attempt(lambda data: rowed.rows_of(data, "history"), whole) or []
        run = next((each for each in runs if each.get("name") == name), None)
        if rows and run and len(rows) < ask.WHOLE:
            found = attempt(partial(logged.count_findings, rows=rows), run)
            self.findings += found or [Finding("counts of keys", "differs", ODD)]
        keys = attempt(rowed.choose_keys, rows)
        if keys is not None and keys.main is not None:
            self._specs(name, keys)
            self._windows(name, keys.main, rows)
            buckets = self._ask(ask.buckets(self.path, name, keys.main), BUCKETS)
            self._find("buckets", buckets, rowed.bucket_finding)
            known = next((each for each in runs if each.get("name") == longest), {})
            self._caps(longest, keys.main, known)
        self._exports(names)
        self.typical = (name, keys)

    def _keys(self, names: list[str]) -> tuple[list[str], list[dict[str, Any]]]:
        """Ask for the logged keys of some runs, each by its own name and united; fewer where that is refused."""
        topic = "runs a request"
        detail = f"{len(names)} runs by name in one request"
        data = self._ask(ask.run_keys(self.path, names))
        self._find(topic, data, lambda _: Finding(topic, "ok", detail))
        if isinstance(data, Failed) and len(names) > 1:
            names = names[:1]
            data = self._ask(ask.run_keys(self.path, names))
        runs = [
            each for each in (attempt(_aliases_of, data) or {}).values() if isinstance(each, dict)
        ]
        self._find("historyKeys", data, lambda _: logged.form_finding(runs))
        united = self._ask(ask.united_keys(self.path, names), KEYS)
        self._find("united keys", united, partial(logged.united_finding, runs=runs))
        return names, runs

    def _specs(self, name: str, keys: rowed.Keys) -> None:
        """Ask for several specs, a dotted key, and a scalar beside media."""
        wanted = [key for key in (keys.main, keys.second) if key]
        asked = {
            "specs a request": [[key] for key in wanted],
            "dotted keys": [[keys.dotted]] if keys.dotted else [],
            "media with scalars": [[wanted[0], keys.media]] if keys.media else [],
        }
        for topic, specs in asked.items():
            if not specs:
                self.findings.append(Finding(topic, "unknown", "the run looked at has none"))
                continue
            spelled = [{"keys": each, "samples": ask.WHOLE} for each in specs]
            counts = [keys.counts[each[-1]] for each in specs]
            data = self._ask(ask.sampled(self.path, name, *spelled))
            self._find(topic, data, partial(rowed.spec_finding, topic=topic, wanted=counts))

    def _windows(self, name: str, key: str, rows: logged.Rows) -> None:
        """Ask for a window of several steps, and for one of one step."""
        bounds = attempt(lambda read: rowed.window_of(read, key), rows)
        if bounds is None:
            self.findings.append(Finding("windows", "unknown", "no run looked at is long enough"))
            return
        low, high = bounds
        several = self._ask(ask.windowed(self.path, name, key, low, high, high))
        one = self._ask(ask.windowed(self.path, name, key, low, low + 1, low))
        for topic, each in (("windows: rows", "history"), ("windows: samples", "sampledHistory")):
            judge = partial(rowed.window_finding, field=each, topic=topic, one=one, bounds=bounds)
            self._find(topic, several, judge)

    def _caps(self, name: str, key: str, run: Mapping[str, Any]) -> None:
        """Ask for more rows than there may be to have, and for few."""
        largest: str | None = attempt(logged.largest_key, run)
        key = largest or key
        field, topic = "sampledHistory", "samples: many"
        known = attempt(lambda read: logged.count_of(read, key), run) or 0
        spec = {"keys": [key], "samples": ask.MANY_SAMPLES}
        many = self._ask(ask.sampled(self.path, name, spec))
        cap = partial(rowed.cap_finding, field=field, topic=topic)
        self._find(topic, many, partial(cap, asked=ask.MANY_SAMPLES, lines=known))
        there = len(attempt(lambda data: rowed.rows_of(data, field), many) or ())
        if there > ask.FEW_SAMPLES:
            few = self._ask(ask.sampled(self.path, name, {**spec, "samples": ask.FEW_SAMPLES}))
            judge = partial(rowed.few_finding, asked=ask.FEW_SAMPLES, there=there)
            self._find("samples: few", few, judge)
        lines = run.get("historyLineCount")
        if isinstance(lines, int) and lines >= ask.WHOLE:
            cap = partial(rowed.cap_finding, field="history", topic="rows a window")
            data = self._ask(ask.long_window(self.path, name))
            self._find("rows a window", data, partial(cap, asked=ask.LONG_WINDOW, lines=lines))

    def _exports(self, names: list[str]) -> None:
        """Ask for exported files, and for a few bytes of one."""
        data = self._ask(exports_request(self.path, names), LIVE)
        if not isinstance(data, Failed):
            self.has.add(EXPORTS)
        else:
            data = self._ask(exports_request(self.path, names, live=False), EXPORTS)
        self._find("exports", data, rowed.export_finding)
        urls = attempt(rowed.files_of, data)
        if not urls:
            self.findings.append(Finding("exported files", "unknown", "none is named"))
            return

        def read() -> Any:
            with closing(Storage(self.client)) as storage:
                return storage.get(urls[0], _FIRST_BYTES)

        part = self._try(_FILE, read)
        self._find(
            "exported files", part, lambda got: rowed.file_finding(got.content, whole=got.whole)
        )

    # ------------------------------------------------------------ reads

    def _typical(self) -> None:
        """Read as a user would, and say how long it takes."""
        name, keys = self.typical
        some = [] if keys is None else [keys.main, keys.second, keys.dotted]
        wanted = list(dict.fromkeys(key for key in some if key))
        runs = runs_scan(self.path, limit=_READ_RUNS)
        self._time("read: runs", lambda: read_runs(self.client, runs, silent))
        if wanted:
            scan = history_scan(self.path, keys=wanted, limit=_READ_RUNS, samples=500)
            self._time("read: sampled", lambda: read_histories(self.client, scan, silent))
        whole = history_scan(replace(self.path, run=name), samples=None)
        self._time("read: whole run", lambda: read_histories(self.client, whole, silent))
        self.lacks |= self.client.refused & REPLACED_BY.keys()

    def _time(self, topic: str, read: Callable[[], tuple[pl.DataFrame, ScanReport]]) -> None:
        """Do a read, and take its time; what it names in a warning is private."""
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", WbframeWarning)
            try:
                frame, report = read()
            except WbframeError as error:
                self._raise_if_fatal(error)
                spent = isinstance(error, SpentError)
                why = "it takes more requests than were left" if spent else type(error).__name__
                self.findings.append(Finding(topic, "differs", f"failed: {why}"))
                return
        kinds = ", ".join(sorted({each.category.__name__ for each in warned}))
        self.findings.append(
            Finding(
                topic,
                "ok",
                f"{frame.height} rows of {report.runs} runs, {frame.width} columns in"
                f" {report.seconds:.2f} s, {report.requests} requests{kinds and f'; {kinds}'}",
            )
        )

    def _limits(self) -> None:
        """Say what answers told of limits."""
        statuses, limits = self.client.statuses, self.client.limits
        refused = statuses.count(requests.codes.too_many_requests)
        failed = sum(each >= requests.codes.server_error for each in statuses)
        numbers = [f"{name} {value}" for name, value in sorted(limits.items()) if value.isdigit()]
        told = ", ".join(numbers) or "no header tells one"
        text = f"{told}; of {len(statuses)} answers {refused} were 429, {failed} 5xx"
        self.findings.append(Finding("rate limits", "differs" if refused else "ok", text))


def _nodes_of(data: Any) -> list[dict[str, Any]]:
    """Give the runs of a page; none where it has another form."""
    return attempt(lambda read: listed.nodes_of(read["project"]["runs"]), data) or []


def _aliases_of(data: Any) -> dict[str, Any]:
    """Give what stands in the project of an answer, by alias."""
    return dict(data["project"])
