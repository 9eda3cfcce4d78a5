"""Start a server: which projects, where, as what."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from wbframe.errors import PlainHttpWarning, UsageError, did_you_mean, one_of
from wbframe.server.api.catalog import Catalog
from wbframe.server.api.engine import Engine
from wbframe.server.differing import Differing
from wbframe.server.guard import exposure
from wbframe.server.projects.exports import Exports
from wbframe.server.projects.folder import load_project
from wbframe.server.projects.growing import growing
from wbframe.server.projects.ragged import odd, ragged
from wbframe.server.projects.store import Project
from wbframe.warn import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wbframe.server.api.schema import Features
    from wbframe.server.http import Server

__all__ = ["API_KEY", "BUILT_IN", "built_in", "serve", "serve_forever"]

API_KEY = "local0wbframe0key0not0a0secret0000000000"
"""A key that is no secret, for who wants the same at each start: ``serve(api_key=API_KEY)``."""

BUILT_IN = ("demo", "ragged", "empty", "odd", "growing")
"""The names of the projects that come with the package."""

ProjectLike: TypeAlias = "str | os.PathLike[str] | Project"


def _demo_folder() -> Path:
    """Say where the demo's data lie."""
    return Path(__file__).parent / "projects" / "demo" / "data"


def built_in(name: str) -> Project:
    """Make one of the projects that come with the package.

    Parameters
    ----------
    name
        ``"demo"``: real small trainings, each exported whole once it has ended. ``"ragged"``: hard
        cases. ``"empty"``: no runs. ``"odd"``: answers that some official SDKs cannot read.
        ``"growing"``: runs that log rows while they are read.

    Raises
    ------
    UsageError
        There is no such project, or its data are not installed.
    """
    if name == "demo":
        return replace(load_project(_demo_folder()), exports=Exports.all())
    if name == "ragged":
        return ragged()
    if name == "odd":
        return odd()
    if name == "growing":
        return growing()
    if name == "empty":
        return Project(entity="wbframe", name="empty")
    raise one_of("project", name, BUILT_IN)


def _project(asked: ProjectLike) -> Project:
    """Turn a name, a folder or a project into a project."""
    if isinstance(asked, Project):
        return asked
    if isinstance(asked, str) and asked in BUILT_IN:
        return built_in(asked)
    if not isinstance(asked, (str, os.PathLike)):
        raise UsageError(f"a project is a name, a folder or a Project; got {asked!r}")
    if Path(asked).is_dir():
        return load_project(asked)
    names = ", ".join(repr(name) for name in BUILT_IN)
    raise UsageError(
        f"{os.fspath(asked)!r} is neither a folder nor one of {names}."
        f"{did_you_mean(os.fspath(asked), BUILT_IN)}"
    )


def _projects(asked: ProjectLike | Sequence[ProjectLike] | None) -> tuple[Project, ...]:
    """Turn what `serve` was given into projects."""
    if asked is None:
        installed = (_demo_folder() / "project.json").is_file()
        names = [name for name in BUILT_IN if name != "demo" or installed]
        return tuple(built_in(name) for name in names)
    if isinstance(asked, (list, tuple)):
        return tuple(_project(each) for each in asked)
    return (_project(asked),)  # type: ignore[arg-type]


