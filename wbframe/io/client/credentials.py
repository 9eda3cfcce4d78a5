"""Where the server is and who asks: found as the official SDK finds them."""

from __future__ import annotations

import configparser
import math
import netrc
import os
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from wbframe.errors import CredentialsError, MissingKeyError, PlainHttpWarning, UsageError
from wbframe.warn import warn

DEFAULT_BASE_URL = "https://api.wandb.ai"
# The SaaS answers at both; netrc may hold its key under either.
_SAAS_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")
_APP_HOSTS = {
    "api.wandb.ai": ("wandb.ai", "www.wandb.ai", "forge.coreweave.com"),
    "api.forge.coreweave.com": ("wandb.ai", "www.wandb.ai", "forge.coreweave.com"),
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the settings files of the SDK say; None where they are silent."""

    base_url: str | None = None
    entity: str | None = None
    project: str | None = None
    api_key: str | None = None


def read_settings() -> Settings:
    """Read ``~/.config/wandb/settings`` and ``./wandb/settings``; the local file wins.

    Raises
    ------
    CredentialsError
        If one of them cannot be read.
    """
    config_dir = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    # A part that is absolute replaces what is before it.
    local = Path(os.environ.get("WANDB_DIR") or ".", "wandb")
    if Path(".wandb").is_dir():
        local = Path(".wandb")
    # A key or an address may hold `%`.
    parser = configparser.ConfigParser(interpolation=None)
    files = [Path(config_dir).expanduser() / "settings", local / "settings"]
    try:
        parser.read(files, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise CredentialsError(
            f"cannot read the settings file: {str(error).splitlines()[0]}"
        ) from error
    found = parser["default"] if parser.has_section("default") else {}
    return Settings(
        base_url=found.get("base_url"),
        entity=found.get("entity"),
        project=found.get("project"),
        api_key=found.get("api_key"),
    )


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
    wrong = UsageError(
        "`base_url` must be an address like 'https://api.wandb.ai', without a user or key in it"
    )
    if not isinstance(found, str):
        raise wrong
    found = found.strip().rstrip("/")
    try:
        split = urlsplit(found)
    except ValueError:
        raise wrong from None
    if split.scheme not in {"http", "https"} or not split.hostname or "@" in split.netloc:
        raise wrong
    if split.hostname == "wandb.ai":
        raise UsageError(
            "`base_url` must name the API host: 'https://api.wandb.ai', not 'https://wandb.ai'"
        )
    return found


def find_key(base_url: str, api_key: str | None) -> str:
    """Find the API key: argument, ``WANDB_API_KEY``, netrc, settings files.

    Raises
    ------
    MissingKeyError
        If there is none.
    CredentialsError
        If it is no key.
    """
    host = urlsplit(base_url).netloc
    settings = read_settings()
    # A settings file's key belongs to the server that the same files name.
    same_server = (settings.base_url or DEFAULT_BASE_URL).rstrip("/") == base_url
    found = (
        api_key
        or os.environ.get("WANDB_API_KEY")
        or _netrc_key(host)
        or (settings.api_key if same_server else None)
    )
    if found and not isinstance(found, str):
        raise CredentialsError(f"the API key must be text; got {type(found).__name__}")
    if not found or not found.strip():
        msg = (
            f"no API key for {host}: pass `api_key=`, set WANDB_API_KEY, or run `wandb login`"
            f" (it writes {netrc_path()})"
        )
        raise MissingKeyError(msg)
    found = found.strip()
    # No more than that: keys were 40 characters once, but wandb 0.31 knows prefixes and JWTs.
    if not (found.isascii() and found.isprintable()) or " " in found:
        raise CredentialsError(
            "the API key holds blanks, or characters that no key has; copy it anew"
        )
    return found


def netrc_path() -> Path:
    """Give the netrc file that holds the keys: ``NETRC``, ``~/.netrc`` or ``~/_netrc``."""
    named = os.environ.get("NETRC")
    if named:
        return Path(named).expanduser()
    dotted = Path("~/.netrc").expanduser()
    other = Path("~/_netrc").expanduser()
    return other if other.exists() and not dotted.exists() else dotted


def _netrc_key(host: str) -> str | None:
    """Look the host up in the netrc file."""
    try:
        entries = netrc.netrc(netrc_path())
    except FileNotFoundError:
        return None
    except (netrc.NetrcParseError, UnicodeDecodeError, OSError) as error:
        raise CredentialsError(
            f"cannot read {netrc_path()}: {type(error).__name__}; mend or remove the file"
        ) from None
    for name in _SAAS_HOSTS if host in _SAAS_HOSTS else (host,):
        # `default` entries of the file are for other programs.
        found = entries.hosts.get(name)
        if found and found[2]:
            return found[2]
    return None


def find_default(name: str, *, given: str | None = None) -> str | None:
    """Find the default ``entity`` or ``project``: argument, environment, settings files."""
    return (
        given or os.environ.get(f"WANDB_{name.upper()}") or getattr(read_settings(), name) or None
    )


def warn_if_plain(base_url: str) -> None:
    """Warn if the key is about to go over a network as it is."""
    split = urlsplit(base_url)
    host = split.hostname or ""
    if split.scheme == "http" and not is_loopback(host):
        msg = f"the API key goes to {host} unencrypted; set `base_url` to its https:// address"
        warn(msg, PlainHttpWarning)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name or address alone: other names resolve to anything.

    Examples
    --------
    >>> [is_loopback(each) for each in ("localhost", "127.0.0.9", "::1", "127.0.0.1.example.org")]
    [True, True, True, False]
    """
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def app_hosts(base_url: str) -> tuple[str, ...]:
    """Give the hosts at which the web app of this server is seen."""
    netloc = urlsplit(base_url).netloc.lower()
    named = urlsplit(os.environ.get("WANDB_APP_URL") or "").netloc.lower()
    own = netloc.replace("api.", "app.", 1) if netloc.startswith("api.") else netloc
    return tuple(filter(None, (named, *_APP_HOSTS.get(netloc, ()), own, netloc)))


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
