"""Where the server is and who asks: found as the official SDK finds them."""

from __future__ import annotations

import configparser
import math
import netrc
import os
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wbframe.errors import CredentialsError, MissingKeyError, UsageError
from wbframe.io.client.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_BASE_URL = "https://api.wandb.ai"
# The SaaS answers at both; netrc may hold its key under either.
_SAAS_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")
_APP_HOSTS = {
    "api.wandb.ai": ("wandb.ai", "www.wandb.ai", "forge.coreweave.com"),
    "api.forge.coreweave.com": ("wandb.ai", "www.wandb.ai", "forge.coreweave.com"),
}
# Where that app lives, of servers whose address does not tell.
_APPS = {
    "api.wandb.ai": "https://wandb.ai",
    "api.forge.coreweave.com": "https://forge.coreweave.com/wandb",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What the settings files of the SDK say; None where they are silent.

    Attributes
    ----------
    base_url, entity, project
        As the SDK reads them.
    folder
        The file of the working folder, if it alone names `base_url`: the keys of this machine may be for
        another server than the one that whoever wrote it meant.
    keys
        API keys, each by the address of the server that its own file names.
    """

    base_url: str | None = None
    entity: str | None = None
    project: str | None = None
    folder: str | None = None
    keys: Mapping[str, Secret[str]] = field(default_factory=dict)


def read_settings() -> Settings:
    """Read ``~/.config/wandb/settings`` and ``./wandb/settings``; the local file wins.

    Raises
    ------
    CredentialsError
        If one of them cannot be read.
    """
    config_dir = os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb"
    named = os.environ.get("WANDB_DIR") or "."
    # A part that is absolute replaces what is before it.
    local = Path(named, "wandb")
    if Path(".wandb").is_dir():
        local = Path(".wandb")
    local /= "settings"
    of_user = _section(Path(config_dir).expanduser() / "settings")
    of_folder = _section(local)
    usual = (of_user.get("base_url") or DEFAULT_BASE_URL).rstrip("/")
    here = (of_folder.get("base_url") or usual).rstrip("/")
    keys = {
        at: Secret(section["api_key"])
        for at, section in ((usual, of_user), (here, of_folder))
        if section.get("api_key")
    }
    services = {f"https://{host}" for host in _SAAS_HOSTS}
    known = services if usual in services else {usual}
    # A folder that WANDB_DIR names in full was chosen, not walked into.
    foreign = here not in known and not local.is_absolute()
    both = {**of_user, **of_folder}
    return Settings(
        base_url=both.get("base_url"),
        entity=both.get("entity"),
        project=both.get("project"),
        folder=str(local) if foreign else None,
        keys=keys,
    )


def _section(file: Path) -> dict[str, str]:
    """Read what a settings file says, if it is there."""
    # A key or an address may hold `%`.
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise CredentialsError(
            f"cannot read the settings file: {str(error).splitlines()[0]}"
        ) from None  # its text would show lines of the file
    return dict(parser["default"]) if parser.has_section("default") else {}


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
        "`base_url` must be an address like 'https://api.wandb.ai', without a user, key or query in it"
    )
    if not isinstance(found, str):
        raise wrong
    found = found.strip().rstrip("/")
    try:
        split = urlsplit(found)
        known = split.scheme in {"http", "https"} and split.hostname and split.port != 0
    except ValueError:
        raise wrong from None
    if not known or "@" in split.netloc or "?" in found or "#" in found:
        raise wrong
    if split.hostname == "wandb.ai":
        raise UsageError(
            "`base_url` must name the API host: 'https://api.wandb.ai', not 'https://wandb.ai'"
        )
    return found


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
    given = api_key or Secret(os.environ.get("WANDB_API_KEY", ""))
    if given and folder:
        raise not_for(host, named, folder)
    found = given or _netrc_key(host) or read_settings().keys.get(base_url)
    if not found:
        return None
    if not isinstance(found.reveal(), str):
        raise CredentialsError(f"the API key must be text; got {type(found.reveal()).__name__}")
    found = Secret(found.reveal().strip())
    if not found:
        raise MissingKeyError(no_key(base_url))
    if not _is_key(found):
        raise CredentialsError(
            "the API key holds blanks, or characters that no key has; copy it anew"
        )
    return found


def _is_key(key: Secret[str]) -> bool:
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


def netrc_path() -> Path:
    """Give the netrc file that holds the keys: ``NETRC``, ``~/.netrc`` or ``~/_netrc``."""
    named = os.environ.get("NETRC")
    if named:
        return Path(named).expanduser()
    dotted = Path("~/.netrc").expanduser()
    other = Path("~/_netrc").expanduser()
    return other if other.exists() and not dotted.exists() else dotted


def _netrc_key(host: str) -> Secret[str] | None:
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
            return Secret(found[2])
    return None


def find_default(name: str, *, given: str | None = None) -> str | None:
    """Find the default ``entity`` or ``project``: argument, environment, settings files."""
    return (
        given or os.environ.get(f"WANDB_{name.upper()}") or getattr(read_settings(), name) or None
    )


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