def serve(
    project: ProjectLike | Sequence[ProjectLike] | None = None,
    *,
    latency: float = 0.0,
    port: int = 0,
    host: str = "127.0.0.1",
    api_key: str | None = None,
    hosts: Sequence[str] = (),
    features: Features | None = None,
    null_reading: Literal["mongo", "sql"] = "mongo",
    compress: bool = True,
    exports: Exports | None = None,
    differing: Mapping[str, bool | int | str] | None = None,
) -> Server:
    """Start a W&B-compatible server in a thread of this process.

    It answers the GraphQL queries with which SDKs read runs and histories, from projects in memory.
    Projects of the entity ``forbidden`` are answered with HTTP 403, a wrong key with 401.

    Parameters
    ----------
    project
        The name of a built-in project (`BUILT_IN`), a folder (`load_project`), a `Project`, or a
        list of those; every built-in one unless told.
    latency
        Seconds that every answer is held back, as a far server would.
    port
        0 takes any free one.
    host
        The address to listen on. One that others reach too gives a `PlainHttpWarning`.
    api_key
        The key that clients must show, at least 40 letters and digits for official SDKs; another at
        each start unless told, see `Server.api_key`.
    hosts
        Names by which clients may ask for it, beside `host` and those of this machine: requests under
        other names, and those that pages of other origins send, are answered with 403.
    features
        Which fields the server knows; all unless told.
    null_reading
        How filters read missing keys and nulls, see `wbframe.server.api.matching.matches`.
    compress
        Whether answers over 1 kB are sent with gzip to clients that accept it.
    exports
        How the rows of runs are exported, in place of what their projects say; a run that says it
        itself (`RunRecord.exports`) is exported as it says.
    differing
        In which of the ways of `wbframe.server.DIFFERENCES` its answers differ from those of other
        servers, such as ``{"index_depth": 2, "ties": True}``. ``python -m wbframe.server.differing``
        prints them all.

    Returns
    -------
    Server
        Already listening; a context manager that stops it.

    Raises
    ------
    UsageError
        An argument is wrong, the port is taken, or the package's extra ``server`` is not installed.

    Examples
    --------
    >>> with serve("ragged") as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """
    if null_reading not in ("mongo", "sql"):
        raise one_of("null_reading", null_reading, ("mongo", "sql"))
    if latency < 0:
        raise UsageError(f"`latency` is in seconds, from 0; got {latency}")
    try:
        from wbframe.server.http import Server  # noqa: PLC0415 - aiohttp is an extra
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise UsageError("the server needs aiohttp: pip install 'wbframe[server]'") from error
    differs = Differing.of(differing)
    projects = _projects(project)
    if exports is not None:
        projects = tuple(replace(each, exports=exports) for each in projects)
    if differs is not None:
        projects = tuple(map(differs.project, projects))
    engine = Engine(Catalog(projects, null_reading), features, differs)
    server = Server(
        engine,
        host=host,
        port=port,
        api_key=_key(api_key),
        latency=latency,
        compress=compress,
        hosts=hosts,
    )
    exposed = exposure(host, public_key=api_key == API_KEY)
    if exposed is not None:
        warn(exposed, PlainHttpWarning)
    return server


def _key(asked: str | None) -> str:
    """Check a key, or make one as long as those of W&B."""
    if asked is None:
        return secrets.token_hex(20)
    if not isinstance(asked, str) or not asked or not asked.isascii() or not asked.isprintable():
        raise UsageError(
            "`api_key` is text of ASCII letters, digits and signs; leave it out for a new one"
        )
    return asked


def serve_forever(
    project: ProjectLike | Sequence[ProjectLike] | None = None,
    *,
    latency: float = 0.0,
    port: int = 0,
    host: str = "127.0.0.1",
    api_key: str | None = None,
    hosts: Sequence[str] = (),
    features: Features | None = None,
    null_reading: Literal["mongo", "sql"] = "mongo",
    compress: bool = True,
    exports: Exports | None = None,
    differing: Mapping[str, bool | int | str] | None = None,
    ready: Callable[[Server], object] | None = None,
) -> None:
    """Serve until interrupted or stopped.

    Parameters
    ----------
    project, latency, port, host, api_key, hosts, features, null_reading, compress, exports, differing
        As for `serve`.
    ready
        Is called with the server once it listens, for example to print its URL.

    Raises
    ------
    UsageError
        As for `serve`.
    """
    with serve(
        project,
        latency=latency,
        port=port,
        host=host,
        api_key=api_key,
        hosts=hosts,
        features=features,
        null_reading=null_reading,
        compress=compress,
        exports=exports,
        differing=differing,
    ) as server:
        if ready is not None:
            ready(server)
        try:
            server.wait()
        except KeyboardInterrupt:
            return
