"""The official client and wbframe read the same cells; where they differ, this says how and why."""

from __future__ import annotations

import json
import math

import polars as pl
import pytest

import wbframe
from benchmarks.peers import CURRENT, run_peer
from tests.readers.plain import assert_column, column, leaves
from wbframe.polars import read_histories, read_runs

pytestmark = [
    pytest.mark.referee,
    pytest.mark.filterwarnings("ignore::wbframe.errors.PrecisionWarning"),
]

DEMO = "wbframe/demo"
RAGGED = "wbframe/ragged"

PRELUDE = """
import json
import wandb

def plain(value):
    return json.loads(json.dumps(value, default=str))

def attempt(call):
    try:
        return plain(call())
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
"""

READ = """
def main(args):
    found = []
    for run in wandb.Api().runs(args["path"], lazy=False):
        few = len(run.history_keys["keys"]["_step"]["typeCounts"]) and run.history_line_count <= 500
        found.append({
            "run_id": run.id, "entity": run.entity, "project": run.project, "name": run.name, "state": run.state,
            "created_at": run.created_at, "heartbeat_at": run.heartbeat_at, "user": run.user.username,
            "group": run.group, "job_type": run.job_type, "sweep": run.sweep_name, "tags": list(run.tags),
            "notes": run.notes, "commit": run.commit, "history_line_count": run.history_line_count,
            "config": dict(run.config), "summary": run.summary._json_dict,
            "history": run.history(pandas=False),
            "keys": {
                " ".join(keys): run.history(keys=keys, pandas=False)
                for keys in args["keys"] if all(key in run.history_keys["keys"] for key in keys)
            },
            "scan": list(run.scan_history()) if few else None,
            "system": run.history(stream="system", pandas=False),
        })
    return plain(found)
"""
KEYS = [
    ["train/loss"],
    ["eval/loss"],
    ["train/loss", "lr"],
    ["eval/loss", "eval/accuracy"],
    ["train/loss", "eval/loss"],
]


def ask(server, script, args=None):
    env = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": server.api_key}
    return run_peer(CURRENT, PRELUDE + script, env, args)


@pytest.fixture(scope="module")
def theirs(all_projects):
    return ask(all_projects, READ, {"path": DEMO, "keys": KEYS})


# ---------------------------------------------------------------- the same


def test_runs_agree_cell_by_cell(theirs, client):
    frame = read_runs(DEMO, client=client)
    assert frame.height == len(theirs) == 24
    plain = [
        "entity",
        "project",
        "run_id",
        "name",
        "state",
        "user",
        "group",
        "job_type",
        "sweep",
        "notes",
        "commit",
        "history_line_count",
    ]
    for name in plain:
        assert frame[name].to_list() == [run[name] for run in theirs], name
    assert frame["tags"].to_list() == [run["tags"] for run in theirs]
    for name in ("created_at", "heartbeat_at"):
        times = frame[name].dt.strftime("%Y-%m-%dT%H:%M:%S").to_list()
        assert times == [run[name].removesuffix("Z") for run in theirs], name
    rows = []
    for run in theirs:
        row = {}
        for prefix in ("config", "summary"):
            for key, value in run[prefix].items():
                row |= leaves(f"{prefix}.{key}", value) if key != "_wandb" else {}
        rows.append(row)
    names = {name for row in rows for name in row}
    assert {name for name in frame.columns if name.startswith(("config.", "summary."))} == names
    for name in names:
        assert_column(frame[name], *column([row.get(name) for row in rows]))


def unordered(cell):
    """Spell an object anew: the official client's scan has its keys in no order, and 0.0 as 0."""
    if not isinstance(cell, str) or cell[:1] not in {"{", "["}:
        return cell
    return json.dumps(json.loads(cell, parse_int=float), sort_keys=True)


def assert_same_rows(frame, theirs, rows_of):
    """Compare all runs' rows, in order, cell by cell."""
    rows = [(run["run_id"], row) for run in theirs for row in rows_of(run)]
    assert frame["run_id"].to_list() == [run_id for run_id, _ in rows]
    keys = {key for _, row in rows for key in row}
    assert keys == set(frame.columns) - {"run_id"}
    for key in keys:
        values = [row.get(key) for _, row in rows]
        dtype, cells = (
            (pl.Int64(), [int(value) for value in values]) if key == "_step" else column(values)
        )
        got = frame[key]
        if dtype == pl.String():
            got, cells = pl.Series(key, map(unordered, got)), list(map(unordered, cells))
        assert_column(got, dtype, cells)


