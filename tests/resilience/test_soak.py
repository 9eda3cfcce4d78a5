"""Two thousand requests, of which one in five goes wrong in some way: nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
import threading

import wbframe
from tests.clocks import FakeClock
from wbframe.polars import read_histories, read_runs
from wbframe.server.faults import Fault

FAULTS = [
    Fault(status=429),
    Fault(status=429, headers={"Retry-After": "2"}),
    Fault(status=500),
    Fault(status=502, body=b"<html>"),
    Fault(status=503),
    Fault(status=504),
    Fault(drop=True),
    Fault(truncate=True),
]
JSON_FAULTS = [
    *FAULTS,
    Fault(body=b""),
    Fault(body=b"<html>maintenance</html>"),
    Fault(body=b'{"errors": [{"message": "context deadline exceeded"}]}'),
]


class Often:
    """Lets one request in five go wrong, by a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.requests = self.faults = 0

    def __call__(self, text, where="api"):
        with self.lock:
            self.requests += 1
            if self.random.random() >= 0.2:
                return None
            self.faults += 1
            return self.random.choice(JSON_FAULTS if where == "api" else FAULTS)


def read_all(client):
    client.budget._now = client.budget._most = 1
    return [
        read_runs("e/p", per_page=3, client=client),
        read_histories("e/p", keys=["a", "b"], client=client),
        read_histories("e/p", client=client),
        read_histories("e/p", stream="system", client=client),
        read_histories("e/x", samples=None, client=client),
    ]


def test_soak(server, monkeypatch):
    with wbframe.Client(server.url, server.api_key) as calm:
        expected = read_all(calm)
    often = Often(20)
    monkeypatch.setattr(server._faults, "take", often)
    policy = wbframe.RetryPolicy(tries=20, seconds=10_000)
    while often.requests < 2000:
        with wbframe.Client(
            server.url, server.api_key, clock=FakeClock(), retry=policy, concurrency=4
        ) as client:
            found = read_all(client)
        assert all(one.equals(other) for one, other in zip(expected, found, strict=True))
    assert 0.15 < often.faults / often.requests < 0.25
