"""What files say of servers and keys: the settings files of the SDK, and netrc.

Some come with a folder that was cloned, so they are read as what may hurt: a pipe, a device or a file without end
is refused, and no error tells a word of what stands in them.
"""

from __future__ import annotations

import configparser
import errno
import io
import netrc
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wbframe.errors import CredentialsError
from wbframe.io.client.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT_BASE_URL",
    "SAAS_HOSTS",
    "Settings",
    "netrc_key",
    "netrc_path",
    "read_file",
    "read_settings",
]

DEFAULT_BASE_URL = "https://api.wandb.ai"
# The SaaS answers at both; netrc may hold its key under either.
SAAS_HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")
_MOST_BYTES = 1 << 20
# The parser takes time by the square of a line.
_MOST_IN_SETTINGS, _MOST_IN_LINE = 1 << 16, 1 << 13
_ABSENT = (FileNotFoundError, NotADirectoryError)


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


def read_file(path: Path, most: int = _MOST_BYTES) -> bytes:
    """Read a small file, and nothing that could take for ever: a pipe, a device, a file without end.

    Raises
    ------
    OSError
        If it is not there, cannot be read, or is none.
    """
    # A pipe without a writer would wait for one.
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        with os.fdopen(number, "rb", closefd=False) as file:
            content = file.read(most + 1)
    finally:
        os.close(number)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes")
    return content


def read_settings() -> Settings:
    """Read ``~/.config/wandb/settings`` and ``./wandb/settings``; the local file wins.

    Raises
    ------
    CredentialsError
        If one of them is there and cannot be read.
    """
    config = _home(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb")
    # A part that is absolute replaces what is before it.
    local = Path(os.environ.get("WANDB_DIR") or ".", "wandb")
    if Path(".wandb").is_dir():
        local = Path(".wandb")
    of_user, of_folder = _section(config / "settings"), _section(local / "settings")
    theirs = _address(of_user, DEFAULT_BASE_URL)
    here = _address(of_folder, theirs)
    keys = {
        at: section["api_key"]
        for at, section in ((theirs, of_user), (here, of_folder))
        if section.get("api_key")
    }
    # What is named in full was chosen, be it by WANDB_DIR; all else is what a folder brings that is walked into.
    usual = theirs if config.is_absolute() else DEFAULT_BASE_URL
    services = {f"https://{host}" for host in SAAS_HOSTS}
    known = services if usual in services else {usual}
    named_in = local if of_folder.get("base_url") else config
    foreign = here not in known and not named_in.is_absolute()
    both = {**of_user, **of_folder}
    said = {name: both[name].reveal() for name in ("base_url", "entity", "project") if name in both}
    return Settings(**said, folder=str(named_in / "settings") if foreign else None, keys=keys)


def _address(section: Mapping[str, Secret[str]], otherwise: str) -> str:
    """Give the address that a file names."""
    named = section["base_url"].reveal() if "base_url" in section else ""
    return (named or otherwise).rstrip("/")


def _section(file: Path) -> dict[str, Secret[str]]:
    """Read what a settings file says, if it is there."""
    found = _settings_in(file)
    if isinstance(found, str):
        raise CredentialsError(f"cannot read the settings file {file}: {found}; mend or remove it")
    return found


def _settings_in(file: Path) -> dict[str, Secret[str]] | str:
    """Read a settings file, or say why not: the parser's own error would show lines, as a context too."""
    # A key or an address may hold `%`.
    parser = configparser.ConfigParser(interpolation=None)
    try:
        text = read_file(file, _MOST_IN_SETTINGS).decode("utf-8-sig")
        lines = list(io.StringIO(text, newline=None))
        if any(len(line) > _MOST_IN_LINE for line in lines):
            return "a line is too long"
        parser.read_file(lines)
    except _ABSENT:
        return {}
    except OSError as error:
        return why(error)
    except UnicodeDecodeError:
        return "it is no text in UTF-8"
    except configparser.Error as error:
        return f"it is wrong in line {_line_of(error)}"
    section = parser["default"] if parser.has_section("default") else {}
    return {name: Secret(value) for name, value in section.items()}


def _line_of(error: configparser.Error) -> int:
    """Give the line that a parser stumbled over."""
    found: Any = getattr(error, "lineno", None) or getattr(error, "errors", [(1, "")])[0][0]
    return int(found)


def netrc_path() -> Path:
    """Give the netrc file that holds the keys: ``NETRC``, ``~/.netrc`` or ``~/_netrc``."""
    named = os.environ.get("NETRC")
    if named:
        return _home(named)
    dotted, other = _home("~/.netrc"), _home("~/_netrc")
    return other if other.exists() and not dotted.exists() else dotted


def netrc_key(host: str) -> Secret[str] | None:
    """Look a host up in the netrc file, with its port as it stands in an address.

    Raises
    ------
    CredentialsError
        If the file is there and cannot be read.
    """
    path = netrc_path()
    found = _passwords_in(path)
    if isinstance(found, str):
        raise CredentialsError(f"cannot read {path}: {found}; mend or remove the file")
    names = SAAS_HOSTS if host in SAAS_HOSTS else (host,)
    return next((found[name] for name in names if name in found), None)


def _passwords_in(path: Path) -> dict[str, Secret[str]] | str:
    """Read a netrc file, or say why not, without a word of what stands in it."""
    try:
        # Its parser opens files itself.
        read_file(path)
        entries = netrc.netrc(path).hosts
    except _ABSENT:
        return {}
    except OSError as error:
        return why(error)
    except netrc.NetrcParseError as error:
        return f"it is wrong in line {error.lineno}"
    except ValueError:
        return "it is no text in UTF-8"
    # `default` entries of the file are for other programs.
    return {
        name: Secret(each[2]) for name, each in entries.items() if each[2] and name != "default"
    }


def why(error: OSError) -> str:
    """Say why a file cannot be read; its name stands elsewhere."""
    return f"{type(error).__name__}, {error.strerror or 'no reason is given'}"


def _home(path: str) -> Path:
    """Give a path, in which ``~`` is the home of the user where there is one."""
    # The method of a path raises where there is none.
    return Path(os.path.expanduser(path))  # noqa: PTH111
