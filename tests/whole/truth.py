"""What a whole read must give, from the rows as the server holds them: plain Python, a row at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.server import Project, RunRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PATH = "wbframe/p"


def project_of(*runs: RunRecord, **options: Any) -> Project:
    """Make a project of some runs."""
    return Project(entity="wbframe", name="p", runs=runs, **options)


def rows_of(
    run: RunRecord,
    *,
    keys: Sequence[str] | None = None,
    match: str = "any",
    x_axis: str = "_step",
    min_step: int | None = None,
    max_step: int | None = None,
) -> list[dict[str, Any]]:
    """Give the rows of a run that a read with these arguments gives."""
    held = any if match == "any" else all
    return [
        row
        for row in run.history.to_dicts()
        if (keys is None or held(row.get(key) is not None for key in keys))
        and row.get(x_axis) is not None
        and (min_step is None or row["_step"] >= min_step)
        and (max_step is None or row["_step"] < max_step)
    ]


def frame_of(runs: Iterable[RunRecord], like: pl.DataFrame, **asked: Any) -> pl.DataFrame:
    """Give the frame that a read must give, with the columns of `like`."""
    rows = [{"run_id": run.name, **row} for run in runs for row in rows_of(run, **asked)]
    columns = {name: [row.get(name) for row in rows] for name in like.columns}
    return pl.DataFrame(columns, schema=like.schema, strict=False)
