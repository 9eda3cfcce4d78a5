"""Who asks a server: by a key, by an access token, or as nobody; and what is said where that is refused."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from wbframe.errors import (
    AccessError,
    CredentialsError,
    MissingKeyError,
    NoKeyWarning,
    PlainHttpWarning,
    RefusedKeyError,
)
from wbframe.io.client.credentials import (
    find_key,
    is_plain,
    named_by_folder,
    no_key,
    not_for,
)
from wbframe.io.client.failures import Failure, on_answer
from wbframe.io.client.identity import Identity
from wbframe.io.client.retry import Try
from wbframe.io.client.secrets import Hidden, Proxies, Secret, without_user
from wbframe.io.client.session import as_it_is
from wbframe.warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wbframe.io.client.session import Session

__all__ = ["Login"]

_LOST_KEY = "the key that it was given"
_LOST_PROXIES = "the passwords of its proxies"


class _Key:
    """Shows a key, as basic authentication; an `auth` of requests."""

    def __init__(self, key: Secret[str]) -> None:
        self.key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = Hidden(f"Basic {self._encoded()}")
        return request

    def _encoded(self) -> str:
        """Spell the key as it is sent."""
        return base64.b64encode(f"api:{self.key.reveal()}".encode()).decode()

    def out_of(self, text: str) -> str:
        """Take the key out of a text."""
        return text.replace(self.key.reveal(), "***").replace(self._encoded(), "***")


class Login:
    """Who asks one server; found at the first request, and shown to that server alone.

    Parameters
    ----------
    base_url
        The server.
    given
        The argument `base_url` of the client.
    api_key
        Its argument of that name.
    proxies
        Its argument of that name.
    auth
        What shows the key in place of all that, or None.
    """

    def __init__(
        self,
        base_url: str,
        given: str | None,
        api_key: str | None,
        proxies: Proxies | None,
        auth: Any = None,
    ) -> None:
        self._base_url = base_url
        self._folder = None if auth is not None else named_by_folder(given)
        self._api_key = None if api_key is None else Secret(api_key)
        self._proxied = proxies if proxies is not None else Proxies({})
        self._lost: tuple[str, ...] = ()
        self._given_auth = None if auth is None else Secret(auth)
        self._auth: Any = None
        self._nobody = self._told = self._refused = False

    @property
    def words(self) -> str:
        """What a copy lost, in words for its `repr`."""
        return f", a copy without {' and '.join(self._lost)}" if self._lost else ""

    def left_behind(self) -> tuple[str | None, tuple[str, ...]]:
        """Give what a pickle of the client has to say of its login, which stays here."""
        lost = [*self._lost]
        if self._api_key is not None:
            lost.append(_LOST_KEY)
        if self._proxied != self._proxied.bare():
            lost.append(_LOST_PROXIES)
        return self._folder, tuple(dict.fromkeys(lost))

    def copied(self, folder: str | None, lost: tuple[str, ...]) -> None:
        """Take what the pickle of a client says."""
        self._folder, self._lost = folder, lost

    def find(self) -> None:
        """Find who asks, and warn where the key would go over a network as it is.

        Raises
        ------
        CredentialsError
            If a key is not to be used, or is lost.
        """
        if self._given_auth is None:
            self._auth = self._found()
            self._nobody, self._refused = self._auth is as_it_is, False
        if not self._nobody:
            self._warn_if_plain()

    def _found(self) -> Any:
        """Find a key, an identity token, or nobody."""
        file = os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
        if file and not self._api_key:
            if os.environ.get("WANDB_API_KEY"):
                raise CredentialsError(
                    "both WANDB_API_KEY and WANDB_IDENTITY_TOKEN_FILE are set; unset one of them"
                )
            if self._folder:
                host = urlsplit(self._base_url).netloc
                raise not_for(host, "WANDB_IDENTITY_TOKEN_FILE", self._folder)
            return Identity(self._base_url, file)
        key = find_key(self._base_url, self._api_key, folder=self._folder)
        if key is None and _LOST_KEY in self._lost:
            raise MissingKeyError(
                f"this client is a copy without {_LOST_KEY}, and there is {no_key(self._base_url)}"
            )
        return as_it_is if key is None else _Key(key)

    def _warn_if_plain(self) -> None:
        """Warn if the key is about to go over a network as it is."""
        split = urlsplit(self._base_url)
        if split.scheme != "http":
            return
        host, proxy = split.hostname, requests.utils.select_proxy(self._base_url, self._proxied)
        if is_plain(self._base_url):
            # Before this machine none of the environment's stands; see `Session`.
            ours = requests.utils.get_environ_proxies(self._base_url)
            proxy = proxy or requests.utils.select_proxy(self._base_url, ours)
            more = f" (the proxy {without_user(proxy)} reads it too)" if proxy else ""
            msg = f"the API key goes to {host} unencrypted; set `base_url` to its https:// address{more}"
            warn(msg, PlainHttpWarning)
        elif proxy:
            shown = without_user(proxy if "//" in proxy else f"//{proxy}")
            msg = f"the API key goes to {host} unencrypted, by way of the proxy {shown}; leave out `proxies`"
            warn(msg, PlainHttpWarning)

    def auth(
        self, read: Callable[[Try[bytes]], bytes], session: Session, options: Mapping[str, Any]
    ) -> Any:
        """Give what shows the key; of tokens one that does not end soon.

        Parameters
        ----------
        read
            Sends a request, and gives the body of its answer.
        session, options
            What it is sent with.
        """
        # Whoever was told that a key is missing or wrong has maybe seen to it.
        if self._nobody or self._refused:
            self.find()
        if isinstance(self._auth, Identity):
            identity = self._auth

            def exchange(form: dict[str, str], token: Secret[str]) -> bytes:
                return read(
                    Try(
                        what=f"could not exchange the identity token at {self._base_url}",
                        send=lambda: session.post(
                            identity.url,
                            data=form,
                            auth=as_it_is,
                            allow_redirects=False,
                            stream=True,
                            **options,
                        ),
                        take=identity.on_exchange(token),
                    )
                )

            identity.renew(exchange)
        return self._auth if self._given_auth is None else self._given_auth.reveal()

    def on_answer(self, response: requests.Response, content: bytes) -> bytes:
        """Give an answer as `failures.on_answer` does, and say what a refusal means for who asked."""
        try:
            found = on_answer(response, content, self._out_of)
        except Failure as failure:
            self._explain(failure)
            failure.said = self._out_of(failure.said)
            failure.args = (failure.said,)
            raise
        if self._nobody and not self._told:
            self._told = True
            msg = f"only what is public is found: {no_key(self._base_url)}"
            warn(msg, NoKeyWarning)
        return found

    def _out_of(self, text: str) -> str:
        """Take what is shown to the server out of what it says: it may repeat what it was sent."""
        return self._auth.out_of(text) if isinstance(self._auth, _Key | Identity) else text

    def _explain(self, failure: Failure) -> None:
        """Say of a refusal what it means for who asked."""
        refused = issubclass(failure.kind, RefusedKeyError | AccessError)
        if refused and self._nobody:
            # What is refused by 403 may be a field that can be done without.
            if failure.kind is RefusedKeyError:
                failure.kind = MissingKeyError
            wanted = f"the server wants a key (HTTP {failure.status})"
            failure.said = f"{wanted}, and there is {no_key(self._base_url)}"
            failure.advice = ""
        elif failure.kind is RefusedKeyError and isinstance(self._auth, Identity):
            failure.said = "the access token was refused (HTTP 401)"
            failure.advice = f"have the identity token in {self._auth.file} written anew"
            failure.again, failure.most = self._auth.refuse(), 2
        elif failure.kind is RefusedKeyError:
            self._refused = True
