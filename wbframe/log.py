"""The loggers of the package, whose records are lines that can be seen, whatever a server had in its message."""

from __future__ import annotations

import logging

from wbframe.text import legible, one_line

__all__ = ["log_of"]

# Characters of a traceback at the most, of which each error may be a message long.
_TRACE = 50_000


def log_of(room: str = "") -> logging.Logger:
    """Give the logger of a room: ``wbframe.<room>``, or that of the package.

    Parameters
    ----------
    room
        Its name below the package's.

    Examples
    --------
    >>> log_of("read").name
    'wbframe.read'
    """
    log = logging.getLogger(f"wbframe.{room}" if room else "wbframe")
    # A filter of the package's logger would not see the records of those below it.
    # https://docs.python.org/3/library/logging.html#logging.Logger.addFilter
    log.addFilter(_fit)
    return log


def _fit(record: logging.LogRecord) -> bool:
    """Make a record fit to be written: its message, what it says besides, and its traceback."""
    record.msg, record.args = one_line(record.getMessage()), None
    for name, value in vars(record).items():
        if name.startswith("wbframe_") and isinstance(value, str):
            setattr(record, name, one_line(value))
    if record.exc_info and not record.exc_text:
        # A formatter takes the text that is there.
        trace = logging.Formatter().formatException(record.exc_info)
        record.exc_text = legible(trace[-_TRACE:], keep="\n")
    return True
