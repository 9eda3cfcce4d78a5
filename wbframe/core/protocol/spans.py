"""How much of a file is asked for at once: of its end, and of what lies near what is needed.

Both are guesses, of which a wrong one costs bytes or a request: what came is compared with what is needed.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LEAST_TAIL", "NEAR_BYTES", "end_bytes", "file_bytes", "is_most", "ranges_needed"]

# Read at once from the end of a file at the least: its footer, and all of it if it is small.
LEAST_TAIL = 256 << 10
# A file of so many bytes is read at once whatever is wanted of it, one of which most is wanted up to the second:
# from there on a round trip is a small part of what it takes to get them.
_SMALL, _MOST_AT_ONCE = 512 << 10, 4 << 20
# Bytes of a number, which compression makes no larger, and of what a footer says of a column in one row group. A
# guess may be short of a few.
_CELL, _OF_COLUMN, _MARGIN = 8, 256, 1.125
# Ranges nearer than this are read as one: a request costs more than so many bytes.
NEAR_BYTES = 64 << 10
# What comes in the time of a round trip to a server that is far; so many spare one.
_ROUND_TRIP = 512 << 10
# A share of the file from which on it is read whole.
_WHOLE_SHARE = 0.6


def file_bytes(rows: int, width: int) -> int:
    """Guess how large a file of so many rows and columns is, if it holds numbers."""
    return width * (rows * _CELL + _OF_COLUMN)


def is_most(columns: int, width: int) -> bool:
    """Tell whether so many columns are so much of a file that it is read whole."""
    return columns >= _WHOLE_SHARE * width


def end_bytes(rows: int | None, width: int, *, most: bool) -> int:
    """Choose how much of the end of a file is read at first: all of it, if not much more than that is wanted.

    Parameters
    ----------
    rows, width
        How many rows and columns it has, as far as is known.
    most
        Whether most of it is wanted.

    Examples
    --------
    >>> end_bytes(None, 3, most=True) == end_bytes(10**9, 3, most=True) == LEAST_TAIL
    True
    >>> end_bytes(20_000, 20, most=True) > file_bytes(20_000, 20) > LEAST_TAIL
    True
    >>> end_bytes(20_000, 20, most=False) == LEAST_TAIL
    True
    """
    guess = 0 if rows is None else int(file_bytes(rows, width) * _MARGIN)
    if guess > (_MOST_AT_ONCE if most else _SMALL):
        guess = 0
    return max(LEAST_TAIL, guess, min(width * _OF_COLUMN, _MOST_AT_ONCE))


def ranges_needed(
    needed: Iterable[tuple[int, int]], size: int, *, at_once: int = 1
) -> list[tuple[int, int]]:
    """Choose the ranges of bytes to read of a file.

    Parameters
    ----------
    needed
        Where what is needed lies, half-open.
    size
        The file's size.
    at_once
        How many ranges are read side by side.

    Returns
    -------
    list of (start, end)
        Half-open, in order, apart. Near ones are joined; others too, where what lies between them is less than
        what comes in the round trip that it spares; and if most of the file is needed it is one range.

    Examples
    --------
    >>> ranges_needed([(0, 10), (90, 100), (10**6, 10**6 + 10)], 10**7)
    [(0, 100), (1000000, 1000010)]
    """
    joined: list[tuple[int, int]] = []
    for start, end in sorted(needed):
        if joined and start - joined[-1][1] <= NEAR_BYTES:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    if sum(end - start for start, end in joined) >= _WHOLE_SHARE * size:
        return [(0, size)]
    return _in_fewer_waves(joined, at_once)


def _in_fewer_waves(ranges: list[tuple[int, int]], at_once: int) -> list[tuple[int, int]]:
    """Join as many ranges as are left for a last round trip, if it takes longer than what lies between them."""
    left = len(ranges) % at_once
    if len(ranges) <= at_once or not left:
        return ranges
    gaps = [after[0] - before[1] for before, after in pairwise(ranges)]
    spared = sorted(range(len(gaps)), key=gaps.__getitem__)[:left]
    if sum(gaps[i] for i in spared) > _ROUND_TRIP:
        return ranges
    inside = set(spared)
    starts = [start for i, (start, _) in enumerate(ranges) if i - 1 not in inside]
    ends = [end for i, (_, end) in enumerate(ranges) if i not in inside]
    return list(zip(starts, ends, strict=True))
