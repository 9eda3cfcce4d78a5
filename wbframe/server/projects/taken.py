"""The files of a project's folder: those that lie in it, are files, and are of a size that can be read."""

from __future__ import annotations

import stat
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wbframe.errors import UsageError
from wbframe.server.projects.wire import JSONTextError, decode
from wbframe.text import legible

if TYPE_CHECKING:
    import os

__all__ = ["Folder", "Taken"]

_LARGEST = 1 << 30


class Folder:
    """A project's folder; what lies in it is listed once.

    Parameters
    ----------
    path
        Where it is.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._listed: dict[Path, frozenset[str]] = {}

    def __str__(self) -> str:
        return legible(str(self.path))

    def file(self, *parts: str) -> Taken:
        """Give the file at a path in there, be it there or not."""
        return Taken(self, *parts)

    def has(self, path: Path) -> bool:
        """Tell whether there is just this name, be it of a link to nothing; some systems find others too."""
        if path.parent not in self._listed:
            try:
                names = frozenset(each.name for each in path.parent.iterdir())
            except FileNotFoundError:
                names = frozenset()
            self._listed[path.parent] = names
        return path.name in self._listed[path.parent]

    @cached_property
    def real(self) -> Path:
        """Where it is without links."""
        return self.path.resolve(strict=True)


class Taken:
    """One file of a folder, be it there or not.

    Parameters
    ----------
    folder
        The project's.
    parts
        Its path in there.

    Raises
    ------
    UsageError
        Of each method: the file cannot be read, or is none, or lies elsewhere by a link.
    """

    def __init__(self, folder: Folder, *parts: str) -> None:
        self._folder = folder
        self._path = folder.path.joinpath(*parts)

    def __str__(self) -> str:
        return legible(str(self._path))

    @cached_property
    def _there(self) -> Path | None:
        """Say where it really is; None where there is none."""
        try:
            if not self._folder.has(self._path):
                return None
            real = self._path.resolve(strict=True)
            inside = real.is_relative_to(self._folder.real)
        # A circle of links is a RuntimeError before Python 3.13.
        except (OSError, RuntimeError, ValueError) as error:
            raise self._unreadable(error) from None
        if not inside:
            raise UsageError(
                f"{self} is a link out of the folder, which is not followed; copy the file"
            )
        return real

    def _unreadable(self, error: Exception) -> UsageError:
        """Say why it cannot be read."""
        why = getattr(error, "strerror", None) or type(error).__name__
        if isinstance(error, FileNotFoundError):
            why = "it is a link to nothing"
        elif isinstance(error, RuntimeError):
            why = "it is a circle of links"
        return UsageError(f"{self} cannot be read: {legible(why)}")

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self._there is not None

    def read(self) -> bytes:
        """Read it, where it is a file of at most 1 GiB: no pipe and no device, which may never end."""
        if self._there is None:
            raise UsageError(f"no file {self}; a project folder has it")
        try:
            about = self._there.stat()
            if not stat.S_ISREG(about.st_mode):
                raise UsageError(f"{self} is no file; a project folder has one there")
            if about.st_size > _LARGEST:
                raise UsageError(
                    f"{self} has {about.st_size:,} bytes; {_LARGEST:,} are read at most"
                )
            with self._there.open("rb") as file:
                return file.read(_LARGEST)
        except OSError as error:
            raise self._unreadable(error) from None

    def json(self, kind: type) -> Any:
        """Read it as JSON that is an object or a list, in which no key stands twice; bare NaN tokens are fine."""
        try:
            value = decode(self.read(), once=True)
        except JSONTextError as error:
            raise UsageError(f"{self} is no JSON that can be served: {error}") from None
        if not isinstance(value, kind):
            raise UsageError(f"{self} must hold a JSON {'object' if kind is dict else 'list'}")
        return value
