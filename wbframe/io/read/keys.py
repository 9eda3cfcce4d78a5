"""Reading which keys the runs of a selection have logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wbframe.core.histories.keys import key_frame
from wbframe.io.read.histories import plan_histories
from wbframe.io.read.outcome import Read

if TYPE_CHECKING:
    import polars as pl

    from wbframe.core.model import HistoryScan
    from wbframe.io.client.client import Client

__all__ = ["read_key_frame"]


def read_key_frame(client: Client, scan: HistoryScan) -> pl.DataFrame:
    """Read the keys of a scan, their types, and how many runs and rows hold them, as `key_frame` gives them.

    Raises
    ------
    ColumnError
        If no run has logged a key that is asked for.
    """
    plan = plan_histories(Read(client), scan)
    return key_frame(plan.entries, plan.schema, plan.index, system=scan.stream == "system")
