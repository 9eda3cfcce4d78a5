"""Values that must not be seen, and addresses without what is secret in them."""

from __future__ import annotations

import re
from typing import Any, Generic, NoReturn, TypeVar

__all__ = ["Proxies", "Secret", "without_secrets"]

_Held = TypeVar("_Held")
_SHOWN = "***"
_USER_INFO = re.compile(r"(?<=//)[^/?#\s'\"]*@")
_QUERY = re.compile(r"\?[^\s'\")>]*")


class Secret(Generic[_Held]):
    """A value that is shown as ``***`` and does not pickle.

    Examples
    --------
    >>> key = Secret("k" * 40)
    >>> key, f"{key}", key.reveal() == "k" * 40
    (***, '***', True)
    """

    __slots__ = ("_held",)

    def __init__(self, held: _Held) -> None:
        self._held = held

    def __bool__(self) -> bool:
        return bool(self._held)

    def reveal(self) -> _Held:
        """Give the value."""
        return self._held

    def __repr__(self) -> str:
        return _SHOWN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret does not pickle")


class Proxies(dict[str, str]):
    """Proxies as `requests` takes them, shown without the passwords in their addresses.

    Examples
    --------
    >>> Proxies({"https": "http://me:secret@proxy.example:3128"})
    {'https': 'http://proxy.example:3128'}
    """

    def __repr__(self) -> str:
        return repr(self.bare())

    def __reduce__(self) -> tuple[Any, ...]:
        return Proxies, (self.bare(),)

    def bare(self) -> dict[str, str]:
        """Give them without users and passwords."""
        # `user@host` needs no scheme here.
        return {name: re.sub(r"(//|^)[^/]*@", r"\1", str(each)) for name, each in self.items()}


def without_secrets(text: str) -> str:
    """Take users, passwords and queries off the addresses in a text: a signed address is signed in its query.

    Examples
    --------
    >>> without_secrets("no answer from https://me:pass@host.example/file?sig=abc (reset)")
    'no answer from https://host.example/file (reset)'
    """
    return _QUERY.sub("", _USER_INFO.sub("", text))
