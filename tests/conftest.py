from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from wbframe.server import ragged, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture(scope="session")
def ragged_project() -> Project:
    """The project of hard cases, made once: it cannot change."""
    return ragged()


@pytest.fixture
def server(ragged_project: Project) -> Iterator[Server]:
    """A server of the small built-in projects, with an empty log."""
    with serve([ragged_project, "odd", "empty"]) as started:
        yield started
