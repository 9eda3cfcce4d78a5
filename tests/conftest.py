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


@pytest.fixture(scope="session")
def ragged_project() -> Project:
    """The project of hard cases, made once: it cannot change."""
    return ragged()


@pytest.fixture
def server(ragged_project: Project) -> Iterator[Server]:
    """A server of the small built-in projects, with an empty log."""
    with serve([ragged_project, "odd", "empty"]) as started:
        yield started
