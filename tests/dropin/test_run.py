"""`Run` beside the SDK's: what it asks for, what it refuses, and every row of a scan."""

from __future__ import annotations

import copy
import http.server
import json
import pickle
import threading

import pytest

import wbframe
from wbframe import Runs, errors
from wbframe.dropin.run import Run
from wbframe.server import Exports, Features, History, Project, RunRecord, serve


@pytest.fixture
def client(server):
    return wbframe.Client(server.url, server.api_key, retry=wbframe.RetryPolicy(tries=1))


@pytest.fixture
def runs(client):
    return Runs(client, "wbframe", "ragged", order="+created_at", include_sweeps=False)


def made(rows, **options):
    run = RunRecord(name="r", history=History(rows), **options)
    return Project(entity="wbframe", name="p", runs=(run,))


# ---------------------------------------------------------------- attributes


def test_what_is_not_here_names_the_sdk(runs):
    for name in ("files", "update", "logged_artifacts"):
        with pytest.raises(AttributeError, match=r"wandb\.Api\(\)"):
            getattr(runs[0], name)
    assert not hasattr(runs[0], "_no_such_thing")


def test_a_summary_is_a_mapping_that_cannot_be_written(runs):
    summary = next(run.summary for run in runs if run.id == "summary")
    assert dict(summary["nested"]) == {"a": {"b": float("inf")}}
    assert summary.nested.a.b == float("inf")
    assert (" best " in summary, summary[" best "], len(summary)) == (True, "NaN", 4)
    with pytest.raises(TypeError):
        summary["best"] = 1
    with pytest.raises(AttributeError, match="can be read"):
        _ = summary.no_such_key
    assert repr(summary["nested"]) == "{'a': {'b': inf}}"


def test_runs_can_be_copied_and_pickled(runs):
    run = runs[0]
    for other in (copy.deepcopy(run), pickle.loads(pickle.dumps(run))):
        assert (other.id, other.config, other.user.username) == (run.id, run.config, "ada")
        assert other.client.base_url == run.client.base_url


def test_a_broken_config_is_an_error(server, client):
    node = {"name": "a", "config": "{"}
    edges = [{"node": node, "cursor": "c"}]
    page = {"edges": edges, "pageInfo": {"hasNextPage": False, "endCursor": "c"}}
    body = {"data": {"project": {"runCount": 1, "readOnly": False, "runs": page}}}
    server.fail(body=json.dumps(body).encode())
    with pytest.raises(errors.AnswerError, match="config"):
        len(Runs(client, "wbframe", "ragged"))


def test_addresses_in_the_web_app(monkeypatch):
    monkeypatch.delenv("WANDB_APP_URL", raising=False)
    attrs = {"name": "a b", "state": "finished"}
    addresses = {
        "https://api.wandb.ai": "https://wandb.ai/e/p%20q/runs/a%20b",
        "https://api.example.org": "https://app.example.org/e/p%20q/runs/a%20b",
        "http://localhost:8080": "http://localhost:8080/e/p%20q/runs/a%20b",
    }
    for base_url, address in addresses.items():
        assert Run(wbframe.Client(base_url, "k" * 40), "e", "p q", "a b", attrs).url == address
    monkeypatch.setenv("WANDB_APP_URL", "https://app.test/")
    assert (
        Run(wbframe.Client("https://api.wandb.ai"), "e", "p", "r", attrs).url
        == "https://app.test/e/p/runs/r"
    )


def test_the_last_step_costs_a_request_only_while_the_run_goes_on(server, runs):
    by_id = {run.id: run for run in runs}
    server.clear()
    assert by_id["cadence1"].lastHistoryStep == 239
    assert server.requests == []
    assert by_id["resumed"].lastHistoryStep == 20_057
    assert len(server.requests) == 1


# ---------------------------------------------------------------- metadata


