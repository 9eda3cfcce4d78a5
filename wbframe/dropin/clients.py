"""From what the official SDK calls a client to ours: the same server, the same key."""

from __future__ import annotations

import threading
from typing import Any

from wbframe.errors import UsageError
from wbframe.io.client.client import Client, client_or_default

__all__ = ["client_of"]

_made: dict[tuple[str, str | None], Client] = {}
_made_lock = threading.Lock()


def client_of(given: object) -> Client:
    """Give the client for what was passed as one.

    Parameters
    ----------
    given
        A `Client`; an object that has one as `client`; a ``wandb.Api()``, or what it hands to its own
        classes (its ``client``, ``_service_api`` in newer releases); None for the environment's.

    Raises
    ------
    UsageError
        If it is none of these.
    """
    if given is None or isinstance(given, Client):
        return client_or_default(given)
    inner = getattr(given, "client", None)
    if isinstance(inner, Client):
        return inner
    found = _server_and_key(given)
    if found is None:
        msg = (
            f"`client` must be a wbframe.Client, a wandb.Api() or None; got {type(given).__name__}"
        )
        raise UsageError(msg)
    with _made_lock:
        if found not in _made:
            _made[found] = Client(found[0], found[1])
        return _made[found]


def _server_and_key(given: Any) -> tuple[str, str | None] | None:
    """Read the server and the key off an object of the SDK."""
    # `wandb.Api` has a dict of settings, the service of 0.31 an object, and the client of 0.18 a transport.
    settings = getattr(given, "settings", None)
    if isinstance(settings, dict) and settings.get("base_url"):
        return str(settings["base_url"]), getattr(given, "api_key", None)
    settings = getattr(given, "_settings", None)
    if getattr(settings, "base_url", None):
        return str(getattr(settings, "base_url", "")), getattr(settings, "api_key", None)
    transport = getattr(getattr(given, "_client", None), "transport", None)
    url = getattr(transport, "url", None)
    if url:
        auth = getattr(getattr(transport, "session", None), "auth", None)
        return str(url).removesuffix("/graphql"), auth[1] if isinstance(auth, tuple) else None
    return None
