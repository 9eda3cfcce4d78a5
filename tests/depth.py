"""Round trips in a row, counted without a clock.

A read asks in rounds: what it asks in one is answered only when all of it is there, so that no question of it can
need the answer to another. The depth of a read is the number of its rounds.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

    from wbframe import Client
    from wbframe.core.protocol.request import Request

# Seconds after which a question that is not asked is given up.
_PATIENCE = 20


class Rounds:
    """Holds back the answers of each round until all that belongs to it has been asked.

    Parameters
    ----------
    client
        Who reads.
    expected
        The operations of each round, parted by spaces.
    """

    def __init__(self, client: Client, expected: Sequence[str]) -> None:
        self._send = client.send
        self._left = [Counter(each.split()) for each in expected]
        self._changed = threading.Condition()
        self._round = 0
        self.unexpected: list[str] = []

    def send(self, request: Request, **options: object) -> bytes:
        """Send a request when its round is complete."""
        operation = str(request.body()["operationName"])
        with self._changed:
            mine = self._round
            # What is asked too early shows that it could have been a round sooner.
            if mine >= len(self._left) or not self._left[mine][operation]:
                self.unexpected.append(f"{operation} in round {mine + 1}")
                raise AssertionError(self.unexpected)
            self._left[mine][operation] -= 1
            if not +self._left[mine]:
                self._round += 1
                self._changed.notify_all()
            elif not self._changed.wait_for(lambda: self._round > mine, _PATIENCE):
                self.unexpected.append(f"only {operation} in round {mine + 1}")
                raise AssertionError(self.unexpected)
        return self._send(request, **options)  # type: ignore[arg-type] -- passed on

    def check(self) -> None:
        """Check that the read asked all of it, and no more."""
        assert not self.unexpected
        assert self._round == len(self._left), f"it took {self._round} rounds"


def in_rounds(client: Client, monkeypatch: pytest.MonkeyPatch, expected: Sequence[str]) -> Rounds:
    """Let a client ask in rounds."""
    rounds = Rounds(client, expected)
    monkeypatch.setattr(client, "send", rounds.send)
    return rounds
