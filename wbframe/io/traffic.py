"""What has gone over the wire."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traffic:
    """What has gone over the wire: requests sent, of which second tries, bytes of answers, seconds waited."""

    requests: int = 0
    retries: int = 0
    bytes_received: int = 0
    waited: float = 0.0

    def __sub__(self, other: Traffic) -> Traffic:
        """Give what came in between."""
        return Traffic(
            self.requests - other.requests,
            self.retries - other.retries,
            self.bytes_received - other.bytes_received,
            self.waited - other.waited,
        )
