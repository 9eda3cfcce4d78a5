"""What is raised into polars and is no error of ours: it comes out of a query as what it was.

polars makes an error of its own even of Ctrl-C, or loses it and some rows with it.
"""

from __future__ import annotations

import copy
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl

from wbframe.errors import WbframeError, WbframeWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["let_go", "passed", "passing", "passing_on", "raise_lost"]

# What polars says of each schema while whose entries it takes Ctrl-C comes: it asks no more what was raised.
_LOST = "expected a polars.Schema; got "
# What was raised into polars, and is none of our errors: Ctrl-C, an exit, whatever a handler of signals raises.
_passing: deque[BaseException] = deque(maxlen=8)


def passing() -> list[BaseException]:
    """Give what was raised into polars until now, and has not come out of it."""
    return list(_passing)


@contextmanager
def passing_on() -> Iterator[None]:
    """Keep what is raised into polars, which makes an error of its own even of Ctrl-C, or loses it."""
    try:
        yield
    except (GeneratorExit, WbframeError, WbframeWarning, pl.exceptions.PolarsError):
        raise
    except BaseException as error:
        _passing.append(_without_traceback(error))
        raise


def _without_traceback(error: BaseException) -> BaseException:
    """Copy what is raised: its traceback would hold a read that was dropped, with its threads."""
    try:
        return copy.copy(error)
    except TypeError:
        # Its class is not made of what it says.
        kept = type(error).__new__(type(error), *error.args)
        kept.args, kept.__dict__ = error.args, dict(vars(error))
        return kept


def passed(error: pl.exceptions.PolarsError) -> BaseException | None:
    """Give what an error of polars was made of."""
    said = str(error)
    if _LOST in said:
        return KeyboardInterrupt()
    for each in reversed(_passing):
        if f"{type(each).__name__}: {each}" in said:
            return each
    return None


def let_go(error: BaseException) -> None:
    """Let go of what has come through."""
    for each in _passing:
        if type(each) is type(error) and each.args == error.args:
            _passing.remove(each)
            return


def raise_lost(before: list[BaseException]) -> None:
    """Raise the Ctrl-C that polars has lost, and some rows with it."""
    for each in _passing:
        if not isinstance(each, Exception) and each not in before:
            _passing.remove(each)
            raise each
