"""What `Runs` costs, and what it does beyond the SDK's."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import polars as pl
import pytest

import wbframe
from wbframe import Runs, errors
from wbframe.dropin.run import Run
from wbframe.server import Project, RunRecord, Sweep, serve, synthetic

KEYS = ["train/loss", "eval/loss"]


@pytest.fixture
def client(server):
    return wbframe.Client(server.url, server.api_key, retry=wbframe.RetryPolicy(tries=1))


def runs_of(client, project="ragged", **options):
    return Runs(client, "wbframe", project, **{"order": "+created_at", **options})


def documents(server):
    return [logged.document for logged in server.requests]


# ---------------------------------------------------------------- requests


def test_making_one_asks_for_nothing(server, client):
    runs = runs_of(client)
    repr(runs)
    assert (runs.length, runs.more, runs.cursor) == (None, True, None)
    assert server.requests == []


@pytest.mark.parametrize("kind", ["default", "pandas", "polars"])
@pytest.mark.parametrize("keys", [None, KEYS])
def test_histories_cost_a_page_of_runs_and_a_request_for_it(server, client, kind, keys):
    runs = runs_of(client, include_sweeps=False)
    assert len(runs.histories(format=kind, keys=keys))
    assert len(server.requests) == 2
    runs.histories(format=kind, keys=keys)
    assert len(server.requests) == 3


def test_histories_of_several_pages():
    with serve(synthetic(runs=30, rows=20, keys=3)) as server:
        runs = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "synthetic", per_page=10)
        assert len(runs.histories()) == 600
        assert len(server.requests) == 6
        assert [run.id for run in runs] == list(
            dict.fromkeys(row["run_id"] for row in runs.histories())
        )


def asked_per_page(server):
    return [logged.variables["perPage"] for logged in server.requests if "Runs(" in logged.document]


@pytest.mark.parametrize(("per_page", "pages"), [(50, [200]), (300, [300]), (20, [20, 21, 21, 21])])
def test_histories_load_wide_pages_unless_small_ones_are_asked_for(per_page, pages):
    with serve(synthetic(runs=70, rows=2, keys=1)) as server:
        client = wbframe.Client(server.url, server.api_key)
        runs = Runs(client, "wbframe", "synthetic", per_page=per_page)
        assert runs.histories(format="polars").height == 140
        assert asked_per_page(server) == pages
        # With the last run of the page before, to see whether runs moved.
        assert runs.variables["perPage"] == pages[0]
        assert (runs.index, len(runs.objects)) == (70, 70)


def test_pages_are_as_asked_where_wide_ones_are_too_much():
    with serve(synthetic(runs=120, rows=2, keys=1)) as server:
        runs = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "synthetic")
        server.fail(status=504, match="Runs(")
        assert len(runs.histories()) == 240
        assert asked_per_page(server) == [200, 50, 51, 51]
        assert len({run.id for run in runs}) == 120


def test_a_page_that_is_refused_however_it_is_asked_for_is_an_error(server, client):
    server.fail(status=403, match="Runs(", times=50)
    with pytest.raises(errors.AccessError):
        runs_of(client).histories()
    assert len(server.requests) < 15


def test_many_cells_are_asked_for_in_several_requests():
    with serve(synthetic(runs=20, rows=500, keys=27)) as server:
        client = wbframe.Client(server.url, server.api_key)
        runs = Runs(client, "wbframe", "synthetic")
        assert len(runs.histories()) == 10_000
        # 15,000 cells a run, 200,000 a request
        assert len(server.requests) == 3
        assert runs.histories(format="polars").height == 10_000


def test_a_request_that_is_too_big_is_cut_in_two(server, client):
    expected = runs_of(client).histories()
    server.clear()
    server.fail(status=504, match="Rows(")
    assert runs_of(client, include_sweeps=False).histories() == expected
    assert [logged.status for logged in server.requests] == [200, 504, 200, 200]


def test_sweeps_are_loaded_once_and_together(server, client):
    runs = runs_of(client, per_page=2)
    assert [run.sweep and run.sweep.id for run in runs][:3] == ["swp1aaaa", "swp1aaaa", "swp2bbbb"]
    sweeps = [document for document in documents(server) if "sweep(" in document]
    assert len(sweeps) == 2
    assert runs[0].sweep is runs[1].sweep
    assert len(server.requests) == 7 + 2


def test_a_sweep_that_is_gone_is_none():
    project = Project(entity="wbframe", name="p", runs=(RunRecord(name="a", sweep="gone"),))
    with serve(project) as server:
        runs = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "p")
        assert runs[0].sweep is None
        assert runs[0].sweep_name == "gone"


def test_wrong_keys_ask_for_nothing_and_say_so(server, client, capsys):
    assert runs_of(client).histories(keys="train/loss") == []
    assert runs_of(client).histories(keys=KEYS, stream="system", format="polars").shape == (0, 0)
    assert server.requests == []
    said = capsys.readouterr().err
    assert "keys must be specified in a list" in said
    assert "stream must be default when specifying keys" in said


@pytest.mark.parametrize("options", [{"format": "arrow"}, {"match": "some"}])
def test_wrong_options_are_told_before_any_request(server, client, options):
    with pytest.raises(ValueError, match=r"[mM]ust be one of"):
        runs_of(client).histories(**options)
    assert server.requests == []


# ---------------------------------------------------------------- lazy


def test_a_lazy_page_is_light_and_loads_what_is_looked_at(server, client):
    runs = runs_of(client, lazy=True, include_sweeps=False)
    assert runs.QUERY != Runs.QUERY
    assert (runs[0].id, runs[0].state, runs[0].history_line_count) == ("cadence1", "finished", 240)
    assert "summaryMetrics" not in documents(server)[0]
    assert len(server.requests) == 1
    assert runs[0].config["lr"] == 0.1
    assert runs[0].summary["_step"] == 239
    assert runs[0].history_keys["lastStep"] == 239
    assert runs[0].system_metrics
    assert len(server.requests) == 2


def test_upgrading_loads_all_at_once_and_later_pages_whole(server, client):
    runs = runs_of(client, lazy=True, include_sweeps=False, per_page=5)
    first = runs[0]
    runs.upgrade_to_full()
    assert len(server.requests) == 2
    runs.upgrade_to_full()
    full = runs_of(client, include_sweeps=False)
    assert [run.config for run in runs] == [run.config for run in full]
    assert [run.summary_metrics for run in runs] == [run.summary_metrics for run in full]
    assert first is runs[0]
    assert len(server.requests) == 2 + 2 + 1


def test_histories_of_lazy_runs(client):
    assert runs_of(client, lazy=True).histories() == runs_of(client).histories()


# ---------------------------------------------------------------- pages


def test_no_project_is_told_again(client):
    runs = runs_of(client, "nope")
    for _ in range(2):
        with pytest.raises(ValueError, match="Could not find project nope"):
            len(runs)
    with pytest.raises(errors.ProjectNotFoundError):
        runs.histories()


def test_a_page_that_failed_can_be_asked_for_again(server, client):
    runs = runs_of(client, per_page=5, include_sweeps=False)
    next(runs)
    server.fail(status=500, times=40)
    with pytest.raises(errors.StatusError):
        list(runs)
    server.clear()
    assert len(list(runs)) == 13
    assert len({run.id for run in runs}) == 13


def test_a_server_that_repeats_a_cursor_does_not_hang(server, client):
    runs = runs_of(client, per_page=5, include_sweeps=False)
    next(runs)
    server.fail(body=json.dumps({"data": runs.last_response}).encode())
    with pytest.raises(errors.AnswerError, match="repeats the cursor"):
        list(runs)
    server.clear()


def test_a_slice_loads_no_page_too_many(server, client):
    runs = runs_of(client, per_page=4, include_sweeps=False)
    assert len(runs[0:4]) == 4
    assert len(server.requests) == 1
    assert [len(runs[:]), len(runs[5:]), len(runs[:-1]), len(runs[-3:])] == [13, 8, 12, 3]


def test_the_default_entity_is_asked_for_when_it_is_needed(server, client):
    runs = Runs(client, None, "ragged", include_sweeps=False)
    assert server.requests == []
    assert (len(runs), runs.entity, runs[0].entity) == (13, "wbframe", "wbframe")
    assert len(Runs(client, project="ragged").histories(keys=["late"])) == 130


@pytest.mark.parametrize("project", [None, ""])
def test_a_project_is_needed(client, project):
    with pytest.raises(errors.UsageError, match="project"):
        Runs(client, "wbframe", project)


def test_a_subclass_may_ask_its_own_query(client):
    class Few(Runs):
        QUERY = Runs.QUERY.replace(" summaryMetrics", "")

    run = Few(client, "wbframe", "ragged", order="+created_at")[0]
    assert (run.config["lr"], run.summary_metrics) == (0.1, {})


# ---------------------------------------------------------------- rows


def test_any_gives_the_rows_that_hold_one_of_the_keys(client, ragged_project):
    found = runs_of(client).histories(keys=[*KEYS, "_step"], match="any", samples=10_000)
    expected = [
        (run.name, row["_step"], [row.get(key, "none") for key in KEYS])
        for run in ragged_project.runs
        for row in run.history.to_dicts()
        if set(KEYS) & row.keys() and run.name not in {"nonfinite", "summary"}
    ]
    shown = [(row["run_id"], row["_step"], [row.get(key, "none") for key in KEYS]) for row in found]
    kept = [each for each in shown if each[0] not in {"nonfinite", "summary", "twice"}]
    assert kept == [each for each in expected if each[0] != "twice"]
    # rows of one step are one row there, as nothing tells which spec's row belongs to which
    assert len([each for each in shown if each[0] == "twice"]) == 10


def test_any_keeps_the_x_axis(client):
    found = runs_of(client).histories(keys=["late"], x_axis="_runtime", match="any")
    assert list(found[0]) == ["_step", "_runtime", "late", "run_id"]
    assert len(found) == 130


def test_any_of_one_frame(client):
    frame = runs_of(client).histories(keys=KEYS, match="any", format="polars")
    assert frame.columns == ["_step", "eval/loss", "run_id", "train/loss"]
    assert frame["train/loss"].dtype == pl.Float64


def test_frames_are_the_union_with_the_types_of_all_values(client):
    chosen = {"name": {"$in": ["cadence1", "drifting", "whole", "nonfinite", "mixed", "objects"]}}
    frame = runs_of(client, filters=chosen).histories(format="polars")
    assert frame.columns == sorted(frame.columns)
    dtypes = dict(frame.schema)
    assert dtypes["train/loss"] == pl.Float64
    assert dtypes["even only"] == pl.Int64
    assert dtypes["count"] == pl.Float64
    assert dtypes["spelled"] == pl.Float64
    assert dtypes["quoted"] == pl.String
    assert dtypes["all nan"] == pl.Float64
    assert dtypes["text or number"] == pl.String
    assert dtypes["flag"] == pl.Boolean
    assert dtypes["always null"] == pl.Null
    assert dtypes["bins"] == pl.List(pl.Float64)
    assert isinstance(dtypes["packed"], pl.Struct)
    drift = frame.filter(run_id="drifting")["drift"]
    assert drift.to_list() == [i if i < 120 else i + 0.5 for i in range(150)]
    lost = frame.filter(run_id="nonfinite")["train/loss"].to_list()
    assert [math.isnan(lost[0]), *lost[1:4]] == [True, 1.5, math.inf, -math.inf]
    assert frame.filter(run_id="cadence1")["late"].drop_nulls().len() == 130


def test_long_integers_keep_their_digits(client):
    runs = runs_of(client, filters={"name": {"$in": ["huge", "twice"]}})
    wanted = [2**53 + 1, 2**60, -(2**63), 2**63 - 1, 0, -1]
    assert [row["big"] for row in runs.histories() if "big" in row] == wanted
    assert runs.histories(format="polars")["big"].drop_nulls().to_list() == wanted
    assert runs.histories(format="pandas")["big"].dropna().tolist() == wanted


def test_digits_that_a_float_column_loses_are_told():
    from wbframe.server import History

    rows = [{"_step": 0, "n": 2**53 + 1}, {"_step": 1, "n": 0.5}]
    project = Project(
        entity="wbframe", name="p", runs=(RunRecord(name="a", history=History(rows)),)
    )
    with serve(project) as server:
        runs = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "p")
        for kind in ("pandas", "polars"):
            with pytest.warns(errors.PrecisionWarning, match="every digit of 'n'"):
                runs.histories(format=kind)
        with pytest.warns(errors.PrecisionWarning):
            runs[0].history()


def test_a_logged_run_id_gives_way(client):
    rows = runs_of(client, filters={"name": "named"}).histories()
    assert {row["run_id"] for row in rows} == {"named"}


# ---------------------------------------------------------------- frames of runs


def test_the_runs_frame_of_the_query(client):
    runs = runs_of(client, filters={"state": "finished"}, order="-created_at")
    frame = runs.to_polars(columns=["run_id", "config.lr"])
    assert frame["run_id"].to_list() == [run.id for run in runs]
    assert runs.to_pandas(columns=["run_id"])["run_id"].tolist() == frame["run_id"].to_list()
    assert runs.to_arrow(columns=["run_id"])["run_id"].to_pylist() == frame["run_id"].to_list()


def test_the_runs_frame_without_an_order_is_in_that_of_the_runs(client):
    runs = runs_of(client, order=None)
    assert runs.to_polars(columns=["run_id"])["run_id"].to_list() == [run.id for run in runs]


def test_the_lazy_histories_of_the_query(client):
    found = runs_of(client, filters={"name": "cadence1"}).scan_histories(keys=["late"]).collect()
    assert found.columns == ["run_id", "_step", "late"]
    assert found.height == 130


# ---------------------------------------------------------------- clients


def test_objects_of_the_sdk_name_server_and_key(server, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_BASE_URL", raising=False)
    api = SimpleNamespace(settings={"base_url": server.url}, api_key=server.api_key)
    service = SimpleNamespace(
        _settings=SimpleNamespace(base_url=server.url, api_key=server.api_key)
    )
    transport = SimpleNamespace(
        url=f"{server.url}/graphql", session=SimpleNamespace(auth=("api", server.api_key))
    )
    old = SimpleNamespace(_client=SimpleNamespace(transport=transport))
    for given in (api, service, old):
        assert len(Runs(given, "wbframe", "ragged")) == 13
    assert Runs(api, "wbframe", "ragged").client is Runs(old, "wbframe", "ragged").client


def test_the_environment_names_server_and_key(server, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", server.api_key)
    assert len(Runs(None, "wbframe", "ragged")) == 13
    assert wbframe.Api().run("wbframe/ragged/whole").state == "failed"


def test_anything_else_is_no_client():
    with pytest.raises(errors.UsageError, match=r"wandb.Api\(\)"):
        Runs(object(), "wbframe", "ragged")


def test_a_run_made_by_hand_is_asked_for(server, client):
    run = Run(client, "wbframe", "ragged", "cadence1")
    assert (run.state, run.sweep.id) == ("finished", "swp1aaaa")
    assert len(server.requests) == 2
    with pytest.raises(ValueError, match="Could not find run 'nope'"):
        Run(client, "wbframe", "ragged", "nope")


def test_the_configuration_of_a_sweep():
    pytest.importorskip("yaml")
    yaml = "method: grid\nname: first\nmetric: {name: loss}\n"
    sweep = Sweep(name="s1", config=yaml, run_count_expected=4)
    runs = (RunRecord(name="a", sweep="s1"),)
    with serve(Project(entity="wbframe", name="p", runs=runs, sweeps=(sweep,))) as server:
        found = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "p")[0].sweep
        assert found.config == {"method": "grid", "name": "first", "metric": {"name": "loss"}}
        assert (found.name, found.expected_run_count, found.best_loss) == ("first", 4, None)
        assert found.url == f"{server.url}/wbframe/p/sweeps/s1"
