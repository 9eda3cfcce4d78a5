"""Cutting what is asked for into requests: by what they cost, by how many they are, by what goes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["batches", "halves_of"]

_Item = TypeVar("_Item")


def batches(
    items: Iterable[_Item],
    cost: Callable[[_Item], int],
    most: Callable[[], int],
    *,
    count: int | None = None,
    apart: Callable[[_Item], object] = lambda _: None,
) -> Iterator[list[_Item]]:
    """Cut items into batches, in order; each is given as soon as the item behind it is known.

    Parameters
    ----------
    items
        What is cut.
    cost
        What one costs.
    most
        Gives what the next batch may cost; a single item may be above it.
    count
        Items in a batch at the most; None for any number.
    apart
        Items of which this differs are never together.

    Examples
    --------
    >>> list(batches([3, 3, 5, 9, 1], lambda item: item, lambda: 8))
    [[3, 3], [5], [9], [1]]
    >>> list(batches("aaabb", lambda _: 1, lambda: 9, count=2, apart=lambda item: item))
    [['a', 'a'], ['a'], ['b', 'b']]
    """
    batch: list[_Item] = []
    left, kind = most(), None
    for item in items:
        left -= cost(item)
        other = apart(item)
        if batch and (left < 0 or len(batch) == count or other != kind):
            yield batch
            batch, left = [], most() - cost(item)
        batch.append(item)
        kind = other
    if batch:
        yield batch


def halves_of(items: Sequence[_Item]) -> list[Sequence[_Item]]:
    """Cut things in two; nothing where there is but one.

    Examples
    --------
    >>> halves_of("abc"), halves_of("a")
    (['a', 'bc'], [])
    """
    half = len(items) // 2
    return [items[:half], items[half:]] if half else []