def test_sampled_histories_agree_cell_by_cell(theirs, client):
    ours = read_histories(DEMO, samples=500, client=client)
    assert_same_rows(ours, theirs, lambda run: run["history"])


@pytest.mark.parametrize("keys", KEYS, ids=" ".join)
def test_histories_of_keys_agree_where_rows_hold_all_of_them(keys, theirs, client):
    frame = read_histories(DEMO, keys=keys, samples=500, match="all", client=client)
    assert_same_rows(
        frame,
        theirs,
        lambda run: [{"_step": row["_step"], **row} for row in run["keys"].get(" ".join(keys), [])],
    )
    assert frame.height


def test_whole_scans_agree_where_nothing_is_sampled(theirs, client):
    few = [run for run in theirs if run["scan"] is not None]
    assert len(few) > 10
    frame = read_histories([f"{DEMO}/{run['run_id']}" for run in few], client=client)
    assert_same_rows(frame, few, lambda run: run["scan"])


def test_machine_metrics_agree_cell_by_cell(theirs, client):
    frame = read_histories(DEMO, stream="system", client=client)
    rows_of = lambda run: [{k: v for k, v in row.items() if k != "_wandb"} for row in run["system"]]  # noqa: E731
    assert_same_rows(frame, theirs, rows_of)


# ---------------------------------------------------------------- the differences, each with its cause

ODD = """
def main(args):
    api = wandb.Api()
    def one(name):
        return api.run(f"wbframe/ragged/{name}")
    def frame(name, how):
        rows = api.runs("wbframe/ragged", filters={"name": name}).histories(format=how, samples=1000)
        return rows.to_dicts() if how == "polars" else json.loads(rows.to_json(orient="records"))
    return {
        "unlike cadence": attempt(lambda: one("cadence1").history(keys=["even only", "odd only"], pandas=False)),
        "non-finite": attempt(lambda: one("nonfinite").history(keys=["train/loss"], pandas=False)),
        "step": attempt(lambda: one("nonfinite").history(keys=["train/loss"], pandas=False)[0]["_step"]),
        "late": attempt(lambda: sorted(frame("cadence1", "polars")[-1])),
        "drift": attempt(lambda: frame("drifting", "polars")[-1]["drift"]),
        "key run_id": attempt(
            lambda: list(api.runs("wbframe/ragged", filters={"name": "named"}).histories())[0]["run_id"]),
        "unlike runs": attempt(lambda: api.runs("wbframe/ragged").histories(format="polars").shape),
        "nobody": attempt(lambda: [run.id for run in api.runs("wbframe/odd")]),
        "nested": attempt(lambda: one("objects").summary._json_dict["nested"]),
        "both a.b": attempt(lambda: one("named").config),
        "events": attempt(lambda: len(one("cadence1").history(samples=5000, stream="system", pandas=False))),
        "keys of the system": attempt(lambda: one("cadence1").history(keys=["system.cpu"], stream="system", pandas=False)),
        "no such key": attempt(lambda: one("cadence1").history(keys=["train/los"], pandas=False)),
        "huge": attempt(lambda: one("huge").history(keys=["big/odd"], pandas=False)[0]["big/odd"]),
    }
"""


@pytest.fixture(scope="module")
def odd(all_projects):
    return ask(all_projects, ODD)


def ours(client, name, **options):
    return read_histories(f"{RAGGED}/{name}", client=client, **options)


def test_rows_that_hold_only_one_of_two_keys_are_rows(odd, client):
    """The server answers rows that hold all keys of one spec; the official client sends one spec."""
    assert odd["unlike cadence"] == []
    frame = ours(client, "cadence1", keys=["even only", "odd only"])
    assert frame.height == 120
    assert (
        frame.select(pl.all_horizontal(pl.col("even only", "odd only").is_not_null()).any()).item()
        is False
    )


