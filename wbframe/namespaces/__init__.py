"""The ``wandb`` namespace of polars frames: from a frame to the runs and histories that its rows name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, overload

import polars as pl

from wbframe.buckets import read_buckets, scan_buckets
from wbframe.errors import UsageError
from wbframe.namespaces.eager import FrameNamespace
from wbframe.namespaces.lazy import LazyFrameNamespace
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs

if TYPE_CHECKING:
    import pandas as pd

    from wbframe.pandas import FrameAccessor

__all__ = ["FrameNamespace", "LazyFrameNamespace", "of", "register"]


@overload
def of(frame: pl.DataFrame) -> FrameNamespace: ...
@overload
def of(frame: pl.LazyFrame) -> LazyFrameNamespace: ...
@overload
def of(frame: pd.DataFrame) -> FrameAccessor: ...
def of(
    frame: pl.DataFrame | pl.LazyFrame | pd.DataFrame,
) -> FrameNamespace | LazyFrameNamespace | FrameAccessor:
    """Give what ``frame.wandb`` gives, with a type that editors and type checkers know.

    Parameters
    ----------
    frame
        A frame of runs, of polars or pandas.

    Returns
    -------
    FrameNamespace, LazyFrameNamespace or wbframe.pandas.FrameAccessor
        With the readers of exactly the runs in the frame; for a lazy frame its scans.

    Raises
    ------
    UsageError
        If it is no such frame.

    Examples
    --------
    >>> import polars as pl
    >>> isinstance(of(pl.LazyFrame({"run_id": ["a"]})).histories(path="e/p"), pl.LazyFrame)
    True
    """
    if isinstance(frame, pl.DataFrame):
        return FrameNamespace(frame)
    if isinstance(frame, pl.LazyFrame):
        return LazyFrameNamespace(frame)
    # Who has a frame of pandas has imported it.
    if "pandas" in sys.modules and isinstance(frame, sys.modules["pandas"].DataFrame):
        from wbframe.pandas import FrameAccessor

        return FrameAccessor(frame)
    raise UsageError(
        f"`frame` must be a frame of polars or pandas, as the readers give them; got {type(frame).__name__}"
    )


def register() -> None:
    """Set the readers and scans on the polars module, and the ``wandb`` namespace on its frames."""
    for name, function in (
        ("read_wandb_runs", read_runs),
        ("read_wandb_histories", read_histories),
        ("scan_wandb_runs", scan_runs),
        ("scan_wandb_histories", scan_histories),
        ("read_wandb_buckets", read_buckets),
        ("scan_wandb_buckets", scan_buckets),
    ):
        setattr(pl, name, function)
    # Importing anew (a notebook's reload) must not warn that the namespace is taken.
    if not hasattr(pl.DataFrame, "wandb"):
        pl.api.register_dataframe_namespace("wandb")(FrameNamespace)
        pl.api.register_lazyframe_namespace("wandb")(LazyFrameNamespace)
