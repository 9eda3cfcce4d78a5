"""Words in place of names, for wide projects: columns that vary or are used, keys that are scalars."""

from __future__ import annotations

import math
import re

import pandas as pd
import polars as pl
import pytest

import wbframe
from wbframe.core.schema.runs import RUN_COLUMNS
from wbframe.errors import UsageError
from wbframe.server import Exports, History, Project, RunRecord, serve

META = list(RUN_COLUMNS)
PATH = "e/wide"
# As a trainer logs it: most of the same, some of nothing, few that differ.
SAME = {f"arg_{i:02}": i / 4 for i in range(40)} | {
    "kind": "x",
    "flag": True,
    "layers": [{"b": 1, "a": 2.0}],
}
NOTHING = {f"none_{i:02}": None for i in range(20)}
OWN = [
    {
        "lr": 0.1,
        "decay": 0.5,
        "layers": [{"a": 2, "b": 1}],
        "opt": {"name": "sgd", "eps": math.nan},
    },
    {"lr": 0.2, "opt": {"name": "sgd", "eps": math.nan}},
    {"lr": 0.1, "name": "third", "opt": {"name": "adam", "eps": math.nan}},
]
VARY = ["config.decay", "config.lr", "config.name", "config.opt.name", "summary.best"]
ROWS = [
    {"loss": i / 2, "note": "text", "ok": i % 2 == 0, "h": {"_type": "histogram", "bins": [0, 1], "values": [i]}}
    | {"list": [1, 2], "nested": {"a": {"b": i}}, "img": {"_type": "image-file", "path": "x"}, "mixed": i}
    | ({"mixed": [i]} if i == 3 else {})
    | ({"odd": "NaN"} if i == 4 else {})
    | ({"rare": i} if i == 5 else {})
    for i in range(8)
]  # fmt: skip
SCALARS = ["loss", "nested.a.b", "note", "odd", "ok", "rare"]


@pytest.fixture(scope="module")
def wide():
    runs = tuple(
        RunRecord(
            name=f"r{i}",
            config={**SAME, **NOTHING, **own},
            summary={"same": 1, "best": i / 7, "void": None},
            history=History(ROWS),
            exports=Exports.split(1, 0.5) if i else Exports.all(),
            created_at=f"2026-01-0{i + 1}T00:00:00Z",
        )
        for i, own in enumerate(OWN)
    )
    empty = RunRecord(name="m", history=History([{"img": {"_type": "image-file", "path": "x"}}]))
    named = RunRecord(
        name="n", config={"lr": 1}, history=History([{"scalars": i, "other": i} for i in range(3)])
    )
    projects = [
        Project(entity="e", name="wide", runs=runs),
        Project(entity="e", name="media", runs=(empty,)),
        Project(entity="e", name="named", runs=(named,)),
    ]
    with serve(projects) as server:
        yield server


@pytest.fixture
def client(wide):
    with wbframe.Client(wide.url, wide.api_key) as made:
        yield made


# ---------------------------------------------------------------- columns


def faces(word, **options):
    """Read runs in every eager face."""
    yield pl.read_wandb_runs(PATH, columns=word, **options)
    yield pl.DataFrame(pl.from_arrow(wbframe.arrow.read_runs(PATH, columns=word, **options)))
    options["dtype_backend"] = "pyarrow"
    yield pl.from_pandas(pd.read_wandb_runs(PATH, columns=word, **options))


def test_columns_that_vary(client):
    whole = pl.read_wandb_runs(PATH, client=client)
    assert whole.width > len(META) + 60
    for frame in faces("varying", client=client):
        assert frame.columns == [*META, *VARY]
        assert frame.equals(whole.select(frame.columns))


def test_columns_that_are_used(client):
    whole = pl.read_wandb_runs(PATH, client=client)
    empty = {name for name in whole.columns if whole[name].null_count() == whole.height}
    assert {"config.none_00", "summary.void"} <= empty
    for frame in faces("used", client=client):
        assert frame.columns == [
            name for name in whole.columns if name in META or name not in empty
        ]
        assert frame.equals(whole.select(frame.columns))


def test_it_is_the_runs_read_that_vary(client):
    two = pl.read_wandb_runs(
        PATH, columns="varying", filters=pl.col("config.lr") < 0.15, client=client
    )
    assert two.columns[len(META) :] == [name for name in VARY if name != "config.lr"]
    one = pl.read_wandb_runs(f"{PATH}/r0", columns="varying", client=client)
    assert one.columns == META
    used = pl.read_wandb_runs(f"{PATH}/r1", columns="used", client=client)
    assert "config.decay" not in used.columns
    none = pl.read_wandb_runs(PATH, columns="varying", limit=0, client=client)
    assert (none.columns, none.height) == (META, 0)


def test_a_frame_of_runs_takes_the_words(client):
    runs = pl.read_wandb_runs(PATH, columns=["entity", "project", "run_id"], client=client)
    assert runs.wandb.runs(columns="varying", client=client).columns == [*META, *VARY]
    there = runs.to_pandas().wandb.runs(columns="varying", client=client)
    assert list(there.columns) == [*META, *VARY]


