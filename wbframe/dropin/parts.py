"""What hangs on the drop-in `Run`: its summary, its sweep, its user."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wbframe.core.decode.taken import taken_in
from wbframe.dropin.sdk import WRITTEN, absent, read_only
from wbframe.dropin.values import from_json
from wbframe.errors import AnswerError, UsageError, did_you_mean
from wbframe.io.client.credentials import app_url
from wbframe.text import shortened

if TYPE_CHECKING:
    from wbframe.io.client.client import Client

__all__ = [
    "Node",
    "Summary",
    "Sweep",
    "User",
    "as_html",
    "in_address",
    "open_config",
    "open_object",
]

_INTERNAL = frozenset({"_wandb", "wandb_version"})


def in_address(*parts: object) -> list[str]:
    """Quote the parts of an address."""
    # A blank is `%20` in a path; the SDK spells it `+` up to 0.19, and in those of sweeps still.
    return [quote(str(part), safe="") for part in parts]


def as_html(shown: str, url: str | None = None) -> str:
    """Show something in a notebook, with a link to its page."""
    text = f"<code>{escape(shortened(shown))}</code>"
    if url is None:
        return text
    return f'{text} <a href="{escape(url)}" target="_blank" rel="noopener">open</a>'


class Node:
    """Something that the server told of, its fields as attributes in snake_case or in the server's camelCase.

    None of them can be set: what was set would not come to the server.
    """

    _attrs: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        # While an object is unpickled it has no `_attrs` yet.
        attrs = self.__dict__.get("_attrs", {})
        head, *rest = name.split("_")
        camel = head + "".join(part.title() for part in rest)
        for key in (camel, name):
            if key in attrs:
                return attrs[key]
        snakes = [re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower() for key in attrs]
        raise absent(self, name, (*attrs, *snakes))

    def __setattr__(self, name: str, value: Any) -> None:
        head, *rest = name.split("_")
        camel = head + "".join(part.title() for part in rest)
        told = {name, camel} & self.__dict__.get("_attrs", {}).keys()
        if not name.startswith("_") and (told or name in WRITTEN or hasattr(type(self), name)):
            raise read_only(f"{name!r} of {self!r}")
        super().__setattr__(name, value)


class User(Node):
    """The user of a run: `name` and `username`."""

    def __init__(self, attrs: Mapping[str, Any]) -> None:
        self._attrs = dict(attrs)

    def __repr__(self) -> str:
        return shortened(f"<User {self._attrs.get('username') or self._attrs.get('name')}>")


class Sweep(Node):
    """The sweep of a run: `id`, `state`, `config`, `best_loss` and more of what the server tells of it."""

    def __init__(self, client: Client, entity: str, project: str, attrs: Mapping[str, Any]) -> None:
        self._attrs = dict(attrs)
        self.client = client
        self.entity = entity
        self.project = project

    def __repr__(self) -> str:
        state = self._attrs.get("state", "Unknown State")
        return shortened(f"<Sweep {'/'.join(self.path)} ({state})>")

    @property
    def id(self) -> str:
        """The sweep's id, the last part of its address."""
        return str(self._attrs["name"])

    @property
    def name(self) -> str:
        """The name that its configuration gives it, else its id."""
        return str(self.config.get("name") or self.id)

    @property
    def config(self) -> dict[str, Any]:
        """The sweep's configuration.

        Raises
        ------
        UsageError
            If PyYAML, which reads it, is not installed.
        """
        try:
            # Unlike that of a run, the config of a sweep comes as YAML.
            yaml = importlib.import_module("yaml")
        except ModuleNotFoundError as error:
            raise UsageError(
                "the configuration of a sweep is YAML: pip install 'wbframe[sweeps]'"
            ) from error
        found = yaml.safe_load(self._attrs.get("config") or "{}")
        return found if isinstance(found, dict) else {}

    @property
    def expected_run_count(self) -> int | None:
        """The number of runs that the sweep will have; None for no end."""
        return self._attrs.get("runCountExpected")

    @property
    def path(self) -> list[str]:
        """Entity, project and id, quoted for an address."""
        return in_address(self.entity, self.project, self.id)

    @property
    def url(self) -> str:
        """The sweep's page in the web app."""
        entity, project, sweep = self.path
        return f"{app_url(self.client.base_url)}/{entity}/{project}/sweeps/{sweep}"


class Summary(Mapping[str, Any]):
    """The last values of a run, as a mapping; nested objects are mappings again. It cannot be written to.

    Examples
    --------
    >>> summary = Summary({"loss": 0.5, "eval": {"acc": 0.9}})
    >>> summary["loss"], summary.get("eval")["acc"], summary.get("f1", 0)
    (0.5, 0.9, 0)
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._json_dict = dict(values)

    def __getitem__(self, key: str) -> Any:
        # The SDK strips keys too.
        value = self._json_dict[key.strip() if isinstance(key, str) else key]
        return Summary(value) if isinstance(value, dict) else value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            hint = did_you_mean(name, self)
            raise AttributeError(
                f"the summary has no {name!r}; it can be read, and written with the wandb package only.{hint}"
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise read_only(f"{name!r} of a summary")
        super().__setattr__(name, value)

    def __setitem__(self, key: str, value: Any) -> None:
        raise read_only(f"{key!r} of a summary")

    def __delitem__(self, key: str) -> None:
        raise read_only(f"{key!r} of a summary")

    def __contains__(self, key: object) -> bool:
        return (key.strip() if isinstance(key, str) else key) in self._json_dict

    def __iter__(self) -> Iterator[str]:
        return iter(self._json_dict)

    def __len__(self) -> int:
        return len(self._json_dict)

    def __repr__(self) -> str:
        return repr(self._json_dict)


# ---------------------------------------------------------------- texts of JSON


def open_object(value: object, name: str, run: object) -> dict[str, Any]:
    """Open an object that came as such or as JSON text; {} for text that holds something else."""
    if value is not None and not isinstance(value, str | dict):
        kind = type(value).__name__
        raise AnswerError(f"the {name} of {run} is no object: the server gave {value!r} of {kind}")
    if isinstance(value, str) and value.strip():
        with taken_in(f"the {name} of {run}"):
            value = from_json(value)
    return value if isinstance(value, dict) else {}


def open_config(value: object, run: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """Open a config: the user's entries and W&B's own, each out of its ``{"value": ...}``."""
    own: dict[str, Any] = {}
    internal: dict[str, Any] = {}
    for key, each in open_object(value, "config", run).items():
        into = internal if key in _INTERNAL else own
        into[key] = each["value"] if isinstance(each, dict) and "value" in each else each
    return own, internal
