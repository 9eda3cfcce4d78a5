from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import wbframe
from wbframe.server import API_KEY, built_in, ragged, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wbframe import Client
    from wbframe.server import Project
    from wbframe.server.http import Server


# Tests run beside each other on few cores, so how long an example takes says nothing; and a run that guards a
# change must say the same twice.
settings.register_profile("wbframe", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "wbframe")


def pytest_configure(config: pytest.Config) -> None:
    """Let the project of hard cases have a key `a.b` beside a nested one; a test of that asks for the warning.

    Said here and not in the settings, which would import the package before its coverage is measured.
    """
    config.addinivalue_line("filterwarnings", "ignore::wbframe.errors.CollisionWarning")
    # The web app of every server, whatever its port, so that frames of two servers can be equal.
    os.environ["WANDB_APP_URL"] = "http://app.test"


@pytest.fixture(scope="session")
def ragged_project() -> Project:
    """The project of hard cases, made once: it cannot change."""
    return ragged()


@pytest.fixture
def server(ragged_project: Project) -> Iterator[Server]:
    """A server of the small built-in projects, with an empty log; its key is one that tests can look for."""
    with serve([ragged_project, "odd", "empty"], api_key=API_KEY) as started:
        yield started


@pytest.fixture(scope="session")
def demo_project() -> Project:
    return built_in("demo")


@pytest.fixture(scope="session")
def all_projects(ragged_project: Project, demo_project: Project) -> Iterator[Server]:
    with serve([ragged_project, demo_project, "odd", "empty"]) as started:
        yield started


@pytest.fixture
def web(all_projects: Server) -> Iterator[Server]:
    """The server of all built-in projects, its log empty."""
    all_projects.clear()
    yield all_projects
    all_projects.clear()


@pytest.fixture
def client(web: Server) -> Iterator[Client]:
    with wbframe.Client(web.url, web.api_key) as made:
        yield made
