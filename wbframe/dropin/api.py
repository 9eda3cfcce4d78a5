"""The drop-in `Api`: where code of the official SDK begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wbframe.core.paths import name_of, parse_path
from wbframe.dropin.run import Run
from wbframe.dropin.runs import Runs
from wbframe.errors import PathError, UsageError
from wbframe.io.client.client import Client
from wbframe.io.read.paging import resolved

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
        self._known: dict[Any, Runs | Run] = {}

    def __repr__(self) -> str:
        return f"<Api {self.client.base_url}>"

    def __getattr__(self, name: str) -> Any:
        msg = f"'Api' object has no attribute {name!r}"
        if not name.startswith("_"):
            msg += "; wbframe reads runs and histories only, the rest is in wandb.Api() of the wandb package"
        raise AttributeError(msg)

    @property
    def default_entity(self) -> str:
        """The entity of paths that name none; may cost a request, once."""
        return self.client.default_entity()

    @property
    def settings(self) -> dict[str, str | None]:
        """The server and the default project."""
        return {"base_url": self.client.base_url, "project": self.client.default_project()}

    def flush(self) -> None:
        """Forget what `runs` and `run` gave before, so that it is read again."""
        self._known.clear()

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
        entity, project = self._project(path)
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

    def run(self, path: str = "") -> Run:
        """Give one run, whole.

        Parameters
        ----------
        path
            ``"entity/project/id"``, also with ``runs/`` before the id, ``"entity/project:id"``,
            ``"project/id"``, ``"project:id"``, ``"id"``, or the run's address.

        Returns
        -------
        Run
            The same object for the same path; `flush` forgets it.

        Raises
        ------
        ProjectNotFoundError, RunNotFoundError
            If there is none; both are ValueErrors.
        """
        asked = ("run", path)
        found = self._known.get(asked)
        if not isinstance(found, Run):
            found = self._known[asked] = Run(self.client, *self._run_parts(path))
        return found

    def _default_project(self) -> str:
        return self.client.default_project() or _NO_PROJECT

    def _project(self, path: str | None) -> tuple[str | None, str]:
        """Read the path of a project; no entity means the default one."""
        if path is None:
            return None, self._default_project()
        if "://" in path:
            parsed = self._address(path)
            return parsed.entity, parsed.project
        entity, slash, project = path.partition("/")
        return (entity, project) if slash else (None, path)

    def _run_parts(self, path: str) -> tuple[str, str, str]:
        """Read the path of a run."""
        if "://" in path:
            parsed = self._address(path)
            if parsed.run is None:
                raise PathError(f"the address is that of {name_of(parsed)}, and of no run")
            return str(parsed.entity), parsed.project, parsed.run
        # All the forms that the SDK takes, `entity/project:id` among them.
        plain = path.replace("/runs/", "/").replace("/sweeps/", "/").strip("/ ")
        head, _, last = plain.rpartition("/")
        if ":" in last:
            project, _, last = last.partition(":")
            head = f"{head}/{project}" if head else project
        parts = [part for part in head.split("/") if part] if head else []
        if not last or len(parts) > 2:  # noqa: PLR2004 -- entity and project
            raise PathError(
                f"cannot read the path {path!r}; a run is 'entity/project/id', 'project/id' or 'id'"
            )
        project = parts[-1] if parts else self._default_project()
        entity = parts[0] if len(parts) > 1 else self.client.default_entity()
        return entity, project, last

    def _address(self, path: str) -> RunPath:
        """Read the address of a page of the web app."""
        [found] = resolved(self.client, [parse_path(path)])
        return found
