"""Addresses that can be asked, and where a redirect leads: by hand, since requests reads the bodies of all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urljoin, urlsplit

from wbframe.io.client.failures import REDIRECTS, AddressError

if TYPE_CHECKING:
    import requests

__all__ = ["MOST_REDIRECTS", "following", "host_of", "is_redirect", "opened", "origin_of"]

MOST_REDIRECTS = 5
_SEE_OTHER, _FOUND, _MOVED = 303, 302, 301
# `urlsplit` takes some of them out without a word.
_NO_PART = re.compile(r"[\x00-\x20\x7f]")


def opened(address: str) -> SplitResult:
    """Take an address apart that can be asked.

    Raises
    ------
    AddressError
        If nothing can ever come of it.

    Examples
    --------
    >>> opened("https://storage.example/a?b").hostname
    'storage.example'
    """
    if _NO_PART.search(address):
        raise AddressError("there are spaces or control characters in it")
    try:
        split = urlsplit(address)
        there = bool(split.hostname) and split.port != 0
    except ValueError as error:
        raise AddressError(f"{error}") from None
    if split.scheme.lower() not in {"http", "https"}:
        told = f"{split.scheme!r} is no scheme that is asked" if split.scheme else "it is relative"
        raise AddressError(told)
    if not there:
        raise AddressError("it names no host")
    return split


def origin_of(address: str) -> tuple[str, str]:
    """Give what two addresses of one server have in common."""
    split = opened(address)
    return split.scheme, split.netloc.lower()


def host_of(address: str) -> str:
    """Give the host of an address, in lower case."""
    return opened(address).hostname or ""


def is_redirect(response: requests.Response) -> bool:
    """Tell whether an answer leads elsewhere."""
    return response.status_code in REDIRECTS and "Location" in response.headers


def following(response: requests.Response) -> requests.PreparedRequest:
    """Give the request that a redirect asks for, with all that the first one showed but cookies.

    Raises
    ------
    AddressError
        If it leads nowhere.
    """
    location, sent = response.headers["Location"], response.request
    status = response.status_code
    try:
        # Headers are latin-1 by the standard, and addresses beyond ASCII are sent as they are.
        target = urljoin(
            sent.url or "", location.encode("latin-1").decode("utf-8", "replace").strip()
        )
    except ValueError as error:
        raise AddressError(f"redirected to what is no address: {error}") from None
    opened(target)
    request = sent.copy()
    # As browsers do, and requests: https://www.rfc-editor.org/rfc/rfc9110#section-15.4.4
    posted = sent.method == "POST"
    if (status in {_SEE_OTHER, _FOUND} and sent.method != "HEAD") or (status == _MOVED and posted):
        request.method = "GET"
        request.body = None
        for name in ("Content-Length", "Content-Type", "Transfer-Encoding"):
            request.headers.pop(name, None)
    request.headers.pop("Cookie", None)
    request.prepare_url(target, None)
    return request
