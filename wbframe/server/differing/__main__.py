"""Print the list of differences."""

from __future__ import annotations

from wbframe.server.differing import table

print(table())  # noqa: T201 - a script
