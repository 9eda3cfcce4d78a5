"""What the frames must hold, worked out from the projects in memory with plain Python."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import polars as pl

from tests.spelling import alike
from wbframe.core.schema.runs import RUN_COLUMNS
from wbframe.server.projects.wire import encode


def leaves(name: str, value: Any) -> dict[str, Any]:
    """Flatten a nested dict; media and empty dicts stay."""
    if not isinstance(value, dict) or not value or "_type" in value:
        return {name: value}
    found: dict[str, Any] = {}
    for key in sorted(value):
        found |= leaves(f"{name}.{key}", value[key])
    return found


def kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "text"


SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def column(values: list[Any]) -> tuple[pl.DataType, list[Any]]:
    """Type the values of one key as rule R3 says."""
    spelled = [SPELLED.get(value, value) if isinstance(value, str) else value for value in values]
    numbers = {kind(value) for value in spelled if value is not None} == {"number"}
    if numbers and any(kind(value) == "number" for value in values):
        values = spelled
    kinds = {kind(value) for value in values if value is not None}
    if kinds == {"bool"}:
        return pl.Boolean(), values
    if kinds <= {"number"}:
        return pl.Float64(), [None if value is None else float(value) for value in values]
    return pl.String(), [text(value) for value in values]


def text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return alike(value) if isinstance(value, dict | list) else encode(value).decode().strip('"')


def run_rows(project) -> list[dict[str, Any]]:
    """One flat dict a run, in order of creation."""
    rows = []
    for run in sorted(project.runs, key=lambda each: each.created_at.removesuffix("Z")):
        config = run.config if isinstance(run.config, dict) else {}
        summary = {k: v for k, v in (run.summary_metrics or {}).items() if k != "_wandb"}
        row = {"run_id": run.name, "name": run.display_name, "state": run.state}
        for prefix, blob in (("config", config), ("summary", summary)):
            for key in sorted(blob):
                row |= leaves(f"{prefix}.{key}", blob[key])
        rows.append(row)
    return rows


def run_columns(project) -> dict[str, tuple[pl.DataType, list[Any]]]:
    """The config and summary columns that the runs frame must have, in its order."""
    rows = run_rows(project)
    names = {name for row in rows for name in row if name.startswith(("config.", "summary."))}
    ordered = sorted(names, key=lambda name: (not name.startswith("config."), name))
    return {name: column([row.get(name) for row in rows]) for name in ordered}


def history_rows(run) -> list[dict[str, Any]]:
    """The rows of one run as their JSON says."""
    return [json.loads(row) for row in run.history.rows]


def outer_join(run, keys: list[str]) -> list[dict[str, Any]]:
    """The rows that hold any of `keys`: joined by step, or as logged where a key has a step twice."""
    rows = [row for row in history_rows(run) if any(key in row for key in keys)]
    logged = Counter((key, row["_step"]) for row in rows for key in keys if key in row)
    if any(times > 1 for times in logged.values()):
        return rows
    joined: dict[int, dict[str, Any]] = {}
    for row in rows:
        joined.setdefault(row["_step"], {}).update(row)
    return [joined[step] for step in sorted(joined)]


def same(left: Any, right: Any) -> bool:
    """Compare two cells; NaN equals NaN, and 1 is not True."""
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and left == right


def assert_column(series: pl.Series, dtype: pl.DataType, values: list[Any]) -> None:
    """Compare a column with what it must hold, cell by cell."""
    assert series.dtype == dtype, series.name
    got = series.to_list()
    assert len(got) == len(values), series.name
    wrong = [(i, a, b) for i, (a, b) in enumerate(zip(got, values, strict=True)) if not same(a, b)]
    assert not wrong, (series.name, wrong[:5])


META = list(RUN_COLUMNS)
