"""Documents through a requests transport of gql's that the caller has made.

Apart from the client, since importing gql imports graphql-core with its validation: 0.1 s of CPU, of which
sending a text needs nothing. Without such a transport the client posts the same body itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gql import GraphQLRequest
from gql.transport.requests import RequestsHTTPTransport

from wbframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import requests

__all__ = ["only_address", "post"]

_API = "/graphql"


class _AsWritten(GraphQLRequest):
    """A request whose document is not parsed, only to be printed again: that takes longer than to send it."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = dict(body)

    @property
    def payload(self) -> dict[str, Any]:
        """What is sent."""
        return self._body


def only_address(transport: object, *others: object) -> str:
    """Give the address of the server that a transport is for, which nothing else may name.

    Raises
    ------
    UsageError
        If it is no requests transport of gql's, or something else names an address or a key.
    """
    if any(each is not None for each in others):
        raise UsageError("`transport` has an address and a key: leave out `base_url` and `api_key`")
    if not isinstance(transport, RequestsHTTPTransport):
        raise UsageError(
            "`transport` must be a gql.transport.requests.RequestsHTTPTransport, not connected yet;"
            f" got {type(transport).__name__}"
        )
    return transport.url.rstrip("/").removesuffix(_API)


def post(
    transport: RequestsHTTPTransport,
    session: requests.Session,
    body: Mapping[str, Any],
    options: Mapping[str, Any],
) -> requests.Response:
    """Send a body as the transport would, with its headers, key, cookies and options, and ours besides."""
    arguments = transport._prepare_request(_AsWritten(body), extra_args=dict(options))  # noqa: SLF001 -- it has no public way that does not parse the answer
    return session.request(transport.method, transport.url, **arguments)
