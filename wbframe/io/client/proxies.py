"""Proxies: none of the environment's stands between this machine and itself, and no password is seen."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from wbframe.io.client.credentials import is_loopback
from wbframe.io.client.secrets import Hidden, Proxies, check_proxy, without_user

__all__ = ["Proxied", "ToProxies"]


class ToProxies(HTTPAdapter):
    """Knows proxies by addresses without passwords: these are headers, which do not show them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._shown: dict[str, dict[str, str]] = {}
        super().__init__(*args, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Give the connections by way of a proxy."""
        if proxy.lower().startswith("socks"):
            # Its password is none of HTTP.
            return super().proxy_manager_for(Hidden(proxy), **options)
        bare = without_user(proxy)
        if bare != proxy:
            headers = super().proxy_headers(proxy)
            self._shown[bare] = {name: Hidden(each) for name, each in headers.items()}
        return super().proxy_manager_for(bare, **options)

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Give what is shown to a proxy."""
        return self._shown.get(proxy) or super().proxy_headers(proxy)


class Proxied(requests.Session):
    """A session that knows when to leave out a proxy."""

    def merge_environment_settings(self, url: Any, proxies: Any, *others: Any) -> Any:
        """Let no proxy of the environment stand between this machine and itself.

        Raises
        ------
        UsageError
            If the proxy that stands there otherwise is none.
        """
        given = Proxies(proxies or {})
        # A copy, since requests adds those of the environment to what it is given.
        merged = super().merge_environment_settings(url, Proxies(given), *others)
        if is_loopback(urlsplit(str(url)).hostname or ""):
            merged["proxies"] = given
        check_proxy("", requests.utils.select_proxy(str(url), merged["proxies"]))
        return merged

    def rebuild_proxies(self, prepared_request: Any, proxies: Any) -> Any:
        """Let none stand there where a request is redirected either."""
        if is_loopback(urlsplit(prepared_request.url).hostname or ""):
            return proxies
        found: Any = super().rebuild_proxies
        return found(prepared_request, proxies)
