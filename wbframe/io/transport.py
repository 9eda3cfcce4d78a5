"""gql's transport: what is sent, and the response as it comes."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gql import GraphQLRequest
from gql.transport.requests import RequestsHTTPTransport

if TYPE_CHECKING:
    import requests

    from wbframe.core.model import Request

__all__ = ["Prepared", "Transport"]


class Prepared(GraphQLRequest):
    """A request whose document is parsed once for all that share it: that takes longer than to send it."""

    def __init__(self, request: Request) -> None:
        with _documents_lock:  # else all threads would parse the first one at the same time
            self._parsed = _parsed(request.document)
        super().__init__(self._parsed, variable_values=dict(request.variables))

    @property
    def payload(self) -> dict[str, Any]:
        """What is sent."""
        return {"query": self._parsed.query, "variables": self.variable_values}


_documents_lock = threading.Lock()


class _Parsed(GraphQLRequest):
    """A document that was parsed, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__(document)
        self.query: str = super().payload["query"]


_parsed = lru_cache(maxsize=64)(_Parsed)


class Transport(RequestsHTTPTransport):
    """gql's transport, handing out the response itself: rows must not be parsed to Python objects."""

    def post(self, request: GraphQLRequest, *, timeout: float) -> requests.Response:
        """Send one request; redirects are not followed, since the key goes to one host only."""
        arguments = self._prepare_request(
            request, extra_args={"allow_redirects": False, "timeout": timeout, "stream": True}
        )
        session: requests.Session = self.session  # type: ignore[assignment]
        return session.request(self.method, self.url, **arguments)
