"""A small project of hard cases, and a smaller one of impossible ones."""

from __future__ import annotations

import math
from typing import Any

from wbframe.server.projects.rows import History
from wbframe.server.projects.store import Project, RunRecord, Sweep

__all__ = ["odd", "ragged"]

_NAN = math.nan
_INF = math.inf
_BEGUN = 1767600000.0
_LATE = 110
_TURN = 120
_WARM = 4

Rows = list[dict[str, Any]]


def _rows(count: int, *, start: int = 0, gap: int = 1) -> Rows:
    """Make rows that hold only what the SDK itself logs."""
    return [
        {"_step": start + gap * i, "_runtime": i * 0.5, "_timestamp": _BEGUN + i * 0.5}
        for i in range(count)
    ]


def _loss(index: int) -> float:
    """Fall slowly, never to a round number."""
    return 2.0 / (index + 1.5) + 0.01


def _cadences() -> Rows:
    """Train each step, evaluate every ten, and two keys that never share a row."""
    rows = _rows(240)
    for i, row in enumerate(rows):
        row["train/loss"] = _loss(i)
        row["lr"] = 0.1 * 0.99**i
        if i % 10 == 0:
            row["eval/loss"] = _loss(i) + 0.1
        if i % 4 == 1:
            row["even only"] = i
        elif i % 2:
            row["odd only"] = i
        if i >= _LATE:
            row["late"] = i / 8
    return rows


def _drifting() -> Rows:
    """Log integers for 120 rows, then fractions."""
    rows = _rows(150)
    for i, row in enumerate(rows):
        row["drift"] = i if i < _TURN else i + 0.5
        row["train/loss"] = 3 if i % 2 == 0 else 2.5
        row["count"] = i
    return rows


def _whole() -> Rows:
    """Repeat keys of other runs with whole numbers only."""
    rows = _rows(20)
    for i, row in enumerate(rows):
        row["train/loss"] = 20 - i
        row["count"] = float(i)
    return rows


def _non_finite() -> Rows:
    """Log NaN and infinities, as numbers and as text."""
    rows = _rows(12)
    for i, row in enumerate(rows):
        row["train/loss"] = (_NAN, 1.5, _INF, -_INF)[i % 4]
        row["spelled"] = ("NaN", 0.5, "Infinity", "-Infinity")[i % 4]
        row["all nan"] = _NAN
        row["quoted"] = "NaN"
        row["bins"] = [_NAN, 1.0, _INF]
    return rows


def _mixed() -> Rows:
    """Log text among numbers, flags among numbers, flags, and nulls."""
    rows = _rows(16)
    for i, row in enumerate(rows):
        row["text or number"] = "warm-up" if i < _WARM else i * 0.25
        row["number as text"] = "1e-05" if i % 2 else 3
        row["flag or number"] = (i % 3 == 0) if i % 2 else i
        row["flag"] = i % 2 == 0
        row["maybe"] = None if i % 3 == 0 else _loss(i)
        row["always null"] = None
        if i % 5 == 0:
            row["maybe too"] = None
        elif i % 5 == 1:
            row["maybe too"] = i
    return rows


def _objects() -> Rows:
    """Log media, lists, nested dicts."""
    rows = _rows(8)
    for i, row in enumerate(rows):
        row["gradients/w1"] = {"_type": "histogram", "bins": [0.0, 0.5, 1.0], "values": [i, 3]}
        row["packed"] = {
            "_type": "histogram",
            "packedBins": {"min": -1.0, "size": 0.25, "count": 8},
            "values": [i] * 8,
        }
        row["list"] = [i, i + 0.5, None, "x"]
        row["empty list"] = []
        row["nested"] = {"deep": {"er": i}, "b": _loss(i)}
        row["empty"] = {}
        if i % 4 == 0:
            row["table"] = {
                "_type": "table-file",
                "path": f"media/table/table_{i}_ab.table.json",
                "sha256": "0" * 64,
                "size": 120,
                "nrows": 2,
                "ncols": 3,
            }
            row["image"] = {
                "_type": "image-file",
                "path": f"media/images/image_{i}_ab.png",
                "sha256": "1" * 64,
                "size": 900,
                "width": 8,
                "height": 8,
                "format": "png",
            }
        row["train/loss"] = _loss(i)
    return rows


def _huge() -> Rows:
    """Log integers that no float holds, and floats at the edges."""
    whole = (2**53 + 1, 2**60, -(2**63), 2**63 - 1, 0, -1)
    floats = (1e-05, 5e-324, 1.7976931348623157e308, 0.1, -0.0, 123456789.123456789)
    rows = _rows(len(whole))
    for i, row in enumerate(rows):
        row["big"] = whole[i]
        row["edge"] = floats[i]
        row["big/odd"] = 2**53 + 1 + 2 * i
        row["big/low"] = -(2**63) + i
        row["big/high"] = 2**63 - 1 - i
        row["big/round"] = 2**60
    return rows


