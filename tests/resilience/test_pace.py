"""The pace of requests, in time that only passes when somebody waits."""

from __future__ import annotations

import copy
import heapq
import itertools
import math
import time
from collections import deque
from dataclasses import replace

import pytest

import wbframe
from tests.clocks import FakeClock, TurnClock
from wbframe.io.client.pace import Pace, Quota, _Law, read_quota
from wbframe.server import serve, synthetic
from wbframe.server.faults import Fault


class Limiter:
    """So many requests a minute; what is above gets 429."""

    def __init__(self, clock, per_minute, *, headers=False, cost=0.05):
        self.clock, self.per_minute, self.headers, self.cost = clock, per_minute, headers, cost
        self.window, self.count = clock.now(), 0
        self.answers = []

    def __call__(self, text, where="api"):
        self.clock.time += self.cost
        now = self.clock.now()
        if now - self.window >= 60:
            self.window, self.count = now, 0
        self.count += 1
        self.answers.append(200 if self.count <= self.per_minute else 429)
        if self.answers[-1] == 200:
            return None
        told = {"Retry-After": f"{self.window + 60 - now:.2f}"} if self.headers else {}
        return Fault(status=429, headers=told)


@pytest.fixture(scope="module")
def many():
    with serve(synthetic(runs=10_000, rows=1, keys=1)) as server:
        yield server


@pytest.mark.parametrize("headers", [True, False])
def test_ten_thousand_runs_on_a_server_that_allows_200_a_minute(many, headers, monkeypatch):
    # Were time to jump while requests are on their way, they would be late, and how late a matter of luck.
    clock = TurnClock(lambda: client.pace._active)
    limiter = Limiter(clock, 200, headers=headers)
    monkeypatch.setattr(many._faults, "take", limiter)
    path = next(iter(many.engine.catalog.views))
    with wbframe.Client(many.url, many.api_key, clock=clock) as client:
        frame = wbframe.polars.read_runs(path, columns=["run_id"], per_page=10, client=client)
    assert frame.height == 10_000 == frame["run_id"].n_unique()
    refused = limiter.answers.count(429)
    assert len(limiter.answers) == 1000 + refused
    # All that is under way runs into a wall at once; with no word on how long it stands, a few times more.
    assert refused <= 15
    assert limiter.answers[-400:].count(429) <= 6
    # At best 4 of the 5 minutes that 1000 requests take are waited for.
    assert 240 <= clock.now() - 1000 <= 600


def test_requests_per_minute_are_kept_by_all_threads_together(server):
    clock = FakeClock()
    client = wbframe.Client(server.url, server.api_key, clock=clock, requests_per_minute=60)
    client.budget._now = client.budget._most = 1
    rows = wbframe.polars.read_histories("e/p", keys=["a"], client=client)
    assert rows["run_id"].n_unique() == 9
    assert client.traffic.requests == 10
    assert client.last_report.waited >= 9
    assert client.pace.waits >= 9


def run(pace, clock, outcomes):
    """Let requests end in some way one after the other, and give when they began."""
    began = []
    for outcome in outcomes:
        with pace.turn():
            began.append(clock.now())
            pace.took() if outcome == 200 else pace.refused(None)
    return began


class Window:
    """So many requests in each minute."""

    def __init__(self, per_minute, *, told=False):
        self.per_minute, self.told, self.ends, self.left = per_minute, told, 0.0, 0

    def __call__(self, now):
        """Give None for a request that is taken, else what `Retry-After` says of it, if it is told."""
        if now >= self.ends:
            self.ends, self.left = now + 60, self.per_minute
        self.left -= 1
        return None if self.left >= 0 else self.said(self.ends - now)

    def said(self, seconds):
        return (seconds if self.told else None,)


