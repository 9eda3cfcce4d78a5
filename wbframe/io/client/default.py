"""The client of calls that name none."""

from __future__ import annotations

import os
import threading

from wbframe.errors import UsageError
from wbframe.io.client.client import Client
from wbframe.io.client.credentials import find_base_url

__all__ = ["client_or_default"]

_defaults: dict[tuple[str | None, ...], Client] = {}
_defaults_lock = threading.Lock()


def client_or_default(client: Client | None) -> Client:
    """Give the client, or the one for the environment as it is now; it keeps its connections between calls."""
    if client is not None:
        if not isinstance(client, Client):
            raise UsageError(f"`client` must be a wbframe.Client; got {type(client).__name__}")
        return client
    base_url = find_base_url(None)
    named = (os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT"))
    at = (base_url, *named)
    with _defaults_lock:
        if at not in _defaults:
            _defaults[at] = Client(base_url)
        return _defaults[at]


def _after_fork() -> None:
    """Make the lock anew, which another thread may have held."""
    global _defaults_lock  # noqa: PLW0603 -- as above
    _defaults_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