def _named() -> Rows:
    """Log keys and texts of every sort."""
    texts = (
        "plain",
        'quo"te',
        "back\\slash",
        "new\nline\ttab",
        "\x01\x1f\x7f",
        "\u2028 \u00e9 \U0001f600",
    )
    rows = _rows(len(texts))
    for i, row in enumerate(rows):
        row["text"] = texts[i]
        row["\u9047/\u00fcber"] = i
        row["\U0001f680"] = i * 0.5
        row["a.dotted.key"] = i
        row["with space/and slash"] = i
        row['quo"te'] = i
        row["line\nbreak"] = i
        row["run_id"] = f"not-{i}"
        row["state"] = "logged"
        row["entity"] = i
        row["$dollar%r{}"] = i
        row[""] = i
    return rows


def _resumed() -> Rows:
    """Start at step 5000, with gaps, one of them wide."""
    rows = _rows(60, start=5000, gap=7) + _rows(20, start=20_000, gap=3)
    for i, row in enumerate(rows):
        row["train/loss"] = _loss(i)
        if i % 9 == 0:
            row["eval/loss"] = _loss(i)
    return rows


def _twice() -> Rows:
    """Split a step over two rows, now and then."""
    rows = _rows(10)
    for i, row in enumerate(rows):
        row["train/loss"] = _loss(i)
    return rows + [{"_step": i, "eval/loss": _loss(i)} for i in (3, 6)]


def _events(count: int) -> History:
    """Make machine metrics."""
    return History(
        (
            {
                "_wandb": True,
                "_timestamp": _BEGUN + 15 * i,
                "_runtime": 15.0 * i,
                "system.cpu": 20.0 + i % 7,
                "system.memory_percent": 41.5,
                **({"system.gpu.0.gpu": i % 100} if i % 2 else {}),
            }
            for i in range(count)
        ),
        stepped=False,
    )


_HARD_CONFIG: dict[str, Any] = {
    "lr": 1e-05,
    "optimizer": {"name": "adam", "betas": [0.9, 0.999], "value": {"value": 3}},
    "dotted.key": 1,
    "outer": {"inner.dotted": 2, "inner": {"dotted": 3}},
    "layers": [64, 32, 10],
    "nothing": None,
    "epochs": "10",
    "model": "mlp",
    "big": 2**60 + 1,
    "flag": True,
    "empty": {},
    "none listed": [],
    "value": {"value": 1},
    "\u00fcber \U0001f680": "\u00e9",
}


def _first_runs() -> list[RunRecord]:
    """Make the runs whose rows are hard by their types."""
    git = {"remote": "https://example.com/r.git", "commit": "a" * 40}
    return [
        RunRecord(
            name="cadence1",
            display_name="same name",
            config={"lr": 0.1, "epochs": 10, "model": "mlp", "optimizer": {"name": "sgd"}},
            wandb_config={"t": {"1": [1, 5]}, "m": [], "cli_version": "0.31.0"},
            history=History(_cadences()),
            events=_events(1200),
            created_at="2026-01-05T08:00:00Z",
            heartbeat_at="2026-01-05T08:02:00Z",
            tags=("baseline", "best"),
            group="first",
            job_type="train",
            sweep="swp1aaaa",
            commit="a" * 40,
            host="local",
            compute_seconds=120,
            exit_code=0,
            run_info={"program": "train.py", "args": ["--lr", "0.1"], "python": "3.11", "git": git},
        ),
        RunRecord(
            name="drifting",
            display_name="same name",
            config={"lr": 0.01, "epochs": 20.0, "model": "cnn", "optimizer": {"name": "adam"}},
            history=History(_drifting()),
            events=_events(6),
            created_at="2026-01-05T08:10:00",
            heartbeat_at="2026-01-05T08:12:00",
            tags=("baseline",),
            sweep="swp1aaaa",
        ),
        RunRecord(
            name="whole",
            display_name="whole",
            config={"lr": 1, "epochs": 5, "model": None},
            history=History(_whole()),
            created_at="2026-01-05T08:20:00.250Z",
            heartbeat_at="2026-01-05T08:21:00.999999Z",
            sweep="swp2bbbb",
            state="failed",
            exit_code=1,
        ),
        RunRecord(
            name="nonfinite",
            display_name="diverged",
            config={"lr": 100.0, "model": "mlp", "clip": None},
            wandb_config={"t": {}, "m": []},
            history=History(_non_finite()),
            created_at="2026-01-05T08:30:00Z",
            heartbeat_at=None,
            state="crashed",
            tags=("odd, tag", 'quo"te', "\u00fcber \U0001f680", "a/b", ""),
        ),
        RunRecord(
            name="mixed",
            display_name="mixed types",
            config={"lr": "0.1", "epochs": "ten", "flag": 1},
            history=History(_mixed()),
            created_at="2026-01-05T08:40:00Z",
            heartbeat_at="2026-01-05T08:40:08Z",
            state="killed",
            group="",
        ),
        RunRecord(
            name="objects",
            display_name=None,
            config=_HARD_CONFIG,
            wandb_config={"t": {"3": [7]}, "m": [{"1": "loss"}]},
            history=History(_objects()),
            created_at="2026-01-05T08:50:00Z",
            heartbeat_at="2026-01-05T08:50:04Z",
            notes="two\nlines",
        ),
    ]


