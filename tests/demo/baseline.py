"""A linear classifier of scikit-learn on the same images, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.linear_model import SGDClassifier

from tests.demo.digits import CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tests.demo.digits import Digits
    from tests.demo.plan import BaselineRecipe

__all__ = ["train_baseline"]


def train_baseline(recipe: BaselineRecipe, digits: Digits) -> Iterator[dict[str, Any]]:
    """Train the classifier batch by batch and yield every row that is to be logged.

    Each step yields `train/loss` and `train/accuracy` of its batch, after learning from it. An
    evaluation is a row of its own, never one of a step, with `eval/loss`, `eval/accuracy` and the
    list `eval/recall_by_class`.

    Parameters
    ----------
    recipe
        What to train.
    digits
        What to learn.

    Yields
    ------
    dict
        One row to log.
    """
    model = SGDClassifier(
        loss="log_loss",
        penalty=None,
        learning_rate="constant",
        eta0=recipe.learning_rate,
        average=recipe.average,
        random_state=recipe.seed,
    )
    random = np.random.default_rng(recipe.seed)
    classes = np.arange(CLASSES)
    for step in range(recipe.steps):
        batch = random.integers(len(digits.train_labels), size=recipe.batch_size)
        images, labels = digits.train_images[batch], digits.train_labels[batch]
        model.partial_fit(images, labels, classes=classes)
        loss, accuracy, _ = _judge(model, images, labels)
        yield {"train/loss": loss, "train/accuracy": accuracy}
        if (step + 1) % recipe.eval_every == 0:
            loss, accuracy, right = _judge(model, digits.test_images, digits.test_labels)
            recalls = [float(right[digits.test_labels == each].mean()) for each in classes]
            yield {
                "eval/loss": loss,
                "eval/accuracy": accuracy,
                "eval/recall_by_class": recalls,
            }


def _judge(
    model: SGDClassifier, images: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[float, float, NDArray[np.bool_]]:
    """Give the mean cross-entropy in nats, the share of right answers, and which are right."""
    likely = model.predict_proba(images)
    right: NDArray[np.bool_] = likely.argmax(axis=1) == labels
    picked = likely[np.arange(len(labels)), labels]
    # The classifier gives a flat zero for what it holds to be impossible.
    loss = -np.log(np.maximum(picked, np.finfo(np.float64).tiny)).mean()
    return float(loss), float(right.mean()), right
