from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

import wbframe
from wbframe.server import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wbframe import Client
    from wbframe.server import Project
    from wbframe.server.http import Server

    Serving = Callable[..., tuple[Server, Client]]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Start servers, each with a client for it; all are closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def start(project: Project | str, **options: Any) -> tuple[Server, Client]:
            started = stack.enter_context(serve(project, **options))
            client = wbframe.Client(
                started.url, started.api_key, retry=wbframe.RetryPolicy(tries=3, first_wait=0.0)
            )
            return started, stack.enter_context(client)

        yield start
