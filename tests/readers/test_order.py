"""The order of runs: by which names, whatever the server makes of them, and what a typo gives."""

from __future__ import annotations

from contextlib import contextmanager

import polars as pl
import pytest

import wbframe.pandas
from wbframe import arrow
from wbframe.errors import ColumnError, UsageError
from wbframe.polars import read_histories, read_runs, scan_histories, scan_runs
from wbframe.server import Features, History, Project, RunRecord, serve

# Neither falling nor rising, and with digits that text sorts otherwise.
VALUES = [3.0, 20.0, 1.0, 100.0, 7.0]
ODD = ["x[0]", "m:1", "a.b", "metrics/mAP_0.5:0.95", "mAP50(B)", "é", "$x", "two words", "value"]
PLAIN = ["config.lr", "summary.acc", "summary.train/loss"]
NESTED = ["config.opt.lr", "config.opt.deep.er", "summary.best.acc"]
UNSURE = ["config.mixed", "config.text", "summary.some", "summary.odd"]
NAMES = [
    *PLAIN,
    *NESTED,
    *UNSURE,
    *(f"{head}.{key}" for head in ("config", "summary") for key in ODD),
]
FEATURES = {"index": None, "no index": Features(fields=False), "whole": Features(projection=False)}


def record(i, value):
    odd = dict.fromkeys(ODD, value)
    return RunRecord(
        name=f"r{i}",
        config={
            "lr": value,
            "opt": {"lr": value, "deep": {"er": value}},
            "mixed": value if i % 2 else f"{value:g}",
            "text": f"{value:g}",
            **odd,
        },
        summary={
            "acc": value,
            "train/loss": value,
            "best": {"acc": value},
            "some": None if i == 3 else value,
            "odd": {0: "NaN", 2: "-Infinity", 3: "Infinity"}.get(i, value),
            **odd,
        },
        history=History([{"x": i}]),
        notes=f"note {i}",
        history_line_count=int(value),
        created_at=f"2026-01-0{i + 1}T00:00:00Z",
    )


PROJECT = Project(entity="e", name="p", runs=tuple(map(record, range(5), VALUES)))


@contextmanager
def served(project=PROJECT, **options):
    with serve(project, **options) as server, wbframe.Client(server.url, server.api_key) as client:
        yield server, client


def expected(name, *, descending):
    """Sort here, plainly; what has no value comes last."""
    without = {"summary.some": [3], "summary.odd": [0]}.get(name, [])
    values = dict(enumerate(VALUES))
    if name == "summary.odd":
        values |= {2: float("-inf"), 3: float("inf")}
    there = sorted(set(values) - set(without), key=values.__getitem__, reverse=descending)
    return [f"r{i}" for i in (*there, *without)]


def firsts(order, client):
    """Give the best two by every face."""
    named = {"order": order, "limit": 2, "client": client}
    yield read_runs("e/p", columns=["run_id"], **named)["run_id"].to_list()
    yield read_runs("e/p", **named)["run_id"].to_list()
    yield scan_runs("e/p", **named).select("run_id").collect()["run_id"].to_list()
    yield scan_runs("e/p", order=order, client=client).head(2).collect()["run_id"].to_list()
    yield read_histories("e/p", keys=["x"], **named)["run_id"].to_list()
    yield scan_histories("e/p", keys=["x"], **named).collect()["run_id"].to_list()
    yield arrow.read_runs("e/p", columns=["run_id"], **named)["run_id"].to_pylist()
    yield wbframe.pandas.read_runs("e/p", columns=["run_id"], **named)["run_id"].to_list()


@pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
@pytest.mark.parametrize("sign", "+-")
@pytest.mark.parametrize("name", NAMES)
def test_the_best_run_is_the_best_by_any_name(name, sign, features):
    whole = expected(name, descending=sign == "-")
    with served(features=features) as (_, client):
        found = read_runs("e/p", columns=["run_id", name], order=sign + name, client=client)
        assert found["run_id"].to_list() == whole
        best = read_runs("e/p", columns=["run_id"], order=sign + name, limit=1, client=client)
        assert best["run_id"].to_list() == whole[:1]
        assert best.columns == ["run_id"]


@pytest.mark.parametrize("name", ["config.lr", "config.opt.lr", "summary.best.acc", "config.m:1"])
def test_every_face_gives_the_same_order(name):
    with served() as (_, client):
        for found in firsts(f"-{name}", client):
            assert found == expected(name, descending=True)[:2]


