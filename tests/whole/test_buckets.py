"""Buckets: every peak is in them, whoever sums them up."""

from __future__ import annotations

import math

import polars as pl
import pytest

import wbframe
from tests.whole.truth import PATH, project_of
from wbframe.errors import IncompleteHistoryWarning, UsageError
from wbframe.server import Export, ExportFile, Exports, Features, History, RunRecord, synthetic

ROWS = [
    {"_step": 3 * step, "_timestamp": 1.7e9 + step**2, "loss": math.sin(step) * step, "x": step / 7}
    | ({"eval": step / 2} if step % 10 == 0 else {})
    | ({"odd": math.nan if step % 4 else 1.0} if step % 2 else {})
    | ({"note": "text"} if step == 5 else {})
    for step in range(500)
]
RUN = RunRecord(
    name="r", config={"lr": 0.5}, history=History(ROWS), exports=Exports.split(2, 0.2, 5)
)
OTHER = RunRecord(
    name="s", config={"lr": 1.5}, history=History(ROWS[:7]), created_at="2026-01-02T00:00:00Z"
)
SERVERS = {
    "lists": Features(),
    "texts": Features(buckets_as_text=True),
    "none": Features(bucketed_history=False),
}


@pytest.fixture(params=SERVERS)
def served(request, serving):
    return serving(project_of(RUN, OTHER), features=SERVERS[request.param])


def by_hand(key, axis, bins):
    """Sum up one key of the run: bucket -> (axis mean, min, max, mean, last)."""
    pairs = [(float(row[axis]), row[key]) for row in ROWS if key in row and axis in row]
    pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
    low, high = min(pairs)[0], max(pairs)[0]
    buckets = {}
    for x, y in pairs:
        place = min(int((x - low) / ((high - low) / bins)), bins - 1)
        buckets.setdefault(place, []).append((x, y))
    return [
        (
            sum(x for x, _ in each) / len(each), min(y for _, y in each), max(y for _, y in each),
            sum(y for _, y in each) / len(each), each[-1][1],
        )
        for _, each in sorted(buckets.items())
    ]  # fmt: skip


@pytest.mark.parametrize("axis", ["_step", "_timestamp", "x"])
@pytest.mark.parametrize("key", ["loss", "eval"])
def test_they_are_what_a_hand_adds_up(served, axis, key):
    _, client = served
    path = f"{PATH}/r"
    got = pl.read_wandb_buckets(path, keys=[key], bins=20, x_axis=axis, client=client)
    names = [f"{key}.{each}" for each in ("min", "max", "mean", "last")]
    assert got.columns == ["run_id", "bucket", axis, *names]
    assert got["bucket"].to_list() == list(range(got.height))
    for row, want in zip(got.select(axis, *names).rows(), by_hand(key, axis, 20), strict=True):
        assert row == pytest.approx(want, rel=1e-12)


def test_all_servers_give_the_same_in_every_face(serving):
    found = []
    for features in SERVERS.values():
        _, client = serving(project_of(RUN, OTHER), features=features)
        options = {"bins": 16, "run_columns": ["config.lr"], "client": client}
        frame = pl.read_wandb_buckets(PATH, **options)
        found.append(frame)
        assert frame.equals(pl.scan_wandb_buckets(PATH, **options).collect())
        assert frame.equals(
            pl.DataFrame(pl.from_arrow(wbframe.arrow.read_buckets(PATH, **options)))
        )
        pandas = wbframe.pandas.read_buckets(PATH, dtype_backend="pyarrow", **options)
        assert frame.equals(pl.from_pandas(pandas))
    assert found[0].equals(found[1])
    assert found[0].columns == found[2].columns
    assert found[0].height == found[2].height
    numbers = [name for name, dtype in found[0].schema.items() if dtype == pl.Float64]
    for name in numbers:
        for a, b in zip(found[0][name], found[2][name], strict=True):
            assert a == b or a == pytest.approx(b, rel=1e-12), name
    assert found[0]["run_id"].unique(maintain_order=True).to_list() == ["r", "s"]
    assert not [name for name in found[0].columns if name.startswith("note")]


def test_a_lazy_query_asks_only_for_its_runs(serving):
    server, client = serving(project_of(RUN, OTHER))
    lazy = pl.scan_wandb_buckets(
        PATH, keys=["loss"], bins=8, run_columns=["config.lr"], client=client
    )
    eager = lazy.collect()
    server.clear()
    kept = pl.col("config.lr") > 1, pl.col("_step") < 12
    assert lazy.filter(*kept).collect().equals(eager.filter(*kept))
    rows = [each for each in server.requests if "bucketedHistory" in each.document]
    assert [value for each in rows for value in each.variables.values() if value in ("r", "s")] == [
        "s"
    ]


def test_a_peak_of_one_row_is_there(serving):
    rows = [{"_step": step, "x": 1e6 if step == 7_777 else 0.0} for step in range(20_000)]
    run = RunRecord(name="r", history=History(rows), exports=Exports.all())
    for features in (Features(), Features(bucketed_history=False)):
        _, client = serving(project_of(run), features=features)
        buckets = pl.read_wandb_buckets(PATH, keys=["x"], bins=100, client=client)
        assert buckets.height == 100
        assert buckets["x.max"].max() == 1e6


def test_thousands_of_runs_take_few_requests(serving):
    server, client = serving(synthetic(runs=600, rows=20, keys=1, name="p"))
    got = pl.read_wandb_buckets(PATH, keys=["metric/00"], bins=10, client=client)
    assert got["run_id"].n_unique() == 600
    assert sum("bucketedHistory" in each.document for each in server.requests) == 6


def test_machine_metrics_without_buckets_of_the_server(serving):
    events = History(
        [
            {"_wandb": True, "_timestamp": 1.7e9 + i, "_runtime": i, "system.cpu": i / 2}
            for i in range(100)
        ],
        stepped=False,
    )
    run = RunRecord(name="r", history=History(ROWS[:3]), events=events)
    found = []
    for features in (Features(), Features(bucketed_history=False)):
        _, client = serving(project_of(run), features=features)
        found.append(pl.read_wandb_buckets(PATH, stream="system", bins=5, client=client))
    assert found[0].columns == [
        "run_id",
        "bucket",
        "_timestamp",
        *(f"system.cpu.{each}" for each in ("min", "max", "mean", "last")),
    ]
    assert found[0].equals(found[1])


def test_what_holds_no_numbers_is_refused(serving):
    _, client = serving(project_of(RUN))
    with pytest.raises(UsageError, match="buckets are of numbers, and 'note' is String") as caught:
        pl.read_wandb_buckets(PATH, keys=["note"], client=client)
    assert "schema_overrides={'note': pl.Float64} are of numbers where these came as text" in str(
        caught.value
    )


def test_rows_that_are_missing_are_said(serving):
    run = RunRecord(
        name="r",
        history=History(ROWS),
        history_line_count=600,
        exports=Export(files=(ExportFile(range(500)),)),
    )
    _, client = serving(project_of(run), features=Features(bucketed_history=False))
    with pytest.warns(IncompleteHistoryWarning, match="600 rows expected, 500 came"):
        assert pl.read_wandb_buckets(PATH, keys=["x"], bins=3, client=client).height == 3
