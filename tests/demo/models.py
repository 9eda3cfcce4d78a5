"""Softmax regression and a small network, trained by stochastic gradient descent in numpy.

Both are one class: a stack of dense layers with ReLU between them and softmax at the end; without a
hidden layer that is softmax regression. `train` yields what a training script logs, row by row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from math import cos, isfinite, pi
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from tests.demo.digits import CLASSES, PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.demo.digits import Digits

__all__ = ["Network", "Recipe", "train"]

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to train one network, and how often to log what.

    Attributes
    ----------
    hidden : tuple of int
        Width of each hidden layer; none at all is softmax regression.
    learning_rate : float
        The learning rate of the first step.
    batch_size : int
        Images a step.
    steps : int
        Steps to train; the last step is always evaluated.
    schedule : {"constant", "linear", "cosine"}
        How the learning rate falls, the last two almost to zero.
    momentum : float
        Share of the last update that the next one keeps.
    nesterov : bool
        Whether the gradient is taken to be one momentum step ahead.
    weight_decay : float or None
        Weight of the squared weights in the loss.
    seed : int
        Seed of the first weights and of the order of the images.
    eval_every, norm_every, histogram_every, checkpoint_every : int
        Steps between two rows that hold those keys; 0 is never.
    patience : int
        Steps in a row with a loss that is no number before training gives up.
    """

    hidden: tuple[int, ...] = ()
    learning_rate: float
    batch_size: int
    steps: int
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float | None = None
    seed: int = 0
    eval_every: int = 20
    norm_every: int = 10
    histogram_every: int = 40
    checkpoint_every: int = 0
    patience: int = 60

    def learning_rate_at(self, step: int) -> float:
        """Give the learning rate of a step, the first step being 0."""
        done = step / self.steps
        if self.schedule == "linear":
            return self.learning_rate * (1 - done)
        if self.schedule == "cosine":
            return self.learning_rate * (1 + cos(pi * done)) / 2
        return self.learning_rate


@dataclass(slots=True)
class Network:
    """Dense layers with ReLU between them and softmax at the end.

    Attributes
    ----------
    weights, biases : list of numpy.ndarray
        One matrix and one vector a layer, from the pixels to the digits.
    """

    weights: list[Array]
    biases: list[Array]

    @classmethod
    def fresh(cls, hidden: tuple[int, ...], random: np.random.Generator) -> Network:
        """Make a network with random weights, scaled for ReLU, and no biases."""
        sizes = (PIXELS, *hidden, CLASSES)
        pairs = list(pairwise(sizes))
        weights = [random.normal(size=pair) * np.sqrt(2 / pair[0]) for pair in pairs]
        return cls(weights, [np.zeros(after) for _, after in pairs])

    def layers(self, images: Array) -> list[Array]:
        """Give the input of every layer, and at last the logits."""
        values = [images]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            values.append(np.maximum(values[-1] @ weight + bias, 0.0))
        values.append(values[-1] @ self.weights[-1] + self.biases[-1])
        return values

    def judge(self, images: Array, labels: NDArray[np.int64]) -> tuple[float, float]:
        """Give the mean cross-entropy, in nats, and the share of right answers."""
        logits = self.layers(images)[-1]
        picked = _log_softmax(logits)[np.arange(len(labels)), labels]
        return float(-picked.mean()), float((logits.argmax(axis=1) == labels).mean())

    def gradients(
        self, images: Array, labels: NDArray[np.int64]
    ) -> tuple[float, float, list[Array]]:
        """Give loss, accuracy, and the gradients of all weights and then of all biases."""
        values = self.layers(images)
        logs = _log_softmax(values[-1])
        rows = np.arange(len(labels))
        loss = float(-logs[rows, labels].mean())
        accuracy = float((values[-1].argmax(axis=1) == labels).mean())
        error = np.exp(logs)
        error[rows, labels] -= 1.0
        error /= len(labels)
        by_weight: list[Array] = []
        by_bias: list[Array] = []
        for weight, value in zip(reversed(self.weights), reversed(values[:-1]), strict=True):
            by_weight.append(value.T @ error)
            by_bias.append(error.sum(axis=0))
            error = (error @ weight.T) * (value > 0)
        return loss, accuracy, [*reversed(by_weight), *reversed(by_bias)]

    @property
    def parameters(self) -> list[Array]:
        """All weights and then all biases; to change one is to change the network."""
        return [*self.weights, *self.biases]


