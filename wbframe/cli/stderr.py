"""What is told and is no data: lines on stderr, about tries that take long, and with ``-v`` the whole log."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from wbframe.cli.screen import encodable
from wbframe.cli.words import as_options
from wbframe.log import log_of
from wbframe.text import legible, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["say", "say_lines", "told"]

# Seconds that a read may try again in silence, and between two lines about it.
_PATIENCE = 2.0


def say(text: str) -> None:
    """Say something that is not data: on stderr, in one line."""
    say_lines(f"wbframe: {one_line(text)}")


def say_lines(text: str) -> None:
    """Write lines to stderr; nowhere, where it is closed: there is nobody left to be told."""
    stream = sys.stderr
    if stream is None:
        return
    lines = legible(text, keep="\n")
    with suppress(OSError):
        stream.write(encodable(f"{lines}\n", stream))
        stream.flush()


@contextmanager
def told(*, verbose: bool) -> Iterator[None]:
    """Tell meanwhile what the log says: all of it, or of tries that take long alone."""
    log = log_of()
    handler, level = _Log() if verbose else _Tries(), log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)


class _Log(logging.Handler):
    """Says each record."""

    def emit(self, record: logging.LogRecord) -> None:
        say(as_options(record.getMessage()))


class _Tries(logging.Handler):
    """Says that something is tried again, if that goes on for two seconds, and then not before the next try.

    All threads of a read meet the same hiccup, so that one line speaks for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._quiet_until: float | None = None

    def emit(self, record: logging.LogRecord) -> None:
        wait = getattr(record, "wbframe_wait", None)
        if wait is None:
            return
        ends = record.created + wait
        if self._quiet_until is None:
            self._quiet_until = record.created + _PATIENCE
        if ends >= self._quiet_until:
            self._quiet_until = ends + _PATIENCE
            say(as_options(record.getMessage()))
