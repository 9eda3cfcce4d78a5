from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import wbframe
from wbframe.server import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wbframe import Client
    from wbframe.server import Project
    from wbframe.server.http import Server


@pytest.fixture(scope="session")
def steady(all_projects: Server) -> Iterator[Client]:
    """One client for every example of a property."""
    with wbframe.Client(all_projects.url, all_projects.api_key) as made:
        yield made


@pytest.fixture(scope="session", params=["mongo", "sql"])
def reading(
    request: pytest.FixtureRequest, ragged_project: Project, demo_project: Project
) -> Iterator[Client]:
    """A client of a server that reads nulls in filters in one of the two ways."""
    with (
        serve([ragged_project, demo_project], null_reading=request.param) as started,
        wbframe.Client(started.url, started.api_key) as made,
    ):
        yield made
