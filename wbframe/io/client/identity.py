"""Identity tokens in place of an API key: exchanged for access tokens that live for a while, as the SDK does it.

The identity token, a JWT, lies in the file that WANDB_IDENTITY_TOKEN_FILE names. For it the server gives an
access token, which is kept in WANDB_CREDENTIALS_FILE, by default ``~/.config/wandb/credentials.json``, and shared
with the SDK there. It is exchanged anew some minutes before it ends; the file of the JWT is read each time, since
who issues such tokens also writes them anew.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from wbframe.errors import CredentialsError
from wbframe.io.client.credentials import is_sent
from wbframe.io.client.failures import Failure, is_retried, of_status
from wbframe.io.client.secrets import Hidden, Secret, without_locals
from wbframe.io.client.settings import read_file, why
from wbframe.io.forks import Guard
from wbframe.log import log_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Identity", "read_exchange"]

# https://www.rfc-editor.org/rfc/rfc7523#section-2.1
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_PATH = "/oidc/token"
_FILE = "~/.config/wandb/credentials.json"
_TIME = "%Y-%m-%d %H:%M:%S"
_EARLY = 300.0  # seconds before its end from which a token is not used any more
_log = log_of("client")
_LONGEST = 366 * 86_400.0  # seconds that a token is believed to live


@dataclass(frozen=True, slots=True)
class _Access:
    """An access token, and until when it is used."""

    token: Secret[str]
    until: datetime


class Identity:
    """Shows an access token, got for the identity token in a file; an `auth` of requests.

    Parameters
    ----------
    base_url
        The server.
    file
        Of the identity token.
    """

    def __init__(self, base_url: str, file: str) -> None:
        self.url = f"{base_url}{_PATH}"
        self.file = Path(file)
        self.cache = Path(os.environ.get("WANDB_CREDENTIALS_FILE") or _FILE).expanduser()
        self._base_url = base_url
        self._guard = Guard()
        self._access: _Access | None = None
        self._refused: Secret[str] | None = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Show the token."""
        if self._access is not None:
            request.headers["Authorization"] = Hidden(f"Bearer {self._access.token.reveal()}")
        return request

    def out_of(self, text: str) -> str:
        """Take the token out of a text."""
        access = self._access
        return text if access is None else text.replace(access.token.reveal(), "***")

    @without_locals
    def renew(self, exchange: Callable[[dict[str, str], Secret[str]], bytes]) -> None:
        """Have a token that does not end soon: the one at hand, the one in the file, or a new one.

        Parameters
        ----------
        exchange
            Sends a form that holds the identity token, and gives the answer; of all threads one does it.

        Raises
        ------
        CredentialsError
            If the file of the identity token cannot be read, or the server does not take it.
        """
        with self._guard.lock:
            if self._access is None or _now() >= self._access.until:
                self._access = None
                self._access = self._kept() or self._exchanged(exchange)

    def refuse(self) -> bool:
        """Forget a token that the server refused; tells whether another may be taken."""
        with self._guard.lock:
            again, self._refused = self._refused is None, None
            if again and self._access is not None:
                self._refused = self._access.token
            self._access = None
        return again

    def _kept(self) -> _Access | None:
        """Read the token from the file, if one is there that does not end soon, and was not refused."""
        kept: Any = self._known().get(self._base_url)
        try:
            token = Secret(kept["access_token"])
            ends = datetime.strptime(f"{kept['expires_at']} +0000", f"{_TIME} %z")
            until = ends - timedelta(seconds=_EARLY)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        usable = _is_token(token) and token != self._refused and _now() < until
        return _Access(token, until) if usable else None

    def _known(self) -> dict[str, Any]:
        """Read all tokens of the file; what is no such file holds none."""
        try:
            found = json.loads(read_file(self.cache))
        except (OSError, ValueError, RecursionError):
            return {}
        kept = found.get("credentials") if isinstance(found, dict) else None
        return kept if isinstance(kept, dict) else {}

    def _exchanged(self, exchange: Callable[[dict[str, str], Secret[str]], bytes]) -> _Access:
        """Exchange the identity token, and keep what comes."""
        identity = self._identity()
        form = {"grant_type": _GRANT, "assertion": Hidden(identity.reveal())}
        token, seconds = read_exchange(exchange(form, identity))
        ends = _now() + timedelta(seconds=seconds)
        self._refused = None
        self._keep(token, ends)
        # One that lives for minutes only would be early from its first moment on.
        return _Access(token, ends - timedelta(seconds=min(_EARLY, seconds / 2)))

    def _identity(self) -> Secret[str]:
        """Read the identity token."""
        found, said = self._token_in_file()
        if said:
            raise CredentialsError(
                f"cannot read the identity token in {self.file} (WANDB_IDENTITY_TOKEN_FILE): {said};"
                " have it written anew, or set WANDB_API_KEY in its place"
            )
        if not found:
            raise CredentialsError(
                f"the identity token in {self.file} (WANDB_IDENTITY_TOKEN_FILE) is empty; have it written anew"
            )
        return found

    def _token_in_file(self) -> tuple[Secret[str], str]:
        """Read the file of the identity token, or say why not; what cannot be decoded is not even a context."""
        found, said = Secret(""), ""
        try:
            found = Secret(read_file(self.file).decode("ascii").strip())
        except OSError as error:
            said = why(error)
        except UnicodeDecodeError:
            said = "it is no token"
        return found, said or ("" if is_sent(found) else "it is no token")

    def _keep(self, token: Secret[str], ends: datetime) -> None:
        """Write the token to the file that the SDK shares, for its owner alone; who cannot goes without."""
        kept = self._known()
        kept[self._base_url] = {"expires_at": ends.strftime(_TIME), "access_token": token.reveal()}
        beside: str | None = None
        try:
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            # Made for its owner alone, and put in place whole.
            number, beside = tempfile.mkstemp(dir=self.cache.parent, prefix=f".{self.cache.name}.")
            with os.fdopen(number, "w", encoding="utf-8") as file:
                json.dump({"credentials": kept}, file, indent=2)
            Path(beside).replace(self.cache)
        except OSError as error:
            _log.warning("cannot keep the access token in %s: %s", self.cache, type(error).__name__)
            if beside is not None:
                with suppress(OSError):
                    Path(beside).unlink()

    def on_exchange(self, identity: Secret[str]) -> Callable[[requests.Response, bytes], bytes]:
        """Give what tells an answer that holds a token from a failure."""

        def take(response: requests.Response, content: bytes) -> bytes:
            status = response.status_code
            if status == requests.codes.ok:
                return content
            failure = of_status(status, response.headers, content)
            if is_retried(status):
                failure.said = failure.said.replace(identity.reveal(), "***")
                failure.args = (failure.said,)
                raise failure
            said = _reason(content).replace(identity.reveal(), "***")
            text = f"the server takes no identity token from {self.file} (HTTP {status}){said}"
            advice = (
                "this server may know no identity tokens: set WANDB_API_KEY, and unset WANDB_IDENTITY_TOKEN_FILE"
                if status in {404, 405, 501}
                else "have the file written anew, and ask who runs the server whether it trusts the issuer"
            )
            raise Failure(CredentialsError, text, advice, status=status)

        return take


def read_exchange(content: bytes) -> tuple[Secret[str], float]:
    """Read the answer to an exchange: the access token, and the seconds that it lives.

    Raises
    ------
    CredentialsError
        If it holds none.
    """
    try:
        found = json.loads(content)
        token, seconds = Secret(found["access_token"]), float(found["expires_in"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        token, seconds = Secret(None), 0.0
    if not _is_token(token) or not 0 < seconds < math.inf:
        raise CredentialsError(
            "the server gave no access token for the identity token; set WANDB_API_KEY, and unset"
            " WANDB_IDENTITY_TOKEN_FILE"
        )
    return token, min(seconds, _LONGEST)


def _is_token(found: Secret[Any]) -> bool:
    """Tell whether it is a text that can be sent."""
    return isinstance(found.reveal(), str) and bool(found) and is_sent(found)


def _reason(content: bytes) -> str:
    """Give what a refusal says, on one line."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(found, dict):
        return ""
    told = (found.get("error"), found.get("error_description"))
    said = ", ".join(" ".join(each.split())[:200] for each in told if isinstance(each, str))
    return f": {said}" if said else ""


def _now() -> datetime:
    """Give the time of day, which tokens end by."""
    return datetime.now(timezone.utc)
