"""What need not be made twice."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["Kept"]

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """The values of the latest few keys, for several threads.

    Parameters
    ----------
    most
        How many are kept; the one that was not asked for the longest goes first.
    weight
        What all that are kept weigh at the most, but for the last; None for any weight.

    Examples
    --------
    >>> kept = Kept[str](1)
    >>> kept.get("a", lambda: "made"), kept.get("a", lambda: "again"), len(kept)
    ('made', 'made', 1)
    """

    __slots__ = ("_heaviest", "_lock", "_most", "_values", "_weight")

    def __init__(self, most: int, *, weight: int | None = None) -> None:
        self._most = most
        self._heaviest = weight
        self._weight = 0
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value], *, weight: int = 1) -> Value:
        """Give the value of a key; make it if it is not there, and say what it weighs.

        Nothing is locked while it is made, so two threads may make the same value at once.
        """
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        value = make()
        with self._lock:
            self._weight += weight - self._values.pop(key, (value, 0))[1]
            self._values[key] = (value, weight)
            while len(self._values) > self._most or self._too_heavy():
                self._weight -= self._values.popitem(last=False)[1][1]
        return value

    def _too_heavy(self) -> bool:
        """Tell whether one must go."""
        return (
            self._heaviest is not None and self._weight > self._heaviest and len(self._values) > 1
        )

    def __len__(self) -> int:
        return len(self._values)
