"""Giving out warnings: each time, and at the line of the program that reads."""

from __future__ import annotations

import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from wbframe.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Line", "given_at", "line_of_program", "warn"]

# What stands between a program and us on the stack, and below it where a thread began.
_NOT_THE_PROGRAM = frozenset(
    (
        "wbframe", "polars", "pandas", "pyarrow", "asyncio", "concurrent", "contextlib", "functools", "threading",
        "typing_extensions", "wrapt",
    )
)  # fmt: skip
_local = threading.local()


class Line(NamedTuple):
    """A line of a program: its file, its number and its module."""

    filename: str
    number: int
    module: str


def line_of_program() -> Line | None:
    """Find the line of the program that this thread is in, or that it works for; None if nobody knows."""
    frame = sys._getframe(1)  # noqa: SLF001 -- as `warnings` finds it; `inspect` reads files for it
    while frame is not None:
        module = frame.f_globals.get("__name__") or ""
        if module.partition(".")[0] not in _NOT_THE_PROGRAM:
            return Line(frame.f_code.co_filename, frame.f_lineno, module)
        frame = frame.f_back  # type: ignore[assignment]
    found: Line | None = getattr(_local, "line", None)
    return found


@contextmanager
def given_at(line: Line | None) -> Iterator[None]:
    """Give out the warnings of this thread at a line, where the thread itself is in no program."""
    before = getattr(_local, "line", None)
    _local.line = line
    try:
        yield
    finally:
        _local.line = before


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the program, again each time: a job that reads every night is told every night."""
    line = line_of_program() or Line("sys", 1, "sys")
    message = one_line(message)
    # By the registry of its module, Python would tell of a line only once; filters hold all the same.
    # https://docs.python.org/3/library/warnings.html#warnings.warn_explicit
    warnings.warn_explicit(
        message, category, line.filename, line.number, module=line.module, registry={}
    )
