"""Which requests are heard at all: those that name this server, and that no page of another origin has sent.

A browser sends what any page asks it to, also to this machine: under a name of the page's own that
is made to point here (DNS rebinding), or across origins. Programs name the address they were given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple

from wbframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multidict import CIMultiDictProxy

__all__ = ["Authority", "Guard", "Refusal", "exposure"]

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5})?)?", re.ASCII)
_PORTS = {"http": 80, "https": 443}
_OURS = ("localhost", "127.0.0.1", "::1")
_SAME = ("same-origin", "none")
_SHOWN = 80


class Refusal(NamedTuple):
    """Why a request is not heard: a status and a sentence."""

    status: int
    message: str


class Authority(NamedTuple):
    """A host, spelled in one way, and a port.

    Examples
    --------
    >>> Authority.of("LOCALHOST.:8080"), Authority.of("[::1]"), Authority.of("me@localhost")
    (Authority(host='localhost', port=8080), Authority(host='::1', port=80), None)
    """

    host: str
    port: int

    @classmethod
    def of(cls, text: str, scheme: str = "http") -> Authority | None:
        """Read what stands in ``Host``; None for anything else."""
        found = _AUTHORITY.fullmatch(text)
        if found is None:
            return None
        return cls(_one_spelling(found[1]), int(found[2] or _PORTS[scheme]))

    @classmethod
    def of_address(cls, address: str) -> Authority | None:
        """Read it from an origin or a whole address; None where that has none."""
        scheme, _, rest = address.partition("://")
        if scheme.lower() not in _PORTS:
            return None
        return cls.of(re.split(r"[/?#]", rest, maxsplit=1)[0], scheme.lower())


def _one_spelling(host: str) -> str:
    """Spell a name or an address in one way: no brackets, no dot at the end, no capitals."""
    name = host.strip("[]").removesuffix(".").lower()
    try:
        return str(ip_address(name))
    except ValueError:
        return name


def _is_address(host: str) -> bool:
    """Tell an address from a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    """Tell whether nobody but this machine reaches a host."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def exposure(host: str, *, public_key: bool = False) -> str | None:
    """Say in a sentence what it means to listen there; None where only this machine is heard.

    Examples
    --------
    >>> exposure("127.0.0.1") is None, exposure("0.0.0.0").partition(":")[0]
    (True, 'whoever reaches 0.0.0.0 is answered')
    """
    if _is_loopback(_one_spelling(host)):
        return None
    key = "the key is a public one" if public_key else "the key alone keeps others out"
    return (
        f"whoever reaches {host} is answered: {key}, and it crosses the network unencrypted, as all that is"
        " served does; 127.0.0.1 keeps both on this machine"
    )


@dataclass(frozen=True, slots=True)
class Guard:
    """Tells requests that are meant for this server from those that are not.

    Attributes
    ----------
    hosts
        The names that it has.
    addresses
        Whether it has any address, as it listens on more than this machine's own: a page can make a
        name point elsewhere, but no address.
    """

    hosts: frozenset[str]
    addresses: bool

    @classmethod
    def of(cls, listening: str, more: Iterable[str] = ()) -> Guard:
        """Make the guard of a server that listens there, and that is also known by other names.

        Raises
        ------
        UsageError
            One of these is no name of a host.
        """
        if isinstance(more, str):
            raise UsageError(f"`hosts` is a list of names; got {more!r:.80}")
        names = {_one_spelling(listening), *_OURS}
        for each in more:
            found = Authority.of(each) if isinstance(each, str) else None
            if found is None:
                raise UsageError(f"`hosts` are names such as 'wandb.local'; got {each!r:.80}")
            names.add(found.host)
        return cls(frozenset(names), addresses=not _is_loopback(_one_spelling(listening)))

    def refusal(self, target: str, headers: CIMultiDictProxy[str]) -> Refusal | None:
        """Say why a request is not heard; None where it is.

        Parameters
        ----------
        target
            What it asks for, as it stands in its first line.
        headers
            Its headers.
        """
        if not target.startswith(("/", "*")):
            return Refusal(400, "this is no proxy: a request names a path")
        named = headers.getall("Host", [])
        if len(named) != 1 or not named[0]:
            return Refusal(400, "a request names its host in one `Host` header")
        own = Authority.of(named[0])
        if own is None or not self._has(own.host):
            return Refusal(
                403,
                f"this server is not {named[0]!r:.{_SHOWN}}; it is {', '.join(sorted(self.hosts))},"
                " and what `hosts` of `serve` names",
            )
        return self._foreign(own, headers)

    def _has(self, host: str) -> bool:
        """Tell whether a host is this server."""
        return (
            host in self.hosts
            or (_is_address(host) and ip_address(host).is_loopback)
            or (self.addresses and _is_address(host))
        )

    @staticmethod
    def _foreign(own: Authority, headers: CIMultiDictProxy[str]) -> Refusal | None:
        """Say of which other origin's page a browser has sent a request; None where it was of none."""
        sites = headers.getall("Sec-Fetch-Site", [])
        if any(each.strip().lower() not in _SAME for each in sites):
            return Refusal(403, "a request from a page of another site is not answered")
        for name in ("Origin", "Referer"):
            for each in headers.getall(name, []):
                if Authority.of_address(each) != own:
                    return Refusal(
                        403, f"a request from a page of another origin (`{name}`) is not answered"
                    )
        return None