@pytest.mark.parametrize("name", [*PLAIN, *NESTED, "config.a.b"])
def test_a_server_that_ignores_an_order_is_found_out(name):
    with served(differing={"order_of_keys": True}) as (_, client):
        for found in firsts(f"-{name}", client):
            assert found == expected(name, descending=True)[:2]


@pytest.mark.parametrize("name", PLAIN)
def test_an_ignored_order_is_found_out_where_it_shows(name):
    with served(differing={"order_of_keys": True}) as (_, client):
        for limit in (None, 3, 1):
            found = read_runs("e/p", order=f"+{name}", limit=limit, client=client)
            assert found["run_id"].to_list() == expected(name, descending=False)[:limit]
        for read in (
            lambda **more: read_histories("e/p", keys=["x"], **more),
            lambda **more: scan_runs("e/p", **more).collect(),
            lambda **more: scan_histories("e/p", keys=["x"], **more).collect(),
        ):
            found = read(order=f"+{name}", limit=1, client=client)
            assert found["run_id"].to_list() == expected(name, descending=False)[:1]


def test_the_best_of_many_runs_costs_one_page_where_only_some_have_a_value():
    runs = tuple(
        RunRecord(name=f"r{i}", summary={"best": i} if i < 5 else {}, config={"lr": i})
        for i in range(60)
    )
    with served(Project(entity="e", name="p", runs=runs)) as (server, client):
        for order, wanted in [("-summary.best", "r4"), ("-config.lr", "r59")]:
            server.clear()
            found = read_runs("e/p", columns=["run_id"], order=order, limit=1, client=client)
            assert found["run_id"].to_list() == [wanted]
            assert len(server.requests) == 2  # the index, and a page


@pytest.mark.parametrize(
    ("order", "sent"),
    [
        ("-config.opt.lr", "-config.opt.value.lr"),
        ("-config.opt.value.lr", "-config.opt.value.lr"),
        ("-config.opt.deep.er", "-config.opt.value.deep.er"),
        ("-summary.best.acc", "-summary_metrics.best.acc"),
        ("-summary_metrics.best.acc", "-summary_metrics.best.acc"),
        ("-config.lr.value", "-config.lr.value"),
        ("-config.x[0]", "+created_at"),
    ],
)
def test_nested_keys_are_spelled_as_the_server_does(order, sent):
    with served() as (server, client):
        found = read_runs("e/p", columns=["run_id"], order=order, limit=1, client=client)
        assert found["run_id"].to_list() == ["r3"]
        assert server.requests[-1].variables["order"] == sent


@pytest.mark.parametrize("name", ["history_line_count", "notes"])
def test_columns_that_the_server_does_not_order_by_are_sorted_here(name):
    wanted = {"history_line_count": ["r3", "r1"], "notes": ["r4", "r3"]}[name]
    with served() as (server, client):
        found = read_runs("e/p", columns=["run_id"], order=f"-{name}", limit=2, client=client)
        assert found["run_id"].to_list() == wanted
        assert len(server.requests) == 1


def test_an_override_says_how_a_key_is_ordered():
    runs = tuple(
        RunRecord(name=f"r{i}", config={"lr": value}) for i, value in enumerate(["9", "10", "2e1"])
    )
    with served(Project(entity="e", name="p", runs=runs)) as (_, client):
        options = {"order": "-config.lr", "columns": ["run_id"], "client": client}
        for overrides in (None, {"config.lr": pl.Int64}):
            found = read_runs("e/p", schema_overrides=overrides, limit=1, **options)
            assert found["run_id"].to_list() == ["r2"]


def test_lists_have_no_order():
    run = RunRecord(name="r", config={"lr": [1, 2]})
    lists = {"config.lr": pl.List(pl.Int64)}
    with (
        served(Project(entity="e", name="p", runs=(run,))) as (_, client),
        pytest.raises(UsageError, match="has no order"),
    ):
        read_runs("e/p", order="-config.lr", schema_overrides=lists, client=client)


def test_runs_of_several_projects_stay_in_theirs():
    other = Project(entity="e", name="q", runs=tuple(map(record, range(2), [5.0, 50.0])))
    with served([PROJECT, other]) as (_, client):
        found = read_runs(["e/p", "e/q"], order="-config.opt.lr", limit=6, client=client)
    assert found["run_id"].to_list() == ["r3", "r1", "r4", "r0", "r2", "r1"]


