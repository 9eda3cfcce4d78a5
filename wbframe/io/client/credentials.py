"""Where the server is and who asks: found as the official SDK finds them."""

from __future__ import annotations

import math
import os
import re
import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from wbframe.errors import CredentialsError, MissingKeyError, UsageError
from wbframe.io.client.secrets import Secret, without_locals
from wbframe.io.client.settings import DEFAULT_BASE_URL, netrc_key, netrc_path, read_settings

__all__ = [
    "above_0",
    "app_places",
    "app_url",
    "check_whole",
    "find_base_url",
    "find_default",
    "find_key",
    "is_loopback",
    "is_plain",
    "is_sent",
    "named_by_folder",
    "netrc_path",
    "no_key",
    "not_for",
    "read_settings",
]

_APP_HOSTS = {
    "api.wandb.ai": ("wandb.ai", "www.wandb.ai", "forge.coreweave.com"),
    "api.forge.coreweave.com": ("wandb.ai", "www.wandb.ai", "forge.coreweave.com"),
}
# Where that app lives, of servers whose address does not tell.
_APPS = {
    "api.wandb.ai": "https://wandb.ai",
    "api.forge.coreweave.com": "https://forge.coreweave.com/wandb",
}


@without_locals
def find_base_url(base_url: str | None) -> str:
    """Find the server: argument, ``WANDB_BASE_URL``, settings files, the public service.

    Raises
    ------
    UsageError
        If it is no http(s) address.
    """
    found = (
        base_url or os.environ.get("WANDB_BASE_URL") or read_settings().base_url or DEFAULT_BASE_URL
    )
    found = found.strip().rstrip("/") if isinstance(found, str) else ""
    if not _is_address(found):
        raise UsageError(
            "`base_url` must be an address like 'https://api.wandb.ai', without a user, key or query in it"
        )
    if urlsplit(found).hostname == "wandb.ai":
        raise UsageError(
            "`base_url` must name the API host: 'https://api.wandb.ai', not 'https://wandb.ai'"
        )
    return found


# No user, no query, and nothing in which one reader of addresses sees another host than the next.
_ADDRESS = re.compile(
    r"https?://(\[[0-9a-f:.]+(%[\w.~-]+)?\]|[\w-][\w.-]*)(:[0-9]{1,5})?(/[^\s\x00-\x1f\x7f?#\\]*)?",
    re.IGNORECASE,
)


def _is_address(text: str) -> bool:
    """Tell whether a server can be at an address."""
    try:
        return bool(_ADDRESS.fullmatch(text)) and urlsplit(text).port != 0
    except ValueError:
        return False


def named_by_folder(base_url: str | None) -> str | None:
    """Give the settings file of the working folder, if the server is found there and nowhere else."""
    if base_url or os.environ.get("WANDB_BASE_URL"):
        return None
    return read_settings().folder


def find_key(
    base_url: str, api_key: Secret[str] | None = None, *, folder: str | None = None
) -> Secret[str] | None:
    """Find the API key: argument, ``WANDB_API_KEY``, netrc, settings files; None if there is none.

    Parameters
    ----------
    base_url
        The server.
    api_key
        The argument.
    folder
        The file of the working folder that names the server, if no one else does. Such a server gets a key only
        that was made for it: one of netrc, or of the same file.

    Raises
    ------
    MissingKeyError
        If it is blank.
    CredentialsError
        If it is no key, or may not be for this server.
    """
    host = urlsplit(base_url).netloc
    named = "the `api_key` of the call" if api_key else "WANDB_API_KEY"
    found: Secret[str] | None = api_key or Secret(os.environ.get("WANDB_API_KEY", ""))
    made_for_it = False
    if not found:
        named = f"the key in {netrc_path()}"
        found = netrc_key(host)
        # It names no scheme: whoever wrote it may have meant https.
        made_for_it = not is_plain(base_url)
    if not found:
        found, made_for_it = read_settings().keys.get(base_url), True
    if not found:
        return None
    if folder and not made_for_it:
        raise not_for(base_url if is_plain(base_url) else host, named, folder)
    if not isinstance(found.reveal(), str):
        raise CredentialsError(f"the API key must be text; got {type(found.reveal()).__name__}")
    found = Secret(found.reveal().strip())
    if not found:
        raise MissingKeyError(no_key(base_url))
    if not is_sent(found):
        raise CredentialsError(
            "the API key holds blanks, or characters that no key has; copy it anew"
        )
    return found


