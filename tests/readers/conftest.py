from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import wbframe
from wbframe.server import History, Project, RunRecord, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wbframe import Client
    from wbframe.server.http import Server


@pytest.fixture(params=["ragged", "demo"])
def project(
    request: pytest.FixtureRequest, ragged_project: Project, demo_project: Project
) -> Project:
    return {"ragged": ragged_project, "demo": demo_project}[request.param]


LONG, SHORT = 900, 20


def _run(i: int, rows: int) -> RunRecord:
    return RunRecord(
        name=f"r{i}",
        created_at=f"2026-01-01T00:00:{i:02d}Z",
        config={"lr": i},
        history=History([{"_step": step, "a": step, "b": 0.5} for step in range(rows)]),
        events=History(
            [{"_runtime": t, "_timestamp": t, "system.cpu": t} for t in range(rows)], stepped=False
        ),
    )


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    """A project of two runs that are longer than a sample, and a short one."""
    runs = tuple(_run(i, LONG if i else SHORT) for i in range(3))
    with serve(Project(entity="e", name="p", runs=runs)) as server:
        yield server


@pytest.fixture
def own(served: Server) -> Iterator[Client]:
    with wbframe.Client(served.url, served.api_key) as client:
        yield client
