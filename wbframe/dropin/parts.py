"""What hangs on the drop-in `Run`: its summary, its sweep, its user."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from wbframe.errors import UsageError
from wbframe.io.client.credentials import app_url

if TYPE_CHECKING:
    from wbframe.io.client.client import Client

__all__ = ["Node", "Summary", "Sweep", "User"]


class Node:
    """Something that the server told of, its fields as attributes in snake_case or in the server's camelCase."""

    _attrs: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        # While an object is unpickled it has no `_attrs` yet.
        attrs = self.__dict__.get("_attrs", {})
        head, *rest = name.split("_")
        camel = head + "".join(part.title() for part in rest)
        for key in (camel, name):
            if key in attrs:
                return attrs[key]
        msg = f"{type(self).__name__!r} object has no attribute {name!r}"
        if not name.startswith("_"):
            msg += "; wbframe reads runs and histories only, the rest is in wandb.Api() of the wandb package"
        raise AttributeError(msg)


class User(Node):
    """The user of a run: `name` and `username`."""

    def __init__(self, attrs: Mapping[str, Any]) -> None:
        self._attrs = dict(attrs)

    def __repr__(self) -> str:
        return f"<User {self._attrs.get('username') or self._attrs.get('name')}>"


class Sweep(Node):
    """The sweep of a run: `id`, `state`, `config`, `best_loss` and more of what the server tells of it."""

    def __init__(self, client: Client, entity: str, project: str, attrs: Mapping[str, Any]) -> None:
        self._attrs = dict(attrs)
        self.client = client
        self.entity = entity
        self.project = project

    def __repr__(self) -> str:
        return f"<Sweep {'/'.join(self.path)} ({self._attrs.get('state', 'Unknown State')})>"

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
        return [quote_plus(str(part)) for part in (self.entity, self.project, self.id)]

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
            raise AttributeError(
                f"the summary has no {name!r}; it can be read, and written with the wandb package only"
            ) from None

    def __contains__(self, key: object) -> bool:
        return (key.strip() if isinstance(key, str) else key) in self._json_dict

    def __iter__(self) -> Iterator[str]:
        return iter(self._json_dict)

    def __len__(self) -> int:
        return len(self._json_dict)

    def __repr__(self) -> str:
        return repr(self._json_dict)