def test_non_finite_numbers_are_numbers(odd, client):
    """The official client leaves the server's text as it is."""
    assert [row["train/loss"] for row in odd["non-finite"][:4]] == [
        "NaN",
        1.5,
        "Infinity",
        "-Infinity",
    ]
    values = ours(client, "nonfinite", keys=["train/loss"])["train/loss"].to_list()[:4]
    assert math.isnan(values[0])
    assert values[1:] == [1.5, math.inf, -math.inf]


def test_steps_are_whole(odd, client):
    """Some servers spell steps as floats, and the official client passes them on."""
    assert json.dumps(odd["step"]) == "0.0"
    assert ours(client, "nonfinite", keys=["train/loss"]).schema["_step"] == pl.Int64


def test_keys_that_come_late_are_columns(odd, client):
    """`pl.from_records` looks at a hundred rows; here the key index names all."""
    assert "late" not in odd["late"]
    assert ours(client, "cadence1")["late"].count() == 130


def test_fractions_after_a_hundred_whole_numbers_are_kept(odd, client):
    """The same look of a hundred rows makes the column whole numbers, and cuts what follows."""
    assert odd["drift"] == 149
    assert ours(client, "drifting")["drift"][-1] == 149.5


def test_a_logged_key_called_run_id_is_kept(odd, client):
    """The official client writes the run's id over it."""
    assert odd["key run_id"] == "named"
    frame = ours(client, "named")
    assert (frame["run_id"][0], frame["history.run_id"][0]) == ("named", "not-0")


def test_runs_of_unlike_keys_are_one_frame(odd, client):
    """The official client stacks frames that must have the same columns."""
    assert odd["unlike runs"].startswith(
        ("ShapeError", "SchemaError", "CommError", "ColumnNotFound")
    ), odd["unlike runs"]
    assert read_histories(RAGGED, client=client).shape == (556, 50)


def test_runs_without_a_user_are_runs(odd, client):
    """The official client takes its parts from a null."""
    assert odd["nobody"].startswith("TypeError")
    assert read_runs("wbframe/odd", columns=["run_id"], client=client).height == 3


def test_nested_dicts_are_columns(odd, client):
    """The official client hands them out as they are."""
    assert odd["nested"] == {"deep": {"er": 7}, "b": 2.0 / 8.5 + 0.01}
    frame = read_runs(f"{RAGGED}/objects", columns=["summary.nested.*"], client=client)
    # another run has a key `nested.a.b`
    row = {
        "summary.nested.a.b": None,
        "summary.nested.b": 2.0 / 8.5 + 0.01,
        "summary.nested.deep.er": 7.0,
    }
    assert frame.to_dicts() == [row]


def test_two_keys_of_one_dotted_name_are_one_column(odd, client):
    """Flattening cannot keep both: the key that has the dot counts. The official client keeps both."""
    assert (odd["both a.b"]["a.b"], odd["both a.b"]["a"]) == (1, {"b": 2})
    assert read_runs(f"{RAGGED}/named", columns=["config.a.b"], client=client).item() == 1.0


def test_machine_metrics_are_as_many_and_say_that_there_are_more(odd, client):
    """The server caps them; the official client does not say so."""
    frame = ours(client, "cadence1", stream="system", samples=5000)
    assert odd["events"] == frame.height < 1200
    assert client.last_report.sampled


def test_machine_metrics_have_keys(odd, client):
    """The official client refuses keys of the system stream, and gives nothing."""
    assert odd["keys of the system"] == []
    found = ours(client, "cadence1", stream="system", keys=["system.cpu"], samples=500)
    assert found.height > 0


def test_a_key_that_nobody_logged_is_an_error(odd, client):
    """The official client gives nothing."""
    assert odd["no such key"] == []
    with pytest.raises(wbframe.errors.ColumnError, match="Did you mean 'train/loss'"):
        ours(client, "cadence1", keys=["train/los"])


def test_large_whole_numbers_are_exact_where_that_is_asked(odd, client):
    """Python's integers are exact; a Float64 is not, says so, and Int64 is one override away."""
    assert odd["huge"] == 2**53 + 1
    exact = ours(client, "huge", keys=["big/odd"], schema_overrides={"big/odd": pl.Int64})
    assert exact["big/odd"][0] == 2**53 + 1
