"""What is wrong with a call is found before any request, and the message says what would be right."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest

import wbframe
from wbframe.buckets import read_buckets, scan_buckets
from wbframe.errors import (
    AccessError,
    ColumnError,
    FilterError,
    MissingKeyError,
    PathError,
    ProjectNotFoundError,
    RunNotFoundError,
    SweepNotFoundError,
    UsageError,
    WbframeError,
)

RAGGED = "wbframe/ragged"


def no_client():
    """A client that no request of which can succeed."""
    return wbframe.Client("http://127.0.0.1:9", "k" * 40, retry=wbframe.RetryPolicy(tries=1))


WRONG_RUNS = [
    ({"columns": "state"}, UsageError, r"`columns` must be a list"),
    ({"columns": [1]}, UsageError, r"`columns` must be a list"),
    ({"columns": 3}, UsageError, r"`columns` must be a list of column names or globs; got 3"),
    ({"columns": []}, UsageError, r"`columns` must name a column at the least, or be None for all"),
    ({"columns": ["stat"]}, ColumnError, r"no column 'stat'.*Did you mean 'state'"),
    ({"columns": ["learning_rate"]}, ColumnError, r"'config\.learning_rate' or 'summary\.learning_rate'"),
    ({"columns": ["xyz*"]}, ColumnError, r"no column 'xyz\*'"),
    ({"order": ""}, UsageError, r"`order` must be a sign and a field"),
    ({"order": "-"}, UsageError, r"`order`"),
    ({"order": 3}, UsageError, r"`order`"),
    ({"order": "-create_at"}, UsageError, r"no order by 'create_at'.*Did you mean 'created_at'"),
    ({"limit": -1}, UsageError, r"`limit` must be a whole number, at least 0; got -1"),
    ({"limit": 2.5}, UsageError, r"`limit`"),
    ({"limit": True}, UsageError, r"`limit`"),
    ({"per_page": 0}, UsageError, r"`per_page` must be a whole number, from 1 to 1000; got 0"),
    ({"per_page": 1001}, UsageError, r"`per_page`"),
    ({"filters": "state"}, UsageError, r"`filters` must be a dict, a polars expression or a list"),
    ({"filters": 3}, UsageError, r"`filters`"),
    ({"filters": [3]}, UsageError, r"`filters` must be a dict, a polars expression or a list"),
    ({"filters": [{"state": "failed"}]}, UsageError, r"join dicts as \{'\$and': \[\.\.\.\]\}"),
    ({"filters": [True]}, UsageError, r"`filters` must be .*; got a list of bool"),
    ({"filters": pl.col("stat") == "failed"}, ColumnError, r"`filters`: no column 'stat'.*Did you mean 'state'"),
    ({"filters": [pl.col("state") == "x", pl.col("lr") > 0]}, ColumnError, r"'config\.lr' or 'summary\.lr'"),
    ({"filters": {"state": {"$regex": "("}}}, FilterError, r"`\$regex` on `state` is no regular expression: missing \)"),
    ({"filters": {"state": {"$is": "failed"}}}, FilterError, r"no operator `\$is`; it has \$and \$or .* \$regex"),
    ({"filters": {"stat": "failed"}}, FilterError, r"no field `stat`.*Did you mean 'state'"),
    ({"schema_overrides": {"state": pl.Int64}}, UsageError, r"the dtype of 'state' is fixed"),
    ({"schema_overrides": {"config.lr": "float"}}, UsageError, r"must be a polars dtype like pl\.Int64; got 'float'"),
    ({"schema_overrides": ["config.lr"]}, UsageError, r"`schema_overrides` must map names to polars dtypes, .*; got list"),
    ({"schema_overrides": {3: pl.Int64}}, UsageError, r"must map names"),
    ({"schema_overrides": {"lr": pl.Int64}}, ColumnError, r"no column 'lr'.*'config\.lr' or 'summary\.lr'"),
    ({"progress": "yes"}, UsageError, r"`progress` must be True, False or a function"),
]  # fmt: skip
WRONG_ROWS = [
    ({"keys": "train/loss"}, UsageError, r"write keys=\['train/loss'\]"),
    ({"keys": []}, UsageError, r"`keys` must be a list of names, or None"),
    ({"keys": [3]}, UsageError, r"`keys`"),
    ({"keys": 3}, UsageError, r"`keys` must be a list of names, or None for all; got 3"),
    ({"samples": 0}, UsageError, r"`samples` must be a whole number, at least 1; got 0"),
    ({"samples": "all"}, UsageError, r"`samples`"),
    ({"samples": -1}, UsageError, r"`samples`"),
    ({"samples": 1.5}, UsageError, r"`samples`"),
    ({"samples": np.float64(2)}, UsageError, r"`samples`"),
    ({"on_incomplete": "warning"}, UsageError, r"`on_incomplete` must be one of 'raise', 'warn'.*Did you mean 'warn'"),
    ({"stream": "sytem"}, UsageError, r"`stream` must be one of 'default', 'system'.*Did you mean 'system'"),
    ({"match": "al"}, UsageError, r"`match` must be one of 'any', 'all'"),
    ({"match": "all"}, UsageError, r"`match='all'`.*name the keys"),
    ({"x_axis": ""}, UsageError, r"`x_axis`"),
    ({"x_axis": None}, UsageError, r"`x_axis`"),
    ({"min_step": -1}, UsageError, r"`min_step`"),
    ({"max_step": 2.5}, UsageError, r"`max_step`"),
    ({"min_step": 5, "max_step": 5}, UsageError, r"5 to 5 holds no step"),
    ({"stream": "system", "min_step": 1}, UsageError, r"machine metrics have no steps"),
    ({"stream": "system", "x_axis": "epoch"}, UsageError, r"machine metrics have no steps"),
    ({"run_columns": ["stat"]}, ColumnError, r"`run_columns`: no column 'stat'.*Did you mean 'state'"),
    ({"run_columns": "state"}, UsageError, r"`run_columns` must be a list"),
    ({"schema_overrides": {"_step": pl.Float64}}, UsageError, r"the dtype of '_step' is fixed"),
    ({"schema_overrides": {"run_id": pl.Categorical}}, UsageError, r"the dtype of 'run_id' is fixed"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "error", "message"), WRONG_RUNS)
def test_wrong_arguments_of_the_runs_readers(options, error, message):
    for read in (wbframe.polars.read_runs, wbframe.pandas.read_runs, wbframe.arrow.read_runs):
        with pytest.raises(error, match=message) as caught:
            read("e/p", client=no_client(), **options)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("options", "error", "message"), WRONG_ROWS)
def test_wrong_arguments_of_the_histories_readers(options, error, message):
    faces = (wbframe.polars, wbframe.pandas, wbframe.arrow)
    for read in (face.read_histories for face in faces):
        with pytest.raises(error, match=message):
            read("e/p", client=no_client(), **options)


@pytest.mark.parametrize(
    "path",
    ["", " ", "/", "a/b/c/d", "a/b/runs", "a/b/sweeps", "a//b", "a/b?x=1", "a/b#c", "https://wandb.ai", "https://wandb.ai/ent",
     "https://[wandb.ai/ent/proj", "ftp://wandb.ai/a/b", "https:///a/b", 3, None, [], [3], ["a/b", ""], ["a/b", None], b"a/b", {"a/b": 1}, pl.Series([1, 2])],
)  # fmt: skip
@pytest.mark.parametrize("what", ["runs", "histories"])
def test_paths_of_no_known_form_show_the_forms(path, what):
    with pytest.raises(
        PathError, match=r"'entity/project/sweeps/<id>'.*https:// address"
    ) as caught:
        getattr(wbframe.polars, f"read_{what}")(path, client=no_client())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [pl.DataFrame, pl.LazyFrame, pd.DataFrame])
def test_a_frame_is_no_path_and_has_a_way_of_its_own(kind):
    with pytest.raises(
        PathError, match=r"^`path` is a frame; .* `frame\.wandb\.histories\(\.\.\.\)`"
    ):
        wbframe.polars.read_histories(kind({"run_id": ["a", "b"]}), client=no_client())


def test_an_address_of_another_server_is_refused(web, client):
    with pytest.raises(
        PathError, match=r"the address is of wandb\.ai, but the client reads http://127\.0\.0\.1"
    ):
        wbframe.polars.read_runs("https://wandb.ai/wbframe/ragged", client=client)
    assert not web.requests


@pytest.mark.parametrize(
    "read",
    [wbframe.polars.read_runs, wbframe.polars.read_histories, wbframe.polars.scan_runs, wbframe.polars.scan_histories,
     wbframe.pandas.read_runs, wbframe.pandas.iter_histories, wbframe.arrow.runs_reader, scan_buckets, read_buckets],
)  # fmt: skip
def test_a_client_must_be_a_client(read):
    with pytest.raises(UsageError, match=r"`client` must be a wbframe\.Client; got str"):
        read("e/p", client="https://api.wandb.ai")


@pytest.mark.parametrize("read", [read_buckets, scan_buckets, wbframe.pandas.read_buckets])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bins": 0}, UsageError, r"`bins` must be a whole number, from 1 to 10000; got 0"),
        ({"bins": "many"}, UsageError, r"`bins`"),
        ({"keys": "loss"}, UsageError, r"write keys=\['loss'\]"),
        ({"stream": "sytem"}, UsageError, r"Did you mean 'system'"),
        ({"limit": -1}, UsageError, r"`limit`"),
        ({"order": "-create_at"}, UsageError, r"Did you mean 'created_at'"),
        ({"run_columns": ["stat"]}, ColumnError, r"Did you mean 'state'"),
        ({"filters": "state"}, UsageError, r"`filters`"),
    ],
)
def test_wrong_arguments_of_the_readers_of_buckets(read, options, error, message):
    with pytest.raises(error, match=message):
        read("e/p", client=no_client(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"infer_schema_runs": 0},
            r"`infer_schema_runs` must be a whole number, at least 1; got 0",
        ),
        ({"on_new_key": "ignor"}, r"`on_new_key` must be one of .*Did you mean 'ignore'"),
    ],
)
def test_wrong_arguments_of_scans(options, message):
    for scan in (wbframe.polars.scan_runs, wbframe.polars.scan_histories):
        with pytest.raises(UsageError, match=message):
            scan("e/p", client=no_client(), **options)


def test_the_size_of_batches_is_checked_before_anything_is_read():
    for read in (wbframe.arrow.histories_reader, wbframe.pandas.iter_histories):
        with pytest.raises(
            UsageError, match=r"`batch_size` must be a whole number, at least 1; got 0"
        ):
            next(iter(read("e/p", batch_size=0, client=no_client())))


@pytest.mark.parametrize("wrong", [None, "wbframe/ragged", pl.DataFrame({"run_id": ["a"]})])
def test_only_a_lazy_query_can_be_explained(wrong):
    with pytest.raises(
        UsageError, match=r"`frame` must be a polars\.LazyFrame .* before it is collected; got "
    ):
        wbframe.explain(wrong)


def test_no_key_for_a_server_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with (
        wbframe.Client("https://api.example.test") as client,
        pytest.raises(
            MissingKeyError, match=r"no API key for api\.example\.test: pass .* WANDB_API_KEY"
        ),
    ):
        wbframe.polars.read_runs("e/p", client=client)


def test_numbers_of_numpy_are_numbers(client):
    rows = wbframe.polars.read_histories(
        RAGGED,
        keys=["train/loss"],
        samples=np.int64(5),
        min_step=np.int32(1),
        max_step=np.uint8(4),
        limit=np.int64(3),
        client=client,
    )
    plain = wbframe.polars.read_histories(
        RAGGED, keys=["train/loss"], samples=5, min_step=1, max_step=4, limit=3, client=client
    )
    assert rows.height
    assert rows.equals(plain)


# ---------------------------------------------------------------- what only the server can tell


@pytest.mark.parametrize("what", ["runs", "histories"])
@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        (
            "wbframe/nope",
            ProjectNotFoundError,
            "Could not find project wbframe/nope.*check the spelling",
        ),
        (
            "wbframe/ragged/runs/nope",
            RunNotFoundError,
            "Could not find run 'nope' in wbframe/ragged",
        ),
        ("wbframe/ragged/sweeps/nope", SweepNotFoundError, "no sweep 'nope' in wbframe/ragged"),
        ("forbidden/ragged", AccessError, r"forbidden/ragged.*HTTP 403.*ask its owner"),
    ],
)
def test_what_is_not_there_or_not_allowed(path, error, message, what, client):
    with pytest.raises(error, match=message) as caught:
        getattr(wbframe.polars, f"read_{what}")(path, client=client)
    assert isinstance(caught.value, WbframeError)
    assert "\n" not in str(caught.value)
    assert client._api_key not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": ["config.optimizer.nam"]}, ColumnError, r"Did you mean 'config\.optimizer\.name'"),
        ({"columns": ["summary.zzz*"]}, ColumnError, r"no column 'summary\.zzz\*' in the runs of wbframe/ragged"),
        ({"filters": pl.col("stat") == "failed"}, ColumnError, r"'stat'.*Did you mean 'state'"),
        ({"filters": pl.col("stat") == "failed", "columns": ["run_id"]}, ColumnError, r"'stat'.*Did you mean 'state'"),
        ({"filters": pl.col("config.modell") == "mlp"}, ColumnError, r"Did you mean 'config\.model'"),
        ({"filters": pl.col("name").str.contains("(")}, FilterError, r"cannot be applied.*unclosed group"),
        ({"filters": pl.col("state")}, FilterError, r"`filters`: the expression cannot be applied.*Boolean"),
        ({"filters": pl.col("state") > 3}, FilterError, r"`filters`: the expression cannot be applied"),
        ({"schema_overrides": {"config.modell": pl.String}}, ColumnError, r"schema_overrides.*Did you mean 'config\.model'"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning")
def test_unknown_columns_name_the_near_ones(options, error, message, client):
    with pytest.raises(error, match=message) as caught:
        wbframe.polars.read_runs(RAGGED, client=client, **options)
    assert "\n" not in str(caught.value)


def test_an_unknown_column_in_an_empty_project_is_unknown_too(client):
    with pytest.raises(ColumnError, match=r"config\.lr"):
        wbframe.polars.read_runs("wbframe/empty", columns=["config.lr"], client=client)
    with pytest.raises(ColumnError, match="stat"):
        wbframe.polars.read_runs("wbframe/empty", filters=pl.col("stat") == 1, client=client)