def train(recipe: Recipe, digits: Digits) -> Iterator[dict[str, Any]]:
    """Train one network and yield every row that is to be logged, in order.

    Every step yields `train/loss`, `train/accuracy` and `lr`. At their own cadences, and in the
    same rows, come `eval/loss`, `eval/accuracy` and `eval/best`; `norm`, a dict of the lengths of
    weights and gradients; and `gradients/w1`, the whole gradient of the first layer. A checkpoint
    (`checkpoint/name`, `checkpoint/bytes`, `checkpoint/drift`) is a row of its own, after its step.

    Parameters
    ----------
    recipe
        What to train.
    digits
        What to learn.

    Yields
    ------
    dict
        One row to log: numbers, booleans, text, one dict, one array.

    Raises
    ------
    FloatingPointError
        The loss was no finite number for `recipe.patience` steps in a row.

    Examples
    --------
    >>> from tests.demo.digits import load_digits
    >>> recipe = Recipe(learning_rate=0.1, batch_size=32, steps=3)
    >>> [round(row["train/loss"], 1) for row in train(recipe, load_digits())]
    [2.7, 2.5, 2.8]
    """
    random = np.random.default_rng(recipe.seed)
    state = _Training(recipe, Network.fresh(recipe.hidden, random))
    batches = _batches(len(digits.train_labels), recipe.batch_size, random)
    best, broken = 0.0, 0
    # Overflow is what one run of the demo is there to show.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for step in range(recipe.steps):
            batch = next(batches)
            row = state.step(step, digits.train_images[batch], digits.train_labels[batch])
            if _is_due(step, recipe.eval_every) or step == recipe.steps - 1:
                loss, accuracy = state.network.judge(digits.test_images, digits.test_labels)
                row["eval/loss"], row["eval/accuracy"] = loss, accuracy
                row["eval/best"] = accuracy > best
                best = max(best, accuracy)
            yield row
            if step and _is_due(step, recipe.checkpoint_every):
                yield state.checkpoint(step)
            broken = 0 if isfinite(row["train/loss"]) else broken + 1
            if broken == recipe.patience:
                message = f"the loss was no finite number in {broken} steps, up to step {step}"
                raise FloatingPointError(message)


@dataclass(slots=True)
class _Training:
    """A network on its way: its momentum, and what the last checkpoint held."""

    recipe: Recipe
    network: Network
    momenta: list[Array] = field(init=False)
    saved: list[Array] = field(init=False)

    def __post_init__(self) -> None:
        self.momenta = [np.zeros_like(each) for each in self.network.parameters]
        self.saved = [each.copy() for each in self.network.parameters]

    def step(self, step: int, images: Array, labels: NDArray[np.int64]) -> dict[str, Any]:
        """Take one step downhill and give its row."""
        recipe = self.recipe
        rate = recipe.learning_rate_at(step)
        loss, accuracy, gradients = self.network.gradients(images, labels)
        row: dict[str, Any] = {"train/loss": loss, "train/accuracy": accuracy, "lr": rate}
        if _is_due(step, recipe.norm_every):
            lengths = {"weights": self.network.parameters, "gradients": gradients}
            row["norm"] = {name: _length(each) for name, each in lengths.items()}
        # A histogram has no bins for what is not finite.
        if _is_due(step, recipe.histogram_every) and np.isfinite(gradients[0]).all():
            row["gradients/w1"] = gradients[0]
        decay = recipe.weight_decay or 0.0
        for index, parameter in enumerate(self.network.parameters):
            downhill = gradients[index] + decay * parameter
            momentum = self.momenta[index] = recipe.momentum * self.momenta[index] + downhill
            ahead = downhill + recipe.momentum * momentum if recipe.nesterov else momentum
            np.subtract(parameter, rate * ahead, out=parameter)
        return row

    def checkpoint(self, step: int) -> dict[str, Any]:
        """Keep the parameters and give the checkpoint's row."""
        now = self.network.parameters
        drift = _length([after - before for after, before in zip(now, self.saved, strict=True)])
        self.saved = [each.copy() for each in now]
        return {
            "checkpoint/name": f"step-{step:05d}.npz",
            "checkpoint/bytes": sum(each.nbytes for each in now),
            "checkpoint/drift": drift,
        }


def _is_due(step: int, every: int) -> bool:
    """Tell whether a cadence falls on a step."""
    return every > 0 and step % every == 0


def _length(arrays: list[Array]) -> float:
    """Give the Euclidean length of all numbers of some arrays."""
    return float(np.sqrt(sum(float((each * each).sum()) for each in arrays)))


def _log_softmax(logits: Array) -> Array:
    """Give the logarithms of the probabilities of each row."""
    shifted: Array = logits - logits.max(axis=1, keepdims=True)
    logs: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logs


def _batches(rows: int, size: int, random: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers without end; each epoch in a new order, its incomplete batch left out."""
    while True:
        order = random.permutation(rows)
        for start in range(0, rows - size + 1, size):
            yield order[start : start + size]
