"""Frames of pandas go to files, of each family of dtypes; what reads them gives the values back."""

from __future__ import annotations

import polars as pl
import pyarrow.feather
import pyarrow.parquet
import pytest

import wbframe
import wbframe.pandas
from wbframe.server import serve, synthetic

RUNS = {"run_columns": ["tags", "config.*"]}
READERS = {
    "runs": (wbframe.pandas.read_runs, wbframe.read_runs, {}),
    "histories": (wbframe.pandas.read_histories, wbframe.read_histories, RUNS),
    "buckets": (wbframe.pandas.read_buckets, wbframe.read_buckets, {"bins": 2, **RUNS}),
}


@pytest.fixture(scope="module")
def client():
    with (
        serve(synthetic(runs=3, rows=5, keys=2)) as server,
        wbframe.Client(server.url, server.api_key) as made,
    ):
        yield made


@pytest.mark.parametrize("backend", ["numpy", "numpy_nullable", "pyarrow"])
@pytest.mark.parametrize(("read", "same", "options"), READERS.values(), ids=READERS)
def test_parquet_and_feather(client, tmp_path, read, same, options, backend):
    frame = read("wbframe/synthetic", dtype_backend=backend, client=client, **options)
    frame.to_parquet(tmp_path / "f.parquet")
    frame.to_feather(tmp_path / "f.feather")
    wanted = same("wbframe/synthetic", client=client, **options)
    # By others than pandas, which does not know again the name that it gives to a list of Arrow:
    # https://github.com/pandas-dev/pandas/issues/57411
    for table in (
        pyarrow.parquet.read_table(tmp_path / "f.parquet"),
        pyarrow.feather.read_table(tmp_path / "f.feather"),
    ):
        found = pl.from_arrow(table)
        # numpy has no null but NaN.
        assert found.cast(wanted.schema).fill_nan(None).equals(wanted)