def test_nested_columns_vary_too(client):
    frame = pl.read_wandb_runs(
        PATH,
        columns="varying",
        schema_overrides={"config.layers": pl.List(pl.Struct({"a": pl.Int64}))},
        client=client,
    )
    assert frame.columns == [*META, *VARY]


def test_they_cost_no_request_more(client):
    pl.read_wandb_runs(PATH, client=client)
    before = client.last_report.requests
    pl.read_wandb_runs(PATH, columns="varying", client=client)
    assert client.last_report.requests == before


def test_a_scan_says_that_it_cannot_promise_them():
    client = wbframe.Client("http://127.0.0.1:9", "k" * 40, retry=wbframe.RetryPolicy(tries=1))
    frame = pl.DataFrame({"entity": ["e"], "project": ["p"], "run_id": ["r"]})
    for word in ("varying", "used"):
        for read in (pl.scan_wandb_runs, wbframe.arrow.runs_reader):
            with pytest.raises(UsageError, match=f"`columns='{word}'` .* read the runs whole"):
                read("e/p", columns=word, client=client)
        with pytest.raises(UsageError, match=f"`columns='{word}'`"):
            frame.lazy().wandb.runs(columns=word, client=client)
    with pytest.raises(UsageError, match=r"list of column names or globs, or 'varying' or 'used'"):
        pl.read_wandb_runs("e/p", columns="vary", client=client)
    with pytest.raises(UsageError, match=r"`run_columns` must be a list"):
        pl.read_wandb_histories("e/p", run_columns="varying", client=client)


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize("samples", [500, None])
def test_keys_that_are_scalars(client, samples):
    options = {"keys": "scalars", "samples": samples, "client": client}
    frame = pl.read_wandb_histories(PATH, **options)
    assert frame.columns == ["run_id", "_step", *SCALARS]
    whole = pl.read_wandb_histories(PATH, samples=samples, client=client)
    assert {"h", "img", "list", "mixed"} <= {*whole.columns}
    assert frame.equals(whole.select(frame.columns))
    lazy = pl.scan_wandb_histories(PATH, **options)
    assert dict(lazy.collect_schema()) == dict(frame.schema)
    assert lazy.collect().equals(frame)
    assert lazy.select("_step", "rare").collect().equals(frame.select("_step", "rare"))
    table = wbframe.arrow.read_histories(PATH, **options)
    assert pl.DataFrame(pl.from_arrow(table)).equals(frame)
    table = wbframe.arrow.histories_reader(PATH, **options).read_all()
    assert pl.DataFrame(pl.from_arrow(table)).equals(frame)
    there = pd.read_wandb_histories(PATH, dtype_backend="pyarrow", **options)
    assert pl.from_pandas(there).equals(frame)
    parts = wbframe.pandas.iter_histories(PATH, dtype_backend="pyarrow", **options)
    assert pl.from_pandas(pd.concat(parts, ignore_index=True)).equals(frame)
    runs = pl.DataFrame(
        {"entity": ["e"] * 3, "project": ["wide"] * 3, "run_id": ["r0", "r1", "r2"]}
    )
    assert runs.wandb.histories(**options).equals(frame)
    assert runs.lazy().wandb.histories(**options).collect().equals(frame)
    assert list(runs.to_pandas().wandb.histories(**options).columns) == frame.columns


def test_media_are_not_asked_for(wide, client):
    wide.clear()
    pl.read_wandb_histories(PATH, keys="scalars", client=client)
    asked = " ".join(str(each.variables) for each in wide.requests)
    assert "loss" in asked
    assert not re.search(r'"(h|img|list|mixed)"', asked)


def test_buckets_of_scalars_are_buckets_of_all(client):
    frame = pl.read_wandb_buckets(PATH, keys="scalars", bins=2, client=client)
    assert frame.equals(pl.read_wandb_buckets(PATH, bins=2, client=client))
    lazy = pl.scan_wandb_buckets(PATH, keys="scalars", bins=2, client=client)
    assert lazy.collect().equals(frame)


def test_a_project_of_media_has_no_scalars(client):
    for samples in (500, None):
        options = {"keys": "scalars", "samples": samples, "client": client}
        frame = pl.read_wandb_histories("e/media", **options)
        assert (frame.columns, frame.height) == (["run_id", "_step"], 0)
        assert pl.scan_wandb_histories("e/media", **options).collect().equals(frame)


def test_a_key_that_is_called_scalars_is_read_by_its_name(client):
    for samples in (500, None):
        frame = pl.read_wandb_histories("e/named", keys=["scalars"], samples=samples, client=client)
        assert frame.columns == ["run_id", "_step", "scalars"]
        assert frame["scalars"].to_list() == [0.0, 1.0, 2.0]
    both = pl.read_wandb_histories("e/named", keys="scalars", client=client)
    assert both.columns == ["run_id", "_step", "other", "scalars"]


def test_another_word_is_no_list_of_keys():
    client = wbframe.Client("http://127.0.0.1:9", "k" * 40, retry=wbframe.RetryPolicy(tries=1))
    with pytest.raises(
        UsageError, match="`keys` must be a list of names, or 'scalars'; got the text 'scalar'"
    ):
        pl.read_wandb_histories("e/p", keys="scalar", client=client)