def is_sent(key: Secret[str]) -> bool:
    """Tell whether it can be a key: 40 characters, 86 from `wandb_v1_` on, more with a server's prefix, a JWT."""
    # No more than that, since their forms have changed before.
    text = key.reveal()
    return text.isascii() and text.isprintable() and " " not in text


def no_key(base_url: str) -> str:
    """Say that there is no key, and where to put one."""
    return (
        f"no API key for {urlsplit(base_url).netloc}: pass `api_key=`, set WANDB_API_KEY, or run `wandb login`"
        f" (it writes {netrc_path()})"
    )


def not_for(host: str, named: str, folder: str) -> CredentialsError:
    """Make the error for credentials that may be meant for another server than the one a folder names."""
    return CredentialsError(
        f"{named} stays here: only the working folder's {folder} names the server {host}, and it may be meant for"
        f" another; if it is for this one, name it by WANDB_BASE_URL or `base_url=` too"
    )


def find_default(name: str, *, given: str | None = None) -> str | None:
    """Find the default ``entity`` or ``project``: argument, environment, settings files."""
    return (
        given or os.environ.get(f"WANDB_{name.upper()}") or getattr(read_settings(), name) or None
    )


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address alone: other names resolve to anything.

    Examples
    --------
    >>> [is_loopback(each) for each in ("localhost", "127.0.0.9", "127.1", "::1", "127.0.0.1.example.org")]
    [True, True, True, True, False]
    """
    name = host.lower()
    # Not with a dot behind it, which some resolvers ask the network for.
    if name == "localhost":
        return True
    try:
        # As it is resolved: in fewer parts, in hexadecimal and octal too.
        packed = socket.inet_aton(name) if _NUMBERS.fullmatch(name) else name
        address = ip_address(packed)
    except (ValueError, OSError):
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


_NUMBERS = re.compile(r"[0-9a-fx]+(\.[0-9a-fx]+)*")


def is_plain(base_url: str) -> bool:
    """Tell whether what is sent to an address can be read on the way there."""
    split = urlsplit(base_url)
    return split.scheme == "http" and not is_loopback(split.hostname or "")


def app_places(base_url: str) -> dict[str, str]:
    """Give the hosts at which the web app of this server is seen, each with the path below which it lies."""
    split = urlsplit(base_url)
    named = urlsplit(os.environ.get("WANDB_APP_URL") or "")
    netloc = split.netloc.lower()
    own = netloc.replace("api.", "app.", 1) if netloc.startswith("api.") else netloc
    found = dict.fromkeys(_APP_HOSTS.get(netloc, ()), "")
    found |= {own: split.path, netloc: split.path, named.netloc.lower(): named.path}
    return {host: path for host, path in found.items() if host}


def app_url(base_url: str) -> str:
    """Give the address of the web app of a server, without a slash at its end.

    ``WANDB_APP_URL`` wins.

    Examples
    --------
    >>> app_url("https://api.wandb.ai"), app_url("http://api.example.org")
    ('https://wandb.ai', 'http://app.example.org')
    """
    named = os.environ.get("WANDB_APP_URL")
    if named:
        return named.rstrip("/")
    found = _APPS.get(urlsplit(base_url).netloc)
    return found or base_url.replace("://api.", "://app.", 1)


def above_0(name: str, given: float | None, variable: str) -> float | None:
    """Give an argument, or the environment variable that stands for it; both must be above 0."""
    value: object = given
    if given is None:
        text = os.environ.get(variable)
        if not text:
            return None
        name = variable
        try:
            value = float(text)
        except ValueError:
            value = text
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        unit = "" if "minute" in name.lower() else " seconds"
        raise UsageError(f"`{name}` must be above 0{unit}; got {value!r}")
    return float(value)


def check_whole(**given: object) -> None:
    """Check arguments that are counts, or sizes in bytes.

    Raises
    ------
    UsageError
        If one is no whole number from 1 on.
    """
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            unit = " of bytes" if name in {"largest_answer", "largest_read"} else ""
            raise UsageError(f"`{name}` must be a whole number{unit} from 1 on; got {value!r}")
