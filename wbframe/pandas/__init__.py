"""The pandas face: readers as functions, and the ``wandb`` accessor of frames."""

from __future__ import annotations

import pandas as pd

from wbframe.pandas.accessor import FrameAccessor
from wbframe.pandas.parts import iter_buckets, iter_histories
from wbframe.pandas.reads import read_buckets, read_histories, read_runs

__all__ = [
    "FrameAccessor",
    "iter_buckets",
    "iter_histories",
    "read_buckets",
    "read_histories",
    "read_runs",
]


def register() -> None:
    """Set the readers on the pandas module, and the ``wandb`` accessor on its frames."""
    pd.read_wandb_runs = read_runs  # type: ignore[attr-defined]
    pd.read_wandb_histories = read_histories  # type: ignore[attr-defined]
    pd.read_wandb_buckets = read_buckets  # type: ignore[attr-defined]
    # Importing anew (a notebook's reload) must not warn that the accessor is taken.
    if not hasattr(pd.DataFrame, "wandb"):
        pd.api.extensions.register_dataframe_accessor("wandb")(FrameAccessor)


register()
