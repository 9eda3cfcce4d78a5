"""The drop-in `Api`: where code of the official SDK begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from wbframe.core.paths import name_of, parse_path
from wbframe.dropin.parts import as_html
from wbframe.dropin.run import Run
from wbframe.dropin.runs import Runs
from wbframe.dropin.sdk import absent, as_sdk
from wbframe.errors import (
    CredentialsError,
    MissingKeyError,
    PathError,
    RefusedKeyError,
    UsageError,
)
from wbframe.io.client.client import Client
from wbframe.io.client.credentials import app_url, find_default
from wbframe.io.client.secrets import without_locals
from wbframe.io.read.paging import resolved
from wbframe.text import shortened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wbframe.core.model import RunPath

__all__ = ["Api"]

# The SDK's name for a project without one.
_NO_PROJECT = "uncategorized"
# The SDK still takes `username` for `entity`, and advises against it.
_OVERRIDES = frozenset({"base_url", "entity", "username", "project"})
# The SDK's 19 s are for one run at a time.
_TIMEOUT = 60.0


class Api:
    """Takes the place of ``wandb.Api`` for code that reads runs and histories.

    Parameters
    ----------
    overrides
        ``base_url``, ``entity`` and ``project`` that win over the environment's.
    timeout
        Seconds that one request may wait for the server.
    api_key
        Default: as of `Client`.
    client
        A `Client` to use in place of all of these.

    Attributes
    ----------
    client : Client
        What reads.

    Examples
    --------
    >>> import wbframe.server
    >>> with wbframe.server.serve("ragged") as server:
    ...     api = Api({"base_url": server.url}, api_key=server.api_key)
    ...     api.run("wbframe/ragged/cadence1").state
    'finished'
    """

    @without_locals
    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        api_key: str | None = None,
        *,
        client: Client | None = None,
    ) -> None:
        given = dict(overrides or {})
        unknown = sorted(given.keys() - _OVERRIDES)
        if unknown:
            raise UsageError(f"`overrides` may set base_url, entity and project; got {unknown}")
        if client is None:
            client = Client(
                given.get("base_url"),
                api_key,
                entity=given.get("entity") or given.get("username"),
                project=given.get("project"),
                timeout=_TIMEOUT if timeout is None else timeout,
            )
        self.client = client
        self._entity = given.get("entity") or given.get("username")
        self._known: dict[Any, Runs | Run] = {}

    def __repr__(self) -> str:
        return shortened(f"<Api {self.client.base_url}>")

    def _repr_html_(self) -> str:
        return as_html(repr(self), app_url(self.client.base_url))

    def __getattr__(self, name: str) -> Any:
        raise absent(self, name)

    @property
    @as_sdk
    def default_entity(self) -> str:
        """The entity of paths that name none; may cost a request, once."""
        return self.client.default_entity()

    @property
    def settings(self) -> dict[str, str | None]:
        """The server, and the default entity and project as far as they are set."""
        return {
            "base_url": self.client.base_url,
            "entity": find_default("entity", given=self._entity),
            "project": self.client.default_project(),
        }

    def flush(self) -> None:
        """Forget what `runs` and `run` gave before, so that it is read again."""
        self._known.clear()

    @as_sdk
    def runs(
        self,
        path: str | None = None,
        filters: Mapping[str, Any] | None = None,
        order: str | None = "+created_at",
        per_page: int = 50,
        include_sweeps: bool = True,  # noqa: FBT001, FBT002 -- positional in the SDK
        lazy: bool = False,  # noqa: FBT001, FBT002
    ) -> Runs:
        """Give the runs of a project; asks for nothing before the first is looked at.

        Parameters
        ----------
        path
            ``"entity/project"``, ``"project"``, the project's address, or None for the default project.
        filters, order, per_page, include_sweeps, lazy
            As of `Runs`.

        Returns
        -------
        Runs
            The same object for the same arguments, with what it has loaded; `flush` forgets it.
        """
        entity, project = self._project(None if path is None else _text(path))
        # The SDK leaves out `per_page` and `include_sweeps`, and so gives the pages of an earlier call.
        asked = ("runs", path, str(filters or {}), order, per_page, include_sweeps, lazy)
        found = self._known.get(asked)
        # Not by its truth, which is its length: in the SDK that makes a second call send a request.
        if not isinstance(found, Runs):
            found = Runs(
                self.client, entity, project, filters, order, per_page, include_sweeps, lazy
            )
            self._known[asked] = found
        return found

    @as_sdk
    def run(self, path: str = "") -> Run:
        """Give one run, whole.

        Parameters
        ----------
        path
            ``"entity/project/id"``, also with ``runs/`` before the id, ``"entity/project:id"``,
            ``"project/id"``, ``"project:id"``, ``"id"`` of the default project, or the run's address.

        Returns
        -------
        Run
            The same object for the same path; `flush` forgets it.

        Raises
        ------
        PathError
            If it is none of these, or names no project and there is no default one; a ValueError.
        ProjectNotFoundError, RunNotFoundError
            If there is none; both are ValueErrors.
        """
        asked = ("run", _text(path))
        found = self._known.get(asked)
        if not isinstance(found, Run):
            found = self._known[asked] = Run(self.client, *self._run_parts(path))
        return found

    @as_sdk
    def from_path(self, path: str) -> Run:
        """Give the run of a path of three parts or more; projects, sweeps and reports are the SDK's.

        Raises
        ------
        PathError
            If it is the path of something else; a ValueError.
        """
        parts = _text(path).strip("/ ").split("/")
        if "://" not in path and not (
            len(parts) == 3 or (len(parts) == 4 and parts[2].startswith("run"))  # noqa: PLR2004
        ):
            raise PathError(
                f"Invalid path {path!r}: a run is 'entity/project/id'; wbframe reads runs and histories only"
            )
        return self.run(path)

    def _project(self, path: str | None) -> tuple[str | None, str]:
        """Read the path of a project; no entity means the default one."""
        if path is None:
            return None, self.client.default_project() or _NO_PROJECT
        if "://" in path:
            parsed = self._address(path)
            return parsed.entity, parsed.project
        # As `Run.path` quotes them; no name has a per cent sign.
        entity, slash, project = unquote(path).strip("/ ").partition("/")
        return (entity, project) if slash else (None, path)

    def _run_parts(self, path: str) -> tuple[str, str, str]:
        """Read the path of a run."""
        if "://" in path:
            parsed = self._address(path)
            if parsed.run is None:
                raise PathError(f"the address is that of {name_of(parsed)}, and of no run")
            return str(parsed.entity), parsed.project, parsed.run
        # All the forms that the SDK takes, `entity/project:id` among them, and its words where it takes none.
        plain = unquote(path).replace("/runs/", "/").replace("/sweeps/", "/").strip("/ ")
        head, _, last = plain.rpartition("/")
        if ":" in last:
            project, _, last = last.partition(":")
            head = f"{head}/{project}" if head else project
        parts = [part for part in head.split("/") if part] if head else []
        if not last or len(parts) > 2:  # noqa: PLR2004 -- entity and project
            raise PathError(
                f"Invalid path {path!r}; a run is 'entity/project/id', 'project/id' or 'id'"
            )
        project = parts[-1] if parts else self.client.default_project() or ""
        if not project:
            raise PathError(
                f"Invalid path {path!r} (missing project); a run is 'entity/project/id', or set WANDB_PROJECT"
            )
        if len(parts) > 1:
            return parts[0], project, last
        try:
            return self.client.default_entity(), project, last
        except CredentialsError as error:
            if isinstance(error, MissingKeyError | RefusedKeyError):
                raise
            raise PathError(f"Invalid path {path!r} (missing entity); {error}") from error

    def _address(self, path: str) -> RunPath:
        """Read the address of a page of the web app."""
        [found] = resolved(self.client, [parse_path(path)])
        return found


def _text(path: object) -> str:
    """Refuse a path that is no text."""
    if not isinstance(path, str):
        raise PathError(f"a path is text like 'entity/project/id'; got {type(path).__name__}")
    return path
