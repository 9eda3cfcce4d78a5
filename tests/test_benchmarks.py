"""What the named scenarios of the benchmarks ask and get: requests, bytes and rows exactly; never seconds."""

from __future__ import annotations

import polars as pl
import pytest

import wbframe
from benchmarks.__main__ import SCENARIOS
from benchmarks.hosting import PATH, Host
from benchmarks.measuring import Reader, Row
from benchmarks.report import table
from wbframe.server import serve, synthetic

KEYS = [f"metric/{index:02d}" for index in range(10)]


def histories(client):
    return pl.read_wandb_histories(PATH, keys=KEYS, client=client)


def whole_rows(client):
    return pl.read_wandb_histories(PATH, client=client)


def runs(client):
    return pl.read_wandb_runs(PATH, client=client)


def light_runs(client):
    return pl.read_wandb_runs(PATH, columns=["run_id", "state"], client=client)


def drop_in(client):
    return wbframe.Runs(client, "wbframe", "synthetic", per_page=50).histories(format="polars")


def pushed_down(client):
    rows = pl.scan_wandb_histories(PATH, run_columns=["config.param_00"], client=client)
    wanted = rows.filter(pl.col("config.param_00") > 0.9, pl.col("_step") < 50)
    return wanted.select("run_id", "_step", "metric/00").collect()


@pytest.fixture(scope="module")
def sampled():
    with serve(synthetic(), compress=False) as server:
        yield server


@pytest.fixture(scope="module")
def listed():
    project = synthetic(runs=5000, rows=1, keys=0, config_keys=40, summary_keys=40)
    with serve(project, compress=False) as server:
        yield server


def cost(server, read):
    """Give the requests, the bytes of their answers, and the rows of a read."""
    server.clear()
    with wbframe.Client(server.url, server.api_key) as client:
        rows = len(read(client))
        traffic = client.traffic
    assert all(request.status == 200 for request in server.requests)
    sent = sum(request.response_bytes for request in server.requests)
    assert (traffic.requests, traffic.bytes_received) == (len(server.requests), sent)
    return len(server.requests), sent, rows


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (histories, (7, 32_968_678, 100_000)),
        (whole_rows, (8, 40_078_890, 100_000)),
        (drop_in, (8, 40_325_872, 100_000)),
        (pushed_down, (7, 135_893, 800)),
    ],
)
def test_histories_of_200_runs_of_500_rows_and_10_keys(sampled, read, expected):
    assert cost(sampled, read) == expected


@pytest.mark.parametrize(
    ("read", "expected"), [(runs, (26, 19_813_013, 5000)), (light_runs, (11, 443_937, 5000))]
)
def test_5000_runs_with_40_config_and_40_summary_keys(listed, read, expected):
    assert cost(listed, read) == expected


@pytest.mark.parametrize("exported", [False, True])
def test_the_host_of_the_benchmarks_answers_in_a_process_of_its_own(exported):
    with Host(exported=exported, runs=3, rows=20, keys=2) as host:
        with wbframe.Client(host.url, host.api_key) as client:
            read = [pl.read_wandb_histories(PATH, samples=None, client=client) for _ in range(2)]
        assert [rows.height for rows in read] == [60, 60]
        assert read[0].equals(read[1])
        sent = host.sent().requests
        host.replay(again := [])  # exported files are not sent again
        assert host.sent().requests == len(again) == (4 if exported else sent)


def test_every_scenario_has_a_name_and_a_line():
    assert all(name == each.name and each.what for name, each in SCENARIOS.items())


def test_a_table_has_a_line_a_reader():
    reader = Reader(name="wbframe", job="histories", args={})
    row = Row(scenario="s", case="c", reader=reader.name, seconds=0.5, rows=3, bytes=2_000_000)
    lines = table([row]).splitlines()
    assert len(lines) == 3
    assert len({len(line) for line in lines}) == 1
    assert "0.500" in lines[2]
    assert "2.0 MB" in lines[2]