def _last_runs() -> list[RunRecord]:
    """Make the rest: numbers, names, steps, and runs with hardly anything."""
    return [
        RunRecord(
            name="huge",
            display_name="huge numbers",
            config={"big": -(2**63), "lr": 2.5e-08},
            history=History(_huge()),
            created_at="2026-01-05T09:00:00Z",
            heartbeat_at="2026-01-05T09:00:03Z",
        ),
        RunRecord(
            name="named",
            display_name="odd \u00f1ames \U0001f600",
            config={"a.b": 1, "a": {"b": 2}, "sp ace": 3},
            history=History(_named()),
            created_at="2026-01-05T09:10:00Z",
            heartbeat_at="2026-01-05T09:10:03Z",
            description="control \x01 characters",
            user={"name": "Grace Local", "username": "grace"},
        ),
        RunRecord(
            name="resumed",
            display_name="resumed",
            config={"lr": 0.001, "model": "vit"},
            history=History(_resumed()),
            created_at="2026-01-05T09:20:00Z",
            heartbeat_at="2026-01-05T10:20:00Z",
            state="running",
            job_type="resume",
        ),
        RunRecord(
            name="twice",
            display_name="steps twice",
            config={"lr": 0.1, "model": "mlp"},
            history=History(_twice()),
            created_at="2026-01-05T09:30:00Z",
            heartbeat_at="2026-01-05T09:30:05Z",
        ),
        RunRecord(
            name="norows",
            display_name="no rows",
            config={"lr": 0.1},
            created_at="2026-01-05T09:40:00Z",
            heartbeat_at="2026-01-05T09:40:00Z",
            history_keys=None,
            state="failed",
            sweep="swp2bbbb",
        ),
        RunRecord(
            name="noconfig",
            display_name="no config",
            config=None,
            summary=None,
            system_metrics=None,
            history=History({**row, "train/loss": 0.5} for row in _rows(3)),
            created_at="2026-01-05T09:50:00Z",
            heartbeat_at=None,
            state="running",
        ),
        RunRecord(
            name="summary",
            display_name="summary of its own",
            config={"lr": 0.1},
            summary={
                "train/loss": _NAN,
                "nested": {"a": {"b": _INF}},
                "dotted.key": 1,
                "best": "NaN",
            },
            history=History({**row, "train/loss": _NAN} for row in _rows(3)),
            created_at="2026-01-05T10:00:00Z",
            heartbeat_at="2026-01-05T10:00:01Z",
        ),
    ]


def ragged() -> Project:
    """Make the project of hard cases: 13 runs, the same on every call.

    Among them: keys that are not in every run or not in every row, integers that become fractions
    after row 100, NaN and infinities as numbers and as text, text and flags among numbers, logged
    nulls, media, lists, nested dicts, integers beyond 2**53, control characters, keys with dots,
    slashes, spaces and emoji, keys named like columns, steps from 5000 with gaps, steps in two
    rows, runs without rows and without a config, a summary unlike the rows, and all three spellings
    of times. `history` texts hold bare ``NaN`` tokens; `sampledHistory` spells ``_step`` as float.

    Returns
    -------
    Project
        ``wbframe/ragged``, runs in order of creation.
    """
    yaml = "method: random\nmetric:\n  goal: minimize\n  name: train/loss\nparameters: {}\n"
    sweeps = (
        Sweep(name="swp1aaaa", display_name="first sweep", config=yaml, best_loss=0.018),
        Sweep(name="swp2bbbb", config=yaml, state="RUNNING", run_count_expected=8),
        Sweep(name="swp3cccc", display_name="no runs", config=yaml),
    )
    return Project(
        entity="wbframe",
        name="ragged",
        runs=(*_first_runs(), *_last_runs()),
        sweeps=sweeps,
        bare_tokens=True,
        float_steps=True,
    )


def odd() -> Project:
    """Make a project with answers that some official SDKs cannot read.

    ``user: null`` (0.31.0 stops), a config that is no object (0.18.0 stops), and nulls elsewhere.

    Returns
    -------
    Project
        ``wbframe/odd``, three runs.
    """
    rows = [{**row, "loss": _loss(i)} for i, row in enumerate(_rows(4))]
    return Project(
        entity="wbframe",
        name="odd",
        runs=(
            RunRecord(name="nobody", user=None, state=None, history=History(rows)),
            RunRecord(name="listed", config=["no", "object"], history=History(rows)),
            RunRecord(
                name="nothing",
                user=None,
                config="text",
                summary=None,
                history_keys=None,
                history_line_count=None,
            ),
        ),
    )
