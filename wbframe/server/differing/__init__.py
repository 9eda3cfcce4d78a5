"""Servers that differ: each difference is one plausible way in which another host may answer otherwise.

>>> from wbframe.server import serve
>>> with serve("ragged", differing={"index_depth": 1, "count": "null"}) as server:
...     server.url.startswith("http://127.0.0.1:")
True

`DIFFERENCES` lists them all with what each does; ``python -m wbframe.server.differing`` prints the list. Their
modules: ``index`` (the index of config and summary keys), ``keys`` (`historyKeys`), ``values`` (counts, times,
configs), ``paging`` (pages, orders), ``filters``, ``rows`` (windows, samples, exports), ``documents`` (what is
refused or too much), ``http`` (rate limits, bodies, errors).
"""

from __future__ import annotations

from wbframe.server.differing import (  # noqa: F401 - each adds its own
    documents,
    filters,
    http,
    index,
    keys,
    paging,
    rows,
    values,
)
from wbframe.server.differing.differing import Differing
from wbframe.server.differing.exchange import Asking
from wbframe.server.differing.registry import DIFFERENCES, Difference

__all__ = ["DIFFERENCES", "Asking", "Difference", "Differing", "table"]


def table() -> str:
    """Write the list of differences: a name, its values, and what the server does then.

    Examples
    --------
    >>> print(table().splitlines()[0])
    bad_filter: 'type', 'path', 'operator'
    """
    return "\n".join(
        f"{each.name}: {each.values}\n    {each.says}" for _, each in sorted(DIFFERENCES.items())
    )
