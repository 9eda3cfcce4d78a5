"""Requests that wait for each other, so that they fail unless they are under way at once."""

from __future__ import annotations

import threading


def requests_meet(client, monkeypatch, count, *, beginning="query "):
    """Let the first requests of a client whose documents begin so wait until all of them are there."""
    met = threading.Barrier(count, timeout=20)
    turns = iter(range(count))
    send = client.send

    def waiting(request, **options):
        if request.document.startswith(beginning) and next(turns, None) is not None:
            met.wait()
        return send(request, **options)

    monkeypatch.setattr(client, "send", waiting)
