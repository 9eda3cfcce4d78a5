"""The images that the demo's models learn: 1,797 handwritten digits of 8 x 8 pixels.

They are the digits of scikit-learn, which come from the test part of "Optical Recognition of
Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0). They
are stored beside the runs, so that any run can be trained again with numpy alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from wbframe.server.projects.demo import DATA

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["CLASSES", "FILE", "PIXELS", "Digits", "load_digits", "save_digits"]

CLASSES: Final = 10
PIXELS: Final = 64
FILE: Final = "digits.parquet"
_BRIGHTEST = 16
_TRAIN_ROWS = 1437
_SPLIT_SEED = 0


@dataclass(frozen=True, slots=True)
class Digits:
    """Images to learn from and images to be judged by.

    Attributes
    ----------
    train_images, test_images : numpy.ndarray
        One row of 64 pixels an image, each from 0 (white) to 1 (black).
    train_labels, test_labels : numpy.ndarray
        The digit that each image shows, 0 to 9.
    """

    train_images: NDArray[np.float64]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.float64]
    test_labels: NDArray[np.int64]


def load_digits(path: Path = DATA / FILE) -> Digits:
    """Read the stored images and split them.

    Parameters
    ----------
    path
        The file that `save_digits` wrote.

    Returns
    -------
    Digits
        1,437 images to learn from and 360 to be judged by; the split is always the same.

    Examples
    --------
    >>> digits = load_digits()
    >>> digits.train_images.shape, digits.test_images.shape
    ((1437, 64), (360, 64))
    """
    frame = pl.read_parquet(path)
    images = frame["pixels"].to_numpy().astype(np.float64) / _BRIGHTEST
    labels = frame["label"].to_numpy().astype(np.int64)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    train, test = order[:_TRAIN_ROWS], order[_TRAIN_ROWS:]
    return Digits(images[train], labels[train], images[test], labels[test])


def save_digits(pixels: NDArray[np.float64], labels: NDArray[np.int64], path: Path) -> None:
    """Write images and labels to one Parquet file.

    Parameters
    ----------
    pixels
        One row of 64 whole numbers from 0 to 16 an image.
    labels
        One digit an image.
    path
        The file to write.
    """
    columns = [
        pl.Series("pixels", pixels.astype(np.uint8), dtype=pl.Array(pl.UInt8, PIXELS)),
        pl.Series("label", labels.astype(np.uint8)),
    ]
    pl.DataFrame(columns).write_parquet(path, compression_level=22)
