"""`bucketedHistory`: every value of a key, summed up in buckets along an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from wbframe.server.files.columns import values
from wbframe.server.projects.rows import Spec, SpecError
from wbframe.server.projects.wire import decode

if TYPE_CHECKING:
    from wbframe.server.projects.rows import History

__all__ = ["BucketSpec", "bucketed", "bucketed_events", "bucketed_rows"]

_DEFAULT_BINS = 500
_MOST_BINS = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSpec:
    """One spec of `bucketedHistory`."""

    key: str
    bins: int = _DEFAULT_BINS
    x_axis: str = "_step"
    min_step: int | None = None
    max_step: int | None = None

    @classmethod
    def parse(cls, text: str) -> BucketSpec:
        """Read a spec from its JSON text; `samples` stands in for `bins`.

        Raises
        ------
        SpecError
            The text is no JSON object, has not one key, or a number in it is none.
        """
        spec = Spec.parse(text)
        fields = decode(text)
        if len(spec.keys) != 1:
            raise SpecError(f"a spec of buckets has one key; got {text!r:.200}")
        bins = fields.get("bins", spec.samples)
        if isinstance(bins, bool) or not isinstance(bins, int) or not 1 <= bins <= _MOST_BINS:
            raise SpecError(
                f"`bins` of a spec must be a whole number from 1 to {_MOST_BINS:,}; got {bins!r:.80}"
            )
        x_axis = fields.get("xAxis", "_step")
        if not isinstance(x_axis, str):
            raise SpecError(f"`xAxis` of a spec is a key; got {x_axis!r:.80}")
        (key,) = spec.keys
        return cls(
            key=key, bins=bins, x_axis=x_axis, min_step=spec.min_step, max_step=spec.max_step
        )

    @property
    def is_system(self) -> bool:
        """Whether it asks for a machine metric."""
        return self.key.startswith("system/")


def bucketed(xs: list[Any], ys: list[Any], spec: BucketSpec) -> list[dict[str, float]]:
    """Sum up values in buckets of equal width between the least and the greatest `x`.

    Only pairs of finite numbers count. The greatest `x` belongs to the last bucket.

    Returns
    -------
    list of dict
        For each bucket that is not empty, in order: ``<xAxis>Avg``, ``<key>Avg``, ``<key>Min``,
        ``<key>Max`` and ``<key>Last``.

    Examples
    --------
    >>> bucketed([0, 1, 2, 3], [4.0, 6.0, None, 1.0], BucketSpec(key="loss", bins=2))[0]
    {'_stepAvg': 0.5, 'lossAvg': 5.0, 'lossMin': 4.0, 'lossMax': 6.0, 'lossLast': 6.0}
    """
    pairs = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True) if _counts(x) and _counts(y)]
    if not pairs:
        return []
    low, high = min(x for x, _ in pairs), max(x for x, _ in pairs)
    width = (high - low) / spec.bins or 1.0
    bucket = ((pl.col("x") - low) / width).floor().clip(0, spec.bins - 1)
    frame = pl.DataFrame(pairs, schema={"x": pl.Float64, "y": pl.Float64}, orient="row")
    x, y = pl.col("x"), pl.col("y")
    summed = frame.group_by(bucket.alias("bucket")).agg(
        x.mean().alias(f"{spec.x_axis}Avg"),
        y.mean().alias(f"{spec.key}Avg"),
        y.min().alias(f"{spec.key}Min"),
        y.max().alias(f"{spec.key}Max"),
        y.last().alias(f"{spec.key}Last"),
    )
    return summed.sort("bucket").drop("bucket").to_dicts()


def bucketed_rows(history: History, spec: BucketSpec) -> list[dict[str, float]]:
    """Answer a spec from logged rows; `min_step` and `max_step` are both inclusive."""
    if spec.key not in history.keys or spec.x_axis not in history.keys:
        return []
    rows = history.between(spec.min_step, spec.max_step)
    found = values(history, rows, [spec.x_axis, spec.key])
    return bucketed(found[spec.x_axis], found[spec.key], spec)


def bucketed_events(events: History, spec: BucketSpec) -> list[dict[str, float]]:
    """Answer a spec from machine metrics: ``system/cpu`` is stored as ``system.cpu``.

    ``system/memory`` is ``system.memory_percent``. Their rows have no ``_step``.
    """
    name = spec.key.removeprefix("system/")
    stored = f"system.{name}"
    if name == "memory" and stored not in events.keys:
        stored = "system.memory_percent"
    if stored not in events.keys or spec.x_axis not in events.keys:
        return []
    found = values(events, range(len(events)), [spec.x_axis, stored])
    return bucketed(found[spec.x_axis], found[stored], spec)


def _counts(value: Any) -> bool:
    """Tell whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
