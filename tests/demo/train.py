"""Make the demo project: train its 24 runs, log them with the real SDK, keep what it wrote.

::

    python -m tests.demo.train [--out FOLDER]

needs the dependency group `demo`: `wandb==0.31.0`, whose offline files are read back, and
scikit-learn, for the images and the baselines. Runs are logged offline, into a folder that is
removed again. It took 80 seconds on two cores.

What is in the project
    A sweep of 18 runs over model (softmax regression, a network with two hidden layers), learning
    rate and batch size. Two baselines of scikit-learn, which log other keys and evaluate in rows
    of their own. Two long runs, of 1,400 and 1,100 steps. One run that diverges: its loss grows by
    hundreds of orders of magnitude, is infinite, then NaN, and the run fails. One that is stopped.

What is real
    Every metric: the models are trained, and what `run.log` was given is what is kept, as the SDK
    wrote it. Machine metrics, `_runtime`, and the distances between timestamps are those of the
    machine that made them; training waits a few milliseconds a step, as the SDK samples a machine
    ten times a second at the most. A remade project has the same metrics and other times.

What is not
    When the runs began (timestamps are moved there), who made them, on which host, their ids, and
    `commit`, which is the SHA-1 of the code that trained.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import numpy as np
import wandb
from sklearn import datasets

from tests.demo import models
from tests.demo.baseline import train_baseline
from tests.demo.digits import FILE, load_digits, save_digits
from tests.demo.folder import write_folder
from tests.demo.offline import OfflineRun, read_offline
from tests.demo.plan import ENTITY, PROJECT, BaselineRecipe, Plan, plans, sweep
from wbframe.server.projects.demo import DATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.demo.digits import Digits

__all__ = ["log_run", "main"]

_BINS: Final = 16
_SECONDS_A_STEP: Final = 0.005
_SAMPLING_SECONDS: Final = 0.1
_FAILED, _STOPPED = 1, 255


@click.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=DATA,
    show_default=True,
    help="The folder to write.",
)
def main(out: Path) -> None:
    """Train the demo's runs and write them as a folder that the local server reads."""
    out.mkdir(parents=True, exist_ok=True)
    pixels, labels = datasets.load_digits(return_X_y=True)
    save_digits(pixels, labels, out / FILE)
    digits = load_digits(out / FILE)
    with tempfile.TemporaryDirectory() as folder:
        logged = [(plan, log_run(plan, digits, Path(folder))) for plan in plans()]
        # A file is not whole when `finish` comes back, but it is when the SDK's process has ended.
        wandb.teardown()
        made = [(plan, _read(plan, rows, Path(folder)), _commit(plan)) for plan, rows in logged]
    project = {"entity": ENTITY, "name": PROJECT, "sweeps": [sweep()]}
    write_folder(out, project, made)
    size = sum(each.stat().st_size for each in out.rglob("*") if each.is_file())
    click.echo(f"{size:,} bytes in {out}")


def log_run(plan: Plan, digits: Digits, folder: Path) -> int:
    """Train and log one run.

    Parameters
    ----------
    plan
        The run to make.
    digits
        What it learns.
    folder
        Where the SDK may write.

    Returns
    -------
    int
        How many rows were logged.
    """
    settings = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        silent=True,
        sweep_id=plan.sweep,
        x_disable_meta=True,
        x_stats_sampling_interval=_SAMPLING_SECONDS,
    )
    run = wandb.init(
        mode="offline",
        dir=folder,
        entity=ENTITY,
        project=PROJECT,
        id=plan.run_id,
        name=plan.name,
        config=plan.config,
        tags=plan.tags,
        notes=plan.notes,
        group=plan.group,
        job_type=plan.job_type,
        settings=settings,
    )
    rows, exit_code = _log(run, plan, digits)
    run.finish(exit_code=exit_code)
    click.echo(f"{plan.run_id} {plan.name}: {rows} rows")
    return rows


def _log(run: wandb.Run, plan: Plan, digits: Digits) -> tuple[int, int]:
    """Log everything that training yields; give the number of rows and the exit code."""
    best: dict[str, Any] = {"accuracy": 0.0, "step": 0}
    logged, exit_code = 0, 0 if plan.stop_after is None else _STOPPED
    try:
        for row in islice(_rows(plan, digits), plan.stop_after):
            if row.get("eval/accuracy", 0.0) > best["accuracy"]:
                best = {"accuracy": row["eval/accuracy"], "step": logged}
            run.log({name: _loggable(value) for name, value in row.items()})
            logged += 1
            time.sleep(_SECONDS_A_STEP)
    except FloatingPointError:
        exit_code = _FAILED
    run.summary["best"] = best
    return logged, exit_code


def _read(plan: Plan, rows: int, folder: Path) -> OfflineRun:
    """Read back what the SDK wrote of one run, and see that it is all there."""
    (path,) = folder.glob(f"wandb/offline-run-*-{plan.run_id}/run-{plan.run_id}.wandb")
    offline = read_offline(path)
    if len(offline.history) != rows or offline.exit_code is None:
        raise ValueError(f"{plan.name}: {len(offline.history)} of {rows} rows are in {path.name}")
    return offline


def _commit(plan: Plan) -> str | None:
    """Give the commit that a run is said to be of: the SHA-1 of the code that trains networks."""
    if isinstance(plan.recipe, BaselineRecipe):
        return None
    code = Path(models.__file__).read_bytes()
    return hashlib.sha1(code, usedforsecurity=False).hexdigest()


def _rows(plan: Plan, digits: Digits) -> Iterator[dict[str, Any]]:
    """Train what the plan says and yield its rows."""
    if isinstance(plan.recipe, BaselineRecipe):
        return train_baseline(plan.recipe, digits)
    return models.train(plan.recipe, digits)


def _loggable(value: Any) -> Any:
    """Make a histogram of an array, and leave the rest as it is."""
    if isinstance(value, np.ndarray):
        return wandb.Histogram(np_histogram=np.histogram(value, bins=_BINS))
    return value


if __name__ == "__main__":
    main()
