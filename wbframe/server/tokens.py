"""Identity tokens that a server trusts, and the access tokens that it gave for them."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

from wbframe.server.replies import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GRANT", "Tokens"]

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JSON = {"Content-Type": "application/json"}


@dataclass(slots=True)
class Tokens:
    """What is trusted, and what was given out.

    Attributes
    ----------
    trusted
        Identity tokens, and the seconds that an access token lives which is given for one.
    given
        Access tokens, and when they end.
    """

    trusted: dict[str, float] = field(default_factory=dict)
    given: dict[str, float] = field(default_factory=dict)

    def exchange(self, body: bytes) -> Reply:
        """Answer one exchange, as a form."""
        form = {
            name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()
        }
        if form.get("grant_type") != GRANT:
            return _reply(400, {"error": "unsupported_grant_type"})
        seconds = self.trusted.get(form.get("assertion", ""))
        if seconds is None:
            said = "the issuer of the token is not trusted"
            return _reply(401, {"error": "invalid_grant", "error_description": said})
        token = secrets.token_urlsafe(32)
        self.given[token] = time.monotonic() + seconds
        # The Go core of the SDK reads whole seconds.
        return _reply(
            200, {"access_token": token, "expires_in": int(seconds), "token_type": "Bearer"}
        )

    def knows(self, authorization: str) -> bool:
        """Tell whether a header shows an access token that has not ended."""
        kind, _, token = authorization.partition(" ")
        return kind == "Bearer" and time.monotonic() < self.given.get(token, 0.0)


def _reply(status: int, said: Mapping[str, object]) -> Reply:
    return Reply(status, msgspec.json.encode(said), _JSON)
