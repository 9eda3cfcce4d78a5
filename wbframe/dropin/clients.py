"""From what the official SDK calls a client to ours: the same server, the same key."""

from __future__ import annotations

from typing import Any

from wbframe.errors import UsageError
from wbframe.io.client.client import Client, client_or_default
from wbframe.io.client.secrets import Secret, without_locals
from wbframe.io.forks import Guard

__all__ = ["client_of"]

_made: dict[tuple[str, Secret[str | None]], Client] = {}
_made_guard = Guard()


@without_locals
def client_of(given: object, *, service_api: object = None, api_key: str | None = None) -> Client:
    """Give the client for what was passed as one.

    Parameters
    ----------
    given
        A `Client`; an object that has one as `client`; a ``wandb.Api()``, or what it hands to its own
        classes (its ``client``, ``_service_api`` in newer releases); None for the environment's.
    service_api
        The same, as newer releases call it.
    api_key
        The key to use; None for that of the client.

    Raises
    ------
    UsageError
        If it is none of these, or both are given.
    """
    if given is not None and service_api is not None:
        raise UsageError("`client` and `service_api` are the same thing; give one of them")
    given = service_api if given is None else given
    inner = getattr(given, "client", given)
    if given is None or isinstance(inner, Client):
        known = client_or_default(inner if isinstance(inner, Client) else None)
        return known if api_key is None else _made_for(known.base_url, api_key)
    found = _server_and_key(given)
    if found is None:
        msg = (
            f"`client` must be a wbframe.Client, a wandb.Api() or None; got {type(given).__name__}"
        )
        raise UsageError(msg)
    return _made_for(found[0], api_key or found[1])


def _made_for(base_url: str, api_key: str | None) -> Client:
    """Give the client of a server and a key, made once."""
    at = (base_url, Secret(api_key))
    with _made_guard.lock:
        if at not in _made:
            _made[at] = Client(base_url, api_key)
        return _made[at]


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