def test_an_order_and_a_filter_give_the_best_of_those_that_pass():
    with served() as (_, client):
        for predicate in (pl.col("config.lr") < 50, {"config.lr": {"$lt": 50}}):
            found = read_runs(
                "e/p", order="-summary.best.acc", filters=predicate, limit=1, client=client
            )
            assert found["run_id"].to_list() == ["r1"]


# ---------------------------------------------------------------- what it costs, and what is wrong


def test_an_order_by_a_known_field_costs_what_it_did():
    for order in ("-created_at", "+name", "-state", "-heartbeat_at"):
        with served() as (server, client):
            read_runs("e/p", columns=["run_id", "state"], order=order, limit=1, client=client)
            assert len(server.requests) == 1


def test_an_order_by_a_plain_key_asks_for_no_more_runs_than_wanted():
    with served() as (server, client):
        read_runs("e/p", columns=["run_id"], order="-config.lr", limit=2, client=client)
        index, page = server.requests
        assert "fields(" in index.document
        assert page.variables["first"] == 2
        assert page.variables["configKeys"] == ["lr"]


def test_of_runs_that_are_sorted_here_only_the_wanted_are_read_whole():
    with served() as (server, client):
        found = read_runs("e/p", order="-summary.best.acc", limit=2, client=client)
        assert found["run_id"].to_list() == ["r3", "r1"]
        assert found.columns == read_runs("e/p", client=client).columns
        pages = [
            each.document
            for each in server.requests
            if each.variables.get("order") == "-summary_metrics.best.acc"
        ]
        assert pages
        assert all("summaryMetrics(keys:" in each and "config" not in each for each in pages)
        server.clear()
        rows = read_histories("e/p", keys=["x"], order="-summary.best.acc", limit=1, client=client)
        assert rows["run_id"].to_list() == ["r3"]
        [named] = [each for each in server.requests if "historyKeys" in each.document]
        assert [value for name, value in named.variables.items() if name.startswith("r")] == ["r3"]


TYPOS = {
    "-summary.best.acuracy": r"'summary\.best\.acuracy'.*Did you mean 'summary\.best\.acc'",
    "-config.lrr": r"'config\.lrr'.*Did you mean 'config\.lr'",
    "+config.zzz": r"'config\.zzz'",
    "-config.opt": r"'config\.opt'",
    "-creatd_at": "Did you mean 'created_at'",
    "-acc": r"no order by 'acc'.*summary\.<key>",
}


# Without an index an object may be a value.
MISTAKEN = [
    (features, order, said)
    for features in FEATURES.values()
    for order, said in TYPOS.items()
    if not (features == Features(fields=False) and order == "-config.opt")
]


@pytest.mark.parametrize(("features", "order", "said"), MISTAKEN)
def test_a_typo_is_an_error_as_in_columns(features, order, said):
    reads = {
        "named": lambda client: read_runs("e/p", columns=["run_id"], order=order, client=client),
        "best": lambda client: read_runs("e/p", order=order, limit=1, client=client),
        "all": lambda client: read_runs("e/p", order=order, client=client),
        "scan": lambda client: scan_runs("e/p", order=order, client=client).collect(),
        "rows": lambda client: read_histories("e/p", order=order, limit=1, client=client),
        "lazy rows": lambda client: scan_histories("e/p", order=order, client=client).collect(),
    }
    # Where no index names them, the near names are among keys that were not asked for.
    told = said.partition(".*Did")[0] if features == Features(fields=False) else said
    with served(features=features) as (_, client):
        for read in reads.values():
            # polars may tell of what its sources raise in an error of its own.
            with pytest.raises((ColumnError, pl.exceptions.ComputeError), match=told):
                read(client)


def test_a_key_that_the_index_lacks_may_still_be_there():
    with served(differing={"index_lacks": "config"}) as (_, client):
        found = read_runs("e/p", columns=["run_id"], order="-config.lr", limit=1, client=client)
        assert found["run_id"].to_list() == ["r3"]
        with pytest.raises(ColumnError, match=r"config\.lrr"):
            read_runs("e/p", columns=["run_id"], order="-config.lrr", limit=1, client=client)


def test_an_empty_project_has_no_order_to_be_wrong():
    with served(Project(entity="e", name="p")) as (_, client):
        assert read_runs("e/p", order="-config.lr", client=client).height == 0
