"""Which predicates may be applied page by page."""

from __future__ import annotations

import polars as pl
import pytest

from wbframe.core.pushdown.reader import is_row_separable

A, S = pl.col("a"), pl.col("s")

BY_ROW = [
    A > 1,
    -A > 1,
    A.abs() > 1,
    pl.col("b") < A + 1,
    A.is_in([1, 2]),
    A.is_in(pl.Series([1, 2])),
    A.is_between(1, 2),
    A.is_null() | A.is_nan(),
    A.cast(pl.Float64) > 1,
    A.fill_null(0) > 1,
    A.eq_missing(None),
    A.dt.year() == 2026,
    A.alias("y") > 2,
    ~(A > 1),
    (A > 1) & (pl.col("b") < 2) | pl.col("c"),
    S.str.contains("x"),
    S.str.to_lowercase() == "a",
    pl.col("tags").list.contains("x"),
    pl.lit(value=True),
    pl.all_horizontal(pl.all().is_not_null()),
    pl.col("^a.*$") > 1,
    pl.all_horizontal(pl.col("a", "b").is_null()),
    pl.coalesce("a", "b") > 1,
    pl.when(A > 1).then(pl.lit(value=True)).otherwise(pl.lit(value=False)),
    A.clip(0, 2) > 1,
    A.round() > 1,
    A.round(1).floor().ceil() > 1,
    A.cast(pl.Float64).is_in([float("nan"), 1.0]),
    A.is_in([None, 1], nulls_equal=True),
    A.cast(pl.Float64) < float("inf"),
    A.cast(pl.Decimal(10, 2)) > 1,
    A.is_close(1),
    A.is_between(1, "b", closed="none"),
    pl.Series([1]) == A,
    (A + pl.Series([1]) - 1) * pl.col("b") > 1,
    S.str.strip_chars("x") == "",
    S.str.starts_with(S),
    S.str.slice(0, 1).str.len_chars() > 0,
    pl.col("tags").list.get(0, null_on_oob=True) == "x",
    pl.col("tags").list.contains(S),
    pl.all_horizontal(pl.when(A > 1).then(A.abs() > 1).otherwise(pl.col("b").is_in([1])), "c"),
]
BY_ALL = [
    A.max() == A,
    A.mean() > 1,
    A.rank() < 3,
    A.shift() > 1,
    A.cum_sum() > 1,
    A.over("b") > 1,
    A.is_duplicated(),
    A.is_first_distinct(),
    A.any(),
    A.is_in(pl.col("b").implode()),
    pl.Series([1, 2, 3]) == A,
    S.str.join() == "a",
    pl.len() > 3,
    pl.int_range(pl.len()) < 3,
    (A > 1) & (A.min() == A),
    pl.when(A > 1).then(A.max() > 1).otherwise(pl.lit(value=False)),
    ~(A.max() > 1),
    A + A.max() > 1,
    A.max().cast(pl.Float64) > 1,
    A.clip(A.min(), 2) > 1,
    A.is_between(1, A.max()),
    A.is_close(A.mean()),
    A.fill_null(strategy="forward") > 1,
    A.fill_null(A.mean()) > 1,
    S.str.starts_with(S.first()),
    pl.col("tags").list.contains(S.first()),
    pl.all_horizontal("c", A.max() > 1),
    A.max().is_in([1, 2]),
    A.max().is_null(),
    A.is_in([1]) | A.is_in(pl.col("b").implode()),
    A.first().dt.year() == 2026,
]


@pytest.mark.parametrize("expr", BY_ROW, ids=str)
def test_expressions_over_one_row(expr):
    assert is_row_separable(expr)


@pytest.mark.parametrize("expr", BY_ALL, ids=str)
def test_expressions_over_several_rows(expr):
    assert not is_row_separable(expr)


@pytest.mark.filterwarnings("ignore::polars.exceptions.PolarsInefficientMapWarning")
def test_what_is_not_known_is_not_claimed():
    assert not is_row_separable(A.map_elements(lambda _: True, return_dtype=pl.Boolean))
    assert not is_row_separable(A.map_batches(lambda series: series))
    deep = A
    for _ in range(300):
        deep = deep.abs()
    assert not is_row_separable(deep > 1)


@pytest.mark.parametrize("expr", BY_ROW, ids=str)
def test_such_expressions_say_the_same_page_by_page(expr):
    frame = pl.DataFrame(
        {
            "a": [1, None, 3, -2],
            "b": [2, 2, None, 1],
            "c": [True, None, False, True],
            "s": ["x", None, "A", "y"],
            "tags": [["x"], [], None, ["y"]],
        }
    )
    if "dt.year" in str(expr):
        frame = frame.with_columns(pl.from_epoch("a"))
    pages = [frame[i : i + 1].filter(expr) for i in range(frame.height + 1)]
    assert pl.concat(pages).equals(frame.filter(expr))


def test_a_long_chain_of_conditions_is_still_row_by_row():
    chain = pl.col("c")
    for bound in range(300):
        chain &= bound < A
    assert is_row_separable(chain)
    assert not is_row_separable(chain & (A.max() > 1))
