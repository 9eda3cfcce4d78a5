"""Two small projects with whatever is hard in real ones; the battery reads them from servers that differ."""

from __future__ import annotations

from typing import Any

from wbframe.server import Exports, History, Project, RunRecord

ENTITY = "wbframe"
SMALL, LONG = f"{ENTITY}/small", f"{ENTITY}/long"
RUNS = 24
TIED = range(5, 17)  # these began in one second
LONG_ROWS = 1300
HISTOGRAM = {"_type": "histogram", "values": [1, 2, 3], "bins": [0, 1, 2, 3]}
IMAGE = {"_type": "image-file", "path": "media/images/i_0.png", "width": 8, "height": 8}


def small() -> Project:
    """Give 24 runs: nested configs, mixed types, sparse keys, ties, live and exported rows."""
    return Project(entity=ENTITY, name="small", runs=tuple(map(_run, range(RUNS))))


def long() -> Project:
    """Give three runs of more rows than one sample: exported, live, and with gaps between steps."""
    rows = [{"_step": i, "x": i / 8, **({"y": i} if i % 3 == 0 else {})} for i in range(LONG_ROWS)]
    gaps = [{**row, "_step": row["_step"] * 7} for row in rows[:700]]
    runs = (
        _long_run("exported", rows, Exports.all(2)),
        _long_run("live", rows, Exports.split(2, 0.3), state="running"),
        _long_run("gaps", gaps, Exports.none()),
    )
    return Project(entity=ENTITY, name="long", runs=runs)


def _long_run(
    name: str, rows: list[dict[str, Any]], exports: Exports, state: str = "finished"
) -> RunRecord:
    second = {"exported": 1, "live": 2, "gaps": 3}[name]
    return RunRecord(
        name=name,
        state=state,
        config={"lr": 0.5},
        history=History(rows),
        exports=exports,
        created_at=f"2026-02-01T00:00:0{second}Z",
    )


def _state(i: int) -> str:
    if i in {20, 23}:
        return "running"
    return "crashed" if i == 21 else "finished"


def _run(i: int) -> RunRecord:
    second = TIED[0] if i in TIED else i
    return RunRecord(
        name=f"run{i:02}",
        display_name=f"bright-{i}",
        state=_state(i),
        config=_config(i),
        history=History(() if i == 22 else _rows(i)),
        exports=_exports(i),
        tags=("base", "odd") if i % 2 else (),
        group="a" if i < 12 else "b",
        notes="a note" if i % 5 == 0 else None,
        created_at=f"2026-01-01T00:00:{second:02}Z",
        heartbeat_at=f"2026-01-01T01:00:{i:02}Z",
    )


def _config(i: int) -> dict[str, Any]:
    config: dict[str, Any] = {
        "lr": i / 10 + 0.05,
        "seed": i,
        "flag": i % 2 == 0,
        "model": "mlp" if i % 3 else "cnn",
        "optimizer": {"name": "adam", "eps": 1e-8, "sched": {"kind": "cos", "warm": i % 4}},
        "layers": [8, 16 + i],
        "mixed": "auto" if i == 3 else i,
    }
    if i % 4 == 0:
        config["rare"] = {"deep": {"er": {"est": i}}}
    if i == RUNS - 1:
        config["newest"] = 1.5
    return config


def _exports(i: int) -> Exports:
    if i < 4:
        return Exports.all(1)
    return Exports.split(2, 0.25) if i in {8, 9} else Exports.none()


def _rows(i: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for step in range(24):
        row: dict[str, Any] = {"_step": step, "loss": 1 / (step + 1 + i), "acc": step / 24}
        if step == 5:
            row["loss"] = float("nan")
        if step % 4 == 0:
            row["val/loss"] = 2.0 / (step + 1)
            row["opt"] = {"m": step, "v": {"w": step / 2}}
        if step % 8 == 0:
            row |= {"hist": HISTOGRAM, "text": f"step {step}"}
        if i == 4 and step == 23:
            row |= {"image": IMAGE, "odd": "text"}
        if i == 5 and step == 23:
            row["odd"] = 1.0
        if i == 23 and step > 20:
            row["late"] = step
        rows.append(row)
    # logged in rows of their own, so together with no other key
    rows += [{"_step": 24 + n, "apart": n * 1.5} for n in range(6)]
    return rows
