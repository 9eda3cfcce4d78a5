from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wbframe.server import ragged, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wbframe.server import Project
    from wbframe.server.http import Server


@pytest.fixture(scope="session")
def ragged_project() -> Project:
    """The project of hard cases, made once: it cannot change."""
    return ragged()


@pytest.fixture
def server(ragged_project: Project) -> Iterator[Server]:
    """A server of the small built-in projects, with an empty log."""
    with serve([ragged_project, "odd", "empty"]) as started:
        yield started