class Sliding(Window):
    """So many requests in any minute."""

    def __init__(self, per_minute, *, told=False):
        super().__init__(per_minute, told=told)
        self.taken = deque()

    def __call__(self, now):
        while self.taken and self.taken[0] <= now - 60:
            self.taken.popleft()
        if len(self.taken) >= self.per_minute:
            return self.said(self.taken[0] + 60 - now)
        self.taken.append(now)
        return None


class Bucket(Window):
    """So many requests a minute, and 20 at once."""

    def __init__(self, per_minute, *, told=False):
        super().__init__(per_minute, told=told)
        self.tokens, self.seen = 20.0, 0.0

    def __call__(self, now):
        self.tokens = min(self.tokens + (now - self.seen) * self.per_minute / 60, 20.0)
        self.seen = now
        if self.tokens < 1:
            return self.said((1 - self.tokens) * 60 / self.per_minute)
        self.tokens -= 1
        return None


class Once:
    """Refuses what comes at these times, once each."""

    def __init__(self, *times, told=None):
        self.times, self.told = list(times), told

    def __call__(self, now):
        if self.times and now >= self.times[0]:
            self.times.pop(0)
            return (self.told,)
        return None


class Simulation:
    """Threads that send one request after the other through one pace, as events in order of time."""

    def __init__(self, server, *, threads=6, latency=0.1, idle=0.0, others=0):
        self.clock, self.server = FakeClock(), server
        self.clock.time = 0.0
        self.pace = Pace(6, self.clock)
        self.latency, self.idle = latency, idle
        self.taken, self.refused, self.waits = [], [], []
        self._events, self._order = [], itertools.count()
        self._blocked = []
        for _ in range(threads):
            self._at(0.0, self._ask, 0.0)
        if others:
            self._at(0.0, self._other, 60 / others)

    @property
    def next(self):
        """When something happens next."""
        return self._events[0][0]

    def run(self, *, until=math.inf, taken=math.inf):
        """Go on to that time, or until so many requests were taken."""
        while self.next <= until and len(self.taken) < taken:
            self.clock.time, _, event, given = heapq.heappop(self._events)
            event(*given)
        return self

    def rate(self, since, until):
        """Requests a second that were taken between these times."""
        return sum(since <= each < until for each in self.taken) / (until - since)

    def _at(self, time, event, *given):
        heapq.heappush(self._events, (time, next(self._order), event, given))

    def _other(self, gap):
        self.server(self.clock.time)
        self._at(self.clock.time + gap, self._other, gap)

    def _ask(self, asked):
        if self.pace._active >= self.pace.concurrency:
            self._blocked.append(asked)
        else:
            start = self.pace._start()
            self._at(start, self._begin, asked, start)

    def _begin(self, asked, start):
        now = self.clock.time
        if self.pace._begin(start):
            self.waits.append((now, now - asked))
            self._at(now + self.latency, self._answer, self.server(now + self.latency / 2))
        else:
            self._at(now, self._ask, asked)
        self._wake()

    def _answer(self, refusal):
        now = self.clock.time
        self.pace._end()
        if refusal is None:
            self.pace.took()
            self.taken.append(now)
        else:
            self.pace.refused(*refusal)
            self.refused.append(now)
        self._at(now + self.idle, self._ask, now + self.idle)
        self._wake()

    def _wake(self):
        for asked in self._blocked:
            self._at(self.clock.time, self._ask, asked)
        self._blocked.clear()


