"""The 24 runs of the demo project: what each trains, and what it is called.

Everything here is fixed: ids and times too, so that a remade project can be told from the stored
one by nothing but the clock and the machine metrics.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from itertools import product
from math import prod
from random import Random
from string import ascii_lowercase, digits
from typing import TYPE_CHECKING, Any, Final

from tests.demo.digits import CLASSES, PIXELS
from tests.demo.models import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ENTITY", "PROJECT", "SWEEP", "BaselineRecipe", "Plan", "plans", "sweep"]

ENTITY: Final = "wbframe"
PROJECT: Final = "demo"
_FIRST_RUN = datetime(2026, 3, 2, 9, 0, tzinfo=timezone.utc)
_BETWEEN_RUNS = timedelta(minutes=7)
_ROBIN = {"name": "Robin Vale", "username": "robin"}
_KIM = {"name": "Kim Moreau", "username": "kim"}
_MODELS = ("softmax", "mlp")
_LEARNING_RATES = (0.02, 0.1, 0.5)
_BATCH_SIZES = (32, 64, 128)
_EPOCHS = 12
_TRAIN_ROWS = 1437


def _ids(seed: int) -> Iterator[str]:
    """Yield ids without end, of the form that W&B gives."""
    random = Random(seed)
    while True:
        yield "".join(random.choices(ascii_lowercase + digits, k=8))


SWEEP: Final = next(_ids(2026))


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRecipe:
    """How to train one linear classifier of scikit-learn.

    Attributes
    ----------
    learning_rate : float
        Its constant learning rate.
    batch_size : int
        Images between two rows of the log.
    steps : int
        Batches to learn from.
    average : bool
        Whether the weights are averaged over the training.
    seed : int
        Seed of the order of the images.
    eval_every : int
        Steps between two evaluations.
    """

    learning_rate: float
    batch_size: int
    steps: int
    average: bool = False
    seed: int = 0
    eval_every: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run before it is made.

    Attributes
    ----------
    run_id, name : str
        Its id in paths, and the name that people see.
    created_at : datetime.datetime
        When it is said to have begun.
    recipe : Recipe or BaselineRecipe
        What it trains.
    user : dict
        Who is said to have begun it.
    tags : tuple of str
        Its tags.
    group, job_type, sweep, notes : str or None
        As in W&B.
    stop_after : int or None
        Rows after which somebody stops it.
    """

    run_id: str = ""
    name: str
    created_at: datetime = _FIRST_RUN
    recipe: Recipe | BaselineRecipe
    user: dict[str, str]
    tags: tuple[str, ...] = ()
    group: str | None = None
    job_type: str | None = None
    sweep: str | None = None
    notes: str | None = None
    stop_after: int | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that the run logs: nested, with a list, a bool, a null and text."""
        recipe = self.recipe
        shared = {
            "learning_rate": recipe.learning_rate,
            "batch_size": recipe.batch_size,
            "steps": recipe.steps,
            "seed": recipe.seed,
            "data": {"name": "digits", "train": _TRAIN_ROWS, "classes": list(range(CLASSES))},
        }
        if isinstance(recipe, BaselineRecipe):
            return {"model": "sgd_classifier", **shared, "average": recipe.average}
        return {
            "model": "mlp" if recipe.hidden else "softmax",
            **shared,
            "layers": [PIXELS, *recipe.hidden, CLASSES],
            "schedule": recipe.schedule,
            "optimizer": {
                "name": "sgd",
                "momentum": recipe.momentum,
                "nesterov": recipe.nesterov,
            },
            "weight_decay": recipe.weight_decay,
            "checkpoints": recipe.checkpoint_every > 0,
        }


def plans() -> list[Plan]:
    """Give every run of the project, in the order in which they are made.

    Examples
    --------
    >>> len(plans())
    24
    >>> plans()[0].name
    'sgd-classifier'
    """
    named = [*_baselines(), *_grid(), *_after_the_sweep()]
    return [
        replace(plan, run_id=run_id, created_at=_FIRST_RUN + index * _BETWEEN_RUNS)
        for index, (run_id, plan) in enumerate(zip(_ids(302), named, strict=False))
    ]


def sweep() -> dict[str, Any]:
    """Give the sweep as the project's file holds it, its configuration as YAML text."""
    lines = [
        "method: grid",
        "metric:",
        "  goal: maximize",
        "  name: eval/accuracy",
        "name: digits-grid",
        "parameters:",
    ]
    choices: dict[str, tuple[object, ...]] = {
        "batch_size": _BATCH_SIZES,
        "learning_rate": _LEARNING_RATES,
        "model": _MODELS,
    }
    for name, values in choices.items():
        lines += [f"  {name}:", "    values:", *(f"      - {value}" for value in values)]
    lines += ["program: train.py", ""]
    return {
        "name": SWEEP,
        "displayName": "digits-grid",
        "state": "FINISHED",
        "method": "grid",
        "config": "\n".join(lines),
        "runCountExpected": prod(map(len, choices.values())),
    }