@pytest.fixture
def storage():
    """A server of files elsewhere, as signed addresses point to; it notes the headers it got."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            got.append(dict(self.headers))
            body = b'{"python": "3.11"}' if "gone" not in self.path else b""
            self.send_response(200 if body else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


def listed(address):
    """Answer that the file lies at an address."""
    node = {"name": "wandb-metadata.json", "url": address, "directUrl": address}
    return json.dumps(
        {"data": {"project": {"r0": {"files": {"edges": [{"node": node}]}}}}}
    ).encode()


def test_metadata_come_from_elsewhere_without_the_key(server, runs, storage):
    address, got = storage
    run = runs[0]
    server.fail(body=listed(f"{address}/f?sig=1"), match="RunFile")
    assert run.metadata == {"python": "3.11"}
    assert run.metadata == {"python": "3.11"}
    assert len(got) == 1
    assert "Authorization" not in got[0]


def test_metadata_that_do_not_come_are_an_error_without_the_address(server, runs, storage):
    server.fail(body=listed(f"{storage[0]}/gone?sig=1"), match="RunFile")
    with pytest.raises(errors.StatusError, match="HTTP 403") as raised:
        _ = runs[0].metadata
    assert "sig=1" not in str(raised.value)


def test_a_run_without_the_file_has_no_metadata(runs):
    assert runs[0].metadata is None


# ---------------------------------------------------------------- scans


def test_a_scan_gives_every_row_of_every_run(runs, ragged_project):
    for run, record in zip(runs, ragged_project.runs, strict=True):
        for size in (3, 50, 1000):
            steps = [row["_step"] for row in run.scan_history(page_size=size)]
            assert steps == record.history.steps


@pytest.mark.parametrize("size", [7, 60, 1000])
def test_a_scan_of_keys_loses_and_repeats_no_row(runs, ragged_project, size):
    for run, record in zip(runs, ragged_project.runs, strict=True):
        steps = [
            row["_step"] for row in run.scan_history(keys=["_step", "train/loss"], page_size=size)
        ]
        wanted = [row["_step"] for row in record.history.to_dicts() if "train/loss" in row]
        assert steps == wanted


def test_bounds_are_from_and_before(runs):
    steps = [row["_step"] for row in runs[0].scan_history(min_step=10, max_step=13, page_size=2)]
    assert steps == [10, 11, 12]
    assert list(runs[0].scan_history(min_step=500)) == []


def test_a_scan_asks_for_nothing_until_it_is_iterated_over(server, runs):
    run = runs[0]
    server.clear()
    scan = run.scan_history(page_size=100)
    assert server.requests == []
    assert next(scan)["_step"] == 0
    assert len(server.requests) == 1
    assert len(list(scan)) == 240


def test_wide_gaps_are_crossed_in_few_requests():
    rows = [{"_step": step, "loss": 0.5} for step in (0, 1, 500_000, 900_000, 900_001)]
    with serve(made(rows)) as server:
        run = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "p")[0]
        server.clear()
        assert [row["_step"] for row in run.scan_history()] == [0, 1, 500_000, 900_000, 900_001]
        assert len(server.requests) < 10


def test_steps_in_several_rows_are_whole():
    rows = [{"_step": i // 5, "loss": i} for i in range(500)]
    with serve(made(rows)) as server:
        run = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "p")[0]
        for options in ({}, {"keys": ["loss"]}):
            found = [row["loss"] for row in run.scan_history(page_size=20, **options)]
            assert found == list(range(500))


def test_a_server_without_an_index_of_keys_gives_all_rows_all_the_same():
    project = made([{"_step": 3 * i, "loss": i} for i in range(40)], history_keys=None)
    with serve(project) as server:
        run = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "p")[0]
        assert run.lastHistoryStep == 117
        assert len(list(run.scan_history(page_size=10))) == 40


@pytest.mark.parametrize("keys", [None, ["_step", "loss"]])
def test_rows_that_the_server_does_not_give_are_an_error(keys):
    rows = [{"_step": i, "loss": 0.5} for i in range(40)]
    missing = Features(history_serves_exported=False, parquet_history=False)
    with serve(made(rows, exports=Exports.split(files=1, live=0.25)), features=missing) as server:
        run = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "p")[0]
        with pytest.raises(errors.IncompleteHistoryError, match="40 rows expected, 10 came"):
            list(run.scan_history(keys=keys))
        assert len(list(run.scan_history(keys=keys, min_step=35))) == 5


def test_history_of_a_run_is_one_request(server, runs):
    run = runs[0]
    server.clear()
    assert len(run.history(samples=5)) == 5
    assert run.history(keys=["late"], pandas=False)[0] == {"_step": 110.0, "late": 13.75}
    assert len(server.requests) == 2


def test_an_old_server_is_enough():
    old = Features(
        fields=False,
        projection=False,
        nested_histories=False,
        internal_ids=False,
        parquet_history=False,
    )
    with serve("ragged", features=old) as server:
        runs = Runs(wbframe.Client(server.url, server.api_key), "wbframe", "ragged")
        assert len(runs.histories(format="polars"))
        assert len(list(runs[0].scan_history())) == 3
