"""Hypothesis strategies of predicates over a frame: any form, with constants that its cells make interesting."""

from __future__ import annotations

import datetime as dt
import math
import operator

import polars as pl
from hypothesis import strategies as st

COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
MISSING = [pl.Expr.eq_missing, pl.Expr.ne_missing]
CLOSED = ["both", "left", "right", "none"]
WORDS = ["", "a", "mlp", "odd", "NaN", "0.1", "1", "true", "ADAM", "x", "[64,32,10]", "same"]
NUMBERS = [0, 1, -1, 0.1, 1e-05, 2.5e-08, 10, 100.0, 3, 5000, 2**53, 2**53 + 1, 2**60, 1e16]


def constants_of(series: pl.Series):
    """Values of a column and their neighbours, of the column's type."""
    dtype = series.dtype
    seen = series.explode().drop_nulls() if isinstance(dtype, pl.List) else series.drop_nulls()
    there = seen.unique(maintain_order=True).to_list()[:40]
    if dtype.is_numeric():
        there = [each for each in there if math.isfinite(each)]
        near = [each + shift for each in there[:10] for shift in (-1, 0.5)]
        if dtype.is_integer():
            return st.sampled_from(
                [*there, *map(int, near), *(each for each in NUMBERS if isinstance(each, int))]
            )
        return st.sampled_from([*there, *near, *map(float, NUMBERS)])
    if isinstance(dtype, pl.Datetime):
        near = [each + dt.timedelta(seconds=s) for each in there for s in (-1, 0, 0.5, 1)]
        return st.sampled_from(near or [dt.datetime(2026, 1, 5, tzinfo=dt.timezone.utc)])
    if dtype == pl.Boolean:
        return st.booleans()
    parts = (
        [each[:4] for each in there]
        + [each[1:3] for each in there]
        + [each.upper() for each in there]
    )
    return st.sampled_from([*there, *parts, *WORDS])


def typed(value, dtype: pl.DataType) -> pl.Expr:
    """A constant as a literal of a column's type: polars 2 compares no unlike types."""
    return pl.lit(value, dtype=dtype)


def leaves(frame: pl.DataFrame, name: str):
    """Conditions on one column."""
    series = frame[name]
    column, dtype = pl.col(name), series.dtype
    constants = constants_of(series)
    forms = [
        st.just(column.is_null()),
        st.just(column.is_not_null()),
    ]
    if isinstance(dtype, pl.List):
        forms += [
            constants.map(column.list.contains),
            st.just(column.list.len() > 1),
        ]
        return st.one_of(forms)
    maybe = st.one_of(constants, constants, constants, st.none())
    forms += [
        st.builds(
            lambda how, value: how(column, typed(value, dtype)),
            st.sampled_from(COMPARISONS + MISSING),
            maybe,
        ),
        st.builds(
            lambda how, value: how(typed(value, dtype), column),
            st.sampled_from(COMPARISONS),
            constants,
        ),
        st.builds(
            lambda values, nulls: column.is_in(values, nulls_equal=nulls),
            st.lists(maybe, max_size=5),
            st.booleans(),
        ),
    ]
    if dtype == pl.Boolean:
        return st.one_of(*forms, st.just(column))
    forms.append(
        st.builds(
            lambda low, high, closed: column.is_between(
                typed(low, dtype), typed(high, dtype), closed
            ),
            constants,
            constants,
            st.sampled_from(CLOSED),
        )
    )
    if dtype == pl.String:
        forms += [
            constants.map(lambda text: column.str.contains(text, literal=True)),
            constants.map(column.str.starts_with),
            constants.map(column.str.ends_with),
            st.sampled_from(["^m", "a|b", "o.d", "(?i)MLP", "s$", "[a-c]+", "e{2}"]).map(
                column.str.contains
            ),
            constants.map(lambda text: column.str.to_lowercase() == text),
            constants.map(lambda text: column.cast(pl.Float64, strict=False) > len(text)),
        ]
    elif dtype.is_numeric():
        forms += [
            constants.map(lambda value: column.cast(pl.Float64) <= float(value)),
            constants.map(lambda value: column * 2 > typed(value, dtype)),
            constants.map(lambda value: column.cast(pl.String) == str(value)),
        ]
        if dtype.is_float():
            forms += [
                st.just(column.is_nan()),
                st.just(column.is_finite()),
                st.just(column == math.inf),
                st.just(column > pl.lit(math.nan)),
            ]
    return st.one_of(forms)


def trees(leaf):
    """And, or, not, exclusive or, and a choice."""
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.builds(operator.and_, inner, inner),
            st.builds(operator.or_, inner, inner),
            inner.map(operator.invert),
            st.builds(operator.xor, inner, inner),
            st.builds(lambda a, b, c: pl.when(a).then(b).otherwise(c), inner, inner, inner),
            st.lists(inner, min_size=1, max_size=3).map(lambda each: pl.any_horizontal(*each)),
        ),
        max_leaves=5,
    )


def predicates(frame: pl.DataFrame, names: list[str]):
    """Conditions on some columns of a frame."""
    return trees(st.sampled_from(names).flatmap(lambda name: leaves(frame, name)))
