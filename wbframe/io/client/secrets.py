"""Values that must not be seen, addresses without what is secret in them, errors that forget what they saw."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
import traceback
from typing import TYPE_CHECKING, Any, Generic, NoReturn, ParamSpec, TypeVar

from wbframe.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "Hidden",
    "Proxies",
    "Secret",
    "check_proxy",
    "forget",
    "without_locals",
    "without_secrets",
    "without_user",
]

_Held = TypeVar("_Held")
_Given = ParamSpec("_Given")
_SHOWN = "***"
_USER_INFO = re.compile(r"(?<=//)[^/?#\s]*@")
_QUERY = re.compile(r"\?\S*")
# What ends an address in a text, and is none of its query.
_BEHIND = "'\")]}>,.;:"
_SCHEME_AND_USER = re.compile(r"^([a-z][a-z0-9+.-]*://)?.*@", re.IGNORECASE | re.DOTALL)
# Whose frames may hold what is sent. A program's own, where it is called back, are its own matter.
_OURS = sys.stdlib_module_names | {
    "wbframe", "requests", "urllib3", "socks", "gql", "polars", "pandas", "pyarrow", "tenacity",
}  # fmt: skip


class Secret(Generic[_Held]):
    """A value that is shown as ``***`` and does not pickle; equal to another of the same value.

    Examples
    --------
    >>> key = Secret("k" * 40)
    >>> key, f"{key}", key.reveal() == "k" * 40
    (***, '***', True)
    """

    __slots__ = ("_reveal",)

    def __init__(self, held: _Held) -> None:
        # Who looks at all that an object holds sees a function.
        self._reveal: Callable[[], _Held] = lambda: held

    def __bool__(self) -> bool:
        return bool(self._reveal())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and bool(self._reveal() == other.reveal())

    def __hash__(self) -> int:
        return hash(self._reveal())

    def reveal(self) -> _Held:
        """Give the value."""
        return self._reveal()

    def __repr__(self) -> str:
        return _SHOWN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret does not pickle")


class Hidden(str):
    """A text that is sent as it is, by libraries that want a text, and that is shown as ``***``.

    Examples
    --------
    >>> {"Authorization": Hidden("Basic YXBpOmtleQ==")}
    {'Authorization': ***}
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return _SHOWN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret does not pickle")


class Proxies(dict[str, str]):
    """Proxies as `requests` takes them, shown without the passwords in their addresses.

    Parameters
    ----------
    given
        Addresses by scheme, or by scheme and host.

    Examples
    --------
    >>> Proxies({"https": "http://me:secret@proxy.example:3128"})
    {'https': 'http://proxy.example:3128'}
    """

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__({name: each and Hidden(each) for name, each in given.items()})

    @classmethod
    def checked(cls, given: Any) -> Proxies:
        """Take what a caller gives.

        Raises
        ------
        UsageError
            If these are no proxies.
        """
        pairs: dict[Any, Any] = {None: given}
        with contextlib.suppress(TypeError, ValueError):
            pairs = dict(given)
        for name, each in pairs.items():
            check_proxy(name, each)
        return cls(pairs)

    def __repr__(self) -> str:
        return repr(self.bare())

    def __reduce__(self) -> tuple[Any, ...]:
        return Proxies, (self.bare(),)

    def bare(self) -> dict[str, str]:
        """Give them without users and passwords."""
        return {name: each and without_user(each) for name, each in self.items()}


def check_proxy(name: object, address: object) -> None:
    """Refuse what is no proxy as `requests` takes it: an address, be it without a scheme, or None for none.

    Raises
    ------
    UsageError
        If it is none.
    """
    if isinstance(name, str) and (address is None or isinstance(address, str)):
        if not address:
            return
        from urllib3.util import parse_url  # noqa: PLC0415 -- most have none

        with contextlib.suppress(ValueError):
            if parse_url(address if "://" in address else f"http://{address}").host:
                return
    raise UsageError(
        "`proxies`, as HTTPS_PROXY and its like, must be addresses by scheme, as in {'https':"
        " 'http://user:password@host:3128'}; a password's '/', '?', '#' and '@' are %2F, %3F, %23 and %40"
    )


def without_user(address: str) -> str:
    """Take the user and the password off the address of a proxy, which needs no scheme.

    Examples
    --------
    >>> without_user("me:secret@proxy.example:3128"), without_user("http://me:s@cret@proxy.example")
    ('proxy.example:3128', 'http://proxy.example')
    """
    return _SCHEME_AND_USER.sub(r"\1", str(address))


def without_secrets(text: str) -> str:
    """Take users, passwords and queries off the addresses in a text: a signed address is signed in its query.

    Examples
    --------
    >>> without_secrets("no answer from https://me:pass@host.example/file?sig=abc (reset)")
    'no answer from https://host.example/file (reset)'
    """
    return _QUERY.sub(_behind, _USER_INFO.sub("", text))


def _behind(query: re.Match[str]) -> str:
    """Give the brackets and quotes behind a query."""
    return query[0][len(query[0].rstrip(_BEHIND)) :]


def forget(error: BaseException) -> None:
    """Empty the frames of an error, and of all that led to it: crash reports show what their locals are.

    The lines of a traceback stay, and so do frames that have not ended.
    """
    met: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in met:
            continue
        met.add(id(each))
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
                with contextlib.suppress(RuntimeError):
                    frame.clear()
        pending += [each.__cause__, each.__context__, *getattr(each, "exceptions", ())]


def without_locals(function: Callable[_Given, _Held]) -> Callable[_Given, _Held]:
    """Decorate what takes or handles secrets: errors that leave it forget its arguments and locals."""

    @functools.wraps(function)
    def called(*given: _Given.args, **named: _Given.kwargs) -> _Held:
        try:
            return function(*given, **named)
        except BaseException as error:
            del given, named
            forget(error)
            raise

    return called
