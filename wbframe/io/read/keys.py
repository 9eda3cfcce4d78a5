"""Reading which keys the runs of a selection have logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wbframe.core.histories.keys import key_frame
from wbframe.io.read.histories import plan_histories
from wbframe.io.read.outcome import Outcome

if TYPE_CHECKING:
    import polars as pl

    from wbframe.core.model import HistoryScan
    from wbframe.io.client.client import Client
    from wbframe.report import ScanReport

__all__ = ["read_key_frame"]


def read_key_frame(client: Client, scan: HistoryScan) -> tuple[pl.DataFrame, ScanReport]:
    """Read the keys of a scan, their types, and how many runs and rows hold them, as `key_frame` gives them.

    Raises
    ------
    ColumnError
        If no run has logged a key that is asked for.
    """
    outcome = Outcome(client, scan.selection, "histories", scan=scan)
    with outcome:
        plan = plan_histories(outcome.read, scan)
        outcome.scan, outcome.selection, outcome.entries = (
            plan.scan,
            plan.scan.selection,
            plan.entries,
        )
        system = scan.stream == "system"
        frame = key_frame(plan.entries, plan.schema, plan.index, system=system)
        outcome.rows = frame.height
    return frame, outcome.report()
