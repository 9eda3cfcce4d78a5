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

    Examples
    --------
    >>> kept = Kept[str](1)
    >>> kept.get("a", lambda: "made"), kept.get("a", lambda: "again"), len(kept)
    ('made', 'made', 1)
    """

    __slots__ = ("_lock", "_most", "_values")

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Give the value of a key; make it if it is not there.

        Nothing is locked while it is made, so two threads may make the same value at once.
        """
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            if len(self._values) > self._most:
                self._values.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._values)