LIMITS = [kind(200, told=told) for kind in (Window, Sliding, Bucket) for told in (True, False)]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda it: f"{type(it).__name__}-{it.told}")
@pytest.mark.parametrize("latency", [0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("threads", [6, 12])
def test_a_server_that_limits_refuses_at_most_15_times(limit, latency, threads):
    made = Simulation(copy.deepcopy(limit), latency=latency, threads=threads).run(taken=1000)
    assert len(made.refused) <= 15
    assert made.clock.time <= 600


@pytest.mark.parametrize("limit", LIMITS, ids=lambda it: f"{type(it).__name__}-{it.told}")
@pytest.mark.parametrize("latency", [0.05, 0.1, 0.3])
def test_a_limit_that_another_process_shares_refuses_at_most_15_times(limit, latency):
    made = Simulation(copy.deepcopy(limit), latency=latency, others=100).run(taken=1000)
    assert len(made.refused) <= 15
    # At 100 a minute, the best is 9 minutes.
    assert made.clock.time <= 900


@pytest.mark.parametrize("limit", LIMITS, ids=lambda it: f"{type(it).__name__}-{it.told}")
def test_two_clients_that_share_a_limit_are_each_refused_at_most_15_times(limit):
    server = copy.deepcopy(limit)
    both = [Simulation(server), Simulation(server)]
    while any(len(each.taken) < 500 for each in both):
        one = min(both, key=lambda each: each.next)
        one.run(until=one.next)
    assert max(len(each.refused) for each in both) <= 15
    assert max(each.clock.time for each in both) <= 900


@pytest.mark.parametrize("told", [None, 1.0, 30.0, 3600.0])
@pytest.mark.parametrize("threads", [1, 6, 12])
@pytest.mark.parametrize("latency", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("at", [0.0, 100.0])
def test_a_refusal_that_does_not_recur_is_over_in_seconds(told, threads, latency, at):
    made = Simulation(Once(at, told=told), latency=latency, threads=threads).run(until=at + 1)
    resumes = made.clock.time + made.pace.paused
    made.run(until=resumes + 90)
    full = made.rate(resumes + 60, resumes + 90)
    assert full == pytest.approx(min(threads, 6) / latency, rel=0.05)
    assert made.rate(resumes + 10, resumes + 15) >= 0.49 * full
    assert (made.pace.gap, made.pace.concurrency) == (0.0, 6)


@pytest.mark.parametrize("idle", [1.5, 5.0, 30.0])
@pytest.mark.parametrize("apart", [10.0, 30.0, 100.0])
def test_a_notebook_that_reads_little_does_not_wait_for_long_after_four_refusals(idle, apart):
    refusals = [20 + apart * i for i in range(4)]
    made = Simulation(Once(*refusals), threads=1, idle=idle).run(until=1000)
    assert len(made.refused) == 4
    assert max(wait for _, wait in made.waits) <= 10
    assert max(wait for at, wait in made.waits if at > made.refused[-1] + 40) == 0


def test_when_another_process_is_done_the_pace_comes_back():
    made = Simulation(Window(200), others=150).run(until=300)
    assert made.pace.gap > 0
    made.server = Once()
    made.run(until=made.clock.time + made.pace.paused + 420)
    assert (made.pace.gap, made.pace.concurrency) == (0.0, 6)


def test_after_a_pause_starts_are_apart():
    clock = FakeClock()
    pace = Pace(6, clock)
    run(pace, clock, [200] * 3)
    assert pace.refused(10.0) == pace.paused == 10
    began = run(pace, clock, [200] * 5)
    assert began[0] == 1010
    gaps = [b - a for a, b in itertools.pairwise(began)]
    assert gaps == sorted(gaps, reverse=True)
    assert 0.2 < gaps[-1] < gaps[0] == 0.25
    assert pace.concurrency == 3


def test_one_request_finds_out_whether_a_pause_was_long_enough():
    pace = Pace(8, FakeClock())
    pace.refused(5.0)
    assert pace.concurrency == 1
    run(pace, pace._clock, [200])
    assert pace.concurrency == 4


def test_what_was_under_way_beside_a_refusal_teaches_nothing_new():
    pace = Pace(8, FakeClock())
    pace.refused(5.0)
    law = pace._law
    for _ in range(7):
        pace.took()
        pace.refused(5.0)
    assert pace._law == law


@pytest.mark.parametrize(
    ("told", "pause"),
    [
        (None, 2.0),
        (0.0, 2.0),
        (-5.0, 2.0),
        (math.nan, 2.0),
        (7.0, 7.0),
        (3600.0, 40.0),
        (1.8e9, 40.0),
        (math.inf, 40.0),
    ],
)
def test_a_pause_is_no_longer_than_a_read_would_wait(told, pause):
    for retry_after, quota in [(told, Quota()), (None, Quota(reset=told))]:
        clock = FakeClock()
        pace = Pace(6, clock, longest=40.0)
        assert pace.refused(retry_after, quota) == pace.paused == pause
        assert run(pace, clock, [200]) == [1000 + pause]
        assert pace.paused == 0


@pytest.mark.parametrize("remaining", [0, 1, 5])
def test_a_quota_holds_nothing_up_for_longer_than_a_read_would_wait(remaining):
    clock = FakeClock()
    pace = Pace(6, clock, longest=40.0)
    pace.took(Quota(remaining=remaining, limit=1000, reset=3600.0))
    assert run(pace, clock, [200] * 50)[-1] <= 1040


def test_refusals_in_vain_make_the_pause_longer_and_no_rate_lower():
    law = _Law()
    pauses = []
    for _ in range(5):
        told = law.refused(max(law.since, 0.0), 0.0, 300.0)
        pauses.append(told.since - max(law.since, 0.0))
        law = told
    assert pauses == [2, 8, 32, 32, 32]
    assert law.gap(law.since) == 0.25


def test_a_refusal_at_a_pace_in_use_halves_it_and_one_at_little_use_does_not():
    first = _Law().refused(0.0, 0.0, 300.0)
    assert replace(first, taken=50).refused(12.0, 0.0, 300.0).gap(12.0) == 0.5
    assert replace(first, taken=5).refused(12.0, 0.0, 300.0) == replace(first, since=14.0)
    # Full again for a minute: another matter.
    assert replace(first, taken=5000).refused(100.0, 0.0, 300.0) == replace(first, since=102.0)


def test_an_epoch_is_a_moment():
    headers = {"RateLimit-Reset": f"{time.time() + 20}"}
    assert read_quota(headers).reset == pytest.approx(20, abs=1)


def test_a_lone_refusal_is_forgotten():
    clock = FakeClock()
    pace = Pace(4, clock)
    pace.refused(None)
    run(pace, clock, [200] * 1000)
    assert (pace.gap, pace.concurrency) == (0.0, 4)


def test_a_low_quota_is_spread_over_the_time_until_it_is_full_again():
    clock = FakeClock()
    pace = Pace(4, clock)
    pace.took(Quota(remaining=50, limit=1000, reset=20))
    assert pace.gap == 0.4
    pace.took(Quota(remaining=0, limit=1000, reset=20))
    [began] = run(pace, clock, [200])
    assert began == 1020
    pace.took(Quota(remaining=900, limit=1000, reset=20))
    assert pace.gap == 0.0


@pytest.mark.parametrize(
    ("headers", "low"),
    [
        ({}, False),
        ({"RateLimit-Remaining": "99"}, True),
        ({"RateLimit-Remaining": "101"}, False),
        ({"RateLimit-Remaining": "9", "RateLimit-Limit": "60"}, False),
        ({"RateLimit-Remaining": "5", "RateLimit-Limit": "60"}, True),
        ({"RateLimit-Remaining": "nan"}, False),
        ({"RateLimit-Remaining": "-1"}, False),
        ({"RateLimit-Remaining": "soon"}, False),
    ],
)
def test_quota_headers(headers, low):
    assert read_quota(headers).is_low is low


def test_headers_of_answers_slow_a_client_down(server, client):
    body = b'{"data": {"viewer": {"entity": "e"}}}'
    server.fail(
        status=200, body=body, headers={"RateLimit-Remaining": "10", "RateLimit-Reset": "30"}
    )
    assert client.default_entity() == "e"
    assert client.pace.gap == 3.0
