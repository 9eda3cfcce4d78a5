"""Files that are the old one or the new one, whatever happens while they are written."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wbframe.errors import UsageError, WbframeError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_file", "is_kept", "replacing"]


def is_kept(output: Path) -> bool:
    """Tell whether a path is of a file that has content to lose: not of a pipe, a terminal or the like."""
    return not output.is_relative_to("/dev") and (output.is_file() or not output.exists())


def check_file(output: Path, option: str) -> None:
    """Find out before anything is read whether a file can be written.

    Raises
    ------
    UsageError
        If it cannot.
    """
    if not is_kept(output):
        return
    folder = _followed(output).parent
    if not folder.is_dir():
        raise UsageError(f"{option}: there is no folder {str(folder)!r}")
    if not os.access(folder, os.W_OK):
        raise UsageError(
            f"{option}: {str(output)!r} may not be written, since no file can be made in its folder"
            f" {str(folder)!r} to take its place; name another"
        )


@contextmanager
def replacing(output: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which takes the place of `output` once all of it is on disk, and not before.

    It lies beside the other, and is gone if that fails. A link stays one, to the new file. What was there hands
    on its permissions, and its owner where that is allowed.

    Raises
    ------
    WbframeError
        If it cannot be written.
    """
    try:
        if is_kept(output):
            yield from _beside(_followed(output))
        else:
            with output.open("wb") as file:
                yield file
    except BrokenPipeError:
        # Whoever reads the pipe has enough.
        raise
    except OSError as error:
        msg = f"could not write {str(output)!r}: {error.strerror or error}; what was there is as it was"
        raise WbframeError(msg) from error


def _beside(target: Path) -> Iterator[BinaryIO]:
    """Give a file that is written beside another, and takes its place."""
    beside = target.with_name(f".wbframe-{secrets.token_hex(8)}.part")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            # Else the name may reach the disk before the content does.
            os.fsync(file.fileno())
        if target.exists():
            _take_after(beside, target)
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _followed(output: Path) -> Path:
    """Follow links to the file that they are of, also where it is not there yet."""
    return Path(os.path.realpath(output))


def _take_after(file: Path, old: Path) -> None:
    """Give a file the owner and the permissions of another."""
    was = old.stat()
    if hasattr(os, "chown"):
        # Only root may give files away; a member of a group may still give it to that.
        for owner in ((was.st_uid, was.st_gid), (-1, was.st_gid)):
            with suppress(PermissionError):
                os.chown(file, *owner)
                break
    shutil.copymode(old, file)
