from __future__ import annotations

import pytest

import wbframe
from tests.clocks import FakeClock
from wbframe.server import Exports, History, Project, RunRecord, serve


def rows(i):
    return [{"_step": step, "a": step + i, "b": 0.5 * step, "c": i} for step in range(20)]


def record(i, **more):
    return RunRecord(
        name=f"r{i}",
        created_at=f"2026-01-01T00:00:{i:02d}Z",
        config={"lr": i / 10, "depth": i},
        summary={"loss": i, "acc": 1 - i / 10, "best": i, "worst": i, "mean": 2.0},
        history=History(rows(i)),
        events=History(
            [{"_runtime": t, "_timestamp": t, "system.cpu": t + i} for t in range(5)], stepped=False
        ),
        **more,
    )


@pytest.fixture(scope="session")
def project():
    return Project(entity="e", name="p", runs=tuple(record(i) for i in range(9)))


@pytest.fixture(scope="session")
def exported(project):
    return Project(entity="e", name="x", runs=project.runs, exports=Exports.all())


@pytest.fixture
def server(project, exported):
    """A server for each test: what is left under way by one that cuts reads must not meet the next one's faults."""
    with serve([project, exported]) as started:
        yield started


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def client(server, clock):
    with wbframe.Client(server.url, server.api_key, clock=clock, concurrency=2) as made:
        yield made


class Nth:
    """Lets the n-th of the requests that fit go wrong, and counts them.

    What lasts also lets those behind it go wrong: a read that was cut may leave requests that the server only
    now takes up, and one of these may be the n-th.
    """

    def __init__(self, real, fault, n, match, where, *, lasts=False):
        self.real, self.lasts = real, lasts
        self.fault, self.n, self.match, self.where = fault, n, match, where
        self.seen = 0

    def __call__(self, text, where="api"):
        if where == self.where and self.match in text:
            self.seen += 1
            if self.seen == self.n or (self.lasts and self.seen > self.n):
                return self.fault
        return self.real(text, where)


@pytest.fixture
def nth(server, monkeypatch):
    real = server._faults.take

    def put(fault, n, match, where="api", *, lasts=False):
        made = Nth(real, fault, n, match, where, lasts=lasts)
        monkeypatch.setattr(server._faults, "take", made)
        return made

    return put