def _baselines() -> list[Plan]:
    """Give the two runs of scikit-learn, which log other keys than the rest."""
    plain = BaselineRecipe(learning_rate=0.01, batch_size=64, steps=240)
    shared: dict[str, Any] = {
        "user": _KIM,
        "group": "baselines",
        "job_type": "baseline",
    }
    return [
        Plan(name="sgd-classifier", recipe=plain, tags=("baseline",), **shared),
        Plan(
            name="sgd-classifier-averaged",
            recipe=replace(plain, batch_size=32, steps=480, average=True, seed=1),
            tags=("baseline", "averaged"),
            notes="Averaged weights, half the batch.",
            **shared,
        ),
    ]


def _grid() -> list[Plan]:
    """Give the 18 runs of the sweep."""
    return [
        Plan(
            name=f"{model}-lr{rate}-bs{size}",
            recipe=Recipe(
                hidden=(512, 256) if model == "mlp" else (),
                learning_rate=rate,
                batch_size=size,
                steps=_TRAIN_ROWS // size * _EPOCHS,
                schedule="linear",
                momentum=0.9,
                seed=7,
                checkpoint_every=100 if size == min(_BATCH_SIZES) else 0,
            ),
            user=_ROBIN,
            tags=("sweep", model),
            job_type="train",
            group=f"grid-{model}",
            sweep=SWEEP,
        )
        for model, rate, size in product(_MODELS, _LEARNING_RATES, _BATCH_SIZES)
    ]


def _after_the_sweep() -> list[Plan]:
    """Give the runs outside the sweep: two long ones, one that diverges, one that is stopped."""
    long = Recipe(
        hidden=(256,),
        learning_rate=0.1,
        batch_size=64,
        steps=1400,
        schedule="cosine",
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-05,
        seed=11,
        eval_every=50,
        histogram_every=100,
        checkpoint_every=150,
    )
    shared: dict[str, Any] = {"user": _ROBIN, "job_type": "train"}
    return [
        Plan(
            name="mlp-long",
            recipe=long,
            tags=("long", "mlp", "best"),
            notes="The best of the grid, trained for longer.\nCosine schedule, Nesterov momentum.",
            **shared,
        ),
        Plan(
            name="softmax-long",
            recipe=replace(long, hidden=(), steps=1100, weight_decay=0.0001, checkpoint_every=0),
            tags=("long", "softmax"),
            **shared,
        ),
        Plan(
            name="mlp-too-fast",
            recipe=replace(
                long,
                learning_rate=50.0,
                schedule="constant",
                nesterov=False,
                weight_decay=0.1,
                steps=600,
                eval_every=20,
                histogram_every=40,
                checkpoint_every=0,
            ),
            tags=("mlp", "diverged"),
            notes="The learning rate is far too large.",
            **shared,
        ),
        Plan(
            name="mlp-long-again",
            recipe=replace(long, seed=12),
            tags=("long", "mlp"),
            notes="Stopped half-way: no better than mlp-long.",
            stop_after=700,
            **shared,
        ),
    ]
