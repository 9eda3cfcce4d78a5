"""What is raised where answers and files are taken in -> one error of wbframe that says what was read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from wbframe.errors import AnswerError, WbframeError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["taken_in", "told_of"]

_SHOWN = 200  # characters of another library's message
_RAW = (
    RecursionError,
    MemoryError,
    ValueError,
    ArithmeticError,
    OSError,
    msgspec.MsgspecError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)


class taken_in:  # noqa: N801 -- stands behind `with`, as `suppress` does
    """Make one `AnswerError` of whatever the readers of JSON and of files raise within.

    Errors of wbframe, Ctrl-C, the end of a read, and what is no error of reading pass as they are.

    Parameters
    ----------
    what
        What is read, for the message.

    Raises
    ------
    AnswerError
        In place of a raw error. It may be of size where memory was not enough, so that less is asked for.

    Examples
    --------
    >>> with taken_in("the config of run 'r'"):
    ...     int("9" * 5000)
    Traceback (most recent call last):
    ...
    wbframe.errors.AnswerError: could not read the config of run 'r': ValueError: Exceeds the limit ...
    """

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or not _is_raw(error):
            return
        if isinstance(error, MemoryError):
            # Its frames would hold what there was no memory for.
            error.__traceback__ = None
            told = AnswerError(
                f"could not read {self._what}: there is not memory enough;"
                " read fewer runs or `keys` at once, or by batches"
            )
            told.too_big = True
        else:
            told = AnswerError(f"could not read {self._what}: {told_of(error)}")
        raise told from error


def told_of(error: BaseException) -> str:
    """Say in one line what another library's error says."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = " ".join(str(error).split())[:_SHOWN]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_raw(error: BaseException) -> bool:
    """Tell whether an error is one of reading, and not one of ours."""
    if isinstance(error, WbframeError):
        return False
    # Imported only where exported files are read.
    arrow = sys.modules.get("pyarrow")
    return isinstance(error, _RAW) or (
        arrow is not None and isinstance(error, arrow.lib.ArrowException)
    )
