"""What the command line asks of the scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.peers import CURRENT, OLDEST

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measuring import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a scenario is run.

    Attributes
    ----------
    peers
        Requirements of SDKs; none for wbframe alone.
    latency
        Milliseconds that the server holds back every answer.
    repeats
        Of each reader; those that take long are measured less often.
    smoke
        Tiny sizes, once: does it run at all?
    """

    peers: tuple[str, ...] = (CURRENT, OLDEST)
    latency: tuple[float, ...] = (0.0, 20.0, 100.0)
    repeats: int = 5
    smoke: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named comparison."""

    name: str
    what: str
    run: Callable[[Options], list[Row]]
